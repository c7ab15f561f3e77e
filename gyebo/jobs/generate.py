"""`gyebo generate`: generate text from prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.generation import Completion, Ranking, complete, rank, stream
from gyebo.generation.guard import Decision, Guard
from gyebo.generation.options import GenerationOptions, options_from
from gyebo.generation.pplm import Control
from gyebo.generation.text import Prompt, first_answers, guarded
from gyebo.jobs.control import NOTHING, Wanted, open_control
from gyebo.jobs.guard.opening import open_guard
from gyebo.jobs.opened import Given, Loaded, open_given, refuse_moving
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES, pick_device


def open_generator(name: Given, precision: str, device: str = "auto") -> tuple[Any, Tokenizer]:
    """A model in evaluation mode on its device, and its tokenizer; ValueError for a missing one, or an unknown precision."""
    model, tokenizer = open_with(name, precision, device)
    return model, tokenizer


def open_with(name: Given, precision: str, device: str, *makers: Callable[[Any, Tokenizer], Any]) -> tuple[Any, ...]:
    """As `open_generator`, and behind model and tokenizer what each of the `makers` makes of the two while the model has its
    stored precision."""
    if precision not in DTYPES:
        raise OptionError(f"‹precision› must be one of {', '.join(DTYPES)}, but is {precision!r} instead")
    if isinstance(name, Loaded):
        refuse_moving(name, device, precision)
    place = pick_device(device)
    model, tokenizer = open_given(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    made = [make(model, tokenizer) for make in makers]
    if isinstance(name, Loaded):
        return model, tokenizer, *made
    return model.eval().to(place, DTYPES[precision]), tokenizer, *made


# Of an answer without a token before its end.
ENDED = "the model ended at once: its first token was the end (min_new_tokens=N asks for more)"


def generate(
    name: Given,
    prompts: Sequence[Prompt],
    options: dict[str, Any],
    *,
    precision: str = "float32",
    device: str = "auto",
    on_text: Callable[[str], None] | None = None,
    wanted: Wanted = NOTHING,
    note: Callable[[str], None] = lambda text: None,
    control: Control | None = None,
    guard: Path | Guard | None = None,
    mode: str | None = None,
    policy: str | None = None,
) -> list[dict[str, Any]]:
    """Answers in the order of the prompts (samples of one prompt are adjacent): prompt, text, ids, reason, log_probability;
    with rank also score, and the candidates.

    With `on_text`, it is called with what a reader sees, and nothing is returned: the prompt, if the text continues it, and the
    text; of one answer while it is generated. `wanted`, or `control`: what the answers are steered to; `note`: called with
    words of a bag that are left out, where no candidate is new, and where an answer is empty.

    `guard`: a guard, or the file of one; `mode`, `policy`: as in `open_guard`. Rows then have prompt, text, and as `guard` how
    often each decision was taken.
    """
    checked = options_from(options)
    if (wanted or control) and checked.beams > 1:
        raise OptionError(f"‹beams›={checked.beams} can't be steered: sample, or use ‹greedy›")
    check_guard(guard, mode, policy)
    steer: Callable[..., Control | None] = partial(open_control, wanted, note=note) if wanted else lambda *_: control
    watch: Callable[..., Guard | None] = lambda *_: guard if isinstance(guard, Guard) else None  # noqa: E731
    if guard is not None and not isinstance(guard, Guard):
        watch = partial(open_guard, guard, mode=mode, policy=policy, device=device, note=note)
    model, tokenizer, control, guarding = open_with(name, precision, device, steer, watch)
    rankings: list[Ranking] = []
    with torch.inference_mode():
        if on_text is not None and len(prompts) == checked.samples == checked.beams == 1 and not checked.rank:
            parts = stream(model, tokenizer, prompts[0], options=checked, control=control, guard=guarding)
            on_text("" if model.encodes_source else _text(prompts[0]))
            written = False
            for text in parts:
                on_text(text)
                written = True
            on_text("\n")
            if not written and guarding is None:
                note(ENDED)
            return []
        if guarding is not None:
            firsts = first_answers(model, tokenizer, prompts, checked, guarding, control)
            found = [_guarded(model, tokenizer, prompts, checked, guarding, answer, control) for answer in firsts]
            return found if on_text is None else _show(found, model.encodes_source, on_text)
        if checked.rank:
            rankings = rank(model, tokenizer, prompts, checked, control=control)
            answers = [ranking.best.answer for ranking in rankings]
        else:
            answers = complete(model, tokenizer, prompts, checked, control=control)
    for number in (number for number, ranking in enumerate(rankings, 1) if ranking.best.repeats):
        note(f"all candidates for prompt {number} repeat one of its lines; the most probable one was kept")
    if on_text is not None:
        for answer in answers:
            on_text(f"{'' if model.encodes_source else _text(prompts[answer.prompt])}{answer.text}\n\n")
            if not answer.text and answer.reason == "eos":
                note(f"prompt {answer.prompt + 1}: {ENDED}" if len(prompts) > 1 else ENDED)
        return []
    rows = [{"prompt": prompts[answer.prompt], **_row(answer)} for answer in answers]
    for row, ranking in zip(rows, rankings):
        shown = [{**_row(each.answer), "score": each.score, "repeats": each.repeats} for each in ranking.candidates]
        row |= {"score": ranking.best.score, "candidates": shown}
    return rows


def _text(prompt: Prompt) -> str:
    """What is shown of a prompt; one of ids is no text."""
    return prompt if isinstance(prompt, str) else ""


def _row(answer: Completion) -> dict[str, Any]:
    return {
        "text": answer.text,
        "ids": list(answer.ids),
        "reason": answer.reason,
        "log_probability": answer.log_probability,
    }


def check_guard(guard: Path | Guard | None, mode: str | None, policy: str | None) -> None:
    """OptionError for a mode or a policy without the guard that it is for."""
    for name, value in (("guard_mode", mode), ("policy", policy)):
        if guard is None and value is not None:
            raise OptionError(f"‹{name}›={value} has no effect without ‹guard›: leave it out")
        if isinstance(guard, Guard) and value is not None:
            raise OptionError(f"‹{name}›={value} has no effect on a guard that is open: leave it out, or name the guard's file")


def _guarded(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    options: GenerationOptions,
    guard: Guard,
    first: Completion,
    control: Control | None,
) -> dict[str, Any]:
    taken: Counter[str] = Counter()

    def log(decision: Decision) -> None:
        taken[decision.decision] += 1
        guard.log(decision)

    prompt = prompts[first.prompt]
    text = guarded(model, tokenizer, prompt, options, replace(guard, log=log), first, control=control)
    return {"prompt": prompt, "text": text, "guard": dict(taken)}


def _show(rows: list[dict[str, Any]], alone: bool, on_text: Callable[[str], None]) -> list[dict[str, Any]]:
    for row in rows:
        on_text(f"{'' if alone else _text(row['prompt'])}{row['text']}\n\n")
    return []
