"""Filling in what is hidden: the likeliest pieces at each mask of a text, shown as whole characters.

The model's mask string in the text is the mask, here and nowhere else in gyebo; every other role string stays ordinary text. As
in `tokenizer.json` (`lstrip`), white space before a mask belongs to it: a candidate brings its own, or has none.

A piece may be some bytes of a character (a Hangul syllable has three). A candidate that ends inside a character is extended: a
further mask is put behind it, and the likeliest piece that goes on with the character is taken, until it is whole; its
probability is the product. A piece that begins inside a character is no candidate, for no character before it is open.

Several masks are filled each for itself, the others hidden, as BERT was trained.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gyebo.text.template import frame_of
from gyebo.text.tokenizer import Tokenizer

_TRIED = 4  # pieces looked at for each candidate that is asked for: some lose when they are extended, some say the same


@dataclass(frozen=True)
class Candidate:
    """What might stand at a mask: its text with any white space before it, its probability, its pieces, and the text with it in
    place (other masks stay masks)."""

    text: str
    probability: float
    ids: tuple[int, ...]
    sequence: str


@dataclass(frozen=True)
class Filled:
    """A text with masks: the candidates of each mask, the likeliest first, and the text with the first ones in place."""

    text: str
    masks: tuple[tuple[Candidate, ...], ...]
    sequence: str


class Filler:
    """Fills texts with one model. Raises ValueError where the model predicts no masked tokens, or the tokenizer has no mask."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        if "mlm" not in model.heads:
            raise ValueError(
                f"{model.family}: this model has no head for masked tokens (mlm); filling needs a masked language model, such "
                "as BERT, RoBERTa or DistilBERT"
            )
        if "mask" not in tokenizer.role_ids:
            raise ValueError(f"{model.family}: its tokenizer names no mask token, so nothing can be masked")
        self.model, self.tokenizer = model, tokenizer
        self.mask, self.mask_id = tokenizer.role_tokens["mask"], tokenizer.role_ids["mask"]
        self.device = next(model.parameters()).device
        self._frame = frame_of(tokenizer)
        pieces = [_bytes(tokenizer, id) for id in range(model.config.vocab_size)]
        inside = [bool(piece) and 0x80 <= piece[0] < 0xC0 for piece in pieces]
        self._goes_on = torch.tensor(inside, device=self.device)
        self._begins = torch.tensor([bool(piece) and not mid for piece, mid in zip(pieces, inside)], device=self.device)

    @torch.inference_mode()
    def fill(self, text: str, top_k: int = 5) -> Filled:
        """At most `top_k` candidates for each mask. Raises ValueError for a text without a mask or longer than the context."""
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, but is {top_k} instead")
        parts = text.split(self.mask)
        if len(parts) == 1:
            raise ValueError(f"text: no {self.mask} in {text[:60]!r}: write {self.mask} where something is missing")
        stripped = [part.rstrip() for part in parts[:-1]] + parts[-1:]
        encoded = self.tokenizer.encode_batch(stripped)
        ids: list[int] = encoded[0]
        places = []
        for part in encoded[1:]:
            places.append(len(ids))
            ids = [*ids, self.mask_id, *part]
        framed = self._frame.around(ids)
        most = self.model.config.context
        if len(framed.ids) > most:
            raise ValueError(f"text: has {len(framed.ids)} tokens, but this model's context is {most}: shorten it")
        places = [framed.starts[0] + place for place in places]
        scores = self._scores([framed.ids], [framed.types], places)[0]
        masks = []
        for number, place in enumerate(places):
            before, after = self.mask.join([*parts[:number], stripped[number]]), self.mask.join(parts[number + 1 :])
            found = self._candidates(framed.ids, framed.types, place, scores[number], top_k, first=not before)
            masks.append(tuple(Candidate(t, p, ids, before + t + after) for t, p, ids in found))
        best = [candidates[0].text if candidates else self.mask for candidates in masks]
        whole = "".join(part + filling for part, filling in zip(stripped, [*best, ""]))
        return Filled(text, tuple(masks), whole)

    def _scores(self, rows: Sequence[list[int]], types: Sequence[list[int]], places: Sequence[int]) -> Tensor:
        """Log-probabilities [B, M, V] at some places of rows of equal length; only these are projected."""
        inputs = {"input_ids": torch.tensor(rows, device=self.device)}
        if "token_type_ids" in self.tokenizer.model_inputs:
            inputs["token_type_ids"] = torch.tensor(types, device=self.device)
        hidden = self.model.encode(**inputs).hidden[:, list(places)]
        return self.model.project(hidden, "mlm").float().log_softmax(-1)

    def _candidates(
        self, ids: list[int], types: list[int], place: int, scores: Tensor, top_k: int, first: bool
    ) -> list[tuple[str, float, tuple[int, ...]]]:
        """(text, probability, pieces) of the likeliest fillings of one mask; `first`: no text stands before it."""
        count = min(_TRIED * top_k, int(self._begins.sum()))
        values, pieces = scores.masked_fill(~self._begins, float("-inf")).topk(count)
        rows: list[tuple[tuple[int, ...], float]] = [
            ((piece,), value) for piece, value in zip(pieces.tolist(), values.tolist())
        ]
        whole: dict[str, tuple[float, tuple[int, ...]]] = {}
        while rows:
            unfinished = []
            for chosen, score in rows:
                text = self._text(chosen, first)
                if text is None:
                    unfinished.append((chosen, score))
                elif text and score > whole.get(text, (float("-inf"), ()))[0]:
                    whole[text] = (score, chosen)
            rows = self._extended(ids, types, place, unfinished, first)
        best = sorted(whole.items(), key=lambda item: -item[1][0])[:top_k]
        return [(text, math.exp(score), chosen) for text, (score, chosen) in best]

    def _extended(
        self, ids: list[int], types: list[int], place: int, rows: list[tuple[tuple[int, ...], float]], first: bool
    ) -> list[tuple[tuple[int, ...], float]]:
        """Each row (all of as many pieces) with the likeliest piece that goes on with its character; those without one go."""
        if not rows or len(ids) + len(rows[0][0]) > self.model.config.context:
            return []
        size = len(rows[0][0])
        texts = [[*ids[:place], *chosen, self.mask_id, *ids[place + 1 :]] for chosen, _ in rows]
        kinds = [[*types[:place], *[types[place]] * (size + 1), *types[place + 1 :]] for _ in rows]
        scores = self._scores(texts, kinds, [place + size])[:, 0].masked_fill(~self._goes_on, float("-inf"))
        longer = []
        for (chosen, score), found in zip(rows, scores):
            values, order = found.sort(descending=True)
            for value, piece in zip(values.tolist(), order.tolist()):
                if value == float("-inf"):
                    break
                if self._text((*chosen, piece), first) != "":
                    longer.append(((*chosen, piece), score + value))
                    break
        return longer

    def _text(self, pieces: tuple[int, ...], first: bool) -> str | None:
        """What pieces spell; None where they end inside a character, "" where they are no UTF-8."""
        raw = b"".join(_bytes(self.tokenizer, piece, first and not number) for number, piece in enumerate(pieces))
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            text = decoder.decode(raw)
        except UnicodeDecodeError:
            return ""
        return None if decoder.getstate()[0] else text


def _bytes(tokenizer: Tokenizer, id: int, first: bool = False) -> bytes:
    """The bytes of a piece; none for roles and for ids that the tokenizer does not have."""
    if id in tokenizer.all_role_ids:
        return b""
    try:
        return tokenizer.piece_bytes(id, first)
    except ValueError:
        return b""


def fill(model: Any, tokenizer: Tokenizer, text: str, top_k: int = 5) -> Filled:
    """What might stand at each mask of one text; see `Filler`, which fills several texts with less work."""
    return Filler(model, tokenizer).fill(text, top_k)
