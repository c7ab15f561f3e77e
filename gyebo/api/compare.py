"""`gyebo.compare`, the verb of `gyebo compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import Texts, corpus_names, row_file
from gyebo.api.options import folder, given, verb
from gyebo.api.speaking import console
from gyebo.config.errors import OptionError
from gyebo.config.toml import Settings, parsed

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.compare.dry_run import ComparisonPlan
    from gyebo.compare.results import Comparison


@verb("compare")
def compare(
    recipe: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    corpus: Texts = None,
    task: str | Sequence[str] | Mapping[str, Any] | None = None,
    hand_over: str | None = None,
    settings: Settings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    verbose: Verbose = None,
) -> Comparison | ComparisonPlan:
    """Compare several families under one budget: `gyebo.compare("recipes/korean.toml", corpus=texts, out="runs/compared")`.

    recipe: a TOML file, or what stands in one as a dict. corpus, as of `gyebo.pretrain`, and task take the place of the
    recipe's; task: "NAME", "NAME=DATA", a list of these, or {name: data}, where data may be rows in memory. hand_over:
    "distil" trains one more model of each task, taught by all others, beside the table. settings: any
    option of the recipe, as {"budget.minutes": 5}. verbose and errors as of `gyebo.pretrain`.

    dry_run: nothing is trained or written, and the plan is given: parameters, tokens and minutes of each candidate.

    A run that fails is a row with the reason (`Comparison.ok` is False), and `resume` tries it again.
    """
    from gyebo.compare.dry_run import plan_files
    from gyebo.compare.run import compare_files

    place = folder(out)
    if place is None and not dry_run:
        raise OptionError("‹out› is missing: name the directory to write, such as runs/compared")
    if dry_run and (resume or overwrite):
        raise OptionError("‹dry_run› excludes ‹resume› and ‹overwrite›: a dry run writes nothing")
    if not isinstance(recipe, str | Path | Mapping):
        raise OptionError(f"‹recipe› must be the name of a file or a dict, but is a {type(recipe).__name__}")
    named = recipe if isinstance(recipe, Mapping) else Path(recipe)
    texts = None if corpus is None else corpus_names(corpus, "corpus")
    chosen = parsed(settings or {}) | given(hand_over=hand_over)
    if dry_run or place is None:
        return plan_files(named, corpus=texts, tasks=_tasks(task), settings=chosen, console=console(verbose))
    return compare_files(
        named,
        place,
        corpus=texts,
        tasks=_tasks(task),
        settings=chosen,
        resume=resume,
        overwrite=overwrite,
        console=console(verbose),
    )


def _tasks(task: Any) -> list[str] | None:
    """Tasks as they are typed: NAME or NAME=DATA."""
    if isinstance(task, Mapping):
        return [f"{name}={row_file(data, 'task')}" if data is not None else name for name, data in task.items()]
    if task is None or isinstance(task, str):
        return None if task is None else [task]
    if not isinstance(task, list | tuple) or not all(isinstance(each, str) for each in task):
        raise OptionError(f"‹task› must be the name of a task, several, or {{name: data}}, but is {task!r} instead")
    return [*task]
