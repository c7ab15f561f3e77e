"""`gyebo generate`."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

import typer

from gyebo.cli import options as shared


def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a transformers directory, or a hub id.")],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="Text to go on from; several are read as one batch.")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer.  [default: 64]")] = None,
    min_new_tokens: Annotated[int | None, typer.Option(help="Shortest answer.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")] = False,
    beams: Annotated[int | None, typer.Option(help="Beam search with so many beams.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Beams: above 0 favours longer answers.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Below 1 bolder towards the likely, above 1 wilder.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample from the likeliest that hold this mass.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Sample from those with this share of the likeliest's probability.")
    ] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1: tokens seen before become less likely.")] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="No n tokens in a row twice.")] = None,
    samples: Annotated[int | None, typer.Option(help="Answers for each prompt.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given several times.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    json: shared.Json = False,
) -> None:
    """Let a model write.

    gyebo generate runs/reviews --prompt "이 영화는" --top-p 0.9 --seed 1

    gyebo generate runs/reviews --prompt "정말" --beams 4 --max-new-tokens 30

    Without --prompt on a terminal: from nothing. From a pipe: each line of stdin is a prompt.
    """
    from gyebo.jobs.generate import generate as job

    options = shared.given(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        greedy=greedy or None,
        beams=beams,
        length_penalty=length_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat_ngram,
        samples=samples,
        stop=tuple(stop) if stop else None,
        seed=seed,
    )
    prompts = prompt if prompt else [""] if sys.stdin.isatty() else [line.rstrip("\n") for line in sys.stdin] or [""]
    alone = len(prompts) == 1 and not json and not beams and samples in (None, 1)
    if alone:
        print(prompts[0], end="", flush=True)
        job(model, prompts, options, precision=precision, on_text=lambda text: print(text, end="", flush=True))
        print()
        return
    for answer in job(model, prompts, options, precision=precision):
        if json:
            print(json_module.dumps(answer, ensure_ascii=False))
        else:
            print(f"{answer['prompt']}{answer['text']}\n")
