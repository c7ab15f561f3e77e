"""CORPUS: the sources of text that a user may name, read as a stream of chunks that workers turn into documents.

files, folders or globs (.txt, .jsonl, .csv, .tsv, .parquet, each also .gz or .zst; of pictures .tar, .parquet, a folder with a
captions file, COCO's .json; of a .parquet PATH#COLUMN=VALUE are some rows) | hf:NAME[/CONFIG][:SPLIT] |
world:[ko|en][,N] | world:pictures[,...] | - (stdin)
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gyebo.config.disk import DiskFull, disk_full
from gyebo.config.durable import LEFT_ALONE, clean, flush, make_folder, rename, replacing
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data import nlvr, picture_sources, world_pictures
from gyebo.data.picture_files import ENDINGS
from gyebo.data.records import Record, as_prepared, pictures_in_chunk
from gyebo.data.source import BYTE_ORDER_MARK, Chunk, Source, decode, open_bytes, parquet_file, parquet_rows

CHUNK_BYTES = 4 << 20
WORLD_DOCUMENTS = 20_000
WORLD_CHUNK = 1000
FORMATS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
HUB = "hf:"  # prefix of the name of a data set of the Hugging Face hub
PACKED = ("", ".gz", ".zst")
PICTURE_FORMATS = (".tar", ".json")  # WebDataset, COCO's captions
# Kinds of sources that an option has an effect on: which column, which bytes.
WITH_PICTURE_FIELD = {picture_sources.FOLDER, picture_sources.PARQUET}
WITH_FIELDS = {"jsonl", "csv", "tsv", "parquet", picture_sources.TAR, *WITH_PICTURE_FIELD}
WITH_BYTES = {"txt", "jsonl", "csv", "tsv", picture_sources.FOLDER, picture_sources.TAR}
_ALL = ", ".join((*FORMATS, *PICTURE_FORMATS))


def resolve(corpora: list[str], spool: Path, options: DataOptions) -> list[Source]:
    """The named sources, in order; streams (stdin, hf:) are written to files in `spool` first.

    Raises FileNotFoundError for a path or glob that matches nothing, ValueError for a name or format that is not known.
    """
    sources: list[Source] = []
    for corpus in corpora:
        if corpus == "-":
            sources.append(_spool_stdin(spool))
        elif corpus.startswith(HUB):
            sources.append(_spool_hub(corpus, spool, options))
        elif corpus.startswith(nlvr.PREFIX):
            sources.append(nlvr.source(corpus))
        elif corpus.startswith("world:"):
            sources.append(world_pictures.source(corpus) if world_pictures.is_named(corpus) else _world(corpus))
        else:
            sources += [_file(path, rows, options) for path, rows in _paths(corpus, options)]
    return sources


def without_rows(corpus: str) -> tuple[str, tuple[str, str] | None]:
    """A name and which rows of the file are meant: PATH#COLUMN=VALUE."""
    name, _, rows = corpus.rpartition("#")
    column, equals, value = rows.partition("=")
    if not name or not equals or Path(corpus).exists():
        return corpus, None
    return name, (column, value)


def _paths(corpus: str, options: DataOptions) -> list[tuple[Path, tuple[str, str] | None]]:
    """The files of a name, and which of their rows count. A folder of pictures is its captions file."""
    name, rows = without_rows(corpus)
    path = Path(name)
    if path.is_dir():
        captions = picture_sources.captions_of(path, options)
        within = sorted(p for p in path.rglob("*") if p.is_file())
        texts = [p for p in within if _format(p) and p.suffix not in PICTURE_FORMATS]
        found = [captions] if captions else texts or [p for p in within if p.suffix == ".tar"]
        if not found:
            alone = any(p.suffix.lower() in ENDINGS for p in within)
            lacking = f"pictures, but no captions file ({', '.join(picture_sources.CAPTIONS)})" if alone else ""
            raise FileNotFoundError(f"{corpus}: the folder holds {lacking or f'no {_ALL} file (also .gz, .zst)'}")
        return [(p, rows) for p in found]
    if path.is_file():
        return [(path, rows)]
    found = sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).is_file())  # noqa: PTH207 (absolute patterns too)
    if not found:
        raise FileNotFoundError(f"{corpus}: no such file or folder (a corpus is a path, a glob, hf:NAME, world: or -)")
    return [(p, rows) for p in found]


def _format(path: Path) -> str:
    name = path.name.lower()
    if found := next((form[1:] for form in PICTURE_FORMATS if name.endswith(form)), ""):
        return found
    return next((form[1:] for form in FORMATS for packed in PACKED if name.endswith(form + packed)), "")


def _file(path: Path, rows: tuple[str, str] | None, options: DataOptions) -> Source:
    kind = picture_sources.FOLDER if picture_sources.is_captions(path, options) else _format(path)
    if not kind:
        raise ValueError(f"{path}: not one of {_ALL} (also .gz, .zst): rename it, or convert it to .txt or .jsonl")
    if kind == "parquet" and path.suffix != ".parquet":
        raise ValueError(f"{path}: parquet files are compressed already: decompress the {path.suffix} first")
    if kind == "parquet" and picture_sources.holds_pictures(path, options):
        kind = picture_sources.PARQUET
    if rows and kind not in ("parquet", picture_sources.PARQUET):
        raise ValueError(f"{path}#{rows[0]}={rows[1]}: rows are chosen by a column of .parquet files only")
    return Source(picture_sources.COCO if kind == "json" else kind, path, rows=rows)


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


def _spool_hub(corpus: str, spool: Path, options: DataOptions) -> Source:
    """A data set of the hub as a file: .jsonl with its texts, or .parquet where it has pictures."""
    try:
        import datasets
    except ImportError:
        raise ValueError(f'{corpus}: reading from the hub needs the extra "data": pip install "gyebo[data]"') from None
    name, config, split = hub_name(corpus)
    field = options.text_field
    asked = f"{corpus}\0{field}" + (f"\0{options.picture_field}" if options.picture_field else "")
    stem = spool / f"hf-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
    for kind, path in (("jsonl", stem.with_suffix(".jsonl")), (picture_sources.PARQUET, stem.with_suffix(".parquet"))):
        if path.exists():
            return Source(kind, path)
    try:
        rows = datasets.load_dataset(name, config, split=split or "train", streaming=True)
        column = picture_sources.hub_column(rows, corpus, options)
        path = stem.with_suffix(".parquet" if column else ".jsonl")
        with _spooling(path), replacing(path, shared=True) as aside:
            if column:
                picture_sources.write_hub(rows.cast_column(column, datasets.Image(decode=False)), column, aside)
                return Source(picture_sources.PARQUET, path)
            with aside.open("w", encoding="utf-8") as file:
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


def chunks(sources: list[Source], options: DataOptions) -> Iterator[Chunk]:
    """All sources cut into chunks; the cuts depend only on the sources and the options."""
    number = 0
    for source in sources:
        for fields in _chunks_of(source, options):
            yield Chunk(source, number, **fields)
            number += 1


def _chunks_of(source: Source, options: DataOptions) -> Iterator[dict[str, Any]]:
    if source.path is None:
        size = pictures_in_chunk(options) if source.pictured else WORLD_CHUNK
        for start in range(0, source.count, size):
            yield {"span": (start, min(start + size, source.count))}
    elif source.pictured:
        for found in picture_sources.record_chunks(source, options):
            yield {"records": found}
    elif source.kind in ("csv", "tsv", "parquet"):
        texts: list[str] = []
        size = 0
        rows = _parquet(source, options) if source.kind == "parquet" else _table(source.path, source.kind, options)
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


def _parquet(source: Source, options: DataOptions) -> Iterator[str]:
    import pyarrow

    path, field = source.path, options.text_field
    assert path is not None
    schema = parquet_file(path).schema_arrow
    if field not in schema.names:
        raise OptionError(f"{path}: no column {field!r}; available: {', '.join(schema.names)} (‹data.text_field›=NAME)")
    kind = schema.field(field).type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise OptionError(f"{path}: the column {field!r} holds {kind}, not text (‹data.text_field›=NAME)")
    for _, row in parquet_rows(source, [field]):
        yield row[field] or ""


def texts_of(chunk: Chunk, options: DataOptions) -> list[str]:
    """The documents of a chunk without blank ones; runs in the worker."""
    return [text for text in rows_of(chunk, options) if text and not text.isspace()]


def records_of(chunk: Chunk, options: DataOptions) -> Iterator[Record]:
    """The pictures of a chunk with their texts; none is decoded or drawn."""
    if chunk.source.path is None:
        return world_pictures.records(chunk.source, chunk.span)
    return iter(chunk.records)


def rows_of(chunk: Chunk, options: DataOptions) -> list[str]:
    """As `texts_of`, but with blank lines or rows, for results that are aligned with the rows of the source."""
    if chunk.source.pictured:
        return [text.text for record in records_of(chunk, options) for text in record.texts]
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
    if any(source.pictured for source in sources):
        settings |= as_prepared(options)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for source in sources:
        digest.update(f"\0{source.kind}\0".encode())
        if source.pictured and source.path is None:
            digest.update(world_pictures.fingerprint(source, options))
        elif source.path is None:
            from gyebo import world

            sample = world.documents(3, languages=source.languages)  # a new grammar is another corpus
            digest.update("\0".join([source.name, *(d.text for d in sample)]).encode())
        else:
            digest.update(f"{source.rows[0]}={source.rows[1]}\0".encode() if source.rows else b"")
            for path in picture_sources.files_of(source, options):
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
