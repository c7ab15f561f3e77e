"""The table of commands: name -> function."""

from __future__ import annotations

from collections.abc import Callable

import typer

from gyebo.cli.compare import compare
from gyebo.cli.demo import demo
from gyebo.cli.env import env
from gyebo.cli.evaluate import evaluate
from gyebo.cli.families import families
from gyebo.cli.generate import generate
from gyebo.cli.pretrain import pretrain
from gyebo.cli.tokenizer import train
from gyebo.cli.verify import verify
from gyebo.cli.world import world

COMMANDS: dict[str, Callable[..., None]] = {
    "families": families,
    "world": world,
    "pretrain": pretrain,
    "compare": compare,
    "generate": generate,
    "evaluate": evaluate,
    "verify": verify,
    "env": env,
    "demo": demo,
}


def register(app: typer.Typer) -> None:
    """Add all commands to the program."""
    for name, function in COMMANDS.items():
        app.command(name)(function)
    tokenizer = typer.Typer(help="Train a tokenizer on a corpus.", no_args_is_help=True)
    tokenizer.callback()(lambda: None)
    tokenizer.command("train")(train)
    app.add_typer(tokenizer, name="tokenizer")
