"""Dialogue state tracking: what a user wants after the turns so far, as a list: "숙소-종류-호텔 $$ 숙소-지역-서울 북쪽".

Slots come in alphabetical order, whatever the order in which they were mentioned, so that there is one way to write a state;
"none" is the state without slots. Of a dialogue that is too long the newest turns are read.
"""

from __future__ import annotations

from gyebo.tasks.data.klue import NO_SLOT, SLOTS_BETWEEN
from gyebo.tasks.kinds.kind import Kind, TextForm, in_columns
from gyebo.tasks.task import INVALID, Example
from gyebo.tasks.text_task import TextTask


def answer(text: str, example: Example, task: TextTask) -> tuple[str, ...]:
    """The slots that were written, each once. What is no slot stays among them as it is, or as INVALID where it is empty: it is
    wrong by every metric."""
    if text.strip() == NO_SLOT:
        return ()
    slots = ("-".join(part.strip() for part in item.split("-", 2)) for item in text.split(SLOTS_BETWEEN.strip()))
    return tuple(dict.fromkeys(slot or INVALID for slot in slots))


KIND = Kind(
    name="dialogue-state",
    pipeline_tag="text-generation",
    text=TextForm(
        source=in_columns(lambda example: {"text": example.text}),
        target=lambda example, task: None if example.label is None else str(example.label),
        answer=answer,
        columns=(("text", "dialogue"),),
        cut="start",
    ),
    command="evaluate",
    one_answer=False,
)
