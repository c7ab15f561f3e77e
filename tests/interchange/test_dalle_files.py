"""DALL-E's directories: every tensor and option comes back; what does not fit is refused by name."""

from __future__ import annotations

import json

import pytest
import torch

from gyebo.interchange import load, save
from tests.models.test_dalle import make, padded, picture

SHAPES = {
    "odd": {"residual_dropout": 0.25, "pad_id": 0, "eos_id": 2},
    "without a start": {"start": False, "inner": None, "kernel": 5},
    "guided": {"guided": True, "activation": "gelu", "layers": 1, "attention_dropout": 0.125},
}


@pytest.mark.parametrize("options", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@torch.no_grad()
def test_a_model_comes_back(options, dtype, tmp_path):
    model = make(**options).to(getattr(torch, dtype))
    save(model, None, tmp_path)
    again, tokenizer = load(tmp_path, dtype="auto")
    assert tokenizer is None and again.config == model.config.__class__(
        **vars(model.config) | {"inner": model.config.inner_width}
    )
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.image_head.weight is again.image_embedding.weight
    ids, mask = padded([[5, 9], [7]])
    codes = picture(2, 16)
    assert torch.equal(again(ids, mask, codes).image_logits, model(ids, mask, codes).image_logits)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_layer": 4}, "declares 4 layers, but the weights hold 5"),
        ({"image_grid": 5}, r"rows.weight is \[4, 21\], but config.json asks for \[5, 21\]"),
        ({"convolution_kernel": 4}, "kernel must be odd"),
        ({"n_positions": 7}, r"wpe.weight is \[6, 21\]|padding.weight is \[6, 21\]"),
        ({"image_vocab_size": 0}, "image_vocab_size must be a whole number of at least 1"),
        ({"rotary": True}, "the field rotary = True is unknown"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, said, tmp_path):
    save(make(), None, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=said):
        load(tmp_path)
