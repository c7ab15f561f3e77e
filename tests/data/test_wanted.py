"""Texts that a corpus may hold as they are, with small changes, or within a document; and corpora that must not hold them."""

import json
import unicodedata

import pytest

from gyebo.config.run import DataOptions, RunOptions
from gyebo.data.prepare import open_corpus, prepare, training_texts
from gyebo.data.wanted import CONTAINED, EXACT, NEAR, Wanted, near_key
from gyebo.jobs.pretraining.corpus import prepare as facts
from gyebo.text.tokenizer import Tokenizer
from tests.conftest import sentences
from tests.refusals import option_error

KOREAN = "배우들의 연기가 정말 훌륭해서 두 번이나 보고 나왔다"
ENGLISH = "The actors were so good that I watched it twice in one day, and once more with my sister"
TWO = "배우들의 연기가 정말 훌륭했다. 하지만 결말은 조금 아쉬웠다!"


def found(texts, document):
    return list(Wanted.of(texts).find(document).values())


@pytest.mark.parametrize(
    ("text", "document", "how"),
    [
        (KOREAN, KOREAN, [EXACT]),
        (KOREAN, f"  {unicodedata.normalize('NFD', KOREAN)} \n", [EXACT]),
        (KOREAN, f"{KOREAN}!!! :)", [NEAR]),
        (KOREAN, KOREAN.replace(" ", ""), [NEAR]),
        (KOREAN, KOREAN.replace("정말", "정말말말"), [NEAR]),
        (ENGLISH, ENGLISH.upper(), [NEAR]),
        (ENGLISH, ENGLISH.replace("good", "gooooood"), [NEAR]),
        (ENGLISH, "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in ENGLISH), [NEAR]),  # full-width letters
        (ENGLISH, ENGLISH.replace("twice", "once"), []),
        (KOREAN, KOREAN + " 그리고", []),  # neither the document nor a sentence of it
        (KOREAN, f"추천합니다. {KOREAN}. 끝.", [CONTAINED]),
        (KOREAN, f"첫 줄\n{KOREAN}\n끝", [CONTAINED]),
        ("배우의 연기가 정말 훌륭했다", "배우의 연기가 정말 훌륭했다!", [NEAR]),
        ("배우의 연기가 정말 훌륭했다", "배우의 연기가 정말 훌륭했다! 결말은 별로.", []),  # too common a sentence within others
        (TWO, f"좋아요! {TWO} 다시 볼까?", [CONTAINED]),
        (TWO, "배우들의 연기가 정말 훌륭했다. 그리고. 하지만 결말은 조금 아쉬웠다!", []),  # not one after the other
        (TWO, TWO.replace(". ", " ").replace("!", ""), [NEAR]),  # sentences may end elsewhere
        ("재밌다", "재밌다", []),
        (
            "너무 재밌다 ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ",
            "너무 재밌다 ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ",
            [],
        ),  # long by one letter only
        (f"{ENGLISH} for 100 dollars", f"{ENGLISH} for 1000 dollars", []),  # another number
        ("", "", []),
        ("...", "!!!", []),
    ],
)
def test_how_a_text_is_found(text, document, how):
    assert found([text], document) == how


def test_a_text_of_several_with_one_key_may_be_the_document():
    assert found([KOREAN, KOREAN + "!"], KOREAN + "!") == [EXACT]
    assert found([KOREAN, KOREAN + "!"], KOREAN + "?") == [NEAR]
    assert Wanted.of([KOREAN, KOREAN + "!"]).find(KOREAN) == {near_key(KOREAN): EXACT}


def test_a_document_may_hold_several_texts():
    wanted = Wanted.of([KOREAN, ENGLISH])
    assert wanted.find(f"{ENGLISH}.\n{KOREAN}") == {near_key(ENGLISH): CONTAINED, near_key(KOREAN): CONTAINED}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A corpus of 60 lines, and a file with three texts: line 4 in other letters, a sentence of line 9, one not in it."""
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    lines = [f"{line[:-1]} number {number}." for number, line in enumerate(sentences(60, seed=3))]
    lines[9] += f" {ENGLISH}."
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    without = [lines[4].upper(), ENGLISH, KOREAN]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in without), encoding="utf-8")
    return tmp_path, lines


def test_documents_that_hold_a_text_are_not_learned(parts, tokenizer_folder):
    folder, lines = parts
    valid = folder / "valid.txt"
    valid.write_text("\n".join(lines[:12]) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.load(tokenizer_folder)
    named = {"corpus": [str(folder / "a.txt")], "valid": str(valid)}
    whole, cut = (open_corpus(DataOptions(**named, **more)) for more in ({}, {"without": [str(folder / "test.jsonl")]}))
    kept = [line for number, line in enumerate(lines) if number not in (4, 9)]
    assert list(training_texts(whole)) == lines and list(training_texts(cut)) == kept
    assert whole.fingerprint != cut.fingerprint == open_corpus(cut.options).fingerprint
    (before, after) = (prepare(corpus, tokenizer) for corpus in (whole, cut))
    assert (len(before.train), len(after.train), before.meta["left_out"], after.meta["left_out"]) == (60, 58, 0, 2)
    assert len(after.valid) == 12  # held-out text is not learned
    told = facts(RunOptions(family="gpt2", tokenizer=str(tokenizer_folder), budget={"steps": 1}, data=cut.options), folder)
    assert (told.documents, told.left_out) == (58, 2)
    (folder / "test.jsonl").write_text(json.dumps({"text": KOREAN}) + "\n", encoding="utf-8")
    assert open_corpus(cut.options).fingerprint not in (whole.fingerprint, cut.fingerprint)


def test_a_text_to_leave_out_is_a_line_whatever_a_document_is(parts):
    folder, lines = parts
    (folder / "test.txt").write_text(f"{lines[20]}\n{lines[21]}\n", encoding="utf-8")
    (folder / "other.txt").write_text(f"{lines[0]}\n", encoding="utf-8")
    corpus = [str(folder / name) for name in ("a.txt", "other.txt")]
    options = DataOptions(corpus=corpus, documents="file", without=[str(folder / "test.txt")])
    assert list(training_texts(open_corpus(options))) == [f"{lines[0]}\n"]


def test_a_corpus_of_test_texts_alone_is_refused(parts, tokenizer_folder):
    folder, _ = parts
    options = DataOptions(corpus=[str(folder / "a.txt")], valid_share=0.2, without=[str(folder / "a.txt")])
    with option_error("data.without"):
        prepare(open_corpus(options), Tokenizer.load(tokenizer_folder))
    with option_error("data.without"):
        open_corpus(options, hold_out_all=True)
    with pytest.raises(ValueError, match=r"data\.without"):
        DataOptions(corpus=["a.txt"], without=["-"])
