"""Span corruption: the published lengths and statistics, sentinels in order, nothing lost, the loss by the plain formula."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.plan import DOCUMENT, FIRST, SIZE
from gyebo.data.prepare import open_corpus, prepare
from gyebo.evaluation.source_target import evaluate_spans
from gyebo.models.family import find
from gyebo.models.t5 import T5
from gyebo.objectives import span_corruption
from gyebo.objectives.objective import Setting
from gyebo.objectives.span_corruption import Noise, Options, SpanCorruption, replaced
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.refusals import option_error

T5_ROLES = roles_of(find("t5"))
SENTINELS = tuple(range(999, 899, -1))
END, START = 2, 1
OBJECTIVE = SpanCorruption("lm", sentinels=SENTINELS, start=START, end=END)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(T5_ROLES).with_sentinels(100)


@pytest.fixture(scope="module")
def split(corpus, tokenizer):
    return prepare(open_corpus(DataOptions(corpus=[str(corpus)])), tokenizer).train


@pytest.fixture(scope="module")
def objective(tokenizer, split):
    return span_corruption.build(Options(), Setting(tokenizer, T5_ROLES, split, encodes_source=True))


def restored(source, target):
    """The text from source and target without their ends, as a reader would: at each sentinel what the other one holds."""

    def spans(ids):
        found, last = {}, None
        for id in ids:
            if id in SENTINELS:
                assert id not in found, "a sentinel stands once"
                found[last := id] = []
            elif last is None:
                found.setdefault(None, []).append(id)
            else:
                found[last].append(id)
        return found

    kept, taken = spans(source), spans(target)
    text = [*kept.get(None, [])]
    for sentinel in [name for name in kept if name is not None]:
        text += taken[sentinel] + kept[sentinel]
    assert [name for name in kept if name] == list(SENTINELS[: len(kept) - 1]), "in order"
    return text


# ---- lengths and statistics


@pytest.mark.parametrize(("source", "raw", "target"), [(512, 568, 114), (256, 284, 58), (128, 141, 29)])
def test_the_published_lengths(source, raw, target):
    assert OBJECTIVE.longest(source) == raw
    assert Noise().lengths(raw) == (source, target)


@given(length=st.integers(2, 700), rate=st.floats(0.02, 0.95), span=st.floats(1, 12), seed=st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_noise_has_the_asked_share_in_spans_of_the_asked_length(length, rate, span, seed):
    noise = Noise(rate, span)
    taken = noise.mask(length, np.random.default_rng(seed))
    assert len(taken) == length and not taken[0] and taken[-1]
    assert taken.sum() == min(max(round(length * rate), 1), length - 1)
    begins = int((np.diff(taken.astype(int)) == 1).sum())
    assert begins == min(max(round(taken.sum() / span), 1), taken.sum(), length - taken.sum())
    ids = np.arange(10, 10 + length)
    assert noise.lengths(length) == (len(ids[~taken]) + begins + 1, len(ids[taken]) + begins + 1)


def test_a_text_of_one_token_loses_nothing():
    assert not Noise().mask(1, np.random.default_rng(0)).any()
    source, target = OBJECTIVE.source_and_target(np.array([7]), np.random.default_rng(0))
    assert source.tolist() == [7, END] and target.tolist() == [SENTINELS[0], END]


def test_every_division_is_equally_likely():
    """9 tokens at a rate of 0.55 with a mean of 2: 5 are taken in 2 spans, 4 kept in 2: 4 x 3 masks."""
    noise, rng, count = Noise(0.55, 2.0), np.random.default_rng(0), 6000
    found = Counter(tuple(noise.mask(9, rng).tolist()) for _ in range(count))
    expected = set()
    for kept, taken in ((k[0], t[0]) for k in combinations(range(1, 4), 1) for t in combinations(range(1, 5), 1)):
        expected.add((False,) * kept + (True,) * taken + (False,) * (4 - kept) + (True,) * (5 - taken))
    assert set(found) == expected and len(expected) == 12
    squares = sum((n - count / 12) ** 2 / (count / 12) for n in found.values())
    assert squares < 31.3  # chi square with 11 degrees of freedom: exceeded once in a thousand


# ---- source and target


@given(length=st.integers(2, 300), noise=st.sampled_from([(0.15, 3.0), (0.15, 1.0), (0.5, 10.0)]), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_the_target_restores_the_source(length, noise, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(10, 800, length)
    noise = Noise(*noise)
    example = {"input_ids": ids, "document": np.array([0]), "first": np.array([0])}
    found = replace(OBJECTIVE, noise=noise).corrupt(example, rng, lambda rng: None)
    source, target = found["input_ids"], found["labels"]
    assert source[-1] == target[-1] == END
    assert found["decoder_input_ids"].tolist() == [START, *target[:-1]]
    assert restored(source[:-1].tolist(), target[:-1].tolist()) == ids.tolist()
    assert (len(source), len(target)) == noise.lengths(length)


def test_the_papers_example():
    """Figure 2; a last sentinel stands there only if the text ends with kept tokens."""
    words = np.arange(10, 20)  # Thank you for inviting me to your party last week
    taken = np.isin(words, [12, 13, 18])
    sentinels = np.array(SENTINELS)
    a, b, c = SENTINELS[:3]
    assert replaced(words, taken, sentinels).tolist() == [10, 11, a, 14, 15, 16, 17, b, 19]
    assert replaced(words, ~taken, sentinels).tolist() == [a, 12, 13, b, 18, c]
    taken[-1] = True
    assert replaced(words, ~taken, sentinels).tolist() == [a, 12, 13, b, 18, 19]


def test_sentinels_are_the_highest_ids_in_reverse(tokenizer, objective):
    first, size = objective.sentinels[0], tokenizer.vocab_size
    assert first == size - 1 and objective.sentinels == tuple(range(size - 1, size - 101, -1))
    assert tokenizer.token(first) == "<extra_id_0>" and tokenizer.token(size - 100) == "<extra_id_99>"


# ---- rows


def test_every_token_is_read_once_and_rows_are_full(objective, split):
    context = 64
    rows = Rows(split, objective.plan(split, context, 0), objective)
    found = Counter()
    for piece in rows.plan.pieces:
        found.update((int(piece[DOCUMENT]), place) for place in range(piece[FIRST], piece[FIRST] + piece[SIZE]))
    lengths = split.documents["tokens"].tolist()
    alone = sum(length % objective.longest(context) == 1 for length in lengths)
    assert set(found.values()) == {1} and len(found) == sum(lengths) - alone
    batch = rows.batch(np.arange(len(rows.plan)), [[0, 0]] * len(rows.plan))
    assert (batch["document_ids"] > 0).mean() > 0.95
    assert batch["input_ids"].shape[1] == context
    for row in range(len(rows.plan)):
        for name in set(batch["document_ids"][row]) - {0}:
            source = batch["input_ids"][row][batch["document_ids"][row] == name]
            target = batch["labels"][row][batch["decoder_document_ids"][row] == name]
            assert source[-1] == target[-1] == objective.end


def test_an_evaluation_takes_the_same_spans_out_however_texts_are_packed(objective, split):
    measured = replace(objective, noise=Noise(0.4, 2.0)).for_evaluation()
    assert measured.noise == Noise()

    def targets(plan):
        rows = Rows(split, plan, measured)
        examples = [rows._examples(row, [row, 5]) for row in range(len(plan))]
        pieces = [piece for row in range(len(plan)) for piece in plan.row(row)]
        return {int(p[DOCUMENT]): e["labels"].tolist() for p, e in zip(pieces, [e for row in examples for e in row])}

    assert targets(measured.held_out(split, 128)) == targets(measured.plan(split, 100, 7))


def test_the_loss_is_that_of_each_text_alone(objective, split):
    rows = Rows(split, objective.plan(split, 64, 0), objective)
    torch.manual_seed(0)
    vocabulary = objective.sentinels[0] + 1
    model = T5(replace(T5.sizes["tiny"], vocab_size=vocabulary, width=16, inner=24, layers=1, decoder_layers=1)).eval()
    batch = {name: torch.from_numpy(a) for name, a in rows.batch(np.arange(3), [[0, 0]] * 3).items()}
    total = 0.0
    for row in range(3):
        for name in range(1, int(batch["document_ids"][row].max()) + 1):
            source, target = batch["document_ids"][row] == name, batch["decoder_document_ids"][row] == name
            logits = model(batch["input_ids"][row, source][None], None, batch["decoder_input_ids"][row, target][None]).logits[0]
            total += torch.nn.functional.cross_entropy(logits, batch["labels"][row, target], reduction="sum").item()
    found = objective.loss(model, batch)["lm"]
    assert found[0].item() == pytest.approx(total, rel=1e-5) and found[1] == 1.0
    assert objective.counts(batch) == {"lm": int((batch["labels"] != IGNORE).sum())}
    measured = objective.for_evaluation()
    held = Rows(split, measured.held_out(split, 64), measured)
    metrics = evaluate_spans(model, held, tokens=2000).metrics
    assert metrics["target_loss"] == pytest.approx(np.log(vocabulary), rel=0.3) and metrics["target_tokens"] > 300


# ---- what is refused


def test_a_tokenizer_without_sentinels_is_refused(tokenizer_folder, split):
    plain = Tokenizer.load(tokenizer_folder).for_family(T5_ROLES)
    with pytest.raises(ValueError, match="needs sentinels .*start from a model that has them"):
        span_corruption.build(Options(), Setting(plain, T5_ROLES, split))


@pytest.mark.parametrize(
    ("options", "context", "names"),
    [
        ({}, 4096, ("context", "objective.span")),
        ({"span": 1.0}, 1024, ("context", "objective.span")),
        ({}, 2, ("context",)),
    ],
)
def test_contexts_that_do_not_fit_are_refused(options, context, names, tokenizer, split):
    objective = span_corruption.build(Options(**options), Setting(tokenizer, T5_ROLES, split, encodes_source=True))
    with option_error(*names):
        objective.plan(split, context, 0)


def test_documents_are_not_joined(tokenizer, split):
    with option_error("data.across_documents"):
        span_corruption.build(Options(), Setting(tokenizer, T5_ROLES, split, across_documents=True))
