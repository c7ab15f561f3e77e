from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings

from gyebo.text.normalize import nfc, nfc_spans
from gyebo.text.training import train_tokenizer
from tests.text.text_corpus import EXACT, PROBES, SIZES, TEXTS, corpus, trained

MANY = settings(max_examples=300, deadline=None)


@MANY
@given(text=TEXTS)
def test_decoding_gives_back_nfc_for_kinds_on_bytes(text):
    expected = unicodedata.normalize("NFC", text)
    for kind in EXACT:
        tokenizer = trained(kind)
        assert tokenizer.decode(tokenizer.encode(text)) == expected, kind


@MANY
@given(text=TEXTS)
def test_without_normalisation_every_string_comes_back(text):
    for kind in EXACT:
        tokenizer = trained(kind, "none")
        assert tokenizer.decode(tokenizer.encode(text)) == text, kind


@MANY
@given(text=TEXTS)
def test_char_comes_back_where_every_character_is_known(text):
    for normalize, expected in (("nfc", unicodedata.normalize("NFC", text)), ("none", text)):
        if expected:
            tokenizer = train_tokenizer([text], "char", normalize=normalize)
            assert tokenizer.decode(tokenizer.encode(text)) == expected


@pytest.mark.parametrize("text", PROBES)
def test_spaces_and_empty_strings_come_back(text, train):
    for kind in EXACT:
        assert train(kind).decode(train(kind).encode(text)) == unicodedata.normalize("NFC", text)
    assert train("char").decode(train("char").encode("   a  b\n\t ")) == "   a  b\n\t "


@MANY
@given(text=TEXTS)
def test_nfc_is_unicodes(text):
    assert nfc(text) == unicodedata.normalize("NFC", text)
    normal, spans = nfc_spans(text)
    assert normal == unicodedata.normalize("NFC", text)
    assert spans is None or len(spans) == len(normal)


def test_compatibility_characters_stay():
    assert nfc("ㅋㅋㅋ ﬁ ① Ａ") == "ㅋㅋㅋ ﬁ ① Ａ"  # NFKC would change every one of them
    assert nfc("é") == "é"


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "byte"])
def test_every_byte_has_a_piece(kind, train):
    tokenizer = train(kind)
    pieces = {tokenizer.piece_bytes(id) for id in range(16, tokenizer.vocab_size)}
    assert {bytes([byte]) for byte in range(256)} <= pieces


def test_wordpiece_has_both_forms_of_every_byte_and_no_word_limit(train):
    tokenizer = train("wordpiece")
    tokens = [tokenizer.token(id) for id in range(16, tokenizer.vocab_size)]
    singles = {token for token in tokens if len(token) == 1}
    assert len(singles) == 256
    assert {"##" + char for char in singles} <= set(tokens)
    word = "학" * 5000
    assert tokenizer.decode(tokenizer.encode(word)) == word


def test_wordpiece_isolates_punctuation(train):
    tokenizer = train("wordpiece")
    text = "(먹었다,##a!!)"
    pieces = [tokenizer.piece_bytes(id) for id in tokenizer.encode(text)]
    assert b"".join(pieces) == text.encode()
    for mark in "(),#!":
        assert pieces.count(mark.encode()) == text.count(mark)


def test_char_gives_each_unknown_character_its_own_unknown(train):
    tokenizer = train("char")
    assert "뷁" not in "".join(corpus())
    ids = tokenizer.encode("나뷁뷁뷁는")
    assert [id == tokenizer.role_ids["unk"] for id in ids] == [False, True, True, True, False]


def test_unknown_bytes_are_counted(train):
    char = train("char")
    # 뷁 has 3 bytes, 𝄞 4, and the jamo of 뷁 are one syllable of 3 bytes after NFC.
    texts = ["나뷁𝄞는", "학교", unicodedata.normalize("NFD", "뷁"), ""]
    assert [lost for _, lost in char.encode_with_unknown(texts)] == [7, 0, 3, 0]
    assert [ids for ids, _ in char.encode_with_unknown(texts)] == char.encode_batch(texts)
    for kind in EXACT:
        assert [lost for _, lost in train(kind).encode_with_unknown(texts)] == [0, 0, 0, 0]


def test_batches_equal_single_texts(tokenizer):
    assert tokenizer.encode_batch(PROBES) == [tokenizer.encode(text) for text in PROBES]


def test_vocab_size_counts_every_id(tokenizer):
    highest = max(max(tokenizer.encode(text), default=0) for text in corpus())
    assert highest < tokenizer.vocab_size == len(tokenizer)
    assert SIZES[tokenizer.kind] in (None, tokenizer.vocab_size)
    tokenizer.token(tokenizer.vocab_size - 1)
    with pytest.raises(ValueError, match="not in the vocabulary"):
        tokenizer.decode([tokenizer.vocab_size])
    with pytest.raises(ValueError, match="not in the vocabulary"):
        tokenizer.decode([-1])


@pytest.mark.parametrize("normalize", ["nfc", "none"])
def test_lone_surrogates_are_refused(normalize, train):
    tokenizer = train("bpe", normalize)
    for call in (tokenizer.encode, tokenizer.offsets, lambda text: tokenizer.encode_with_unknown([text])):
        with pytest.raises(ValueError, match=r"lone surrogate U\+D83D at character 2"):
            call("가a\ud83d")


def test_wrong_types_are_refused(train):
    with pytest.raises(ValueError, match="one string"):
        train("bpe").encode_batch("가나")
    with pytest.raises(ValueError, match="number 2 is NoneType"):
        train("bpe").encode_batch(["가", None])
