"""The corruptions of BART: their statistics, what they leave alone, and that each is a function of seed, epoch and row."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gyebo.config.run import DataOptions
from gyebo.data.batches import Rows
from gyebo.data.prepare import open_corpus, prepare
from gyebo.models.bart import Bart, BartConfig
from gyebo.models.family import find
from gyebo.objectives import denoising
from gyebo.objectives.denoising import Denoising, Options, hidden_spans, permuted, span_lengths
from gyebo.objectives.objective import Setting
from gyebo.text.boundaries import Marks
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

START, END, MASK = 1, 2, 3
FIRST, LAST = 4, 100  # ids of pieces: odd ones begin a word, those that 10 divides end a sentence
IDS = np.arange(LAST)
MARKS = Marks(
    space=(IDS >= FIRST) & (IDS % 2 == 1),
    line=np.zeros(LAST, bool),
    ends=(IDS >= FIRST) & (IDS % 10 == 0),
    ends_line=np.zeros(LAST, bool),
    piece=IDS >= FIRST,
)
texts = st.lists(st.integers(FIRST, LAST - 1), min_size=1, max_size=60).map(np.array)
seeds = st.integers(0, 2**32)
NOISES = ["sentence-permutation", "text-infilling", "token-masking", "token-deletion", "document-rotation"]


def objective(*noise: str, **options) -> Denoising:
    return Denoising(
        "lm",
        options=Options(noise=noise, **options),
        begin=START,
        end=END,
        start=END,
        mask=MASK,
        marks=MARKS,
        pieces=np.arange(FIRST, LAST),
    )


def noised(text, *noise: str, seed: int = 0, **options):
    return objective(*noise, **options).noised(text, np.random.default_rng(seed))


def text_of(length: int, seed: int = 0):
    return np.random.default_rng(seed).integers(FIRST, LAST, length)


@settings(max_examples=60, deadline=None)
@given(texts, seeds, st.lists(st.sampled_from(NOISES), min_size=1, max_size=5, unique=True))
def test_start_end_and_target_are_never_touched(text, seed, noise):
    found = objective(*noise).corrupt({"input_ids": text}, np.random.default_rng(seed), lambda rng: {})
    source, labels = found["input_ids"], found["labels"]
    assert source[0] == START and source[-1] == END and not {START, END} & set(source[1:-1])
    assert len(source) <= len(text) + 2
    assert labels.tolist() == [START, *text, END] and found["decoder_input_ids"].tolist() == [END, START, *text]
    again = objective(*noise).corrupt({"input_ids": text}, np.random.default_rng(seed), lambda rng: {})
    assert all(np.array_equal(found[name], again[name]) for name in found)


@settings(max_examples=60, deadline=None)
@given(texts, seeds, st.sampled_from([0.3, 1.0]))
def test_permuting_sentences_loses_nothing(text, seed, share):
    starts = MARKS.sentence_starts(text)
    order = permuted(starts, share, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(text)))
    sentences = Counter(tuple(part) for part in np.split(text, np.flatnonzero(starts)[1:]))
    found, at = Counter(), 0
    while at < len(order):  # whole sentences, one after the other
        sentence = next(part for part in np.split(np.arange(len(text)), np.flatnonzero(starts)[1:]) if part[0] == order[at])
        assert np.array_equal(order[at : at + len(sentence)], sentence)
        found[tuple(text[sentence])] += 1
        at += len(sentence)
    assert found == sentences


def test_every_order_of_the_sentences_is_as_probable():
    starts = np.zeros(9, bool)
    starts[[0, 2, 5]] = True
    orders = Counter(tuple(permuted(starts, 1.0, np.random.default_rng(seed))) for seed in range(6000))
    assert len(orders) == 6 and all(abs(count - 1000) < 5 * math.sqrt(1000) for count in orders.values())
    moved = [
        int((permuted(np.ones(10, bool), 0.31, np.random.default_rng(seed)) != np.arange(10)).sum()) for seed in range(200)
    ]
    assert max(moved) == 4  # ceil(0.31 x 10)


@settings(max_examples=60, deadline=None)
@given(texts, seeds)
def test_a_rotation_is_a_rotation(text, seed):
    found = noised(text, "document-rotation", seed=seed)
    assert any(np.array_equal(found, np.roll(text, -shift)) for shift in range(len(text)))


def test_a_text_begins_with_any_of_its_tokens():
    text = np.arange(10, 15)
    firsts = Counter(int(noised(text, "document-rotation", seed=seed)[0]) for seed in range(5000))
    assert set(firsts) == set(text) and all(abs(count - 1000) < 5 * math.sqrt(1000) for count in firsts.values())
    same = [np.array_equal(noised(text, "document-rotation", seed=s, rotate_probability=0.2), text) for s in range(2000)]
    assert abs(np.mean(same) - (0.8 + 0.2 / 5)) < 0.05


@settings(max_examples=60, deadline=None)
@given(texts, seeds, st.sampled_from([0.15, 0.3, 0.7]))
def test_masking_and_deletion_take_the_share_of_the_tokens_rounded_up(text, seed, rate):
    count = math.ceil(rate * len(text))
    masked = noised(text, "token-masking", seed=seed, rate=rate)
    assert len(masked) == len(text) and (masked != text).sum() == (masked == MASK).sum() == count
    deleted = noised(text, "token-deletion", seed=seed, rate=rate)
    assert len(deleted) == len(text) - count
    left = iter(text.tolist())
    assert all(id in left for id in deleted.tolist())  # in their order


def test_every_token_is_as_likely_to_be_masked():
    hits = sum((noised(np.arange(10, 30), "token-masking", seed=seed) == MASK).astype(int) for seed in range(3000))
    assert np.all(abs(hits / 3000 - 0.3) < 5 * math.sqrt(0.21 / 3000))


def test_the_lengths_of_spans_are_poissons_and_sum_to_the_share_of_the_words():
    rng = np.random.default_rng(0)
    drawn = [span_lengths(200, 0.3, 3.0, rng) for _ in range(400)]
    assert all(lengths.sum() == 60 for lengths in drawn)
    whole = np.concatenate([lengths[:-1] for lengths in drawn])  # the last is shortened to the sum
    for length in range(8):
        expected = math.exp(-3) * 3**length / math.factorial(length)
        assert abs((whole == length).mean() - expected) < 5 * math.sqrt(expected / len(whole)), length
    assert span_lengths(0, 0.3, 3.0, rng).tolist() == []
    for words in (1, 2, 3, 4, 11):
        assert span_lengths(words, 0.3, 3.0, rng).sum() == math.ceil(0.3 * words)


@settings(max_examples=100, deadline=None)
@given(texts, seeds)
def test_spans_are_whole_words_and_leave_one_mask_where_they_begin(text, seed):
    """Against a plain loop over the spans."""
    words = MARKS.word_starts(text)
    firsts = [*np.flatnonzero(words), len(text)]
    count = len(firsts) - 1
    lengths = np.random.default_rng(seed).integers(1, 5, max(1, count // 2))[:count]
    keep, masked = hidden_spans(words, lengths, np.random.default_rng(seed))
    begins = np.random.default_rng(seed).permutation(count)[: len(lengths)]
    hidden, beginnings = set(), set()
    for begin, length in zip(begins, lengths):
        last = min(begin + length, count)
        hidden |= set(range(firsts[begin], firsts[last]))
        beginnings.add(firsts[begin])
    inside = {firsts[word] for begin, length in zip(begins, lengths) for word in range(begin + 1, min(begin + length, count))}
    assert set(masked) == beginnings - inside
    assert set(np.flatnonzero(~keep)) == hidden - set(masked)


def test_infilling_hides_about_30_percent_of_the_words_and_inserts_masks():
    """Spans begin anywhere, so a word is missed by all of them with probability exp(-0.3), and the beginning of a span by all
    others with exp(-(words after the first of each span) / words)."""
    text = np.full(1000, 5)  # each token is a word
    found = [noised(text, "text-infilling", seed=seed) for seed in range(200)]
    masks, left = (np.array([counted(one) for one in found]) for counted in (masks_of, lambda one: (one != MASK).sum()))
    draws = 300 / 3
    spans = draws * (1 - math.exp(-3))
    expected = spans * math.exp(-(300 - spans) / 1000) + draws * math.exp(-3)
    assert abs(masks.mean() - expected) < 0.03 * expected
    assert abs(left.mean() / 1000 - math.exp(-0.3)) < 0.01 and left.min() >= 700
    shares = [masks_of(noised(text, "text-infilling", seed=seed, random_share=0.5)) for seed in range(200)]
    assert abs(np.mean(shares) / expected - 0.5) < 0.03


def masks_of(ids):
    return (ids == MASK).sum()


def test_insertions_are_the_draws_of_length_0():
    rng, zeros, draws = np.random.default_rng(1), 0, 0
    for _ in range(300):
        lengths = span_lengths(100, 0.3, 3.0, rng)
        zeros, draws = zeros + int((lengths == 0).sum()), draws + len(lengths)
    assert abs(zeros / draws - math.exp(-3)) < 5 * math.sqrt(0.05 / draws)
    whole = objective("text-infilling", rate=0.99, poisson_lambda=0.05)  # nearly all draws are insertions
    text = np.full(40, 5)
    found = whole.noised(text, np.random.default_rng(0))
    assert len(found) == len(text)  # never longer


def test_noises_are_composed_in_their_order():
    text = text_of(50)
    assert np.array_equal(
        noised(text, "document-rotation", "sentence-permutation", seed=4),
        noised(text, "sentence-permutation", "document-rotation", seed=4),
    )
    both = noised(text, "text-infilling", "token-deletion", seed=5)
    assert (both == MASK).sum() == (noised(text, "text-infilling", seed=5) == MASK).sum()  # masks are not deleted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": ()}, "at least one"),
        ({"noise": ("token-masking", "token-masking")}, "each once"),
        ({"noise": ("token-masking",), "poisson_lambda": 3.5}, "poisson_lambda has no effect with noise token-masking"),
        ({"noise": ("token-deletion",), "random_share": 0.1}, "random_share has no effect"),
        ({"noise": ("document-rotation",), "rate": 0.2}, "rate has no effect"),
        ({"rotate_probability": 0.5}, "rotate_probability has no effect"),
        ({"noise": ("text-infilling",), "permute_share": 0.5}, "permute_share has no effect"),
        ({"noise": ("infilling",)}, "token-deletion"),
        ({"rate": 1.0}, "less than 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        Options(**options)


@pytest.fixture(scope="module")
def made(corpus, tokenizer_folder):
    family = find("bart")
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(family))
    opened = open_corpus(DataOptions(corpus=[str(corpus)], valid_share=0.05))
    prepared = prepare(opened, tokenizer)
    setting = Setting(tokenizer, roles_of(family), prepared.train, start_id=tokenizer.role_ids["eos"])
    return denoising.build(Options(), setting), prepared.train, tokenizer


def test_rows_hold_whole_documents_in_both_streams(made):
    learned, split, tokenizer = made
    plan = learned.plan(split, 48, 0)
    rows = Rows(split, plan, learned, tokenizer.role_ids["pad"])
    batch = rows.step(0, 8, 0)
    assert batch["input_ids"].shape == batch["labels"].shape == (8, 48)
    for row in range(8):
        numbers = [set(batch[name][row]) - {0} for name in ("document_ids", "decoder_document_ids")]
        assert numbers[0] == numbers[1] and len(numbers[0]) == len(plan.row(int(plan.order(0, 8, 0)[0][row])))
        for number in numbers[0]:
            source = batch["input_ids"][row][batch["document_ids"][row] == number]
            target = batch["labels"][row][batch["decoder_document_ids"][row] == number]
            assert (source[0], source[-1]) == (target[0], target[-1]) == (learned.begin, learned.end)
    again, other = rows.step(0, 8, 0), rows.step(0, 8, 1)
    assert all(np.array_equal(batch[name], again[name]) for name in batch)
    assert not np.array_equal(batch["input_ids"], other["input_ids"])
    epoch = len(plan) // 8 + 1
    assert not np.array_equal(
        rows.batch(np.array([3]), [[0, 0]])["input_ids"], rows.batch(np.array([3]), [[0, epoch]])["input_ids"]
    )


def test_the_loss_is_the_plain_formula(made):
    learned, split, tokenizer = made
    rows = Rows(split, learned.plan(split, 48, 0), learned, tokenizer.role_ids["pad"])
    batch = {name: torch.from_numpy(values) for name, values in rows.step(0, 4, 0).items()}
    torch.manual_seed(0)
    model = Bart(BartConfig(tokenizer.vocab_size, 48, 16, 1, 1, 2, 32, init_std=0.3, eos_id=learned.end)).eval()
    (total, weight), count = learned.loss(model.requires_grad_(False), batch)["lm"], learned.counts(batch)["lm"]
    expected, tokens = 0.0, 0
    for row in range(4):
        for number in range(1, int(batch["document_ids"][row].max()) + 1):
            source = batch["input_ids"][row][batch["document_ids"][row] == number][None]
            real = batch["decoder_document_ids"][row] == number
            given, labels = batch["decoder_input_ids"][row][real][None], batch["labels"][row][real]
            logits = model(source, None, given).logits[0]
            expected += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            tokens += len(labels)
    assert weight == 1.0 and count == tokens and float(total) == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_learned_is_refused(made, tmp_path):
    _, split, tokenizer = made
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"하나의 문장 {n}.\n" for n in range(200)), encoding="utf-8")
    prepared = prepare(open_corpus(DataOptions(corpus=[str(lines)], documents="line", valid_share=0.05)), tokenizer)
    setting = Setting(tokenizer, roles_of(find("bart")), prepared.train)
    with pytest.raises(ValueError, match="0% of the documents have two sentences"):
        denoising.build(Options(noise=("sentence-permutation",)), setting)
    with pytest.raises(ValueError, match="across_documents"):
        denoising.build(Options(), Setting(tokenizer, roles_of(find("bart")), split, across_documents=True))
    plain = tokenizer.for_family(roles_of(find("gpt")))
    with pytest.raises(ValueError, match="needs a token for mask"):
        denoising.build(Options(), Setting(plain, roles_of(find("gpt")), split))
