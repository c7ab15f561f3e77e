"""Files of region features: what a detector found in pictures, stored once.

    .tsv       as LXMERT has them: img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes,
               features, without a header; from objects_id to attrs_conf and the last two in base64, ids as numbers of 8
               bytes, the others of 4
    .npz       arrays over all pictures: names [P], counts [P], boxes [M, 4], features [M, F]; optional labels, confidences,
               attributes, attribute_confidences [M] and sizes [P, 2] (width and height, of boxes in pixels)
    .parquet   a row for each picture: name, boxes, features, optional labels, confidences, attributes, attribute_confidences,
               width and height

Boxes are in pixels where the file says how large the pictures are, otherwise in shares of width and height.

P pictures, n regions of a picture, M of all, F size of a feature.
"""

from __future__ import annotations

import base64
import binascii
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.boxes import Boxes, check_boxes, in_shares

TSV = "img_id img_h img_w objects_id objects_conf attrs_id attrs_conf num_boxes boxes features".split()
_BASE64 = {
    "objects_id": "<i8",
    "objects_conf": "<f4",
    "attrs_id": "<i8",
    "attrs_conf": "<f4",
    "boxes": "<f4",
    "features": "<f4",
}
VISUAL_GENOME = (1600, 400)  # labels and attributes of the detector whose features LXMERT has
OPTIONAL = ("labels", "confidences", "attributes", "attribute_confidences")


@dataclass(frozen=True)
class Detected:
    """What a file says of the regions of a picture. `boxes` [n, 4] in shares, `features` [n, F]; `labels`, `attributes` [n]
    with
    their `confidences`, `attribute_confidences` [n]; None where the file does not say."""

    boxes: Boxes
    features: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    confidences: NDArray[np.float32] | None = None
    attributes: NDArray[np.int64] | None = None
    attribute_confidences: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class RegionFile:
    """A file of features. `places`: name of a picture -> where it stands; `feature_size`: F; `classes`: how many labels and how
    many attributes there are, 0 where the file has none."""

    path: Path
    places: Mapping[str, int]
    feature_size: int
    classes: tuple[int, int]
    _read: Callable[[int, str], Detected]

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def read(self, name: str) -> Detected:
        """The regions of a picture. ValueError naming it where the file has none, or has features of another size."""
        if name not in self.places:
            raise ValueError(f"{self.path}: no features of the picture {name!r}")
        where = f"{self.path}: picture {name!r}"
        found = self._read(self.places[name], where)
        if found.features.shape[1] != self.feature_size:
            raise ValueError(
                f"{where} has features of {found.features.shape[1]} numbers, but the first one of the file has "
                f"{self.feature_size}"
            )
        for name, values, count in zip(("labels", "attributes"), (found.labels, found.attributes), self.classes):
            if values is not None and not ((values >= 0) & (values < count)).all():
                raise ValueError(f"{where}: {name} must be from 0 to {count - 1}, but are {values.min()} to {values.max()}")
        return found


@dataclass(frozen=True)
class GivenRegions:
    """The regions of one picture as a file of features has them: what stands for the picture, which need not be there."""

    file: RegionFile
    name: str

    def read(self) -> Detected:
        """As `RegionFile.read`."""
        return self.file.read(self.name)


def open_regions(path: str | Path) -> RegionFile:
    """A file of features, by the end of its name; ValueError or FileNotFoundError naming it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of region features")
    opening = _OPENING.get(path.suffix)
    if opening is None:
        raise ValueError(f"{path}: region features are read from {', '.join(_OPENING)}")
    return opening(path)


def _opened(
    path: Path,
    names: list[str],
    read: Callable[[int, str], Detected],
    classes: tuple[int, int],
    places: list[int] | None = None,
) -> RegionFile:
    if not names:
        raise ValueError(f"{path}: no picture in it")
    found = dict(zip(names, places or range(len(names))))
    if len(found) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise ValueError(f"{path}: the picture {twice!r} stands in it twice")
    first = read(found[names[0]], f"{path}: picture {names[0]!r}")
    return RegionFile(path, found, first.features.shape[1], classes, read)


def _detected(where: str, boxes: Any, features: Any, size: tuple[float, float] | None, extra: Mapping[str, Any]) -> Detected:
    """The arrays of a picture, checked against each other."""
    boxes, features = np.asarray(boxes), np.asarray(features, np.float32)
    if features.ndim != 2 or len(features) != len(boxes):
        raise ValueError(f"{where}: {len(boxes)} boxes, but features are {list(features.shape)}: [boxes, numbers] is needed")
    if not np.isfinite(features).all():
        raise ValueError(f"{where}: a feature is not a finite number")
    if size is None:
        check_boxes(boxes, where)
        boxes = boxes.astype(np.float32)
    else:
        boxes = in_shares(boxes, *size, where)
    arrays = {name: np.asarray(extra[name]) for name in OPTIONAL if extra.get(name) is not None}
    for name, array in arrays.items():
        if array.shape != (len(boxes),):
            raise ValueError(f"{where}: {name} are {list(array.shape)}, but there are {len(boxes)} boxes")
    kinds = {name: "float32" if name.endswith("confidences") else "int64" for name in arrays}
    return Detected(boxes, features, **{name: array.astype(kinds[name]) for name, array in arrays.items()})


# ---- LXMERT's tab-separated values


def _open_tsv(path: Path) -> RegionFile:
    """Where each line begins; lines are decoded when they are read, as such a file may be larger than the memory."""
    names, places, offset = [], [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name, tab, _ = line.partition(b"\t")
                if not tab:
                    raise ValueError(f"{path}, line {number}: no tab in it, {len(TSV)} columns are needed ({', '.join(TSV)})")
                names.append(name.decode("utf-8"))
                places.append(offset)
            offset += len(line)
    return _opened(path, names, partial(_read_tsv, path), VISUAL_GENOME, places)


def _read_tsv(path: Path, offset: int, where: str) -> Detected:
    with path.open("rb") as file:
        file.seek(offset)
        cells = file.readline().decode("ascii", "replace").rstrip("\r\n").split("\t")
    if len(cells) != len(TSV):
        raise ValueError(f"{where} has {len(cells)} columns instead of {len(TSV)} ({', '.join(TSV)})")
    row = dict(zip(TSV, cells))
    try:
        height, width, count = (int(row[name]) for name in ("img_h", "img_w", "num_boxes"))
        arrays = {name: np.frombuffer(base64.b64decode(row[name], validate=True), kind) for name, kind in _BASE64.items()}
    except (ValueError, binascii.Error) as error:
        raise ValueError(f"{where}: not LXMERT's columns ({error})") from error
    wrong = [name for name, array in arrays.items() if array.size != count * {"boxes": 4}.get(name, 1) and name != "features"]
    if wrong or count < 1 or arrays["features"].size % count:
        name = wrong[0] if wrong else "features"
        raise ValueError(f"{where}: {name} has {arrays[name].size} numbers, which do not fit to num_boxes = {count}")
    names = zip(OPTIONAL, ("objects_id", "objects_conf", "attrs_id", "attrs_conf"))
    extra = {ours: arrays[theirs] for ours, theirs in names}
    boxes, features = arrays["boxes"].reshape(count, 4), arrays["features"].reshape(count, -1)
    return _detected(where, boxes, features, (width, height), extra)


# ---- NumPy


def _open_npz(path: Path) -> RegionFile:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a file of NumPy arrays ({error})") from error
    needed = ("names", "counts", "boxes", "features")
    if missing := [name for name in needed if name not in arrays]:
        raise ValueError(f"{path}: no array {missing[0]!r}; it needs {', '.join(needed)}")
    if unknown := sorted(arrays.keys() - {*needed, *OPTIONAL, "sizes"}):
        raise ValueError(f"{path}: unknown array {unknown[0]!r}; it may have {', '.join((*needed, *OPTIONAL, 'sizes'))}")
    names, counts = [str(name) for name in arrays["names"]], arrays["counts"].astype(np.int64)
    starts = np.concatenate([[0], counts.cumsum()])
    for name in ("counts", "sizes"):
        if name in arrays and len(arrays[name]) != len(names):
            raise ValueError(f"{path}: {len(names)} names, but {len(arrays[name])} {name}")
    for name in ("boxes", "features", *OPTIONAL):
        if name in arrays and len(arrays[name]) != starts[-1]:
            raise ValueError(f"{path}: counts add up to {starts[-1]} regions, but there are {len(arrays[name])} {name}")

    def read(number: int, where: str) -> Detected:
        part = slice(starts[number], starts[number + 1])
        size = (float(arrays["sizes"][number][0]), float(arrays["sizes"][number][1])) if "sizes" in arrays else None
        extra = {name: arrays[name][part] for name in OPTIONAL if name in arrays}
        return _detected(where, arrays["boxes"][part], arrays["features"][part], size, extra)

    found = (arrays.get(name, np.zeros(0)) for name in ("labels", "attributes"))
    labels, attributes = (int(values.max()) + 1 if len(values) else 0 for values in found)
    return _opened(path, names, read, (labels, attributes))


# ---- parquet


def _open_parquet(path: Path) -> RegionFile:
    try:
        import pyarrow
        from pyarrow import compute, parquet
    except ImportError as error:
        raise ValueError(f"{path}: parquet needs pyarrow: pip install 'gyebo[data]'") from error
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a parquet file ({error})") from error
    needed = ("name", "boxes", "features")
    if missing := [name for name in needed if name not in table.column_names]:
        raise ValueError(f"{path}: no column {missing[0]!r}; it needs {', '.join(needed)}")
    sized = {"width", "height"} & set(table.column_names)
    if len(sized) == 1:
        raise ValueError(f"{path}: a column {next(iter(sized))!r}, but not the other of width and height")

    def read(number: int, where: str) -> Detected:
        row = {name: table[name][number].as_py() for name in table.column_names if name != "name"}
        try:
            boxes = np.array(row["boxes"], np.float64).reshape(-1, 4)
            features = np.array(row["features"], np.float32)
            features = features.reshape(len(boxes), -1) if len(boxes) else np.zeros((0, 1), np.float32)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: boxes and features must be lists of numbers of one length ({error})") from error
        size = (float(row["width"]), float(row["height"])) if sized else None
        return _detected(where, boxes, features, size, {name: row[name] for name in OPTIONAL if name in row})

    largest = [
        compute.max(compute.list_flatten(table[name])).as_py() if name in table.column_names else None
        for name in ("labels", "attributes")
    ]
    labels, attributes = (0 if value is None else int(value) + 1 for value in largest)
    return _opened(path, [str(name) for name in table["name"].to_pylist()], read, (labels, attributes))


_OPENING: dict[str, Callable[[Path], RegionFile]] = {".tsv": _open_tsv, ".npz": _open_npz, ".parquet": _open_parquet}
