"""Kinds of task that gyebo does not have and that are answered by text: the gist of a passage, whose answer is a tuple of
words, and the tone of a text, which a head or text may answer."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from gyebo.tasks.kinds import classification
from gyebo.tasks.kinds.kind import Kind, OwnFile, TextForm
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example, look, need, text_of

MARK = "gist»"  # opens every target, and stands neither in the text nor in the label of an example


def read(text, pair, label):
    def convert(values, where, labelled):
        gist = (need if labelled else look)(values, (label,))
        answers = ((0, gist),) if gist else ()
        yield Example(where, text_of(values, (text,)), text_of(values, (pair,)), answers=answers)

    return convert


def word_overlap(predictions, examples, labels=None):
    """Share of the right words that were predicted."""
    right = [set(example.answers[0][1].split()) for example in examples]
    return {"word_overlap": fmean(len(words & set(found)) / len(words) for found, words in zip(predictions, right))}


GIST = Kind(
    name="gist",
    pipeline_tag="summarization",
    text=TextForm(
        source=lambda example, task: f"{example.pair}: {example.text}",
        target=lambda example, task: f"{MARK} {example.answers[0][1]}" if example.answers else None,
        answer=lambda text, example, task: tuple(text.removeprefix(MARK).split()),
    ),
    own_files=(
        OwnFile(
            name="gist",
            task=column_task(
                "gist", text="passage", pair="topic", label="gist", metrics=("word_overlap",), convert=read, max_length=64
            ),
        ),
    ),
    answered=lambda example: bool(example.answers),
    empty=tuple,
    row=lambda example, prediction, probability_key: {"prediction": " ".join(prediction), "words": len(prediction)},
)

TONE = replace(
    classification.KIND,
    name="tone",
    head=replace(classification.KIND.head, transformers_class="Tone"),
    text=TextForm(
        source=lambda example, task: f"tone: {example.text}",
        target=lambda example, task: example.label,
        answer=lambda text, example, task: text.strip(),
    ),
    own_files=(OwnFile(name="tone", task=column_task("tone", label="tone", metrics=("accuracy",), max_length=64)),),
)
