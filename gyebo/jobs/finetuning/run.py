"""`gyebo finetune`: train a pretrained model on a task; the weights that are best on the validation set are kept."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from rich.console import Console

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.config.run import OPTIMIZERS
from gyebo.interchange import load, save
from gyebo.interchange.loading import family_of
from gyebo.interchange.saving import auto_class
from gyebo.jobs import identity, places, resuming, root_files, run_directory
from gyebo.jobs.finetuning import teachers
from gyebo.jobs.finetuning.build import opened, set_up, with_defaults, with_family_name
from gyebo.jobs.finetuning.report import by_class, card, pictures, without
from gyebo.jobs.finetuning.setup import MEAN, PARTS, Origin, Setup, TaskPart
from gyebo.jobs.identity import Identity
from gyebo.jobs.pretraining import budget
from gyebo.jobs.pretraining.planning import MEASURE_SECONDS
from gyebo.jobs.results import FinetuneResult, read
from gyebo.tasks.metrics.metrics import measure, signatures, write_parts
from gyebo.tasks.prediction import PREDICTIONS, as_rows, write_predictions
from gyebo.tasks.splits import TaskData, not_said
from gyebo.training import checkpoint, log
from gyebo.training.device import peak_memory, reset_peak_memory
from gyebo.training.loop import Intervals, raise_if_stopped, resume, train
from gyebo.training.progress import Progress
from gyebo.training.trainer import Trainer

V = TypeVar("V")
KIND = "finetune"  # of the record in run.toml
FEW_STEPS = 100  # of which a model that writes its answers mostly learns too little
MOST_CHECKPOINTS, MOST_EVALUATIONS = 200, 100  # of a run with many short epochs


def finetune(
    options: FinetuneOptions,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
    beside: Path | None = None,
) -> FinetuneResult:
    """Fine-tune one seed in `out`, or resume it; returns its result, which is also stored in `run.toml`.

    The root of `out` holds the weights of the best evaluation; for translation, the average of the last checkpoints if that is
    better. With `resume`, a finished run returns its stored result, or goes on where it is given more steps, and a missing one
    is started. `beside`: a run that differs in its seed only, as `out` must then. Raises ValueError for options that don't fit
    and for another run than the stored one, `training.loop.Stopped` after a signal, `Failed` where the loss is not finite.
    """
    refuse_processes()
    options = with_family_name(options)
    places.refuse_names(options, out)
    run_directory.refuse_to_replace(out, started_from(options))
    with run_directory.claim(out, resume=resume, overwrite=overwrite) as resumed:
        record = run_directory.read(out) if resumed else None
        options = with_defaults(options, _family(options, record, beside))
        if record is None:
            return _run(options, out, console, beside=beside)
        stored, say = options_of(record, out), resuming.speaker(console)
        changed = resuming.changed(record, stored, options, out)
        if "result" in record and not changed:
            found = places.placed(options, out, typed=True)
            resuming.confirm_finished(record, stored, options, partial(_found_again, options, found), out, say)
            return _stored(record, out)
        return _run(options, out, console, record=record, changed=changed)


def dry_run(options: FinetuneOptions, console: Console | None) -> dict[str, Any]:
    """The plan of a fine-tuning, said but not begun: steps, batch, rates, and of several tasks how often each is drawn."""
    options = with_family_name(options)
    setup = set_up(with_defaults(options, _family(options, None, None)))
    plan = setup.plan(_precision(setup))
    if console:
        announce(setup, plan, console)
    return plan


def _stored(record: dict[str, Any], out: Path) -> FinetuneResult:
    return read(FinetuneResult, record["result"], str(out / "run.toml"))


def _identity(options: FinetuneOptions, found: FinetuneOptions, examples: Sequence[TaskData], origin: Origin) -> Identity:
    """`options`: as they were given; `found`: with the places where sources are."""
    return identity.of(
        options.model_dump(mode="json"),
        tokenizer=origin.tokenizer.fingerprint,
        start=None if scratch(options.model) else identity.digest(origin.body()),
        examples="+".join(data.fingerprint for data in examples),
        **teachers.identity_of(found),
    )


def _found_again(options: FinetuneOptions, found: FinetuneOptions) -> Identity:
    """The identity of a run whose sources lie where `found` says."""
    read, origin = opened(found)
    return _identity(options, found, [data for data, _ in read], origin)


def _family(options: FinetuneOptions, record: dict[str, Any] | None, beside: Path | None) -> str | None:
    """The family whose fine-tuning defaults apply: that of a pretrained model; None for a newly initialised one."""
    if scratch(options.model):
        return None
    if record:
        return record.get("family")
    return family_of(places.placed_name(options.model, "model", beside) if beside else options.model)


def refuse_processes() -> None:
    """ValueError under `torchrun`: each process would write the same run."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("fine-tuning runs in one process: start gyebo finetune without torchrun")


def started_from(options: FinetuneOptions) -> tuple[str | None, ...]:
    """The names of everything that a fine-tuning reads, any of which may be a path."""
    distil = options.distil
    taught = (*distil.teachers, *(distil.texts.corpus if distil.texts else ()))
    return options.model, options.tokenizer, *taught, *(getattr(task, name) for task in options.tasks for name in task.sources)


def options_of(record: dict[str, Any], out: Path) -> FinetuneOptions:
    """The options that a fine-tuning was started with; ValueError for other runs."""
    if record.get("kind") != KIND:
        raise OptionError(f"{out} holds a run of another kind, not a fine-tuning: choose another ‹out›")
    return toml.check(FinetuneOptions, record["options"], str(out / "run.toml"))


def replayed(record: dict[str, Any], out: Path) -> Trainer:
    """The trainer of a run at step 0, to train it again. ValueError where its examples have changed since."""
    options = options_of(record, out)
    found = places.placed(options, out, typed=False)
    setup = set_up(found)
    identity.refuse_other(record, _identity(options, found, [task.data for task in setup.tasks], setup.origin), out)
    return setup.trainer(record["plan"])


def _run(
    options: FinetuneOptions,
    out: Path,
    console: Console | None,
    *,
    record: dict[str, Any] | None = None,
    changed: Set[str] = frozenset(),
    beside: Path | None = None,
) -> FinetuneResult:
    """`record`: of the run that is resumed; `changed`: its options of budget and rate that are others now."""
    say, known = resuming.speaker(console), out if record else beside
    found = places.placed(options, known, typed=True) if known else options
    setup = replace(set_up(found), options=options)  # as they were typed
    parts = _identity(options, found, [task.data for task in setup.tasks], setup.origin)
    if record is None:
        if beside:
            other = run_directory.read(beside)
            identity.refuse_other(other, parts | {"seed": str(other["options"]["seed"])}, beside)
        plan = setup.plan(_precision(setup))
        before = after = _record(setup, plan, parts)
    else:
        resuming.confirm(record, parts, out, say)
        plan, before = _replanned(setup, record["plan"], changed), record
        going_on = resuming.replanned(record, options, changed, plan, out) if changed else record
        if going_on is None:
            return _stored(record, out)
        after = going_on
    reset_peak_memory(setup.device)
    trainer = setup.trainer(plan)
    if record is None:
        run_directory.write(out, before)
    resuming.remember(out, options, found)
    if console:
        announce(setup, plan, console)
    start = time.perf_counter()
    resume(trainer, out, say)
    record = resuming.note(before, after, made=_made(setup, plan), step=trainer.step, out=out, say=say)
    _train(setup, trainer, out, record=record, console=console)
    result = _finish(setup, trainer, out, record=record, wall=time.perf_counter() - start)
    raise_if_stopped(trainer, out)
    return result


def _replanned(setup: Setup, stored: dict[str, Any], changed: Set[str]) -> dict[str, Any]:
    """The stored plan with what follows from the changed options."""
    again = setup.plan(stored["precision"])
    follow = {"steps": bool(changed & identity.BUDGET), "lr": identity.RATE in changed}
    return stored | {name: again[name] for name, follows in follow.items() if follows}


def _made(setup: Setup, plan: dict[str, Any]) -> dict[str, Any]:
    return checkpoint.environment(setup.device, plan["precision"], 1)


def _precision(setup: Setup) -> str:
    def make(precision: str) -> Trainer:
        return setup.trainer(setup.plan(precision))

    return budget.choose_precision(make, setup.device, setup.options.precision, MEASURE_SECONDS / 5)


def _record(setup: Setup, plan: dict[str, Any], parts: Identity) -> dict[str, Any]:
    """The record of a new run before it starts."""
    return {
        "kind": KIND,
        "family": setup.family.name,
        "options": places.published(setup.options).model_dump(mode="json"),
        "plan": plan,
        "task": _described(setup.tasks[0]),
        **({"further_tasks": [_described(task) for task in setup.tasks[1:]]} if setup.rates else {}),
        "identity": identity.stamped(parts),
        "made": _made(setup, plan),
        "versions": run_directory.versions(),
        "state": {"finished": False, "weights": "best"},
    }


def _described(task: TaskPart) -> dict[str, Any]:
    counts = {part: len(getattr(task.data, part)) for part in PARTS}
    return {"name": task.name, "examples": counts, "fingerprint": task.data.fingerprint}


def _said_of(task: TaskPart, rate: float | None) -> list[str]:
    """Notes on a task, its numbers of examples, and how often it is drawn where it is one of several."""
    data, notes = task.data, list(task.data.notes)
    for part, features in task.features.items():
        skipped = len(features.ids) - len(set(features.example.tolist()))
        for count, done in ((skipped, "skipped"), (features.too_long - skipped, "truncated")):
            if count > 0:
                called = {"train": "training", "valid": "validation", "test": "test"}[part]
                longer = f"{count:,} {called} examples are longer than {task.longest[part]} tokens"
                notes.append(f"{longer} and were {done} (max_length)")
    drawn = "" if rate is None else f", {rate:.2%} of what is drawn"
    return [*(f"note: {note}" for note in not_said(data.fingerprint, notes)), f"{task.name}: {data.sizes}{drawn}"]


def announce(setup: Setup, plan: dict[str, Any], console: Console) -> None:
    """Say what is learned, from what, and how long."""
    lines = [line for task in setup.tasks for line in _said_of(task, setup.rates.get(task.name))]
    lines.append(
        f"{plan['steps']:,} steps of {setup.step_size} ({plan['steps'] / setup.steps_per_epoch:.3g} epochs), "
        f"{plan['precision']} on {setup.device.type}, "
        f"{OPTIMIZERS[setup.options.optim.name]} with learning rate {plan['lr']:g}"
    )
    if count := len(setup.options.distil.teachers):
        texts = len(setup.tasks[0].features["train"].ids) - len(setup.data.train)
        lines.append(f"labels: those of {count} teachers, on the training examples and on {texts:,} texts without a label")
    if setup.options.ablate:
        lines.append(f"an ablation: training, validation and test {without(setup.options.ablate)}")
    if setup.by_tokens and plan["steps"] < FEW_STEPS:
        lines.append(
            f"note: {plan['steps']:,} steps are few to learn from: a smaller translation.batch_tokens, or batch in "
            "examples, makes more of an epoch, and epochs or steps more of them in all"
        )
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _train(setup: Setup, trainer: Trainer, out: Path, *, record: dict[str, Any], console: Console | None) -> None:
    options, name, plan = setup.options, setup.score, record["plan"]
    scores = [line["evaluation"][name] for line in trainer.evaluations]

    def evaluate(model: Any) -> tuple[dict[str, float], list[str]]:
        metrics, predictions = _score(setup, model, "valid", precision=plan["precision"], quick=True)
        if not scores or metrics[name] > max(scores):
            save(model, setup.tokenizer, out)
        scores.append(metrics[name])
        return metrics, [line for task, found in zip(setup.tasks, predictions) for line in task.sample(found)]

    def early_stop() -> bool:
        return options.patience is not None and bool(scores) and since_best(scores) >= options.patience

    def keep(model: Any) -> None:
        """The weights at the root are written by `evaluate`, when they are the best."""

    intervals = Intervals(
        checkpoint_every=max(1, round(setup.steps_per_epoch), plan["steps"] // MOST_CHECKPOINTS),
        evaluate_every=max(1, round(setup.steps_per_epoch / options.evaluations), plan["steps"] // MOST_EVALUATIONS),
        keep=max(2, setup.averaged),
    )
    model: Any = trainer.model
    progress = Progress(console, setup.flops_per_token(model, plan) if console else 0.0)
    train(
        trainer,
        out,
        intervals,
        evaluate=evaluate,
        save=keep,
        progress=progress,
        early_stop=early_stop,
        identity=record.get("identity"),
    )


def since_best(scores: list[float]) -> int:
    """Number of evaluations after the (first) best one."""
    return len(scores) - 1 - scores.index(max(scores))


def _score(
    setup: Setup, model: Any, part: str, *, precision: str, quick: bool = False
) -> tuple[dict[str, float], list[list[Any]]]:
    """The metrics of a model on one set of the examples, and its predictions for each task. Of several tasks: the mean of their
    scores, and every metric after the task's name."""
    predictions = setup.predictions(model, part, precision, quick=quick)
    pairs = zip(setup.tasks, predictions, strict=True)
    found = [measure(task.data.task, given, getattr(task.data, part)) for task, given in pairs]
    if len(found) == 1:
        return found[0], predictions
    mean = fmean(values[task.data.task.score] for task, values in zip(setup.tasks, found))
    return {MEAN: mean, **_named(setup, found)}, predictions


def _named(setup: Setup, values: Sequence[Mapping[str, V]]) -> dict[str, V]:
    """Of one task its values, of several those of each after the task's name."""
    if len(values) == 1:
        return dict(values[0])
    pairs = zip(setup.tasks, values, strict=True)
    return {f"{task.name}.{name}": value for task, own in pairs for name, value in own.items()}


def _chosen(setup: Setup, trainer: Trainer, out: Path, record: dict[str, Any]) -> tuple[Any, dict[str, float], str]:
    """The final model, its metrics on the validation set, and a description of its weights."""
    plan, state, name = record["plan"], record["state"], setup.score
    # Where no evaluation since a finished run went on was better, the root holds what it chose then.
    kept = state["weights"] if _best_step(trainer.evaluations, name) <= state.get("reopened", -1) else "best"
    best = load(out)[0].to(setup.device)
    valid, _ = _score(setup, best, "valid", precision=plan["precision"])
    if setup.averaged < 2:
        return best, valid, kept
    mean = setup.make_model().to(setup.device).eval()
    count = checkpoint.load_average(out / "checkpoints", setup.averaged, mean)
    other, _ = _score(setup, mean, "valid", precision=plan["precision"])
    return (mean, other, f"mean of the last {count} checkpoints") if other[name] > valid[name] else (best, valid, kept)


def _finish(setup: Setup, trainer: Trainer, out: Path, *, record: dict[str, Any], wall: float) -> FinetuneResult:
    tasks, plan, (first, *further) = setup.tasks, record["plan"], [task.data for task in setup.tasks]
    best, valid, weights = _chosen(setup, trainer, out, record)
    if setup.fitted(best, plan["precision"]):  # after the choice: weights are compared as they were trained
        valid, _ = _score(setup, best, "valid", precision=plan["precision"])
    test, predictions = _score(setup, best, "test", precision=plan["precision"])
    _write_predictions(setup, predictions, out)
    records = log.read(out)
    result = FinetuneResult(
        task=", ".join(task.name for task in tasks),
        kind=setup.kind.name,
        answer=setup.form,
        model=places.published_name(setup.options.model),
        family=setup.family.name,
        seed=setup.options.seed,
        score=setup.score,
        measured=first.measured if {first.measured} == {data.measured for data in (first, *further)} else "each test set",
        valid=valid,
        test=test,
        steps=trainer.step,
        best_step=_best_step(trainer.evaluations, setup.score),
        epochs=trainer.step / setup.steps_per_epoch,
        step_size=setup.step_size,
        weights=weights,
        signatures=_named(setup, [_signatures(task, found) for task, found in zip(tasks, predictions)]),
        tokens=trainer.tokens,
        examples=sum(len(task.data.train) for task in tasks),
        tasks={task.name: len(task.data.train) for task in tasks} if further else {},
        paired=first.paired,
        **{name: plan[name] for name in ("batch", "lr", "max_length", "precision")},
        parameters=best.count_parameters(),
        seconds=max(wall, trainer.seconds),
        memory_bytes=peak_memory(setup.device),
        auto_class=auto_class(best),
        ablate=setup.options.ablate,
        notes=[note for task in tasks for note in task.data.notes],
        pictures=pictures(out, tasks, setup.score, predictions, records),
        classes=[] if further else by_class(tasks[0], predictions[0]),
    )
    save(best, setup.tokenizer, out, card=card(setup.options, out, result))
    finished = {"state": {"finished": True, "weights": weights}, "result": result.as_dict()}
    run_directory.write(out, record | finished | {"files": root_files.digests(out)})
    return result


def _signatures(task: TaskPart, predictions: list[Any]) -> dict[str, str]:
    return signatures(task.data.task.metrics, predictions, task.data.test)


def _write_predictions(setup: Setup, predictions: list[list[Any]], out: Path) -> None:
    """The predictions for the test examples; of several tasks each with the name of its task."""
    pairs = list(zip(setup.tasks, predictions, strict=True))
    found = [(task, as_rows(task.kind, task.data.test, given)) for task, given in pairs]
    if len(pairs) == 1:
        write_parts(out, setup.data.task, predictions[0], setup.data.test)
    several = len(pairs) > 1
    write_predictions(
        out / PREDICTIONS, [({"task": task.name} if several else {}) | row for task, rows in found for row in rows]
    )


def _best_step(evaluations: list[dict[str, Any]], score: str) -> int:
    """The step of the weights at the root."""
    return max(evaluations, key=lambda found: found["evaluation"][score])["step"]
