"""The setup of a fine-tuning from its options: examples, starting point, and how its kind of task is answered."""

from __future__ import annotations

from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, TaskOptions, scratch
from gyebo.config.run import READ_BY
from gyebo.interchange import load
from gyebo.jobs.finetuning import head_form, text_form
from gyebo.jobs.finetuning.answer import answer_form
from gyebo.jobs.finetuning.setup import Origin, Setup
from gyebo.jobs.model_building import shaped, with_pieces
from gyebo.jobs.picture_reading import reading_of
from gyebo.models import family as tree
from gyebo.models.tree.row import TEXT, Family
from gyebo.tasks.heads.task_model import body_of
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.splits import TaskData, open_task, read_task
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED
from gyebo.training.device import make_ready, pick_device

Read = tuple[tuple[TaskData, Kind], ...]
"""The examples and the kind of each task."""


def with_family_name(options: FinetuneOptions) -> FinetuneOptions:
    """The options with the family's own name, where a new model is asked for in another spelling: GPT-2:mini is gpt2:mini."""
    named = scratch(options.model)
    return options.model_copy(update={"model": f"{tree.find(named[0]).name}:{named[1]}"}) if named else options


def with_defaults(options: FinetuneOptions, family: str | None) -> FinetuneOptions:
    """The options, with the family's own fine-tuning defaults for those that the user did not set."""
    if family is None:
        return options
    tuning = tree.find(family).tuning
    own = {name: value for name, value in tuning.items() if name != "optim" and name not in options.model_fields_set}
    optim = {name: value for name, value in tuning.get("optim", {}).items() if name not in options.optim.model_fields_set}
    if options.optim.name != "adamw":  # the family's rate and betas are AdamW's
        optim = {name: value for name, value in optim.items() if name not in ("lr", *READ_BY)}
    return options.model_copy(update={**own, "optim": options.optim.model_copy(update=optim)})


def opened(options: FinetuneOptions) -> tuple[Read, Origin]:
    """The examples of each task and what is trained on them; ValueError names what doesn't fit together."""
    kinds = [_kind(task) for task in options.tasks]
    read = tuple(zip([read_task(task) for task in options.tasks], kinds, strict=True))
    named = scratch(options.model)
    origin = _new(options, read, named) if named else _pretrained(options.model)
    _check(options, read, origin.family)
    return read, origin


def set_up(options: FinetuneOptions) -> Setup:
    """Examples, tokenizer, model and features; ValueError names what doesn't fit together."""
    device = pick_device(options.device)
    make_ready(device)
    read, origin = opened(options)
    if _form(options, read, origin.family) == TEXT:
        return text_form.build(options, read, origin=origin, device=device)
    return head_form.build(options, *read[0], origin=origin, device=device)


def _kind(task: TaskOptions) -> Kind:
    kind = find_kind(open_task(task).kind)
    if not kind.forms:
        raise ValueError(f"{task.name} can be read and scored, but not fine-tuned: no model answers it")
    return kind


def _form(options: FinetuneOptions, read: Read, family: Family) -> str:
    """How the tasks are answered; ValueError where the family does not support a kind."""
    several = len(read) > 1
    if several and TEXT not in family.answers:
        raise ValueError(
            f"{options.model} answers with a task head, which is for one task: learn several with a family that answers by "
            "text, e.g. t5:mini"
        )
    asked = TEXT if several else options.answer
    forms = [answer_form(family, kind, asked=asked, model=options.model, task=data.task.name) for data, kind in read]
    return forms[0]


def _check(options: FinetuneOptions, read: Read, family: Family) -> None:
    """ValueError where a family does not support a kind of task, or an option has no effect on it."""
    if options.ablate and not all(kind.head and kind.head.sees for _, kind in read):
        raise OptionError(
            f"‹ablate›={options.ablate} has no effect on {options.task.name}, which has no pictures: leave it out"
        )
    if _form(options, read, family) == TEXT:
        text_form.check_options(options)
    else:
        head_form.check_options(options, read[0][1], family)


def _new(options: FinetuneOptions, read: Read, named: tuple[str, str]) -> Origin:
    """A newly initialised model of a family and size."""
    name, size = named
    family = tree.find(name)
    tree.find_size(family, size)
    _check(options, read, family)
    cls = tree.model_class(name)
    tokenizer = _tokenizer(options, read, family, cls.sizes[size].vocab_size).for_family(roles_of(family))
    longer = options.max_length if _form(options, read, family) == TEXT else None  # sources and targets may be long
    context = max(longer or 0, cls.sizes[size].context)
    config = shaped(cls.sizes[size], options.shape, tokenizer, windows=cls.has_windows, context=context, section="shape")
    return Origin(
        family,
        tokenizer,
        config,
        lambda: with_pieces(cls(config), tokenizer),
        lambda: reading_of(None, _empty(cls, config)),
    )


def _empty(cls: Any, config: Any) -> Any:
    """A model of this config without memory."""
    with torch.device("meta"):
        return cls(config)


def _tokenizer(options: FinetuneOptions, read: Read, family: Family, ids: int) -> Tokenizer:
    """The tokenizer that is named; without, for a model that writes its answers, one trained on the training examples."""
    if options.tokenizer:
        for name, value in (("vocab_size", options.translation.vocab_size), ("separate", options.translation.separate or None)):
            if value is not None:
                raise OptionError(f"‹translation.{name}›={value} has no effect with ‹tokenizer›: leave one out")
        return Tokenizer.load(options.tokenizer)
    if _form(options, read, family) != TEXT:
        raise OptionError(
            f"{options.model} starts from scratch and needs a tokenizer: ‹tokenizer›=DIR (a run directory works too)"
        )
    prefixes = family.prefixes or len(read) > 1
    return text_form.train_pair_tokenizer(options.translation, read, ids, prefixes=prefixes)


def _pretrained(name: str) -> Origin:
    """A pretrained model; of a fine-tuned one only the body, without its head."""
    opened, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    family = tree.find(opened.family)
    if tokenizer.kind == PUBLISHED and family.templates_for_tasks:  # adds a separator of two texts, if the tokenizer has none
        tokenizer = tokenizer.for_family(roles_of(family))
    return Origin(family, tokenizer, opened.config, lambda: body_of(load(name)[0]), lambda: reading_of(name, opened))
