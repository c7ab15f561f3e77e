"""ULMFiT: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification".

    token -> embedding dropout -> input dropout -> [ LSTM with dropped weights -> hidden dropout ] x layers -> vocabulary

The network is the AWD-LSTM of Merity et al. 2017, "Regularizing and Optimizing LSTM Language Models". It differs from the LSTM:

| difference | section of the paper |
| --- | --- |
| layers of width H between an embedding and an output of width D, so that the tied table is small | Merity et al., 4.5 |
| one dropout mask per sequence instead of one per step ("locked", variational) | 4.2, Gal & Ghahramani 2016 |
| embedding dropout: whole words are dropped | 4.3 |
| DropConnect on each recurrent matrix, one mask per pass, which regularises the recurrence and keeps its fused kernel | 2 |
| activation regularization (AR, TAR): terms of the causal objective, on the last layer | 4.6 |

What ULMFiT adds is how such a model is used: pretrained on general text, adapted to that of the domain, then fine-tuned with
rates that fall layer by layer and are a slanted triangle over time, with layers that are unfrozen one after the other, and a
head that pools the whole text (`gyebo/tasks/heads/concat_pooling.py`). Weights start as the LSTM's do.

Letters: B batch, T length, N rows, S sequences, D width, H inner width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn

from gyebo.models.protocol import check_shape
from gyebo.models.rnn import Lstm
from gyebo.nn.dropout import dropout, locked_dropout
from gyebo.nn.recurrent import State, Steps, read

DROPOUTS = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")


@dataclass
class UlmfitConfig:
    """The configuration of an AWD-LSTM; the defaults are those of ULMFiT, including the vocabulary size."""

    vocab_size: int = 30_002
    context: int = 1024  # tokens of the longest text
    window: int = 70  # tokens through which a gradient flows
    width: int = 400  # of the embedding and of the last layer
    inner: int = 1150  # of the layers before it
    layers: int = 3
    embedding_dropout: float = 0.05  # share of the vocabulary that is dropped in a pass
    input_dropout: float = 0.4  # of the embedded tokens
    hidden_dropout: float = 0.3  # between layers
    output_dropout: float = 0.4  # after the last layer
    weight_dropout: float = 0.5  # of the recurrent matrices
    init_std: float = 0.05  # of the embedding
    tied: bool = True  # the output layer is the token embedding
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "window", "width", "inner", "layers"),
            shares=DROPOUTS,
            positive=("init_std",),
            ids=("pad_id", "bos_id", "eos_id"),
        )
        if self.window > self.context:
            raise ValueError(f"window must be at most context {self.context}, but is {self.window} instead")


# For runs of minutes, with few repeated texts; with more dropout small models train too slowly.
_LIGHT: dict[str, Any] = dict(zip(DROPOUTS, (0.02, 0.1, 0.1, 0.05, 0.1)))
# Rates of Merity et al. 2017, section 5, and of fastai's language models.
_MERITY: dict[str, Any] = dict(zip(DROPOUTS, (0.1, 0.65, 0.3, 0.4, 0.5)))
_FASTAI: dict[str, Any] = dict(zip(DROPOUTS, (0.02, 0.25, 0.15, 0.1, 0.2)))


class Ulmfit(Lstm):
    """The AWD-LSTM as a language model."""

    family: ClassVar[str] = "ulmfit"
    has_windows: ClassVar[bool] = True
    has_clusters: ClassVar[bool] = False
    config_class: ClassVar[type] = UlmfitConfig
    sizes: ClassVar[dict[str, Any]] = {
        "tiny": UlmfitConfig(vocab_size=4096, context=256, window=64, width=64, inner=96, **_LIGHT),
        "mini": UlmfitConfig(vocab_size=16_000, width=256, inner=384, **_LIGHT),
        "small": UlmfitConfig(vocab_size=16_000, **_FASTAI),
        "ptb": UlmfitConfig(vocab_size=10_000, **_MERITY),
        "wikitext-2": UlmfitConfig(vocab_size=33_278, **_MERITY),
        "paper": UlmfitConfig(),
        "fastai": UlmfitConfig(vocab_size=60_000, window=72, inner=1152, **_FASTAI),
    }

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The widths of input and state of each layer: D -> H -> ... -> H -> D."""
        config = self.config
        widths = [config.width, *[config.inner] * (config.layers - 1), config.width]
        return list(pairwise(widths))

    def embed(self, tokens: Tensor) -> Tensor:
        """Token vectors: ids [B, T], or probabilities over the vocabulary [B, T, V], -> [B, T, D].

        In training, the vectors of dropped words are zero at all their positions.
        """
        if not self.training or not self.config.embedding_dropout:
            return super().embed(tokens)
        weight = self.token_embedding.weight
        kept = dropout(weight.new_ones(len(weight), 1), self.config.embedding_dropout)
        return tokens @ (kept * weight) if tokens.is_floating_point() else kept[tokens] * self.token_embedding(tokens)

    def _read(self, x: Tensor, steps: Steps, states: list[State] | None) -> tuple[list[Tensor], Tensor, list[State]]:
        config, on = self.config, float(self.training)
        rates = [on * config.hidden_dropout] * (config.layers - 1) + [on * config.output_dropout]
        layers, after = [locked_dropout(x, on * config.input_dropout, steps.sequence, steps.sequences)], []
        block: Any
        for number, block in enumerate(self.blocks):
            recurrent = dropout(block.weight_hh_l0, on * config.weight_dropout)
            x, state = read(block, layers[-1], steps, states[number] if states else None, recurrent)
            layers.append(locked_dropout(x, rates[number], steps.sequence, steps.sequences))
            after.append(state)
        return layers, x, after

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters in the order of ascending learning rates: the embedding, each LSTM, the output layer. A tied table is in
        the last group, as in fastai's language model, so that the output layer has the full learning rate."""
        tables, *blocks, rest = super().layer_groups()
        return [*blocks, [*tables, *rest]] if self.config.tied else [tables, *blocks, rest]
