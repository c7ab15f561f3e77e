"""Options that several commands share, and how they become the options of a run."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from gyebo.api.memory import Names


def _number(kind: type[int] | type[float], low: float, words: str) -> Callable[[str], Any]:
    """A reader of numbers that says what it was given instead of one."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value < math.inf:
            raise typer.BadParameter(f"must be {words}, but is {str(text)!r} instead")
        return value

    return read


_COUNT = _number(int, 1, "a whole number from 1 on")
_NATURAL = _number(int, 0, "a whole number from 0 on")
_WHOLE = _number(int, -math.inf, "a whole number")
_REAL = _number(float, -math.inf, "a number")


def count(help: str) -> Any:
    """An option that takes a whole number from 1 on."""
    return typer.Option(help=help, metavar="N", parser=_COUNT)


def natural(help: str) -> Any:
    """An option that takes a whole number from 0 on."""
    return typer.Option(help=help, metavar="N", parser=_NATURAL)


def whole(help: str) -> Any:
    """An option that takes a whole number, whose range is checked by what it is for."""
    return typer.Option(help=help, metavar="N", parser=_WHOLE)


def real(help: str) -> Any:
    """An option that takes a number, whose range is checked by what it is for."""
    return typer.Option(help=help, metavar="X", parser=_REAL)


def word(help: str, metavar: str, *names: str) -> Any:
    """An option that takes a word: a name, a path, one of a few kinds."""
    return typer.Option(*names, help=help, metavar=metavar)


CORPUS_HELP = "Files, folders, globs, hf:NAME[/CONFIG][:SPLIT], world:[ko|en][,N], world:pictures, or - (stdin)."
Corpora = Annotated[list[str], typer.Argument(metavar="CORPUS", help=CORPUS_HELP)]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A run, a transformers directory, or a hub id.")]
Out = Annotated[Path, word("Output directory.", "DIR", "-o", "--out")]
Documents = Annotated[
    str | None,
    word("What a document is in plain text: line, blank (a block between blank lines) or file.  [default: line]", "KIND"),
]
TextField = Annotated[str | None, word("Column or key of the text in jsonl, csv, tsv, parquet, hf:.  [default: text]", "NAME")]
Encoding = Annotated[str | None, word("Encoding of the files' text, e.g. cp949 or utf-16.  [default: UTF-8]", "NAME")]
BadBytes = Annotated[
    str | None, word("What to do with bytes that are not of the encoding: refuse or replace.  [default: refuse]", "HOW")
]
Valid = Annotated[str | None, word("Use this corpus as the held-out set.", "CORPUS")]
ValidLast = Annotated[float | None, real("Hold out this share at the end of the text, e.g. 0.1.")]
ValidShare = Annotated[float | None, real("Hold out this share of the documents, chosen by hash.  [default: 0.01]")]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in -o.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in -o.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[str, word("auto, cpu, cuda or mps.", "NAME")]

# of commands whose models write
MaxNewTokens = Annotated[int | None, whole("Maximum number of tokens of an answer.  [default: 64]")]
Greedy = Annotated[bool, typer.Option("--greedy", help="Greedy decoding.")]
Beams = Annotated[int | None, whole("Beam search: number of beams.")]
Rank = Annotated[int | None, whole("Sample-and-rank: sample so many candidates, and give the one most probable per token.")]
NoRepeatTurn = Annotated[int | None, whole("With --rank: no candidate that has so many tokens in common with an earlier turn.")]
Temperature = Annotated[
    float | None, real("Sampling temperature: below 1 sharpens the distribution, above 1 flattens it.  [default: 1]")
]
TopK = Annotated[int | None, whole("Sample from the k most probable tokens.")]
TopP = Annotated[float | None, real("Sample from the smallest set of tokens with this total probability.")]
Seed = Annotated[int | None, whole("Random seed.  [default: 0]")]
Precision = Annotated[str, word("float32 or bfloat16.", "NAME")]
GuardFile = Annotated[Path | None, word("Check answers by this guard before they are shown.", "FILE")]
GuardMode = Annotated[str | None, word("off, warn or block.  [default: the guard's]", "NAME")]
Policy = Annotated[str | None, word("Policy by topic: a file, or default.  [default: the guard's]", "FILE")]


def console(json: bool = False) -> Console:
    """Where a command speaks: with --json on stderr, so that stdout holds nothing but the answer."""
    from rich.console import Console

    return Console(stderr=json, soft_wrap=True)


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def readable(corpora: list[str]) -> Names:
    """The names of a corpus as a verb takes them, with a file in the place of "-": stdin can be read once, a run reads its
    corpus again later."""
    from gyebo.api.memory import Names
    from gyebo.config.run import DataOptions
    from gyebo.data.prepare import cache_folder
    from gyebo.data.sources import resolve

    def settle(name: str) -> str:
        if name != "-":
            return name
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("stdin (-) can't be read by several processes: save the text in a file")
        return str(resolve(["-"], cache_folder() / "spool", DataOptions(corpus=["-"]))[0].path)

    return Names(settle(name) for name in corpora)


def no_text(name: str, advice: str) -> str:
    """The name of a file; FileNotFoundError with the advice where it reads like a text and no such file is there."""
    if name != "-" and not Path(name).suffix and not set(name) & set("/:*") and not Path(name).exists():
        raise FileNotFoundError(f"{name}: no such file; {advice}")
    return name


def lines_from_stdin() -> list[str]:
    """The lines of a pipe without their ends; ValueError on a terminal, where nothing comes by itself."""
    from gyebo.data.encoding import UTF8, whole_text

    if sys.stdin.isatty():
        raise ValueError("nothing to read: name a file, give --text, or pipe lines into it")
    lines = whole_text(sys.stdin.buffer.read(), "stdin", UTF8).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def named(settings: list[str]) -> list[str]:
    """The fields that --set names."""
    return [setting.partition("=")[0].strip() for setting in settings]


def checked(kind: Any, values: dict[str, Any], settings: list[str]) -> Any:
    """The options of that kind from a command's values and its --set; OptionError names what is wrong as it was typed."""
    from gyebo.config import toml
    from gyebo.config.errors import NAMED, OptionError

    fields = named(settings)
    try:
        return toml.check(kind, toml.override(values, settings))
    except OptionError as error:
        text = NAMED.sub(lambda match: f"--set {match[1]}{match[2]}" if match[1] in fields else match[0], error.text)
        raise OptionError(text) from None
