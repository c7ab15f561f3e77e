"""The verbs of Python: one signature each with the names of the command line, results that show themselves, clear errors."""

import inspect
import re
import subprocess
import sys
from functools import partial

import pytest

import gyebo
from gyebo.api import speaking
from gyebo.api.pretrain import pretrain
from gyebo.cli.commands import COMMANDS
from gyebo.config import elsewhere, toml
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.run import RunOptions
from gyebo.tasks.kinds.table import own_files

CALLED = {"distill": "distil"}  # verbs that are not spelled as their command
VERBS = "pretrain distill finetune compare evaluate predict embed fill translate generate draw".split()
BESIDE = {"verbose", "control", "on_text"}  # objects and functions, which can't be typed
TINY = {"size": "tiny", "settings": {"model.layers": 2, "model.width": 32, "model.heads": 2}, "context": 32}
TINY |= {"batch_tokens": 256, "precision": "float32", "device": "cpu", "valid_share": 0.05}


def verb(command):
    place = CALLED.get(command, command)
    return getattr(__import__(f"gyebo.api.{place}", fromlist=[place]), place)


@pytest.mark.parametrize("command", VERBS)
def test_a_verb_has_the_options_of_its_command(command):
    ours, typed = inspect.signature(verb(command)).parameters, inspect.signature(COMMANDS[command]).parameters
    assert set(ours) - BESIDE == set(typed) - {"json"}
    assert next(iter(ours)) == next(iter(typed))
    assert all(each.annotation is not inspect.Parameter.empty for each in ours.values())


def test_a_run_in_python_is_the_run_of_the_command(corpus, tokenizer_folder, tmp_path, capsys):
    found = gyebo.pretrain("gpt2", corpus, steps=2, tokenizer=tokenizer_folder, out=tmp_path / "r", **TINY)
    assert capsys.readouterr().out == ""  # nothing is said where the output is piped
    stored = toml.read(tmp_path / "r" / "run.toml")
    assert stored["result"]["steps"] == found.steps == found["steps"] == 2
    assert found.as_dict() == {**found.as_dict(), **stored["result"]}
    assert stored["options"]["model"] == {"layers": 2, "width": 32, "heads": 2} and found.out == tmp_path / "r"
    value = f"{found.valid['bits_per_byte']:.4f}"
    assert value in repr(found) and "bits per byte" in repr(found) and len(repr(found).splitlines()) < 10
    page = found._repr_html_()
    assert value in page and page.count("data:image/png;base64,") == 1
    again = gyebo.pretrain(found.options, out=tmp_path / "r", resume=True)  # options as an object
    assert again.valid == found.valid


def test_a_dry_run_writes_nothing(corpus, tokenizer_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gyebo.jobs.pretraining.planning.MEASURE_SECONDS", 0.05)
    plan = gyebo.pretrain("gpt2", corpus, steps=100, tokenizer=tokenizer_folder, dry_run=True, verbose=False, **TINY)
    assert plan.steps == 100 and "parameters" in repr(plan) and not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": 2}, "out is missing: name the directory"),
        ({"out": "x"}, "the budget needs exactly one of steps, tokens, flops, minutes, epochs; found none"),
        ({"out": "x", "steps": 2, "minutes": 1}, "found steps and minutes"),
        ({"out": "x", "steps": "many"}, "steps must be a valid integer"),
        ({"out": "x", "steps": 2, "size": "tiny", "start_from": "m"}, "size=tiny contradicts start_from"),
        ({"out": "x", "steps": 2, "tokenizer": "t", "vocab_size": 300}, "vocab_size has no effect with tokenizer"),
        ({"out": "x", "steps": 2, "valid_last": 2}, "valid_last must be less than 1"),
        ({"out": "x", "steps": 2, "valid_last": 0.1, "valid_share": 0.1}, "valid_last and valid_share exclude each other"),
        ({"out": "x", "steps": 2, "settings": {"optim.lr": -1}}, 'settings["optim.lr"] must be greater than 0'),
        ({"out": "x", "steps": 2, "settings": {"optim.rate": 1}}, "unknown option 'optim.rate'"),
        ({"out": "x", "steps": 2, "settings": "optim.lr=1"}, "settings needs"),
        ({"out": "x", "steps": 2, "dry_run": True, "resume": True}, "dry_run and resume or overwrite exclude each other"),
        ({"out": "x", "steps": 2, "verbose": 3}, "verbose must be True, False or None"),
        ({"out": 3, "steps": 2}, "out must be the name"),
    ],
)
def test_errors_name_parameters(corpus, given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="^[^\n]*$") as caught:
        gyebo.pretrain("gpt2", corpus, **given)
    assert said in str(caught.value) and "--" not in str(caught.value) and not list(tmp_path.iterdir())


def test_finetune_names_parameters_and_refuses_what_has_no_effect(tmp_path):
    for given, said in [
        ({"model": "m", "task": "nsmc"}, "out: name the directory of the run, or ask for dry_run"),
        ({"model": "m", "task": "nsmc", "out": "x", "seeds": [0, 0]}, "seeds must be different whole numbers"),
        ({"model": "m", "task": "nsmc", "out": "x", "seeds": "0,1"}, "seeds must be different whole numbers"),
        ({"model": "m", "task": 3, "out": "x"}, "task must be the name of a task"),
        ({"model": "linear", "task": "nsmc", "out": "x", "lr": 1e-3}, "lr has no effect on linear"),
        ({"model": "linear", "task": "nsmc", "out": "x", "seeds": 1}, "seeds has no effect on linear"),
        ({"model": "m", "task": ["nsmc", "klue-nli"], "out": "x", "text": "t"}, "text can't be told apart"),
        ({"model": "m", "task": "nsmc", "out": "x", "settings": {"seed": 1}}, "has no effect: use seeds"),
        ({"model": "m", "task": "classification", "out": "x", "data": 3}, "data must be rows"),
        ({"model": "m", "task": "nsmc", "out": "x", "lr": -1}, "lr must be greater than 0"),
    ]:
        with pytest.raises(ValueError, match="^[^\n]*$") as caught:
            gyebo.finetune(**given)
        assert said in str(caught.value) and "--" not in str(caught.value), str(caught.value)


def test_compare_is_the_verb_before_and_after_its_package_is_imported():
    code = "import gyebo; first = gyebo.compare; import gyebo.compare.results; second = gyebo.compare\n"
    code += "import gyebo.compare.recipe as recipe; assert recipe.Recipe is gyebo.compare.recipe.Recipe\n"
    code += "for verb in (first, second):\n    try:\n        verb(3, out='x')\n    except ValueError as e:\n        print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "recipe must be the name of a file or a dict, but is a int\n" * 2


def test_speech_by_what_is_there(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert speaking.console(None).quiet and speaking.console(False).quiet and not speaking.console(True).quiet
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as rich recognises a terminal
    assert not speaking.console(None).quiet and speaking.console(False).quiet


def test_a_verb_says_what_it_does_where_it_is_asked_to(corpus, tokenizer_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gyebo.jobs.pretraining.corpus._said", set())
    pretrain("gpt2", corpus, steps=1, tokenizer=tokenizer_folder, out=tmp_path / "r", verbose=True, **TINY)
    assert "documents for training" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        ("pretrain", "max_steps", "pretrain() got an unexpected keyword argument 'max_steps'; did you mean steps?"),
        ("pretrain", "learning_rate", "did you mean lr?"),
        ("pretrain", "batch_size", "did you mean batch_tokens?"),
        ("pretrain", "weight_decay", 'did you mean settings["optim.weight_decay"]?'),
        ("pretrain", "vocabsize", "did you mean vocab_size"),
        ("pretrain", "zzzzqqq", "argument 'zzzzqqq'"),
        ("distil", "hidden_size", "argument 'hidden_size'"),  # a student has its teacher's
        ("finetune", "num_train_epochs", "did you mean epochs?"),
        ("finetune", "batch_size", "did you mean batch?"),
        ("finetune", "output_dir", "did you mean out?"),
        ("finetune", "text_column", "did you mean text?"),
        ("generate", "max_length", "did you mean max_new_tokens?"),
        ("generate", "num_beams", "did you mean beams?"),
        ("predict", "batch_size", "predict() got an unexpected keyword argument 'batch_size'"),
        ("embed", "column", "did you mean text_field?"),
        ("draw", "num_images", "did you mean count?"),
    ],
)
def test_a_parameter_by_its_name_elsewhere_is_pointed_to(function, given, said):
    with pytest.raises(TypeError, match="^[^\n]*$") as caught:
        getattr(gyebo, function)("m", "x", **{given: 1})
    assert said in str(caught.value)
    assert given != "zzzzqqq" or str(caught.value).endswith(said)


def test_a_verb_by_its_name_elsewhere_is_pointed_to():
    for name, said in [("distill", "distil?"), ("train", "pretrain?"), ("genrate", "generate")]:
        with pytest.raises(AttributeError, match=f"^module 'gyebo' has no attribute '{name}'; did you mean {re.escape(said)}"):
            getattr(gyebo, name)
    assert set(elsewhere._VERBS) <= set(gyebo.__all__) and not hasattr(gyebo, "__path_hooks__")


def test_every_name_elsewhere_leads_to_an_option_that_there_is():
    """Each of our names is a parameter of some verb, each setting an option of every command that it is said to have."""
    parameters = {name for command in VERBS for name in inspect.signature(verb(command)).parameters}
    assert set(elsewhere._NAMES) <= parameters
    kinds = {"pretrain": RunOptions, "distill": RunOptions, "finetune": FinetuneOptions}
    for option, (commands, _) in elsewhere._SETTINGS.items():
        section, _, name = option.rpartition(".")
        for command in commands:
            if section not in ("model", "objective"):  # those of a family
                kind = kinds[command].model_fields[section].annotation if section else kinds[command]
                assert name in kind.model_fields, (option, command)
    assert set(elsewhere._TASKS) <= set(own_files())


def test_a_result_stands_where_its_directory_may(corpus, tokenizer_folder, tmp_path):
    run = gyebo.pretrain("bert", corpus, steps=1, tokenizer=tokenizer_folder, out=tmp_path / "bert", **TINY)
    rows = [{"text": f"{'좋다' if n % 2 else '나쁘다'} {n}", "label": "ab"[n % 2]} for n in range(60)]
    quick = {"steps": 1, "precision": "float32", "device": "cpu"}
    tuned = gyebo.finetune(run, "classification", data=rows, out=tmp_path / "tuned", **quick)
    assert gyebo.predict(tuned, ["좋다 1"]).rows == gyebo.predict(tmp_path / "tuned", ["좋다 1"]).rows
    assert (gyebo.embed(run, ["좋다"]).vectors == gyebo.embed(str(run.out), ["좋다"]).vectors).all()
    assert gyebo.load(run)[0].config == gyebo.load(run.out)[0].config
    shape = {name: value for name, value in TINY.items() if name != "size"} | {"settings": None}
    further = gyebo.pretrain("bert", corpus, steps=1, start_from=run, out=tmp_path / "further", **shape)
    assert further.options.start_from == str(run.out)
    assert gyebo.distil(run, corpus, steps=1, out=tmp_path / "student", **{**shape, "context": None}).options.teacher == str(
        run.out
    )


def test_a_run_is_resumed_with_its_budget_which_is_told_where_none_is_given(corpus, tokenizer_folder, tmp_path):
    given = {"tokenizer": tokenizer_folder, "out": tmp_path / "r", **TINY}
    gyebo.pretrain("bert", corpus, steps=1, **given)
    with pytest.raises(ValueError, match=r"r was begun with the budget steps=1: give it with resume, or a larger one$"):
        gyebo.pretrain("bert", corpus, resume=True, **given)
    with pytest.raises(ValueError, match=r"r was begun with the budget steps=1: give it with resume"):
        gyebo.distil(tmp_path / "r", corpus, resume=True, out=tmp_path / "r")
    again = {**given, "settings": {**TINY["settings"], "budget.steps": 1}}
    assert gyebo.pretrain("bert", corpus, resume=True, **again).steps == 1


def test_data_in_memory_is_called_so_in_errors(tmp_path):
    for call in (
        lambda: gyebo.pretrain("gpt2", ["짧다"], steps=1, out=tmp_path / "x", **TINY),
        lambda: gyebo.finetune("linear", "classification", data=[{"text": "가", "label": "a"}], out=tmp_path / "x"),
        lambda: gyebo.finetune("linear", "classification", data=[{"body": "가", "label": "a"}], out=tmp_path / "x"),
    ):
        with pytest.raises(ValueError, match="^data in memory: [^/]*$"):
            call()


def test_what_holds_no_model_is_told_with_what_it_holds(tokenizer_folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"config.json: no such file; .*; this is a tokenizer's \(in Python: gyebo.Token"
    ):
        gyebo.load(tokenizer_folder)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=f"weights beside it, such as {re.escape(str(tmp_path / 'run'))}$"):
        gyebo.load(tmp_path)


def test_a_model_itself_is_refused_where_a_name_is_needed(corpus, tmp_path):
    model = object()
    for verb in (partial(gyebo.pretrain, "bert", corpus), partial(gyebo.finetune, "bert:tiny", "nsmc")):
        with pytest.raises(
            ValueError, match=r"^tokenizer must be the name of its directory, but is a object: .* method save first$"
        ):
            verb(tokenizer=model, steps=1, out=tmp_path / "x")
    for call, parameter in [
        (lambda: gyebo.finetune(model, "nsmc", out=tmp_path / "x"), "model"),
        (lambda: gyebo.distil(model, corpus, steps=1, out=tmp_path / "x"), "teacher"),
        (lambda: gyebo.pretrain("bert", corpus, steps=1, start_from=model, out=tmp_path / "x"), "start_from"),
        (lambda: gyebo.load(model), "name"),
    ]:
        with pytest.raises(ValueError, match=f"^{parameter} must be the name of a model .* but is a object: .*gyebo.save"):
            call()


def test_the_baseline_says_which_rows_it_leaves_out(tmp_path, capsys):
    rows = [{"text": f"{'좋다' if n % 2 else '나쁘다'} {n}", "label": "ab"[n % 2]} for n in range(60)]
    rows[3]["text"], rows[4]["label"] = "", None
    gyebo.finetune("linear", "classification", data=rows, out=tmp_path / "x", verbose=True)
    said = capsys.readouterr().out
    assert "note: data in memory: 1 row can't be used and is skipped, the first: line 5: label is empty" in said
    assert "note: data in memory: 1 example of 59 without text is skipped" in said
    assert "training, " in said and "(a tenth held out)" in said


@pytest.mark.filterwarnings("error")
def test_the_baseline_has_no_warning_of_its_library(tmp_path, capsys):
    rows = [{"text": f"문장 {n}", "label": str(n)} for n in range(60)]
    gyebo.finetune("linear", "classification", data=rows, out=tmp_path / "x", verbose=True)
    assert "60 of 60 classes have fewer than 10 examples" in capsys.readouterr().out
