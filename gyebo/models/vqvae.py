"""VQ-VAE: van den Oord et al. 2017, "Neural Discrete Representation Learning".

    picture -> [ convolution 4x4, stride 2 -> ReLU ] x halvings -> residual x layers -> nearest code at each place
    codes -> convolution 3x3 -> residual x layers -> [ transposed convolution 4x4, stride 2 ] x halvings -> picture
    residual: x + convolution 1x1(ReLU(convolution 3x3(ReLU(x))))

An autoencoder whose hidden layer is a grid of words: at each place the encoder's vector is replaced by the nearest of a few
codes (`gyebo/nn/codebook.py`), so that a picture becomes a short sequence of ids, which a language model can learn to write. It
reads no text. The paper leaves open how wide a code is (64 here, as in the authors' code) and what is before the residual
blocks of the decoder.

Letters: B pictures, S pixels of a side, G places of a side of the grid, N = G x G places in all, D width of a code, W width, K
codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.pretrained import Pretrained
from gyebo.models.protocol import check_shape
from gyebo.nn.codebook import Codebook
from gyebo.nn.cost import Workload
from gyebo.nn.outputs import QuantisedPictures


@dataclass
class VqvaeConfig:
    """The configuration of a VQ-VAE."""

    tied: ClassVar[bool] = False
    picture_size: int = 64  # pixels of a side
    codes: int = 512
    code_width: int = 64
    width: int = 256
    inner: int = 256  # width within a residual block
    layers: int = 2  # residual blocks of the encoder, and of the decoder
    halvings: int = 2  # each halves the side: a code stands for 2^halvings x 2^halvings pixels
    codebook: str = "means"  # codes are running means of their vectors, or learned by a "loss"
    decay: float = 0.99  # of the running means
    patience: int = 20  # steps after which a code that no vector chose becomes a vector; 0: it stays

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("picture_size", "codes", "code_width", "width", "inner", "layers", "halvings"),
            shares=("decay",),
        )
        if self.codebook not in ("means", "loss"):
            raise ValueError(f"codebook must be means or loss, but is {self.codebook!r} instead")
        if self.patience < 0:
            raise ValueError(f"patience must be at least 0, but is {self.patience} instead")
        check_grid(self.picture_size, self.factor)

    @property
    def factor(self) -> int:
        """Pixels of a side of what a code stands for."""
        return 2**self.halvings

    @property
    def context(self) -> int:
        """Codes of a picture."""
        return (self.picture_size // self.factor) ** 2

    @property
    def halve_widths(self) -> list[tuple[int, int]]:
        """Width before and after each convolution that halves the side."""
        return [*pairwise([3, *[self.width] * self.halvings])]

    @property
    def double_widths(self) -> list[tuple[int, int]]:
        """Width before and after each that doubles it."""
        return [*pairwise([*[self.width] * self.halvings, 3])]


def check_grid(picture_size: int, factor: int) -> None:
    """ValueError where a picture is not a whole number of places high and wide."""
    if picture_size % factor:
        raise ValueError(f"picture_size must be a multiple of {factor}, what a code stands for, but is {picture_size} instead")


class PictureTokenizer(Pretrained):
    """Mixed into a model that has an `encoder`, and as functions of pixels [B, 3, S, S] from 0 to 1 and ids [B, G, G]
    `ids_of(pixels)` and `pixels_of(ids)`; its config is as in `TokenizesPictures`."""

    reads_text: ClassVar[bool] = False
    tokenizes_pictures: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = ()
    stacks: ClassVar[tuple[str, ...]] = ()

    def as_floats(self: Any, pixels: Tensor) -> Tensor:
        """Pixels [B, S, S, 3] from 0 to 255 -> [B, 3, S, S] from 0 to 1. ValueError for another size or type."""
        side = self.config.picture_size
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pictures must be uint8 [B, {side}, {side}, 3], but are {str(pixels.dtype).removeprefix('torch.')} "
                f"{[*pixels.shape]} instead"
            )
        return pixels.permute(0, 3, 1, 2).to(next(self.parameters()).dtype) / 255

    @torch.no_grad()
    def encode_pixels(self: Any, pixels: Tensor) -> Tensor:
        """Pictures, uint8 [B, S, S, 3] -> ids of their codes [B, N], row by row."""
        return self.ids_of(self.as_floats(pixels)).flatten(1)

    @torch.no_grad()
    def decode_ids(self: Any, ids: Tensor) -> Tensor:
        """Ids of codes [B, N] -> pictures, uint8 [B, S, S, 3]. ValueError for another number of places."""
        side = self.config.picture_size // self.config.factor
        if ids.ndim != 2 or ids.shape[1] != side**2:
            raise ValueError(f"a picture has {side**2} codes, but the ids are {[*ids.shape]} instead")
        pixels = self.pixels_of(ids.view(-1, side, side))
        return (255 * pixels.float()).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def layer_groups(self: Any) -> list[list[nn.Parameter]]:
        """Parameters from input to output: the encoder, the decoder with the codes."""
        first = list(self.encoder.parameters())
        seen = {id(p) for p in first}
        return [first, [p for p in self.parameters() if id(p) not in seen]]


class Residual(nn.Module):
    """A residual block."""

    def __init__(self, config: VqvaeConfig):
        super().__init__()
        self.wide = nn.Conv2d(config.width, config.inner, 3, padding=1)
        self.narrow = nn.Conv2d(config.inner, config.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, G, G] -> the same."""
        return x + self.narrow(F.relu(self.wide(F.relu(x))))


class Encoder(nn.Module):
    """A picture to a vector at each place of the grid."""

    def __init__(self, config: VqvaeConfig):
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(*widths, 4, stride=2, padding=1) for widths in config.halve_widths])
        self.blocks = nn.ModuleList([Residual(config) for _ in range(config.layers)])
        self.output = nn.Conv2d(config.width, config.code_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, D, G, G]."""
        for convolution in self.down:
            x = F.relu(convolution(x))
        for block in self.blocks:
            x = block(x)
        return self.output(F.relu(x))


class Decoder(nn.Module):
    """The mirror of the encoder."""

    def __init__(self, config: VqvaeConfig):
        super().__init__()
        self.input = nn.Conv2d(config.code_width, config.width, 3, padding=1)
        self.blocks = nn.ModuleList([Residual(config) for _ in range(config.layers)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(*widths, 4, stride=2, padding=1) for widths in config.double_widths])

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, G, G] -> [B, 3, S, S]."""
        x = self.input(x)
        for block in self.blocks:
            x = block(x)
        for convolution in self.up:
            x = convolution(F.relu(x))
        return x


class Vqvae(PictureTokenizer, nn.Module):
    """The vector-quantised variational autoencoder. Inside, pixel values lie between -1/2 and 1/2."""

    family: ClassVar[str] = "vqvae"
    quantises_vectors: ClassVar[bool] = True
    config_class: ClassVar[type] = VqvaeConfig
    sizes: ClassVar[dict[str, VqvaeConfig]] = {
        "tiny": VqvaeConfig(picture_size=32, codes=128, code_width=32, width=64, inner=32, layers=1),
        "mini": VqvaeConfig(width=128, inner=64),
        "small": VqvaeConfig(codes=1024),
        "published": VqvaeConfig(picture_size=128),
    }

    def __init__(self, config: VqvaeConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        decay = config.decay if config.codebook == "means" else None
        self.codebook = Codebook(config.codes, config.code_width, decay=decay, patience=config.patience or None)
        self.decoder = Decoder(config)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise with torch's generator: convolutions N(0, 2 / inputs of an output) (He et al. 2015), the last one a tenth
        of that wide, since pixel values vary as little, biases 0, codes N(0, 1 / D) for the first step, after which they are
        vectors of pictures."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.ConvTranspose2d):  # each output reads 2 x 2 of the 4 x 4 weights
                module.weight.normal_(0.0, (2 / (4 * module.in_channels)) ** 0.5)
        last: Any = self.decoder.up[-1]
        last.weight.mul_(0.1)
        zero_biases(self)
        self.codebook.initialise()

    def autoencode(self, pixels: Tensor) -> QuantisedPictures:
        """Pictures, uint8 [B, S, S, 3], through the codes and back."""
        values = self.as_floats(pixels) - 0.5
        vectors = _rows(grid := self.encoder(values))
        found = self.codebook(vectors)
        return QuantisedPictures(values, self.decoder(_grid(found.passed, grid.shape)), vectors, found.codes)

    def ids_of(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] from 0 to 1 -> the ids of the nearest codes [B, G, G]."""
        grid = self.encoder(pixels - 0.5)
        return self.codebook.nearest(_rows(grid)).view(len(grid), *grid.shape[2:])

    def pixels_of(self, ids: Tensor) -> Tensor:
        """Ids [B, G, G] -> [B, 3, S, S] from 0 to 1."""
        return (self.decoder(self.codebook.codes[ids].permute(0, 3, 1, 2)) + 0.5).clamp(0, 1)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`): convolutions, and the distances to all codes."""
        encoder, decoder = self.encoder, self.decoder
        inner = (encoder.blocks, encoder.output, decoder.input, decoder.blocks)
        used = sum(map(weights_of, inner)) + self.codebook.codes.numel()  # times that a weight is used for each place
        used += sum(4**i * weights_of(layer) for i, layer in enumerate(reversed([*encoder.down])))
        used += sum(4**i * weights_of(layer) for i, layer in enumerate(decoder.up))  # one for each place of its input
        return 2 * work.places() * used


def zero_biases(model: nn.Module) -> None:
    """Set all biases to 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()


def weights_of(module: nn.Module) -> int:
    """Number of weights of the convolutions of a module."""
    return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))


def _rows(grid: Tensor) -> Tensor:
    """[B, D, G, G] -> [B x N, D]."""
    return grid.permute(0, 2, 3, 1).flatten(0, 2)


def _grid(rows: Tensor, shape: torch.Size) -> Tensor:
    """[B x N, D] -> [B, D, G, G]."""
    return rows.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
