"""Corpus and tokenizer of a run: opened, trained where none is given, prepared into shards, and said."""

from __future__ import annotations

import itertools
import shutil
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from gyebo.config import durable
from gyebo.config.errors import OptionError
from gyebo.config.flags import typed
from gyebo.config.run import DataOptions, RunOptions
from gyebo.data.encoding import said_of
from gyebo.data.prepare import Corpus, open_corpus, training_texts
from gyebo.data.prepare import prepare as prepare_shards
from gyebo.data.shards import SPLITS, Prepared
from gyebo.data.sources import WITH_BYTES, WITH_FIELDS, WITH_PICTURE_FIELD
from gyebo.jobs.results import CorpusFacts
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import OFTEN, train_tokenizer
from gyebo.training import distributed


def refuse_idle(corpus: Corpus) -> None:
    """ValueError for an option about files of a kind that the corpus has none of."""
    kinds = {source.kind for source in [*corpus.sources, *corpus.valid]}
    names = ", ".join(corpus.options.corpus)
    for option, value, idle, affected, why in (
        ("text_field", corpus.options.text_field, "text", WITH_FIELDS, "it has no columns or keys"),
        ("picture_field", corpus.options.picture_field, None, WITH_PICTURE_FIELD, "it has no columns or keys of pictures"),
        ("documents", corpus.options.documents, "line", {"txt"}, "it is no plain text, so its rows are the documents"),
        ("encoding", corpus.options.encoding, None, WITH_BYTES, "it holds text already decoded"),
        ("bad_bytes", corpus.options.bad_bytes, "refuse", WITH_BYTES, "it holds text already decoded"),
    ):
        if value != idle and not kinds & affected:
            raise OptionError(f"‹data.{option}›={value} has no effect on {names}: {why}; leave it out")


def refuse_without_pictures(data: DataOptions) -> None:
    """ValueError for a source without pictures, where nothing else is learned from or measured on."""
    corpus = open_corpus(data, fingerprint=False)
    for source in (*corpus.sources, *corpus.valid):
        if not source.pictured:
            raise ValueError(
                f"{source.name} has no pictures, from which it learns: name a corpus of pictures, such as world:pictures"
            )


def open_tokenizer(options: RunOptions, corpus: Corpus, out: Path, console: Console | None) -> Tokenizer:
    """The tokenizer that is named, or the one in `out/tokenizer`, or a byte-level BPE trained on the corpus and kept there."""
    if options.tokenizer:
        return Tokenizer.load(options.tokenizer)
    folder = out / "tokenizer"
    if (folder / "tokenizer_config.json").is_file():
        return Tokenizer.load(folder)
    size = options.vocab_size if "vocab_size" in options.model_fields_set else None
    if console:
        many = f"with {size:,} ids" if size else f"of tokens that occur at least {OFTEN} times, up to {options.vocab_size:,},"
        console.print(f"no tokenizer given: training a byte-level BPE {many} on the corpus", highlight=False)
    texts = training_texts(corpus)
    first = next(texts, None)
    if first is None:
        raise ValueError(f"{', '.join(options.data.corpus)}: no training text in it: it is empty, or held out whole")
    tokenizer = train_tokenizer(itertools.chain([first], texts), "bpe", size)
    if console and tokenizer.vocab_size < options.vocab_size:
        other = "" if size else " (another number: ‹vocab_size›)"
        console.print(typed(f"the corpus gives {tokenizer.vocab_size:,} ids{other}", "pretrain"), highlight=False)
    aside = out / ".tokenizer.part"
    shutil.rmtree(aside, ignore_errors=True)
    tokenizer.save(aside)
    durable.flush_files(aside)
    durable.rename(aside, folder)
    return Tokenizer.load(folder)


REPEATED = 0.01  # share of documents that repeat another one, from which on it is said
_said: set[Path] = set()  # corpora that were described already: the runs of a comparison share one


def open_data(
    options: RunOptions,
    out: Path,
    console: Console | None,
    opened: Tokenizer | None = None,
    *,
    reads_text: bool = True,
) -> tuple[Tokenizer | None, Prepared]:
    """Tokenizer and token shards; says how many documents there are and shows one. `opened`: the tokenizer of what the run
    starts from, which may be no directory here. `reads_text`: of the family, which has no tokenizer otherwise."""
    corpus = open_corpus(options.data)
    refuse_idle(corpus)
    tokenizer = opened or open_tokenizer(options, corpus, out, console) if reads_text else None
    prepared_by = partial(prepare_shards, corpus, tokenizer, check=distributed.rank() == 0)
    if console and console.is_terminal:
        with console.status("preparing") as status:
            prepared = prepared_by(report=lambda n: status.update(f"prepared {n / 1e6:,.1f} MB of text"))
    else:
        prepared = prepared_by()
    if console and prepared.folder not in _said:
        _said.add(prepared.folder)
        train, valid = prepared.meta["train"], prepared.meta["valid"]
        for line in [*corpus.notes, *_notes(prepared)]:
            console.print(escape(line), highlight=False)
        console.print(
            f"corpus: {train['documents']:,} documents for training ({train['bytes'] / 1e6:,.1f} MB, "
            f"{train['tokens']:,} tokens), {valid['documents']:,} held out; a document is a {_unit(corpus, prepared)}, "
            "for example:",
            highlight=False,
        )
        console.print(f"  [dim]{escape(prepared.meta['sample'][:160])}[/dim]", highlight=False)
    return tokenizer, prepared


def replaced_in(prepared: Prepared) -> list[str]:
    """How many bad bytes were replaced in each file, a line each."""
    return [said_of(name, count) for name, count in prepared.meta.get("replaced", {}).items()]


def _notes(prepared: Prepared) -> list[str]:
    """What is odd about a corpus, one line each: texts that are left out, bytes that were no text, repetitions."""
    meta = prepared.meta
    count = sum(meta[split]["documents"] for split in SPLITS)
    found = replaced_in(prepared)
    if left_out := meta.get("left_out"):
        found.append(f"{left_out:,} documents hold a text that must not be learned and are left out")
    if (repeated := meta.get("repeated", 0)) >= REPEATED * count and repeated:
        found.append(f"at least {repeated:,} of {count:,} documents repeat another one: leave repetitions out of a corpus")
    return found


def _unit(corpus: Corpus, prepared: Prepared) -> str:
    if prepared.train.pictures is not None and prepared.valid.pictures is not None:
        numbers = f"{len(prepared.train.pictures):,} pictures, and {len(prepared.valid.pictures):,} held out"
        return f"text of one of {numbers} ({prepared.train.pictures.size} pixels a side)"
    words = {"line": "line", "blank": "block between blank lines", "file": "file"}
    named = {"txt": f"{words[corpus.options.documents]} (option documents)", "world": "text that the world wrote"}
    kinds = (source.kind for source in [*corpus.sources, *corpus.valid])
    return " or a ".join(dict.fromkeys(named.get(kind, "row") for kind in kinds))


def prepare(options: RunOptions, out: Path, console: Console | None = None) -> CorpusFacts:
    """Tokenizer and shards for several runs: where the tokenizer is, and what the corpus holds."""
    durable.make_folder(out)
    tokenizer, prepared = open_data(options, out, console)
    assert tokenizer is not None
    train, valid = prepared.meta["train"], prepared.meta["valid"]
    return CorpusFacts(
        tokenizer=options.tokenizer or str(out / "tokenizer"),
        documents=train["documents"],
        valid_documents=valid["documents"],
        tokens=train["tokens"],
        bytes=train["bytes"],
        sample=prepared.meta["sample"],
        floor_bits_per_byte=floor(prepared),
        fingerprint=prepared.meta["fingerprint"],
        tokenizer_fingerprint=tokenizer.fingerprint,
        left_out=prepared.meta.get("left_out", 0),
    )


def floor(prepared: Prepared) -> float | None:
    """The entropy of the held-out text per byte, where the built-in world wrote it: no model gets below."""
    bits = prepared.meta["floor_bits"]
    return None if bits is None else bits / prepared.meta["valid"]["bytes"]
