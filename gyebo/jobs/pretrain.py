"""`gyebo pretrain`: from a corpus and a family to a run directory that `transformers` opens."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Set
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

import gyebo
from gyebo.config import toml
from gyebo.config.flags import words_for
from gyebo.config.run import RunOptions
from gyebo.evaluation import measures
from gyebo.figures.curves import training_curve
from gyebo.figures.grid import picture_grid
from gyebo.interchange import save
from gyebo.interchange.model_card import model_card
from gyebo.jobs import identity, places, resuming, root_files, run_directory
from gyebo.jobs.model_building import saved_with
from gyebo.jobs.pretraining import budget
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.by_budget import as_decided, decided, noted
from gyebo.jobs.pretraining.corpus import floor
from gyebo.jobs.pretraining.planning import plan_run
from gyebo.jobs.pretraining.recipe import choices, with_recipe
from gyebo.jobs.pretraining.setup import Setup
from gyebo.jobs.results import PretrainResult, RunPlan, read, read_pretraining
from gyebo.models.family import find
from gyebo.objectives import table
from gyebo.objectives.facts import resolve
from gyebo.tasks.metrics import bootstrap
from gyebo.training import checkpoint, distributed, log
from gyebo.training.device import peak_memory, pick_device, reset_peak_memory
from gyebo.training.loop import Intervals, raise_if_stopped, resume, train
from gyebo.training.progress import Progress
from gyebo.training.trainer import Trainer

Watch = Callable[[int, float], None]
SHOWN = 12  # pictures of a grid


def pretrain(
    options: RunOptions,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
    watch: Watch | None = None,
) -> PretrainResult | None:
    """Train one run in `out`, or resume it; gives its result, which `run.toml` stores too (other processes: None).

    watch: called before every step with the finished ones and their seconds; what it raises ends the run.
    With `resume`, a finished run gives its stored result, or goes on where the budget is larger now, and a missing one is
    started. Raises ValueError for options that don't fit and for another run than the stored one, `training.loop.Stopped` after
    a signal, `Failed` where the loss is not finite.
    """
    options = with_recipe(options.model_copy(update={"family": find(options.family).name}))
    device = pick_device(options.train.device)
    with distributed.process_group(device):
        if distributed.rank() > 0:
            console = None
        places.refuse_names(options, out)
        run_directory.refuse_to_replace(out, started_from(options))
        first = distributed.rank() == 0
        with run_directory.claim(out, resume=resume, overwrite=overwrite) if first else nullcontext() as resumed:
            record = run_directory.read(out) if distributed.from_first(resumed) else None
            if record is None:
                found = decided(options, out, console)
                return _run(found, out, console=console, watch=watch, by_budget=noted(options, found))
            stored = run_directory.options_of(record, out)
            options = as_decided(options, stored, record)
            changed = resuming.changed(record, stored, options, out)
            found = places.placed(options, out, typed=True)
            if "result" in record and not changed:
                say = resuming.speaker(console)
                resuming.confirm_finished(record, stored, options, lambda: identity.of_pretraining(found, out), out, say)
                return read_pretraining(record["result"], str(out / "run.toml"))
            return _run(options, out, console=console, record=record, changed=changed, watch=watch)


def started_from(options: RunOptions) -> tuple[str | None, ...]:
    """What a run reads that may lie in a directory."""
    data = options.data
    return (
        options.start_from,
        options.teacher,
        options.tokenizer,
        options.picture_tokenizer,
        data.valid,
        *data.without,
        *data.corpus,
    )


def _run(
    options: RunOptions,
    out: Path,
    *,
    console: Console | None,
    record: dict[str, Any] | None = None,
    changed: Set[str] = frozenset(),
    watch: Watch | None = None,
    by_budget: Mapping[str, Any] | None = None,
) -> PretrainResult | None:
    """`record`: of the run that is resumed; `changed`: its options of budget and rate that are others now; `by_budget`:
    what the record of a new one says of what its budget decided."""
    first, say = distributed.rank() == 0, resuming.speaker(console)
    found = places.placed(options, out, typed=True) if record else options
    if first:
        setup = set_up(found, out, console)
    distributed.barrier()
    if not first:
        setup = set_up(found, out, None)
    setup.options = options  # as they were typed
    parts = identity.of_pretraining(found, out, setup.prepared.meta["fingerprint"])
    if record is None:
        plan = _plan(setup, console)
        before = after = _record(setup, plan, parts) | dict(by_budget or {})
        if first:
            run_directory.write(out, before)
    else:
        resuming.confirm(record, parts, out, say)
        plan, before = read(RunPlan, record["plan"], str(out / "run.toml")), record
        if changed & identity.BUDGET:
            again = _plan(setup, console, plan.precision)
            plan = replace(plan, steps=again.steps, epochs=again.epochs, seconds_per_step=again.seconds_per_step)
        going_on = resuming.replanned(record, options, changed, plan.as_dict(), out) if changed else record
        if going_on is None:
            return read_pretraining(record["result"], str(out / "run.toml"))
        after = going_on | {"state": {"finished": False, "weights": "newest"}}
    resuming.remember(out, options, found)
    if console:
        _announce(setup, plan, console)
    reset_peak_memory(setup.device)
    trainer = setup.trainer(plan.precision, plan.steps, compile=options.train.compile)
    start = time.perf_counter()
    resume(trainer, out, say)
    record = resuming.note(before, after, made=_made(setup, plan), step=trainer.step, out=out, say=say)
    _train(setup, trainer, out, plan=plan, identity=record.get("identity"), console=console, watch=watch)
    result = _finish(setup, trainer, out, record=record, plan=plan, wall=time.perf_counter() - start) if first else None
    raise_if_stopped(trainer, out)
    return result


def _plan(setup: Setup, console: Console | None, precision: str | None = None) -> RunPlan:
    """The budget as steps; `precision`: as it was chosen before."""
    if console and (setup.options.budget.minutes or (precision or setup.options.train.precision) == "auto"):
        console.print("measuring the speed of this machine", highlight=False)
    # All processes measure together, as they will train; the first one's figures count.
    return distributed.from_first(plan_run(setup, precision))


def _record(setup: Setup, plan: RunPlan, parts: identity.Identity) -> dict[str, Any]:
    """The record of a new run before it starts."""
    meta = setup.prepared.meta
    return {
        "options": places.published(setup.options).model_dump(mode="json"),
        "plan": plan.as_dict(),
        "corpus": {name: meta[name] for name in ("fingerprint", "train", "valid")},
        "identity": identity.stamped(parts),
        "made": _made(setup, plan),
        "versions": run_directory.versions(),
        "state": {"finished": False, "weights": "newest"},
    }


def _made(setup: Setup, plan: RunPlan) -> dict[str, Any]:
    return checkpoint.environment(setup.device, plan.precision, distributed.world_size())


def _announce(setup: Setup, plan: RunPlan, console: Console) -> None:
    console.print(
        f"{setup.family.title} {setup.shape}: {plan.parameters:,} parameters, {plan.steps:,} steps of "
        f"{plan.tokens_per_step:,.0f} tokens ({plan.epochs:.2f} epochs), {plan.precision} on {plan.device}",
        highlight=False,
    )
    console.print(f"optimiser: {setup.described_optimizer()}", highlight=False)
    if not setup.facts.likelihood:
        console.print(f"objective: {setup.objective.describe()}", highlight=False)


def _train(
    setup: Setup,
    trainer: Trainer,
    out: Path,
    *,
    plan: RunPlan,
    identity: identity.Identity | None,
    console: Console | None,
    watch: Watch | None,
) -> None:
    options = setup.options.train
    every = budget.tenth(plan.steps)
    intervals = Intervals(options.checkpoint_every or every, options.evaluate_every or every, options.keep)
    autocast = setup.autocast(plan.precision)

    def evaluate(model: Any) -> tuple[dict[str, float], list[str]]:
        last = trainer.step == trainer.steps
        tokens = None if last else options.evaluate_tokens
        found = measures.evaluate(
            setup.facts, model, setup.valid, tokens=tokens, autocast=autocast, memory=options.evaluate_memory
        )
        if last:
            bootstrap.write(out, found.parts)
        return found.metrics, [] if console is None else setup.sample(model, 1)

    def save_root(model: Any) -> None:
        with saved_with(model, setup.dropouts):
            save(model, setup.tokenizer, out)

    progress = Progress(console, plan.flops_per_step / plan.tokens_per_step)
    train(
        trainer,
        out,
        intervals,
        evaluate=evaluate,
        save=save_root,
        progress=progress,
        between=partial(_look, trainer, watch) if watch else None,
        identity=identity,
    )


def _look(trainer: Trainer, watch: Watch) -> None:
    watch(trainer.step, trainer.seconds)


def _finish(setup: Setup, trainer: Trainer, out: Path, *, record: dict[str, Any], plan: RunPlan, wall: float) -> PretrainResult:
    meta = setup.prepared.meta
    bytes_per_token = meta["train"]["bytes"] / setup.rows.plan.positions
    result = PretrainResult(
        family=setup.family.name,
        size=setup.shape,
        seed=setup.options.seed,
        steps=trainer.step,
        tokens=trainer.tokens,
        bytes=round(trainer.tokens * bytes_per_token),
        epochs=trainer.step * setup.batch_rows / len(setup.rows.plan),
        flops=plan.flops_per_step * trainer.step,
        parameters=plan.parameters,
        parameters_without_embeddings=plan.parameters_without_embeddings,
        seconds=max(wall, trainer.seconds),
        tokens_per_second=trainer.tokens / trainer.seconds,
        memory_bytes=peak_memory(setup.device),
        precision=plan.precision,
        lr=trainer.peak_lr,
        valid=trainer.evaluations[-1]["evaluation"] | _floor(setup),
        samples=setup.sample(trainer.model, 3),
        metric=setup.facts.metric,
        evaluate_context=setup.valid.plan.context,
    )
    pictures = _draw(setup, trainer.model, out, bytes_per_token)
    with saved_with(trainer.model, setup.dropouts):
        save(trainer.model, setup.tokenizer, out, card=_card(setup, out, result, pictures=pictures))
    finished = {"state": {"finished": True, "weights": "last"}, "result": result.as_dict()}
    run_directory.write(out, record | finished | {"files": root_files.digests(out)})
    return result


def _floor(setup: Setup) -> dict[str, float]:
    """The entropy, where it is known, beside a figure that it bounds."""
    bits = floor(setup.prepared) if setup.facts.likelihood else None
    return {} if bits is None else {"floor_bits_per_byte": bits}


def _draw(setup: Setup, model: Any, out: Path, bytes_per_token: float) -> dict[str, str]:
    """The curve of the run as `loss.png`, and pictures of what the model does, where its objective has any; gives {caption:
    file}."""
    facts = setup.facts
    records = log.read(out)
    steps = [r for r in records if "loss" in r]
    training_curve(
        out / "loss.png",
        [r["step"] for r in steps],
        [r.get(facts.term, r["loss"]) for r in steps],
        [(r["step"], r["evaluation"][facts.metric]) for r in records if "evaluation" in r],
        bytes_per_token=bytes_per_token if facts.likelihood else None,
        floor=floor(setup.prepared) if facts.likelihood else None,
        y_label=facts.unit,
    )
    found = {f"{facts.unit} during training": "loss.png"}
    if facts.shown:
        picture_grid(out / facts.shown.file, resolve(facts.shown.function)(model, setup.valid, SHOWN))
        found[facts.shown.caption] = facts.shown.file
    return found


def _card(setup: Setup, out: Path, result: PretrainResult, *, pictures: dict[str, str]) -> str:
    facts, valid, options = setup.facts, result.valid, places.published(setup.options)
    own = table.of_use(setup.family.objective, facts)
    metrics = {name.replace("_", " "): value for name in facts.card_metrics if (value := valid.get(name)) is not None}
    return model_card(
        name=out.name,
        family=setup.family.name,
        title=setup.family.title,
        year=setup.family.year,
        paper=setup.family.paper,
        size=setup.shape,
        parameters=result.parameters,
        parameters_without_embeddings=result.parameters_without_embeddings,
        corpus=", ".join(options.data.corpus),
        of=facts.of,
        tokens=result.tokens,
        budget=f"{result.steps:,} steps of {setup.tokens_per_step:,.0f} tokens on average, seed {result.seed}",
        metrics=metrics,
        command=command_of(options, out),
        base_model=options.start_from,
        auto_class=own.auto_class or None if setup.family.in_transformers else None,
        pipeline_tag=own.pipeline_tag,
        samples=result.samples,
        pictures=pictures,
        version=gyebo.__version__,
    )


def command_of(options: RunOptions, out: Path) -> str:
    """What one types to get this run: every option that differs from its default."""
    verb, first = ("distill", options.teacher) if options.teacher else ("pretrain", options.family)
    hidden = {"family", "teacher", "data.corpus"}
    hidden |= {"size"} if options.start_from or options.teacher else set()
    hidden |= {"vocab_size"} if options.tokenizer else set()
    given = toml.flat(options.model_dump(mode="json", exclude_defaults=True))
    if "vocab_size" in options.model_fields_set:  # 16,000 that were asked for are not the default, which follows the corpus
        given["vocab_size"] = options.vocab_size
    if "batch_tokens" in options.train.model_fields_set:  # likewise, where the budget decides
        given["train.batch_tokens"] = options.train.batch_tokens
    every = toml.flat(options.model_dump(mode="json"))
    for choice in choices(options.recipe, find(options.family)):
        if every[choice.option] == (list(choice.value) if isinstance(choice.value, tuple) else choice.value):
            given.pop(choice.option, None)
        elif every[choice.option] is not None:  # also where it is the default of the option
            given[choice.option] = every[choice.option]
    words = words_for({field: value for field, value in given.items() if field not in hidden}, verb)
    return shlex.join(["gyebo", verb, str(first), *options.data.corpus, "-o", places.published_name(str(out)), *words])
