"""The pictures of a split: memory-mapped pixels, which document belongs to which, and regions with their labels.

Beside the files of a part (`gyebo/data/shards.py`), for a corpus of pictures:

    parts/00007.train.pixels         uint8 [N, S, S, 3]
    parts/00007.train.texts.npy      one row per document: picture, kind, answer
    parts/00007.train.regions.npy    one row per region: picture, box, label, a number for each attribute
    parts/00007.train.crops          uint8 [M, C, C, 3]: each region, from the picture before it was reduced
    parts/00007.train.names.json     what the numbers of labels, attributes and answers stand for
    parts/00007.train.files.json     what the files of the pictures are called

N pictures, M regions; both files of regions are missing where there are none. A picture's documents and regions stand together,
in the order of the pictures. In the files, pictures and names are numbered within the part; in `Pictures`, within the corpus.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.records import KINDS, Record

TEXT = np.dtype([("picture", "<u4"), ("kind", "u1"), ("answer", "<i4")])
NONE = -1  # number of a label, an attribute's value or an answer that there is not
Names = dict[str, list[str]]  # "labels", "answers" and "attributes.NAME" -> the names in the order of their numbers
LABELS, ANSWERS, ATTRIBUTES = "labels", "answers", "attributes."


def region_dtype(attributes: Sequence[str]) -> np.dtype[Any]:
    """A row of the table of regions."""
    return np.dtype(
        [("picture", "<u4"), ("box", "<f4", (4,)), (LABELS, "<i4"), *((f"{ATTRIBUTES}{name}", "<i4") for name in attributes)]
    )


@dataclass(frozen=True)
class Seen:
    """A record as it is stored: `pixels` [S, S, 3]; `boxes` [n, 4], in shares of these pixels, and `crops` [n, C, C, 3] of its
    regions, whose labels and attributes are those of `record`."""

    record: Record
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    crops: NDArray[np.uint8]


def encoded(seen: Sequence[Seen]) -> dict[str, bytes]:
    """The files of a part, by the end of their names."""
    texts = [(number, text) for number, each in enumerate(seen) for text in each.record.texts]
    regions = [(number, region) for number, each in enumerate(seen) for region in each.record.regions]
    attributes = sorted({name for _, region in regions for name in region.attributes})
    names: Names = {
        ANSWERS: sorted({text.answer for _, text in texts if text.answer is not None}),
        LABELS: sorted({region.label for _, region in regions if region.label}),
        **{
            f"{ATTRIBUTES}{name}": sorted({r.attributes[name] for _, r in regions if name in r.attributes})
            for name in attributes
        },
    }
    number_of = {key: {name: number for number, name in enumerate(values)} for key, values in names.items()}
    rows = [(n, KINDS.index(t.kind), number_of[ANSWERS].get(t.answer or "", NONE)) for n, t in texts]
    files = {
        "pixels": b"".join(each.pixels.tobytes() for each in seen),
        "texts.npy": _saved(np.array(rows, TEXT)),
        "names.json": json.dumps(names, ensure_ascii=False).encode(),
        "files.json": json.dumps([each.record.name for each in seen], ensure_ascii=False).encode(),
    }
    if regions:
        table = np.zeros(len(regions), region_dtype(attributes))
        table["picture"] = [number for number, _ in regions]
        table["box"] = np.concatenate([each.boxes for each in seen])
        table[LABELS] = [number_of[LABELS].get(region.label, NONE) for _, region in regions]
        for name in attributes:
            key = f"{ATTRIBUTES}{name}"
            table[key] = [number_of[key].get(region.attributes.get(name, ""), NONE) for _, region in regions]
        files |= {"regions.npy": _saved(table), "crops": b"".join(each.crops.tobytes() for each in seen)}
    return files


def _saved(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def joined_names(parts: Iterable[Names]) -> Names:
    """The names of all parts, each once, sorted: what the numbers of a corpus stand for."""
    found: dict[str, set[str]] = {ANSWERS: set(), LABELS: set()}
    for names in parts:
        for key, values in names.items():
            found.setdefault(key, set()).update(values)
    return {key: sorted(values) for key, values in sorted(found.items())}


@dataclass(frozen=True)
class Regions:
    """The regions of one picture. `boxes` [n, 4] float32: x0, y0, x1, y1 as shares of width and height; `labels` [n] number
    `Pictures.labels`, and `attributes[NAME]` [n] number `Pictures.attributes[NAME]`, NONE where there is none; `crops`
    [n, C, C, 3] uint8: what is in the boxes."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    attributes: dict[str, NDArray[np.int64]]
    crops: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Pictures:
    """The pictures of a split, numbered from 0 in corpus order. D documents, P pictures.

    size, crop_size: pixels of a side of a picture and of a region's crop. `of` [D]: the picture of each document; `first`
    [P + 1]: the first document of each picture, whose documents stand together; `kinds` [D] number `records.KINDS`; `answers`
    [D] number `answer_names`, NONE where a document is no question. `regions_of` [P + 1]: the first region of each picture.
    """

    folder: Path
    name: str
    parts: tuple[int, ...]
    size: int
    crop_size: int
    of: NDArray[np.int64]
    first: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    answers: NDArray[np.int64]
    regions_of: NDArray[np.int64]
    part_starts: NDArray[np.int64]  # first picture of each part, and one more entry at the end
    region_starts: NDArray[np.int64]  # first region of each part, likewise
    table: NDArray[Any]  # of all regions, with the numbers of the corpus
    answer_names: tuple[str, ...]
    labels: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]
    files: tuple[str, ...] = ()  # names of the pictures' files [P], "" where a picture has none

    @classmethod
    def open(cls, folder: Path, name: str, parts: Sequence[int], facts: dict[str, Any]) -> Pictures:
        """The pictures of a split. `facts`: what meta.json says of them: picture_size, crop_size, names. ValueError names a
        truncated file."""
        names: Names = facts["names"]
        size, crop_size = facts["picture_size"], facts["crop_size"]
        attributes = [key.removeprefix(ATTRIBUTES) for key in names if key.startswith(ATTRIBUTES)]
        texts, tables, counts, files = [], [], list[int](), list[str]()
        for part in parts:
            stem = folder / "parts" / f"{part:05d}.{name}"
            table = np.load(f"{stem}.texts.npy", allow_pickle=False)
            pictures = _held(Path(f"{stem}.pixels"), size)
            regions, path = np.zeros(0, region_dtype(attributes)), Path(f"{stem}.regions.npy")
            own = json.loads(Path(f"{stem}.names.json").read_text(encoding="utf-8"))
            if path.is_file():
                regions = _renumbered(np.load(path, allow_pickle=False), own, names, attributes)
                if _held(Path(f"{stem}.crops"), crop_size) != len(regions):
                    raise ValueError(f"{stem}.crops does not fit to {path.name}: delete {folder} to rebuild")
            table["answer"] = _map(own[ANSWERS], names[ANSWERS])[table["answer"]]
            texts.append((table, sum(counts)))
            tables.append((regions, sum(counts)))
            counts.append(pictures)
            known = Path(f"{stem}.files.json")  # older preparations have none
            files += json.loads(known.read_text(encoding="utf-8")) if known.is_file() else [""] * pictures
        total = sum(counts)
        of = _concatenated([table["picture"].astype(np.int64) + before for table, before in texts])
        region_of = _concatenated([table["picture"].astype(np.int64) + before for table, before in tables])
        return cls(
            folder,
            name,
            tuple(parts),
            size,
            crop_size,
            of=of,
            first=np.searchsorted(of, np.arange(total + 1)),
            kinds=np.concatenate([np.zeros(0, np.uint8), *(table["kind"] for table, _ in texts)]),
            answers=_concatenated([table["answer"].astype(np.int64) for table, _ in texts]),
            regions_of=np.searchsorted(region_of, np.arange(total + 1)),
            part_starts=np.cumsum([0, *counts], dtype=np.int64),
            region_starts=np.cumsum([0, *(len(table) for table, _ in tables)], dtype=np.int64),
            table=np.concatenate([np.zeros(0, region_dtype(attributes)), *(table for table, _ in tables)]),
            answer_names=tuple(names[ANSWERS]),
            labels=tuple(names[LABELS]),
            attributes={name: tuple(names[f"{ATTRIBUTES}{name}"]) for name in attributes},
            files=tuple(files),
        )

    def __len__(self) -> int:
        return len(self.first) - 1

    def read(self, picture: int) -> NDArray[np.uint8]:
        """The pixels of a picture, [S, S, 3], as a view of the mapped file."""
        part = int(np.searchsorted(self.part_starts, picture, side="right")) - 1
        return mapped(self.folder, f"{self.parts[part]:05d}.{self.name}.pixels", self.size)[picture - self.part_starts[part]]

    def documents(self, picture: int, kind: str | None = None) -> NDArray[np.int64]:
        """The documents of a picture, of one kind or of all."""
        found = np.arange(self.first[picture], self.first[picture + 1])
        return found if kind is None else found[self.kinds[found] == KINDS.index(kind)]

    def of_kind(self, *kinds: str) -> NDArray[np.int64]:
        """All documents of these kinds."""
        return np.flatnonzero(np.isin(self.kinds, [KINDS.index(kind) for kind in kinds]))

    def regions(self, picture: int) -> Regions:
        """The regions of a picture."""
        start, stop = int(self.regions_of[picture]), int(self.regions_of[picture + 1])
        rows = self.table[start:stop]
        crops = np.zeros((0, self.crop_size, self.crop_size, 3), np.uint8)
        if len(rows):
            part = int(np.searchsorted(self.part_starts, picture, side="right")) - 1
            before = int(self.region_starts[part])
            name = f"{self.parts[part]:05d}.{self.name}.crops"
            crops = mapped(self.folder, name, self.crop_size)[start - before : stop - before]
        attributes = {name: rows[f"{ATTRIBUTES}{name}"].astype(np.int64) for name in self.attributes}
        return Regions(rows["box"], rows[LABELS].astype(np.int64), attributes, crops)


def _concatenated(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *arrays])


def _held(path: Path, size: int) -> int:
    """How many pictures of a size a file holds; ValueError where it ends within one."""
    count, rest = divmod(path.stat().st_size, size * size * 3)
    if rest:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are no number of pictures: delete {path.parents[1]} to rebuild")
    return count


def _map(own: list[str], names: list[str]) -> NDArray[np.int32]:
    """The number of each name of a part in the corpus; the last entry is that of NONE."""
    place = {name: number for number, name in enumerate(names)}
    return np.array([*(place[name] for name in own), NONE], np.int32)


def _renumbered(regions: NDArray[Any], own: Names, names: Names, attributes: list[str]) -> NDArray[Any]:
    found = np.zeros(len(regions), region_dtype(attributes))
    found["picture"], found["box"] = regions["picture"], regions["box"]
    for key in (LABELS, *(f"{ATTRIBUTES}{name}" for name in attributes)):
        found[key] = _map(own[key], names[key])[regions[key]] if key in own else NONE
    return found


@lru_cache(maxsize=256)
def mapped(folder: Path, name: str, size: int) -> NDArray[np.uint8]:
    """The pictures of a file, mapped: [n, size, size, 3]."""
    return np.asarray(np.memmap(folder / "parts" / name, dtype=np.uint8, mode="r")).reshape(-1, size, size, 3)
