"""The program: its commands, and what an error looks like.

Exit 0: done; 1: the work failed or was stopped; 2: the request was wrong.
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from gyebo.cli import commands

app = typer.Typer(
    name="gyebo",
    help="Pretrain and compare the language models of the Transformer family tree on your own text, and hand over the best.",
    epilog="Begin with: gyebo demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands.register(app)


def _version(value: bool) -> None:
    if value:
        import gyebo

        typer.echo(f"gyebo {gyebo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    if debug:
        os.environ["GYEBO_DEBUG"] = "1"


def main() -> None:
    """Run the command line; an error that a user can cause is one line, with a traceback only under --debug."""
    try:
        app()
    except (ValueError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        _fail(error, 2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        _fail(KeyboardInterrupt("interrupted"), 1)
    except Exception as error:
        _fail(error, 1)


def _fail(error: BaseException, code: int) -> None:
    if os.environ.get("GYEBO_DEBUG"):
        traceback.print_exc()
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror.lower()}"
    else:
        message = str(error) or type(error).__name__
        known = isinstance(error, ValueError | FileNotFoundError | RuntimeError | KeyboardInterrupt) or code == 2
        stopped = type(error).__module__.startswith("gyebo.")
        if not known and not stopped:
            message = f"{type(error).__name__}: {message} (--debug shows where)"
    print(f"gyebo: {message}", file=sys.stderr)
    sys.exit(code)
