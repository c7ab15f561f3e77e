"""ELMo: Peters et al. 2018, "Deep contextualized word representations".

    the characters of a token -> convolutions -> maximum, ReLU -> highway x 2 -> projection = the token vector
    token -> LSTM -> LSTM, its input added    from left to right  \\
    token -> LSTM -> LSTM, its input added    from right to left  /  -> one output layer: the next, and the previous token

What differs from the LSTM as a language model:

- token vectors are computed from characters (Kim et al. 2015) instead of looked up, so similar spellings have similar vectors.
  Tokens that occur several times in a batch are computed once;
- there are two language models, which share only the character encoder and the output layer: one reads from left to right and
  predicts the next token, the other from right to left and predicts the previous one. Neither sees the token that it predicts,
  as a single bidirectional model would;
- cells are wide, their outputs narrow: each output is projected, and clipped within the step (`clip`);
- the input of the second layer is added to its output.

A task uses a learned weighted sum of all layers (`gyebo/tasks/heads/layer_mix.py`), and the model is frozen.

Letters: B batch, T length, N rows, U distinct tokens, C characters of a token, P width of a direction, D = 2P, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from gyebo.models.protocol import WithoutPositions, check_shape
from gyebo.nn import host
from gyebo.nn.cost import Workload, projected_lstm_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import BidirectionalOutput, Encoded
from gyebo.nn.recurrent import ProjectedLstm, Steps, time_steps

FILTERS = (32, 32, 64, 128, 256, 512, 1024)


@dataclass
class ElmoConfig:
    """The configuration of an ELMo; the defaults are the published model, with the vocabulary of its output layer."""

    vocab_size: int = 793_471
    context: int = 1024  # tokens
    symbols: int = 262  # rows of the character embedding
    characters: int = 50  # of a token, including start and end symbols
    character_width: int = 16
    filters: tuple[int, ...] = FILTERS  # number of convolutions over 1, 2, 3 ... characters
    highways: int = 2
    width: int = 1024  # of a token vector: half of it for each direction
    cells: int = 4096  # of each layer and direction
    layers: int = 2
    clip: float = 3.0  # bound of cells and outputs within the step; 0: none
    dropout: float = 0.1  # of the input of each layer, and of the output of the last one
    init_std: float = 0.05  # of the output matrix

    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    tied: ClassVar[bool] = False  # there is no token table to tie the output layer to

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
                f"characters must be at least {max(3, len(self.filters))}, for start, a byte, end and the widest filter, but is"
                f" {self.characters} instead"
            )
        if self.width < 2 or self.width % 2:
            raise ValueError(f"width must be even, a half for each direction, but is {self.width} instead")
        if self.highways < 0 or not 0 <= self.clip < math.inf:
            raise ValueError(f"highways and clip must be 0 or more, but are {self.highways} and {self.clip} instead")

    @property
    def direction(self) -> int:
        """Width of the output of one direction."""
        return self.width // 2


class Highway(nn.Module):
    """Srivastava et al. 2015: g * relu(A x) + (1 - g) * x with g = sigmoid(B x); A and B are computed by one matrix."""

    def __init__(self, width: int):
        super().__init__()
        self.both = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """[U, F] -> [U, F]."""
        transformed, gate = self.both(x).chunk(2, -1)
        g = gate.sigmoid()
        return g * transformed.relu() + (1 - g) * x


class CharacterEncoder(nn.Module):
    """From the characters of a token to its vector."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        features = sum(config.filters)
        self.embedding = nn.Embedding(config.symbols, config.character_width)
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(config.character_width, count, over) for over, count in enumerate(config.filters, 1)]
        )
        self.highways = nn.ModuleList([Highway(features) for _ in range(config.highways)])
        self.projection = nn.Linear(features, config.direction)

    def forward(self, characters: Tensor, used: int | None = None) -> Tensor:
        """Symbols [U, C] -> [U, P]; `used` as in `without_repeats`."""
        x = self.embedding(self.without_repeats(characters, used).long()).transpose(1, 2)  # [U, K, at most C]
        x = torch.cat([convolution(x).amax(-1) for convolution in self.convolutions], -1).relu()
        for highway in self.highways:
            x = highway(x)
        return self.projection(x)

    def without_repeats(self, characters: Tensor, used: int | None = None) -> Tensor:
        """Without the last columns, in which every row repeats its last symbol, except for as many as the widest convolution
        has: the maximum of each convolution is unchanged. `used`: the most of `_before_repeats`, where it is known."""
        used = _most(_before_repeats(characters)) if used is None else used
        return characters[:, : used + len(self.convolutions)]


class Block(nn.Module):
    """One layer: an LSTM for each direction."""

    def __init__(self, config: ElmoConfig):
        super().__init__()
        self.forwards = ProjectedLstm(config.direction, config.cells, config.direction, config.clip)
        self.backwards = ProjectedLstm(config.direction, config.cells, config.direction, config.clip)


class Elmo(WithoutPositions, nn.Module):
    """ELMo as two language models, and as features for tasks (`hidden` and `layers` of `encode`)."""

    family: ClassVar[str] = "elmo"
    config_class: ClassVar[type] = ElmoConfig
    heads: ClassVar[tuple[str, ...]] = ("forward", "backward")
    label_places: ClassVar[str] = "both"
    reads_characters: ClassVar[bool] = True
    compiles: ClassVar[bool] = False  # torch.compile would unroll every step of the longest text
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
        """Initialise the weights with torch's generator. Convolutions are initialised larger than in the released code (uniform
        between -0.05 and 0.05), with which token vectors hardly differ at first, and training is slower.

        | tensor | distribution |
        | --- | --- |
        | characters | uniform between -1 and 1 |
        | convolutions over n inputs | N(0, (2/n)^0.5), He et al. 2015 |
        | highways, projection of the features, of width F | N(0, F^-0.5) |
        | input matrix of an LSTM, each gate; its projection | uniform, Glorot & Bengio 2010 |
        | recurrent matrix of an LSTM, each gate | orthogonal (Saxe et al. 2013) |
        | output matrix | N(0, init_std) |
        | biases | 0, except -2 for the gates of highways (which then pass their input on), 1 for forget gates |
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
        """Set the characters of every id, symbols [V, C] (`gyebo.text.characters.spelling`); they are saved with the weights.

        Raises ValueError for a table of another shape, or with symbols that have no row in the character embedding.
        """
        shape = (self.config.vocab_size, self.config.characters)
        if table.shape != shape:
            raise ValueError(f"the character table must be {list(shape)}, but is {list(table.shape)} instead")
        low, high = (0, 0) if table.is_meta else (int(table.min()), int(table.max()))
        if low < 0 or high >= self.config.symbols:
            raise ValueError(
                f"symbols of the character table must be from 0 to {self.config.symbols - 1}, but are {low} to {high}"
            )
        device = table.device if self.spelling.is_meta else self.spelling.device  # also known of a model without weights
        self.spelling = table.to(device, torch.int32)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        depth: int | None = None,
        return_layers: bool = False,
    ) -> Encoded:
        """Read ids [B, T]; `hidden` [B, T, D], the two directions concatenated, is zero at padding.

        `input_ids` may be the symbols [B, T, C] of any words, also of words outside the vocabulary, as in the published model.
        `layers`: the token vector, repeated twice, then the output of each layer. `depth`: number of layers that are computed;
        0: the token vectors without context. `attention_mask` [B, T] is 0 at padding; each document of `document_ids` [B, T]
        (0 = padding) is read separately. Raises ValueError where a text is longer than `config.context`, or the characters of
        an id are not set.
        """
        layout = self.lay_out(input_ids, attention_mask, document_ids)
        tokens = self._tokens(layout.gather_on_host(input_ids))
        layers = [torch.cat([tokens, tokens], -1)]
        blocks: list[Any] = list(self.blocks)[:depth]
        if blocks:
            ahead = self._read(tokens, time_steps(layout), [block.forwards for block in blocks])
            back = self._read(tokens, time_steps(layout, backwards=True), [block.backwards for block in blocks])
            layers += [torch.cat(pair, -1) for pair in zip(ahead, back)]
        return Encoded(layout.scatter(layers[-1]), tuple(map(layout.scatter, layers)) if return_layers else None)

    def _tokens(self, rows: Tensor) -> Tensor:
        """The vectors [N, P] of ids [N], or of the symbols of words [N, C], on the CPU; each distinct one is computed once."""
        words, places = rows.unique(dim=0, return_inverse=True)
        if rows.ndim == 1:
            used, known = (values[words] for values in _spelled(self.spelling))
        else:
            used, known = _before_repeats(words), words[:, 0] != 0
        if not bool(known.all()):
            raise ValueError(
                "the characters of the tokens are not set: call model.spell(gyebo.text.characters.spelling(tokenizer, "
                f"{self.config.characters}))"
            )
        words, places = (host.to_device(part, self.spelling.device) for part in (words, places))
        return F.embedding(places, self.encoder(self.spelling[words] if rows.ndim == 1 else words, _most(used)))

    def _read(self, tokens: Tensor, steps: Steps, cells: list[ProjectedLstm]) -> list[Tensor]:
        """The output of each layer of one direction, [N, P] each."""
        p = self.config.dropout if self.training else 0.0
        x, layers = tokens.index_select(0, steps.order), []
        for number, cell in enumerate(cells):
            given = dropout(x, p)
            x = cell(given, steps.sizes)
            x = x + given if number else x
            layers.append(x)
        return [x.index_select(0, steps.back) for x in (*layers[:-1], dropout(layers[-1], p))]

    def output_layer(self, hidden: Tensor, head: str = "forward") -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., P] (from hidden [..., D]), weight [V, P] and bias [V] of the final projection of a head.

        "forward" predicts the next token, from those up to a position; "backward" the previous one, from those from it on.
        Raises ValueError for a head that this model does not have.
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
        labels: Tensor | None = None,
    ) -> BidirectionalOutput:
        """The outputs of both heads; arguments as in `encode`, labels as in `with_loss`."""
        encoded = self.encode(input_ids, attention_mask, document_ids, return_layers=output_hidden_states)
        hidden = encoded.hidden
        logits, before = self.project(hidden), self.project(hidden, "backward")
        return self.with_loss(BidirectionalOutput(logits, before, hidden, encoded.layers), labels, logits, before)

    def flops(self, work: Workload, *, depth: int | None = None) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`); `depth` as in `encode`. The characters of a token are counted once for
        all its places in a batch, as they are computed."""
        c, features = self.config, sum(self.config.filters)
        distinct, symbols = work.documents("characters"), work.places("characters")
        windows = sum((symbols - distinct * (over - 1)) * over * count for over, count in enumerate(c.filters, 1))
        encoder = windows * c.character_width + distinct * (2 * c.highways * features**2 + features * c.direction)
        cell = projected_lstm_flops(work.places(), inputs=c.direction, cells=c.cells, outputs=c.direction)
        outputs = work.outputs(dict.fromkeys(self.heads, c.direction * c.vocab_size))
        return 2 * (encoder + outputs) + 2 * (c.layers if depth is None else depth) * cell

    def symbols_read(self, ids: Tensor) -> int:
        """Number of symbols that are computed of each token where ids [N] are read in one pass."""
        return self.encoder.without_repeats(self.spelling[ids]).shape[1]

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: characters, each block, the rest."""
        groups = [list(self.encoder.parameters()), *(list(block.parameters()) for block in self.blocks)]
        seen = {id(p) for group in groups for p in group}
        return [*groups, [p for p in self.parameters() if id(p) not in seen]]


_tables = WeakTensorKeyDictionary()  # spellings -> the version of these values, and what `_spelled` found


def _spelled(table: Tensor) -> tuple[Tensor, Tensor]:
    """Of a table of spellings [V, C], on the CPU, `_before_repeats` of each id and whether its symbols are set, [V] each. A
    table on a device is waited for once, as long as its values stay the same."""
    version, found = _tables.get(table, (None, None))
    if found is None or version != table._version:
        found = _before_repeats(table).cpu(), (table[:, 0] != 0).cpu()
        _tables[table] = table._version, found
    return found


def _before_repeats(characters: Tensor) -> Tensor:
    """How many symbols of each row [U, C] come before those that repeat the last one, [U]."""
    places = torch.arange(1, characters.shape[1] + 1, dtype=torch.int16, device=characters.device)
    return ((characters != characters[:, -1:]) * places).amax(1)


def _most(counts: Tensor) -> int:
    return int(counts.max()) if len(counts) else 0
