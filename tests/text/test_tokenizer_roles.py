from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from gyebo.text.roles import NUM_ROLE_SLOTS, ROLES, Roles
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.text.text_corpus import LAYOUTS, PROBES, SIZES, trained


@pytest.mark.parametrize("kind", SIZES)
def test_families_share_ids_and_fingerprint(kind):
    base = trained(kind)
    copies = [base.for_family(roles) for roles in LAYOUTS.values()]
    for copy in copies:
        assert copy.encode_batch(PROBES) == base.encode_batch(PROBES)
        assert copy.fingerprint == base.fingerprint
        assert copy.vocab_size == base.vocab_size
    again = copies[2].for_family(LAYOUTS["gpt2"])  # from one family to another
    assert again.role_ids == copies[0].role_ids
    assert again.fingerprint == base.fingerprint


def test_fingerprints_tell_tokenizers_apart():
    prints = {trained(kind, normalize).fingerprint for kind in SIZES for normalize in ("nfc", "none")}
    assert len(prints) == 2 * len(SIZES)


def test_slots():
    assert len(ROLES) <= NUM_ROLE_SLOTS
    base = trained("bpe")
    assert base.role_ids == {role: slot for slot, role in enumerate(ROLES)}
    gpt2 = base.for_family(LAYOUTS["gpt2"])
    assert gpt2.role_ids == {"pad": 0, "bos": 1, "eos": 1}
    assert gpt2.token(1) == "<|endoftext|>"
    assert gpt2.token(2) == "<|reserved-2|>"
    roberta = base.for_family(LAYOUTS["roberta"])
    assert roberta.role_ids == {"pad": 0, "bos": 1, "eos": 2, "unk": 3, "cls": 1, "sep": 2, "mask": 6}
    char = trained("char").for_family(LAYOUTS["gpt2"])
    assert char.role_ids["unk"] == 3  # needed by the kind, whoever the family is


def test_templates():
    byte = trained("byte")
    a, b = byte.encode("a")[0], byte.encode("b")[0]
    bert = byte.for_family(LAYOUTS["bert"])
    cls, sep = bert.role_ids["cls"], bert.role_ids["sep"]
    assert bert("a", "b") == {
        "input_ids": [cls, a, sep, b, sep],
        "token_type_ids": [0, 0, 0, 1, 1],
        "attention_mask": [1] * 5,
    }
    roberta = byte.for_family(LAYOUTS["roberta"])
    start, end = roberta.role_ids["bos"], roberta.role_ids["eos"]
    assert roberta("a", "b") == {"input_ids": [start, a, end, end, b, end], "attention_mask": [1] * 6}
    xlnet = byte.for_family(LAYOUTS["xlnet"])
    assert xlnet("a")["token_type_ids"] == [0, 0, 2]
    padded = xlnet(["a", "aa"], padding=True, return_tensors="np")
    assert padded["input_ids"][0][0] == xlnet.role_ids["pad"]
    assert padded["attention_mask"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert padded["input_ids"].dtype == np.int64
    assert xlnet(["a", "aa"], padding=True, padding_side="right")["attention_mask"][0] == [1, 1, 1, 0]


def test_tensors():
    torch = pytest.importorskip("torch")
    out = trained("byte").for_family(LAYOUTS["bert"])(["ab", "가"], padding=True, return_tensors="pt")
    assert {field: (values.dtype, values.shape) for field, values in out.items()} == dict.fromkeys(
        ("input_ids", "token_type_ids", "attention_mask"), (torch.int64, (2, 5))
    )


def test_a_batch_goes_wrong_in_one_line():
    bert = trained("byte").for_family(LAYOUTS["bert"])
    for options, message in (
        ({"return_tensors": "tf"}, "return_tensors"),
        ({"return_tensors": "np"}, "add padding=True"),
        ({"truncation": True}, "give max_length"),
        ({"max_length": 5}, "only with truncation"),
        ({"truncation": True, "max_length": 1}, "max_length: 1 "),
        ({"padding": "max_length"}, "True or False"),
        ({"padding_side": "up"}, "padding_side"),
        ({"pairs": ["a"]}, "1 given for 2"),
    ):
        with pytest.raises(ValueError, match=message):
            bert(["a", "aa"], **options)
    with pytest.raises(ValueError, match="no pad token"):
        trained("byte").for_family(Roles({"eos": "</s>"}))(["a", "aa"], padding=True)


def test_wrong_roles_are_refused():
    for arguments, message in (
        (({"padding": "<p>"},), "unknown special token 'padding'"),
        (({"pad": ""},), "'pad' has an empty string"),
        (({"pad": "<p>"}, ("cls", "$A")), "uses 'cls'"),
        (({"cls": "<c>"}, ("cls",)), "must have"),
        (({"cls": "<c>"}, ("cls:x", "$A")), "must be a number"),
        (({"cls": "<c>"}, ("$A",), ("$A", "cls")), "must have"),
    ):
        with pytest.raises(ValueError, match=message):
            Roles(*arguments)
    with pytest.raises(ValueError, match="padding_side"):
        Roles({"pad": "<p>"}, padding_side="both")
    with pytest.raises(ValueError, match="special token 'a' is also an ordinary token"):
        trained("bpe").for_family(Roles({"pad": "a"}))
    with pytest.raises(ValueError, match="is reserved"):
        trained("bpe").for_family(Roles({"pad": "<|reserved-3|>"}))


def test_saving_and_loading(tokenizer, tmp_path):
    family = tokenizer.for_family(LAYOUTS["xlnet"])
    family.save(tmp_path / "new", max_length=77)
    again = Tokenizer.load(tmp_path / "new")
    assert again.encode_batch(PROBES) == tokenizer.encode_batch(PROBES)
    for field in ("kind", "normalization", "role_ids", "vocab_size", "fingerprint", "model_inputs", "padding_side"):
        assert getattr(again, field) == getattr(family, field)
    assert again.max_length == 77
    again.save(tmp_path / "twice")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    config = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["mask_token"] == "<mask>"
    assert config["clean_up_tokenization_spaces"] is False


def test_a_copy_for_a_worker_process_is_the_same(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer.for_family(LAYOUTS["bert"])))
    assert copy.encode_batch(PROBES) == tokenizer.encode_batch(PROBES)
    assert copy.decode(copy.encode("학교")) == tokenizer.decode(tokenizer.encode("학교"))
    assert copy.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"{", "not valid JSON"),
        ("tokenizer.json", b"\x80\x04K\x01.", "not valid JSON"),  # a pickle
        ("tokenizer.json", b"[]", "expected a JSON object"),
        ("tokenizer.json", b'{"model": {}}', "no model with a vocabulary"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}', "cannot be used"),
        ("tokenizer.json", b'{"model": {"type": "Unigram", "unk_id": 9, "vocab": [["a", 0]]}}', "cannot be used"),
        ("tokenizer.json", b'{"model": {"type": "Unigram", "unk_id": 0, "vocab": [7]}}', "damaged"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}}', "damaged"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "empty"),
    ],
)
def test_damaged_files_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(tmp_path)


def test_a_directory_without_a_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tokenizer here; expected tokenizer\.json"):
        Tokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Tokenizer.load(tmp_path / "nowhere")


def test_a_slot_count_that_no_text_can_reach():
    """Even a character tokenizer trained on the slots' own names keeps them apart from text."""
    names = ["<|pad|>", "<s>", "\U0010ffff role 3"]
    char = train_tokenizer(names * 3, "char").for_family(LAYOUTS["roberta"])
    for name in names:
        ids = char.encode(name)
        assert len(ids) == len(name)
        assert min(ids) >= 16
