"""Each processor beside the class of transformers that it means, and the properties it states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from gyebo.generation import GenerationOptions, processors
from gyebo.generation.prompts import Chooser
from tests.generation.generation_models import END, PROMPTS, make_pair

PAIRS = [
    (processors.temperature, 0.3, TemperatureLogitsWarper),
    (processors.temperature, 2.5, TemperatureLogitsWarper),
    (processors.top_k, 1, TopKLogitsWarper),
    (processors.top_k, 7, TopKLogitsWarper),
    (processors.top_k, 5000, TopKLogitsWarper),
    (processors.top_p, 0.05, TopPLogitsWarper),
    (processors.top_p, 0.9, TopPLogitsWarper),
    (processors.min_p, 0.02, MinPLogitsWarper),
    (processors.min_p, 1.0, MinPLogitsWarper),
]


@pytest.mark.parametrize(("ours", "value", "theirs"), PAIRS)
def test_same_scores_as_transformers(ours, value, theirs):
    torch.manual_seed(1)
    scores = torch.randn(4, 97) * 3
    scores[0, :50] = scores[0, 50]  # ties
    scores[1, 5:90] = -torch.inf
    torch.testing.assert_close(ours(scores, value), theirs(value)(None, scores), rtol=0, atol=0)


@pytest.mark.parametrize("penalty", [0.8, 1.7])
def test_repetition_penalty_as_transformers_with_padding(penalty):
    torch.manual_seed(2)
    scores, ids = torch.randn(3, 20), torch.randint(0, 20, (3, 9))
    pads = torch.tensor([0, 2, 5])
    real = torch.arange(9) >= pads[:, None]
    theirs = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=pads)(ids, scores.clone())
    torch.testing.assert_close(processors.repetition_penalty(scores, ids, real, penalty), theirs, rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 9, 10])
def test_no_repeat_ngrams_as_transformers(size):
    torch.manual_seed(3)
    scores, ids = torch.randn(40, 4), torch.randint(0, 4, (40, 9))
    ours = processors.no_repeat_ngrams(scores, ids, torch.ones_like(ids, dtype=torch.bool), size)
    assert size > 3 or (ours == -torch.inf).any()
    torch.testing.assert_close(ours, NoRepeatNGramLogitsProcessor(size)(ids, scores), rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_padding_is_part_of_no_ngram(size):
    """With the padding's id in the text too: a padded row is treated as the row alone."""
    torch.manual_seed(4)
    scores = torch.randn(50, 3)
    for row in range(50):
        text = torch.randint(0, 3, (1, 1 + row % 6))
        padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), text], 1)
        real = torch.arange(padded.shape[1])[None] >= 4
        alone = processors.no_repeat_ngrams(scores[row : row + 1], text, torch.ones_like(text, dtype=torch.bool), size)
        in_batch = processors.no_repeat_ngrams(scores[row : row + 1], padded, real, size)
        assert torch.equal(alone, in_batch)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.floats(0.01, 1.0), spread=st.floats(0.01, 20))
def test_top_p_keeps_at_least_p_and_no_token_too_many(seed, p, spread):
    scores = torch.randn(2, 30, generator=torch.Generator().manual_seed(seed)) * spread
    kept = processors.top_p(scores, p) > -torch.inf
    probabilities = scores.double().softmax(-1)
    mass = (probabilities * kept).sum(-1)
    assert bool((mass >= p - 1e-5).all())
    least = probabilities.masked_fill(~kept, 2).amin(-1)
    assert bool(((mass - least < p + 1e-5) | (kept.sum(-1) == 1)).all())


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.95])
def test_top_p_over_a_large_vocabulary(p, spread):
    """Whether or not few tokens hold p, row by row and in one batch."""
    torch.manual_seed(5)
    scores = torch.randn(3, 5000) * torch.tensor([[spread], [5.0], [0.2]])
    scores[2, 7:4000] = -torch.inf
    expected = TopPLogitsWarper(p)(None, scores)
    torch.testing.assert_close(processors.top_p(scores, p), expected, rtol=0, atol=0)
    for row in range(3):
        torch.testing.assert_close(processors.top_p(scores[row : row + 1], p), expected[row : row + 1], rtol=0, atol=0)


@pytest.mark.parametrize("vocabulary", [9, 128, 1000, 1024, 5003])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_the_highest_are_those_of_topk(vocabulary, count):
    """Where they lie in one run, in many, at the ends and after the last whole run; with ties and forbidden tokens."""
    torch.manual_seed(6)
    scores = torch.randn(5, vocabulary)
    scores[1, -count:] += 9.0
    scores[2, :count] += 9.0
    scores[3] = scores[3].round()
    scores[4, 2:-2] = -torch.inf
    values, tokens = processors.top_scores(scores, count)
    assert values.equal(scores.topk(count).values)
    assert values.equal(scores.gather(1, tokens))
    assert all(len(row.unique()) == count for row in tokens)


def test_a_draw_is_reshaped_as_transformers_reshapes_it(gpt2):
    """All options at once, over the steps of a sampled text: the same scores in the same order."""
    _, theirs = make_pair("gpt2")
    prompts = torch.tensor([PROMPTS[0], PROMPTS[3]])
    settings = {"temperature": 0.7, "top_k": 30, "top_p": 0.85, "min_p": 0.03, "repetition_penalty": 1.4, "min_new_tokens": 6}
    torch.manual_seed(0)
    found = theirs.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=True,
        no_repeat_ngram_size=2,
        max_new_tokens=12,
        output_scores=True,
        output_logits=True,
        return_dict_in_generate=True,
        **settings,
    )
    chooser = Chooser(GenerationOptions(no_repeat_ngram=2, **settings), [], END, torch.device("cpu"))
    for step, (logits, expected) in enumerate(zip(found.logits, found.scores)):
        ids = found.sequences[:, : prompts.shape[1] + step]
        scores = chooser.reshape(chooser.allow(logits, ids, torch.ones_like(ids, dtype=torch.bool), step))
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)


def test_suppress_leaves_the_input_alone():
    scores = torch.zeros(2, 5)
    assert processors.suppress(scores, torch.tensor([1, 3])).isinf().sum() == 4
    assert not scores.any()
