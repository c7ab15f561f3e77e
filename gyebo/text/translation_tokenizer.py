"""Tokenizers of translation models with separate segmentation of source and target, over one list of ids.

There are two kinds. gyebo trains a byte-level BPE on each language; tokens of both share one id. The published Marian models
(Helsinki-NLP/opus-mt-...) have a SentencePiece model for each side, and the list of ids in `vocab.json`; a source text may
start with the code of the target language, ">>fra<<".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gyebo.text import tokenizer_json
from gyebo.text.batch import as_arrays, texts_and_pairs
from gyebo.text.damage import read_json, refused
from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED

TARGET_FILE = "target_tokenizer.json"  # of tokenizers trained by gyebo; that of the source is `tokenizer.json`
SOURCE_MODEL, TARGET_MODEL, IDS = "source.spm", "target.spm", "vocab.json"
_CODE = re.compile(r">>.*?<<")
_CONFIG = "tokenizer_config.json"


class TranslationTokenizer(Tokenizer):
    """The tokenizer of the source, with that of the target as `target`, which encodes and decodes translations.

    Both have the `vocab_size` of the list of ids. `files`: the original files of a published tokenizer, which `save` writes.
    """

    def __init__(self, source: Tokenizer, target: Tokenizer, files: dict[str, bytes] | None = None) -> None:
        if source.role_ids != target.role_ids:
            raise ValueError(
                "the source and target tokenizers have different ids for special tokens: they do not belong together"
            )
        self.__dict__.update(source.__dict__)
        self._source, self._target, self._files = source, target, files
        self.vocab_size = target.vocab_size = max(source.vocab_size, target.vocab_size)

    @property
    def target(self) -> Tokenizer:
        """The tokenizer of the target."""
        return self._target

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the fingerprints of both sides."""
        return hashlib.sha256(f"{self._source.fingerprint} {self._target.fingerprint}".encode()).hexdigest()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of source texts."""
        return self._source.encode_batch(texts)

    def __call__(self, *texts: Any, **options: Any) -> dict[str, Any]:
        """Batches of source texts; for a published tokenizer as those of `MarianTokenizer`."""
        return self._source(*texts, **options)

    def for_family(self, roles: Roles) -> Tokenizer:
        """Both sides for a family; a published tokenizer is unchanged."""
        if self._files is not None:
            return self
        return TranslationTokenizer(self._source.for_family(roles), self._target.for_family(roles))

    def with_tokens(self, tokens: Sequence[str]) -> Tokenizer:
        """Not supported: ValueError."""
        raise ValueError("a translation tokenizer takes no further tokens")

    def save(self, directory: str | Path, *, max_length: int | None = None) -> None:
        """Write both sides: `tokenizer.json`, which `transformers.AutoTokenizer` opens for sources, and
        `target_tokenizer.json` in the same format; for a published one its files, for `transformers.MarianTokenizer`."""
        folder = Path(directory)
        if self._files is None:
            self._source.save(folder, max_length=max_length)
            text = json.dumps(self._target._spec, ensure_ascii=False, indent=2)
            (folder / TARGET_FILE).write_text(text + "\n", encoding="utf-8")
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files.items():
            (folder / name).write_bytes(content)


def read_target(source: Tokenizer, folder: Path) -> Tokenizer:
    """The tokenizer of a folder whose `tokenizer.json` is `source`: a `TranslationTokenizer` if the target's file exists."""
    file = folder / TARGET_FILE
    if not file.is_file():
        return source
    with refused(file, "not a tokenizer.json"):
        target = source.with_spec(read_json(file))
        target._try()
        return TranslationTokenizer(source, target)


# -- Marian's ----------------------------------------------------------------------------------------------------------


class _Side(Tokenizer):
    """One side of a published pair: a SentencePiece model whose tokens have the ids of a separate list.

    Tokens of the list that are missing in this model never occur in encoding, but can be decoded; tokens of the model that are
    not in the list are unknown.
    """

    def __init__(self, spec: tokenizer_json.Spec, ids: dict[str, int], max_length: int | None) -> None:
        vocab = spec["model"]["vocab"]
        scores = dict(vocab) if isinstance(vocab, list) else None
        own = set(scores if scores is not None else vocab)
        listed = sorted(ids, key=ids.__getitem__)
        tokens = [*listed, *sorted(own - ids.keys())]
        unknown = ids["<unk>"]
        if scores is not None:
            model = {**spec["model"], "vocab": [[token, scores.get(token, 0.0)] for token in tokens], "unk_id": unknown}
        else:
            model = {**spec["model"], "vocab": {token: id for id, token in enumerate(tokens)}, "unk_token": "<unk>"}
        end = {"id": "</s>", "ids": [ids["</s>"]], "tokens": ["</s>"]}
        single = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
        pair = [single[0], {"Sequence": {"id": "B", "type_id": 0}}, single[1]]
        template = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {"</s>": end}}
        roles = {role: token for role, token in (("pad", "<pad>"), ("eos", "</s>"), ("unk", "<unk>")) if token in ids}
        spec = {**spec, "model": model, "added_tokens": [], "post_processor": template}
        super().__init__(
            tokenizer_json.mark_special(spec, roles),
            kind=PUBLISHED,
            normalization="own",
            role_tokens=roles,
            max_length=max_length,
        )
        self.vocab_size, self._ids = len(listed), ids
        self._unreachable = frozenset(ids[token] for token in ids.keys() - own)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text; a language code at its start is one id."""
        codes = [found.group() if (found := _CODE.match(text)) else "" for text in texts]
        rest = [text[len(code) :] for text, code in zip(texts, codes)]
        unknown = self.role_ids["unk"]
        first = [[self._ids.get(code, unknown)] if code else [] for code in codes]
        encodings = self._encodings(rest, with_offsets=True)
        return [start + self._listed(encoding, text) for start, encoding, text in zip(first, encodings, rest)]

    def _listed(self, encoding: Any, text: str) -> list[int]:
        """Ids in the list. Strings unknown to this side's model are looked up in the list, which may have them from the other
        side."""
        unknown, found = self.role_ids["unk"], []
        for id, (start, end), token in zip(encoding.ids, encoding.offsets, encoding.tokens):
            if id == unknown:
                written = token if self._spec["model"]["type"] == "Unigram" else text[start:end].replace(" ", "▁")
                id = self._ids.get(written, unknown)
            found.append(id if id < self.vocab_size else unknown)
        return found

    def __call__(
        self,
        texts: str | Sequence[str],
        pairs: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        padding_side: str | None = None,
    ) -> dict[str, Any]:
        """Model inputs of texts or pairs, as `Tokenizer.__call__` returns them; a pair is one text after the other."""
        if max_length is not None and not truncation:
            raise ValueError("max_length has an effect only with truncation=True")
        side = padding_side or self.padding_side
        if side not in ("left", "right"):
            raise ValueError(f"padding_side: {side!r}; use 'right' or 'left'")
        end = [self.role_ids["eos"]] if add_special_tokens else []
        limit = (max_length or self.max_length) if truncation else None
        if truncation and limit is None:
            raise ValueError("truncation: give max_length, as this tokenizer states no model length")
        first, second = texts_and_pairs(texts, pairs)
        encoded = list(zip(self.encode_batch(first), self.encode_batch(second) if second else [[]] * len(first)))
        rows = [[*(a + b if limit is None else _cut(a, b, limit - len(end))), *end] for a, b in encoded]
        longest = max(map(len, rows), default=0) if padding else 0
        columns: dict[str, Any] = {"input_ids": [], "attention_mask": []}
        for row in rows:
            for name, real, pad in (("input_ids", row, self.role_ids["pad"]), ("attention_mask", [1] * len(row), 0)):
                filled = [pad] * (longest - len(row))
                columns[name].append(real + filled if side == "right" else filled + real)
        if return_tensors is None:
            return {name: values[0] for name, values in columns.items()} if isinstance(texts, str) else columns
        return as_arrays(columns, return_tensors)


def _cut(first: list[int], second: list[int], room: int) -> list[int]:
    """A pair cut to `room` ids, one after the other off the longer text, of equal ones off the second, as `transformers` does
    for a tokenizer without an object of `tokenizers`."""
    a, b = len(first), len(second)
    while a + b > max(room, 0):
        a, b = (a - 1, b) if a > b else (a, b - 1)
    return first[:a] + second[:b]


def read_marian(folder: Path) -> TranslationTokenizer:
    """The tokenizer of a published Marian model: `source.spm`, `target.spm` and `vocab.json`.

    Raises FileNotFoundError if one is missing, ValueError for a damaged one and for separate lists of ids, ImportError
    without the extra `data`.
    """
    from gyebo.text.sentencepiece import read_model

    names = (SOURCE_MODEL, TARGET_MODEL, IDS)
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file; a Marian tokenizer has {', '.join(names)}")
    config = read_json(folder / _CONFIG) if (folder / _CONFIG).is_file() else {}
    if config.get("separate_vocabs"):
        raise ValueError(f"{folder / _CONFIG}: separate_vocabs is set: gyebo reads pairs with one list of ids")
    ids = read_json(folder / IDS)
    if sorted(ids.values(), key=str) != sorted(range(len(ids)), key=str):
        raise ValueError(f"{folder / IDS}: the ids are not 0 to {len(ids) - 1}, one for each token; the file is damaged")
    if missing := [token for token in ("</s>", "<unk>", "<pad>") if token not in ids]:
        raise ValueError(f"{folder / IDS}: {', '.join(missing)} missing; a Marian tokenizer has them")
    limit = config.get("model_max_length")
    length = int(limit) if isinstance(limit, (int, float)) and 0 < limit < 1e12 else None
    source, target = (_Side(read_model(folder / name, {})[0], ids, length) for name in names[:2])
    kept = (*names, _CONFIG, "special_tokens_map.json")
    return TranslationTokenizer(
        source, target, {name: (folder / name).read_bytes() for name in kept if (folder / name).is_file()}
    )
