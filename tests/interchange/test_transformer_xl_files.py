"""Transformer-XL as `transformers` 4.57 stored it (`make_transformer_xl.py`): opened, it computes the same, memory included."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gyebo.interchange import load, save
from gyebo.nn.cross_entropy import cross_entropy_each

FOLDER = Path(__file__).parent / "transformer_xl"
MODELS = ("clusters", "untied", "one-width", "characters")


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_it_computes_what_transformers_computed(name):
    """Three segments, each with the memory of those before; the first has none."""
    model, tokenizer = load(FOLDER / name)
    expected = load_file(FOLDER / name / "reference.safetensors")
    assert tokenizer is None
    state = model.fresh_state(2)
    for number, ids in enumerate(expected["input_ids"].unbind(1)):
        encoded = model.encode(ids, state=state)
        state = encoded.state
        log_probabilities = model.project(encoded.hidden).log_softmax(-1)
        torch.testing.assert_close(encoded.hidden, expected["hidden"][:, number], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(log_probabilities, expected["log_probabilities"][:, number], atol=1e-4, rtol=1e-4)
        rows = model.output_layer(encoded.hidden[:, :-1].flatten(0, 1), "lm")
        losses = cross_entropy_each(*rows, ids[:, 1:].flatten())
        torch.testing.assert_close(losses, expected["losses"][:, number].flatten(), atol=1e-4, rtol=1e-4)
    assert state["length"].tolist() == [7, 7]


@torch.no_grad()
def test_a_classifier_opens():
    model, _ = load(FOLDER / "classifier")
    expected = load_file(FOLDER / "classifier" / "reference.safetensors")
    found = model(expected["input_ids"]).logits
    torch.testing.assert_close(found, expected["logits"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", (*MODELS, "classifier"))
def test_it_is_saved_in_our_own_format_and_opened_again(name, tmp_path):
    model, _ = load(FOLDER / name)
    save(model, None, tmp_path)
    given = json.loads((tmp_path / "config.json").read_text())
    assert given["model_type"] == "gyebo-transformer_xl" and given["architectures"][0].startswith("GyeboFor")
    again, _ = load(tmp_path)
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert again.config == model.config


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("attn_type", 2, "attn_type = 2 is not supported"),
        ("tie_projs", [True, True], "tie_projs must be false for the first cluster"),
        ("tie_projs", "yes", "tie_projs must be a list of true and false"),
        ("cutoffs", [40, 10], "cutoffs must ascend from 1 to below vocab_size 47"),
        ("div_val", 20, "division must be at least 1 and leave the last of 2 clusters a width"),
        ("d_model", 13, "width must be even"),
        ("mem_len", 0, "same_length needs a memory"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(field, value, said, tmp_path):
    shutil.copytree(FOLDER / "untied", tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"same_length": True, field: value}))
    with pytest.raises(ValueError, match=f"config.json: .*{said.replace('[', '.')}".replace("(", ".")):
        load(tmp_path / "model")


def test_a_shared_bias_that_differs_in_a_layer_is_refused(tmp_path):
    shutil.copytree(FOLDER / "one-width", tmp_path / "model")
    file = tmp_path / "model" / "pytorch_model.bin"
    tensors = torch.load(file, weights_only=True)
    tensors["transformer.layers.1.dec_attn.r_w_bias"] = tensors["transformer.layers.1.dec_attn.r_w_bias"] + 1
    torch.save(tensors, file)
    with pytest.raises(ValueError, match=r"transformer\.layers\.1\.dec_attn\.r_w_bias in the weights, but config.json has no"):
        load(tmp_path / "model")
