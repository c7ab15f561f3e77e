"""Each class alone: a case by hand, and the reports of scikit-learn and seqeval."""

import random

import pytest
from seqeval.metrics import classification_report as of_entities
from seqeval.scheme import IOB2
from sklearn.metrics import precision_recall_fscore_support

from gyebo.tasks.kinds.table import KINDS
from gyebo.tasks.metrics import by_class
from gyebo.tasks.task import Example

LABELS = ("a", "b", "c")


def scores(right, predicted, true):
    return [right / predicted if predicted else 0, right / true if true else 0, 2 * right / (predicted + true), true]


def test_a_case_by_hand():
    """What was written and is no class takes part in none of them; a class that never occurs has zeros."""
    examples = [Example(str(n), "x", label=label) for n, label in enumerate("aab")]
    found = by_class.one_class(["a", {"a": 0.2, "b": 0.7, "c": 0.1}, "nothing"], examples, LABELS)
    assert found == {"a": (1, 1, 2), "b": (0, 1, 1), "c": (0, 0, 0)}
    several = [Example("1", "x", classes=("a", "b")), Example("2", "x", classes=())]
    found = by_class.several_classes([("a", "c"), {"a": 0.6}], several, LABELS)
    assert found == {
        "a": (1, 2, 1),
        "b": (0, 0, 1),
        "c": (0, 1, 0),
    }


def test_scikit_learn_agrees():
    rng = random.Random(0)
    right = [rng.choice(LABELS) for _ in range(200)]
    predicted = [label if rng.random() < 0.6 else rng.choice(LABELS) for label in right]
    found = by_class.one_class(predicted, [Example(str(n), "x", label=label) for n, label in enumerate(right)], LABELS)
    expected = zip(*precision_recall_fscore_support(right, predicted, labels=LABELS), strict=True)
    assert [scores(*numbers) for numbers in found.values()] == [pytest.approx(row) for row in expected]


def test_seqeval_agrees():
    rng = random.Random(1)
    tags = ["O", "B-LC", "I-LC", "B-PS", "I-PS"]
    right = [[rng.choice(tags) for _ in range(12)] for _ in range(40)]
    predicted = [[tag if rng.random() < 0.8 else rng.choice(tags) for tag in text] for text in right]
    found = by_class.entity_types(predicted, [Example(str(n), "x" * 12, tags=tuple(t)) for n, t in enumerate(right)], tags)
    report = of_entities(right, predicted, mode="strict", scheme=IOB2, output_dict=True)
    assert list(found) == ["LC", "PS"]
    for name, numbers in found.items():
        expected = [report[name][part] for part in ("precision", "recall", "f1-score", "support")]
        assert scores(*numbers) == pytest.approx(expected)


def test_every_kind_whose_answers_have_names_has_it():
    assert {name for name, kind in KINDS.items() if kind.by_class} == {
        name for name, kind in KINDS.items() if kind.names_classes and name != "dependency"
    }
