"""Two processes under torchrun see the same global batches and learn the same as one."""

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
# has a table that is no weight.
CASES = [("gpt2", 256), ("gpt2", 224), ("bert", 224), ("lstm", 224), ("ulmfit", 224), ("elmo", 224)]
RUNNER = """
import sys, tomllib, pathlib
from gyebo.config.run import RunOptions
from gyebo.jobs.pretrain import pretrain
if __name__ == "__main__":
    for folder in map(pathlib.Path, sys.argv[1:]):
        pretrain(RunOptions.model_validate(tomllib.loads((folder / "options.toml").read_text())), folder / "two")
"""


@pytest.fixture(scope="module")
def folders(run_options, tmp_path_factory):
    """A folder for each case, with the runs `one` and `two`; one torchrun for all, since each imports torch three times."""
    found = {}
    for family, batch_tokens in CASES:
        still = dropouts(family, 0.0) | ({"cells": 20} if family == "elmo" else {})
        train = {"batch_tokens": batch_tokens, "micro_batch_tokens": 64}
        options = run_options(6, family=family, model=still, train=train)
        found[family, batch_tokens] = folder = tmp_path_factory.mktemp(family)
        pretrain(options, folder / "one")
        (folder / "options.toml").write_text(toml.dump(options.model_dump(mode="json")))
    runner = tmp_path_factory.mktemp("torchrun") / "runner.py"
    runner.write_text(RUNNER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(runner)]
    done = subprocess.run([*command, *map(str, found.values())], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_processes_equal_one(folders, case):
    folder = folders[case]
    one, two = ([r for r in log.read(folder / n) if "loss" in r] for n in ("one", "two"))
    assert [r["tokens"] for r in one] == [r["tokens"] for r in two]
    assert [r["loss"] for r in one] == pytest.approx([r["loss"] for r in two], abs=1e-5)
    assert [r["grad_norm"] for r in one] == pytest.approx([r["grad_norm"] for r in two], rel=1e-4)
    a, b = final_weights(folder / "one"), final_weights(folder / "two")
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=2e-4, rtol=1e-3)
    assert checkpoint.problem(checkpoint.newest(folder / "two" / "checkpoints")[0]) is None
