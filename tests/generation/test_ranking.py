"""Sample-and-rank beside brute force: every candidate scored again by a full forward pass, without cache, batch or options."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.generation import Completion, GenerationOptions, complete, generate, rank, stream
from gyebo.generation.decoding import decode
from gyebo.generation.pplm import Bag, Control
from gyebo.generation.ranking import longest_common, ranked
from gyebo.models.bart import Bart, BartConfig
from gyebo.models.family import find
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.models.rnn import Lstm, RnnConfig
from gyebo.models.seq2seq import Seq2seq, Seq2seqConfig
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.models.transformer_xl import TransformerXl, TransformerXlConfig
from gyebo.text.roles import roles_of
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer

PROMPTS = ["나무 정말 바다", "the film was"]
SHAPE = {"context": 48, "width": 24, "init_std": 0.25}
MODELS = {
    "gpt2": lambda ids: Gpt2(Gpt2Config(**ids, **SHAPE, layers=2, heads=3)),
    "lstm": lambda ids: Lstm(RnnConfig(**ids, **SHAPE, layers=2)),
    "transformer_xl": lambda ids: TransformerXl(
        TransformerXlConfig(**ids, **SHAPE, window=48, memory=48, layers=2, heads=3, head_width=8, inner=32)
    ),
    "seq2seq": lambda ids: Seq2seq(Seq2seqConfig(**ids, **SHAPE)),
    "transformer": lambda ids: Transformer(
        TransformerConfig(**ids, context=48, width=24, layers=1, decoder_layers=2, heads=3, inner=32)
    ),
    "bart": lambda ids: Bart(BartConfig(**ids, **SHAPE, layers=1, decoder_layers=2, heads=3, inner=32)),
}


@pytest.fixture(scope="module", params=MODELS)
def made(request, tokenizer_folder):
    return make(request.param, Tokenizer.load(tokenizer_folder))


@pytest.fixture(scope="module")
def gpt2(tokenizer_folder):
    return make("gpt2", Tokenizer.load(tokenizer_folder))


def make(family, tokenizer):
    """A model of the family that prefers five tokens and the end, so that equal candidates occur; and its tokenizer."""
    tokenizer = tokenizer.for_family(roles_of(find(family)))
    roles = {f"{role}_id": tokenizer.role_ids[role] for role in ("pad", "bos", "eos")}
    torch.manual_seed(2)
    model = MODELS[family]({"vocab_size": tokenizer.vocab_size} | roles).eval()
    preferred = torch.zeros(tokenizer.vocab_size)
    preferred[380:385] = 9.0
    preferred[roles["eos_id"]] = 9.0
    project = model.project
    model.project = lambda hidden: torch.tanh(project(hidden)) + preferred
    return model, tokenizer


def brute_force(model, tokenizer, prompt, ids):
    """The natural log of the probability of an answer's ids, by one forward pass over all of them."""
    if model.encodes_source:
        source = torch.tensor([template_of(tokenizer).apply(tokenizer.encode(prompt)).ids])
        hidden = model.encode(source, None, torch.tensor([[model.start_id, *ids[:-1]]])).hidden[0]
    else:
        text = [model.config.bos_id, *tokenizer.encode(prompt)]
        hidden = model.encode(torch.tensor([text + ids[:-1]])).hidden[0, len(text) - 1 :]
    return model.project(hidden).log_softmax(-1)[range(len(ids)), ids].sum().item()


@pytest.mark.parametrize("length_penalty", [1.0, 0.0])
@pytest.mark.parametrize("how", [{"temperature": 0.88}, {"temperature": 1.5, "top_k": 9, "repetition_penalty": 1.1}])
def test_the_order_is_that_of_brute_force(made, how, length_penalty):
    """The scores do not know the temperature; of equal texts the most probable is kept."""
    model, tokenizer = made
    how = {**how, "max_new_tokens": 2, "seed": 5}
    samples = complete(model, tokenizer, PROMPTS, samples=16, **how)
    rankings = rank(model, tokenizer, PROMPTS, rank=16, length_penalty=length_penalty, **how)
    for number, ranking in enumerate(rankings):
        expected: dict[str, float] = {}
        for sample in samples[16 * number : 16 * (number + 1)]:
            score = brute_force(model, tokenizer, PROMPTS[number], sample.ids) / len(sample.ids) ** length_penalty
            text = " ".join(sample.text.split())
            expected[text] = max(score, expected.get(text, score))
        expected.pop("", None)
        order = sorted(expected, key=lambda text: -expected[text])
        assert 1 < len(order) < 15, "without equal texts this test says little"
        assert [" ".join(each.answer.text.split()) for each in ranking.candidates] == order
        for each, text in zip(ranking.candidates, order, strict=True):
            assert each.score == pytest.approx(expected[text], abs=2e-5)
            assert not each.repeats and each.answer.prompt == number
    best = [ranking.candidates[0].answer for ranking in rankings]
    options = GenerationOptions(rank=16, length_penalty=length_penalty, **how)
    assert complete(model, tokenizer, PROMPTS, options) == best
    assert generate(model, tokenizer, PROMPTS, options) == [answer.text for answer in best]


def test_the_length_counts(gpt2):
    """The sum prefers shorter answers than the mean."""
    model, tokenizer = gpt2
    how = {"rank": 30, "max_new_tokens": 8, "temperature": 1.5}
    lengths = [len(rank(model, tokenizer, PROMPTS[:1], length_penalty=p, **how)[0].best.answer.ids) for p in (0.0, 1.0, 3.0)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[2]


def test_a_prompt_is_read_once_however_many_candidates(made, monkeypatch):
    model, tokenizer = made
    name = "read_source" if model.encodes_source else "prefill"
    seen, rows = [], []
    read, step = getattr(type(model), name), type(model).step
    monkeypatch.setattr(type(model), name, lambda self, ids, *a, **k: seen.append(len(ids)) or read(self, ids, *a, **k))
    monkeypatch.setattr(type(model), "step", lambda self, ids, cache: rows.append(len(ids)) or step(self, ids, cache))
    rank(model, tokenizer, PROMPTS, rank=20, max_new_tokens=4)
    assert seen == [2]
    before = [2] if model.encodes_source else []  # the first id of a target, once a source
    assert rows[: len(before)] == before and len(rows) <= len(before) + 3 and max(rows) <= 40


def test_candidates_are_independent_samples(gpt2):
    """They are those of `samples`, and more of them leave the others as they are."""
    model, tokenizer = gpt2
    how = {"max_new_tokens": 6, "temperature": 2.0}
    drawn = [" ".join(each.text.split()) for each in complete(model, tokenizer, PROMPTS[:1], samples=20, **how)]
    assert len(set(drawn)) > 10
    for count in (5, 20):
        [ranking] = rank(model, tokenizer, PROMPTS[:1], rank=count, **how)
        assert {" ".join(each.answer.text.split()) for each in ranking.candidates} == set(drawn[:count]) - {""}


def test_candidates_are_steered(gpt2):
    """They are the steered samples, with their probabilities."""
    model, tokenizer = gpt2
    how = {"max_new_tokens": 4, "temperature": 2.0}
    bag = Control.of([Bag({350: 1.0}, 20.0)], window=0)
    drawn = complete(model, tokenizer, PROMPTS[:1], samples=8, control=bag, **how)
    [ranking] = rank(model, tokenizer, PROMPTS[:1], rank=8, control=bag, **how)
    assert len(ranking.candidates) > 2 and all(each.answer in drawn for each in ranking.candidates)
    assert complete(model, tokenizer, PROMPTS[:1], rank=8, control=bag, **how) == [ranking.best.answer]
    assert ranking != rank(model, tokenizer, PROMPTS[:1], rank=8, **how)[0]


# -- what is dropped -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def letters():
    """One token a byte."""
    return train_tokenizer(["abc"] * 3, kind="byte")


def answer(text, log_probability, length=1):
    return Completion(text, [7] * length, "eos", log_probability, 0, 0)


def texts(ranking):
    return [each.answer.text for each in ranking.candidates]


def test_equal_texts_are_one_candidate(letters):
    """They differ in white space, or in how they are cut into tokens."""
    given = [answer("ab", -5.0), answer(" ab ", -3.0), answer("b", -4.0), answer("a\nb", -6.0), answer("a b", -7.0)]
    found = ranked(given, (), letters, GenerationOptions(rank=5))
    assert [(c.answer.text, c.score) for c in found.candidates] == [(" ab ", -3.0), ("b", -4.0), ("a\nb", -6.0)]


def test_an_empty_candidate_stays_only_where_there_is_no_other(letters):
    assert texts(ranked([answer("", -0.1), answer("a", -9.0)], (), letters, GenerationOptions(rank=2))) == ["a"]
    assert texts(ranked([answer("", -0.1), answer(" ", -9.0)], (), letters, GenerationOptions(rank=2))) == [""]


def test_scores_by_hand(letters):
    given = [answer("long", -6.0, 4), answer("ab", -4.0, 2), answer("c", -2.5)]
    for penalty, order in [(1.0, ["long", "ab", "c"]), (0.0, ["c", "ab", "long"]), (0.5, ["c", "ab", "long"])]:
        found = ranked(given, (), letters, GenerationOptions(rank=3, length_penalty=penalty))
        assert texts(found) == order
    assert [c.score for c in found.candidates] == pytest.approx([-2.5, -4.0 / 2**0.5, -3.0])


@pytest.mark.parametrize(
    ("turns", "repeats"),
    [
        (["abcde"], True),  # the whole turn
        (["xxabcdexx"], True),  # in the middle of one
        (["a-b-c-d-e"], True),  # in order, with gaps
        (["edcba"], False),  # in another order
        (["abcd"], False),  # too short
        (["abc", "de"], False),  # a piece of each of two turns
        (["zzz", "abcde"], True),  # any earlier turn
        ([], False),
    ],
)
def test_a_candidate_that_repeats_an_earlier_turn_is_dropped(letters, turns, repeats):
    found = ranked([answer("abcde", -1.0), answer("vwxyz", -2.0)], turns, letters, GenerationOptions(rank=2, no_repeat_turn=5))
    assert texts(found) == ["abcde", "vwxyz"]
    assert [each.repeats for each in found.candidates] == [repeats, False]
    assert found.best.answer.text == ("vwxyz" if repeats else "abcde")
    without = ranked([answer("abcde", -1.0)], turns, letters, GenerationOptions(rank=2))
    assert not without.best.repeats


def test_where_all_repeat_the_best_is_kept_and_says_so(letters):
    found = ranked([answer("ab", -2.0), answer("abc", -1.0)], ["abcd"], letters, GenerationOptions(rank=2, no_repeat_turn=2))
    assert found.best.answer.text == "abc" and found.best.repeats


def test_the_turns_of_a_prompt_are_its_lines_or_given(gpt2):
    model, tokenizer = gpt2
    how = {"rank": 12, "max_new_tokens": 4, "temperature": 1.5, "no_repeat_turn": 2}
    free = rank(model, tokenizer, ["나무"], **{**how, "no_repeat_turn": 0})[0]
    wanted = next(text for text in texts(free) if len(tokenizer.encode(" ".join(text.split()))) >= 2)
    said = rank(model, tokenizer, ["나무"], turns=[["하늘", wanted]], **how)[0]
    assert texts(said) == texts(free)
    assert next(each for each in said.candidates if each.answer.text == wanted).repeats
    pieces = [tokenizer.decode([id]).strip() for id in range(380, 385)]  # what the model prefers, a line each
    prompt = "\n".join([*pieces, *reversed(pieces)])
    [lines] = rank(model, tokenizer, [prompt], **how)
    assert [lines] == rank(model, tokenizer, [prompt], turns=[prompt.split("\n")], **how)
    assert [lines] != rank(model, tokenizer, [prompt], turns=[[prompt]], **how)


def naive(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


IDS = st.lists(st.integers(0, 3), max_size=12)


@settings(max_examples=300, deadline=None)
@given(ids=IDS, others=st.lists(IDS, max_size=3))
def test_the_longest_common_subsequence_is_that_of_the_table(ids, others):
    assert longest_common(ids, others) == max((naive(ids, other) for other in others), default=0)


def test_what_cannot_be_ranked_is_refused(gpt2):
    model, tokenizer = gpt2
    with pytest.raises(ValueError, match="rank=0: set it to the number of candidates"):
        rank(model, tokenizer, PROMPTS)
    with pytest.raises(ValueError, match="turns must be one list for each of the 2 prompts, but there are 1"):
        rank(model, tokenizer, PROMPTS, rank=2, turns=[[]])
    with pytest.raises(ValueError, match="rank=2 cannot be streamed"):
        stream(model, tokenizer, "가", rank=2)
    with pytest.raises(ValueError, match=r"rank=2: .* gyebo.generation.rank"):
        decode(model, [[5]], GenerationOptions(rank=2))
    with pytest.raises(ValueError, match="no_repeat_turn=3 needs turns"):
        rank(model, tokenizer, [[5, 6]], rank=2, no_repeat_turn=3)
