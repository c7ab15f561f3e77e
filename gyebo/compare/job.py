"""What `gyebo compare` and `gyebo demo` do: a recipe from a file, the runs, and the answer on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from gyebo.compare.forms import rich_table
from gyebo.compare.recipe import load
from gyebo.compare.report import commands
from gyebo.compare.run import compare
from gyebo.compare.sentence import conclusion
from gyebo.compare.table import Comparison


def compare_files(
    recipe: Path,
    out: Path,
    *,
    corpus: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> bool:
    """Run a recipe file into `out` and print the answer; False where a run failed. Errors as in `load` and `compare`.

    corpus: takes the place of the recipe's. tasks: "NAME" or "NAME=DATA", likewise. settings: `section.field=value`, as in
    `--set`.
    """
    console = console or Console()
    asked = load(recipe, corpus=corpus or (), tasks=tasks or (), settings=settings)
    result = compare(asked, out, resume=resume, overwrite=overwrite, console=console)
    show(result, console)
    return result.ok


def show(result: Comparison, console: Console) -> None:
    """Print the table, the verdict, where the report is and what to type next."""
    headline, why = conclusion(result)
    console.print()
    console.print(rich_table(result))
    console.print(f"[bold]{escape(headline)}[/bold] {escape(why)}", highlight=False)
    if result.floor is not None:
        console.print(f"Known entropy of the held-out text: {result.floor:.4f} bits per byte.", highlight=False)
    console.print(f"\nReport: {escape(str(result.out / 'report.html'))}", highlight=False)
    console.print(f"All figures: {escape(str(result.out / 'results.md'))}", highlight=False)
    for what, command in commands(result):
        console.print(f"\n{escape(what)}:", highlight=False)
        for line in command.splitlines():
            console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)  # to be copied
