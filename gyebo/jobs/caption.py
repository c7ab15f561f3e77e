"""`gyebo caption`: a text about each of some pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.config.run import DataOptions
from gyebo.data.picture_files import seen
from gyebo.data.records import Record
from gyebo.generation.captioning import caption
from gyebo.generation.options import GenerationOptions, options_from
from gyebo.generation.text import Completion
from gyebo.interchange import load
from gyebo.jobs.draw import with_codes
from gyebo.jobs.picture_codes import AT_ONCE
from gyebo.jobs.picture_reading import pictures_as_read
from gyebo.models.family import find
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import pick_device


def caption_pictures(
    name: str, pictures: Sequence[Path], options: dict[str, Any], *, device: str = "auto"
) -> list[dict[str, Any]]:
    """What a model writes about picture files, in their order, the samples of one adjacent: of each text its picture, text,
    ids, reason and log_probability.

    `options`: of generation; greedy where they say nothing of how a token is chosen. A picture is read as those of the model's
    run were. ValueError for a model that writes no captions, a file that is no picture, and options as in `complete`.
    """
    checked = captioning_options(options)
    model, tokenizer = open_captioner(name)
    read = DataOptions(corpus=["."], **(pictures_as_read(name, model) or {}))
    pixels = [_pixels(path, read) for path in pictures]
    found = captions_of(model.to(pick_device(device)).eval(), tokenizer, pixels, checked)
    return [
        {
            "picture": str(pictures[number]),
            "text": answer.text,
            "ids": list(answer.ids),
            "reason": answer.reason,
            "log_probability": answer.log_probability,
        }
        for number, answer in found
    ]


def captioning_options(given: dict[str, Any]) -> GenerationOptions:
    """Options of generation, greedy where nothing is about another way to choose."""
    others = ("beams", "rank", "samples", "seed", "temperature", "top_k", "top_p", "min_p")
    return options_from(given if any(name in given for name in others) else {"greedy": True} | given)


def open_captioner(name: str) -> tuple[Any, Tokenizer]:
    """A model that writes captions, with its picture tokenizer, and its tokenizer; ValueError for any other."""
    model, tokenizer = load(name)
    advice = "name a run of gyebo pretrain dalle with --set objective.name=image-to-text"
    if not model.captions:
        raise ValueError(f"{name} holds a {find(model.family).title}, which writes no captions: {advice}")
    if not model.config.image_first:
        raise ValueError(f"{name} was trained with the text first, and draws (gyebo draw): {advice}")
    return model, with_codes(name, model, tokenizer)


def _pixels(path: Path, options: DataOptions) -> NDArray[np.uint8]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file: name pictures, as .png or .jpg")
    return seen(Record(str(path), path, ()), options).pixels


def captions_of(
    model: Any, tokenizer: Tokenizer, pixels: Sequence[NDArray[np.uint8]], options: GenerationOptions
) -> Iterator[tuple[int, Completion]]:
    """(number of the picture, caption) of pictures in the size of the model, the samples of one adjacent."""
    for first in range(0, len(pixels), AT_ONCE):
        some = np.stack(pixels[first : first + AT_ONCE])
        for answer in caption(model, tokenizer, codes_of_pixels(model, some), options):
            yield first + answer.prompt, answer


@torch.inference_mode()
def codes_of_pixels(model: Any, pixels: NDArray[np.uint8]) -> Tensor:
    """The image tokens [B, N] of pictures [B, S, S, 3], on the model's device."""
    device = next(model.parameters()).device
    painter = model.picture_tokenizer.to(device).eval()
    codes: Tensor = painter.encode_pixels(torch.from_numpy(pixels).to(device))
    return codes
