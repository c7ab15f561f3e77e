"""Statements about pictures of NLVR (Suhr et al. 2017): true ones, and false ones that differ from them in one word or number.

A picture is three boxes with items, each of a shape, a colour and a size. A form of statement is a row of `FORMS`: its slots,
what it means and how it is worded. Statements are drawn by trying: slots at random until the form tells two pictures apart,
then one slot changed until it tells them apart the other way. Their language is that of people who describe such pictures,
simplified (`nlvr_wordings.py` has other words for the same); no sentence of the data set is used.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

SHAPES, COLOURS, SIZES = ("square", "circle", "triangle"), ("yellow", "blue", "black"), ("small", "medium", "big")
PANEL, STEP = 100, 150  # pixels of a box, and from one to the next
PANELS = 3
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
FORM_TRIES, TRIES = 30, 15  # how many forms are tried; and how often the slots of one, and one slot that is changed

Slots = dict[str, object]


@dataclass(frozen=True)
class Item:
    """An item: its box (x0, y0, x1, y1) in pixels, its shape and colour, and which of the three boxes it lies in, from 0."""

    box: tuple[int, int, int, int]
    shape: str
    colour: str
    panel: int

    @cached_property
    def size(self) -> str:
        """small, medium or big: 10, 20 or 30 pixels."""
        return SIZES[min(2, max(0, round((self.box[2] - self.box[0]) / 10) - 1))]

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """The walls of its box that it touches."""
        left = STEP * self.panel
        touched = (self.box[0] <= left, self.box[2] >= left + PANEL, self.box[1] <= 0, self.box[3] >= PANEL)
        return tuple(side for side, yes in zip(WALLS, touched) if yes)


Items = Sequence[Item]
WALLS = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class Kind:
    """Which items are meant: those of a size, a colour and a shape, each of which may be left open."""

    size: str | None
    colour: str | None
    shape: str | None

    def fits(self, item: Item) -> bool:
        """Whether an item is meant."""
        return self.size in (None, item.size) and self.colour in (None, item.colour) and self.shape in (None, item.shape)

    def words(self, number: int) -> str:
        """How it is called: "black triangle", "big yellow items"."""
        noun = (self.shape or "item") + ("" if number == 1 else "s")
        return " ".join(word for word in (self.size, self.colour, noun) if word)


@dataclass(frozen=True)
class Amount:
    """A number of items: exactly so many, or at least so many."""

    exact: bool
    number: int

    def fits(self, count: int) -> bool:
        """Whether a count is meant."""
        return count == self.number if self.exact else count >= self.number

    def words(self, kind: Kind) -> str:
        """With a kind of item: "exactly two blue circles", "at least one item"."""
        return f"{'exactly' if self.exact else 'at least'} {NUMBERS[self.number]} {kind.words(self.number)}"


def count(items: Items, kind: object) -> int:
    """How many items are of a kind."""
    assert isinstance(kind, Kind)
    return sum(kind.fits(item) for item in items)


def boxes(items: Items) -> list[list[Item]]:
    """The items of each of the three boxes."""
    return [[item for item in items if item.panel == panel] for panel in range(PANELS)]


def above(first: Item, second: Item) -> bool:
    """Whether an item lies above another: in the same box, its lower edge not below the upper one of the other, over a part."""
    beside = first.box[2] <= second.box[0] or second.box[2] <= first.box[0]
    return first.panel == second.panel and first.box[3] <= second.box[1] and not beside


# ---- what stands in a slot, drawn so that it has a chance to hold


def _kind(rng: random.Random, items: Items) -> Kind:
    item = rng.choice(items)
    colour, shape = rng.random() < 0.75, rng.random() < 0.65
    return Kind(
        item.size if rng.random() < 0.2 else None,
        (item.colour if rng.random() < 0.8 else rng.choice(COLOURS)) if colour else None,
        (item.shape if rng.random() < 0.8 else rng.choice(SHAPES)) if shape else None,
    )


def _amount(rng: random.Random, items: Items) -> Amount:
    return Amount(rng.random() < 0.6, rng.choices(range(1, 8), (30, 28, 20, 10, 6, 4, 2))[0])


def _boxes(rng: random.Random, items: Items) -> int:
    return rng.randint(1, PANELS)


def _one_of(*values: str) -> Callable[[random.Random, Items], str]:
    return lambda rng, items: rng.choice(values)


DRAWN: dict[str, Callable[[random.Random, Items], object]] = {
    "kind": _kind, "other": _kind, "amount": _amount, "second": _amount, "boxes": _boxes, "colour": _one_of(*COLOURS),
    "first": _one_of(*COLOURS), "number": lambda rng, items: rng.randint(2, 6),
    "shape": _one_of(*SHAPES), "wall": _one_of(*WALLS), "place": _one_of("left", "middle", "right"),
    "side": _one_of("above", "below"), "end": _one_of("top", "bottom"),
}  # fmt: skip


# ---- the forms


@dataclass(frozen=True)
class Form:
    """A form of statement: the names of its slots, whether it holds, how it is worded."""

    slots: tuple[str, ...]
    holds: Callable[[Items, Slots], bool]
    words: Callable[[Slots], str]


def _amount_fits(items: Items, slots: Slots, amount: str = "amount", kind: str = "kind") -> bool:
    found = slots[amount]
    assert isinstance(found, Amount)
    return found.fits(count(items, slots[kind]))


def _amount_words(slots: Slots, amount: str = "amount", kind: str = "kind") -> str:
    found, of = slots[amount], slots[kind]
    assert isinstance(found, Amount) and isinstance(of, Kind)
    return found.words(of)


def _there(slots: Slots, words: str) -> str:
    amount = slots["amount"]
    assert isinstance(amount, Amount)
    return f"There {'is' if amount.number == 1 else 'are'} {words}."


def _one(slots: Slots, name: str = "kind") -> str:
    kind = slots[name]
    assert isinstance(kind, Kind)
    return f"{'an' if kind.words(1)[0] == 'i' else 'a'} {kind.words(1)}"


def _boxes_with(items: Items, slots: Slots, fits: Callable[[list[Item]], bool]) -> bool:
    return sum(fits(box) for box in boxes(items)) == slots["boxes"]


def _boxes_words(slots: Slots, rest: str) -> str:
    number = slots["boxes"]
    assert isinstance(number, int)
    return f"There {'is' if number == 1 else 'are'} exactly {NUMBERS[number]} box{'' if number == 1 else 'es'} with {rest}."


def _touching(items: Items, slots: Slots) -> list[Item]:
    return [item for item in items if slots["wall"] in item.sides]


def _pairs(items: Items, slots: Slots) -> bool:
    kind, other, side = slots["kind"], slots["other"], slots["side"]
    assert isinstance(kind, Kind) and isinstance(other, Kind)
    return any(
        kind.fits(a) and other.fits(b) and (above(a, b) if side == "above" else above(b, a))
        for a in items
        for b in items
        if a is not b
    )


def _ends(box: list[Item], slots: Slots) -> bool:
    """Whether the highest or the lowest item of a box has the colour."""
    if not box:
        return False
    found = min(box, key=lambda i: i.box[1]) if slots["end"] == "top" else max(box, key=lambda i: i.box[3])
    alone = sum((i.box[1], i.box[3])[slots["end"] != "top"] == (found.box[1], found.box[3])[slots["end"] != "top"] for i in box)
    return alone == 1 and found.colour == slots["colour"]


def _only_two_colours(items: Items, slots: Slots) -> bool:
    """Whether the items of a box have these colours, and no other."""
    wanted = {slots["first"], slots["colour"]}
    return len(wanted) == 2 and any({item.colour for item in box} == wanted for box in boxes(items))


def _of_which(slots: Slots) -> str:
    number, amount, kind = slots["number"], slots["amount"], slots["kind"]
    assert isinstance(number, int) and isinstance(amount, Amount) and isinstance(kind, Kind)
    how, many = amount.words(kind).removesuffix(kind.words(amount.number)).rstrip(), kind.words(amount.number)
    some = f"is {_one(slots)}" if amount.number == 1 else f"are {many}"
    return f"There is a box with exactly {NUMBERS[number]} items of which {how} {some}."


FORMS: dict[str, Form] = {
    "there is": Form(("kind",), lambda items, s: count(items, s["kind"]) > 0, lambda s: f"There is {_one(s)}."),
    "in all": Form(("amount", "kind"), _amount_fits, lambda s: _there(s, _amount_words(s))),
    "a box with": Form(
        ("amount", "kind"),
        lambda items, s: any(_amount_fits(box, s) for box in boxes(items)),
        lambda s: f"There is a box with {_amount_words(s)}.",
    ),
    "a box with both": Form(
        ("amount", "kind", "second", "other"),
        lambda items, s: any(_amount_fits(b, s) and _amount_fits(b, s, "second", "other") for b in boxes(items)),
        lambda s: f"There is a box with {_amount_words(s)} and {_amount_words(s, 'second', 'other')}.",
    ),
    "boxes with": Form(
        ("boxes", "amount", "kind"),
        lambda items, s: _boxes_with(items, s, lambda box: _amount_fits(box, s)),
        lambda s: _boxes_words(s, _amount_words(s)),
    ),
    "each box": Form(
        ("amount", "kind"),
        lambda items, s: all(_amount_fits(box, s) for box in boxes(items)),
        lambda s: f"Each box has {_amount_words(s)}.",
    ),
    "in the box": Form(
        ("amount", "kind", "place"),
        lambda items, s: _amount_fits(boxes(items)[("left", "middle", "right").index(str(s["place"]))], s),
        lambda s: f"The {s['place']} box has {_amount_words(s)}.",
    ),
    "touching a wall": Form(
        ("amount", "kind", "wall"),
        lambda items, s: _amount_fits(_touching(items, s), s),
        lambda s: _there(s, f"{_amount_words(s)} touching the {s['wall']} wall"),
    ),
    "touching any": Form(
        ("amount", "kind"),
        lambda items, s: _amount_fits([item for item in items if item.sides], s),
        lambda s: _there(s, f"{_amount_words(s)} touching a wall"),
    ),
    "not touching": Form(
        ("amount", "kind"),
        lambda items, s: _amount_fits([item for item in items if not item.sides], s),
        lambda s: _there(s, f"{_amount_words(s)} not touching a wall"),
    ),
    "in a corner": Form(
        ("amount", "kind"),
        lambda items, s: _amount_fits([item for item in items if len(item.sides) > 1], s),
        lambda s: _there(s, f"{_amount_words(s)} touching a corner"),
    ),
    "of which": Form(
        ("number", "amount", "kind"),
        lambda items, s: any(len(box) == s["number"] and _amount_fits(box, s) for box in boxes(items)),
        _of_which,
    ),
    "two colours": Form(
        ("first", "colour"),
        _only_two_colours,
        lambda s: f"There is a box with items of only {s['first']} and {s['colour']} color.",
    ),
    "a box ending": Form(
        ("colour", "end"),
        lambda items, s: any(_ends(box, s) for box in boxes(items)),
        lambda s: f"There is a box with a {s['colour']} item at the {s['end']}.",
    ),
    "above": Form(("kind", "side", "other"), _pairs, lambda s: f"There is {_one(s)} {s['side']} {_one(s, 'other')}."),
    "one colour": Form(
        ("boxes",),
        lambda items, s: _boxes_with(items, s, lambda box: len({item.colour for item in box}) == 1),
        lambda s: _boxes_words(s, "items of only one color"),
    ),
    "colours": Form(
        ("boxes",),
        lambda items, s: _boxes_with(items, s, lambda box: len({item.colour for item in box}) == len(COLOURS)),
        lambda s: _boxes_words(s, "items of all three colors"),
    ),
    "all of a shape": Form(
        ("shape", "colour"),
        lambda items, s: (
            any(i.shape == s["shape"] for i in items) and all(i.colour == s["colour"] for i in items if i.shape == s["shape"])
        ),
        lambda s: f"All {s['shape']}s are {s['colour']}.",
    ),
    "at an end": Form(
        ("boxes", "colour", "end"),
        lambda items, s: _boxes_with(items, s, lambda box: _ends(box, s)),
        lambda s: _boxes_words(s, f"a {s['colour']} item at the {s['end']}"),
    ),
}
# The simplest form is frequent: with the others alone, which count and compare, small models learn nothing for long.
SIMPLE = ("there is",)
WEIGHTS = {
    "there is": 8,
    "in all": 3,
    "a box with": 4,
    "a box with both": 3,
    "boxes with": 2,
    "of which": 2,
    "not touching": 2,
    "a box ending": 3,
    "above": 2,
    "at an end": 2,
}  # others: 1


@dataclass(frozen=True)
class Statement:
    """A form with its slots filled."""

    form: str
    slots: tuple[tuple[str, object], ...]

    def holds(self, items: Items) -> bool:
        """Whether it is true of a picture."""
        return FORMS[self.form].holds(items, dict(self.slots))

    @property
    def text(self) -> str:
        """It as a sentence."""
        return FORMS[self.form].words(dict(self.slots))


def pair(
    first: Items, second: Items, rng: random.Random, forms: Sequence[str] = tuple(FORMS)
) -> tuple[Statement, Statement] | None:
    """Two statements of one of these forms that differ in one slot: one is true of the first picture and false of the second,
    the other false of the first and true of the second. So each is said as often truly as falsely, and nothing but the picture
    tells which. None where no such pair is found, as of equal pictures."""
    weights = [WEIGHTS.get(name, 1) for name in forms]
    form = forms[0]
    for number in range(FORM_TRIES * TRIES):
        form = form if number % TRIES else rng.choices(forms, weights)[0]
        items = first if rng.random() < 0.5 else second
        true = Statement(form, tuple((name, DRAWN[name](rng, items)) for name in FORMS[form].slots))
        if true.holds(first) != true.holds(second):
            other = _changed(true, first, second, rng)
            if other is not None:
                return (true, other) if true.holds(first) else (other, true)
    return None


def _changed(true: Statement, first: Items, second: Items, rng: random.Random) -> Statement | None:
    """The statement with one slot drawn again, so that it holds where it did not, and does not where it did; None where no such
    draw is found."""
    for _ in range(TRIES):
        at = rng.randrange(len(true.slots))
        name = true.slots[at][0]
        changed = DRAWN[name](rng, first if rng.random() < 0.5 else second)
        found = Statement(true.form, tuple((n, changed if place == at else v) for place, (n, v) in enumerate(true.slots)))
        if found.holds(first) != true.holds(first) and found.holds(second) != true.holds(second):
            return found
    return None
