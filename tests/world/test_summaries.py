"""Summaries of stories: they follow from the text alone, and no single sentence of it gives them away."""

import re

import pytest

from gyebo import world
from gyebo.world.facts import make_world
from gyebo.world.summaries import LONGEST, follow, stories, told


def reader(text):
    """Follows a text through the grammar: the one string of each state that the rest of the text starts with."""
    at = 0

    def choose(machine, scene):
        nonlocal at
        found = []
        for branch in machine.branches(scene).branches:
            if machine.ends(branch):
                found += [(branch, None, "")] if at == len(text) else []
                continue
            table = machine.table(scene, branch)
            found += [
                (branch, value, string) for string, value in zip(table.strings, table.values) if text.startswith(string, at)
            ]
        (only,) = found
        at += len(only[2])
        return only

    return choose


def test_a_summary_is_a_function_of_the_text():
    machine = stories()
    for made in world.summaries(150, seed=1):
        text, outcome = follow(machine, made.language, reader(made.text))
        assert text == made.text and told(machine.world, outcome, made.language) == made.summary


def test_example_i_depends_on_seed_and_i_only():
    whole = list(world.summaries(20, seed=2))
    assert list(world.summaries(8, seed=2, start=12)) == whole[12:]
    assert list(world.summaries(20, seed=3)) != whole


@pytest.mark.parametrize(("language", "letters"), [("ko", "[가-힣]"), ("en", "[a-z]")])
def test_languages(language, letters):
    for made in world.summaries(15, languages=(language,)):
        assert made.language == language and re.search(letters, made.summary) and made.summary.endswith(".")


ENGLISH = re.compile(
    r"(?P<hero>\w+ \w+) went from the (?P<first>.+?) to the (?P<last>[\w ]+?)"
    r"(?:,? (?:and )?met (?P<met>\w+ \w+(?:, \w+ \w+)*(?: and \w+ \w+)?))?"
    r"(?:,? and (?P<what>got|lost) an? (?P<thing>.+))?\."
)


def test_what_a_summary_says_stands_in_the_story():
    """Read by an expression of its own: places in their order, all people met, the thing that was found or lost."""
    facts = make_world()
    places = {en for _, en in facts.words["place"]}
    several = 0
    kinds = set()
    for made in world.summaries(300, seed=4, languages=("en",)):
        found = ENGLISH.fullmatch(made.summary)
        assert found, made.summary
        first, last = found["first"], found["last"]
        assert {first, last} <= places and first != last
        assert made.text.index(first) < made.text.rindex(last)
        people = re.findall(r"[A-Z]\w+ [A-Z]\w+", found["met"] or "")
        assert all(person in made.text for person in (found["hero"], *people)) and len({found["hero"], *people}) == 1 + len(
            people
        )
        if found["what"]:
            quality, _, thing = found["thing"].partition(" ")
            assert thing in made.text and quality in made.text
            assert found["what"] == "got" or re.search(rf"lost the {re.escape(found['thing'])}", made.text)
        parts = [f" the {first}", f" the {last}", *people, *([found["thing"]] if found["what"] else [])]
        several += not any(all(part in sentence for part in parts) for sentence in re.split(r"(?<=[.!?]) ", made.text))
        kinds.add((bool(people), found["what"]))
    assert several == 300
    assert kinds >= {(True, None), (True, "got"), (False, "got"), (False, "lost")}


MOVES = re.compile(r"(?:(had been (?:at|in))|(?<!the trip)(?<!thought back) to|off to) the (PLACE)")
GETS = re.compile(r"(?:picked up|bought) (?:a|an) (ITEM)|got the long-awaited (ITEM)|found the (ITEM) at last|lost the (ITEM)")


def test_outcomes_of_stories_about_one_person_are_those_of_a_reader():
    """A reader of English that knows the verbs only: where they went first and last, what they got or lost last."""
    facts = make_world()

    def reading(pattern, name, words):
        alternatives = "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))
        return re.compile(pattern.pattern.replace(name, alternatives))

    items = {f"{facts.words['quality'][q][1]} {facts.words['thing'][t][1]}" for t, qs in facts.looks.items() for q in qs}
    moves = reading(MOVES, "PLACE", {en for _, en in facts.words["place"]})
    gets = reading(GETS, "ITEM", items)
    kinds = set()
    for made in world.summaries(400, seed=6, languages=("en",)):
        found = ENGLISH.fullmatch(made.summary)
        if found["met"] or len(set(re.findall(r"[A-Z]\w+ [A-Z]\w+", made.text)) & {found["hero"]}) != 1 or '"' in made.text:
            continue
        places = [match[2] for match in moves.finditer(made.text)]
        assert (found["first"], found["last"]) == (places[0], places[-1]), made
        held, lost = [], None
        for match in gets.finditer(made.text):
            item = next(group for group in match.groups() if group)
            held = [other for other in held if other != item]
            if match[4]:
                lost = item
            else:
                held.append(item)
                lost = None if lost == item else lost
        assert (found["what"], found["thing"]) == (("lost", lost) if lost else ("got", held[-1])), made
        kinds.add((found["what"], len(places) > 2))
    assert kinds == {("got", False), ("got", True), ("lost", False), ("lost", True)}


def test_stories_are_short():
    for made in world.summaries(60, seed=5, languages=("en",)):
        assert len(re.findall(r'[.!?]"?(?: |$)', re.sub(r'[.?!,]" ', '" ', made.text))) <= LONGEST
