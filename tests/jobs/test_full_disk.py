"""Wherever the disk is full, the command line says one line and what to do, and the run goes on to the same bits."""

import os
import random
import shutil

import pytest

from gyebo.training import checkpoint
from tests.jobs.full_disk import gyebo
from tests.jobs.tuning_files import sentences, table

SHAPE = ["--set", "model.layers=1", "--set", "model.width=16", "--set", "model.heads=2"]
RECIPE = """
seeds = [0]
context = 32
data = {{corpus = ["{corpus}"], valid_share = 0.05}}
tokenizer = {{path = "{tokenizer}"}}
budget = {{steps = 2}}
train = {{batch_tokens = 256, precision = "float32", device = "cpu"}}
[[tasks]]
name = "classification"
data = "{data}"
epochs = 1
[[candidates]]
family = "gpt2"
size = "tiny"
model = {{width = 16, heads = 2, layers = 1}}
[[candidates]]
family = "lstm"
size = "tiny"
model = {{width = 16, layers = 1}}
"""


@pytest.fixture(scope="module")
def commands(corpus, tokenizer_folder, tmp_path_factory):
    """What is typed, without -o: each with what it needs."""
    folder = tmp_path_factory.mktemp("inputs")
    pretraining = ["pretrain", "gpt2", str(corpus), "--size", "tiny", *SHAPE, "--context", "32", "--steps", "3"]
    pretraining += ["--batch-tokens", "256", "--precision", "float32", "--device", "cpu", "--valid-share", "0.05"]
    data = table(folder / "data.csv", ("text", "label"), sentences(60))
    code, said, _ = gyebo([*pretraining, "--tokenizer", str(tokenizer_folder), "-o", str(folder / "model")], folder / "cache")
    assert code == 0, said
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(corpus=corpus, tokenizer=tokenizer_folder, data=data), encoding="utf-8")
    tuning = ["finetune", str(folder / "model"), "classification", "--data", str(data), "--epochs", "1", "--batch", "16"]
    tuning += ["--precision", "float32", "--device", "cpu"]
    return {
        "pretrain": [*pretraining, "--vocab-size", "300"],
        "finetune": tuning,
        "seeds": [*tuning, "--seeds", "0,1"],
        "linear": ["finetune", "linear", "classification", "--data", str(data)],
        "compare": ["compare", str(recipe)],
        "tokenizer": ["tokenizer", "train", str(corpus), "--vocab-size", "300"],
    }


def kept(out):
    """The weights of every model and checkpoint, and every tokenizer; what a run leaves besides has times in it."""
    files = [path for path in out.rglob("*") if path.suffix == ".safetensors" or path.name == "tokenizer.json"]
    return {path.relative_to(out).as_posix(): checkpoint.digest(path) for path in files}


def problems(name, words, folder, chosen):
    """Fill the disk at the chosen operations of a command, free it, and go on: what was not one line, or not the same bits."""
    code, said, count = gyebo([*words, "-o", str(folder / "whole")], folder / "cache-whole")
    assert (code, said) == (0, "") and count >= 10, said
    found = []
    for last in chosen(count):
        wrong = _problem(name, words, folder, last, kept(folder / "whole"))
        if wrong:
            found.append(f"{name}, operation {last} of {count}: {wrong}")
    return found


def _problem(name, words, folder, last, whole):
    out, cache = folder / "out", folder / "cache"
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(cache, ignore_errors=True)
    code, said, _ = gyebo([*words, "-o", str(out)], cache, last)
    if code != 1 or not said.startswith("gyebo: ") or said.count("\n") != 1:
        return f"exit {code}: {said}"
    if os.strerror(28).lower() not in said.lower() or str(folder) not in said or "free some space" not in said:
        return said
    code, then, _ = gyebo([*words, "-o", str(out), *([] if name in ("linear", "tokenizer") else ["--resume"])], cache)
    if code:
        return f"{said}; then exit {code}: {then}"
    if other := sorted(whole.items() - kept(out).items()):  # an older checkpoint may be left beside them
        return f"{said}; then other weights: {other}"
    left = sorted(str(path) for path in out.rglob(".*"))
    return f"{said}; left behind: {left}" if left else ""


def sample(name, count, points):
    """Operations, the same at every call."""
    return sorted(random.Random(name).sample(range(1, count + 1), min(points, count)))


ALL = ("pretrain", "finetune", "seeds", "linear", "compare", "tokenizer")


@pytest.mark.parametrize("name", ("pretrain", "finetune", "linear", "tokenizer"))
def test_a_disk_that_is_full_at_some_operation(commands, tmp_path, name):
    assert problems(name, commands[name], tmp_path, lambda count: sample(name, count, 1)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_disk_that_is_full_at_several_operations(commands, tmp_path, name):
    """At some of the operations; all of them take hours: FULL_DISK_POINTS says how many."""
    points = int(os.environ.get("FULL_DISK_POINTS", "4"))
    assert problems(name, commands[name], tmp_path, lambda count: sample(name, count, points)) == []
