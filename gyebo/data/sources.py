"""CORPUS: the sources of text that a user may name, read as a stream of chunks that workers turn into documents.

files, folders or globs (.txt, .jsonl, .csv, .tsv, .parquet, each also .gz or .zst) | hf:NAME[/CONFIG][:SPLIT] |
world:[ko|en][,N] | - (stdin)
"""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gyebo.config.disk import DiskFull, disk_full
from gyebo.config.durable import LEFT_ALONE, clean, flush, make_folder, rename, replacing
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions

CHUNK_BYTES = 4 << 20
WORLD_DOCUMENTS = 20_000
WORLD_CHUNK = 1000
FORMATS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
BYTE_ORDER_MARK = "\ufeff"
HUB = "hf:"  # prefix of the name of a data set of the Hugging Face hub
PACKED = ("", ".gz", ".zst")


@dataclass(frozen=True)
class Source:
    """One file, or the built-in world (`path` None)."""

    kind: str  # a format without its dot, or "world"
    path: Path | None
    languages: tuple[str, ...] = ("ko", "en")
    count: int = 0

    @property
    def name(self) -> str:
        """The name in error messages."""
        return f"world:{','.join(self.languages)},{self.count}" if self.path is None else str(self.path)


@dataclass(frozen=True)
class Chunk:
    """A part of a source: raw bytes from `offset`, or texts that had to be parsed in order, or a `span` of world documents."""

    source: Source
    number: int
    offset: int = 0
    raw: bytes = b""
    texts: tuple[str, ...] | None = None
    span: tuple[int, int] = (0, 0)


def resolve(corpora: list[str], spool: Path, options: DataOptions) -> list[Source]:
    """The named sources, in order; streams (stdin, hf:) are written to files in `spool` first.

    Raises FileNotFoundError for a path or glob that matches nothing, ValueError for a name or format that is not known.
    """
    sources: list[Source] = []
    for corpus in corpora:
        if corpus == "-":
            sources.append(_spool_stdin(spool))
        elif corpus.startswith(HUB):
            sources.append(_spool_hub(corpus, spool, options.text_field))
        elif corpus.startswith("world:"):
            sources.append(_world(corpus))
        else:
            sources += [_file(path) for path in _paths(corpus)]
    return sources


def _paths(corpus: str) -> list[Path]:
    path = Path(corpus)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and _format(p))
        if not found:
            raise FileNotFoundError(f"{corpus}: the folder holds no {', '.join(FORMATS)} file (also .gz, .zst)")
        return found
    if path.is_file():
        return [path]
    found = sorted(Path(p) for p in glob.glob(corpus, recursive=True) if Path(p).is_file())  # noqa: PTH207 (absolute patterns too)
    if not found:
        raise FileNotFoundError(f"{corpus}: no such file or folder (a corpus is a path, a glob, hf:NAME, world: or -)")
    return found


def _format(path: Path) -> str:
    name = path.name.lower()
    return next((form[1:] for form in FORMATS for packed in PACKED if name.endswith(form + packed)), "")


def _file(path: Path) -> Source:
    kind = _format(path)
    if not kind:
        raise ValueError(
            f"{path}: not one of {', '.join(FORMATS)} (also .gz, .zst): rename it, or convert it to .txt or .jsonl"
        )
    if kind == "parquet" and path.suffix != ".parquet":
        raise ValueError(f"{path}: parquet files are compressed already: decompress the {path.suffix} first")
    return Source(kind, path)


def _world(corpus: str) -> Source:
    languages: tuple[str, ...] = ("ko", "en")
    count = WORLD_DOCUMENTS
    for part in filter(None, corpus.removeprefix("world:").split(",")):
        if part in ("ko", "en"):
            languages = (part,)
        elif part.isdecimal() and int(part) > 0:
            count = int(part)
        else:
            raise ValueError(
                f"{corpus}: {part!r} is neither a language (ko, en) nor a number of documents, e.g. world:ko,20000"
            )
    return Source("world", None, languages, count)


def _spool_stdin(spool: Path) -> Source:
    digest = hashlib.sha256()
    aside = spool / f".stdin-{os.getpid()}.part"
    with _spooling(aside), aside.open("wb") as file:
        while block := sys.stdin.buffer.read(CHUNK_BYTES):
            digest.update(block)
            file.write(block)
    flush(aside)
    path = spool / f"stdin-{digest.hexdigest()[:16]}.txt"
    rename(aside, path)
    return Source("txt", path)


def hub_name(corpus: str) -> tuple[str, str | None, str]:
    """The data set, its config and its split ("": none named) of hf:OWNER/NAME[/CONFIG][:SPLIT]."""
    name, _, split = corpus.removeprefix(HUB).partition(":")
    owner_name, _, config = name.rpartition("/")
    return (owner_name, config, split) if name.count("/") >= 2 else (name, None, split)


def _spool_hub(corpus: str, spool: Path, field: str) -> Source:
    try:
        import datasets
    except ImportError:
        raise ValueError(f'{corpus}: reading from the hub needs the extra "data": pip install "gyebo[data]"') from None
    name, config, split = hub_name(corpus)
    key = hashlib.sha256(f"{corpus}\0{field}".encode()).hexdigest()[:16]
    path = spool / f"hf-{key}.jsonl"
    if path.exists():
        return Source("jsonl", path)
    try:
        rows = datasets.load_dataset(name, config, split=split or "train", streaming=True)
        with _spooling(path), replacing(path, shared=True) as aside, aside.open("w", encoding="utf-8") as file:
            for row in rows:
                if field not in row:
                    raise OptionError(f"{corpus}: no field {field!r}; available: {', '.join(row)} (‹data.text_field›=NAME)")
                file.write(json.dumps({field: row[field]}, ensure_ascii=False) + "\n")
    except DiskFull:
        raise
    except (OSError, ConnectionError) as error:
        raise ValueError(f"{corpus}: the hub can't be reached or has no such data set ({type(error).__name__})") from None
    return Source("jsonl", path)


@contextmanager
def _spooling(aside: Path) -> Iterator[None]:
    """The folder for a file that is written to the spool; one that is not finished goes."""
    with disk_full(aside.parent, "free some space, or name another folder for the cache in GYEBO_CACHE"):
        make_folder(aside.parent)
        clean(aside.parent, older_than=LEFT_ALONE)
        try:
            yield
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a plain, .gz or .zst file; ValueError names a damaged one."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                yield file  # type: ignore[misc]
        elif path.suffix == ".zst":
            try:
                import zstandard
            except ImportError:
                raise ValueError(f'{path}: reading .zst needs the extra "data": pip install "gyebo[data]"') from None
            with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as file:
                yield io.BufferedReader(file)
        else:
            with path.open("rb") as file:
                yield file
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path}: damaged or not a compressed file: {error}") from None
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise ValueError(f"{path}: damaged or not a compressed file: {error}") from None
        raise


def chunks(sources: list[Source], options: DataOptions) -> Iterator[Chunk]:
    """All sources cut into chunks; the cuts depend only on the sources and the options."""
    number = 0
    for source in sources:
        for fields in _chunks_of(source, options):
            yield Chunk(source, number, **fields)
            number += 1


def _chunks_of(source: Source, options: DataOptions) -> Iterator[dict[str, Any]]:
    if source.path is None:
        for start in range(0, source.count, WORLD_CHUNK):
            yield {"span": (start, min(start + WORLD_CHUNK, source.count))}
    elif source.kind in ("csv", "tsv", "parquet"):
        texts: list[str] = []
        size = 0
        rows = _parquet(source.path, options) if source.kind == "parquet" else _table(source.path, source.kind, options)
        for text in rows:
            texts.append(text)
            size += len(text)
            if size >= CHUNK_BYTES // 2:
                yield {"texts": tuple(texts)}
                texts, size = [], 0
        if texts:
            yield {"texts": tuple(texts)}
    else:
        separator = b"\n\n" if options.documents == "blank" and source.kind == "txt" else b"\n"
        whole = options.documents == "file" and source.kind == "txt"
        with open_bytes(source.path) as file:
            yield from _raw_chunks(file, separator, whole)


def _raw_chunks(file: IO[bytes], separator: bytes, whole: bool) -> Iterator[dict[str, Any]]:
    """Bytes cut after a separator (the end of a line or document), so that no document is in two chunks."""
    if whole:
        yield {"raw": file.read()}
        return
    offset, rest = 0, b""
    while block := file.read(CHUNK_BYTES):
        rest += block
        cut = rest.rfind(separator)
        if cut >= 0:
            cut += len(separator)
            yield {"raw": rest[:cut], "offset": offset}
            offset, rest = offset + cut, rest[cut:]
    if rest:
        yield {"raw": rest, "offset": offset}


def _table(path: Path, kind: str, options: DataOptions) -> Iterator[str]:
    csv.field_size_limit(1 << 30)
    with open_bytes(path) as raw:
        lines = _decoded_lines(raw, path, options)
        table = csv.reader(lines, delimiter="," if kind == "csv" else "\t", quoting=csv.QUOTE_MINIMAL if kind == "csv" else 3)
        header = next(table, None)
        if header is None:
            return
        if options.text_field not in header:
            raise OptionError(
                f"{path}: no column {options.text_field!r}; available: {', '.join(header)} (‹data.text_field›=NAME)"
            )
        column = header.index(options.text_field)
        number = 1
        try:
            for number, row in enumerate(table, 2):
                if row and len(row) != len(header):
                    raise ValueError(f"{path}: row {number} has {len(row)} fields, but the header names {len(header)}")
                if row:
                    yield row[column]
        except csv.Error as error:
            raise ValueError(f"{path}: after row {number}: {error}") from None


def _decoded_lines(raw: IO[bytes], path: Path, options: DataOptions) -> Iterator[str]:
    offset = 0
    for line in raw:
        text = decode(line, path, offset, options.bad_bytes)
        yield text if offset else text.removeprefix(BYTE_ORDER_MARK)
        offset += len(line)


def _parquet(path: Path, options: DataOptions) -> Iterator[str]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f'{path}: reading parquet needs the extra "data": pip install "gyebo[data]"') from None
    try:
        file = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a parquet file: {error}") from None
    if options.text_field not in file.schema_arrow.names:
        names = ", ".join(file.schema_arrow.names)
        raise OptionError(f"{path}: no column {options.text_field!r}; available: {names} (‹data.text_field›=NAME)")
    kind = file.schema_arrow.field(options.text_field).type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise OptionError(f"{path}: the column {options.text_field!r} holds {kind}, not text (‹data.text_field›=NAME)")
    for batch in file.iter_batches(columns=[options.text_field]):
        for value in batch.column(0).to_pylist():
            yield "" if value is None else value


def decode(raw: bytes, path: Path | str, offset: int, bad_bytes: str) -> str:
    """Decode UTF-8; an invalid byte is a ValueError with the file and the offset, or is replaced if `bad_bytes` says so."""
    try:
        return raw.decode("utf-8", "replace" if bad_bytes == "replace" else "strict")
    except UnicodeDecodeError as error:
        at = offset + error.start
        raise OptionError(
            f"{path}: byte {at} (0x{raw[error.start]:02x}) is not UTF-8: convert the file, or pass ‹data.bad_bytes›=replace"
        ) from None


def texts_of(chunk: Chunk, options: DataOptions) -> list[str]:
    """The documents of a chunk without blank ones; runs in the worker."""
    return [text for text in rows_of(chunk, options) if text and not text.isspace()]


def rows_of(chunk: Chunk, options: DataOptions) -> list[str]:
    """As `texts_of`, but with blank lines or rows, for results that are aligned with the rows of the source."""
    if chunk.source.path is None:
        from gyebo import world

        start, end = chunk.span
        return [d.text for d in world.documents(end - start, start=start, languages=chunk.source.languages)]
    if chunk.texts is not None:
        return list(chunk.texts)
    if chunk.source.kind == "jsonl":
        return _json_texts(chunk, options)
    text = decode(chunk.raw, chunk.source.name, chunk.offset, options.bad_bytes)
    if chunk.offset == 0:
        text = text.removeprefix(BYTE_ORDER_MARK)
    if options.documents == "file":
        return [text]
    text = text.replace("\r\n", "\n")  # Windows line endings
    if options.documents == "line":
        return text.removesuffix("\n").split("\n")
    return [part.strip("\n") for part in text.split("\n\n")]


def _json_texts(chunk: Chunk, options: DataOptions) -> list[str]:
    found, offset = [], chunk.offset
    for line in chunk.raw.split(b"\n"):
        if line.strip():
            where = f"{chunk.source.name}: the line at byte {offset}"
            try:
                text = decode(line, chunk.source.name, offset, options.bad_bytes)
                row = json.loads(text if offset else text.removeprefix(BYTE_ORDER_MARK))
            except json.JSONDecodeError as error:
                raise ValueError(f"{where} is not JSON: {error.msg}") from None
            value = row.get(options.text_field, 0) if isinstance(row, dict) else 0
            if not isinstance(value, str | None):
                keys = ", ".join(row) if isinstance(row, dict) else type(row).__name__
                raise OptionError(f"{where} has no text {options.text_field!r}; it has: {keys} (‹data.text_field›=NAME)")
            found.append(value or "")
        offset += len(line) + 1
    return found


def fingerprint(sources: list[Source], options: DataOptions) -> str:
    """SHA-256 over the content of all sources and the options that define documents and the held-out set."""
    digest = hashlib.sha256()
    settings = options.model_dump(include={"documents", "text_field", "bad_bytes", "valid_last"}) | {
        "share": options.hash_share
    }
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for source in sources:
        digest.update(f"\0{source.kind}\0".encode())
        if source.path is None:
            from gyebo import world

            sample = world.documents(3, languages=source.languages)  # a new grammar is another corpus
            digest.update("\0".join([source.name, *(d.text for d in sample)]).encode())
        else:
            with source.path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
