"""`gyebo pretrain`: from a corpus and a family to a run directory that `transformers` opens."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import gyebo
from gyebo.config.run import RunOptions
from gyebo.config.toml import suggest
from gyebo.data.batches import Rows
from gyebo.data.plan import training_plan
from gyebo.data.shards import Prepared
from gyebo.evaluation import evaluate_text, held_out_rows
from gyebo.figures.curves import training_curve
from gyebo.generation import generate
from gyebo.interchange import load, model_card, save
from gyebo.jobs import budget, runs
from gyebo.jobs.corpora import floor, open_data, roles_of
from gyebo.models import family as tree
from gyebo.objectives import OBJECTIVES
from gyebo.text.tokenizer import Tokenizer
from gyebo.training import distributed, log
from gyebo.training.loop import Rhythm, resume, train
from gyebo.training.machine import DTYPES, keep_freed_memory, peak_memory, pick_device, reset_peak_memory
from gyebo.training.progress import Progress
from gyebo.training.trainer import Trainer, initial_seed

MEASURE_SECONDS = 2.5  # of each precision; a budget in steps needs less, only to choose one
WITHOUT_FLAG = {"plan_seed", "micro_batch_tokens", "evaluate_every", "evaluate_tokens"}  # in [data], [train]: typed with --set
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
    rows: Rows
    valid: Rows
    batch_rows: int
    micro_rows: int
    device: torch.device

    def trainer(self, precision: str, steps: int, *, compile: bool = False) -> Trainer:
        """A fresh trainer: weights drawn from the seed, or those of --from."""
        return Trainer(
            self.make_model(),
            OBJECTIVES[self.family.objective],
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
    objective = OBJECTIVES[family.objective]
    plan = training_plan(prepared.train, context, objective.max_length, options.data.plan_seed, prepared.folder)
    start, end, pad = (tokenizer.role_ids[role] for role in ("bos", "eos", "pad"))
    rows = Rows(prepared.train, plan, start, end, objective.corrupt, pad, options.data.across_documents)

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
    valid = held_out_rows(prepared.valid, context, start, end, pad=pad)
    return Setup(options, family, tokenizer, prepared, make_model, rows, valid, batch_rows, micro_rows, device)


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
    fixed = {"vocab_size", "context", "pad_id", "bos_id", "eos_id"}
    for name, value in options.model.items():
        if name not in known or name in fixed:
            raise ValueError(f"unknown option 'model.{name}'{suggest(name, sorted(set(known) - fixed))}")
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
    flops = 3 * model.flops(setup.tokens_per_step, setup.rows.plan.context)
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


def pretrain(
    options: RunOptions, out: Path, *, resume: bool = False, overwrite: bool = False, console: Console | None = None
) -> dict[str, Any]:
    """Train one run in `out`, or go on with it; gives its result, which `run.toml` stores too (other processes: nothing).

    With `resume`, a finished run gives its stored result at once and a missing one is started. Raises ValueError for options
    that don't fit, `training.loop.Stopped` after a signal, `Failed` where the loss is not finite.
    """
    device = pick_device(options.train.device)
    with distributed.process_group(device):
        if distributed.rank() > 0:
            console = None
        found = distributed.from_first(runs.claim(out, resume=resume, overwrite=overwrite) if distributed.rank() == 0 else None)
        record = runs.read(out) if found else None
        if record:
            changed = runs.differences(runs.options_of(record, out), options)
            if changed:
                raise ValueError(
                    f"{out} can't be resumed with other options: {'; '.join(changed)}. Use a new -o to change them"
                )
            if "result" in record:
                return record["result"]
        try:
            return _run(options, out, record, console)
        except BaseException:
            if distributed.rank() == 0:
                runs.abandon(out)
            raise


def _run(options: RunOptions, out: Path, record: dict[str, Any] | None, console: Console | None) -> dict[str, Any]:
    first = distributed.rank() == 0
    if first:
        setup = set_up(options, out, console)
    distributed.barrier()
    if not first:
        setup = set_up(options, out, None)
    fingerprint = setup.prepared.meta["fingerprint"]
    if record and record["corpus"]["fingerprint"] != fingerprint:
        raise ValueError(f"{out} can't be resumed: the corpus has changed since (fingerprint {fingerprint[:12]})")
    if record is None:
        if console and (options.budget.minutes or options.train.precision == "auto"):
            console.print("measuring the speed of this machine", highlight=False)
        # All processes measure together, as they will train; the first one's figures count.
        plan = distributed.from_first(plan_run(setup))
        record = {
            "options": options.model_dump(mode="json"),
            "plan": plan,
            "corpus": {"fingerprint": fingerprint, **{k: setup.prepared.meta[k] for k in ("train", "valid")}},
            "versions": runs.versions(),
            "state": {"finished": False, "weights": "newest"},
        }
        if first:
            runs.write(out, record)
    if console:
        _announce(setup, record["plan"], console)
    reset_peak_memory(setup.device)
    trainer = setup.trainer(record["plan"]["precision"], record["plan"]["steps"], compile=options.train.compile)
    start = time.perf_counter()
    _train(setup, trainer, out, record, console)
    if first:
        return _finish(setup, trainer, out, record, time.perf_counter() - start)
    return {}


def _announce(setup: Setup, plan: dict[str, Any], console: Console) -> None:
    console.print(
        f"{setup.family.title} {setup.shape}: {plan['parameters']:,} parameters, {plan['steps']:,} steps of "
        f"{plan['tokens_per_step']:,.0f} tokens ({plan['epochs']:.2f} epochs), {plan['precision']} on {plan['device']}",
        highlight=False,
    )


def _train(setup: Setup, trainer: Trainer, out: Path, record: dict[str, Any], console: Console | None) -> None:
    options, plan = setup.options.train, record["plan"]
    say = console.print if console else print
    resume(trainer, out, say)
    every = budget.tenth(plan["steps"])
    rhythm = Rhythm(options.checkpoint_every or every, options.evaluate_every or every, options.keep)
    autocast = setup.autocast(plan["precision"])

    def evaluate(model: Any) -> tuple[dict[str, float], list[str]]:
        last = trainer.step == trainer.steps
        metrics = evaluate_text(model, setup.valid, tokens=None if last else options.evaluate_tokens, autocast=autocast)
        return metrics, [] if console is None else sample(model, setup.tokenizer, 1)

    def save_root(model: Any) -> None:
        save(model, setup.tokenizer, out)

    progress = Progress(console, plan["flops_per_step"] / 3 / plan["tokens_per_step"])
    train(trainer, out, rhythm, evaluate=evaluate, save=save_root, progress=progress)


def sample(model: Any, tokenizer: Tokenizer, count: int) -> list[str]:
    """A few lines that the model writes from nothing, always with the same seeds; control characters show as spaces."""
    model.eval()
    length = min(48, model.config.context - 1)
    texts = [generate(model, tokenizer, "", max_new_tokens=length, temperature=0.8, top_p=0.95, seed=s) for s in range(count)]
    return [" ".join("".join(c if c.isprintable() else " " for c in str(text)).split()) for text in texts]


def _finish(setup: Setup, trainer: Trainer, out: Path, record: dict[str, Any], wall: float) -> dict[str, Any]:
    plan, meta = record["plan"], setup.prepared.meta
    last = next(r for r in reversed(log.read(out)) if "evaluation" in r)
    bytes_per_token = meta["train"]["bytes"] / setup.rows.plan.positions
    result = {
        "family": setup.family.name,
        "size": setup.shape,
        "seed": setup.options.seed,
        "steps": trainer.step,
        "tokens": trainer.tokens,
        "bytes": round(trainer.tokens * bytes_per_token),
        "epochs": trainer.step * setup.batch_rows / len(setup.rows.plan),
        "flops": plan["flops_per_step"] * trainer.step,
        "parameters": plan["parameters"],
        "parameters_without_embeddings": plan["parameters_without_embeddings"],
        "seconds": max(wall, trainer.seconds),
        "tokens_per_second": trainer.tokens / trainer.seconds,
        "memory_bytes": peak_memory(setup.device),
        "precision": plan["precision"],
        "lr": trainer.peak_lr,
        "valid": last["evaluation"] | {"floor_bits_per_byte": floor(setup.prepared)},
        "samples": sample(trainer.model, setup.tokenizer, 3),
    }
    pictures = _draw(out, bytes_per_token, floor(setup.prepared))
    save(trainer.model, setup.tokenizer, out, card=_card(setup, out, result, pictures))
    runs.write(out, record | {"state": {"finished": True, "weights": "last"}, "result": result})
    return result


def _draw(out: Path, bytes_per_token: float, entropy: float | None) -> dict[str, str]:
    """The curve of the run as `loss.png`; gives {caption: file}."""
    records = log.read(out)
    training_curve(
        out / "loss.png",
        [r["step"] for r in records if "loss" in r],
        [r["loss"] for r in records if "loss" in r],
        [(r["step"], r["evaluation"]["bits_per_byte"]) for r in records if "evaluation" in r],
        bytes_per_token=bytes_per_token,
        floor=entropy,
    )
    return {"bits per byte during training": "loss.png"}


def _card(setup: Setup, out: Path, result: dict[str, Any], pictures: dict[str, str]) -> str:
    valid = result["valid"]
    metrics = {name.replace("_", " "): valid[name] for name in ("bits_per_byte", "bits_per_character", "perplexity")}
    return model_card(
        name=out.name,
        family=setup.family.name,
        title=setup.family.title,
        year=setup.family.year,
        paper=setup.family.paper,
        size=setup.shape,
        parameters=result["parameters"],
        parameters_without_embeddings=result["parameters_without_embeddings"],
        corpus=", ".join(setup.options.data.corpus),
        tokens=result["tokens"],
        budget=f"{result['steps']:,} steps of {setup.tokens_per_step:,.0f} tokens on average, seed {result['seed']}",
        metrics=metrics,
        command=command_of(setup.options, out),
        base_model=setup.options.start_from,
        samples=result["samples"],
        pictures=pictures,
        version=gyebo.__version__,
    )


def command_of(options: RunOptions, out: Path) -> str:
    """What one types to get this run: every option that differs from its default."""
    words = ["gyebo", "pretrain", options.family, *options.data.corpus, "-o", str(out)]
    hidden = {"family", "model", "data", "optim", "budget", "train", *(["size"] if options.start_from else [])}
    flags = options.model_dump(mode="json", exclude=hidden, exclude_defaults=True)
    flags |= options.budget.model_dump(mode="json", exclude_none=True)
    settings: dict[str, Any] = {}
    for section, group in (("data", options.data), ("train", options.train), ("optim", options.optim)):
        for name, value in group.model_dump(mode="json", exclude={"corpus"}, exclude_defaults=True).items():
            if section == "optim" or name in WITHOUT_FLAG:
                settings[f"{section}.{name}"] = value
            else:
                flags[name] = value
    settings |= {f"model.{name}": value for name, value in options.model.items()}
    for name, value in flags.items():
        flag = "--from" if name == "start_from" else f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [flag, str(value)]
    for name, value in settings.items():
        words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)
