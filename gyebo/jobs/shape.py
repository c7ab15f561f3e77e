"""The shape of a fresh model: a size of its family, with the fields that a user sets otherwise."""

from __future__ import annotations

import dataclasses
from typing import Any

from gyebo.config import toml
from gyebo.text.tokenizer import Tokenizer

# How a field of a family's config is declared -> what it takes, and how that is called.
KINDS: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a word"),
    "tuple[int, ...]": (list, "a list of whole numbers"),
}

# Fields that follow from the tokenizer, from the text and from what is learned.
FIXED = {"vocab_size", "context", "window", "symbols", "pad_id", "bos_id", "eos_id", "start_id", "mlm", "nsp", "pooler"}


def shaped(
    size: Any, changes: dict[str, Any], tokenizer: Tokenizer, *, context: int | None = None, section: str = "model"
) -> Any:
    """The size's config with the tokenizer's vocabulary and roles, a run's context, and the fields of `--set SECTION.*`. The
    context is the window of a config that has one: how long a text may be stays as it is.

    Raises ValueError for a field that the family has not, or a value of another kind.
    """
    kinds = {field.name: str(field.type).removesuffix(" | None") for field in dataclasses.fields(size)}
    for name, value in changes.items():
        if name not in kinds or name in FIXED:
            raise ValueError(f"unknown option '{section}.{name}'{toml.suggest(name, sorted(set(kinds) - FIXED))}")
        accepted, words = KINDS[kinds[name]]
        if not isinstance(value, accepted) or (isinstance(value, bool) and accepted is not bool):
            raise ValueError(f"{section}.{name} must be {words}, but is {value!r} instead")
    if context and "window" in kinds and context > size.context:
        raise ValueError(f"--context {context}: a window of the text is at most as long as a text, {size.context} tokens")
    ids = {f"{role}_id": tokenizer.role_ids.get(role) for role in ("pad", "bos", "eos")}
    asked = {"window" if "window" in kinds else "context": context} if context else {}
    return dataclasses.replace(size, vocab_size=tokenizer.vocab_size, **ids, **asked, **changes)
