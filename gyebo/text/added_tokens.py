"""Tokens that were added to a published tokenizer after its training: words, roles and speakers' tags.

They stand in `added_tokens.json` (token -> id) or in `added_tokens_decoder` of `tokenizer_config.json` (id -> token and how it
is matched), beside a vocabulary that does not know them. What `transformers` reads from them is read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gyebo.text import tokenizer_json
from gyebo.text.roles import HUB_ROLES

FILE, CONFIG, DECODER = "added_tokens.json", "tokenizer_config.json", "added_tokens_decoder"
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


def token_of(entry: Any) -> str | None:
    """The string of a token that a file gives as a string or as an object."""
    found = entry.get("content") if isinstance(entry, dict) else entry
    return found if isinstance(found, str) and found else None


def with_added(spec: tokenizer_json.Spec, listed: dict[str, Any], config: dict[str, Any], folder: Path) -> tokenizer_json.Spec:
    """The spec with the tokens of `added_tokens.json` (`listed`) and of the config, each with its id.

    Raises ValueError naming the file for an id that is another token's, or that leaves a gap.
    """
    special = {token_of(config.get(f"{role}_token")) for role in HUB_ROLES} | _named_special(config)
    entries = [(folder / FILE, id, {"content": token}) for token, id in listed.items()]
    decoder = config.get(DECODER)
    if decoder is not None and not isinstance(decoder, dict):
        raise ValueError(f"{folder / CONFIG}: {DECODER} must be an object, found {type(decoder).__name__}")
    entries += [(folder / CONFIG, id, entry) for id, entry in (decoder or {}).items()]
    tokens = tokenizer_json.tokens_by_id(spec)
    places = {token: id for id, token in tokens.items()}
    added = {entry["id"]: entry for entry in spec["added_tokens"]}
    for file, id, entry in sorted(((file, _number(file, id), entry) for file, id, entry in entries), key=lambda one: one[1]):
        token = token_of(entry)
        if token is None:
            raise ValueError(f"{file}: the added token {id} has no text")
        _check(file, token, id, tokens, places)
        tokens[id], places[token] = token, id
        if id not in added:
            is_special = bool(entry.get("special", token in special))
            flags = {name: bool(entry[name]) for name in _FLAGS if name in entry}
            added[id] = tokenizer_json.added_token(id, token, special=is_special) | {"normalized": not is_special} | flags
    for token in places.keys() & special:  # named as special, whether the vocabulary has it or it was added
        if places[token] in added:
            added[places[token]] = {**added[places[token]], "special": True}
    return {**spec, "added_tokens": [added[id] for id in sorted(added)]}


def _named_special(config: dict[str, Any]) -> set[str | None]:
    """The tokens that a config calls special beside those of roles."""
    names: set[str | None] = set()
    for field in ("additional_special_tokens", "extra_special_tokens"):
        given = config.get(field)
        found = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
        names |= {token_of(entry) for entry in found}
    return names


def _number(file: Path, id: Any) -> int:
    if isinstance(id, str) and id.isascii() and id.isdecimal() and len(id) < 10:
        return int(id)
    if type(id) is int and id >= 0:
        return id
    raise ValueError(f"{file}: the ids must be whole numbers from 0, but one is {str(id)[:60]!r}")


def _check(file: Path, token: str, id: int, tokens: dict[int, str], places: dict[str, int]) -> None:
    if tokens.get(id, token) != token:
        raise ValueError(f"{file}: the added token {token!r} has the id {id}, which is that of {tokens[id]!r}")
    if places.get(token, id) != id:
        raise ValueError(f"{file}: the added token {token!r} has the id {id}, but is {places[token]} in the vocabulary")
    if id not in tokens and id != max(tokens) + 1:
        raise ValueError(f"{file}: the added token {token!r} has the id {id}, but the next one is {max(tokens) + 1}")
