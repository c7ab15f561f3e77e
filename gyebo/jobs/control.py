"""What `gyebo generate` steers an answer to, from files: bags of words and attribute models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.generation.pplm import Attribute, Bag, Control, Strength
from gyebo.generation.pplm.settings import settings_from, strength_from
from gyebo.jobs.attribute import open_attribute
from gyebo.jobs.identity import digest
from gyebo.text.bags import match_bag, read_bag
from gyebo.text.tokenizer import Tokenizer

STEMS = "stems"  # the setting that belongs to the bags, not to the update


@dataclass(frozen=True)
class Wanted:
    """What is wished for, as it is typed: `bags` FILE[=STRENGTH], `attributes` DIR:CLASS[=STRENGTH], a `strength` for all, and
    `settings` NAME=VALUE (`gyebo/generation/pplm/settings.py`, and stems=false)."""

    bags: Sequence[str] = ()
    attributes: Sequence[str] = ()
    strength: str | None = None
    settings: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.bags or self.attributes:
            return
        for name, given in (("strength", self.strength), ("settings", self.settings)):
            if given:
                raise OptionError(f"‹{name}› has no effect without ‹bag_of_words› or ‹attribute›: leave it out")

    def __bool__(self) -> bool:
        return bool(self.bags or self.attributes)


NOTHING = Wanted()


def open_control(wanted: Wanted, model: Any, tokenizer: Tokenizer, note: Callable[[str], None] = lambda text: None) -> Control:
    """The control for a model as it was loaded, in its stored precision; `note`: called with words that a vocabulary lacks.

    Raises FileNotFoundError and ValueError for what is wrong with a file, a strength or a setting.
    """
    common = (1.0,) if wanted.strength is None else strength_from(wanted.strength, "strength")
    given = toml.override({}, list(wanted.settings))
    stems = given.pop(STEMS, True)
    if not isinstance(stems, bool):
        raise ValueError(f"{STEMS} must be true or false, but is {stems!r} instead")
    if not stems and not wanted.bags:
        raise ValueError(f"{STEMS}=false has no effect without a bag of words: leave it out")
    settings = settings_from(given, imagines=bool(wanted.attributes))
    found: list[Attribute] = [_bag(text, tokenizer, stems, note) for text in wanted.bags]
    if wanted.attributes:
        owner = {"config": model.config, "tokenizer": tokenizer, "weights": digest(model)}
        for text in wanted.attributes:
            name, strength = _parted(text)
            folder, colon, label = name.rpartition(":")
            if not colon:
                raise OptionError(f"‹attribute› needs DIR:CLASS, but got {text!r}")
            found.append(open_attribute(folder, label, strength, **owner))
    return Control(tuple(found), settings, common)


def _bag(text: str, tokenizer: Tokenizer, stems: bool, note: Callable[[str], None]) -> Bag:
    path, strength = _parted(text)
    matched = match_bag(read_bag(path), tokenizer, stems=stems)
    if not matched.weights:
        raise ValueError(f"{path}: none of its {len(matched.missing):,} words is a token of this model's vocabulary")
    if matched.missing:
        shown = ", ".join(matched.missing[:10]) + (", ..." if len(matched.missing) > 10 else "")
        note(f"{path}: {len(matched.missing):,} words are no token of this model's vocabulary and are left out: {shown}")
    return Bag(matched.weights, strength)


def _parted(text: str) -> tuple[str, Strength]:
    """NAME=STRENGTH in parts, 1 without a strength; the name of a file may itself have a "="."""
    name, equals, strength = text.rpartition("=")
    if not equals or Path(text).exists():
        return text, 1.0
    return name, strength_from(strength, f"the strength of {name}")
