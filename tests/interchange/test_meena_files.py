"""Meena's directories: read back whole, whatever the shape, and refused by name where something does not fit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from gyebo.interchange import load, save
from gyebo.models.meena import Meena, MeenaConfig

ODD = MeenaConfig(37, 19, 12, 2, 3, 3, residual_dropout=0.25, attention_dropout=0.125, norm_eps=1e-5, pad_id=3)


def fresh(**options) -> Meena:
    torch.manual_seed(1)
    model = Meena(replace(ODD, **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


SHAPES = [
    {},
    {"layers": 1, "decoder_layers": 1, "heads": 1, "bos_id": 1, "eos_id": 2},
    {"heads": 6, "width": 24, "start_id": 5},
]


@pytest.mark.parametrize("options", SHAPES, ids=["odd", "small", "started"])
@torch.no_grad()
def test_it_comes_back_and_computes_the_same(options, tmp_path):
    model = fresh(**options)
    save(model, None, tmp_path)
    given = json.loads((tmp_path / "config.json").read_text())
    assert (given["model_type"], given["architectures"]) == ("gyebo-meena", ["GyeboForConditionalGeneration"])
    assert json.loads((tmp_path / "generation_config.json").read_text())["decoder_start_token_id"] == model.start_id
    again, tokenizer = load(tmp_path)
    assert type(again) is Meena and tokenizer is None
    assert again.config == replace(model.config, start_id=model.start_id)
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.lm_head.weight is again.token_embedding.weight
    ids = torch.randint(37, (2, 9))
    assert torch.equal(again(ids, None, ids).logits, model(ids, None, ids).logits)
    save(again, None, tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()
    assert type(Meena.from_pretrained(tmp_path)) is Meena


def test_each_matrix_of_a_block_has_a_name_of_its_own(tmp_path):
    """As many numbers in the file as parameters in the model, and none joined to others."""
    model = fresh()
    save(model, None, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == model.count_parameters()
    value, gate = model.encoder[1].gate.value_gate.weight.chunk(2)
    assert torch.equal(tensors["model.encoder.layers.1.glu.value.weight"], value)
    assert torch.equal(tensors["model.encoder.layers.1.glu.gate.weight"], gate)
    key = model.decoder[2].beside_attention.key_value.weight.chunk(2)[0]
    assert torch.equal(tensors["model.decoder.layers.2.wide_encoder_attn.k_proj.weight"], key)
    kernel = model.decoder[0].convolutions.left.depthwise.kernel.weight
    assert torch.equal(tensors["model.decoder.layers.0.convolutions.left.depthwise.weight"], kernel)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder_layers": 1}, "declares 1 layers of the encoder, but the weights hold 2"),
        ({"decoder_layers": 4}, "declares 4 layers of the decoder, but the weights hold 3"),
        ({"d_model": 24}, r"shared.weight is \[37, 12\], but config.json asks for \[37, 24\]"),
        ({"attention_heads": 5}, "width must be a multiple of heads"),
        ({"attention_heads": 4}, "width must be a multiple of the 8 heads"),
        ({"activation_function": "gelu"}, "activation_function"),
        ({"dropout": 1.5}, "dropout"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, said, tmp_path):
    save(fresh(), None, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=said):
        load(tmp_path)


def test_a_tensor_that_has_no_place_or_is_missing_is_named(tmp_path):
    save(fresh(), None, tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    name = "model.decoder.layers.0.convolutions.left.depthwise."
    save_file({**tensors, f"{name}bias": torch.zeros(12)}, file)
    with pytest.raises(ValueError, match="depthwise.bias"):
        load(tmp_path)
    save_file({key: tensor for key, tensor in tensors.items() if key != f"{name}weight"}, file)
    with pytest.raises(ValueError, match="depthwise.weight"):
        load(tmp_path)
