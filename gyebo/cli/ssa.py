"""`gyebo ssa`."""

from __future__ import annotations

import json as json_module
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared

SHEET_HELP = "Responses of chatbots (.jsonl or .csv)."
RATINGS_HELP = "More ratings (.jsonl or .csv), beside those of the page; may be repeated."


def make(
    contexts: Annotated[
        Path, typer.Argument(metavar="CONTEXTS", help="Contexts (.jsonl or .csv): the column context, a list of turns.")
    ],
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Models that were fine-tuned on dialogue.")],
    out: Annotated[Path, shared.word("Sheet to write (.jsonl or .csv).", "FILE", "-o", "--out")],
    greedy: shared.Greedy = False,
    beams: shared.Beams = None,
    rank: shared.Rank = None,
    no_repeat_turn: shared.NoRepeatTurn = None,
    temperature: shared.Temperature = None,
    top_k: shared.TopK = None,
    top_p: shared.TopP = None,
    max_new_tokens: shared.MaxNewTokens = None,
    seed: shared.Seed = None,
    encoding: shared.Encoding = None,
    device: shared.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet if it exists.")] = False,
) -> None:
    """Write a sheet: the responses of models to contexts.

    \b
    Examples:
      gyebo ssa make contexts.jsonl runs/meena runs/gpt2 -o sheet.jsonl
      gyebo ssa make contexts.csv runs/meena -o sheet.csv --rank 20 --temperature 0.88
    """
    from gyebo.jobs.ssa import make as job
    from gyebo.jobs.text_files import reading_of

    options = shared.given(
        greedy=greedy or None,
        beams=beams,
        rank=rank,
        no_repeat_turn=no_repeat_turn,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    aside = shared.console(json=True)
    count = job(
        contexts,
        models,
        out,
        options,
        device=device,
        reading=reading_of(encoding),
        overwrite=overwrite,
        note=lambda line: aside.print(line, markup=False),
    )
    print(f"{count:,} responses in {out}. Next: gyebo ssa serve {out}")


def serve(
    sheet: Annotated[Path, typer.Argument(metavar="SHEET", help=SHEET_HELP)],
    host: Annotated[str, shared.word("Address to listen on; 0.0.0.0: also for other machines.", "NAME")] = "127.0.0.1",
    port: Annotated[int, shared.natural("Port; 0: any that is free.")] = 8000,
    encoding: shared.Encoding = None,
) -> None:
    """Let people rate responses in the browser: sensible? specific?

    Each answer is stored at once in SHEET.ratings.jsonl, beside the sheet. Ctrl-C ends it.

    \b
    Examples:
      gyebo ssa serve sheet.jsonl
      gyebo ssa serve sheet.csv --port 9000
    """
    from gyebo.jobs.text_files import reading_of
    from gyebo.serving.annotation import serve as job
    from gyebo.ssa.sheet import read_sheets

    try:
        job(
            sheet,
            host=host,
            port=port,
            opened=partial(read_sheets, reading=reading_of(encoding)),
            announce=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        pass  # how one ends it


def score(
    sheets: Annotated[list[Path], typer.Argument(metavar="SHEET...", help=SHEET_HELP)],
    ratings: Annotated[list[Path] | None, shared.word(RATINGS_HELP, "FILE")] = None,
    raters: Annotated[str | None, shared.word("human, automatic or both.  [default: those there are]", "KIND")] = None,
    against: Annotated[str | None, shared.word("Bot that the others are compared with.  [default: the first]", "BOT")] = None,
    perplexity: Annotated[
        Path | None, shared.word("Correlate SSA with these perplexities: columns bot, perplexity.", "FILE")
    ] = None,
    resamples: Annotated[int, shared.count("Number of bootstrap resamples.")] = 2000,
    seed: Annotated[int, shared.natural("Random seed of the bootstrap.")] = 0,
    encoding: shared.Encoding = None,
    json: shared.Json = False,
) -> None:
    """SSA of each bot, with intervals, differences and agreement.

    Uses the ratings of the page, and those of --ratings.

    \b
    Examples:
      gyebo ssa score sheet.jsonl
      gyebo ssa score meena.csv gpt2.csv --against gpt2 --json
      gyebo ssa score sheet.jsonl --perplexity perplexity.csv
    """
    from gyebo.jobs.text_files import reading_of
    from gyebo.ssa.report import lines_of
    from gyebo.ssa.score import score as job

    found = job(
        sheets,
        ratings or [],
        raters=raters,
        against=against,
        perplexity=perplexity,
        resamples=resamples,
        seed=seed,
        reading=reading_of(encoding),
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
        return
    print("\n".join(lines_of(found)))


def export(
    sheet: Annotated[Path, typer.Argument(metavar="SHEET", help=SHEET_HELP)],
    out: Annotated[Path, shared.word("Output file (.jsonl or .csv).", "FILE", "-o", "--out")],
    encoding: shared.Encoding = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")] = False,
) -> None:
    """Write the ratings of the page to a file, one row for each rater and response.

    \b
    Examples:
      gyebo ssa export sheet.jsonl -o ratings.csv
    """
    from gyebo.jobs.ssa import export as job
    from gyebo.jobs.text_files import reading_of

    print(f"{job(sheet, out, reading=reading_of(encoding), overwrite=overwrite):,} ratings in {out}")
