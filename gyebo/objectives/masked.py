"""Masked language modelling and next-sentence prediction (Devlin et al. 2019, section 3.1 and A.1; Liu et al. 2019, section 4).

    15 % of the tokens are to be predicted; of these 80 % show the mask, 10 % a random token, 10 % themselves.

Four input formats (`gyebo/data/input_formats.py`). In pairs, the second segment is the true next one or one of another
document, half of the time each; whether it is can be a second thing to predict (label 0 = true next, 1 = random).

What differs from the published scripts: how many tokens are predicted is drawn so that the share is exact on average also for
short texts (as fairseq does; Google rounds); a random token is never a role; a pair's division and its random segment are drawn
anew each epoch, so what a random segment displaces is read in another epoch instead of in the next row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.batches import IGNORE
from gyebo.data.plan import DOCUMENT, FIRST, ROOM, SIZE, Plan, stored
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Defaults, Draw, Setting
from gyebo.text.boundaries import Marks, marks_of
from gyebo.text.roles import split_piece

PAIRS = ("segment-pair", "sentence-pair")
TRUE_NEXT, RANDOM_NEXT = 0, 1
SECOND_SEGMENTS = ("next", "random")  # by label
ATTEMPTS = 100  # to draw another document; a corpus where that fails has hardly more than one


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    format: Literal["auto", "segment-pair", "sentence-pair", "full-sentences", "doc-sentences"] = Field(
        "auto", description="input format; auto: segment-pair if most documents have several sentences, else doc-sentences"
    )
    next_sentence: bool | None = Field(None, description="next-sentence prediction; by default with pair formats")
    rate: float = Field(0.15, gt=0, lt=1, description="share of tokens to predict")
    mask_share: float = Field(0.8, ge=0, le=1, description="share of these replaced by the mask token")
    random_share: float = Field(0.1, ge=0, le=1, description="share of these replaced by a random token")
    whole_words: bool = Field(False, description="whole-word masking (words between white space)")
    static_copies: int | None = Field(
        None, gt=0, description="static masking: number of fixed maskings per text; by default dynamic masking"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Options:
        if self.mask_share + self.random_share > 1:
            raise ValueError(f"mask_share and random_share are {self.mask_share + self.random_share:g} together, more than 1")
        if self.next_sentence and self.format not in ("auto", *PAIRS):
            raise ValueError(f"next_sentence needs pairs, but format is {self.format!r}: use one of {', '.join(PAIRS)}")
        return self


@dataclass(frozen=True)
class Masked(Defaults):
    """Masked language modelling for one vocabulary. `ids`: role -> id; `single`, `pair`: the family's templates."""

    options: Options
    ids: dict[str, int]
    single: tuple[str, ...]
    pair: tuple[str, ...]
    marks: Marks
    pieces: NDArray[np.int64]  # ids that a random piece is drawn from

    @property
    def next_sentence(self) -> bool:
        """Whether the second term is learned."""
        return bool(self.options.next_sentence)

    @property
    def one_document(self) -> bool:
        """Whether attention runs over the whole row."""
        return self.options.format == "full-sentences"

    @property
    def repeats(self) -> int | None:
        """Static masking is dynamic masking that comes again."""
        return self.options.static_copies

    @property
    def shortens(self) -> bool:
        """Whether rows may have fewer tokens than the plan says: pairs are divided, and joined with parts of other texts."""
        return self.options.format in PAIRS

    @property
    def parts(self) -> dict[str, bool]:
        """The parts of a model that are trained."""
        return {"mlm": True, "nsp": self.next_sentence, "pooler": self.next_sentence}

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """What stands in a batch."""
        types = [BatchField("token_type_ids", TOKENS, 0)] if self.options.format in PAIRS else []
        pairs = [BatchField("next_sentence", TOKENS, IGNORE, names=SECOND_SEGMENTS)] if self.next_sentence else []
        return BatchField("input_ids"), BatchField("labels", TOKENS, IGNORE), *types, *pairs

    def describe(self) -> str:
        """The options, as they were settled."""
        return ", ".join(f"{name} {value}" for name, value in self.options.model_dump(exclude_none=True).items())

    def for_evaluation(self) -> Masked:
        """The same texts with plain masks of single tokens, so that all ways of masking are measured alike."""
        plain = {"whole_words": False, "static_copies": None, "rate": 0.15, "mask_share": 0.8, "random_share": 0.1}
        return replace(self, options=self.options.model_copy(update=plain))

    # -- which texts share a row

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        key = [split.name, self.options.format, len(self.single), len(self.pair), seed]
        return stored(folder, key, context, lambda: self._plan(split, context, seed))

    def held_out(self, split: Split, context: int) -> Plan:
        """Every text once, in the training's format."""
        return self._plan(split, context, 0)

    def _plan(self, split: Split, context: int, seed: int) -> Plan:
        starts = self.marks.sentence_starts
        match self.options.format:
            case "segment-pair":
                return input_formats.segment_pair(split, context, special=len(self.pair) - 2, starts=starts, seed=seed)
            case "sentence-pair":
                return input_formats.sentence_pair(split, context, special=len(self.pair) - 2, starts=starts, seed=seed)
            case "full-sentences":
                return input_formats.full_sentences(split, context, starts)
            case _:
                return input_formats.doc_sentences(split, context, special=len(self.single) - 1, starts=starts, seed=seed)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids` [n] without roles; `document`, `room` and `number` (in its row) [1] each."""
        document, first, size = int(piece[DOCUMENT]), int(piece[FIRST]), int(piece[SIZE])
        ids = split.read(document, first, first + size).astype(np.int64)
        facts = {"document": document, "room": int(piece[ROOM]), "number": number}
        return {"input_ids": ids, **{name: np.array([value]) for name, value in facts.items()}}

    # -- corruption

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Frame the text (a pair: divide it or join it with another document's), then mask tokens.

        Gives input_ids and labels [m] (the original where it is to be predicted, else IGNORE), for pairs token_type_ids [m],
        with next-sentence prediction next_sentence [m] (its label at the first position).
        """
        if self.options.format not in PAIRS:
            continued = self.one_document and example["number"][0] > 0
            template = self.single[self.single.index("$A") :] if continued else self.single
            ids, _, real = self._frame(template, example["input_ids"], None)
            return self._hide(ids, real, rng)
        first, second, label = self._divide(example, rng, draw)
        first, second = _shorten(first, second, int(example["room"][0]) - (len(self.pair) - 2), rng)
        ids, types, real = self._frame(self.pair, first, second)
        fields = self._hide(ids, real, rng) | {"token_type_ids": types}
        if self.next_sentence:
            fields["next_sentence"] = np.full(len(ids), IGNORE)
            fields["next_sentence"][0] = label
        return fields

    def _frame(
        self, template: tuple[str, ...], first: NDArray[np.int64], second: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Ids, token types, and which positions are text [m] each."""
        texts = {"$A": first} if second is None else {"$A": first, "$B": second}
        parts = [(name, type) for name, type in map(split_piece, template)]
        ids = [texts[name] if name in texts else np.array([self.ids[name]]) for name, _ in parts]
        sizes = [len(part) for part in ids]
        types = np.repeat([type for _, type in parts], sizes)
        real = np.repeat([name in texts for name, _ in parts], sizes)
        return np.concatenate(ids), types, real

    def _divide(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> tuple[NDArray, NDArray, int]:
        """Two segments and whether the second is the true next one."""
        ids = example["input_ids"]
        borders = np.flatnonzero(self.marks.sentence_starts(ids))[1:]
        border = int(rng.choice(borders)) if len(borders) else len(ids)
        if len(borders) and rng.random() < 0.5:
            return ids[:border], ids[border:], TRUE_NEXT
        for _ in range(ATTEMPTS):
            other = draw(rng)
            if other["document"][0] != example["document"][0] and len(other["input_ids"]):
                break
        else:
            raise ValueError("hardly any other document for random next sentences: use format doc-sentences")
        starts = np.flatnonzero(self.marks.sentence_starts(other["input_ids"]))
        if self.options.format == "sentence-pair":
            number = int(rng.integers(len(starts)))
            end = starts[number + 1] if number + 1 < len(starts) else None
            return ids[:border], other["input_ids"][starts[number] : end], RANDOM_NEXT
        room = int(example["room"][0]) - (len(self.pair) - 2)
        start = int(rng.choice(starts))
        return ids[:border], other["input_ids"][start : start + max(1, room - border)], RANDOM_NEXT

    def _hide(self, ids: NDArray[np.int64], real: NDArray[np.bool_], rng: np.random.Generator) -> Arrays:
        places = np.flatnonzero(real)
        count = min(len(places), max(1, int(self.options.rate * len(places) + rng.random())))
        if self.options.whole_words:
            starts = self.marks.word_starts(ids[places])
            starts |= np.diff(places, prepend=-2) > 1  # a second segment begins a word
            chosen = places[_words(starts, count, rng)]
        else:
            chosen = rng.permutation(places)[:count]
        labels = np.full(len(ids), IGNORE)
        labels[chosen] = ids[chosen]
        u = rng.random(len(chosen))
        shown = np.where(u < self.options.mask_share, self.ids["mask"], ids[chosen])
        random = (u >= self.options.mask_share) & (u < self.options.mask_share + self.options.random_share)
        shown[random] = self.pieces[rng.integers(len(self.pieces), size=int(random.sum()))]
        inputs = ids.copy()
        inputs[chosen] = shown
        return {"input_ids": inputs, "labels": labels}

    # -- loss

    def counts(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"mlm": tokens to predict, "nsp": pairs}."""
        found = {"mlm": int((batch["labels"] != IGNORE).sum())}
        if self.next_sentence:
            found["nsp"] = int((batch["next_sentence"] != IGNORE).sum())
        return found

    def projected(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """The same: each term has a head of its name."""
        return self.counts(batch)

    def loss(self, model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, float]]:
        """{"mlm": (sum of -ln p of the masked tokens, 1), "nsp": (of the pairs' labels, 1)}; only masked positions are
        projected on the vocabulary."""
        hidden = encode(model, batch)
        terms = {"mlm": (cross_entropy_sum(*labelled(model, hidden, batch["labels"], "mlm")), 1.0)}
        if self.next_sentence:
            wanted = batch["next_sentence"] != IGNORE
            logits = model.project(hidden[wanted], "nsp").float()
            terms["nsp"] = (F.cross_entropy(logits, batch["next_sentence"][wanted], reduction="sum"), 1.0)
        return terms


def encode(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The hidden vectors [B, T, D] of a batch, with what the model takes of it."""
    told_apart = model.has_segments and model.config.segments > 1
    types = {"token_type_ids": batch["token_type_ids"]} if told_apart and "token_type_ids" in batch else {}
    return model.encode(batch["input_ids"], document_ids=batch["document_ids"], **types).hidden


def build(options: Options, setting: Setting) -> Masked:
    """The objective for a tokenizer and its training text.

    Raises ValueError where the tokenizer names no mask, pairs are asked of documents of one sentence, or documents shall be
    read across their borders.
    """
    if setting.across_documents:
        raise OptionError("‹data.across_documents› has no effect here: use ‹objective.format›=full-sentences")
    tokenizer, roles = setting.tokenizer, setting.roles
    marks = marks_of(tokenizer)
    if "mask" not in tokenizer.role_ids:
        raise ValueError(
            "masked language modelling needs a mask token, but the tokenizer has none: train a tokenizer with gyebo"
        )
    if options.next_sentence and "nsp" not in setting.heads:
        raise OptionError("‹objective.next_sentence›: this family has no head for it")
    format, several = options.format, 0.0
    if format in ("auto", *PAIRS):
        several = input_formats.share_of_several_sentences(setting.split, marks.sentence_starts)
    if format == "auto":
        format = "segment-pair" if several >= 0.5 and "nsp" in setting.heads else "doc-sentences"
    if format in PAIRS and several < 0.1:
        raise OptionError(
            f"‹objective.format›={format}: only {several:.0%} of the documents have two sentences, so there are hardly any"
            " pairs: use doc-sentences, or another ‹data.documents›"
        )
    pairs = format in PAIRS
    if options.next_sentence and not pairs:
        raise ValueError(
            f"objective.next_sentence has no effect with objective.format = {format}, which has no pairs: use segment-pair or "
            "sentence-pair"
        )
    next_sentence = pairs and "nsp" in setting.heads if options.next_sentence is None else options.next_sentence
    settled = options.model_copy(update={"format": format, "next_sentence": next_sentence})
    return Masked(settled, tokenizer.role_ids, roles.single, roles.pair, marks, np.flatnonzero(marks.piece))


def _shorten(first: NDArray, second: NDArray, room: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Cut a pair to `room` pieces, one after the other from the longer side, at its front or its back with equal chance."""
    excess = len(first) + len(second) - room
    if excess <= 0:
        return first, second
    low, high = sorted((len(first), len(second)))
    uneven = min(excess, high - low)
    half = (excess - uneven) // 2
    cuts = [half, half]
    cuts[len(second) > len(first)] += uneven
    cuts[0] += (excess - uneven) % 2

    def cut(ids: NDArray, count: int) -> NDArray:
        front = int(rng.binomial(count, 0.5))
        return ids[front : len(ids) - (count - front)]

    return cut(first, cuts[0]), cut(second, cuts[1])


def _words(starts: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of whole words, in random order, as long as they fit into `count`; a word that doesn't fit is passed over. Where
    none fits, the shortest."""
    firsts = np.flatnonzero(starts)
    sizes = np.diff(np.append(firsts, len(starts)))
    order = rng.permutation(len(firsts))
    chosen: list[NDArray[np.int64]] = []
    left = count
    while len(order := order[sizes[order] <= left]) and left:
        fit = max(1, int(np.searchsorted(np.cumsum(sizes[order]), left, "right")))
        chosen.append(order[:fit])
        left -= int(sizes[order[:fit]].sum())
        order = order[fit:]
    words = np.concatenate(chosen) if chosen else np.array([np.argmin(sizes)])
    return np.concatenate([np.arange(firsts[word], firsts[word] + sizes[word]) for word in words])
