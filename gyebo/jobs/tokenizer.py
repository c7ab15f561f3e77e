"""`gyebo tokenizer train`: train a tokenizer on the training set of a corpus; `show`: the tokens of texts."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gyebo.config import durable
from gyebo.config.run import DataOptions
from gyebo.data.prepare import open_corpus, training_texts
from gyebo.jobs.pretraining.corpus import refuse_idle
from gyebo.jobs.run_directory import TOKENIZER, claim, started
from gyebo.text import training
from gyebo.text.tokenizer import Tokenizer

SAMPLE_DOCUMENTS = 2000
SAMPLE_TOKENS = 24


def train_tokenizer(
    data: DataOptions,
    out: Path,
    *,
    kind: str,
    vocab_size: int | None = None,
    normalize: str = "nfc",
    morphemes: bool = False,
    min_frequency: int | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train and write a tokenizer; returns vocab_size, bytes_per_token over the first documents, and the tokens of a sample.

    `vocab_size`, `min_frequency`: None: the default of the kind. Raises ValueError for options that don't fit it.
    """
    corpus = open_corpus(data)
    refuse_idle(corpus)
    if next(training_texts(corpus), None) is None:
        raise ValueError(f"{', '.join(data.corpus)}: no training text: the corpus is empty or completely held out")
    with claim(out, resume=False, overwrite=overwrite, kind=TOKENIZER):
        if console:
            console.print(f"training a {kind} tokenizer on {', '.join(data.corpus)}", highlight=False)
        tokenizer = training.train_tokenizer(
            training_texts(corpus), kind, vocab_size, normalize=normalize, morphemes=morphemes, min_frequency=min_frequency
        )
        aside = out / ".part"
        tokenizer.save(aside)
        durable.flush_files(aside)
        for path in sorted(aside.iterdir(), key=lambda path: path.name == TOKENIZER):  # the file that makes it one comes last
            path.replace(out / path.name)
            durable.flush(out)
        shutil.rmtree(aside)
        started(out)
    texts = list(itertools.islice(training_texts(corpus), SAMPLE_DOCUMENTS))
    ids = tokenizer.encode_batch(texts)
    size = sum(len(tokenizer.normalize(text).encode()) for text in texts)
    sample = tokens_of(tokenizer, texts[0]) if texts else []
    return {"vocab_size": tokenizer.vocab_size, "bytes_per_token": size / max(1, sum(map(len, ids))), "sample": sample}


def shown_tokens(directory: str | Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """For each text its tokens as strings, the ids of each, how many ids there are and how many bytes each has.

    Raises FileNotFoundError and ValueError as `Tokenizer.load`.
    """
    tokenizer, found = Tokenizer.load(directory), []
    for text in map(tokenizer.normalize, texts):
        ids = tokenizer.encode(text)
        pieces = _pieces(text, ids, tokenizer.offsets(text))
        tokens = {"tokens": [piece for piece, _ in pieces], "ids": [ids for _, ids in pieces]}
        found.append(tokens | {"count": len(ids), "bytes_per_token": len(text.encode()) / max(1, len(ids))})
    return found


def tokens_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """The first tokens of a text as strings; tokens that share a character (its bytes) are joined."""
    return [piece for piece, _ in _pieces(text, tokenizer.encode(text), tokenizer.offsets(text)[:SAMPLE_TOKENS])]


def _pieces(text: str, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[tuple[str, list[int]]]:
    """Each token as its part of the text, with its id; those that share a character (its bytes) are one part with their ids."""
    joined: list[tuple[int, int, list[int]]] = []
    for id, (start, end) in zip(ids, spans):
        if joined and start < joined[-1][1]:
            first, last, before = joined.pop()
            joined.append((first, max(end, last), [*before, id]))
        else:
            joined.append((start, end, [id]))
    return [(text[start:end], ids) for start, end, ids in joined]
