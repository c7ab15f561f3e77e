"""finetune, predict, evaluate, tasks and distill as typed: what they print, and one clear line for what is wrong."""

import json
import shlex
from pathlib import Path

import pytest

from gyebo.config import toml
from gyebo.config.finetune import FinetuneOptions, LearningOptions
from gyebo.interchange import load
from gyebo.jobs.finetuning.report import command_of
from gyebo.jobs.results import FinetuneSummary
from gyebo.tasks.registry import TASKS
from tests.jobs.tuning_files import json_lines, reviews, saved_model, sentences, table, tagged

QUICK = ["--batch", "16", "--device", "cpu", "--precision", "float32", "--epochs", "1"]
MINE = ["--text", "review", "--label", "mood"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("finetune")


@pytest.fixture(scope="module")
def bert(place, tokenizer_folder):
    return saved_model(place / "bert", "bert", tokenizer_folder)


@pytest.fixture(scope="module")
def data(place):
    return reviews(place, 100)


@pytest.fixture
def tuned(cli, bert, data, place):
    """A finished run, made by the command."""
    if not (place / "run").exists():
        found = cli("finetune", bert, "classification", "--data", data, *MINE, "-o", place / "run", *QUICK)
        assert found.code == 0, found.err
        (place / "said").write_text(found.out, encoding="utf-8")
    return place / "run"


# -- what is printed -----------------------------------------------------------------------------------------------------------


def test_finetune_says_what_it_does_and_what_to_type_next(tuned, place):
    lines = (place / "said").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("classification: ") and "(a tenth held out)" in line for line in lines)
    ends = "float32 on cpu, AdamW with learning rate 0.0012"
    assert any("steps of 16 examples (1" in line and line.endswith(ends) for line in lines)
    assert any(line.startswith("  macro f1") and "a tenth held out" in line for line in lines)
    assert lines[-1] == (
        f"The model is in {tuned} and opens in transformers (AutoModelForSequenceClassification). "
        f"Next: gyebo predict {tuned} FILE"
    )


def test_json_is_json_and_nothing_else(cli, bert, data, tmp_path):
    words = ["finetune", bert, "classification", "--data", data, *MINE, *QUICK]
    words += ["-o", tmp_path / "r", "--seeds", "0,1", "--json"]
    found = cli(*words)
    assert found.code == 0
    summary = json.loads(found.out)
    assert summary["seeds"] == [0, 1] and summary["test"]["accuracy"]["deviation"] is not None
    assert "test examples" in found.err
    again = cli(*words, "--resume")
    assert again.code == 0 and json.loads(again.out) == summary


def test_what_is_odd_about_the_examples_is_said_once(cli, bert, data, tmp_path):
    """Not again for each seed."""
    words = ["finetune", bert, "classification", "--data", data, *MINE, *QUICK, "--max-length", "6", "--seeds", "0,1"]
    found = cli(*words, "-o", tmp_path / "r")
    assert found.code == 0 and found.out.count("training examples are longer than 6 tokens and were truncated") == 1


def test_the_linear_baseline(cli, data, tmp_path):
    found = cli("finetune", "linear", "classification", "--data", data, *MINE, "-o", tmp_path / "r")
    assert found.code == 0 and "classification with linear, seed 0:" in found.out
    assert found.out.splitlines()[-1] == f"The model is in {tmp_path / 'r'}. Next: gyebo predict {tmp_path / 'r'} FILE"


def test_predict_and_evaluate(cli, tuned, data, tmp_path):
    (tmp_path / "a.txt").write_text("나무 정말 좋아한다.\n하늘 기다린다.\n", encoding="utf-8")
    found = cli("predict", tuned, tmp_path / "a.txt")
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert found.code == 0 and [row["id"] for row in rows] == ["line 1", "line 2"]
    written = cli("predict", tuned, tmp_path / "a.txt", "-o", tmp_path / "out.jsonl")
    assert written.out == f"2 predictions in {tmp_path / 'out.jsonl'}\n"
    own = json.loads(cli("evaluate", tuned, "--json").out)
    assert own["measured"] == "a tenth held out" and 0 <= own["accuracy"] <= 1
    named = cli("evaluate", tuned, "classification", "--data", data, *MINE, "--predictions", tmp_path / "p.jsonl")
    assert named.code == 0 and "a tenth held out" in named.out and (tmp_path / "p.jsonl").is_file()


def test_tasks(cli):
    shown = cli("tasks").out
    assert all(name in shown and task.kind in shown for name, task in TASKS.items()) and "--data FILE" in shown
    rows = json.loads(cli("tasks", "--json").out)
    assert [row["name"] for row in rows] == list(TASKS) and rows[0]["labels"] == ["negative", "positive"]


def test_distill(cli, bert, corpus, tmp_path):
    words = ["--context", "32", "--batch-tokens", "256", "--precision", "float32", "--valid-share", "0.05", "--device", "cpu"]
    found = cli("distill", bert, corpus, "--layers", "1", "--steps", "2", *words, "-o", tmp_path / "s")
    assert found.code == 0, found.err
    assert "temperature 2.0, soft 5.0, mlm 2.0, cosine 1.0" in found.out
    assert "nats per masked token on held-out text" in found.out and load(tmp_path / "s")[0].config.layers == 1


# -- the command that a card shows ---------------------------------------------------------------------------------------------


def test_the_command_of_a_card_makes_the_same_run(cli, monkeypatch, tmp_path):
    """What `command_of` writes, typed again, gives the same options and seeds."""
    values = {
        "model": "runs/a b",
        "task": {"name": "pair", "data": "my file.csv", "text": "a", "pair": "b", "label": "c", "train_share": 0.5},
        "epochs": 2.5,
        "batch": 8,
        "micro_batch": 4,
        "max_length": 99,
        "dropout": 0.2,
        "body_dropout": 0.0,
        "bpe_dropout": 0.05,
        "evaluations": 3,
        "patience": 4,
        "optim": {"lr": 1e-4, "layer_decay": 0.9, "freeze": 1, "betas": [0.9, 0.98], "schedule": "cosine", "warmup": 0.06},
        "device": "cpu",
        "precision": "bfloat16",
    }
    options = FinetuneOptions.model_validate(values)
    caught = []
    facts = {"task": "t", "kind": "classification", "model": "m", "score": "s", "measured": "x", "examples": 9, "parameters": 1}
    stand_in = FinetuneSummary(seeds=[1], valid={}, test={}, best_seed=1, **facts)
    monkeypatch.setattr("gyebo.jobs.finetune.finetune_seeds", lambda *words, **named: caught.append(words) or stand_in)
    for seeds in ([0], [1, 2]):
        assert cli(*shlex.split(command_of(options, tmp_path / "r", seeds))[1:]).code == 0
        found, *rest = caught[-1]
        assert found.model_dump() == options.model_dump() and rest == [
            seeds,
            Path("r"),
        ]  # a card names no folder of this machine


@pytest.mark.parametrize(
    "kind, then", [("regression", "predict r FILE"), ("translation", "translate r FILE"), ("dependency", "evaluate r dp")]
)
def test_the_next_command_is_that_of_the_kind(cli, tmp_path, monkeypatch, kind, then):
    facts = {"task": "dp", "kind": kind, "model": "m", "score": "s", "measured": "x", "examples": 9, "parameters": 1}
    found = FinetuneSummary(seeds=[0], valid={}, test={}, best_seed=0, **facts)
    monkeypatch.setattr("gyebo.jobs.finetune.finetune_seeds", lambda *words, **named: found)
    monkeypatch.chdir(tmp_path)
    assert cli("finetune", "bert", "classification", "--data", "a.csv", "-o", "r").out.endswith(f"Next: gyebo {then}\n")


# -- what is wrong -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(refused, bert, tmp_path):
    """`gyebo finetune BERT TASK -o tmp/r` with something wrong; it leaves no directory."""

    def run(task, *words, model=bert):
        line = refused("finetune", model, task, "-o", tmp_path / "r", *words)
        assert not (tmp_path / "r").exists()
        return line

    return run


def test_a_task_that_there_is_not(start):
    assert "unknown task 'nsmcc'; did you mean nsmc" in start("nsmcc")
    assert "classification needs --data FILE" in start("classification")
    assert "--label has no effect on nsmc" in start("nsmc", "--label", "x")
    assert "world-sentiment is generated by the built-in world and takes no data" in start("world-sentiment", "--data", "x")


@pytest.mark.parametrize(
    ("kind", "header", "row", "missing"),
    [
        ("classification", ("review", "mood"), ("가", "x"), "text"),
        ("classification", ("text", "mood"), ("가", "x"), "label"),
        ("regression", ("text", "score"), ("가", "1"), "label"),
        ("pair", ("text", "label"), ("가", "x"), "pair"),
        ("tagging", ("text", "label"), ("가", "x"), "spans"),
        ("spans", ("context", "answers"), ("가", "가"), "question"),
        ("choice", ("text", "label"), ("가", "0"), "options"),
    ],
)
def test_a_column_that_is_missing(start, tmp_path, kind, header, row, missing):
    line = start(kind, "--data", table(tmp_path / "a.csv", header, [row, row]))
    option = {"text": "--text", "label": "--label", "spans": "--label"}.get(missing, "--pair")
    assert f"a.csv: no column '{missing}'; available: {', '.join(header)} ({option} NAME)" in line


def test_files_that_are_missing_or_of_no_known_form(start, tmp_path):
    assert "no.csv: no such file" in start("classification", "--data", tmp_path / "no.csv")
    (tmp_path / "a.doc").write_text("가")
    assert "a.doc: not one of .csv, .tsv" in start("classification", "--data", tmp_path / "a.doc")
    (tmp_path / "empty.csv").write_text("")
    assert "empty.csv: the file is empty" in start("classification", "--data", tmp_path / "empty.csv")
    assert "no such folder" in start("nsmc", "--data", tmp_path / "none")
    (tmp_path / "folder").mkdir()
    assert "no file of nsmc: looked for ratings_train.txt" in start("nsmc", "--data", tmp_path / "folder")


def test_nothing_to_learn(start, tmp_path):
    rows = [(text, "good") for text, _ in sentences(30)]
    line = start("classification", "--data", table(tmp_path / "a.csv", ("review", "mood"), rows), *MINE)
    assert "a.csv: all 30 examples have one class, 'good'" in line
    rows = [(text, "3.0") for text, _ in sentences(30)]
    line = start("regression", "--data", table(tmp_path / "b.csv", ("review", "mood"), rows), *MINE)
    assert "all 30 examples have one score, 3.0" in line
    empty = [("", "good"), (" ", "bad")]
    line = start("classification", "--data", table(tmp_path / "c.csv", ("review", "mood"), empty), *MINE)
    assert "c.csv: no usable example for classification" in line and "2 examples of 2 without text are skipped" in line
    line = start("classification", "--data", table(tmp_path / "d.csv", ("review", "mood"), sentences(3)), *MINE)
    assert "would be empty: 3 examples have 3 different texts" in line or "one class" in line


def test_empty_texts_are_left_out_and_said(cli, bert, tmp_path):
    rows = [*sentences(60), ("", "positive"), ("  ", "negative")]
    file = table(tmp_path / "a.csv", ("review", "mood"), rows)
    found = cli("finetune", bert, "classification", "--data", file, *MINE, "-o", tmp_path / "r", *QUICK)
    assert found.code == 0 and "note: " in found.out and "2 examples of 62 without text are skipped" in found.out


def test_scores_that_are_no_numbers_and_labels_that_are_unknown(start, tmp_path):
    rows = [(text, mood) for text, mood in sentences(30)]
    line = start("regression", "--data", table(tmp_path / "a.csv", ("review", "mood"), rows), *MINE)
    assert "a.csv: no usable example for regression" in line and "not a number" in line
    good = table(tmp_path / "b.csv", ("review", "mood"), rows)
    other = table(tmp_path / "c.csv", ("review", "mood"), [("하늘 보았다.", "other")])
    line = start("classification", "--data", good, *MINE, "--test", other)
    assert "c.csv: row 2 has the label 'other' (1 example), but the labels of classification are: negative, positive" in line


def test_spans_and_answers_that_do_not_fit(start, cli, bert, tmp_path):
    wrong = [{"text": "나무", "spans": [[0, 9, "X"]]}]
    line = start("tagging", "--data", json_lines(tmp_path / "a.jsonl", wrong))
    assert "the span [0, 9] is outside the text of 2 characters" in line
    questions = [{"context": "나무 하늘", "question": "?", "answers": [{"text": "바다", "answer_start": 0}]}]
    line = start("spans", "--data", json_lines(tmp_path / "b.jsonl", questions))
    assert "the answer '바다' is not at character 0 of the context" in line
    file = json_lines(tmp_path / "c.jsonl", [*tagged(40), *wrong])
    found = cli("finetune", bert, "tagging", "--data", file, "-o", tmp_path / "tagged", *QUICK)
    assert found.code == 0 and "1 row can't be used and is skipped" in found.out
    options = [{"text": "나무", "options": ["하늘", "바다"], "label": 2}]
    line = start("choice", "--data", json_lines(tmp_path / "d.jsonl", options))
    assert "label is 2, but options are numbered 0 to 1" in line


def test_models_that_do_not_fit(start, data, trained, tokenizer_folder, tmp_path):
    words = ["--data", data, *MINE]
    assert "neither a directory here nor" in start("classification", *words, model="no-such-model")
    assert "unknown family 'brt'; did you mean bert" in start("classification", *words, model="brt:mini")
    assert "starts from scratch and needs a tokenizer" in start("classification", *words, model="bert:tiny")
    line = start("classification", *words, "--tokenizer", tokenizer_folder)
    assert "--tokenizer has no effect with" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0,0"], "--seeds must be different whole numbers from 0, as 0,1,2, but is '0,0' instead"),
        (["--seeds", "a"], "--seeds must be different"),
        (["--epochs", "0"], "--epochs must be greater than 0, but is 0.0 instead"),
        (["--batch", "0"], "'--batch'"),
        (["--train-share", "2"], "--train-share must be less than or equal to 1"),
        (["--max-length", "2"], "--max-length must be greater than 2"),
        (["--layer-decay", "2"], "--layer-decay must be less than or equal to 1"),
        (["--freeze", "99"], "--freeze 99: the model has 5 groups of layers with its head"),
        (["--precision", "half"], "--precision must be 'auto', 'float32' or 'bfloat16', but is 'half'"),
        (["--set", "optim.warmpu=0.1"], "unknown option 'optim.warmpu'; did you mean optim.warmup"),
        (["--set", "optim.warmup=-1"], "--set optim.warmup must be greater than or equal to 0"),
        (["--set", "seed=3"], "--set seed has no effect: use --seeds"),
        (["--batch", "500"], "--batch 500 is more than the"),
    ],
)
def test_options_that_are_wrong(start, data, words, message):
    assert message in start("classification", "--data", data, *MINE, *words)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--epochs", "2"], "--epochs"),
        (["--seeds", "1"], "--seeds"),
        (["--set", "optim.lr=1"], "--set"),
        (["--resume"], "--resume"),
        (["--device", "cpu"], "--device"),
        (["--precision", "float32"], "--precision"),
    ],
)
def test_what_the_linear_baseline_has_no_use_for(start, data, words, flag):
    line = start("classification", "--data", data, *MINE, *words, model="linear")
    assert f"{flag} has no effect on linear: leave it out" in line


def test_an_existing_directory_is_refused(refused, cli, tuned, bert, data, trained):
    words = ["finetune", bert, "classification", "--data", data, *MINE, *QUICK]
    assert "exists already: pass --resume to continue or --overwrite to start again" in refused(*words, "-o", tuned)
    assert "which the run starts from: choose another -o" in refused(*words, "-o", bert, "--overwrite")
    assert "holds a run of another kind, not a fine-tuning" in refused(*words, "-o", trained, "--resume")
    assert (trained / "model.safetensors").is_file() and (bert / "model.safetensors").is_file()


def test_evaluate_and_predict_refuse_what_does_not_fit(refused, tuned, trained, bert, corpus, data, tmp_path):
    line = refused("evaluate", tuned, corpus)
    assert "was fine-tuned on classification, so text can't be scored with it: name a task" in line
    assert "--context has no effect on the task nsmc" in refused("evaluate", tuned, "nsmc", "--context", "8")
    assert "--data has no effect on text: name a task" in refused("evaluate", trained, corpus, "--data", "x")
    assert "--data has no effect on a run's own task: name the task" in refused("evaluate", tuned, "--data", "x")
    assert "without a task head" in refused("evaluate", trained, "world-sentiment")
    assert "does classification, but world-entities is tagging" in refused("evaluate", tuned, "world-entities")
    assert "without a task head" in refused("predict", bert, data)
    other = table(tmp_path / "a.csv", ("other",), [("가",)])
    assert "no column 'review'; available: other (--text NAME)" in refused("predict", tuned, other)
    assert "--overwrite has no effect without -o" in refused("predict", tuned, data, "--overwrite")


def test_distill_refuses_what_does_not_fit(refused, bert, trained, tuned, corpus, tmp_path):
    words = ["-o", tmp_path / "s", "--steps", "2", "--valid-share", "0.05"]
    assert "holds a gpt2 model: a student learns from bert" in refused("distill", trained, corpus, *words)
    line = refused("distill", bert, corpus, *words, "--layers", "3")
    assert "a student has 1 to 2 layers" in line
    assert "the budget needs exactly one of" in refused("distill", bert, corpus, "-o", tmp_path / "s")
    line = refused("distill", bert, corpus, *words, "--set", "objective.temperatur=2")
    assert "unknown option 'objective.temperatur'; did you mean objective.temperature" in line
    line = refused("distill", bert, corpus, *words, "--set", "model.width=8")
    assert "--set model.width: a student has its teacher's shape" in line
    assert not (tmp_path / "s").exists()


def test_a_stored_run_can_be_read(tuned):
    record = toml.read(tuned / "run.toml")
    assert toml.check(FinetuneOptions, record["options"]).task.text == "review"


def test_the_page_says_the_defaults_of_the_optimiser():
    from tests.test_docs import said_defaults

    known = {f"optim.{name}": value for name, value in LearningOptions()}
    assert said_defaults("finetuning.md", "optimiser") == {
        name: None if value is None else json.dumps(value) for name, value in known.items()
    }
