"""Reading the tokenizer of a directory: our own, or that of a published model in its original format.

`tokenizer.json` is read as it is. Older formats are converted, with the ids of `transformers`: `vocab.json` with
`merges.txt` (GPT-2, RoBERTa, BART: byte-level BPE; GPT: BPE on lower-cased words), `vocab.txt` (BERT) and SentencePiece
`*.model` (T5, XLNet, Llama). Nothing is executed or unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gyebo.text import added_tokens, tokenizer_json
from gyebo.text.damage import MOST_ID, check_spec, read_json, read_text
from gyebo.text.piece_order import are_pieces, as_listed
from gyebo.text.roles import HUB_ROLES, ROLES, Roles

Spec = tokenizer_json.Spec


def read_directory(folder: Path) -> dict[str, Any]:
    """The arguments of `Tokenizer` for a directory. Errors as `Tokenizer.load`."""
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        config |= read_json(folder / name) if (folder / name).is_file() else {}
    models = sorted(folder.glob("*.model"))
    noted = None
    if (folder / "tokenizer.json").is_file():
        spec = _complete(read_json(folder / "tokenizer.json"), folder / "tokenizer.json")
        noted = read_config(config)
        roles: dict[str, str] = {}
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        spec, roles = _bpe(folder, config)
    elif (folder / "vocab.txt").is_file() and not are_pieces(tokens := _lines(folder / "vocab.txt")):
        spec, roles = _wordpiece(folder / "vocab.txt", tokens, config)
    elif models:
        from gyebo.text.sentencepiece import read_model

        spec, roles = read_model(models[0], {**_model_type(folder), **config})
        if (folder / "vocab.txt").is_file():
            spec, roles = _listed(spec, roles, folder / "vocab.txt", config)
    elif (folder / "vocab.txt").is_file():
        raise ValueError(f"{folder / 'vocab.txt'}: lists pieces of a SentencePiece model: put its .model beside it")
    else:
        raise FileNotFoundError(
            f"{folder}: no tokenizer here; expected tokenizer.json, vocab.json with merges.txt, vocab.txt or a "
            "SentencePiece *.model" + ("" if folder.is_dir() else " (the directory does not exist)")
        )
    if noted is None:  # what gyebo saved is whole
        listed = read_json(folder / added_tokens.FILE) if (folder / added_tokens.FILE).is_file() else {}
        spec = added_tokens.with_added(spec, listed, config, folder)
    known = set(tokenizer_json.tokens_by_id(spec).values())
    roles = noted["roles"] if noted else {**roles, **_config_roles(config)}
    roles = {role: token for role, token in roles.items() if token in known}
    return {
        "spec": spec if noted else tokenizer_json.mark_special(spec, roles),
        "kind": noted["kind"] if noted else PUBLISHED,
        "normalization": noted["normalization"] if noted else "own",
        "role_tokens": roles,
        "model_inputs": _model_inputs(config, folder),
        "padding_side": _padding_side(config, folder),
        "max_length": _max_length(config),
    }


def _complete(spec: Spec, path: Path) -> Spec:
    """A `tokenizer.json` with all parts and the type of the model. Raises ValueError for a damaged one."""
    model = spec.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)):
        raise ValueError(f"{path}: no model with a vocabulary in it; the file is damaged or of another kind")
    if "type" not in model:  # files older than this field
        model["type"] = "BPE" if "merges" in model else "Unigram" if isinstance(model["vocab"], list) else "WordPiece"
    merges = model.get("merges")
    if isinstance(merges, list):  # in files older than merges as pairs they are strings
        model["merges"] = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
        if any(not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_text, pair)) for pair in model["merges"]):
            raise ValueError(f"{path}: the merges have entries other than two tokens; the file is damaged")
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        spec.setdefault(part, None)
    spec["added_tokens"] = spec.get("added_tokens") or []
    check_spec(spec, path)
    # Padding and truncation left switched on by the last user are not part of the tokenizer.
    return {**spec, "truncation": None, "padding": None}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _config_roles(config: dict[str, Any]) -> dict[str, str]:
    """The special tokens in a `tokenizer_config.json`, given as strings or as serialised added tokens."""
    roles = {}
    for role in HUB_ROLES:
        token = added_tokens.token_of(config.get(f"{role}_token"))
        if token:
            roles[role] = token
    return roles


def _model_inputs(config: dict[str, Any], folder: Path) -> tuple[str, ...]:
    names = config.get("model_input_names", ["input_ids", "attention_mask"])
    if not isinstance(names, list) or not all(map(_is_text, names)):
        raise ValueError(
            f"{folder / 'tokenizer_config.json'}: model_input_names must be a list of names, but is {str(names)[:60]!r}"
        )
    return tuple(names)


def _padding_side(config: dict[str, Any], folder: Path) -> str:
    side = config.get("padding_side", "right")
    if side not in ("left", "right"):
        raise ValueError(f"{folder / 'tokenizer_config.json'}: padding_side must be left or right, but is {str(side)[:60]!r}")
    return side


def _max_length(config: dict[str, Any]) -> int | None:
    limit = config.get("model_max_length")
    return int(limit) if isinstance(limit, (int, float)) and 0 < limit < 1e12 else None


def _model_type(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return {"model_type": read_json(path).get("model_type")} if path.is_file() else {}


def _assemble(model: dict[str, Any], **parts: Any) -> Spec:
    empty = {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], **empty, **parts, "model": model}


def _bpe(folder: Path, config: dict[str, Any]) -> tuple[Spec, dict[str, str]]:
    vocab = read_json(folder / "vocab.json")
    if not all(type(id) is int and 0 <= id < MOST_ID for id in vocab.values()):
        raise ValueError(f"{folder / 'vocab.json'}: the vocabulary has entries other than tokens with ids; the file is damaged")
    lines = read_text(folder / "merges.txt").split("\n")
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    merges = []
    for number, line in enumerate(lines, start=1):
        pair = line.rstrip("\r").split(" ")
        if line.strip() and (len(pair) != 2 or "".join(pair) not in vocab):
            raise ValueError(f"{folder / 'merges.txt'}: merge {number} is {line!r}; expected two tokens of vocab.json")
        if line.strip():
            merges.append(pair)
    spaced = any(token.endswith("</w>") for token in vocab)
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>" if spaced and "<unk>" in vocab else None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "</w>" if spaced else "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    if spaced:  # GPT: BERT's word splitting, lower case
        bert = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
        spec = _assemble(
            model,
            normalizer={"type": "BertNormalizer", **bert},
            pre_tokenizer={"type": "BertPreTokenizer"},
            decoder={"type": "BPEDecoder", "suffix": "</w>"},
        )
        return spec, {"unk": "<unk>"}
    space = bool(config.get("add_prefix_space", False))
    byte_level = {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True}
    end = dict.fromkeys(("bos", "eos"), "<|endoftext|>")
    return _assemble(model, pre_tokenizer=byte_level, decoder={**byte_level, "add_prefix_space": True}), end


def _lines(path: Path) -> list[str]:
    """The tokens of a vocab.txt, one a line."""
    tokens = read_text(path).split("\n")
    if tokens and not tokens[-1]:
        tokens.pop()
    return [token.rstrip("\r") for token in tokens]


def _listed(spec: Spec, roles: dict[str, str], path: Path, config: dict[str, Any]) -> tuple[Spec, dict[str, str]]:
    """A SentencePiece model whose ids are the lines of the vocab.txt beside it, which has BERT's names for special tokens."""
    tokens = _lines(path)
    roles = {**roles, **{role: token for role, token in _BRACKETS.items() if token in tokens}, **_config_roles(config)}
    return as_listed(spec, tokens, roles.get("unk", "<unk>"), str(path)), roles


_BRACKETS = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}


def _wordpiece(path: Path, tokens: list[str], config: dict[str, Any]) -> tuple[Spec, dict[str, str]]:
    vocab = {token: id for id, token in enumerate(tokens)}
    roles = _BRACKETS
    unknown = _config_roles(config).get("unk", roles["unk"])
    if unknown not in vocab:
        raise ValueError(f"{path}: the unknown token {unknown!r} is not in it")
    model = {
        "type": "WordPiece",
        "unk_token": unknown,
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocab,
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": bool(config.get("tokenize_chinese_chars", True)),
        "strip_accents": config.get("strip_accents"),
        "lowercase": bool(config.get("do_lower_case", True)),
    }
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    spec = _assemble(model, normalizer=normalizer, pre_tokenizer={"type": "BertPreTokenizer"}, decoder=decoder)
    named = {role: token for role, token in {**roles, **_config_roles(config)}.items() if token in vocab}
    if {"cls", "sep"} <= named.keys():  # every class that reads such a file frames texts so, whichever model it is for
        frame = Roles(named, single=("cls", "$A", "sep"), pair=("cls", "$A", "sep", "$B:1", "sep:1"))
        spec["post_processor"] = tokenizer_json.template(frame, {role: vocab[token] for role, token in named.items()})
    return spec, roles


PUBLISHED = "published"


_CONFIG_KEY = "gyebo"


def read_config(config: dict[str, Any]) -> dict[str, Any] | None:
    """The entry of `Tokenizer.save` in `tokenizer_config.json`, or None for a published tokenizer."""
    noted = config.get(_CONFIG_KEY)
    if not isinstance(noted, dict) or not isinstance(noted.get("roles"), dict):
        return None
    if any(role not in ROLES for role in noted["roles"]):
        raise ValueError(f"tokenizer_config.json: gyebo.roles has an unknown special token; known: {', '.join(ROLES)}")
    return noted
