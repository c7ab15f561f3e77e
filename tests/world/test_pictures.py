"""The pictures of the world: what they show is what is said of them."""

import re
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from gyebo.world import english, korean, lexicon, pictures
from gyebo.world.pictures import VALUES, outlines, scenes, sentences

THINGS = VALUES["thing"]


def some(count=200, **options):
    return list(pictures.pictures(count, **options))


# ---- scenes


def test_picture_i_depends_on_seed_and_i_only():
    whole = some(30, seed=2)
    assert list(pictures.pictures(10, seed=2, start=20)) == whole[20:]
    assert some(30, seed=3) != whole
    both = [p.texts for p in whole]
    assert [tuple(t for t in texts if t.language == "ko") for texts in both] == [
        p.texts for p in some(30, seed=2, languages=("ko",))
    ]
    assert [p.scene for p in some(30, seed=2, style="outline")] == [p.scene for p in whole]


def test_seen_and_unseen_scenes_share_no_combination_but_all_things_and_values():
    facts = pictures.looks()

    def combinations(found):
        things = [thing for p in found for thing in p.scene.things]
        return {(n, t.thing, t.value(n)) for t in things for n in ("colour", "shape") if t.value(n) is not None}

    seen, unseen = combinations(some(3000)), combinations(some(600, unseen=True))
    assert not seen & facts.held_out
    assert unseen & facts.held_out
    for p in some(200, unseen=True):
        assert sum(facts.is_held_out(thing) for thing in p.scene.things) == 1
    assert {t for _, t, _ in facts.held_out} == set(range(len(THINGS)))
    for name, thing, value in facts.held_out:  # each of the two is seen with others, in other pictures
        assert any(n == name and t == thing for n, t, _ in seen)
        assert any(n == name and v == value for n, _, v in seen)
    chair = THINGS.index(("의자", "chair"))
    assert ("shape", chair, lexicon.SHAPES.index(("아보카도 모양의", "avocado-shaped"))) in facts.held_out


def test_boxes_lie_in_the_picture_and_do_not_overlap():
    for p in some(400):
        boxes = [region.box for region in p.regions]
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        for a, b in permutations(boxes, 2):
            assert a[2] <= b[0] + 1e-3 or b[2] <= a[0] + 1e-3 or a[3] <= b[1] + 1e-3 or b[3] <= a[1] + 1e-3


def test_big_things_are_larger_than_small_ones():
    found = {scenes.SMALL: [], scenes.BIG: []}
    for p in some(400):
        for thing in p.scene.things:
            found[thing.size].append(thing.box[2] - thing.box[0])
    assert max(found[scenes.SMALL]) < 0.31 < 0.38 < min(found[scenes.BIG])


def test_every_word_of_the_lexicon_can_be_drawn():
    assert {name for _, name in THINGS} == set(outlines.PARTS)
    assert len(outlines.SHAPES) == len(lexicon.SHAPES) == len(lexicon.SHAPE_NAMES)
    for place in lexicon.DRAWN_PLACES:
        assert place in lexicon.PLACES
    others = (*lexicon.THINGS, *lexicon.FIXTURES, *lexicon.PETS)
    for ko, en in THINGS:  # a word of the texts is the same word here
        assert (ko, en) in others or ko not in dict(others)
    for (adnominal, en), (noun, noun_en) in zip(lexicon.DRAWN_COLOURS, lexicon.COLOURS):
        assert en == noun_en and (adnominal[0] == noun[0] or en == "black")


@pytest.mark.parametrize(("name", "word"), [("colour", "red"), ("thing", "집"), ("shape", "heart-shaped"), ("place", "숲")])
def test_pictures_of_a_concept_in_both_styles(name, word):
    value = next(n for n, words in enumerate(VALUES[name]) if word in words)
    by_style = [list(pictures.showing(name, word, 4, style=style)) for style in pictures.STYLES]
    assert [p.scene for p in by_style[0]] == [p.scene for p in by_style[1]]
    assert len({p.seed for p in by_style[0]}) == 4
    for p in by_style[0]:
        [thing] = p.scene.things
        assert (p.scene.place if name == "place" else thing.value(name)) == value
    with pytest.raises(ValueError, match="is called 'x'; there are"):
        next(pictures.showing(name, "x", 1))
    with pytest.raises(ValueError, match="found 'weight'; give one of thing, colour"):
        next(pictures.showing("weight", "x", 1))


# ---- pixels


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("style", pictures.STYLES)
def test_a_picture_is_drawn_the_same_each_time(size, style):
    for first, second in zip(some(20, style=style), some(20, style=style)):
        pixels = first.draw(size)
        assert pixels.shape == (size, size, 3) and pixels.dtype == np.uint8
        assert np.array_equal(pixels, second.draw(size))
        assert np.unique(pixels.reshape(-1, 3), axis=0).shape[0] > 5


def test_pixels_differ_inside_the_boxes_alone():
    """A thing that is taken away changes the picture in its box, and nowhere else."""
    from dataclasses import replace

    for style in pictures.STYLES:
        for p in some(60, style=style):
            plain = replace(p, scene=replace(p.scene, things=p.scene.things[:-1])).draw(64)
            full, edge = p.draw(64), 64 / 40 / 64 + 1.5 / 64  # half a line, and a pixel
            ys, xs = np.nonzero((plain != full).any(-1))
            x0, y0, x1, y1 = p.regions[-1].box
            assert len(xs), p.regions[-1]
            assert x0 - edge <= xs.min() / 64 and xs.max() / 64 <= x1 + edge
            assert y0 - edge <= ys.min() / 64 and ys.max() / 64 <= y1 + edge
            assert xs.max() - xs.min() >= 0.8 * (x1 - x0) * 64 - 2, "the box is much wider than what is drawn"


def test_a_thing_has_its_colour():
    """The colour that most of a filled thing has is nearer to its own than to any other."""
    from gyebo.world.pictures.drawing import COLOURS

    right = total = 0
    for p in some(150):
        pixels = p.draw(64).astype(int)
        for thing in p.scene.things:
            x0, y0, x1, y1 = (round(64 * v) for v in thing.box)
            inside = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].reshape(-1, 3)
            near = np.abs(inside[:, None] - np.array(COLOURS)).sum(-1)
            counts = Counter(near.argmin(1)[near.min(1) < 40].tolist())
            right += any(c == thing.colour for c, _ in counts.most_common(2))
            total += 1
    assert right / total > 0.9


def test_sizes_that_are_not_drawn_and_styles_that_are_not_known():
    with pytest.raises(ValueError, match="16 to 512 pixels a side, not 8"):
        some(1)[0].draw(8)
    with pytest.raises(ValueError, match="style: found 'cubist'"):
        some(1, style="cubist")
    with pytest.raises(ValueError, match="languages"):
        some(1, languages=("fr",))


# ---- what is said, checked by a reader that knows nothing of how it was made


def read_thing(phrase):
    """(attribute, number) pairs of an English noun phrase: its words looked up one after the other."""
    words = re.sub(r"^(an?|the) ", "", phrase)
    found, rest = {}, words
    for name in ("size", "mood", "colour", "shape"):
        for number, (_, english_word) in enumerate(VALUES[name]):
            if rest.startswith(english_word + " "):
                found[name], rest = number, rest[len(english_word) + 1 :]
                break
    found["thing"] = next(n for n, (_, word) in enumerate(THINGS) if word == rest)
    return found


def english_facts(text):
    """(things, relation, place, count) of an English caption."""
    text = re.sub(r"^there (is|are) ", "", (text[0].lower() + text[1:]).rstrip("."))
    place = count = relation = None
    if match := re.search(r" (?:in|on) the (\w+)$", text):
        place = [en for _, en in VALUES["place"]].index(match[1])
        text = text[: match.start()]
    if match := re.fullmatch(r"(one|two|three) things?", text):
        return [], None, place, ("one", "two", "three").index(match[1]) + 1
    for name, words in (("left", "to the left of"), ("right", "to the right of"), ("above", "above"), ("below", "below")):
        if match := re.fullmatch(rf"(.+?)(?: is)? {words} (.+)", text):
            return [read_thing(match[1]), read_thing(match[2])], name, place, count
    return [read_thing(part) for part in re.split(r", | and ", text)], relation, place, count


def true_of(facts, scene):
    """Whether the facts are a scene's: by trying all ways to say which thing is meant."""
    things, relation, place, count = facts
    if (place is not None and place != scene.place) or (count is not None and count != len(scene.things)):
        return False
    for chosen in permutations(range(len(scene.things)), len(things)):
        if any(getattr(scene.things[i], n) != v for i, told in zip(chosen, things) for n, v in told.items()):
            continue
        if relation is None:
            return True
        a, b = (scene.things[i].centre for i in chosen)
        x, y = a[0] - b[0], a[1] - b[1]
        if {"left": not scene.column and x < 0, "right": not scene.column and x > 0,
            "above": scene.column and y < 0, "below": scene.column and y > 0}[relation]:  # fmt: skip
            return True
    return False


@pytest.mark.parametrize("unseen", [False, True])
def test_captions_hold_and_false_statements_do_not(unseen):
    counts = Counter()
    for p in some(1000, languages=("en",), unseen=unseen):
        for text in p.texts:
            if text.kind == "question":
                continue
            counts[text.kind] += 1
            assert true_of(english_facts(text.text), p.scene) == (text.kind == "caption"), (text, p.scene)
    assert counts["caption"] == 2000 and counts["false"] > 950


def test_seen_texts_name_no_combination_that_is_held_out():
    facts = pictures.looks()
    for p in some(1500, languages=("en",)):
        for text in p.texts:
            if text.kind != "question":
                for told in english_facts(text.text)[0]:
                    named = {(name, told["thing"], value) for name, value in told.items()}
                    assert not named & facts.held_out


def test_both_languages_say_the_same(monkeypatch):
    """The same description in both: every Korean noun phrase has the words of the English one, with the particle that fits."""
    import random

    for number, p in enumerate(some(300)):
        description = sentences.describe(p.scene, random.Random(number), whole=number % 2 == 0, place=True)
        ko = sentences.in_words(description, "ko", random.Random(0))
        en = sentences.in_words(description, "en", random.Random(0))
        assert ko.endswith("다.") and en.endswith(".") and en[0].isupper() and en.isascii()
        for told in english_facts(en)[0]:
            for name, value in told.items():
                word = VALUES[name][value][0]
                assert (korean.conjugate(word, "adnominal") if name == "mood" else word) in ko
        for subject in re.findall(r"(\S+)([이가]) (?=있다|보인다|\S+ \S+쪽에 있다)", ko):
            assert korean.particle(subject[0], "이") == "".join(subject)


def test_hand_written_sentences():
    import random

    ball = sentences.Described((("thing", THINGS.index(("공", "ball"))), ("colour", 0)))
    chair = sentences.Described((("thing", THINGS.index(("의자", "chair"))), ("size", 1), ("colour", 10), ("shape", 3)))
    park = VALUES["place"].index(("공원", "park"))
    rng = random.Random(1)
    both = sentences.Description((ball, chair), None, park)
    assert sentences.in_words(both, "en", rng, phrase=True) == "a red ball and a big orange star-shaped chair in the park"
    assert sentences.in_words(both, "ko", rng, phrase=True) == "공원에 있는 빨간 공과 커다란 별 모양의 주황색 의자"
    beside = sentences.Description((chair, ball), "left", park)
    assert sentences.in_words(beside, "ko", rng, phrase=True) == "공원의 빨간 공 왼쪽에 있는 커다란 별 모양의 주황색 의자"
    assert sentences.in_words(beside, "en", rng) == "A big orange star-shaped chair is to the left of a red ball in the park."
    assert sentences.in_words(sentences.Description(count=2), "ko", rng) == "물건이 두 개 있다."
    doll = sentences.Described((("thing", THINGS.index(("인형", "doll"))), ("mood", 1), ("colour", 1)))
    assert sentences.noun_phrase(doll, "ko") == "슬픈 파란 인형" and sentences.noun_phrase(doll, "en") == "a sad blue doll"
    assert english.article("orange ball") == "an orange ball"


# ---- questions


def test_questions_have_the_answer_of_the_scene():
    asked = Counter()
    for p in some(1500, languages=("en",)):
        question = next(text for text in p.texts if text.kind == "question")
        text, answer = question.text, question.answer
        kind, expected = answered(text, p.scene)
        asked[kind] += 1
        assert answer == expected, (text, answer, p.scene)
    assert set(asked) == {"count", "place", "color", "size", "shape", "feel", "side", "is there"}
    yes = [answered(t.text, p.scene)[1] for p in some(3000, languages=("en",)) for t in p.texts
           if t.text.startswith("Is there")]  # fmt: skip
    assert 0.44 < yes.count("yes") / len(yes) < 0.56


def answered(text, scene):
    """What a question asks, and the answer read off the scene."""
    things = scene.things

    def only(name):
        found = [t for t in things if THINGS[t.thing][1] == name]
        assert len(found) == 1
        return found[0]

    if text == "How many things are there?":
        return "count", ("one", "two", "three")[len(things) - 1]
    if text == "Where is this?":
        return "place", VALUES["place"][scene.place][1]
    if match := re.fullmatch(r"What color is the (.+)\?", text):
        return "color", VALUES["colour"][only(match[1]).colour][1]
    if match := re.fullmatch(r"Is the (.+) big or small\?", text):
        return "size", VALUES["size"][only(match[1]).size][1]
    if match := re.fullmatch(r"What shape is the (.+)\?", text):
        return "shape", lexicon.SHAPE_NAMES[only(match[1]).shape][1]
    if match := re.fullmatch(r"How does the (.+) feel\?", text):
        return "feel", VALUES["mood"][only(match[1]).mood][1]
    if match := re.fullmatch(r"What is (to the left of|to the right of|above|below) the (.+)\?", text):
        relation = {"to the left of": "left", "to the right of": "right"}.get(match[1], match[1])
        other = only(match[2])
        (found,) = [t for t in things if t is not other]
        assert true_of(([{"thing": found.thing}, {"thing": other.thing}], relation, None, None), scene)
        return "side", THINGS[found.thing][1]
    match = re.fullmatch(r"Is there (.+)\?", text)
    return "is there", "yes" if true_of(([read_thing(match[1])], None, None, None), scene) else "no"


# ---- stimuli of one value


@pytest.mark.parametrize("name", VALUES)
def test_pictures_of_every_value_are_those_of_showing(name):
    found = pictures.showing_each(name, 2, seed=5, style="outline")
    assert list(found) == [word for _, word in VALUES[name]]
    for word in list(found)[:3]:
        same = pictures.showing(name, word, 2, seed=5, style="outline")
        assert [(p.scene, p.style, p.seed) for p in found[word]] == [(p.scene, p.style, p.seed) for p in same]
    with pytest.raises(ValueError, match="give one of thing, colour"):
        pictures.showing_each("colr", 1)
    with pytest.raises(ValueError, match="style: found 'photo'"):
        pictures.showing_each(name, 1, style="photo")


@pytest.mark.parametrize("name", ["thing", *pictures.ATTRIBUTES])
def test_phrases_name_their_value_where_they_say(name):
    words = {english: (ko, english) for ko, english in VALUES[name]}
    for value, phrases in pictures.saying(name, 8, seed=1).items():
        ko, en = words[value]
        spoken = korean.conjugate(ko, "adnominal") if name == "mood" else ko
        named = [phrase.text[slice(*phrase.span)] for phrase in phrases]
        assert named == [spoken, en] * 4
        alone = [phrase.text for phrase in phrases[:2]]
        assert alone == ([spoken, english.article(en)] if name == "thing" else [spoken, en])
        assert all(phrase.text.split()[-1] != phrase.text for phrase in phrases[2:] if name != "thing")
    with pytest.raises(ValueError, match="give one of thing"):
        pictures.saying("place", 1)
