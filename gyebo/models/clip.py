"""CLIP: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision". A child of GPT-2.

    text    -> GPT-2's blocks, causal -> norm -> the vector of its end token -> projection  \\
    picture -> patches -> blocks that see all patches -> norm -> the first vector -> projection  /  -> cosine x temperature

It learns which texts and pictures belong together (`gyebo/objectives/contrastive.py`), and then tells how well any text and any
picture do: it ranks what a model has drawn, and judges it.

What differs from GPT-2: the text's blocks have a twin that reads a picture (Dosovitskiy et al. 2020, "An Image is Worth 16x16
Words"): each patch of `patch` x `patch` pixels is projected to a vector, one more vector is learned for the whole, and all are
normalised before the blocks, too; GELU is approximated by x * sigmoid(1.702 x); no token is predicted.

Letters: B batch, T length of a text, P patches of a picture with the vector for the whole, S its pixels a side, D width, E
width of the projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.pretrained import Pretrained
from gyebo.models.protocol import check_shape
from gyebo.nn.cost import Workload, transformer_flops
from gyebo.nn.feedforward import ACTIVATIONS, FeedForward
from gyebo.nn.host import is_ours
from gyebo.nn.outputs import Encoded, TextsAndPicturesOutput
from gyebo.nn.ragged import Ragged, attend_ragged, ragged_layout

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue in the pictures that the published models learned from
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass
class ClipConfig:
    """The configuration of a CLIP; the defaults are the published ViT-B/32."""

    vocab_size: int = 49_408
    context: int = 77  # rows of the position table of texts, tokens
    width: int = 512  # of the text's blocks
    layers: int = 12
    heads: int = 8
    inner: int | None = None  # width of the feed-forward networks; None: 4 x width
    picture_size: int = 224  # pixels a side
    patch: int = 32  # pixels a side
    picture_width: int = 768
    picture_layers: int = 12
    picture_heads: int = 12
    picture_inner: int | None = None
    projection: int = 512  # width of the vectors that are compared
    activation: str = "quick_gelu"
    attention_dropout: float = 0.0
    norm_eps: float = 1e-5
    init_std: float = 0.02
    first_scale: float = 2.6592  # natural log of what cosines are multiplied with, before it is learned
    pad_id: int | None = None
    bos_id: int | None = None
    end_id: int | None = None  # the token whose vector stands for the text; None: that with the highest id

    tied: ClassVar[bool] = False  # there is no output layer over the vocabulary

    def __post_init__(self) -> None:
        sizes = ("width", "layers", "heads")
        check_shape(
            self,
            counts=("vocab_size", "context", "projection", "picture_size", "patch", *sizes, *(f"picture_{n}" for n in sizes)),
            shares=("attention_dropout",),
            positive=("norm_eps", "init_std", "first_scale"),
            ids=("pad_id", "bos_id", "end_id"),
        )
        for before in ("", "picture_"):
            width, heads, inner = (getattr(self, before + name) for name in ("width", "heads", "inner"))
            if width % heads:
                raise ValueError(
                    f"{before}width must be a multiple of {before}heads, but is {width} with {heads} heads instead"
                )
            if inner is not None and inner < 1:
                raise ValueError(f"{before}inner must be at least 1, or None for 4 x width, but is {inner} instead")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but is {self.activation!r} instead")
        if self.picture_size % self.patch:
            raise ValueError(
                f"picture_size must be a multiple of patch, but is {self.picture_size} with patches of {self.patch}"
            )

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward networks of the text's blocks."""
        return 4 * self.width if self.inner is None else self.inner

    @property
    def picture_inner_width(self) -> int:
        """Width of the feed-forward networks of the picture's blocks."""
        return 4 * self.picture_width if self.picture_inner is None else self.picture_inner

    @property
    def patches(self) -> int:
        """Patches of a picture."""
        return (self.picture_size // self.patch) ** 2


class Block(nn.Module):
    """One layer: the input of each sublayer is normalised, and its output is added to the residual stream (pre-norm)."""

    def __init__(self, config: ClipConfig, width: int, heads: int, inner: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.mlp = FeedForward(width, inner, config.activation)
        self.heads, self.dropout = heads, config.attention_dropout

    def forward(self, x: Tensor, layout: Ragged, *, causal: bool) -> Tensor:
        """[N, D] -> [N, D]."""
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        x = x + self.out(attend_ragged(qkv, layout, causal=causal, dropout=self.dropout if self.training else 0.0))
        return x + self.mlp(self.mlp_norm(x))


class Clip(Pretrained, nn.Module):
    """CLIP: a text and a picture encoder whose vectors are compared."""

    family: ClassVar[str] = "clip"
    compares: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = ("text", "picture")
    stacks: ClassVar[tuple[str, ...]] = ("blocks", "picture_blocks")
    config_class: ClassVar[type] = ClipConfig
    sizes: ClassVar[dict[str, ClipConfig]] = {
        "tiny": ClipConfig(4096, 32, 64, 2, 2, None, 64, 8, 64, 2, 2, projection=64),
        "mini": ClipConfig(8000, 48, 256, 4, 4, None, 64, 8, 256, 4, 4, projection=128),
        "small": ClipConfig(16_000, 64, 512, 8, 8, None, 128, 16, 512, 8, 8, projection=256),
        "base-32": ClipConfig(),
        "base-16": ClipConfig(patch=16),
        "large-14": ClipConfig(
            width=768, heads=12, patch=14, picture_width=1024, picture_layers=24, picture_heads=16, projection=768
        ),
    }

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.context, config.width)
        text = (config.width, config.heads, config.inner_width)
        self.blocks = nn.ModuleList([Block(config, *text) for _ in range(config.layers)])
        self.final_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.text_projection = nn.Linear(config.width, config.projection, bias=False)

        width = config.picture_width
        self.patch_embedding = nn.Conv2d(3, width, config.patch, stride=config.patch, bias=False)
        self.whole_embedding = nn.Parameter(torch.empty(width))
        self.patch_position_embedding = nn.Embedding(1 + config.patches, width)
        self.patch_norm = nn.LayerNorm(width, eps=config.norm_eps)
        picture = (width, config.picture_heads, config.picture_inner_width)
        self.picture_blocks = nn.ModuleList([Block(config, *picture) for _ in range(config.picture_layers)])
        self.picture_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.picture_projection = nn.Linear(width, config.projection, bias=False)

        self.scale = nn.Parameter(torch.empty(()))
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator, as the released code does with the text's; D: the width of a tower, L
        its layers.

        | tensor | distribution |
        | --- | --- |
        | token_embedding | N(0, init_std) |
        | position_embedding | N(0, init_std / 2) |
        | patch_embedding, whole_embedding, patch_position_embedding | N(0, D^-0.5) |
        | qkv, the projections | N(0, D^-0.5) |
        | out, mlp.down | N(0, (2 D L)^-0.5) |
        | mlp.up | N(0, (2 D)^-0.5) |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        | scale | first_scale |
        """
        config = self.config
        self.token_embedding.weight.normal_(0.0, config.init_std)
        self.position_embedding.weight.normal_(0.0, config.init_std / 2)
        for part in (self.patch_embedding.weight, self.whole_embedding, self.patch_position_embedding.weight):
            part.normal_(0.0, config.picture_width**-0.5)
        for blocks, width in ((self.blocks, config.width), (self.picture_blocks, config.picture_width)):
            into_stream = (2 * width * len(blocks)) ** -0.5
            block: Any
            for block in blocks:
                stds = {block.qkv: width**-0.5, block.out: into_stream, block.mlp.up: (2 * width) ** -0.5}
                for layer, std in {**stds, block.mlp.down: into_stream}.items():
                    layer.weight.normal_(0.0, std)
                    layer.bias.zero_()
        self.text_projection.weight.normal_(0.0, config.width**-0.5)
        self.picture_projection.weight.normal_(0.0, config.picture_width**-0.5)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        self.scale.fill_(config.first_scale)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        document_ids: Tensor | None = None,
        return_layers: bool = False,
    ) -> Encoded:
        """Texts [B, T], one in each row -> `hidden` [B, T, D], zero at padding, where the mask or the ids are 0. Raises
        ValueError for a text with more tokens than `config.context`."""
        layout = ragged_layout(input_ids.shape, input_ids.device, attention_mask=attention_mask, document_ids=document_ids)
        if layout.longest > self.config.context:
            most = self.config.context
            raise ValueError(f"a text must have at most {most} tokens (context), but has {layout.longest} instead")
        x = self.token_embedding(layout.gather(input_ids)) + self.position_embedding(layout.positions)
        layers = self._through(self.blocks, self.final_norm, x, layout, causal=True)
        return Encoded(layout.scatter(layers[-1]), tuple(map(layout.scatter, layers)) if return_layers else None)

    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Pictures, as bytes [B, S, S, 3] or as normalised numbers [B, 3, S, S], -> [B, P, D], the vector for the whole
        first. Raises ValueError for another size than `config.picture_size`."""
        pixels = self.normalised(pixels) if pixels.dtype == torch.uint8 else pixels
        side = self.config.picture_size
        if pixels.shape[1:] != (3, side, side):
            found = " x ".join(map(str, pixels.shape[1:]))
            raise ValueError(f"a picture must be 3 x {side} x {side} (picture_size), but is {found} instead")
        patches = self.patch_embedding(pixels.to(self.patch_embedding.weight.dtype)).flatten(2).transpose(1, 2)
        whole = self.whole_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        x = self.patch_norm(torch.cat([whole, patches], 1) + self.patch_position_embedding.weight)
        layout = ragged_layout(x.shape[:2], x.device)
        layers = self._through(self.picture_blocks, self.picture_norm, layout.gather(x), layout, causal=False)
        return layout.scatter(layers[-1])

    @staticmethod
    def normalised(pixels: Tensor) -> Tensor:
        """Pictures as bytes [B, S, S, 3] -> numbers [B, 3, S, S], as the published models read them."""
        mean, deviation = (torch.tensor(values, device=pixels.device) for values in (MEAN, DEVIATION))
        return ((pixels.float() / 255 - mean) / deviation).permute(0, 3, 1, 2)

    @staticmethod
    def _through(blocks: Any, norm: nn.Module, x: Tensor, layout: Ragged, *, causal: bool) -> list[Tensor]:
        """The input of the blocks, and the output of each."""
        layers = [x]
        for block in blocks:
            layers.append(block(layers[-1], layout, causal=causal))
        layers[-1] = norm(layers[-1])
        return layers

    def text_rows(self, hidden: Tensor, input_ids: Tensor, real: Tensor) -> Tensor:
        """The vector [B, D] that stands for each text, of `hidden` [B, T, D]: that of its first end token; `real` [B, T]."""
        if self.config.end_id is None:
            at = input_ids.masked_fill(~real, -1).argmax(1)
        else:
            ends = (input_ids == self.config.end_id) & real
            if not is_ours(input_ids) and not bool(ends.any(1).all()):
                raise ValueError(f"a text has no end token (id {self.config.end_id}), whose vector stands for it")
            at = ends.int().argmax(1)
        return hidden[torch.arange(len(at), device=at.device), at]

    def text_vectors(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, document_ids: Tensor | None = None
    ) -> Tensor:
        """Vectors of length 1 of texts [B, T] -> [B, E]. Raises ValueError for a text without its end token."""
        given = attention_mask if document_ids is None else document_ids
        real = torch.ones_like(input_ids, dtype=torch.bool) if given is None else given != 0
        hidden = self.encode(input_ids, attention_mask, document_ids=document_ids).hidden
        return F.normalize(self.project(self.text_rows(hidden, input_ids, real), "text"), dim=-1, eps=0.0)

    def picture_vectors(self, pixels: Tensor) -> Tensor:
        """Vectors of length 1 of pictures (`encode_pictures`) -> [B, E]."""
        return F.normalize(self.project(self.encode_pictures(pixels)[:, 0], "picture"), dim=-1, eps=0.0)

    def similarity(self, texts: Tensor, pictures: Tensor) -> Tensor:
        """Logits [B, C] of vectors of texts [B, E] and pictures [C, E]: their cosines, times the learned scale."""
        return texts @ pictures.T * self.scale.exp()

    def output_layer(self, hidden: Tensor, head: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., D] and matrix [E, D] of the projection of a tower, "text" or "picture"."""
        if head not in self.heads:
            raise ValueError(f"head must be one of {', '.join(self.heads)}, but is {head!r} instead")
        return hidden, (self.text_projection if head == "text" else self.picture_projection).weight, None

    def project(self, hidden: Tensor, head: str) -> Tensor:
        """Vectors that are compared, before their length is taken away: [..., D] -> [..., E]."""
        return F.linear(*self.output_layer(hidden, head))

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        *,
        return_loss: bool = False,
    ) -> TextsAndPicturesOutput:
        """Logits of all texts [B, T] and all pictures with each other; arguments as in `text_vectors` and `encode_pictures`.
        `return_loss`: that of contrast too, where each text belongs to the picture of its number."""
        texts, pictures = self.text_vectors(input_ids, attention_mask), self.picture_vectors(pixel_values)
        logits = self.similarity(texts, pictures)
        output = TextsAndPicturesOutput(logits, logits.T, texts, pictures)
        return self.with_contrast(output, logits) if return_loss else output

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: the tables of both towers, each block of both, the rest."""
        parts = ("token_embedding", "position_embedding", "patch_", "whole_embedding")
        groups = [[p for name, p in self.named_parameters() if name.startswith(parts)]]
        for stack in (self.blocks, self.picture_blocks):
            groups += [list(block.parameters()) for block in stack]
        seen = {id(p) for group in groups for p in group}
        return [*groups, [p for p in self.parameters() if id(p) not in seen]]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`) over texts and as many pictures, without comparing them."""
        config = self.config
        text = transformer_flops(
            work.places(), work.pairs(), width=config.width, layers=config.layers, inner=config.inner_width
        )
        pictures, seen, width = work.documents(), 1 + config.patches, config.picture_width
        picture = transformer_flops(
            pictures * seen,
            pictures * seen**2,
            width=width,
            layers=config.picture_layers,
            inner=config.picture_inner_width,
        )
        patches = 2 * pictures * config.patches * 3 * config.patch**2 * width
        outputs = {"text": config.width * config.projection, "picture": width * config.projection}
        return text + picture + patches + 2 * work.outputs(outputs)
