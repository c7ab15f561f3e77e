"""`gyebo chat` as it is typed: from a pipe, at a terminal, and by somebody who means harm."""

import io
import json
import os
import signal
import sys
import threading

import pytest

from gyebo.cli import app
from gyebo.cli.chat import COMMANDS


@pytest.fixture
def typed(cli, trained, monkeypatch):
    """A function that holds a session at a terminal; a line may be a function that is called instead of typing."""

    def run(*lines, options=()):
        waiting = iter(lines)

        def ask(prompt=""):
            print(prompt, end="")
            line = next(waiting, None)
            if line is None:
                raise EOFError
            return line if isinstance(line, str) else line() or ""

        class Terminal(io.StringIO):
            def isatty(self):
                return True

        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr("builtins.input", ask)
        return cli("chat", trained, "--max-new-tokens", "6", *options)

    return run


def piped(cli, trained, text, *options):
    return cli("chat", trained, "--max-new-tokens", "6", *options, stdin=text)


def test_a_pipe_gives_an_answer_a_line_and_nothing_else(cli, trained):
    found = piped(cli, trained, "나무\n\n정말 바다\n   \n하늘")
    lines = found.out.split("\n")
    assert found.code == 0 and len(lines) == 6 and lines[1] == lines[3] == lines[5] == ""
    assert lines[0] and lines[2] and lines[4]
    assert piped(cli, trained, "나무\r\n\r\n정말 바다\r\n\r\n하늘\r\n").out == found.out
    assert piped(cli, trained, "").out == ""
    assert piped(cli, trained, "나무\n", "--seed", "5").out != lines[0] + "\n"


def test_commands_say_nothing_on_stdout(cli, trained, tmp_path):
    path = tmp_path / "a b.jsonl"
    text = f"나무\n/save {path}\n/temperature 0.5\n/reset\n/help\n바다\n/quit\n하늘\n"
    found = piped(cli, trained, text)
    assert found.code == 0 and found.out.count("\n") == 2
    turns = json.loads(path.read_text(encoding="utf-8"))["turns"]
    assert [turn["text"] for turn in turns] == ["나무", found.out.split("\n")[0]]
    for said in (f"2 turns in {path}", "temperature 0.5", "the conversation begins anew", *(f"/{name}" for name in COMMANDS)):
        assert said in found.err


def test_a_temperature_holds_from_then_on(cli, trained):
    cold = piped(cli, trained, "/temperature 0.0001\n나무\n").out
    assert cold == piped(cli, trained, "나무\n", "--greedy").out
    assert cold != piped(cli, trained, "나무\n", "--temperature", "20").out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/rest", "unknown command /rest; did you mean /reset?"),
        ("/xyzzy", "unknown command /xyzzy; /help lists them"),
        ("/", "unknown command /; /help lists them"),
        ("/temperature", "/temperature needs X: /temperature X"),
        ("/temperature hot", "temperature must be a number, but is 'hot'"),
        ("/temperature 0", "temperature must be above 0"),
        ("/temperature nan", "temperature must be above 0"),
        ("/reset now", "/reset takes nothing: /reset"),
        ("/save x.jsonl", "nothing was said yet"),
        ("/attributes nowhere", "attribute needs DIR:CLASS, but got 'nowhere'"),
        ("/guard", "/guard needs FILE: /guard FILE"),
        ("/guard nowhere.toml", "nowhere.toml: no such file"),
        (b"\xff\xfe", "byte 1 is not UTF-8"),
    ],
)
def test_a_wrong_line_of_a_pipe_is_named(refused, trained, line, said):
    raw = line if isinstance(line, bytes) else line.encode()
    assert f"line 2: {said}" in refused("chat", trained, stdin=b"\n" + raw + b"\nmore\n")


def test_wrong_options(refused, trained):
    assert "rank=4 has no effect with greedy" in refused("chat", trained, "--greedy", "--rank", "4", stdin="")
    assert "no_repeat_turn=4 has no effect without rank" in refused("chat", trained, "--no-repeat-turn", "4", stdin="")
    assert "--precision must be one of" in refused("chat", trained, "--precision", "half", stdin="")
    assert "--guard-mode warn has no effect without --guard" in refused("chat", trained, "--guard-mode", "warn", stdin="")
    assert "temperature=0.5 has no effect with greedy" in refused("chat", trained, "--greedy", stdin="/temperature 0.5\n")


def test_a_very_long_line(cli, trained):
    found = piped(cli, trained, "나무 정말 " * 5000 + "\n바다\n")
    assert found.code == 0 and found.out.count("\n") == 2
    assert found.err.count("the line is too long for the model, which does not read its first ") == 1


def test_a_line_with_a_blank_before_it_is_no_command(cli, trained):
    found = piped(cli, trained, " /quit\n나무\n")
    assert found.code == 0 and found.out.count("\n") == 2


def test_candidates_are_ranked(cli, trained):
    words = ("--rank", "4", "--temperature", "0.88")
    found = piped(cli, trained, "나무\n", *words)
    assert found.out.strip() and found.out != piped(cli, trained, "나무\n").out


# -- at a terminal -------------------------------------------------------------------------------------------------------


def test_a_terminal_asks_and_goes_on_after_what_is_wrong(typed, cli, trained):
    found = typed("나무", "/tempreature 1", "", "/temperature x", "/help", "바다")
    answers = piped(cli, trained, "나무\n바다\n").out.split("\n")
    assert found.code == 0
    assert found.out == f"> {answers[0]}\n> > > > > {answers[1]}\n> \n"
    assert "did you mean /temperature?" in found.err and "temperature must be a number" in found.err


def test_a_terminal_that_is_gone_is_the_end(typed, refused):
    """And not an error that is explained for ever."""

    def gone():
        raise OSError(5, "Input/output error")

    assert typed(gone, "나무").code == 1


def test_what_a_command_notes_is_said_at_once(typed, tmp_path):
    bag = tmp_path / "bag of joy.txt"
    bag.write_text("바다\nqqqqqqq\n", encoding="utf-8")
    found = typed(f"/attributes '{bag}=2'", "/attributes off")
    assert f"answers are steered to {bag}=2" in found.err and "answers are not steered" in found.err
    assert found.err.index("qqqqqqq") < found.err.index("answers are not steered")


def test_quit_leaves(typed):
    found = typed("/quit", "나무")
    assert found.code == 0 and found.out == "> \n"


def test_ctrl_c_stops_an_answer_and_keeps_what_was_shown(typed, monkeypatch):
    from gyebo.jobs import chat as job

    seen = []
    reply = job.reply

    def slow(chat, line):
        if line == "stop":
            try:
                yield "가"
                os.kill(os.getpid(), signal.SIGINT)
                yield "나"
            finally:
                seen.append("closed")
        else:
            yield from reply(chat, line)

    monkeypatch.setattr(job, "reply", slow)
    found = typed("stop", "나무")
    assert found.code == 0 and found.out.startswith("> 가\n> ") and found.out.count("> ") == 3
    assert seen == ["closed"]


def test_ctrl_c_at_the_prompt_is_nothing_and_sigterm_is_the_end(typed, refused):
    before = signal.getsignal(signal.SIGINT)
    found = typed(lambda: os.kill(os.getpid(), signal.SIGINT), "/quit")
    assert found.code == 0 and found.out == "> \n> \n"
    assert signal.getsignal(signal.SIGINT) == before
    found = typed(lambda: os.kill(os.getpid(), signal.SIGTERM), "/quit")
    assert found.code == 1 and found.err.endswith("gyebo: interrupted\n")


def watchers_end():
    for thread in threading.enumerate():
        if thread.name == "watch of signals":
            thread.join(5)


def test_ctrl_c_that_was_heard_does_not_end_the_program_later(typed, monkeypatch):
    watchers_end()  # of earlier tests
    ended, seen, getsignal = [], threading.Event(), signal.getsignal

    def watched(number):
        found = getsignal(number)
        seen.set()
        return found

    monkeypatch.setattr(app, "PATIENCE", 0.0)
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(signal, "getsignal", watched)
    found = typed(lambda: os.kill(os.getpid(), signal.SIGINT), lambda: seen.wait(5) and "", "/quit")
    watchers_end()
    assert found.code == 0 and seen.is_set() and ended == []
