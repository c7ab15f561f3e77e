"""The causal objective: what it predicts, what it counts, what it must not see."""

import numpy as np
import pytest
import torch

from gyebo.data.batches import IGNORE
from gyebo.jobs.pretraining.build import set_up
from gyebo.models.gpt import Gpt, GptConfig
from gyebo.models.ulmfit import DROPOUTS, Ulmfit, UlmfitConfig
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


def regularised_batch():
    """Two rows, documents that end inside of them, padding."""
    documents = torch.tensor([[1, 1, 1, 2, 2, 3, 0], [1, 1, 1, 1, 1, 1, 1]])
    ids = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids.clone().masked_fill(documents == 0, IGNORE), "document_ids": documents}


def test_activations_are_held_by_the_formula():
    """AR: the mean square of the dropped output; TAR: that of the change of the raw one, inside a document."""
    torch.manual_seed(0)
    model = Ulmfit(
        UlmfitConfig(vocab_size=30, context=16, window=8, width=6, inner=9, init_std=5.0, output_dropout=0.5)
    ).train()
    batch, objective = regularised_batch(), Causal(1, 2, ar=2.0, tar=1.0)
    torch.manual_seed(3)
    terms = objective.loss(model, batch)
    torch.manual_seed(3)
    encoded = model.encode(batch["input_ids"], document_ids=batch["document_ids"], return_raw=True)
    ar = tar = 0.0
    pairs = 0
    for hidden, raw, row in zip(encoded.hidden, encoded.raw, batch["document_ids"].tolist()):
        for at, document in enumerate(row):
            if document:
                ar += float((hidden[at] ** 2).mean().detach())
            if at and document and row[at - 1] == document:
                tar += float(((raw[at] - raw[at - 1]) ** 2).mean().detach())
                pairs += 1
    assert objective.counts(batch) == {"lm": 13, "ar": 13, "tar": pairs} and pairs == 9
    torch.testing.assert_close(float(terms["ar"][0].detach()), ar, rtol=1e-5, atol=0)
    torch.testing.assert_close(float(terms["tar"][0].detach()), tar, rtol=1e-5, atol=0)
    assert (terms["ar"][1], terms["tar"][1]) == (2.0, 1.0) and ar > 1e-3 and tar > 1e-3
    plain = Causal(1, 2)
    torch.manual_seed(3)
    assert torch.equal(plain.loss(model, batch)["lm"][0], terms["lm"][0])
    assert plain.counts(batch) == {"lm": 13} and plain.loss(model, batch).keys() == {"lm"}
    assert objective.for_evaluation() == plain


def test_what_holds_activations_reaches_the_weights():
    torch.manual_seed(0)
    model = Ulmfit(UlmfitConfig(vocab_size=30, context=16, window=8, width=6, inner=9)).train()
    for term in ("ar", "tar"):
        model.zero_grad()
        Causal(1, 2, ar=1.0, tar=1.0).loss(model, regularised_batch())[term][0].backward()
        assert all(p.grad.abs().sum() > 0 for p in model.blocks.parameters())


@pytest.mark.parametrize(("family", "options"), [("gpt2", {"ar": 2}), ("dan", {"tar": 0.5})])
def test_a_family_without_states_is_refused_by_name(run_options, tmp_path, family, options):
    (name, weight) = next(iter(options.items()))
    with pytest.raises(ValueError, match=rf"objective\.{name}={weight} is for recurrent families: leave it out"):
        set_up(run_options(family=family, objective=options), tmp_path, None)
    found = set_up(run_options(family="lstm", objective=options), tmp_path, None).objective
    assert getattr(found, name) == weight


def test_the_published_weights_are_those_of_ulmfit_alone(run_options, tmp_path):
    assert [getattr(set_up(run_options(family="ulmfit"), tmp_path, None).objective, name) for name in ("ar", "tar")] == [
        2.0,
        1.0,
    ]
    assert set_up(run_options(family="lstm"), tmp_path, None).objective.tar == 0.0
    off = set_up(run_options(family="ulmfit", objective={"ar": 0, "tar": 0}), tmp_path, None)
    assert off.trainer("float32", 9).advance().keys() == {"step", "loss", "lr", "grad_norm", "tokens"}


def test_terms_are_logged_and_parts_of_a_batch_are_the_batch(run_options, tmp_path):
    still = dict.fromkeys(DROPOUTS, 0.0) | {"init_std": 0.5}
    records = []
    for micro in (8, 3):
        setup = set_up(run_options(family="ulmfit", model=still), tmp_path, None)
        setup.micro_rows = micro
        trainer = setup.trainer("float32", 100)
        records.append([trainer.advance() for _ in range(3)])
        trainer.optimizer.step = lambda: None
        trainer.advance()
        records[-1].append({name: p.grad for name, p in trainer.model.named_parameters()})
    for one, other in zip(records[0][:3], records[1][:3]):
        assert one == pytest.approx(other, abs=1e-5)
        assert one["loss"] == pytest.approx(one["loss_lm"] + 2 * one["loss_ar"] + one["loss_tar"])
    for name, grad in records[0][3].items():
        torch.testing.assert_close(grad, records[1][3][name], atol=1e-5, rtol=1e-4, msg=name)
