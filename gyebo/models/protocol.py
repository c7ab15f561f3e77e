"""What may be asked of a model, and what the model classes share: the forward passes that `transformers` users know, and the
checks of a config."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gyebo.models.pretrained import Pretrained
from gyebo.nn.adaptive import Clusters, table_of
from gyebo.nn.cost import Workload
from gyebo.nn.feedforward import FeedForward
from gyebo.nn.host import on_host
from gyebo.nn.outputs import CausalOutput, Encoded, TranslationOutput
from gyebo.nn.ragged import Ragged, ragged_layout, real_tokens
from gyebo.nn.state import StateTree


@runtime_checkable
class Model(Protocol):
    """What may be asked of every model: a contract that the tests hold all families to."""

    config: Any
    family: ClassVar[str]

    def flops(self, work: Workload) -> float:
        """Floating-point operations of a forward pass (`gyebo/nn/cost.py`)."""

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output."""

    def count_parameters(self, *, embeddings: bool = True) -> int:
        """How many are trained."""


@runtime_checkable
class ReadsText(Protocol):
    """What objectives, tasks and evaluation may ask of every model that reads text. Letters: B batch, T length, D width, V
    vocabulary."""

    @property
    def heads(self) -> tuple[str, ...]:
        """What it can predict with, as it stands."""

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Encoded:
        """Ids [B, T] -> `hidden` [B, T, D]; by name also `document_ids`, and what a capability adds."""

    def output_layer(self, hidden: Tensor, head: str) -> tuple[Tensor, Tensor | Clusters, Tensor | None]:
        """What stands before a head's last matrix product: rows [..., D], matrix [V, D] or the clusters of an adaptive softmax,
        bias [V] or None; what the losses of `gyebo/nn/cross_entropy.py` take."""

    def project(self, hidden: Tensor, head: str) -> Tensor:
        """Logits for any subset of positions: [..., D] -> [..., V]."""


@runtime_checkable
class Generates(Protocol):
    """A model that generates text from left to right. `config` has vocab_size, context, bos_id, eos_id and pad_id. A cache has
    `reorder(rows)`: the cache of rows [B'] in that order, repeats allowed, after which the old one must not be used."""

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Any]:
        """Prompts [B, T] -> hidden [B, D] of each last real token, and a cache with room for `slots` tokens."""

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """One more token a row: ids [B] -> hidden [B, D]."""


@runtime_checkable
class Draws(Protocol):
    """A model that draws a picture for a text, one image token after the other; its config has `image_codes` and `grid`.
    `picture_tokenizer`: what paints them, None where it has not been told."""

    @property
    def picture_tokenizer(self) -> Any:
        """See above."""

    def take_picture_tokenizer(self, painter: Any) -> None:
        """Draw with the codes of this picture tokenizer."""

    def start_picture(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, image_ids: Tensor | None = None, *, copies: int = 1
    ) -> tuple[Tensor, Any]:
        """Texts [B, t], and image tokens that are given [B, n] -> hidden [B * copies, D], and a cache."""

    def next_code(self, codes: Tensor, cache: Any) -> Tensor:
        """One more image token a picture: [R] -> hidden [R, D]."""


@runtime_checkable
class Sees(Protocol):
    """A model that reads the regions of a picture beside a text: `encode(visual_feats=, visual_pos=, ...)`; its config has
    `feature_size`, `crop` and `joint_width`."""

    def joint_vectors(self, found: Encoded, real: Tensor | None, shown: Tensor | None) -> Tensor:
        """What `encode` gave, and where its words [B, T] and regions [B, R] are real (None: everywhere) -> a vector for each
        text with its picture, [B, joint_width]."""


@runtime_checkable
class Captions(Protocol):
    """A model that writes a text about the image tokens of a picture, where its config says `image_first`. A cache is as in
    `Generates`."""

    def read_pictures(self, image_ids: Tensor, *, slots: int) -> tuple[Tensor, Any]:
        """Image tokens of pictures [B, N] -> hidden [B, D], and a cache with room for `slots` tokens."""

    def next_token(self, ids: Tensor, cache: Any) -> Tensor:
        """One more token a text: [R] -> hidden [R, D]."""


@runtime_checkable
class Compares(Protocol):
    """A model that tells how well texts and pictures belong together; its config has `picture_size`."""

    def text_vectors(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Texts [B, T] -> vectors of length 1, [B, E]."""

    def picture_vectors(self, pixels: Tensor) -> Tensor:
        """Pictures as bytes [B, S, S, 3] -> vectors of length 1, [B, E]."""

    def similarity(self, texts: Tensor, pictures: Tensor) -> Tensor:
        """Vectors [B, E] and [C, E] -> logits [B, C]."""


@runtime_checkable
class Joins(Protocol):
    """A model in which texts and pictures meet: some of its layers depend on both."""

    def joint_layers(self) -> dict[str, FeedForward]:
        """The feed-forward networks that a text can change as well as a picture, by their names in the model."""


@runtime_checkable
class EncodesSource(Protocol):
    """A model that reads a source and writes a target; its config has `attends_source`. A cache is as in
    `Generates`."""

    @property
    def start_id(self) -> int:
        """The id with which a target begins."""

    @property
    def forced_ids(self) -> tuple[int | None, int | None]:
        """What generation does not choose: the id after it, the last one of a target of maximum length; None: chosen."""

    def read_source(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> Any:
        """Sources [B, T] -> a cache with room for `slots` tokens of each target."""

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """One more token a row: ids [R] -> hidden [R, D]."""


@runtime_checkable
class EmbedsSource(Protocol):
    """A model with an encoder and a decoder whose encoder represents a text by itself."""

    def without_decoder(self) -> Model:
        """Its encoder, with the same weights."""


@runtime_checkable
class CarriesState(Protocol):
    """A model that carries a state from row to row, a tree of tensors (`gyebo/nn/state.py`)."""

    def fresh_state(self, rows: int) -> StateTree:
        """The state of rows that continue no earlier text."""

    def reset(self, state: StateTree, which: Tensor) -> StateTree:
        """The state with the rows of `which` [B] (bool) as fresh."""

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, state: StateTree | None = None) -> Encoded:
        """As in `Model`; `state`: what each row goes on from. `Encoded.state` is the state after it."""


@runtime_checkable
class TokenizesPictures(Protocol):
    """A model that turns pictures into ids of `config.codes` codes; `config.picture_size`: pixels of a side; `config.factor`:
    of a side of what a code stands for; `config.context`: codes of a picture. Letters: B pictures, S pixels of a side, N codes
    of a picture."""

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Pictures, uint8 [B, S, S, 3] -> ids [B, N], row by row."""

    def decode_ids(self, ids: Tensor) -> Tensor:
        """Ids [B, N] -> pictures, uint8 [B, S, S, 3]."""


@runtime_checkable
class ReadsCharacters(Protocol):
    """A model that knows an id by its spelling alone; its config has `characters`, the longest spelling."""

    def spell(self, table: Tensor) -> None:
        """Take how each id is spelled, [V, C]."""

    def symbols_read(self, ids: Tensor) -> int:
        """Number of symbols that are computed of each token where ids [N] are read in one pass."""


# Declared in `Pretrained` -> the methods that a model which declares it must have. The other capabilities add no method. An
# isinstance check compares the names of methods only; `tests/models/test_capabilities.py` also calls `encode(state=)`.
CAPABILITIES: dict[str, type] = {
    "reads_text": ReadsText,
    "tokenizes_pictures": TokenizesPictures,
    "generates": Generates,
    "draws": Draws,
    "sees": Sees,
    "captions": Captions,
    "compares": Compares,
    "joins": Joins,
    "encodes_source": EncodesSource,
    "embeds_source": EmbedsSource,
    "carries_state": CarriesState,
    "reads_characters": ReadsCharacters,
}


def check_shape(
    config: Any,
    *,
    counts: Sequence[str] = (),
    shares: Sequence[str] = (),
    positive: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> None:
    """ValueError where one of these fields of a config is out of range: `counts` are at least 1, `shares` from 0 to below 1,
    `positive` are finite and above 0, `ids` below `vocab_size` or None."""
    for name in counts:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, but is {getattr(config, name)} instead")
    for name in shares:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be from 0 to below 1, but is {getattr(config, name)} instead")
    for name in positive:
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be positive, but is {getattr(config, name)} instead")
    for name in ids:
        if getattr(config, name) is not None and not 0 <= getattr(config, name) < config.vocab_size:
            raise ValueError(f"{name} must be below vocab_size {config.vocab_size}, but is {getattr(config, name)} instead")


def grouped(model: nn.Module, first: list[nn.Parameter], blocks: Iterable[nn.Module]) -> list[list[nn.Parameter]]:
    """Parameters of a model from input to output: the `first` ones, each block, the rest."""
    groups = [first, *(list(block.parameters()) for block in blocks)]
    seen = {id(p) for group in groups for p in group}
    return [*groups, [p for p in model.parameters() if id(p) not in seen]]


class Speaking(Pretrained):
    """Mixin for models with `token_embedding` and `lm_head`, the output layer over the same vocabulary. Letters: B batch, T
    length, D width, V vocabulary."""

    heads: ClassVar[tuple[str, ...]] = ("lm",)

    @property
    def output(self: Any) -> nn.Module | None:
        """The layer over the vocabulary; None where it was taken off, as before a task."""
        return self.lm_head if self.heads else None

    def embed(self: Any, tokens: Tensor) -> Tensor:
        """Token vectors without positions: ids [B, T], or probabilities over the vocabulary [B, T, V], -> [B, T, D]."""
        if tokens.is_floating_point():
            return tokens @ table_of(self.token_embedding)
        return self.token_embedding(tokens)

    def output_layer(self: Any, hidden: Tensor, head: str = "lm") -> tuple[Tensor, Tensor | Clusters, Tensor | None]:
        """Input rows [..., D], weight [V, D] and bias [V] (or None) of the final projection of a head, for losses that never
        store all logits; of an adaptive softmax its clusters in the place of the weight."""
        if head != "lm":
            raise ValueError(f"head must be one of {', '.join(self.heads)}, but is {head!r} instead")
        return hidden, self.lm_head.weight, self.lm_head.bias

    def project(self: Any, hidden: Tensor, head: str = "lm") -> Tensor:
        """Logits over the vocabulary for any subset of positions: [..., D] -> [..., V]."""
        rows, *_ = self.output_layer(hidden, head)
        return self.lm_head(rows)  # the module instead of its weight: it may be packed for decoding


class Causal(Speaking):
    """Mixin for language models that also have `blocks` and `encode`, and read from left to right."""

    causal: ClassVar[bool] = True
    label_places: ClassVar[str] = "next"

    def layer_groups(self: Any) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings, each block, the rest."""
        names = ("token_embedding", "position_embedding", "embedding_norm")
        tables = [p for name, p in self.named_parameters() if name.startswith(names)]
        return grouped(self, tables, self.blocks)


class WithoutPositions(Pretrained):
    """A model without position embeddings: it is recurrent, or has no word order."""

    def lay_out(self: Any, ids: Tensor, mask: Tensor | None = None, documents: Tensor | None = None) -> Ragged:
        """The layout of ids [B, T]. Raises ValueError where a text is longer than `config.context`."""
        layout = ragged_layout(ids.shape[:2], ids.device, attention_mask=mask, document_ids=documents)
        most = self.config.context
        if layout.longest > most:
            raise ValueError(f"a text must have at most {most} tokens (context), but has {layout.longest} instead")
        return layout


class CausalWithoutPositions(WithoutPositions, Causal):
    """A causal language model without position embeddings."""

    def forward(
        self: Any,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        labels: Tensor | None = None,
    ) -> CausalOutput:
        """Logits [B, T, V] for the next token at every position; arguments as in `encode`, labels as in
        `with_loss`."""
        encoded = self.encode(input_ids, attention_mask, document_ids, return_layers=output_hidden_states)
        logits = self.project(encoded.hidden)
        return self.with_loss(CausalOutput(logits, encoded.hidden, encoded.layers), labels, logits)


class FreeTarget:
    """Mixed into the config of a model that writes a target. What holds unless the family says otherwise: its decoder looks at
    the source, begins with `start_id` or else with the start of a text, and generation chooses all ids."""

    @property
    def attends_source(self) -> bool:
        """Whether the decoder looks at the source while it writes."""
        return True

    @property
    def first_id(self: Any) -> int:
        """The first id of the decoder."""
        return next((id for id in (self.start_id, self.bos_id, self.pad_id) if id is not None), 0)

    @property
    def forced_ids(self) -> tuple[int | None, int | None]:
        """The first id of every target after the start, the last of one that reaches its maximum length; None: chosen."""
        return None, None


class Translating(Speaking):
    """Mixed into a model that has `encoder` and `decoder`, each a list of layers, and `encode`. Its config says with
    `attends_source` whether it looks at the source while it writes. Letters: B batch, T length of a sentence, U of the target,
    V vocabulary."""

    encodes_source: ClassVar[bool] = True
    label_places: ClassVar[str] = "here"
    stacks: ClassVar[tuple[str, ...]] = ("encoder", "decoder")

    @property
    def start_id(self: Any) -> int:
        """The first id of the decoder."""
        return self.config.first_id

    @property
    def forced_ids(self: Any) -> tuple[int | None, int | None]:
        """As in `FreeTarget`."""
        return self.config.forced_ids

    def forward(
        self: Any,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        labels: Tensor | None = None,
    ) -> TranslationOutput:
        """Logits [B, U, V] for the next token of the target; arguments as in `encode`. With `labels` [B, U] (`with_loss`), the
        decoder reads these, from its start id on, where it is given no ids."""
        if labels is not None and decoder_input_ids is None:
            decoder_input_ids = self.read_for(labels, self.start_id)
        found = self.encode(
            input_ids,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            return_layers=output_hidden_states,
            return_attentions=output_attentions,
        )
        logits = self.project(found.hidden)
        output = TranslationOutput(
            logits,
            found.hidden,
            encoder_last_hidden_state=found.encoder_hidden,
            decoder_hidden_states=found.layers,
            decoder_attentions=found.attentions,
            cross_attentions=found.cross_attentions,
            encoder_hidden_states=found.encoder_layers,
            encoder_attentions=found.encoder_attentions,
        )
        return self.with_loss(output, labels, logits)

    def lay_out(self: Any, ids: Tensor, mask: Tensor | None, *, dense: bool = False) -> tuple[Ragged, Tensor | None]:
        """The layout of ids [B, T], and the attention mask [B, T] (None: all tokens).

        Raises ValueError where a sentence is longer than `config.context`.
        """
        compiling = torch.compiler.is_compiling()
        layout = ragged_layout(ids.shape[:2], ids.device, attention_mask=mask, dense=dense or compiling)
        longest, most = layout.longest, self.config.context
        if longest > most and (mask is None or int(on_host(mask).sum(1).max()) > most):
            raise ValueError(f"a sentence must have at most {most} tokens (context), but has {longest} instead")
        real = real_tokens(mask)
        if mask is None or real is None or (not compiling and bool((on_host(mask) != 0).all())):
            return layout, None
        return layout, real | ~real.any(1, keepdim=True)  # a row without tokens attends to zeros; its output is not used

    def layer_groups(self: Any) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings, each block of the encoder, each of the decoder, the rest."""
        names = ("token_embedding", "position_embedding", "embedding_norm")
        tables = [p for name, p in self.named_parameters() if name.startswith(names)]
        return grouped(self, tables, (*self.encoder, *self.decoder))
