"""The runs of a comparison: their order, what they share, and that a kill at any instant loses nothing."""

import json
import os

import pytest

from gyebo.compare.conclusion import conclusion
from gyebo.compare.run import compare
from gyebo.config import durable
from gyebo.config.disk import DiskFull
from gyebo.data.lock import Busy
from gyebo.training.loop import Stopped

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_seeds_train_all_candidates_in_turn_with_the_same_plan(tmp_path, jobs, recipe):
    result = compare(recipe(tokenizer={"vocab_size": 300}), tmp_path / "out", **jobs.functions)
    kinds = [event[0] for event in jobs.events]
    assert kinds == ["prepare", "plan", "plan"] + ["train"] * 6  # one preparation; minutes become steps before any training
    assert jobs.events[0] == ("prepare", None, 300)
    assert jobs.trained() == [(family, seed) for seed in (0, 1, 2) for family in ("gpt", "gpt2")]
    trains = [event for event in jobs.events if event[0] == "train"]
    assert {(event[1], *event[3:5]) for event in trains} == {("gpt", 200, "bfloat16"), ("gpt2", 300, "float32")}
    assert {event[6] for event in trains} == {str(tmp_path / "out" / "tokenizer")}
    assert [row.name for row in result.rows] == ["gpt2-tiny", "gpt-tiny"]
    assert [row.verdict for row in result.rows] == ["best", "behind"]
    assert result.ok


def test_results_are_stored_as_data_and_as_markdown(tmp_path, jobs, recipe):
    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    first = stored["candidates"][0]
    assert first["name"] == "gpt2-tiny"
    assert first["bits_per_byte"]["mean"] == pytest.approx((1.10 + 1.11 + 1.12) / 3)
    assert first["bits_per_byte"]["deviation"] == pytest.approx(0.01)
    assert [seed["valid"]["bits_per_byte"] for seed in first["seeds"].values()] == [1.10, 1.11, 1.12]
    assert stored["differences"][0]["mean"] == pytest.approx(0.1)
    assert stored["differences"][0]["low"] > 0
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| Bits per byte, held out | 1.1100 ± 0.0100 | 1.2100 ± 0.0100 |" in text
    assert text.startswith("**gpt2-tiny is best on this text, over 3 seeds, on these held-out documents alone.**")
    assert result.floor == 0.5


def test_a_kill_at_any_instant_loses_nothing(tmp_path, jobs, recipe, killed):
    """Kill at each event in turn (also between two kills), resume, and find the results of the uninterrupted comparison."""
    asked = recipe(sweep={"lr": [1e-3, 3e-3], "extend": 1}, seeds=[0, 1], budget={"steps": 50})
    whole = compare(asked, tmp_path / "whole", **jobs.functions)
    total = len(jobs.events)
    assert total == 1 + 2 + 6 + 4
    for instant in range(total):
        again = type(jobs)(jobs.scores, kill_at=instant)
        out = tmp_path / f"killed-{instant}"
        with pytest.raises(killed):
            compare(asked, out, **again.functions)
        trained_before = len(again.trained())
        resumed = compare(asked, out, resume=True, **again.functions)
        assert [(row.name, row.scores, row.sweep) for row in resumed.rows] == [
            (row.name, row.scores, row.sweep) for row in whole.rows
        ]
        assert len(again.trained()) == len(jobs.trained()), (instant, trained_before)


def test_a_kill_while_writing_leaves_the_old_file_or_the_new(tmp_path, jobs, recipe, killed, monkeypatch):
    from pathlib import Path

    real = Path.replace
    for instant in range(6):
        seen = []

        def replace(self, target, seen=seen, instant=instant):
            seen.append(target)
            if len(seen) == instant + 1:
                raise killed
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        out = tmp_path / str(instant)
        again = type(jobs)(jobs.scores)
        with pytest.raises(killed):
            compare(recipe(seeds=[0]), out, **again.functions)
        monkeypatch.setattr(Path, "replace", real)
        assert len(compare(recipe(seeds=[0]), out, resume=True, **again.functions).rows) == 2
        assert len(again.trained()) == 2, instant


def test_a_file_that_is_half_written_is_never_taken(tmp_path, jobs, recipe, killed, monkeypatch):
    real = durable.flush
    for instant in range(8):
        calls = []

        def cut(path, calls=calls, instant=instant):
            calls.append(path)
            if len(calls) == instant + 1:
                if path.is_file():
                    os.truncate(path, 5)
                raise killed
            real(path)

        monkeypatch.setattr(durable, "flush", cut)
        out = tmp_path / str(instant)
        with pytest.raises(killed):
            compare(recipe(seeds=[0]), out, **jobs.functions)
        monkeypatch.setattr(durable, "flush", real)
        assert compare(recipe(seeds=[0]), out, resume=True, **jobs.functions).ok


def files(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_what_is_replaced_stays_until_the_new_comparison_has_begun(tmp_path, jobs, recipe, killed):
    """Where a task's file or an option is wrong, or the process is killed while it looks."""
    out = tmp_path / "out"
    compare(recipe(), out, **jobs.functions)
    before = files(out)

    def wrong(options, out, console=None):
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        compare(recipe(seeds=[0]), out, overwrite=True, **jobs.but(plan_steps=wrong))
    assert files(out) == before and compare(recipe(), out, resume=True, **jobs.functions).ok
    out.rename(tmp_path / ".out.replaced")  # killed by force right after
    out.mkdir()
    (out / "recipe.toml").write_text("")
    assert compare(recipe(), out, resume=True, **jobs.functions).ok and files(out).keys() == before.keys()
    assert compare(recipe(seeds=[0]), out, overwrite=True, **jobs.functions).ok
    assert not (tmp_path / ".out.replaced").exists() and not (out / "runs/gpt-tiny/seed-1").exists()


def test_a_folder_of_ones_own_is_none_of_ours(tmp_path, jobs, recipe):
    """It may hold a recipe.toml, and much else."""
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "thesis").mkdir()
    for keywords in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ValueError, match="holds thesis, which gyebo did not write"):
            compare(recipe(), tmp_path, **keywords, **jobs.functions)


def test_a_file_of_ones_own_beside_the_results_hinders_no_resumption(tmp_path, jobs, recipe):
    out = tmp_path / "out"
    compare(recipe(), out, **jobs.functions)
    (out / "notes.txt").write_text("mine")
    assert compare(recipe(), out, resume=True, **jobs.functions).ok and (out / "notes.txt").is_file()
    with pytest.raises(ValueError, match="holds notes.txt, which gyebo did not write"):
        compare(recipe(), out, overwrite=True, **jobs.functions)


def test_what_is_ones_own_in_a_run_of_it_is_named(tmp_path, jobs, recipe):
    out = tmp_path / "out"
    compare(recipe(), out, **jobs.functions)
    for name in ("runs/gpt-tiny/seed-0/notes.txt", "runs/gpt-tiny/notes.txt", "my.png"):
        (out / name).write_text("mine")
        with pytest.raises(ValueError, match=f"holds {name}, which gyebo did not write"):
            compare(recipe(), out, overwrite=True, **jobs.functions)
        (out / name).unlink()
    assert compare(recipe(), out, overwrite=True, **jobs.functions).ok


def test_one_process_writes_it(tmp_path, jobs, recipe):
    """Also one that is itself in the middle of it; and a run that another process writes is no candidate's failure."""

    def again(options, out, console=None):
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(Busy, match=f"pid {os.getpid()}"):
                compare(recipe(), tmp_path / "out", **how, **jobs.functions)
        return jobs.prepare(options, out, console)

    assert compare(recipe(), tmp_path / "out", **jobs.but(prepare=again)).ok

    def busy(options, out, **keywords):
        raise Busy("another process")

    with pytest.raises(Busy):
        compare(recipe(), tmp_path / "other", **jobs.but(pretrain=busy))
    assert {path.name for path in tmp_path.iterdir()} == {"out", "other"}


def test_what_is_read_is_not_replaced(tmp_path, jobs, recipe):
    out = tmp_path / "out"
    compare(recipe(), out, **jobs.functions)
    with pytest.raises(ValueError, match=r"holds .*out/tokenizer, which the run starts from"):
        compare(recipe(tokenizer={"path": str(out / "tokenizer")}), out, overwrite=True, **jobs.functions)


def test_measured_steps_stay_after_a_resume(tmp_path, jobs, recipe, killed):
    """Minutes are measured once: the second measurement would give other steps to the seeds still to come."""
    jobs.kill_at = 5
    with pytest.raises(killed):
        compare(recipe(), tmp_path / "out", **jobs.functions)
    compare(recipe(), tmp_path / "out", resume=True, **jobs.functions)
    assert {(event[1], event[3]) for event in jobs.events if event[0] == "train"} == {("gpt", 200), ("gpt2", 300)}
    assert [event[0] for event in jobs.events].count("plan") == 2


def test_a_stop_says_how_to_go_on(tmp_path, jobs, recipe):
    def stopping(options, out, **keywords):
        raise Stopped("stopped after step 3")

    with pytest.raises(Stopped, match=r"gyebo compare .*recipe\.toml -o .* --resume"):
        compare(recipe(), tmp_path / "out", **jobs.but(pretrain=stopping))
    compare(recipe(), tmp_path / "out", resume=True, **jobs.functions)

    def interrupted(options, out, console=None):  # outside of a training
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"gyebo compare .*recipe\.toml -o .* --resume"):
        compare(recipe(), tmp_path / "other", **jobs.but(plan_steps=interrupted))


def test_an_existing_directory_is_refused(tmp_path, jobs, recipe):
    out = tmp_path / "out"
    compare(recipe(), out, **jobs.functions)
    with pytest.raises(ValueError, match="resume to continue or overwrite"):
        compare(recipe(), out, **jobs.functions)
    with pytest.raises(ValueError, match="exclude each other"):
        compare(recipe(), out, resume=True, overwrite=True, **jobs.functions)
    with pytest.raises(ValueError, match=r"another recipe: seeds was \[0, 1, 2\], is \[0\]"):
        compare(recipe(seeds=[0]), out, resume=True, **jobs.functions)
    before = len(jobs.trained())
    compare(recipe(seeds=[0]), out, overwrite=True, **jobs.functions)
    assert len(jobs.trained()) == before + 2
    assert not (out / "runs" / "gpt-tiny" / "seed-1").exists()


def test_a_new_title_only_changes_the_heading(tmp_path, jobs, recipe):
    compare(recipe(title="before"), tmp_path / "out", **jobs.functions)
    trained = jobs.trained()
    assert compare(recipe(title="after"), tmp_path / "out", resume=True, **jobs.functions).recipe.title == "after"
    assert jobs.trained() == trained
    assert 'title = "after"' in (tmp_path / "out" / "recipe.toml").read_text(encoding="utf-8")


def test_a_finished_comparison_trains_nothing_again(tmp_path, jobs, recipe):
    compare(recipe(), tmp_path / "out", **jobs.functions)
    before = jobs.trained()
    assert compare(recipe(), tmp_path / "out", resume=True, **jobs.functions).ok
    assert jobs.trained() == before


def test_a_directory_of_something_else_is_never_touched(tmp_path, jobs, recipe):
    (tmp_path / "thesis.txt").write_text("years of work")
    for keywords in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ValueError, match=r"no recipe\.toml"):
            compare(recipe(), tmp_path, **keywords, **jobs.functions)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ValueError, match="is a file"):
        compare(recipe(), tmp_path / "thesis.txt", **jobs.functions)


def test_a_changed_corpus_is_refused(tmp_path, jobs, recipe, killed):
    jobs.kill_at = 5
    with pytest.raises(killed):
        compare(recipe(), tmp_path / "out", **jobs.functions)
    jobs.fingerprint = "b" * 64
    with pytest.raises(ValueError, match="corpus has changed"):
        compare(recipe(), tmp_path / "out", resume=True, **jobs.functions)


def test_a_failure_is_a_row_and_the_rest_goes_on(tmp_path, jobs, recipe):
    jobs.failing = {("gpt2", 1)}
    out = tmp_path / "out"
    result = compare(recipe(), out, **jobs.functions)
    assert len(jobs.trained()) == 6
    assert not result.ok
    failed = result.rows[-1]
    assert (failed.name, failed.verdict) == ("gpt2-tiny", "failed")  # its other seeds are the best: not ranked all the same
    assert failed.failures == {"seed 1": "step 7: the loss is not finite"}
    assert list(failed.results) == [0, 2]
    assert "RuntimeError" in (out / "failures" / "gpt2-tiny-seed-1.txt").read_text()
    assert "gpt2-tiny, seed 1: step 7: the loss is not finite" in (out / "results.md").read_text(encoding="utf-8")
    jobs.failing = set()
    before = len(jobs.trained())
    repaired = compare(recipe(), out, resume=True, **jobs.functions)
    assert jobs.trained()[before:] == [("gpt2", 1)]
    assert repaired.ok
    assert not (out / "failures" / "gpt2-tiny-seed-1.txt").exists()


def test_a_score_that_is_no_number_is_a_failure(tmp_path, jobs, recipe):
    jobs.scores["gpt"] = {0: float("nan")}
    result = compare(recipe(seeds=[0]), tmp_path / "out", **jobs.functions)
    assert result.rows[-1].failures == {"seed 0": "held-out bits per byte is nan"}
    json.loads((tmp_path / "out" / "results.json").read_text(), parse_constant=pytest.fail)


def test_a_broken_disk_is_no_candidates_failure(tmp_path, jobs, recipe):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    with pytest.raises(DiskFull, match=r"out: No space left on device; .*resume with: gyebo compare .*recipe.toml"):
        compare(recipe(), out, **jobs.but(pretrain=full))
    with pytest.raises(DiskFull, match="nothing is kept of this start"):  # but what it was to replace
        compare(recipe(seeds=[0]), out, overwrite=True, **jobs.but(plan_steps=full))
    assert compare(recipe(), out, resume=True, **jobs.functions).ok


def test_options_that_do_not_fit_are_found_before_any_training(tmp_path, jobs, recipe):
    def plan(options, out, console):
        assert [one.family for one in options] == ["gpt", "gpt2"]
        raise ValueError("unknown option 'model.layer'; did you mean layers?")

    with pytest.raises(ValueError, match="did you mean layers"):
        compare(recipe(), tmp_path / "out", **jobs.but(plan_steps=plan))
    assert jobs.trained() == []


def test_the_sweep_picks_by_held_out_score_and_counts_its_cost(tmp_path, jobs, recipe):
    search = {"lr": [3e-4, 1e-3, 3e-3], "share": 0.6, "counted": False}
    asked = recipe(sweep=search, budget={"steps": 100}, seeds=[0, 1])
    result = compare(asked, tmp_path / "out", **jobs.functions)
    trials = [event for event in jobs.events if event[0] == "train" and event[3] == 20]
    assert len(trials) == 6
    assert {event[2] for event in trials} == {2}  # a seed that isn't measured
    measured = [event for event in jobs.events if event[0] == "train" and event[3] == 100]
    assert {event[5] for event in measured} == {1e-3}
    for row in result.rows:
        assert row.sweep.lr == 1e-3
        assert (row.sweep.tokens, row.sweep.flops, row.sweep.seconds) == (3 * 20_000, 3 * 20 * 2e9, 3 * 10.0)
    assert "3 trials: 60.0 k tokens, 120 GFLOP, 0.5 min" in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")


def test_a_failed_trial_costs_what_it_trained_and_the_choice_stays(tmp_path, jobs, recipe):
    jobs.failing = {("gpt", 3e-3)}
    asked = recipe(sweep={"lr": [1e-3, 3e-3], "share": 0.4, "extend": 0, "counted": False}, budget={"steps": 100}, seeds=[0])
    result = compare(asked, tmp_path / "out", **jobs.functions)
    sweep = next(row.sweep for row in result.rows if row.name == "gpt-tiny")
    spent = sweep.trials[1].tokens  # its log ends halfway, in the middle of a line
    assert 0 < spent < 20_000
    assert spent % 1000 == 0
    assert sweep.tokens == 20_000 + spent
    assert sweep.trials[1].flops == spent / 1000 * 2e9
    assert result.ok  # a rate that is too high is what a sweep is for
    jobs.failing = set()
    jobs.scores["gpt"][1] = -1.0
    assert (
        next(r.sweep for r in compare(asked, tmp_path / "out", resume=True, **jobs.functions).rows if r.name == "gpt-tiny")
        == sweep
    )


def test_a_sweep_without_any_working_rate_fails_its_candidate_only(tmp_path, jobs, recipe):
    jobs.failing = {("gpt", 1e-3), ("gpt", 3e-3)}
    asked = recipe(sweep={"lr": [1e-3, 3e-3]}, budget={"steps": 100})
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert [row.verdict for row in result.rows] == ["nothing to compare with", "failed"]
    assert "every trial of the sweep failed" in result.rows[1].failures["sweep"]


def test_a_named_tokenizer_is_taken(tmp_path, jobs, recipe):
    compare(recipe(tokenizer={"path": "tok"}, seeds=[0]), tmp_path / "out", **jobs.functions)
    assert jobs.events[0][1] == "tok"
    assert {event[6] for event in jobs.events if event[0] == "train"} == {"tok"}


def maskings(recipe, **changes):
    """Two ways of masking for one family, told apart in the fake by their rates."""
    worse = {"family": "bert", "size": "tiny", "name": "static", "objective": {"static_copies": 10}, "optim": {"lr": 0.501}}
    return recipe(candidates=[worse, {"family": "bert", "size": "tiny", "optim": {"lr": 1e-3}}], **changes)


def test_masked_models_are_ranked_by_the_same_hidden_pieces(tmp_path, jobs, recipe):
    result = compare(maskings(recipe), tmp_path / "out", **jobs.functions)
    assert [(row.name, row.verdict) for row in result.rows] == [("bert-tiny", "best"), ("static", "behind")]
    assert result.rows[0].scores == [3.0, 3.1, 3.2]
    assert result.rows[0].best_seed == 0
    assert result.floor is None  # the known entropy bounds bits per byte only
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert stored["ranked_by"] == "nats per masked token"
    assert stored["candidates"][0]["masked_loss"]["mean"] == pytest.approx(3.1)
    assert [entry["mean"] for entry in stored["differences"]] == [pytest.approx(0.5)]
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| Nats per masked token, held out | 3.1000 ± 0.1000 | 3.6000 ± 0.1000 |" in text
    headline, why = conclusion(result)
    assert headline == "bert-tiny is best on this text, over 3 seeds, on these held-out documents alone."
    assert "it needs 3.1000 nats per masked token" in why
    assert "bits per byte" not in text.lower()
