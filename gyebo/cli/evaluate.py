"""`gyebo evaluate`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a transformers directory, or a hub id.")],
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="[CORPUS...]", help="Text; by default the run's held-out part.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Longest window in tokens.  [default: the model's]")] = None,
    documents: shared.Documents = "line",
    text_field: shared.TextField = "text",
    bad_bytes: shared.BadBytes = "refuse",
    device: shared.Device = "auto",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    json: shared.Json = False,
) -> None:
    """Bits per byte, bits per character and perplexity on text.

    gyebo evaluate runs/reviews                  the run's own held-out part

    gyebo evaluate runs/reviews other.txt        all of another text
    """
    from gyebo.jobs.evaluate import evaluate as job

    result = job(
        model,
        corpus or [],
        context=context,
        data={"documents": documents, "text_field": text_field, "bad_bytes": bad_bytes},
        device=device,
        precision=precision,
    )
    if json:
        print(json_module.dumps(result, ensure_ascii=False))
        return
    for name, value in result.items():
        shown = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        print(f"{name.replace('_', ' '):<22} {shown}")
