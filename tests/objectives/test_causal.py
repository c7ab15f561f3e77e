"""The causal objective: what it predicts, what it counts, what it must not see."""

import numpy as np
import torch

from gyebo.data.batches import IGNORE
from gyebo.models.gpt import Gpt, GptConfig
from gyebo.objectives.causal import Causal

CAUSAL = Causal(1, 2)


def corrupted(ids):
    return CAUSAL.corrupt({"input_ids": np.array(ids)}, np.random.default_rng(0), lambda rng: None)


def test_every_token_is_the_label_of_the_one_before():
    batch = corrupted([1, 7, 8, 9, 2])
    assert batch["input_ids"].tolist() == [1, 7, 8, 9] and batch["labels"].tolist() == [7, 8, 9, 2]
    assert len(batch["labels"]) == 3 + CAUSAL.extra


def test_what_was_corrupted_can_be_restored():
    ids = [1, 5, 6, 5, 2]
    batch = corrupted(ids)
    assert [*batch["input_ids"].tolist(), batch["labels"].tolist()[-1]] == ids


def test_a_label_is_not_seen_where_it_is_predicted():
    torch.manual_seed(0)
    model = Gpt(GptConfig(vocab_size=30, context=16, width=16, layers=2, heads=2)).eval()
    a, b = corrupted([1, 4, 5, 6, 7, 2]), corrupted([1, 4, 5, 20, 7, 2])
    logits = [model(torch.from_numpy(x["input_ids"])[None]).logits[0] for x in (a, b)]
    changed = (logits[0] != logits[1]).any(-1)
    assert not changed[:3].any() and changed[3:].all()


def test_loss_is_the_sum_over_labels_only():
    torch.manual_seed(0)
    model = Gpt(GptConfig(vocab_size=30, context=16, width=16, layers=1, heads=2)).eval()
    ids, labels = torch.randint(30, (2, 6)), torch.randint(30, (2, 6))
    labels[0, 2:] = IGNORE
    documents = torch.ones(2, 6, dtype=torch.long)
    batch = {"input_ids": ids, "labels": labels, "document_ids": documents}
    total, weight = CAUSAL.loss(model, batch)["lm"]
    logits = model(ids).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    torch.testing.assert_close(total, expected)
    assert weight == 1.0 and CAUSAL.counts(batch) == {"lm": 8}
