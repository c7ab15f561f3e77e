"""What a task is: its examples, where its data are, how it is scored. No torch.

The prediction for one example of each kind, everywhere in gyebo:

| kind | prediction of one example |
| --- | --- |
| classification | the class name, or a mapping class name -> probability (the largest one is the class) |
| multi-label | the class names, or a mapping class name -> probability (those of at least one half hold) |
| regression | a number; None: a text that is none |
| tagging | one tag per character of `text`, as in `Example.tags` |
| spans | the answer as text, "" for none |
| choice | the index of the option; None: a text that names none |
| dependency | (heads, relations), one of each per word; -1 and "": a text that has none |
| dialogue-state | the state as strings "domain-slot-value" |
| translation | the sentence in the other language |
| summary | the summary |
| dialogue | a `Response`: what was written, and how likely the right response was |

It does not depend on whether a head or a written text gives it. What was written and is no answer is wrong by every metric: a
class that the task has not, an entity of the type `INVALID`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gyebo.config.errors import OptionError, marked, plain
from gyebo.data.encoding import UTF8, Reading
from gyebo.data.json_rows import Row
from gyebo.data.records import Record
from gyebo.data.values import ABSENT, available, find, shortened, written
from gyebo.data.values import plain as plain_name

INVALID = "invalid"
"""The type of an entity, and in metrics the class, of what a model wrote that is no answer."""
LIKELY = 0.5
Pattern = str | tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """One example of any kind of task; fields that its kind does not use keep their defaults.

    `label` None: not known (a test set without labels). All offsets count characters.
    """

    id: str
    # the first text; spans: the context; choice: the prompt; dialogue, dialogue-state: the turns so far, one
    # per line; translation, summary: the source
    text: str = ""
    pair: str | None = None  # the second text; spans: the question
    # class name, score, or the number of the right option; translation, summary: the target; dialogue: the response;
    # dialogue-state: the state as text
    label: str | float | None = None
    # multi-label: those that hold, of any number; None: not known. Not in the repr, of which runs store a digest (`splits.py`)
    classes: tuple[str, ...] | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()  # tagging: one BIO tag per character of `text`
    # spans: (first character, text), none = there is no answer; relations (classification): the subject and the object
    answers: tuple[tuple[int, str], ...] = ()
    options: tuple[str, ...] = ()  # choice
    words: tuple[str, ...] = ()  # dependency; the next three have an entry for each word
    heads: tuple[int, ...] = ()  # number of its head, counted from 1; 0 = root
    relations: tuple[str, ...] = ()  # relation to its head
    pos: tuple[str, ...] = ()  # its parts of speech, joined by "+"
    state: tuple[str, ...] = ()  # dialogue-state: "domain-slot-value" after the last turn
    group: str = field(default="", repr=False)  # examples of one group share a split; "": those of one text do
    # what the text is about: its file or what draws it, and its regions; `texts` of a record that stands here is empty
    picture: Record | None = field(default=None, repr=False)


class MissingColumn(ValueError):
    """A column or key that the task needs, by any of the `names`, is not in the file, so none of its rows can be used."""

    def __init__(self, text: str, names: Sequence[str] = ()):
        super().__init__(text)
        self.names = tuple(names)


class Refused(ValueError):
    """A row that must not be skipped in any split."""


class Columns:
    """Reads an `Example` from a row with texts and a label in separate columns.

    Each column is given by its name, or by several that are tried in turn ("labels.real-label" looks inside a mapping).
    `names`: label code in the file -> class name. `number`: the label is a score; `target`: it is a text.
    """

    def __init__(
        self,
        text: str | tuple[str, ...],
        pair: str | tuple[str, ...] = (),
        label: str | tuple[str, ...] = "label",
        *,
        id: str | tuple[str, ...] = (),
        names: dict[str, str] | None = None,
        number: bool = False,
        target: bool = False,
    ) -> None:
        self.text, self.pair, self.label, self.id = (_tuple(column) for column in (text, pair, label, id))
        self.names = names or {}
        self.number, self.target = number, target

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of the row. Raises `MissingColumn`, or ValueError for an invalid label."""
        yield Example(
            id=written(found) if (found := look(values, self.id)) is not None else where,
            text=text_of(values, self.text),
            pair=text_of(values, self.pair) if self.pair else None,
            label=self._label(values, labelled),
        )

    def _label(self, values: dict[str, Any], labelled: bool) -> str | float | None:
        value = need(values, self.label) if labelled else look(values, self.label)
        if isinstance(value, list | dict):
            raise ValueError(f"{self.label[0]} is a {type(value).__name__}, not one label")
        name = "" if value is None else written(value) if self.target else class_name(value)
        if not name:
            if labelled:
                raise ValueError(f"{self.label[0]} is empty")
            return None
        return number(value, self.label[0]) if self.number else self.names.get(name, name)


@dataclass(frozen=True)
class Hub:
    """A data set of the Hugging Face hub; `splits`: our name of a split -> its name there."""

    dataset: str
    config: str | None = None
    splits: dict[str, str] = field(default_factory=lambda: {"train": "train", "dev": "validation", "test": "test"})


@dataclass(frozen=True)
class Task:
    """A task: `rows` and `convert` read its files, `metrics` score it, the rest are defaults of its fine-tuning.

    `kind`: the name of one of `gyebo.tasks.kinds.table.KINDS`. `labels`: class names in order, for tagging the BIO tags; None:
    those in the training data. `score`: the metric that ranks models. `files`: split -> file names that are tried in turn (glob
    patterns; a tuple is read as one file; .gz and .zst are tried too), in the folder that the user names or in its `folders`.
    `aligned_rows`: reads the files of a tuple line by line in parallel, instead of one after another. `world`: generates a
    split of a task that needs no files. `divided`: example -> its split, of a task all of whose splits are in the same files.
    `entity_markers`: `answers` are entities, around which markers are added. `warmup`:
    share of the steps. `languages`: names of source and target language. `prefix`, `columns`: what a model reads that answers
    by text (`TextTask`); None: the task's name, (): the columns of its files. `needs`: the columns by which a file is known
    to be in the task's own format, where that is no table of texts. `options`: column -> the option that names it, of a user's
    own file. `note`: caveats for reading results.
    """

    name: str
    title: str
    kind: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    score: str
    files: dict[str, tuple[Pattern, ...]] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    rows: Callable[[Path, Reading], Iterator[Row]] | None = None
    aligned_rows: Callable[..., Iterator[Row]] | None = None
    convert: Callable[[dict[str, Any], str, bool], Iterable[Example]] | None = None
    hub: Hub | None = None
    world: Callable[[str], Iterator[Example]] | None = None
    divided: Callable[[Example], str] | None = None
    max_length: int = 128
    lr: float = 5e-5
    batch: int = 32
    epochs: int = 3
    warmup: float = 0.1
    entity_markers: bool = False
    languages: tuple[str, str] | None = None
    prefix: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    needs: frozenset[str] = frozenset()
    options: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.score not in self.metrics:
            raise ValueError(f"{self.name}: score {self.score!r} is none of its metrics: {', '.join(self.metrics)}")

    @property
    def gives_one_class(self) -> bool:
        """Whether a text or a pair, as it is, gets one class: then models of the task can teach one another."""
        return self.kind == "classification" and not self.entity_markers

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the task may have."""
        return ("train", "dev", "test") if self.world else tuple(self.files)

    def read(
        self, path: str | Path, *, labelled: bool = True, problems: list[str] | None = None, reading: Reading = UTF8
    ) -> Iterator[Example]:
        """The examples of a file, in order; `reading`: how its bytes become text.

        `labelled` False: a missing label is None. A row that can't be read is a ValueError with the file and the row, or with
        `problems` it is skipped and reported there; a missing column is always a ValueError.
        """
        if self.rows is None or self.convert is None:
            raise ValueError(f"{self.name} is generated by the built-in world and reads no files (found: {path})")
        return self.examples(self.rows(Path(path), reading), str(path), labelled, problems)

    def examples(self, rows: Iterable[Row], source: str, labelled: bool, problems: list[str] | None) -> Iterator[Example]:
        """As `read`, for rows from any source; error messages start with `source`."""
        assert self.convert is not None
        for where, values in rows:
            try:
                if isinstance(values, str):
                    raise ValueError(values)
                found = list(self.convert(values, where, labelled))
            except MissingColumn as error:
                option = next((self.options[name] for name in error.names if name in self.options), None)
                raise OptionError(f"{source}: {error}" + (f" (‹{option}›=NAME)" if option else "")) from None
            except ValueError as error:
                if problems is None or isinstance(error, Refused):
                    raise OptionError(f"{source}: {where}: {shortened(marked(error))}") from None
                problems.append(plain(f"{where}: {shortened(marked(error))}"))
                continue
            yield from found


def likely_classes(prediction: Mapping[str, float] | Sequence[str]) -> tuple[str, ...]:
    """The classes of a multi-label prediction: those with a probability of at least one half, or those that were written."""
    if isinstance(prediction, Mapping):
        return tuple(name for name, probability in prediction.items() if probability >= LIKELY)
    return tuple(prediction)


def look(values: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of `names` that exists, None where it is missing or there is none."""
    return next((value for name in names if (value := find(values, name)) is not ABSENT), None)


def need(values: dict[str, Any], names: tuple[str, ...]) -> Any:
    """As `look`, but raises `MissingColumn`, with the available columns, where none exists."""
    for name in names:
        if (value := find(values, name)) is not ABSENT:
            return value
    raise MissingColumn(f"no column {' or '.join(map(repr, names))}; available: {available(values)}", names)


def text_of(values: dict[str, Any], names: tuple[str, ...]) -> str:
    """The text in a column, "" where it is empty or missing; ValueError for what is none."""
    value = need(values, names)
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        raise ValueError(f"{names[0]} is a {type(value).__name__}, not a text")
    return written(value)


def class_name(value: Any) -> str:
    """The name of a class, tag or type as it is compared: in NFC, without spaces around it, whole numbers without a point."""
    return plain_name(written(value))


def number(value: Any, name: str) -> float:
    """A finite number, otherwise ValueError."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if found != found or found in (float("inf"), float("-inf")):
        raise ValueError(f"{name} is {value!r}, not a number")
    return found


def _tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
