"""dVAE, the picture tokenizer of DALL-E: Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation", section 2.1, appendix A; the
layers are those of the released code and weights.

    picture -> convolution 7x7 -> groups of blocks, the side halved between them -> logits of the K codes at each place
    codes -> convolution 1x1 -> groups of blocks, the side doubled between them -> the distribution of each pixel value
    block: x + four convolutions(x) / (number of blocks of the stack)^2, each after a ReLU

As VQ-VAE, it turns a picture into a grid of codes. What differs: the encoder gives a distribution over codes instead of a
vector with a nearest one, so there is no codebook beside the decoder's first layer; in training a place holds a mixture of
codes, drawn by gumbel-softmax (Jang et al. 2017; Maddison et al. 2017), which becomes a single code as the temperature falls;
the decoder predicts a distribution of pixel values (`gyebo/nn/logit_laplace.py`).

Letters: B pictures, S pixels of a side, G places of a side of the grid, W width, K codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.protocol import check_shape
from gyebo.models.vqvae import PictureTokenizer, check_grid, weights_of, zero_biases
from gyebo.nn.cost import Workload
from gyebo.nn.logit_laplace import inside, outside
from gyebo.nn.outputs import RelaxedPictures

ENCODER_KERNELS, DECODER_KERNELS = (3, 3, 3, 1), (1, 3, 3, 3)
INPUT_KERNEL = 7


@dataclass
class DvaeConfig:
    """The configuration of a dVAE; the defaults are the published ones."""

    tied: ClassVar[bool] = False
    picture_size: int = 256  # pixels of a side
    codes: int = 8192
    code_width: int = 128  # of the decoder's first layer
    width: int = 256  # of the group next to the picture; each group further in is twice as wide
    groups: int = 4  # the side is halved between them: a code stands for 2^(groups - 1) x 2^(groups - 1) pixels
    layers: int = 2  # blocks of a group

    def __post_init__(self) -> None:
        check_shape(self, counts=("picture_size", "codes", "code_width", "width", "groups", "layers"))
        if self.width % 4:
            raise ValueError(f"width must be a multiple of 4, as blocks are narrower inside, but is {self.width} instead")
        check_grid(self.picture_size, self.factor)

    @property
    def factor(self) -> int:
        """Pixels of a side of what a code stands for."""
        return 2 ** (self.groups - 1)

    @property
    def context(self) -> int:
        """Codes of a picture."""
        return (self.picture_size // self.factor) ** 2

    @property
    def widths(self) -> list[int]:
        """The width of each group, from the picture inwards."""
        return [self.width * 2**group for group in range(self.groups)]


class Block(nn.Module):
    """A residual block with four convolutions, a quarter as wide inside. `gain`: of what it adds."""

    def __init__(self, before: int, after: int, kernels: tuple[int, ...], gain: float):
        super().__init__()
        self.gain = gain
        widths = [before, *[after // 4] * 3, after]
        shapes = zip(widths, widths[1:], kernels)
        self.skip = nn.Conv2d(before, after, 1) if before != after else None
        self.convolutions = _numbered(nn.Conv2d(i, o, kernel, padding=kernel // 2) for i, o, kernel in shapes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, H, H] -> [B, W', H, H]."""
        found = x
        for convolution in self.convolutions.values():
            found = convolution(F.relu(found))
        return (x if self.skip is None else self.skip(x)) + self.gain * found


def _numbered(modules: Iterable[nn.Module]) -> nn.ModuleDict:
    """Modules numbered from 1, as in the released weights."""
    return nn.ModuleDict({str(number): module for number, module in enumerate(modules, 1)})


class Encoder(nn.Module):
    """A picture to the logits of the codes at each place of the grid."""

    def __init__(self, config: DvaeConfig):
        super().__init__()
        widths = [config.width, *config.widths]
        self.input = nn.Conv2d(3, config.width, INPUT_KERNEL, padding=INPUT_KERNEL // 2)
        self.groups: Any = _groups(widths, ENCODER_KERNELS, config)
        self.output = nn.Conv2d(widths[-1], config.codes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, K, G, G], in float32 at least."""
        x = self.input(x)
        for number, group in self.groups.items():
            x = F.max_pool2d(x, 2) if number != "1" else x
            for block in group.values():
                x = block(x)
        return _exactly(self.output, F.relu(x))


class Decoder(nn.Module):
    """The mirror of the encoder."""

    def __init__(self, config: DvaeConfig):
        super().__init__()
        widths = [config.code_width, *reversed(config.widths)]
        self.input = nn.Conv2d(config.codes, config.code_width, 1)
        self.groups: Any = _groups(widths, DECODER_KERNELS, config)
        self.output = nn.Conv2d(widths[-1], 6, 1)

    def mixed(self, shares: Tensor) -> Tensor:
        """Shares of the codes [B, K, G, G] -> the first layer [B, D, G, G]."""
        return _exactly(self.input, shares)

    def chosen(self, ids: Tensor) -> Tensor:
        """The same of ids [B, G, G], without their shares of 0 and 1."""
        assert self.input.bias is not None
        return (F.embedding(ids, self.input.weight[:, :, 0, 0].T) + self.input.bias).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first layer -> location and ln of the scale of the pixel values, [B, 3, S, S] each."""
        for number, group in self.groups.items():
            x = F.interpolate(x, scale_factor=2, mode="nearest") if number != "1" else x
            for block in group.values():
                x = block(x)
        location, log_scale = self.output(F.relu(x)).chunk(2, dim=1)
        return location, log_scale


def _groups(widths: list[int], kernels: tuple[int, ...], config: DvaeConfig) -> nn.ModuleDict:
    """The blocks of a stack; `widths` before the first group and of each."""
    gain = 1 / (config.groups * config.layers) ** 2
    groups = (([before, *[after] * config.layers]) for before, after in pairwise(widths))
    return _numbered(_numbered(Block(*pair, kernels, gain) for pair in pairwise(group)) for group in groups)


def _exactly(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution that is not in half precision, as that of the logits and of the codes isn't in the released code either."""
    with torch.autocast(x.device.type, enabled=False):
        return convolution(x.to(convolution.weight.dtype))


class Dvae(PictureTokenizer, nn.Module):
    """The discrete variational autoencoder. Inside, pixel values lie between 0.1 and 0.9."""

    family: ClassVar[str] = "dvae"
    mixes_codes: ClassVar[bool] = True
    config_class: ClassVar[type] = DvaeConfig
    sizes: ClassVar[dict[str, DvaeConfig]] = {
        "tiny": DvaeConfig(picture_size=32, codes=128, code_width=32, width=16, groups=3, layers=1),
        "mini": DvaeConfig(picture_size=64, codes=512, code_width=64, width=32, groups=3),
        "small": DvaeConfig(picture_size=64, codes=1024, width=64, groups=3),
        "published": DvaeConfig(),
    }

    def __init__(self, config: DvaeConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise with torch's generator: convolutions N(0, 1 / inputs of an output), biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.normal_(0.0, module.weight[0].numel() ** -0.5)
        zero_biases(self)

    def autoencode(self, pixels: Tensor, *, temperature: float) -> RelaxedPictures:
        """Pictures, uint8 [B, S, S, 3], through mixtures of codes and back; the lower the temperature, the more is a mixture a
        single code. The noise is that of torch's generator."""
        values = inside(self.as_floats(pixels))
        logits = self.encoder(values)
        shares = F.gumbel_softmax(logits, tau=temperature, dim=1)
        location, log_scale = self.decoder(self.decoder.mixed(shares))
        return RelaxedPictures(values, location, log_scale, logits)

    def logits_of(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] from 0 to 1 -> the logits of the codes [B, K, G, G]."""
        return self.encoder(inside(pixels))

    def ids_of(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] from 0 to 1 -> the ids of the most probable codes [B, G, G]."""
        return self.logits_of(pixels).argmax(1)

    def distribution_of(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids [B, G, G] -> location and ln of the scale of the pixel values, [B, 3, S, S] each."""
        return self.decoder(self.decoder.chosen(ids))

    def pixels_of(self, ids: Tensor) -> Tensor:
        """Ids [B, G, G] -> [B, 3, S, S] from 0 to 1, without the scale."""
        return outside(self.distribution_of(ids)[0].sigmoid())

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        encoder, decoder, steps = self.encoder, self.decoder, self.config.groups - 1
        used = weights_of(encoder.output) + weights_of(decoder.input)  # times that a weight is used for each place
        used += 4**steps * (weights_of(encoder.input) + weights_of(decoder.output))
        for stack in ([*encoder.groups.values()], [*reversed([*decoder.groups.values()])]):  # from the picture inwards
            used += sum(4 ** (steps - i) * weights_of(group) for i, group in enumerate(stack))
        return 2 * work.places() * used
