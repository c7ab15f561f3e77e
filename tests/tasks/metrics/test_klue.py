"""KLUE's metrics against cases computed by hand, quirk by quirk, and against other ways to compute them."""

import random
from itertools import product

import numpy as np
import pytest

from gyebo.tasks.data.klue import DEPENDENCIES, ENTITY_TAGS, RELATIONS
from gyebo.tasks.metrics.klue import (
    joint_goal_accuracy,
    klue_character_macro_f1,
    klue_entity_macro_f1,
    klue_exact_match,
    klue_normalise,
    klue_rouge_w,
    las_macro_f1,
    relation_auprc,
    relation_micro_f1,
    similar_f1,
    slot_f1,
    uas_macro_f1,
)
from gyebo.tasks.metrics.metrics import entity_macro_f1
from gyebo.tasks.task import Example

sklearn_metrics = pytest.importorskip("sklearn.metrics")
pytest.importorskip("seqeval")


def only(values):
    ((_, value),) = values.items()
    return value


def labelled(*labels):
    return [Example(str(i), "x", label=label) for i, label in enumerate(labels)]


# STS ------------------------------------------------------------------------------------------------------------------


def test_similar_is_3_or_more_on_both_sides():
    right = labelled(3.0, 2.857142857142857, 5.0, 3.2)  # 2.857 is published as 2.9, and not similar
    assert only(similar_f1([2.9, 3.0, 4.0, 1.0], right)) == pytest.approx(2 * 1 / (2 * 1 + 1 + 2))
    assert only(similar_f1([2.999, 2.0], labelled(3.0, 1.0))) == 0.0


# NER ------------------------------------------------------------------------------------------------------------------


def sentence(text, tags):
    return [Example("n", text, tags=tuple(tags.split()))]


def test_spaces_do_not_count():
    right = sentence("가 나다", "B-PS I-PS I-PS O")
    predicted = [["B-PS", "O", "I-PS", "O"]]  # the space is wrong, no character is
    assert only(klue_entity_macro_f1(predicted, right)) == 1.0
    assert only(klue_character_macro_f1(predicted, right)) == 1.0
    assert only(entity_macro_f1(predicted, right)) == 0.0


def test_characters_are_averaged_over_13_tags_with_o():
    # B-PS 1, I-PS 0, O 2/3 (one hit, one too many), the ten tags that never occur 1 each.
    predicted = [["B-PS", "O", "O"]]
    assert only(klue_character_macro_f1(predicted, sentence("가나다", "B-PS I-PS O"))) == pytest.approx(
        (1 + 0 + 2 / 3 + 10) / 13
    )


def test_entities_are_averaged_over_types_that_occur():
    right = sentence("가나다라", "B-PS I-PS B-LC O")
    assert only(klue_entity_macro_f1([["B-PS", "I-PS", "B-OG", "O"]], right)) == pytest.approx((1 + 0 + 0) / 3)


def test_characters_against_counting():
    rng = random.Random(3)
    examples, predicted = [], []
    for i in range(20):
        tags = tuple(rng.choices(ENTITY_TAGS[4:], k=25))  # PS and LC never occur
        examples.append(Example(str(i), "".join(rng.choices("가나 ", k=25)), tags=tags))
        predicted.append([tag if rng.random() < 0.7 else rng.choice(ENTITY_TAGS[4:]) for tag in tags])
    pairs = [(p, r) for e, tags in zip(examples, predicted) for c, p, r in zip(e.text, tags, e.tags) if c != " "]
    f1 = []
    for tag in ENTITY_TAGS:
        hits, all_of = pairs.count((tag, tag)), sum((p == tag) + (r == tag) for p, r in pairs)
        f1.append(2 * hits / all_of if all_of else 1.0)
    assert only(klue_character_macro_f1(predicted, examples)) == pytest.approx(sum(f1) / 13)


# RE -------------------------------------------------------------------------------------------------------------------


def test_no_relation_costs_recall_only():
    right = labelled("org:founded", "org:founded", "no_relation", "no_relation", "per:title")
    predicted = ["org:founded", "no_relation", "no_relation", "per:title", "per:title"]
    assert only(relation_micro_f1(predicted, right, RELATIONS)) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert only(relation_micro_f1(["no_relation"] * 5, right, RELATIONS)) == 0.0


def test_area_by_hand():
    labels = ("no_relation", "x")
    right = labelled("x", "x", "no_relation")
    probabilities = [{"x": p, "no_relation": 1 - p} for p in (0.9, 0.4, 0.6)]
    # x: precision 1 up to recall 1/2, then from 1/2 to 2/3 at recall 1. no_relation: from 0 to 1/2.
    x = 0.5 * 1 + 0.5 * (1 / 2 + 2 / 3) / 2
    no_relation = 1 * (0 + 1 / 2) / 2
    assert only(relation_auprc(probabilities, right, labels)) == pytest.approx((x + no_relation) / 2)


def test_area_against_the_definition_over_30_relations():
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.arange(30), rng.integers(0, 30, 70)])
    logits = rng.normal(size=(100, 30)) + 2 * np.eye(30)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    areas = []
    for c in range(30):
        precision, recall, _ = sklearn_metrics.precision_recall_curve(truth == c, probabilities[:, c])
        areas.append(-np.trapezoid(precision, recall))
    predictions = [dict(zip(RELATIONS, row)) for row in probabilities]
    examples = labelled(*(RELATIONS[c] for c in truth))
    assert only(relation_auprc(predictions, examples, RELATIONS)) == pytest.approx(np.mean(areas))
    hits = (probabilities.argmax(1) == truth) & (truth != 0)
    expected = 2 * hits.sum() / ((probabilities.argmax(1) != 0).sum() + (truth != 0).sum())
    assert only(relation_micro_f1(predictions, examples, RELATIONS)) == pytest.approx(expected)


def test_relations_that_never_occur_are_left_out_of_the_area():
    perfect = [{name: float(name == "x") for name in ("no_relation", "x", "y")} for _ in range(2)]
    assert only(relation_auprc(perfect, labelled("x", "x"), ("no_relation", "x", "y"))) == 1.0
    with pytest.raises(ValueError, match="needs a probability for each of 30 relations; 0 has not"):
        relation_auprc([{"no_relation": 1.0}], labelled("no_relation"))
    named = relation_auprc(["x", "y"], labelled("x", "x"), ("no_relation", "x", "y"))  # of a model that writes: probability 1
    assert named == relation_auprc(
        [{"no_relation": 0.0, "x": float(n), "y": 1.0 - n} for n in (1, 0)], labelled("x", "x"), ("no_relation", "x", "y")
    )


# DP -------------------------------------------------------------------------------------------------------------------

PARSES = [
    Example("a", "w w", words=("w", "w"), heads=(2, 0), relations=("NP", "VP")),
    Example("b", "w w w", words=("w",) * 3, heads=(2, 0, 2), relations=("NP_SBJ", "VP", "X")),
]
FOUND = [((2, 0), ("NP", "VP")), ((3, 0, 2), ("NP_SBJ", "NP", "AP_MOD"))]


def test_uas_is_a_mean_over_head_positions():
    # Position 0: 1. Position 2: two of three, 0.8. Position 3: predicted once, never right, 0.
    assert only(uas_macro_f1(FOUND, PARSES)) == pytest.approx((1 + 0.8 + 0) / 3)


def test_las_merges_rare_relations_and_counts_wrong_heads_as_a_class():
    assert DEPENDENCIES.index("X") >= 15 and DEPENDENCIES.index("AP_MOD") >= 15  # one class, so a hit
    assert DEPENDENCIES[14] == "VP_SBJ"  # the last that stands alone
    # NP 2/3, VP 2/3, NP_SBJ 0 (its head is wrong), the others 1, "wrong head" 0.
    assert only(las_macro_f1(FOUND, PARSES)) == pytest.approx((2 / 3 + 2 / 3 + 0 + 1 + 0) / 5)
    assert only(las_macro_f1([(e.heads, e.relations) for e in PARSES], PARSES)) == 1.0


def test_parses_are_checked():
    with pytest.raises(ValueError, match="a has 2 words, but 1 predicted heads"):
        uas_macro_f1([((2,), ("NP",)), FOUND[1]], PARSES)
    with pytest.raises(ValueError, match="the relation 'nsubj' is none of NP, "):
        las_macro_f1([((2, 0), ("nsubj", "VP")), FOUND[1]], PARSES)


# MRC ------------------------------------------------------------------------------------------------------------------


def question(*answers):
    return [Example("q", "context", "?", answers=tuple((0, answer) for answer in answers))]


def test_normalisation_with_its_malformed_expression():
    assert klue_normalise("  Hello,  World! ") == "hello world"
    assert klue_normalise("《서울》 ‘시’") == "《서울》 ‘시’"  # meant to be dropped, but is not
    assert klue_normalise("'서울' (시)") == "서울 시"  # ASCII is dropped as punctuation
    assert klue_normalise("《()‘’가") == "가"  # the only thing the expression matches


@pytest.mark.parametrize(
    "prediction, answers, em, rouge",
    [
        ("서울시", ("서울",), 0, 2 * 2 / (3 + 2)),
        ("가나다라", ("가나마다라",), 0, 2 * 2 / (4 + 5)),  # one run, not the subsequence of four
        ("서울", ("부산", "서울!"), 1, 1),
        ("x", ("y",), 0, 0),
        ("", ("서울",), 0, 0),
        ("", (), 1, 1),
        ("서울", (), 0, 0),
        ("!", (), 1, 1),  # normalised to nothing
    ],
)
def test_answers_by_hand(prediction, answers, em, rouge):
    assert only(klue_exact_match([prediction], question(*answers))) == em
    assert only(klue_rouge_w([prediction], question(*answers))) == pytest.approx(rouge)


def test_runs_against_all_substrings():
    rng = random.Random(4)
    for _ in range(100):
        predicted, right = ("".join(rng.choices("가나다", k=rng.randint(1, 12))) for _ in range(2))
        spans = product(range(len(predicted)), range(1, len(predicted) + 1))
        longest = max((j - i for i, j in spans if i < j and predicted[i:j] in right), default=0)
        precision, recall = longest / len(predicted), longest / len(right)
        expected = 2 * precision * recall / (precision + recall) if longest else 0.0
        assert only(klue_rouge_w([predicted], question(right))) == pytest.approx(expected)


def test_means_are_over_all_questions():
    examples = question("서울") + question()
    assert only(klue_exact_match(["서울", "부산"], examples)) == 0.5
    assert only(klue_rouge_w(["서울시", ""], examples)) == pytest.approx((0.8 + 1) / 2)


# DST ------------------------------------------------------------------------------------------------------------------


def test_states_by_hand():
    turns = [Example(str(i), "t", state=state) for i, state in enumerate([("a-b-c", "d-e-f"), (), (), ("a-b-c",), ("x-y-z",)])]
    predicted = [["a-b-c"], [], ["a-b-c"], [], ["x-y-z"]]
    assert only(joint_goal_accuracy(predicted, turns)) == pytest.approx(2 / 5)
    assert only(slot_f1(predicted, turns)) == pytest.approx((2 / 3 + 1 + 0 + 0 + 1) / 5)
    assert only(joint_goal_accuracy([["d-e-f", "a-b-c"]], turns[:1])) == 1.0  # a set: no order
