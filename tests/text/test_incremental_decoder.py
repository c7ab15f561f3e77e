from __future__ import annotations

import unicodedata

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.text.incremental import IncrementalDecoder
from gyebo.text.training import train_tokenizer
from tests.text.text_corpus import EXACT, LAYOUTS, SIZES, TEXTS, trained


def stream(tokenizer, ids, skip_roles=True):
    decoder = IncrementalDecoder(tokenizer, skip_roles)
    pushes = [decoder.push(id) for id in ids]
    return pushes, decoder.finish()


@settings(max_examples=150, deadline=None)
@given(text=TEXTS.filter(lambda text: "\ufffd" not in text))
def test_each_character_appears_with_its_last_byte(text):
    normal = unicodedata.normalize("NFC", text)
    whole = normal.encode()
    for kind in EXACT:
        tokenizer = trained(kind)
        ids = tokenizer.encode(text)
        pushes, rest = stream(tokenizer, ids)
        arrived, shown = 0, ""
        for id, push in zip(ids, pushes):
            arrived += len(tokenizer.piece_bytes(id))
            shown += push
            assert shown == whole[:arrived].decode(errors="ignore")  # all characters complete so far, no half one
        assert shown == normal
        assert rest == ""


def test_hangul_by_bytes_comes_one_syllable_at_a_time():
    pushes, rest = stream(trained("byte"), trained("byte").encode("한국"))
    assert pushes == ["", "", "한", "", "", "국"]
    assert rest == ""


def test_chars_come_one_by_one():
    tokenizer = train_tokenizer(["나는 학교"], "char")
    assert stream(tokenizer, tokenizer.encode("학교는"))[0] == ["학", "교", "는"]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), skip_roles=st.booleans())
def test_any_ids_give_what_decode_gives(data, skip_roles):
    for kind in SIZES:
        tokenizer = trained(kind)
        ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=12))
        pushes, rest = stream(tokenizer, ids, skip_roles)
        assert "".join(pushes) + rest == tokenizer.decode(ids, skip_roles)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), skip_roles=st.booleans())
def test_decode_agrees_with_the_rust_decoder(data, skip_roles):
    for kind in SIZES:
        tokenizer = trained(kind).for_family(LAYOUTS["bert"])
        ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=12))
        assert tokenizer.decode(ids, skip_roles) == rust(kind).decode(ids, skip_special_tokens=skip_roles)


_RUST: dict[str, tokenizers.Tokenizer] = {}


def rust(kind):
    if kind not in _RUST:
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            trained(kind).for_family(LAYOUTS["bert"]).save(folder)
            _RUST[kind] = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    return _RUST[kind]


def test_half_a_character_shows_only_at_the_end():
    byte = trained("byte")
    ids = byte.encode("한")
    pushes, rest = stream(byte, ids[:2])
    assert pushes == ["", ""]
    assert rest == "\ufffd" == byte.decode(ids[:2])
    pushes, rest = stream(byte, [*ids[:2], *byte.encode("a")])
    assert pushes == ["", "", "\ufffda"]


def test_roles_between_bytes_are_left_out():
    tokenizer = trained("byte").for_family(LAYOUTS["gpt2"])
    ids = tokenizer.encode("한")
    end = tokenizer.role_ids["eos"]
    pushes, _ = stream(tokenizer, [ids[0], end, ids[1], ids[2], end])
    assert pushes == ["", "", "", "한", ""]
    assert tokenizer.decode([end, *ids, end], skip_roles=False) == "<|endoftext|>한<|endoftext|>"
    assert tokenizer.decode([end, *ids, end]) == "한"


def test_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="id 272 is not in the vocabulary"):
        IncrementalDecoder(trained("byte")).push(272)
