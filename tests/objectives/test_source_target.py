"""The loss of encoder-decoders: documents that share a row have the loss that each has alone."""

import pytest
import torch

from gyebo.data.batches import IGNORE
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.objectives.source_target import FIELDS, TargetLoss, one_document_a_row

PAIRS = [([5, 6, 7], [1, 8, 9]), ([7, 3], [1, 4]), ([4], [1, 6, 6, 5]), ([9, 9, 9, 9], [1])]  # source, decoder's input


def packed(rows: list[list[int]], width: int) -> dict[str, torch.Tensor]:
    """A batch with those pairs in its rows, padded to `width`; a label is 2 + the input of its place, except at the first."""
    batch = {name: torch.zeros(len(rows), width, dtype=torch.long) for name in ("input_ids", "document_ids")}
    batch |= {f"decoder_{name}": value.clone() for name, value in list(batch.items())}
    batch["labels"] = torch.full((len(rows), width), IGNORE)
    for row, numbers in enumerate(rows):
        at = [0, 0]
        for document, number in enumerate(numbers, 1):
            for side, (prefix, ids) in enumerate(zip(("", "decoder_"), PAIRS[number])):
                places = slice(at[side], at[side] + len(ids))
                batch[f"{prefix}input_ids"][row, places] = torch.tensor(ids)
                batch[f"{prefix}document_ids"][row, places] = document
                at[side] += len(ids)
                if side:
                    batch["labels"][row, places] = torch.tensor(ids) + 2
                    batch["labels"][row, places.start] = 3 if number else IGNORE
    return batch


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerConfig(12, 16, 8, 1, 1, 2, 16, residual_dropout=0.0)).eval()


@pytest.mark.parametrize("rows", [[[0, 1], [2, 3]], [[0, 1, 2, 3]], [[3], [2, 0], [1]], [[1], []]])
def test_documents_of_a_row_do_not_see_each_other(model, rows):
    objective = TargetLoss("lm")
    batch = packed(rows, 12)
    (total, _) = objective.loss(model, batch)["lm"]
    alone = [objective.loss(model, packed([[number]], 5))["lm"][0] for row in rows for number in row]
    torch.testing.assert_close(total, sum(alone))
    assert objective.counts(batch) == {"lm": sum(len(PAIRS[n][1]) - (n == 0) for row in rows for n in row)}


def test_every_document_has_a_row_of_its_own():
    out = one_document_a_row(packed([[0, 1], [], [2, 3]], 9), FIELDS)
    assert out["input_ids"].tolist() == [[5, 6, 7, 0], [7, 3, 0, 0], [4, 0, 0, 0], [9, 9, 9, 9]]
    assert out["decoder_input_ids"].tolist() == [[1, 8, 9, 0], [1, 4, 0, 0], [1, 6, 6, 5], [1, 0, 0, 0]]
    assert out["labels"].tolist() == [
        [IGNORE, 10, 11, IGNORE],
        [3, 6, IGNORE, IGNORE],
        [3, 8, 8, 7],
        [3, IGNORE, IGNORE, IGNORE],
    ]
    assert out["document_ids"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert out["decoder_document_ids"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]


def test_a_document_may_be_empty_on_one_side(model):
    batch = packed([[0, 1]], 9)
    gone = batch["document_ids"] == 1
    batch["document_ids"][gone] = batch["input_ids"][gone] = 0
    out = one_document_a_row(batch, FIELDS)
    assert out["document_ids"].tolist() == [[0, 0], [1, 1]] and out["decoder_document_ids"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert torch.isfinite(TargetLoss("lm").loss(model, batch)["lm"][0])


def test_rows_of_one_document_are_left_alone():
    batch = packed([[0], [2]], 6)
    assert one_document_a_row(batch, FIELDS) is batch
