"""The dVAE against OpenAI's package: a directory with its names opens, and the layers give the same outputs, in float64."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gyebo
from gyebo.models.dvae import Dvae, DvaeConfig

HERE = Path(__file__).parent / "dvae"


@torch.no_grad()
def test_the_layers_are_those_of_the_package():
    model, processor = gyebo.load(HERE)
    assert processor.tokenizer is None and model.config == DvaeConfig(picture_size=16, codes=11, code_width=6, width=4)
    model, expected = model.double(), load_file(HERE / "expected.safetensors")
    pixels = expected["pixels"]
    logits = model.logits_of(model.as_floats(pixels).float().double())  # the package divides in single precision
    assert float(expected["logits"].std()) > 0.1
    torch.testing.assert_close(logits, expected["logits"], rtol=1e-6, atol=1e-6)
    assert torch.equal(model.encode_pixels(pixels), expected["ids"].flatten(1)) and len(expected["ids"].unique()) > 1
    statistics = torch.cat(model.distribution_of(expected["ids"]), 1)
    torch.testing.assert_close(statistics, expected["statistics"], rtol=1e-12, atol=1e-12)
    mixed = model.decoder(model.decoder.mixed(torch.softmax(expected["logits"], 1)))
    torch.testing.assert_close(torch.cat(mixed, 1), expected["mixed"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.pixels_of(expected["ids"]).float(), expected["reconstructed"], rtol=1e-6, atol=1e-6)


def test_what_is_saved_has_the_names_and_fields_of_the_package(tmp_path):
    model, _ = gyebo.load(HERE)
    gyebo.save(model, None, tmp_path)
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(HERE / "model.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    written, read = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, HERE))
    assert read.items() <= written.items()


def test_the_published_model_needs_no_more_than_its_type(tmp_path):
    """Its config is that of the defaults, and its tensors have the shapes of the published ones."""
    (tmp_path / "config.json").write_text('{"model_type": "gyebo-dvae"}')
    shutil.copy(HERE / "model.safetensors", tmp_path)
    with pytest.raises(
        ValueError, match=r"encoder.blocks.input.w is \[4, 3, 7, 7\], but config.json asks for \[256, 3, 7, 7\]"
    ):
        gyebo.load(tmp_path)
    assert DvaeConfig() == Dvae.sizes["published"]


@pytest.mark.parametrize("name", ["encoder.pkl", "decoder.pkl"])
@pytest.mark.parametrize("configured", [False, True])
def test_pickled_modules_are_refused_unread(name, configured, tmp_path):
    (tmp_path / name).write_bytes(b"never opened")
    if configured:
        (tmp_path / "config.json").write_text('{"model_type": "gyebo-dvae"}')
    with pytest.raises(
        ValueError, match=r"a pickle, which could run anything and is never opened: python -c .*DALL-E"
    ) as caught:
        gyebo.load(tmp_path)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_that_the_refusal_names_makes_weights(tmp_path):
    for name, value in (("encoder", 1.0), ("decoder", 2.0)):
        module = torch.nn.Module()
        module.blocks = torch.nn.ModuleDict({"input": torch.nn.ParameterDict({"w": torch.full((1, 2), value)})})
        torch.save(module, tmp_path / f"{name}.pkl")
    with pytest.raises(ValueError) as caught:
        gyebo.load(tmp_path)
    command = re.search(r"python -c \".*?\"(?= makes)", str(caught.value))[0]
    subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, check=True)
    found = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.flatten().tolist() for name, tensor in found.items()} == {
        "encoder.blocks.input.w": [1.0, 1.0],
        "decoder.blocks.input.w": [2.0, 2.0],
    }
