"""Permutation language modelling (Yang et al. 2019, sections 2.2 to 2.4; the released code for what the paper leaves open).

An order of the tokens is drawn for each text, and each token is predicted from those before it in that order and their places.
Only the last ones of the order are predicted, one in `partial` (partial prediction): short spans, each within a context of
`partial` times its length. All others come first. Their rank is -1: everybody sees them, and they see each other only.

    text     the  cat  sat  on   the  mat  sep  cls
    ranks    -1   1    -1   -1   5    4    2    3        "cat" is predicted first, from "the ... sat on ...";
    labels        cat            the  mat                then "mat", from these and "cat", sep and cls; then "the"

sep and cls keep a random rank and are never predicted; a token that is not predicted does not see them.

What differs from the released code: how many tokens are predicted is drawn so that the share is exact on average also for short
texts; a row holds several whole texts, each with an order of its own, instead of halves of which the second sees the first;
memory, on lanes, is of all tokens of a row, not of its first half. There, half of the rows are read backwards, as published:
memory is what stands before or what follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.batches import IGNORE
from gyebo.data.plan import DOCUMENT, FIRST, SIZE, Plan, stored
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.nn.host import on_host
from gyebo.nn.state import each
from gyebo.objectives.causal import labelled
from gyebo.objectives.framed import Framed, Text, settled_format
from gyebo.objectives.masked import whole_words
from gyebo.objectives.objective import Batch, Draw, Setting
from gyebo.text.boundaries import marks_of

LONGEST = 5  # of a span; its length n has a probability proportional to 1/n
CONTINUOUS = "continuous"


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    format: Literal["auto", "segment-pair", "doc-sentences", "continuous"] = Field(
        "auto",
        description="input format; auto: continuous (documents cut where a row ends) in lanes, else segment-pair if most "
        "documents have several sentences, else doc-sentences",
    )
    partial: int = Field(6, ge=1, description="one in so many tokens is predicted, the last of the order (K); 1: every token")
    spans: Literal["pieces", "words"] = Field(
        "pieces",
        description="what is counted in the spans of 1 to 5 that are predicted: tokens (released code) or whole words (paper)",
    )
    bidirectional: bool | None = Field(
        None, description="in lanes, read half of the rows backwards, so that memory is what follows; by default so"
    )
    window: int = Field(
        256, ge=1, description="number of tokens whose order is drawn together; such windows follow each other (perm_size)"
    )


@dataclass(frozen=True)
class Permutation(Framed):
    """Permutation language modelling for one vocabulary."""

    options: Options
    fields: ClassVar[tuple[BatchField, ...]] = (
        BatchField("input_ids"),
        BatchField("token_type_ids", TOKENS, 0),
        BatchField("ranks", TOKENS, 0),
        BatchField("labels", TOKENS, IGNORE),
    )

    @property
    def parts(self) -> dict[str, bool]:
        """The parts of a model that are trained."""
        return {"lm": True}

    @property
    def both_directions(self) -> bool:
        """Whether half of the lanes are read backwards."""
        return bool(self.options.bidirectional)

    @property
    def extra(self) -> int:
        """Positions that a document fills beyond its tokens, where it is cut into windows: its template's."""
        return len(self.single) - 1 if self.options.format == CONTINUOUS else 0

    def for_evaluation(self) -> Permutation:
        """The same texts with one way of choosing what is predicted, so that all are measured alike; without memory, so that
        long documents are cut between sentences."""
        format = "doc-sentences" if self.options.format == CONTINUOUS else self.options.format
        return replace(self, options=Options(format=format))

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        if self.options.format != CONTINUOUS:
            return super().plan(split, context, seed, folder)
        key = [split.name, CONTINUOUS, self.extra, seed]
        return stored(folder, key, context, lambda: input_formats.continuous(split, context, self.extra, seed))

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """As `Framed.read`; of a continuous text also `template` [4]: which entries of the template, before and after the text,
        belong to the piece, as two ranges."""
        if self.options.format != CONTINUOUS:
            return super().read(split, piece, number)
        document, first, end = int(piece[DOCUMENT]), int(piece[FIRST]), int(piece[FIRST] + piece[SIZE])
        count, lead = int(split.documents["tokens"][document]), self.single.index("$A")
        low, high = (min(max(place - lead, 0), count) for place in (first, end))
        rest = [lead + 1 + max(0, place - lead - count) for place in (first, end)]
        ids = split.read(document, low, high).astype(np.int64)
        return {"input_ids": ids, "template": np.array([min(first, lead), min(end, lead), *rest])}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Frame the text (a pair: divide it or join it with another document's), then draw what is predicted, and the order.

        Gives input_ids, token_type_ids, ranks and labels (the token where it is predicted, else IGNORE), [m] each.
        """
        text = self._window(example) if "template" in example else self.framed(example, rng, draw)
        places = np.flatnonzero(text.real)
        starts = self.marks.word_starts(text.ids[places])
        starts |= np.diff(places, prepend=-2) > 1  # a second segment begins a word
        chosen = places[spans(starts, self._count(len(places), rng), rng, self.options)]
        labels = np.full(len(text.ids), IGNORE)
        labels[chosen] = text.ids[chosen]
        ranks = order(len(text.ids), self.options.window, rng)
        ranks[text.real & (labels == IGNORE)] = -1
        return {"input_ids": text.ids, "token_type_ids": text.types, "ranks": ranks, "labels": labels}

    def _count(self, tokens: int, rng: np.random.Generator) -> int:
        """How many of the tokens are predicted."""
        return min(tokens, max(1, int(tokens / self.options.partial + rng.random())))

    def _window(self, example: Arrays) -> Text:
        """A piece of a document in its template."""
        first, lead, after, end = example["template"].tolist()
        return self._frame((*self.single[first:lead], "$A", *self.single[after:end]), example["input_ids"], None)

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"lm": tokens to predict}."""
        return {"lm": int((batch["labels"] != IGNORE).sum())}

    def projected(self, batch: Batch) -> dict[str, int]:
        """The same."""
        return self.counts(batch)

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"lm": (sum of -ln p of the predicted tokens, 1)}; query stream and output layer are computed for these alone.

        A `state` in the batch is what rows go on from; that after them takes its place, cut off from the gradient.
        """
        given = {name: batch[name] for name in ("state", "backwards") if name in batch}
        hidden, state = encode(model, batch, **given)
        if "state" in batch:
            batch["state"] = each(Tensor.detach, state)
        return {"lm": (cross_entropy_sum(*labelled(model, hidden, batch["labels"], "lm")), 1.0)}


def encode(model: Any, batch: Batch, **given: Any) -> tuple[Tensor, Any]:
    """The hidden vectors [B, T, D] of the query stream where a token is predicted, and the state after each row."""
    found = model.encode(
        batch["input_ids"],
        document_ids=batch["document_ids"],
        token_type_ids=batch["token_type_ids"],
        ranks=batch["ranks"],
        targets=on_host(batch["labels"]) != IGNORE,
        **given,
    )
    return found.hidden, found.state


def order(count: int, window: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rank of each of `count` tokens: random within each window of `window` tokens, and greater than in those before."""
    ranks = np.empty(count, np.int64)
    ranks[np.lexsort((rng.random(count), np.arange(count) // window))] = np.arange(count)
    return ranks


def spans(starts: NDArray[np.bool_], count: int, rng: np.random.Generator, options: Options) -> NDArray[np.int64]:
    """The `count` places of a text to predict: spans of 1 to 5 tokens or words, the rest singly.

    `starts` [n]: where words begin. A span of n stands in a context of `partial` x n further tokens, of which a random part
    comes before it, and begins with a word. Of words there may be fewer, where no further one fits.
    """
    length = len(starts)
    if count >= length:
        return np.arange(length)
    words = np.append(np.flatnonzero(starts), length)
    next_word = np.searchsorted(words, np.arange(length))  # the first word that begins there or later
    sizes = rng.choice(LONGEST, size=count, p=SIZES) + 1
    left = rng.random(count)
    chosen = np.zeros(length, bool)
    at = found = 0
    for size, share in zip(sizes.tolist(), left.tolist()):
        begin = at + int(share * options.partial * size)
        if found == count or begin >= length or words[next_word[begin]] == length:
            break
        word = int(next_word[begin])
        begin, room = int(words[word]), count - found
        if options.spans == "words":
            ends = words[word + 1 : word + 1 + size]
            ends = ends[ends - begin <= room]
            end = int(ends[-1]) if len(ends) else begin
        else:
            end = min(begin + min(size, room), length)
        chosen[begin:end] = True
        found += end - begin
        at = max(end, begin + 1) + options.partial * size - int(share * options.partial * size)
    free = np.flatnonzero(~chosen)
    if options.spans == "pieces":
        chosen[rng.permutation(free)[: count - found]] = True
    elif found < count and np.diff(np.append(np.flatnonzero(starts[free]), len(free))).min(initial=length) <= count - found:
        chosen[free[whole_words(starts[free], count - found, rng)]] = True
    return np.flatnonzero(chosen)


SIZES = 1 / np.arange(1, LONGEST + 1) / (1 / np.arange(1, LONGEST + 1)).sum()


def build(options: Options, setting: Setting) -> Permutation:
    """The objective for a tokenizer and its training text.

    Raises ValueError where pairs are asked of documents of one sentence or of lanes, or documents shall be read across their
    borders.
    """
    if setting.across_documents:
        raise OptionError("‹data.across_documents› has no effect here: each document is read alone; leave it out")
    marks = marks_of(setting.tokenizer)
    if setting.carries and options.format not in ("auto", CONTINUOUS):
        raise OptionError(
            f"‹objective.format›={options.format} packs whole texts into rows, but memory needs documents that go on from row "
            "to row: leave it out, or leave ‹model.memory› out"
        )
    if options.bidirectional is not None and not setting.carries:
        raise OptionError("‹objective.bidirectional› has no effect without memory: set ‹model.memory›, or leave it out")
    format = CONTINUOUS if setting.carries else settled_format(options.format, setting, marks, pairs=True)
    both = options.bidirectional is not False if setting.carries else None
    settled = options.model_copy(update={"format": format, "bidirectional": both})
    return Permutation(settled, setting.tokenizer.role_ids, setting.roles.single, setting.roles.pair, marks)
