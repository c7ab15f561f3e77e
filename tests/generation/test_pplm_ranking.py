"""Scores of answers by their attribute, by hand, and the choice among them."""

import pytest
import torch

from gyebo.generation.pplm import Bag, Discriminator, attribute_scores, best, distinct

PROMPT, ANSWERS = [5, 9, 2], [[40, 7, 7], [11], [12, 13, 14, 15]]


def test_scores_by_hand(gpt2):
    """Each answer alone, token by token."""
    weight, bias = torch.randn(3, 24, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 0.2, 0.3])
    bag = {5: 1.0, 9: 2.0}
    found = attribute_scores(gpt2, PROMPT, ANSWERS, [Bag(bag, strength=2), Discriminator(weight, bias, 1, strength=(9, -1))])
    for answer, score in zip(ANSWERS, found, strict=True):
        with torch.no_grad():
            hidden = gpt2.encode(torch.tensor([PROMPT + answer])).hidden[0]
            next_probabilities = gpt2.project(hidden).softmax(-1)
        words = [next_probabilities[len(PROMPT) - 1 + place] for place in range(len(answer))]
        of_bag = sum(float((row[5] + 2 * row[9]).log()) for row in words) / len(words)
        of_class = float((weight @ hidden.mean(0) + bias).log_softmax(0)[1])
        assert float(score) == pytest.approx(2 * of_bag - of_class, abs=1e-4)


def test_diversity_and_choice():
    assert distinct([1, 2, 1, 2], 1) == 0.5 and distinct([1, 2, 1, 2], 2) == pytest.approx(2 / 3)
    assert distinct([1], 2) == 0.0
    dull, lively = [1, 1, 1, 1, 1], [1, 2, 3, 4, 5]
    assert best([2.0, 1.0], [dull, lively]) == 0
    assert best([2.0, 1.0], [dull, lively], least=0.5) == 1
    assert best([2.0, 1.0], [dull, dull], least=0.5) == 0  # none is lively enough


@pytest.mark.parametrize(("prompt", "answers"), [([], [[4]]), ([4], []), ([4], [[4], []])])
def test_what_has_no_ids_has_no_score(prompt, answers):
    with pytest.raises(ValueError, match="needs a prompt and answers of at least one id each"):
        attribute_scores(None, prompt, answers, [Bag({5: 1.0})])
