"""`gyebo draw`: pictures for a text, ranked by how well they fit to it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import gyebo
from gyebo.config.disk import disk_full
from gyebo.config.durable import replacing
from gyebo.config.errors import OptionError
from gyebo.data.picture_files import opened
from gyebo.generation.drawing import DrawingOptions, draw, padded
from gyebo.interchange import load
from gyebo.jobs.opened import Given, Loaded, check_place, open_given
from gyebo.jobs.run_directory import refuse_existing
from gyebo.models.family import find
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import pick_device

SHOWN = 128  # pixels of a side of a picture in a sheet, at least
GAP = 2  # pixels between pictures

Pixels = NDArray[np.uint8]


def draw_pictures(
    name: Given,
    text: str,
    options: dict[str, Any],
    *,
    out: Path,
    rerank: str | None = None,
    upper: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_step: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Draw pictures for a text and write them as one PNG, a sheet of all candidates, whose iTXt says the prompt and the seed.

    `rerank`: a CLIP by which the candidates are sorted, the best one first. `upper`: a picture whose upper part is kept: of a
    square one, or one that is higher than wide, the upper half. Gives text, file, seed, and of each candidate in the order of
    the sheet its number, row, column, log_probability, and with `rerank` its score, the cosine of text and picture.

    ValueError for an empty text, one that is too long, a model that draws no pictures, or an `out` that is there unless
    `overwrite`.
    """
    refuse_existing(out, overwrite, None if upper is None else str(upper))
    found, pixels = drawn_pictures(name, text, options, rerank=rerank, upper=upper, device=device, on_step=on_step)
    write_drawing(out, found, pixels, name)
    return found | {"file": str(out)}


def write_drawing(out: Path, found: dict[str, Any], pixels: Pixels, name: Given) -> None:
    """Write candidates in their order as a sheet, which says how it was drawn."""
    said = {"prompt": found["text"], "seed": str(found["seed"]), "model": published_name(str(name))}
    write_sheet(sheet(pixels, columns_of(len(pixels))), out, said)


def columns_of(count: int) -> int:
    """Of a sheet."""
    return math.ceil(count**0.5)


def drawn_pictures(
    name: Given,
    text: str,
    options: dict[str, Any],
    *,
    rerank: str | None = None,
    upper: Path | None = None,
    device: str = "auto",
    on_step: Callable[[float], None] | None = None,
) -> tuple[dict[str, Any], Pixels]:
    """As `draw_pictures`, but the candidates as pixels [C, S, S, 3] in the order of the sheet, beside what is said of them."""
    check_place(name, device, "float32")
    checked = DrawingOptions(**options)
    if not text.strip():
        raise OptionError("‹text› is empty: say what to draw")
    model, tokenizer = open_drawer(name)
    place = model.device if isinstance(name, Loaded) else pick_device(device)
    judge = open_judge(rerank) if rerank else None
    ids = tokenizer.encode(text)
    if len(ids) > model.config.context:
        raise OptionError(
            f"‹text› has {len(ids)} tokens, but {name} reads {model.config.context} at most: say it in fewer words"
        )
    pictures = model.picture_tokenizer.to(place)
    given = None if upper is None else upper_codes(upper, pictures)
    found = draw(model.to(place), [ids], checked, given=given, on_step=on_step)
    with torch.inference_mode():
        drawn = pictures.decode_ids(found.codes[0]).cpu().numpy()
    scores = None if judge is None else similarities(*judge, text, drawn)
    order = range(len(drawn)) if scores is None else sorted(range(len(drawn)), key=lambda number: -scores[number])
    columns, candidates = columns_of(len(drawn)), []
    for at, number in enumerate(order):
        entry: dict[str, Any] = {"number": number + 1, "row": at // columns + 1, "column": at % columns + 1}
        entry["log_probability"] = float(found.log_probs[0, number])
        candidates.append(entry | ({} if scores is None else {"score": scores[number]}))
    return {"text": text, "seed": checked.seed, "candidates": candidates}, drawn[[*order]]


def published_name(name: str) -> str:
    """A model's name without where it lies on this machine."""
    return Path(name).resolve().name if Path(name).exists() else name


def open_drawer(name: Given) -> tuple[Any, Tokenizer]:
    """A model that draws, with its picture tokenizer, and its tokenizer; ValueError for any other."""
    model, tokenizer = open_given(name)
    if not model.draws:
        raise ValueError(
            f"{name} holds a {find(model.family).title}, which draws no pictures: name a run of gyebo pretrain dalle"
        )
    if model.config.image_first:
        raise ValueError(
            f"{name} was trained with the picture first, and writes captions (gyebo caption): name a run that learned to draw"
        )
    return model, with_codes(name, model, tokenizer)


def with_codes(name: Given, model: Any, tokenizer: Tokenizer | None) -> Tokenizer:
    """The tokenizer of a model of texts and codes; ValueError where it lacks that or its picture tokenizer."""
    if model.picture_tokenizer is None:
        raise ValueError(f"{name} has no picture_tokenizer folder, without which codes are no pictures: name the whole run")
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    return tokenizer


def open_judge(name: str) -> tuple[Any, Tokenizer]:
    """A model that compares texts and pictures, and its tokenizer; OptionError for any other."""
    model, tokenizer = load(name)
    if not model.compares:
        raise OptionError(
            f"‹rerank›={name} holds a {find(model.family).title}, which does not compare texts with pictures: name a run of "
            "gyebo pretrain clip"
        )
    if tokenizer is None:
        raise OptionError(f"‹rerank›={name} has no tokenizer: text can't be read with it")
    return model, tokenizer


@torch.inference_mode()
def similarities(judge: Any, tokenizer: Tokenizer, text: str, drawn: Pixels) -> list[float]:
    """The cosine of a text and each picture [C, S, S, 3]. OptionError for a text that is too long for the judge."""
    ids = tokenizer(text)["input_ids"]
    if len(ids) > judge.config.context:
        raise OptionError(f"‹text› has {len(ids)} tokens for ‹rerank›, which reads {judge.config.context} at most")
    size = judge.config.picture_size
    pixels = np.stack([_resized(picture, size, size) for picture in drawn])
    vectors = judge.picture_vectors(torch.from_numpy(pixels))
    found: list[float] = (judge.text_vectors(*padded([ids], torch.device("cpu"))) @ vectors.T)[0].tolist()
    return found


def upper_codes(file: Path, pictures: Any) -> Tensor:
    """The codes [1, n] of the rows that the upper part of a picture covers. OptionError where it covers none."""
    config, image = pictures.config, opened(file, str(file))
    size, rows = config.picture_size, config.picture_size // config.factor
    height = round(size * image.height / image.width)
    pixels = _resized(np.asarray(image, np.uint8), size, max(1, height))[:size]
    kept = rows // 2 if height >= size else height // config.factor
    if not kept:
        raise OptionError(
            f"‹upper›={file}: {image.width} x {image.height} pixels are less than a row of codes: take more of it"
        )
    whole = np.concatenate([pixels, np.repeat(pixels[-1:], size - len(pixels), 0)])  # what is unknown is as the last row
    with torch.inference_mode():
        device = next(pictures.parameters()).device
        return pictures.encode_pixels(torch.from_numpy(whole[None]).to(device))[:, : kept * rows]


def _resized(picture: Pixels, width: int, height: int) -> Pixels:
    from PIL import Image

    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS), np.uint8)


def sheet(drawn: Pixels, columns: int) -> Pixels:
    """Pictures [C, S, S, 3] side by side on white, each pixel as a square where they are small."""
    scale = max(1, SHOWN // drawn.shape[1])
    large = drawn.repeat(scale, 1).repeat(scale, 2)
    side, rows = large.shape[1], math.ceil(len(drawn) / columns)
    whole = np.full((rows * (side + GAP) - GAP, columns * (side + GAP) - GAP, 3), 255, np.uint8)
    for number, picture in enumerate(large):
        y, x = (place * (side + GAP) for place in divmod(number, columns))
        whole[y : y + side, x : x + side] = picture
    return whole


def write_sheet(pixels: Pixels, out: Path, said: dict[str, str]) -> None:
    """Write a PNG with texts in iTXt (UTF-8); an interrupted one leaves what was there."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, content = PngInfo(), io.BytesIO()
    for key, value in {**said, "software": f"gyebo {gyebo.__version__}"}.items():
        info.add_itxt(key, value)
    Image.fromarray(pixels).save(content, "PNG", pnginfo=info)
    with disk_full(out, "free some space"), replacing(out) as aside:
        aside.write_bytes(content.getvalue())
