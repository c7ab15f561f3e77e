"""A run is not tied to the directory that it was started from, nor its sources to their paths."""

import json
import os
import shutil
from pathlib import Path

import pytest

from gyebo.compare.run import compare_files
from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.run import RunOptions
from gyebo.jobs import run_directory
from gyebo.jobs.evaluate import evaluate, evaluate_task
from gyebo.jobs.finetune import finetune_seeds
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.places import published_name
from gyebo.jobs.pretrain import pretrain
from gyebo.text.training import train_tokenizer
from tests.jobs.test_finetune import interrupted as interrupted_tuning
from tests.jobs.test_verify import verified
from tests.jobs.tuning_files import reviews, saved_model, tuning
from tests.training.test_resume import interrupted


@pytest.fixture
def project(corpus, tokenizer_folder, tmp_path, monkeypatch):
    """The current directory, with a corpus and a tokenizer in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(corpus, folder / "corpus.txt")
    shutil.copytree(tokenizer_folder, folder / "tok")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def relative(run_options, steps=4, **data):
    values = run_options(steps, tokenizer="tok").model_dump(exclude_unset=True)
    return RunOptions.model_validate(values | {"data": values["data"] | {"corpus": ["corpus.txt"]} | data})


def test_a_run_is_evaluated_verified_and_resumed_from_elsewhere(run_options, project, elsewhere, monkeypatch):
    options = relative(run_options)
    found = pretrain(options, Path("run"))
    interrupted(options, Path("half"), 2, monkeypatch)
    monkeypatch.chdir(elsewhere)
    assert evaluate(str(project / "run"))["bits_per_byte"] == found.valid["bits_per_byte"]
    assert verified(project / "run")[0]
    assert pretrain(options, project / "half", resume=True).steps == 4
    record = run_directory.read(project / "half")
    assert record["options"]["data"]["corpus"] == ["corpus.txt"] and record["options"]["tokenizer"] == "tok"
    assert str(project) not in (project / "half" / "run.toml").read_text(encoding="utf-8")  # it is published
    assert "corpus.txt" in (project / "half" / "README.md").read_text(encoding="utf-8")


def test_where_sources_lie_is_no_part_of_what_is_published(run_options, project):
    pretrain(relative(run_options, 2), Path("run"))
    stored = json.loads((project / "run" / "checkpoints" / "sources.json").read_text(encoding="ascii"))
    assert stored["data.corpus"][0]["absolute"] == str(project / "corpus.txt")
    assert stored["tokenizer"][0]["absolute"] == str(project / "tok")
    root = [path for path in (project / "run").iterdir() if path.suffix in (".json", ".toml", ".md", ".jsonl")]
    assert root and not any(str(project) in path.read_text(encoding="utf-8") for path in root)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("{here}/data/a.txt", "data/a.txt"),
        ("{elsewhere}/a.txt", "a.txt"),
        ("{elsewhere}/*.txt", "*.txt"),
        ("{elsewhere}/a.parquet#split=x", "a.parquet#split=x"),
        ("nlvr:{elsewhere}/nlvr", "nlvr:nlvr"),
        ("nlvr:simple,{elsewhere}/nlvr", "nlvr:simple,nlvr"),
        ("{elsewhere}/gpt2:mini", "./gpt2:mini"),
        *((name, name) for name in ("a.txt", "../a.txt", "hf:owner/name:train", "world:ko,20", "owner/name", "gpt2:mini")),
    ],
)
def test_a_name_as_it_is_published(project, elsewhere, typed, shown):
    assert published_name(typed.format(here=project, elsewhere=elsewhere)) == shown


def test_absolute_names_are_published_without_their_folders(run_options, project, elsewhere, monkeypatch):
    options = relative(run_options, corpus=[str(project / "corpus.txt")]).model_copy(update={"tokenizer": str(project / "tok")})
    out = elsewhere / "run"
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("socket.gethostname", lambda: "my-own-machine")
    interrupted(options, out, 2, monkeypatch)
    monkeypatch.chdir("/")
    assert pretrain(options, out, resume=True).steps == 4
    record = run_directory.read(out)["options"]
    assert (record["data"]["corpus"], record["tokenizer"]) == (["corpus.txt"], "tok")
    assert verified(out)[0]
    published = [path for path in out.rglob("*") if path.is_file() and "checkpoints" not in path.relative_to(out).parts]
    assert not any("my-own-machine" in path.name for path in published)
    texts = {path.name: path.read_bytes() for path in published}
    assert "run.toml" in texts and not [name for name, found in texts.items() if str(project.parent).encode() in found]


def test_the_same_text_under_another_name_is_the_same_corpus(run_options, project, monkeypatch):
    interrupted(relative(run_options), Path("run"), 1, monkeypatch)
    interrupted(relative(run_options, corpus=["./corpus.txt"]), Path("run"), 2, monkeypatch)
    (project / "data").mkdir()
    (project / "corpus.txt").rename(project / "data" / "text.txt")
    assert pretrain(relative(run_options, corpus=["data/text.txt"]), Path("run"), resume=True).steps == 4
    assert verified(project / "run")[0]  # and from here on it is found
    with pytest.raises(OptionError, match="the corpus has changed"):
        (project / "other.txt").write_text("다른 글\n" * 500, encoding="utf-8")
        pretrain(relative(run_options, corpus=["other.txt"]), Path("run"), resume=True)


def test_a_project_that_was_moved_as_a_whole_works(run_options, project, elsewhere, monkeypatch):
    pretrain(relative(run_options), Path("run"))
    monkeypatch.chdir(elsewhere)
    shutil.move(project, elsewhere / "moved")
    assert verified(elsewhere / "moved" / "run")[0]


def test_a_pattern_and_a_held_out_file_are_found_too(run_options, project, elsewhere, monkeypatch):
    lines = (project / "corpus.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    (project / "held.txt").write_text("".join(lines[:30]), encoding="utf-8")
    (project / "part-1.txt").write_text("".join(lines[30:]), encoding="utf-8")
    values = relative(run_options, 2).model_dump(exclude_unset=True)
    options = RunOptions.model_validate(values | {"data": {"corpus": ["part-*.txt"], "valid": "held.txt"}})
    pretrain(options, Path("run"))
    monkeypatch.chdir(elsewhere)
    assert verified(project / "run")[0]


def test_a_fine_tuning_is_not_tied_to_its_directory(tokenizer_folder, project, elsewhere, monkeypatch):
    saved_model(project / "bert", "bert", tokenizer_folder)
    reviews(project, 120)
    options = tuning("bert", "reviews.csv", steps=4, epochs=None)
    interrupted_tuning(options, Path("run"), 2, monkeypatch)
    monkeypatch.chdir(elsewhere)
    found = finetune(options, project / "run", resume=True)
    assert found.model == "bert" and str(project) not in (project / "run" / "run.toml").read_text(encoding="utf-8")
    assert verified(project / "run")[0]
    assert evaluate_task(str(project / "run"))["accuracy"] == found.test["accuracy"]


def test_several_seeds_and_the_linear_baseline_find_their_examples(tokenizer_folder, project, elsewhere, monkeypatch):
    saved_model(project / "bert", "bert", tokenizer_folder)
    reviews(project, 120)
    options = tuning("bert", "reviews.csv", steps=2, epochs=None)
    finetune_seeds(options, [0, 1], Path("seeds"))
    linear = finetune_linear(options.task, Path("linear"))
    monkeypatch.chdir(elsewhere)
    assert finetune_seeds(options, [0, 1, 2], project / "seeds", resume=True).seeds == [0, 1, 2]
    assert evaluate_task(str(project / "seeds"))["examples"] == evaluate_task(str(project / "linear"))["examples"]
    assert evaluate_task(str(project / "linear"))["accuracy"] == linear.test["accuracy"].mean


def test_a_copy_of_the_file_that_a_model_learned_from_is_known(tokenizer_folder, project, elsewhere):
    """Otherwise the model would be measured on what it learned from."""
    saved_model(project / "bert", "bert", tokenizer_folder)
    reviews(project, 120)
    options = tuning("bert", "reviews.csv", steps=2, epochs=None)
    found = finetune(options, Path("run"))
    shutil.copy(project / "reviews.csv", elsewhere / "copy.csv")
    task = options.task.model_copy(update={"data": str(elsewhere / "copy.csv")})
    assert evaluate_task(str(project / "run"), task)["accuracy"] == found.test["accuracy"]
    assert evaluate_task(str(project / "run"), task)["measured"] == "a tenth held out"


RECIPE = {
    "seeds": [0],
    "context": 32,
    "data": {"corpus": ["corpus.txt"], "valid_share": 0.05},
    "tokenizer": {"path": "tok"},
    "budget": {"steps": 2},
    "train": {"batch_tokens": 256, "precision": "float32", "device": "cpu"},
    "tasks": [
        {"name": "classification", "data": "reviews.csv", "text": "review", "label": "mood", "steps": 2, "max_length": 16}
    ],
    "candidates": [
        {"family": family, "size": "tiny", "model": {"layers": 1, "width": 16, "heads": 2}} for family in ("gpt", "bert")
    ],
}


def test_a_comparison_is_resumed_from_elsewhere_and_after_a_move(project, elsewhere, monkeypatch):
    reviews(project, 120)
    Path("recipe.toml").write_text(toml.dump(RECIPE), encoding="utf-8")
    assert compare_files(Path("recipe.toml"), Path("cmp"))
    found = [path for path in Path("cmp").rglob("*") if path.is_file() and "checkpoints" not in path.parts]
    assert not [path for path in found if str(project).encode() in path.read_bytes()]
    monkeypatch.chdir(elsewhere)
    shutil.rmtree(project / "cmp" / "tasks" / "bert-tiny")
    (project / "cmp").rename(elsewhere / "cmp")
    assert compare_files(elsewhere / "cmp" / "recipe.toml", elsewhere / "cmp", resume=True)
    tuned = elsewhere / "cmp" / "tasks" / "gpt-tiny" / "classification" / "seed-0"
    assert evaluate_task(str(tuned))["examples"] > 0
    assert verified(elsewhere / "cmp" / "runs" / "gpt-tiny" / "seed-0")[0] and verified(tuned)[0]
    lines = (project / "corpus.txt").read_text(encoding="utf-8").splitlines()
    train_tokenizer([line[::-1] for line in lines], "bpe", 400).save(project / "tok")
    with pytest.raises(OptionError, match="the tokenizer is another one"):
        compare_files(elsewhere / "cmp" / "recipe.toml", elsewhere / "cmp", resume=True)


# -- names that no file can hold ------------------------------------------------------------------------------------------

EUC_KR = os.fsdecode("말뭉치".encode("euc-kr"))


def test_a_comparison_that_found_no_task_leaves_nothing_behind(project):
    """A mistyped path: the corrected command is not another recipe that is refused."""
    reviews(project, 120)
    Path("recipe.toml").write_text(toml.dump(RECIPE), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"revews\.csv"):
        compare_files(Path("recipe.toml"), Path("cmp"), tasks=["classification=revews.csv"])
    assert not Path("cmp").exists()
    Path("cmp").mkdir()
    with pytest.raises(ValueError, match="no column 'txet'"):
        wrong = RECIPE | {"tasks": [RECIPE["tasks"][0] | {"text": "txet"}]}
        Path("wrong.toml").write_text(toml.dump(wrong), encoding="utf-8")
        compare_files(Path("wrong.toml"), Path("cmp"))
    with pytest.raises(FileNotFoundError, match=r"corpsu\.txt"):
        compare_files(Path("recipe.toml"), Path("cmp"), corpus=["corpsu.txt"])
    with pytest.raises(ValueError, match="nothing was held out"):
        Path("short.txt").write_text("나무\n바다\n", encoding="utf-8")
        compare_files(Path("recipe.toml"), Path("cmp"), corpus=["short.txt"])
    assert not Path("cmp").exists()


@pytest.mark.parametrize("name", [EUC_KR, "two\nlines", "a\rb"])
@pytest.mark.parametrize("where", ["corpus", "out", "tokenizer"])
def test_a_name_that_a_record_cannot_hold_is_refused_before_training(run_options, project, name, where):
    (project / name).mkdir()
    shutil.copy("corpus.txt", project / name / "a.txt")
    values = relative(run_options).model_dump(exclude_unset=True)
    if where == "corpus":
        values["data"]["corpus"] = [name]
    elif where == "tokenizer":
        values["tokenizer"] = name
    out = Path(name) / "run" if where == "out" else Path("run")
    with pytest.raises(OptionError) as caught:
        pretrain(RunOptions.model_validate(values), out)
    assert len(str(caught.value).splitlines()) == 1 and str(caught.value).isprintable()
    assert not out.exists()


@pytest.mark.parametrize("field", ["model", "data"])
def test_a_fine_tuning_refuses_such_a_name_too(project, field):
    values = {"model": "bert", "task": {"name": "classification", "data": "reviews.csv"}}
    (values if field == "model" else values["task"])[field] = EUC_KR
    with pytest.raises(OptionError, match="not UTF-8"):
        finetune(FinetuneOptions.model_validate(values), Path("run"))
    assert not Path("run").exists()


def test_a_folder_may_hold_files_with_such_names(run_options, project):
    (project / "folder").mkdir()
    shutil.copy("corpus.txt", project / "folder" / f"{EUC_KR}.txt")
    pretrain(relative(run_options, 2, corpus=["folder"]), Path("run"))
    assert verified(Path("run"))[0]
