"""`gyebo chat`."""

from __future__ import annotations

import difflib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.cli import options as shared

if TYPE_CHECKING:
    from gyebo.jobs.chat import Chat


def chat(
    model: shared.Model,
    temperature: shared.Temperature = None,
    top_k: shared.TopK = None,
    top_p: shared.TopP = None,
    greedy: shared.Greedy = False,
    rank: shared.Rank = None,
    no_repeat_turn: shared.NoRepeatTurn = None,
    guard: shared.GuardFile = None,
    guard_mode: shared.GuardMode = None,
    policy: shared.Policy = None,
    max_new_tokens: shared.MaxNewTokens = None,
    seed: shared.Seed = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "float32",
) -> None:
    """Talk to a model.

    /help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves. From a pipe, each line is a turn, and each line of
    the output an answer.

    \b
    Examples:
      gyebo chat runs/chatbot
      gyebo chat runs/chatbot --rank 20 --temperature 0.88 --no-repeat-turn 6
      gyebo chat runs/chatbot --guard guard.toml
      head lines.txt | gyebo chat runs/chatbot
    """
    from gyebo.jobs.chat import open_chat, watch
    from gyebo.jobs.generate import check_guard

    options = shared.given(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        greedy=greedy or None,
        rank=rank,
        no_repeat_turn=no_repeat_turn,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    check_guard(guard, guard_mode, policy)
    opened = open_chat(model, options, precision=precision, device=device)
    if guard is not None:
        watch(opened, guard, guard_mode, policy)
    with suppress(EOFError):
        (_at_a_terminal if sys.stdin.isatty() else _from_a_pipe)(opened)


# -- commands within a chat: each a line of the table --------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """`run(chat, argument)` gives what is said about it. `argument`: what stands behind it, "" for nothing."""

    argument: str
    help: str
    run: Callable[[Chat, str], str]


def _reset(chat: Chat, argument: str) -> str:
    from gyebo.jobs.chat import reset

    reset(chat)
    return "the conversation begins anew"


def _save(chat: Chat, argument: str) -> str:
    from gyebo.jobs.chat import save

    save(chat, Path(argument).expanduser())
    return f"{len(chat.turns)} turns in {argument}"


def _temperature(chat: Chat, argument: str) -> str:
    from gyebo.jobs.chat import change

    try:
        value = float(argument)
    except ValueError:
        raise ValueError(f"temperature must be a number, but is {argument!r} instead") from None
    change(chat, temperature=value)
    return f"temperature {value:g}"


def _attributes(chat: Chat, argument: str) -> str:
    from gyebo.jobs.chat import steer

    names = [] if argument == "off" else shlex.split(argument)
    bags = [name for name in names if Path(name).is_file() or Path(name.rpartition("=")[0]).is_file()]
    steer(chat, bags, [name for name in names if name not in bags])
    return f"answers are steered to {', '.join(names)}" if names else "answers are not steered"


def _guard(chat: Chat, argument: str) -> str:
    from gyebo.jobs.chat import watch

    watch(chat, None if argument == "off" else Path(argument).expanduser())
    return "answers are not checked" if argument == "off" else f"answers are checked by {argument}"


def _help(chat: Chat, argument: str) -> str:
    shown = {f"/{name} {command.argument}": command.help for name, command in COMMANDS.items()}
    return "\n".join([f"{name:<20}{help}" for name, help in shown.items()] + ["A line that begins with a blank is no command."])


def _quit(chat: Chat, argument: str) -> str:
    raise EOFError


COMMANDS = {
    "help": Command("", "Show this list.", _help),
    "reset": Command("", "Forget what was said.", _reset),
    "save": Command("FILE", "Write the turns as a line of JSON.", _save),
    "temperature": Command("X", "Sample at this temperature from now on.", _temperature),
    "attributes": Command(
        "NAMES", "Steer answers to bags of words and DIR:CLASS, with =STRENGTH; off: no longer.", _attributes
    ),
    "guard": Command("FILE", "Check answers by this guard before they are shown; off: no longer.", _guard),
    "quit": Command("", "Leave, as Ctrl-D does.", _quit),
}


def _obey(chat: Chat, line: str) -> str:
    """Carry out a line that begins with "/"; ValueError where it is no command."""
    name, _, argument = line[1:].strip().partition(" ")
    argument = argument.strip()
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        raise ValueError(f"unknown command /{name}; " + (f"did you mean /{near[0]}?" if near else "/help lists them"))
    command = COMMANDS[name]
    if bool(argument) != bool(command.argument):
        what = f"needs {command.argument}: /{name} {command.argument}" if command.argument else f"takes nothing: /{name}"
        raise ValueError(f"/{name} {what}")
    return command.run(chat, argument)


# -- lines in, answers out; whatever else is said goes to stderr ---------------------------------------------------------


def _turn(chat: Chat, line: str) -> None:
    """A command or a turn, and what there is to note about it."""
    try:
        if line.startswith("/"):
            _say(_obey(chat, line))
        else:
            _answer(chat, line)
    finally:
        for note in chat.notes:
            _say(f"note: {note}")
        chat.notes.clear()


def _answer(chat: Chat, line: str) -> None:
    """Show an answer while it is written, in one line, which is empty if there is none."""
    from gyebo.jobs.chat import reply

    ends = False  # not where nothing was shown before an error
    try:
        with closing(reply(chat, line)) as parts:
            for part in parts:
                print(part, end="", flush=True)
                ends = True
        ends = True
    except _Stopped:
        ends = True
    finally:
        if ends:
            print(flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _from_a_pipe(chat: Chat) -> None:
    """Answer line by line, an empty one by an empty one; the first wrong one ends it with an error that names it."""
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            line = raw.decode("utf-8").rstrip("\r\n")
            if line.strip():
                _turn(chat, line)
            else:
                print(flush=True)
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number}: byte {error.start + 1} is not UTF-8: convert the text") from None
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(f"line {number}: {error}") from None


class _Stopped(Exception):
    """Ctrl-C."""


@contextmanager
def _ctrl_c_stops() -> Iterator[None]:
    """Ctrl-C raises _Stopped; SIGTERM still ends the program."""

    def stop(number: int, frame: Any) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _at_a_terminal(chat: Chat) -> None:
    """Ask for lines until there are no more; a wrong one is answered with what is wrong."""
    with suppress(ImportError):  # where there is one, lines can be edited, and called back
        import readline  # noqa: F401

    _say("/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves")
    with _ctrl_c_stops():
        while True:
            try:
                line = input("> ")
                if line.strip():
                    _explained(chat, line)
            except _Stopped:  # what was typed is dropped
                print()
            except EOFError:
                print()
                raise


def _explained(chat: Chat, line: str) -> None:
    """As `_turn`; what is wrong with the line is said."""
    try:
        _turn(chat, line)
    except BrokenPipeError:  # nobody reads the answers
        raise
    except (ValueError, OSError) as error:
        _say(f"gyebo: {error}")
