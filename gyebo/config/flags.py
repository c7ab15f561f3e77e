"""The table from options to the flags of each command: how one types an option, in messages and in the command of a run; and
what the verbs of Python (`gyebo/api/`) call it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from gyebo.config.errors import NAMED


def _flags(section: str, fields: str) -> dict[str, str]:
    """Options whose flag is their own name."""
    return {f"{section}{field}": f"--{field.replace('_', '-')}" for field in fields.split()}


SET = "settings."  # before the name of an option that was given as a setting, also where it has a flag
RENAMED = {
    "-o": "out",
    "--from": "start_from",
    "--set": "settings",
    "--teacher": "teachers",
}  # parameters that are not called as their flag
ALL = {"out": "-o", "resume": "--resume", "overwrite": "--overwrite", "settings": "--set"}
OF_SOME = {"dry_run": "--dry-run"}  # of the commands that have it
BUDGET = _flags("budget.", "steps tokens minutes")
DATA = {"data.corpus": "CORPUS"} | _flags("data.", "documents text_field encoding bad_bytes valid valid_last valid_share")
TRAIN = _flags("train.", "batch_tokens device precision")

# command -> option -> flag, or the argument in capitals, where it is not the flag of that name.
FLAGS: dict[str, dict[str, str]] = {
    "pretrain": {
        "family": "FAMILY",
        "start_from": "--from",
        **_flags("", "size tokenizer picture_tokenizer vocab_size context recipe seed"),
        **DATA,
        **_flags("data.", "across_documents"),
        **TRAIN,
        **_flags("train.", "checkpoint_every keep compile"),
        **BUDGET,
        **_flags("budget.", "flops epochs"),
        **_flags("optim.", "lr"),
    },
    "distill": {"teacher": "TEACHER", "model.layers": "--layers", **_flags("", "context seed"), **DATA, **TRAIN, **BUDGET},
    "finetune": {
        "model": "MODEL",
        "task.name": "TASK",
        "seed": "--seeds",
        **_flags("", "tokenizer answer ablate epochs steps batch max_length ngrams patience device precision"),
        **_flags("task.", "data text pair label image features test encoding bad_bytes train_share"),
        **_flags("optim.", "lr layer_decay freeze"),
        "distil.teachers": "--teacher",
        "distil.texts": "--unlabelled",
        "distil.texts.corpus": "--unlabelled",
    },
    "attribute": {
        "model": "MODEL",
        "task.name": "TASK",
        **_flags("", "epochs batch lr max_length seed device"),
        **_flags("task.", "data text pair label test encoding bad_bytes train_share"),
    },
    "inspect corruption": {
        "family": "FAMILY",
        "data.corpus": "CORPUS",
        **_flags("", "tokenizer vocab_size context examples seed"),
        **_flags("data.", "documents text_field encoding bad_bytes"),
    },
    "compare": _flags("", "task corpus hand_over"),
    "evaluate": {"data.corpus": "CORPUS"},
    "tokenizer train": {"data.corpus": "CORPUS"},
    "inspect reconstructions": {"data.corpus": "PICTURES"},
}
SETTING = {"pretrain", "distill", "finetune", "inspect corruption"}  # their other options are typed with --set
RECIPES = {"compare", "demo", "lab run"}  # their other options stand in a recipe, under their own names


def typed(text: str, command: str, own: Collection[str] | None = None) -> str:
    """A message with marked options (`gyebo.config.errors`) as a user of that command types them; `own` as in `flag`."""

    def shown(match: re.Match[str]) -> str:
        name = flag(match[1], command, own)
        value = " " if match[2] and name.startswith("-") and not name.startswith("--set ") else match[2]
        return name + value

    return NAMED.sub(shown, text)


def in_python(text: str, command: str, own: Collection[str]) -> str:
    """A message with marked options as the parameters `own` of the command's verb in Python call them."""

    def shown(match: re.Match[str]) -> str:
        return parameter(match[1], command, own) + match[2]

    return NAMED.sub(shown, text)


def parameter(field: str, command: str, own: Collection[str]) -> str:
    """What an option is called in Python: "train.batch_tokens" of pretrain is batch_tokens, "optim.lr" is settings["optim.lr"];
    one that the verb has not keeps its dotted name."""
    if field in own:
        return field
    name = flag(field, command)
    if name.startswith("--set "):
        return f'settings["{name.removeprefix("--set ")}"]' if "settings" in own else field
    name = RENAMED.get(name) or name.lstrip("-").replace("-", "_").lower()
    return name if name in own else field


def flag(field: str, command: str, own: Collection[str] | None = None) -> str:
    """How one types an option of a command: "train.batch_tokens" of pretrain is --batch-tokens, "optim.eps" is --set optim.eps.

    A name without its section is that of the option which ends so. `own`: the command's flags, where they are known: an option
    that it lacks keeps its own name.
    """
    if field in ALL or field in OF_SOME:
        return ALL.get(field) or OF_SOME[field]
    if field.startswith(SET):
        return f"--set {field.removeprefix(SET)}"
    known, last = FLAGS.get(command, {}), field.rpartition(".")[2]
    if command in RECIPES:
        return known.get(field, field)
    ends = [flag for name, flag in known.items() if last == field and name.endswith(f".{field}")]
    if found := known.get(field) or (ends[0] if ends else ""):
        return found
    if command in SETTING:
        return f"--set {field}"
    name = f"--{last.replace('_', '-')}"
    return name if own is None or name in own else field


def words_for(given: Mapping[str, Any], command: str) -> list[str]:
    """What one types after a command's arguments to give it these options: flags first, then --set."""
    flags, settings = [], []
    for field, value in given.items():
        name = flag(field, command)
        if name.startswith("--set "):
            settings += ["--set", f"{field}={json.dumps(value, ensure_ascii=False)}"]
        elif isinstance(value, list | tuple):  # given once for each
            flags += [word for one in value for word in (name, str(one))]
        else:
            flags += [name] if value is True else [name, str(value)]
    return flags + settings
