"""The tokenizer of all parts of gyebo: a thin layer over `tokenizers`, represented by its `tokenizer.json`.

Text is always ordinary text: a "[MASK]" or "</s>" in it is encoded as its characters. Special tokens are added as ids, by
templates. For this, encoding uses a copy of the vocabulary in which every special token has a name that no text can contain;
the copy is the same for all families, and so are ids and fingerprint.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence, Set
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers

from gyebo.text import tokenizer_json
from gyebo.text.batch import BatchOptions, make_batch, texts_and_pairs
from gyebo.text.damage import is_panic, refused
from gyebo.text.familiar import Familiar
from gyebo.text.normalize import lone_surrogate, nfc, nfc_spans
from gyebo.text.roles import HUB_ROLES, NUM_ROLE_SLOTS, SENTINEL, Roles, slot_names
from gyebo.text.token_bytes import decoding_of
from gyebo.text.tokenizer_files import _CONFIG_KEY, PUBLISHED

if TYPE_CHECKING:
    from tokenizers import Encoding

_NO_LIMIT = int(1e30)  # transformers' value for "no limit"


class Tokenizer(Familiar):
    """Text to ids and back. Made by `train_tokenizer`, `Tokenizer.load` or `for_family`; never changed afterwards.

    kind: "bpe", "wordpiece", "unigram", "char", "byte", or "published" (read from elsewhere).
    normalization: "NFC", "none", or "own" (a published tokenizer's rules are part of its file).
    role_ids: role -> id of the special tokens of this tokenizer (`gyebo/text/roles.py`); role_tokens: role -> string.
    vocab_size: number of ids (largest id + 1), special tokens included.
    fingerprint: SHA-256 of what determines ids (tokens, normaliser, pre-tokeniser), equal for the copies of all families.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        kind: str,
        normalization: str,
        role_tokens: dict[str, str],
        model_inputs: Sequence[str] = ("input_ids", "attention_mask"),
        padding_side: str = "right",
        max_length: int | None = None,
    ) -> None:
        """spec: the parsed `tokenizer.json`. role_tokens: role -> string of the special token, each in the vocabulary."""
        self._spec = spec
        self.kind = kind
        self.normalization = normalization
        self.role_tokens = dict(role_tokens)
        self.model_inputs = tuple(model_inputs)
        self.padding_side = padding_side
        self.max_length = max_length
        self._tokens = tokenizer_json.tokens_by_id(spec)
        self.vocab_size = max(self._tokens) + 1
        ids = {token: id for id, token in self._tokens.items()}
        self.role_ids = {role: ids[token] for role, token in self.role_tokens.items()}
        special = {entry["id"] for entry in spec["added_tokens"] if entry["special"]}
        self.all_role_ids = frozenset(special | set(self.role_ids.values()))
        self.decoding = decoding_of(spec["decoder"])
        # Of our own kinds only char can meet unknown characters: the others have a token for every byte.
        self._unk_id = tokenizer_json.unknown_id(spec) if kind in ("char", PUBLISHED) else None
        self._plain: tokenizers.Tokenizer | None = None
        self._bytes: dict[tuple[int, bool], bytes] = {}
        self._fingerprint: str | None = None
        self._unreachable: frozenset[int] = frozenset()  # further ids that no text is encoded to

    @property
    def target(self) -> Tokenizer:
        """The tokenizer of the target language: itself, unless each language has its own."""
        return self

    @property
    def sentinel_ids(self) -> tuple[int, ...]:
        """The ids of its sentinels, <extra_id_0> first; none where it has not that one."""
        ids = {token: id for id, token in self._tokens.items()}
        names = takewhile(ids.__contains__, map(SENTINEL.format, count()))
        return tuple(ids[name] for name in names)

    @property
    def known_ids(self) -> Set[int]:
        """The ids that have a token, ordinary or special."""
        return self._tokens.keys()

    # -- files ---------------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, directory: str | Path) -> Tokenizer:
        """Read a tokenizer directory: `tokenizer.json`, otherwise `source.spm` + `target.spm`, `vocab.json` + `merges.txt`,
        `vocab.txt`, or `*.model`.

        Raises FileNotFoundError if it has none of these, ValueError if a file is damaged or of an unknown type.
        """
        from gyebo.text.tokenizer_files import read_directory
        from gyebo.text.translation_tokenizer import SOURCE_MODEL, read_marian, read_target

        folder = Path(directory)
        published = (folder / SOURCE_MODEL).is_file() and not (folder / "tokenizer.json").is_file()
        with refused(directory):
            tokenizer = read_marian(folder) if published else cls(**read_directory(folder))
            for side in (tokenizer, tokenizer.target):
                side._try()
        return tokenizer if published else read_target(tokenizer, folder)

    def save(self, directory: str | Path, *, max_length: int | None = None) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which `transformers.AutoTokenizer` opens.

        max_length: the longest input of the model in ids (`model_max_length`).
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        limit = max_length if max_length is not None else self.max_length
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": list(self.model_inputs),
            "model_max_length": limit if limit is not None else _NO_LIMIT,
            "clean_up_tokenization_spaces": False,
            "padding_side": self.padding_side,
        }
        config |= {f"{role}_token": self.role_tokens[role] for role in HUB_ROLES if role in self.role_tokens}
        if self.sentinel_ids:
            config["additional_special_tokens"] = [self._tokens[id] for id in self.sentinel_ids]
        config[_CONFIG_KEY] = {"kind": self.kind, "normalization": self.normalization, "roles": self.role_tokens}
        _write_json(folder / "tokenizer.json", self._spec)
        _write_json(folder / "tokenizer_config.json", config)

    # -- families ------------------------------------------------------------------------------------------------------

    def for_family(self, roles: Roles) -> Tokenizer:
        """A copy for a family, with its strings of the special tokens and its templates; ordinary tokens and ids are the same.

        A published tokenizer keeps its own tokens and ids; special tokens of `roles` that it does not define and whose string
        is in its vocabulary are added, and the templates if its file has none.
        Raises ValueError if the string of a special token is an ordinary token.
        """
        if self.kind == PUBLISHED:
            spec, role_tokens = tokenizer_json.assign_special_tokens(self._spec, self.role_tokens, roles)
        else:
            keep = {"unk": "<|unk|>"} if self._unk_id is not None else {}
            names = slot_names(roles, keep)
            role_tokens = {**keep, **roles.tokens}
            spec = tokenizer_json.name_special_tokens(self._spec, names, mask=roles.tokens.get("mask"))
            slots = {token: slot for slot, token in enumerate(names)}
            spec["post_processor"] = tokenizer_json.template(roles, {role: slots[role_tokens[role]] for role in role_tokens})
        family = Tokenizer(
            spec,
            kind=self.kind,
            normalization=self.normalization,
            role_tokens=role_tokens,
            model_inputs=roles.model_inputs,
            padding_side=roles.padding_side,
            max_length=self.max_length,
        )
        if self.kind != PUBLISHED:
            family._plain = self._backend()
        return family

    def with_tokens(self, tokens: Sequence[str]) -> Tokenizer:
        """A copy with further special tokens after the last id, one id each, in the given order.

        Raises ValueError if one is empty, given twice or in the vocabulary already.
        """
        known = set(self._tokens.values())
        spec = copy.copy(self._spec)
        spec["added_tokens"] = list(spec["added_tokens"])
        for id, token in enumerate(tokens, start=self.vocab_size):
            if not token or token in known:
                raise ValueError(f"added token {token!r} is {'in the vocabulary already' if token else 'empty'}")
            known.add(token)
            spec["added_tokens"].append(tokenizer_json.added_token(id, token))
        return self.with_spec(spec)

    def with_sentinels(self, number: int) -> Tokenizer:
        """A copy with so many sentinels after the last id, <extra_id_0> as the very last, as in T5; itself if it has any."""
        if not number or self.sentinel_ids:
            return self
        return self.with_tokens([SENTINEL.format(n) for n in reversed(range(number))])

    def with_spec(self, spec: dict[str, Any]) -> Tokenizer:
        """Another tokenizer of the same kind, with the same special tokens."""
        return Tokenizer(
            spec,
            kind=self.kind,
            normalization=self.normalization,
            role_tokens=self.role_tokens,
            model_inputs=self.model_inputs,
            padding_side=self.padding_side,
            max_length=self.max_length,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of what determines the ids of a text; equal for the copies of all families."""
        if self._fingerprint is None:
            spec = self._spec
            if self.kind != PUBLISHED:
                spec = tokenizer_json.disable_special_tokens(spec, range(NUM_ROLE_SLOTS))
            deciding = {part: spec[part] for part in ("normalizer", "pre_tokenizer", "model")}
            text = json.dumps(deciding, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return self._fingerprint

    # -- text to ids ---------------------------------------------------------------------------------------------------

    def normalize(self, text: str) -> str:
        """The text as it is encoded, and whose bytes are counted: NFC, or unchanged."""
        return nfc(text) if self.normalization == "NFC" else text

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone: no special tokens are added, and their strings in it are ordinary text.

        Raises ValueError on a lone surrogate.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts at once, in parallel if `tokenizers` allows it."""
        return [encoding.ids for encoding in self._encodings(texts)]

    def encode_with_unknown(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """(ids, number of bytes covered by unknown tokens) of each text; bytes are UTF-8 after normalisation.

        In bits per byte, these cost 8 bits each. 0 for kinds with a token for every byte.
        """
        if self._unk_id is None:
            return [(ids, 0) for ids in self.encode_batch(texts)]
        normal = [self.normalize(text) for text in texts]
        result: list[tuple[list[int], int]] = []
        for text, encoding in zip(normal, self._encodings(normal, with_offsets=True, normal=True)):
            ids = encoding.ids
            lost = 0
            if self._unk_id in ids:
                spans = {span for id, span in zip(ids, encoding.offsets) if id == self._unk_id}
                lost = sum(len(text[start:end].encode()) for start, end in spans)
            result.append((ids, lost))
        return result

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """For each id of `encode(text)`, the [start, end) of its characters in the original text.

        A leading space belongs to its token. A token with some of the bytes of a character covers that character, and a
        composed character covers all that it was composed of. Raises ValueError on a lone surrogate.
        """
        normal, spans = nfc_spans(text) if self.normalization == "NFC" else (text, None)
        offsets = self._encodings([normal], with_offsets=True, normal=True)[0].offsets
        if spans is None:
            return offsets
        return [(spans[start][0], spans[end - 1][1]) if end > start else (start, start) for start, end in offsets]

    def _encodings(self, texts: Sequence[str], *, with_offsets: bool = False, normal: bool = False) -> list[Encoding]:
        if isinstance(texts, str):
            raise ValueError("texts: got one string; give a list of strings, or use encode(text)")
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"texts: number {place + 1} is {type(text).__name__}; give strings")
        normalized = list(texts) if normal else [self.normalize(text) for text in texts]
        backend = self._backend()
        encode = backend.encode_batch if with_offsets else backend.encode_batch_fast
        try:
            return encode(normalized, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:
            bad = next((text for text in normalized if not _is_unicode(text)), None)
            if bad is None:
                raise
            raise lone_surrogate(bad) from error
        except BaseException as error:
            if not is_panic(error):
                raise
            raise ValueError(f"texts: the tokenizer's file is damaged: it cannot encode one of them ({error})") from error

    def _try(self) -> None:
        """Use each part once, so that what cannot be used is refused when it is opened."""
        tokenizer_json.processor(self._spec)
        for id in self.encode(" aA1 가나ㄱ é\n"):
            self.piece_bytes(id)
        self.decode(sorted(self._tokens)[:: max(1, len(self._tokens) // 50)], skip_roles=False)

    def _backend(self) -> tokenizers.Tokenizer:
        """The encoder for ordinary text: special tokens under names that no text can contain, no template, no normalisation of
        ours."""
        if self._plain is None:
            spec = tokenizer_json.disable_special_tokens(self._spec, self.all_role_ids | self._unreachable)
            spec["post_processor"] = None
            if self.kind != PUBLISHED:
                spec["normalizer"] = None
            backend = tokenizers.Tokenizer.from_str(json.dumps(spec))
            for entry in spec["added_tokens"]:
                if backend.token_to_id(entry["content"]) != entry["id"]:
                    raise ValueError(f"added token {self._tokens[entry['id']]!r} cannot have the id {entry['id']}")
            backend.encode_special_tokens = True
            self._plain = backend
        return self._plain

    # -- ids to text ---------------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], skip_roles: bool = True, *, skip_special_tokens: bool | None = None) -> str:
        """The text of ids; invalid UTF-8 becomes U+FFFD. skip_roles: leave out special tokens, which `transformers` calls
        `skip_special_tokens`. Raises ValueError for an unknown id."""
        skip_roles = skip_roles if skip_special_tokens is None else skip_special_tokens
        shown = [int(id) for id in ids]
        if skip_roles:
            shown = [id for id in shown if id not in self.all_role_ids]
        parts = [self.piece_bytes(id, place == 0) for place, id in enumerate(shown)]
        text = b"".join(parts).decode("utf-8", errors="replace").removeprefix(self.decoding.strip_start)
        return text.removesuffix(" ") if self.decoding.drop_last_space else text

    def piece_bytes(self, id: int, first: bool = False) -> bytes:
        """The bytes of a token in a text (first: at the very start of it, where some tokenizers drop a space)."""
        found = self._bytes.get((id, first))
        if found is None:
            if id not in self._tokens:
                raise ValueError(f"id {id} is not in the vocabulary, whose ids are 0 to {self.vocab_size - 1}")
            token = self._tokens[id]
            plain = id in self.all_role_ids and not token.isascii()  # its string is no encoding of bytes
            found = token.encode() if plain else self.decoding.rule(token, first)
            self._bytes[id, first] = found
        return found

    def token(self, id: int) -> str:
        """The token of an id as it is written in `tokenizer.json`. Raises ValueError for an unknown id."""
        if id not in self._tokens:
            raise ValueError(f"id {id} is not in the vocabulary, whose ids are 0 to {self.vocab_size - 1}")
        return self._tokens[id]

    # -- batches for a model -------------------------------------------------------------------------------------------

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
        """Model inputs as in `transformers`: {"input_ids", "attention_mask", "token_type_ids" if the family takes them}.

        Values are lists (of lists, for a list of texts), or with return_tensors "np" / "pt" int64 arrays [B, T].
        truncation: to max_length (default: that of the model), special tokens included, the longer of a pair first.
        Raises ValueError for options that contradict each other or a tokenizer without padding.
        """
        single = isinstance(texts, str)
        first, second = texts_and_pairs(texts, pairs)
        options = BatchOptions(
            processor=tokenizer_json.processor(self._spec) if add_special_tokens else None,
            inputs=self.model_inputs,
            pad_id=self.role_ids.get("pad"),
            padding=padding,
            padding_side=padding_side or self.padding_side,
            truncation=truncation,
            max_length=max_length if max_length is not None else self.max_length if truncation else None,
            return_tensors=return_tensors,
        )
        encoded = self._encodings(first)
        return make_batch(options, encoded, None if second is None else self._encodings(second), single)

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer(kind={self.kind!r}, vocab_size={self.vocab_size}, normalization={self.normalization!r})"

    def __getstate__(self) -> dict[str, Any]:
        # Backends and rules are rebuilt in the receiving process: only the content of the file is sent.
        return {**self.__dict__, "_plain": None, "_bytes": {}, "decoding": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.decoding = decoding_of(self._spec["decoder"])


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
