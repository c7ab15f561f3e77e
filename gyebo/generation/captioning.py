"""Captions: texts about pictures, written word by word by a model that has read their image tokens.

Letters: P pictures, N image tokens of a picture, R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gyebo.generation.options import GenerationOptions
from gyebo.generation.text import Completion, complete
from gyebo.nn.decoding import decoding_copy
from gyebo.nn.grid_attention import NOTHING
from gyebo.text.tokenizer import Tokenizer

AT_ONCE = 64  # pictures that are read together


@dataclass(frozen=True)
class SeenConfig:
    """What decoding asks of a model, of one that has seen pictures: the ids are its tokens and then its padding tokens, which
    end texts. `bos_id` stands for the picture, before the `context` places of a text."""

    vocab_size: int
    context: int
    bos_id: int
    eos_id: int
    pad_id: int | None


@dataclass
class Seen:
    """Pictures as image tokens [P, N], and a model that captions, as one that `Generates`: each prompt belongs to a picture.

    At each place of a text another padding token says that it ends: here it is always the same id, that of the first place.
    What is `hidden` elsewhere are logits here, [R, V + places].
    """

    generates: ClassVar[bool] = True
    encodes_source: ClassVar[bool] = False
    model: Any
    codes: Tensor

    @property
    def config(self) -> SeenConfig:
        """See there."""
        own = self.model.config
        ids = own.vocab_size + own.context
        return SeenConfig(ids, own.context, bos_id=ids - 1, eos_id=own.vocab_size, pad_id=own.pad_id)

    def parameters(self) -> Iterator[Any]:
        """The parameters of the model."""
        found: Iterator[Any] = self.model.parameters()
        return found

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Any]:
        """Read the pictures, in the place of the first ids, and how their texts begin [P, t], which is of the same length for
        all; as `Generates.prefill`."""
        assert attention_mask is None and len(input_ids) == len(self.codes)
        hidden, cache = self.model.read_pictures(self.codes, slots=slots - 1)
        found = self._logits(hidden, 0)
        for place, ids in enumerate(input_ids.unbind(1)[1:], 1):
            found = self._logits(self.model.next_token(ids, cache), place)
        return found, cache

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """As `Generates.step`."""
        hidden = self.model.next_token(ids, cache)
        return self._logits(hidden, cache.used - self.model.config.image_tokens - self.model.config.start)

    def project(self, hidden: Tensor) -> Tensor:
        """Logits, as they are."""
        return hidden

    def _logits(self, hidden: Tensor, place: int) -> Tensor:
        """Of the token at this place of the text; the padding token of the place is exchanged with that of the first."""
        logits = self.model.project(hidden, "text")
        first = self.model.config.vocab_size
        if 0 < place < self.model.config.context:
            order = torch.arange(logits.shape[1], device=logits.device)
            order[first], order[first + place] = first + place, first
            logits = logits[:, order]
        return logits


@torch.inference_mode()
def caption(model: Any, tokenizer: Tokenizer, codes: Tensor, options: GenerationOptions) -> list[Completion]:
    """Texts about pictures, whose image tokens are `codes` [P, N]; NOTHING at all places: with nothing to see. As `complete`
    gives them: `prompt` is the number of the picture, `ids` end with `vocab_size` where the text ends.

    A sampled token depends only on the seed and the numbers of picture, sample and place. Raises ValueError for a model that
    does not write captions, for a part of a picture, for pictures with nothing to see where the model has learned no text
    without its picture, and for options as `complete` does.
    """
    if bool((codes == NOTHING).any()) and not model.config.guided:
        raise ValueError(
            "the model has not learned texts without their picture: train it with objective.without_picture above 0, or let "
            "it see the pictures"
        )
    writing = decoding_copy(model, options.max_new_tokens)
    return complete(Seen(writing, codes), tokenizer, [""] * len(codes), options) if len(codes) else []
