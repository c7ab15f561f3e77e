"""Stimuli that show concepts, each in one way alone: words without a picture, pictures without a text.

Built in: the things, colours, shapes, sizes and moods of the world, as words and phrases in Korean and English, as pictures in
the style `scene` and, of other scenes, in the style `outline`. Places are left out: an outline does not show one.

A file of one's own, a table (.csv, .tsv, .jsonl): concept, style, and text or picture (a path, from the file's folder);
optional group: what a concept has to be told from are the others of its group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gyebo.data.encoding import UTF8, Reading
from gyebo.data.json_rows import json_lines
from gyebo.data.records import Record, Region
from gyebo.data.rows import form_of, table
from gyebo.tasks.task import Row
from gyebo.world import pictures as drawn

GROUPS = ("thing", *drawn.ATTRIBUTES)
WORDS, STYLES = "words", ("scene", "outline")
COLUMNS = ("concept", "style", "text", "picture", "group")
EACH = 16  # stimuli of a concept in each way
ASKED = 8  # pictures of a concept in each style about which a model is asked


@dataclass(frozen=True)
class Stimulus:
    """One stimulus: what it shows, in which way (`style`), as a text or as a picture."""

    group: str
    concept: str
    style: str
    text: str | None = None
    picture: Record | None = None


@dataclass(frozen=True)
class Probes:
    """`names`: of each (group, concept), as it is shown to people. `world`: these are the built-in ones, of this seed."""

    stimuli: tuple[Stimulus, ...]
    names: dict[tuple[str, str], str]
    world: int | None = None


@lru_cache(maxsize=2)
def built_in(each: int = EACH, seed: int = 0) -> Probes:
    """The built-in stimuli, `each` of a concept in each way; each way has scenes of its own (cached)."""
    found: list[Stimulus] = []
    for group in GROUPS:
        for concept, phrases in drawn.saying(group, each, seed=seed_of(seed, 0)).items():
            found += [Stimulus(group, concept, WORDS, text=phrase.text) for phrase in phrases]
        for number, style in enumerate(STYLES, 1):
            for concept, shown in drawn.showing_each(group, each, seed=seed_of(seed, number), style=style).items():
                found += [Stimulus(group, concept, style, picture=record_of(picture)) for picture in shown]
    names = {(group, english): f"{korean} {english}" for group in GROUPS for korean, english in drawn.VALUES[group]}
    return Probes(tuple(found), names, seed)


def seed_of(seed: int, part: int) -> int:
    """The world's seed of a part of the stimuli: far from those of a corpus, so that its scenes are others."""
    return 1_000_003 * (seed + 1) + part


def record_of(picture: drawn.Picture) -> Record:
    """A picture of the world as data readers know it."""
    regions = tuple(Region(region.box, region.label, region.attributes) for region in picture.regions)
    return Record(picture.seed, picture, (), regions)


def others(world: int, group: str) -> Iterator[tuple[str, int, drawn.Picture]]:
    """Pictures of the concepts of a group that are no stimuli: concept, number of the picture, and the picture."""
    for number, style in enumerate(STYLES, 1 + len(STYLES)):
        for concept, shown in drawn.showing_each(group, ASKED, seed=seed_of(world, number), style=style).items():
            for at, picture in enumerate(shown):
                yield concept, at, picture


def from_file(path: Path, reading: Reading = UTF8) -> Probes:
    """The stimuli of a table. ValueError names the row that is no stimulus, and says what the table lacks."""
    found = [_stimulus(path, where, values) for where, values in _rows(path, reading)]
    if not found:
        raise ValueError(f"{path}: no stimuli in it: give rows with {', '.join(COLUMNS[:2])} and text or picture")
    kinds: dict[str, bool] = {}
    for stimulus in found:
        if kinds.setdefault(stimulus.style, stimulus.picture is None) != (stimulus.picture is None):
            raise ValueError(f"{path}: the style {stimulus.style!r} has texts and pictures: a style is one of the two")
    if len(set(kinds.values())) < 2:
        kind, other = ("texts", "pictures") if found[0].picture is None else ("pictures", "texts")
        raise ValueError(f"{path}: has {kind} only, and no {other}: a unit has to answer to both")
    return Probes(tuple(found), {(s.group, s.concept): s.concept for s in found})


def _rows(path: Path, reading: Reading) -> Iterator[Row]:
    form = form_of(path)
    if form not in ("csv", "tsv", "txt", "jsonl"):
        raise ValueError(f"{path}: a table of stimuli ends in .csv, .tsv or .jsonl")
    return json_lines(path, reading) if form == "jsonl" else table(path, reading)


def _stimulus(path: Path, where: str, values: dict[str, object] | str) -> Stimulus:
    if isinstance(values, str):
        raise ValueError(f"{path}: {where}: {values}")
    if unknown := sorted(set(values) - set(COLUMNS)):
        raise ValueError(f"{path}: {where}: unknown column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    given = {name: str(value).strip() for name, value in values.items() if value is not None and str(value).strip()}
    for name in COLUMNS[:2]:
        if name not in given:
            raise ValueError(f"{path}: {where}: no {name}: every stimulus has a {' and a '.join(COLUMNS[:2])}")
    text, picture = given.get("text"), given.get("picture")
    if (text is None) == (picture is None):
        raise ValueError(f"{path}: {where}: has {'neither' if text is None else 'both'} of text and picture: give one of them")
    shown = None if picture is None else Record(f"{path}: {where}", path.parent / picture, ())
    return Stimulus(given.get("group", ""), given["concept"], given["style"], text, shown)
