"""ELMo: Peters et al. 2018, "Deep contextualized word representations".

    the characters of a piece -> convolutions -> ReLU, the largest -> highway x 2 -> projection = the token's vector
    token -> LSTM -> LSTM, its input added    from left to right  \\
    token -> LSTM -> LSTM, its input added    from right to left  /  -> one output layer: the next, and the previous token

What differs from the LSTM as a language model:

- a token is read by its characters (Kim et al. 2015), not looked up: what looks alike starts alike. Tokens that occur more than
  once in a batch are read once;
- two models of the text, which share characters and output layer only: one has read what stands up to a token and predicts the
  next, the other has read from the end and predicts the one before. Neither ever sees what it predicts, as one model of both
  sides would;
- cells are wide, what goes between them is narrow: each output is projected, and bounded inside the step (`clip`);
- the second layer's input is added to its output.

No layer is the answer alone: a task learns its own mixture of them (`gyebo/tasks/heads/layer_mix.py`), and the model stays as
it is.

Letters: B batch, T length, N rows, U distinct pieces, C characters of a piece, P width of a direction, D = 2P, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gyebo.models.protocol import WithoutPositions, check_shape
from gyebo.nn.cost import projected_lstm_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import BidirectionalOutput, Encoded
from gyebo.nn.recurrent import ProjectedLstm, Steps, time_steps

FILTERS = (32, 32, 64, 128, 256, 512, 1024)


@dataclass
class ElmoConfig:
    """The shape of an ELMo; the defaults are the published model with the vocabulary that it was trained to predict."""

    vocab_size: int = 793_471
    context: int = 1024  # tokens
    symbols: int = 262  # rows of the character embedding
    characters: int = 50  # of a piece, its marks among them
    character_width: int = 16
    filters: tuple[int, ...] = FILTERS  # how many convolutions there are over 1, 2, 3 ... characters
    highways: int = 2
    width: int = 1024  # of a token's vector: two directions, of half of it each
    cells: int = 4096  # of each layer and direction
    layers: int = 2
    clip: float = 3.0  # bounds cells and outputs inside the step; 0: nothing does
    dropout: float = 0.1  # of what goes into each layer, and out of the last one
    init_std: float = 0.05  # of the output matrix

    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    tied: ClassVar[bool] = False  # there is no table of tokens that the output layer could be

    def __post_init__(self) -> None:
        self.filters = tuple(self.filters)
        if not self.filters or not all(type(count) is int and count > 0 for count in self.filters):
            raise ValueError(f"filters must be whole numbers of at least 1, but are {list(self.filters)} instead")
        check_shape(
            self,
            counts=("vocab_size", "context", "symbols", "character_width", "cells", "layers"),
            shares=("dropout",),
            positive=("init_std",),
            ids=("pad_id", "bos_id", "eos_id"),
        )
        if self.characters < max(3, len(self.filters)):
            raise ValueError(
                f"characters must be at least {max(3, len(self.filters))}, for two marks, a byte and the widest filter, but is "
                f"{self.characters} instead"
            )
        if self.width < 2 or self.width % 2:
            raise ValueError(f"width must be even, a half for each direction, but is {self.width} instead")
        if self.highways < 0 or not 0 <= self.clip < math.inf:
            raise ValueError(f"highways and clip must be 0 or more, but are {self.highways} and {self.clip} instead")

    @property
    def direction(self) -> int:
        """Width of what a direction hands on."""
        return self.width // 2


class Highway(nn.Module):
    """Srivastava et al. 2015: g * relu(A x) + (1 - g) * x with g = sigmoid(B x); A, B and their biases out of one matrix."""

    def __init__(self, width: int):
        super().__init__()
        self.both = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """[U, F] -> [U, F]."""
        transformed, gate = self.both(x).chunk(2, -1)
        g = gate.sigmoid()
        return g * transformed.relu() + (1 - g) * x


class CharacterEncoder(nn.Module):
    """From the characters of a piece to its vector."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        features = sum(config.filters)
        self.embedding = nn.Embedding(config.symbols, config.character_width)
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(config.character_width, count, over) for over, count in enumerate(config.filters, 1)]
        )
        self.highways = nn.ModuleList([Highway(features) for _ in range(config.highways)])
        self.projection = nn.Linear(features, config.direction)

    def forward(self, characters: Tensor) -> Tensor:
        """Symbols [U, C] -> [U, P]."""
        x = self.embedding(self._without_repeats(characters).long()).transpose(1, 2)  # [U, K, at most C]
        x = torch.cat([convolution(x).amax(-1) for convolution in self.convolutions], -1).relu()
        for highway in self.highways:
            x = highway(x)
        return self.projection(x)

    def _without_repeats(self, characters: Tensor) -> Tensor:
        """Without the last columns, in which every row repeats its last symbol, but for so many that each convolution still
        finds that symbol alone: its largest value stays the same."""
        place = torch.arange(1, characters.shape[1] + 1, device=characters.device)
        used = int(((characters != characters[:, -1:]).any(0) * place).max())
        return characters[:, : used + len(self.convolutions)]


class Block(nn.Module):
    """One layer: an LSTM for each direction."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.forwards = ProjectedLstm(config.direction, config.cells, config.direction, config.clip)
        self.backwards = ProjectedLstm(config.direction, config.cells, config.direction, config.clip)


class Elmo(WithoutPositions, nn.Module):
    """ELMo as a pair of language models, and as what a task reads (`hidden` and `layers` of `encode`)."""

    family: ClassVar[str] = "elmo"
    config_class: ClassVar[type] = ElmoConfig
    heads: ClassVar[tuple[str, ...]] = ("forward", "backward")
    reads_characters: ClassVar[bool] = True
    compiles: ClassVar[bool] = False  # torch.compile would write out every step of the longest text
    sizes: ClassVar[dict[str, ElmoConfig]] = {
        "tiny": ElmoConfig(vocab_size=4096, context=128, filters=(8, 8, 16, 32), highways=1, width=64, cells=64, clip=0.0),
        "mini": ElmoConfig(vocab_size=16_000, context=256, filters=(16, 16, 32, 64, 128), width=256, cells=512, clip=0.0),
        "small": ElmoConfig(
            vocab_size=16_000, context=512, filters=(16, 16, 32, 64, 128, 256, 512), width=512, cells=2048, clip=0.0
        ),
        "published": ElmoConfig(),
    }

    spelling: Tensor

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.config = config
        self.register_buffer("spelling", torch.zeros(config.vocab_size, config.characters, dtype=torch.int32))
        self.encoder = CharacterEncoder(config)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.lm_head = nn.Linear(config.direction, config.vocab_size)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw fresh weights from torch's generator. Convolutions start wider than in the released code (uniform between -0.05
        and 0.05), with which tokens hardly differ at first, and Adam learns more slowly.

        | tensor | distribution |
        | --- | --- |
        | characters | uniform between -1 and 1 |
        | convolutions over n numbers | N(0, (2/n)^0.5), He et al. 2015 |
        | highways, projection of the features, F wide | N(0, F^-0.5) |
        | an LSTM's input matrix of each gate, its projection | uniform, Glorot & Bengio 2010 |
        | an LSTM's recurrent matrix, each gate | orthogonal (Saxe et al. 2013) |
        | output matrix | N(0, init_std) |
        | biases | 0, but -2 for the gates of highways (they let the features through), 1 for forget gates |
        """
        encoder: Any = self.encoder
        blocks: Any = self.blocks
        encoder.embedding.weight.uniform_(-1.0, 1.0)
        for convolution in encoder.convolutions:
            convolution.weight.normal_(0.0, (2 / convolution.weight[0].numel()) ** 0.5)
            convolution.bias.zero_()
        for layer in (*(highway.both for highway in encoder.highways), encoder.projection):
            layer.weight.normal_(0.0, layer.in_features**-0.5)
            layer.bias.zero_()
        for highway in encoder.highways:
            highway.both.bias.chunk(2)[1].fill_(-2.0)
        for cell in (cell for block in blocks for cell in (block.forwards, block.backwards)):
            for inputs, recurrent in zip(cell.inputs.chunk(4), cell.recurrent.chunk(4)):
                nn.init.xavier_uniform_(inputs)
                nn.init.orthogonal_(recurrent)
            nn.init.xavier_uniform_(cell.projection)
            cell.bias.zero_()
            cell.bias.chunk(4)[1].fill_(1.0)
        self.lm_head.weight.normal_(0.0, self.config.init_std)
        self.lm_head.bias.zero_()

    @property
    def output(self) -> nn.Linear | None:
        """The layer over the vocabulary that both directions share."""
        return self.lm_head if self.heads else None

    def spell(self, table: Tensor) -> None:
        """Take over how every id is spelled, symbols [V, C] (`gyebo.text.characters.spelling`); it is saved with the weights.

        Raises ValueError for a table of another shape, or with symbols that have no row in the character embedding.
        """
        shape = (self.config.vocab_size, self.config.characters)
        if table.shape != shape:
            raise ValueError(f"the spelling of the pieces must be {list(shape)}, but is {list(table.shape)} instead")
        low, high = (0, 0) if table.is_meta else (int(table.min()), int(table.max()))
        if low < 0 or high >= self.config.symbols:
            raise ValueError(f"symbols of the spelling must be from 0 to {self.config.symbols - 1}, but are {low} to {high}")
        self.spelling = table.to(self.spelling.device, torch.int32)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        depth: int | None = None,
        return_layers: bool = False,
    ) -> Encoded:
        """Read ids [B, T]; `hidden` [B, T, D], the two directions side by side, is zero at padding.

        `input_ids` may be the symbols [B, T, C] of any words, which the vocabulary need not have: the published form. `layers`:
        the token's vector, twice side by side, then each layer's output. `depth`: read so many layers only; 0: the token alone,
        whatever stands beside it. `attention_mask` [B, T] is 0 at padding; each document of `document_ids` [B, T] (0 = padding)
        is read for itself. Raises ValueError where a text is longer than `config.context`, or an id was never spelled.
        """
        layout = self.lay_out(input_ids, attention_mask, document_ids)
        tokens = self._tokens(layout.gather(input_ids))
        layers = [torch.cat([tokens, tokens], -1)]
        blocks: list[Any] = list(self.blocks)[:depth]
        if blocks:
            ahead = self._read(tokens, time_steps(layout), [block.forwards for block in blocks])
            back = self._read(tokens, time_steps(layout, backwards=True), [block.backwards for block in blocks])
            layers += [torch.cat(pair, -1) for pair in zip(ahead, back)]
        return Encoded(layout.scatter(layers[-1]), tuple(map(layout.scatter, layers)) if return_layers else None)

    def _tokens(self, rows: Tensor) -> Tensor:
        """The vectors [N, P] of ids [N], or of words by their symbols [N, C]; each distinct one is read once."""
        words, places = rows.unique(dim=0, return_inverse=True)
        words = self.spelling[words] if rows.ndim == 1 else words
        if not bool(words[:, :1].all()):
            raise ValueError(
                "this model does not know how its pieces are spelled: model.spell(gyebo.text.characters.spelling(tokenizer, "
                f"{self.config.characters})) tells it"
            )
        return F.embedding(places, self.encoder(words))

    def _read(self, tokens: Tensor, steps: Steps, cells: list[ProjectedLstm]) -> list[Tensor]:
        """What each layer of a direction gives, [N, P] each."""
        p = self.config.dropout if self.training else 0.0
        x, layers = tokens.index_select(0, steps.order), []
        for number, cell in enumerate(cells):
            given = dropout(x, p)
            x = cell(given, steps.sizes)
            x = x + given if number else x
            layers.append(x)
        return [x.index_select(0, steps.back) for x in (*layers[:-1], dropout(layers[-1], p))]

    def output_layer(self, hidden: Tensor, head: str = "forward") -> tuple[Tensor, Tensor, Tensor | None]:
        """A head as what stands before its last matrix product: rows [..., P] of hidden [..., D], matrix [V, P], bias [V].

        "forward": the next token, from those up to a position; "backward": the previous one, from those from it on. Raises
        ValueError for a head that this model has not.
        """
        if head not in self.heads:
            known = ", ".join(self.heads) or "none, as this model has no head"
            raise ValueError(f"head must be one of {known}, but is {head!r} instead")
        rows = hidden.chunk(2, -1)[head == "backward"]
        return rows, self.lm_head.weight, self.lm_head.bias

    def project(self, hidden: Tensor, head: str = "forward") -> Tensor:
        """Logits of a head for any subset of positions: [..., D] -> [..., V]."""
        return F.linear(*self.output_layer(hidden, head))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        labels: None = None,
    ) -> BidirectionalOutput:
        """Both heads; arguments as in `encode`. Raises ValueError for `labels`."""
        if labels is not None:
            raise ValueError("labels= is not taken: a model has no loss here; use an objective of gyebo.objectives, or a task")
        encoded = self.encode(input_ids, attention_mask, document_ids, return_layers=output_hidden_states)
        hidden = encoded.hidden
        return BidirectionalOutput(self.project(hidden), self.project(hidden, "backward"), hidden, encoded.layers)

    def flops(self, tokens: float, context: int, projected: float = 1.0) -> float:
        """Operations of a forward pass over so many tokens, whatever the `context`; `projected`: on the vocabulary, a share.

        Every token is charged for its characters, whole columns of them, although a piece that comes again is not read again.
        """
        c, features = self.config, sum(self.config.filters)
        windows = sum((c.characters - over + 1) * over * count for over, count in enumerate(c.filters, 1))
        encoder = windows * c.character_width + 2 * c.highways * features**2 + features * c.direction
        cell = projected_lstm_flops(tokens, inputs=c.direction, cells=c.cells, outputs=c.direction)
        return 2 * tokens * (encoder + projected * c.width * c.vocab_size) + 2 * c.layers * cell

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: characters, each block, the rest."""
        groups = [list(self.encoder.parameters()), *(list(block.parameters()) for block in self.blocks)]
        seen = {id(p) for group in groups for p in group}
        return [*groups, [p for p in self.parameters() if id(p) not in seen]]
