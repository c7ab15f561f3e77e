"""`gyebo evaluate`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def evaluate(
    model: shared.Model,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK|CORPUS...]", help="A task, or a corpus.  [default: what the run held out]"),
    ] = None,
    data: Annotated[
        str | None, shared.word("Folder of the task, or your own file.  [default: the hub's data set]", "PATH")
    ] = None,
    text: Annotated[str | None, shared.word("Task: text column of your file.", "NAME")] = None,
    pair: Annotated[str | None, shared.word("Task: column of the second text.", "NAME")] = None,
    label: Annotated[str | None, shared.word("Task: column of the label.", "NAME")] = None,
    image: Annotated[str | None, shared.word("Task: column of the picture's file.", "NAME")] = None,
    features: Annotated[str | None, shared.word("Task: file with the regions of these pictures.", "FILE")] = None,
    predictions: Annotated[Path | None, shared.word("Task: file for the predictions.", "FILE")] = None,
    context: Annotated[int | None, shared.count("Context length in tokens.  [default: the run's, else the model's]")] = None,
    memory: Annotated[
        int | None, shared.count("Memory in tokens (Transformer-XL).  [default: the run's, else the model's]")
    ] = None,
    measure: Annotated[
        str | None,
        shared.word("Of pictures: captions (what it writes about them), or retrieval (texts and pictures found).", "NAME"),
    ] = None,
    among: Annotated[int | None, shared.whole("--measure: number of pictures.  [default: retrieval 100, captions all]")] = None,
    ablate: Annotated[str | None, shared.word("--measure: without the image or the text of each.", "NAME")] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    picture_field: Annotated[
        str | None, shared.word("Column or key of the picture.  [default: the known names]", "NAME")
    ] = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    device: shared.Device = "auto",
    precision: Annotated[
        str | None,
        shared.word(
            "float32, bfloat16, or int8 (tasks, CPU).  [default: the run's on its held-out part, else float32]", "NAME"
        ),
    ] = None,
    json: shared.Json = False,
) -> None:
    """Evaluate a model on a task or on text.

    On text: bits per byte, or for a masked model the loss on masked tokens. On pictures: as they were learned from, or what
    --measure names.

    \b
    Examples:
      gyebo evaluate runs/reviews
      gyebo evaluate runs/reviews other.txt --json
      gyebo evaluate runs/xl other.txt --memory 512
      gyebo evaluate runs/sentiment
      gyebo evaluate runs/sentiment nsmc --data nsmc/
      gyebo evaluate runs/judge world:pictures,unseen,200 --measure retrieval --among 100
    """
    from gyebo.api.evaluate import evaluate as verb

    found = verb(
        model,
        shared.readable(what or []),
        data=data,
        text=text,
        pair=pair,
        label=label,
        image=image,
        features=features,
        predictions=predictions,
        context=context,
        memory=memory,
        measure=measure,
        among=among,
        ablate=ablate,
        documents=documents,
        text_field=text_field,
        picture_field=picture_field,
        encoding=encoding,
        bad_bytes=bad_bytes,
        device=device,
        precision=precision,
        verbose=shared.console(json=True),
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
        return
    for name, value in found.items():
        shown = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        print(f"{name.replace('_', ' '):<22} {shown}")
