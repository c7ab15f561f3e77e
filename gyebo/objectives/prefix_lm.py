"""Prefix language modelling (Liu et al. 2018; Raffel et al. 2020, section 3.1.4): a text is divided at a random place, and the
model writes the second part, given the first.

    source    Thank you for inviting            every place between two tokens is equally likely
    target    me to your party last week . </s>

An encoder-decoder's source ends with the end token. A decoder alone reads the text as it stands, and all of the first part is
seen from everywhere (`gyebo/objectives/source_target.py`); with `prefix` false it reads from left to right, as a language model
that learns from second parts only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.plan import ROOM, SIZE, Plan, pack
from gyebo.data.shards import Split
from gyebo.data.streams import streams_of
from gyebo.objectives.objective import Setting
from gyebo.objectives.source_target import DECODER, ENCODER_DECODER, Ids, SourceTarget, architecture_of

FEWEST = 2  # tokens of a text that can be divided


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid")
    prefix: bool | None = Field(
        None, description="of a decoder alone: all of the source is seen from everywhere, as by default; or false"
    )


@dataclass(frozen=True)
class PrefixLm(SourceTarget):
    """Prefix language modelling for one vocabulary."""

    @property
    def shortens(self) -> bool:
        """The plan knows how long the two parts of a text are together, not how long each is."""
        return self.architecture == ENCODER_DECODER

    def describe(self) -> str:
        """What is learned, in a line."""
        how = "read from left to right" if self.architecture == DECODER else "seen from everywhere"
        return f"the second part of a text, from the first, which is {how}"

    def for_evaluation(self) -> PrefixLm:
        """Every text divided always at the same place."""
        return replace(self, fixed=True)

    def lengths(self, context: int) -> dict[str, int]:
        """Either part of a text may be nearly all of it."""
        return {stream.name: context for stream in streams_of(self.fields)}

    @property
    def planned_by(self) -> tuple[Any, ...]:
        """Whether there are two streams."""
        return "prefix", self.architecture == ENCODER_DECODER

    def rows(self, split: Split, context: int, seed: int) -> Plan:
        """A text of n tokens has at most n places in each stream: n - 1 and an end, or in one stream all tokens."""
        pieces, streams = input_formats.texts(split, context, FEWEST), streams_of(self.fields)
        table = np.column_stack([pieces[:, :ROOM], *[pieces[:, SIZE]] * len(streams)])
        return pack(table, context, np.random.default_rng([seed, 1]), streams, self.lengths(context))

    def source_and_target(self, ids: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """The first part of a text and the second, with its end."""
        border = int(rng.integers(1, len(ids)))
        source, target = ids[:border], np.append(ids[border:], self.end)
        return np.append(source, self.end) if self.architecture == ENCODER_DECODER else source, target


def build(options: Options, setting: Setting) -> PrefixLm:
    """The objective for a tokenizer.

    Raises ValueError where the tokenizer has no end token, or documents shall be read across their borders.
    """
    if setting.across_documents:
        raise OptionError("‹data.across_documents› has no effect here: each document is divided alone; leave it out")
    ids: dict[str, Any] = setting.tokenizer.role_ids
    if "eos" not in ids:
        raise ValueError("a prefix language model needs an end token (eos), but the tokenizer has none: train one with gyebo")
    architecture = architecture_of(setting, options.prefix, usual=True)
    return PrefixLm("lm", architecture=architecture, start=setting.start_id, end=ids["eos"])
