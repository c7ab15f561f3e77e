"""DALL-E: Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation". The child of GPT-2 and of the discrete VAE.

    text and padding tokens + positions, image tokens + rows + columns -> GPT-2's blocks with sparse attention -> norm
        at the text's places: the next token of the text;   from its last place on: the next image token

What differs from GPT-2 (section 2.2 and appendix B.1 of the paper):

- a sequence is a text of `context` places, then the `grid` x `grid` image tokens of its picture, row by row. Where a text is
  shorter, each place that is left has a padding token of its own, which is learned and seen like any other;
- text and image tokens have tables of their own, which are the output layers too: what is predicted is of one of both;
- an image token's position is the sum of a vector for its row and one for its column;
- an image token sees all of the text, but of the picture only its surroundings (`gyebo/nn/grid_attention.py`): layer i of them
  those above it where (i - 2) mod 4 = 0, else the previous row of tokens, and in the last layer a convolution's window;
- `start`: a learned vector before the text, from which its first token is predicted.

With `image_first` the order is reversed, and the model writes captions: the start, from which the first image token is
predicted, the picture, and then the text, whose first token is predicted from the last image token, and whose end is the
padding token of the place behind it. The text sees all of its picture, the picture nothing of its text. Tables and blocks are
the same, so a model of one order can be the start of the other. Not in the paper.

The transformer of the paper was never released; its masks are tested against their definitions, pair by pair.

Letters: B batch, T places of the sequence, P of the text, N of the picture, R pictures that are drawn, D width, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gyebo.models.pretrained import Pretrained
from gyebo.models.protocol import check_shape
from gyebo.nn.attention import attend, join_heads, split_heads
from gyebo.nn.cache import KeyValueCache
from gyebo.nn.cost import Workload, transformer_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS, FeedForward, networks_in
from gyebo.nn.grid_attention import COLUMN, CONVOLUTION, NOTHING, ROW, GridCache, Pattern, attend_behind_grid, attend_grid
from gyebo.nn.outputs import Encoded, TextAndPictureOutput
from gyebo.nn.ragged import real_tokens


@dataclass
class DalleConfig:
    """The configuration of a DALL-E; the defaults are the published one."""

    vocab_size: int = 16_384
    context: int = 256  # places of the text, tokens
    image_codes: int = 8192  # different image tokens
    grid: int = 32  # rows, and columns, of image tokens
    width: int = 3968
    layers: int = 64
    heads: int = 62
    inner: int | None = None  # width of the feed-forward network; None: 4 x width
    kernel: int = 11  # of the last layer's window
    start: bool = True  # a vector before the text, from which its first token is predicted
    image_first: bool = False  # a sequence is a picture, then its text: it writes captions
    guided: bool = False  # it also learned what comes second without what comes first, as pictures without their texts
    activation: str = "gelu_tanh"
    embedding_dropout: float = 0.0
    attention_dropout: float = 0.0
    residual_dropout: float = 0.0
    norm_eps: float = 1e-5
    init_std: float = 0.02
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    tied: ClassVar[bool] = True  # the output layers are the embeddings

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "image_codes", "grid", "width", "layers", "heads"),
            shares=("embedding_dropout", "attention_dropout", "residual_dropout"),
            positive=("norm_eps", "init_std"),
            ids=("pad_id", "bos_id", "eos_id"),
        )
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, but is {self.width} with {self.heads} heads instead")
        if self.inner is not None and self.inner < 1:
            raise ValueError(f"inner must be at least 1, or None for 4 x width, but is {self.inner} instead")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but is {self.activation!r} instead")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, as a token stands in its middle, but is {self.kernel} instead")

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward network."""
        return 4 * self.width if self.inner is None else self.inner

    @property
    def text_places(self) -> int:
        """Places before the picture."""
        return self.context + self.start

    @property
    def image_tokens(self) -> int:
        """Image tokens of a picture."""
        return self.grid * self.grid

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """What an image token sees of its picture in each layer."""
        return tuple(Pattern(kind, self.grid, self.kernel) for kind in kinds(self.layers))


def kinds(layers: int) -> tuple[str, ...]:
    """The kind of attention of each layer: rows, columns in every fourth from the second on, a convolution in the last one."""
    return (*(COLUMN if layer % 4 == 1 else ROW for layer in range(layers - 1)), CONVOLUTION)


@dataclass
class Run:
    """Shared by the blocks in one pass. `before`: places before the picture; `image_first`: its text stands behind it; `kept`:
    a list that collects the keys and values of each layer; `cache`, `words`: what the next image token, or the next token of a
    text, goes on from."""

    before: int
    image_first: bool
    kept: list[tuple[Tensor, Tensor]] | None = None
    cache: GridCache | None = None
    words: KeyValueCache | None = None


class Attention(nn.Module):
    """Causal multi-head self-attention, over the text and what the layer's pattern shows of the picture."""

    def __init__(self, config: DalleConfig, layer: int):
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.heads, self.layer, self.dropout = config.heads, layer, config.attention_dropout
        self.pattern = config.patterns[layer]

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        query, key, value = split_heads(self.qkv(x), 3 * self.heads).chunk(3, 1)  # [B, H, T, K] each
        if run.cache is not None:
            return self.out(join_heads(run.cache.attend(self.layer, query, key, value)))
        if run.words is not None:
            return self.out(join_heads(attend(query, *run.words.write(self.layer, key, value))))
        if run.kept is not None:
            run.kept.append((key, value))
        p = self.dropout if self.training else 0.0
        mix = attend_behind_grid if run.image_first else attend_grid
        return self.out(join_heads(mix(query, key, value, run.before, self.pattern, dropout=p)))


class Block(nn.Module):
    """One layer: the input of each sublayer is normalised, and its output is added to the residual stream (pre-norm)."""

    def __init__(self, config: DalleConfig, layer: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attention = Attention(config, layer)
        self.mlp_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = FeedForward(config.width, config.inner_width, config.activation)
        self.dropout = config.residual_dropout

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        p = self.dropout if self.training else 0.0
        x = x + dropout(self.attention(self.attention_norm(x), run), p)
        return x + dropout(self.mlp(self.mlp_norm(x)), p)


class Dalle(Pretrained, nn.Module):
    """DALL-E without its picture tokenizer: texts and image tokens in, predictions of both out."""

    family: ClassVar[str] = "dalle"
    draws: ClassVar[bool] = True
    captions: ClassVar[bool] = True
    learned_as: ClassVar[tuple[str, ...]] = ("image_first", "guided")
    joins: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = ("text", "image")
    config_class: ClassVar[type] = DalleConfig
    sizes: ClassVar[dict[str, DalleConfig]] = {
        "tiny": DalleConfig(4096, 32, 128, 8, 64, 4, 2, kernel=5),
        "mini": DalleConfig(8000, 48, 256, 8, 256, 6, 4, kernel=5),
        "small": DalleConfig(16_000, 64, 512, 16, 512, 8, 8),
        "korean": DalleConfig(width=768, layers=12, heads=12, start=False),
        "published": DalleConfig(),
    }

    def __init__(self, config: DalleConfig):
        super().__init__()
        self.config = config
        self.start = nn.Parameter(torch.empty(config.width)) if config.start else None
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.padding_embedding = nn.Embedding(config.context, config.width)
        self.position_embedding = nn.Embedding(config.context, config.width)
        self.image_embedding = nn.Embedding(config.image_codes, config.width)
        self.row_embedding = nn.Embedding(config.grid, config.width)
        self.column_embedding = nn.Embedding(config.grid, config.width)
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.layers)])
        self.final_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.image_head = nn.Linear(config.width, config.image_codes, bias=False)
        self.image_head.weight = self.image_embedding.weight
        self._painters: tuple[Any, ...] = ()  # no module of its own: it is not trained, and saved by itself
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator, as GPT-2's.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding, start | N(0, init_std), except: |
        | attention.out, mlp.down | N(0, init_std / sqrt(2 layers)) |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        """
        std = self.config.init_std
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                into_stream = name.endswith(("attention.out", "mlp.down"))
                module.weight.normal_(0.0, std / math.sqrt(2 * self.config.layers) if into_stream else std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        if self.start is not None:
            self.start.normal_(0.0, std)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_ids: Tensor | None = None,
        *,
        document_ids: Tensor | None = None,
        return_layers: bool = False,
    ) -> Encoded:
        """Texts [B, t] and the first image tokens of their pictures [B, n] -> `hidden` [B, P + n, D], where P counts all places
        before the picture, padding and start included; None: no image tokens.

        With `image_first` -> [B, start + n + m, D], where m is the length of the longest text, behind pictures that are whole;
        None: pictures of which nothing is known, NOTHING at each place, as at single ones.

        `attention_mask` or `document_ids` [B, t] are 0 at padding, wherever it is. Raises ValueError for a text or a picture
        with more tokens than there are places.
        """
        layers = self._blocks(self._vectors(input_ids, attention_mask, image_ids, document_ids), self._run())
        return Encoded(layers[-1], tuple(layers) if return_layers else None)

    def _run(self, **options: Any) -> Run:
        config = self.config
        return Run(int(config.start) if config.image_first else config.text_places, config.image_first, **options)

    def _vectors(self, ids: Tensor, mask: Tensor | None, codes: Tensor | None, documents: Tensor | None = None) -> Tensor:
        """The vectors of all places, [B, P + n, D]; of a model with `image_first` in that order."""
        start = [] if self.start is None else [self.start.expand(len(ids), 1, -1)]
        text, longest = self._text(ids, real_tokens(mask, documents))
        if not self.config.image_first:
            return torch.cat([*start, text, *([] if codes is None else [self._picture(codes)])], 1)
        codes = ids.new_full((len(ids), self.config.image_tokens), NOTHING) if codes is None else codes
        if longest and codes.shape[1] < self.config.image_tokens:
            raise ValueError(
                f"a text stands behind all {self.config.image_tokens} codes of its picture, but {codes.shape[1]} are given"
            )
        return torch.cat([*start, self._picture(codes), text[:, :longest]], 1)

    def _picture(self, codes: Tensor) -> Tensor:
        """The first image tokens of pictures, [B, n] -> [B, n, D]."""
        if codes.shape[1] > self.config.image_tokens:
            side = self.config.grid
            raise ValueError(
                f"a picture must have at most {side * side} codes (grid {side} x {side}), but has {codes.shape[1]} instead"
            )
        places, there = torch.arange(codes.shape[1], device=codes.device), codes != NOTHING
        placed = self._placed(codes * there, places)
        return placed if bool(there.all()) else torch.where(there[..., None], placed, self._at(places))

    def _text(self, ids: Tensor, real: Tensor | None) -> tuple[Tensor, int]:
        """Texts [B, t] in all places of a text, [B, context, D], and the length of the longest."""
        batch, places = len(ids), self.config.context
        real = torch.ones_like(ids, dtype=torch.bool) if real is None else real
        longest = int(real.sum(1).max()) if ids.numel() else 0
        if longest > places:
            raise ValueError(f"a text must have at most {places} tokens (context), but has {longest} instead")
        first = (~real).int().argsort(dim=1, stable=True)[:, :places]  # tokens before padding
        ids, real = ids.gather(1, first), real.gather(1, first)
        vectors = self.padding_embedding.weight.expand(batch, -1, -1)
        given = torch.where(real[..., None], self.token_embedding(ids), vectors[:, : ids.shape[1]])
        return torch.cat([given, vectors[:, ids.shape[1] :]], 1) + self.position_embedding.weight, longest

    def _placed(self, codes: Tensor, places: Tensor) -> Tensor:
        """Image tokens [B, n] at these places of the grid [n], as vectors [B, n, D]."""
        row, column = self.row_embedding(places // self.config.grid), self.column_embedding(places % self.config.grid)
        return self.image_embedding(codes) + row + column

    def _at(self, places: Tensor) -> Tensor:
        """Places of the grid [n] in which no image token stands, [n, D]."""
        return self.row_embedding(places // self.config.grid) + self.column_embedding(places % self.config.grid)

    def _blocks(self, vectors: Tensor, run: Run) -> list[Tensor]:
        """The input of the blocks, and the output of each."""
        x = dropout(vectors, self.config.embedding_dropout if self.training else 0.0)
        layers = [x]
        for block in self.blocks:
            x = block(x, run)
            layers.append(x)
        layers[-1] = self.final_norm(x)
        return layers

    def predicting(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Of `hidden` [B, P + n, D] the vectors that predict the text's places, [B, context, D] (without a start from the
        second on), and those that predict image tokens: one more than were read, but no more than a picture has.

        With `image_first` those that predict the m tokens of the longest text and what follows, [B, m + 1, D] (no more than
        `context`), and image tokens (without a start from the second on)."""
        if self.config.image_first:
            last = self.config.start + self.config.image_tokens - 1  # what stands there is followed by the first token
            return hidden[:, last : last + self.config.context], hidden[:, :last]
        last = self.config.text_places - 1  # what stands there is followed by the first image token
        return hidden[:, :last], hidden[:, last : last + self.config.image_tokens]

    def output_layer(self, hidden: Tensor, head: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., D] and weight of the final projection of a head, and no bias: "text" [V + context, D], of tokens and
        then of padding tokens by their place; "image" [codes, D]."""
        if head == "text":
            return hidden, torch.cat([self.token_embedding.weight, self.padding_embedding.weight]), None
        if head == "image":
            return hidden, self.image_head.weight, None
        raise ValueError(f"head must be one of {', '.join(self.heads)}, but is {head!r} instead")

    def project(self, hidden: Tensor, head: str) -> Tensor:
        """Logits of a head for any subset of positions: [..., D] -> [..., V + context] or [..., C]."""
        if head == "image":
            return self.image_head(hidden)  # the module instead of its weight: it may be packed for decoding
        rows, weight, _ = self.output_layer(hidden, head)
        return nn.functional.linear(rows, weight)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_ids: Tensor | None = None,
        *,
        document_ids: Tensor | None = None,
        output_hidden_states: bool = False,
        labels: None = None,
    ) -> TextAndPictureOutput:
        """Logits of the text's places and of the image tokens (`predicting`); arguments as in `encode`. Raises ValueError for
        `labels`."""
        if labels is not None:
            raise ValueError("labels= is not supported: text and image tokens are its labels; use gyebo.objectives")
        found = self.encode(input_ids, attention_mask, image_ids, document_ids=document_ids, return_layers=output_hidden_states)
        text, image = self.predicting(found.hidden)
        return TextAndPictureOutput(self.project(text, "text"), self.project(image, "image"), found.hidden, found.layers)

    # -- drawing

    @property
    def picture_tokenizer(self) -> Any:
        """What paints the pictures whose codes it draws; None where it has not been told."""
        return self._painters[0] if self._painters else None

    def take_picture_tokenizer(self, painter: Any) -> None:
        """Draw with the codes of this picture tokenizer. Raises ValueError where it has another number of codes or places."""
        found = painter.config.codes, painter.config.context
        if found != (self.config.image_codes, self.config.image_tokens):
            raise ValueError(
                f"the picture tokenizer has {found[0]} codes, {found[1]} of them a picture, but the model was made for "
                f"{self.config.image_codes} and {self.config.image_tokens}: they do not belong together"
            )
        self._painters = (painter,)

    def start_picture(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, image_ids: Tensor | None = None, *, copies: int = 1
    ) -> tuple[Tensor, GridCache]:
        """Read texts [B, t] and the image tokens of their pictures that are given [B, n]; `copies` of each are to be drawn.
        Returns hidden [R, D], from which the next image token is predicted, copies side by side, and a cache for `next_code`.

        Raises ValueError where all image tokens are given, and for a model with `image_first`.
        """
        if self.config.image_first:
            raise ValueError("this model was trained with the picture first, and writes captions: it draws no picture")
        given = 0 if image_ids is None else image_ids.shape[1]
        if given == self.config.image_tokens:
            raise ValueError(f"all {given} codes of the picture are given: nothing is left to draw")
        kept: list[tuple[Tensor, Tensor]] = []
        *_, hidden = self._blocks(self._vectors(input_ids, attention_mask, image_ids), self._run(kept=kept))
        cache = GridCache.of(kept, self.config.patterns, self.config.text_places, copies)
        return hidden[:, -1].repeat_interleave(copies, 0), cache

    def next_code(self, codes: Tensor, cache: GridCache) -> Tensor:
        """The image token after those in the cache, [R] -> hidden [R, D]; the cache is extended in place."""
        place = torch.tensor([cache.filled], device=codes.device)
        *_, hidden = self._blocks(self._placed(codes[:, None], place), self._run(cache=cache))
        cache.advance()
        return hidden[:, 0]

    # -- writing captions

    def read_pictures(self, image_ids: Tensor, *, slots: int) -> tuple[Tensor, KeyValueCache]:
        """Read the image tokens of pictures [B, N], NOTHING where one isn't known. Returns hidden [B, D], from which the first
        token of each text is predicted, and a cache with room for `slots` tokens, for `next_token`.

        Raises ValueError for a part of a picture, and for a model without `image_first`.
        """
        config, weight = self.config, self.token_embedding.weight
        if not config.image_first:
            raise ValueError("this model was trained with the text first, and draws: it writes no caption for a picture")
        if image_ids.shape[1] != config.image_tokens:
            raise ValueError(f"a picture has {config.image_tokens} codes, but {image_ids.shape[1]} are given")
        kept: list[tuple[Tensor, Tensor]] = []
        *_, hidden = self._blocks(self._vectors(image_ids[:, :0], None, image_ids), self._run(kept=kept))
        places, sizes = hidden.shape[1], (len(image_ids), config.heads, config.width // config.heads)
        cache = KeyValueCache.empty(
            config.layers, *sizes[:2], places + slots, sizes[2], dtype=kept[0][0].dtype, device=weight.device
        )
        for layer, part in enumerate(kept):
            cache.write(layer, *part)
        cache.advance(cache.real.new_ones(len(image_ids), places))
        return hidden[:, -1], cache

    def next_token(self, ids: Tensor, cache: KeyValueCache) -> Tensor:
        """The token after those in the cache, [R] -> hidden [R, D]; the cache, which must have room, is extended in place."""
        place = cache.used - self.config.image_tokens - self.config.start
        vectors = (self.token_embedding(ids) + self.position_embedding.weight[place])[:, None]
        *_, hidden = self._blocks(vectors, self._run(words=cache))
        cache.advance(cache.real.new_ones(len(ids), 1))
        return hidden[:, 0]

    # -- training

    def joint_layers(self) -> dict[str, FeedForward]:
        """The feed-forward networks of all blocks, through which texts and pictures pass, by their names in the model."""
        return networks_in(self)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: the tables and the start, each block, the rest."""
        tables = [p for name, p in self.named_parameters() if name == "start" or name.partition(".")[0].endswith("_embedding")]
        groups = [tables, *(list(block.parameters()) for block in self.blocks)]
        seen = {id(p) for group in groups for p in group}
        return [*groups, [p for p in self.parameters() if id(p) not in seen]]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`): each picture has all places of a text before it, and the padding there
        is computed like text; behind a picture a text is as long as it is. Stream "image": the image tokens. Of a small grid,
        too, what sparse attention costs, even where all pairs are computed because it is faster."""
        config, image, pictures = self.config, work.places("image"), work.documents("image")
        before = int(config.start) if config.image_first else config.text_places
        words, behind = (work.places(), work.pairs()) if config.image_first else (0, 0)
        behind += words * (before + config.image_tokens)
        total = 0.0
        for pattern in config.patterns:
            pairs = pictures * before**2 + image * (before + pattern.keys) + behind
            places = pictures * before + image + words
            total += transformer_flops(places, pairs, width=config.width, layers=1, inner=config.inner_width)
        outputs = {"text": config.vocab_size + config.context, "image": config.image_codes}
        return total + 2 * work.outputs({head: config.width * rows for head, rows in outputs.items()})
