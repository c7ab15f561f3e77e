"""Parallel text: a sentence and its translation, in two aligned files or in the columns of one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from gyebo.data.encoding import UTF8, Reading
from gyebo.data.opening import PACKED
from gyebo.data.rows import any_rows, lines
from gyebo.tasks.task import Columns, Row, Task

SOURCE, TARGET = "\0source", "\0target"  # column names of two aligned files, which no user's column can have
HUB_COLUMN = "translation"  # column of data sets of the hub that maps languages to sentences
METRICS = ("bleu", "chrf")
_ENDINGS = ("", ".txt")  # after the name of the language: train.en, train.en.txt


def aligned(source: Path, target: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """The lines of two files in parallel. Raises ValueError with both counts if one has more lines than the other."""
    end = object()
    number = 0
    for number, (here, there) in enumerate(zip_longest(lines(source, reading), lines(target, reading), fillvalue=end), 1):
        if here is end or there is end:
            counts = [sum(1 for _ in lines(path, reading)) for path in (source, target)]
            raise ValueError(
                f"{source} has {counts[0]:,} lines, but {target} has {counts[1]:,}: line n of one must be the translation of "
                "line n of the other"
            )
        yield f"line {number}", {SOURCE: here, TARGET: there}
    if not number:
        raise ValueError(f"{source} and {target}: the files are empty")


def language_file(stem: str, language: str) -> Path:
    """The file STEM.LANGUAGE, also with .txt and compressed. Raises FileNotFoundError where there is none."""
    for ending in _ENDINGS:
        for packed in PACKED:
            path = Path(f"{stem}.{language}{ending}{packed}")
            if path.is_file():
                return path
    there = sorted(path.name for path in Path(stem).parent.glob(f"{Path(stem).name}.*"))[:6]
    raise FileNotFoundError(
        f"{stem}.{language}: no such file (also looked for with .txt{', '.join(PACKED)}); "
        f"available: {', '.join(there) or 'nothing'}"
    )


def files_of(stem: str, languages: tuple[str, str]) -> tuple[Path, Path]:
    """The two aligned files STEM.SOURCE and STEM.TARGET. Raises FileNotFoundError."""
    source, target = (language_file(stem, language) for language in languages)
    return source, target


def translation_task(source: str, target: str) -> Task:
    """The task of translating from one language (or column) to another, on a user's own text."""
    return Task(
        name="translation",
        title=f"translation from {source} to {target} on your own text",
        kind="translation",
        labels=None,
        metrics=METRICS,
        score=METRICS[0],
        rows=any_rows,
        aligned_rows=aligned,
        convert=Columns(
            (source, f"{HUB_COLUMN}.{source}", SOURCE), label=(target, f"{HUB_COLUMN}.{target}", TARGET), target=True
        ),
        languages=(source, target),
        prefix="",
        epochs=30,
    )
