"""SentencePiece `.model` files (T5, XLNet, Llama and relatives) as a `tokenizer.json` with the ids of SentencePiece.

The file is a protocol buffer (`sentencepiece_model.proto`) with tokens ("pieces"), scores and a compiled table of
normalisation rules; both unigram models (Kudo 2018) and BPE models (with byte fallback) are read.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import tokenizers

from gyebo.text import tokenizer_json
from gyebo.text.damage import check_size
from gyebo.text.piece_order import order_of, reordered

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6  # ModelProto.SentencePiece.Type
_UNIGRAM, _BPE = 1, 2  # TrainerSpec.ModelType
_SPACE = "▁"  # SentencePiece's mark for a space
_FINALS = "ㄳㄵㄶㄺㄻㄼㄽㄾㄿㅀㅄ"  # the letters that NFKC takes for the end of a syllable
_BORDER = "\ufdd0"  # a noncharacter: stands in no text

# Added by the code of XLNet and T5, not contained in any file of the checkpoint.
_XLNET_ROLES = {"cls": "<cls>", "sep": "<sep>", "mask": "<mask>", "pad": "<pad>"}
_T5_SENTINELS = 100
_MOST_SENTINELS = 10_000


def read_model(path: Path, config: dict[str, Any]) -> tuple[tokenizer_json.Spec, dict[str, str]]:
    """The spec and special tokens (role -> string) of a `.model` file.

    config: `tokenizer_config.json`, with `model_type` of `config.json` if known: XLNet's normalisation
    (`keep_accents`, `do_lower_case`) and T5's sentinels (`extra_ids`) are not in the file itself.
    Raises ImportError without the extra `data`, ValueError for a damaged file or another kind of model.
    """
    proto = _parse(path)
    trainer, rules = proto.trainer_spec, proto.normalizer_spec
    if trainer.model_type not in (_UNIGRAM, _BPE):
        raise ValueError(f"{path}: a SentencePiece model of type {trainer.model_type}; only unigram and BPE are read")
    if trainer.treat_whitespace_as_suffix:
        raise ValueError(f"{path}: treat_whitespace_as_suffix is set, which tokenizer.json cannot express")
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    if len({piece for piece, _ in pieces}) != len(pieces):
        raise ValueError(f"{path}: a token occurs twice; the file is damaged")
    unknown = next((id for id, piece in enumerate(proto.pieces) if piece.type == _UNKNOWN), None)
    fallback = any(piece.type == _BYTE for piece in proto.pieces)
    build = _unigram if trainer.model_type == _UNIGRAM else _bpe
    spec: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(proto),
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(rules, config)},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": _decoder(rules.add_dummy_prefix, fallback),
        "model": build(proto, unknown, fallback),
    }
    if rules.remove_extra_whitespaces and trainer.split_by_whitespace:
        # No token crosses a space then, so words can be encoded separately (and cached).
        words = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "never", "split": True}
        spec["pre_tokenizer"] = words
    roles = {}
    for role in ("pad", "bos", "eos", "unk"):
        id = getattr(trainer, f"{role}_id")
        if 0 <= id < len(pieces):
            roles[role] = pieces[id][0]
    if _is(config, "XLNet"):
        roles |= _XLNET_ROLES
    if _is(config, "T5"):
        count = config.get("extra_ids", _T5_SENTINELS)
        if type(count) is not int or not 0 <= count <= _MOST_SENTINELS:
            raise ValueError(f"{path}: extra_ids must be a number up to {_MOST_SENTINELS:,}, but is {str(count)[:60]!r}")
        for place in range(count):  # <extra_id_0> is the last id
            spec["added_tokens"].append(tokenizer_json.added_token(len(pieces) + place, f"<extra_id_{count - 1 - place}>"))
    order = order_of(config, str(path))
    return (spec, roles) if order is None else (reordered(spec, order, str(path)), roles | order.roles)


def _parse(path: Path) -> Any:
    try:
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2 as schema
    except ImportError as error:
        raise ImportError(f'{path}: reading it needs sentencepiece; run: pip install "gyebo[data]"') from error
    check_size(path)
    proto = vars(schema)["ModelProto"]()  # made at import time: type checkers cannot see it
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path}: not a SentencePiece model ({error})") from error
    if not proto.pieces:
        raise ValueError(f"{path}: a SentencePiece model without tokens; the file is damaged")
    return proto


def _is(config: dict[str, Any], family: str) -> bool:
    return str(config.get("tokenizer_class", "")).startswith(family) or config.get("model_type") == family.lower()


def _added(proto: Any) -> list[dict[str, Any]]:
    """Control tokens are special tokens; user-defined ones are never split in a text."""
    added = []
    for id, piece in enumerate(proto.pieces):
        if piece.type in (_UNKNOWN, _CONTROL, _USER_DEFINED):
            entry = tokenizer_json.added_token(id, piece.piece, special=piece.type != _USER_DEFINED)
            # Matched in the normalised text: the tokens around it keep their spaces and get no prefix.
            added.append({**entry, "normalized": piece.type == _USER_DEFINED})
    return added


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _normalizers(rules: Any, config: dict[str, Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if _is(config, "XLNet"):
        steps += [_replace({"String": "``"}, '"'), _replace({"String": "''"}, '"')]
        if not config.get("keep_accents", False):
            steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
        if config.get("do_lower_case", False):
            steps.append({"type": "Lowercase"})
    if rules.precompiled_charsmap:
        steps += _rules(rules.precompiled_charsmap)
    if rules.remove_extra_whitespaces:
        steps += [_replace({"Regex": "^ +| +$"}, ""), _replace({"Regex": " {2,}"}, " ")]
    if rules.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": _SPACE})
    return [*steps, _replace({"String": " "}, _SPACE)]


def _rules(charsmap: bytes) -> list[dict[str, Any]]:
    """The compiled rules of a file, as steps.

    SentencePiece replaces the longest match wherever it begins, so rules that compose (all of its own do) make syllables of
    Hangul in NFD, and of single letters in a row (ㅋㅠ: 큐). `tokenizers` looks at one grapheme at a time, and finds
    only what has less than six bytes; NFC before and after the rules does the rest, kept from joining a syllable with what was
    not written apart (네ㄳ). What still differs: marks in no canonical order, and marks on a sign that the rules replace.
    """
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
    alone = tokenizers.normalizers.Precompiled(charsmap)
    composes, joins = alone.normalize_str("e\u0301") == "\u00e9", alone.normalize_str("\u3131") == "\u1100"
    if not composes:
        return [table]
    if not joins:
        return [{"type": "NFC"}, table]
    border = _replace({"Regex": f"(?<=[\uac00-\ud7a3])(?=[{_FINALS}])"}, _BORDER)
    return [border, {"type": "NFC"}, table, {"type": "NFC"}, _replace({"String": _BORDER}, "")]


def _decoder(dummy_prefix: bool, fallback: bool) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}]
    if fallback:
        steps.append({"type": "ByteFallback"})
    steps.append({"type": "Fuse"})
    if dummy_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _unigram(proto: Any, unknown: int | None, fallback: bool) -> dict[str, Any]:
    vocab = [[piece.piece, piece.score] for piece in proto.pieces]
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": fallback}


def _bpe(proto: Any, unknown: int | None, fallback: bool) -> dict[str, Any]:
    """SentencePiece merges, of all neighbours that form a token, the pair with the best score. As a list of merges: every way
    to split a token in two, best token first."""
    pieces = proto.pieces
    vocab = {piece.piece: id for id, piece in enumerate(pieces)}
    joinable = {piece.piece: piece.score for piece in pieces if piece.type == _NORMAL}
    merges = []
    for whole, score in joinable.items():
        for cut in range(1, len(whole)):
            left, right = whole[:cut], whole[cut:]
            if left in joinable and right in joinable:
                merges.append((-score, vocab[left], vocab[right], [left, right]))
    merges.sort()
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": pieces[unknown].piece if unknown is not None else None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": fallback,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": [pair for *_, pair in merges],
    }
