"""The head on a text with its picture: the published formula on the vector of each family, padding, costs, files."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

import gyebo
from gyebo.models.lxmert import Lxmert, LxmertConfig
from gyebo.models.vilbert import Vilbert, VilbertConfig
from gyebo.nn.cost import Workload
from gyebo.tasks.heads.task_model import add_head
from gyebo.tasks.seeing import PictureReading
from tests.operations import counted
from tests.tasks.head_outputs import tokens

KIND = "visual-classification"
SHAPE = {"vocab_size": 53, "context": 24, "width": 18, "heads": 3, "init_std": 0.3}
SEEN = {"region_layers": 1, "cross_layers": 2}
IMAGE = {"image_width": 12, "image_layers": 1, "image_heads": 2, "image_inner": 10, "co_width": 14, "co_heads": 2}
CONFIGS = {
    "lxmert": LxmertConfig(**SHAPE, **SEEN, layers=2, feature_size=7),
    "pixels": LxmertConfig(**SHAPE, **SEEN, layers=2, crop=4, feature_size=48),
    "vilbert": VilbertConfig(**SHAPE, **IMAGE, layers=2, feature_size=7, text_at=(1,), image_at=(0,)),
    "sum": VilbertConfig(**SHAPE, **IMAGE, layers=2, feature_size=7, text_at=(1,), image_at=(0,), fusion="sum"),
    "one stream": VilbertConfig(
        **{**SHAPE, **IMAGE, "image_layers": 0}, layers=2, feature_size=7, text_at=(), image_at=(), streams=1
    ),
}
STYLE = {"lxmert": "pooled", "vilbert": "dense"}


def pretrained(name):
    torch.manual_seed(0)
    config = CONFIGS[name]
    return (Lxmert if isinstance(config, LxmertConfig) else Vilbert)(config).eval()


def task(name, labels=5, **options):
    body = pretrained(name)
    model = add_head(body, STYLE[body.family], KIND, labels, **options)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model


def seen_by(model, rows=3, regions=4, seed=1):
    random = torch.Generator().manual_seed(seed)
    config = model.config
    boxes = 5 if model.body.whole_first else config.box_size
    return {
        "visual_feats": torch.randn(rows, regions, config.feature_size, generator=random),
        "visual_pos": torch.rand(rows, regions, boxes, generator=random),
    }


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_the_formula(name):
    """Linear(2D), GELU, norm, Linear on LXMERT's pooled [CLS], and on the product of ViLBERT's two pooled vectors."""
    model = task(name)
    ids, shown = tokens(3, 9), seen_by(model)
    body, head = model.body, model.head
    found = body.encode(ids, **shown)
    first, image = found.hidden[:, 0], found.region_hidden[:, 0]
    if body.family == "lxmert":
        vector = torch.tanh(first @ body.pooler.weight.T + body.pooler.bias)
    else:
        vector = (first @ body.text_pooler.weight.T + body.text_pooler.bias).clamp(min=0)
        if body.image_pooler is not None:
            other = (image @ body.image_pooler.weight.T + body.image_pooler.bias).clamp(min=0)
            vector = vector + other if name == "sum" else vector * other
    assert head.dense.weight.shape == (2 * vector.shape[1], vector.shape[1])
    hidden = F.gelu(vector @ head.dense.weight.T + head.dense.bias)
    centred = hidden - hidden.mean(1, keepdim=True)
    normed = centred / (hidden.var(1, keepdim=True, unbiased=False) + 1e-12).sqrt() * head.norm.weight + head.norm.bias
    expected = normed @ head.out.weight.T + head.out.bias
    assert expected.std() > 0.05
    assert (model(ids, **shown).logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_padding_of_either_side_changes_nothing(name):
    model = task(name)
    ids, shown = tokens(3, 9), seen_by(model)
    words, regions = torch.tensor([9, 4, 2]), torch.tensor([2, 4, 1])
    real = (torch.arange(9) < words[:, None]).long()
    there = (torch.arange(4) < regions[:, None]).long()
    both = model(ids, attention_mask=real, visual_attention_mask=there, **shown).logits
    by_number = model(ids, document_ids=real * 3, region_document_ids=there * 3, **shown).logits
    assert torch.equal(both, by_number)
    for row in range(3):
        cut = {field: values[row : row + 1, : regions[row]] for field, values in shown.items()}
        alone = model(ids[row : row + 1, : words[row]], **cut).logits
        assert (alone - both[row]).abs().max() < 1e-5


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_the_picture_counts_and_may_be_missing(name):
    model = task(name)
    ids, shown = tokens(3, 9), seen_by(model)
    other = model(ids, **seen_by(model, seed=2)).logits
    assert (model(ids, **shown).logits - other).abs().max() > 1e-3
    assert torch.isfinite(model(ids).logits).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_is_computed_for_pretraining_and_nothing_is_left_unused(name):
    model = task(name, dropout=0.0).train()
    (model(tokens(2, 9), **seen_by(model, 2)).logits ** 2).sum().backward()
    unused = {key for key, parameter in model.named_parameters() if parameter.grad is None}
    last = "body.cross_blocks.1.regions."  # what LXMERT's last layer says of regions, only its heads of pretraining read
    assert unused == {key for key, _ in model.named_parameters() if key.startswith(last)}
    grouped = [id(parameter) for group in model.layer_groups() for parameter in group]
    assert sorted(grouped) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_flops_are_those_that_torch_counts(name):
    model = task(name)
    shown = seen_by(model, 4)
    work = Workload({"tokens": [9] * 4, "regions": [4] * 4})
    assert counted(lambda: model(tokens(4, 9), **shown)) == pytest.approx(model.flops(work), rel=1e-9)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_saved_and_opened_again(name, tmp_path):
    reading = PictureReading(size=32, crop=model_crop(name), regions="boxes", whole=name not in ("lxmert", "pixels"))
    model = task(name, ["false", "true"], pictures=reading)
    gyebo.save(model, None, tmp_path)
    again, _ = gyebo.load(tmp_path)
    assert again.kind.name == KIND and again.labels == ("false", "true") and again.pictures == reading
    ids, shown = tokens(3, 9), seen_by(model)
    assert torch.equal(again(ids, **shown).logits, model(ids, **shown).logits)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert written["architectures"] == ["LxmertForQuestionAnswering" if name == "lxmert" else "GyeboForVisualClassification"]


def model_crop(name):
    return CONFIGS[name].crop or 16


@torch.no_grad()
def test_transformers_computes_the_same_in_both_directions(tmp_path):
    model = task("lxmert", ["red", "green", "two"])
    gyebo.save(model, None, tmp_path / "ours")
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "ours").eval()
    assert type(theirs) is transformers.LxmertForQuestionAnswering and theirs.config.id2label[2] == "two"
    ids, shown = tokens(3, 9), seen_by(model)
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] * 2 + [0] * 7])
    found = model(ids, attention_mask=mask, **shown).logits
    given = {"attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    expected = theirs(ids, **given, **shown).question_answering_score
    assert (found - expected).abs().max() < 1e-4
    theirs.save_pretrained(tmp_path / "theirs")
    again, _ = gyebo.load(tmp_path / "theirs")
    assert again.labels == model.labels
    assert torch.equal(again(ids, attention_mask=mask, **shown).logits, found)
    names = set(load_file(tmp_path / "theirs" / "model.safetensors"))
    assert names == set(load_file(tmp_path / "ours" / "model.safetensors"))
