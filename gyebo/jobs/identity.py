"""What makes a run the run that it is: named parts, each with its digest, and the hash over them.

`run.toml` and the manifest of every checkpoint store it, and a run is resumed with nothing else. Budget and learning rate are
no part of it, since they may change on the way (`gyebo/jobs/changes.py`); nor are the names of sources: what these hold is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import scratch
from gyebo.config.run import RunOptions, Section, names_source
from gyebo.data.prepare import open_corpus
from gyebo.interchange import load
from gyebo.jobs.places import published_name
from gyebo.jobs.pretraining.pictures import sized
from gyebo.models.family import find
from gyebo.text.tokenizer import Tokenizer
from gyebo.training import checkpoint

Identity = dict[str, str]  # part -> digest

WORDS = {  # part -> what is said where it differs
    "options": "the options are not those that it was started with",
    "seed": "the seed is another one",
    "corpus": "the corpus has changed since the run",
    "tokenizer": "the tokenizer is another one",
    "start": "the weights that it started from are others",
    "teacher": "the teacher's weights differ",
    "picture_tokenizer": "the picture tokenizer is another one",
    "teachers": "the teachers' weights differ",
    "texts": "the texts without a label have changed since the run",
    "examples": "the examples of its task have changed since the run",
}
HASH = "hash"  # beside the parts, where they are stored
# These change nothing of what is learned; what a recipe chooses stands among the other options.
FREE = {"recipe", "device", "checkpoint_every", "evaluate_every", "evaluate_tokens", "keep"}
BUDGET = {"budget.steps", "budget.tokens", "budget.flops", "budget.minutes", "budget.epochs", "steps", "epochs"}
RATE = "optim.lr"


# ---- the parts


def of(options: Mapping[str, Any], **parts: str | None) -> Identity:
    """The identity of a run with these options (as `run.toml` stores them); `parts`: digests of what it is made of, None where
    it has no such part."""
    named = {name: value for name, value in toml.flat(options).items() if value is not None and _decides(name, value)}
    seed = named.pop("seed", 0)
    text = json.dumps(named, sort_keys=True, ensure_ascii=True)
    found = {"options": hashlib.sha256(text.encode()).hexdigest(), "seed": str(seed), **parts}
    return {name: value for name, value in found.items() if value is not None}


def _decides(name: str, value: Any) -> bool:
    """Whether an option is a part of the identity by its own value."""
    if names_source(name):
        return name == "model" and isinstance(value, str) and scratch(value) is not None
    return name not in BUDGET and name != RATE and name.rpartition(".")[2] not in FREE


def of_pretraining(options: RunOptions, out: Path, corpus: str | None = None) -> Identity:
    """The identity of a pretraining in `out`, whose tokenizer exists; `corpus`: its fingerprint, if it was read already."""
    named = options.start_from or options.teacher
    model, tokenizer = load(named) if named else (None, None)
    if options.tokenizer and options.tokenizer != named:
        tokenizer = Tokenizer.load(options.tokenizer)
    elif not named and find(options.family).reads_text:
        tokenizer = Tokenizer.load(out / "tokenizer")
    weights = None if model is None else digest(model)
    painter = load(options.picture_tokenizer)[0] if options.picture_tokenizer else None
    return of(
        options.model_dump(mode="json"),
        corpus=corpus or open_corpus(sized(options, find(options.family), model)).fingerprint,
        tokenizer=tokenizer.fingerprint if tokenizer else None,
        picture_tokenizer=None if painter is None else digest(painter),
        **{"start" if options.start_from else "teacher": weights},
    )


def digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of a model's weights."""
    found = hashlib.sha256()
    for name, tensor in sorted(checkpoint.weights(model).items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        found.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy knows no bfloat16
    return found.hexdigest()


def stamped(identity: Identity) -> Identity:
    """The identity as it is stored: with the hash over its parts."""
    text = json.dumps(identity, sort_keys=True)
    return {HASH: hashlib.sha256(text.encode()).hexdigest(), **identity}


# ---- what is refused


def differences(stored: Section, given: Section, *, by_content: bool) -> dict[str, tuple[Any, Any]]:
    """The options that differ and decide something, budget and rate among them: name -> (stored, given).

    `by_content`: sources are compared by what they hold, so their names don't count; otherwise one place has one name.
    """
    old, new = toml.flat(stored.model_dump(mode="json")), toml.flat(given.model_dump(mode="json"))
    found = {}
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name), new.get(name)
        if names_source(name) and not (_decides(name, one) or _decides(name, other)):
            if by_content or _places(one) == _places(other):
                continue
        elif name.rpartition(".")[2] in FREE:
            continue
        if one != other:
            found[name] = (one, other)
    return found


def _places(names: Any) -> list[str]:
    given = [names] if isinstance(names, str) else names or []
    return [os.path.abspath(published_name(name)) for name in given]  # noqa: PTH100


def schedule(stored: Section, given: Section, out: Path, *, by_content: bool) -> set[str]:
    """The options of budget and rate that a resumed run changes; OptionError for others that differ."""
    found = differences(stored, given, by_content=by_content)
    changed = {name for name in found if name in BUDGET or name == RATE}
    if other := [f"{name}: {one!r} stored, {two!r} given" for name, (one, two) in found.items() if name not in changed]:
        raise OptionError(f"{out} can't be resumed with other options: {'; '.join(other)}. Use a new ‹out› to change them")
    return changed


def refuse_other(record: Mapping[str, Any], found: Identity, out: Path) -> list[str]:
    """OptionError where a run, by its record, is another one than `found`, with what differs; otherwise the parts that could
    not be compared, since an earlier version did not store them."""
    stored, whole = stored_in(record), "identity" in record
    if whole and of(record["options"])["options"] != stored["options"]:
        raise OptionError(f"{out / 'run.toml'}: its options were changed by hand: restore them")
    compared = {part for part in WORDS if part != "options" and (whole or part in stored)}  # options: `schedule` names them
    if wrong := _differing(stored, found, compared):
        raise OptionError(f"{out}: {wrong}. Restore what the run was started with, or start another one in a new directory")
    return [] if whole else [part for part in found if part not in stored and part not in ("options", "seed")]


def stored_in(record: Mapping[str, Any]) -> Identity:
    """The parts that a record names; an earlier version named the corpus or the examples only."""
    if "identity" in record:
        return {name: value for name, value in record["identity"].items() if name != HASH}
    known = {"corpus": record.get("corpus"), "examples": record.get("task")}
    return {name: section["fingerprint"] for name, section in known.items() if section}


def refuse_foreign(record: Mapping[str, Any], out: Path) -> None:
    """OptionError for a checkpoint in `out` that another run wrote."""
    own = record.get("identity")
    for path in checkpoint.steps(out / "checkpoints"):
        try:
            found = json.loads((path / "manifest.json").read_text(encoding="utf-8")).get("identity")
        except (OSError, ValueError, AttributeError):
            continue  # a damaged one, which is skipped
        if found != own:
            why = _differing(own, found, WORDS) if found and own else "only one of the two has an identity"
            raise OptionError(
                f"{path} is a checkpoint of another run ({why or 'its identity differs'}): take it away from {out}"
            )


def _differing(stored: Identity, found: Identity, parts: Collection[str]) -> str:
    """In words the parts that differ."""
    return "; ".join(words for part, words in WORDS.items() if part in parts and stored.get(part) != found.get(part))
