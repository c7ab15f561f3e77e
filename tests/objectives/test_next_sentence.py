"""The next-sentence label, in the batch and in the loss: 0 = the second segment follows, as `transformers` has it."""

import re

import numpy as np
import pytest
import torch
import transformers

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.prepare import open_corpus, prepare
from gyebo.interchange import save
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.family import FAMILIES
from gyebo.objectives import masked
from gyebo.objectives.objective import Setting
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

ROLES = roles_of(FAMILIES["bert"])
FOLLOWS = 0  # `BertForNextSentencePrediction`: "0 indicates sequence B is a continuation of sequence A"


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, tokenizer_folder):
    """Documents whose sentences say where they stand, and the tokenizer."""
    path = tmp_path_factory.mktemp("numbered") / "text.txt"
    lines = [" ".join(f"나무 {document} 바다 {place}." for place in range(6)) for document in range(40)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(ROLES)
    return prepare(open_corpus(DataOptions(corpus=[str(path)])), tokenizer).train, tokenizer


def batch_of(numbered, format):
    split, tokenizer = numbered
    setting = Setting(tokenizer, ROLES, split, ("mlm", "nsp"))
    objective = masked.build(masked.Options(format=format), setting)
    rows = Rows(split, objective.plan(split, 160, 0), objective)
    return objective, rows.batch(np.arange(len(rows.plan)), [[0, 0]] * len(rows.plan))


def first_pairs(batch, tokenizer):
    """Of each row the pair that stands first: (text of A, text of B, its label), with what was masked put back."""
    originals = np.where(batch["labels"] == IGNORE, batch["input_ids"], batch["labels"])
    for ids, types, documents, labels in zip(originals, batch["token_type_ids"], batch["document_ids"], batch["next_sentence"]):
        here = documents == 1
        first, second = (tokenizer.decode(ids[here & (types == kind)].tolist()) for kind in (0, 1))
        yield first, second, int(labels[here][0])


def places(text):
    """(document, sentence) of every sentence."""
    return [(int(document), int(place)) for document, place in re.findall(r"나무 (\d+) 바다 (\d+)\.", text)]


def really_follows(first, second):
    (document, last), (other, next_one) = places(first)[-1], places(second)[0]
    return other == document and next_one == last + 1


@pytest.mark.parametrize("format", ["segment-pair", "sentence-pair"])
def test_the_label_says_whether_the_second_segment_follows(numbered, format):
    _, batch = batch_of(numbered, format)
    seen = set()
    for first, second, label in first_pairs(batch, numbered[1]):
        if places(first) and places(second):  # a segment that is cut shows no whole sentence
            assert (label == FOLLOWS) == really_follows(first, second), (first, second)
            seen.add(label)
    assert seen == {0, 1}


def test_the_loss_is_that_of_transformers_for_labels_read_off_the_text(numbered, tmp_path):
    """One row a batch, so that attention in theirs needs no more than a mask."""
    objective, batch = batch_of(numbered, "sentence-pair")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=400, context=160, width=24, layers=1, heads=2, init_std=0.5, pad_id=0, nsp=True)
    model = Bert(config).eval()
    save(model, None, tmp_path)
    theirs = transformers.BertForNextSentencePrediction.from_pretrained(tmp_path).eval()
    apart = set()
    for row, (first, second, _) in enumerate(first_pairs(batch, numbered[1])):
        if not places(first) or not places(second):
            continue
        tensors = {name: torch.from_numpy(array[row : row + 1]) for name, array in batch.items()}
        tensors = {name: tensor[:, batch["document_ids"][row] == 1] for name, tensor in tensors.items()}
        label = FOLLOWS if really_follows(first, second) else 1 - FOLLOWS
        with torch.no_grad():
            ours, _ = objective.loss(model, tensors)["nsp"]
            given = {"input_ids": tensors["input_ids"], "token_type_ids": tensors["token_type_ids"]}
            expected = theirs(**given, labels=torch.tensor([label])).loss
            other = theirs(**given, labels=torch.tensor([1 - label])).loss
        assert float(ours) == pytest.approx(float(expected), abs=1e-4)
        apart.add(abs(float(expected - other)) > 1e-2)
    assert True in apart  # else nothing was told apart
