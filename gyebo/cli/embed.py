"""`gyebo embed`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def embed(
    model: shared.Model,
    texts: Annotated[
        str,
        typer.Argument(metavar="FILE", help="One text per line, or rows of jsonl, csv, tsv, parquet; any CORPUS; - for stdin."),
    ],
    out: Annotated[Path, shared.word("The file to write: .npy or .parquet.", "FILE", "-o", "--out")],
    pooling: Annotated[
        str, shared.word("Pooling: mean (over all tokens), cls (first token) or last (last token).", "NAME")
    ] = "mean",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale each vector to length 1.")] = False,
    text_field: shared.TextField = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    device: shared.Device = "auto",
    precision: Annotated[str, shared.word("float32, bfloat16 or int8 (CPU); the output is float32.", "NAME")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")] = False,
    json: shared.Json = False,
) -> None:
    """Compute text embeddings, in the order of the file.

    \b
    Examples:
      gyebo embed runs/bert reviews.txt -o reviews.npy --normalize
      gyebo embed runs/bert reviews.jsonl --text-field review -o reviews.parquet --pooling cls
    """
    from gyebo.api.embed import embed as verb
    from gyebo.api.memory import Names

    found = verb(
        model,
        Names([shared.no_text(texts, "a text is piped: echo TEXT | gyebo embed MODEL - -o FILE")]),
        out=out,
        pooling=pooling,
        normalize=normalize,
        text_field=text_field,
        encoding=encoding,
        bad_bytes=bad_bytes,
        device=device,
        precision=precision,
        overwrite=overwrite,
        verbose=shared.console(json=True),  # what is said on the way goes to stderr
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
    else:
        print(f"{found.out}: {len(found):,} vectors of {found.shape[1]:,}")
