"""The scores of a masked language model over a whole split, against `transformers` on the same masks."""

import numpy as np
import pytest
import torch
import transformers

from gyebo.data.batches import IGNORE
from gyebo.evaluation import evaluate_masked
from gyebo.interchange import save
from gyebo.jobs.pretraining.build import set_up


@pytest.fixture(scope="module")
def bert(run_options, tmp_path_factory):
    """(ours, theirs, held-out rows): weights large enough that the two disagree where either is wrong."""
    folder = tmp_path_factory.mktemp("bert")
    options = run_options(family="bert", objective={"format": "sentence-pair", "next_sentence": True})
    setup = set_up(options, folder / "run", None)
    torch.manual_seed(0)
    model = setup.make_model().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    save(model, None, folder / "model")
    return model, transformers.BertForPreTraining.from_pretrained(folder / "model").eval(), setup.valid


def test_every_masked_token_and_every_pair_is_scored_once(bert):
    model, theirs, rows = bert
    nats, right, tokens, right_pairs, pairs = 0.0, 0, 0, 0, 0
    for number in range(len(rows.plan)):
        batch = {name: torch.from_numpy(array) for name, array in rows.batch(np.array([number]), [[0]]).items()}
        for document in range(1, int(batch["document_ids"].max()) + 1):
            here = batch["document_ids"] == document
            ids, types, labels = (batch[name][here][None] for name in ("input_ids", "token_type_ids", "labels"))
            with torch.no_grad():
                given = theirs(input_ids=ids, token_type_ids=types)
            real = labels != IGNORE
            logits = given.prediction_logits[real]
            nats += float(torch.nn.functional.cross_entropy(logits, labels[real], reduction="sum"))
            right += int((logits.argmax(-1) == labels[real]).sum())
            tokens += int(real.sum())
            label = int(batch["next_sentence"][here][0])
            if label != IGNORE:
                right_pairs, pairs = right_pairs + (int(given.seq_relationship_logits.argmax()) == label), pairs + 1
    found = evaluate_masked(model, rows).metrics
    assert found["masked_tokens"] == tokens and pairs > 3
    assert found["masked_loss"] == pytest.approx(nats / tokens, rel=1e-4)
    assert found["masked_accuracy"] == pytest.approx(right / tokens)
    assert found["next_sentence_accuracy"] == pytest.approx(right_pairs / pairs)


def test_no_pair_right_is_an_accuracy_of_zero(bert):
    model, _, rows = bert

    class Contrary:
        plan = rows.plan

        def batch(self, numbers, streams):
            batch = rows.batch(numbers, streams)
            batch["next_sentence"][batch["next_sentence"] != IGNORE] = 1
            return batch

    head = dict(model.named_parameters())
    names = [name for name in head if "nsp" in name and name.endswith("bias") and head[name].shape == (2,)]
    assert len(names) == 1
    bias = head[names[0]]
    before = bias.detach().clone()
    with torch.no_grad():
        bias.copy_(torch.tensor([1e4, -1e4]))  # always "follows"
        assert evaluate_masked(model, Contrary()).metrics["next_sentence_accuracy"] == 0.0
        bias.copy_(before)


def test_without_pairs_there_is_no_accuracy_of_them(run_options, tmp_path):
    setup = set_up(run_options(family="roberta"), tmp_path, None)
    found = evaluate_masked(setup.make_model().eval(), setup.valid)
    assert set(found.metrics) == {"masked_loss", "masked_accuracy", "masked_tokens"}
    assert found.parts.sum(0)[0] / found.parts.sum(0)[1] == pytest.approx(found.metrics["masked_loss"])
