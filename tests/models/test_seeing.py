"""LXMERT and ViLBERT: how many parameters, what a text and its picture see of each other, what is refused."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gyebo.models.lxmert import Lxmert, LxmertConfig
from gyebo.models.vilbert import Vilbert, VilbertConfig
from gyebo.nn.regions import RegionEncoder
from tests.models.encoder_models import close, tokens

SHAPE = {"vocab_size": 53, "context": 16, "width": 21, "layers": 3, "heads": 3, "init_std": 0.3, "feature_size": 6}
IMAGE = {"image_width": 10, "image_heads": 2, "image_inner": 13, "co_width": 15, "co_heads": 5, "classes": 7}
BUILT = {
    "lxmert": lambda: Lxmert(
        LxmertConfig(**SHAPE, inner=17, region_layers=2, cross_layers=2, objects=9, attributes=5, answers=11)
    ),
    "vilbert": lambda: Vilbert(VilbertConfig(**SHAPE, **IMAGE, inner=17, image_layers=2, text_at=(1, 2), image_at=(0, 1))),
    "one stream": lambda: Vilbert(
        VilbertConfig(**SHAPE, **IMAGE, inner=17, streams=1, image_layers=0, text_at=(), image_at=())
    ),
}


@pytest.fixture(params=list(BUILT))
def model(request):
    """A model in evaluation mode, every tensor drawn at random."""
    torch.manual_seed(0)
    model = BUILT[request.param]().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
    return model


def boxes_of(model):
    return 4 if isinstance(model, Lxmert) else 5


def pictures(model, *regions: int, seed: int = 1):
    """Features and boxes of pictures with so many regions each."""
    random = torch.Generator().manual_seed(seed)
    features = [torch.randn(count, model.config.feature_size, generator=random) for count in regions]
    return features, [torch.rand(count, boxes_of(model), generator=random) for count in regions]


def alone(model, ids, features, boxes):
    found = model.encode(ids[None], visual_feats=features[None], visual_pos=boxes[None])
    return found.hidden[0], found.region_hidden[0]


# -- how many parameters ---------------------------------------------------------------------------------------------


def count(model_class, config):
    with torch.device("meta"):
        return model_class(config).count_parameters()


def test_parameters_of_lxmert_as_published():
    published = LxmertConfig()
    off = dict.fromkeys(("mlm", "match", "region_head", "object", "attribute", "feature", "answer"), False)
    assert count(Lxmert, published) == 228_051_752
    assert count(Lxmert, replace(published, **off)) == 207_936_768
    assert count(Lxmert, replace(published, **off | {"answer": True}, answers=3129)) == 213_930_297


def test_parameters_of_vilbert_as_published_without_what_is_never_computed():
    published = VilbertConfig()
    unused = 6 * ((1024 + 1) * 1024 + (1024 + 1) * 768)  # two output projections of each co-attention
    assert unused == 11_020_800
    assert count(Vilbert, published) == 250_044_029 - unused
    assert count(Vilbert, replace(published, mlm=False, region=False, alignment=False)) == 246_726_656 - unused


@pytest.mark.parametrize("size", ["tiny", "mini", "small"])
def test_one_stream_has_as_many_parameters_as_two(size):
    two, one = Vilbert.sizes[size], Vilbert.sizes[f"{size}-one"]
    assert (one.streams, two.streams) == (1, 2)
    assert (one.vocab_size, one.context, one.width, one.heads, one.crop) == (
        two.vocab_size,
        two.context,
        two.width,
        two.heads,
        two.crop,
    )
    assert count(Vilbert, one) == pytest.approx(count(Vilbert, two), rel=0.002)


# -- what sees what --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_documents_that_share_a_row_as_each_alone(model):
    ids = tokens(2, 14)
    documents = torch.tensor([[1] * 6 + [2] * 5 + [3] * 2 + [0], [1] * 14])
    features, boxes = pictures(model, 3, 4, 2, 5)
    regions = torch.tensor([[2] * 4 + [1] * 3 + [3] * 2, [1] * 5 + [0] * 4])
    order = [[1, 0, 2], [3]]
    rows = [torch.cat([torch.cat([part[n] for n in row])]) for part in (features, boxes) for row in order]
    padded = [F.pad(rows[0], (0, 0, 0, 0)), F.pad(rows[1], (0, 0, 0, 4), value=2.0)]
    places = [rows[2], F.pad(rows[3], (0, 0, 0, 4), value=2.0)]
    found = model.encode(
        ids,
        document_ids=documents,
        visual_feats=torch.stack(padded),
        visual_pos=torch.stack(places),
        region_document_ids=regions,
    )
    for row, number, picture in ((0, 1, 0), (0, 2, 1), (0, 3, 2), (1, 1, 3)):
        words, seen = documents[row] == number, regions[row] == number
        x, y = alone(model, ids[row][words], features[picture], boxes[picture])
        assert close(found.hidden[row][words], x) and close(found.region_hidden[row][seen], y)
    assert not found.hidden[0, -1].any() and not found.region_hidden[1, 5:].any()


@torch.no_grad()
def test_weights_are_given_of_packed_documents_too(model):
    ids, documents = tokens(1, 9), torch.tensor([[1] * 5 + [2] * 3 + [0]])
    features, boxes = pictures(model, 3)
    given = {"visual_feats": features[0][None], "visual_pos": boxes[0][None], "region_document_ids": torch.tensor([[1, 2, 2]])}
    plain = model.encode(ids, document_ids=documents, **given)
    found = model.encode(ids, document_ids=documents, return_attentions=True, **given)
    real = documents[0] != 0
    assert close(found.hidden[0][real], plain.hidden[0][real]) and close(found.region_hidden, plain.region_hidden)
    if found.cross_attentions is not None:
        weights = found.cross_attentions[0][0]  # [H, T, R]
        assert not weights[:, :5, 1:].any() and not weights[:, 5:8, 0].any()


@torch.no_grad()
def test_regions_have_no_order_and_words_have(model):
    (features,), (boxes,) = pictures(model, 5)
    ids = tokens(7)
    x, y = alone(model, ids, features, boxes)
    turned = torch.tensor([0, 3, 1, 4, 2])
    x2, y2 = alone(model, ids, features[turned], boxes[turned])
    assert close(x, x2) and close(y[turned], y2)
    assert not close(alone(model, ids.flip(0), features, boxes)[0].flip(0), x, 1e-3)


@torch.no_grad()
def test_words_and_regions_see_each_other(model):
    (features, others), (boxes, _) = pictures(model, 4, 4)
    ids = tokens(6)
    x, y = alone(model, ids, features, boxes)
    assert not close(alone(model, ids, others, boxes)[0], x, 1e-2)
    assert not close(alone(model, ids, features, boxes.flip(1))[0], x, 1e-3)
    assert not close(alone(model, (ids + 1) % 53, features, boxes)[1], y, 1e-2)


@torch.no_grad()
def test_a_text_without_a_picture(model):
    ids = tokens(3, 8)
    mask = (torch.arange(8) < torch.tensor([8, 5, 1])[:, None]).long()
    found = model.encode(ids, mask)
    for row, length in enumerate((8, 5, 1)):
        x = model.encode(ids[row : row + 1, :length]).hidden[0]
        assert close(found.hidden[row, :length], x)
    packed = model.encode(ids[:1], document_ids=torch.tensor([[1] * 5 + [2] * 3])).hidden[0]
    assert close(packed[:5], model.encode(ids[:1, :5]).hidden[0]) and close(packed[5:], model.encode(ids[:1, 5:]).hidden[0])
    out = model(ids, attention_mask=mask)
    assert torch.isfinite(out.cross_relationship_score).all()


@torch.no_grad()
def test_a_text_without_a_picture_among_others(model):
    """Padding of regions alone, in a batch with pictures: nothing but zeros to attend to, and no NaN."""
    ids = tokens(2, 6)
    features, boxes = pictures(model, 3)
    given = {"visual_feats": features[0].repeat(2, 1, 1), "visual_pos": boxes[0].repeat(2, 1, 1)}
    mask = torch.tensor([[1, 1, 1], [0, 0, 0]])
    found = model.encode(ids, visual_attention_mask=mask, **given)
    assert torch.isfinite(found.hidden).all() and not found.region_hidden[1].any()
    x, y = alone(model, ids[0], features[0], boxes[0])
    assert close(found.hidden[0], x) and close(found.region_hidden[0], y)
    if isinstance(model, Lxmert):
        assert close(found.hidden[1], model.encode(ids[1:]).hidden[0])


# -- training --------------------------------------------------------------------------------------------------------


def test_layer_groups_hold_every_parameter_once(model):
    groups = model.layer_groups()
    listed = [id(p) for group in groups for p in group]
    assert len(listed) == len(set(listed)) and set(listed) == {id(p) for p in model.parameters()}
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)].split(".")[0].rsplit("_")[-1] for p in groups[0]} == {"embedding", "norm"}


def test_each_dropout_acts_in_training_only(model):
    places = [field.name for field in fields(model.config) if field.name.endswith("_dropout")]
    none = dict.fromkeys(places, 0.0)
    features, boxes = pictures(model, 4)
    given = {"visual_feats": features[0][None], "visual_pos": boxes[0][None]}
    ids = tokens(1, 9)
    single = isinstance(model, Vilbert) and model.config.streams == 1
    idle = {"image_attention_dropout", "image_residual_dropout"} if single else set()

    def with_(changes):
        other = type(model)(replace(model.config, **none | changes)).eval()
        other.load_state_dict(model.state_dict())
        return other

    plain = with_({})
    expected = plain(ids, **given)
    assert close(plain.train()(ids, **given).cross_relationship_score, expected.cross_relationship_score)
    for name in set(places) - idle:
        other = with_({name: 0.5})
        assert torch.equal(other(ids, **given).cross_relationship_score, expected.cross_relationship_score)
        other.train()
        torch.manual_seed(0)
        assert not close(other(ids, **given).cross_relationship_score, expected.cross_relationship_score, 1e-4), name


def test_every_parameter_gets_a_gradient(model):
    (features, few), (boxes, places) = pictures(model, 4, 2)
    given = [torch.stack([a, F.pad(b, (0, 0, 0, 2))]) for a, b in ((features, few), (boxes, places))]
    out = model(tokens(2, 8), *given, visual_attention_mask=torch.tensor([[1] * 4, [1, 1, 0, 0]]))
    total = out.prediction_logits.square().sum() + out.cross_relationship_score.square().sum()
    total = total + sum(logits.square().sum() for logits in out.region_logits.values())
    if out.question_answering_score is not None:
        total = total + out.question_answering_score.square().sum()
    total.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == (["segment_embedding.weight"] if isinstance(model, Lxmert) else [])


# -- regions of pixels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [5, 8, 16])
@torch.no_grad()
def test_the_region_encoder_reads_rows_of_pixels(side):
    torch.manual_seed(0)
    encoder = RegionEncoder(side, 7)
    crops = torch.randn(3, side, side, 3)
    x = torch.from_numpy(np.ascontiguousarray(crops.numpy().transpose(0, 3, 1, 2)))
    for layer in encoder.convolutions:
        x = F.gelu(F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1))
    assert close(encoder(crops.flatten(1)), encoder.out(x.flatten(1)))
    assert encoder(crops[:0].flatten(1)).shape == (0, 7)


@pytest.mark.parametrize("cls", [Lxmert, Vilbert])
def test_a_model_that_reads_pixels(cls):
    torch.manual_seed(0)
    model = cls(replace(cls.sizes["tiny"], vocab_size=53))
    size = model.config.feature_size
    assert size == 3 * model.config.crop**2
    features = torch.rand(2, 3, size, requires_grad=True)
    out = model(tokens(2, 8), features, torch.rand(2, 3, boxes_of(model)))
    out.cross_relationship_score.sum().backward()
    assert features.grad.any() and all(p.grad is not None for name, p in model.named_parameters() if "convolutions" in name)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_regions_that_do_not_fit_are_refused(model):
    ids = tokens(2, 8)
    features, boxes = torch.zeros(2, 3, 6), torch.zeros(2, 3, boxes_of(model))
    for given, said in (
        ({"visual_feats": torch.zeros(2, 3, 7), "visual_pos": boxes}, r"visual_feats must be \[batch, regions, 6\]"),
        ({"visual_feats": features}, "visual_pos must be .* missing"),
        ({"visual_feats": features, "visual_pos": boxes[:, :2]}, r"visual_pos must be \[2, 3, \d\], but is \[2, 2, \d\]"),
        ({"visual_pos": boxes}, "visual_pos needs visual_feats"),
        ({"visual_feats": features[:1], "visual_pos": boxes[:1]}, "not of one batch"),
        ({"visual_feats": features, "visual_pos": boxes, "document_ids": torch.ones(2, 8)}, "belong together"),
    ):
        with pytest.raises(ValueError, match=said):
            model.encode(ids, **given)
    with pytest.raises(ValueError, match="positions must be"):
        model.encode(tokens(1, 17))
    with pytest.raises(ValueError, match="head must be one of"):
        model.project(torch.zeros(1, 21), "nsp")


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (Lxmert, {"region_layers": 0}, "region_layers"),
        (Lxmert, {"nsp": True}, "nsp"),
        (Lxmert, {"pooler": False}, "pooler is off"),
        (Lxmert, {"region_head": False}, "region_head is off"),
        (Lxmert, {"crop": 4}, "feature_size must be 3 x crop x crop = 48"),
        (Lxmert, {"crop": 0}, "crop must be at least 1"),
        (Lxmert, {"answers": 0}, "answers"),
        (Vilbert, {"streams": 3}, "streams must be 1 or 2"),
        (Vilbert, {"streams": 1}, "streams = 1 has no image stream"),
        (Vilbert, {"text_at": (1,)}, "text_at and image_at"),
        (Vilbert, {"text_at": (), "image_at": ()}, "text_at and image_at"),
        (Vilbert, {"text_at": (1, 1), "image_at": (0, 1)}, "text_at must be ascending"),
        (Vilbert, {"image_at": (0, 2)}, "image_at must be ascending numbers of layers from 0 to 1"),
        (Vilbert, {"image_heads": 3}, "image_width must be a multiple"),
        (Vilbert, {"co_heads": 2}, "co_width must be a multiple"),
        (Vilbert, {"fusion": "max"}, "fusion must be one of mul, sum"),
        (Vilbert, {"image_activation": "x"}, "image_activation"),
        (Vilbert, {"pooler": True}, "poolers of its own"),
        (Vilbert, {"crop": 4}, "feature_size must be"),
    ],
)
def test_wrong_options_are_refused_by_name(cls, options, words):
    good = BUILT["lxmert" if cls is Lxmert else "vilbert"]().config
    with pytest.raises(ValueError, match=words):
        replace(good, **options)
