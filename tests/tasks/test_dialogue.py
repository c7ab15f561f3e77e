"""What a model reads of a dialogue: the newest turns that fit, between marks that nobody can write."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.models.family import FAMILIES
from gyebo.tasks.dialogue import MOST_TURNS, Source, responses, source_of
from gyebo.tasks.kinds.table import KINDS
from gyebo.tasks.reading import Reader
from gyebo.tasks.text_task import TextTask, read
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

BARE = TextTask(name="any", kind="dialogue", turns=MOST_TURNS)
TOLD = TextTask(name="any", kind="dialogue", prefix="any", turns=MOST_TURNS)
PAIR, ALONE = Reader(context=96, start=1), Reader(context=96)
TURNS = ["나무 하늘", "친구", "바다 노래"]


@pytest.fixture(scope="module")
def tokenizers(tokenizer_folder):
    plain = Tokenizer.load(tokenizer_folder)
    return {name: plain.for_family(roles_of(FAMILIES[name])) for name in ("gpt2", "lstm", "bart", "transformer", "t5")}


@pytest.mark.parametrize("family", ["gpt2", "lstm", "bart", "transformer"])
def test_each_turn_is_followed_by_the_end_token(family, tokenizers):
    tokenizer = tokenizers[family]
    roles = tokenizer.role_ids
    expected = [id for turn in TURNS for id in (*tokenizer.encode(turn), roles["eos"])]
    begins = family != "transformer"  # whose template has no start
    found = source_of(TURNS, tokenizer, BARE, ALONE if family in ("gpt2", "lstm") else PAIR, 96)
    assert found == Source([roles["bos"]] * begins + expected, dropped=0, cut=0)


def test_a_family_with_prefixes_reads_the_task_first(tokenizers):
    tokenizer = tokenizers["t5"]
    ids = source_of(TURNS[:2], tokenizer, TOLD, PAIR, 96).ids
    end = tokenizer.role_ids["eos"]
    assert ids == [*tokenizer.encode("any "), *tokenizer.encode(TURNS[0]), end, *tokenizer.encode(TURNS[1]), end]


def test_no_text_is_a_mark(tokenizers):
    """A turn that spells the end token, or breaks its line, is one turn."""
    for family in ("gpt2", "bart"):
        tokenizer = tokenizers[family]
        marks = [tokenizer.token(id) for id in tokenizer.all_role_ids]
        forged = f"a {marks[0]} b\n{tokenizer.token(tokenizer.role_ids['eos'])} c\r\nd"
        ids = source_of([forged], tokenizer, BARE, ALONE, 96).ids
        assert ids.count(tokenizer.role_ids["eos"]) == 1 + (tokenizer.role_ids["bos"] == tokenizer.role_ids["eos"])
        assert not {*ids[1:-1]} & tokenizer.all_role_ids


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(st.sampled_from(["나무", "바다 하늘 노래", " ".join(["good film"] * 6), "a"]), min_size=1, max_size=12),
    length=st.integers(6, 60),
    family=st.sampled_from(["gpt2", "bart"]),
)
def test_the_newest_turns_that_fit_are_read_whole(turns, length, family, tokenizers):
    tokenizer, reader = tokenizers[family], PAIR if family == "bart" else ALONE
    found = source_of(turns, tokenizer, BARE, reader, length)
    end, room = tokenizer.role_ids["eos"], length - 2  # start and end
    encoded = [tokenizer.encode(turn) for turn in turns]
    assert len(found.ids) <= length and 0 <= found.dropped < len(turns)
    kept = encoded[found.dropped :]
    if found.cut:
        assert len(kept) == 1 and found.ids[1:-1] == kept[0][found.cut :] and len(found.ids) == length
        return
    assert found.ids[1:-1] == [id for ids in kept[:-1] for id in (*ids, end)] + kept[-1]
    if found.dropped and len(kept) < MOST_TURNS:  # one more would have been too much
        assert len(found.ids) - 2 + len(encoded[found.dropped - 1]) + 1 > room
    assert len(kept) <= MOST_TURNS


def test_a_decoder_keeps_room_for_its_answer(tokenizers):
    tokenizer = tokenizers["gpt2"]
    found = source_of(["나무 하늘 바다"] * 7, tokenizer, BARE, Reader(context=32), 32)
    assert len(found.ids) <= 24 and found.dropped > 0


@pytest.mark.parametrize(
    ("turns", "reason"), [([], "without turns"), (["a", "  \n"], "turn 2 is empty"), ([""], "turn 1 is empty")]
)
def test_what_is_no_history_is_refused(turns, reason, tokenizers):
    with pytest.raises(ValueError, match=reason):
        source_of(turns, tokenizers["gpt2"], BARE, ALONE, 96)


def test_each_turn_but_the_first_is_a_response_to_at_most_seven():
    turns = [f"turn {number}" for number in range(1, 11)]
    found = list(responses(turns, "here"))
    assert [example.label for example in found] == turns[1:]
    assert found[0].text == "turn 1" and found[-1].text.split("\n") == turns[2:9]
    assert {example.group for example in found} == {"\n".join(turns)} and found[1].id == "here, turn 3"


def test_how_many_turns_are_read_is_remembered():
    (again,) = read(json.loads(json.dumps({"gyebo_tasks": [BARE.as_dict()]})), "config.json")
    assert again == BARE and KINDS["dialogue"].text.turns == MOST_TURNS
    with pytest.raises(ValueError, match="config.json: gyebo_tasks"):
        read(json.loads(json.dumps({"gyebo_tasks": [BARE.as_dict() | {"turns": 0}]})), "config.json")
