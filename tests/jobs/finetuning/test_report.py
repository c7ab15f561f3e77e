"""The plots of a fine-tuning, whose predictions may come from a head or from a model that writes."""

from dataclasses import replace

import numpy as np
import pytest

from gyebo.jobs.finetuning import report
from gyebo.jobs.finetuning.setup import TaskPart
from gyebo.tasks.data.own_file import user_task
from gyebo.tasks.kinds.table import KINDS
from gyebo.tasks.splits import TaskData
from gyebo.tasks.task import Example
from gyebo.tasks.wording import text_task

RECORDS = [{"step": 1, "loss": 2.0}, {"step": 1, "evaluation": {"accuracy": 0.5, "macro_f1": 0.5}}]
TEST = [Example(str(number), "a", label=label) for number, label in enumerate(("bad", "good", "good"))]


def part(task, texts, form=None):
    data = TaskData(task, texts, texts, texts, "test")
    return TaskPart(data=data, kind=KINDS[task.kind], features={}, predict=None, longest={}, texts=form)


@pytest.mark.parametrize(
    ("predictions", "counts", "left_out"),
    [
        (["bad", "good", "bad"], [[1, 0], [1, 1]], ""),
        ([{"bad": 0.7, "good": 0.3}, {"bad": 0.1, "good": 0.9}, {"bad": 0.9, "good": 0.1}], [[1, 0], [1, 1]], ""),
        (["bad", "goo", "good"], [[1, 0], [0, 1]], "1 answers"),
        (["x", "y", ""], None, ""),
    ],
)
def test_what_is_no_class_is_left_out_of_the_confusion_matrix(tmp_path, monkeypatch, predictions, counts, left_out):
    drawn = []
    monkeypatch.setattr(report, "confusion_matrix", lambda path, table, labels: drawn.append(table) or {})
    task = replace(user_task("classification"), labels=("bad", "good"))
    found = report.pictures(tmp_path, [part(task, TEST)], task.score, [predictions], RECORDS)
    assert drawn == ([counts] if counts else [])
    assert [caption for caption in found if "confusion" in caption and left_out in caption] or not counts


def test_texts_are_compared_with_what_the_kind_says_is_the_target(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "score_by_length", lambda path, curves, score: drawn.append(curves))
    task = replace(user_task("translation", "ko", None, "en"), metrics=("bleu",), score="bleu")
    form = replace(KINDS["translation"].text, target=lambda example, task: example.pair)
    texts = [Example(str(number), "a", "one two three four", label="five") for number in range(12)]
    records = [{"step": 1, "loss": 2.0}, {"step": 1, "evaluation": {"bleu": 0.5}}]
    one = part(task, texts, form.of(text_task(task, prefixes=False)))
    report.pictures(tmp_path, [one], task.score, [["one two three four"] * 12], records)
    ((_, score),) = drawn[0][task.name]
    assert np.isclose(score, 1)
