"""What a model gives back, with the field names that `transformers` users know where they mean the same."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Encoded:
    """The representation of a batch. `hidden` [B, T, D]; `layers`: the embedding and every block's output, each [B, T, D];
    `attentions`: every block's weights, each [B, H, T, T]. The last two only where asked for."""

    hidden: Tensor
    layers: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class CausalOutput:
    """Of a causal language model: `logits` [B, T, V] for the next token at every position; `hidden_states` and `attentions` as
    in `Encoded.layers` and `Encoded.attentions`."""

    logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
