"""Beam search beside transformers.generate, token for token."""

import math

import pytest
import torch

from gyebo.generation import GenerationOptions, decode, search
from tests.generation.generation_models import END, PAD, PROMPTS, Parrot, make_pair


def reference(theirs, prompts, keep, **settings):
    """([texts of each prompt], [scores]) of transformers for left-padded prompts."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    found = theirs.generate(
        ids,
        attention_mask=mask,
        do_sample=False,
        num_return_sequences=keep,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    rows = found.sequences[:, longest:].tolist()
    rows = [row[: row.index(END) + 1] if END in row else row for row in rows]
    scores = found.sequences_scores.view(-1, keep).tolist()
    return [rows[start : start + keep] for start in range(0, len(rows), keep)], scores


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.5, -0.7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_token_for_token_with_transformers(seed, length_penalty, early_stopping):
    model, theirs = make_pair("gpt2", seed)
    with torch.no_grad():
        for weight in (model.token_embedding.weight, theirs.transformer.wte.weight):
            weight *= 0.6  # flatter: several beams stay alive
            weight[END] *= 4  # and the end is found now and then
    for beams, keep in ((2, 1), (3, 3), (5, 2)):
        shared = {"length_penalty": length_penalty, "early_stopping": early_stopping, "max_new_tokens": 18}
        texts, scores = reference(theirs, PROMPTS, keep, num_beams=beams, **shared)
        found = search(model, PROMPTS, GenerationOptions(beams=beams, samples=keep, **shared))
        assert [[hypothesis.ids for hypothesis in row] for row in found] == texts
        ours = torch.tensor([[hypothesis.score for hypothesis in row] for row in found])
        torch.testing.assert_close(ours, torch.tensor(scores), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"min_new_tokens": 12}, {"min_new_tokens": 12}),
    ],
)
def test_with_processors(ours, theirs):
    """Padding is never generated: transformers would take a pair of it for one that stands in the padded prompt."""
    for seed in range(3):
        model, other = make_pair("gpt2", seed)
        texts, _ = reference(other, PROMPTS, 3, num_beams=4, max_new_tokens=15, suppress_tokens=[PAD], **theirs)
        options = GenerationOptions(beams=4, samples=3, max_new_tokens=15, **ours)
        found = search(model, PROMPTS, options, forbidden=[PAD])
        assert [[hypothesis.ids for hypothesis in row] for row in found] == texts


def test_gpt_one_prompt():
    model, theirs = make_pair("gpt")
    texts, _ = reference(theirs, PROMPTS[:1], 3, num_beams=3, max_new_tokens=15)
    found = search(model, PROMPTS[:1], GenerationOptions(beams=3, samples=3, max_new_tokens=15))
    assert [[hypothesis.ids for hypothesis in row] for row in found] == texts


def test_log_probability_is_the_models_own():
    model, _ = make_pair("gpt2")
    options = GenerationOptions(beams=3, samples=3, max_new_tokens=10, repetition_penalty=1.4)
    for prompt, row in zip(PROMPTS, search(model, PROMPTS, options)):
        for hypothesis in row:
            ids = torch.tensor([prompt + hypothesis.ids])
            with torch.no_grad():
                log_probs = model(ids[:, :-1]).logits.log_softmax(-1)[0, len(prompt) - 1 :]
            expected = float(log_probs.gather(1, ids[0, len(prompt) :, None]).sum())
            assert math.isclose(hypothesis.log_probability, expected, abs_tol=1e-4)


def test_wide_enough_beams_find_the_most_probable_text():
    """All texts of two tokens, by enumeration: with as many beams as tokens nothing is missed."""
    model, _ = make_pair("gpt2")
    model.config.eos_id = None
    size = model.config.vocab_size
    options = GenerationOptions(beams=size, max_new_tokens=2)
    with torch.no_grad():
        first = model(torch.tensor([PROMPTS[0]])).logits[0, -1].log_softmax(-1)
        texts = torch.tensor([[*PROMPTS[0], token] for token in range(size)])
        both = first[:, None] + model(texts).logits[:, -1].log_softmax(-1)
    best = int(both.argmax())
    found = search(model, PROMPTS[:1], options)[0][0]
    assert found.ids == [best // size, best % size]
    assert math.isclose(found.log_probability, float(both.max()), abs_tol=1e-4)


def test_a_prompt_alone_equals_the_prompt_in_a_batch():
    model, _ = make_pair("gpt2", 1)
    options = GenerationOptions(beams=4, samples=2, max_new_tokens=15)
    together = search(model, PROMPTS, options)
    for row, prompt in enumerate(PROMPTS):
        alone = search(model, [prompt], options)[0]
        assert [h.ids for h in alone] == [h.ids for h in together[row]]


def test_texts_end_where_the_context_is_full():
    model, _ = make_pair("gpt2")
    options = GenerationOptions(beams=3, samples=3, max_new_tokens=999)
    for prompt, row in zip(PROMPTS, search(model, PROMPTS, options, forbidden=[END])):
        assert [len(prompt) + len(hypothesis.ids) for hypothesis in row] == [model.config.context + 1] * 3


def test_forbidden_ids_and_a_broken_model():
    model, _ = make_pair("gpt2")
    for row in search(model, PROMPTS, GenerationOptions(beams=3, samples=3), forbidden=range(30)):
        assert all(min(hypothesis.ids) >= 30 for hypothesis in row)
    broken = Parrot([4, 5, 6], 9)
    project = broken.project
    broken.project = lambda hidden: project(hidden) * (float("nan") if hidden[0, 0] == 5 else 1.0)
    with pytest.raises(ValueError, match=r"token 2.*not finite"):
        search(broken, [[1]], GenerationOptions(beams=2))
    with pytest.raises(ValueError, match="beams=2"):
        decode(model, PROMPTS, GenerationOptions(beams=2))
