"""What users of `transformers` type on a tokenizer gives what `AutoTokenizer` gives for the same directory."""

import pytest
import transformers

from gyebo.models.family import FAMILIES
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

ROLES = "pad bos eos unk cls sep mask".split()
TEXT = "나무 정말 영화를 보았다. the film, 둘!"


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5", "bart"])
def test_as_in_transformers(family, tokenizer_folder, tmp_path):
    ours = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES[family]))
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for role in ROLES:
        assert getattr(ours, f"{role}_token") == getattr(theirs, f"{role}_token"), role
        assert getattr(ours, f"{role}_token_id") == getattr(theirs, f"{role}_token_id"), role
    assert ours.tokenize(TEXT) == theirs.tokenize(TEXT)
    ids = theirs(TEXT)["input_ids"]
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert ours.convert_tokens_to_ids(ours.tokenize(TEXT)) == theirs.convert_tokens_to_ids(theirs.tokenize(TEXT))
    assert ours.convert_ids_to_tokens(ids[1]) == theirs.convert_ids_to_tokens(ids[1])
    assert ours.get_vocab() == theirs.get_vocab() and len(ours) == len(theirs)
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True) == TEXT
    assert ours.batch_decode([ids], skip_special_tokens=False) == theirs.batch_decode([ids], skip_special_tokens=False)
    assert set(theirs.all_special_ids) <= set(ours.all_special_ids)
    again = Tokenizer.from_pretrained(tmp_path)
    assert again.encode(TEXT) == ours.encode(TEXT) and again.role_ids == ours.role_ids


def test_a_role_that_there_is_not_is_none(tokenizer_folder):
    ours = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["gpt2"]))
    assert ours.mask_token is None and ours.mask_token_id is None
    assert ours.convert_tokens_to_ids("no such token") == ours.unk_token_id
