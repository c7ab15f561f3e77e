"""`gyebo generate`."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

import typer

from gyebo.cli import options as shared


def generate(
    model: shared.Model,
    prompt: Annotated[
        list[str] | None, shared.word("Prompt; may be given several times, which makes one batch.", "TEXT", "--prompt")
    ] = None,
    max_new_tokens: shared.MaxNewTokens = None,
    min_new_tokens: Annotated[int | None, shared.whole("Minimum number of generated tokens.  [default: 0]")] = None,
    greedy: shared.Greedy = False,
    beams: shared.Beams = None,
    rank: shared.Rank = None,
    no_repeat_turn: Annotated[
        int | None, shared.whole("With --rank: no candidate that has so many tokens in common with a line of the prompt.")
    ] = None,
    length_penalty: Annotated[
        float | None,
        shared.real("Of --beams and --rank: scores are divided by length to this power; 0: sums.  [default: 1]"),
    ] = None,
    temperature: shared.Temperature = None,
    top_k: shared.TopK = None,
    top_p: shared.TopP = None,
    min_p: Annotated[
        float | None, shared.real("Sample from tokens with at least this fraction of the highest probability.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, shared.real("Repetition penalty: above 1, tokens that occurred before become less probable.")
    ] = None,
    no_repeat_ngram: Annotated[int | None, shared.whole("No n-gram of this size occurs twice.")] = None,
    samples: Annotated[int | None, shared.whole("Number of answers per prompt.  [default: 1]")] = None,
    stop: Annotated[list[str] | None, shared.word("Stop string; may be given several times.", "TEXT")] = None,
    seed: shared.Seed = None,
    bag_of_words: Annotated[
        list[str] | None,
        shared.word("Steer to the words of a file; may be given several times.", "FILE[=STRENGTH]", "--bag-of-words"),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        shared.word("Steer to a class of gyebo attribute; may be given several times.", "DIR:CLASS[=STRENGTH]", "--attribute"),
    ] = None,
    strength: Annotated[
        str | None, shared.word("Multiplies all strengths; below 0: away; 0..2: growing.  [default: 1]", "X")
    ] = None,
    settings: Annotated[
        list[str] | None, shared.word("Setting of the steering: stepsize=0.02, window=0 ...", "NAME=VALUE", "--set")
    ] = None,
    guard: shared.GuardFile = None,
    guard_mode: shared.GuardMode = None,
    policy: shared.Policy = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "float32",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per answer.")] = False,
) -> None:
    """Generate text.

    Without --prompt, each line of stdin is a prompt; on a terminal, text is generated without a prompt.

    \b
    Examples:
      gyebo generate runs/reviews --prompt "이 영화는" --top-p 0.9 --seed 1
      gyebo generate runs/reviews --prompt "정말" --beams 4 --max-new-tokens 30
      gyebo generate runs/reviews --prompt "이 영화는" --bag-of-words joy.txt --attribute runs/mood:positive
      gyebo generate runs/chatbot --prompt "뭐 해?" --guard guard.toml
      gyebo generate runs/chatbot --prompt "뭐 해?" --rank 20 --temperature 0.88
      head openings.txt | gyebo generate runs/reviews --json
    """
    from gyebo.api.generate import Answer
    from gyebo.api.generate import generate as verb

    found = verb(
        model,
        prompt or _prompts_from_stdin(),
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        greedy=greedy,
        beams=beams,
        rank=rank,
        no_repeat_turn=no_repeat_turn,
        length_penalty=length_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat_ngram,
        samples=samples,
        stop=stop,
        seed=seed,
        bag_of_words=bag_of_words,
        attribute=attribute,
        strength=strength,
        settings=settings,
        guard=guard,
        guard_mode=guard_mode,
        policy=policy,
        device=device,
        precision=precision,
        on_text=None if json else lambda text: print(text, end="", flush=True),
        verbose=shared.console(json=True),
    )
    for answers in [found] if isinstance(found, Answer) else found:
        for answer in [answers] if isinstance(answers, Answer) else answers:
            print(json_module.dumps(answer.as_dict(), ensure_ascii=False))


def _prompts_from_stdin() -> list[str]:
    """Each line of a pipe; on a terminal, and from an empty pipe, the empty prompt."""
    if sys.stdin.isatty():
        return [""]
    from gyebo.data.encoding import UTF8, whole_text

    lines = whole_text(sys.stdin.buffer.read(), "stdin", UTF8).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" and len(lines) > 1 else lines)]
