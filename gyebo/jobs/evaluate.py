"""`gyebo evaluate`: bits per byte of a model on text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gyebo.config import toml
from gyebo.config.run import DataOptions
from gyebo.data.prepare import open_corpus, prepare
from gyebo.data.shards import Prepared
from gyebo.evaluation import evaluate_text, held_out_rows
from gyebo.interchange import load
from gyebo.jobs import runs
from gyebo.jobs.corpora import floor
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.machine import DTYPES, pick_device


def evaluate(
    name: str,
    corpus: list[str],
    *,
    context: int | None = None,
    data: dict[str, Any] | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> dict[str, Any]:
    """bits_per_byte, bits_per_character, perplexity, tokens, bytes, documents; on all of `corpus`, or where it is empty on the
    held-out part of the run.

    A published model without a start or an end role: the first token is charged log2 of the vocabulary, the end is not
    charged, and "note" says so. Raises ValueError where the model has no tokenizer, or is no run and no corpus is given.
    """
    if precision not in DTYPES:
        raise ValueError(f"--precision must be one of {', '.join(DTYPES)}, but is {precision!r} instead")
    model, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    prepared = _text(name, corpus, data or {}, tokenizer)
    place = pick_device(device)
    model = model.to(place).eval()
    window = context or model.config.context
    if not 2 <= window <= model.config.context:
        raise ValueError(f"--context must be from 2 to the model's {model.config.context}, but is {window} instead")
    start, end = tokenizer.role_ids.get("bos"), tokenizer.role_ids.get("eos")
    rows = held_out_rows(prepared.valid, window, start, end, pad=tokenizer.role_ids.get("pad", 0))
    half = lambda: torch.autocast(place.type, DTYPES[precision], enabled=precision != "float32")  # noqa: E731
    result: dict[str, Any] = dict(evaluate_text(model, rows, autocast=half))
    if floor(prepared) is not None:
        result["floor_bits_per_byte"] = floor(prepared)
    missing = [role for role, id in (("start", start), ("end", end)) if id is None]
    if missing:
        result["note"] = f"the model has no {' and no '.join(missing)} role: see docs/evaluation.md"
    return result


def _text(name: str, corpus: list[str], data: dict[str, Any], tokenizer: Tokenizer) -> Prepared:
    """The text to score, as the held-out part of a prepared corpus."""
    if corpus:
        options = toml.check(DataOptions, {**data, "corpus": corpus})
        return prepare(open_corpus(options, hold_out_all=True), tokenizer)
    if not (Path(name) / "run.toml").is_file():
        raise ValueError(f"{name} is not a run of gyebo, so it has no held-out part: name a corpus")
    options = runs.options_of(runs.read(Path(name)), Path(name)).data
    return prepare(open_corpus(options), tokenizer)
