from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.text.training import train_tokenizer
from tests.text.text_corpus import SIZES, TEXTS, trained


def covered(tokenizer, normal, ids):
    """For each id the [start, end) of the normalised characters that its bytes touch, counted byte by byte."""
    character = [place for place, char in enumerate(normal) for _ in char.encode()]
    spans, done = [], 0
    for id in ids:
        length = len(tokenizer.piece_bytes(id)) if id != tokenizer.role_ids.get("unk") else None
        if length is None:  # char kind: one character
            length = len(normal[character[done]].encode())
        spans.append((character[done], character[done + length - 1] + 1))
        done += length
    assert done == len(character)
    return spans


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_offsets_cover_the_text_and_hold_their_pieces(text):
    normal = unicodedata.normalize("NFC", text)
    for kind in SIZES:
        tokenizer = trained(kind)
        offsets = tokenizer.offsets(text)
        pieces = covered(tokenizer, normal, tokenizer.encode(text))
        assert len(offsets) == len(pieces)
        reached = 0
        for (start, end), (first, last) in zip(offsets, pieces):
            assert 0 <= start < end <= len(text)
            assert start <= reached, "a character belongs to no piece"
            reached = max(reached, end)
            assert normal[first:last] in unicodedata.normalize("NFC", text[start:end])
        assert reached == len(text)
        assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
        if normal == text:
            assert offsets == pieces


UNITS = st.lists(
    st.one_of(
        st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),
        st.sampled_from(["é", "Å", "ệ", "樂", " ", "a", "ㅋ", "👍", "."]),
    ),
    max_size=15,
)


@settings(max_examples=100, deadline=None)
@given(units=UNITS)
def test_a_composed_character_covers_all_it_was_composed_of(units):
    """Every unit is one NFC character whose decomposed length is known, so the expected borders are exact."""
    parts = [unicodedata.normalize("NFD", unit) for unit in units]
    ends = [sum(map(len, parts[: place + 1])) for place in range(len(parts))]
    starts = [0, *ends[:-1]]
    normal = unicodedata.normalize("NFC", "".join(parts))
    assert len(normal) == len(units)
    for kind in SIZES:
        tokenizer = trained(kind)
        pieces = covered(tokenizer, normal, tokenizer.encode("".join(parts)))
        expected = [(starts[first], ends[last - 1]) for first, last in pieces]
        assert tokenizer.offsets("".join(parts)) == expected


def test_offsets_of_hand_made_cases():
    tokenizer = train_tokenizer(["x"], "char")
    # L V T T: the first three jamo are one syllable, the last stays alone; 豈 and é are one character each.
    assert tokenizer.offsets("\u1100\u1161\u11a8\u11a8") == [(0, 3), (3, 4)]
    assert tokenizer.offsets("a豈e\u0301b") == [(0, 1), (1, 2), (2, 4), (4, 5)]
    # Marks that NFC reorders cannot be told apart from their letter; what becomes two characters covers one.
    assert tokenizer.offsets("a\u0301\u0323z") == [(0, 3), (0, 3), (3, 4)]
    assert tokenizer.offsets("\u0958x") == [(0, 1), (0, 1), (1, 2)]
    assert tokenizer.offsets("") == []
    byte = train_tokenizer([], "byte")
    assert byte.offsets("\u1100\u1161") == [(0, 2)] * 3
    none = train_tokenizer(["x"], "char", normalize="none")
    assert none.offsets("\u1100\u1161") == [(0, 1), (1, 2)]


def test_many_marks_on_one_letter_take_no_quadratic_time():
    text = "a" + "\u0323\u0301" * 3000 + "b"
    offsets = train_tokenizer([text], "char").offsets(text)
    assert offsets[0] == (0, 6001)
    assert offsets[-1] == (6001, 6002)
