"""Tokenizers whose ids are not the places of the pieces in their SentencePiece model: tokens stand before them.

fairseq (XLM-R, CamemBERT) has a list of its own that begins with its special tokens, Pegasus puts tokens for its gaps first.
`transformers` computes their ids by adding an offset; here the pieces themselves are moved, so that an id is a place again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gyebo.text import tokenizer_json


@dataclass(frozen=True)
class Order:
    """What a class of tokenizers does with the pieces: `first`: the tokens before them; `dropped`: how many of the pieces at
    the start are left out; `last`: tokens behind them. `roles`: role -> token."""

    first: tuple[str, ...]
    dropped: int
    last: tuple[str, ...]
    roles: dict[str, str]


_FAIRSEQ = {
    "bos": "<s>",
    "cls": "<s>",
    "eos": "</s>",
    "sep": "</s>",
    "unk": "<unk>",
    "pad": "<pad>",
    "mask": "<mask>",
}
_NOT_USED = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED")
_GAPS = ("<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{number}>" for number in range(2, 103)))
_ORDERS = {
    "XLMRoberta": Order(("<s>", "<pad>", "</s>", "<unk>"), 3, ("<mask>",), _FAIRSEQ),
    "Camembert": Order(_NOT_USED, 1, ("<mask>",), _FAIRSEQ),
    "Pegasus": Order(_GAPS, 2, (), {"pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask_2>"}),
}
_MODEL_TYPES = {"xlm-roberta": "XLMRoberta", "camembert": "Camembert", "pegasus": "Pegasus"}
# Whose ids are in yet another order: of languages, of a second list, or of a file that gyebo does not read.
_OTHERS = ("MBart", "Nllb", "Barthez", "M2M100", "Speech2Text", "XLMProphetNet", "PLBart", "XGLM", "SeamlessM4T", "CPM", "Fnet")


def order_of(config: dict[str, Any], where: str) -> Order | None:
    """The order of a tokenizer by its class, else by the model's type; None: ids are the places of pieces. ValueError for a
    class whose order is not known here."""
    name = str(config.get("tokenizer_class") or "")
    if name.startswith(_OTHERS):
        raise ValueError(f"{where}: {name} counts ids otherwise than this file: save a tokenizer.json with transformers")
    known = next((kind for kind in _ORDERS if name.startswith(kind)), None)
    if known is None and not name:
        known = _MODEL_TYPES.get(str(config.get("model_type")))
    return _ORDERS[known] if known else None


def reordered(spec: tokenizer_json.Spec, order: Order, where: str) -> tokenizer_json.Spec:
    """The spec of a SentencePiece model with the ids of `order`."""
    model = spec["model"]
    if model["type"] != "Unigram":
        raise ValueError(f"{where}: a {model['type']} model, but this class of tokenizers is read with unigram models only")
    pieces = model["vocab"][order.dropped :]
    vocab = [*([token, 0.0] for token in order.first), *pieces, *([token, 0.0] for token in order.last)]
    places: dict[str, int] = {}
    for place, (token, _) in enumerate(vocab):
        if place >= len(order.first) and token in places:
            raise ValueError(f"{where}: has the piece {token!r}, which this class of tokenizers adds: of another class")
        places[token] = place
    own = {entry["content"] for entry in spec["added_tokens"]}
    added = [{**entry, "id": places[entry["content"]]} for entry in spec["added_tokens"] if entry["content"] in places]
    new = (token for token in (*order.first, *order.last) if token not in own)
    added += [tokenizer_json.added_token(places[token], token, lstrip=token == order.roles["mask"]) for token in new]
    unknown = places[order.roles["unk"]]
    return {
        **spec,
        "added_tokens": sorted(added, key=lambda entry: entry["id"]),
        "model": {**model, "vocab": vocab, "unk_id": unknown},
    }


def are_pieces(tokens: Iterable[str]) -> bool:
    """Whether the lines of a vocab.txt are pieces of a SentencePiece model instead of word pieces."""
    listed = list(tokens)
    return sum(token.startswith("▁") for token in listed) > sum(token.startswith("##") for token in listed)


def as_listed(spec: tokenizer_json.Spec, tokens: list[str], unknown: str, where: str) -> tokenizer_json.Spec:
    """The spec of a SentencePiece model whose ids are the lines of a list, as KoBERT's vocab.txt: pieces are cut as the model
    does, tokens that the model does not know are special."""
    model = spec["model"]
    if model["type"] != "Unigram":
        raise ValueError(f"{where}: a list of ids for a {model['type']} model, where only unigram models are read with one")
    scores = dict(model["vocab"])
    places = {token: place for place, token in enumerate(tokens)}
    special = {entry["content"]: entry for entry in spec["added_tokens"]}
    missing = [token for token in scores if token not in places and token not in special]
    if missing or unknown not in places or len(places) < len(tokens):
        lacks = missing[0] if missing else unknown
        raise ValueError(f"{where}: lists other tokens than the model beside it ({lacks!r}): which of the two counts?")
    added = [{**special[token], "id": places[token]} for token in places if token in special]
    added += [tokenizer_json.added_token(place, token) for token, place in places.items() if token not in scores]
    vocab = [[token, scores.get(token, 0.0)] for token in tokens]
    return {
        **spec,
        "added_tokens": sorted(added, key=lambda entry: entry["id"]),
        "model": {**model, "vocab": vocab, "unk_id": places[unknown]},
    }
