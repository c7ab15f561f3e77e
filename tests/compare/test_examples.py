"""What runs store of each example reaches the verdicts, and its lack is said."""

import json

import numpy as np
import pytest

from gyebo.compare import run as module
from gyebo.compare.conclusion import conclusion
from gyebo.compare.run import compare
from gyebo.tasks.metrics import bootstrap

COUNT = 400


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(module, "write_report", lambda comparison: None)


def answering(jobs, share):
    """Fine-tunings that also store which of 400 examples were right: the first ones, as many as the score says; seeds agree.
    `share`: family -> of how many examples."""

    def finetune(options, out, **keywords):
        result = jobs.finetune(options, out, **keywords)
        right = np.arange(COUNT) % 100 < round(100 * result.test["accuracy"])
        count = share.get(result.family, COUNT)
        bootstrap.write(out, np.stack([right, np.ones(COUNT)], axis=1)[:count])
        return result

    def linear(options, out, **keywords):
        found = jobs.linear(options, out, **keywords)
        right = np.arange(COUNT) % 100 < 60
        bootstrap.write(out, np.stack([right, np.ones(COUNT)], axis=1))
        return found

    return jobs.but(finetune=finetune, linear=linear)


def test_examples_are_a_part_of_the_verdict_and_the_headline_says_so(tmp_path, jobs, task_recipe):
    jobs.task_scores["world-sentiment"] = {
        "gpt2": {0: 0.880, 1: 0.881, 2: 0.882},
        "bert": {0: 0.900, 1: 0.901, 2: 0.902},
        "roberta": {0: 0.700, 1: 0.701, 2: 0.702},
    }
    alone = compare(task_recipe(), tmp_path / "alone", **jobs.functions)
    assert [row.verdict for row in alone.rows] == ["best", "behind", "behind"]
    result = compare(task_recipe(), tmp_path / "out", **answering(jobs, {}))
    # bert and gpt2 differ on 2 of 100 examples: sqrt(0.02 * 0.98 / 400) = 0.007, so 0.02 is 2.9 of these; q(3) / sqrt(2) = 2.34
    assert [row.verdict for row in result.rows] == ["best", "behind", "behind"]
    assert conclusion(result)[0] == "bert-tiny is best on world-sentiment, over 3 seeds and 1,000 test examples."
    stored = json.loads((tmp_path / "out/results.json").read_text())
    (gap,) = [d for d in stored["differences"] if d["metric"] == "world-sentiment" and d["to"] == "gpt2-tiny"]
    assert gap["examples"] is True
    assert gap["high"] - gap["mean"] == pytest.approx(3.31 / np.sqrt(2) * 0.007, rel=0.06)
    jobs.task_scores["world-sentiment"]["gpt2"] = {0: 0.890, 1: 0.891, 2: 0.892}
    closer = compare(task_recipe(), tmp_path / "closer", **answering(jobs, {}))  # 0.01 of 0.005: 2.0
    assert [row.verdict for row in closer.rows] == ["no difference shown", "no difference shown", "behind"]
    assert closer.against_baseline(closer.rows[0], "world-sentiment").shown


def test_runs_on_other_examples_leave_them_out(tmp_path, jobs, task_recipe):
    result = compare(task_recipe(), tmp_path / "out", **answering(jobs, {"gpt2": 300}))
    assert conclusion(result)[0].endswith("over 3 seeds, on these 1,000 test examples alone.")
    assert not result.includes_examples("world-sentiment")


def test_documents_of_the_held_out_text_are_a_part_of_the_verdict(tmp_path, jobs, recipe):
    def pretrain(options, out, **keywords):
        result = jobs.pretrain(options, out, **keywords)
        sizes = np.full(50, 100.0)
        bootstrap.write(out, np.stack([result.valid["bits_per_byte"] * sizes, sizes], axis=1))
        return result

    result = compare(recipe(), tmp_path / "out", **jobs.but(pretrain=pretrain))
    assert conclusion(result)[0] == "gpt2-tiny is best on this text, over 3 seeds and held-out documents."
