"""Directories of published tokenizers are read whole: added tokens, which file counts, what the last user left switched on."""

from __future__ import annotations

import json

import pytest
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from tests.text.test_sentencepiece_forms import train
from tests.text.text_corpus import LAYOUTS, corpus

transformers = pytest.importorskip("transformers")

TEXTS = ["나는 학교에서 hello", "hello 코로나 나는 [SPK1] 밥 [SPK2]", "코로나19 <pad> x", "a코로나b", "코로나 코로나"]


def lines():
    return [text for text in corpus() if text.strip()]


@pytest.fixture
def bert(tmp_path):
    trainer = BertWordPieceTokenizer(lowercase=False)
    trainer.train_from_iterator(lines(), vocab_size=700, show_progress=False)
    trainer.save_model(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')
    return tmp_path


@pytest.fixture
def gpt2(tmp_path):
    """As KoGPT's and others': no role but the end, until its user added some."""
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(lines(), vocab_size=600, special_tokens=["<|endoftext|>"], show_progress=False)
    trainer.save_model(str(tmp_path))
    return tmp_path


def same(ours, theirs):
    for text in TEXTS:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text


def test_words_of_added_tokens_json(bert):
    (bert / "added_tokens.json").write_text(json.dumps({"코로나": 700, "챗봇": 701}))
    theirs = transformers.BertTokenizer.from_pretrained(bert)
    assert theirs.convert_tokens_to_ids("코로나") == 700 and len(theirs) == 702
    ours = Tokenizer.load(bert)
    same(ours, theirs)
    assert ours.vocab_size == 702 and ours.token(701) == "챗봇" and 700 not in ours.all_role_ids
    ours.save(bert / "saved")
    again = Tokenizer.load(bert / "saved")
    same(again, transformers.AutoTokenizer.from_pretrained(bert / "saved"))
    assert [again.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]
    assert ours.decode(ours.encode("나는 코로나 x")) == "나는 코로나 x"


def test_the_decoder_of_added_tokens(bert):
    """Plain words, and speaker tags that are special: these stand in no text, and are known by name."""
    flags = {"lstrip": False, "rstrip": False, "single_word": False}
    added = {"700": {"content": "코로나", "normalized": True, "special": False, **flags}}
    added["701"] = {"content": "[SPK1]", "normalized": False, "special": True, **flags}
    added["702"] = {"content": "[SPK2]", "normalized": False, "special": True, **flags}
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "added_tokens_decoder": added}
    config["additional_special_tokens"] = ["[SPK1]", "[SPK2]"]
    (bert / "tokenizer_config.json").write_text(json.dumps(config))
    theirs, ours = transformers.BertTokenizer.from_pretrained(bert), Tokenizer.load(bert)
    assert ours.vocab_size == len(theirs) == 703
    assert ours.encode("코로나") == theirs("코로나", add_special_tokens=False)["input_ids"] == [700]
    assert {701, 702} <= ours.all_role_ids and ours.token(702) == theirs.convert_ids_to_tokens(702) == "[SPK2]"
    assert not {701, 702} & set(ours.encode("a [SPK1] b [SPK2]")), "text is ordinary text"


def test_a_role_that_was_added(gpt2):
    (gpt2 / "added_tokens.json").write_text(json.dumps({"[PAD]": 600, "<usr>": 601}))
    names = {"pad_token": "[PAD]", "eos_token": "<|endoftext|>", "additional_special_tokens": ["<usr>"]}
    (gpt2 / "special_tokens_map.json").write_text(json.dumps(names))
    theirs = transformers.GPT2Tokenizer.from_pretrained(gpt2)
    ours = Tokenizer.load(gpt2).for_family(LAYOUTS["gpt2"])
    assert ours.role_ids["pad"] == theirs.pad_token_id == 600 and theirs.convert_tokens_to_ids("<usr>") == 601
    assert 601 in ours.all_role_ids and ours.vocab_size == len(theirs) == 602
    batch = ["나는 학교에서 밥을", "x"]
    found = ours(batch, padding=True)
    assert found["input_ids"] == theirs(batch, padding=True)["input_ids"]
    same(ours, theirs)


def test_what_stands_beside_a_tokenizer_json(bert):
    """A tokenizer.json that knows fewer tokens than the files beside it, as after `add_tokens` and a save by hand."""
    transformers.BertTokenizer.from_pretrained(bert).save_pretrained(bert / "fast")
    (bert / "fast" / "added_tokens.json").write_text(json.dumps({"코로나": 700}))
    ours, theirs = Tokenizer.load(bert / "fast"), transformers.AutoTokenizer.from_pretrained(bert / "fast")
    assert ours.encode("코로나") == [700] == theirs("코로나", add_special_tokens=False)["input_ids"] and ours.vocab_size == 701


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("added_tokens.json", '{"코로나": 900}', "'코로나' has the id 900, but the next one is 700"),
        ("added_tokens.json", '{"코로나": 3}', "'코로나' has the id 3, which is that of"),
        ("added_tokens.json", '{"코로나": "x"}', "ids must be whole numbers"),
        ("added_tokens.json", "[]", "expected a JSON object"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {"content": "y"}}}', "ids must be whole numbers"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"700": {"special": true}}}', "700"),
        ("tokenizer_config.json", '{"added_tokens_decoder": []}', "added_tokens_decoder"),
    ],
)
def test_added_tokens_that_do_not_fit(bert, name, content, words):
    (bert / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=words) as caught:
        Tokenizer.load(bert)
    assert name in str(caught.value)


def test_a_vocabulary_of_pieces_is_no_wordpiece(tmp_path):
    """KoBERT's: a vocab.txt that lists the pieces of the SentencePiece model beside it."""
    processor = train(tmp_path / "tokenizer_78b3253a26.model")
    pieces = [processor.id_to_piece(id) for id in range(processor.get_piece_size())]
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", *pieces[1:]]) + "\n", encoding="utf-8")
    ours = Tokenizer.load(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == processor.encode(text)


def test_the_ids_of_a_list_of_pieces_are_its_lines(tmp_path):
    """As first published, KoBERT's list had an order of its own."""
    processor = train(tmp_path / "tokenizer.model")
    pieces = sorted(processor.id_to_piece(id) for id in range(3, processor.get_piece_size()))
    listed = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *pieces]
    (tmp_path / "vocab.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    ours = Tokenizer.load(tmp_path)
    for text in [*TEXTS, "뷁 樂"]:
        expected = [listed.index(piece) if piece in listed else 0 for piece in processor.encode(text, out_type=str)]
        assert ours.encode(text) == expected
    assert {role: ours.role_ids[role] for role in ("unk", "pad", "cls", "sep", "mask")} == {
        "unk": 0, "pad": 1, "cls": 2, "sep": 3, "mask": 4
    }  # fmt: skip
    (tmp_path / "vocab.txt").write_text("\n".join(listed[:-5]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lists other tokens than the model beside it"):
        Tokenizer.load(tmp_path)


def test_a_vocabulary_of_pieces_alone_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", "[CLS]", "▁나는", "▁밥", "을", "▁먹"]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab\.txt: .*SentencePiece.*\.model"):
        Tokenizer.load(tmp_path)


def test_what_the_last_user_left_switched_on_is_cleared(bert):
    fast = transformers.BertTokenizer.from_pretrained(bert)
    plain = [fast(text)["input_ids"] for text in TEXTS]
    fast.backend_tokenizer.enable_truncation(4)
    fast.backend_tokenizer.enable_padding(length=30, pad_id=7)
    folder = bert / "left"
    folder.mkdir()
    fast.backend_tokenizer.save(str(folder / "tokenizer.json"))
    spec = json.loads((folder / "tokenizer.json").read_text())
    assert spec["truncation"] and spec["padding"]
    ours = Tokenizer.load(folder).for_family(Roles(LAYOUTS["bert"].tokens, LAYOUTS["bert"].single, LAYOUTS["bert"].pair))
    assert [ours(text)["input_ids"] for text in TEXTS] == plain
    ours.save(bert / "saved")
    spec = json.loads((bert / "saved" / "tokenizer.json").read_text())
    assert spec["truncation"] is None and spec["padding"] is None
