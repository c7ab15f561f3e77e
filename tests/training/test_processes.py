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
    options = RunOptions.model_validate(tomllib.loads(pathlib.Path(sys.argv[1]).read_text()))
    pretrain(options, pathlib.Path(sys.argv[2]), resume=True)
"""


@pytest.mark.parametrize(("family", "batch_tokens"), CASES)
def test_two_processes_equal_one(run_options, tmp_path, family, batch_tokens):
    still = dropouts(family, 0.0) | ({"cells": 20} if family == "elmo" else {})
    options = run_options(6, family=family, model=still, train={"batch_tokens": batch_tokens, "micro_batch_tokens": 64})
    pretrain(options, tmp_path / "one")
    (tmp_path / "options.toml").write_text(toml.dump(options.model_dump(mode="json")))
    (tmp_path / "runner.py").write_text(RUNNER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "runner.py"), str(tmp_path / "options.toml"), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = ([r for r in log.read(tmp_path / n) if "loss" in r] for n in ("one", "two"))
    assert [r["tokens"] for r in one] == [r["tokens"] for r in two]
    assert [r["loss"] for r in one] == pytest.approx([r["loss"] for r in two], abs=1e-5)
    assert [r["grad_norm"] for r in one] == pytest.approx([r["grad_norm"] for r in two], rel=1e-4)
    a, b = final_weights(tmp_path / "one"), final_weights(tmp_path / "two")
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=2e-4, rtol=1e-3)
    assert checkpoint.problem(checkpoint.newest(tmp_path / "two" / "checkpoints")[0]) is None
