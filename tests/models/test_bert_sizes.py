"""BERT, RoBERTa and DistilBERT: how many parameters, how they start, what is refused, what a child changes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gyebo.models import family
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.distilbert import Distilbert, DistilbertConfig
from gyebo.models.roberta import Roberta, RobertaConfig
from tests.models.encoder_models import NO_DROPOUT, close, tokens


@pytest.fixture(params=[Bert, Roberta, Distilbert], ids=["bert", "roberta", "distilbert"])
def cls(request):
    return request.param


PUBLISHED = {  # counted on the models of transformers at the published configurations, with their pretraining heads
    ("bert", "base"): 110_106_428,
    ("bert", "large"): 336_226_108,
    ("roberta", "base"): 124_697_433,
    ("roberta", "large"): 355_412_057,
    ("distilbert", "base"): 66_985_530,
}
BODIES = {  # the same without heads; BERT's and RoBERTa's with the pooler
    ("bert", "base"): 109_482_240,
    ("bert", "large"): 335_141_888,
    ("bert", "base-cased"): 108_310_272,
    ("roberta", "base"): 124_645_632,
    ("distilbert", "base"): 66_362_880,
}
SIZES = [(name, size) for name in ("bert", "roberta", "distilbert") for size in family.FAMILIES[name].sizes]


def on_paper(config):
    with torch.device("meta"):
        return {BertConfig: Bert, RobertaConfig: Roberta, DistilbertConfig: Distilbert}[type(config)](config)


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_parameter_counts(name, size):
    cls = family.model_class(name)
    assert list(cls.sizes) == list(family.FAMILIES[name].sizes)
    config, d = cls.sizes[size], cls.sizes[size].width
    total = on_paper(config).count_parameters()
    assert total == family.FAMILIES[name].sizes[size] == PUBLISHED.get((name, size), total)
    assert size != "tiny" or total < 1_000_000
    assert size != "mini" or (total <= 9_000_000 and config.vocab_size == 16_000)
    extra = {"pooler": True} if name != "distilbert" else {}
    body = on_paper(replace(config, mlm=False, nsp=False, **extra)).count_parameters()
    assert body == BODIES.get((name, size), body)
    assert ("bert", "base-cased") in BODIES and set(PUBLISHED) <= set(SIZES)
    tables = (config.vocab_size + config.context + config.first_position + config.segments) * d
    without = on_paper(config).count_parameters(embeddings=False)
    assert without == total - tables - config.vocab_size  # the head's bias belongs to its table
    untied = on_paper(replace(config, tied=False))
    assert untied.count_parameters() == total + config.vocab_size * d
    assert untied.count_parameters(embeddings=False) == without


def test_initial_values(cls):
    config = cls.config_class(vocab_size=5000, context=600, width=240, layers=2, heads=6, init_std=0.05, tied=False)
    torch.manual_seed(3)
    model = cls(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (1.0 if "norm.weight" in name else 0.0)).all(), name
            continue
        count = parameter.numel()
        assert abs(float(parameter.detach().mean())) < 5 * 0.05 / math.sqrt(count), name
        assert abs(float(parameter.detach().std()) / 0.05 - 1) < 5 / math.sqrt(2 * count), name
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), cls(config).parameters()))


def test_layer_groups_hold_every_parameter_once(build):
    for tied in (True, False):
        model = build(tied=tied)
        groups = model.layer_groups()
        listed = [id(p) for group in groups for p in group]
        assert len(listed) == len(set(listed))
        assert set(listed) == {id(p) for p in model.parameters()}
        assert len(groups) == 5  # embeddings, three blocks, the rest
        names = {id(p): name for name, p in model.named_parameters()}
        assert {names[id(p)].split(".")[0].rsplit("_")[-1] for p in groups[0]} == {"embedding", "norm"}
        for block, group in zip(model.blocks, groups[1:4]):
            assert {id(p) for p in group} == {id(p) for p in block.parameters()}
        assert any(p is model.mlm_head.decoder.weight for p in groups[-1]) is not tied


# -- dropout ---------------------------------------------------------------------------------------------------------


def test_each_dropout_acts_in_training_only(build):
    row = tokens(2, 12)
    plain = build(**NO_DROPOUT)
    expected = plain(row).logits
    assert close(plain.train()(row).logits, expected)
    for name in NO_DROPOUT:
        model = build(**NO_DROPOUT | {name: 0.5})
        assert torch.equal(model(row).logits, expected)
        model.train()
        torch.manual_seed(0)
        first = model(row).logits
        assert not close(first, expected, 1e-2)
        assert not torch.equal(model(row).logits, first)
        torch.manual_seed(0)
        assert torch.equal(model(row).logits, first)


# -- options that are wrong, and what children change ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "option", "value", "words"),
    [
        (Bert, "vocab_size", 0, "vocab_size"),
        (Bert, "heads", 5, "heads"),
        (Bert, "segments", 0, "segments"),
        (Roberta, "segments", 0, "segments"),
        (Bert, "pooler", False, "nsp.*pooler"),
        (Roberta, "pad_id", None, "pad_id"),
        (Roberta, "nsp", True, "nsp"),
        (Distilbert, "segments", 2, "segments"),
        (Distilbert, "pooler", True, "pooler"),
        (Distilbert, "nsp", True, "nsp"),
    ],
)
def test_wrong_options_are_refused_by_name(cls, option, value, words):
    good = cls.config_class(vocab_size=53, context=8, width=12, layers=1, heads=2)
    with pytest.raises(ValueError, match=words):
        replace(good, **{option: value})


@torch.no_grad()
def test_roberta_is_bert_with_shifted_positions():
    """BERT's weights in RoBERTa, its position table after the rows up to padding's: the same function."""
    shape = {"vocab_size": 53, "context": 16, "width": 12, "layers": 2, "heads": 2, "init_std": 0.3}
    torch.manual_seed(0)
    parent = Bert(BertConfig(**shape, norm_eps=1e-5, segments=1, nsp=False, pooler=False)).eval()
    child = Roberta(RobertaConfig(**shape, pad_id=5)).eval()
    state = dict(parent.state_dict())
    table = torch.full((22, 12), torch.nan)  # rows that no real token may read
    table[6:] = state["position_embedding.weight"]
    child.load_state_dict(state | {"position_embedding.weight": table})
    assert close(child(tokens(2, 16)).logits, parent(tokens(2, 16)).logits)


@torch.no_grad()
def test_the_activation_of_the_head():
    """RoBERTa's head keeps GELU; BERT's and DistilBERT's follow the blocks."""
    shape = {"vocab_size": 53, "context": 16, "width": 12, "layers": 1, "heads": 2, "activation": "relu"}
    rows = torch.randn(5, 12)
    for cls, activation in ((Bert, torch.relu), (Roberta, torch.nn.functional.gelu), (Distilbert, torch.relu)):
        model = cls(cls.config_class(**shape))
        head = model.mlm_head
        expected = torch.nn.functional.layer_norm(activation(head.dense(rows)), (12,), eps=model.config.norm_eps)
        assert close(model.output_layer(rows)[0], expected)


def test_distilbert_is_bert_without_some_tables():
    shape = {"vocab_size": 53, "context": 8, "width": 4, "layers": 1, "heads": 1}
    parent, child = (set(cls(cls.config_class(**shape)).state_dict()) for cls in (Bert, Distilbert))
    assert parent - child == {
        "segment_embedding.weight",
        *(f"{part}.{kind}" for part in ("pooler", "nsp_head") for kind in ("weight", "bias")),
    }
    assert child <= parent
