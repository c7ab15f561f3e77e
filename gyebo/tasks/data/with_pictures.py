"""Examples with pictures: NLVR, the pictures of the built-in world, and a user's own table that names image files.

NLVR (Suhr et al. 2017): a sentence is true or false of a picture of three boxes with items. The items are the regions; in which
of the three an item is, its coordinates tell, as the boxes stand at fixed places. An example comes in up to six orders of its
boxes, which are one group, so that no split parts them.

The world: the test set shows combinations of a thing and a colour or shape that no other picture shows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gyebo.data import nlvr
from gyebo.data.encoding import UTF8, Reading
from gyebo.data.picture_sources import picture_of, regions_of
from gyebo.data.records import CAPTION, FALSE, QUESTION, STRETCH, Record
from gyebo.data.region_files import GivenRegions, RegionFile, open_regions
from gyebo.data.rows import any_rows
from gyebo.data.values import ABSENT, find
from gyebo.data.world_pictures import drawn
from gyebo.tasks.task import Columns, Example, MissingColumn, Row, Task, need
from gyebo.world.pictures import Picture, answers, pictures

KIND = "visual-classification"
HOLDS = ("false", "true")  # class names
METRICS = ("accuracy", "macro_f1")
RECORD = "the picture of the row"  # the key under which a row has it


# ---- NLVR


def nlvr_rows(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """The examples of a file of NLVR; errors as of `gyebo.data.nlvr.examples`."""
    for number, found in enumerate(nlvr.examples(path), 1):
        where = f"row {number}"
        yield where, {"example": found, RECORD: Record(f"{path}: {where}", found.png, (), found.regions, STRETCH)}


def nlvr_example(values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
    """The example of a row; `MissingColumn` where the file has no sentences, or no labels that are needed."""
    found: nlvr.Example = values["example"]
    if found.sentence is None or (labelled and found.label is None):
        raise MissingColumn(f"no column {'sentence' if found.sentence is None else 'label'!r}: it has pictures alone")
    yield Example(
        id=f"{found.identifier}-{found.permutation}",
        text=found.sentence,
        label=None if found.label is None else HOLDS[found.label],
        group=found.identifier,
        picture=values[RECORD],
    )


# ---- the world

# Seed of a split, its first picture, whether it shows what is held out; and how many examples it has.
_DRAWS = {"train": (21, 0, False), "dev": (22, 1_000_000, False), "test": (23, 2_000_000, True)}
SIZES = {"train": 4000, "dev": 500, "test": 1000}
LANGUAGES = ("ko", "en")


def world_examples(tell: Callable[[Picture, str, random.Random], Iterator[tuple[str, str]]], split: str) -> Iterator[Example]:
    """The examples of a split: for each picture what `tell` gives in one of the two languages, (text, label). ValueError for an
    unknown split."""
    if split not in _DRAWS:
        raise ValueError(f"unknown split {split!r}; available: {', '.join(_DRAWS)}")
    seed, start, unseen = _DRAWS[split]
    count = 0
    for index in range(start, start + SIZES[split]):
        language = LANGUAGES[index % 2]
        (picture,) = pictures(1, seed=seed, start=index, languages=(language,), unseen=unseen)
        name = f"{split}-{index}"
        record = drawn(picture, f"picture {name}")
        for text, label in tell(picture, language, random.Random(f"gyebo task {seed} {index}")):
            yield Example(f"{name}-{label}" if tell is statements else name, text, label=label, group=name, picture=record)
            count += 1
            if count == SIZES[split]:
                return


def statements(picture: Picture, language: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """A true and a false statement about a picture, both of either length; none where nothing false could be said."""
    said = [text for text in picture.texts if text.language == language]
    true, false = ([text.text for text in said if text.kind == kind] for kind in (CAPTION, FALSE))
    if false:
        yield rng.choice(true), HOLDS[1]
        yield false[0], HOLDS[0]


def question(picture: Picture, language: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """A question about a picture and its answer."""
    for text in picture.texts:
        if text.language == language and text.kind == QUESTION:
            assert text.answer is not None
            yield text.text, text.answer


# ---- a user's own table


def rows_with(column: str, features: str | None = None) -> Callable[[Path, Reading], Iterator[Row]]:
    """A reader of tables of any format, whose rows have their picture: `column` names its file, relative to the table, or holds
    its bytes (parquet). `features`: a file with what a detector found in the pictures of these names, which need not be there.
    ValueError or FileNotFoundError, naming the row, for one that is missing."""

    def rows(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
        file = open_regions(features) if features else None
        for where, values in any_rows(path, reading):
            if isinstance(values, dict) and (value := find(values, column)) is not ABSENT:
                place = f"{path}: {where}"
                record = _described(value, column, place, file) if file else _record(values, column, path, where)
                values = {**values, RECORD: record}
            yield where, values

    return rows


def _described(value: Any, column: str, place: str, file: RegionFile) -> Record:
    """The picture of a row by its name in a file of features, with or without folder and ending."""
    name = value.get("path") if isinstance(value, dict) else value
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{place}: {column} names no picture, which {file.path} could describe")
    found = next((known for known in (name, Path(name).name, Path(name).stem) if known in file), name)
    return Record(place, GivenRegions(file, found), ())


def _record(values: dict[str, Any], column: str, path: Path, where: str) -> Record:
    """The picture of a row, and its regions where it is no table of words alone: a list of `objects`, as in captions files."""
    place, value = f"{path}: {where}", find(values, column)
    if isinstance(value, str) and value.strip():
        value = {"path": value}
    if value and not isinstance(value, bytes | dict):
        raise ValueError(f"{place}: {column} holds {type(value).__name__}, neither the name of an image file nor its bytes")
    picture = picture_of(value, path, place)
    objects = values.get("objects")
    regions = regions_of({"objects": [_given(entry) for entry in objects]}, place) if isinstance(objects, list) else ()
    return Record(place, picture, (), regions)


def _given(entry: Any) -> Any:
    """An object without what parquet fills in where a row has no value."""
    return {name: value for name, value in entry.items() if value is not None} if isinstance(entry, dict) else entry


class WithPicture(Columns):
    """Reads an example with a picture from a row of `rows_with`. Examples of one picture are a group."""

    def __init__(self, image: str, text: str, label: str) -> None:
        super().__init__(text, label=label, id=("id", "guid"))
        self.image = image

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of the row; errors as of `Columns`."""
        value = need(values, (self.image,))
        for example in super().__call__(values, where, labelled):
            name = value.get("path") if isinstance(value, dict) else value
            yield replace(example, picture=values[RECORD], group=name if isinstance(name, str) else example.id)


def own_task(
    text: str | None, pair: str | None, label: str | None, image: str | None = None, features: str | None = None
) -> Task:
    """The task on a user's own file; each argument is the name of a column, None for the default; `features` that of a file
    with the regions of its pictures. ValueError for `pair`."""
    if pair:
        raise ValueError(f"{KIND} has one text: leave the second column out")
    columns = image or "image", text or "text", label or "label"
    return Task(
        name=KIND,
        title=f"{KIND} on your own data",
        kind=KIND,
        labels=None,
        metrics=METRICS,
        score=METRICS[0],
        rows=rows_with(columns[0], features),
        convert=WithPicture(*columns),
    )


_registered = partial(Task, kind=KIND, metrics=("accuracy",), score="accuracy")
TASKS = (
    _registered(
        name="nlvr",
        title="NLVR: is the sentence true of the picture of three boxes?",
        labels=HOLDS,
        files={split: (f"{split}.parquet",) for split in ("train", "dev", "test")},
        folders=("nlvr*",),
        rows=nlvr_rows,
        convert=nlvr_example,
        needs=frozenset(nlvr.COLUMNS),
        max_length=64,
        epochs=4,
        note="published figures are for 12,410 training examples; always answering true gives 0.553 on dev, 0.562 on test",
    ),
    _registered(
        name="world-statements",
        title="The world: is the statement true of the picture? Tested on combinations never seen",
        labels=HOLDS,
        world=partial(world_examples, statements),
        max_length=64,
        lr=2e-4,
        epochs=5,
    ),
    _registered(
        name="world-picture-questions",
        title="The world: the answer to a question about a picture. Tested on combinations never seen",
        labels=answers(),
        world=partial(world_examples, question),
        max_length=64,
        lr=2e-4,
        epochs=5,
    ),
)
