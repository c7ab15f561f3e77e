"""Task heads on bodies of each family: what they compute, where they look, and what becomes of the pretrained model."""

from __future__ import annotations

import pytest
import torch

from gyebo.models.family import FAMILIES, model_class
from gyebo.nn.cost import Workload
from gyebo.tasks.heads.styles import STYLES
from gyebo.tasks.heads.task_model import TaskModel, add_head
from gyebo.tasks.kinds.table import KINDS as TABLE
from tests.operations import counted
from tests.tasks.head_outputs import check_padding_may_stand_anywhere, scores_of, tokens

STYLE_OF = {
    "gpt": "last",
    "gpt2": "last",
    "bert": "pooled",
    "roberta": "dense",
    "distilbert": "pre-classifier",
    "ulmfit": "concat",
}
FAMILY = [name for name in STYLE_OF if name in FAMILIES]
# Without those that have classification's head, and without kinds that see (`test_answer_head.py`).
LIKE_CLASSIFICATION = ("multi-label", "regression")
KINDS = [name for name, kind in TABLE.items() if kind.head and not kind.head.sees and name not in LIKE_CLASSIFICATION]
SIMPLE = [kind for kind in KINDS if kind != "dependency"]
LABELS = {"classification": 5, "tagging": 4}
ODD = {"vocab_size": 53, "context": 24, "width": 21, "layers": 2, "heads": 3, "init_std": 0.3}
OTHER = {"ulmfit": {"inner": 27, "window": 7}}  # instead of attention heads


def pretrained(family, seed=0, **options):
    torch.manual_seed(seed)
    cls = model_class(family)
    shape = {name: value for name, value in ODD.items() if name != "heads"} | OTHER[family] if family in OTHER else ODD
    model = cls(cls.config_class(**{**shape, **options})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
    return model


def task(family, kind, seed=0, **options):
    model = add_head(pretrained(family, seed), STYLE_OF[family], kind, LABELS.get(kind), **options)
    with torch.no_grad():  # biases away from 0
        for parameter in model.head.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model


def test_every_style_reads_every_kind():
    assert all(set(kind.head.specs) == set(STYLES) for kind in TABLE.values() if kind.head)
    for name in FAMILY:
        if hasattr(FAMILIES[name], "head_style"):
            assert FAMILIES[name].head_style == STYLE_OF[name]


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("family", FAMILY)
@torch.no_grad()
def test_shapes_and_the_formula(family, kind):
    """Each head written out again, with the layers' own weights."""
    model = task(family, kind)
    ids = tokens(3, 2, 9) if kind == "choice" else tokens(3, 9)
    found = scores_of(model(ids))
    hidden = model.body.encode(ids.flatten(0, -2)).hidden
    head = model.head
    style = STYLE_OF[family]
    if kind in ("tagging", "spans"):
        expected = hidden @ head.out.weight.T + head.out.bias
        assert found.shape == (3, 9, 4 if kind == "tagging" else 2)
    else:
        rows = hidden[:, -1] if style in ("last", "concat") else hidden[:, 0]
        if style == "pooled" or (style, kind) == ("dense", "choice"):
            rows = torch.tanh(rows @ model.body.pooler.weight.T + model.body.pooler.bias)
        elif style == "dense":
            rows = torch.tanh(rows @ head.dense.weight.T + head.dense.bias)
        elif style == "pre-classifier":
            rows = (rows @ head.dense.weight.T + head.dense.bias).clamp(min=0)
        if (style, kind) == ("concat", "classification"):  # norms that have seen nothing yet divide by 1
            rows = torch.cat([rows, hidden.max(1).values, hidden.mean(1)], 1)
            rows = ((rows * head.norm.weight + head.norm.bias) @ head.dense.weight.T).clamp(min=0)
            rows = rows * head.norm_out.weight + head.norm_out.bias
        expected = rows @ head.out.weight.T + (0 if style in ("last", "concat") else head.out.bias)
        assert (head.out.bias is None) == (style in ("last", "concat"))
        if kind == "choice":
            expected = expected.view(3, 2)
    assert found.shape == expected.shape
    assert expected.std() > 0.05
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("family", FAMILY)
@torch.no_grad()
def test_padding_may_stand_anywhere(family, kind):
    check_padding_may_stand_anywhere(task(family, kind), kind)


@torch.no_grad()
def test_segments_and_positions_reach_the_body():
    model = task("bert", "classification")
    ids = tokens(2, 6)
    kinds = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    plain = model(ids).logits
    assert (model(ids, token_type_ids=kinds).logits - plain).abs().max() > 1e-3
    assert torch.equal(model(ids, token_type_ids=kinds * 0).logits, plain)
    shifted = torch.arange(2, 8)[None].expand(2, -1)
    assert (model(ids, position_ids=shifted).logits - plain).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILY)
def test_nothing_is_computed_for_pretraining_and_nothing_is_left_unused(family, kind):
    """Each parameter of the result gets a gradient: no head of pretraining, no pooler that nobody reads."""
    given = pretrained(family)
    embedding = given.token_embedding.weight
    model = add_head(given, STYLE_OF[family], kind, 6 if kind == "dependency" else LABELS.get(kind), dropout=0.0)
    assert isinstance(model, TaskModel) and (model.family, model.kind.name) == (family, kind)
    assert model.body.token_embedding.weight is embedding  # moved, not copied
    assert model.config is model.body.config and model.config.vocab_size == 53
    assert not model.training
    ids = tokens(2, 3, 9) if kind == "choice" else tokens(2, 9)
    words = {"word_first": torch.tensor([[1, 3]] * 2), "word_last": torch.tensor([[2, 3]] * 2)}
    found = model.train()(ids, **(words if kind == "dependency" else {}))
    (scores_of(found) ** 2).sum().backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == (["body.lm_head.bias"] if family == "ulmfit" else [])  # a tied output layer stays whole
    grouped = [id(p) for group in model.layer_groups() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())  # each once
    assert {id(p) for p in model.layer_groups()[-1]} == {id(p) for p in model.head.parameters()}
    assert model.count_parameters() == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILY)
@torch.no_grad()
def test_flops_are_those_that_torch_counts(family, kind):
    """Of body and head, of texts of 9 tokens; with ULMFiT in training, in windows, each token once."""
    model = add_head(pretrained(family), STYLE_OF[family], kind, 6 if kind == "dependency" else LABELS.get(kind), dropout=0.0)
    ids = tokens(2, 3, 9) if kind == "choice" else tokens(4, 9)
    words = {name: torch.tensor([[1, 3, 5]] * 4) for name in ("word_first", "word_last")} if kind == "dependency" else {}
    work = Workload({"tokens": [9] * ids[..., 0].numel(), "words": [3] * 4})
    assert counted(lambda: model(ids, **words)) == pytest.approx(model.flops(work), rel=1e-9)
    assert counted(lambda: model.train()(ids, **words)) == pytest.approx(model.flops(work), rel=1e-9)


@pytest.mark.parametrize("family", FAMILY)
@torch.no_grad()
def test_the_body_computes_as_before(family):
    before = pretrained(family).encode(tokens(2, 9)).hidden
    for kind in KINDS:
        model = add_head(pretrained(family), STYLE_OF[family], kind, 3 if kind not in ("spans", "choice") else None)
        assert torch.equal(model.body.encode(tokens(2, 9)).hidden, before)


def test_a_pretrained_pooler_stays_and_a_missing_one_starts_afresh():
    given = pretrained("bert")
    pooler = given.pooler.weight
    assert add_head(given, "pooled", "classification", 2).body.pooler.weight is pooler
    assert add_head(pretrained("bert"), "pooled", "tagging", 2).body.pooler is None
    torch.manual_seed(0)
    without = pretrained("bert", nsp=False, pooler=False, width=120, init_std=0.05)
    fresh = add_head(without, "pooled", "classification", 2).body
    assert fresh.config.pooler and not fresh.config.mlm
    assert float(fresh.pooler.weight.detach().std()) == pytest.approx(0.05, rel=0.05)
    assert fresh.pooler.bias.abs().max() == 0
    assert add_head(pretrained("roberta"), "dense", "choice").body.pooler is not None


def test_the_output_layer_of_a_causal_model():
    tied = add_head(pretrained("gpt2"), "last", "classification", 2).body
    assert tied.lm_head.weight is tied.token_embedding.weight and tied.heads == ("lm",)
    assert tied.project(torch.zeros(2, 21)).shape == (2, 53)
    untied = add_head(pretrained("gpt2", tied=False), "last", "classification", 2)
    assert not any("lm_head" in name for name, _ in untied.named_parameters())
    assert untied.body.heads == ()
    assert model_class("gpt2").heads == ("lm",)


@pytest.mark.parametrize("kind", ["classification", "tagging", "dependency"])
def test_initial_weights(kind):
    for style, family in (("dense", "roberta"), ("last", "gpt2")):
        model = add_head(pretrained(family, width=120, heads=2, init_std=0.02), style, kind, 30)
        for name, parameter in model.head.named_parameters():
            values = parameter.detach()
            if name.endswith("bias"):
                assert values.abs().max() == 0
            else:
                assert values.mean().abs() < 0.002
                assert float(values.std()) == pytest.approx(0.02, rel=0.15), name


def test_dropout_acts_in_training_only_and_where_it_should():
    model = add_head(pretrained("bert"), "pooled", "classification", 2, dropout=0.5)
    for module in model.body.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.0
    model.body.config.embedding_dropout = 0.0
    ids = tokens(2, 9)
    assert torch.equal(model(ids).logits, model(ids).logits)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)
    model.head.p = 0.0
    assert torch.equal(model(ids).logits, model.eval()(ids).logits)
    spans = add_head(pretrained("bert", embedding_dropout=0.0, attention_dropout=0.0, residual_dropout=0.0), "pooled", "spans")
    assert torch.equal(
        scores_of(spans.train()(ids)), scores_of(spans.eval()(ids))
    )  # as published: no dropout before the span logits


def test_labels_have_names():
    names = add_head(pretrained("gpt2"), "last", "tagging", ["O", "B-PS", "I-PS"]).labels
    assert names == ("O", "B-PS", "I-PS")
    model = add_head(pretrained("gpt2"), "last", "regression")
    assert (model.labels, model.problem) == (("LABEL_0",), "regression")
    assert add_head(pretrained("gpt2"), "last", "classification", ["a", "b"]).problem == "single_label_classification"
    problem = "multi_label_classification"
    assert add_head(pretrained("gpt2"), "last", "multi-label", ["a", "b"]).problem == problem
    assert add_head(pretrained("gpt2"), "last", "spans", 2).labels == ()
    assert add_head(pretrained("gpt2"), "last", "choice").problem is None


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("first", "tagging", 2), {}, "style must be one of pooled, dense"),
        (("last", "tag", 2), {}, "unknown kind of task 'tag'; did you mean tagging"),
        (("last", "tagging", 0), {}, "at least one"),
        (("last", "tagging", None), {}, "at least one"),
        (("last", "classification", "positive"), {}, "the one string 'positive'"),
        (("last", "classification", ["a", "a"]), {}, "twice"),
        (("last", "spans", 3), {}, "no labels, but 3"),
        (("last", "choice", ["a", "b"]), {}, "no labels, but 2"),
        (("last", "classification", 2), {"dropout": 1.0}, "dropout"),
        (
            ("last", "classification", 2),
            {"problem": "multi_label_classification"},
            "problem of kind classification must be one of",
        ),
        (("last", "tagging", 2), {"problem": "regression"}, "problem of kind tagging must be one of none"),
        (("last", "classification", 1), {}, "use that kind"),
        (("last", "translation", None), {}, "no head"),
        (("pooled", "classification", 2), {}, "gpt2 has no pooler"),
        (("concat", "classification", 2), {}, "gpt2 carries no state"),
        (("last", "visual-classification", 2), {}, "gpt2 sees no pictures"),
    ],
)
def test_what_cannot_be_asked_for(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        add_head(pretrained("gpt2"), *arguments, **options)


def test_what_forward_refuses():
    model = task("gpt2", "classification")
    with pytest.raises(ValueError, match="start_positions= does not belong to kind classification, which takes labels="):
        model(tokens(2, 5), start_positions=torch.zeros(2))
    with pytest.raises(ValueError, match="word_first does not belong to kind classification"):
        model(tokens(2, 5), word_first=torch.zeros(2, 1, dtype=torch.long), word_last=torch.zeros(2, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="visual_feats does not belong to kind classification"):
        model(tokens(2, 5), visual_feats=torch.zeros(2, 1, 3))
    with pytest.raises(ValueError, match=r"\[B, C, T\]"):
        task("gpt2", "choice")(tokens(2, 5))
    parser = add_head(pretrained("gpt2"), "last", "dependency", 3)
    with pytest.raises(ValueError, match="word_first and word_last"):
        parser(tokens(2, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILY)
@torch.no_grad()
def test_hidden_states_and_attentions_are_those_of_the_body(family, kind):
    model, ids = (
        task(family, kind) if kind in (*LABELS, "spans", "choice") else add_head(pretrained(family), STYLE_OF[family], kind, 3),
        tokens(2, 3, 9) if kind == "choice" else tokens(2, 9),
    )
    words = {"word_first": torch.tensor([[1, 3]] * 2), "word_last": torch.tensor([[2, 3]] * 2)}
    inputs = words if kind == "dependency" else {}
    plain = model(ids, **inputs)
    assert plain.hidden_states is None and plain.attentions is None
    found = model(ids, output_hidden_states=True, **inputs)
    expected = model.body.encode(ids.flatten(0, -2), return_layers=True).layers
    assert len(found.hidden_states) == len(expected) == 3
    assert all((a - b).abs().max() < 1e-5 for a, b in zip(found.hidden_states, expected))
    assert (scores_of(found) - scores_of(plain)).abs().max() < 1e-5
    if family == "ulmfit":
        with pytest.raises(ValueError, match="output_attentions: ulmfit"):
            model(ids, output_attentions=True, **inputs)
    else:
        weights = model(ids, output_attentions=True, **inputs).attentions
        assert len(weights) == 2 and weights[0].shape == (len(ids.flatten(0, -2)), 3, 9, 9)
