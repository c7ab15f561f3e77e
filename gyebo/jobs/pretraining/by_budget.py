"""What the budget of a run on plain text decides where its options leave it open: the tokens of a step, the rate and the memory
of the optimiser, whether there is dropout, and with the size "auto", "auto-smaller" or "auto-larger" shape and vocabulary.

A budget in steps decides nothing but such a size, and the recipe "published" keeps the paper's optimiser and dropout. What is
decided stands among the options of the run, as if it had been typed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.data.prepare import open_corpus, training_texts
from gyebo.jobs.pretraining.build import places_of_a_row, set_up
from gyebo.jobs.pretraining.setup import Setup
from gyebo.jobs.pretraining.sizing import (
    DEPTHS,
    SMALLEST_BATCH,
    TEMPLATE,
    Budget,
    batch_for,
    beta2_for,
    lr_for,
    refuse_unfit,
    resized,
    vocabulary_for,
)
from gyebo.models.family import AUTO, find, model_class
from gyebo.objectives import table
from gyebo.training import distributed
from gyebo.training.device import matmul_rate, pick_device
from gyebo.training.optimizer import update_flops

DECIDED, SIZE = "by_budget", "asked_size"  # in run.toml: the options that were decided, and the size of `AUTO`
SHARE_OF_PRODUCTS = 0.4  # what training reaches of the machine's rate of matrix products
BYTES_OF_A_TOKEN = 4.0
FEWEST_BATCHES = 32  # that the text gives


def left_open(options: RunOptions) -> list[str]:
    """The names of the options that the budget decides."""
    auto = options.size in AUTO
    facts = table.asked(find(options.family).objective, options.objective, teacher=options.teacher is not None)
    found = ["size", "model"] if auto else []
    once = "-" in (*options.data.corpus, options.data.valid)  # stdin can't be read a second time
    if not facts.plain_text or once or (options.budget.steps and not auto):
        return found
    if auto and not options.tokenizer and "vocab_size" not in options.model_fields_set:
        found.append("vocab_size")
    if options.budget.steps:
        return found
    free = ["train.batch_tokens"]
    if options.recipe == "efficient":
        free += ["optim.betas"] if options.optim.betas else []
        free += [] if options.start_from else ["train.dropout_share"]
        free += ["optim.lr"] if options.optim.betas and not options.start_from else []
    return found + [name for name in free if name not in _named(options)]


def decided(options: RunOptions, out: Path, console: Console | None = None) -> RunOptions:
    """As `decided_for`, for one run. All processes of it call this: the first one decides."""
    if not left_open(options):
        return options
    found = decided_for([options], out, console)[0] if distributed.rank() == 0 else None
    return distributed.from_first(found)


def noted(options: RunOptions, found: RunOptions) -> dict[str, Any]:
    """What the record of a run says of what was decided for these options: the names of what was found."""
    names = [name for name in left_open(options) if attrgetter(name)(found) != attrgetter(name)(options)]
    names += [name for name in ("train.batch_tokens",) if name in left_open(options) and name not in names]
    return ({DECIDED: names} if names else {}) | ({SIZE: options.size} if options.size in AUTO else {})


def as_decided(options: RunOptions, stored: RunOptions, record: Mapping[str, Any]) -> RunOptions:
    """What the options of a resumed run mean, whatever its budget is counted in now: what was decided when it began, as its
    record says, but for what is typed. OptionError for a size that was not."""
    names, size = record.get(DECIDED, ()), record.get(SIZE, stored.size)
    if options.size in AUTO and options.size != size:
        raise OptionError(f"‹size›={options.size}: the run was begun with the size {size}: name that")
    if options.size in AUTO:
        options = options.model_copy(update={"size": stored.size, "model": stored.model | options.model})
    for name in names:
        if name not in ("size", "model") and name not in _named(options):
            options = _with(options, name, attrgetter(name)(stored))
    return options


def _named(options: RunOptions) -> set[str]:
    """The names of the options that were given."""
    sections = {"train": options.train, "optim": options.optim}
    inner = {f"{section}.{name}" for section, values in sections.items() for name in values.model_fields_set}
    return inner | options.model_fields_set


def _with(options: RunOptions, name: str, value: object) -> RunOptions:
    section, _, field = name.rpartition(".")
    if section:
        name, value = section, getattr(options, section).model_copy(update={field: value})
    return options.model_copy(update={name: value})


def decided_for(several: Sequence[RunOptions], out: Path, console: Console | None = None) -> list[RunOptions]:
    """The options of runs with one budget, each with what is `left_open`.

    Raises OptionError for what no size can be chosen for, and what `set_up` raises.
    """
    for options in several:
        if options.size in AUTO:
            _refuse_unfit(options)
    budget = budget_of(several[0])
    ids = vocabulary_for(budget.about()) if any("vocab_size" in left_open(options) for options in several) else None
    if ids:  # one tokenizer for all
        several = [options if "vocab_size" in _named(options) else _with(options, "vocab_size", ids) for options in several]
    return [_decided(options, budget, out, console) for options in several]


def _refuse_unfit(options: RunOptions) -> None:
    refuse_unfit(options.family, options.size, options.model, options.objective)
    if "-" in (*options.data.corpus, options.data.valid):
        raise OptionError(f"‹size›={options.size} can't be chosen for a text from stdin (-): save it in a file")
    for name in ("start_from", "teacher"):
        if given := getattr(options, name):
            raise OptionError(f"‹size›={options.size} has no effect with ‹{name}›={given}, which has a shape: leave it out")


def budget_of(options: RunOptions) -> Budget:
    """What is to be spent: minutes by the machine's rate of matrix products and epochs by the length of the text, both of which
    are close enough for what is decided by them."""
    budget = options.budget
    if budget.flops:
        return Budget(budget.flops, None)
    if budget.minutes:
        precisions = ("float32", "bfloat16") if options.train.precision == "auto" else (options.train.precision,)
        device = pick_device(options.train.device).type
        best = max(matmul_rate(device, precision) for precision in precisions)
        return Budget(60 * budget.minutes * best * SHARE_OF_PRODUCTS * distributed.world_size(), None)
    if budget.epochs:
        size = sum(len(text.encode()) for text in training_texts(open_corpus(options.data)))
        return Budget(None, max(1.0, budget.epochs * size / BYTES_OF_A_TOKEN))
    return Budget(None, budget.tokens or (budget.steps or 0) * options.train.batch_tokens)


def _decided(options: RunOptions, budget: Budget, out: Path, console: Console | None) -> RunOptions:
    names, size = left_open(options), options.size
    if size in AUTO:
        options = _with(options, "size", TEMPLATE)
    if "train.batch_tokens" in names:  # how much text there is is not known yet
        options = _with(options, "train.batch_tokens", _probed_batch(options))
    setup = set_up(options, out, console)
    model = setup.outline()
    if size in AUTO:
        model = _best(setup, budget, AUTO[size])
        options = _with(options, "model", resized(setup.outline().config, model.config.width) | options.model)
    tokens, text = budget.tokens_at(_cost(setup, model)), setup.rows.plan.positions
    if "train.batch_tokens" in names:
        least = _least_batch(setup)
        options = _with(options, "train.batch_tokens", max(least, min(batch_for(tokens), int(text // FEWEST_BATCHES))))
    if "optim.betas" in names and options.optim.betas:
        options = _with(options, "optim.betas", (options.optim.betas[0], beta2_for(options.train.batch_tokens)))
    if "train.dropout_share" in names and any(setup.dropouts.values()) and tokens <= text:
        options = _with(options, "train.dropout_share", 0.0)
    if "optim.lr" in names:
        options = _with(options, "optim.lr", lr_for(model.config.width, likelihood=setup.facts.likelihood))
    if console and (told := _told(options, names)):
        console.print(f"by the budget: {told}", highlight=False)
    return options


def _told(options: RunOptions, names: Sequence[str]) -> str:
    """What was decided, in words."""
    shape = sorted(options.model.items(), key=lambda field: (field[0] != "width", field[0])) if "size" in names else []
    found = [f"{name.replace('_', ' ')} {value}" for name, value in shape]
    if "train.batch_tokens" in names:
        found.append(f"{options.train.batch_tokens:,} tokens a step")
    if "optim.betas" in names and options.optim.betas:
        found.append(f"betas {options.optim.betas[0]:g} and {options.optim.betas[1]:g}")
    if "train.dropout_share" in names and options.train.dropout_share == 0:
        found.append("no dropout, as no text is read twice")
    if "optim.lr" in names and options.optim.lr:
        found.append(f"peak learning rate {options.optim.lr:g}")
    return ", ".join(found)


def _least_batch(setup: Setup) -> int:
    """Tokens of two rows, or of one for each process."""
    rows = max(2, distributed.world_size())
    return max(SMALLEST_BATCH, rows * places_of_a_row(setup.objective, setup.rows.plan.context))


def _probed_batch(options: RunOptions) -> int:
    """Tokens of a step that any corpus has and no row exceeds, for a first look."""
    cls = model_class(options.family)
    size = cls.sizes[options.size]
    longest = options.context or (size.window if cls.has_windows else size.context)
    if (options.start_from or options.teacher) and not options.context:  # whose context is not known yet
        return options.train.batch_tokens
    return max(SMALLEST_BATCH, distributed.world_size() * 2 * longest)


def _cost(setup: Setup, model: Any) -> float:
    """FLOPs of a token, without those of an optimiser's products, whose share follows from the batch."""
    return (setup.flops_per_step(model) - update_flops(model, setup.options.optim)) / setup.tokens_per_step


def _best(setup: Setup, budget: Budget, offset: int) -> Any:
    """The model, without weights, with which the budget pays for the best number of tokens, or one that many widths larger."""
    outline, found = setup.outline(), []
    for width in DEPTHS:  # whose FLOPs only grow: large models are not made for small budgets
        with torch.device("meta"):
            model = type(outline)(dataclasses.replace(outline.config, **resized(outline.config, width) | setup.options.model))
        found.append((budget.distance(_cost(setup, model)), model))
        best = min(range(len(found)), key=lambda number: found[number][0])
        if len(found) > best + 1 + max(0, offset):
            break
    return found[min(len(found) - 1, max(0, best + offset))][1]
