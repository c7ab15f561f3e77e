"""Test examples that the corpus holds: counted once, told, and left out of pretraining where the recipe says so."""

import json
import tomllib
from dataclasses import replace

import pytest

from gyebo.compare import run as module
from gyebo.compare.recipe import dump, parse
from gyebo.compare.report import equal_terms
from gyebo.compare.run import compare
from gyebo.compare.table_rows import cells
from gyebo.jobs.results import SeenTests

SEEN = {"world-sentiment": SeenTests(exact=20, near=11, contained=6, short=3)}
HEADING = "world-sentiment: test examples in the pretraining text"


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(module, "write_report", lambda comparison: None)


def line(result):
    return next((measure, found) for measure, found in cells(result) if measure.heading == HEADING)


def test_they_stand_in_the_table_and_in_the_report(tmp_path, jobs, task_recipe):
    jobs.seen = SEEN
    result = compare(task_recipe(seeds=[0]), tmp_path / "out", **jobs.functions)
    measure, found = line(result)
    assert measure.first and set(found[:3]) == {"37 of 1,000"} and "20 as a document" in measure.explanation
    assert f"| {HEADING} | 37 of 1,000 |" in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "37 of 1,000" in dict(equal_terms(result))["Task world-sentiment"]
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["tasks"]["world-sentiment"]["seen"]
    assert stored == {"exact": 20, "near": 11, "contained": 6, "short": 3, "left_out": False}


def test_where_none_is_found_the_line_unfolds_only(tmp_path, jobs, task_recipe):
    measure, found = line(compare(task_recipe(seeds=[0]), tmp_path / "out", **jobs.functions))
    assert not measure.first and set(found[:3]) == {"0 of 1,000"}


def test_the_corpus_is_searched_once_for_all_tasks(tmp_path, jobs, task_recipe):
    tasks = [{"name": "world-sentiment"}, {"name": "world-entailment"}]
    asked = task_recipe(seeds=[0], tasks=tasks)
    compare(asked, tmp_path / "out", **jobs.functions)
    result = compare(asked, tmp_path / "out", resume=True, **jobs.functions)
    assert [event for event in jobs.events if event[0] == "search"] == [("search", "world-sentiment", "world-entailment")]
    assert line(result)
    plan = tmp_path / "out" / "plan.json"
    state = json.loads(plan.read_text(encoding="utf-8"))
    del state["tasks"]["world-entailment"]["seen"]  # of a comparison that was begun by a version that did not search
    plan.write_text(json.dumps(state), encoding="utf-8")
    jobs.events.clear()
    compare(asked, tmp_path / "out", resume=True, **jobs.functions)
    assert [event for event in jobs.events if event[0] == "search"] == [("search", "world-entailment")]


def test_documents_with_test_examples_are_left_out_of_every_run(tmp_path, jobs, task_recipe):
    """The texts lie in a file that all runs name; they are looked for in the text as it would be without that."""
    out, without = tmp_path / "out", []

    def noting(job):
        def noted(asked, *rest, **named):
            without.extend(options.data.without for options in (asked if isinstance(asked, list) else [asked]))
            return job(asked, *rest, **named)

        return noted

    jobs.seen = SEEN
    asked = task_recipe(seeds=[0], without_test_texts=True, data={"corpus": ["a.txt"], "without": ["mine.txt"]})
    fake = jobs.prepare
    jobs.prepare = lambda *given: replace(fake(*given), left_out=9)
    noted = {name: noting(getattr(jobs, name)) for name in ("prepare", "plan_steps", "pretrain")}
    result = compare(asked, out, **jobs.but(**noted))
    texts = str(out / "test-texts.jsonl")
    assert len(without) == 1 + 3 + 3 and all(names == ["mine.txt", texts] for names in without)
    events = [event for event in jobs.events if event[0] in ("keep", "prepare", "search")]
    assert [event[0] for event in events] == ["keep", "prepare", "search"]
    assert events[2] == ("search", "world-sentiment", "mine.txt")
    assert set(line(result)[1][:3]) == {"37 of 1,000, left out"}
    assert "9 documents left out" in dict(equal_terms(result))["Text"]
    assert result.recipe.data.without == ["mine.txt"]  # what was asked for, to be repeated anywhere
    jobs.events.clear()
    compare(asked, out, resume=True, **jobs.functions)
    assert not {event[0] for event in jobs.events} & {"keep", "search", "train"}
    (out / "test-texts.jsonl").unlink()
    compare(asked, out, resume=True, **jobs.functions)
    assert "keep" in {event[0] for event in jobs.events}


def test_the_option_is_stored_and_needs_a_task(task_recipe, recipe):
    asked = task_recipe(without_test_texts=True)
    again = parse(tomllib.loads(dump(asked)))
    assert again.without_test_texts and not task_recipe().without_test_texts
    with pytest.raises(ValueError, match="without_test_texts"):
        recipe(without_test_texts=True)
