"""Sources as a stream of chunks, and chunks as documents, which is what workers do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data import picture_sources, rows, world_pictures
from gyebo.data.encoding import BYTE_ORDER_MARK, Reading, decode, open_text, whole_text
from gyebo.data.json_rows import LONGEST_ROW, is_blank, parsed, without_halves
from gyebo.data.opening import LONGEST, whole, whole_lines
from gyebo.data.records import Record, pictures_in_chunk
from gyebo.data.rows import Row
from gyebo.data.source import Chunk, Source, parquet_rows
from gyebo.data.sources import reading_of
from gyebo.data.values import ABSENT, available, find, plain, written

CHUNK_BYTES = 4 << 20
WORLD_CHUNK = 1000
ADVICE = "(‹data.text_field›=NAME)"


def chunks(sources: list[Source], options: DataOptions) -> Iterator[Chunk]:
    """All sources cut into chunks; the cuts depend only on the sources and the options."""
    number = 0
    for source in sources:
        reading, said = reading_of(options), 0
        for fields in _chunks_of(source, options, reading):
            count = reading.replaced.total()
            yield Chunk(source, number, replaced=count - said, **fields)
            number, said = number + 1, count


def _chunks_of(source: Source, options: DataOptions, reading: Reading) -> Iterator[dict[str, Any]]:
    if source.path is None:
        size = pictures_in_chunk(options) if source.pictured else WORLD_CHUNK
        for start in range(0, source.count, size):
            yield {"span": (start, min(start + size, source.count))}
    elif source.pictured:
        for found in picture_sources.record_chunks(source, options, reading):
            yield {"records": found}
    elif source.kind in ("csv", "tsv", "json", "parquet"):
        texts: list[str] = []
        size = 0
        for text in _parquet(source, options, reading) if source.kind == "parquet" else _rows(source, options, reading):
            texts.append(text)
            size += len(text)
            if size >= CHUNK_BYTES // 2:
                yield {"texts": tuple(texts)}
                texts, size = [], 0
        if texts:
            yield {"texts": tuple(texts)}
    else:
        with open_text(source.path, reading) as file:
            yield from _raw_chunks(file, source, options)


def _raw_chunks(file: IO[bytes], source: Source, options: DataOptions) -> Iterator[dict[str, Any]]:
    """Bytes cut after the end of a line or of a document, so that no document is in two chunks."""
    assert source.path is not None
    if source.kind == "txt" and options.documents == "file":
        yield {"raw": whole(file, source.path)}
    elif source.kind == "txt" and options.documents == "blank":
        yield from _after(_blocks(file, source.path))
    else:
        longest = LONGEST if source.kind == "txt" else LONGEST_ROW
        yield from _after(whole_lines(file, source.path, longest, CHUNK_BYTES))


def _after(parts: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    offset = 0
    for raw in parts:
        yield {"raw": raw, "offset": offset}
        offset += len(raw)


_BLANK_LINE = re.compile(rb"^[ \t\r\f\v]*\n", re.MULTILINE)  # a document may end at others too, a chunk only here


def _blocks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Pieces that end with a blank line. ValueError for a block between blank lines of more than `LONGEST` bytes."""
    held, size = list[bytes](), 0
    for piece in whole_lines(file, path, LONGEST, CHUNK_BYTES):
        cut = max((found.end() for found in _BLANK_LINE.finditer(piece)), default=0)
        if cut:
            yield b"".join([*held, piece[:cut]])
            held, size = [], 0
        held.append(piece[cut:])
        size += len(piece) - cut
        if size > LONGEST:
            raise ValueError(f"{path}: has more than {LONGEST >> 20} MB without a blank line: cut it into several texts")
    if size:
        yield b"".join(held)


def _rows(source: Source, options: DataOptions, reading: Reading) -> Iterator[str]:
    """The texts of a table or a JSON list."""
    assert source.path is not None
    found = rows.json_list if source.kind == "json" else rows.table
    yield from _texts(found(source.path, reading), source.name, options.text_field, reading)


def _texts(found: Iterable[Row], name: str, field: str, reading: Reading) -> Iterator[str]:
    for where, values in found:
        if isinstance(values, str):
            raise ValueError(f"{name}: {where}: {values}")
        yield _text(find(values, field), values, f"{name}: {where}", name, field, reading)


def _text(value: Any, values: dict[str, Any], where: str, name: str, field: str, reading: Reading) -> str:
    """The text of a row, "" where it is missing. OptionError where the row has no such column, or no text in it."""
    if value is None:
        return ""
    if value is ABSENT:
        raise OptionError(f"{where}: no column {field!r}; available: {available(values)} {ADVICE}")
    if isinstance(value, bool | list | dict):
        raise OptionError(f"{where}: {field!r} holds a {type(value).__name__}, not text {ADVICE}")
    return whole_text(value, name, reading) if isinstance(value, bytes) else written(value)


def _parquet(source: Source, options: DataOptions, reading: Reading) -> Iterator[str]:
    """The texts of a parquet file: of a column of strings in any of its types, or of bytes that are text."""
    path, field = source.path, options.text_field
    assert path is not None
    schema = rows.parquet_file(path).schema_arrow
    column, kind = _column(schema, field)
    if kind is None:
        raise OptionError(f"{path}: no column {field!r}; available: {available(schema.names)} {ADVICE}")
    if not _is_text(kind):
        raise OptionError(f"{path}: the column {field!r} holds {kind}, not text {ADVICE}")
    for number, row in parquet_rows(source, [column]):
        yield _text(find(row, column), row, f"{path}: row {number + 1}", str(path), field, reading)


def _column(fields: Any, name: str) -> tuple[str, Any]:
    """The name of a column as it is written in a file, "doc.body" of a key in mappings, and its type; None: there is none."""
    found = {plain(field.name): field for field in fields}
    if plain(name) in found:
        return found[plain(name)].name, found[plain(name)].type
    outer, _, rest = plain(name).partition(".")
    if rest and outer in found and _is_struct(found[outer].type):
        within, kind = _column(found[outer].type, rest)
        return f"{found[outer].name}.{within}", kind
    return name, None


def _is_struct(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_struct(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null")
    return any(getattr(types, f"is_{name}", lambda _: False)(kind) for name in tests)


def texts_of(chunk: Chunk, options: DataOptions) -> list[str]:
    """The documents of a chunk without blank ones; runs in the worker."""
    return read(chunk, options)[0]


def read(chunk: Chunk, options: DataOptions, *, blank: bool = False) -> tuple[list[str], int]:
    """The documents of a chunk, and how many of its characters were replaced. `blank`: with blank lines or rows, for results
    that are aligned with the rows of the source."""
    reading = reading_of(options)
    found = _read(chunk, options, reading)
    return found if blank else [text for text in found if not is_blank(text)], chunk.replaced + reading.replaced.total()


def records_of(chunk: Chunk, options: DataOptions) -> Iterator[Record]:
    """The pictures of a chunk with their texts; none is decoded or drawn."""
    if chunk.source.path is None:
        return world_pictures.records(chunk.source, chunk.span)
    return iter(chunk.records)


def _read(chunk: Chunk, options: DataOptions, reading: Reading) -> list[str]:
    if chunk.source.pictured:
        return [text.text for record in records_of(chunk, options) for text in record.texts]
    if chunk.source.path is None:
        from gyebo import world

        start, end = chunk.span
        return [d.text for d in world.documents(end - start, start=start, languages=chunk.source.languages)]
    if chunk.texts is not None:
        return list(chunk.texts)
    return list(_json_texts(chunk, options, reading)) if chunk.source.kind == "jsonl" else _plain_texts(chunk, options)


def _plain_texts(chunk: Chunk, options: DataOptions) -> list[str]:
    text = decode(chunk.raw, chunk.source.name, chunk.offset)
    if chunk.offset == 0:
        text = text.removeprefix(BYTE_ORDER_MARK)
    if options.documents == "file":
        return [text]
    lines = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]  # Windows' ends of lines
    if BYTE_ORDER_MARK in text:  # files that were joined
        lines = [line.removeprefix(BYTE_ORDER_MARK) for line in lines]
    return lines if options.documents == "line" else list(_between_blanks(lines))


def _between_blanks(lines: list[str]) -> Iterator[str]:
    held: list[str] = []
    for line in lines:
        if not is_blank(line):
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def _json_texts(chunk: Chunk, options: DataOptions, reading: Reading) -> Iterator[str]:
    offset, name, field = chunk.offset, chunk.source.name, options.text_field
    for line in chunk.raw.split(b"\n"):
        where = f"{name}: the line at byte {offset}"
        text = decode(line, name, offset).strip().strip(BYTE_ORDER_MARK)
        offset += len(line) + 1
        if not text or text.isspace():
            continue
        try:
            row = parsed(text)
        except ValueError as error:
            raise ValueError(f"{where} is {error}") from None
        if not isinstance(row, dict):
            raise OptionError(f"{where} is a {type(row).__name__}, not an object {ADVICE}")
        found = _text(find(row, field), row, where, name, field, reading)
        try:
            found.encode()
        except UnicodeEncodeError as error:
            if not reading.replaces:
                raise OptionError(
                    f"{where}: \\u{ord(found[error.start]):04x} in {field!r} is half of a character: leave it out, or pass "
                    "‹bad_bytes›=replace"
                ) from None
            found, count = without_halves(found)
            reading.replaced[name] += count
        yield found
