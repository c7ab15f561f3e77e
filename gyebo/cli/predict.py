"""`gyebo predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared

FILE_HELP = "One text per line (.txt, or - for stdin), or .csv, .tsv, .jsonl, .parquet."


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A fine-tuned model.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help=FILE_HELP)],
    out: Annotated[
        Path | None, shared.word("Output file: .jsonl, .csv or .parquet.  [default: print]", "FILE", "-o", "--out")
    ] = None,
    text: Annotated[str | None, shared.word("Column of the text.  [default: as in training]", "NAME")] = None,
    pair: Annotated[str | None, shared.word("Column of the second text.  [default: as in training]", "NAME")] = None,
    image: Annotated[str | None, shared.word("Column of the picture's file.  [default: as in training]", "NAME")] = None,
    features: Annotated[str | None, shared.word("File with the regions of these pictures.", "FILE")] = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    task: Annotated[str | None, shared.word("Which task, if the model learned several.", "NAME")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="With the other columns of the file beside the prediction.")] = False,
    device: shared.Device = "auto",
    precision: Annotated[str, shared.word("float32, bfloat16 or int8 (CPU).", "NAME")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")] = False,
) -> None:
    """Predict the labels of your texts with a fine-tuned model.

    Prints JSON lines. Columns are named as in training unless you give other names.

    \b
    Examples:
      gyebo predict runs/sentiment new.txt
      gyebo predict runs/mine new.csv --text review --keep -o predictions.csv
      cat new.txt | gyebo predict runs/sentiment -
      gyebo predict runs/seen new.csv --image picture --text sentence
    """
    from gyebo.api.predict import predict as verb
    from gyebo.jobs.predict import as_lines

    found = verb(
        model,
        shared.readable([shared.no_text(file, "a text is piped: echo TEXT | gyebo predict MODEL -")]),
        out=out,
        text=text,
        pair=pair,
        image=image,
        features=features,
        encoding=encoding,
        bad_bytes=bad_bytes,
        task=task,
        keep=keep,
        device=device,
        precision=precision,
        overwrite=overwrite,
        verbose=shared.console(json=True),
    )
    print(as_lines(found.rows) if out is None else found.title())
