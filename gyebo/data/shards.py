"""Memory-mapped token shards: the prepared form of a corpus under one tokenizer.

A prepared corpus is a folder:

    meta.json                        what it was made from, the sums over all parts, the SHA-256 of their files; written last
    parts/00007.json                 counts and digests of a part; written after its data, so it marks a complete part
    parts/00007.train.tokens         token ids, little-endian uint16 (uint32 for large vocabularies), no special tokens
    parts/00007.train.documents.npy  one row per document: tokens, bytes, characters, syllables, unknown (bytes of these)
    parts/00007.valid.*              likewise, the held-out set

A corpus of pictures has more files in each part (`gyebo/data/pictures.py`).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.durable import digest, flush
from gyebo.data.pictures import Pictures

SPLITS = ("train", "valid")
DOCUMENT = np.dtype([("tokens", "<u4"), ("bytes", "<u4"), ("characters", "<u4"), ("syllables", "<u4"), ("unknown", "<u4")])


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest of uint16 and uint32 that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def write_part(
    folder: Path, split: str, number: int, *, ids: list[list[int]], rows: Sequence[tuple[int, ...]], dtype: np.dtype
) -> dict[str, str]:
    """Write the documents of one part and split, flushed to the disk; returns the SHA-256 of each file in `parts` by name."""
    table = io.BytesIO()
    np.save(table, np.array(rows, DOCUMENT), allow_pickle=False)
    flat = np.fromiter((i for document in ids for i in document), dtype, sum(map(len, ids)))
    return write_files(folder, split, number, {"tokens": flat.tobytes(), "documents.npy": table.getvalue()})


def write_files(folder: Path, split: str, number: int, files: dict[str, bytes]) -> dict[str, str]:
    """Write files of a part, named by their ends, flushed to the disk; returns the SHA-256 of each by its name."""
    digests = {}
    for ending, content in files.items():
        path = folder / "parts" / f"{number:05d}.{split}.{ending}"
        path.unlink(missing_ok=True)  # a damaged one that another run has mapped stays as it is there
        path.write_bytes(content)
        flush(path)
        digests[path.name] = hashlib.sha256(content).hexdigest()
    return digests


_checked: dict[Path, tuple[int, int, int]] = {}  # files whose content was checked by this process, with size, time and inode


def damaged(parts: Path, digests: dict[str, str]) -> Path | None:
    """The first file of `parts` that is missing or has another SHA-256 than `digests` say.

    A process reads each file once: afterwards, size, time of change and inode tell whether it is still the same file.
    """
    for name, expected in digests.items():
        path = parts / name
        if not path.is_file():
            return path
        found = path.stat()
        state = found.st_size, found.st_mtime_ns, found.st_ino
        if _checked.get(path) != state:
            if digest(path) != expected:
                return path
            _checked[path] = state
    return None


@dataclass(frozen=True)
class Split:
    """The documents of one split over all parts, in corpus order. Documents are numbered from 0."""

    folder: Path
    name: str
    parts: tuple[int, ...]
    dtype: np.dtype[Any]
    documents: NDArray[Any]  # of DOCUMENT
    starts: NDArray[np.int64]  # first token of each document, counted over the split; one more entry at the end
    part_starts: NDArray[np.int64]  # first token of each part, likewise
    pictures: Pictures | None = None  # of a corpus of pictures, to which the documents belong

    @classmethod
    def open(
        cls, folder: Path, name: str, parts: list[int], dtype: np.dtype[Any], pictures: dict[str, Any] | None = None
    ) -> Split:
        """Open a split; the token files are mapped when first read. `pictures`: what meta.json says of pictures, where the
        corpus has them. ValueError names a truncated file."""
        tables = [np.load(folder / "parts" / f"{n:05d}.{name}.documents.npy", allow_pickle=False) for n in parts]
        documents = np.concatenate(tables) if tables else np.zeros(0, DOCUMENT)
        starts = np.concatenate([[0], np.cumsum(documents["tokens"], dtype=np.int64)])
        sizes = [int(t["tokens"].sum(dtype=np.int64)) for t in tables]
        for n, size in zip(parts, sizes):
            path = folder / "parts" / f"{n:05d}.{name}.tokens"
            if path.stat().st_size != size * dtype.itemsize:
                raise ValueError(
                    f"{path}: {path.stat().st_size} bytes, expected {size * dtype.itemsize}: delete {folder} to rebuild"
                )
        part_starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        seen = None if pictures is None else Pictures.open(folder, name, parts, pictures)
        return cls(folder, name, tuple(parts), dtype, documents, starts, part_starts, seen)

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def tokens(self) -> int:
        """Number of tokens of the split, without special tokens."""
        return int(self.starts[-1])

    def sum(self, field: str) -> int:
        """A column of the document table, summed."""
        return int(self.documents[field].sum(dtype=np.int64))

    def read(self, document: int, start: int, stop: int) -> NDArray[Any]:
        """Tokens [start, stop) of a document, as a view of the mapped file."""
        first = int(self.starts[document])
        part = int(np.searchsorted(self.part_starts, first, side="right")) - 1
        offset = first - int(self.part_starts[part])
        return mapped(self.folder, self.name, self.parts[part], self.dtype.str)[offset + start : offset + stop]


@lru_cache(maxsize=256)
def mapped(folder: Path, name: str, part: int, dtype: str) -> NDArray[Any]:
    """The tokens of a part and split, mapped."""
    tokens = np.memmap(folder / "parts" / f"{part:05d}.{name}.tokens", dtype=np.dtype(dtype), mode="r")
    return np.asarray(tokens)  # the same memory; slicing a plain array is faster


@dataclass(frozen=True)
class Prepared:
    """A corpus as token shards: `meta` as stored, and its two splits."""

    folder: Path
    meta: dict[str, Any]
    train: Split
    valid: Split

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Open a finished preparation."""
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        dtype = np.dtype(meta["dtype"])
        splits = [Split.open(folder, name, meta["parts"][name], dtype, meta.get("pictures")) for name in SPLITS]
        return cls(folder, meta, *splits)
