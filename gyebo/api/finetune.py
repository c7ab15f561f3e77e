"""`gyebo.finetune`, the verb of `gyebo finetune`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import Texts, corpus_names, row_file
from gyebo.api.options import Named, checked, directory_of, folder, given, named, refuse, verb
from gyebo.api.showing import Shown, Written, figure
from gyebo.api.speaking import console
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.config.toml import Settings, check, parsed
from gyebo.jobs.results import FinetuneSummary, SeedSummary

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose

LINEAR = "linear"


@dataclass(frozen=True, kw_only=True, repr=False)
class FinetunedRun(Written, FinetuneSummary):
    """A finished fine-tuning and its directory `out`: the mean and the deviation of every metric over its seeds."""

    out: Path

    def title(self) -> str:
        """What it is, in a line."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return f"{self.model} on {self.task}, {seeds}: {self.out}"

    def lines(self) -> list[tuple[str, str]]:
        """The metrics on the test set, the one that ranks first."""
        names = sorted(self.test, key=lambda name: name != self.score)
        said = [(name.replace("_", " "), f"{_mean(self.test[name])} ({self.measured})") for name in names]
        return [*said, ("examples", f"{self.examples:,}"), ("parameters", f"{self.parameters:,}")]

    def image_files(self) -> list[Path]:
        """The learning curve, and the confusion matrix of a classifier."""
        return [self.out / "learning.png", self.out / "confusion.png"]

    def as_dict(self) -> dict[str, Any]:
        """The summary as it is stored in results.json."""
        return {name: value for name, value in asdict(self).items() if name in FinetuneSummary.__dataclass_fields__}


def _mean(found: SeedSummary) -> str:
    if found.mean is None:
        return "not finite"
    return figure(found.mean) + (f" ± {found.deviation:.4f}" if found.deviation is not None else "")


@dataclass(frozen=True, kw_only=True, repr=False)
class FinetuningPlanned(Shown):
    """What a fine-tuning would be. rates: of several tasks, how often each is drawn."""

    steps: int
    batch: int
    micro_batch: int
    lr: float
    warmup: float
    max_length: int | None
    precision: str
    rates: dict[str, float] = field(default_factory=dict)

    def title(self) -> str:
        """What it is, in a line."""
        return "a dry run: nothing was written"

    def lines(self) -> list[tuple[str, str]]:
        """All of it."""
        return [
            (name.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value)) for name, value in self._all()
        ]

    def _all(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in vars(self).items() if name != "rates" or value]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(self._all())


@verb("finetune")
def finetune(
    model: Named,
    task: str | Sequence[str] | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    data: Any = None,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    image: str | None = None,
    features: str | Path | None = None,
    test: Any = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    train_share: float | None = None,
    tokenizer: Named | None = None,
    answer: str | None = None,
    ablate: str | None = None,
    seeds: int | Sequence[int] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch: int | None = None,
    max_length: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    freeze: int | None = None,
    ngrams: int | None = None,
    teachers: Named | Sequence[Named] | None = None,
    unlabelled: Texts = None,
    patience: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    precision: str | None = None,
    settings: Settings | None = None,
    dry_run: bool = False,
    verbose: Verbose = None,
) -> FinetunedRun | FinetuningPlanned:
    """Fine-tune a model on a task: `gyebo.finetune("runs/bert", "classification", data=frame, text="review", label="mood",
    out="runs/y")`.

    model: a run, a `transformers` directory, a hub id, "FAMILY:SIZE" (from scratch), or "linear" (the baseline). task: one that
    `gyebo tasks` lists, or a kind of task on data of your own; several for one model that answers by text: a list of names, or
    {name: data}. data, test: the name of a file, of a folder of the task or of hf:NAME; or rows in memory: dicts, a table of
    pandas or polars, a data set of `datasets`. text, pair, label, image: names of their columns. features:
    a file with the regions of the pictures that image names.

    seeds: one or several; `out` becomes the best one's model then. lr, layer_decay, freeze: of the optimiser. ngrams: buckets
    of the text's character n-grams, which a linear layer beside the head reads. teachers: fine-tuned models of the task, whose
    mean probabilities are learned beside the labels; unlabelled: texts without a label, which they label, as the corpus of
    `gyebo.pretrain`. settings: any other option, as
    {"optim.warmup": 0.06}. All options: docs/finetuning.md; verbose and errors as of `gyebo.pretrain`.
    """
    place, chosen = folder(out), _seeds(seeds)
    if place is None and not dry_run:
        raise OptionError("‹out›: name the directory of the run, or ask for ‹dry_run›")
    if dry_run and (resume or overwrite):
        raise OptionError("‹dry_run› and ‹resume› or ‹overwrite› exclude each other: a dry run writes nothing")
    own = given(data=row_file(data, "data"), text=text, pair=pair, label=label, image=image, test=row_file(test, "test"))
    own |= given(features=None if features is None else str(features), encoding=encoding, bad_bytes=bad_bytes)
    first, *further = _tasks(task, own, train_share)
    values: dict[str, Any] = given(
        tokenizer=directory_of(tokenizer),
        answer=answer,
        ablate=ablate,
        epochs=epochs,
        steps=steps,
        batch=batch,
        max_length=max_length,
        ngrams=ngrams,
        patience=patience,
        device=device,
        precision=precision,
    )
    optim = given(lr=lr, layer_decay=layer_decay, freeze=freeze)
    distil = given(teachers=None if teachers is None else [named(one, "teachers") for one in _several(teachers)])
    distil |= {} if unlabelled is None else {"texts": {"corpus": corpus_names(unlabelled, "unlabelled")}}
    name = named(model, "model")
    if name == LINEAR:
        if further:
            raise OptionError(f"‹task.name›: {LINEAR} learns one task: name one")
        usual = {"device": "auto", "precision": "auto"}
        asked = {name: value for name, value in values.items() if usual.get(name) != value}
        asked |= {"teachers": teachers, "unlabelled": unlabelled}
        refuse(
            {**asked, "seed": seeds, **optim, "resume": resume, "settings": settings or None, "dry_run": dry_run},
            LINEAR,
        )
        assert place is not None
        return _linear(first, place, overwrite, verbose)
    values |= {"model": name, "task": first, "optim": optim} | ({"distil": distil} if distil else {})
    values |= {"further_tasks": further} if further else {}
    if "seed" in parsed(settings or {}):
        raise OptionError("‹settings.seed› has no effect: use ‹seed›")
    return _finetune(
        checked(FinetuneOptions, values, settings), chosen, None if dry_run else place, resume=resume, overwrite=overwrite,
        verbose=verbose,
    )  # fmt: skip


def _finetune(
    options: FinetuneOptions, seeds: list[int], out: Path | None, *, resume: bool, overwrite: bool, verbose: Verbose
) -> FinetunedRun | FinetuningPlanned:
    from gyebo.jobs.finetune import finetune_seeds
    from gyebo.jobs.finetuning import run

    if out is None:
        return FinetuningPlanned(**run.dry_run(options, console(verbose)))
    found = finetune_seeds(options, seeds, out, resume=resume, overwrite=overwrite, console=console(verbose))
    return FinetunedRun(**vars(found), out=out)


def _linear(task: dict[str, Any], out: Path, overwrite: bool, verbose: Verbose) -> FinetunedRun:
    from gyebo.jobs.finetuning.linear import finetune_linear

    found = finetune_linear(check(TaskOptions, task, section="task"), out, overwrite=overwrite, console=console(verbose))
    return FinetunedRun(**vars(found), out=out)


def _several(names: Any) -> Sequence[Named]:
    return names if isinstance(names, list | tuple) else [names]


def _seeds(seeds: int | Sequence[int] | None) -> list[int]:
    found = [0] if seeds is None else [seeds] if isinstance(seeds, int) else seeds
    numbers = [*found] if isinstance(found, list | tuple | range) else []
    if not numbers or any(type(seed) is not int or seed < 0 for seed in numbers) or len(set(numbers)) != len(numbers):
        shown = ",".join(map(str, numbers)) or seeds
        raise OptionError(f"‹seed› must be different whole numbers from 0, as 0,1,2, but is {shown!r} instead")
    return numbers


def _tasks(task: Any, own: dict[str, Any], train_share: float | None) -> list[dict[str, Any]]:
    """The tasks of NAME[=DATA],NAME[=DATA]..., of a list of names, or of {name: data}; `own`: options of an own file, of which
    several tasks share the data alone."""
    from gyebo.tasks.registry import TASKS

    shares = given(train_share=train_share)
    if isinstance(task, str) and not set(task) & {",", "="}:
        return [{"name": task, **own, **shares}]
    for option in own.keys() - {"data"}:
        raise OptionError(f"‹task.{option}› can't be told apart for several tasks: leave it out")
    found = []
    for name, place in _parts(task):
        if not name or not isinstance(name, str):
            raise OptionError(f"‹task.name›: write NAME,NAME or NAME=DATA,NAME=DATA, not {task!r}")
        files = name not in TASKS or TASKS[name].world is None
        data = {"data": place} if place else {"data": own["data"]} if files and "data" in own else {}
        found.append({"name": name, **data, **shares})
    return found


def _parts(task: Any) -> list[tuple[str, str | None]]:
    if isinstance(task, Mapping):
        return [(name, row_file(data, "task.name")) for name, data in task.items()]
    names = task.split(",") if isinstance(task, str) else task if isinstance(task, list | tuple) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise OptionError(f"‹task.name› must be the name of a task, several, or {{name: data}}, but is {task!r} instead")
    return [(name, place or None) for name, _, place in (part.partition("=") for part in names)]
