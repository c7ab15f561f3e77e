"""`gyebo compare`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def compare(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="Recipe file; see recipes/.")],
    out: Annotated[Path | None, shared.word("Output directory.  [required without --dry-run]", "DIR", "-o", "--out")] = None,
    corpus: Annotated[
        list[str] | None, shared.word("Corpus, in place of the recipe's; may be given several times.", "CORPUS")
    ] = None,
    task: Annotated[
        list[str] | None,
        shared.word("Task to rank by, in place of the recipe's: NAME or NAME=DATA; may be given several times.", "TASK"),
    ] = None,
    hand_over: Annotated[
        str | None,
        shared.word("distil: train one more model of each task, taught by all others, beside the table.", "WAY"),
    ] = None,
    settings: Annotated[
        list[str] | None, shared.word("Any option of the recipe: budget.minutes=5 ...", "NAME=VALUE", "--set")
    ] = None,
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, tokens and minutes of each candidate, without training.")
    ] = False,
    json: shared.Json = False,
) -> None:
    """Compare several families under one budget.

    Trains the candidates of a recipe one after the other, fine-tunes each on the recipe's tasks, evaluates all on the same
    held-out text and test examples, and writes a table and report.html.

    \b
    Examples:
      gyebo compare recipes/korean.toml --corpus reviews.txt -o runs/compared
      gyebo compare recipes/korean.toml --corpus reviews.txt --dry-run
      gyebo compare recipes/korean.toml --corpus reviews.txt -o runs/compared --resume
      gyebo compare recipes/reviews.toml --corpus my-text.txt --task classification=my-reviews.csv -o runs/compared
      gyebo compare recipes/reviews.toml --corpus my-text.txt -o runs/compared --resume --hand-over distil
    """
    from gyebo.api.compare import compare as verb
    from gyebo.api.memory import Names
    from gyebo.compare.dry_run import ComparisonPlan
    from gyebo.compare.rendering import as_json
    from gyebo.compare.session import finite

    found = verb(
        recipe,
        out=out,
        corpus=Names(corpus) if corpus else None,
        task=task,
        hand_over=hand_over,
        settings=settings,
        resume=resume,
        overwrite=overwrite,
        dry_run=dry_run,
        verbose=shared.console(json),
    )
    if json:
        values = found.as_dict() if isinstance(found, ComparisonPlan) else finite(as_json(found))
        print(json_module.dumps(values, ensure_ascii=False, allow_nan=False))
    if not isinstance(found, ComparisonPlan) and not found.ok:
        raise typer.Exit(1)
