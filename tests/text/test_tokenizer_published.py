"""Tokenizers as published models ship them, against `transformers`' own classes and `sentencepiece`."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer, CharBPETokenizer

from gyebo.text.incremental import IncrementalDecoder
from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from tests.text.text_corpus import LAYOUTS, TEXTS, corpus

transformers = pytest.importorskip("transformers")

TEXT = [
    "나는 학교에서 밥을 먹었다ㅋㅋㅋ 뷁",
    "",
    "   two  spaces\tand\n\nlines ",
    "Hello, WORLD! It's ``quoted''; naïve Café don't do not",
    "é NFD 한 ﬁ ① ½ Ａ 你好 樂 👩‍👩‍👧‍👦🏽",
    "##a # ## 1234567 \u3000x\u00a0y",
]
ROLE_STRINGS = re.compile(r"<|>|\[")


def as_sentencepiece(name, text):
    """Whether `tokenizers` alone reads a text as SentencePiece does, with which `test_sentencepiece_forms.py` compares ours: it
    takes U+0085 for a space, leaves letters of Hangul apart, and takes marks off signs; XLNet's takes all Hangul apart."""
    apart = re.search("[\x85\u1100-\u11ff\u3131-\u318e]", unicodedata.normalize("NFKD", text) if name == "xlnet" else text)
    return name not in ("t5", "xlnet") or not (apart or any(unicodedata.category(char)[0] == "M" for char in text))


def lines():
    return [text for text in corpus() if text.strip()]


def gpt2(folder):
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(lines(), vocab_size=600, special_tokens=["<|endoftext|>"], show_progress=False)
    trainer.save_model(str(folder))
    return transformers.GPT2Tokenizer


def gpt2_spaced(folder):
    (folder / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    return gpt2(folder)


def gpt(folder):
    trainer = CharBPETokenizer(lowercase=True)
    trainer.train_from_iterator(lines(), vocab_size=900, special_tokens=["<unk>"], show_progress=False)
    trainer.save_model(str(folder))
    return transformers.OpenAIGPTTokenizer


def bert_with(**options):
    def make(folder):
        trainer = BertWordPieceTokenizer(lowercase=options.get("do_lower_case", True))
        trainer.train_from_iterator(lines(), vocab_size=700, show_progress=False)
        trainer.save_model(str(folder))
        if options:
            config = {"tokenizer_class": "BertTokenizer", **options}
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return transformers.BertTokenizer

    return make


def spm(folder, **options):
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    options = {"vocab_size": 700, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines()), model_writer=model, **options)
    (folder / "spiece.model").write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def t5(folder):
    spm(folder, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.99)
    (folder / "config.json").write_text('{"model_type": "t5"}')
    return transformers.T5Tokenizer


def xlnet(folder):
    spm(folder, unk_id=0, bos_id=1, eos_id=2, control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"])
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLNetTokenizer"}')
    return transformers.XLNetTokenizer


PUBLISHED = {
    "gpt2": gpt2,
    "gpt2-spaced": gpt2_spaced,
    "gpt": gpt,
    "bert": bert_with(),
    "bert-cased": bert_with(do_lower_case=False),
    "bert-odd": bert_with(do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False),
    "t5": t5,
    "xlnet": xlnet,
}


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request, tmp_path_factory):
    """(name, ours, theirs) of one published form."""
    folder = tmp_path_factory.mktemp(request.param)
    reader = PUBLISHED[request.param](folder)
    return request.param, Tokenizer.load(folder), reader.from_pretrained(folder)


def test_ids_are_those_of_transformers(published):
    name, ours, theirs = published
    assert ours.kind == "published"
    assert ours.normalization == "own"
    texts = [text for text in TEXT if as_sentencepiece(name, text)]
    assert len(texts) >= 4
    assert theirs(texts, add_special_tokens=False)["input_ids"] == ours.encode_batch(texts)
    assert ours.vocab_size == len(theirs)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS.filter(lambda text: not ROLE_STRINGS.search(text)))
def test_ids_on_hard_texts(published, text):
    name, ours, theirs = published
    ids = ours.encode(text)
    if as_sentencepiece(name, text):
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids
    offsets = ours.offsets(text)
    assert len(offsets) == len(ids)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)


def test_a_next_line_character_is_what_sentencepiece_makes_of_it(tmp_path):
    processor = spm(tmp_path, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.99)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    for text in ("a\x85b", "\x85", "나무 \x85바다"):
        assert Tokenizer.load(tmp_path).encode(text) == processor.encode(text)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_decoding_and_streaming(published, data):
    _, ours, theirs = published
    ids = data.draw(st.lists(st.integers(0, ours.vocab_size - 1), max_size=10))
    assert ours.decode(ids, skip_roles=False) == theirs.decode(ids, clean_up_tokenization_spaces=False)
    decoder = IncrementalDecoder(ours)
    assert "".join([decoder.push(id) for id in ids]) + decoder.finish() == ours.decode(ids)


def test_role_strings_stay_text(published):
    name, ours, _ = published
    for token in set(ours.role_tokens.values()) | {"<|endoftext|>", "</s>", "[MASK]"}:
        ids = ours.encode(f"a {token} b")
        named = {id for role, id in ours.role_ids.items() if role != "unk"}
        assert not named & set(ids), (name, token)


def test_published_files_become_one_that_transformers_opens(published, tmp_path):
    ours = published[1]
    ours.save(tmp_path)
    again, auto = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.encode_batch(TEXT) == ours.encode_batch(TEXT)
    assert auto(TEXT, add_special_tokens=False)["input_ids"] == ours.encode_batch(TEXT)
    assert (again.role_ids, again.fingerprint, again.kind) == (ours.role_ids, ours.fingerprint, "published")


def test_a_role_that_merges_spell_is_still_text(tmp_path):
    vocab = ["<", "s", ">", "a", "<s", "<s>", "<s>a"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(vocab)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n< s\n<s >\n<s> a\n")
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    ours = Tokenizer.load(tmp_path)
    assert ours.role_ids["bos"] == 5
    assert 5 not in ours.encode("<s>a<s>")
    assert ours.decode(ours.encode("<s>a<s>")) == "<s>a<s>"


def test_an_added_token_whose_id_the_file_cannot_give_is_refused(tmp_path):
    entry = {"id": 9, "content": "<x>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    spec = {"added_tokens": [{**entry, "special": True}], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", **spec}))
    with pytest.raises(ValueError, match="'<x>' cannot have the id 9"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_a_pair_whose_second_text_is_empty(name, tmp_path):
    theirs = PUBLISHED[name](tmp_path).from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path).for_family(LAYOUTS[name])
    for first, second in (("나는", ""), ("", "나는"), ("", ""), (["나는", "책"], ["", "을"]), ([""], [""])):
        for length in (None, 3, 4, 5):
            cut = {} if length is None else {"truncation": True, "max_length": length}
            wanted = theirs(first, second, **cut)
            assert ours(first, second, **cut) == {field: wanted[field] for field in ours.model_inputs}, (first, second, length)


def test_a_family_takes_a_published_tokenizer_as_it_is(tmp_path):
    bert_with()(tmp_path)
    ours = Tokenizer.load(tmp_path).for_family(LAYOUTS["bert"])
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert ours(TEXT, TEXT[::-1]) == {field: theirs(TEXT, TEXT[::-1])[field] for field in ours.model_inputs}
    assert ours.role_ids["mask"] == theirs.mask_token_id
    assert ours.role_ids["bos"] == ours.role_ids["cls"] == theirs.cls_token_id
    plain = Tokenizer.load(tmp_path).for_family(LAYOUTS["gpt2"])  # what it lacks is not invented
    assert plain.role_ids.keys() == {"unk", "sep", "pad", "cls", "mask"}
    assert plain.vocab_size == ours.vocab_size
    assert plain.fingerprint == ours.fingerprint


def test_roberta_from_the_files_of_gpt2(tmp_path):
    trainer = ByteLevelBPETokenizer()
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer.train_from_iterator(lines(), vocab_size=600, special_tokens=tokens, show_progress=False)
    trainer.save_model(str(tmp_path))
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path).for_family(LAYOUTS["roberta"])
    for texts in ((TEXT,), (TEXT, TEXT[::-1])):
        assert ours(*texts)["input_ids"] == theirs(*texts)["input_ids"]
    assert ours.role_ids["mask"] == theirs.mask_token_id == 4
    missing = Roles({"sep": "[SEP]"}, single=("$A", "sep"), pair=("$A", "sep", "$B"))
    with pytest.raises(ValueError, match="'sep', which this tokenizer does not have"):
        Tokenizer.load(tmp_path).for_family(missing)


def test_sentinels_of_t5(tmp_path):
    theirs = t5(tmp_path).from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    assert ours.token(ours.vocab_size - 1) == "<extra_id_0>"
    assert theirs.convert_tokens_to_ids("<extra_id_0>") == ours.vocab_size - 1
    assert ours.token(ours.vocab_size - 100) == "<extra_id_99>"


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "unigram", "character_coverage": 0.99},
        {"model_type": "unigram", "byte_fallback": True, "character_coverage": 0.99, "vocab_size": 900},
        {"model_type": "unigram", "add_dummy_prefix": False, "user_defined_symbols": ["<eop>", "밥을"]},
        {"model_type": "bpe", "character_coverage": 0.99},
        {"model_type": "bpe", "byte_fallback": True, "vocab_size": 900},
        {
            "model_type": "bpe",
            "byte_fallback": True,
            "vocab_size": 900,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
        },
    ],
    ids=["unigram", "unigram-bytes", "unigram-no-prefix", "bpe", "bpe-bytes", "llama"],
)
def test_sentencepiece_gives_the_same_ids_and_text(options, tmp_path):
    processor = spm(tmp_path, **options)
    ours = Tokenizer.load(tmp_path)
    assert ours.vocab_size == processor.get_piece_size()
    for text in [*TEXT, *corpus()[::20], " leading", "밥을<eop>밥을"]:
        if "½" in text and options.get("normalization_rule_name") != "identity":
            text = text.replace("½", "").replace("①", "")
        ids = ours.encode(text)
        assert ids == processor.encode(text), text
        if ours.role_ids["unk"] not in ids:
            assert ours.decode(ids) == processor.decode(ids)


def test_bytes_of_a_fallback_stream_as_characters(tmp_path):
    spm(tmp_path, model_type="bpe", byte_fallback=True)
    ours = Tokenizer.load(tmp_path)
    decoder = IncrementalDecoder(ours)
    shown = [decoder.push(id) for id in ours.encode("뷁뚫 a")]
    assert "뷁" in shown
    assert "".join(shown) + decoder.finish() == "뷁뚫 a"


def test_unknown_words_are_charged_whole(tmp_path):
    bert_with(do_lower_case=False)(tmp_path)
    ours = Tokenizer.load(tmp_path)
    text = "hello 뷁뚫 나는"
    (ids, lost), (_, none) = ours.encode_with_unknown([text, "hello"])
    assert ids.count(ours.role_ids["unk"]) == 1
    assert lost == len("뷁뚫".encode()) == 6
    assert none == 0


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"\x80\x04not a model")
    with pytest.raises(ValueError, match=r"spiece\.model: not a SentencePiece model"):
        Tokenizer.load(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(ValueError, match="without tokens"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"unknown token '\[UNK\]' is not in it"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(ValueError, match=r"merges\.txt: merge 1 is 'a b'"):
        Tokenizer.load(tmp_path)


def test_other_sentencepiece_models_are_refused(tmp_path):
    spm(tmp_path, model_type="char")
    with pytest.raises(ValueError, match="only unigram and BPE"):
        Tokenizer.load(tmp_path)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    spm(tmp_path)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"gyebo\[data\]"):
        Tokenizer.load(tmp_path)
