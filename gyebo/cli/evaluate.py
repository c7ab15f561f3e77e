"""`gyebo evaluate`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared


def evaluate(
    model: shared.Model,
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="CORPUS", help="Text to score, all of it.  [default: the run's held-out part]")
    ] = None,
    context: Annotated[int | None, shared.count("Longest window in tokens.  [default: the run's, else the model's]")] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    bad_bytes: shared.BadBytes = None,
    device: shared.Device = "auto",
    precision: Annotated[
        str | None, shared.word("float32 or bfloat16.  [default: the run's on its held-out part, else float32]", "NAME")
    ] = None,
    json: shared.Json = False,
) -> None:
    """Bits per byte, bits per character, perplexity.

    \b
    Examples:
      gyebo evaluate runs/reviews
      gyebo evaluate runs/reviews other.txt --json
    """
    from gyebo.jobs.evaluate import evaluate as job

    result = job(
        model,
        shared.readable(corpus or []),
        context=context,
        data=shared.given(documents=documents, text_field=text_field, bad_bytes=bad_bytes),
        device=device,
        precision=precision,
    )
    if json:
        print(json_module.dumps(result, ensure_ascii=False))
        return
    for name, value in result.items():
        shown = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        print(f"{name.replace('_', ' '):<22} {shown}")
