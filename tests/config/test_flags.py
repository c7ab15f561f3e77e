"""Options and their flags: one table, which the commands obey."""

import ast
import inspect
import json
import pickle
from pathlib import Path

import pytest
import typer.main

from gyebo.cli.app import app
from gyebo.cli.commands import COMMANDS, _own_flags
from gyebo.config import toml
from gyebo.config.errors import NAMED, NamesOptions, OptionError, within
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.flags import ALL, FLAGS, OF_SOME, RECIPES, SETTING, flag, typed, words_for
from gyebo.config.run import RunOptions
from gyebo.objectives.table import OBJECTIVES
from tests.api.test_verbs import VERBS, verb

SECTIONS = {"pretrain": RunOptions, "distill": RunOptions, "finetune": FinetuneOptions}
NO_OPTIONS = {"-o", "--out", "--resume", "--overwrite", "--json", "--dry-run", "--set"}
FREE = {"model", "objective", "shape"}  # sections of a family's or an objective's own fields


def parameters(command):
    """Every flag of a command, and its arguments in capitals."""
    found = typer.main.get_command(app)
    for word in command.split():
        found = found.commands[word]
    flags = {flag for parameter in found.params if parameter.param_type_name == "option" for flag in parameter.opts}
    return flags, {parameter.metavar for parameter in found.params if parameter.param_type_name == "argument"}


def fields(kind):
    return set(toml.described(kind))


@pytest.mark.parametrize("command", SECTIONS)
def test_every_option_is_typed_somehow_and_every_flag_of_the_table_exists(command):
    flags, arguments = parameters(command)
    assert "--set" in flags  # how the options that the table leaves out are typed
    for field, name in FLAGS[command].items():
        assert name in (flags if name.startswith("-") else arguments), (command, name)
        assert field in fields(SECTIONS[command]) or field.split(".")[0] in FREE, (command, field)
    assert flags - NO_OPTIONS == {name for name in FLAGS[command].values() if name.startswith("-")}, "a flag without an option"


def test_what_is_no_option_of_a_run_has_its_flag_too():
    assert set(ALL.values()) <= parameters("pretrain")[0] & parameters("compare")[0]
    for command in RECIPES | set(SECTIONS):
        parameters(command)
    assert set(FLAGS["compare"].values()) <= parameters("compare")[0]


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        ("pretrain", "‹data.valid_last› and ‹start_from›", "--valid-last and --from"),
        ("pretrain", "‹context›=64 is long", "--context 64 is long"),
        ("pretrain", "‹data.order›=lanes: no", "--set data.order=lanes: no"),
        ("pretrain", "‹optim.lr›", "--lr"),
        ("pretrain", "‹optim.eps›", "--set optim.eps"),
        ("pretrain", "‹data.corpus› is missing", "CORPUS is missing"),
        ("pretrain", "‹device›=cuda", "--device cuda"),
        ("distill", "‹budget.flops›=3 or ‹model.layers›=3", "--set budget.flops=3 or --layers 3"),
        ("finetune", "‹optim.lr›, ‹seed› and ‹micro_batch›=2", "--lr, --seeds and --set micro_batch=2"),
        ("evaluate", "‹data.bad_bytes›=replace, ‹precision›", "--bad-bytes replace, --precision"),
        ("evaluate", "‹data.corpus› holds text alone", "CORPUS holds text alone"),
        ("inspect reconstructions", "‹data.corpus› holds text alone", "PICTURES holds text alone"),
        ("attribute", "‹task.kind›=x, ‹task.data›", "task.kind=x, --data"),
        ("embed", "‹out›=a.txt, or ‹overwrite› it", "-o a.txt, or --overwrite it"),
        ("compare", "‹data.valid›=x, ‹resume›, ‹out›, ‹task›=nsmc", "data.valid=x, --resume, -o, --task nsmc"),
    ],
)
def test_a_message_as_it_is_typed(command, text, shown):
    assert typed(text, command, parameters(command)[0]) == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_knows_its_flags(command):
    """By which its errors name options; what turns an option off counts too."""
    found = typer.main.get_command(app)
    for word in command.split():
        found = found.commands[word]
    options = [parameter for parameter in found.params if parameter.param_type_name == "option"]
    flags = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
    assert _own_flags(COMMANDS[command]) == flags - {"-h", "--help"}


def test_an_option_of_a_corpus_is_named_by_a_flag_or_an_argument_that_the_command_has():
    """In every command: what it lacks has its plain name, never a flag that would be refused."""
    for command in COMMANDS:
        flags, arguments = parameters(command)
        assert ("--set" in flags) == (command in SETTING or command in {"compare", "generate", "guard"}), command
        for field in (name for name in fields(RunOptions) if name.startswith("data.")):
            name = flag(field, command, flags)
            if name == "CORPUS" or name == "PICTURES":
                assert any(name in shown for shown in arguments), (command, name)
            else:
                assert name.split()[0] in flags | {field}, (command, name)


def test_a_message_for_python_names_the_options_plainly():
    error = OptionError("‹data.valid› and ‹optim.lr›=3: no")
    assert str(error) == "data.valid and optim.lr=3: no"
    assert isinstance(error, ValueError) and isinstance(error, NamesOptions)
    again = pickle.loads(pickle.dumps(error))  # from a process that read a part of the corpus
    assert (str(again), again.text) == (str(error), error.text)
    assert within("data", "‹valid›=3 x") == "‹data.valid›=3 x" and within("", "‹valid›") == "‹valid›"


@pytest.mark.parametrize("command", SECTIONS)
def test_what_a_run_was_typed_with_can_be_typed_again(command):
    """Whatever is given comes back: what stands behind a flag exists, what stands behind --set is TOML."""
    given = {"seed": 3, "optim.lr": 1e-3, "optim.betas": [0.9, 0.99], "model.layers": 3, "train.keep": 5, "train.compile": True}
    words = words_for(given, command)
    flags, _ = parameters(command)
    found, rest = {}, list(words)
    while rest:
        name = rest.pop(0)
        assert name in flags, name
        if name == "--set":
            field, _, value = rest.pop(0).partition("=")
            found |= toml.flat(toml.override({}, [f"{field}={value}"]))
        elif name == "--compile":
            found["train.compile"] = True
        else:
            field = next(field for field, own in FLAGS[command].items() if own == name)
            found[field] = json.loads(rest.pop(0))
    assert found == given


def test_a_flag_of_a_command_without_a_table():
    assert flag("task.train_share", "predict") == "--train-share"


def test_messages_name_options_that_exist():
    """Every option that a message marks by a constant name, anywhere in the package; marks stand in errors only."""
    known = {name for kind in (RunOptions, FinetuneOptions) for name in fields(kind)} | set(ALL) | set(OF_SOME)
    known |= {name for command in VERBS for name in inspect.signature(verb(command)).parameters} | {"settings.seed", "boxes"}
    known |= {name.rpartition(".")[2] for name in known}  # in the check of a section, or of a command without sections
    known |= {
        f"objective.{name}" for facts in OBJECTIVES.values() if not facts.kind for name in facts.load().Options.model_fields
    }
    known |= {
        "objective.name",
        "attention",
        "memory",
        "model.memory",
        "beams",
        "predictions",
        "pooling",
        "precision",
        "task",
        "corpus",
        "bag_of_words",
        "measure",
        "ablate",
        "among",
        "draws",
        "each",
        "level",
        "permutations",
        "attribute",
        "greedy",
        "pictures",
        "allowed",
        "checks",
        "classifier",
        "encoder",
        "guard",
        "guard_mode",
        "ignored",
        "neighbours",
        "neutral",
        "positive",
        "rate",
        "rerank",
        "upper",
        "thresholds",
        "unwanted",
        "words",
        "against",
        "raters",
        "host",
        "port",
    }
    package = Path(toml.__file__).parents[1]
    for path in package.rglob("*.py"):
        if path.parent.name == "config" and path.name in ("errors.py", "flags.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for match in NAMED.finditer(node.value):
                    assert match[1] in known, f"{path}: {match[0]}"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "ValueError",
                "FileNotFoundError",
                "RuntimeError",
            ):
                assert "‹" not in ast.unparse(node), f"{path}:{node.lineno}: raise OptionError"
