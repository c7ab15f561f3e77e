"""The table of commands: name -> function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, get_type_hints

import typer
from typer.models import OptionInfo

from gyebo.cli.attribute import attribute
from gyebo.cli.caption import caption
from gyebo.cli.chat import chat
from gyebo.cli.compare import compare
from gyebo.cli.demo import demo
from gyebo.cli.distill import distill
from gyebo.cli.draw import draw
from gyebo.cli.embed import embed
from gyebo.cli.env import env
from gyebo.cli.evaluate import evaluate
from gyebo.cli.families import families
from gyebo.cli.fill import fill
from gyebo.cli.finetune import finetune
from gyebo.cli.generate import generate
from gyebo.cli.guard import fit as fit_guard
from gyebo.cli.guard import learn as learn_words
from gyebo.cli.guard import score as score_guard
from gyebo.cli.inspect import corruption, neurons, reconstructions
from gyebo.cli.lab import list_claims
from gyebo.cli.lab import run as run_claim
from gyebo.cli.predict import predict
from gyebo.cli.pretrain import pretrain
from gyebo.cli.ssa import export, make, serve
from gyebo.cli.ssa import score as score_sheets
from gyebo.cli.tasks import tasks
from gyebo.cli.tokenizer import show, train
from gyebo.cli.translate import translate
from gyebo.cli.verify import verify
from gyebo.cli.world import world
from gyebo.config.errors import NamesOptions
from gyebo.config.flags import typed

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "families": families,
    "tokenizer train": train,
    "tokenizer show": show,
    "pretrain": pretrain,
    "distill": distill,
    "tasks": tasks,
    "finetune": finetune,
    "attribute": attribute,
    "predict": predict,
    "compare": compare,
    "evaluate": evaluate,
    "generate": generate,
    "draw": draw,
    "caption": caption,
    "chat": chat,
    "guard learn": learn_words,
    "guard fit": fit_guard,
    "guard score": score_guard,
    "translate": translate,
    "embed": embed,
    "fill": fill,
    "inspect corruption": corruption,
    "inspect reconstructions": reconstructions,
    "inspect neurons": neurons,
    "lab list": list_claims,
    "lab run": run_claim,
    "ssa make": make,
    "ssa serve": serve,
    "ssa score": score_sheets,
    "ssa export": export,
    "verify": verify,
    "world": world,
    "env": env,
}
GROUPS = {
    "tokenizer": "Train a tokenizer, and show its tokens (gyebo tokenizer train).",
    "guard": "Check answers before they are shown (gyebo guard fit).",
    "inspect": "Look into what is trained (gyebo inspect corruption).",
    "lab": "Experiments on textbook claims (gyebo lab list).",
    "ssa": "Have people judge a chatbot (gyebo ssa serve).",
}


def register(app: typer.Typer, arguments: Collection[str] | None = None) -> None:
    """Add all commands to the program. Those that `arguments` can't call come without their options, which take most of the
    time that it starts in."""
    groups = {name: typer.Typer(help=help, rich_markup_mode=None) for name, help in GROUPS.items()}
    for name, group in groups.items():
        group.callback()(lambda: None)
        app.add_typer(group, name=name)
    for name, function in COMMANDS.items():
        group_name, _, last = name.rpartition(" ")
        callable_here = arguments is None or set(name.split()) <= set(arguments)
        groups.get(group_name, app).command(last)(_naming_flags(name, function) if callable_here else _listed(function))


def _listed(function: Callable[..., None]) -> Callable[[], None]:
    """A command as the list of commands shows it."""

    def show() -> None:
        raise AssertionError(f"{function.__name__} was registered without its options")

    show.__doc__ = function.__doc__
    return show


def _own_flags(function: Callable[..., None]) -> set[str]:
    """The flags of a command."""
    found: set[str] = set()
    for name, hint in get_type_hints(function, include_extras=True).items():
        for option in (each for each in getattr(hint, "__metadata__", ()) if isinstance(each, OptionInfo)):
            words = [option.default, *(option.param_decls or ())]  # the first one stands there within Annotated
            named = [part for word in words if isinstance(word, str) for part in word.split("/") if part.startswith("-")]
            found |= set(named or [f"--{name.replace('_', '-')}"])
    return found


def _naming_flags(command: str, function: Callable[..., None]) -> Callable[..., None]:
    """The command's function, whose errors name options as they are typed there."""

    @functools.wraps(function)
    def run(*words: Any, **options: Any) -> None:
        try:
            function(*words, **options)
        except NamesOptions as error:
            error.args = (typed(error.text, command, _own_flags(function)),)
            raise

    return run
