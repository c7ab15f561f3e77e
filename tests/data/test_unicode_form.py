"""Bytes are counted after NFC, so ids are made after it, also where a published tokenizer has no NFC of its own."""

from __future__ import annotations

import unicodedata

import pytest
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

from gyebo.data.prepare import split_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer

LINES = ["나는 학교에서 밥을 먹었다", "너는 집에서 책을 읽었다", "우리는 바다에서 노래를 불렀다"] * 10


def published(kind, folder):
    trainer = BertWordPieceTokenizer(lowercase=False) if kind == "vocab.txt" else ByteLevelBPETokenizer()
    trainer.train_from_iterator(LINES, vocab_size=400, show_progress=False)
    trainer.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    return Tokenizer.load(folder)


@pytest.mark.parametrize("kind", ["vocab.txt", "merges.txt"])
def test_both_forms_of_a_text_are_the_same_document(kind, tmp_path):
    (tmp_path / "tokenizer").mkdir()
    tokenizer = published(kind, tmp_path / "tokenizer")
    assert tokenizer.encode(LINES[0]) != tokenizer.encode(unicodedata.normalize("NFD", LINES[0])), "it has no NFC of its own"
    splits = []
    for form in ("NFC", "NFD"):
        (tmp_path / form).mkdir()
        splits.append(split_of([unicodedata.normalize(form, text) for text in LINES[:3]], tokenizer, tmp_path / form))
    for number, text in enumerate(LINES[:3]):
        one, other = (split.read(number, 0, int(split.documents["tokens"][number])).tolist() for split in splits)
        assert one == other == tokenizer.encode(text)
    for column in ("bytes", "unknown"):
        assert splits[0].documents[column].tolist() == splits[1].documents[column].tolist()


def test_a_tokenizer_that_was_told_to_normalise_nothing_does_not(tmp_path):
    tokenizer, text = train_tokenizer(LINES, "byte", None, normalize="none"), unicodedata.normalize("NFD", LINES[0])
    split = split_of([text], tokenizer, tmp_path)
    assert split.read(0, 0, 1000).tolist() == tokenizer.encode(text)
