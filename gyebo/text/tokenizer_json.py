"""The parts of a `tokenizer.json` that concern special tokens: their names, added tokens, templates.

All functions take and return the parsed file (`spec`), sharing unchanged parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import tokenizers

from gyebo.text.roles import NUM_ROLE_SLOTS, PLAIN_PAIR, PLAIN_SINGLE, Roles, split_piece

Spec = dict[str, Any]

# A space and a noncharacter: no pre-tokeniser leaves a space inside a word, so no text is encoded to such a token.
_HIDDEN = "\U0010ffff role {}"


def added_token(id: int, content: str, *, lstrip: bool = False, special: bool = True) -> dict[str, Any]:
    """An entry of `added_tokens`."""
    flags = {"single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": False, "special": special}
    return {"id": id, "content": content, **flags}


def tokens_by_id(spec: Spec) -> dict[int, str]:
    """Id -> token string, for the model's vocabulary and the added tokens. Raises ValueError for an empty vocabulary."""
    vocab = spec["model"]["vocab"]
    if isinstance(vocab, list):
        tokens = {id: token for id, (token, _) in enumerate(vocab)}
    else:
        tokens = {id: token for token, id in vocab.items()}
    tokens |= {entry["id"]: entry["content"] for entry in spec["added_tokens"]}
    if not tokens:
        raise ValueError("tokenizer.json: the vocabulary is empty")
    return tokens


def unknown_id(spec: Spec) -> int | None:
    """The id of the unknown token, or None if the model has none."""
    model = spec["model"]
    if model["type"] == "Unigram":
        return model["unk_id"]
    token = model.get("unk_token")
    return model["vocab"].get(token) if token is not None else None


def _rename(spec: Spec, names: dict[int, str]) -> Spec:
    """The spec with the tokens and added tokens of some ids renamed."""
    model = dict(spec["model"])
    vocab = model["vocab"]
    if isinstance(vocab, list):
        model["vocab"] = [[names.get(id, token), score] for id, (token, score) in enumerate(vocab)]
    else:
        model["vocab"] = {names.get(id, token): id for token, id in vocab.items()}
        unknown = unknown_id(spec)
        if unknown is not None:
            model["unk_token"] = names.get(unknown, model["unk_token"])
    added = [{**entry, "content": names.get(entry["id"], entry["content"])} for entry in spec["added_tokens"]]
    return {**spec, "model": model, "added_tokens": added}


def disable_special_tokens(spec: Spec, ids: Iterable[int]) -> Spec:
    """The spec with these ids under names that no text can contain, so that the strings of special tokens are ordinary text.

    Merges of a published BPE that result in a special token are removed, so that its string is split into smaller tokens.
    """
    tokens = tokens_by_id(spec)
    hidden = {id: _HIDDEN.format(id) for id in ids}
    special = {tokens[id] for id in hidden}
    model = spec["model"]
    if model.get("merges"):
        merges = [pair for pair in model["merges"] if special.isdisjoint((*pair, "".join(pair)))]
        spec = {**spec, "model": {**model, "merges": merges}}
    return _rename(spec, hidden)


def name_special_tokens(spec: Spec, names: Sequence[str], mask: str | None) -> Spec:
    """The spec with names for its 16 reserved ids; the mask includes the space before it, as in BERT and RoBERTa.

    Raises ValueError if a name is an ordinary token.
    """
    others = {token for id, token in tokens_by_id(spec).items() if id >= NUM_ROLE_SLOTS}
    for name in names:
        if name in others:
            raise ValueError(
                f"special token {name!r} is also an ordinary token; choose a string that mixes letters and punctuation, such "
                "as '<name>', which no ordinary token does"
            )
    renamed = _rename({**spec, "added_tokens": []}, dict(enumerate(names)))
    slots = [added_token(slot, name, lstrip=name == mask) for slot, name in enumerate(names)]
    renamed["added_tokens"] = slots + [entry for entry in spec["added_tokens"] if entry["id"] >= NUM_ROLE_SLOTS]
    return renamed


def template(roles: Roles, ids: dict[str, int]) -> dict[str, Any] | None:
    """The post-processor for the templates of a family, or None if they add nothing. Raises ValueError for a missing special
    token."""
    if roles.single == PLAIN_SINGLE and roles.pair == PLAIN_PAIR:
        return None
    special: dict[str, Any] = {}

    def entries(parts: tuple[str, ...]) -> list[dict[str, Any]]:
        result = []
        for part in parts:
            name, type_id = split_piece(part)
            if name.startswith("$"):
                result.append({"Sequence": {"id": name[1:], "type_id": type_id}})
                continue
            if name not in ids:
                raise ValueError(f"the family's template uses {name!r}, which this tokenizer does not have")
            token = roles.tokens[name]
            special[token] = {"id": token, "ids": [ids[name]], "tokens": [token]}
            result.append({"SpecialToken": {"id": token, "type_id": type_id}})
        return result

    single, pair = entries(roles.single), entries(roles.pair)
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def assign_special_tokens(spec: Spec, role_tokens: dict[str, str], roles: Roles) -> tuple[Spec, dict[str, str]]:
    """A published tokenizer for a family: its own special tokens, and those of the family that are in its vocabulary.

    Returns the spec, with these tokens marked as special and the family's template if the file has none, and the special tokens
    (role -> string). Raises ValueError if the template needs a token that the vocabulary lacks.
    """
    ids = {token: id for id, token in tokens_by_id(spec).items()}
    names = {role: token for role, token in {**roles.tokens, **role_tokens}.items() if token in ids}
    spec = mark_special(spec, names)
    processor = spec.get("post_processor")
    if processor is None or processor["type"] == "ByteLevel":  # ByteLevel only trims offsets
        own = Roles({**roles.tokens, **names}, roles.single, roles.pair)
        found = template(own, {role: ids[token] for role, token in names.items()})
        spec["post_processor"] = found if found is not None else processor
    return spec, names


def mark_special(spec: Spec, role_tokens: dict[str, str]) -> Spec:
    """The spec with these tokens among the special added tokens, by ascending id."""
    ids = {token: id for id, token in tokens_by_id(spec).items()}
    added = {entry["id"]: entry for entry in spec["added_tokens"]}
    for role, token in role_tokens.items():
        entry = added.get(ids[token]) or added_token(ids[token], token, lstrip=role == "mask")
        added[ids[token]] = {**entry, "special": True}
    return {**spec, "added_tokens": [added[id] for id in sorted(added)]}


def processor(spec: Spec) -> tokenizers.processors.PostProcessor | None:
    """The post-processor of a spec as an object, which adds special tokens to encodings, or None if the spec has none."""
    if spec["post_processor"] is None:
        return None
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    shell = {"version": "1.0", "added_tokens": [], "model": empty, "post_processor": spec["post_processor"]}
    return tokenizers.Tokenizer.from_str(json.dumps(shell)).post_processor
