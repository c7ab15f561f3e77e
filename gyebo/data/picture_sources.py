"""Pictures with texts as a CORPUS: which files hold them, and their records in order. No picture is decoded here.

a folder with a captions file | COCO's captions .json | .parquet with a column of image files | .tar (WebDataset)

In the main process records are read in order, and named by file and row; the workers decode.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gyebo.config.errors import OptionError, marked
from gyebo.config.run import DataOptions
from gyebo.data import nlvr
from gyebo.data.encoding import Reading, whole_text
from gyebo.data.json_rows import json_value, mended, parsed
from gyebo.data.picture_files import ENDINGS
from gyebo.data.records import CAPTION, CHUNK_BYTES, KINDS, QUESTION, Record, Region, Text, pictures_in_chunk
from gyebo.data.rows import BATCH_ROWS, any_rows, parquet_file
from gyebo.data.source import Source, parquet_rows
from gyebo.data.values import available, find, shortened

FOLDER, COCO, PARQUET, TAR = "picture folder", "COCO captions", "picture parquet", "tar"
ELSEWHERE = (FOLDER, COCO)  # whose file names pictures, and holds none
CAPTIONS = tuple(f"{name}.{ending}" for name in ("captions", "metadata") for ending in ("jsonl", "csv", "tsv"))
FILE_FIELDS = ("file_name", "file", "filename", "image", "image_file", "image_path", "path")
PICTURE_COLUMNS = ("image", "picture", "img", "png", "jpg", "jpeg", "webp", "image_bytes", "bytes")
TEXT_FIELDS = ("text", "caption", "captions", "texts", "sentence", "sentences", "raw")
TEXT_PREFIXES = ("text_", "caption_", "name_")  # text_ko, text_en: several languages
MOST_BYTES = 256 << 20  # of a member of a tar
ADVICE = "‹data.picture_field›=NAME names that of the picture, ‹data.text_field›=NAME[,NAME] those of its texts"


# ---- which files hold pictures


def captions_of(folder: Path, options: DataOptions) -> Path | None:
    """The captions file of a folder of pictures; None where it has none. ValueError where it has two."""
    found = [folder / name for name in CAPTIONS if (folder / name).is_file() and is_captions(folder / name, options)]
    if len(found) > 1:
        raise ValueError(f"{folder}: has {found[0].name} and {found[1].name}: keep one of the captions files")
    return found[0] if found else None


def is_captions(path: Path, options: DataOptions) -> bool:
    """Whether a file is named as a captions file and its first row names a picture."""
    if path.name not in CAPTIONS:
        return False
    try:
        _, row = next(any_rows(path, Reading(options.encoding, "replace")), ("", ""))
    except ValueError:  # said by who reads it as text
        return False
    return isinstance(row, dict) and any(isinstance(find(row, name), str) for name in _file_fields(options))


def is_there(path: Path) -> bool:
    """Whether a name that stands in a file is that of a file; what can't be a name is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a character that no name has
        return False


def is_aside(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder without belonging to it: names that begin with a dot (what editors, notebooks and Macs
    put there), and what zips of Macs hold beside the files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)


def _file_fields(options: DataOptions) -> tuple[str, ...]:
    return FILE_FIELDS if options.picture_field is None else (options.picture_field,)


def holds_pictures(path: Path, options: DataOptions) -> bool:
    """Whether a parquet file has a column of image files, by its type and name, or the one that is named."""
    return bool(_picture_columns(parquet_file(path).schema_arrow, options))


def _picture_columns(schema: Any, options: DataOptions) -> list[str]:
    import pyarrow.types as types

    def is_file(field: Any) -> bool:
        return types.is_struct(field.type) and {"bytes", "path"} <= {inner.name for inner in field.type}

    def is_bytes(field: Any) -> bool:
        return types.is_binary(field.type) or types.is_large_binary(field.type)

    if options.picture_field is not None:
        return [f.name for f in schema if f.name == options.picture_field and (is_file(f) or is_bytes(f))]
    found = [field.name for field in schema if is_file(field)]
    return found or [field.name for field in schema if is_bytes(field) and field.name in PICTURE_COLUMNS]


# ---- records


def record_chunks(source: Source, options: DataOptions, reading: Reading) -> Iterator[tuple[Record, ...]]:
    """The records of a source, cut into chunks by their number and the size of their files."""
    most, found, size = pictures_in_chunk(options), [], 0
    for record in _READERS[source.kind](source, options, reading):
        found.append(record)
        size += len(record.picture) if isinstance(record.picture, bytes) else 0
        if len(found) == most or size >= CHUNK_BYTES:
            yield tuple(found)
            found, size = [], 0
    if found:
        yield tuple(found)


def files_of(source: Source, options: DataOptions) -> Iterator[Path]:
    """The files that decide what a source holds, in order: the one that is named, and the pictures that it names."""
    assert source.path is not None
    if source.kind == nlvr.KIND:
        yield from nlvr.files(source)
        return
    yield source.path
    if source.kind in ELSEWHERE:
        for record in _READERS[source.kind](source, options, Reading(options.encoding, options.bad_bytes)):
            yield record.picture


def _folder(source: Source, options: DataOptions, reading: Reading) -> Iterator[Record]:
    """Pictures in the order in which the captions file first names them, each with the texts of all of its rows."""
    assert source.path is not None
    folder, found = source.path.parent, dict[str, Record]()
    for place, row in any_rows(source.path, reading):
        where = f"{source.path}: {place}"
        if isinstance(row, str):
            raise ValueError(f"{where}: {row}")
        name = _file_name(row, where, options)
        new = Record(where, folder / name, _texts(row, where, options), regions_of(row, where))
        old = found.get(name)
        found[name] = new if old is None else replace(old, texts=old.texts + new.texts, regions=old.regions + new.regions)
    for name, record in found.items():
        if not is_there(record.picture):
            raise FileNotFoundError(f"{record.where}: the picture {shortened(name, 100)} is missing in {folder}")
        yield _with_text(record)
    named = {record.picture for record in found.values()}
    within = (p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and not is_aside(p, folder))
    rest = sorted(p for p in within if p not in named)
    if rest:
        raise ValueError(
            f"{rest[0]}: a picture without text: no row of {source.path.name} names it ({len(rest)} such in the folder); add "
            "its text, or move it away"
        )


def _file_name(row: dict[str, Any], where: str, options: DataOptions) -> str:
    names = _file_fields(options)
    value = next((row[name] for name in names if name in row), None)
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"{where} names no picture: it has {available(row)}, but none of {', '.join(names)}; {ADVICE}")
    return value


def _text_fields(names: Iterable[str], options: DataOptions) -> list[str]:
    """Which fields hold texts: those that are named, otherwise the known ones."""
    if options.text_field != "text":
        return options.text_field.split(",")
    names = list(names)
    return [name for name in names if name in TEXT_FIELDS or name.startswith(TEXT_PREFIXES)]


def _texts(row: dict[str, Any], where: str, options: DataOptions) -> tuple[Text, ...]:
    """The texts of a row: strings, or lists of strings. Its fields `kind` and `answer` say what they are."""
    fields = _text_fields(row, options)
    if not fields or any(name not in row for name in fields):
        lacking = next((name for name in fields if name not in row), " or ".join(TEXT_FIELDS))
        raise OptionError(f"{where} has no text {lacking!r}; it has: {available(row)}; {ADVICE}")
    kind, answer = row.get("kind") or CAPTION, row.get("answer") or None
    if kind not in KINDS:
        raise ValueError(f"{where}: the kind of a text is {', '.join(KINDS)}, not {kind!r}")
    if answer is not None and kind != QUESTION:
        raise ValueError(f"{where}: a text of the kind {kind} has no answer, but {answer!r} is given")
    found = []
    for name in fields:
        values = row[name] if isinstance(row[name], list) else [row[name]]
        for value in values:
            if value is not None and not isinstance(value, str):
                raise OptionError(f"{where}: {name!r} holds {type(value).__name__}, not text; {ADVICE}")
            if value and not value.isspace():
                found.append(Text(value, kind, answer))
    return tuple(found)


def _with_text(record: Record) -> Record:
    if not record.texts:
        raise ValueError(f"{record.where}: a picture without text: write one, or leave the row out")
    return record


def regions_of(row: dict[str, Any], where: str) -> tuple[Region, ...]:
    """The field `objects` of a row: a list of {"box": [x0, y0, x1, y1], "label": ..., attribute: value, ...}, boxes in pixels.
    ValueError in a line that begins with `where` for anything else."""
    objects, found = row.get("objects") or [], []
    if not isinstance(objects, list):
        raise ValueError(f"{where}: objects must be a list, but is {type(objects).__name__}")
    for entry in objects:
        box = entry.get("box") if isinstance(entry, dict) else None
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
            raise ValueError(f'{where}: each of the objects needs a "box" [x0, y0, x1, y1] in pixels, but one is {entry!r}')
        rest = {name: value for name, value in entry.items() if name != "box"}
        if wrong := next((name for name, value in rest.items() if not isinstance(value, str)), None):
            raise ValueError(f"{where}: {wrong!r} of an object must be text, but is {rest[wrong]!r}")
        label = rest.pop("label", "")
        found.append(Region((float(box[0]), float(box[1]), float(box[2]), float(box[3])), label, rest))
    return tuple(found)


# ---- COCO


def _coco(source: Source, options: DataOptions, reading: Reading) -> Iterator[Record]:
    """The pictures of COCO's captions in the order of the file, each with its captions in order."""
    path = source.path
    assert path is not None
    content = _coco_content(path, reading)
    texts: dict[Any, list[Text]] = {image["id"]: [] for image in content["images"]}
    for number, annotation in enumerate(content["annotations"]):
        where, image = f"{path}: annotations[{number}]", annotation.get("image_id")
        if image not in texts:
            raise ValueError(f"{where} belongs to image_id {image!r}, which is not among the images")
        if not isinstance(annotation.get("caption"), str):
            raise ValueError(f"{where} has no caption: this is not COCO's file of captions (captions_....json)")
        if annotation["caption"].strip():
            texts[image].append(Text(annotation["caption"].strip()))
    folder = _coco_folder(path, content["images"])
    for number, image in enumerate(content["images"]):
        record = Record(f"{path}: images[{number}]", folder / image["file_name"], tuple(texts[image["id"]]))
        if not is_there(record.picture):
            raise FileNotFoundError(f"{record.where}: the picture {shortened(image['file_name'], 100)} is missing in {folder}")
        yield _with_text(record)


def _coco_content(path: Path, reading: Reading) -> dict[str, Any]:
    content = json_value(path, reading)
    kinds = {key: content.get(key) for key in ("images", "annotations")} if isinstance(content, dict) else {}
    if not kinds or not all(isinstance(value, list) for value in kinds.values()):
        raise ValueError(f"{path}: is not COCO's captions JSON: it needs lists images and annotations")
    for number, image in enumerate(content["images"]):
        if not isinstance(image, dict) or "id" not in image or not isinstance(image.get("file_name"), str):
            raise ValueError(f"{path}: images[{number}] has no id or no file_name")
    return content


def _coco_folder(path: Path, images: list[dict[str, Any]]) -> Path:
    """Where the pictures lie: annotations/captions_train2014.json belongs to train2014/, beside it, above it or in images/."""
    name = path.stem.removeprefix("captions_")
    above = [path.parent, path.parent.parent]
    candidates = [folder / inner for folder in above for inner in (name, f"images/{name}", "images", ".")]
    if not images:
        raise ValueError(f"{path}: has no images")
    for folder in candidates:
        if is_there(folder / images[0]["file_name"]):
            return folder
    looked = ", ".join(str(folder) for folder in candidates[:3])
    name = shortened(images[0]["file_name"], 100)
    raise FileNotFoundError(f"{path}: the picture {name} is missing: looked in {looked} and the like")


# ---- parquet


def _parquet(source: Source, options: DataOptions, reading: Reading) -> Iterator[Record]:
    path = source.path
    assert path is not None
    schema = parquet_file(path).schema_arrow
    columns, texts = _picture_columns(schema, options), _text_fields(schema.names, options)
    texts = [name for name in texts if name not in columns]
    if len(columns) != 1:
        named = options.picture_field or "image or png"
        found = f"the columns {' and '.join(columns)} hold pictures" if columns else f"no column {named!r} holds pictures"
        raise OptionError(f"{path}: {found}; it has: {', '.join(schema.names)}; {ADVICE}")
    if not texts or any(name not in schema.names for name in texts):
        lacking = next((name for name in texts if name not in schema.names), " or ".join(TEXT_FIELDS))
        raise OptionError(f"{path}: no column {lacking!r}; available: {', '.join(schema.names)}; {ADVICE}")
    said = [name for name in ("kind", "answer") if name in schema.names]
    for number, row in parquet_rows(source, [*columns, *texts, *said]):
        where = f"{path}: row {number}"
        yield _with_text(Record(where, picture_of(row[columns[0]], path, where), _texts(row, where, options)))


def picture_of(value: Any, path: Path, where: str) -> bytes | Path:
    """The picture in a column: bytes, or as the library datasets stores pictures {"bytes", "path"}, with a path relative to the
    file. ValueError for none, FileNotFoundError for a missing file, both in a line that begins with `where`."""
    if isinstance(value, dict):
        file = value.get("path")
        value = value.get("bytes")
        if value is None and file:
            if not is_there(path.parent / file):
                raise FileNotFoundError(f"{where}: the picture {shortened(str(file), 100)} is missing in {path.parent}")
            return path.parent / file
    if not value:
        raise ValueError(f"{where}: has no picture")
    return value


# ---- the hub


def hub_column(rows: Any, corpus: str, options: DataOptions) -> str | None:
    """The column of a hub's data set that holds pictures; None where it has none. OptionError where it is not clear which."""
    features = getattr(rows, "features", None) or {}
    found = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    if options.picture_field is not None:
        found = [name for name in found if name == options.picture_field]
        if not found:
            raise OptionError(
                f"{corpus}: no pictures in ‹data.picture_field›={options.picture_field}; it has: {', '.join(features)}"
            )
    if len(found) > 1:
        raise OptionError(f"{corpus}: the columns {' and '.join(found)} hold pictures: choose one, ‹data.picture_field›=NAME")
    return found[0] if found else None


def write_hub(rows: Iterable[dict[str, Any]], column: str, path: Path) -> None:
    """Rows with undecoded pictures, {"bytes", "path"} in `column`, as a parquet file; of the others, columns that hold text."""
    import pyarrow
    import pyarrow.parquet as parquet

    schema, writer, held = None, None, list[dict[str, Any]]()

    def flush() -> None:
        nonlocal writer, schema
        if schema is None:
            first = pyarrow.Table.from_pylist(held)
            texts = [f for f in first.schema if pyarrow.types.is_string(f.type) or pyarrow.types.is_list(f.type)]
            picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
            schema = pyarrow.schema([(column, picture), *((f.name, f.type) for f in texts if f.name != column)])
            writer = parquet.ParquetWriter(path, schema)
        assert writer is not None
        writer.write_table(pyarrow.Table.from_pylist(held, schema=schema))
        held.clear()

    for row in rows:
        held.append(row)
        if len(held) == BATCH_ROWS:
            flush()
    flush()
    assert writer is not None
    writer.close()


# ---- WebDataset


def _tar(source: Source, options: DataOptions, reading: Reading) -> Iterator[Record]:
    """Members that share a name up to its first dot are one record: a picture and .txt (each line is a text) or .json."""
    path = source.path
    assert path is not None
    key, members = "", dict[str, bytes]()
    for name, content in _members(path):
        folder, _, last = name.rpartition("/")
        stem, _, ending = last.partition(".")
        if members and (folder, stem) != tuple(key.rsplit("/", 1)):
            yield _tar_record(path, key.removeprefix("/"), members, options, reading)
            members = {}
        key, ending = f"{folder}/{stem}", ending.lower()
        if ending in members:
            raise ValueError(f"{path}: {name} is there twice")
        members[ending] = content
    if members:
        yield _tar_record(path, key.removeprefix("/"), members, options, reading)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as whole:  # tarfile takes a file that was cut between two members for a whole one
        whole.seek(-min(tarfile.BLOCKSIZE, path.stat().st_size), os.SEEK_END)
        if any(whole.read()) or path.stat().st_size < tarfile.BLOCKSIZE:
            raise ValueError(f"{path}: damaged or not a tar file: it does not end as one does")
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                ending = "." + member.name.rpartition("/")[2].partition(".")[2].lower()
                if not member.isfile() or ending not in (*ENDINGS, ".txt", ".json"):
                    continue
                if member.size > MOST_BYTES:
                    raise ValueError(f"{path}: {member.name} has {member.size:,} bytes, more than {MOST_BYTES:,}: leave it out")
                file = tar.extractfile(member)
                assert file is not None
                yield member.name, file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path}: damaged or not a tar file: {error}") from None


def _tar_record(path: Path, key: str, members: dict[str, bytes], options: DataOptions, reading: Reading) -> Record:
    where = f"{path}: {key}"
    pictures = [ending for ending in members if f".{ending}" in ENDINGS]
    if len(pictures) != 1:
        raise ValueError(f"{where}: {'has no picture' if not pictures else 'has two pictures'}, but {', '.join(members)}")
    texts: tuple[Text, ...] = ()
    regions: tuple[Region, ...] = ()
    if "json" in members:
        text = whole_text(members["json"], f"{where}.json", reading)
        try:
            row = mended(parsed(text), text, path, reading)
        except ValueError as error:
            raise OptionError(f"{where}.json is {marked(error)}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{where}.json is no JSON object, but {type(row).__name__}")
        regions = regions_of(row, where)
        if "txt" not in members or options.text_field != "text":
            texts = _texts(row, where, options)
    if "txt" in members and not texts:
        lines = whole_text(members["txt"], f"{where}.txt", reading).split("\n")
        texts = tuple(Text(line.removesuffix("\r")) for line in lines if line.strip())
    return _with_text(Record(where, members[pictures[0]], texts, regions))


_READERS: dict[str, Callable[[Source, DataOptions, Reading], Iterator[Record]]] = {
    FOLDER: _folder, COCO: _coco, PARQUET: _parquet, TAR: _tar, nlvr.KIND: lambda source, *_: nlvr.records(source),
}  # fmt: skip
