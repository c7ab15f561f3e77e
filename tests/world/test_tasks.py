import math
import re
from itertools import pairwise

import pytest

from gyebo import world
from gyebo.world.facts import RELATIONS, make_world

WITH_LANGUAGES = (
    world.sentiments, world.entailments, world.similarities, world.next_sentences, world.entities, world.questions,
    world.dialogues,
)  # fmt: skip


@pytest.mark.parametrize("make", [world.translations, *WITH_LANGUAGES])
def test_example_i_depends_on_seed_and_i_only(make):
    whole = list(make(30, seed=2))
    assert list(make(10, seed=2, start=20)) == whole[20:]
    assert list(make(30, seed=3)) != whole


@pytest.mark.parametrize("make", WITH_LANGUAGES)
def test_languages(make):
    assert {e.language for e in make(20, languages=("en",))} == {"en"}
    assert {e.language for e in make(40)} == {"ko", "en"}
    with pytest.raises(ValueError, match="languages: found"):
        next(make(1, languages=("de",)))


def test_translations_are_parallel():
    """Names and towns of one side stand on the other; a pronoun or a dropped subject may stand for a name in Korean."""
    facts = make_world()
    ratios = []
    for pair in world.translations(600, seed=1):
        assert re.search("[가-힣]", pair.ko) and pair.en.isascii()
        assert (pair.ko[-1] == pair.en[-1]) and ("?" in pair.ko) == ("?" in pair.en)
        for person in facts.people:
            if re.search(rf"\b{person.given[1]}\b", pair.en) and not pair.ko.startswith("그러고는"):
                assert person.given[0] in pair.ko or not re.search(r"[가-힣]+[은는] ", pair.ko)
        for place_ko, place_en in facts.words["place"]:
            if len(place_ko) > 3 and place_ko in pair.ko:
                assert place_en in pair.en.lower()
        ratios.append(len(pair.en.split()) / len(pair.ko.split()))
    assert max(ratios) > 1.5 * min(ratios)


def test_sentiment_labels_are_balanced_and_texts_are_not_told_by_their_first_sentence():
    some = list(world.sentiments(2_000, seed=1))
    share = sum(s.label == "positive" for s in some) / len(some)
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / len(some))
    assert {s.label for s in some} == set(world.SENTIMENT_LABELS)


def test_entailment_labels_are_balanced():
    some = list(world.entailments(3_000, seed=1))
    for label in world.ENTAILMENT_LABELS:
        share = sum(e.label == label for e in some) / len(some)
        assert abs(share - 1 / 3) < 4 * math.sqrt(2 / 9 / len(some))
    for e in some:
        assert e.hypothesis not in e.premise


def test_entailment_of_gifts_turns_on_who_gave():
    gave = re.compile(r"(\w+) gave (\w+) (an? .+)\.")
    got = re.compile(r"(\w+) got (an? .+) from (\w+)\.")
    seen = set()
    for e in world.entailments(800, seed=2, languages=("en",)):
        first, second = gave.fullmatch(e.premise), got.fullmatch(e.hypothesis)
        if first is None:
            continue
        giver, receiver, thing = first.groups()
        assert second is not None and second[2] == thing
        expected = {(receiver, giver): "entailment", (giver, receiver): "contradiction"}
        assert e.label == expected.get((second[1], second[3]), "neutral")
        seen.add(e.label)
    assert seen == set(world.ENTAILMENT_LABELS)


def test_similarity_counts_shared_details():
    for s in world.similarities(400, seed=1, languages=("en",)):
        assert 0 <= s.score <= 5
        if s.score == 5:
            assert set(re.findall(r"\w+", s.first.lower())) == set(re.findall(r"\w+", s.second.lower()))
        if s.score == 0:
            content = {"at", "in", "the"} | {w for w in re.findall(r"\w+", s.first.lower()) if len(w) < 4}
            shared = set(re.findall(r"\w+", s.first.lower())) & set(re.findall(r"\w+", s.second.lower())) - content
            assert shared <= {"honey", "cookies", "rice", "cake", "shop", "house", "soup", "market", "cream", "down"}
    assert {s.score for s in world.similarities(200, seed=1)} == {0, 1, 2, 3, 4, 5}


def test_next_sentences_are_balanced():
    some = list(world.next_sentences(600, seed=1))
    assert abs(sum(s.is_next for s in some) / len(some) - 0.5) < 4 * math.sqrt(0.25 / len(some))
    for s in some:
        assert s.first and s.second and s.first[-1] in '.?!"' and s.second[-1] in '.?!"'


def test_entity_spans_hold_names():
    facts = make_world()
    given = {n for p in facts.people for n in p.given}
    full = {p.family[0] + p.given[0] for p in facts.people} | {f"{p.given[1]} {p.family[1]}" for p in facts.people}
    pets = {w for pair in facts.words["pet_name"] for w in pair}
    kinds = set()
    for e in world.entities(300, seed=1):
        assert list(e.spans) == sorted(e.spans)
        for start, end, kind in e.spans:
            name = e.text[start:end]
            kinds.add(kind)
            if kind == "person":
                assert name in given | full
            elif kind == "pet":
                assert name in pets
            else:
                assert len(name.split()) == 2
        for p in facts.people:  # no name is forgotten
            for found in re.finditer(rf"(?<!\w){re.escape(p.given[1])}(?!\w)", e.text if e.language == "en" else ""):
                assert any(s <= found.start() and found.end() <= end for s, end, _ in e.spans), (e.text, p.given[1])
    assert kinds == set(world.ENTITY_TYPES)


def test_answers_stand_where_they_are_said_to_and_are_reserved():
    facts = make_world()
    reserved = {p.given[i] for p in facts.people if p.reserved for i in (0, 1)}
    for q in world.questions(500, seed=1):
        assert q.answer and q.context[q.start : q.start + len(q.answer)] == q.answer
        assert any(name in q.question for name in reserved)
        assert q.question.endswith("?")


def test_homes_asked_for_are_reserved_and_true():
    facts = make_world()
    people = {p.given[1]: p for p in facts.people}
    asked = 0
    for q in world.questions(800, seed=2, languages=("en",)):
        found = re.fullmatch(r"Where does (\w+) live\?", q.question)
        if found:
            person = people[found[1]]
            town = facts.towns[person.home]
            assert "home" in person.reserved
            assert q.answer == f"{facts.words['town_first'][town.first][1]} {facts.words['town_second'][town.second][1]}"
            asked += 1
    assert asked > 30


def test_dialogues_alternate_and_answer():
    for d in world.dialogues(200, seed=1):
        speakers = [speaker for speaker, _ in d.turns]
        assert len(set(speakers)) == 2
        assert all(a != b for a, b in pairwise(speakers))
        assert all(text for _, text in d.turns)
        for (_, said), (_, reply) in pairwise(d.turns):
            offer = re.search(r"Which do you like better, (.+) or (.+)\?", said)
            if offer:
                assert any(food in reply for food in offer.groups())


def test_every_relation_can_be_asked():
    from gyebo.world.task_rows import FACTS

    assert set(FACTS) == set(RELATIONS)
