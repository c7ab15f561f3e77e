"""Conversations of the world: facts are true, what is asked once more was said before, and no person is in two splits."""

import re

import pytest

from gyebo import world
from gyebo.tasks.data.world import SIZES_OF_CONVERSATIONS
from gyebo.tasks.registry import find
from gyebo.world.facts import make_world
from gyebo.world.korean import particle


def test_conversation_i_depends_on_seed_and_i_only():
    whole = list(world.conversations(20, seed=2))
    assert list(world.conversations(8, seed=2, start=12)) == whole[12:]
    assert list(world.conversations(20, seed=3)) != whole
    assert {made.language for made in whole} == {"ko", "en"}


@pytest.mark.parametrize(("language", "letters"), [("ko", "[가-힣]"), ("en", "[A-Za-z]")])
def test_turns_alternate_in_one_language(language, letters):
    for made in world.conversations(60, languages=(language,)):
        assert made.language == language and 6 <= len(made.turns) <= 20 and len(made.turns) % 2 == 0
        for turn in made.turns:
            assert re.search(letters, turn) and turn == turn.strip() and "\n" not in turn and turn[-1] in ".?!"
            assert not re.search("[가-힣]" if language == "en" else "[A-Za-z{}]", turn)


HOME = re.compile(r"(?:He|She) lives in (\w+ \w+)\.")
AGAIN = re.compile(r"I said (?:he|she) lives in (\w+ \w+)\.")


def test_homes_are_those_of_the_world():
    facts = make_world(0)
    first, second = (facts.words[name] for name in ("town_first", "town_second"))
    homes = [f"{first[town.first][1]} {second[town.second][1]}" for town in facts.towns]
    told = 0
    for made in world.conversations(300, languages=("en",)):
        for turn in made.turns:
            for found in (HOME.fullmatch(turn), AGAIN.fullmatch(turn)):
                if found:
                    told += 1
                    assert found[1] == homes[facts.people[made.about].home]
    assert told > 50


def test_what_is_asked_once_more_was_answered_before():
    """The words of the answer, but for those of saying it again, stand in an earlier answer."""
    went_back = 0
    for made in world.conversations(300, languages=("en",)):
        for place, turn in enumerate(made.turns):
            if turn.startswith("I said "):
                said = turn.removeprefix("I said ").replace("it is ", "").replace("called ", "").rstrip(".")
                what = " ".join(said.split()[1:]) if said.split()[0] in ("he", "she") else said
                went_back += 1
                assert any(what in before for before in made.turns[: place - 2]), (made.turns, turn)
    assert went_back > 100


def test_between_an_answer_and_the_question_that_goes_back_another_fact_is_told():
    for made in world.conversations(200, languages=("ko",)):
        opening = 4 if made.turns[0].startswith(("안녕", "반가워")) else 2
        asked = [place for place, turn in enumerate(made.turns) if "아까" in turn]
        assert all(place >= opening + 4 for place in asked)


@pytest.mark.parametrize("name", ["은", "을", "이", "과"])
def test_particles_fit_the_last_syllable(name):
    """No name stands before the other form of a particle: 하은을, never 하은를."""
    people = {person.given[0] for person in make_world(0).people}
    for made in world.conversations(300, languages=("ko",)):
        for given in people:
            right, wrong = particle(given, name), {"은": "은는", "을": "을를", "이": "이가", "과": "과와"}[name]
            other = given + (wrong[0] if right.endswith(wrong[1]) else wrong[1])
            assert not any(re.search(rf"(?<![가-힣]){other}(?![가-힣])", turn) for turn in made.turns)


def test_no_person_is_in_two_splits():
    about = {}
    task = find("world-dialogue")
    for split in ("train", "dev", "test"):
        examples = list(task.world(split))
        assert len({example.group for example in examples}) == SIZES_OF_CONVERSATIONS[split]
        people = set()
        for group in {example.group for example in examples}:
            asked = re.search(
                r"(?:Do you know|person is|heard about) (\w+ \w+)\?|너 (\S+?)[을를] 알아|(\S+?)[은는] 어떤|(\S+) 이야기 들",
                group,
            )
            people.add(next(filter(None, asked.groups())))
        about[split] = people
    assert not about["train"] & about["test"] | about["train"] & about["dev"] | about["dev"] & about["test"]
    assert all(map(len, about.values()))


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'valid'; available: train, dev, test"):
        list(find("world-dialogue").world("valid"))
