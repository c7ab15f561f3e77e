"""NLVR (Suhr et al. 2017): pictures of three boxes with items, as parquet files; and as a CORPUS statements about those
training pictures that have no sentence: `nlvr:FOLDER`, or `nlvr:simple,FOLDER`, which say no more than that something is there.

The columns of a file: identifier, permutation, png, boxes (x0, y0, x1, y1 in pixels), box_shape, box_color, box_panel; where it
has sentences also sentence and label.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.data.nlvr_statements import FORMS, PANELS, SIMPLE, STEP, WEIGHTS, Item, pair
from gyebo.data.nlvr_wordings import TOWERS, WORDINGS, are_towers, worded
from gyebo.data.records import CAPTION, FALSE, STRETCH, Record, Region, Text
from gyebo.data.rows import parquet_file
from gyebo.data.source import Source, parquet_rows

KIND = "NLVR statements"
PREFIXES = {"nlvr:simple,": SIMPLE, "nlvr:": tuple(FORMS)}  # of a corpus -> forms of its statements
PICTURES = "train_images.parquet"  # those without sentences
SCORED = ("dev.parquet", "test.parquet")  # whose pictures and sentences must not be learned
STATEMENTS = 12  # true ones of each picture, and as many false ones
COLUMNS = ("identifier", "permutation", "png", "boxes", "box_shape", "box_color", "box_panel")
SAID = ("sentence", "label")


@dataclass(frozen=True)
class Example:
    """A picture of NLVR. `png`: the file. `sentence`, `label`: None where it has none."""

    identifier: str
    permutation: int
    png: bytes
    items: tuple[Item, ...]
    sentence: str | None = None
    label: bool | None = None

    @property
    def regions(self) -> tuple[Region, ...]:
        """The items as regions: the label is the shape."""
        return tuple(
            Region(tuple(map(float, item.box)), item.shape, {"colour": item.colour, "size": item.size})  # type: ignore[arg-type]
            for item in self.items
        )

    @property
    def content(self) -> frozenset[tuple[int, Any]]:
        """What is equal for equal pictures, in whichever order their boxes stand."""
        panels = [
            frozenset((x0 - STEP * panel, y0, x1 - STEP * panel, y1, item.shape, item.colour)
                      for item in self.items if item.panel == panel for x0, y0, x1, y1 in [item.box])
            for panel in range(PANELS)
        ]  # fmt: skip
        return frozenset((panels.count(panel), panel) for panel in panels)


def examples(path: Path) -> Iterator[Example]:
    """The rows of a file in order. ValueError names a column that is missing."""
    names = parquet_file(path).schema_arrow.names
    if lacking := next((name for name in COLUMNS if name not in names), None):
        raise ValueError(f"{path}: no column {lacking!r}; available: {', '.join(names)}")
    for number, row in parquet_rows(Source(KIND, path), [*COLUMNS, *(name for name in SAID if name in names)]):
        sizes = {len(row[name]) for name in ("boxes", "box_shape", "box_color", "box_panel")}
        if len(sizes) > 1:
            raise ValueError(f"{path}: row {number}: boxes, box_shape, box_color and box_panel differ in length")
        items = tuple(
            Item((int(b[0]), int(b[1]), int(b[2]), int(b[3])), shape, colour, int(panel))
            for b, shape, colour, panel in zip(row["boxes"], row["box_shape"], row["box_color"], row["box_panel"])
        )
        yield Example(row["identifier"], int(row["permutation"]), row["png"], items, row.get("sentence"), row.get("label"))


def prefix_of(name: str) -> str:
    """What a corpus of statements begins with, before its folder; "" of any other."""
    return next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")


def source(corpus: str) -> Source:
    """The source of a corpus of statements; FileNotFoundError where the folder lacks a file."""
    prefix = prefix_of(corpus)
    folder = Path(corpus.removeprefix(prefix))
    for name in (PICTURES, *SCORED):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{corpus}: {folder / name} is missing: statements are made about {PICTURES}, without what "
                                    f"{' and '.join(SCORED)} hold")  # fmt: skip
    return Source(KIND, folder / PICTURES, settings=PREFIXES[prefix])


def grammar(forms: Sequence[str]) -> str:
    """What is said about pictures, besides their items: statements of other forms, or other numbers of them, are another
    corpus."""
    return f"{STATEMENTS} {WORDINGS} {TOWERS} " + ", ".join(f"{form} {WEIGHTS.get(form, 1)}" for form in forms)


def files(source: Source) -> list[Path]:
    """The files that decide what a source holds."""
    assert source.path is not None
    return [source.path, *(source.path.parent / name for name in SCORED)]


def records(source: Source) -> Iterator[Record]:
    """Pictures without sentences, each with true statements (captions) and as many false ones: each statement is true of one
    picture of two that stand together, and false of the other. Left out are pictures that are equal to a scored one, in
    whichever order of the boxes, pictures without items or a partner that they can be told from, and sentences of the scored
    examples."""
    assert source.path is not None
    scored = [example for path in files(source)[1:] for example in examples(path)]
    pictures = {example.content for example in scored}
    sentences = {key(example.sentence) for example in scored if example.sentence}
    waiting: tuple[int, Example] | None = None
    for number, example in enumerate(examples(source.path)):
        if not example.items or example.content in pictures:
            continue
        if waiting is None or waiting[1].content == example.content:
            waiting = number, example
            continue
        told = _told_apart(waiting[1], example, sentences, source.settings)
        for (row, each), kinds in ((waiting, (CAPTION, FALSE)), ((number, example), (FALSE, CAPTION))):
            texts = tuple(Text(text, kind) for pair in told for text, kind in zip(pair, kinds))
            if texts:
                yield Record(f"{source.path}: row {row}", each.png, texts, each.regions, STRETCH)
        waiting = None


def _told_apart(first: Example, second: Example, without: set[str], forms: Sequence[str]) -> list[tuple[str, str]]:
    """Statements of these forms that are true of the first picture alone, each with one that is true of the second alone."""
    rng = random.Random(f"gyebo nlvr {first.identifier} {first.permutation} {second.identifier} {second.permutation}")
    found: list[tuple[str, str]] = []
    towers = are_towers(first.items) and are_towers(second.items)
    for _ in range(2 * STATEMENTS):
        statements = pair(first.items, second.items, rng, forms)
        if statements is None:
            break
        texts = worded(statements[0].text, rng, towers=towers), worded(statements[1].text, rng, towers=towers)
        if texts not in found and not {key(text) for text in texts} & without:
            found.append(texts)
        if len(found) == STATEMENTS:
            break
    return found


def key(sentence: str) -> str:
    """A sentence without what does not change it: case, punctuation, space."""
    return "".join(c for c in sentence.casefold() if c.isalnum())
