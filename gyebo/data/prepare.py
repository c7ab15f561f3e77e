"""From a CORPUS to token shards: in parallel over processes, resumable part by part, never more than a few chunks in memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gyebo.config import durable
from gyebo.config.disk import disk_full
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data import documents, picture_files, picture_sources, pictures, sources
from gyebo.data.lock import sole_writer
from gyebo.data.records import Record, as_prepared
from gyebo.data.shards import SPLITS, Prepared, Split, damaged, mapped, token_dtype, write_files, write_part
from gyebo.data.source import Chunk, Source
from gyebo.data.splitting import split_documents, split_key, split_records
from gyebo.data.wanted import Wanted
from gyebo.data.workers import Worker, Workers
from gyebo.text.tokenizer import Tokenizer

Report = Callable[[int], None]  # called with the bytes of text prepared so far


def cache_folder() -> Path:
    """Where prepared corpora are cached: $GYEBO_CACHE, otherwise ~/.cache/gyebo."""
    return Path(os.environ.get("GYEBO_CACHE") or Path.home() / ".cache" / "gyebo")


@dataclass(frozen=True)
class Corpus:
    """A resolved CORPUS: its sources, the completely held-out ones (`valid`), its options, and the fingerprint of all of these.

    without: the sources of texts that no training document may hold. notes: what was left out, one line each.
    """

    sources: list[Source]
    valid: list[Source]
    options: DataOptions
    fingerprint: str
    without: list[Source] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_corpus(options: DataOptions, *, hold_out_all: bool = False, fingerprint: bool = True) -> Corpus:
    """Resolve the names and read everything once for the fingerprint; errors as in `sources.resolve`.

    `hold_out_all`: the whole corpus is held out, none of it is training text. `fingerprint` False: nothing is read, and the
    corpus can't be prepared.
    """
    spool = cache_folder() / "spool"
    notes: list[str] = []
    found = sources.resolve(options.corpus, spool, options, notes)
    valid = sources.resolve([options.valid], spool, options, notes) if options.valid else []
    if hold_out_all:
        if options.without:
            raise OptionError("‹data.without› has no effect on text that is held out whole: leave it out")
        found, valid = [], found
    without = sources.resolve(options.without, spool, options)
    _refuse_mixed([*found, *valid], options)
    parts = (found, valid, *([without] if without else [])) if fingerprint else ()
    marks = [sources.fingerprint(part, options) for part in parts]
    return Corpus(found, valid, options, hashlib.sha256("".join(marks).encode()).hexdigest(), without, notes)


def _refuse_mixed(found: list[Source], options: DataOptions) -> None:
    """OptionError where some sources are pictures and others text alone, or an option is about pictures and there are none."""
    pictured = [source for source in found if source.pictured]
    if pictured and len(pictured) < len(found):
        text = next(source for source in found if not source.pictured)
        raise OptionError(
            f"‹data.corpus›: {pictured[0].name} holds pictures and {text.name} text alone: a corpus, with what is held out, is "
            "one of the two"
        )
    for option in ("picture_field", "picture_size", "picture_fit", "crop_size"):
        value = getattr(options, option)
        if value is not None and not pictured:
            raise OptionError(
                f"‹data.{option}›={value} has no effect on {', '.join(options.corpus)}: it holds no pictures; leave it out"
            )


def unwanted(corpus: Corpus) -> Wanted | None:
    """The texts that no training document may hold; None where any may. A line of plain text is one."""
    lines = corpus.options.model_copy(update={"documents": "line"})
    chunks = documents.chunks(corpus.without, lines)
    return Wanted.of(text for chunk in chunks for text in documents.texts_of(chunk, lines)) if corpus.without else None


def texts_by_split(chunk: Chunk, options: DataOptions, cut: int | None, held_out: bool) -> dict[str, list[str]]:
    """The documents of a chunk by split, those of pictures too; arguments as in `split_documents`."""
    if not chunk.source.pictured:
        return split_documents(documents.texts_of(chunk, options), options, cut, held_out)
    parts = split_records(list(documents.records_of(chunk, options)), options, cut, held_out)
    return {split: [text.text for record in records for text in record.texts] for split, records in parts.items()}


def training_texts(corpus: Corpus) -> Iterator[str]:
    """The training documents as a stream, in corpus order, for training a tokenizer."""
    cuts, without = _cuts(corpus), unwanted(corpus)
    for chunk in documents.chunks(corpus.sources, corpus.options):
        texts = texts_by_split(chunk, corpus.options, cuts(chunk), False)["train"]
        yield from (text for text in texts if not (without and without.find(text)))


def first_texts(corpus: Corpus, characters: int) -> list[str]:
    """The first training documents, of `characters` together; the last one is cut. No more is read than the chunks of them."""
    found: list[str] = []
    for text in training_texts(corpus):
        found.append(text[:characters])
        characters -= len(text)
        if characters <= 0:
            break
    return found


def first_records(corpus: Corpus, count: int) -> list[Record]:
    """The first training pictures of a corpus of pictures; no more is read than the chunks of them."""
    cuts, found = _cuts(corpus), list[Record]()
    for chunk in documents.chunks(corpus.sources, corpus.options):
        found += split_records(list(documents.records_of(chunk, corpus.options)), corpus.options, cuts(chunk), False)["train"]
        if len(found) >= count:
            break
    return found[:count]


def _cuts(corpus: Corpus) -> Callable[[Chunk], int | None]:
    """Of a chunk, the number of characters that are training text, for `valid_last`: a first pass counts all characters."""
    share = corpus.options.valid_last
    if share is None:
        return lambda chunk: None
    lengths = [sum(map(len, documents.texts_of(c, corpus.options))) for c in documents.chunks(corpus.sources, corpus.options)]
    boundary = math.floor(sum(lengths) * (1 - share) + 1e-9)
    before = [0]
    for length in lengths:
        before.append(before[-1] + length)
    return lambda chunk: boundary - before[chunk.number]


@dataclass(frozen=True)
class PartWriter:
    """Writes parts; sent to each worker process once."""

    tokenizer: Tokenizer | None
    options: DataOptions
    folder: Path
    without: Wanted | None = None

    def part(self, chunk: Chunk, number: int, cut: int | None, held_out: bool) -> dict[str, Any]:
        """Tokenize a chunk into part `number`; returns the record of the part, which is written last."""
        record: dict[str, Any] = {"sample": "", "floor": 0.0, "sha256": {}}
        write = self._write_pictures if chunk.source.pictured else self._write_documents
        write(chunk, number, cut, held_out, record)
        durable.write(self.folder / "parts" / f"{number:05d}.json", json.dumps(record))
        return record

    def _write_documents(self, chunk: Chunk, number: int, cut: int | None, held_out: bool, record: dict[str, Any]) -> None:
        """The texts of a chunk, and what `record` says of them."""
        texts, replaced = documents.read(chunk, self.options)
        record |= {"repeated": len(texts) - len(set(texts)), "replaced": {chunk.source.name: replaced} if replaced else {}}
        parts = split_documents(texts, self.options, cut, held_out)
        if self.without:
            wanted = [text for text in parts["train"] if not self.without.find(text)]
            record["left_out"] = len(parts["train"]) - len(wanted)
            parts["train"] = wanted
        for split, kept in parts.items():
            self._write_split(split, number, kept, record)
            record["floor"] += _floor(chunk, kept) if split == "valid" else 0.0

    def _write_pictures(self, chunk: Chunk, number: int, cut: int | None, held_out: bool, record: dict[str, Any]) -> None:
        """The pictures of a chunk with their texts; one of which no text may be learned goes with them."""
        parts = split_records(list(documents.records_of(chunk, self.options)), self.options, cut, held_out)
        record["replaced"] = {chunk.source.name: chunk.replaced} if chunk.replaced else {}
        if self.without:
            kept = [_without(found, self.without) for found in parts["train"]]
            before, after = (sum(len(found.texts) for found in some) for some in (parts["train"], kept))
            record["left_out"] = before - after
            parts["train"] = [found for found in kept if found.texts]
        record["names"] = []
        for split, records in parts.items():
            self._write_split(split, number, [text.text for found in records for text in found.texts], record)
            if records:
                files = pictures.encoded([picture_files.seen(found, self.options) for found in records])
                record["sha256"] |= write_files(self.folder, split, number, files)
                record["names"].append(json.loads(files["names.json"]))
            record[split]["pictures"] = len(records)

    def _write_split(self, split: str, number: int, texts: list[str], record: dict[str, Any]) -> None:
        rows, digests = _write_texts(self.folder, split, number, texts, self.tokenizer)
        if texts:
            record["sha256"] |= digests
            record["sample"] = record["sample"] or texts[0][:300]
        record[split] = {"documents": len(rows), "tokens": sum(r[0] for r in rows), "bytes": sum(r[1] for r in rows)}


def _without(record: Record, wanted: Wanted) -> Record:
    """A picture without the texts that must not be learned."""
    return replace(record, texts=tuple(text for text in record.texts if not wanted.find(text.text)))


def _write_texts(
    folder: Path, split: str, number: int, texts: list[str], tokenizer: Tokenizer | None
) -> tuple[Sequence[tuple[int, ...]], dict[str, str]]:
    """Tokenize texts into part `number` of a split; gives their rows of the document table, and the digests of the files.
    Where there are no texts, nothing is written."""
    if not texts:
        return [], {}
    read = [unicodedata.normalize("NFC", text) for text in texts] if _composes(tokenizer) else texts
    encoded = tokenizer.encode_with_unknown(read) if tokenizer else [([], 0) for _ in texts]
    rows = [(len(ids), *_sizes(text), unknown) for text, (ids, unknown) in zip(texts, encoded)]
    return rows, write_part(folder, split, number, ids=[ids for ids, _ in encoded], rows=rows, dtype=_dtype(tokenizer))


def _composes(tokenizer: Tokenizer | None) -> bool:
    """Whether texts are composed before a tokenizer reads them: a published one may have no NFC of its own, and bytes are
    counted after it. One of ours does so itself, or was told not to."""
    return tokenizer is not None and tokenizer.normalization == "own"


def _dtype(tokenizer: Tokenizer | None) -> np.dtype[Any]:
    return token_dtype(tokenizer.vocab_size if tokenizer else 1)


def split_of(texts: list[str], tokenizer: Tokenizer, folder: Path) -> Split:
    """A few texts as a training split of their own, whose files are written into `folder`."""
    (folder / "parts").mkdir()
    _write_texts(folder, "train", 0, texts, tokenizer)
    return Split.open(folder, "train", [0], token_dtype(tokenizer.vocab_size))


def split_of_pictures(records: list[Record], options: DataOptions, tokenizer: Tokenizer, folder: Path) -> Split:
    """A few pictures with their texts as a training split of their own, likewise."""
    (folder / "parts").mkdir()
    _write_texts(folder, "train", 0, [text.text for record in records for text in record.texts], tokenizer)
    files = pictures.encoded([picture_files.seen(record, options) for record in records])
    write_files(folder, "train", 0, files)
    facts = as_prepared(options) | {"names": json.loads(files["names.json"])}
    return Split.open(folder, "train", [0], token_dtype(tokenizer.vocab_size), facts)


def _sizes(text: str) -> tuple[int, int, int]:
    """UTF-8 bytes, characters and Hangul syllables after NFC."""
    text = unicodedata.normalize("NFC", text)
    return len(text.encode()), len(text), sum("가" <= c <= "힣" for c in text)


def _floor(chunk: Chunk, texts: list[str]) -> float:
    """Minus log2 of the probability of held-out documents that the built-in world generated: no model can do better."""
    if chunk.source.path is not None or not texts:
        return 0.0
    from gyebo import world

    return sum(-world.log_probability(t, languages=chunk.source.languages) for t in texts) / math.log(2)


def prepare(
    corpus: Corpus,
    tokenizer: Tokenizer | None,
    *,
    report: Report | None = None,
    processes: int | None = None,
    check: bool = True,
) -> Prepared:
    """The corpus as token shards, from the cache if it is there: every file is checked by its digest once in a process.

    Without a tokenizer, as for models that read no text, documents have no tokens, and the pictures that they are about count.

    Parts that an interrupted preparation finished are kept; a damaged part is named on stderr and prepared again. `check`: off
    where another process of the same run has just done it. Raises ValueError for a corpus without text or with an empty
    held-out set, and for errors in its files (see `sources`).
    """
    reader = tokenizer.fingerprint if tokenizer else "no text"
    read = f"{corpus.fingerprint}{reader}{' of NFC' if _composes(tokenizer) else ''}"
    key = hashlib.sha256(read.encode()).hexdigest()[:24]
    folder = cache_folder() / "corpora" / key
    if _problem(folder, check) is None:
        return Prepared.open(folder)
    durable.make_folder(folder / "parts")
    kept = "parts that were finished are kept: free some space, or name another folder for the cache in GYEBO_CACHE"
    with disk_full(folder, kept), sole_writer(folder, wait=True):
        problem = _problem(folder, check)
        if problem is None:  # another run, which this one waited for, has prepared it meanwhile
            return Prepared.open(folder)
        if (folder / "meta.json").is_file():
            print(f"{problem}: what is damaged is prepared again", file=sys.stderr)
        durable.clean(folder / "parts")
        durable.clean(folder)
        if tokenizer:
            tokenizer.save(folder / "tokenizer")
        writer = PartWriter(tokenizer, corpus.options, folder, unwanted(corpus))
        records = _prepare_parts(corpus, writer, report, processes or count_processes(corpus))
        durable.write(folder / "meta.json", json.dumps(_meta(corpus, tokenizer, records), ensure_ascii=False, indent=1))
        mapped.cache_clear()  # what was repaired is read anew
        pictures.mapped.cache_clear()
    return Prepared.open(folder)


def _problem(folder: Path, check: bool) -> str | None:
    """Why a preparation can't be used: its meta.json is missing or unreadable, or a file is not what was written; or None."""
    meta = _record(folder / "meta.json")
    if meta is None:
        return f"{folder / 'meta.json'} is missing or can't be read"
    if "sha256" not in meta:
        return f"{folder} was prepared by a version that kept no digests"
    wrong = damaged(folder / "parts", meta["sha256"]) if check else None
    return None if wrong is None else f"{wrong} is missing or not what was written (SHA-256 differs)"


def _record(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file of the cache; None where it is missing, cut short or something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def count_processes(corpus: Corpus) -> int:
    """Number of processes; one for a small corpus, since starting a process takes longer than tokenizing a few megabytes."""
    found = [*corpus.sources, *corpus.valid]
    size = sum(_work(source) for source in found)
    return 1 if size < 3_000_000 else os.cpu_count() or 1


def _work(source: Source) -> int:
    """Bytes of text that take as long to prepare as a source: a picture takes as long as a few thousand."""
    if source.path is None:
        return (2000 if source.pictured else 500) * source.count
    return source.path.stat().st_size * (30 if source.kind in picture_sources.ELSEWHERE else 1)


Job = tuple[Chunk, int, int | None, bool]


def jobs_of(corpus: Corpus) -> Iterator[Job]:
    """The parts of a corpus: (chunk, part number, cut, held out)."""
    cuts = _cuts(corpus)
    number = 0
    for found, held_out in ((corpus.sources, False), (corpus.valid, True)):
        for chunk in documents.chunks(found, corpus.options):
            yield chunk, number, None if held_out else cuts(chunk), held_out
            number += 1


def _prepare_parts(corpus: Corpus, writer: PartWriter, report: Report | None, processes: int) -> list[dict[str, Any]]:
    """The records of all parts, by number; stored parts are not written again."""
    records: dict[int, dict[str, Any]] = {}

    def missing() -> Iterator[Job]:
        for job in jobs_of(corpus):
            parts = writer.folder / "parts"
            stored = _record(parts / f"{job[1]:05d}.json")
            if stored and "sha256" in stored and damaged(parts, stored["sha256"]) is None:
                records[job[1]] = stored
            else:
                yield job

    size = 0
    for number, record in run_jobs(writer, missing(), processes):
        records[number] = record
        size += sum(record[split]["bytes"] for split in SPLITS)
        if report:
            report(size)
    return [records[n] for n in sorted(records)]


def run_jobs(worker: Worker, jobs: Iterator[Job], processes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The record of each part by its number, from several processes if more than one; few chunks wait at a time, so that memory
    stays constant."""
    if processes == 1:
        for job in jobs:
            yield job[1], worker.part(*job)
        return
    waiting: dict[Future[dict[str, Any]], int] = {}
    with Workers(worker, processes) as workers, ThreadPoolExecutor(processes) as pool:
        try:
            for job in jobs:
                waiting[pool.submit(workers.part, *job)] = job[1]
                while len(waiting) > 2 * processes:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        yield waiting.pop(future), future.result()
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            workers.kill()
            pool.shutdown(cancel_futures=True)
            raise


def _nothing_held_out(corpus: Corpus, name: str, count: int) -> str:
    """Why the held-out set is empty, and what to do. Documents that are equal but for case and spaces are one to the hash."""
    different = len(
        {
            split_key(text)
            for c in documents.chunks(corpus.sources, corpus.options)
            for text in documents.texts_of(c, corpus.options)
        }
    )
    few = f", of which {different:,} differ (equal ones are on one side, and a hash chooses which)" if different < count else ""
    return (
        f"{name}: nothing was held out of {count:,} documents{few}: pass ‹data.valid›=FILE, a larger ‹data.valid_share›, or "
        "‹data.valid_last›=0.1 (with ‹data.documents›=file also for a single text)"
    )


def _meta(corpus: Corpus, tokenizer: Tokenizer | None, records: list[dict[str, Any]]) -> dict[str, Any]:
    pictured = any(source.pictured for source in [*corpus.sources, *corpus.valid])
    counted = ("documents", "tokens", "bytes", *(["pictures"] if pictured else []))
    totals = {split: {name: sum(record[split][name] for record in records) for name in counted} for split in SPLITS}
    corpora = ", ".join(corpus.options.corpus)
    left_out = sum(record.get("left_out", 0) for record in records)
    if not totals["train"]["documents"] and left_out:
        raise OptionError(f"{corpora}: all {left_out} training documents hold a text of ‹data.without›: bring other text")
    if not totals["train"]["documents"] and not totals["valid"]["documents"]:
        raise ValueError(f"{corpora} contains no text")
    if not totals["train"]["documents"] and corpus.sources:
        raise ValueError(f"{corpora}: all {totals['valid']['documents']} documents were held out: hold out less")
    if not totals["valid"]["documents"]:
        raise OptionError(_nothing_held_out(corpus, corpora, totals["train"]["documents"]))
    world_only = not pictured and all(source.path is None for source in [*corpus.sources, *corpus.valid])
    names = pictures.joined_names(names for record in records for names in record.get("names", []))
    shown = {"pictures": as_prepared(corpus.options) | {"names": names}} if pictured else {}
    return {
        "fingerprint": corpus.fingerprint,
        "tokenizer": tokenizer.fingerprint if tokenizer else None,
        "dtype": _dtype(tokenizer).str,
        "parts": {split: [n for n, record in enumerate(records) if record[split]["documents"]] for split in SPLITS},
        **totals,
        "sha256": {name: digest for record in records for name, digest in record["sha256"].items()},
        "sample": next(record["sample"] for record in records if record["sample"]),
        "floor_bits": sum(record["floor"] for record in records) if world_only else None,
        "options": corpus.options.model_dump(),
        "left_out": left_out,
        "repeated": sum(record.get("repeated", 0) for record in records),
        "replaced": dict(sum((Counter(record.get("replaced", {})) for record in records), Counter[str]())),
        **shown,
    }
