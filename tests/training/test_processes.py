"""Two processes under torchrun see the same global batches and learn the same as one."""

import json
import subprocess
import sys

import pytest
import torch

from gyebo.config import toml
from gyebo.jobs.pretrain import pretrain
from gyebo.training import checkpoint, log
from tests.conftest import dropouts
from tests.training.test_resume import final_weights

# 8 rows, and 7, which two processes can't share evenly; BERT has two terms and ULMFiT three, both LSTMs carry a state, and ELMo
# has a table that is no weight. Transformer-XL has a memory, and the rows of T5 two streams; it has Adafactor. BERT has Muon.
CASES = [("gpt2", 256), ("gpt2", 224), *((name, 224) for name in ("bert", "lstm", "ulmfit", "elmo", "transformer_xl", "t5"))]
OPTIM = {"t5": {"name": "adafactor"}, "bert": {"name": "muon"}}

RUNNER = """
import pathlib, sys, tomllib
import torch
from gyebo.config.run import RunOptions
from gyebo.jobs.pretrain import pretrain
from gyebo.training import distributed
if __name__ == "__main__":
    with distributed.process_group(torch.device("cpu")):
        for folder in map(pathlib.Path, sys.argv[1:]):
            options = RunOptions.model_validate(tomllib.loads((folder / "options.toml").read_text()))
            pretrain(options, folder / "two", resume=True)
"""


def test_two_processes_equal_one(run_options, tmp_path):
    """Started once for all cases: most of the time goes into starting."""
    folders = []
    for family, batch_tokens in CASES:
        folders.append(tmp_path / f"{family}-{batch_tokens}")
        still = dropouts(family, 0.0) | ({"cells": 20} if family == "elmo" else {})
        train = {"batch_tokens": batch_tokens, "micro_batch_tokens": 64}
        options = run_options(6, family=family, model=still, train=train, optim=OPTIM.get(family, {}))
        pretrain(options, folders[-1] / "one")
        (folders[-1] / "options.toml").write_text(toml.dump(options.model_dump(mode="json")))
    (tmp_path / "runner.py").write_text(RUNNER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += map(str, [tmp_path / "runner.py", *folders])
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    for folder in folders:
        one, two = ([r for r in log.read(folder / n) if "loss" in r] for n in ("one", "two"))
        assert len(two) == 6 and [r["tokens"] for r in one] == [r["tokens"] for r in two], folder.name
        assert [r["loss"] for r in one] == pytest.approx([r["loss"] for r in two], abs=1e-5), folder.name
        assert [r["grad_norm"] for r in one] == pytest.approx([r["grad_norm"] for r in two], rel=1e-4), folder.name
        a, b = final_weights(folder / "one"), final_weights(folder / "two")
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=2e-4, rtol=1e-3, msg=lambda m: f"{folder.name}, {name}: {m}")  # noqa: B023
        newest = checkpoint.newest(folder / "two" / "checkpoints")[0]
        assert checkpoint.problem(newest) is None
        assert json.loads((newest / "manifest.json").read_text())["made"]["processes"] == 2
