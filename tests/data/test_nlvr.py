"""NLVR: what is read of its files, and statements that are true and false of its pictures."""

import io
import random
import re
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gyebo.config.run import DataOptions
from gyebo.data import documents, nlvr, nlvr_statements
from gyebo.data.nlvr_statements import FORMS, Amount, Item, Kind, Statement, pair
from gyebo.data.nlvr_wordings import are_towers, worded
from gyebo.data.picture_files import opened, seen
from gyebo.data.prepare import open_corpus

DATA = Path(__file__).parents[3] / "shared" / "data" / "nlvr"
needs_data = pytest.mark.skipif(not (DATA / "dev.parquet").is_file(), reason=f"{DATA} is not here")
COLOURS = {"yellow": (255, 220, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


def items(*rows):
    """(shape, colour, panel, x, y, size) each, x within its box."""
    return [Item((150 * p + x, y, 150 * p + x + s, y + s), shape, colour, p) for shape, colour, p, x, y, s in rows]


def random_items(rng):
    """One to eight items in each box, none over another."""
    found = []
    for panel in range(3):
        for cell in rng.sample(range(9), rng.randint(1, 8)):
            size = rng.choice([10, 20, 30])
            x, y = ((0, 35, 100 - size)[i] for i in (cell % 3, cell // 3))
            found.append((rng.choice(nlvr_statements.SHAPES), rng.choice(nlvr_statements.COLOURS), panel, x, y, size))
    return items(*found)


# ---- statements, by hand and by a reader of its own

HAND = items(
    ("square", "black", 0, 0, 0, 20), ("circle", "yellow", 0, 5, 40, 10), ("triangle", "black", 1, 70, 70, 30),
    ("circle", "black", 1, 20, 20, 20), ("square", "blue", 2, 40, 80, 20), ("square", "yellow", 2, 40, 60, 20),
    ("square", "black", 2, 40, 40, 20),
)  # fmt: skip
BLACK, SQUARE, CIRCLE = Kind(None, "black", None), Kind(None, None, "square"), Kind(None, None, "circle")


@pytest.mark.parametrize(
    ("form", "slots", "text", "holds"),
    [
        ("in all", {"amount": Amount(True, 4), "kind": BLACK}, "There are exactly four black items.", True),
        ("in all", {"amount": Amount(True, 1), "kind": Kind("big", None, None)}, "There is exactly one big item.", True),
        ("in all", {"amount": Amount(False, 3), "kind": CIRCLE}, "There are at least three circles.", False),
        ("a box with", {"amount": Amount(True, 3), "kind": SQUARE}, "There is a box with exactly three squares.", True),
        ("boxes with", {"boxes": 1, "amount": Amount(True, 2), "kind": BLACK},
         "There is exactly one box with exactly two black items.", True),
        ("each box", {"amount": Amount(False, 1), "kind": BLACK}, "Each box has at least one black item.", True),
        ("each box", {"amount": Amount(False, 1), "kind": CIRCLE}, "Each box has at least one circle.", False),
        ("in the box", {"amount": Amount(True, 1), "kind": CIRCLE, "place": "left"},
         "The left box has exactly one circle.", True),
        ("touching a wall", {"amount": Amount(True, 2), "kind": Kind(None, None, None), "wall": "bottom"},
         "There are exactly two items touching the bottom wall.", True),
        ("touching any", {"amount": Amount(True, 1), "kind": CIRCLE}, "There is exactly one circle touching a wall.", False),
        ("above", {"kind": SQUARE, "side": "above", "other": CIRCLE}, "There is a square above a circle.", True),
        ("above", {"kind": SQUARE, "side": "below", "other": CIRCLE}, "There is a square below a circle.", False),
        ("one colour", {"boxes": 1}, "There is exactly one box with items of only one color.", True),
        ("colours", {"boxes": 1}, "There is exactly one box with items of all three colors.", True),
        ("all of a shape", {"shape": "triangle", "colour": "black"}, "All triangles are black.", True),
        ("all of a shape", {"shape": "square", "colour": "black"}, "All squares are black.", False),
        ("not touching", {"amount": Amount(True, 1), "kind": BLACK},
         "There is exactly one black item not touching a wall.", False),
        ("in a corner", {"amount": Amount(True, 2), "kind": BLACK},
         "There are exactly two black items touching a corner.", True),
        ("of which", {"number": 2, "amount": Amount(True, 1), "kind": CIRCLE},
         "There is a box with exactly two items of which exactly one is a circle.", True),
        ("of which", {"number": 3, "amount": Amount(False, 2), "kind": BLACK},
         "There is a box with exactly three items of which at least two are black items.", False),
        ("two colours", {"first": "black", "colour": "yellow"},
         "There is a box with items of only black and yellow color.", True),
        ("a box ending", {"colour": "yellow", "end": "bottom"}, "There is a box with a yellow item at the bottom.", True),
        ("there is", {"kind": Kind(None, None, None)}, "There is an item.", True),
        ("at an end", {"boxes": 3, "colour": "black", "end": "top"},
         "There are exactly three boxes with a black item at the top.", True),
    ],
)  # fmt: skip
def test_statements_by_hand(form, slots, text, holds):
    statement = Statement(form, tuple(slots.items()))
    assert statement.text == text and statement.holds(HAND) == holds


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")


def reads(words):
    """A function of an item: whether it is what a noun phrase means."""
    words = [re.sub(r"s$", "", word) for word in words.split()]
    size = {"small": 10, "medium": 20, "big": 30}

    def fits(item):
        return all(
            (word == "item") or word in (item.shape, item.colour) or size.get(word) == item.box[2] - item.box[0]
            for word in words
        )

    return fits


def amount(text):
    """(what a count must be, what is counted) of "exactly two black circles"."""
    how, number, rest = text.removeprefix("at ").split(" ", 2)
    wanted, fits = NUMBERS.index(number), reads(rest)
    return lambda some: (sum(map(fits, some)) == wanted) if how == "exactly" else (sum(map(fits, some)) >= wanted)


PLAIN = {
    r"^there": "There",
    r"\b([0-7])\b": lambda found: NUMBERS[int(found[1])],
    r"^One of the (grey )?boxes (contains|has)": "There is a box with",
    r"^There is a (grey box with|box which has|box that contains)": "There is a box with",
    r"^One of the towers has|^There is a tower (which has|that contains)": "There is a tower with",
    r"^(Each grey box contains|Every box has)": "Each box has",
    r"\b(only|exactly) (one|two|three|four|five|six|seven)\b(?! color)": r"exactly \2",
    r"\bobject": "item",
    r"\bclosely ": "",
    r"touching (the base|the bottom|the bottom of a box|the bottom edge)$": "touching the bottom wall",
    r"touching (the )?(left|right|top) (edge|side|wall of a box)$": r"touching the \2 wall",
    r"touching (the edge|any edge|the wall of a box)$": "touching a wall",
    r"of the same colou?r": "of only one color",
    r"of (all three different|three) colors": "of all three colors",
    r"exactly one (\w+) block as the base of a tower": r"exactly one tower with a \1 block at the bottom",
    r"a (\w+) (block at the base|base)(?= of a tower|$)": r"a \1 block at the bottom",
    r"a (\w+) (block on top|top)(?= of a tower|$)": r"a \1 block at the top",
    r"There is a (\w+) block at the (bottom|top) of a tower": r"There is a tower with a \1 block at the \2",
    r"\bover\b": "above",
    r"towers": "boxes",
    r"tower": "box",
    r"block": "item",
}


def plain(text):
    """A statement in the wording that `true_of` reads: a tower is a box, a block an item."""
    text = text.removesuffix(".")
    for pattern, words in PLAIN.items():
        text = re.sub(pattern, words, text)
    return re.sub(r"\ba item\b", "an item", text)


def test_other_words_for_the_same():
    """Of 3,000 statements, half of them about towers, and each choice is drawn."""
    rng, said = random.Random(4), set()
    for number in range(3000):
        drawn = random_towers if number % 2 else random_items
        pictures = drawn(rng), drawn(rng)
        towers = number % 2 == 1
        assert not towers or all(map(are_towers, pictures))
        for statement in pair(*pictures, rng) or ():
            text = worded(statement.text, rng, towers=towers)
            said.add(text)
            for picture in pictures:
                assert true_of(plain(text), picture) == statement.holds(picture), (statement.text, text)
    for words in (
        "object",
        "closely",
        "2",
        "over a",
        "base of a tower",
        "at the base",
        "any edge",
        "One of the grey",
        "on top",
    ):
        assert any(words in text for text in said), words


def random_towers(rng):
    """A stack of one to four squares in each box."""
    heights = [rng.randint(1, 4) for _ in range(3)]
    return items(*(
        ("square", rng.choice(nlvr_statements.COLOURS), panel, 40, 80 - 21 * level, 20)
        for panel, height in enumerate(heights) for level in range(height)
    ))  # fmt: skip


def ends(panel, end):
    """The colour of the item that is highest or lowest in a box, if it is one."""
    edge = [i.box[1] if end == "top" else -i.box[3] for i in panel]
    at = [i for i, e in zip(panel, edge) if e == min(edge)]
    return at[0].colour if len(at) == 1 else None


def true_of(text, found):
    """What a statement says of a picture, read from its words."""
    panels = [[i for i in found if i.panel == p] for p in range(3)]
    text = text.rstrip(".")

    def touches(item, wall):
        x0, y0, x1, y1 = item.box
        return {"left": x0 % 150 == 0, "right": x1 % 150 == 100, "top": y0 == 0, "bottom": y1 == 100}[wall]

    if match := re.fullmatch(r"All (\w+)s are (\w+)", text):
        some = [i for i in found if i.shape == match[1]]
        return bool(some) and all(i.colour == match[2] for i in some)
    if match := re.fullmatch(r"Each box has (.+)", text):
        return all(map(amount(match[1]), panels))
    if match := re.fullmatch(r"The (left|middle|right) box has (.+)", text):
        return amount(match[2])(panels[("left", "middle", "right").index(match[1])])
    if match := re.fullmatch(r"There (?:is|are) exactly (\w+) box(?:es)? with (.+)", text):
        if match[2] == "items of only one color":
            count = sum(len({i.colour for i in p}) == 1 for p in panels)
        elif match[2] == "items of all three colors":
            count = sum(len({i.colour for i in p}) == 3 for p in panels)
        elif end := re.fullmatch(r"a (\w+) item at the (top|bottom)", match[2]):
            count = sum(ends(p, end[2]) == end[1] for p in panels)
        else:
            count = sum(map(amount(match[2]), panels))
        return count == NUMBERS.index(match[1])
    if match := re.fullmatch(r"There is a box with items of only (\w+) and (\w+) color", text):
        return match[1] != match[2] and any({i.colour for i in p} == {match[1], match[2]} for p in panels)
    if match := re.fullmatch(r"There is a box with exactly (\w+) items of which (.+?) (?:is an?|are) (.+)", text):
        return any(len(p) == NUMBERS.index(match[1]) and amount(f"{match[2]} {match[3]}")(p) for p in panels)
    if match := re.fullmatch(r"There is a box with a (\w+) item at the (top|bottom)", text):
        return any(ends(p, match[2]) == match[1] for p in panels)
    if match := re.fullmatch(r"There is a box with (.+) and (.+)", text):
        return any(amount(match[1])(p) and amount(match[2])(p) for p in panels)
    if match := re.fullmatch(r"There is a box with (.+)", text):
        return any(map(amount(match[1]), panels))
    if match := re.fullmatch(r"There is an? (.+) (above|below) an? (.+)", text):
        a, b = reads(match[1]), reads(match[3])
        for p in panels:
            for one, other in permutations(p, 2):
                high, low = (one, other) if match[2] == "above" else (other, one)
                overlap = min(high.box[2], low.box[2]) - max(high.box[0], low.box[0])
                if a(one) and b(other) and high.box[3] <= low.box[1] and overlap > 0:
                    return True
        return False
    if match := re.fullmatch(r"There is an? (.+)", text):
        return any(map(reads(match[1]), found))
    some = found
    if match := re.fullmatch(r"There (?:is|are) (.+?) touching a corner", text):
        within = [[touches(i, wall) for wall in ("left", "right", "top", "bottom")] for i in found]
        return amount(match[1])([i for i, sides in zip(found, within) if (sides[0] or sides[1]) and (sides[2] or sides[3])])
    if match := re.fullmatch(r"There (?:is|are) (.+?) not touching a wall", text):
        return amount(match[1])([i for i in found if not any(touches(i, w) for w in ("left", "right", "top", "bottom"))])
    match = re.fullmatch(r"There (?:is|are) (.+?)(?: touching (?:the (\w+)|a) wall)?", text)
    if " touching " in text:
        some = [
            i
            for i in found
            if any(touches(i, wall) for wall in ([match[2]] if match[2] else ["left", "right", "top", "bottom"]))
        ]
    return amount(match[1])(some)


def test_pairs_tell_two_pictures_apart_and_differ_in_one_slot():
    rng, forms = random.Random(0), Counter()
    for _ in range(1200):
        first, second = random_items(rng), random_items(rng)
        a, b = pair(first, second, rng)
        assert a.form == b.form and sum(x != y for x, y in zip(a.slots, b.slots)) == 1
        assert [true_of(s.text, p) for s in (a, b) for p in (first, second)] == [True, False, False, True], (a, b)
        forms[a.form] += 1
    assert set(forms) == set(FORMS)
    assert pair(HAND, HAND, rng) is None


def test_sizes_and_walls():
    small, medium, big = items(
        ("square", "blue", 1, 0, 30, 10), ("square", "blue", 1, 80, 80, 20), ("square", "blue", 2, 20, 0, 30)
    )
    assert (small.size, medium.size, big.size) == ("small", "medium", "big")
    assert (small.sides, medium.sides, big.sides) == (("left",), ("right", "bottom"), ("top",))


# ---- files


def drawing(found):
    image = Image.new("RGB", (400, 100), (211, 211, 211))
    for item in found:
        image.paste(COLOURS[item.colour], item.box)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write(path, pictures, sentences=None):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    columns = {
        "identifier": [f"{n}-0" for n in range(len(pictures))], "permutation": [0] * len(pictures),
        "png": [drawing(p) for p in pictures], "boxes": [[list(i.box) for i in p] for p in pictures],
        "box_shape": [[i.shape for i in p] for p in pictures], "box_color": [[i.colour for i in p] for p in pictures],
        "box_panel": [[i.panel for i in p] for p in pictures],
    }  # fmt: skip
    if sentences:
        columns |= {"sentence": sentences, "label": [True] * len(sentences)}
    parquet.write_table(pa.table(columns), path)


@pytest.fixture
def folder(tmp_path):
    rng = random.Random(3)
    pictures = [random_items(rng) for _ in range(12)]
    # the same picture as pictures[2] with its boxes in another order
    moved = [Item((i.box[0] + 150 * (((i.panel + 1) % 3) - i.panel), i.box[1], i.box[2] + 150 * (((i.panel + 1) % 3) - i.panel),
                   i.box[3]), i.shape, i.colour, (i.panel + 1) % 3) for i in pictures[2]]  # fmt: skip
    write(tmp_path / "train_images.parquet", pictures)
    write(tmp_path / "dev.parquet", [moved], ["There is a box with at least one black item."])
    write(tmp_path / "test.parquet", [pictures[5]], ["There is a box with at least one yellow item."])
    return tmp_path


def test_a_corpus_of_statements(folder):
    data = DataOptions(corpus=[f"nlvr:{folder}"], picture_size=64)
    corpus = open_corpus(data)
    read = [r for chunk in documents.chunks(corpus.sources, data) for r in documents.records_of(chunk, data)]
    assert [int(r.where.rpartition(" ")[2]) for r in read] == [n for n in range(12) if n not in (2, 5)]
    examples = {f"row {n}": e for n, e in enumerate(nlvr.examples(folder / "train_images.parquet"))}
    said = Counter((text.text, text.kind) for record in read for text in record.texts)
    assert all(said[text, "caption"] == said[text, "false"] for text, _ in said)  # the words alone do not tell
    for record in read:
        example = examples[record.where.rpartition(": ")[2]]
        assert 2 <= len(record.texts) <= 2 * nlvr.STATEMENTS
        for text in record.texts:
            assert true_of(plain(text.text), example.items) == (text.kind == "caption")
            assert nlvr.key(text.text) not in ("thereisaboxwithatleastoneblackitem", "thereisaboxwithatleastoneyellowitem")
        shown = seen(record, data)
        assert len(shown.boxes) == len(example.items) and np.allclose(
            shown.boxes[:, 2] - shown.boxes[:, 0], [(i.box[2] - i.box[0]) / 400 for i in example.items]
        )
        for region, crop in zip(shown.record.regions, shown.crops):
            assert np.array_equal(crop, np.broadcast_to(COLOURS[region.attributes["colour"]], crop.shape))
    assert open_corpus(data).fingerprint == corpus.fingerprint
    write(folder / "dev.parquet", [random_items(random.Random(9))], ["x"])
    assert open_corpus(data).fingerprint != corpus.fingerprint


def test_a_corpus_of_simple_statements(folder):
    data = DataOptions(corpus=[f"nlvr:simple,{folder}"], picture_size=64)
    corpus = open_corpus(data)
    read = [r for chunk in documents.chunks(corpus.sources, data) for r in documents.records_of(chunk, data)]
    texts = [text.text for record in read for text in record.texts]
    assert len(texts) > 20 and all(re.fullmatch(r"There is an?( \w+){1,3}", plain(text)) for text in texts)
    assert corpus.fingerprint != open_corpus(DataOptions(corpus=[f"nlvr:{folder}"], picture_size=64)).fingerprint


def test_folders_and_files_that_lack_something(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"train_images\.parquet is missing"):
        nlvr.source(f"nlvr:{tmp_path / 'none'}")
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({"identifier": ["a"], "png": [b"x"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="no column 'permutation'; available: identifier, png"):
        list(nlvr.examples(tmp_path / "x.parquet"))


@needs_data
def test_the_released_files():
    dev = list(nlvr.examples(DATA / "dev.parquet"))
    assert len(dev) == 989 and all(e.sentence and e.label is not None for e in dev)
    for example in dev[:200]:
        image = np.asarray(opened(example.png, "")).astype(int)
        for item in example.items:
            assert 150 * item.panel <= item.box[0] < item.box[2] <= 150 * item.panel + 100
            centre = image[(item.box[1] + item.box[3]) // 2, (item.box[0] + item.box[2]) // 2]
            assert (centre[2] > centre[0] + 50) == (item.colour == "blue")
            assert (centre[0] > centre[2] + 50) == (item.colour == "yellow")
    train = list(nlvr.examples(DATA / "train.parquet"))
    by_identifier = {}
    for example in train:
        by_identifier.setdefault(example.identifier, set()).add(example.content)
    assert len(by_identifier) == 1000 and all(len(contents) == 1 for contents in by_identifier.values())


@needs_data
def test_statements_about_the_released_pictures():
    source = nlvr.source(f"nlvr:{DATA}")
    scored = [e for name in nlvr.SCORED for e in nlvr.examples(DATA / name)]
    sentences, pictures = {nlvr.key(e.sentence) for e in scored}, {e.content for e in scored}
    items_of = [e for _, e in zip(range(200), nlvr.examples(source.path))]
    checked = 0
    for record in nlvr.records(source):
        number = int(record.where.rpartition(" ")[2])
        if number >= 200:
            break
        checked += 1
        assert items_of[number].content not in pictures
        for text in record.texts:
            assert nlvr.key(text.text) not in sentences
            assert true_of(plain(text.text), items_of[number].items) == (text.kind == "caption"), text.text
    assert checked > 150
