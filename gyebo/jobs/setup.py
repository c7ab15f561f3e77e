"""What a training run is made of, from its options: corpus, tokenizer, model, objective, rows; and what its budget pays for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gyebo.config import toml
from gyebo.config.run import RunOptions
from gyebo.data.batches import Rows
from gyebo.data.shards import Prepared
from gyebo.interchange import load
from gyebo.jobs import budget
from gyebo.jobs.corpora import open_data, roles_of
from gyebo.jobs.measures import MEASURES, Measure
from gyebo.models import family as tree
from gyebo.objectives import OBJECTIVES
from gyebo.objectives.objective import Objective, Setting
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.machine import DTYPES, keep_freed_memory, peak_memory, pick_device, reset_peak_memory
from gyebo.training.trainer import Trainer, initial_seed

MEASURE_SECONDS = 2.5  # of each precision; a budget in steps needs less, only to choose one
# How a field of a family's config is declared -> what it takes, and how that is called.
KINDS: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a word"),
}


@dataclass
class Setup:
    """All that a run is made of, ready to be trained."""

    options: RunOptions
    family: tree.Family
    tokenizer: Tokenizer  # the family's copy
    prepared: Prepared
    make_model: Callable[[], Any]
    objective: Objective
    rows: Rows
    valid: Rows
    batch_rows: int
    micro_rows: int
    device: torch.device

    def trainer(self, precision: str, steps: int, *, compile: bool = False) -> Trainer:
        """A fresh trainer: weights drawn from the seed, or those of --from."""
        return Trainer(
            self.make_model(),
            self.objective,
            self.rows,
            self.options.optim,
            steps,
            self.batch_rows,
            self.micro_rows,
            self.options.seed,
            self.device,
            precision,
            compile,
        )

    @property
    def measure(self) -> Measure:
        """How the run is told."""
        return MEASURES[self.objective.headline]

    def sample(self, model: Any, count: int) -> list[str]:
        """A few lines of what the model can do."""
        return self.measure.sample(model, self.tokenizer, self.valid, count)

    def autocast(self, precision: str) -> Callable[[], Any]:
        """The context in which this run's forward passes stand."""
        return lambda: torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32")

    @property
    def shape(self) -> str:
        """The size's name, or where the weights came from."""
        return f"from {self.options.start_from}" if self.options.start_from else self.options.size

    @property
    def tokens_per_step(self) -> float:
        """Real tokens in a step: the plan's exact mean."""
        return self.batch_rows * self.rows.plan.mean_tokens


def set_up(options: RunOptions, out: Path, console: Console | None) -> Setup:
    """Corpus, tokenizer, model and rows of a run. ValueError names what doesn't fit together."""
    family = tree.find(options.family)
    device = pick_device(options.train.device)
    if device.type == "cpu":
        keep_freed_memory()
    started = None
    if options.start_from:
        started = load(options.start_from)
        options = _from_model(options, *started)
    else:
        tree.find_size(family, options.size)
    tokenizer, prepared = open_data(options, out, console)
    tokenizer = tokenizer.for_family(roles_of(family))
    cls = tree.model_class(family.name)
    config = started[0].config if started else model_config(cls, options, tokenizer)
    if started and tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but {options.start_from} has {config.vocab_size}: "
            "use its own tokenizer"
        )
    context = options.context or config.context
    if context > config.context:
        raise ValueError(f"--context {context} is longer than the {config.context} positions of {options.start_from}")
    objective = _objective(options, family, tokenizer, prepared, heads_of(started[0] if started else cls))
    plan = objective.plan(prepared.train, context, options.data.plan_seed, prepared.folder)
    pad = tokenizer.role_ids["pad"]
    rows = Rows(prepared.train, plan, objective, pad)
    judge = objective.for_evaluation()
    valid = Rows(prepared.valid, judge.held_out(prepared.valid, context), judge, pad)
    if not started:
        known = {field.name for field in dataclasses.fields(config)}
        config = dataclasses.replace(config, **{part: on for part, on in objective.parts.items() if part in known})

    def make_model() -> Any:
        if started:
            return load(str(options.start_from))[0]
        torch.manual_seed(initial_seed(options.seed))
        return cls(config)

    batch_rows = max(1, round(options.train.batch_tokens / context))
    micro_rows = max(1, (options.train.micro_batch_tokens or options.train.batch_tokens) // context)
    if batch_rows > len(plan):
        raise ValueError(
            f"{', '.join(options.data.corpus)}: {len(plan)} rows of {context} tokens, less than one batch of {batch_rows}: "
            f"lower --batch-tokens (now {options.train.batch_tokens}) or --context, or bring more text"
        )
    return Setup(options, family, tokenizer, prepared, make_model, objective, rows, valid, batch_rows, micro_rows, device)


def _objective(
    options: RunOptions, family: tree.Family, tokenizer: Tokenizer, prepared: Prepared, heads: tuple[str, ...]
) -> Objective:
    """What the family learns, as it was published unless options say otherwise."""
    module = OBJECTIVES[family.objective]
    given = toml.check(module.Options, family.published | options.objective, "--set objective")
    roles, across = roles_of(family), options.data.across_documents
    if across and family.objective != "causal":
        raise ValueError(f"--across-documents has no effect on {family.name}: use --set objective.format=full-sentences")
    return module.build(given, Setting(tokenizer, roles, prepared.train, heads, across))


def heads_of(model: Any) -> tuple[str, ...]:
    """The pretraining heads of a model, or those that a family's class can have."""
    if not isinstance(model, type):
        return tuple(model.heads)
    fields = {field.name for field in dataclasses.fields(model.config_class)}
    return tuple(head for head in ("mlm", "nsp") if head in fields) or ("lm",)


def _from_model(options: RunOptions, model: Any, tokenizer: Tokenizer | None) -> RunOptions:
    """Options that follow from --from: its tokenizer, where none is named."""
    if model.family != options.family:
        raise ValueError(f"--from {options.start_from} holds a {model.family} model, not {options.family}")
    if options.model:
        raise ValueError(
            f"--set model.{next(iter(options.model))} contradicts --from: the shape is that of {options.start_from}"
        )
    if options.tokenizer is None:
        if tokenizer is None:
            raise ValueError(f"{options.start_from} has no tokenizer: name one with --tokenizer")
        options = options.model_copy(update={"tokenizer": str(options.start_from)})
    return options


def model_config(cls: Any, options: RunOptions, tokenizer: Tokenizer) -> Any:
    """The size's config with the run's vocabulary, roles, context and `--set model.*` fields."""
    size = cls.sizes[options.size]
    known = [field.name for field in dataclasses.fields(size)]
    fixed = {"vocab_size", "context", "pad_id", "bos_id", "eos_id", "mlm", "nsp", "pooler"}
    for name, value in options.model.items():
        if name not in known or name in fixed:
            raise ValueError(f"unknown option 'model.{name}'{toml.suggest(name, sorted(set(known) - fixed))}")
        kind = next(field.type for field in dataclasses.fields(size) if field.name == name)
        accepted, words = KINDS[str(kind).removesuffix(" | None")]
        if not isinstance(value, accepted) or (isinstance(value, bool) and accepted is not bool):
            raise ValueError(f"model.{name} must be {words}, but is {value!r} instead")
    ids = {f"{role}_id": tokenizer.role_ids[role] for role in ("pad", "bos", "eos")}
    context = {"context": options.context} if options.context else {}
    return dataclasses.replace(size, vocab_size=tokenizer.vocab_size, **ids, **context, **options.model)


def plan_run(setup: Setup) -> dict[str, Any]:
    """Precision and steps of a run, with what they were computed from."""
    options = setup.options

    def make(precision: str) -> Trainer:
        return setup.trainer(precision, 1000, compile=options.train.compile)

    patience = MEASURE_SECONDS if options.budget.minutes else MEASURE_SECONDS / 5
    precision, seconds = budget.choose_precision(make, setup.device, options.train.precision, patience)
    if options.budget.minutes and seconds is None:
        seconds = budget.seconds_per_step(make, precision, MEASURE_SECONDS)
    with torch.device("meta"):
        model = setup.make_model()
    flops = 3 * model.flops(setup.tokens_per_step, setup.rows.plan.context, setup.objective.projected)
    steps = budget.steps_for(
        options.budget,
        tokens_per_step=setup.tokens_per_step,
        flops_per_step=flops,
        step_seconds=seconds,
        parameters=model.count_parameters(),
        held_out_tokens=setup.valid.plan.positions,
        evaluate_tokens=options.train.evaluate_tokens,
    )
    return {
        "steps": steps,
        "precision": precision,
        "tokens_per_step": setup.tokens_per_step,
        "flops_per_step": flops,
        "seconds_per_step": seconds,
        "epochs": steps * setup.batch_rows / len(setup.rows.plan),
        "parameters": model.count_parameters(),
        "parameters_without_embeddings": model.count_parameters(embeddings=False),
        "device": setup.device.type,
    }


def plan_steps(options: RunOptions, out: Path, console: Console | None = None) -> dict[str, Any]:
    """`plan_run` for options alone: turns a budget into steps and chooses the precision, measuring where needed."""
    return plan_run(set_up(options, out, console))


def dry_run(options: RunOptions, out: Path, console: Console) -> dict[str, Any]:
    """What a run would be: parameters, tokens, epochs, memory and time, measured on a few steps; nothing is trained."""
    setup = set_up(options, out, console)
    plan = plan_run(setup)
    reset_peak_memory(setup.device)

    def make(precision: str) -> Trainer:
        return setup.trainer(precision, 1000, compile=options.train.compile)

    plan["seconds_per_step"] = budget.seconds_per_step(make, plan["precision"], MEASURE_SECONDS)
    plan["memory_bytes"] = peak_memory(setup.device)
    for line in budget.describe(plan):
        console.print(line, highlight=False)
    return plan
