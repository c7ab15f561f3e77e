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

A decoder alone learns the same (`gyebo/objectives/source_target.py`): its row is the source, then the target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.plan import ROOM, SIZE, Plan, pack
from gyebo.data.shards import Split
from gyebo.data.streams import streams_of
from gyebo.objectives.objective import Setting
from gyebo.objectives.source_target import ENCODER_DECODER, Ids, SourceTarget, architecture_of

FEWEST = 2  # tokens of a text from which something can be taken
SPARE = 2.0  # places of a row's target, as a share of those that one text needs that fills the source: short texts need more


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    rate: float = Field(0.15, gt=0, lt=1, description="share of the tokens that are taken out")
    span: float = Field(3.0, ge=1, description="mean length of a span that is taken out, in tokens")
    prefix: bool | None = Field(
        None, description="of a decoder alone: all of its source is seen from everywhere; by default it is read left to right"
    )


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
class SpanCorruption(SourceTarget):
    """Span corruption for one vocabulary. `sentinels`: their ids, the first that is used first."""

    noise: Noise = Noise()
    sentinels: tuple[int, ...] = ()

    def describe(self) -> str:
        """What is learned, in a line."""
        noise = f"{self.noise.rate:.0%} of the tokens, in spans of {self.noise.span:g} on average"
        return f"spans that were taken out: {noise} ({self.architecture})"

    def for_evaluation(self) -> SpanCorruption:
        """The published noise, always at the same places of a text, so that all ways of corrupting are measured alike."""
        return replace(self, noise=Noise(), fixed=True)

    def sizes(self, length: Any) -> tuple[Any, ...]:
        """Places in each stream of texts of these lengths, a number or an array."""
        source, target = self.noise.lengths(length)
        return (source, target) if self.architecture == ENCODER_DECODER else (source + target - 1,)

    def lengths(self, context: int) -> dict[str, int]:
        """A source of the context, and room for the targets of what it holds; or both in one."""
        first, *others = streams_of(self.fields)
        return {first.name: context} | {other.name: int(SPARE * self.sizes(self.longest(context))[1]) for other in others}

    def longest(self, context: int) -> int:
        """Tokens of the longest text of a row. Raises OptionError where it would need more sentinels than there are, or none of
        `FEWEST` tokens has room."""
        lengths = np.arange(FEWEST, 1 + max(FEWEST, int(context / (1 - self.noise.rate))))
        fitting = lengths[self.sizes(lengths)[0] <= context]
        if not len(fitting):
            raise OptionError(f"‹context›={context} is too short for {FEWEST} tokens, their sentinels and the end: increase it")
        longest = int(fitting[-1])
        _, spans = self.noise.counts(longest)
        if spans > len(self.sentinels):
            raise OptionError(
                f"‹context›={context}: a text of {longest} tokens has {spans} spans, but the tokenizer has "
                f"{len(self.sentinels)} sentinels: use a shorter context, or a larger ‹objective.span›"
            )
        return longest

    @property
    def planned_by(self) -> tuple[Any, ...]:
        """The noise, and whether there are two streams."""
        return "spans", self.architecture == ENCODER_DECODER, self.noise.rate, self.noise.span

    def rows(self, split: Split, context: int, seed: int) -> Plan:
        """Texts as long as their source may be."""
        pieces = input_formats.texts(split, self.longest(context), FEWEST)
        table = np.column_stack([pieces[:, :ROOM], *self.sizes(pieces[:, SIZE])])
        return pack(table, context, np.random.default_rng([seed, 1]), streams_of(self.fields), self.lengths(context))

    def source_and_target(self, ids: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """What is kept, and what is taken out, each with sentinels for the other, and its end."""
        taken, sentinels = self.noise.mask(len(ids), rng), np.array(self.sentinels, np.int64)
        source, target = replaced(ids, taken, sentinels), replaced(ids, ~taken, sentinels)
        return np.append(source, self.end), np.append(target, self.end)


def build(options: Options, setting: Setting) -> SpanCorruption:
    """The objective for a tokenizer.

    Raises ValueError where the tokenizer has no sentinels or no end token, or documents shall be read across their borders.
    """
    if setting.across_documents:
        raise OptionError("‹data.across_documents› has no effect here: each document is corrupted alone; leave it out")
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
        architecture=architecture_of(setting, options.prefix, usual=False),
        start=setting.start_id,
        end=tokenizer.role_ids["eos"],
        noise=Noise(options.rate, options.span),
        sentinels=tokenizer.sentinel_ids,
    )
