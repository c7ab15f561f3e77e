"""A branch that is resumed with a smaller budget is the run that began with that budget, to the bit."""

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from gyebo.compare.recipe import parse
from gyebo.compare.run import compare
from gyebo.config import toml
from gyebo.jobs.branch import branch
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.verify import verify

WSD = {"schedule": "wsd", "warmup": 2}


@pytest.mark.parametrize("family", [pytest.param("gpt2", marks=pytest.mark.slow), "lstm"])
def test_a_branch_is_the_run_of_its_budget(tmp_path, run_options, family):
    """The run goes on in the meantime: the branch leaves it between two steps. An LSTM carries a state, too."""

    def take(step, seconds):
        if step == 8:
            branch(tmp_path / "long", 8, tmp_path / "branches" / "short")

    dropout = {"dropout": 0.1} if family == "lstm" else {}
    long, short = (run_options(steps, family=family, optim=WSD, model=dropout) for steps in (20, 10))
    pretrain(long, tmp_path / "long", watch=take)
    found = pretrain(short, tmp_path / "branches" / "short", resume=True)
    alone = pretrain(short, tmp_path / "alone")
    assert found.valid == alone.valid and found.steps == 10
    weights = [load_file(tmp_path / run / "model.safetensors") for run in ("branches/short", "alone", "long")]
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())
    assert not all(torch.equal(weights[0][name], tensor) for name, tensor in weights[2].items())
    (change, *_) = toml.read(tmp_path / "branches" / "short" / "run.toml")["changes"]
    assert (change["option"], change["step"], change["before"], change["after"]) == ("budget.steps", 8, 20, 10)
    assert verify(tmp_path / "branches" / "short", Console(quiet=True))


def test_a_branch_replaces_the_one_before(tmp_path, run_options):
    pretrain(run_options(6, optim=WSD), tmp_path / "run")
    for step in (5, 6):
        branch(tmp_path / "run", step, tmp_path / "branch")
        assert [path.name for path in (tmp_path / "branch" / "checkpoints").iterdir()] == [f"step-{step}"]
    assert "result" not in toml.read(tmp_path / "branch" / "run.toml")
    with pytest.raises(FileNotFoundError, match="step-99"):
        branch(tmp_path / "run", 99, tmp_path / "branch")
    assert [path.name for path in (tmp_path / "branch" / "checkpoints").iterdir()] == ["step-6"]


@pytest.mark.slow
def test_a_comparison_with_branches(tmp_path, corpus, tokenizer_folder):
    shape = {"size": "tiny", "model": {"layers": 1, "width": 32}}
    recipe = parse(
        {
            "seeds": [0, 1],
            "context": 32,
            "cooldowns": [0.25, 0.5],
            "data": {"corpus": [str(corpus)], "valid_share": 0.05},
            "tokenizer": {"path": str(tokenizer_folder)},
            "budget": {"steps": 40},
            "train": {"precision": "float32", "batch_tokens": 256},
            "candidates": [{"family": "gpt2", **shape, "model": {**shape["model"], "heads": 2}}, {"family": "lstm", **shape}],
        }
    )
    result = compare(recipe, tmp_path / "out")
    assert result.ok
    for row in result.rows:
        ends = [*(row.cooldowns[share] for share in (0.25, 0.5)), row]
        assert [[run.steps for run in end.results.values()] for end in ends] == [[10, 10], [20, 20], [40, 40]]
        means = [end.summary_by("bits per byte").mean for end in ends]
        assert means[0] > means[1] > means[2]
        steps = [
            toml.read(path)["changes"][0]["step"]
            for path in sorted(tmp_path.glob(f"out/cooldowns/*/runs/{row.name}/*/run.toml"))
        ]
        assert steps == [8, 8, 16, 16]
    assert (tmp_path / "out" / "budget.png").is_file() and "budget of a run" in (tmp_path / "out" / "report.html").read_text()
    again = compare(recipe, tmp_path / "out", resume=True)
    assert again.rows[0].cooldowns[0.25].scores_by("bits per byte") == result.rows[0].cooldowns[0.25].scores_by("bits per byte")
    assert compare(recipe, tmp_path / "out", overwrite=True).ok
