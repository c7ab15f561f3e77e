"""Roles: what an id means to a model (padding, start, end, mask...), apart from the pieces that a tokenizer learns.

Every tokenizer that gyebo trains reserves the ids 0 to 15 for roles; slot i carries `ROLES[i]`. A family only names the
slots (`[CLS]`, `<s>`, ...) and says how a text is framed, so all families of a comparison share ids and segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

NUM_ROLE_SLOTS = 16
"""How many ids, from 0, everything that gyebo trains reserves for roles."""

ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask", "user", "assistant", "system", "turn", "image")
"""The role of each slot by its number; slots 12 to 15 are reserved for roles to come."""

HUB_ROLES = ROLES[:7]
"""The roles that `transformers` has a name for (`pad_token`, `bos_token`, ...)."""

PLAIN_SINGLE = ("$A",)
PLAIN_PAIR = ("$A", "$B")


@dataclass(frozen=True)
class Roles:
    """A family's names for its roles and the way it frames one text or a pair.

    tokens: role -> token string; two roles with one string share the slot of the one that comes first in `ROLES`.
    single, pair: role names and `$A` / `$B`, each with an optional token type (`"sep:1"`, `"$B:1"`; default 0).
    model_inputs: the fields that the family's `forward` takes, `input_ids` first.
    padding_side: "right" or "left".

    Raises ValueError for an unknown role, an empty string, a template that names a role without a token or leaves out
    `$A` (or `$B` in `pair`), or another padding side.
    """

    tokens: dict[str, str]
    single: tuple[str, ...] = PLAIN_SINGLE
    pair: tuple[str, ...] = PLAIN_PAIR
    model_inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    padding_side: str = "right"

    def __post_init__(self) -> None:
        for role, token in self.tokens.items():
            if role not in ROLES:
                raise ValueError(f"roles.tokens: unknown role {role!r}; known roles: {', '.join(ROLES)}")
            if not token:
                raise ValueError(f"roles.tokens: the role {role!r} has an empty token string; give it one")
        if self.padding_side not in ("left", "right"):
            raise ValueError(f"roles.padding_side: {self.padding_side!r}; use 'right' or 'left'")
        for field, template, sequences in (("single", self.single, {"$A"}), ("pair", self.pair, {"$A", "$B"})):
            names = [split_piece(piece)[0] for piece in template]
            if sorted(name for name in names if name.startswith("$")) != sorted(sequences):
                raise ValueError(f"roles.{field}: {template!r} must hold {' and '.join(sorted(sequences))} once each")
            for name in names:
                if not name.startswith("$") and name not in self.tokens:
                    raise ValueError(f"roles.{field}: names the role {name!r}, which roles.tokens gives no string")


def roles_of(family: Any) -> Roles:
    """The roles of a line of `gyebo.models.family`."""
    return Roles(tokens=family.tokens, single=family.single, pair=family.pair, model_inputs=family.model_inputs)


@cache
def split_piece(piece: str) -> tuple[str, int]:
    """Split a template piece into its name and token type: `"sep:1"` -> ("sep", 1). Raises ValueError if not a number."""
    name, colon, kind = piece.partition(":")
    if colon and not kind.isdigit():
        raise ValueError(f"template piece {piece!r}: the token type after ':' must be a number")
    return name, int(kind) if colon else 0


def slot_names(roles: Roles, keep: dict[str, str] | None = None) -> list[str]:
    """The token string of each of the 16 slots for a family.

    keep: roles that the tokenizer itself needs (a character tokenizer's `unk`), named if the family does not name them.
    Slots without a role of this family are called `<|reserved-3|>` and so on. A string that two roles share stands in
    the first one's slot only. Raises ValueError if a family uses a reserved name.
    """
    tokens = {**(keep or {}), **roles.tokens}
    names = [f"<|reserved-{slot}|>" for slot in range(NUM_ROLE_SLOTS)]
    taken: set[str] = set()
    for slot, role in enumerate(ROLES):
        token = tokens.get(role)
        if token is None or token in taken:
            continue
        if token in names:
            raise ValueError(f"roles.tokens[{role!r}]: {token!r} is the name of a reserved slot; choose another string")
        taken.add(token)
        names[slot] = token
    return names


DEFAULT_ROLES = Roles(tokens={role: f"<|{role}|>" for role in ROLES})
"""What the slots are called in a tokenizer that belongs to no family yet."""
