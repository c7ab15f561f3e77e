"""Span corruption (Raffel et al. 2020, sections 3.1.4 and 3.3): spans are taken out of a text, and the model writes them.

    text      Thank you for inviting me to your party last week .
    source    Thank you <extra_id_0> me to your party <extra_id_1> week . </s>
    target    <extra_id_0> for inviting <extra_id_1> last </s>

Each span leaves a sentinel, a token that occurs once in the text; in the target it stands before what was taken. As in the
released code, not in the paper's figure, no sentinel ends the target: there one stands for every kept span, and the text ends
with a span that is taken out.

    noise    round(rate * n) of n tokens, in round(noise / span) spans; both what is taken and what is kept is divided at
             random, all divisions being equally likely; the text starts with a kept span and ends with one that is taken
    lengths  a text is as long as its source may be: 568 tokens give a source of 512 and a target of 114

What differs from the released code: a text is a document, or a part of one, instead of 568 tokens across the borders of
documents; several share a row, and attention stays inside each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.plan import DOCUMENT, FIRST, ROOM, SIZE, Plan, pack, stored
from gyebo.data.shards import Split
from gyebo.data.streams import SOURCE, TARGET, Arrays, BatchField
from gyebo.objectives.objective import Defaults, Draw, Setting
from gyebo.objectives.source_target import FIELDS, TargetLoss

Ids = NDArray[np.int64]
FEWEST = 2  # tokens of a text from which something can be taken
SPARE = 2.0  # places of a row's target, as a share of those that one text needs that fills the source: short texts need more


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    rate: float = Field(0.15, gt=0, lt=1, description="share of the tokens that are taken out")
    span: float = Field(3.0, ge=1, description="mean length of a span that is taken out, in tokens")


@dataclass(frozen=True)
class Noise:
    """How many tokens are taken out of a text, in how many spans: `rate`, `span` as in `Options`."""

    rate: float = 0.15
    span: float = 3.0

    def counts(self, length: Any) -> tuple[Any, Any]:
        """Tokens that are taken out and spans, of texts of these lengths, a number or an array; none of a text of one token."""
        length = np.asarray(length)
        noise = np.clip(np.round(length * self.rate), 1, np.maximum(length - 1, 1)).astype(np.int64)
        spans = np.maximum(np.round(noise / self.span), 1).astype(np.int64)
        noise = np.where(length < FEWEST, 0, noise)
        return noise, np.minimum(np.minimum(spans, noise), length - noise)

    def lengths(self, length: Any) -> tuple[Any, Any]:
        """Lengths of source and target, the end of both included."""
        noise, spans = self.counts(length)
        return length - noise + spans + 1, noise + spans + 1

    def longest(self, most: int) -> int:
        """The longest text whose source has at most `most` tokens. Raises OptionError where none of `FEWEST` tokens has."""
        length = most
        if self.lengths(FEWEST)[0] > most:
            raise OptionError(
                f"‹context›={most} is too short for a text of {FEWEST} tokens, its sentinels and its end: increase it"
            )
        while self.lengths(length)[0] > most:
            length -= 1
        while self.lengths(length + 1)[0] <= most:
            length += 1
        return length

    def mask(self, length: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """[length], True where a token is taken out."""
        noise, spans = (int(count) for count in self.counts(length))
        if not spans:
            return np.zeros(length, bool)
        sizes = np.stack([_divided(length - noise, spans, rng), _divided(noise, spans, rng)], 1)  # kept and taken in turn
        return np.repeat(np.tile([False, True], spans), sizes.flatten())


def _divided(items: int, parts: int, rng: np.random.Generator) -> Ids:
    """Sizes [parts] of non-empty parts that `items` are divided into, every division equally likely."""
    borders = np.sort(rng.choice(items - 1, parts - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], borders, [items]]))


def replaced(ids: Ids, taken: NDArray[np.bool_], sentinels: Ids) -> Ids:
    """The ids [n] with one sentinel, in their order, in place of each span of those that are `taken` [n]."""
    begins = taken & ~np.concatenate([[False], taken[:-1]])
    shown = ids.copy()
    shown[begins] = sentinels[: int(begins.sum())]
    return shown[~taken | begins]


@dataclass(frozen=True)
class SpanCorruption(TargetLoss, Defaults):
    """Span corruption for one vocabulary. `sentinels`: their ids, the first that is used first; `start`: the decoder's first
    id; `end`: of source and target; `fixed`: what is taken out of a text is a function of its place in the corpus alone."""

    noise: Noise = Noise()
    sentinels: tuple[int, ...] = ()
    start: int = 0
    end: int = 0
    fixed: bool = False

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """What stands in a batch."""
        return FIELDS

    def describe(self) -> str:
        """What is learned, in a line."""
        return f"spans that were taken out: {self.noise.rate:.0%} of the tokens, in spans of {self.noise.span:g} on average"

    def for_evaluation(self) -> SpanCorruption:
        """The published noise, always at the same places of a text, so that all ways of corrupting are measured alike."""
        return replace(self, noise=Noise(), fixed=True)

    def lengths(self, context: int) -> dict[str, int]:
        """A source of the context, and room for the targets of what it holds."""
        return {SOURCE.name: context, TARGET.name: int(SPARE * self.noise.lengths(self.longest(context))[1])}

    def longest(self, context: int) -> int:
        """Tokens of the longest text of a row. Raises OptionError where it would need more sentinels than there are."""
        longest = self.noise.longest(context)
        _, spans = self.noise.counts(longest)
        if spans > len(self.sentinels):
            raise OptionError(
                f"‹context›={context}: a text of {longest} tokens has {spans} spans, but the tokenizer has "
                f"{len(self.sentinels)} sentinels: use a shorter context, or a larger ‹objective.span›"
            )
        return longest

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        key = [split.name, "spans", self.noise.rate, self.noise.span, seed]
        lengths = self.lengths(context)
        return stored(folder, key, context, lambda: self._plan(split, context, seed), streams=(SOURCE, TARGET), lengths=lengths)

    def held_out(self, split: Split, context: int) -> Plan:
        """Every text once."""
        return self._plan(split, context, 0)

    def _plan(self, split: Split, context: int, seed: int) -> Plan:
        pieces = input_formats.windows(split, self.longest(context), 0)
        pieces = pieces[pieces[:, SIZE] >= FEWEST]
        if not len(pieces):
            raise ValueError(f"no text of the {split.name} part has {FEWEST} tokens, so nothing can be taken out")
        table = np.column_stack([pieces[:, :ROOM], *self.noise.lengths(pieces[:, SIZE])])
        return pack(table, context, np.random.default_rng([seed, 1]), (SOURCE, TARGET), self.lengths(context))

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids` [n], and where they stand: `document`, `first` [1] each."""
        document, first, size = int(piece[DOCUMENT]), int(piece[FIRST]), int(piece[SIZE])
        ids = split.read(document, first, first + size).astype(np.int64)
        return {"input_ids": ids, "document": np.array([document]), "first": np.array([first])}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Source and target of a text."""
        if self.fixed:
            rng = np.random.default_rng([int(example["document"][0]), int(example["first"][0])])
        source, target = self.source_and_target(example["input_ids"], rng)
        return {
            "input_ids": np.append(source, self.end),
            "decoder_input_ids": np.concatenate([[self.start], target]),
            "labels": np.append(target, self.end),
        }

    def source_and_target(self, ids: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """What is kept, and what is taken out, each with sentinels for the other; without their ends."""
        taken, sentinels = self.noise.mask(len(ids), rng), np.array(self.sentinels, np.int64)
        return replaced(ids, taken, sentinels), replaced(ids, ~taken, sentinels)


def build(options: Options, setting: Setting) -> SpanCorruption:
    """The objective for a tokenizer.

    Raises ValueError where the tokenizer has no sentinels or no end token, or documents shall be read across their borders.
    """
    if setting.across_documents:
        raise OptionError(
            "‹data.across_documents› has no effect here: spans are taken out of each document alone; leave it out"
        )
    tokenizer = setting.tokenizer
    if not tokenizer.sentinel_ids:
        raise ValueError(
            "span corruption needs sentinels (<extra_id_0>, <extra_id_1> ...), but the tokenizer has none: start from a model "
            "that has them, or from fresh weights, for which gyebo adds them"
        )
    if "eos" not in tokenizer.role_ids:
        raise ValueError("span corruption needs an end token (eos), but the tokenizer has none: train a tokenizer with gyebo")
    return SpanCorruption(
        "lm",
        noise=Noise(options.rate, options.span),
        sentinels=tokenizer.sentinel_ids,
        start=setting.start_id,
        end=tokenizer.role_ids["eos"],
    )
