"""The parts of a `tokenizer.json` that roles touch: names of slots, added tokens, the frame around a text.

All functions take and return the parsed file (`spec`), sharing what they do not change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import tokenizers

from gyebo.text.roles import NUM_ROLE_SLOTS, PLAIN_PAIR, PLAIN_SINGLE, Roles, split_piece

Spec = dict[str, Any]

# A space and a noncharacter: no pre-tokeniser leaves a space inside a word, so no text reaches such a piece.
_HIDDEN = "\U0010ffff role {}"


def added_token(id: int, content: str, *, lstrip: bool = False, special: bool = True) -> dict[str, Any]:
    """An entry of `added_tokens`."""
    flags = {"single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": False, "special": special}
    return {"id": id, "content": content, **flags}


def tokens_by_id(spec: Spec) -> dict[int, str]:
    """Id -> token string, for the model's vocabulary and the added tokens. Raises ValueError for an empty vocabulary."""
    vocab = spec["model"]["vocab"]
    if isinstance(vocab, list):
        tokens = {id: piece for id, (piece, _) in enumerate(vocab)}
    else:
        tokens = {id: piece for piece, id in vocab.items()}
    tokens |= {entry["id"]: entry["content"] for entry in spec["added_tokens"]}
    if not tokens:
        raise ValueError("tokenizer.json: the vocabulary is empty")
    return tokens


def unknown_id(spec: Spec) -> int | None:
    """The id that stands for what the vocabulary lacks, or None where the model has no such piece."""
    model = spec["model"]
    if model["type"] == "Unigram":
        return model["unk_id"]
    token = model.get("unk_token")
    return model["vocab"].get(token) if token is not None else None


def _rename(spec: Spec, names: dict[int, str]) -> Spec:
    """The spec with the model's pieces and added tokens of some ids renamed."""
    model = dict(spec["model"])
    vocab = model["vocab"]
    if isinstance(vocab, list):
        model["vocab"] = [[names.get(id, piece), score] for id, (piece, score) in enumerate(vocab)]
    else:
        model["vocab"] = {names.get(id, piece): id for piece, id in vocab.items()}
        unknown = unknown_id(spec)
        if unknown is not None:
            model["unk_token"] = names.get(unknown, model["unk_token"])
    added = [{**entry, "content": names.get(entry["id"], entry["content"])} for entry in spec["added_tokens"]]
    return {**spec, "model": model, "added_tokens": added}


def hide_roles(spec: Spec, ids: Iterable[int]) -> Spec:
    """The spec with these ids under names that no text can contain, so that a role's string is ordinary text.

    Merges of a published BPE that would spell a role go, so its string stays in the pieces before that merge.
    """
    tokens = tokens_by_id(spec)
    hidden = {id: _HIDDEN.format(id) for id in ids}
    roles = {tokens[id] for id in hidden}
    model = spec["model"]
    if model.get("merges"):
        merges = [pair for pair in model["merges"] if roles.isdisjoint((*pair, "".join(pair)))]
        spec = {**spec, "model": {**model, "merges": merges}}
    return _rename(spec, hidden)


def name_slots(spec: Spec, names: Sequence[str], mask: str | None) -> Spec:
    """The spec with its 16 slots named; the mask takes the space before it along, as BERT's and RoBERTa's do.

    Raises ValueError if a name is a piece already.
    """
    others = {token for id, token in tokens_by_id(spec).items() if id >= NUM_ROLE_SLOTS}
    for name in names:
        if name in others:
            raise ValueError(
                f"role token {name!r} is also a piece that the tokenizer learned; choose a string that mixes letters "
                "and punctuation, such as '<name>', which no learned piece does"
            )
    renamed = _rename({**spec, "added_tokens": []}, dict(enumerate(names)))
    slots = [added_token(slot, name, lstrip=name == mask) for slot, name in enumerate(names)]
    renamed["added_tokens"] = slots + [entry for entry in spec["added_tokens"] if entry["id"] >= NUM_ROLE_SLOTS]
    return renamed


def template(roles: Roles, ids: dict[str, int]) -> dict[str, Any] | None:
    """The post-processor for a family's frame, or None where texts stand alone. Raises ValueError for a missing role."""
    if roles.single == PLAIN_SINGLE and roles.pair == PLAIN_PAIR:
        return None
    special: dict[str, Any] = {}

    def pieces(frame: tuple[str, ...]) -> list[dict[str, Any]]:
        result = []
        for piece in frame:
            name, type_id = split_piece(piece)
            if name.startswith("$"):
                result.append({"Sequence": {"id": name[1:], "type_id": type_id}})
                continue
            if name not in ids:
                raise ValueError(f"the family frames texts with the role {name!r}, which this tokenizer does not have")
            token = roles.tokens[name]
            special[token] = {"id": token, "ids": [ids[name]], "tokens": [token]}
            result.append({"SpecialToken": {"id": token, "type_id": type_id}})
        return result

    single, pair = pieces(roles.single), pieces(roles.pair)
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def adopt_roles(spec: Spec, role_tokens: dict[str, str], roles: Roles) -> tuple[Spec, dict[str, str]]:
    """A published tokenizer for a family: its own role names first, then those of the family that it knows.

    Returns the spec, with these tokens marked as special and the family's frame if the file had none, and the names.
    Raises ValueError if the frame needs a role that the vocabulary lacks.
    """
    ids = {token: id for id, token in tokens_by_id(spec).items()}
    names = {role: token for role, token in {**roles.tokens, **role_tokens}.items() if token in ids}
    spec = mark_special(spec, names)
    frame = spec.get("post_processor")
    if frame is None or frame["type"] == "ByteLevel":  # ByteLevel only trims offsets
        own = Roles({**roles.tokens, **names}, roles.single, roles.pair)
        framed = template(own, {role: ids[token] for role, token in names.items()})
        spec["post_processor"] = framed if framed is not None else frame
    return spec, names


def mark_special(spec: Spec, role_tokens: dict[str, str]) -> Spec:
    """The spec with every role's token among the special added tokens, by ascending id."""
    ids = {token: id for id, token in tokens_by_id(spec).items()}
    added = {entry["id"]: entry for entry in spec["added_tokens"]}
    for role, token in role_tokens.items():
        entry = added.get(ids[token]) or added_token(ids[token], token, lstrip=role == "mask")
        added[ids[token]] = {**entry, "special": True}
    return {**spec, "added_tokens": [added[id] for id in sorted(added)]}


def processor(spec: Spec) -> tokenizers.processors.PostProcessor | None:
    """The post-processor of a spec as an object that frames encodings, or None if the spec has none."""
    if spec["post_processor"] is None:
        return None
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    shell = {"version": "1.0", "added_tokens": [], "model": empty, "post_processor": spec["post_processor"]}
    return tokenizers.Tokenizer.from_str(json.dumps(shell)).post_processor
