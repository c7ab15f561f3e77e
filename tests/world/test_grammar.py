"""The machine: its choices are different strings, its probabilities sum to one, reserved facts change nothing."""

import dataclasses
import math
import random
from itertools import pairwise

import pytest

from gyebo.world.facts import RELATIONS, make_world
from gyebo.world.grammar import ROWS, Grammar
from gyebo.world.parser import Parser
from gyebo.world.sampler import draw, sample


def _all_documents(grammar, language):
    """Every document of a grammar with its probability, by following every choice."""
    open_states = [("", grammar.start(language), 0.0)]
    while open_states:
        text, scene, log = open_states.pop()
        fan = grammar.branches(scene)
        for branch, branch_log in zip(fan.branches, fan.logs):
            table = grammar.table(scene, branch)
            for string, value, string_log in zip(table.strings, table.values, table.logs):
                total = log + branch_log + string_log
                if grammar.ends(branch):
                    yield text, total
                    continue
                state = scene.copy()
                grammar.take(state, branch, value)
                open_states.append((text + string, state, total))


def _cut(longest, limit, opening, keep=()):
    """A grammar of few words: documents open with the row that contains `opening`; of each other section only the rows
    named in `keep` (all where none is)."""
    rows = {}
    for name, section in ROWS.items():
        kept = tuple(row for row in section if row[0] in keep)
        rows[name] = kept or section
    rows["open"] = tuple(row for row in ROWS["open"] if opening in row[4])
    return Grammar(make_world(1, limit=limit), rows, longest)


_STORY = ("intro_at", "act", "zero", "pick_up", "buy", "appear", "give", "recall_gift", "no_reason", "f_home")
CUTS = {
    # every sentence of a diary that can follow its first
    "diary": _cut(2, 3, "opened my diary"),
    # a story in which things change hands and are remembered
    "story": _cut(5, 1, "story that they tell", _STORY),
    "chat": _cut(5, 2, "Hi", ("c_hello", "c_bye", "c_invite", "c_accept", "c_refuse", "c_when", "c_answer_when", "react")),
    "portrait": _cut(4, 2, "Many people", ("fact", "turn_to", "turn_back", "f_home", "f_trait", "f_dream", "l_likes", "haunt")),
    "guide": _cut(4, 2, "in the {side}", ("g_middle", "g_spot", "g_fixture", "g_sells", "g_mood", "g_resident", "g_famous")),
}


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("name", CUTS)
def test_probabilities_of_all_documents_sum_to_one(name, language):
    total, texts = [], set()
    for text, log in _all_documents(CUTS[name], language):
        total.append(math.exp(log))
        assert text not in texts, "one text, two derivations"
        texts.add(text)
    assert len(texts) > 20
    assert math.fsum(total) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_parser_knows_every_document_of_a_cut_down_grammar(language):
    grammar = CUTS["story"]
    parser = Parser(grammar)
    for i, (text, log) in enumerate(_all_documents(grammar, language)):
        if i % 17 == 0:
            assert parser.log_probability(text, (language,)) == pytest.approx(log, abs=1e-9)


def test_samples_follow_the_probabilities():
    """The mean of -log p over samples is the entropy that enumeration gives, within 4 standard errors."""
    grammar = CUTS["story"]
    every = list(_all_documents(grammar, "ko"))
    entropy = -math.fsum(math.exp(log) * log for _, log in every)
    variance = math.fsum(math.exp(log) * (log + entropy) ** 2 for _, log in every)
    rng = random.Random(0)
    logs = [sample(grammar, ("ko",), rng)[2] for _ in range(4_000)]
    assert -sum(logs) / len(logs) == pytest.approx(entropy, abs=4 * math.sqrt(variance / len(logs)))


def _prefixes(strings):
    ordered = sorted(strings)
    return [(a, b) for a, b in pairwise(ordered) if b.startswith(a)]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_string_of_a_state_begins_with_another(language):
    grammar = Grammar(make_world(0))
    for seed in range(60):
        rng, scene = random.Random(seed), grammar.start(language)
        while True:
            fan = grammar.branches(scene)
            strings = [s for b in fan.branches if not grammar.ends(b) for s in grammar.table(scene, b).strings]
            assert not _prefixes(strings)
            probabilities = [math.exp(f) for f in fan.logs]
            assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)
            branch, value, _, _ = draw(grammar, scene, rng)
            grammar.take(scene, branch, value)
            if grammar.ends(branch):
                break


def _with_other_reserved_facts(world):
    """The same world, but each reserved fact has another value."""
    people = []
    for person in world.people:
        new = {}
        for r in person.reserved:
            if r == "home":
                new[r] = (person.home + 1) % len(world.towns)
            elif r in ("job", "food", "colour", "hobby"):
                new[r] = (getattr(person, r) + 1) % len(world.words[r])
            elif r == "pet":
                new[r] = ((person.pet[0] + 1) % len(world.words["pet"]), person.pet[1])
            elif r == "friend":
                new[r] = next(p for p in person.circle if p != person.friend)
            else:
                new[r] = (person.treasure[0], (person.treasure[1] + 1) % len(world.words["thing"]))
        people.append(dataclasses.replace(person, **new))
    return dataclasses.replace(world, people=tuple(people))


def test_reserved_facts_leave_no_trace_in_documents():
    """Documents and their probabilities stay the same when every reserved fact is another one."""
    world = make_world(0)
    other = _with_other_reserved_facts(world)
    assert other.people != world.people
    one, two = Grammar(world), Grammar(other)
    for i in range(400):
        assert sample(one, ("ko", "en"), random.Random(i)) == sample(two, ("ko", "en"), random.Random(i))


def test_facts_that_are_not_reserved_do_show():
    world = make_world(0)
    other = _with_other_reserved_facts(dataclasses.replace(world, people=tuple(
        dataclasses.replace(p, reserved=frozenset(RELATIONS) - p.reserved) for p in world.people)))  # fmt: skip
    changed = dataclasses.replace(
        other, people=tuple(dataclasses.replace(p, reserved=q.reserved) for p, q in zip(other.people, world.people))
    )
    one, two = Grammar(world), Grammar(changed)
    assert any(sample(one, ("ko",), random.Random(i)) != sample(two, ("ko",), random.Random(i)) for i in range(60))


def test_a_share_of_the_facts_is_reserved():
    people = make_world(0).people
    share = sum(len(p.reserved) for p in people) / len(people) / len(RELATIONS)
    assert 0.15 < share < 0.35


def test_a_row_that_begins_another_is_refused():
    rows = {"open": (("a", 1, "", "가", "a b"), ("b", 1, "", "가", "a"))}
    with pytest.raises(ValueError, match="start of another row"):
        Grammar(make_world(0), rows)


def test_an_unknown_slot_is_refused():
    with pytest.raises(ValueError, match="unknown slot 'moon'"):
        Grammar(make_world(0), {"open": (("a", 1, "", "{moon:은} 떴다.", "The {moon} rose."),)})
