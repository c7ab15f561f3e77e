"""`gyebo embed`: text embeddings, written to a file while texts are read, or in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config import toml
from gyebo.config.durable import replacing
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data.documents import chunks, read
from gyebo.data.encoding import said_of
from gyebo.data.prepare import cache_folder
from gyebo.data.source import Source
from gyebo.data.sources import WITH_BYTES, WITH_FIELDS, resolve
from gyebo.jobs.opened import Given, check_place, made_ready, open_given
from gyebo.tasks.embedding import check_pooling
from gyebo.tasks.embedding import embed as vectors_of
from gyebo.tasks.heads.task_model import body_of
from gyebo.text.tokenizer import Tokenizer

WINDOW = 4096  # number of texts that are sorted by length and written together
SUFFIXES = (".npy", ".parquet")

Write = Callable[[list[str], NDArray[np.float32]], None]


def embed(
    name: Given,
    source: str,
    out: Path | str,
    *,
    pooling: str = "mean",
    normalize: bool = False,
    data: dict[str, Any] | None = None,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
    report: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write `out`, row i for text i of `source` (any CORPUS; each line is a text): `.npy`, float32 [N, D], or `.parquet` with
    the columns text and embedding. For a fine-tuned model, the embeddings are those of its body.

    `data`: text_field, encoding, bad_bytes. `report`: called with the number of texts done. Returns texts, width, cut (number
    of texts truncated to the context), out and, where there are any, notes on the source. The file appears when it is complete.
    Raises ValueError or FileNotFoundError for errors in the source, the model or an option.
    """
    out = Path(out)
    _check_out(out, overwrite)
    check_place(name, device, precision)
    notes: list[str] = []
    replaced: Counter[str] = Counter()
    sources, options = _opened_texts([source], data, notes)
    if any(found.path is not None and found.path.resolve() == out.resolve() for found in sources):
        raise OptionError(f"‹out›={out} is a file of the input: choose another name")
    model, tokenizer, autocast = _opened(name, pooling, device, precision)
    texts = cut = 0
    with replacing(out) as aside, _WRITERS[out.suffix](aside, model.config.width) as write:
        for window in _windows(sources, options, replaced):
            with autocast():
                vectors, longer = vectors_of(model, tokenizer, window, pooling, normalize=normalize)
            write(window, vectors)
            texts, cut = texts + len(window), cut + longer
            if report:
                report(texts)
        if not texts:
            raise ValueError(f"{source} contains no text")
    notes += [said_of(name, count) for name, count in replaced.items() if count]
    return {"texts": texts, "width": model.config.width, "cut": cut, "out": str(out)} | ({"notes": notes} if notes else {})


def embed_texts(
    name: Given,
    texts: Iterable[str],
    *,
    pooling: str = "mean",
    normalize: bool = False,
    device: str = "auto",
    precision: str = "float32",
) -> tuple[NDArray[np.float32], int]:
    """The vectors [N, D] of texts in memory, and how many of them were cut; options and errors as of `embed`."""
    check_place(name, device, precision)
    model, tokenizer, autocast = _opened(name, pooling, device, precision)
    with autocast():
        return vectors_of(model, tokenizer, list(texts), pooling, normalize=normalize)


def texts_of_sources(names: list[str], data: dict[str, Any] | None = None) -> Iterator[str]:
    """The texts of any CORPUS, in order, blank ones too; errors as of `embed`."""
    sources, options = _opened_texts(names, data)
    return (text for chunk in chunks(sources, options) for text in read(chunk, options, blank=True)[0])


def _opened_texts(
    names: list[str], data: dict[str, Any] | None, notes: list[str] | None = None
) -> tuple[list[Source], DataOptions]:
    options = toml.check(DataOptions, {**(data or {}), "corpus": names}, section="data")
    sources = resolve(names, cache_folder() / "spool", options, notes)
    _refuse_idle(sources, options)
    return sources, options


def _opened(name: Given, pooling: str, device: str, precision: str) -> tuple[Any, Tokenizer, Callable[[], Any]]:
    model, tokenizer = open_given(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    check_pooling(model, pooling)
    body = body_of(model)
    return body, tokenizer, made_ready(name, body, device, precision)


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise OptionError(f"‹out›={out} must end with {' or '.join(SUFFIXES)}")
    if out.is_dir():
        raise OptionError(f"‹out›={out} is a directory; give the name of a file")
    if out.exists() and not overwrite:
        raise OptionError(f"{out} exists already: choose another name, or use ‹overwrite›")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent}: no such directory to write {out.name} into")


def _refuse_idle(sources: list[Source], options: DataOptions) -> None:
    """ValueError for an option that has no effect on files of these formats."""
    kinds = {source.kind for source in sources}
    for option, value, idle, affected in (
        ("text_field", options.text_field, "text", WITH_FIELDS),
        ("encoding", options.encoding, None, WITH_BYTES),
        ("bad_bytes", options.bad_bytes, "refuse", WITH_BYTES),
    ):
        if value != idle and not kinds & affected:
            raise OptionError(f"‹data.{option}›={value} has no effect on {', '.join(options.corpus)}: leave it out")


def _windows(sources: list[Source], options: DataOptions, replaced: Counter[str]) -> Iterator[list[str]]:
    """All texts in order, `WINDOW` at a time; counts what is replaced, by source."""
    window: list[str] = []
    for chunk in chunks(sources, options):
        texts, count = read(chunk, options, blank=True)
        replaced[chunk.source.name] += count
        while texts:
            taken = WINDOW - len(window)
            window, texts = window + texts[:taken], texts[taken:]
            if len(window) == WINDOW:
                yield window
                window = []
    if window:
        yield window


@contextmanager
def _npy(path: Path, width: int) -> Iterator[Write]:
    """Rows are appended after a header whose count is set at the end: numpy's header has room for larger counts."""
    count = 0

    def header(file: IO[bytes]) -> int:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, width)})
        return file.tell()

    with path.open("wb") as file:
        start = header(file)

        def write(texts: list[str], vectors: NDArray[np.float32]) -> None:
            nonlocal count
            file.write(vectors.astype("<f4").tobytes())
            count += len(vectors)

        yield write
        file.seek(0)
        if header(file) != start:
            raise RuntimeError(f"{path}: the count of {count} rows does not fit into the header of this numpy's format")


@contextmanager
def _parquet(path: Path, width: int) -> Iterator[Write]:
    """A row group for each window."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError('writing .parquet needs the extra "data": pip install "gyebo[data]"; or write .npy') from None
    schema = pyarrow.schema([("text", pyarrow.string()), ("embedding", pyarrow.list_(pyarrow.float32(), width))])
    with parquet.ParquetWriter(path, schema) as writer:

        def write(texts: list[str], vectors: NDArray[np.float32]) -> None:
            column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), width)
            writer.write_table(pyarrow.table([pyarrow.array(texts, pyarrow.string()), column], schema=schema))

        yield write


_WRITERS = {".npy": _npy, ".parquet": _parquet}
