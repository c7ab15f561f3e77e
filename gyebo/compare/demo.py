"""`gyebo demo`: the main job on the embedded world, with nothing to prepare and no network."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

import gyebo
from gyebo.compare.job import show
from gyebo.compare.recipe import load
from gyebo.compare.run import compare
from gyebo.compare.table import Comparison, conclusion
from gyebo.jobs.generate import generate
from gyebo.world.corpus import documents

LANGUAGES = {"ko": "Korean", "en": "English"}
OPENING_WORDS = 3


def demo(out: Path, *, resume: bool = False, overwrite: bool = False, console: Console | None = None) -> Comparison:
    """Compare GPT and GPT-2 on the embedded world, let the better one write Korean and English, say what to type next.

    Raises RuntimeError where a run failed, otherwise as `compare`.
    """
    console = console or Console()
    result = compare(load(shipped("demo.toml")), out, resume=resume, overwrite=overwrite, console=console)
    leader = result.leader
    if not result.ok or leader is None or leader.best_seed is None:
        raise RuntimeError(f"the demo did not finish: {' '.join(conclusion(result))}")
    model = str(result.run(leader, leader.best_seed))
    prompts = openings()
    answers = generate(model, list(prompts.values()), {"max_new_tokens": 60, "temperature": 0.7, "top_p": 0.9, "seed": 0})
    console.rule(f"{leader.name} writes")
    for language, answer in zip(prompts, answers):
        console.print(
            f"{LANGUAGES[language]}: [bold]{escape(answer['prompt'])}[/bold]{escape(answer['text'])}", highlight=False
        )
    show(result, console)
    console.print("\nThe same on your own text:", highlight=False)
    console.print(
        f"  gyebo compare {escape(str(shipped('korean.toml')))} --corpus my-text.txt -o runs/mine",
        highlight=False,
        soft_wrap=True,
    )
    return result


def openings() -> dict[str, str]:
    """How a document of the world may begin, in each language."""
    texts = {language: next(documents(1, seed=1, languages=(language,))).text for language in LANGUAGES}
    return {language: " ".join(text.split()[:OPENING_WORDS]) for language, text in texts.items()}


def shipped(name: str) -> Path:
    """The path of a recipe that comes with gyebo: in the package once installed, beside it in a checkout."""
    package = Path(gyebo.__file__).parent
    places = [package / "recipes" / name, package.parent / "recipes" / name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{places[0]}: no such recipe; is gyebo installed completely?")
    return found
