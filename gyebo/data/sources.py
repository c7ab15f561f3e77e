"""CORPUS: the sources of text that a user may name; what is in them is read by `documents.py`.

files, folders or globs (.txt, .md, .log, .jsonl, .json, .csv, .tsv, .parquet, each but the last also .gz, .xz or .zst; of
pictures .tar, .parquet, a folder with a captions file, COCO's .json; of a .parquet PATH#COLUMN=VALUE are some rows) |
hf:NAME[/CONFIG][:SPLIT] | world:[ko|en][,N] | world:pictures[,...] | - (stdin)
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gyebo.config.disk import DiskFull, disk_full
from gyebo.config.durable import LEFT_ALONE, clean, flush, make_folder, rename, replacing
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data import nlvr, picture_sources, world_pictures
from gyebo.data.encoding import Reading
from gyebo.data.json_rows import begins_with
from gyebo.data.opening import PACKED
from gyebo.data.picture_files import ENDINGS
from gyebo.data.records import as_prepared
from gyebo.data.rows import instead_of
from gyebo.data.source import Source
from gyebo.data.values import ABSENT, find

WORLD_DOCUMENTS = 20_000
FORMATS = (".txt", ".md", ".log", ".jsonl", ".json", ".csv", ".tsv", ".parquet")
PLAIN = ("txt", "md", "log")  # of which each is plain text
HUB = "hf:"  # prefix of the name of a data set of the Hugging Face hub
PICTURE_FORMATS = (".tar",)  # WebDataset
APART = (".tar", ".json", ".json.gz", ".json.xz", ".json.zst")  # read where they are named, not as files of a folder
# Kinds of sources that an option has an effect on: which column, which bytes.
WITH_PICTURE_FIELD = {picture_sources.FOLDER, picture_sources.PARQUET}
WITH_FIELDS = {"jsonl", "json", "csv", "tsv", "parquet", picture_sources.TAR, *WITH_PICTURE_FIELD}
WITH_BYTES = {"txt", "jsonl", "json", "csv", "tsv", picture_sources.FOLDER, picture_sources.COCO, picture_sources.TAR}
MOST_ENDINGS = 5  # that are named of files which are not read
_ALL = ", ".join((*FORMATS, *PICTURE_FORMATS))
_PACKED = f"(also {', '.join(PACKED[1:])})"


def resolve(corpora: list[str], spool: Path, options: DataOptions, notes: list[str] | None = None) -> list[Source]:
    """The named sources, in order; streams (stdin, hf:) are written to files in `spool` first. What of a folder is left out is
    said in `notes`.

    Raises FileNotFoundError for a path or glob that matches nothing, ValueError for a name or format that is not known.
    """
    notes = [] if notes is None else notes
    sources: list[Source] = []
    for corpus in corpora:
        if corpus == "-":
            sources.append(_spool_stdin(spool))
        elif corpus.startswith(HUB):
            sources.append(_spool_hub(corpus, spool, options))
        elif nlvr.prefix_of(corpus):
            sources.append(nlvr.source(corpus))
        elif corpus.startswith("world:"):
            sources.append(world_pictures.source(corpus) if world_pictures.is_named(corpus) else _world(corpus))
        else:
            sources += [_file(path, rows, options) for path, rows in _paths(corpus, options, notes)]
    return sources


def without_rows(corpus: str) -> tuple[str, tuple[str, str] | None]:
    """A name and which rows of the file are meant: PATH#COLUMN=VALUE."""
    name, _, rows = corpus.rpartition("#")
    column, equals, value = rows.partition("=")
    if not name or not equals or Path(corpus).exists():
        return corpus, None
    return name, (column, value)


def _paths(corpus: str, options: DataOptions, notes: list[str]) -> list[tuple[Path, tuple[str, str] | None]]:
    """The files of a name, and which of their rows count. A folder of pictures is its captions file."""
    name, rows = without_rows(corpus)
    path = Path(name)
    if path.is_dir():
        captions = picture_sources.captions_of(path, options)
        return [(p, rows) for p in ([captions] if captions else _within(path, corpus, notes))]
    if path.is_file():
        return [(path, rows)]
    found = sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).is_file())  # noqa: PTH207 (absolute patterns too)
    if not found:
        raise FileNotFoundError(f"{corpus}: no such file or folder (a corpus is a path, a glob, hf:NAME, world: or -)")
    return [(p, rows) for p in found]


def _within(folder: Path, corpus: str, notes: list[str]) -> list[Path]:
    """The files of text in a folder, otherwise its .tar files; what is left out of it is counted in `notes`."""
    there = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    within = [p for p in there if not picture_sources.is_aside(p, folder)]
    texts = [p for p in within if _format(p) and not p.name.lower().endswith(APART)]
    about = [p for p in texts if p.name.lower() == "readme.md" and any(not _is_markdown(other) for other in texts)]
    texts = [p for p in texts if p not in about]
    found = texts or [p for p in within if p.suffix.lower() == ".tar"]
    read = {*found, *about}
    others = [p for p in within if p not in read] if found else []
    for left, why in (
        ([p for p in there if _format(p) and p not in within], "names that begin with a dot, or __MACOSX"),
        (about, "a README.md beside other files"),
        (others, f"of kinds that are not read from a folder: {_endings(others)}"),
    ):
        if left:
            count = f"{len(left):,} file{'s' if len(left) > 1 else ''}"
            notes.append(f"{corpus}: {count} left out ({why}), such as {left[0].relative_to(folder)}")
    if not found:
        alone = any(p.suffix.lower() in ENDINGS for p in within)
        lacking = f"pictures, but no captions file ({', '.join(picture_sources.CAPTIONS)})" if alone else ""
        raise FileNotFoundError(f"{corpus}: the folder holds {lacking or f'no {_ALL} file {_PACKED}'}")
    return found


def _endings(paths: list[Path]) -> str:
    found = sorted({p.suffix.lower() or p.name for p in paths})
    return ", ".join(found[:MOST_ENDINGS]) + (", ..." if len(found) > MOST_ENDINGS else "")


def _is_markdown(path: Path) -> bool:
    return path.name.lower().endswith(tuple(f".md{packed}" for packed in PACKED))


def _format(path: Path) -> str:
    name = path.name.lower()
    found = next((form[1:] for form in FORMATS for packed in PACKED if name.endswith(form + packed)), "")
    found = found or next((form[1:] for form in PICTURE_FORMATS if name.endswith(form)), "")
    return "txt" if found in PLAIN else found


def _file(path: Path, rows: tuple[str, str] | None, options: DataOptions) -> Source:
    kind = picture_sources.FOLDER if picture_sources.is_captions(path, options) else _format(path)
    if not kind:
        raise ValueError(f"{path}: not one of {_ALL} {_PACKED}: {instead_of(path)}")
    if kind == "parquet" and path.suffix.lower() != ".parquet":
        raise ValueError(f"{path}: parquet files are compressed already: decompress the {path.suffix} first")
    if kind == "parquet" and picture_sources.holds_pictures(path, options):
        kind = picture_sources.PARQUET
    if rows and kind not in ("parquet", picture_sources.PARQUET):
        raise ValueError(f"{path}#{rows[0]}={rows[1]}: rows are chosen by a column of .parquet files only")
    if kind == "json" and begins_with(path, reading_of(options)) != "[":
        kind = picture_sources.COCO  # an object of lists
    return Source(kind, path, rows=rows)


def reading_of(options: DataOptions) -> Reading:
    """How the bytes of a corpus become text; counts what is replaced."""
    return Reading(options.encoding, options.bad_bytes)


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
        while block := sys.stdin.buffer.read(1 << 20):
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
                    if (text := find(row, field)) is ABSENT:
                        raise OptionError(f"{corpus}: no field {field!r}; available: {', '.join(row)} (‹data.text_field›=NAME)")
                    file.write(json.dumps({field: text}, ensure_ascii=False) + "\n")
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


def fingerprint(sources: list[Source], options: DataOptions) -> str:
    """SHA-256 over the content of all sources and the options that define documents and the held-out set."""
    digest = hashlib.sha256()
    settings = options.model_dump(include={"documents", "text_field", "bad_bytes", "valid_last"}) | {
        "share": options.hash_share
    }
    if any(source.pictured for source in sources):
        settings |= as_prepared(options)
    if options.encoding is not None:
        settings["encoding"] = options.encoding
    if options.documents == "blank" or any(_read_anew(source) for source in sources):
        settings["readers"] = 2
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
            digest.update(nlvr.grammar(source.settings).encode() if source.kind == nlvr.KIND else b"")
            for path in picture_sources.files_of(source, options):
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _read_anew(source: Source) -> bool:
    """Whether the readers of 2026-12 give other documents of a source, or refuse it, than those before."""
    return source.kind in ("csv", "jsonl") or (source.path is not None and source.path.suffix.lower() == ".zst")
