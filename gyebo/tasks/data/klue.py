"""KLUE's formats (Park et al. 2021, KLUE-benchmark/KLUE, v1.1) and its label lists, in the order of the reference code.

Each reader also takes the rows of the hub's `klue/klue`, which names some columns differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gyebo.tasks.data.files import Spans
from gyebo.tasks.task import Example, MissingColumn, class_name, look, need, text_of

TOPICS = ("정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠")
ENTITY_TYPES = ("PS", "LC", "OG", "DT", "TI", "QT")
ENTITY_TAGS = (*(f"{begin}-{kind}" for kind in ENTITY_TYPES for begin in "BI"), "O")
NO_RELATION = "no_relation"
RELATIONS = (
    NO_RELATION, "org:dissolved", "org:founded", "org:place_of_headquarters", "org:alternate_names", "org:member_of",
    "org:members", "org:political/religious_affiliation", "org:product", "org:founded_by", "org:top_members/employees",
    "org:number_of_employees/members", "per:date_of_birth", "per:date_of_death", "per:place_of_birth", "per:place_of_death",
    "per:place_of_residence", "per:origin", "per:employee_of", "per:schools_attended", "per:alternate_names", "per:parents",
    "per:children", "per:siblings", "per:spouse", "per:other_family", "per:colleagues", "per:product", "per:religion",
    "per:title",
)  # fmt: skip
# The order matters: the metric treats those from the 16th on as one class (`gyebo/tasks/metrics/klue.py`).
DEPENDENCIES = (
    "NP", "NP_AJT", "VP", "NP_SBJ", "VP_MOD", "NP_OBJ", "AP", "NP_CNJ", "NP_MOD", "VNP", "DP", "VP_AJT", "VNP_MOD", "NP_CMP",
    "VP_SBJ", "VP_CMP", "VP_OBJ", "VNP_CMP", "AP_MOD", "X_AJT", "VP_CNJ", "VNP_AJT", "IP", "X", "X_SBJ", "VNP_OBJ", "VNP_SBJ",
    "X_OBJ", "AP_AJT", "L", "X_MOD", "X_CNJ", "VNP_CNJ", "X_CMP", "AP_CMP", "AP_SBJ", "R", "NP_SVJ",
)  # fmt: skip


def entities(values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
    """NER: a block of characters with tags (spaces included), or the hub's `tokens` and `ner_tags`."""
    if "lines" in values:
        lines = values["lines"]
        if wrong := next((line for line in lines if len(line) != 2 or not line[0]), None):
            raise ValueError(f"{chr(9).join(wrong)!r} is not CHARACTER<TAB>TAG")
        characters, tags = [line[0] for line in lines], [class_name(line[1]) for line in lines]
        name = values["comment"][0] if values["comment"] else where
    else:
        characters, tags = need(values, ("tokens",)), need(values, ("ner_tags",))
        name = where
    if wrong := next((c for c in characters if len(c) != 1), None):
        raise ValueError(f"{wrong!r} is not one character: KLUE tags each character")
    yield Example(id=name, text="".join(characters), tags=tuple(tags) if labelled or all(tags) else ())


def relations(values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
    """RE: the sentence as text; `answers` are the subject and the object. End indices in the file are inclusive."""
    text = text_of(values, ("sentence",))
    label = need(values, ("label",)) if labelled else look(values, ("label",))
    label = label if label is None else class_name(label)
    if labelled and not label:
        raise ValueError("label is empty")
    places = tuple(_entity(values, name, text) for name in ("subject_entity", "object_entity"))
    yield Example(id=_guid(values, where), text=text, label=label or None, answers=places)


def _entity(values: dict[str, Any], name: str, text: str) -> tuple[int, str]:
    entity = need(values, (name,))
    if not isinstance(entity, dict) or not {"word", "start_idx", "end_idx"} <= set(entity):
        raise ValueError(f"{name} has no word, start_idx and end_idx")
    start, end = int(entity["start_idx"]), int(entity["end_idx"]) + 1
    if start < 0 or end <= start or end > len(text):
        raise ValueError(f"{name} covers characters {start} to {end - 1}, but the sentence has {len(text)}")
    if text[start:end] != entity["word"]:
        raise ValueError(f"{name} is {entity['word']!r}, but characters {start} to {end - 1} are {text[start:end]!r}")
    return start, text[start:end]


def dependencies(values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
    """DP: a block of words (number, form, lemmas, parts of speech, head, relation), or the hub's columns of these."""
    if "lines" in values:
        short = 6 if labelled else 4
        if wrong := next((line for line in values["lines"] if len(line) < short), None):
            raise ValueError(f"{chr(9).join(wrong)!r} is not INDEX, WORD_FORM, LEMMA, POS, HEAD, DEPREL")
        columns = [list(column) for column in zip(*([*line, *[""] * (6 - len(line))] for line in values["lines"]))]
        name = values["comment"][0] if values["comment"] else where
    else:
        columns = [need(values, (key,)) for key in ("index", "word_form", "lemma", "pos", "head", "deprel")]
        name = _guid(values, where)
    numbers, words, _, pos, heads, labels = columns
    known = labelled or all(str(head) for head in heads)
    try:
        places = tuple(int(head) for head in heads) if known else ()
    except ValueError:
        raise ValueError(f"a head among {' '.join(map(str, heads))} is not a number") from None
    if [int(n) for n in numbers] != list(range(1, len(words) + 1)):
        raise ValueError(f"words are numbered {' '.join(map(str, numbers))}, not 1 to {len(words)}")
    if wrong := next((head for head in places if not 0 <= head <= len(words)), None):
        raise ValueError(f"the head {wrong} is none of the {len(words)} words (0 = root)")
    yield Example(
        id=name,
        text=" ".join(words),
        words=tuple(words),
        heads=places,
        relations=tuple(map(class_name, labels)) if known else (),
        pos=tuple(pos),
    )


questions = Spans("context", "question", "answers")

SLOTS_BETWEEN = " $$ "  # the slots of a state as text
NO_SLOT = "none"


def dialogue_states(values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
    """DST: one example for each turn of the user: the turns up to it, one per line, and the state after it."""
    turns = need(values, ("dialogue",))
    history: list[str] = []
    number, guid = 0, _guid(values, where)
    for turn in turns:
        if not isinstance(turn, dict) or not {"role", "text"} <= set(turn):
            raise ValueError("a turn has no role and text")
        history.append(f"{turn['role']}: {turn['text']}")
        if turn["role"] == "user":
            state = turn.get("state")
            if state is None and labelled:
                raise MissingColumn(f"no column 'state' in a user's turn; available: {', '.join(turn)}")
            yield Example(
                id=f"{guid}-{number}",
                text="\n".join(history),
                label=None if state is None else SLOTS_BETWEEN.join(sorted(state)) or NO_SLOT,
                state=tuple(state or ()),
                group=guid,
            )
            number += 1


def _guid(values: dict[str, Any], where: str) -> str:
    found = look(values, ("guid",))
    return where if found is None else str(found)
