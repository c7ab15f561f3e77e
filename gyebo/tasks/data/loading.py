"""A task's examples from a folder, a file, the hub or the embedded world, checked, with a line for everything left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gyebo.data.sources import HUB as DATA_SET
from gyebo.data.sources import PACKED, hub_name
from gyebo.tasks.data.checks import Loaded, _are, _rows, checked
from gyebo.tasks.data.parallel import files_of
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.task import Example, Pattern, Row, Task

HUB = "hub"


def find_files(task: Task, folder: str | Path) -> dict[str, tuple[Path, ...]]:
    """The files of each split that the folder holds: in itself, or in a folder below it that is called like the task.

    Raises FileNotFoundError where the folder has none of them, with the names looked for and those found; ValueError where
    a pattern fits several files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; {task.name} needs one with {_names(task)}")
    below = [path for name in task.folders for path in sorted(folder.glob(name)) if path.is_dir()]
    found: dict[str, tuple[Path, ...]] = {}
    for split, patterns in task.files.items():
        for place in (folder, *below):
            matches = (_match(place, pattern) for pattern in patterns)
            if paths := next(filter(None, matches), None):
                found[split] = paths
                break
    if not found:
        there = sorted(path.name for path in folder.iterdir())
        listed = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "")
        raise FileNotFoundError(f"{folder}: no file of {task.name}: looked for {_names(task)}; there is: {listed or 'nothing'}")
    return found


def _match(folder: Path, pattern: Pattern) -> tuple[Path, ...]:
    """The files that a pattern stands for, () where (one of) them is missing."""
    paths = []
    for part in (pattern,) if isinstance(pattern, str) else pattern:
        for packed in PACKED:
            hits = sorted(path for path in folder.glob(part + packed) if path.is_file())
            if len(hits) > 1:
                names = " and ".join(path.name for path in hits)
                raise ValueError(f"{folder}: {names} all fit {part}{packed}: keep one, or name a file")
            if hits:
                paths.append(hits[0])
                break
        else:
            return ()
    return tuple(paths)


def _names(task: Task, split: str | None = None) -> str:
    """The file names of a split (of all), for an error line."""
    patterns = task.files.get(split, ()) if split else [p for group in task.files.values() for p in group]
    names = [" + ".join(p) if isinstance(p, tuple) else p for p in patterns]
    return f"{', '.join(dict.fromkeys(names)) or 'no file'} (also .gz, .zst)"


def load(task: Task, split: str = "train", source: str | Path | None = None) -> Loaded:
    """A split of a task, checked (see `checked`).

    `source`: a folder (see `find_files`), a file, of a translation the STEM of two (STEM.en and STEM.de), "hub", for a task on
    one's own data hf:OWNER/NAME[/CONFIG][:SPLIT], or None for a task of the embedded world. Training examples that can't be
    used are left out and counted in the notes; in other splits they are errors, since every example counts. Raises
    FileNotFoundError for a split that is not there, ValueError for one that the task does not have, for a source without
    effect, and for what is wrong in a file.
    """
    if task.world is not None:
        if source is not None:
            raise ValueError(f"{task.name} is made by the embedded world and takes no data (found: {source})")
        return checked(task, list(task.world(split)), split, f"{task.name} ({split})")
    or_hub = ", or hub" if task.hub else ""
    if source is None:
        raise ValueError(f"{task.name}: say where its data are: a folder with {_names(task)}{or_hub}")
    if str(source) == HUB:
        return from_hub(task, split)
    if str(source).startswith(DATA_SET):
        if task.files:
            raise ValueError(f"{task.name} has data of its own form, not {source}: name its folder{or_hub}")
        return _own_from_hub(task, split, str(source))
    if task.languages and not Path(source).exists():
        return _from_files(task, split, files_of(str(source), task.languages))
    if Path(source).is_dir():
        _known(task, split)
        files = find_files(task, source)
        if split not in files:
            has = ", ".join(f"{name} ({paths[0].name})" for name, paths in files.items())
            raise FileNotFoundError(f"{source}: no {split} file of {task.name}: looked for {_names(task, split)}; found: {has}")
        return _from_files(task, split, files[split])
    return _from_files(task, split, (Path(source),))


def _known(task: Task, split: str) -> None:
    if split not in task.splits:
        raise ValueError(f"{task.name} has no split {split!r}; there is: {', '.join(task.splits)}")


def _from_files(task: Task, split: str, paths: Sequence[Path]) -> Loaded:
    found: list[Example] = []
    notes: list[str] = []
    together = task.together if len(paths) > 1 else None
    for path in paths[:1] if together else paths:
        problems: list[str] | None = [] if split == "train" else None
        name = " and ".join(map(str, paths)) if together else str(path)
        if together:
            found += task.examples(together(*paths), name, _labelled(task, split), problems)
        else:
            found += task.read(path, labelled=_labelled(task, split), problems=problems)
        notes += _counted(problems, f"{name}: ")
    return checked(task, found, split, ", ".join(map(str, paths)), notes)


def _labelled(task: Task, split: str) -> bool:
    """Whether every row of a split must have an answer: a test set of most kinds may be published without."""
    return find_kind(task.kind).always_answered or not split.startswith("test")


def _counted(problems: list[str] | None, source: str) -> list[str]:
    if not problems:
        return []
    return [f"{source}{_rows(len(problems))} can't be used and {_are(len(problems))} left out, the first: {problems[0]}"]


# the hub --------------------------------------------------------------------------------------------------------------


def from_hub(task: Task, split: str = "train") -> Loaded:
    """A split of a task from the Hugging Face hub, through `datasets` (extra `data`) and its cache.

    Raises ValueError, one line, where the extra is missing, the task is not on the hub, or the hub can't be reached.
    """
    if task.hub is None:
        raise ValueError(f"{task.name} is not read from the hub; name a folder with {_names(task)}")
    if split not in task.hub.splits:
        raise ValueError(f"{task.name} has no split {split!r} on the hub; there is: {', '.join(task.hub.splits)}")
    name = "/".join(filter(None, (task.hub.dataset, task.hub.config)))
    where = f"name a folder with {_names(task, split)}"
    rows = _hub_rows(_hub_data(task, task.hub.dataset, task.hub.config, task.hub.splits[split], where))
    return _from_rows(task, split, rows, name, f"{name} ({split})")


def _own_from_hub(task: Task, split: str, source: str) -> Loaded:
    """A data set of the hub as a user's own rows, whatever its split is called."""
    name, config, part = hub_name(source)
    rows = _hub_rows(_hub_data(task, name, config, part or "train", "name a file"))
    return _from_rows(task, split, rows, source, source)


def _from_rows(task: Task, split: str, rows: Iterator[Row], name: str, source: str) -> Loaded:
    problems: list[str] | None = [] if split == "train" else None
    found = list(task.examples(rows, name, _labelled(task, split), problems))
    return checked(task, found, split, source, _counted(problems, f"{name}: "))


def _hub_data(task: Task, dataset: str, config: str | None, split: str, instead: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ValueError(f'{task.name}: reading from the hub needs the extra "data": pip install "gyebo[data]"') from None
    try:
        return datasets.load_dataset(dataset, config, split=split)
    except (OSError, ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()[:1]
        raise ValueError(
            f"{task.name}: {'/'.join(filter(None, (dataset, config)))} can't be read from the hub ({type(error).__name__}: "
            f"{''.join(said)}); without a network, {instead}"
        ) from None


def _hub_rows(data: Any) -> Iterator[Row]:
    """Rows with the names of classes instead of their numbers; -1 (not published) becomes None."""
    decoders = {name: decode for name, feature in data.features.items() if (decode := _decoder(feature))}
    for number, row in enumerate(data, 1):
        yield f"row {number}", {name: decoders[name](value) if name in decoders else value for name, value in row.items()}


def _decoder(feature: Any) -> Callable[[Any], Any] | None:
    """Numbers of classes to names, also in lists; None for a feature that has none."""
    if hasattr(feature, "int2str"):
        return lambda value: None if value is None or value == -1 else feature.int2str(value)
    inner = getattr(feature, "feature", None)
    decode = _decoder(inner) if inner is not None and not isinstance(inner, dict) else None
    return (lambda values: [decode(value) for value in values]) if decode else None


# checks ---------------------------------------------------------------------------------------------------------------
