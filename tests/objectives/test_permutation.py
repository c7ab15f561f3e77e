"""Permutation language modelling: who may see whom, the statistics of what is predicted, no leak, lanes, the loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.lanes import lanes
from gyebo.data.prepare import open_corpus, prepare
from gyebo.evaluation.permutation import evaluate_permutation
from gyebo.models.family import find
from gyebo.models.xlnet import Xlnet, XlnetConfig
from gyebo.objectives import permutation
from gyebo.objectives.objective import Setting
from gyebo.objectives.permutation import Options, Permutation, order, spans
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.models.encoder_models import NO_DROPOUT
from tests.refusals import option_error

ROLES = roles_of(find("xlnet"))
CONTEXT = 48


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(ROLES)


@pytest.fixture(scope="module")
def split(corpus, tokenizer):
    return prepare(open_corpus(DataOptions(corpus=[str(corpus)])), tokenizer).train


@pytest.fixture(scope="module")
def build(tokenizer, split):
    def make(*, carries: bool = False, **options) -> Permutation:
        return permutation.build(Options(**options), Setting(tokenizer, ROLES, split, carries=carries))

    return make


def epoch(objective, split, seed=0):
    rows = Rows(split, objective.plan(split, CONTEXT, seed), objective)
    return rows.batch(np.arange(len(rows.plan)), [[seed, 0]] * len(rows.plan))


def model_for(tokenizer, **options) -> Xlnet:
    torch.manual_seed(0)
    shape = {"width": 16, "layers": 2, "heads": 2, "init_std": 0.3, **NO_DROPOUT, **options}
    return Xlnet(XlnetConfig(vocab_size=tokenizer.vocab_size, context=CONTEXT, **shape)).eval()


def tensors(batch):
    return {name: torch.from_numpy(values) for name, values in batch.items()}


# ---- who may see whom


@pytest.mark.parametrize("format", ["doc-sentences", "segment-pair"])
def test_ranks_are_the_released_codes_idea_of_who_may_see_whom(build, split, tokenizer, format):
    """By its definition: all may see what is neither predicted nor sep nor cls; of the others a token sees those before it in
    the order, and sep, cls and the content stream also themselves; what is not predicted sees none of them."""
    batch = epoch(build(format=format), split)
    special = np.isin(batch["input_ids"], [tokenizer.role_ids["sep"], tokenizer.role_ids["cls"]])
    for row in range(8):
        for document in range(1, batch["document_ids"][row].max() + 1):
            here = batch["document_ids"][row] == document
            ranks, labels, role = (values[row, here] for values in (batch["ranks"], batch["labels"], special))
            predicted = labels != IGNORE
            assert not (predicted & role).any() and predicted.any()
            plain = ~predicted & ~role
            assert (ranks[plain] == -1).all() and len(set(ranks[~plain])) == (~plain).sum() and (ranks[~plain] >= 0).all()
            for i in range(len(ranks)):
                for j in range(len(ranks)):
                    if plain[j]:
                        may = True
                    elif plain[i]:
                        may = False
                    else:
                        may = ranks[j] < ranks[i]
                    assert (ranks[j] < ranks[i] or (plain[i] and plain[j])) == may  # the query stream, where it is asked
                    assert (ranks[j] <= ranks[i]) == (may or i == j)  # the content stream


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_an_order_is_drawn_in_windows_from_left_to_right(count, window, seed):
    ranks = order(count, window, np.random.default_rng(seed))
    assert sorted(ranks) == list(range(count))
    for start in range(0, count, window):
        assert sorted(ranks[start : start + window]) == list(range(start, min(count, start + window)))


def test_all_orders_of_a_window_are_equally_likely():
    rng = np.random.default_rng(0)
    found = [tuple(order(3, 256, rng)) for _ in range(3000)]
    counts = [found.count(one) for one in set(found)]
    assert len(counts) == 6 and max(abs(count - 500) for count in counts) < 4 * np.sqrt(500)


# ---- what is predicted


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_at_least_one_and_the_mean_share_is_exact(size, partial, seed):
    objective = Permutation(Options(partial=partial), {}, (), (), None)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        count = objective._count(size, rng)
        assert 1 <= count <= size and count in {max(1, size // partial), min(size, size // partial + 1)}
        starts = rng.random(size) < 0.5
        starts[0] = True
        for kind in ("pieces", "words"):
            chosen = spans(starts, count, rng, Options(partial=partial, spans=kind))
            assert len(set(chosen)) == len(chosen) <= count and (len(chosen) == count or kind == "words")


def test_one_in_six_and_the_spans_of_the_paper():
    """A long text of words of one piece: the lengths of the spans have probabilities proportional to 1/n, each stands in a
    context of 6n, and what is left to one in six is single."""
    rng = np.random.default_rng(0)
    starts = np.ones(200_000, bool)
    chosen = np.zeros(len(starts), bool)
    chosen[spans(starts, len(starts), rng, Options(partial=6))] = True
    assert chosen.all(), "everything was asked for"
    chosen[:] = False
    chosen[spans(starts, 30_000, rng, Options(partial=6))] = True  # fewer than the spans would give: 1/7 are 28,571
    assert chosen.sum() == 30_000
    alone = permutation.SIZES / permutation.SIZES.sum()
    assert alone.tolist() == pytest.approx([60 / 137, 30 / 137, 20 / 137, 15 / 137, 12 / 137])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen[:150_000], [0]])))
    lengths = np.bincount(edges[1::2] - edges[::2], minlength=7)[1:6]
    share = lengths / lengths.sum()
    assert share[0] > share[1] > share[2] > share[3] > share[4]
    assert np.abs(share - alone).max() < 0.06  # single tokens are added, and neighbours meet


def test_a_span_begins_a_word_and_counts_pieces_or_words():
    rng = np.random.default_rng(0)
    starts = np.arange(600) % 3 == 0  # words of three pieces
    for _ in range(20):
        words = spans(starts, 100, rng, Options(spans="words"))
        assert len(words) % 3 == 0 and (words.reshape(-1, 3) // 3 == words.reshape(-1, 3)[:, :1] // 3).all()
        assert 96 <= len(words) <= 100
    begins = []
    for _ in range(200):  # one span: the first of all
        pieces = spans(starts, 1, rng, Options(spans="pieces"))
        begins.append(pieces[0])
    assert all(begin % 3 == 0 for begin in begins)


def test_one_in_so_many_of_the_text_is_predicted(build, split, tokenizer):
    for partial, kind in ((6, "pieces"), (3, "pieces"), (6, "words")):
        batch = epoch(build(format="doc-sentences", partial=partial, spans=kind), split)
        special = np.isin(batch["input_ids"], [tokenizer.role_ids["sep"], tokenizer.role_ids["cls"]])
        text = (batch["document_ids"] > 0) & ~special
        predicted = batch["labels"] != IGNORE
        assert (batch["labels"][predicted] == batch["input_ids"][predicted]).all() and not predicted[~text].any()
        share = predicted.sum() / text.sum()
        assert share == pytest.approx(1 / partial, abs=0.01 if kind == "pieces" else 0.05)
    everything = epoch(build(format="doc-sentences", partial=1), split)
    special = np.isin(everything["input_ids"], [tokenizer.role_ids["sep"], tokenizer.role_ids["cls"]])
    assert ((everything["labels"] != IGNORE) == ((everything["document_ids"] > 0) & ~special)).all()


def test_a_batch_is_a_function_of_its_seed(build, split):
    one, same, other = (epoch(build(), split, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["ranks"], other["ranks"])


def test_evaluation_is_the_same_for_all_options(build, split):
    chosen = build(format="doc-sentences", partial=2, spans="words", window=7).for_evaluation()
    assert chosen.options == Options(format="doc-sentences")
    assert build(carries=True).for_evaluation().options.format == "doc-sentences"


# ---- formats


def test_texts_end_with_sep_and_cls_and_cls_has_a_segment_of_its_own(build, split, tokenizer):
    sep, cls = (tokenizer.role_ids[role] for role in ("sep", "cls"))
    for format, types in (("doc-sentences", [0, 2]), ("segment-pair", [0, 1, 2])):
        batch = epoch(build(format=format), split)
        first = batch["document_ids"][0] == 1
        ids, kinds = batch["input_ids"][0, first], batch["token_type_ids"][0, first]
        assert ids[-1] == cls and ids[-2] == sep and kinds[-1] == 2
        assert sorted(set(kinds)) == types and (np.diff(kinds) >= 0).all()
        assert (ids == sep).sum() == len(types) - 1


def test_a_document_in_lanes_goes_on_from_row_to_row_and_ends_as_its_template(build, split, tokenizer):
    objective = build(carries=True)
    assert objective.options.format == "continuous" and objective.extra == 2
    plan = lanes(split, 11, extra=2, count=3, plan_seed=0, seed=0)
    rows = Rows(split, plan, objective)
    read: dict[int, list[tuple[int, int, int]]] = {}
    for row in range(len(plan)):
        batch = rows.batch(np.array([row]), [[0, 0]])
        at = 0
        for document, first, size, *_ in plan.row(row):
            here = slice(at, at + size)
            assert (batch["document_ids"][0, here] == batch["document_ids"][0, at]).all()
            places = zip(range(first, first + size), batch["input_ids"][0, here], batch["token_type_ids"][0, here])
            read.setdefault(int(document), []).extend((int(p), int(i), int(t)) for p, i, t in places)
            at += size
    whole = 0
    for document, places in read.items():
        count = int(split.documents["tokens"][document])
        if len(places) < count + 2:
            continue  # left over where the stream is cut into lanes
        whole += 1
        sep, cls = (tokenizer.role_ids[role] for role in ("sep", "cls"))
        expected = [*split.read(document, 0, count).tolist(), sep, cls]
        assert [id for _, id, _ in sorted(places)] == expected
        assert [type for *_, type in sorted(places)] == [0] * (count + 1) + [2]
    assert whole > len(split) - 10
    shuffled = Rows(split, objective.plan(split, 11, 0), objective)  # the same pieces, packed
    assert shuffled.batch(np.arange(4), [[0, 0]] * 4)["input_ids"].shape == (4, 11)


def test_options_that_do_not_fit_are_refused(build, tokenizer, split):
    with option_error("objective.format"):
        build(carries=True, format="segment-pair")
    with option_error("objective.bidirectional"):
        build(bidirectional=True)
    with option_error("data.across_documents"):
        permutation.build(Options(), Setting(tokenizer, ROLES, split, across_documents=True))
    for wrong in ({"partial": 0}, {"window": 0}, {"spans": "letters"}, {"format": "full-sentences"}, {"rate": 0.15}):
        with pytest.raises(ValidationError):
            Options(**wrong)


# ---- loss


def test_the_loss_is_the_sum_over_the_predicted_tokens_of_each_text_alone(build, split, tokenizer):
    objective, model = build(format="segment-pair"), model_for(tokenizer)
    batch = tensors({name: values[:6] for name, values in epoch(objective, split).items()})
    (total, weight), count = objective.loss(model, batch)["lm"], objective.counts(batch)["lm"]
    assert weight == 1.0 and objective.projected(batch) == {"lm": count} and count == int((batch["labels"] != IGNORE).sum())
    expected = 0.0
    for row in range(6):
        for document in range(1, int(batch["document_ids"][row].max()) + 1):
            one = {name: values[row, batch["document_ids"][row] == document][None] for name, values in batch.items()}
            target = one["labels"] != IGNORE
            hidden = model.encode(one["input_ids"], token_type_ids=one["token_type_ids"], ranks=one["ranks"], targets=target)
            logits = model.project(hidden.hidden[target])
            expected += torch.nn.functional.cross_entropy(logits, one["labels"][target], reduction="sum").item()
    assert total.item() == pytest.approx(expected, rel=1e-5)
    total.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_what_is_to_be_predicted_never_shows(build, split, tokenizer):
    """Whatever stands at predicted places, the first of each order has the same loss."""
    objective, model = build(format="doc-sentences"), model_for(tokenizer)
    batch = tensors({name: values[:4] for name, values in epoch(objective, split).items()})
    target = batch["labels"] != IGNORE
    other = batch | {"input_ids": torch.where(target, 20, batch["input_ids"])}
    found = [permutation.encode(model, one)[0] for one in (batch, other)]
    firsts = 0
    for row in range(4):
        for document in range(1, int(batch["document_ids"][row].max()) + 1):
            ranks = batch["ranks"][row].masked_fill(~target[row] | (batch["document_ids"][row] != document), 10**6)
            place = int(ranks.argmin())
            assert torch.equal(found[0][row, place], found[1][row, place])
            firsts += 1
    assert firsts >= 4 and not torch.equal(*found)


def test_rows_of_lanes_have_the_loss_of_a_model_that_remembers(build, split, tokenizer):
    objective, model = build(carries=True), model_for(tokenizer, memory=9)
    plan = lanes(split, 11, extra=2, count=3, plan_seed=0, seed=0)
    rows = Rows(split, plan, objective)
    state = model.fresh_state(3)
    with torch.no_grad():
        for step in range(4):
            batch = tensors(rows.step(step, 3, 0))
            goes_on = batch.pop("continues")
            batch["state"] = given = model.reset(state, ~goes_on)
            found = float(objective.loss(model, batch)["lm"][0])
            state = batch["state"]
            apart = 0.0
            for row in range(3):
                alone = {name: values[row : row + 1] for name, values in batch.items() if name != "state"}
                alone["state"] = {name: leaf[row : row + 1] for name, leaf in given.items()}
                apart += float(objective.loss(model, alone)["lm"][0])
            assert found == pytest.approx(apart, rel=1e-5)
    assert int(state["length"].max()) > 0 and not state["memory"].requires_grad


def test_held_out_text_is_measured_as_it_is_learned(build, split, tokenizer):
    objective, model = build(format="doc-sentences").for_evaluation(), model_for(tokenizer)
    rows = Rows(split, objective.held_out(split, CONTEXT), objective)
    found = evaluate_permutation(model, rows)
    batch = tensors(rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan)))
    total, count = float(objective.loss(model, batch)["lm"][0].detach()), objective.counts(batch)["lm"]
    assert found.metrics["predicted_tokens"] == count
    assert found.metrics["permutation_loss"] == pytest.approx(total / count, rel=1e-4)
    assert found.parts.sum(0).tolist() == pytest.approx([total, count], rel=1e-4)
    assert 0 <= found.metrics["permutation_accuracy"] <= 1
    assert evaluate_permutation(model, rows).metrics == found.metrics


def test_rows_that_are_read_backwards_remember_what_follows(build, split, tokenizer):
    """The second of two rows backwards, against the same text forwards with the memory behind it, by the masks of one row that
    holds both (one layer: keys are the tokens themselves)."""
    objective, model = build(carries=True), model_for(tokenizer, memory=30, layers=1)
    assert objective.both_directions and not build(carries=True, bidirectional=False).both_directions
    ids, labels = torch.randint(20, 90, (1, 14)), torch.full((1, 14), IGNORE)
    labels[0, [1, 4]] = ids[0, [1, 4]]
    ranks, types = torch.full((1, 14), -1), torch.zeros(1, 14, dtype=torch.long)
    ranks[0, [1, 4]] = torch.tensor([1, 0])
    fields = {"input_ids": ids, "labels": labels, "ranks": ranks, "token_type_ids": types}
    fields |= {"document_ids": torch.ones_like(ids)}
    later = {name: values[:, 6:].flip(1) for name, values in fields.items()}
    backwards = torch.tensor([True])
    state = model.encode(later["input_ids"], backwards=backwards, state=model.fresh_state(1)).state
    first = {name: values[:, :6].flip(1) for name, values in fields.items()}
    with torch.no_grad():
        found = objective.loss(model, first | {"state": state, "backwards": backwards})["lm"][0]
        expected = objective.loss(model, fields)["lm"][0]
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
