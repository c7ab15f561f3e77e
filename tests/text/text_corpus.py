"""What the tokenizer tests learn from and are tried on; also imported by the processes that test_tokenizer_training starts."""

from __future__ import annotations

import itertools
import random
import unicodedata
from functools import cache

from hypothesis import strategies as st

from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer

WHO = ["나는", "너는", "우리는", "학생이", "선생님께서", "민수가", "고양이가", "할머니께서는"]
WHERE = ["학교에서", "집에서", "서울역에서", "바다에서", "Café에서", "도서관에서", "부산에서"]
WHAT = [
    "공부를 했다.",
    "밥을 먹었어요!",
    "책을 읽는다",
    "영화를 봤는데 재밌었다ㅋㅋㅋ",
    "노래를 불렀습니다.",
    "잤다ㅠㅠ",
]
ENGLISH = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "Hello, world! I've read 1234 books in 2026.",
    "naïve Café, crème brûlée and Ångström; it's 50% off",
    "<s> markup </s> and [MASK] or <|endoftext|> are only text here <s> [CLS] [MASK]",
    "def f(x):\n\treturn x + 1  # ## spaces   here\n",
    "가족 👩‍👩‍👧‍👦 🇰🇷 👍🏽 樂 豈 漢字",
]


@cache
def corpus() -> list[str]:
    rng = random.Random(7)
    syllables = [chr(rng.randrange(0xAC00, 0xD7A4)) for _ in range(60)]
    stems = ["".join(rng.choices(syllables, k=2)) for _ in range(120)]
    latin = ["".join(rng.choices("aeioumnrstkl", k=3)) for _ in range(60)]

    def word() -> str:
        parts = rng.choices(stems if rng.random() < 0.7 else latin, k=rng.randint(1, 2))
        return "".join(parts) + rng.choice(["은", "을", "에서", "에게", "이다.", ", ", "s", "!"])

    told = [" ".join(word() for _ in range(5)) for _ in range(600)]
    return [" ".join(parts) for parts in itertools.product(WHO, WHERE, WHAT)] + ENGLISH * 20 + told


PROBES = [
    "안녕하세요 Café É x\t\n y",
    "",
    " ",
    "   a  b ",
    "\n\n\t",
    "나는 학교에서 밥을 먹었다ㅋㅋㅋ 👩‍👩‍👧‍👦🏽 🇰🇷 'tis can't ##a # ##",
    "한국어 é ᄀ ㄱㅏ Å 豈",
    "THE CAFÉ, NAÏVE; 1234567",
    "a" * 90 + "가" * 90,
]

LAYOUTS = {
    "gpt2": Roles({"pad": "<|pad|>", "bos": "<|endoftext|>", "eos": "<|endoftext|>"}),
    "openai-gpt": Roles({"pad": "<pad>", "bos": "<s>", "eos": "<e>", "unk": "<unk>"}),
    "bert": Roles(
        {
            "pad": "[PAD]",
            "bos": "[CLS]",
            "eos": "[SEP]",
            "unk": "[UNK]",
            "cls": "[CLS]",
            "sep": "[SEP]",
            "mask": "[MASK]",
        },
        single=("cls", "$A", "sep"),
        pair=("cls", "$A", "sep", "$B:1", "sep:1"),
        model_inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    "roberta": Roles(
        {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"},
        single=("cls", "$A", "sep"),
        pair=("cls", "$A", "sep", "sep", "$B", "sep"),
    ),
    "t5": Roles({"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, single=("$A", "eos"), pair=("$A", "eos", "$B", "eos")),
    "xlnet": Roles(
        {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>", "cls": "<cls>", "sep": "<sep>", "mask": "<mask>"},
        single=("$A", "sep", "cls:2"),
        pair=("$A", "sep", "$B:1", "sep:1", "cls:2"),
        model_inputs=("input_ids", "token_type_ids", "attention_mask"),
        padding_side="left",
    ),
}

SIZES = {"bpe": 600, "wordpiece": 900, "unigram": 500, "char": None, "byte": None}
EXACT = ("bpe", "wordpiece", "unigram", "byte")


@cache
def trained(kind: str, normalize: str = "nfc") -> Tokenizer:
    return train_tokenizer(corpus(), kind, SIZES[kind], normalize=normalize)


def _nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


_syllables = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
_jamo = st.characters(min_codepoint=0x1100, max_codepoint=0x11FF)
_compatibility_jamo = st.characters(min_codepoint=0x3131, max_codepoint=0x318E)
_ideographs = st.characters(min_codepoint=0xF900, max_codepoint=0xFAFF, exclude_categories=["Cn"])
_marks = st.characters(categories=["Mn", "Mc"])
_emoji = st.sampled_from(["👩‍👩‍👧‍👦", "👍🏽", "🇰🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "👁️‍🗨️", "1️⃣", "\u200d", "🏽"])
_words = st.sampled_from(["학교에서 ", " 먹었다", "Café", "don't", "##", "<s>", "[MASK]", "  ", "\t", "\r\n", " ", "\u00a0"])
_any = st.characters(exclude_categories=["Cs", "Cn"])
_pieces = st.one_of(
    st.text(_syllables, max_size=5).map(_nfd),
    _syllables,
    _jamo,
    _compatibility_jamo,
    _ideographs,
    _marks,
    _emoji,
    _words,
    _any,
)

TEXTS = st.lists(_pieces, max_size=12).map("".join)
"""Texts that are hard for a tokenizer: NFD Hangul, lone jamo, emoji sequences, ideographs that NFC replaces, marks."""
