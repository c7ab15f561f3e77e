"""CLIP both ways with `CLIPModel` of transformers: the same numbers, the same files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers

from gyebo.interchange import load, save
from gyebo.models.clip import Clip
from tests.models.test_clip import ODD, TEXTS, close, make, padded, pictures

SHAPES = {
    "odd": {},
    "one layer, gelu": {"layers": 1, "picture_layers": 1, "activation": "gelu", "norm_eps": 1e-3},
    "one patch": {"patch": 12, "picture_heads": 1, "inner": None, "picture_inner": None},
    "highest id": {"end_id": None},
}


def theirs(options: dict, seed: int = 0) -> transformers.CLIPModel:
    """A random CLIPModel with the shape of one of ours."""
    config = replace(ODD, **options)
    shared = {
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        "attention_dropout": config.attention_dropout,
    }
    text = {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.inner_width,
        "eos_token_id": 2 if config.end_id is None else config.end_id,
        "bos_token_id": 1,
        "pad_token_id": 0,
        **shared,
    }
    vision = {
        "image_size": config.picture_size,
        "patch_size": config.patch,
        "hidden_size": config.picture_width,
        "num_hidden_layers": config.picture_layers,
        "num_attention_heads": config.picture_heads,
        "intermediate_size": config.picture_inner_width,
        **shared,
    }
    torch.manual_seed(seed)
    model = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=config.projection)
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name and name.endswith("weight")
            parameter.add_(0.2 * torch.randn_like(parameter)) if not norm else parameter.mul_(1.3)
    return model


def agree(ours: Clip, reference: transformers.CLIPModel) -> None:
    ids, mask = padded(TEXTS)
    shown = Clip.normalised(pictures(4))
    with torch.no_grad():
        found, expected = ours(ids, shown, mask), reference(input_ids=ids, pixel_values=shown, attention_mask=mask)
    for name in ("logits_per_text", "logits_per_image", "text_embeds", "image_embeds"):
        assert close(getattr(found, name), getattr(expected, name), 1e-5), name
    assert float(expected.logits_per_text.std()) > 0.3


@pytest.mark.parametrize("options", SHAPES.values(), ids=list(SHAPES))
def test_a_model_of_transformers_computes_the_same_here_and_comes_back(options, tmp_path):
    reference = theirs(options)
    reference.save_pretrained(tmp_path / "theirs")
    ours, tokenizer = load(tmp_path / "theirs")
    assert type(ours) is Clip and tokenizer is None and ours.config.end_id == replace(ODD, **options).end_id
    agree(ours, reference)
    save(ours, None, tmp_path / "ours")
    again = transformers.CLIPModel.from_pretrained(tmp_path / "ours").eval()
    for name, tensor in reference.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    agree(ours, again)


@pytest.mark.parametrize("options", SHAPES.values(), ids=list(SHAPES))
def test_ours_opens_in_transformers_and_comes_back(options, tmp_path):
    model = make(**options)
    save(model, None, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "clip" and written["architectures"] == ["CLIPModel"]
    agree(model, transformers.AutoModel.from_pretrained(tmp_path).eval())
    again, _ = load(tmp_path)
    assert again.config == replace(model.config, inner=model.config.inner_width, picture_inner=model.config.picture_inner_width)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_config_as_it_was_published_is_read(tmp_path):
    """The files of ViT-B/32 hold a copy of both objects, and fields of text generation in each."""
    theirs({"end_id": None}).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    given = json.loads(file.read_text())
    for section in ("text_config", "vision_config"):
        given[section] |= {
            "dropout": 0.0,
            "add_cross_attention": False,
            "diversity_penalty": 0.0,
            "typical_p": 1.0,
            "id2label": {},
        }
        given[f"{section}_dict"] = None
    file.write_text(json.dumps(given))
    assert load(tmp_path)[0].config.end_id is None


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("text_config", {"hidden_size": "wide"}, "text_config.hidden_size must be a whole number of at least 1, but is 'wide'"),
        ("vision_config", {"hidden_act": "gelu"}, "vision_config.hidden_act = 'gelu', but 'quick_gelu' stands elsewhere"),
        ("vision_config", {"num_channels": 4}, "vision_config.num_channels = 4 is not supported"),
        ("text_config", {"rope": 3}, "the field text_config.rope = 3 is unknown"),
        ("vision_config", {"num_hidden_layers": 3}, "declares 3 layers of the picture_blocks, but the weights hold 2"),
        ("vision_config", {"patch_size": 5}, "picture_size must be a multiple of patch"),
        ("vision_config", {"image_size": [12, 12]}, "vision_config.image_size must be a whole number"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(section, change, said, tmp_path):
    save(make(), None, tmp_path)
    file = tmp_path / "config.json"
    given = json.loads(file.read_text())
    given[section] |= change
    file.write_text(json.dumps(given))
    with pytest.raises(ValueError, match=said):
        load(tmp_path)
    given[section] = 7
    file.write_text(json.dumps(given))
    with pytest.raises(ValueError, match=f"{section} must be an object, but is 7"):
        load(tmp_path)


def test_an_end_token_that_transformers_takes_for_a_rule_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"end_id = 2 cannot be saved"):
        save(make(end_id=2), None, tmp_path)
