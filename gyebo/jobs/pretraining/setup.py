"""What a training run is made of, from its options: corpus, tokenizer, model, objective, rows; and what its budget pays for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gyebo.config.errors import OptionError
from gyebo.config.run import OPTIMIZERS, RunOptions
from gyebo.data.batches import Rows
from gyebo.data.lanes import Lanes, lanes
from gyebo.data.plan import Plan
from gyebo.data.shards import Prepared
from gyebo.data.streams import streams_of
from gyebo.evaluation import measures
from gyebo.interchange import load
from gyebo.jobs.model_building import longest_read, shaped, shaped_for_pictures, with_pieces
from gyebo.jobs.objective_building import build_objective, chosen, held_out_rows, options_of
from gyebo.jobs.picture_codes import codes_of
from gyebo.jobs.pretraining import budget, picture_tokenizer
from gyebo.jobs.pretraining.corpus import open_data, refuse_without_pictures
from gyebo.jobs.pretraining.pictures import check_for_pictures, sized
from gyebo.jobs.results import DryRun, RunPlan
from gyebo.jobs.workload import Projected, sampled, tokens_of
from gyebo.models import family as tree
from gyebo.models.tree.row import Family
from gyebo.nn.cost import Workload
from gyebo.objectives import table
from gyebo.objectives.distillation import start_from_teacher
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.objective import Objective, Setting
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.training import distributed
from gyebo.training.device import DTYPES, make_ready, peak_memory, pick_device, reset_peak_memory
from gyebo.training.optimizer import default_lr, update_flops
from gyebo.training.trainer import Trainer, initial_seed

MEASURE_SECONDS = 2.5  # of each precision; a budget in steps needs less, only to choose one
MEASURED_SHARE = 0.05  # of a budget in minutes, within these seconds, is measured before it
SHORTEST_MEASURE, LONGEST_MEASURE = 6.0, 60.0


@dataclass
class Setup:
    """All that a run is made of, ready to be trained."""

    options: RunOptions
    family: Family
    tokenizer: Tokenizer | None  # the family's copy
    _: KW_ONLY
    prepared: Prepared
    make_model: Callable[[], Any]
    objective: Objective
    rows: Rows
    valid: Rows
    batch_rows: int
    micro_rows: int
    device: torch.device

    def trainer(self, precision: str, steps: int, *, compile: bool = False) -> Trainer:
        """A fresh trainer: weights drawn from the seed, or those that the run starts from."""
        return Trainer(
            self.make_model(),
            self.objective,
            self.rows,
            options=self.options.optim,
            steps=steps,
            batch_rows=self.batch_rows,
            micro_rows=self.micro_rows,
            seed=self.options.seed,
            device=self.device,
            precision=precision,
            compile=compile,
        )

    @property
    def facts(self) -> ObjectiveFacts:
        """The row of the objective in the table."""
        return table.asked(self.family.objective, self.options.objective, teacher=self.options.teacher is not None)

    def sample(self, model: Any, count: int) -> list[str]:
        """A few lines of what the model can do."""
        return measures.sample(self.facts, model, self.tokenizer, self.valid, count=count)

    def autocast(self, precision: str) -> Callable[[], Any]:
        """The context in which this run's forward passes stand."""
        return lambda: torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32")

    @property
    def shape(self) -> str:
        """The size's name, or where the weights came from."""
        if self.options.teacher:
            return f"student of {self.options.teacher}"
        return f"from {self.options.start_from}" if self.options.start_from else self.options.size

    def outline(self) -> Any:
        """The model, where it is new without its weights: it knows its parameters and FLOPs."""
        if self.options.start_from:  # whose spelling is in its files
            return self.make_model()
        with torch.device("meta"):
            return self.make_model()

    def described_optimizer(self) -> str:
        """The optimiser with its peak learning rate and schedule, in words."""
        optim = self.options.optim
        lr = optim.lr or default_lr(self.outline().config.width, optim.name)
        return f"{OPTIMIZERS[optim.name]}, peak learning rate {lr:g}, {optim.schedule} schedule"

    @cached_property
    def tokens_per_step(self) -> float:
        """Real tokens in a step: the plan's exact mean, or where texts are shortened on the way that of some steps."""
        if not self.objective.shortens:
            return self.batch_rows * self.rows.plan.mean_tokens
        work, steps = self._sample
        return tokens_of(work, self.rows.streams) / steps

    def flops_per_step(self, model: Any) -> float:
        """FLOPs of a step on average (`gyebo/nn/cost.py`): the forward pass, twice as many backward, the optimiser's matrix
        products, and the forward pass of a teacher."""
        flops = 3 * self._forward_flops(model, self._sample[0]) + update_flops(model, self.options.optim)
        teacher = self.objective.teacher
        return flops if teacher is None else flops + self._forward_flops(teacher, self._sampled(self.objective.taught)[0])

    def _forward_flops(self, model: Any, work: Workload) -> float:
        """FLOPs of a model's forward passes in a step, from the workload of some steps: of all documents of the plan, where it
        knows what is read."""
        tokens, plan = tokens_of(work, self.rows.streams), self.rows.plan
        if isinstance(plan, Plan) and not self.objective.shortens and not self._by_pass(model):
            rows = {head: count * plan.positions / tokens for head, count in work.projected.items()}
            work = Workload(plan.document_lengths(one_document=self.objective.one_document), rows)
            tokens = plan.positions
        return model.flops(work) * self.tokens_per_step / tokens

    @staticmethod
    def _by_pass(model: Any) -> bool:
        """Whether what a model computes depends on what shares a pass."""
        return bool(model.reads_characters or (model.has_clusters and model.config.cutoffs))

    @cached_property
    def _sample(self) -> tuple[Workload, int]:
        return self._sampled(self.objective.projected)

    def _sampled(self, projected: Projected) -> tuple[Workload, int]:
        seed = self.options.seed if self.rows.carries else 0  # lanes have one order, that of their seed
        rows = {"batch_rows": self.batch_rows, "micro_rows": self.micro_rows}
        return sampled(self.rows, self.outline(), projected, seed=seed, **rows)


def set_up(options: RunOptions, out: Path, console: Console | None) -> Setup:
    """Corpus, tokenizer, model and rows of a run. ValueError names what doesn't fit together."""
    family = tree.find(options.family)
    options = options.model_copy(update={"family": family.name})
    facts = chosen(family, options.objective, teacher=options.teacher is not None)
    if facts.kind:
        raise ValueError(
            f"{family.name} learns from sentence pairs, not from a corpus: gyebo finetune {family.name}:{options.size} "
            "translation --data pairs.tsv --text SOURCE --label TARGET --tokenizer DIR -o DIR"
        )
    device = pick_device(options.train.device)
    make_ready(device)
    named = options.start_from or options.teacher
    opened = load(named) if named else None
    if opened:
        options = _inherit(options, *opened)
    else:
        tree.find_size(family, options.size)
    cls = tree.model_class(family.name)
    if not family.reads_text:
        check_for_pictures(options, family, opened[0].config if opened else None)
    elif facts.of == "pictures" or cls.sees:
        refuse_without_pictures(options.data)
    painter = picture_tokenizer.picture_tokenizer_of(options, cls, opened[0] if opened else None)
    options = options.model_copy(update={"data": sized(options, family, opened[0] if opened else None)})
    if options.train.compile and not cls.compiles:
        able = ", ".join(name for name in tree.FAMILIES if tree.model_class(name).compiles)
        raise OptionError(
            f"‹train.compile›: {family.title} is not prepared for torch.compile, as these families are: {able}; leave it out"
        )
    own = opened[1] if opened and options.tokenizer == str(named) else None
    tokenizer, prepared = open_data(options, out, console, own, reads_text=family.reads_text)
    if tokenizer:
        tokenizer = tokenizer.for_family(roles_of(family))
        if not options.start_from:
            tokenizer = tokenizer.with_sentinels(facts.sentinels)
    config, make = _origin(options, family, opened[0] if opened else None, tokenizer)
    config = picture_tokenizer.fitted(config, prepared, painter, of=options.start_from)
    if opened and tokenizer and tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but {named} has {config.vocab_size}: use its own tokenizer"
        )
    context = options.context or config.context
    if context > config.context:
        raise OptionError(f"‹context›={context} is longer than the {config.context} positions of {named}")
    setting = Setting(
        tokenizer,
        roles_of(family),
        prepared.train,
        tuple(opened[0].heads) if opened and options.start_from else cls.possible_heads(),
        across_documents=options.data.across_documents,
        gives_raw=cls.gives_raw,
        encodes_source=cls.encodes_source,
        start_id=config.first_id if cls.encodes_source else 0,
        carries=_goes_on(options, family, config),
        factor=config.factor if cls.tokenizes_pictures else 0,
        teacher=opened[0].to(device) if opened and options.teacher else None,
        config=config,
        codes=codes_of(prepared, painter, console) if painter else {},
    )
    objective = build_objective(facts, options_of(facts, family, options.objective), setting)
    pad = tokenizer.role_ids["pad"] if tokenizer else 0
    evaluated = _evaluated(options, config, context, cls)
    valid = held_out_rows(objective, prepared.valid, evaluated, pad)
    if not options.start_from:
        parts = {part: on for part, on in objective.parts.items() if part in cls.parts()}
        config = dataclasses.replace(config, **parts, **objective.shape)
    elif wrong := [name for name, value in objective.shape.items() if getattr(config, name) != value]:
        raise OptionError(
            f"‹start_from›={named}: was made for {wrong[0]} = {getattr(config, wrong[0])}, but this corpus has "
            f"{objective.shape[wrong[0]]}: use a corpus with the same labels and answers, and its ‹data.crop_size›"
        )
    config = dataclasses.replace(config, **{name: objective.parts.get(name, False) for name in cls.learned_as})
    window = options.context or (config.window if cls.has_windows else context)
    lengths, streams = objective.lengths(window), streams_of(objective.fields)
    places = sum(lengths[stream.name] for stream in streams if stream.counted)
    batch_rows = round(options.train.batch_tokens / places)
    if not batch_rows:
        raise OptionError(
            f"‹train.batch_tokens›={options.train.batch_tokens} is less than one row of {places} tokens: give at least "
            f"{places}, or a shorter ‹context›"
        )
    asked = options.train.micro_batch_tokens
    micro_rows = max(1, asked // places) if asked else batch_rows
    if objective.whole_batches and (micro_rows < batch_rows or distributed.world_size() > 1):
        raise OptionError(
            f"{family.name} compares all pairs of a batch, which can't be divided: leave ‹train.micro_batch_tokens› out, and "
            "train in one process"
        )
    plan = _plan(options, family, objective, prepared, window, batch_rows, goes_on=setting.carries)
    if batch_rows > len(plan):
        raise OptionError(
            f"{', '.join(options.data.corpus)}: {len(plan)} rows of {window} tokens, less than one batch of {batch_rows}: "
            f"lower ‹train.batch_tokens› (now {options.train.batch_tokens}) or ‹context›, or bring more text"
        )
    rows = Rows(prepared.train, plan, objective, pad)
    return Setup(
        options,
        family,
        tokenizer,
        prepared=prepared,
        make_model=partial(picture_tokenizer.made, partial(make, config), painter),
        objective=objective,
        rows=rows,
        valid=valid,
        batch_rows=batch_rows,
        micro_rows=micro_rows,
        device=device,
    )


def _evaluated(options: RunOptions, config: Any, context: int, cls: Any) -> int:
    """The context of an evaluation: that of training, or of a family that learns in windows the longest text that it reads."""
    asked, memory = options.train.evaluate_context, options.train.evaluate_memory
    if memory is not None and not cls.any_memory:
        raise OptionError(
            f"‹train.evaluate_memory›={memory} has no effect: {cls.family} is measured without a memory, leave it out"
        )
    if asked is not None and asked > config.context:
        raise OptionError(f"‹train.evaluate_context›={asked} is longer than the {config.context} positions of the model")
    return asked or (longest_read(config, cls, memory) if cls.has_windows else context)


def _goes_on(options: RunOptions, family: Family, config: Any) -> bool:
    """Whether rows go on from each other, in lanes: for a model that carries a state, unless `data.order` says otherwise."""
    order, cls = options.data.order, tree.model_class(family.name)
    if order == "lanes" and not cls.carries(config):
        lacks = (
            "has no memory: give it one, as with ‹model.memory›=128"
            if cls.carries_state
            else "carries no state from row to row"
        )
        raise OptionError(f"‹data.order›=lanes: {family.name} {lacks}; or leave ‹data.order› out")
    if order == "shuffled" and cls.has_memory and config.memory:
        raise OptionError(
            f"‹model.memory›={config.memory} has no effect with ‹data.order›=shuffled: packed rows do not go on from each "
            "other; leave ‹data.order› out, or set ‹model.memory›=0"
        )
    return order != "shuffled" and cls.carries(config)


def _plan(
    options: RunOptions,
    family: Family,
    objective: Objective,
    prepared: Prepared,
    context: int,
    batch_rows: int,
    *,
    goes_on: bool,
) -> Plan | Lanes:
    """Which text stands in which row."""
    if not goes_on:
        return objective.plan(prepared.train, context, options.data.plan_seed, prepared.folder)
    if len(streams := streams_of(objective.fields)) > 1:
        raise OptionError(
            f"‹data.order›: {family.name} carries a state along one stream, but its objective reads {len(streams)} "
            f"({', '.join(stream.name for stream in streams)}): choose the order shuffled"
        )
    return lanes(
        prepared.train,
        context,
        extra=objective.extra,
        count=batch_rows,
        plan_seed=options.data.plan_seed,
        seed=options.seed,
        backwards=batch_rows // 2 if objective.both_directions else 0,
    )


def _origin(options: RunOptions, family: Family, opened: Any, tokenizer: Tokenizer | None) -> tuple[Any, Callable[[Any], Any]]:
    """The config of a run's model, and what makes the model from it: drawn from the seed, read from `start_from`, or a student
    that starts from its teacher."""
    cls = tree.model_class(family.name)
    if options.start_from:
        return opened.config, partial(_further, str(options.start_from))

    def fresh(config: Any) -> Any:
        torch.manual_seed(initial_seed(options.seed))
        model = cls(config) if tokenizer is None else with_pieces(cls(config), tokenizer)
        if options.teacher:
            start_from_teacher(model, opened)
        return model

    if options.teacher:
        return student_config(cls, opened, options), fresh
    if tokenizer is None:
        return shaped_for_pictures(cls.sizes[options.size], options.model, options.data.picture_size), fresh
    return shaped(cls.sizes[options.size], options.model, tokenizer, windows=cls.has_windows, context=options.context), fresh


def _further(name: str, config: Any) -> Any:
    """A model to be trained further, in the way in which it now learns; which task it answered by text is forgotten, as its
    weights will be others."""
    model = load(name)[0]
    model.tasks = ()
    model.config = dataclasses.replace(model.config, **{name: getattr(config, name) for name in model.learned_as})
    return model


def student_family(teacher: str) -> str:
    """The family of a teacher's student; ValueError for a teacher that none can learn from."""
    family = tree.find(load(teacher)[0].family)
    if family.student is None:
        known = ", ".join(name for name, other in tree.FAMILIES.items() if other.student)
        raise ValueError(f"{teacher} holds a {family.name} model: a student learns from {known}")
    return family.student


def student_config(cls: Any, teacher: Any, options: RunOptions) -> Any:
    """The shape of a student: its teacher's, with half the layers unless `model.layers` says otherwise."""
    other = sorted(set(options.model) - {"layers", "embedding_dropout", "attention_dropout", "residual_dropout"})
    if other:
        raise OptionError(f"‹model.{other[0]}›: a student has its teacher's shape; only layers and dropout can be set")
    own, theirs = ({field.name for field in dataclasses.fields(config)} for config in (cls.config_class, teacher.config))
    shared = (own & theirs) - {"segments", *cls.parts(), *teacher.parts()}
    values = {name: getattr(teacher.config, name) for name in shared} | {"layers": max(1, teacher.config.layers // 2)}
    return cls.config_class(**values | options.model)


def _inherit(options: RunOptions, model: Any, tokenizer: Tokenizer | None) -> RunOptions:
    """Options that follow from `start_from` or a teacher: its tokenizer, where none is named."""
    name = options.start_from or options.teacher
    if isinstance(model, TaskModel):
        raise ValueError(f"{name} was fine-tuned and has no head to pretrain with: name the model that it was fine-tuned from")
    if options.start_from and model.family != options.family:
        raise OptionError(f"‹start_from›={name} holds a {model.family} model, not {options.family}")
    if options.start_from and options.model:
        raise OptionError(f"‹model.{next(iter(options.model))}› contradicts ‹start_from›: the shape is that of {name}")
    if options.tokenizer is None and model.reads_text:
        if tokenizer is None:
            raise OptionError(f"{name} has no tokenizer: name one with ‹tokenizer›")
        options = options.model_copy(update={"tokenizer": str(name)})
    return options


def plan_runs(setups: Sequence[Setup], precision: str | None = None) -> list[RunPlan]:
    """Precision and steps of runs, with what they were computed from. What must be measured is timed in turn, all together.

    precision: as it was chosen before.
    """
    minutes = max((setup.options.budget.minutes or 0.0 for setup in setups), default=0.0)
    patience = MEASURE_SECONDS if minutes else MEASURE_SECONDS / 5
    chosen = [
        budget.choose_precision(partial(_trainer, setup), setup.device, precision or setup.options.train.precision, patience)
        for setup in setups
    ]
    timed: list[float | None] = [None] * len(setups)
    if minutes:
        longer = min(LONGEST_MEASURE, max(SHORTEST_MEASURE, 60 * minutes * MEASURED_SHARE))
        makers = [partial(_trainer, setup, found) for setup, found in zip(setups, chosen)]
        timed = [*budget.seconds_per_step(makers, longer)]
    return [_plan_of(setup, found, seconds) for setup, found, seconds in zip(setups, chosen, timed)]


def plan_run(setup: Setup, precision: str | None = None) -> RunPlan:
    """`plan_runs` for one."""
    return plan_runs([setup], precision)[0]


def _trainer(setup: Setup, precision: str) -> Trainer:
    """What is timed."""
    return setup.trainer(precision, 1000, compile=setup.options.train.compile)


def _plan_of(setup: Setup, precision: str, seconds: float | None) -> RunPlan:
    options = setup.options
    model = setup.outline()
    flops = setup.flops_per_step(model)
    steps = budget.steps_for(
        options.budget,
        tokens_per_step=setup.tokens_per_step,
        flops_per_step=flops,
        steps_per_epoch=len(setup.rows.plan) / setup.batch_rows,
        step_seconds=seconds,
        parameters=model.count_parameters(),
        held_out_tokens=setup.valid.plan.positions,
        evaluate_tokens=options.train.evaluate_tokens,
    )
    return RunPlan(
        steps=steps,
        precision=precision,
        tokens_per_step=setup.tokens_per_step,
        flops_per_step=flops,
        seconds_per_step=seconds,
        epochs=steps * setup.batch_rows / len(setup.rows.plan),
        parameters=model.count_parameters(),
        parameters_without_embeddings=model.count_parameters(embeddings=False),
        device=setup.device.type,
        evaluate_context=setup.valid.plan.context,
    )


def plan_steps(options: Sequence[RunOptions], out: Path, console: Console | None = None) -> list[RunPlan]:
    """`plan_runs` for options alone: turns budgets into steps and chooses the precisions, measuring where needed."""
    setups = [set_up(one, out, console) for one in options]
    if console and any(setup.options.budget.minutes for setup in setups):
        console.print("measuring the speed of this machine, all in turn", highlight=False)
    return plan_runs(setups)


def measured_plans(options: Sequence[RunOptions], out: Path, console: Console | None = None) -> list[RunPlan]:
    """As `plan_steps`, with the seconds of a step of each, timed in turn, whatever the budgets are."""
    setups = [set_up(one, out, console) for one in options]
    if console:
        console.print("measuring the speed of this machine, all in turn", highlight=False)
    plans = plan_runs(setups)
    makers = [partial(_trainer, setup, plan.precision) for setup, plan in zip(setups, plans)]
    seconds = budget.seconds_per_step(makers, MEASURE_SECONDS)
    return [dataclasses.replace(plan, seconds_per_step=took) for plan, took in zip(plans, seconds)]


def dry_run(options: RunOptions, out: Path, console: Console) -> DryRun:
    """What a run would be: parameters, tokens, epochs, memory and time, measured on a few steps; nothing is trained."""
    setup = set_up(options, out, console)
    plan = plan_run(setup)
    reset_peak_memory(setup.device)
    [seconds] = budget.seconds_per_step([partial(_trainer, setup, plan.precision)], MEASURE_SECONDS)
    found = DryRun(**plan.as_dict() | {"seconds_per_step": seconds, "memory_bytes": peak_memory(setup.device)})
    for line in [*budget.describe(found, seconds), f"optimiser       {setup.described_optimizer()}"]:
        console.print(line, highlight=False)
    return found
