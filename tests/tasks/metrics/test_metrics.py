"""General metrics against cases computed by hand, and against other ways to compute them."""

import math
import random
import sys

import numpy as np
import pytest

from gyebo.tasks.metrics.metrics import (
    METRICS,
    accuracy,
    answer_f1,
    confusion,
    entity_f1,
    entity_macro_f1,
    exact_match,
    glue_score,
    lowest_of,
    macro_f1,
    matthews,
    meaning_of,
    measure,
    micro_f1,
    normalise_answer,
    pearson,
    positive_f1,
    seed_statistics,
    spearman,
)
from gyebo.tasks.registry import find
from gyebo.tasks.task import Example

pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("seqeval")


def labelled(*labels):
    return [Example(str(i), "x", label=label) for i, label in enumerate(labels)]


def tagged(*texts):
    return [Example(str(i), "x" * len(tags.split()), tags=tuple(tags.split())) for i, tags in enumerate(texts)]


def only(values):
    ((_, value),) = values.items()
    return value


# classes --------------------------------------------------------------------------------------------------------------


def test_classes_by_hand():
    right, predicted = labelled("a", "b", "c", "c"), ["a", "b", "b", "c"]
    assert accuracy(predicted, right) == {"accuracy": 0.75}
    assert micro_f1(predicted, right) == {"micro_f1": pytest.approx(0.75)}
    assert macro_f1(predicted, right) == {"macro_f1": pytest.approx((1 + 2 / 3 + 2 / 3) / 3)}


def test_two_classes_by_hand():
    right, predicted = labelled("yes", "yes", "no", "no", "yes"), ["yes", "no", "yes", "no", "yes"]
    assert only(positive_f1(predicted, right, ("no", "yes"))) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert only(positive_f1(predicted, right, ("yes", "no"))) == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert only(matthews(predicted, right)) == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))
    with pytest.raises(ValueError, match="positive_f1 needs two labels"):
        positive_f1(predicted, right)


def test_constant_predictions_have_matthews_0():
    assert only(matthews(["a", "a", "a"], labelled("a", "b", "a"))) == 0.0


def test_classes_against_counting():
    rng = random.Random(0)
    names = "abcde"
    right = labelled(*rng.choices(names, k=300))
    predicted = rng.choices(names + "f", k=300)  # f is never right, but takes part in the mean
    f1 = []
    for name in names + "f":
        hits = sum(p == name == e.label for p, e in zip(predicted, right))
        f1.append(2 * hits / (predicted.count(name) + sum(e.label == name for e in right)))
    assert only(macro_f1(predicted, right)) == pytest.approx(sum(f1) / 6)
    # Matthews for several classes is the correlation of the indicator matrices (Gorodkin 2004).
    x = np.array([[p == n for n in names + "f"] for p in predicted], float)
    y = np.array([[e.label == n for n in names + "f"] for e in right], float)
    x, y = x - x.mean(0), y - y.mean(0)
    assert only(matthews(predicted, right)) == pytest.approx((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum()))


def test_probabilities_are_classes_by_their_largest():
    right = labelled("a", "b")
    assert only(accuracy([{"a": 0.6, "b": 0.4}, {"a": 0.7, "b": 0.3}], right)) == 0.5


def test_options_are_scored_by_number():
    assert only(accuracy([2, 0], labelled(2, 1))) == 0.5


def test_confusion_counts():
    right, predicted = labelled("a", "b", "c", "c"), ["a", "b", "b", "c"]
    assert confusion(predicted, right, ("a", "b", "c")) == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    with pytest.raises(ValueError, match="the class 'c' is none of a, b"):
        confusion(predicted, right, ("a", "b"))


# scores ---------------------------------------------------------------------------------------------------------------


def test_correlations_by_hand():
    assert only(pearson([1, 2, 3], labelled(1.0, 2.0, 4.0))) == pytest.approx(3 / math.sqrt(2 * 14 / 3))
    # Ranks 1, 2, 3, 4 against 1, 2.5, 2.5, 4: covariance 4.5, variances 5 and 4.5.
    assert only(spearman([1, 2, 3, 4], labelled(10.0, 20.0, 20.0, 30.0))) == pytest.approx(4.5 / math.sqrt(5 * 4.5))


@pytest.mark.parametrize(
    ("name", "predictions", "labels"),
    [
        ("pearson", [3, 2, 1], [1.0, 2.0, 3.0]),
        ("spearman", [9, 2, 1], [1.0, 2.0, 3.0]),
        ("matthews", ["b", "a"], ["a", "b"]),
        ("accuracy", ["b", "a"], ["a", "b"]),
        ("macro_f1", ["b", "a"], ["a", "b"]),
    ],
)
def test_the_worst_value_is_that_of_the_table(name, predictions, labels):
    assert only(METRICS[name].function(predictions, labelled(*labels), None)) == pytest.approx(lowest_of(name))


def test_fewer_examples_than_the_table_says_are_refused():
    needing = {name: metric for name, metric in METRICS.items() if metric.least > 1}
    assert needing.keys() == {"pearson", "spearman"}
    for metric in needing.values():
        with pytest.raises(ValueError, match="at least two"):
            metric.function([1.0], labelled(1.0), None)


def test_an_older_result_may_name_a_metric_that_is_gone():
    assert lowest_of("gone") == 0 and meaning_of("gone", "unsaid") == meaning_of("slot_f1", "unsaid") == "unsaid"


def test_correlations_against_numpy():
    rng = np.random.default_rng(0)
    right = rng.normal(size=50)
    predicted = right + rng.normal(size=50)
    examples = labelled(*right)
    assert only(pearson(list(predicted), examples)) == pytest.approx(np.corrcoef(predicted, right)[0, 1])
    ranks = np.corrcoef(predicted.argsort().argsort(), right.argsort().argsort())[0, 1]
    assert only(spearman(list(predicted), examples)) == pytest.approx(ranks)


def test_constant_scores_have_no_correlation(recwarn):
    assert only(pearson([1, 1, 1], labelled(1.0, 2.0, 3.0))) == 0.0
    assert only(spearman([1, 1, 1], labelled(1.0, 2.0, 3.0))) == 0.0
    assert not recwarn.list
    with pytest.raises(ValueError, match="the prediction for 1 is nan"):
        pearson([1, math.nan], labelled(1.0, 2.0))
    with pytest.raises(ValueError, match="at least two examples"):
        pearson([1], labelled(1.0))


# tags -----------------------------------------------------------------------------------------------------------------


def test_entities_by_hand():
    right, predicted = tagged("B-PS I-PS O B-LC"), ["B-PS I-PS O O".split()]
    assert only(entity_macro_f1(predicted, right)) == pytest.approx((1 + 0) / 2)
    assert only(entity_f1(predicted, right)) == pytest.approx(2 * 1 / (1 + 2))


@pytest.mark.parametrize(
    "predicted, hits, count",
    [
        ("B-PS I-PS O O", 1, 1),
        ("B-PS O O O", 0, 1),  # one end is wrong
        ("B-LC I-LC O O", 0, 1),  # the type is wrong
        ("I-PS I-PS O O", 0, 0),  # strict: nothing begins with I
        ("B-PS B-PS O O", 0, 2),
        ("B-PS I-LC O O", 0, 1),
    ],
)
def test_entities_are_strict(predicted, hits, count):
    assert only(entity_f1([predicted.split()], tagged("B-PS I-PS O O"))) == pytest.approx(2 * hits / (count + 1))


def spans(tags):
    """Strict IOB2, another way: a B begins, I of the same type go on."""
    found, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.add((start, i, tags[start][2:]))
            start = None
        if tag.startswith("B-"):
            start = i
    return found


def test_entities_against_sets_of_spans():
    rng = random.Random(1)
    tags = ["O", "O", "B-A", "I-A", "I-A", "B-B", "I-B", "B-C", "I-C"]
    right = tagged(*(" ".join(rng.choices(tags, k=rng.randint(1, 30))) for _ in range(60)))
    predicted = [[tag if rng.random() < 0.8 else rng.choice(tags) for tag in e.tags] for e in right]
    gold = {(i, *span) for i, e in enumerate(right) for span in spans(e.tags)}
    found = {(i, *span) for i, p in enumerate(predicted) for span in spans(p)}
    assert only(entity_f1(predicted, right)) == pytest.approx(2 * len(gold & found) / (len(gold) + len(found)))
    f1 = []
    for kind in "ABC":
        g, f = ({span for span in side if span[3] == kind} for side in (gold, found))
        f1.append(2 * len(g & f) / (len(g) + len(f)))
    assert only(entity_macro_f1(predicted, right)) == pytest.approx(sum(f1) / 3)


def test_no_entity_anywhere_is_0():
    assert only(entity_f1([["O", "O"]], tagged("O O"))) == 0.0


def test_tags_are_one_per_character():
    with pytest.raises(ValueError, match="0 has 2 characters, but 3 predicted tags"):
        entity_f1([["O"] * 3], tagged("O O"))
    with pytest.raises(ValueError, match="a has no tags"):
        entity_f1([["O"]], [Example("a", "x")])


# answers --------------------------------------------------------------------------------------------------------------


def question(*answers):
    return [Example("q", "context", "?", answers=tuple((0, answer) for answer in answers))]


@pytest.mark.parametrize(
    "prediction, answers, em, f1",
    [
        ("the Eiffel Tower!", ("Eiffel  tower",), 1, 1),
        ("Eiffel", ("the Eiffel tower",), 0, 2 * 1 / (1 + 2)),
        ("a b b c", ("b b b",), 0, 2 * 2 / (3 + 3)),  # "a" is an article
        ("x", ("y", "x"), 1, 1),
        ("", (), 1, 1),
        ("x", (), 0, 0),
        ("", ("x",), 0, 0),
        ("서울 시", ("서울",), 0, 2 / 3),
    ],
)
def test_squad_by_hand(prediction, answers, em, f1):
    assert only(exact_match([prediction], question(*answers))) == em
    assert only(answer_f1([prediction], question(*answers))) == pytest.approx(f1)


def test_squad_normalisation():
    assert normalise_answer("The  Cat's, an (A) theatre") == "cats theatre"


# errors, GLUE, seeds --------------------------------------------------------------------------------------------------


def test_numbers_of_predictions_and_labels_are_checked():
    with pytest.raises(ValueError, match="1 predictions for 2 examples"):
        accuracy(["a"], labelled("a", "b"))
    with pytest.raises(ValueError, match="1 has no label"):
        accuracy(["a", "b"], labelled("a", None))
    with pytest.raises(ValueError, match="no examples"):
        accuracy([], [])


@pytest.mark.parametrize(
    "module, named", [("sklearn.metrics", "scikit-learn"), ("scipy.stats", "scipy"), ("seqeval.metrics", "seqeval")]
)
def test_a_missing_library_is_one_clear_line(monkeypatch, module, named):
    monkeypatch.setitem(sys.modules, module, None)
    call = {
        "sklearn.metrics": lambda: macro_f1(["a"], labelled("a")),
        "scipy.stats": lambda: pearson([1, 2], labelled(1.0, 2.0)),
        "seqeval.metrics": lambda: entity_f1([["O"]], tagged("O")),
    }
    with pytest.raises(ValueError, match=rf'needs {named}, of the extra "metrics"'):
        call[module]()


def test_measure_gives_a_tasks_metrics():
    right = labelled("equivalent", "not_equivalent", "equivalent")
    values = measure(find("glue-mrpc"), ["equivalent", "equivalent", "equivalent"], right)
    assert values == {"positive_f1": pytest.approx(0.8), "accuracy": pytest.approx(2 / 3)}
    assert next(iter(values)) == find("glue-mrpc").score


RESULTS = {
    "glue-cola": {"matthews": 0.5}, "glue-sst2": {"accuracy": 0.9}, "glue-mrpc": {"positive_f1": 0.9, "accuracy": 0.8},
    "glue-stsb": {"pearson": 0.9, "spearman": 0.7}, "glue-qqp": {"positive_f1": 0.7, "accuracy": 0.9},
    "glue-mnli": {"accuracy": 0.8, "accuracy_mismatched": 0.82}, "glue-qnli": {"accuracy": 0.9}, "glue-rte": {"accuracy": 0.6},
    "glue-wnli": {"accuracy": 0.56},
}  # fmt: skip


def test_glue_averages_two_metrics_first():
    assert glue_score(RESULTS) == pytest.approx((0.5 + 0.9 + 0.85 + 0.8 + 0.8 + 0.81 + 0.9 + 0.6 + 0.56) / 9)
    assert glue_score(RESULTS, without=["glue-wnli"]) == pytest.approx((0.5 + 0.9 + 0.85 + 0.8 + 0.8 + 0.81 + 0.9 + 0.6) / 8)
    with pytest.raises(ValueError, match="GLUE's score needs accuracy_mismatched of glue-mnli"):
        glue_score(RESULTS | {"glue-mnli": {"accuracy": 0.8}})
    with pytest.raises(ValueError, match="glue-ax is not a task of GLUE"):
        glue_score(RESULTS, without=["glue-ax"])


def test_spread_over_seeds():
    spread = seed_statistics([0.5, 0.7, 0.9, 0.6])
    assert spread.count == 4
    assert spread.mean == pytest.approx(0.675) and spread.median == pytest.approx(0.65)
    assert spread.deviation == pytest.approx(math.sqrt((0.175**2 + 0.025**2 + 0.225**2 + 0.075**2) / 3))
    assert seed_statistics([0.5]).deviation is None
    with pytest.raises(ValueError, match="finite"):
        seed_statistics([0.5, math.nan])
    with pytest.raises(ValueError, match="at least one"):
        seed_statistics([])
