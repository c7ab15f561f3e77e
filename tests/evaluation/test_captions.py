"""Scores of captions: BLEU with several references by hand, and truth by a table."""

import pytest

from gyebo.evaluation.captions import by_facts, by_references, by_truth
from gyebo.tasks.metrics.bleu import against_several

pytest.importorskip("sacrebleu")


def test_any_of_the_references_counts():
    """The paper's rule by hand: n-grams of all references together, and the length of the closest one."""
    written = ["there is a red ball in the park", "a blue tree"]
    references = [["a ball", "there is a red ball in the park"], ["a blue tree"]]
    found = by_references(written, references)
    assert found["bleu"] == pytest.approx(1.0) and found["chrf"] == pytest.approx(1.0)
    assert "nrefs:var" in found["bleu_signature"]
    assert found["bleu_of_another"] < 0.2
    # Words 4 of 4, pairs 3 of 3, triples 1 of 2, and of quadruples half a one, as sacrebleu smooths; as long as a reference.
    several, _ = against_several("bleu", ["the red cat sat"], [["the red cat ran", "a cat sat"]])
    assert several == pytest.approx((1 * 1 * (1 / 2) * (1 / 2)) ** (1 / 4))
    alone, _ = against_several("bleu", ["the red cat sat"], [["the red cat ran"]])
    assert alone == pytest.approx((3 / 4 * 2 / 3 * (1 / 2) * (1 / 2)) ** (1 / 4))


def test_truth_of_own_and_of_other_pictures():
    true_of = {"a": {0, 1}, "b": {1}, "c": {0}}
    judges = [lambda text, number=number: number in true_of[text] for number in range(3)]
    found = by_truth(["a", "b", "c"], judges)
    assert found == pytest.approx({"true": 2 / 3, "true_of_others": (1 + 0 + 1) / 6})
    assert by_truth(["a"], judges[:1]) == {"true": 1.0}


def test_facts_of_own_and_of_other_pictures():
    right = {"a": (2, 0), "b": (1, 3)}
    judges = [lambda text, number=number: (right[text][number], 3) for number in range(2)]
    assert by_facts(["a", "b"], judges) == pytest.approx({"facts_right": (2 + 3) / 6, "facts_right_of_others": (0 + 1) / 6})
    assert by_facts(["a"], judges[:1]) == pytest.approx({"facts_right": 2 / 3})
    assert by_facts(["a", "b"], [lambda text: (0, 0)] * 2) == {}
