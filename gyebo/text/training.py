"""Training a tokenizer on a stream of texts, with `tokenizers`; the result is a plain `tokenizer.json`.

bpe, wordpiece and unigram work on bytes (each byte shown as one character), so every text is decoded exactly; char has the
characters of the training text; byte is not trained. Ids 0 to 15 are special tokens, the others follow.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tokenizers
from tokenizers import models, trainers

from gyebo.text import tokenizer_json
from gyebo.text.normalize import lone_surrogate, nfc
from gyebo.text.roles import DEFAULT_ROLES, NUM_ROLE_SLOTS, slot_names
from gyebo.text.token_bytes import byte_alphabet
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.translation_tokenizer import TranslationTokenizer

KINDS = ("bpe", "wordpiece", "unigram", "char", "byte")
DEFAULT_VOCAB_SIZE = 16_000
# A pair that occurs less often becomes no token by itself: its vector would hardly be trained. 0.3 MB of Korean reviews give
# 3,900 ids, 1 MB 8,600, and from 3 MB on all 16,000.
OFTEN = 5
_BYTES = [byte_alphabet()[byte] for byte in range(256)]
_SLOTS = [f"<|slot-{slot}|>" for slot in range(NUM_ROLE_SLOTS)]
_BOUNDARY = "\U0010fffe"  # a noncharacter, inserted where training must not merge two morphemes
_MAX_WORD = 64  # characters; the greedy longest match takes time cubic in the length of a word
_LONGEST_TOKEN = 48  # bytes: 16 syllables of Hangul
_SPARE = 20  # unigram trains 1/20 more tokens than requested, so that we break the ties at the end, not chance

_SMALLEST = {"bpe": 256, "wordpiece": 512, "unigram": 256, "char": 1, "byte": 256}


def train_tokenizer(
    texts: Iterable[str],
    kind: str,
    vocab_size: int | None = None,
    *,
    normalize: str = "nfc",
    morphemes: bool = False,
    min_frequency: int | None = None,
) -> Tokenizer:
    """Train a tokenizer on texts, read once as a stream.

    kind: "bpe" (Sennrich et al. 2016, on bytes as in GPT-2), "wordpiece" (as in BERT, on bytes), "unigram" (Kudo 2018, on
        bytes), "char" or "byte".
    vocab_size: number of ids, including 16 for special tokens (char: every character of the texts; byte: always 272). By
        default it follows the texts: up to 16,000, as many as occur often enough to be learned (`OFTEN`). A small corpus may
        give fewer than are asked for.
    normalize: "nfc" or "none" (text is unchanged).
    morphemes: no token crosses a morpheme boundary that Kiwi finds in the texts (needs the extra `ko`).
    min_frequency: minimum frequency of a merged pair (bpe and wordpiece; default 2, or `OFTEN` without vocab_size).

    Raises ValueError for an unknown kind, a vocabulary too small, an option that has no effect, or an empty corpus.
    """
    _check(kind, vocab_size, normalize, morphemes, min_frequency)
    if kind == "byte":
        return _tokenizer(_byte_spec(), kind, normalize)
    if isinstance(texts, str):
        raise ValueError("texts: got one string; give an iterable of strings")
    source = iter(_Stream(texts, normalize))
    if morphemes:
        from gyebo.text.morphemes import mark_boundaries

        source = mark_boundaries(source, _BOUNDARY)
    spec = _TRAINERS[kind](source, vocab_size, min_frequency or (2 if vocab_size else OFTEN), morphemes)
    return _tokenizer(spec, kind, normalize)


def _check(kind: str, vocab_size: int | None, normalize: str, morphemes: bool, min_frequency: int | None) -> None:
    if kind not in KINDS:
        close = difflib.get_close_matches(kind.casefold(), KINDS, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ";"
        raise ValueError(f"tokenizer kind {kind!r}{hint} choose one of {', '.join(KINDS)}")
    if normalize not in ("nfc", "none"):
        raise ValueError(f"normalize: {normalize!r}; choose 'nfc' or 'none'")
    if morphemes and kind in ("char", "byte"):
        raise ValueError(f"morphemes has no effect on kind {kind!r}, whose tokens are single characters or bytes")
    if min_frequency is not None and kind not in ("bpe", "wordpiece"):
        raise ValueError(f"min_frequency has no effect on kind {kind!r}; leave it out")
    if min_frequency is not None and min_frequency < 1:
        raise ValueError(f"min_frequency: {min_frequency}; it must be at least 1")
    smallest = NUM_ROLE_SLOTS + _SMALLEST[kind]
    if kind == "byte" and vocab_size not in (None, smallest):
        raise ValueError(f"vocab_size: {vocab_size}; kind 'byte' always has {smallest} ids, so leave it out")
    if vocab_size is not None and vocab_size < smallest:
        raise ValueError(
            f"vocab_size: {vocab_size} is too small for kind {kind!r}; it needs at least {smallest} "
            f"({NUM_ROLE_SLOTS} special tokens and {_SMALLEST[kind]} basic tokens)"
        )


class _Stream:
    """The texts, normalised and counted."""

    def __init__(self, texts: Iterable[str], normalize: str) -> None:
        self._texts, self._normalize = texts, normalize
        self.count = self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if not isinstance(text, str):
                raise ValueError(f"text {self.count + 1} of the corpus is {type(text).__name__}; give strings")
            try:
                normal = nfc(text) if self._normalize == "nfc" else text
                normal.encode()
            except ValueError as error:
                raise lone_surrogate(text, f"text {self.count + 1} of the corpus") from error
            self.count += 1
            self.characters += len(normal)
            yield normal
        if not self.characters:
            raise ValueError(f"the corpus is empty: {self.count} texts without characters; no tokenizer can be trained")


def _spec(model: dict[str, Any], pre_tokenizer: dict[str, Any] | None, decoder: dict[str, Any]) -> tokenizer_json.Spec:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def _tokenizer(spec: tokenizer_json.Spec, kind: str, normalize: str) -> Tokenizer:
    spec["normalizer"] = {"type": "NFC"} if normalize == "nfc" else None
    spec = tokenizer_json.name_special_tokens(spec, slot_names(DEFAULT_ROLES), mask=DEFAULT_ROLES.tokens["mask"])
    normalization = "NFC" if normalize == "nfc" else "none"
    return Tokenizer(spec, kind=kind, normalization=normalization, role_tokens=DEFAULT_ROLES.tokens)


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": use_regex}


_BYTE_DECODER = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}

# GPT-2's split into words, each with the space before it, of limited length, then every punctuation mark separately.
_WORDPIECE_SPLIT = (
    rf" ?\p{{L}}{{1,{_MAX_WORD}}}| ?\p{{N}}{{1,{_MAX_WORD}}}| ?[^\s\p{{L}}\p{{N}}]{{1,{_MAX_WORD}}}"
    rf"|\s{{1,{_MAX_WORD}}}(?!\S)|\s{{1,{_MAX_WORD}}}"
)
_WORDPIECE_WORDS = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": _WORDPIECE_SPLIT}, "behavior": "Isolated", "invert": False},
        {"type": "Punctuation", "behavior": "Isolated"},
        _byte_level(use_regex=False),
    ],
}
_WORDPIECE_DECODER = {
    "type": "Sequence",
    "decoders": [{"type": "Replace", "pattern": {"Regex": "^##"}, "content": ""}, _BYTE_DECODER],
}


def _train(
    model: models.Model, trainer: trainers.Trainer, words: dict[str, Any], source: Iterator[str], morphemes: bool
) -> dict[str, Any]:
    """Run a trainer on words split by the pre-tokeniser `words` (and at morpheme boundaries); returns the model of the JSON."""
    if morphemes:
        boundary = {"type": "Split", "pattern": {"String": _BOUNDARY}, "behavior": "Removed", "invert": False}
        words = {"type": "Sequence", "pretokenizers": [boundary, words]}
    empty = _spec({"type": "BPE", "vocab": {}, "merges": []}, words, _BYTE_DECODER)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.Tokenizer.from_str(json.dumps(empty)).pre_tokenizer  # type: ignore[assignment]
    tokenizer.train_from_iterator(source, trainer)
    return json.loads(tokenizer.to_str())["model"]


def _train_bpe(source: Iterator[str], vocab_size: int | None, min_frequency: int, morphemes: bool) -> tokenizer_json.Spec:
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size or DEFAULT_VOCAB_SIZE,
        min_frequency=min_frequency,
        special_tokens=_SLOTS,
        initial_alphabet=_BYTES,
        show_progress=False,
    )
    words = _byte_level(use_regex=True)
    return _spec(_train(models.BPE(), trainer, words, source, morphemes), words, _BYTE_DECODER)


def _train_wordpiece(source: Iterator[str], vocab_size: int | None, min_frequency: int, morphemes: bool) -> tokenizer_json.Spec:
    # The "##" forms of all bytes come first: otherwise their ids follow a hash table, and ids break ties.
    continuing = ["##" + char for char in _BYTES]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size or DEFAULT_VOCAB_SIZE,
        min_frequency=min_frequency,
        special_tokens=_SLOTS + continuing,
        initial_alphabet=_BYTES,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    model = _train(models.WordPiece(), trainer, _WORDPIECE_WORDS, source, morphemes)
    model |= {"unk_token": _SLOTS[3], "max_input_chars_per_word": 1_000_000_000}
    return _spec(model, _WORDPIECE_WORDS, _WORDPIECE_DECODER)


def _train_unigram(source: Iterator[str], vocab_size: int | None, min_frequency: int, morphemes: bool) -> tokenizer_json.Spec:
    size = vocab_size or DEFAULT_VOCAB_SIZE
    trainer = trainers.UnigramTrainer(
        vocab_size=size + size // _SPARE,
        special_tokens=_SLOTS,
        initial_alphabet=_BYTES,
        max_piece_length=_LONGEST_TOKEN,
        show_progress=False,
    )
    words = _byte_level(use_regex=True)
    model = _train(models.Unigram(), trainer, words, source, morphemes)
    model["vocab"] = _reproducible(model["vocab"], size)
    return _spec(model, words, _BYTE_DECODER)


def _reproducible(vocab: list[list[Any]], size: int) -> list[list[Any]]:
    """The trained tokens with scores and in an order that are the same in every run.

    The trainer sums in the order of a hash table: scores differ in the last digits, so they are rounded and ties sorted by
    token. Bytes that do not occur get scores just above the lowest one, in steps of 0.0001, also in that order: here all of
    them get the lowest.
    """
    scores: dict[str, float] = {token: round(score, 4) for token, score in vocab[NUM_ROLE_SLOTS:]}
    lowest = min(scores.values())
    unseen = lowest + 0.0001 * (len(_BYTES) + 1)
    longer = sorted(((score, token) for token, score in scores.items() if len(token) > 1), key=_best_first)
    longer = longer[: size - NUM_ROLE_SLOTS - len(_BYTES)]
    singles = [(scores[byte] if scores[byte] > unseen else lowest, byte) for byte in _BYTES]
    ranked = sorted(longer + singles, key=_best_first)
    return [[slot, 0.0] for slot in _SLOTS] + [[token, score] for score, token in ranked]


def _best_first(scored: tuple[float, str]) -> tuple[float, str]:
    return -scored[0], scored[1]


def _train_char(source: Iterator[str], vocab_size: int | None, min_frequency: int, morphemes: bool) -> tokenizer_json.Spec:
    counts: Counter[str] = Counter()
    for text in source:
        counts.update(text)
    ranked = sorted(counts, key=lambda char: (-counts[char], char))
    kept = sorted(ranked[: vocab_size - NUM_ROLE_SLOTS] if vocab_size else ranked)
    return _spec(_without_merges([*_SLOTS, *kept], unknown=_SLOTS[3]), None, {"type": "Fuse"})


def _byte_spec() -> tokenizer_json.Spec:
    return _spec(_without_merges([*_SLOTS, *_BYTES]), _byte_level(use_regex=False), _BYTE_DECODER)


def _without_merges(tokens: list[str], unknown: str | None = None) -> dict[str, Any]:
    """A BPE without merges: each character is one token, an unknown one the token `unknown`."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: id for id, token in enumerate(tokens)},
        "merges": [],
    }


_TRAINERS: dict[str, Callable[[Iterator[str], int | None, int, bool], tokenizer_json.Spec]] = {
    "bpe": _train_bpe,
    "wordpiece": _train_wordpiece,
    "unigram": _train_unigram,
    "char": _train_char,
}


def train_translation_tokenizer(sources: Iterable[str], targets: Iterable[str], vocab_size: int) -> TranslationTokenizer:
    """A byte-level BPE for each language, each with half of the `vocab_size` ids; tokens of both languages share one id."""
    source, target = (train_tokenizer(texts, "bpe", vocab_size // 2) for texts in (sources, targets))
    known: dict[str, int] = source._spec["model"]["vocab"]
    ids = {token: id for token, id in target._spec["model"]["vocab"].items() if id < NUM_ROLE_SLOTS}
    next_id = source.vocab_size
    for token in sorted(target._spec["model"]["vocab"], key=target._spec["model"]["vocab"].__getitem__):
        if token not in ids:
            ids[token] = known.get(token, next_id)
            next_id += ids[token] == next_id
    spec = {**target._spec, "model": {**target._spec["model"], "vocab": ids}}
    return TranslationTokenizer(source, source.with_spec(spec))
