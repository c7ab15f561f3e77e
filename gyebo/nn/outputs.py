"""Outputs of models, with the field names of `transformers` where they mean the same. `loss`: where labels were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from gyebo.nn.state import StateTree


@dataclass
class Encoded:
    """The representation of a batch. `hidden` [B, T, D]; `layers`: the embedding and the output of every block, each [B, T, D];
    `attentions`: the attention weights of every block, each [B, H, T, T]; these two only on request. `state`: the carried state
    after the last token of each row, of recurrent models (`gyebo/nn/state.py`). `raw` [B, T, D]: `hidden` before the dropout
    after the last layer, on request.

    For an encoder and a decoder these are the decoder's, of length U; those of the encoder have fields of their own, and
    `cross_attentions` are the weights of every block from the target to the source, each [B, H, U, T].

    Of a model that sees, `hidden`, `layers` and `attentions` are those of the words; those of R regions of a picture have
    fields of their own, and `cross_attentions` are the weights of every block from the words to the regions, each [B, H, T,
    R]."""

    hidden: Tensor
    layers: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    state: StateTree | None = None
    raw: Tensor | None = None
    encoder_hidden: Tensor | None = None
    encoder_layers: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    region_hidden: Tensor | None = None
    region_layers: tuple[Tensor, ...] | None = None
    region_attentions: tuple[Tensor, ...] | None = None


@dataclass
class CausalOutput:
    """Output of a causal language model: `logits` [B, T, V] for the next token at every position; `hidden_states` and
    `attentions` as in `Encoded.layers` and `Encoded.attentions`."""

    logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


@dataclass
class PermutationOutput:
    """Output of a model with two streams: `logits` [B, Q, V] for the tokens that are predicted, None if the model has no output
    layer; `last_hidden_state` [B, Q, D] of the query stream. Without such tokens both are of the content stream, [B, T, ...],
    zero at padding. `hidden_states`, `attentions`: of the content stream, as in `Encoded.layers` and `Encoded.attentions`."""

    logits: Tensor | None
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


@dataclass
class BidirectionalOutput:
    """Output of a forward and a backward language model: `logits` [B, T, V] for the next token, from the tokens up to each
    position; `backward_logits` [B, T, V] for the previous one, from the tokens from there on; both undefined at padding.
    `hidden_states` as in `Encoded.layers`."""

    logits: Tensor
    backward_logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


@dataclass
class MaskedOutput:
    """Output of an encoder: `logits` [B, T, V] for the original token at every position, zero at padding;
    `seq_relationship_logits` [B, 2] (0 = the second segment follows the first, 1 = it is a random one); `pooler_output`
    [B, D]; `replaced_logits` [B, T], above 0 where a token was replaced; each None if the model has no such part.
    `hidden_states` and `attentions` as in `Encoded.layers` and `Encoded.attentions`."""

    logits: Tensor | None
    seq_relationship_logits: Tensor | None
    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    replaced_logits: Tensor | None = None
    loss: Tensor | None = None


@dataclass
class TranslationOutput:
    """Output of an encoder and a decoder: `logits` [B, U, V] for the next token at every position of the target; the other
    fields as in `Encoded`."""

    logits: Tensor
    last_hidden_state: Tensor
    encoder_last_hidden_state: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


@dataclass
class TextAndPictureOutput:
    """Output of a model of texts and image tokens: `text_logits` [B, P, V] of each place of the text, padding tokens last;
    `image_logits` [B, N, C] of each image token; `last_hidden_state` [B, T, D] and `hidden_states` of all places."""

    text_logits: Tensor
    image_logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class TextsAndPicturesOutput:
    """Output of a model that compares texts and pictures: `logits_per_text` [B, C] of each text with each picture,
    `logits_per_image` [C, B]; their vectors of length 1, `text_embeds` [B, E] and `image_embeds` [C, E]."""

    logits_per_text: Tensor
    logits_per_image: Tensor
    text_embeds: Tensor
    image_embeds: Tensor
    loss: Tensor | None = None


@dataclass
class TaskOutput:
    """Output of a head with a single tensor: `logits` [B, labels] (also for regression), for tagging [B, T, labels], for choice
    [B, C]; undefined at padding. `hidden_states` and `attentions`, on request, as in `Encoded`. `apart`: of a model
    that reads n-grams, the network's scores and those of the n-grams, which `logits` joins and which learn apart."""

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None
    apart: tuple[Tensor, ...] = ()

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """All output tensors of the head."""
        return (self.logits,)

    @property
    def precise(self) -> Tensor:
        """`logits`, those of half precision as float32."""
        return self.logits.float() if self.logits.element_size() < 4 else self.logits


@dataclass
class SpansOutput:
    """Output of a question-answering head: `start_logits` and `end_logits` [B, T]; the others as in `TaskOutput`."""

    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """All output tensors of the head."""
        return self.start_logits, self.end_logits


@dataclass
class ParsingOutput:
    """Output of a parser: `arc_logits` [B, W, W + 1], the score of each head of each word (-inf for the word itself and for
    padding), and `relation_logits` [B, W, W + 1, R], the score of each relation to that head; the others as in `TaskOutput`."""

    arc_logits: Tensor
    relation_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """All output tensors of the head."""
        return self.arc_logits, self.relation_logits


@dataclass
class SeeingOutput:
    """Output of a model that reads words and the regions of a picture, with the names of LXMERT in `transformers`:
    `prediction_logits` [B, T, V] for the original word at every position; `cross_relationship_score` [B, 2], whether the text
    and the picture belong together; `question_answering_score` [B, answers]; `region_logits`: head -> [B, R, classes], for
    "feature" [B, R, F]; each None, or not among them, if the model has no such head. Logits are zero at padding.

    `language_output` [B, T, D], `vision_output` [B, R, D], `pooled_output` [B, D]; hidden states: the output of every layer;
    `cross_encoder_attentions` as `Encoded.cross_attentions`."""

    language_output: Tensor
    vision_output: Tensor
    pooled_output: Tensor | None = None
    prediction_logits: Tensor | None = None
    cross_relationship_score: Tensor | None = None
    question_answering_score: Tensor | None = None
    region_logits: dict[str, Tensor] | None = None
    language_hidden_states: tuple[Tensor, ...] | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    language_attentions: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
    cross_encoder_attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


@dataclass
class QuantisedPictures:
    """Pictures through a codebook and back: `values` [B, 3, S, S] that were to be predicted, those that were, `predicted`; the
    encoder's `vectors` at all places [N, D] and their `codes` [N, D], which have a gradient where a loss is to move them."""

    values: Tensor
    predicted: Tensor
    vectors: Tensor
    codes: Tensor


@dataclass
class RelaxedPictures:
    """Pictures through mixtures of codes and back: `values` [B, 3, S, S] that were to be predicted, between 0 and 1, and of the
    distribution that was the `location` and `log_scale`, likewise; `logits` [B, K, G, G] of the code at each place."""

    values: Tensor
    location: Tensor
    log_scale: Tensor
    logits: Tensor
