"""`gyebo caption`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def caption(
    model: shared.Model,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Picture files (PNG, JPEG, WEBP, GIF, BMP).")],
    max_new_tokens: Annotated[int | None, shared.whole("Maximum number of tokens of a text.  [default: the model's]")] = None,
    beams: shared.Beams = None,
    length_penalty: Annotated[
        float | None,
        shared.real("Of --beams and --rank: scores are divided by length to this power; 0: sums.  [default: 1]"),
    ] = None,
    samples: Annotated[int | None, shared.whole("Sample: number of texts of each picture.")] = None,
    rank: shared.Rank = None,
    temperature: shared.Temperature = None,
    top_k: shared.TopK = None,
    top_p: shared.TopP = None,
    seed: Annotated[int | None, shared.whole("Sample: random seed.  [default: 0]")] = None,
    device: shared.Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per text.")] = False,
) -> None:
    """Write what is in pictures, a line for each.

    MODEL is a DALL-E that was trained with the picture first: gyebo pretrain dalle CORPUS --picture-tokenizer MODEL --set
    objective.name=image-to-text. Decoding is greedy, unless an option says otherwise.

    \b
    Examples:
      gyebo caption runs/captioner house.png
      gyebo caption runs/captioner scenes/*.png --beams 4 --json
      gyebo caption runs/captioner house.png --samples 5 --temperature 0.7 --seed 1
    """
    from gyebo.jobs.caption import caption_pictures

    options = shared.given(
        max_new_tokens=max_new_tokens,
        beams=beams,
        length_penalty=length_penalty,
        samples=samples,
        rank=rank,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )
    for row in caption_pictures(model, pictures, options, device=device):
        print(json_module.dumps(row, ensure_ascii=False) if json else " ".join(row["text"].split()))
