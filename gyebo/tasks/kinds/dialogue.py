"""Dialogue: the response to up to seven turns of a conversation (Adiwardana et al. 2020, section 3.1)."""

from __future__ import annotations

from typing import Any

from gyebo.config.errors import OptionError
from gyebo.tasks.data.dialogues import own_dialogues
from gyebo.tasks.dialogue import MOST_TURNS, turns_of
from gyebo.tasks.kinds.kind import Kind, OwnFile, TextForm, all_texts, in_columns
from gyebo.tasks.response import Response
from gyebo.tasks.task import Example, Task


def _own(turns: str | None, pair: str | None, response: str | None) -> Task:
    if pair is not None:
        raise OptionError("‹pair› has no effect on dialogue: leave it out")
    return own_dialogues(turns, response)


def _both(example: Example) -> tuple[str, ...]:
    return (*all_texts(example), *((str(example.label),) if example.label is not None else ()))


def _scored(found: Response | None, nats: float, tokens: int) -> Response:
    return Response(found.text if found else None, nats, tokens)


def _row(example: Example, found: Response, probability_key: str) -> dict[str, Any]:
    likelihood = {} if found.nats is None else {"nats": found.nats, "tokens": found.tokens}
    return {"turns": turns_of(example), "prediction": found.text, **likelihood}


KIND = Kind(
    name="dialogue",
    pipeline_tag="text2text-generation",
    text=TextForm(
        source=in_columns(lambda example: {"text": example.text}),
        target=lambda example, task: None if example.label is None else str(example.label),
        answer=lambda text, example, task: Response(text.strip()),
        columns=(("text", ""),),
        turns=MOST_TURNS,
        scored=_scored,
    ),
    own_files=(OwnFile(name="dialogue", task=_own),),
    lines=True,
    bpe_dropout=True,
    always_answered=True,
    texts=_both,
    one_answer=False,
    row=_row,
)
