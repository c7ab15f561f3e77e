"""The effects of a completed row on the scene: people move, things change hands, facts count as told.

`EFFECTS` maps the name of a row to a function of the scene; rows without an entry change nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from gyebo.world.facts import Item
from gyebo.world.scene import ME, NOWHERE, Scene
from gyebo.world.story_rows import ACTIONS, SCENERY

Effect = Callable[[Scene], None]


def start_document(scene: Scene) -> None:
    """Before the first word."""


def start_sentence(scene: Scene) -> None:
    """After the space between two sentences."""
    scene.bound = {}
    scene.mentioned = []
    if scene.genre == "chat":  # people take turns
        scene.subject, scene.listener = scene.listener, scene.subject


def end_sentence(scene: Scene, name: str) -> None:
    """After the last token of a sentence that ended with the row `name`."""
    if name in ACTIONS:
        scene.carries_on = True
        if scene.subject not in scene.mentioned:  # Korean may omit the subject: it counts as mentioned
            scene.mentioned.append(scene.subject)
    elif name not in SCENERY:
        scene.carries_on = scene.genre == "portrait" and name not in ("turn_to", "turn_back")
    scene.previous = tuple(dict.fromkeys(scene.mentioned))
    scene.sentences += 1


def _person(scene: Scene, slot: str) -> int:
    return scene.bound[slot][0]


def _join(scene: Scene, person: int) -> None:
    if person not in scene.cast:
        scene.cast = (*scene.cast, person)


def _move(scene: Scene, person: int, place: int) -> None:
    scene.where[person] = place
    if place != NOWHERE:
        scene.visits[person] = (*scene.visits.get(person, ()), place)
        if scene.first == NOWHERE:
            scene.first = place


def _drop(scene: Scene, owner: int, item: Item) -> None:
    scene.held = tuple(h for h in scene.held if not (h[0] == owner and h[1] == item))


def _get(scene: Scene, owner: int, item: Item, giver: int | None = None, origin: int | None = None) -> None:
    """`owner` now has `item`, and no longer wants or misses such a thing."""
    _drop(scene, owner, item)
    scene.held = (*scene.held, (owner, item, giver, origin))
    if scene.goal.get(owner) == item:
        del scene.goal[owner]
    if scene.lost.get(owner) == item:
        del scene.lost[owner]
        scene.clue.pop(owner, None)


def _new_item(scene: Scene, prefix: str) -> Item:
    return scene.bound[f"{prefix}_quality"], scene.bound[f"{prefix}_thing"]


def _begin(genre: str, section: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.genre, scene.section = genre, section
        for slot, remembered in (
            ("town", "town"),
            ("daytime", "daytime"),
            ("early", "daytime"),
            ("weather", "weather"),
            ("season", "season"),
            ("year", "season"),
        ):
            if slot in scene.bound:
                setattr(scene, remembered, scene.bound[slot])
        if genre == "diary":
            scene.cast, scene.subject = (ME,), ME
        elif genre == "portrait":
            scene.subject = _person(scene, "hero")
            scene.cast = (scene.subject,)
        elif genre == "chat":
            scene.listener = _person(scene, "partner")
            scene.cast = (scene.subject, scene.listener)

    return effect


def _hero(scene: Scene) -> None:
    _join(scene, scene.subject)


def _then(section: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.section = section

    return effect


def _go(slot: str, alone: bool = True) -> Effect:
    def effect(scene: Scene) -> None:
        place = scene.bound[slot]
        movers = (scene.subject,) if alone else (scene.subject, *scene.mates())
        for person in movers:
            _move(scene, person, place)
        scene.section = _NARRATIVE[scene.genre]

    return effect


_NARRATIVE = {"story": "beat", "diary": "beat"}


def _since(scene: Scene) -> None:
    scene.daytime = max(scene.daytime, scene.bound["since"])
    _go("place")(scene)


def _go_with(scene: Scene) -> None:
    place = scene.bound["place"]
    _move(scene, scene.subject, place)
    _move(scene, _person(scene, "mate"), place)


def _go_to_see(scene: Scene) -> None:
    place = scene.bound["place"]
    _move(scene, scene.subject, place)
    _move(scene, _person(scene, "away"), place)


def _home(scene: Scene) -> None:
    scene.where.pop(scene.subject, None)


def _appear(scene: Scene) -> None:
    person = _person(scene, "new")
    _join(scene, person)
    _move(scene, person, scene.here())


def _meet_again(scene: Scene) -> None:
    _move(scene, _person(scene, "away"), scene.here())


def _part(scene: Scene) -> None:
    scene.where.pop(_person(scene, "mate"), None)


def _pick_up(scene: Scene) -> None:
    _get(scene, scene.subject, _new_item(scene, "found"))


def _buy(scene: Scene) -> None:
    _get(scene, scene.subject, _new_item(scene, "found"), origin=scene.here())


def _buy_for(scene: Scene) -> None:
    item = _new_item(scene, "found")
    _get(scene, scene.subject, item, origin=scene.here())
    scene.promise[scene.subject] = (_person(scene, "other"), item)


def _hand_over(scene: Scene, item: Item, receiver: int) -> None:
    giver = scene.subject
    _drop(scene, giver, item)
    if scene.promise.get(giver, (None, None))[1] == item:
        del scene.promise[giver]
    _get(scene, receiver, item, giver=giver)


def _give(scene: Scene) -> None:
    _hand_over(scene, scene.bound["held"], _person(scene, "mate"))


def _keep_promise(scene: Scene) -> None:
    receiver, item = scene.promise[scene.subject]
    _hand_over(scene, item, receiver)


def _lose(scene: Scene) -> None:
    item = scene.bound["held"]
    _drop(scene, scene.subject, item)
    scene.lost[scene.subject] = item
    scene.clue.pop(scene.subject, None)
    if scene.promise.get(scene.subject, (None, None))[1] == item:
        del scene.promise[scene.subject]


def _find(scene: Scene) -> None:
    _get(scene, scene.subject, scene.lost[scene.subject])


def _want(scene: Scene) -> None:
    item = _new_item(scene, "wanted")
    if not any(owner == scene.subject and it == item for owner, it, _, _ in scene.held):
        scene.goal[scene.subject] = item


def _get_goal(scene: Scene) -> None:
    _get(scene, scene.subject, scene.goal[scene.subject], origin=scene.here())


def _seen(scene: Scene) -> None:
    scene.clue[scene.subject] = scene.bound["place"]
    scene.section = "beat"


def _about(slot: str, section: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.topic = scene.bound[slot]
        scene.section = section

    return effect


def _weather(scene: Scene) -> None:
    scene.weather = scene.bound["weather"]


def _time(scene: Scene) -> None:
    scene.daytime = scene.bound["later"]


def _next_day(scene: Scene) -> None:
    scene.daytime, scene.weather = 0, ""


def _tell(*relations: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.told |= {(scene.subject, r) for r in relations}

    return effect


def _tell_one(name: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.owned_told |= {(scene.subject, name, scene.bound[name])}

    return effect


def _first_tell(effect: Effect, *relations: str) -> Effect:
    def both(scene: Scene) -> None:
        _tell(*relations)(scene)
        effect(scene)

    return both


# portraits and guides ------------------------------------------------------------------------------------------------


def _turn_to(scene: Scene) -> None:
    person = _person(scene, "neighbour")
    _join(scene, person)
    scene.subject = person


def _map(scene: Scene) -> None:
    scene.mapped = (*scene.mapped, scene.bound["spot"])


def _describe(kind: str, slot: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.told |= {(scene.bound[slot], kind)}

    return effect


def _describe_here(kind: str) -> Effect:
    def effect(scene: Scene) -> None:
        scene.told |= {(scene.here(), kind)}

    return effect


def _resident(scene: Scene) -> None:
    scene.told |= {(_person(scene, "resident"), "home")}


def _famous(scene: Scene) -> None:
    scene.told |= {(scene.town, "famous")}


# chats ---------------------------------------------------------------------------------------------------------------


def _ask(relation: str) -> Effect:
    """The speaker has asked `relation` of the listener, who answers next."""

    def effect(scene: Scene) -> None:
        scene.asked |= {(scene.listener, relation)}
        scene.section = f"chat_{relation}"

    return effect


def _ask_third(scene: Scene) -> None:
    scene.chat_third = _person(scene, "third")
    scene.section = "chat_third"


def _ask_choice(scene: Scene) -> None:
    scene.options = (scene.bound["food"], scene.bound["food2"])
    scene.section = "chat_choice"


def _invite(scene: Scene) -> None:
    scene.invited = scene.bound["place"]
    scene.section = "chat_invited"


def _refuse(scene: Scene) -> None:
    scene.invited = NOWHERE
    scene.section = "chat_settled"


def _agreed(scene: Scene) -> None:
    scene.invited = NOWHERE
    scene.section = "chat_settled"


def _told_where(scene: Scene) -> None:
    scene.chat_item = None
    scene.section = "chat_react"


def _bought(scene: Scene) -> None:
    item = _new_item(scene, "sold")
    scene.chat_item = (scene.subject, item, scene.bound["shop"])
    scene.section = "chat_react"


EFFECTS: dict[str, Effect] = {
    "open_story": _begin("story", "hero"),
    "open_diary": _begin("diary", "beat"),
    "open_portrait": _begin("portrait", "portrait"),
    "open_guide": _begin("guide", "guide"),
    "open_chat": _begin("chat", "chat_hello"),
    "hero": _hero,
    # stories and diaries
    "intro": _then("beat"), "intro_job": _first_tell(_then("beat"), "job"),
    "intro_home": _first_tell(_then("beat"), "home", "job"), "intro_at": _since,
    "mood": _describe_here("mood"), "fixture": _describe_here("fixture"),
    "appear": _appear, "weather": _weather, "time": _time, "next_day": _next_day,
    "go": _go("place"), "go_eat": _go("place"), "go_idle": _go("place"),
    "go_with": _go_with, "go_to_see": _go_to_see, "home": _home, "go_clue": _go("clue"),
    "meet": _appear, "again": _meet_again, "part": _part,
    "pick_up": _pick_up, "buy": _buy, "buy_for": _buy_for, "give": _give, "keep_promise": _keep_promise,
    "lose": _lose, "find": _find, "want": _want, "get_goal": _get_goal,
    "q_where": _then("answer_where"), "a_where": _go("place", alone=False), "a_unsure": _then("beat"),
    "q_lost": _then("answer_lost"), "a_seen": _seen,
    "q_gift": _about("far_gift", "answer_gift"), "a_gift": _then("beat"),
    "q_origin": _about("bought", "answer_origin"), "a_origin": _then("beat"),
    "q_food": _then("answer_food"), "a_food": _first_tell(_then("beat"), "food"),
    "q_home": _then("answer_home"), "a_home": _first_tell(_then("beat"), "home"),
    # facts, in stories and portraits
    "f_home": _tell("home"), "f_job": _tell("job"), "f_home_job": _tell("home", "job"), "f_food": _tell("food"),
    "f_colour": _tell("colour"), "f_hobby": _tell("hobby"), "f_pet": _tell("pet"), "f_friend": _tell("friend"),
    "f_treasure": _tell("treasure"),
    "l_likes": _tell_one("likes"), "l_dislikes": _tell_one("dislikes"), "l_owns": _tell_one("owns"),
    "l_visited": _tell_one("visited"), "l_haunts": _tell_one("haunts"), "f_trait": _tell("trait"), "f_dream": _tell("dream"),
    "turn_to": _turn_to,
    "g_spot": _map, "g_middle": _map, "g_famous": _famous,
    "g_fixture": _describe("fixture", "bare"), "g_sells": _describe("sells", "silent"),
    "g_mood": _describe("mood", "plain"), "g_creature": _describe("creature", "empty"), "g_resident": _resident,
    # chats
    "c_hello": _then("chat_react"), "c_bye": _then("chat_bye"), "c_end": _then("end"),
    **{f"c_ask_{r}": _ask(r) for r in ("home", "job", "food", "colour", "hobby", "pet", "friend", "treasure")},
    "c_ask_day": _ask("day"), "c_ask_feeling": _ask("feeling"), "c_ask_third": _ask_third,
    "c_ask_choice": _ask_choice, "c_invite": _invite, "c_accept": _then("chat_settled"), "c_refuse": _refuse,
    "c_when": _then("chat_when"), "c_answer_when": _agreed, "c_where_bought": _then("chat_where_bought"),
    "c_told_where": _told_where, "c_love": _ask("love"),
    "c_answer": _then("chat_react"), "c_ate": _then("chat_ate"), "c_told": _then("chat_react"),
    "c_wish": _then("chat_wish"), "c_bought": _bought, "c_sad": _then("chat_pity"),
}  # fmt: skip
