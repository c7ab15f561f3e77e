"""Special tokens by role (padding, start, end, mask...), as opposed to the ordinary tokens that are trained on text.

A role is what a special token means to a model. Every tokenizer that gyebo trains reserves the ids 0 to 15 for special tokens;
id i has the role `ROLES[i]`. A family only gives them strings (`[CLS]`, `<s>`, ...) and a template, so all families of a
comparison share ids and segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

NUM_ROLE_SLOTS = 16
"""Number of ids, from 0, that all tokenizers trained by gyebo reserve for special tokens."""

ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask", "user", "assistant", "system", "turn", "image")
"""The role of each reserved id; ids 12 to 15 are kept for future roles."""

HUB_ROLES = ROLES[:7]
"""The roles that `transformers` has an attribute for (`pad_token`, `bos_token`, ...)."""

SENTINEL = "<extra_id_{}>"
"""The tokens that stand for spans taken out of a text (T5), by number from 0; the first one has the highest id."""

PLAIN_SINGLE = ("$A",)
PLAIN_PAIR = ("$A", "$B")


@dataclass(frozen=True)
class Roles:
    """The special tokens of a family, and its templates for one text or a pair.

    tokens: role -> token string; two roles with the same string share the id of the one that comes first in `ROLES`.
    single, pair: the templates: roles and `$A` / `$B`, each with an optional token type (`"sep:1"`, `"$B:1"`; default 0).
    model_inputs: the fields that the family's `forward` takes, `input_ids` first.
    padding_side: "right" or "left".

    Raises ValueError for an unknown role, an empty string, a template that uses a role without a token or lacks `$A` (or `$B`
    in `pair`), or another padding side.
    """

    tokens: dict[str, str]
    single: tuple[str, ...] = PLAIN_SINGLE
    pair: tuple[str, ...] = PLAIN_PAIR
    model_inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    padding_side: str = "right"

    def __post_init__(self) -> None:
        for role, token in self.tokens.items():
            if role not in ROLES:
                raise ValueError(f"roles.tokens: unknown special token {role!r}; known: {', '.join(ROLES)}")
            if not token:
                raise ValueError(f"roles.tokens: the special token {role!r} has an empty string; give it one")
        if self.padding_side not in ("left", "right"):
            raise ValueError(f"roles.padding_side: {self.padding_side!r}; use 'right' or 'left'")
        for field, template, sequences in (("single", self.single, {"$A"}), ("pair", self.pair, {"$A", "$B"})):
            names = [split_piece(entry)[0] for entry in template]
            if sorted(name for name in names if name.startswith("$")) != sorted(sequences):
                raise ValueError(f"roles.{field}: {template!r} must have {' and '.join(sorted(sequences))} once each")
            for name in names:
                if not name.startswith("$") and name not in self.tokens:
                    raise ValueError(f"roles.{field}: uses {name!r}, which has no string in roles.tokens")


def roles_of(family: Any) -> Roles:
    """The special tokens of an entry of `gyebo.models.family`."""
    return Roles(
        tokens=family.tokens,
        single=family.single,
        pair=family.pair,
        model_inputs=family.model_inputs,
        padding_side=family.padding_side,
    )


@cache
def split_piece(piece: str) -> tuple[str, int]:
    """Split an entry of a template into name and token type: `"sep:1"` -> ("sep", 1). Raises ValueError if not a number."""
    name, colon, kind = piece.partition(":")
    if colon and not kind.isdigit():
        raise ValueError(f"template entry {piece!r}: the token type after ':' must be a number")
    return name, int(kind) if colon else 0


def slot_names(roles: Roles, keep: dict[str, str] | None = None) -> list[str]:
    """The token string of each of the 16 reserved ids (slots) for a family.

    keep: special tokens that the tokenizer itself needs (`unk` of a character tokenizer), used if the family does not define
    them. Slots that the family does not use are called `<|reserved-3|>` and so on. A string that two roles share is in the slot
    of the first one only. Raises ValueError if a family uses a reserved name.
    """
    tokens = {**(keep or {}), **roles.tokens}
    names = [f"<|reserved-{slot}|>" for slot in range(NUM_ROLE_SLOTS)]
    taken: set[str] = set()
    for slot, role in enumerate(ROLES):
        token = tokens.get(role)
        if token is None or token in taken:
            continue
        if token in names:
            raise ValueError(f"roles.tokens[{role!r}]: {token!r} is reserved; choose another string")
        taken.add(token)
        names[slot] = token
    return names


DEFAULT_ROLES = Roles(tokens={role: f"<|{role}|>" for role in ROLES})
"""The special tokens of a tokenizer that belongs to no family yet."""
