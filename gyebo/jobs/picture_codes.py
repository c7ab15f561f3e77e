"""The picture tokenizer of a model that draws, and the codes that it gives the pictures of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from gyebo.config.disk import disk_full
from gyebo.config.durable import replacing
from gyebo.config.errors import OptionError
from gyebo.data.picture_plans import pictures_of
from gyebo.data.shards import Prepared, Split
from gyebo.interchange import load
from gyebo.jobs.identity import digest
from gyebo.models.family import find

AT_ONCE = 64  # pictures


def open_picture_tokenizer(name: str) -> Any:
    """The picture tokenizer of that name; OptionError where it is another model."""
    model, _ = load(name)
    if not model.tokenizes_pictures:
        raise OptionError(
            f"‹picture_tokenizer›={name} holds a {find(model.family).title}, which gives pictures no codes: name a model of "
            "gyebo pretrain vqvae"
        )
    return model


def codes_of(prepared: Prepared, tokenizer: Any, console: Console | None = None) -> dict[str, NDArray[Any]]:
    """Name of a split -> the codes of its pictures [P, N], mapped from files beside the prepared corpus, which are made once
    for each picture tokenizer. OptionError where it reads pictures of another size."""
    size, own = pictures_of(prepared.train).size, tokenizer.config.picture_size
    if size != own:
        raise OptionError(
            f"‹data.picture_size›: the corpus has pictures of {size} pixels a side, but the picture tokenizer reads {own}: "
            f"set it to {own}"
        )
    mark = digest(tokenizer)[:16]
    return {split.name: _stored(split, tokenizer, prepared.folder, mark, console) for split in (prepared.train, prepared.valid)}


def _stored(split: Split, tokenizer: Any, folder: Path, mark: str, console: Console | None) -> NDArray[Any]:
    path, shape = folder / f"codes-{mark}.{split.name}.npy", (len(pictures_of(split)), tokenizer.config.context)
    if not _fits(path, shape):
        if console:
            console.print(f"giving {shape[0]:,} pictures ({split.name}) their codes", highlight=False)
        advice = "the prepared text is kept: free some space, or name another folder for the cache in GYEBO_CACHE"
        found = _encoded(split, tokenizer, shape)
        with disk_full(path, advice), replacing(path, shared=True) as aside, aside.open("wb") as file:
            np.save(file, found, allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _fits(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a file is there and whole."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).shape == shape
    except (OSError, ValueError, EOFError):
        return False  # it is made again


@torch.inference_mode()
def _encoded(split: Split, tokenizer: Any, shape: tuple[int, int]) -> NDArray[np.uint16]:
    pictures, found = pictures_of(split), np.zeros(shape, np.uint16)
    for first in range(0, shape[0], AT_ONCE):
        some = range(first, min(first + AT_ONCE, shape[0]))
        pixels = torch.from_numpy(np.stack([pictures.read(number) for number in some]))
        found[first : some.stop] = tokenizer.encode_pixels(pixels).numpy()
    return found
