"""Masked language modelling and next-sentence prediction (Devlin et al. 2019, section 3.1 and A.1; Liu et al. 2019, section 4).

    15 % of the tokens are to be predicted; of these 80 % show the mask, 10 % a random token, 10 % themselves.

Four input formats (`gyebo/objectives/framed.py`). With pairs, whether the second segment is the true next one can be a second
thing to predict (label 0 = true next, 1 = random).

What differs from the published scripts: how many tokens are predicted is drawn so that the share is exact on average also for
short texts (as fairseq does; Google rounds); a random token is never a role.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data.batches import IGNORE
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.nn.host import on_host, places_of
from gyebo.objectives.causal import labelled
from gyebo.objectives.framed import PAIRS, SECOND_SEGMENTS, Framed, settled_format
from gyebo.objectives.objective import Draw, Setting
from gyebo.text.boundaries import marks_of


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
class Masked(Framed):
    """Masked language modelling for one vocabulary."""

    options: Options
    pieces: NDArray[np.int64]  # ids that a random piece is drawn from

    @property
    def next_sentence(self) -> bool:
        """Whether the second term is learned."""
        return bool(self.options.next_sentence)

    @property
    def repeats(self) -> int | None:
        """Static masking is dynamic masking that comes again."""
        return self.options.static_copies

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

    def for_evaluation(self) -> Masked:
        """The same texts with plain masks of single tokens, so that all ways of masking are measured alike."""
        plain = {"whole_words": False, "static_copies": None, "rate": 0.15, "mask_share": 0.8, "random_share": 0.1}
        return replace(self, options=self.options.model_copy(update=plain))

    # -- corruption

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Frame the text (a pair: divide it or join it with another document's), then mask tokens.

        Gives input_ids and labels [m] (the original where it is to be predicted, else IGNORE), for pairs token_type_ids [m],
        with next-sentence prediction next_sentence [m] (its label at the first position).
        """
        text = self.framed(example, rng, draw)
        fields = self._hide(text.ids, text.real, rng)
        if text.label is not None:
            fields["token_type_ids"] = text.types
        if self.next_sentence:
            fields["next_sentence"] = np.full(len(text.ids), IGNORE)
            fields["next_sentence"][0] = text.label
        return fields

    def _hide(self, ids: NDArray[np.int64], real: NDArray[np.bool_], rng: np.random.Generator) -> Arrays:
        def words(places: NDArray[np.int64]) -> NDArray[np.bool_]:
            # What is not adjacent, as a second segment, begins a word.
            return self.marks.word_starts(ids[places]) | (np.diff(places, prepend=-2) > 1)

        options = self.options
        return hide(
            ids,
            real,
            rng,
            rate=options.rate,
            mask_share=options.mask_share,
            random_share=options.random_share,
            mask=self.ids["mask"],
            pieces=self.pieces,
            words=words if options.whole_words else None,
        )

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
            pairs = places_of(on_host(batch["next_sentence"]) != IGNORE, hidden.device)
            logits = model.project(hidden.flatten(0, hidden.ndim - 2)[pairs], "nsp").float()
            terms["nsp"] = (F.cross_entropy(logits, batch["next_sentence"].flatten()[pairs], reduction="sum"), 1.0)
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
    tokenizer, roles = setting.tokenizer, setting.roles
    marks = marks_of(tokenizer)
    if "mask" not in tokenizer.role_ids:
        raise ValueError(
            "masked language modelling needs a mask token, but the tokenizer has none: train a tokenizer with gyebo"
        )
    if options.next_sentence and "nsp" not in setting.heads:
        raise OptionError("‹objective.next_sentence›: this family has no head for it")
    format = settled_format(options.format, setting, marks, pairs="nsp" in setting.heads)
    pairs = format in PAIRS
    if options.next_sentence and not pairs:
        raise ValueError(
            f"objective.next_sentence has no effect with objective.format = {format}, which has no pairs: use segment-pair or "
            "sentence-pair"
        )
    next_sentence = pairs and "nsp" in setting.heads if options.next_sentence is None else options.next_sentence
    settled = options.model_copy(update={"format": format, "next_sentence": next_sentence})
    return Masked(settled, tokenizer.role_ids, roles.single, roles.pair, marks, np.flatnonzero(marks.piece))


def hide(
    ids: NDArray[np.int64],
    real: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    rate: float,
    mask_share: float,
    random_share: float,
    mask: int,
    pieces: NDArray[np.int64],
    words: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
) -> Arrays:
    """Mask tokens of ids [m], of which those that are `real` [m] may be: input_ids, and labels, the original where it is to be
    predicted, else IGNORE. `pieces`: ids that a random one is drawn from; `words`: places [n] -> which of them begin a word,
    where whole words are masked."""
    places = np.flatnonzero(real)
    count = min(len(places), max(1, int(rate * len(places) + rng.random())))
    chosen = rng.permutation(places)[:count] if words is None else places[whole_words(words(places), count, rng)]
    labels = np.full(len(ids), IGNORE)
    labels[chosen] = ids[chosen]
    u = rng.random(len(chosen))
    shown = np.where(u < mask_share, mask, ids[chosen])
    random = (u >= mask_share) & (u < mask_share + random_share)
    shown[random] = pieces[rng.integers(len(pieces), size=int(random.sum()))]
    inputs = ids.copy()
    inputs[chosen] = shown
    return {"input_ids": inputs, "labels": labels}


def whole_words(starts: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
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
