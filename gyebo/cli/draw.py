"""`gyebo draw`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def draw(
    model: shared.Model,
    text: Annotated[str, shared.word("What to draw.", "TEXT", "--text")],
    out: Annotated[Path, shared.word("The picture to write.", "FILE.png", "-o", "--out")],
    count: Annotated[int | None, shared.whole("Number of candidates.  [default: 1]")] = None,
    rerank: Annotated[
        str | None, shared.word("Sort the candidates by how well they fit to the text, as this CLIP says.", "CLIP")
    ] = None,
    top_k: Annotated[int | None, shared.whole("Sample from the k most probable image tokens.")] = None,
    temperature: Annotated[
        float | None, shared.real("Sampling temperature: below 1 sharpens the distribution, above 1 flattens it.")
    ] = None,
    guidance: Annotated[
        float | None, shared.real("Exaggerate what the text changes: 1 is as learned, 3 much.  [default: 1]")
    ] = None,
    seed: Annotated[int | None, shared.whole("Random seed.  [default: 0]")] = None,
    upper: Annotated[
        Path | None, shared.word("Go on from the upper part of this picture: all of a flat one, else its upper half.", "FILE")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")] = False,
    device: shared.Device = "auto",
    json: shared.Json = False,
) -> None:
    """Draw pictures for a text.

    All candidates stand in one PNG, row by row, which holds the text and the seed.

    \b
    Examples:
      gyebo draw runs/drawer --text "빨간 집" -o house.png
      gyebo draw runs/drawer --text "빨간 집" --count 16 --rerank runs/judge --top-k 64 -o houses.png
      gyebo draw runs/drawer --text "a red house" --upper sky.png --guidance 3 --seed 7 -o house.png
    """
    from gyebo.api.draw import draw as verb

    found = verb(
        model,
        text,
        out=out,
        count=count,
        rerank=rerank,
        top_k=top_k,
        temperature=temperature,
        guidance=guidance,
        seed=seed,
        upper=upper,
        overwrite=overwrite,
        device=device,
        verbose=shared.console(json=True),
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
        return
    first = found.candidates[0]
    said = f", the best one (candidate {first['number']}, score {first['score']:.3f}) first" if rerank else ""
    print(f"{found.title()}{said}")
