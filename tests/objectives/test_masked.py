"""Masked language modelling and next sentences: the statistics that the papers state, no leak, nothing lost."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.plan import ROOM
from gyebo.data.prepare import open_corpus, prepare
from gyebo.objectives import framed, masked
from gyebo.objectives.masked import Masked, Options
from gyebo.objectives.objective import Setting
from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from tests.refusals import option_error

BERT = Roles(
    tokens={"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    single=("cls", "$A", "sep"),
    pair=("cls", "$A", "sep", "$B:1", "sep:1"),
    model_inputs=("input_ids", "token_type_ids", "attention_mask"),
)
FORMATS = ("segment-pair", "sentence-pair", "full-sentences", "doc-sentences")
CONTEXT = 48


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(BERT)


@pytest.fixture(scope="module")
def split(corpus, tokenizer):
    return prepare(open_corpus(DataOptions(corpus=[str(corpus)])), tokenizer).train


@pytest.fixture(scope="module")
def build(tokenizer, split):
    def make(**options) -> Masked:
        return masked.build(Options(**options), Setting(tokenizer, BERT, split, ("mlm", "nsp")))

    return make


def rows_of(objective, split, context=CONTEXT, seed=0):
    return Rows(split, objective.plan(split, context, seed), objective)


def epoch(objective, split, seed=0, number=0):
    """All rows of an epoch as one batch."""
    rows = rows_of(objective, split)
    return rows.batch(np.arange(len(rows.plan)), [[seed, number]] * len(rows.plan)), rows


def noted(rows, drawn, rng):
    """Another example, which is remembered."""
    drawn.append(rows._draw(rng))
    return drawn[-1]


def within(share, expected, count, errors=3.5):
    assert abs(share - expected) < errors * np.sqrt(expected * (1 - expected) / count), (share, expected, count)


# ---- statistics


def test_fifteen_percent_and_80_10_10(build, split, tokenizer):
    batch, _ = epoch(build(format="doc-sentences"), split)
    text = (batch["document_ids"] > 0) & ~np.isin(batch["input_ids"], [tokenizer.role_ids["cls"], tokenizer.role_ids["sep"]])
    hidden = batch["labels"] != IGNORE
    count = hidden.sum()
    assert not hidden[~text & (batch["input_ids"] != tokenizer.role_ids["mask"])].any()
    within(count / text.sum(), 0.15, text.sum())
    shown = batch["input_ids"][hidden]
    masks = shown == tokenizer.role_ids["mask"]
    same = shown == batch["labels"][hidden]
    within(masks.mean(), 0.8, count)
    within(same.mean(), 0.1 + 0.1 / 384, count)
    others = shown[~masks & ~same]
    assert len(set(others)) > 100 and others.min() >= 16, "random pieces, never roles"


@given(st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_at_least_one_and_the_mean_share_is_exact(size, seed):
    objective = Masked(Options(), {"mask": 3}, (), (), None, np.arange(16, 90))
    rng = np.random.default_rng(seed)
    hidden = [objective._hide(np.arange(16, 16 + size), np.ones(size, bool), rng)["labels"] != IGNORE for _ in range(40)]
    counts = [marked.sum() for marked in hidden]
    assert min(counts) >= 1 and set(counts) <= {max(1, int(0.15 * size)), max(1, int(0.15 * size) + 1)}


def test_shares_can_be_chosen(build, split, tokenizer):
    batch, _ = epoch(build(format="doc-sentences", rate=0.4, mask_share=0.0, random_share=0.0), split)
    hidden = batch["labels"] != IGNORE
    assert (batch["input_ids"] == batch["labels"])[hidden].all()
    within(hidden.sum() / ((batch["document_ids"] > 0).sum() - 2 * len(split)), 0.4, hidden.sum())


def test_half_of_the_pairs_are_random_and_never_of_the_same_document(build, split):
    for format in ("segment-pair", "sentence-pair"):
        objective = build(format=format)
        rows = rows_of(objective, split)
        labels, several = [], 0
        for number, piece in enumerate(rows.plan.pieces):
            example = objective.read(split, piece, 0)
            drawn = []
            draw = partial(noted, rows, drawn)
            first, second, label = objective._divide(example, np.random.default_rng(number), draw)
            ids = example["input_ids"]
            if objective.marks.sentence_starts(ids).sum() < 2:
                assert label == 1, "a single sentence has no next one"
                continue
            several += 1
            labels.append(label)
            if label == 0:
                assert np.array_equal(np.concatenate([first, second]), ids) and len(second)
            else:
                assert drawn[-1]["document"][0] != example["document"][0]
                assert np.array_equal(first, ids[: len(first)]) and 0 < len(first) < len(ids)
                starts = np.flatnonzero(objective.marks.sentence_starts(drawn[-1]["input_ids"]))
                assert any(np.array_equal(second, drawn[-1]["input_ids"][s : s + len(second)]) for s in starts)
                if format == "sentence-pair":  # of BERT's SENTENCE-PAIR: two sentences, and no more
                    assert objective.marks.sentence_starts(second).sum() == 1
        within(np.mean(labels), 0.5, several)


def test_whole_words_are_never_split(build, split, tokenizer):
    objective = build(format="doc-sentences", whole_words=True)
    batch, _ = epoch(objective, split)
    hidden = batch["labels"] != IGNORE
    original = np.where(hidden, batch["labels"], batch["input_ids"])
    for ids, marked, documents in zip(original, hidden, batch["document_ids"]):
        for number in range(1, documents.max() + 1):
            place = np.flatnonzero(documents == number)[1:-1]
            starts = objective.marks.word_starts(ids[place])
            word = np.cumsum(starts)
            for w in set(word):
                assert len(set(marked[place][word == w])) == 1
    share = hidden.sum() / ((batch["document_ids"] > 0).sum() - 2 * len(split))
    assert 0.12 < share < 0.2  # the smallest word of a short text may be more than 15 %


def test_a_word_that_does_not_fit_is_passed_over():
    starts = np.array([1, 0, 0, 0, 1, 1, 0], bool)  # words of 4, 1 and 2 pieces
    for seed in range(30):
        assert sorted(masked.whole_words(starts, 3, np.random.default_rng(seed)).tolist()) == [4, 5, 6]
        assert sorted(masked.whole_words(starts, 1, np.random.default_rng(seed)).tolist()) == [4]
    assert sorted(masked.whole_words(np.array([1, 0, 0], bool), 1, np.random.default_rng(0)).tolist()) == [0, 1, 2]


# ---- leaks, restoring, seeds


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_corrupted_can_be_restored(build, split, tokenizer, format):
    objective = build(format=format)
    rows = rows_of(objective, split)
    for number in range(20):
        batch = rows.batch(np.array([number]), [[0, 0]])
        found = np.where(batch["labels"] != IGNORE, batch["labels"], batch["input_ids"])[0]
        for place, piece in enumerate(rows.plan.row(number)):
            text = objective.read(split, piece, place)["input_ids"].tolist()
            mine = found if objective.one_document else found[batch["document_ids"][0] == place + 1]
            joined = [i for i in mine.tolist() if i not in (tokenizer.role_ids["cls"], tokenizer.role_ids["sep"])]
            head = text[: max(1, len(text) // 4)] if format in framed.PAIRS else text
            if format == "segment-pair" and len(joined) > CONTEXT - 3 - 1:
                continue  # may be shortened at its front
            assert "".join(map(chr, head)) in "".join(map(chr, joined))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("whole_words", [False, True])
def test_a_hidden_original_is_not_in_the_input(build, split, tokenizer, format, whole_words):
    objective = build(format=format, whole_words=whole_words)
    rows = rows_of(objective, split)
    piece = rows.plan.row(3)[0]
    example = objective.read(split, piece, 0)
    before = objective.corrupt(dict(example), np.random.default_rng(1), rows._draw)
    places = np.flatnonzero((before["labels"] != IGNORE) & (before["input_ids"] != before["labels"]))
    for place in places:
        hits = np.flatnonzero(example["input_ids"] == before["labels"][place])
        for hit in hits:
            changed = {**example, "input_ids": example["input_ids"].copy()}
            other = next((i for i in range(60, 400) if _alike(objective.marks, i, changed["input_ids"][hit])), None)
            if other is None:  # a full stop: with another piece there the sentences would change
                break
            changed["input_ids"][hit] = other
            after = objective.corrupt(changed, np.random.default_rng(1), rows._draw)
            if after["labels"][place] == other:  # this is the piece that was hidden
                assert np.array_equal(after["input_ids"], before["input_ids"])
                break
        else:
            assert format in framed.PAIRS, "the masked token is one of the text"


def _alike(marks, a, b):
    """Pieces between which words and sentences don't change."""
    tables = (marks.space, marks.line, marks.ends, marks.ends_line, marks.piece)
    return a != b and all(table[a] == table[b] for table in tables)


def test_static_masks_come_again_and_dynamic_ones_do_not(build, split):
    static, dynamic = build(format="doc-sentences", static_copies=2), build(format="doc-sentences")
    rows = rows_of(static, split)
    steps = len(rows.plan)  # one row a step: an epoch
    for objective, again in ((static, True), (dynamic, False)):
        rows = Rows(split, rows.plan, objective)
        by_epoch = []
        for number in range(3):
            batches = [rows.step(number * steps + i, 1, seed=5) for i in range(steps)]
            texts = {tuple(np.where(b["labels"] != IGNORE, b["labels"], b["input_ids"])[0]): b["labels"][0] for b in batches}
            by_epoch.append(texts)
        same = [all(np.array_equal(by_epoch[0][k], e[k]) for k in e) for e in by_epoch[1:]]
        assert same == [False, again]


# ---- formats


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_longer_than_its_room_and_every_token_is_planned_once(build, split, format):
    objective = build(format=format)
    rows = rows_of(objective, split)
    read = sorted((int(d), first + i) for d, first, size, *_ in rows.plan.pieces.tolist() for i in range(size))
    assert read == [(d, i) for d, n in enumerate(split.documents["tokens"].tolist()) for i in range(n)]
    for number in range(len(rows.plan)):
        row = rows.plan.row(number)
        assert row[:, ROOM].sum() <= CONTEXT
        batch = rows.batch(np.array([number]), [[0, 0]])
        for place, piece in enumerate(row if not objective.one_document else []):
            assert (batch["document_ids"][0] == place + 1).sum() <= piece[ROOM]


def test_full_sentences_join_documents_with_a_role_between(build, split, tokenizer):
    batch, rows = epoch(build(format="full-sentences"), split)
    cls, sep = tokenizer.role_ids["cls"], tokenizer.role_ids["sep"]
    original = np.where(batch["labels"] != IGNORE, batch["labels"], batch["input_ids"])
    for number, ids in enumerate(original):
        real = ids[batch["document_ids"][number] == 1].tolist()
        assert real[0] == cls and real[-1] == sep and real.count(cls) == 1
        assert real.count(sep) == len(rows.plan.row(number))
    assert rows.plan.mean_tokens > 0.75 * CONTEXT


def test_documents_are_cut_between_sentences(build, split, tokenizer):
    objective = build(format="doc-sentences")
    for context in (16, 24):
        plan = objective.plan(split, context, 0)
        cut = plan.pieces[plan.pieces[:, 1] > 0]
        assert len(cut)
        for document, first, *_ in cut.tolist():
            starts = np.flatnonzero(objective.marks.sentence_starts(split.read(document, 0, first + 1)))
            inside = first not in starts
            if inside:  # only where no sentence border lies in the room before
                assert first - starts[-1] >= context - 2


def test_pairs_have_two_types_and_a_label_at_their_start(build, split, tokenizer):
    batch, rows = epoch(build(format="segment-pair"), split)
    labelled = batch["next_sentence"] != IGNORE
    assert labelled.sum() == len(rows.plan.pieces) and (batch["input_ids"][labelled] == tokenizer.role_ids["cls"]).all()
    for ids, types, documents in zip(batch["input_ids"], batch["token_type_ids"], batch["document_ids"]):
        for number in range(1, documents.max() + 1):
            here = documents == number
            seps = np.flatnonzero(ids[here] == tokenizer.role_ids["sep"])
            assert len(seps) == 2 and seps[1] == here.sum() - 1
            assert types[here].tolist() == [0] * (seps[0] + 1) + [1] * (seps[1] - seps[0])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 40), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_a_pair_is_cut_from_the_longer_side(first, second, room, seed):
    a, b = framed.shortened(np.arange(first), 100 + np.arange(second), room, np.random.default_rng(seed))
    assert len(a) and len(b) and len(a) + len(b) == min(room, first + second)
    assert np.array_equal(a, np.arange(a[0], a[0] + len(a))) and np.array_equal(b, np.arange(b[0], b[0] + len(b)))
    if len(a) < first and len(b) < second:
        assert abs(len(a) - len(b)) <= 1


# ---- choosing


def test_auto_takes_pairs_where_documents_have_sentences(build, tokenizer, split, tmp_path):
    assert build().options.format == "segment-pair" and build().next_sentence
    assert masked.build(Options(), Setting(tokenizer, BERT, split, ("mlm",))).options.format == "doc-sentences"
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(f"나무 {i} 바다 하늘" for i in range(300)))
    single = prepare(open_corpus(DataOptions(corpus=[str(path)])), tokenizer).train
    found = masked.build(Options(), Setting(tokenizer, BERT, single, ("mlm", "nsp")))
    assert found.options.format == "doc-sentences" and not found.next_sentence
    with pytest.raises(ValueError, match="next_sentence has no effect with objective.format = doc-sentences"):
        masked.build(Options(next_sentence=True), Setting(tokenizer, BERT, single, ("mlm", "nsp")))
    with option_error("data.documents", "objective.format"):
        masked.build(Options(format="segment-pair"), Setting(tokenizer, BERT, single, ("mlm", "nsp")))


def test_contradictions_are_refused(build, tokenizer_folder, split):
    with pytest.raises(ValueError, match=r"mask_share and random_share are 1\.2 together"):
        Options(mask_share=0.9, random_share=0.3)
    for name, value in {"rate": 0.0, "static_copies": 0, "mask_share": -0.1, "random_share": 1.1}.items():
        with pytest.raises(ValidationError) as caught:
            Options(**{name: value})
        assert [problem["loc"] for problem in caught.value.errors()] == [(name,)]
    with pytest.raises(ValueError, match="next_sentence needs pairs"):
        Options(format="doc-sentences", next_sentence=True)
    with pytest.raises(ValueError, match="needs a mask token"):
        plain = Tokenizer.load(tokenizer_folder).for_family(Roles({"pad": "<pad>"}))
        masked.build(Options(), Setting(plain, BERT, split))
    with option_error("context"):
        build(format="segment-pair").plan(split, 3, 0)


# ---- loss


class Bag:
    """A "model" whose hidden vector of a position is its id's one-hot."""

    has_segments = True

    def __init__(self, size):
        self.matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
        self.pairs = torch.randn(2, size, generator=torch.Generator().manual_seed(1))
        self.config = type("Config", (), {"segments": 2})
        self.seen = []

    def encode(self, ids, document_ids, token_type_ids=None):
        hidden = torch.nn.functional.one_hot(ids, len(self.matrix)).float()
        return type("Encoded", (), {"hidden": hidden})

    def output_layer(self, hidden, head):
        self.seen.append(hidden.shape)
        return hidden, self.matrix, None

    def project(self, hidden, head):
        return hidden @ self.pairs.T


def test_loss_has_two_terms_over_hidden_positions_only(build, split, tokenizer):
    objective = build(format="segment-pair")
    arrays, _ = epoch(objective, split)
    batch = {name: torch.from_numpy(values[:4]) for name, values in arrays.items()}
    model = Bag(tokenizer.vocab_size)
    terms = objective.loss(model, batch)
    counts = objective.counts(batch)
    logits = model.matrix.T[batch["input_ids"]]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum")
    torch.testing.assert_close(terms["mlm"][0], expected)
    guesses = model.pairs.T[batch["input_ids"]].flatten(0, 1)
    pairs = torch.nn.functional.cross_entropy(guesses, batch["next_sentence"].flatten(), reduction="sum")
    torch.testing.assert_close(terms["nsp"][0], pairs)
    assert model.seen == [(counts["mlm"], tokenizer.vocab_size)] and {weight for _, weight in terms.values()} == {1.0}


def test_every_way_of_masking_is_evaluated_with_the_same_plain_masks(build, split):
    """Those of BERT, of single tokens."""
    plain, _ = epoch(build(), split)
    for options in ({}, {"whole_words": True, "rate": 0.4}, {"static_copies": 3, "mask_share": 0.5, "random_share": 0.3}):
        found, _ = epoch(build(**options).for_evaluation(), split)
        assert all(np.array_equal(found[name], plain[name]) for name in plain)
