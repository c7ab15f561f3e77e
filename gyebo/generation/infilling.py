"""Filling masks by writing: a model that learned to restore texts writes the whole text, so that a mask may become several
words or none (Lewis et al. 2020, section 2.2).

The model's mask string in the text denotes the mask. As in `tokenizer.json` (`lstrip`), white space before a mask belongs to
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer

FEWEST_BEAMS = 4


@dataclass(frozen=True)
class Restored:
    """A whole text as the model wrote it, and the natural log of its probability, given the text with masks."""

    text: str
    log_probability: float


def masked_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text with masks, in the family's template. Raises ValueError for a text without a mask."""
    mask = tokenizer.role_tokens["mask"]
    *before, last = text.split(mask)
    if not before:
        raise ValueError(f"text: no {mask} in {text[:60]!r}: write {mask} where something is missing")
    first, *rest = tokenizer.encode_batch([*(part.rstrip() for part in before), last])
    ids = [*first]
    for part in rest:
        ids += [tokenizer.role_ids["mask"], *part]
    return template_of(tokenizer).apply(ids).ids


def restore(model: Any, tokenizer: Tokenizer, texts: Sequence[str], count: int = 5) -> list[list[Restored]]:
    """At most `count` different texts for each of the texts with masks, the most probable per token first, by beam search.

    Raises ValueError where the tokenizer has no mask, for a text without one, and for one longer than the model's context.
    """
    if count < 1:
        raise ValueError(f"top_k must be at least 1, but is {count} instead")
    if "mask" not in tokenizer.role_ids:
        raise ValueError(f"{model.family}: its tokenizer has no mask token, so nothing can be filled in")
    sources, most = [masked_ids(tokenizer, text) for text in texts], model.config.context
    if long := [len(ids) for ids in sources if len(ids) > most]:
        raise ValueError(f"text: has {long[0]} tokens, but this model's context is {most}: shorten it")
    beams = max(FEWEST_BEAMS, count)
    roles = tokenizer.all_role_ids - {tokenizer.role_ids[role] for role in ("bos", "eos")}  # around every target
    unknown = set(range(model.config.vocab_size)) - tokenizer.known_ids
    found = translate(model, sources, GenerationOptions(beams=beams, samples=beams), forbidden=sorted(roles | unknown))
    answers = []
    for hypotheses in found:
        different: dict[str, Restored] = {}
        for best in hypotheses:
            text = tokenizer.decode(best.ids)
            different.setdefault(text, Restored(text, best.log_probability))
        answers.append(list(different.values())[:count])
    return answers
