"""Filling masks: the most probable tokens at each mask of a text, shown as complete characters.

The model's mask string in the text denotes the mask, here and nowhere else in gyebo; other strings of special tokens are
ordinary text. As in `tokenizer.json` (`lstrip`), white space before a mask belongs to it: candidates have their own, or none.

A token may be some of the bytes of a character (a Hangul syllable has three). A candidate that ends within a character is
extended: another mask is inserted after it, and the most probable token that continues the character is taken, until it is
complete; its probability is the product. A token that starts within a character is not a candidate.

Each of several masks is filled independently, with the others masked, as BERT was trained.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer

_TRIED = 4  # tokens tried per requested candidate: some become less probable when extended, some give the same text


@dataclass(frozen=True)
class Candidate:
    """A candidate for a mask: its text with any white space before it, its probability, its token ids, and the whole text with
    this mask replaced."""

    text: str
    probability: float
    ids: tuple[int, ...]
    sequence: str


@dataclass(frozen=True)
class Filled:
    """A text with masks: the candidates for each mask, the most probable first, and the text with the first ones inserted."""

    text: str
    masks: tuple[tuple[Candidate, ...], ...]
    sequence: str


class Filler:
    """Fills masks with one model. Raises ValueError where the model has no masked-LM head, or the tokenizer no mask token."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        if "mlm" not in model.heads:
            raise ValueError(
                f"{model.family}: this model has no masked-LM head (mlm); gyebo fill needs a masked language model such as "
                "BERT, RoBERTa or DistilBERT"
            )
        if "mask" not in tokenizer.role_ids:
            raise ValueError(f"{model.family}: its tokenizer has no mask token")
        self.model, self.tokenizer = model, tokenizer
        self.mask, self.mask_id = tokenizer.role_tokens["mask"], tokenizer.role_ids["mask"]
        self.device = next(model.parameters()).device
        self._template = template_of(tokenizer)
        tokens = [_bytes(tokenizer, id) for id in range(model.config.vocab_size)]
        inside = [bool(token) and 0x80 <= token[0] < 0xC0 for token in tokens]  # starts with a UTF-8 continuation byte
        self._continues = torch.tensor(inside, device=self.device)
        self._starts = torch.tensor([bool(token) and not mid for token, mid in zip(tokens, inside)], device=self.device)

    @torch.inference_mode()
    def fill(self, text: str, top_k: int = 5) -> Filled:
        """At most `top_k` candidates for each mask. Raises ValueError for a text without a mask or longer than the context."""
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, but is {top_k} instead")
        parts = text.split(self.mask)
        if len(parts) == 1:
            raise ValueError(f"text: no {self.mask} in {text[:60]!r}: write {self.mask} where a token is to be predicted")
        stripped = [part.rstrip() for part in parts[:-1]] + parts[-1:]
        encoded = self.tokenizer.encode_batch(stripped)
        ids: list[int] = encoded[0]
        places = []
        for part in encoded[1:]:
            places.append(len(ids))
            ids = [*ids, self.mask_id, *part]
        row = self._template.apply(ids)
        most = self.model.config.context
        if len(row.ids) > most:
            raise ValueError(f"text: has {len(row.ids)} tokens, but this model's context is {most}: shorten it")
        places = [row.starts[0] + place for place in places]
        scores = self._scores([row.ids], [row.types], places)[0]
        masks = []
        for number, place in enumerate(places):
            before, after = self.mask.join([*parts[:number], stripped[number]]), self.mask.join(parts[number + 1 :])
            found = self._candidates(row.ids, row.types, place, scores[number], top_k, first=not before)
            masks.append(tuple(Candidate(t, p, ids, before + t + after) for t, p, ids in found))
        best = [candidates[0].text if candidates else self.mask for candidates in masks]
        filled = "".join(part + candidate for part, candidate in zip(stripped, [*best, ""]))
        return Filled(text, tuple(masks), filled)

    def _scores(self, rows: Sequence[list[int]], types: Sequence[list[int]], places: Sequence[int]) -> Tensor:
        """Log-probabilities [B, M, V] at some positions of rows of equal length; only these are projected."""
        inputs = {"input_ids": torch.tensor(rows, device=self.device)}
        if "token_type_ids" in self.tokenizer.model_inputs:
            inputs["token_type_ids"] = torch.tensor(types, device=self.device)
        hidden = self.model.encode(**inputs).hidden[:, list(places)]
        return self.model.project(hidden, "mlm").float().log_softmax(-1)

    def _candidates(
        self, ids: list[int], types: list[int], place: int, scores: Tensor, top_k: int, first: bool
    ) -> list[tuple[str, float, tuple[int, ...]]]:
        """(text, probability, ids) of the most probable candidates for one mask; `first`: there is no text before it."""
        count = min(_TRIED * top_k, int(self._starts.sum()))
        values, tokens = scores.masked_fill(~self._starts, float("-inf")).topk(count)
        rows: list[tuple[tuple[int, ...], float]] = [
            ((token,), value) for token, value in zip(tokens.tolist(), values.tolist())
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
        """Each row (all of equal length), extended by the most probable token that continues its character; rows without such a
        token are dropped."""
        if not rows or len(ids) + len(rows[0][0]) > self.model.config.context:
            return []
        size = len(rows[0][0])
        texts = [[*ids[:place], *chosen, self.mask_id, *ids[place + 1 :]] for chosen, _ in rows]
        kinds = [[*types[:place], *[types[place]] * (size + 1), *types[place + 1 :]] for _ in rows]
        scores = self._scores(texts, kinds, [place + size])[:, 0].masked_fill(~self._continues, float("-inf"))
        longer = []
        for (chosen, score), found in zip(rows, scores):
            values, order = found.sort(descending=True)
            for value, token in zip(values.tolist(), order.tolist()):
                if value == float("-inf"):
                    break
                if self._text((*chosen, token), first) != "":
                    longer.append(((*chosen, token), score + value))
                    break
        return longer

    def _text(self, ids: tuple[int, ...], first: bool) -> str | None:
        """The text of tokens; None where they end within a character, "" where they are not UTF-8."""
        raw = b"".join(_bytes(self.tokenizer, id, first and not number) for number, id in enumerate(ids))
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            text = decoder.decode(raw)
        except UnicodeDecodeError:
            return ""
        return None if decoder.getstate()[0] else text


def _bytes(tokenizer: Tokenizer, id: int, first: bool = False) -> bytes:
    """The bytes of a token; none for special tokens and unknown ids."""
    if id in tokenizer.all_role_ids:
        return b""
    try:
        return tokenizer.piece_bytes(id, first)
    except ValueError:
        return b""


def fill(model: Any, tokenizer: Tokenizer, text: str, top_k: int = 5) -> Filled:
    """The candidates for each mask of one text; see `Filler`, which is faster for several texts."""
    return Filler(model, tokenizer).fill(text, top_k)
