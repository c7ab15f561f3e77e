"""`gyebo demo`: the main job on the embedded world, with nothing to prepare and no network."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

import gyebo
from gyebo.compare.conclusion import conclusion
from gyebo.compare.recipe import load
from gyebo.compare.results import Comparison
from gyebo.compare.run import compare, show
from gyebo.jobs.fill import fill
from gyebo.jobs.generate import generate
from gyebo.models.family import find
from gyebo.world.corpus import documents

LANGUAGES = {"ko": "Korean", "en": "English"}
OPENING_WORDS = 3
GUESSES = 3


def demo(out: Path, *, resume: bool = False, overwrite: bool = False, console: Console | None = None) -> Comparison:
    """Compare families on the embedded world and one of its tasks, let the best one write or fill in, say what to type next.

    Raises RuntimeError where a run failed, otherwise as `compare`.
    """
    console = console or Console()
    result = compare(load(shipped("demo.toml")), out, resume=resume, overwrite=overwrite, console=console)
    leader = result.leader
    if not result.ok or leader is None or leader.best_seed is None:
        raise RuntimeError(f"the demo did not finish: {' '.join(conclusion(result))}")
    model = str(result.run(leader, leader.best_seed))
    if leader.candidate.likelihood:
        console.rule(f"{leader.name} writes")
        lines = written(model)
    else:
        console.rule(f"{leader.name} guesses what was hidden")
        lines = guessed(model, find(leader.candidate.family).tokens["mask"])
    for line in lines:
        console.print(line, highlight=False)
    show(result, console)
    console.print("\nThe same on your own text, and your own labelled examples:", highlight=False)
    command = f"gyebo compare {shipped('reviews.toml')} --corpus my-text.txt --task classification=my-reviews.csv -o runs/mine"
    console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)
    return result


def written(model: str) -> list[str]:
    """How a model goes on with the opening of a document in each language, a line each."""
    prompts = openings()
    answers = generate(model, list(prompts.values()), {"max_new_tokens": 60, "temperature": 0.7, "top_p": 0.9, "seed": 0})
    return [
        f"{LANGUAGES[language]}: [bold]{escape(answer['prompt'])}[/bold]{escape(answer['text'])}"
        for language, answer in zip(prompts, answers)
    ]


def guessed(model: str, mask: str) -> list[str]:
    """What a model puts where a word of a sentence was hidden, in each language, a line each."""
    texts = riddles(mask)
    lines = []
    for language, filled in zip(texts, fill(model, list(texts.values()), top_k=GUESSES)):
        guesses = ", ".join(f"{guess['text'].strip()} ({guess['probability']:.0%})" for guess in filled["masks"][0])
        lines.append(f"{LANGUAGES[language]}: {escape(filled['text'])} [bold]{escape(guesses)}[/bold]")
    return lines


def beginnings() -> dict[str, str]:
    """A document of the world in each language."""
    return {language: next(documents(1, seed=1, languages=(language,))).text for language in LANGUAGES}


def openings() -> dict[str, str]:
    """How a document of the world may begin, in each language."""
    return {language: " ".join(text.split()[:OPENING_WORDS]) for language, text in beginnings().items()}


def riddles(mask: str) -> dict[str, str]:
    """The first sentence of a document of the world in each language, with the mask in place of the word in its middle."""
    texts = {}
    for language, text in beginnings().items():
        words = f"{text.partition('. ')[0].removesuffix('.')}.".split()
        words[len(words) // 2] = mask
        texts[language] = " ".join(words)
    return texts


def shipped(name: str) -> Path:
    """The path of a recipe that comes with gyebo: in the package once installed, beside it in a checkout."""
    package = Path(gyebo.__file__).parent
    places = [package / "recipes" / name, package.parent / "recipes" / name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{places[0]}: no such recipe; is gyebo installed completely?")
    return found
