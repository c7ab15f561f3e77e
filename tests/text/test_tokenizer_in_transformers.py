"""What gyebo saves, `transformers.AutoTokenizer` opens with the same ids, for each kind and family layout."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import assume, given, settings
from tokenizers import normalizers

from gyebo.text.normalize import nfc
from gyebo.text.tokenizer import Tokenizer
from tests.text.text_corpus import LAYOUTS, PROBES, SIZES, TEXTS, trained

AutoTokenizer = pytest.importorskip("transformers").AutoTokenizer

ROLE_NAMES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")


def opened(tokenizer, folder, model_type=None):
    tokenizer.save(folder, max_length=512)
    if model_type:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", SIZES)
def test_same_ids_for_each_kind_and_family(kind, layout, tmp_path):
    ours = trained(kind).for_family(LAYOUTS[layout])
    theirs = opened(ours, tmp_path, layout)
    turned = PROBES[::-1]
    for special in (True, False):
        assert dict(theirs(PROBES, add_special_tokens=special)) == ours(PROBES, add_special_tokens=special)
        assert dict(theirs(PROBES, turned, add_special_tokens=special)) == ours(PROBES, turned, add_special_tokens=special)
        assert dict(theirs(PROBES[0], add_special_tokens=special)) == ours(PROBES[0], add_special_tokens=special)
    assert theirs(PROBES, add_special_tokens=False)["input_ids"] == ours.encode_batch(PROBES)
    options = {"padding": True, "truncation": True, "max_length": 30}
    for texts, pairs in ((PROBES[:4], None), (PROBES[:4], PROBES[5:9])):
        expected, got = theirs(texts, pairs, return_tensors="np", **options), ours(texts, pairs, return_tensors="np", **options)
        assert {field: array.tolist() for field, array in expected.items()} == {
            field: array.tolist() for field, array in got.items()
        }
    assert {role: getattr(theirs, f"{role}_token_id") for role in ROLE_NAMES} == {
        role: ours.role_ids.get(role) if role in LAYOUTS[layout].tokens else getattr(theirs, f"{role}_token_id")
        for role in ROLE_NAMES
    }
    assert len(theirs) == ours.vocab_size
    assert theirs.model_max_length == 512
    assert theirs.padding_side == ours.padding_side
    for text in PROBES:
        ids = ours(text)["input_ids"]
        assert theirs.decode(ids) == ours.decode(ids, skip_roles=False)
        assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids)


@pytest.mark.parametrize("kind", SIZES)
def test_what_transformers_saves_again_we_open(kind, tmp_path):
    ours = trained(kind).for_family(LAYOUTS["roberta"])
    opened(ours, tmp_path / "first").save_pretrained(tmp_path / "second")
    again = Tokenizer.load(tmp_path / "second")
    assert again.encode_batch(PROBES) == ours.encode_batch(PROBES)
    assert again(PROBES, PROBES) == ours(PROBES, PROBES)
    assert (again.kind, again.role_ids, again.fingerprint) == (ours.kind, ours.role_ids, ours.fingerprint)
    assert (again.max_length, again.model_inputs, again.vocab_size) == (512, ours.model_inputs, ours.vocab_size)


@pytest.fixture(scope="module")
def rust_pairs(tmp_path_factory):
    result = {}
    for kind in SIZES:
        result[kind] = opened(trained(kind), tmp_path_factory.mktemp(kind))
    return result


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_same_ids_on_hard_texts(rust_pairs, text):
    # The normaliser in tokenizer.json knows Unicode 9 (see gyebo/text/normalize.py).
    assert normalizers.NFC().normalize_str(nfc(text)) == nfc(text)
    assume(normalizers.NFC().normalize_str(text) == nfc(text))
    for kind, theirs in rust_pairs.items():
        assert theirs(text, add_special_tokens=False)["input_ids"] == trained(kind).encode(text)


def test_pairs_are_cut_as_transformers_cuts_them(tmp_path):
    ours = trained("byte").for_family(LAYOUTS["bert"])
    theirs = opened(ours, tmp_path)
    rng = random.Random(3)
    for _ in range(150):
        first, second, limit = "a" * rng.randint(0, 9), "b" * rng.randint(0, 9), rng.randint(3, 20)
        options = {"truncation": True, "max_length": limit}
        # In lists: transformers takes a lone "" for no second text.
        assert ours([first], [second], **options) == dict(theirs([first], [second], **options))
        assert ours([first], **options) == dict(theirs([first], **options))


def test_the_mask_takes_the_space_before_it_along(tmp_path):
    for layout, mask in (("bert", "[MASK]"), ("roberta", "<mask>")):
        ours = trained("bpe").for_family(LAYOUTS[layout])
        theirs = opened(ours, tmp_path / layout)
        ids = theirs(f"나는 {mask} 먹었다", add_special_tokens=False)["input_ids"]
        assert ids == [*ours.encode("나는"), ours.role_ids["mask"], *ours.encode(" 먹었다")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_role_strings_in_a_text_are_ordinary_text(layout, tokenizer, tmp_path):
    ours = tokenizer.for_family(LAYOUTS[layout])
    for token in {*LAYOUTS[layout].tokens.values(), "<|reserved-9|>", "<|pad|>", "[MASK]"}:
        text = f"{token}나는{token} {token}"
        ids = ours.encode(text)
        assert all(id >= 16 for id in ids) or ours.kind == "char"
        assert ours(text, add_special_tokens=False)["input_ids"] == ids
        assert [id for id in ids if id in ours.all_role_ids] in ([], [3] * ids.count(3))
        if ours.kind != "char":
            assert ours.decode(ids) == text
        # With its roles switched off, transformers reads the file in the same way.
    theirs = opened(ours, tmp_path)
    text = "나는 <s>[MASK] </s><|endoftext|>"
    assert theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ours.encode(text)


def test_appended_tokens_come_after_the_last_id(tmp_path):
    sentinels = [f"<extra_id_{place}>" for place in range(5)]
    base = trained("unigram")
    ours = base.with_tokens(sentinels).for_family(LAYOUTS["t5"])
    theirs = opened(ours, tmp_path)
    assert ours.vocab_size == base.vocab_size + 5 == len(theirs)
    assert theirs.convert_tokens_to_ids(sentinels) == [base.vocab_size + place for place in range(5)]
    assert ours.fingerprint == base.fingerprint
    assert ours.encode("나는 <extra_id_0>") == base.encode("나는 <extra_id_0>")
    assert ours.decode([base.vocab_size, *ours.encode("집")], skip_roles=False) == "<extra_id_0>집"
    assert Tokenizer.load(tmp_path).vocab_size == ours.vocab_size
    for wrong, message in (([""], "empty"), (["<s>", "<s>"], "already"), (["</s>"], "already")):
        with pytest.raises(ValueError, match=message):
            ours.with_tokens(wrong)
