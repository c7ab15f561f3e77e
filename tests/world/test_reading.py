"""Reading what is said of scenes: the inverse of writing it, against another reader, and by hand; scenes from their regions."""

import random

import pytest

from gyebo.world import pictures
from gyebo.world.pictures import reading, sentences
from gyebo.world.pictures.scenes import THINGS, VALUES
from tests.world.test_pictures import english_facts, true_of


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("unseen", [False, True])
def test_what_is_written_is_read_back(language, unseen):
    rng = random.Random(0)
    looks = pictures.looks()
    for number, picture in enumerate(pictures.pictures(300, unseen=unseen)):
        told = sentences.describe(picture.scene, rng, whole=number % 3 == 0, place=number % 2 == 0)
        wrong = sentences.falsified(told, picture.scene, looks, rng, unseen=unseen)
        for description in filter(None, (told, wrong)):
            for phrase in (False, True):
                text = sentences.in_words(description, language, rng, phrase=phrase)
                assert reading.read(text) == description, text


def test_the_truth_of_english_captions_is_that_of_another_reader():
    found = list(pictures.pictures(150, languages=("en",), seed=3))
    counts = [0, 0]
    for number, picture in enumerate(found):
        for text in picture.texts:
            if text.kind == "question":
                continue
            for scene in (picture.scene, found[number - 1].scene):
                holds = sentences.holds(reading.read(text.text), scene)
                assert holds == true_of(english_facts(text.text), scene), text
                counts[holds] += 1
    assert min(counts) > 200


def test_by_hand():
    ball = (("thing", THINGS.index(("공", "ball"))), ("colour", 0))
    chair = (("thing", THINGS.index(("의자", "chair"))), ("size", 1), ("colour", 10), ("shape", 3))
    park = VALUES["place"].index(("공원", "park"))
    both = (sentences.Described(ball), sentences.Described(tuple(sorted(chair, key=lambda pair: ORDER.index(pair[0])))))
    beside = sentences.Description((both[1], both[0]), "left", park)
    for text in (
        "공원의 빨간 공 왼쪽에 있는 커다란 별 모양의 주황색 의자",
        "커다란 별 모양의 주황색 의자가 공원의 빨간 공 왼쪽에 있다.",
        "공원의 빨간 공 왼쪽에 커다란 별 모양의 주황색 의자가 있다.",
        "A big orange star-shaped chair is to the left of a red ball in the park.",
    ):
        assert reading.read(text) == beside, text
    assert reading.read("공원에 빨간 공과 커다란 별 모양의 주황색 의자가 보인다.") == sentences.Description(both, None, park)
    assert reading.read("there are two things.") == reading.read("물건이 두 개 있다.") == sentences.Description(count=2)


ORDER = ("thing", "colour", "shape", "size", "mood")


@pytest.mark.parametrize(
    "text",
    ["", "빨간", "빨간 공이", "빨간 공가 있다.", "빨간 공 왼쪽에 있다.", "a red", "a ball ball", "there is.", "a happy ball",
     "a red ball in the", "빨간 공과 파란 공과 작은 공과 큰 공이 있다.", "고양이가 고양이가 있다."],
)  # fmt: skip
def test_what_is_no_sentence_is_not_read(text):
    assert reading.read(text) is None


def test_a_scene_from_its_regions():
    """The same statements hold of a scene and of what its regions and its captions tell of it."""
    rng, looks = random.Random(0), pictures.looks()
    for picture in pictures.pictures(200, seed=1):
        regions = [(region.label, region.attributes, region.box) for region in picture.regions]
        rng.shuffle(regions)
        scene = reading.scene_of(regions, [text.text for text in picture.texts if text.kind == "caption"])
        assert scene is not None and (scene.column, scene.place) == (picture.scene.column, picture.scene.place)
        for _ in range(4):
            told = sentences.describe(picture.scene, rng, whole=rng.random() < 0.5, place=True)
            assert sentences.holds(told, scene)
            wrong = sentences.falsified(told, picture.scene, looks, rng, unseen=True)
            assert wrong is None or not sentences.holds(wrong, scene)


def test_facts_are_counted_as_most_of_them_fit():
    """All of a true description; of a false one, which differs in one fact, all but one; by hand where things are mixed."""
    rng, looks = random.Random(0), pictures.looks()
    for picture in pictures.pictures(100, seed=2):
        told = sentences.describe(picture.scene, rng, whole=True, place=True)
        count = sum(len(thing.values) for thing in told.things) + (told.relation is not None) + 1
        assert reading.right_facts(told, picture.scene) == (count, count)
        wrong = sentences.falsified(told, picture.scene, looks, rng, unseen=True)
        if wrong is not None:
            assert reading.right_facts(wrong, picture.scene) == (count - 1, count)
    thing, place = pictures.Thing, VALUES["place"].index(("공원", "park"))
    scene = pictures.Scene(
        (thing(1, 2, 0, None, None, (0, 0, 0.2, 0.2)), thing(5, 6, 1, None, None, (0.5, 0, 0.9, 0.2))), place
    )
    one = sentences.Described((("thing", 1), ("colour", 6), ("size", 0)))
    assert reading.right_facts(sentences.Description((one,), None, place + 1), scene) == (2, 4)
    assert reading.right_facts(sentences.Description((one, one, one)), scene) == (3, 9), (
        "the second is taken for the other thing"
    )
    assert reading.right_facts(sentences.Description((one, one), "left"), scene) == (4, 7)
    assert reading.right_facts(sentences.Description(count=2), scene) == (1, 1)


def test_what_is_no_scene_of_the_world_has_no_truth():
    [picture] = pictures.pictures(1, languages=("ko",))
    regions = [(region.label, region.attributes, region.box) for region in picture.regions]
    captions = [text.text for text in picture.texts if text.kind == "caption"]
    assert reading.scene_of(regions, captions) is not None
    assert reading.scene_of([], captions) is None and reading.scene_of(regions, []) is None
    assert reading.scene_of(regions, [*captions, "두 사람이 거리를 걷는다."]) is None
    assert reading.scene_of([("person", {}, regions[0][2])], captions) is None
    others = [(label, {**attributes, "colour": "grey"}, box) for label, attributes, box in regions]
    assert reading.scene_of(others, captions) is None
    wrong = next(text for text in next(iter(pictures.pictures(1, languages=("ko",)))).texts if text.kind == "false")
    assert reading.scene_of(regions, [*captions, wrong.text]) is None, "a caption that does not hold"
