"""How pieces are spelled: every byte, marks of their own, roles that no text can imitate."""

from __future__ import annotations

import numpy as np
import pytest

from gyebo.models.elmo import ElmoConfig
from gyebo.models.family import FAMILIES
from gyebo.text.characters import BEGIN, BEGIN_TEXT, END, END_TEXT, FILLING, spelling
from gyebo.text.roles import roles_of
from gyebo.text.training import train_tokenizer
from tests.conftest import sentences

TEXTS = [*sentences(100), "<s> </s> <pad> 나무</s>", "🦉 café"]


@pytest.fixture(scope="module", params=["bpe", "wordpiece", "unigram", "char", "byte"])
def tokenizer(request):
    made = train_tokenizer(TEXTS, request.param, {"char": None, "byte": None}.get(request.param, 560))
    return made.for_family(roles_of(FAMILIES["elmo"]))


def inside(row):
    """What stands between the marks, and that nothing but filling follows them."""
    symbols = row.tolist()
    assert symbols[0] == BEGIN and symbols.count(END) == 1
    end = symbols.index(END)
    assert set(symbols[end + 1 :]) <= {FILLING}
    return symbols[1:end]


def test_every_piece_is_its_bytes(tokenizer):
    table = spelling(tokenizer, 60)
    assert table.shape == (tokenizer.vocab_size, 60) and table.min() > 0 and table.max() <= FILLING == ElmoConfig().symbols - 1
    for text in TEXTS:
        ids = tokenizer.encode(text)
        joined = b"".join(bytes(symbol - 1 for symbol in inside(table[id])) for id in ids if id != tokenizer.role_ids["unk"])
        known = [id for id in ids if id != tokenizer.role_ids["unk"]]
        assert joined == b"".join(tokenizer.piece_bytes(id) for id in known)
        if len(known) == len(ids):
            assert joined.decode().strip() == tokenizer.decode(ids).strip()
    if tokenizer.kind != "wordpiece":  # there a piece inside a word has the bytes of the same one at its beginning
        assert len(np.unique(table, axis=0)) == len(table)


def test_roles_are_spelled_as_no_piece_can_be(tokenizer):
    table, marks = spelling(tokenizer, 30), {BEGIN_TEXT, END_TEXT}
    roles = sorted(tokenizer.all_role_ids)
    assert inside(table[tokenizer.role_ids["bos"]]) == [BEGIN_TEXT] and inside(table[tokenizer.role_ids["eos"]]) == [END_TEXT]
    for id, row in enumerate(table):
        assert bool(marks & set(row.tolist())) == (id in roles)
    assert len(np.unique(table[roles], axis=0)) == len(roles)


def test_a_long_piece_gives_its_beginning():
    made = train_tokenizer(["나무나무 나무나무"] * 50, "bpe", 300).for_family(roles_of(FAMILIES["elmo"]))
    full, cut = spelling(made, 40), spelling(made, 6)
    longest = max(range(len(full)), key=lambda id: len(inside(full[id])) if id not in made.all_role_ids else 0)
    assert len(inside(full[longest])) > 4
    assert inside(cut[longest]) == inside(full[longest])[:4] and FILLING not in cut[longest]
    with pytest.raises(ValueError, match="characters must be at least 3"):
        spelling(made, 2)
