"""The program: its commands, and what an error looks like.

Exit 0: done; 1: the work failed or was stopped; 2: the request was wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from gyebo.cli import commands
from gyebo.config import elsewhere
from gyebo.config.disk import full
from gyebo.config.flags import SET, flag
from gyebo.config.trusted import PassedOver, trusting

INTERRUPTED = 130  # what typer makes of Ctrl-C
STOPPED = "interrupted"  # what is said then
PATIENCE = 5.0  # seconds
_TRUST = "--trust-config"
_COMPLETION = "_GYEBO_COMPLETE"  # set by a shell that asks what may follow
_PYTHONS = warnings.showwarning


def _version(value: bool) -> None:
    if value:
        import gyebo

        typer.echo(f"gyebo {gyebo.__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors; may also follow a command.")] = False,
    trust: Annotated[
        str | None,
        typer.Option(
            "--trust-config",
            metavar="NAMES",
            help="Unknown fields of a published config.json that change nothing, with commas; may also follow a command.",
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass  # --debug and --trust-config are taken out before the commands see them


def program(arguments: Collection[str] | None = None) -> typer.Typer:
    """The commands, their groups and the options of all; of commands that `arguments` don't name only the names and help."""
    # Plain help (no rich markup): no boxes in pipes, examples that can be copied, and 0.1 s less to wait for it.
    app = typer.Typer(
        name="gyebo",
        help="Pretrain and compare language models of the Transformer family tree on your own text.",
        epilog="To start: gyebo demo",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_options,
    )
    commands.register(app, None if _COMPLETION in os.environ else arguments)
    return app


app = program()


def main() -> None:
    """Run the command line; an error that a user can cause is one line, with a traceback only under --debug.

    SIGTERM is what Ctrl-C is, so that whatever tidies up after one does so after the other; the training loop has handlers of
    its own for both.
    """
    _speak_utf8()
    arguments, debug = _take_debug(sys.argv[1:])
    warnings.showwarning = _show_warning
    try:
        arguments, trusted = _take_trusted(arguments)
        with _interruptible(), trusting(trusted):
            code = program(arguments)(arguments or ["--help"], prog_name="gyebo", standalone_mode=False)
            sys.stdout.flush()
    except typer.TyperException as error:
        _fail(_usage(error), error.exit_code, debug)
    except (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        _fail(_message(error, known=True), 2, debug)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        _fail(_message(error, known=isinstance(error, RuntimeError)), 1, debug)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        _fail(STOPPED, 1, debug)
    if code:
        sys.exit(code)


def _speak_utf8() -> None:
    """What is piped is UTF-8, as all files are; a terminal keeps its encoding, and is shown what that lacks as \\uXXXX.

    Where Python itself can't read the letters of arguments and file names (the locale C, its UTF-8 mode switched off), the
    program starts again in that mode.
    """
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let both signals raise KeyboardInterrupt. Python hears of them between two of its own instructions only: where other code
    does not come back for a while, as the training of a tokenizer, the process ends at once, as if it were killed by force."""
    heard = threading.Event()

    def interrupt(number: int, frame: Any) -> None:
        heard.set()
        raise KeyboardInterrupt

    receiver, sender = os.pipe()
    os.set_blocking(sender, False)

    def watch() -> None:
        while number := os.read(receiver, 1):
            if signal.getsignal(number[0]) is interrupt and not heard.wait(PATIENCE):
                print(f"gyebo: {STOPPED}", file=sys.stderr, flush=True)
                os._exit(1)
        os.close(receiver)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    fd = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True, name="watch of signals").start()
    try:
        yield
    finally:
        heard.set()  # whatever came is over
        signal.set_wakeup_fd(fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(sender)


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without --debug, wherever it stands before a "--", and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return kept + arguments[end:], len(kept) < end


def _take_trusted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments without --trust-config, wherever it stands before a "--", and the names of the fields that it has."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept, names = list(arguments[:end]), []
    while place := next((n for n, word in enumerate(kept) if word.partition("=")[0] == _TRUST), -1) + 1:
        _, equals, value = kept.pop(place - 1).partition("=")
        if not equals and place > len(kept):
            raise ValueError(f"{_TRUST} needs the names of fields, with commas between")
        names += (value if equals else kept.pop(place - 1)).split(",")
    return kept + arguments[end:], [name.strip() for name in names if name.strip()]


def _show_warning(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
    """What was passed over in a file is one line, as an error is; other warnings are shown as Python does."""
    if issubclass(category, PassedOver):
        print(f"gyebo: {message}", file=sys.stderr)
    else:
        _PYTHONS(message, category, *place, **more)


def _usage(error: typer.TyperException) -> str:
    """What the parser found wrong, and where the help is."""
    context = getattr(error, "ctx", None)
    message = error.format_message().removesuffix(".")
    message = f"{message[0].lower()}{message[1:]}"
    return f"{_hinted(error, context, message)} (see: {context.command_path if context else 'gyebo'} --help)"


def _hinted(error: typer.TyperException, context: Any, message: str) -> str:
    """The message with what was meant: an option by its name elsewhere, a text without its option; or with what is missing."""
    if context is None:
        return message
    parameters = {each.name: each for each in context.command.params}
    if message.startswith("no such option") and (asked := getattr(error, "option_name", "")):
        command = context.command_path.partition(" ")[2]
        meant = elsewhere.meant(asked.lstrip("-"), parameters, command) or asked.lstrip("-").replace("-", "_")
        if meant.startswith(SET):
            return f"no such option: {asked}; did you mean {flag(meant, command)}=...?"
        if meant in parameters:
            found = parameters[meant]
            place = f"{meant.upper()}, without a flag" if found.param_type_name == "argument" else found.opts[-1]
            return f"no such option: {asked}; did you mean {place}?"
    if "unexpected extra argument" in message and "prompt" in parameters:
        return f"{message}: a text stands after {parameters['prompt'].opts[-1]}"
    wanted = getattr(getattr(error, "param", None), "help", None)
    return (
        f"{message}: {wanted[0].lower()}{wanted[1:].removesuffix('.')}" if wanted and message.startswith("missing") else message
    )


def _message(error: Exception, known: bool) -> str:
    if isinstance(error, OSError) and error.strerror and (error.filename or full(error)):
        advice = ": free some space and start again" if full(error) else ""
        return f"{error.filename or 'standard output'}: {error.strerror.lower()}{advice}"
    message = str(error) or type(error).__name__
    if known or type(error).__module__.startswith("gyebo."):
        return message
    return f"{type(error).__name__}: {message} (--debug shows where)"


def _fail(message: str, code: int, debug: bool) -> None:
    if debug and sys.exc_info()[0]:
        traceback.print_exc()
    print(f"gyebo: {' '.join(message.split())}", file=sys.stderr)
    with suppress(OSError):  # what a full disk did not take would be tried again at the end, with a traceback
        sys.stdout.flush()
    sys.exit(code)
