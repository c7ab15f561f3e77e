"""Where a verb says what it does: in a terminal, in a notebook, or nowhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

    Verbose = bool | Console | None


def console(verbose: Verbose) -> Console:
    """The console of a verb. `verbose`: True speaks, False is silent, None speaks to people: in a terminal and in a notebook,
    and not where the output is piped. A console, as the command line gives it, is taken as it is."""
    from rich.console import Console

    if isinstance(verbose, Console):
        return verbose
    if verbose not in (None, True, False):
        raise OptionError(f"‹verbose› must be True, False or None, but is {verbose!r} instead")
    found = Console(soft_wrap=True)
    seen = found.is_terminal or found.is_jupyter
    return found if verbose or (verbose is None and seen) else Console(quiet=True)


@contextmanager
def status(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """A line in a terminal that says what goes on; gives a function that writes it anew."""
    if not console.is_terminal or console.quiet:  # a notebook has no such line without further libraries
        yield lambda text: None
        return
    with console.status(text) as shown:
        yield lambda text: shown.update(text)


def aside(verbose: Verbose) -> Console:
    """As `console`, on stderr: for a verb whose answer is printed."""
    from rich.console import Console

    found = console(verbose)
    return found if found.quiet or found.is_jupyter or found.stderr else Console(stderr=True, soft_wrap=True, file=sys.stderr)
