"""A fine-tuning whose log is lost keeps its best evaluation: the checkpoint has the evaluations too."""

import pytest

from gyebo.jobs.finetuning import run as job
from gyebo.jobs.finetuning.run import finetune
from gyebo.training import log
from gyebo.training.trainer import Trainer
from tests.jobs.tuning_files import tuning


class Killed(BaseException):
    """Kill -9."""


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("lost", ["file", "evaluations", "end"])
def test_the_best_of_all_evaluations_stands(models, data, tmp_path, monkeypatch, lost, patience):
    """The first evaluation is the best. Where that is forgotten, another takes its place, or early stopping goes on."""
    seen = []

    def fake(setup, model, part, precision, quick=False):
        seen.append(part)
        value = 0.9 if len(seen) == 1 else 0.1
        given = [{"positive": 0.6, "negative": 0.4}] * len(getattr(setup.data, part))
        return {"macro_f1": value, "accuracy": value}, [given]

    monkeypatch.setattr(job, "_score", fake)
    options, out = tuning(models("bert"), data, epochs=3, patience=patience), tmp_path / "run"
    advance = Trainer.advance

    def cut(self):
        if self.step == 15:  # after the checkpoint of the first epoch
            raise Killed
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", cut)
        with pytest.raises(Killed):
            finetune(options, out)
    lines = (out / log.NAME).read_text().splitlines(keepends=True)
    kept = {"file": None, "evaluations": [line for line in lines if "evaluation" not in line], "end": lines[:2]}[lost]
    if kept is None:
        (out / log.NAME).unlink()
    else:
        (out / log.NAME).write_text("".join(kept)[:-3])
    result = finetune(options, out, resume=True)
    steps = [record["step"] for record in log.read(out) if "evaluation" in record]
    assert result.best_step == steps[0] and steps == sorted(set(steps)) and steps[0] < 10
    if patience:
        assert len(steps) == patience + 1
    assert (out / "learning.png").stat().st_size
