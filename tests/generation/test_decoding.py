"""The step loop beside transformers.generate, beside recomputation from scratch, and alone beside in a batch."""

import pytest
import torch

from gyebo.generation import GenerationOptions, decode
from gyebo.generation.decoding import sample, uniforms
from tests.generation.generation_models import END, PAD, PROMPTS, VOCABULARY, Parrot, make_pair


def answers(model, prompts, forbidden=(), **settings) -> list[list[int]]:
    """The ids that each row got, and a check of what every step promises."""
    options = GenerationOptions(**settings)
    rows: list[list[int]] = [[] for _ in range(len(prompts) * options.samples)]
    ended = torch.zeros(len(rows), dtype=torch.bool)
    for step in decode(model, prompts, options, forbidden=forbidden):
        assert torch.equal(step.active, ~ended)
        assert (step.ids[ended] == PAD).all()
        for row in step.active.nonzero()[:, 0].tolist():
            rows[row].append(int(step.ids[row]))
        ended = step.finished.clone()
    assert ended.all()
    return rows


def reference(theirs, prompts, **settings) -> list[list[int]]:
    """transformers' answers for left-padded prompts, cut after the end token."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    if theirs.config.model_type == "openai-gpt":  # it takes positions from slots: only prompts one by one are right
        found = [theirs.generate(torch.tensor([p]), do_sample=False, **settings)[0, len(p) :].tolist() for p in prompts]
    else:
        found = theirs.generate(ids, attention_mask=mask, do_sample=False, **settings)[:, longest:].tolist()
    return [row[: row.index(END) + 1] if END in row else row for row in found]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"repetition_penalty": 1.8}, {"repetition_penalty": 1.8}),
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"min_new_tokens": 15}, {"min_new_tokens": 15}),
        (
            {"repetition_penalty": 0.7, "no_repeat_ngram": 3, "min_new_tokens": 3},
            {"repetition_penalty": 0.7, "no_repeat_ngram_size": 3, "min_new_tokens": 3},
        ),
    ],
)
def test_greedy_token_for_token(pair, ours, theirs):
    """Padding is never generated: transformers would take a pair of it for one that stands in the padded prompt."""
    expected = reference(pair[1], PROMPTS, max_new_tokens=20, suppress_tokens=[PAD], **theirs)
    assert answers(pair[0], PROMPTS, [PAD], max_new_tokens=20, greedy=True, **ours) == expected


def test_rows_end_at_different_steps_as_in_transformers():
    """With the end made likely; several seeds, so that some rows end early and others never."""
    lengths = set()
    for seed in range(6):
        model, theirs = make_pair("gpt2", seed)
        with torch.no_grad():
            for weight in (model.token_embedding.weight, theirs.transformer.wte.weight):
                weight[END] *= 3
        rows = answers(model, PROMPTS, max_new_tokens=24, greedy=True)
        assert rows == reference(theirs, PROMPTS, max_new_tokens=24)
        lengths |= {len(row) for row in rows}
    assert len(lengths) > 4


@pytest.mark.parametrize("settings", [{"greedy": True}, {"seed": 7, "temperature": 1.3}, {"samples": 3, "top_p": 0.8}])
def test_an_answer_depends_on_nothing_else_in_the_batch(pair, settings):
    """Row r keeps its answer whatever the other rows hold."""
    together = answers(pair[0], PROMPTS, max_new_tokens=16, **settings)
    samples = settings.get("samples", 1)
    for row, prompt in enumerate(PROMPTS):
        others = [[(7 * row + other) % 50] * (1 + 3 * other) for other in range(row)]
        alone = answers(pair[0], [*others, prompt], max_new_tokens=16, **settings)
        assert alone[-samples:] == together[row * samples : (row + 1) * samples]


def test_first_row_equals_the_prompt_alone(pair):
    for settings in ({"greedy": True}, {"seed": 3}):
        assert answers(pair[0], PROMPTS, **settings)[0] == answers(pair[0], PROMPTS[:1], **settings)[0]


def test_log_probabilities_are_those_of_recomputation_from_scratch(pair):
    """Cached = uncached, and a limit of options: the model's own probability, not the reshaped one."""
    model = pair[0]
    options = GenerationOptions(max_new_tokens=12, temperature=0.5, top_k=20, repetition_penalty=1.3, samples=2)
    texts = [list(p) for p in PROMPTS for _ in range(2)]
    for step in decode(model, PROMPTS, options):
        for row in step.active.nonzero()[:, 0].tolist():
            with torch.no_grad():
                logits = model(torch.tensor([texts[row]])).logits[0, -1]
            expected = logits.log_softmax(-1)[step.ids[row]]
            torch.testing.assert_close(step.log_probs[row], expected, rtol=0, atol=1e-5)
            texts[row].append(int(step.ids[row]))


def test_only_one_logit_row_a_text_is_computed_and_the_prompt_is_read_once(gpt2, monkeypatch):
    shapes, prefills = [], []
    project, prefill = type(gpt2).project, type(gpt2).prefill
    monkeypatch.setattr(type(gpt2), "project", lambda self, h: shapes.append(tuple(h.shape)) or project(self, h))
    monkeypatch.setattr(
        type(gpt2), "prefill", lambda self, ids, *a, **k: prefills.append(tuple(ids.shape)) or prefill(self, ids, *a, **k)
    )
    answers(gpt2, PROMPTS[:2], max_new_tokens=4, samples=3, min_new_tokens=4)
    assert prefills == [(2, 5)]
    assert shapes == [(6, 24)] * 4


def test_ended_rows_are_not_computed(gpt2, monkeypatch):
    rows = answers(gpt2, PROMPTS, max_new_tokens=99, greedy=True)
    sizes: list[int] = []
    step = type(gpt2).step
    monkeypatch.setattr(type(gpt2), "step", lambda self, ids, cache: sizes.append(len(ids)) or step(self, ids, cache))
    answers(gpt2, PROMPTS, max_new_tokens=99, greedy=True)
    assert sum(sizes) == sum(len(row) - 1 for row in rows)


def test_an_answer_ends_where_the_context_is_full(gpt2):
    options = {"max_new_tokens": 999, "seed": 1, "repetition_penalty": 1.5}
    with_end = gpt2.config.eos_id
    gpt2.config.eos_id = None
    try:
        rows = answers(gpt2, PROMPTS, **options)
    finally:
        gpt2.config.eos_id = with_end
    assert [len(p) + len(row) for p, row in zip(PROMPTS, rows)] == [gpt2.config.context + 1] * len(PROMPTS)


def test_very_low_temperature_and_top_k_1_are_greedy(pair):
    greedy = answers(pair[0], PROMPTS, greedy=True)
    assert answers(pair[0], PROMPTS, temperature=1e-4) == greedy
    assert answers(pair[0], PROMPTS, top_k=1, seed=9) == greedy
    assert answers(pair[0], PROMPTS, min_p=1.0, seed=9) == greedy


def test_seeds_reproduce_and_differ(gpt2):
    first = answers(gpt2, PROMPTS, samples=2, seed=5)
    assert first == answers(gpt2, PROMPTS, samples=2, seed=5)
    assert first != answers(gpt2, PROMPTS, samples=2, seed=6)
    assert first[0] != first[1]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    fresh = [answers(gpt2, PROMPTS, seed=None) for _ in range(2)]
    assert fresh[0] != fresh[1]
    assert torch.equal(state, torch.get_rng_state()), "torch's own generator was touched"


def test_a_sample_does_not_depend_on_how_many_there_are(gpt2):
    few, many = answers(gpt2, PROMPTS, samples=2), answers(gpt2, PROMPTS, samples=4)
    assert few == [row for prompt in range(4) for row in many[4 * prompt : 4 * prompt + 2]]


def test_uniforms_depend_on_seed_prompt_sample_and_step_alone():
    large = uniforms(3, 4, 5, 20).view(4, 5, 20)
    assert torch.equal(uniforms(3, 2, 3, 10).view(2, 3, 10), large[:2, :3, :10])
    assert large.unique().numel() == large.numel()
    assert 0 <= float(large.min()) < float(large.max()) < 1


def test_draws_follow_the_distribution():
    scores = torch.tensor([0.5, 0.0, 0.2, 0.3]).log().expand(40_000, -1)
    found = sample(scores, uniforms(0, 1, 1, 40_000)[0])
    shares = torch.bincount(found, minlength=4) / 40_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.0, 0.2, 0.3]), rtol=0, atol=0.01)
    edge = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for uniform in (0.0, 1 - 2**-32):
        assert sample(edge, torch.tensor([uniform], dtype=torch.float64)).tolist() == [1]


def test_forbidden_ids_never_follow(gpt2):
    forbidden = list(range(0, VOCABULARY, 2))
    for settings in ({"greedy": True}, {"temperature": 5.0}):
        for step in decode(gpt2, PROMPTS, GenerationOptions(**settings), forbidden=forbidden):
            assert not set(step.ids[step.active].tolist()) & set(forbidden)


def test_the_consumer_can_end_a_row(gpt2):
    counts = torch.zeros(len(PROMPTS), dtype=torch.long)
    for number, step in enumerate(decode(gpt2, PROMPTS, GenerationOptions(min_new_tokens=9, max_new_tokens=9))):
        counts += step.active
        step.finished[number % 4] = True
    assert counts.tolist() == [1, 2, 3, 4]


def test_the_model_is_in_evaluation_mode_and_gradients_stay_on_outside(gpt2):
    gpt2.train()
    try:
        steps = decode(gpt2, PROMPTS, GenerationOptions(greedy=True, max_new_tokens=3))
        next(steps)
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        steps.close()
        assert gpt2.training
        trained = answers(gpt2, PROMPTS, greedy=True)
    finally:
        gpt2.eval()
    assert trained == answers(gpt2, PROMPTS, greedy=True)


@pytest.mark.parametrize(
    ("prompts", "settings", "line"),
    [
        ([], {}, "prompts"),
        ([[1], []], {}, "prompt 2 is empty"),
        ([[1] * 65], {}, "the prompt has 65 tokens.*context is 64"),
        ([[1], [1] * 70], {}, "prompt 2 has 70 tokens"),
        ([[1, VOCABULARY]], {}, f"id {VOCABULARY}.*vocabulary has {VOCABULARY}"),
        ([[-1]], {}, "id -1"),
    ],
)
def test_prompts_that_do_not_fit(gpt2, prompts, settings, line):
    with pytest.raises(ValueError, match=line):
        decode(gpt2, prompts, GenerationOptions(**settings))


def test_min_new_tokens_needs_an_end():
    with pytest.raises(ValueError, match="min_new_tokens=2 has no effect"):
        decode(Parrot([4], 9, end=None), [[1]], GenerationOptions(min_new_tokens=2))


def test_a_model_that_cannot_write():
    class Reader(Parrot):
        generates, title = False, "READer"

    with pytest.raises(ValueError, match="a READer cannot generate text"):
        decode(Reader([4], 9), [[1]], GenerationOptions())


def test_logits_that_are_not_finite_name_the_step():
    model = Parrot([4, 5, 6], 9)
    project = model.project
    model.project = lambda hidden: project(hidden) * (float("nan") if hidden[0, 0] == 6 else 1.0)
    with pytest.raises(ValueError, match=r"token 3.*not finite"):
        list(decode(model, [[1]], GenerationOptions(greedy=True)))


def test_a_vocabulary_that_is_used_up_is_an_error():
    model = Parrot([3] * 20, 5)
    with pytest.raises(ValueError, match=r"token 4.*no_repeat_ngram=1"):
        list(decode(model, [[1]], GenerationOptions(greedy=True, no_repeat_ngram=1, min_new_tokens=20)))
