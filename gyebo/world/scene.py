"""The state of a document in generation: a function of the text so far.

`Scene` has what a reader would remember; `situation` summarises it in flags, which determine the sentences that fit next.
"""

from __future__ import annotations

from typing import Any

from gyebo.world.facts import RELATIONS, Item, World

ME = -1  # the author of a diary
NOWHERE = -1
WINTER = 3  # index in lexicon.SEASONS

_NAMES = [
    "PLACE", "SHOP", "WILD", "EATERY", "TOGETHER", "AWAY", "ROOM", "HELD", "LOST", "CLUE", "CLUE_HERE", "GOAL",
    "NOGOAL", "GOT", "BOUGHT", "PROMISE", "VISITED", "LATER", "RAIN", "SNOW", "WIND", "SUN", "FOG", "NIGHT", "TALK",
    "GOT_ELSEWHERE", "OTHERS", "OWNS", "LIKES", "DISLIKES", "MIDDLE", "MAPPED", "UNMAPPED", "RESIDENT", "FAMOUS",
    "INVITED", "CHAT_ITEM", "BACK", "SAME", "LATE", "VISITED_TOWNS", "HAUNTS", "F_TRAIT", "F_DREAM", "ASK_DAY",
    "ASK_FEELING", "ASK_LOVE", "NOT_INVITED", "TALKED", "FIXTURE_LEFT", "SELLS_LEFT", "MOOD_LEFT", "CREATURE_LEFT",
]  # fmt: skip
FLAGS = {name: 1 << i for i, name in enumerate(_NAMES)}
# F_HOME...: the fact of the subject may be told and has not been; R_HOME...: the same for the person spoken to
FLAGS |= {f"F_{r.upper()}": 1 << (len(_NAMES) + i) for i, r in enumerate(RELATIONS)}
FLAGS |= {f"R_{r.upper()}": 1 << (len(_NAMES) + len(RELATIONS) + i) for i, r in enumerate(RELATIONS)}
_TOLD = tuple((r, FLAGS[f"F_{r.upper()}"], FLAGS[f"R_{r.upper()}"]) for r in RELATIONS)
_WEATHER_FLAGS = {"rain": "RAIN", "snow": "SNOW", "wind": "WIND", "sun": "SUN", "fog": "FOG"}
LARGEST_CAST = 4


class Scene:
    """The content of the text so far. Plain containers, so that `copy` is cheap and exact."""

    __slots__ = (
        "asked", "bound", "carries_on", "cast", "chat_item", "chat_third", "clue", "daytime", "first", "flags",
        "genre", "goal", "held", "invited", "language", "listener", "lost", "mapped", "mentioned", "node",
        "options", "owned_told", "previous", "promise", "season", "section", "sentences", "subject", "told", "topic",
        "town", "visits", "weather", "where", "world",
    )  # fmt: skip

    def __init__(self, world: World, language: str) -> None:
        self.world = world
        self.language = language
        self.node: object = None  # the current node of the grammar
        self.flags = 0
        self.section = "open"  # which kind of sentence comes next
        self.genre = ""
        self.sentences = 0
        self.bound: dict[str, Any] = {}  # slots filled in this sentence
        self.mentioned: list[int] = []  # people of this sentence
        self.previous: tuple[int, ...] = ()  # people of the sentence before
        self.subject = ME
        self.listener = ME
        self.carries_on = False  # whether a sentence without a subject would be about `subject`
        self.cast: tuple[int, ...] = ()
        self.where: dict[int, int] = {}
        self.held: tuple[tuple[int, Item, int | None, int | None], ...] = ()  # (owner, item, giver, place of purchase)
        self.lost: dict[int, Item] = {}
        self.clue: dict[int, int] = {}  # where a lost thing was seen
        self.goal: dict[int, Item] = {}
        self.promise: dict[int, tuple[int, Item]] = {}
        self.visits: dict[int, tuple[int, ...]] = {}
        self.first = NOWHERE
        self.told: frozenset[tuple[int, str]] = frozenset()
        self.owned_told: frozenset[tuple[int, str, int | Item]] = frozenset()
        self.asked: frozenset[tuple[int, str]] = frozenset()
        self.town = NOWHERE
        self.weather = ""
        self.season = -1  # index of the season; -1: not said
        self.daytime = -1  # index of the time of day; -1: not said
        self.mapped: tuple[int, ...] = ()
        self.invited = NOWHERE
        self.topic: Item | None = None  # the thing asked about
        self.chat_third = ME  # the person asked about
        self.options: tuple[int, ...] = ()  # foods to choose from
        self.chat_item: tuple[int, Item, int] | None = None  # (buyer, item, place)

    def copy(self) -> Scene:
        """An independent copy: every container that is changed in place is copied."""
        twin = Scene.__new__(Scene)
        for name in Scene.__slots__:
            value = getattr(self, name)
            setattr(twin, name, value.copy() if type(value) in (dict, list) else value)
        return twin

    def here(self) -> int:
        """Where the subject is."""
        return self.where.get(self.subject, NOWHERE)

    def mates(self) -> tuple[int, ...]:
        """Who is with the subject."""
        here = self.here()
        if here == NOWHERE:
            return ()
        subject, where = self.subject, self.where
        return tuple([p for p in self.cast if p != subject and where.get(p, NOWHERE) == here])

    def away(self) -> tuple[int, ...]:
        """Who is known and named, but not with the subject."""
        here, subject, where = self.here(), self.subject, self.where
        return tuple([p for p in self.cast if p not in (subject, ME) and (here == NOWHERE or where.get(p, NOWHERE) != here)])

    def pronoun_for(self, person: int) -> bool:
        """Whether "he" or "she" can only mean `person`: nobody else of that gender was in the sentence before."""
        if person == ME:
            return True
        people = self.world.people
        return person in self.previous and not any(
            p not in (person, ME) and people[p].woman == people[person].woman for p in self.previous
        )


def situation(scene: Scene) -> int:
    """The flags of `scene`, as bits of `FLAGS`."""
    bits, world, subject = 0, scene.world, scene.subject
    genre = scene.genre
    if genre in ("story", "diary"):
        bits = _story(scene)
    elif genre == "guide":
        bits = _guide(scene)
    elif genre == "chat":
        if scene.sentences >= 4:
            bits |= FLAGS["TALKED"]
        bits |= FLAGS["NOT_INVITED" if scene.invited == NOWHERE else "INVITED"]
        if scene.chat_item is not None and scene.chat_item[0] == scene.listener:
            bits |= FLAGS["CHAT_ITEM"]
    if len(scene.cast) < LARGEST_CAST and _circle_left(scene):
        bits |= FLAGS["ROOM"]
    if subject != ME:
        reserved, told = world.people[subject].reserved, scene.told
        for relation, flag, _ in _TOLD:
            if relation not in reserved and (subject, relation) not in told:
                bits |= flag
        if genre == "portrait":
            bits |= _lists(scene)
            if len(scene.cast) > 1 and scene.carries_on:
                bits |= FLAGS["BACK"]
    if scene.listener != ME:
        for name in ("day", "feeling", "love"):
            if (scene.listener, name) not in scene.asked:
                bits |= FLAGS[f"ASK_{name.upper()}"]
        listener = scene.listener
        reserved, asked = world.people[listener].reserved, scene.asked
        for relation, _, flag in _TOLD:
            if relation not in reserved and (listener, relation) not in asked:
                bits |= flag
    return bits


def acquaintances(scene: Scene) -> tuple[int, ...]:
    """People who may be introduced next: those whom the first person knows (in a diary, anyone)."""
    if scene.genre == "diary":
        return tuple(range(len(scene.world.people)))
    return scene.world.people[scene.cast[0]].circle if scene.cast else ()


def residents(scene: Scene) -> tuple[int, ...]:
    """People who live in the town of a guide, whose home may be told, and who have not been named."""
    return tuple(
        i for i, p in enumerate(scene.world.people)
        if p.home == scene.town and "home" not in p.reserved and (i, "home") not in scene.told
    )  # fmt: skip


def _circle_left(scene: Scene) -> bool:
    return any(p not in scene.cast for p in acquaintances(scene))


def _story(scene: Scene) -> int:
    world, subject, bits = scene.world, scene.subject, 0
    here = scene.here()
    names: list[str] = []
    mates = scene.mates()
    if here != NOWHERE:
        names.append("PLACE")
        names.append("SHOP" if world.is_shop(here) else "EATERY" if world.is_eatery(here) else "WILD")
    for kind in ("mood", "fixture"):
        if here != NOWHERE and (here, kind) not in scene.told:
            names.append(f"{kind.upper()}_LEFT")
    if mates:
        names.append("TOGETHER")
        if any(p != ME for p in mates):
            names.append("TALK")
    if scene.away():
        names.append("AWAY")
    if any(p not in (subject, ME) for p in scene.cast):
        names.append("OTHERS")
    for owner, _, giver, origin in scene.held:
        if owner == subject:
            names.append("HELD")
            if giver is not None:
                names.append("GOT")
                if giver not in mates:
                    names.append("GOT_ELSEWHERE")
            if origin is not None:
                names.append("BOUGHT")
    if subject in scene.lost:
        names.append("LOST")
        if subject in scene.clue:
            names.append("CLUE_HERE" if scene.clue[subject] == here else "CLUE")
    names.append("GOAL" if subject in scene.goal else "NOGOAL")
    if subject in scene.promise and scene.promise[subject][0] in mates:
        names.append("PROMISE")
    if len(scene.visits.get(subject, ())) > 2:
        names.append("VISITED")
    if scene.carries_on:
        names.append("SAME")
    if scene.daytime > len(world.words["daytime"]) // 2:
        names.append("LATE")
    if scene.daytime < len(world.words["daytime"]) - 1:
        names.append("LATER")
    else:
        names.append("NIGHT")
    if scene.weather in _WEATHER_FLAGS:
        names.append(_WEATHER_FLAGS[scene.weather])
    for name in names:
        bits |= FLAGS[name]
    return bits


def _guide(scene: Scene) -> int:
    world, town = scene.world, scene.town
    bits = FLAGS["MAPPED"] if scene.mapped else FLAGS["MIDDLE"]
    if scene.mapped and len(scene.mapped) < len(world.towns[town].spots):
        bits |= FLAGS["UNMAPPED"]
    for kind in ("fixture", "sells", "mood", "creature"):
        if any((p, kind) not in scene.told for p in scene.mapped):
            bits |= FLAGS[f"{kind.upper()}_LEFT"]
    if residents(scene):
        bits |= FLAGS["RESIDENT"]
    if (town, "famous") not in scene.told:
        bits |= FLAGS["FAMOUS"]
    return bits


def _lists(scene: Scene) -> int:
    """Facts of which a person has several: true while one is untold."""
    bits, subject = 0, scene.subject
    person = scene.world.people[subject]
    for name, values in (
        ("likes", person.likes),
        ("dislikes", person.dislikes),
        ("owns", person.owns),
        ("visited", person.visited),
        ("haunts", person.haunts),
    ):
        if any((subject, name, value) not in scene.owned_told for value in values):
            bits |= FLAGS["VISITED_TOWNS" if name == "visited" else name.upper()]
    for name in ("trait", "dream"):
        if (subject, name) not in scene.told:
            bits |= FLAGS[f"F_{name.upper()}"]
    return bits
