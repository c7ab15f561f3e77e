"""`gyebo demo`: the whole pipeline on the built-in world, without your own text and without network."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

import gyebo
from gyebo.compare.conclusion import conclusion
from gyebo.compare.recipe import load
from gyebo.compare.results import Comparison
from gyebo.compare.run import compare, show

SAMPLES = 2


def demo(out: Path, *, resume: bool = False, overwrite: bool = False, console: Console | None = None) -> Comparison:
    """Compare families on the built-in world and one of its tasks, and show samples of the best one.

    Raises RuntimeError where a run failed, otherwise as `compare`.
    """
    console = console or Console()
    result = compare(load(shipped("demo.toml")), out, resume=resume, overwrite=overwrite, console=console)
    leader = result.leader
    if not result.ok or leader is None:
        raise RuntimeError(f"the demo did not finish: {' '.join(conclusion(result))}")
    if samples := leader.candidate.objective_facts.samples:
        console.rule(f"{samples.heading}: {leader.name}")
        for line in leader.samples[:SAMPLES]:
            console.print(escape(line), highlight=False)
    show(result, console)
    console.print("\nTo run this on your own text and labelled examples:", highlight=False)
    command = f"gyebo compare {shipped('reviews.toml')} --corpus my-text.txt --task classification=my-reviews.csv -o runs/mine"
    console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)
    return result


def shipped(name: str) -> Path:
    """The path of a recipe that comes with gyebo: in the package once installed, beside it in a checkout."""
    package = Path(gyebo.__file__).parent
    places = [package / "recipes" / name, package.parent / "recipes" / name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{places[0]}: no such recipe; is gyebo installed completely?")
    return found
