"""A SentencePiece `.model` gives SentencePiece's own ids, whichever way the Hangul of a text is written."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given, settings

from gyebo.text.tokenizer import Tokenizer
from tests.text.text_corpus import TEXTS, corpus

sentencepiece = pytest.importorskip("sentencepiece")

KOREAN = ["한국어 모델을 공유합니다.", "ㅋㅋㅋㅠㅠ 재밌었다ㅋㅠ", "ㄱㅏㄴㄷㅏ ㅇㅣ것", "나는 학교에서 Café를 봤다"]
KOREAN += ["값 읽 뷁", "네ㄳ 아ㄺ"]
RULES = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity")


def train(file, **options):
    """A small model in a file, and the processor that reads it."""
    model = io.BytesIO()
    lines = [text for text in [*corpus(), *KOREAN * 5] if text.strip()]
    options = {"vocab_size": 800, "minloglevel": 2, "character_coverage": 1.0, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
    file.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def forms(text):
    return [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKD")]


@pytest.fixture(scope="module", params=RULES)
def model(request, tmp_path_factory):
    """(processor, our tokenizer) of each rule of normalisation that SentencePiece has."""
    folder = tmp_path_factory.mktemp(request.param)
    processor = train(folder / "spiece.model", normalization_rule_name=request.param)
    return processor, Tokenizer.load(folder), request.param


def test_both_forms_of_hangul_are_as_sentencepiece_reads_them(model):
    processor, ours, rule = model
    for text in KOREAN:
        for form in forms(text):
            assert ours.encode(form) == processor.encode(form), form
    assert rule == "identity" or ours.encode(forms(KOREAN[0])[1]) == ours.encode(KOREAN[0])


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_hard_texts_are_as_sentencepiece_reads_them(model, text):
    """But for marks that stand in no canonical order, or on a sign that the rules replace: there `tokenizers` differs."""
    processor, ours, rule = model
    whole = unicodedata.normalize("NFC", text)
    changed = {sign for sign in whole if processor.normalize(sign) != f"▁{sign}"}
    marks = {mark for mark in whole if unicodedata.category(mark)[0] == "M" or mark in "\u200c\u200d"}
    marked = any(sign in changed and mark in marks for sign, mark in zip(whole, whole[1:]))
    if rule == "identity" or (not marked and processor.normalize(whole) == processor.normalize(text)):
        assert ours.encode(text) == processor.encode(text)


def test_kobert_without_accents(tmp_path):
    """The published KoBERT: a tokenizer of XLNet's class that takes accents off, and with them, by NFKD, Hangul apart."""
    processor = train(tmp_path / "spiece.model", control_symbols=["[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    config = {"tokenizer_class": "XLNetTokenizer", "do_lower_case": False, "remove_space": True, "keep_accents": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours = Tokenizer.load(tmp_path)
    for text in KOREAN:
        bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
        for form in forms(text):
            assert ours.encode(form) == processor.encode(bare), form
    assert ours.encode(KOREAN[0]) == processor.encode(KOREAN[0]) and ours.role_ids["unk"] not in ours.encode(KOREAN[0])


def test_marians_source_in_both_forms(tmp_path):
    processors = {side: train(tmp_path / f"{side}.spm", bos_id=-1) for side in ("source", "target")}
    pieces = [processors["source"].id_to_piece(id) for id in range(processors["source"].get_piece_size())]
    pieces = ["</s>", "<unk>", *(piece for piece in pieces if piece not in ("</s>", "<unk>")), "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(pieces)}))
    ours = Tokenizer.load(tmp_path)
    for text in KOREAN:
        for form in forms(text):
            for side, processor in ((ours, processors["source"]), (ours.target, processors["target"])):
                assert [ours.token(id) for id in side.encode(form)] == [
                    piece if piece in pieces else "<unk>" for piece in processor.encode(form, out_type=str)
                ]


def test_what_is_saved_reads_both_forms_alike(tmp_path):
    processor = train(tmp_path / "spiece.model")
    Tokenizer.load(tmp_path).save(tmp_path / "saved")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    for text in KOREAN:
        for form in forms(text):
            assert theirs(form, add_special_tokens=False)["input_ids"] == processor.encode(form)
