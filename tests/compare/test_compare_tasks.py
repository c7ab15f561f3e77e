"""Comparisons with tasks: what is fine-tuned from what, who is ranked by what, and what the baseline says beside them."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from gyebo.compare import run as module
from gyebo.compare.conclusion import conclusion
from gyebo.compare.report import equal_terms
from gyebo.compare.run import compare
from gyebo.tasks.metrics.metrics import METRICS
from gyebo.training.loop import Stopped
from tests.refusals import option_error

ALONE = "over 3 seeds, on these 1,000 test examples alone"
BOTH = [{"name": "world-sentiment"}, {"name": "world-entailment"}]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(module, "write_report", lambda comparison: None)


def rows_of(out):
    """results.md as {heading: cells}, the header under ""."""
    lines = [line for line in (out / "results.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for line in lines if (cells := [cell.strip() for cell in line.strip("|").split("|")])}


def test_every_seed_is_pretrained_then_finetuned_with_the_same_seed(tmp_path, jobs, task_recipe):
    asked = task_recipe(tasks=[BOTH[0] | {"lr": 1e-4, "epochs": 2}, BOTH[1]], seeds=[0, 1])
    result = compare(asked, tmp_path / "out", **jobs.functions)
    kinds = [event[0] for event in jobs.events]
    # tasks are read first and baselines trained before any pretraining: a wrong file is found at once
    assert kinds == ["examine"] * 2 + ["prepare", "search"] + ["plan"] * 3 + ["linear"] * 2 + ["train", "tune", "tune"] * 6
    assert jobs.tuned() == [
        (family, task, seed)
        for seed in (0, 1)
        for family in ("gpt2", "bert", "roberta")
        for task in ("world-sentiment", "world-entailment")
    ]
    assert {event[5:] for event in jobs.events if event[0] == "tune"} == {(1e-4, 2), (None, None)}
    assert (tmp_path / "out/tasks/bert-tiny/world-entailment/seed-1/run.toml").is_file()
    assert result.task_run(result.rows[0], "world-sentiment", 0).is_dir()
    assert result.ok


def test_one_pretraining_may_be_finetuned_with_several_seeds(tmp_path, jobs, task_recipe):
    """Then the spread is that of fine-tuning, and it is said so; a killed comparison goes on as ever."""
    asked, jobs.pretrained = task_recipe(tasks=BOTH, seeds=[4], tuning_seeds=[0, 1, 2]), 4
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert [event[0] for event in jobs.events].count("train") == 3
    assert jobs.tuned() == [
        (family, task, seed)
        for family in ("gpt2", "bert", "roberta")
        for seed in (0, 1, 2)
        for task in ("world-sentiment", "world-entailment")
    ]
    row = result.rows[0]
    assert set(row.tasks["world-sentiment"]) == {0, 1, 2} and set(row.results) == {4}
    assert result.run(row, row.best_seed) == tmp_path / "out/runs" / row.name / "seed-4" and result.run(row, 2).is_dir()
    assert (tmp_path / "out/tasks" / row.name / "world-sentiment/seed-2/run.toml").is_file()
    assert "the verdict is of these checkpoints, not of the families" in conclusion(result)[1]
    assert conclusion(result)[0].startswith("Of these checkpoints, ")
    assert (
        dict(equal_terms(result))["Random seeds"]
        == "pretrained once, with seed 4, and fine-tuned with seeds 0, 1, 2, the same for all"
    )


def test_options_of_a_finetuning_are_checked_with_the_recipe(task_recipe):
    """Not after hours of pretraining, when the recipe can't be changed any more."""
    with option_error("epochs", "steps"):
        task_recipe(tasks=[BOTH[0] | {"epochs": 2, "steps": 100}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1]}, "they are for one pretraining of each candidate, but seeds = .0, 1."),
        ({"tuning_seeds": [0, 0]}, "tuning_seeds must be different whole numbers from 0"),
    ],
)
def test_tuning_seeds_that_mean_nothing_are_refused(task_recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        task_recipe(**{"tasks": BOTH, "seeds": [0], "tuning_seeds": [0, 1], **changes})


def test_finetuning_keeps_the_precision_that_was_chosen_for_the_candidate(tmp_path, jobs, recipe):
    asked = recipe(tasks=BOTH[:1], candidates=[{"family": "gpt", "size": "tiny"}, {"family": "bert", "size": "tiny"}])
    compare(asked, tmp_path / "out", **jobs.functions)
    assert {(event[1], event[4]) for event in jobs.events if event[0] == "tune"} == {("gpt", "bfloat16"), ("bert", "float32")}


def test_the_first_task_ranks_and_bits_per_byte_stand_beside(tmp_path, jobs, task_recipe):
    result = compare(task_recipe(tasks=BOTH), tmp_path / "out", **jobs.functions)
    assert [row.name for row in result.rows] == ["bert-tiny", "roberta-tiny", "gpt2-tiny"]
    assert [row.verdict for row in result.rows] == ["best", "behind", "behind"]
    gpt2 = result.rows[2]
    assert gpt2.verdicts == {
        "world-sentiment": "behind",
        "world-entailment": "best",
        "bits per byte": "nothing to compare with",
    }
    assert result.rows[0].verdicts["bits per byte"] == "-"
    headline, why = conclusion(result)
    assert headline == f"bert-tiny is best on world-sentiment, {ALONE}."
    assert "Fine-tuned on 4,000 labelled examples, it reaches accuracy 0.9100 on 1,000 test examples." in why
    assert "The next, roberta-tiny, has 0.8600: a larger difference than chance explains." in why
    assert "On world-entailment, gpt2-tiny is best." in why
    assert "The ranking is by world-sentiment, the first of the tasks." in why
    assert "gpt2-tiny needs 1.1100; bert-tiny and roberta-tiny have no bits per byte." in why
    compare(task_recipe(tasks=BOTH[::-1]), tmp_path / "turned", **jobs.functions)
    assert (tmp_path / "turned/results.md").read_text().startswith(f"**gpt2-tiny is best on world-entailment, {ALONE}.**")


def test_a_masked_loss_is_never_a_likelihood(tmp_path, jobs, task_recipe):
    jobs.scores["bert"] = {0: 0.01, 1: 0.01, 2: 0.01}  # far below all bits per byte
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    cells = rows_of(tmp_path / "out")
    assert cells[""] == ["bert-tiny", "roberta-tiny", "gpt2-tiny", "linear baseline"]
    assert cells["Bits per byte, held out"] == ["-", "-", "1.1100 ± 0.0100", "-"]
    assert cells["Bits per byte: verdict"] == ["-", "-", "nothing to compare with", "-"]
    assert cells["Bits per byte: each seed"][:2] == ["-", "-"]
    assert cells["Masked-token accuracy"] == ["25.0%", "25.0%", "-", "-"]
    stored = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert [candidate["bits_per_byte"] is None for candidate in stored["candidates"]] == [True, True, False]
    assert {entry["metric"] for entry in stored["differences"]} == {"world-sentiment"}
    assert result.floor == 0.5


def test_only_models_without_a_likelihood_have_no_floor_and_no_bits(tmp_path, jobs, task_recipe):
    asked = task_recipe(candidates=[{"family": "bert", "size": "tiny"}, {"family": "roberta", "size": "tiny"}])
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert result.floor is None
    assert "Bits per byte, held out" not in rows_of(tmp_path / "out")
    assert "bits per byte" not in " ".join(conclusion(result))


def test_the_baseline_stands_in_the_table_and_is_beaten_or_not(tmp_path, jobs, task_recipe):
    jobs.linear_scores = {"world-sentiment": 0.86}
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    cells = rows_of(tmp_path / "out")
    assert cells["world-sentiment: accuracy"] == ["0.9100 ± 0.0100", "0.8600 ± 0.0100", "0.8100 ± 0.0100", "0.8600"]
    # t(2) at 1 - 0.05 / 3 / 2 is 7.65, the error 0.01 / sqrt(3) = 0.0058: what is 0.05 away is shown
    assert cells["world-sentiment: against the linear baseline"] == [
        "above (+0.0500)", "no difference shown (+0.0000)", "below (-0.0500)", "-",
    ]  # fmt: skip
    assert cells["Parameters"][3] == "54.3 k"
    assert cells["world-sentiment: macro F1"] == ["0.3000", "0.3000", "0.3000", "0.2000"]
    assert cells["world-sentiment: minutes of fine-tuning"][0] == "2"
    assert "bert-tiny is above the linear baseline (0.8600)" in conclusion(result)[1]
    stored = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert stored["tasks"]["world-sentiment"]["linear"]["test"]["accuracy"]["mean"] == 0.86
    assert stored["candidates"][0]["tasks"]["world-sentiment"]["against_baseline"]["mean"] == pytest.approx(0.05)


def test_a_baseline_that_is_better_is_said_in_the_headline(tmp_path, jobs, task_recipe):
    jobs.linear_scores = {"world-sentiment": 0.99}
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    headline, why = conclusion(result)
    assert headline == (
        "bert-tiny is best of the models on world-sentiment, over 3 seeds, on these 1,000 test examples alone,"
        " but the linear baseline is better."
    )
    assert "bert-tiny is below the linear baseline (0.9900)" in why


def test_kinds_that_the_baseline_can_not_do_have_none(tmp_path, jobs, task_recipe):
    jobs.kinds = {"world-entities": "tagging"}
    result = compare(task_recipe(tasks=[{"name": "world-entities"}]), tmp_path / "out", **jobs.functions)
    assert "linear" not in [event[0] for event in jobs.events]
    assert rows_of(tmp_path / "out")[""] == [row.name for row in result.rows]
    assert "baseline" not in conclusion(result)[1]


def test_no_difference_is_said_of_the_task(tmp_path, jobs, task_recipe):
    jobs.task_scores["world-sentiment"] = {
        "gpt2": {0: 0.80, 1: 0.85, 2: 0.90},
        "bert": {0: 0.81, 1: 0.86, 2: 0.91},
        "roberta": {0: 0.10, 1: 0.11, 2: 0.12},
    }
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    headline, why = conclusion(result)
    assert headline == f"No difference shown between bert-tiny and gpt2-tiny on world-sentiment, {ALONE}."
    assert why.index("Significantly worse: roberta-tiny.") > 0
    assert "Accuracy on test examples: bert-tiny 0.8600 and gpt2-tiny 0.8500" in why


@pytest.mark.parametrize("lowest", [0.0, -1.0])
def test_an_interval_stays_within_what_a_score_can_be(tmp_path, jobs, task_recipe, monkeypatch, lowest):
    monkeypatch.setitem(METRICS, "accuracy", replace(METRICS["accuracy"], lowest=lowest))
    jobs.task_scores["world-sentiment"]["bert"] = {0: 0.2, 1: 0.9}  # t(1) = 12.7: from far below 0 to far above 1
    compare(task_recipe(seeds=[0, 1]), tmp_path / "out", **jobs.functions)
    cells = rows_of(tmp_path / "out")
    at = cells[""].index("bert-tiny")
    assert cells["world-sentiment: 95 % interval of the mean"][at] == f"{lowest:.4f} to 1.0000"
    assert cells["world-sentiment: accuracy"][at] == "0.5500 ± 0.4950"


def test_two_seeds_with_the_same_count_prove_nothing(tmp_path, jobs, task_recipe):
    """950 and 951 of 1,000 right, twice each: one example apart."""
    jobs.task_scores["world-sentiment"] = {"gpt2": dict.fromkeys((0, 1), 0.95), "bert": dict.fromkeys((0, 1), 0.951)}
    asked = task_recipe(seeds=[0, 1], candidates=[{"family": "gpt2"}, {"family": "bert"}])
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert {row.verdict for row in result.rows} == {"no difference shown"}


def test_the_seed_that_is_handed_over_is_chosen_on_validation(tmp_path, jobs, task_recipe):
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    # the fake's validation score is 1 - that of the test, where seed 2 is best
    assert result.rows[0].best_seed == 0


def test_a_failed_finetuning_is_a_row_and_the_rest_goes_on(tmp_path, jobs, task_recipe):
    jobs.failing = {("world-sentiment", "bert", 1)}
    out = tmp_path / "out"
    result = compare(task_recipe(tasks=BOTH), out, **jobs.functions)
    assert len(jobs.tuned()) == 18
    assert not result.ok
    bert = result.rows[-1]
    assert (bert.name, bert.verdict, bert.verdicts["world-entailment"]) == ("bert-tiny", "failed", "behind")
    assert bert.failures == {"world-sentiment, seed 1": "step 3: the loss is not finite"}
    assert "RuntimeError" in (out / "failures/tasks/bert-tiny/world-sentiment-seed-1.txt").read_text()
    headline, why = conclusion(result)
    assert headline == f"roberta-tiny is best on world-sentiment of those that finished, {ALONE}."
    assert "bert-tiny failed in 1 of 3 fine-tunings on world-sentiment and is not ranked: step 3: the loss is not" in why
    assert rows_of(out)["world-sentiment: each seed"][2] == "0: 0.9000, 2: 0.9200, 1: failed"
    jobs.failing = set()
    before = len(jobs.tuned())
    assert compare(task_recipe(tasks=BOTH), out, resume=True, **jobs.functions).ok
    assert jobs.tuned()[before:] == [("bert", "world-sentiment", 1)]
    assert not (out / "failures/tasks/bert-tiny/world-sentiment-seed-1.txt").exists()


def test_a_failure_on_a_later_task_does_not_touch_the_ranking(tmp_path, jobs, task_recipe):
    jobs.failing = {("world-entailment", "bert", 1)}
    result = compare(task_recipe(tasks=BOTH), tmp_path / "out", **jobs.functions)
    assert (result.rows[0].name, result.rows[0].verdict) == ("bert-tiny", "best")
    assert result.rows[0].verdicts["world-entailment"] == "failed"
    assert not result.ok
    assert "bert-tiny failed in 1 of 3 fine-tunings on world-entailment (ranked all the same" in conclusion(result)[1]


def test_a_failed_pretraining_is_not_finetuned(tmp_path, jobs, task_recipe):
    jobs.failing = {("bert", 1)}
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    assert ("bert", "world-sentiment", 1) not in jobs.tuned()
    assert result.rows[-1].failures == {"seed 1": "step 7: the loss is not finite"}
    assert result.rows[-1].verdict == "failed"


def test_a_failed_baseline_is_told_and_tried_again(tmp_path, jobs, task_recipe):
    jobs.failing = {("linear", "world-sentiment")}
    out = tmp_path / "out"
    result = compare(task_recipe(), out, **jobs.functions)
    assert not result.ok
    assert result.rows[0].verdict == "best"
    assert "The linear baseline failed on world-sentiment: too few examples." in conclusion(result)[1]
    assert "- linear baseline, world-sentiment: too few examples" in (out / "results.md").read_text(encoding="utf-8")
    jobs.failing = set()
    again = compare(task_recipe(), out, resume=True, **jobs.functions)
    assert again.ok
    assert again.baseline("world-sentiment") == 0.6


def test_a_score_that_is_no_number_is_a_failed_finetuning(tmp_path, jobs, task_recipe):
    jobs.task_scores["world-sentiment"]["bert"][1] = float("nan")
    result = compare(task_recipe(), tmp_path / "out", **jobs.functions)
    assert result.rows[-1].failures == {"world-sentiment, seed 1": "accuracy on test is nan"}
    json.loads((tmp_path / "out/results.json").read_text(), parse_constant=pytest.fail)


def test_a_kill_at_any_instant_of_a_comparison_with_tasks_loses_nothing(tmp_path, jobs, task_recipe, killed):
    asked = task_recipe(seeds=[0, 1], budget={"steps": 50}, candidates=[{"family": "gpt2"}, {"family": "bert"}])
    whole = compare(asked, tmp_path / "whole", **jobs.functions)
    total = len(jobs.events)
    assert total == 1 + 1 + 1 + 2 + 1 + 4 + 4
    for instant in range(total):
        again = type(jobs)(jobs.scores, kill_at=instant, task_scores=jobs.task_scores)
        out = tmp_path / f"killed-{instant}"
        with pytest.raises(killed):
            compare(asked, out, **again.functions)
        resumed = compare(asked, out, resume=True, **again.functions)
        assert [(row.name, row.scores, row.verdicts) for row in resumed.rows] == [
            (row.name, row.scores, row.verdicts) for row in whole.rows
        ]
        assert resumed.baseline("world-sentiment") == 0.6
        assert len(again.tuned()) == len(jobs.tuned()), instant
        assert [event[0] for event in again.events].count("linear") == 1, instant


def test_a_finished_comparison_with_tasks_trains_nothing_again(tmp_path, jobs, task_recipe):
    compare(task_recipe(), tmp_path / "out", **jobs.functions)
    before = [event for event in jobs.events if event[0] in ("train", "tune", "linear")]
    compare(task_recipe(), tmp_path / "out", resume=True, **jobs.functions)
    assert [event for event in jobs.events if event[0] in ("train", "tune", "linear")] == before


def test_changed_examples_and_tasks_are_refused(tmp_path, jobs, task_recipe):
    compare(task_recipe(), tmp_path / "out", **jobs.functions)
    with pytest.raises(ValueError, match=r"another recipe: tasks\.1\.epochs was None, is 2\.0"):
        compare(task_recipe(tasks=[BOTH[0] | {"epochs": 2}]), tmp_path / "out", resume=True, **jobs.functions)
    jobs.examples = "c" * 64
    with pytest.raises(ValueError, match="the examples of world-sentiment have changed"):
        compare(task_recipe(), tmp_path / "out", resume=True, **jobs.functions)


def test_a_stop_while_finetuning_says_how_to_go_on(tmp_path, jobs, task_recipe):
    def stopping(options, out, **keywords):
        raise Stopped("stopped after step 3")

    with pytest.raises(Stopped, match=r"gyebo compare .*recipe\.toml -o .* --resume"):
        compare(task_recipe(), tmp_path / "out", **jobs.but(finetune=stopping))
    assert compare(task_recipe(), tmp_path / "out", resume=True, **jobs.functions).ok


def test_examples_that_can_not_be_read_are_found_before_anything_else(tmp_path, jobs, task_recipe):
    def missing(options):
        raise FileNotFoundError("reviews.csv: no such file")

    with pytest.raises(FileNotFoundError, match=re.escape("reviews.csv")):
        compare(task_recipe(), tmp_path / "out", **jobs.but(examine=missing))
    assert jobs.events == []


def test_a_sweep_chooses_by_the_figure_of_the_candidates_own_objective(tmp_path, jobs, task_recipe):
    asked = task_recipe(
        sweep={"lr": [3e-4, 1e-3, 3e-3]},
        budget={"steps": 100},
        seeds=[0],
        candidates=[{"family": "gpt2"}, {"family": "bert"}],
    )
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert ("bert", "world-sentiment", 1) not in jobs.tuned()  # trials are not fine-tuned
    found = {row.name: (row.sweep.lr, row.sweep.trials[0].figure) for row in result.rows}
    assert found == {
        "bert-mini": (1e-3, "held-out nats per masked token"),
        "gpt2-mini": (1e-3, "held-out bits per byte"),
    }


def test_examples_are_told_with_a_fingerprint_of_all_of_them(tmp_path):
    from gyebo.compare.tasks import examine
    from gyebo.config.finetune import TaskOptions

    rows = [f"a text of number {n},{'good' if n % 2 else 'bad'}" for n in range(200)]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["review,verdict", *rows]), encoding="utf-8")
    options = TaskOptions(name="classification", data=str(file), text="review", label="verdict")
    first = examine(options)
    assert (first.kind, first.score, first.labels, first.measured) == (
        "classification", "macro_f1", 2, "a tenth held out",
    )  # fmt: skip
    assert sum(first.examples.as_dict().values()) == 200
    assert examine(options) == first
    file.write_text("\n".join(["review,verdict", *rows[:-1], rows[-1].replace("good", "bad")]), encoding="utf-8")
    assert examine(options).fingerprint != first.fingerprint


def test_a_baseline_whose_folder_is_gone_is_trained_again(tmp_path, jobs, task_recipe):
    out = tmp_path / "out"
    compare(task_recipe(), out, **jobs.functions)
    shutil.rmtree(out / "tasks" / "linear")
    jobs.events.clear()
    compare(task_recipe(), out, resume=True, **jobs.functions)
    assert [event[0] for event in jobs.events if event[0] in ("linear", "train", "tune")] == ["linear"]
