"""`gyebo inspect reconstructions`: pictures, and what a model restores of them from its codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gyebo.config.run import DataOptions
from gyebo.data.picture_plans import pictures_of
from gyebo.data.prepare import open_corpus, prepare
from gyebo.evaluation.reconstruction import decibels, squared_errors
from gyebo.figures.grid import picture_grid
from gyebo.interchange import load
from gyebo.jobs.pretraining.corpus import refuse_without_pictures
from gyebo.models.family import FAMILIES, find, model_class
from gyebo.nn.codebook import perplexity
from gyebo.training.device import pick_device


@dataclass(frozen=True)
class Reconstructions:
    """What is shown: `file`, a sheet with pictures in its upper line and what was restored of them in the lower one; `codes` of
    each; `squared_error` of the pixel values (0 to 1) and `psnr` in decibels of each; `codebook_perplexity` of all these
    codes."""

    file: str
    codes: list[list[int]]
    squared_error: list[float]
    psnr: list[float]
    codebook_perplexity: float


def inspect_reconstructions(
    name: str, pictures: Sequence[str], out: Path, *, count: int = 12, device: str = "auto"
) -> Reconstructions:
    """The first pictures of a corpus through the codes of a model and back, as a PNG.

    pictures: as the CORPUS of a pretraining. Raises ValueError for a model that has no codes for pictures.
    """
    model, _ = load(name)
    if not model.tokenizes_pictures:
        known = ", ".join(family for family in FAMILIES if model_class(family).tokenizes_pictures)
        raise ValueError(f"{name} holds a {find(model.family).title}, which has no codes for pictures; these have: {known}")
    place = pick_device(device)
    data = DataOptions(corpus=list(pictures))
    refuse_without_pictures(data)
    sized = data.model_copy(update={"picture_size": model.config.picture_size})
    stored = pictures_of(prepare(open_corpus(sized, hold_out_all=True), None).valid)
    found = np.stack([stored.read(number) for number in range(min(count, len(stored)))])
    return _restored(model.to(place), torch.from_numpy(found).to(place), out)


def _restored(model: Any, pixels: torch.Tensor, out: Path) -> Reconstructions:
    ids = model.encode_pixels(pixels)
    restored = model.decode_ids(ids)
    picture_grid(out, [pixels.cpu().numpy(), restored.cpu().numpy()])
    sums = squared_errors(pixels, restored)
    errors = (sums[:, 0] / sums[:, 1]).tolist()
    counts = torch.bincount(ids.flatten(), minlength=model.config.codes)
    return Reconstructions(str(out), ids.tolist(), errors, [decibels(error) for error in errors], perplexity(counts))
