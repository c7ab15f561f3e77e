"""--help of every command: it works, is complete, shows examples that parse, and is not broken in a pipe."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer

from gyebo.cli.app import app
from gyebo.cli.commands import COMMANDS

WIDE = re.compile(r"(<str>|<list|<int>|<float>|<bool>|<path>)")


def help_of(cli, name, monkeypatch, columns=80):
    monkeypatch.setenv("COLUMNS", str(columns))
    found = cli(*name.split(), "--help")
    assert found.code == 0 and found.err == ""
    return found.out


def examples(text):
    """The lines under "Examples:" of a help text."""
    _, found, rest = text.partition("  Examples:\n")
    assert found
    return [line.strip() for line in rest.partition("\n\n")[0].splitlines()]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_help(cli, monkeypatch, name, columns):
    shown = help_of(cli, name, monkeypatch, columns)
    assert "[/" not in shown.replace("hf:NAME[/CONFIG]", "") and "\x1b" not in shown
    shown_examples = examples(shown)
    assert shown_examples
    for line in shown.split("Options:")[1].splitlines():
        assert len(line) <= columns and not WIDE.search(line), line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    command = typer.main.get_command(app)
    for part in name.split():
        command = command.commands[part]
    assert all(parameter.help for parameter in command.params), name


def test_the_list_of_commands_is_complete_and_not_cut(cli, monkeypatch):
    shown = help_of(cli, "", monkeypatch)
    assert "..." not in shown.split("Commands:")[1]
    for name in COMMANDS:
        assert f"\n  {name.split()[0]} " in shown
    assert cli().out == shown  # gyebo alone


@pytest.mark.parametrize("words", [["--help"], ["guard", "--help"]], ids="-".join)
def test_the_list_is_the_same_where_no_command_has_its_options(cli, monkeypatch, capsys, words):
    """What is typed decides which commands are built whole (half the time of `gyebo --help`)."""
    monkeypatch.setenv("COLUMNS", "80")
    app(words, prog_name="gyebo", standalone_mode=False)
    whole = capsys.readouterr().out
    assert whole and cli(*words).out == whole


def test_a_shell_is_told_the_options_of_a_command():
    asked = {"_GYEBO_COMPLETE": "complete_bash", "COMP_WORDS": "gyebo pretrain --over", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-m", "gyebo"], env=os.environ | asked, capture_output=True, text=True)
    assert done.stdout.split() == ["--overwrite"], done.stderr


def parses(command):
    """Whether the command line gets through the parser; nothing is run."""
    words = shlex.split(command.split("|")[-1].split(">")[0])
    if words[0] == "torchrun":
        words = words[words.index("-m") + 1 :]
    assert words[0] == "gyebo", command
    group = typer.main.get_command(app)
    context = group.make_context("gyebo", words[1:])
    while hasattr(group, "commands"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        context = group.make_context(name, rest, parent=context)
    return context.params


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_parse(cli, monkeypatch, name):
    for example in examples(help_of(cli, name, monkeypatch, 200)):
        assert f"gyebo {name}" in example
        parses(example)


def test_an_example_that_does_not_parse_is_seen():
    with pytest.raises(typer.TyperException):
        parses("gyebo pretrain gpt2 x.txt --setps 3")
    assert parses("gyebo tokenizer train a b --kind char -o c")["corpus"] == ["a", "b"]


def test_the_program_runs_as_a_module_and_answers_quickly():
    """As a user starts it; 0.5 s is promised, torch alone takes longer than that."""
    code = "import sys; sys.argv = ['gyebo', '--help']\ntry:\n    import gyebo.__main__; gyebo.__main__.main()\n"
    code += "except SystemExit: pass\nfinally: print('torch' in sys.modules, 'rich' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False False", done.stderr
    done = subprocess.run([sys.executable, "-m", "gyebo", "pretrian"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stdout == ""
