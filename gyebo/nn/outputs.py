"""What a model gives back, with the field names that `transformers` users know where they mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from gyebo.nn.state import StateTree


@dataclass
class Encoded:
    """The representation of a batch. `hidden` [B, T, D]; `layers`: the embedding and every block's output, each [B, T, D];
    `attentions`: every block's weights, each [B, H, T, T]. The last two only where asked for. `state`: of a model that hands
    one on, after each row's last token (`gyebo/nn/state.py`). `raw` [B, T, D]: `hidden` before the dropout behind the last
    layer, where asked for.

    Of an encoder and a decoder together these are the decoder's, whose length is U; the encoder's stand beside them, and
    `cross_attentions`: every block's weights from the target to the source, each [B, H, U, T]."""

    hidden: Tensor
    layers: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    state: StateTree | None = None
    raw: Tensor | None = None
    encoder_hidden: Tensor | None = None
    encoder_layers: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class CausalOutput:
    """Of a causal language model: `logits` [B, T, V] for the next token at every position; `hidden_states` and `attentions` as
    in `Encoded.layers` and `Encoded.attentions`."""

    logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class BidirectionalOutput:
    """Of a pair of language models: `logits` [B, T, V] for the next token, from those up to each position; `backward_logits`
    [B, T, V] for the previous one, from those from it on; what stands at padding means nothing. `hidden_states` as in
    `Encoded.layers`."""

    logits: Tensor
    backward_logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class MaskedOutput:
    """Of an encoder: `logits` [B, T, V] for the token that stood at every position, zero at padding;
    `seq_relationship_logits` [B, 2] (0 = the second segment follows the first, 1 = it is a random one); `pooler_output`
    [B, D]; each None where the model has no such part. `hidden_states` and `attentions` as in `Encoded.layers` and
    `Encoded.attentions`."""

    logits: Tensor | None
    seq_relationship_logits: Tensor | None
    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TranslationOutput:
    """Of an encoder and a decoder: `logits` [B, U, V] for the next token at every position of the target; the other fields as
    in `Encoded`."""

    logits: Tensor
    last_hidden_state: Tensor
    encoder_last_hidden_state: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass
class TaskOutput:
    """Of a head with one kind of score: `logits` [B, labels], of tags [B, T, labels], of a choice [B, C]; scores of a
    regression [B, labels] too. What stands at padding means nothing. `hidden_states` and `attentions` as in `Encoded.layers`
    and `Encoded.attentions`, where asked for."""

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """All that the head gives."""
        return (self.logits,)


@dataclass
class SpansOutput:
    """Of a head that points at an answer: `start_logits` and `end_logits` [B, T]; the others as in `TaskOutput`."""

    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """All that the head gives."""
        return self.start_logits, self.end_logits


@dataclass
class ParsingOutput:
    """Of a parser: `arc_logits` [B, W, W + 1], the score of each head of each word (-inf for itself and for what is no word),
    and `relation_logits` [B, W, W + 1, R], the score of each relation if that were the head; the others as in `TaskOutput`."""

    arc_logits: Tensor
    relation_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """All that the head gives."""
        return self.arc_logits, self.relation_logits
