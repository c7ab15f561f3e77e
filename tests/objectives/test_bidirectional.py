"""The bidirectional objective: what each direction predicts, where a window ends, what is counted, what must not be seen."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gyebo.data.batches import IGNORE, Rows
from gyebo.evaluation import evaluate_bidirectional
from gyebo.models.elmo import Elmo, ElmoConfig
from gyebo.objectives import bidirectional
from gyebo.objectives.bidirectional import Bidirectional
from tests.refusals import option_error

FRAMED = Bidirectional(1, 2)


def split_of(*documents):
    """A split that holds these documents, ids without their frame."""
    kinds = [(name, np.int64) for name in ("tokens", "bytes", "unknown")]
    table = np.array([(len(ids), 3 * len(ids) + 1, len(ids) % 2) for ids in documents], dtype=kinds)
    return SimpleNamespace(
        name="train", documents=table, read=lambda document, low, high: np.array(documents[document][low:high], np.uint16)
    )


def piece(document, first, size):
    return np.array([document, first, size, 0, size])


def rows_of(objective, documents, context, plan="plan"):
    split = split_of(*documents)
    made = objective.plan(split, context, 0) if plan == "plan" else objective.held_out(split, context)
    return Rows(split, made, objective)


def model_of(**options):
    torch.manual_seed(0)
    shape = {"vocab_size": 30, "context": 64, "characters": 5, "filters": (4, 3), "highways": 1, "width": 12, "cells": 9}
    model = Elmo(ElmoConfig(**{**shape, "clip": 0.0, "dropout": 0.0, "init_std": 0.5, **options})).eval()
    model.spell(torch.arange(1, 31)[:, None] * torch.tensor([1, 3, 5, 7, 8]))
    return model


def tensors(batch):
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def test_each_token_has_both_neighbours_as_labels():
    fields = FRAMED.read(split_of([7, 8, 9]), piece(0, 0, 5), 0)
    assert fields["input_ids"].tolist() == [1, 7, 8, 9, 2]
    assert fields["labels"].tolist() == [7, 8, 9, 2, IGNORE]
    assert fields["previous"].tolist() == [IGNORE, 1, 7, 8, 9]
    bare = Bidirectional(None, None).read(split_of([7, 8, 9]), piece(0, 0, 3), 0)
    assert [bare[name].tolist() for name in fields] == [[7, 8, 9], [8, 9, IGNORE], [IGNORE, 7, 8]]
    assert [fields[name].tolist() for name in fields] == [FRAMED.corrupt(fields, None, None)[name].tolist() for name in fields]


@pytest.mark.parametrize("context", [2, 3, 4, 7, 20])
@pytest.mark.parametrize("lengths", [(0, 1, 2), (5, 11, 3), (17,)])
def test_training_predicts_each_token_once_from_either_side(context, lengths):
    """Every pair of neighbours, once each way, whatever the windows; nothing else."""
    documents = [list(range(3 + 20 * n, 3 + 20 * n + length)) for n, length in enumerate(lengths)]
    rows = rows_of(FRAMED, documents, context)
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    pairs = [pair for ids in documents for pair in zip([1, *ids], [*ids, 2])]
    real = batch["document_ids"] > 0
    for name, order in (("labels", 1), ("previous", -1)):
        wanted = real & (batch[name] != IGNORE)
        found = zip(batch["input_ids"][wanted].tolist(), batch[name][wanted].tolist())
        assert sorted(found) == sorted(pair[::order] for pair in pairs)
    assert (batch["labels"][~real] == IGNORE).all() and (batch["previous"][~real] == IGNORE).all()


@pytest.mark.parametrize("context", [2, 3, 6, 7, 20])
def test_held_out_text_is_scored_once_with_half_a_window_to_see(context):
    judge = FRAMED.for_evaluation()
    ids = list(range(3, 22))
    rows = rows_of(judge, [ids, [25]], context, "held out")
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    assert sorted(batch["labels"][batch["labels"] != IGNORE].tolist()) == sorted([*ids, 2, 25, 2])
    assert sorted(batch["previous"][batch["previous"] != IGNORE].tolist()) == sorted([1, *ids, 1, 25])
    for row in range(len(rows.plan)):
        for document in set(batch["document_ids"][row].tolist()) - {0}:
            here = batch["document_ids"][row] == document
            seen = batch["input_ids"][row, here].tolist()
            scored = np.flatnonzero(batch["labels"][row, here] != IGNORE)
            if seen[0] != 1 and len(scored):
                assert scored.min() >= context - context // 2  # so many tokens to the left of the first that is scored
            scored = np.flatnonzero(batch["previous"][row, here] != IGNORE)
            if seen[-1] != 2 and len(scored):
                assert scored.max() < context // 2  # and as many to the right


def test_changing_a_token_changes_no_logit_that_predicts_it():
    """Read, batched, and through the model: packed beside another document and cut into windows."""
    documents = [[4, 5, 6, 7, 8, 9, 10, 11, 12], [13, 14, 15]]
    model, found = model_of().double(), []
    for token in (8, 28):
        documents[0][4] = token
        rows = rows_of(FRAMED, documents, 8)
        batch = tensors(rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan)))
        hidden = model.encode(batch["input_ids"], document_ids=batch["document_ids"]).hidden
        found.append((batch, model.project(hidden, "forward"), model.project(hidden, "backward")))
    (one, *before), (other, *after) = found
    moved = 0
    for name, was, now in zip(("labels", "previous"), before, after):
        predicts = one[name] != other[name]
        assert predicts.sum() == 1  # the one place that predicts it from this side
        assert (was - now)[predicts].abs().max() < 1e-12
        moved += int(((was - now).abs().amax(-1) > 1e-9).sum())
    assert moved > 4


def test_a_label_beyond_the_window_is_in_no_input():
    """The last token of a window predicts one that its row does not hold."""
    split = split_of(list(range(3, 15)))
    fields = FRAMED.read(split, piece(0, 4, 4), 0)
    assert fields["input_ids"].tolist() == [6, 7, 8, 9]
    assert fields["labels"].tolist() == [7, 8, 9, 10] and fields["previous"].tolist() == [5, 6, 7, 8]


def test_the_loss_is_the_mean_of_both_directions_on_labelled_positions_only():
    model = model_of()
    ids, document_ids = torch.randint(30, (2, 6)), torch.tensor([[1] * 6, [1, 1, 2, 2, 2, 0]])
    labels, previous = torch.randint(30, (2, 6)), torch.randint(30, (2, 6))
    labels[0, 2:] = previous[1, :4] = previous[1, 5] = labels[1, 5] = IGNORE
    batch = {"input_ids": ids, "labels": labels, "previous": previous, "document_ids": document_ids}
    rows = []
    whole, model.lm_head.bias.data = model.output_layer, torch.randn(30)
    model.output_layer = lambda hidden, head: rows.append((head, len(hidden))) or whole(hidden, head)
    terms = FRAMED.loss(model, batch)
    assert rows == [("forward", 7), ("backward", 7)]
    out = model(ids, document_ids=document_ids)
    for term, logits, wanted in (("forward", out.logits, labels), ("backward", out.backward_logits, previous)):
        expected = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE, reduction="sum"
        )
        torch.testing.assert_close(terms[term][0], expected)
        assert terms[term][1] == 0.5
    assert FRAMED.counts(batch) == {"forward": 7, "backward": 7}


@torch.no_grad()
def test_held_out_figures_are_those_of_each_document_alone():
    model, documents = model_of(), [[4, 5, 6, 7], [8, 9], [], [10, 11, 12]]
    rows = rows_of(FRAMED.for_evaluation(), documents, 8, "held out")
    found = evaluate_bidirectional(model, rows).metrics
    nats, count = {"forward": 0.0, "backward": 0.0}, 0
    for ids in documents:
        text = torch.tensor([[1, *ids, 2]])
        out = model(text)
        ahead, back = out.logits[0].log_softmax(-1), out.backward_logits[0].log_softmax(-1)
        nats["forward"] -= sum(float(ahead[t, text[0, t + 1]]) for t in range(text.shape[1] - 1))
        nats["backward"] -= sum(float(back[t, text[0, t - 1]]) for t in range(1, text.shape[1]))
        count += len(ids) + 1
    assert found["tokens"] == count
    assert found["bidirectional_loss"] == pytest.approx((nats["forward"] + nats["backward"]) / 2 / count, rel=1e-5)
    for term, total in nats.items():
        assert math.log(found[f"{term}_perplexity"]) == pytest.approx(total / count, rel=1e-5)
    assert abs(nats["forward"] - nats["backward"]) > 1e-3
    unknown, size = sum(len(ids) % 2 for ids in documents), sum(3 * len(ids) + 1 for ids in documents)
    assert found["forward_bits_per_byte"] == pytest.approx((nats["forward"] / math.log(2) + 8 * unknown) / size, rel=1e-5)
    assert "forward_bits_per_byte" not in evaluate_bidirectional(model, rows, tokens=6).metrics
    assert evaluate_bidirectional(model, rows, tokens=6).metrics["tokens"] < count


def test_borders_are_not_crossed():
    with option_error("data.across_documents"):
        bidirectional.build(bidirectional.Options(), SimpleNamespace(across_documents=True))
