"""How well pictures are restored from their codes, and how many codes are in use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.data.batches import Rows
from gyebo.evaluation.measures import Evaluation
from gyebo.nn.codebook import perplexity
from gyebo.nn.logit_laplace import EDGE, inside, nats
from gyebo.objectives.discrete_vae import divergence
from gyebo.objectives.picture_autoencoding import pixels_of

VALUES = 2**21  # pixel values of a batch: 170 pictures of 64 x 64
Autocast = Callable[[], Any] | None


def _batches(model: Any, rows: Rows, tokens: int | None) -> Iterator[Tensor]:
    """The held-out pictures, uint8 [B, S, S, 3], the first of them where only about so many tokens are read."""
    places = rows.plan.context
    count = len(rows.plan) if tokens is None else min(len(rows.plan), max(1, tokens // places))
    most = max(1, VALUES // (3 * model.config.picture_size**2))
    device = next(model.parameters()).device
    for start in range(0, count, most):
        numbers = np.arange(start, min(start + most, count))
        batch = rows.batch(numbers, [[0]] * len(numbers))
        yield pixels_of({name: torch.from_numpy(array) for name, array in batch.items()}).to(device)


def _context(autocast: Autocast) -> Any:
    return autocast() if autocast else torch.autocast("cpu", enabled=False)


@torch.no_grad()
def evaluate_reconstruction(model: Any, rows: Rows, *, tokens: int | None = None, autocast: Autocast = None) -> Evaluation:
    """squared_error: mean squared error of the pixel values, 0 to 1, of pictures that were restored from their codes; psnr:
    the same in decibels, -10 log10 of it; codebook_perplexity and codes_used of all codes. Parts: the sum of squared errors and
    the number of values of each picture.

    `tokens`: evaluate pictures with about this number of codes.
    """
    parts, counts = [], torch.zeros(model.config.codes, dtype=torch.int64)
    for pixels in _batches(model, rows, tokens):
        with _context(autocast):
            ids = model.encode_pixels(pixels)
            restored = model.decode_ids(ids)
        counts += torch.bincount(ids.flatten(), minlength=len(counts)).cpu()
        parts.append(squared_errors(pixels, restored))
    table = np.concatenate(parts)
    error = float(table[:, 0].sum() / table[:, 1].sum())
    metrics = {
        "squared_error": error,
        "psnr": decibels(error),
        "codebook_perplexity": perplexity(counts),
        "codes_used": int((counts > 0).sum()),
    }
    return Evaluation(metrics=metrics, parts=table)


def squared_errors(pixels: Tensor, restored: Tensor) -> NDArray[np.float64]:
    """Of pictures, uint8 [B, S, S, 3]: the sum of squared errors of the values from 0 to 1, and how many values there are [B,
    2]."""
    sums = ((pixels.int() - restored.int()).square().sum((1, 2, 3)) / 255**2).double().cpu().numpy()
    return np.stack([sums, np.full(len(sums), float(pixels[0].numel()))], axis=1)


def decibels(error: float) -> float:
    """The ratio of peak and noise of values from 0 to 1, from their mean squared error; of none at all that of an error of half
    a step of 8 bits, which can't be seen."""
    return -10 * math.log10(max(error, (0.5 / 255) ** 2))


@torch.no_grad()
def evaluate_bound(model: Any, rows: Rows, *, tokens: int | None = None, autocast: Autocast = None) -> Evaluation:
    """As `evaluate_reconstruction`, and bits_per_dim: a bound, from above, of the bits that a pixel value costs;
    kl_bits_per_dim: its part for the codes.

    -ln p(x) <= E -ln p(x | codes) + KL(codes || uniform), with codes drawn once from the encoder's distribution, always by the
    same seed. A value of 8 bits is spread evenly over its 256th of the interval from 0 to 1, likewise drawn once.
    """
    found = evaluate_reconstruction(model, rows, tokens=tokens, autocast=autocast)
    generator = torch.Generator().manual_seed(0)
    sums = np.zeros(3)  # nats of values, nats of codes, values
    for pixels in _batches(model, rows, tokens):
        with _context(autocast):
            logits = model.logits_of(model.as_floats(pixels)).float()
        noise = torch.empty(logits.shape).exponential_(generator=generator).log().to(logits.device)
        ids = (logits - noise).argmax(1)  # a draw from softmax(logits)
        with _context(autocast):
            location, log_scale = model.distribution_of(ids)
        spread = torch.rand(location.shape, generator=generator).to(location.device)
        values = inside((pixels.permute(0, 3, 1, 2) + spread) / 256).double()
        costs = nats(values, location.double(), log_scale.double()) - math.log(1 - 2 * EDGE)
        sums += [float(costs.sum()), float(divergence(logits.double()).sum()), costs.numel()]
    bits = sums[:2] / sums[2] / math.log(2)
    own = {"bits_per_dim": float(bits.sum()) + 8, "kl_bits_per_dim": float(bits[1])}
    return Evaluation(metrics=found.metrics | own, parts=found.parts)


@torch.no_grad()
def restored(model: Any, rows: Rows, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first held-out pictures and what became of them, [n, S, S, 3] each."""
    model.eval()
    pixels = next(_batches(model, rows, count * rows.plan.context))[:count]
    return pixels.cpu().numpy(), model.decode_ids(model.encode_pixels(pixels)).cpu().numpy()
