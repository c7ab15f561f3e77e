"""Summaries: a short text that says what a long one says."""

from __future__ import annotations

from dataclasses import replace

from gyebo.tasks.kinds.kind import Kind, OwnFile, TextForm, all_texts, in_columns
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example, Task

PREFIX = "summarize:"  # Raffel et al. 2020, appendix D.15
METRICS = ("rouge_l", "rouge_1", "rouge_2")


def _own(text: str | None, pair: str | None, label: str | None) -> Task:
    make = column_task("summary", label="summary", metrics=METRICS, max_length=512, pairs=False, target=True)
    return replace(make(text, pair, label), prefix=PREFIX, columns=(("text", ""),))


def _both(example: Example) -> tuple[str, ...]:
    return (*all_texts(example), *((str(example.label),) if example.label is not None else ()))


KIND = Kind(
    name="summary",
    pipeline_tag="summarization",
    text=TextForm(
        source=in_columns(lambda example: {"text": example.text}),
        target=lambda example, task: None if example.label is None else str(example.label),
        answer=lambda text, example, task: text.strip(),
        columns=(("text", ""),),
        cut="end",
    ),
    own_files=(OwnFile(name="summary", task=_own),),
    lines=True,
    bpe_dropout=True,
    texts=_both,
    one_answer=False,
    empty=str,
    picture="lengths",
    score_by_length=("rouge_l", "ROUGE-L"),
)
