"""Metrics of multi-label classification: cases by hand, and scikit-learn's own binarizer beside ours."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from gyebo.tasks.metrics import metrics, multi_label
from gyebo.tasks.task import Example

LABELS = ["a", "b", "c", "d"]
ALL = ("multi_label_macro_f1", "multi_label_micro_f1", "subset_accuracy")


def examples(*classes):
    return [Example(str(n), "text", classes=one) for n, one in enumerate(classes)]


def value(name, predictions, right, labels=LABELS):
    return metrics.METRICS[name].function(predictions, right, labels)[name]


def test_a_case_by_hand():
    """a: 1 right of 2 predicted and 1 true, F1 2/3; b: 0 of 0 and 1, F1 0; c, d occur nowhere. In all 1 of 2 and 2."""
    predictions, right = [("a",), {"a": 0.5, "b": 0.49, "c": 0.1, "d": 0.0}], examples(("a",), ("b",))
    assert value("multi_label_macro_f1", predictions, right) == pytest.approx((2 / 3 + 0) / 2)
    assert value("multi_label_micro_f1", predictions, right) == pytest.approx(2 / 4)
    assert value("subset_accuracy", predictions, right) == 0.5
    assert value("subset_accuracy", [(), ()], examples((), ("a",))) == 0.5
    assert [value(name, [()], examples(())) for name in ALL] == [0.0, 0.0, 1.0]


def test_a_class_that_the_task_has_not_is_wrong():
    predictions, right = [("a", "x")], examples(("a",))
    assert value("multi_label_macro_f1", predictions, right) == 1.0  # a mean over the task's classes
    assert value("multi_label_micro_f1", predictions, right) == pytest.approx(2 / 3)
    assert value("subset_accuracy", predictions, right) == 0.0


def test_scikit_learn_agrees_and_so_do_sums_over_examples():
    rng = np.random.default_rng(0)
    sides = [[tuple(name for name in LABELS if rng.random() < 0.3) for _ in range(200)] for _ in range(2)]
    predictions, right = sides[0], examples(*sides[1])
    theirs = MultiLabelBinarizer(classes=LABELS).fit(sides[1])
    predicted, true = map(theirs.transform, sides)
    expected = {
        "multi_label_macro_f1": f1_score(true, predicted, average="macro"),
        "multi_label_micro_f1": f1_score(true, predicted, average="micro"),
        "subset_accuracy": accuracy_score(true, predicted),
    }
    for name in ALL:
        assert value(name, predictions, right) == pytest.approx(expected[name]), name
        parts = metrics.METRICS[name].parts
        rows = parts.rows(predictions, right, LABELS)
        assert len(rows) == 200 and float(parts.of_sums(rows.sum(0)[None])[0]) == pytest.approx(expected[name]), name


def test_examples_without_classes_cannot_be_scored():
    with pytest.raises(ValueError, match="1 has no classes"):
        multi_label.subset_accuracy([(), ()], examples((), None))
