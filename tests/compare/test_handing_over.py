"""`hand_over = "distil"`: who learns once more, from whom, and that the table stays as it is."""

import pytest

from gyebo.compare import run as module
from gyebo.compare.run import compare
from gyebo.config import toml
from gyebo.config.errors import OptionError
from tests.refusals import option_error

BOTH = [{"name": "world-sentiment"}, {"name": "world-entailment"}]
DISTIL = {"hand_over": "distil"}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(module, "write_report", lambda comparison: None)


@pytest.fixture
def taught(jobs):
    """The options of fine-tunings that had teachers, and the functions that note them."""
    found = []

    def finetune(options, out, **rest):
        if options.distil.teachers and not out.exists():
            found.append((options, out))
        return jobs.finetune(options, out, **rest)

    return found, jobs.but(finetune=finetune)


def test_all_models_teach_the_one_that_is_best_on_validation(tmp_path, taught, task_recipe):
    """In these runs the worst on the test examples, gpt2's seed 0, is the best on validation."""
    (found, functions), out = taught, tmp_path / "out"
    result = compare(task_recipe(**DISTIL), out, **functions)
    [(options, place)] = found
    names = [f"{family}-tiny/world-sentiment/seed-{seed}" for family in ("gpt2", "bert", "roberta") for seed in (0, 1, 2)]
    expected = [*names, "linear/world-sentiment"]
    assert sorted(options.distil.teachers) == sorted(str(out / "tasks" / name) for name in expected)
    assert options.distil.texts.corpus == ["text.txt"] and place == out / "handed-over/world-sentiment"
    assert options.model == str(out / "runs/gpt2-tiny/seed-0") and options.seed == 0
    [each] = result.handed_over
    assert (each.candidate, each.teachers, each.score) == ("gpt2-tiny", 10, 0.8) and each.alone == pytest.approx(0.81)
    said = (out / "results.md").read_text(encoding="utf-8")
    assert "Handed over for world-sentiment: gpt2-tiny again, taught by 10 models: accuracy 0.8000 on the 1,000 test" in said
    assert "have 0.8100 on average. It took 120 seconds beside the budget, and no verdict uses it." in said


def test_the_table_stays_as_it_is(tmp_path, jobs, task_recipe):
    with_it, without = (
        compare(task_recipe(**more), tmp_path / name, **jobs.functions) for name, more in (("a", DISTIL), ("b", {}))
    )
    for one, other in zip(with_it.rows, without.rows, strict=True):
        assert one.name == other.name and one.verdicts == other.verdicts and one.summary == other.summary
    assert with_it.ok and without.ok and not without.handed_over and not (tmp_path / "b/handed-over").exists()


def test_a_finished_comparison_hands_over_later(tmp_path, jobs, taught, task_recipe):
    found, functions = taught
    compare(task_recipe(tasks=BOTH), tmp_path / "out", **functions)
    before = len(jobs.events)
    compare(task_recipe(tasks=BOTH, **DISTIL), tmp_path / "out", resume=True, **functions)
    new = [event[:3] for event in jobs.events[before:] if event[0] in ("train", "tune", "linear")]
    assert new == [("tune", "gpt2", "world-sentiment"), ("tune", "roberta", "world-entailment")]
    assert toml.read(tmp_path / "out/recipe.toml")["hand_over"] == "distil"
    again = compare(task_recipe(tasks=BOTH, **DISTIL), tmp_path / "out", resume=True, **functions)
    assert len(found) == 2 and [each.seconds for each in again.handed_over] == [120.0, 120.0]


def test_a_model_that_is_there_after_all_teaches_too(tmp_path, jobs, taught, task_recipe):
    """What had been handed over before is replaced."""
    jobs.failing.add(("world-sentiment", "bert", 1))
    found, functions = taught

    def finetune(options, out, *, overwrite=False, **rest):
        if options.distil.teachers and (out / "run.toml").is_file():
            if not overwrite:
                raise OptionError("the teachers' weights differ")
            (out / "run.toml").unlink()
            found.append((options, out))
        return functions["jobs"].finetune(options, out, **rest)

    first = compare(task_recipe(**DISTIL), tmp_path / "out", **functions)
    jobs.failing.clear()
    second = compare(task_recipe(), tmp_path / "out", resume=True, **jobs.but(finetune=finetune))
    assert [each.teachers for each in (*first.handed_over, *second.handed_over)] == [9, 10] and second.ok
    assert [len(options.distil.teachers) for options, _ in found] == [9, 10]
    assert toml.read(tmp_path / "out/recipe.toml")["hand_over"] == "distil"  # without being asked for again


@pytest.mark.parametrize("tuning", [{"answer": "text"}, {}])
def test_only_a_candidate_with_a_head_is_taught(tmp_path, taught, task_recipe, tuning):
    found, functions = taught
    families = [{"family": "gpt2", "size": "tiny", "tuning": tuning}, {"family": "bert", "size": "tiny"}]
    [each] = compare(task_recipe(candidates=families, **DISTIL), tmp_path / "out", **functions).handed_over
    assert each.candidate == ("bert-tiny" if tuning else "gpt2-tiny") and len(found) == 1


def test_a_failure_is_said(tmp_path, jobs, task_recipe):
    def finetune(options, out, **rest):
        if options.distil.teachers:
            raise RuntimeError("step 3: the loss is not finite")
        return jobs.finetune(options, out, **rest)

    result = compare(task_recipe(**DISTIL), tmp_path / "out", **jobs.but(finetune=finetune))
    assert not result.ok and "- handed over, world-sentiment: step 3: the loss" in (tmp_path / "out/results.md").read_text()
    assert (tmp_path / "out/failures/handed-over/world-sentiment.txt").is_file()


def test_only_where_models_give_a_text_a_class(task_recipe):
    with option_error("hand_over"):
        task_recipe(tasks=[{"name": "world-entities"}], **DISTIL)
    with option_error("hand_over"):
        task_recipe(tasks=[{"name": "klue-re"}], **DISTIL)
    writers = [{"family": "t5", "size": "tiny", "name": name} for name in "ab"]
    with option_error("hand_over"):
        task_recipe(tasks=[{"name": "world-sentiment"}], candidates=writers, **DISTIL)


@pytest.mark.slow
def test_with_real_models(tmp_path, cli):
    """The taught model can be opened like any other, and texts of the corpus were learned besides."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        seeds = [0]
        data = { corpus = ["world:ko,400"] }
        tokenizer = { vocab_size = 600 }
        budget = { steps = 20 }
        train = { batch_tokens = 1024 }
        tasks = [{ name = "world-sentiment", epochs = 1, train_share = 0.2 }]
        [[candidates]]
        family = "gpt"
        size = "tiny"
        [[candidates]]
        family = "bert"
        size = "tiny"
        """,
        encoding="utf-8",
    )
    found = cli("compare", recipe, "-o", tmp_path / "out", "--hand-over", "distil")
    assert found.code == 0 and "taught by 3 models" in found.out, found.err
    record = toml.read(tmp_path / "out/handed-over/world-sentiment/run.toml")
    assert [name.rpartition("/")[2] for name in record["options"]["distil"]["teachers"]][-1] == "world-sentiment"
    assert cli("evaluate", tmp_path / "out/handed-over/world-sentiment").code == 0
    assert "taught by 3 models" in (tmp_path / "out/results.md").read_text(encoding="utf-8")
