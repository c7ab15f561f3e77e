"""The three architectures of T5's study: they learn the same targets from the same texts; prefix language modelling."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.plan import DOCUMENT, FIRST
from gyebo.data.prepare import open_corpus, prepare
from gyebo.evaluation.source_target import evaluate_spans
from gyebo.models.family import find
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.models.t5 import T5
from gyebo.objectives import prefix_lm, span_corruption
from gyebo.objectives.objective import Setting
from gyebo.objectives.prefix_lm import PrefixLm
from gyebo.objectives.source_target import DECODER, ENCODER_DECODER, PREFIX_DECODER
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.refusals import option_error

ROLES = roles_of(find("t5"))
OPTIONS = {ENCODER_DECODER: None, DECODER: False, PREFIX_DECODER: True}  # architecture -> `prefix`
CONTEXT = {ENCODER_DECODER: 64, DECODER: 80, PREFIX_DECODER: 80}
MODULES = {"span-corruption": span_corruption, "prefix-lm": prefix_lm}


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(ROLES).with_sentinels(100)


@pytest.fixture(scope="module")
def split(corpus, tokenizer):
    return prepare(open_corpus(DataOptions(corpus=[str(corpus)])), tokenizer).train


@pytest.fixture(scope="module")
def built(tokenizer, split):
    def make(name, architecture, **more):
        setting = Setting(tokenizer, ROLES, split, encodes_source=architecture == ENCODER_DECODER)
        options = MODULES[name].Options(prefix=OPTIONS[architecture], **more)
        return MODULES[name].build(options, setting)

    return make


def examples(objective, split, plan):
    """(document, first token) -> the example of each piece."""
    rows, found = Rows(split, plan, objective), {}
    for row in range(len(plan)):
        for piece, example in zip(plan.row(row), rows._examples(row, [row, 3]), strict=True):
            found[int(piece[DOCUMENT]), int(piece[FIRST])] = example
    return found


def target_of(example):
    return example["labels"][example["labels"] != IGNORE].tolist()


@pytest.mark.parametrize("name", MODULES)
def test_all_are_measured_on_the_same_targets(name, built, split):
    found = {}
    for architecture in OPTIONS:
        measured = built(name, architecture).for_evaluation()
        found[architecture] = examples(measured, split, measured.held_out(split, CONTEXT[architecture]))
    whole = found[ENCODER_DECODER]
    assert len(whole) > 100 and all(target_of(example)[-1] == 2 for example in whole.values())
    for architecture in (DECODER, PREFIX_DECODER):
        assert found[architecture].keys() == whole.keys()
        for key, example in found[architecture].items():
            source, target = whole[key]["input_ids"].tolist(), target_of(whole[key])
            source = source if name == "span-corruption" else source[:-1]
            assert target_of(example) == target
            assert example["input_ids"].tolist() == source + target[:-1]
            assert example["labels"].tolist() == [IGNORE] * (len(source) - 1) + target
            if architecture == PREFIX_DECODER:
                assert example["prefix"].tolist() == [1] * len(source) + [0] * (len(target) - 1)
            else:
                assert "prefix" not in example


def test_a_decoder_reads_texts_as_long_as_source_and_target_may_be(built):
    for source, raw, target in ((512, 568, 114), (128, 141, 29)):
        assert built("span-corruption", DECODER).longest(source + target - 1) == raw


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("architecture", [DECODER, PREFIX_DECODER])
def test_the_loss_of_a_decoder_is_that_of_each_text_alone(name, architecture, built, split, tokenizer):
    objective = built(name, architecture)
    torch.manual_seed(0)
    model = Gpt2(Gpt2Config(vocab_size=tokenizer.vocab_size, context=80, width=16, layers=2, heads=2, init_std=0.3)).eval()
    rows = Rows(split, objective.plan(split, 80, 0), objective)
    batch = {field: torch.from_numpy(a) for field, a in rows.batch(np.arange(3), [[0, 0]] * 3).items()}
    total = 0.0
    for row in range(3):
        for number in range(1, int(batch["document_ids"][row].max()) + 1):
            here = batch["document_ids"][row] == number
            ids, labels = batch["input_ids"][row, here][None], batch["labels"][row, here]
            length = int((labels == IGNORE).sum()) + 1
            prefix = {"prefix": torch.arange(ids.shape[1])[None] < length} if architecture == PREFIX_DECODER else {}
            logits = model.project(model.encode(ids, **prefix).hidden[0])
            total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum").item()
    found, weight = objective.loss(model, batch)["lm"]
    assert found.item() == pytest.approx(total, rel=1e-5) and weight == 1.0
    assert objective.projected(batch) == objective.counts(batch) == {"lm": int((batch["labels"] != IGNORE).sum())}


def test_what_a_prefix_is_for_is_seen_from_its_first_token(built, split, tokenizer):
    """With a prefix, the state of the first token depends on the last one of the source, and on no token of the target."""
    objective = built("span-corruption", PREFIX_DECODER)
    torch.manual_seed(0)
    model = Gpt2(Gpt2Config(vocab_size=tokenizer.vocab_size, context=80, width=16, layers=1, heads=2)).eval()
    rows = Rows(split, objective.plan(split, 80, 0), objective)
    batch = {field: torch.from_numpy(a) for field, a in rows.batch(np.arange(1), [[0, 0]]).items()}
    length = int(((batch["document_ids"] == 1) & (batch["prefix"] == 1)).sum())

    def first(place):
        ids = batch["input_ids"].clone()
        if place is not None:
            ids[0, place] = (ids[0, place] + 1) % 300
        return model.encode(ids, document_ids=batch["document_ids"], prefix=batch["prefix"]).hidden[0, 0]

    assert not torch.equal(first(length - 1), first(None)) and torch.equal(first(length), first(None))


def test_a_text_is_divided_anywhere():
    objective = PrefixLm("lm", architecture=ENCODER_DECODER, end=2)
    rng, ids = np.random.default_rng(0), np.arange(10, 16)
    found = Counter()
    for _ in range(2000):
        source, target = objective.source_and_target(ids, rng)
        assert source[-1] == target[-1] == 2 and [*source[:-1], *target[:-1]] == ids.tolist()
        found[len(source) - 1] += 1
    assert set(found) == {1, 2, 3, 4, 5}
    assert sum((n - 400) ** 2 / 400 for n in found.values()) < 18.5  # chi square with 4 degrees of freedom


def test_all_three_are_evaluated_by_one_function(built, split, tokenizer):
    torch.manual_seed(0)
    shape = {"vocab_size": tokenizer.vocab_size, "width": 16, "layers": 1}
    decoder = Gpt2(Gpt2Config(**shape, context=80, heads=2)).eval()
    whole = T5(replace(T5.sizes["tiny"], **shape, decoder_layers=1, inner=24)).eval()
    counts = set()
    for architecture in OPTIONS:
        measured = built("span-corruption", architecture).for_evaluation()
        model = whole if architecture == ENCODER_DECODER else decoder
        metrics = evaluate_spans(model, Rows(split, measured.held_out(split, CONTEXT[architecture]), measured)).metrics
        counts.add(metrics["target_tokens"])
        assert metrics["target_loss"] == pytest.approx(np.log(tokenizer.vocab_size), rel=0.3)
    assert len(counts) == 1


@pytest.mark.parametrize("name", MODULES)
def test_an_encoder_has_no_prefix(name, tokenizer, split):
    with option_error("objective.prefix"):
        setting = Setting(tokenizer, ROLES, split, encodes_source=True)
        MODULES[name].build(MODULES[name].Options(prefix=True), setting)
    with option_error("data.across_documents"):
        MODULES[name].build(MODULES[name].Options(), Setting(tokenizer, ROLES, split, across_documents=True))
