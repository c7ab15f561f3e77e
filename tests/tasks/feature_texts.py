"""Tokenizers, frames and texts that the tests of features share."""

from __future__ import annotations

import random
import unicodedata
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer

_WORDS = "경찰은 성매매 알선 자금을 관리한 박씨의 딸과 비틀즈가 서울역에서 노래를 불렀다 The Beatles sang in Café 1965".split()
_SIZES = {"bpe": 420, "wordpiece": 640, "unigram": 360, "char": None, "byte": None}
KINDS = tuple(_SIZES)

LAYOUTS = {
    "bert": Roles(
        {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
        single=("cls", "$A", "sep"),
        pair=("cls", "$A", "sep", "$B:1", "sep:1"),
        model_inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    "roberta": Roles(
        {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"},
        single=("cls", "$A", "sep"),
        pair=("cls", "$A", "sep", "sep", "$B", "sep"),
    ),
    "gpt": Roles({"pad": "<pad>", "bos": "<s>", "eos": "<e>", "unk": "<unk>"}),
    "t5": Roles({"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, single=("$A", "eos"), pair=("$A", "eos", "$B", "eos")),
    "xlnet": Roles(
        {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>", "cls": "<cls>", "sep": "<sep>", "mask": "<mask>"},
        single=("$A", "sep", "cls:2"),
        pair=("$A", "sep", "$B:1", "sep:1", "cls:2"),
        model_inputs=("input_ids", "token_type_ids", "attention_mask"),
        padding_side="left",
    ),
}


@cache
def tokenizer_of(kind: str = "bpe", layout: str = "bert") -> Tokenizer:
    """A small tokenizer of a kind, as a family's copy."""
    rng = random.Random(3)
    texts = [" ".join(rng.choices(_WORDS, k=6)) for _ in range(300)]
    return train_tokenizer(texts, kind, _SIZES[kind]).for_family(LAYOUTS[layout])


def published(folder: Path, pieces: str) -> Tokenizer:
    """A WordPiece vocabulary as BERT's authors publish it, with these pieces, in BERT's frame."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces.split()]), encoding="utf-8"
    )
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    return Tokenizer.load(folder).for_family(LAYOUTS["bert"])


_syllables = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
_pieces = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from(_WORDS).map(lambda word: " " + word),
    st.text(_syllables, min_size=1, max_size=3).map(lambda text: unicodedata.normalize("NFD", text)),
    _syllables,
    st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),
    st.sampled_from(
        ["👩‍👩‍👧‍👦", "👍🏽", "🇰🇷", "ㅋㅋ", "é", "e\u0301", "豈", "[MASK]", "<subj>", " ", "  ", "\t", "\u00a0", ".", "##a", "_"]
    ),
    st.characters(exclude_categories=["Cs", "Cn"]),
)
TEXTS = st.lists(_pieces, max_size=14).map("".join)
"""Texts that are hard to align: NFD Hangul, lone jamo, emoji sequences, role strings, several kinds of spaces."""
