"""`gyebo predict`: what a fine-tuned model says of the texts of a file; and a task's metrics of one that stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gyebo.config import toml
from gyebo.config.finetune import TaskOptions, TranslationOptions
from gyebo.generation.options import GenerationOptions
from gyebo.interchange import load
from gyebo.interchange.files import read_json
from gyebo.jobs import runs
from gyebo.jobs.inference import check_precision, ready
from gyebo.jobs.predictions import as_rows, write_predictions
from gyebo.jobs.seeds import RESULTS
from gyebo.jobs.taskdata import HeldOut, open_task, read_task, read_test, same_source
from gyebo.jobs.tasksetup import NAMED
from gyebo.tasks import linear, translation
from gyebo.tasks.bleu import signatures
from gyebo.tasks.features import encode
from gyebo.tasks.heads import TaskModel
from gyebo.tasks.metrics import measure
from gyebo.tasks.predicting import predict as predict_examples
from gyebo.tasks.readers import any_rows, form_of, lines
from gyebo.tasks.task import Columns, Example, Task
from gyebo.tasks.user_data import USER_KINDS, user_task
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.machine import pick_device

LINES = ("classification", "regression", "tagging")  # kinds whose examples can be the lines of a plain text


@dataclass(frozen=True)
class Trained:
    """What a run says of its fine-tuning: the task, whether examples had two texts, tokens of a row (None: no matter), and
    what a translation was learned and searched with."""

    task: TaskOptions
    paired: bool
    max_length: int | None
    translation: TranslationOptions


def trained_on(name: str) -> Trained | None:
    """What the model of a run was fine-tuned on; None for one that is no run of ours, or was not fine-tuned."""
    folder = Path(name)
    if (folder / "run.toml").is_file():
        record = runs.read(folder)
        if record.get("kind") not in ("finetune", "linear"):
            return None
        options, result = record["options"], record.get("result")
    elif (folder / RESULTS).is_file():
        record = read_json(folder / RESULTS)
        options, result = record.get("options"), record.get("result")
    else:
        return None
    if not result:
        raise ValueError(f"{name}: its fine-tuning is not finished: go on with --resume")
    task = toml.check(TaskOptions, options["task"], f"{name}: the stored task")
    searched = toml.check(TranslationOptions, options.get("translation", {}), f"{name}: the stored options")
    return Trained(task, result["paired"], result.get("max_length"), searched)


@dataclass(frozen=True)
class Opened:
    """A fine-tuned model. `tokenizer`: None for the linear baseline. `trained`: None where it is no run of ours. `notes`: what
    became of the examples that it answered."""

    name: str
    model: Any
    tokenizer: Tokenizer | None
    kind: str
    labels: tuple[str, ...]
    trained: Trained | None
    notes: list[str] = field(default_factory=list)

    def answers(self, examples: list[Example], *, device: str, precision: str, max_length: int | None) -> list[Any]:
        """Predictions for examples, as `gyebo/tasks/task.py` fixes them; of the linear baseline margins instead of
        probabilities. `max_length`: tokens of a row, unless the run says it; by default all that the model reads."""
        if isinstance(self.model, linear.LinearModel):
            if precision != "float32":
                raise ValueError(f"--precision {precision} has no effect on the linear baseline: leave it out")
            return margins(self.model, examples)
        assert self.tokenizer is not None
        place, context = pick_device(device), self.model.config.context
        length = min((self.trained and self.trained.max_length) or max_length or context, context)
        blank = [replace(example, label=None, tags=(), heads=(), relations=()) for example in examples]
        if self.kind == translation.KIND:
            half = ready(self.model, place, precision)
            sources = translation.encode(blank, self.tokenizer, context, self.model.config.first_id)
            if sources.cut:
                long = next(n for n, length in enumerate(sources.lengths) if length == context)
                raise ValueError(f"{blank[long].id} has more than the {context} tokens that {self.name} reads: divide it")
            return translation.predict(self.model, sources, options=self.search, autocast=half)
        read = [example for example in blank if example.text or self.kind != "tagging"]  # no characters, no tags
        features = encode(self.kind, read, self.tokenizer, self.labels if self.kind in NAMED else None, length)
        if features.cut:
            self.notes.append(f"{features.cut:,} of {len(read):,} texts are longer than {length} tokens and were cut")
        half = ready(self.model, place, precision)
        found = iter(predict_examples(self.model, features, read, autocast=half))
        return [next(found) if example.text or self.kind != "tagging" else [] for example in blank]

    @property
    def search(self) -> GenerationOptions:
        """How translations are found: as in the run, else as by default."""
        found = self.trained.translation if self.trained else TranslationOptions()
        return translation.search_options(found.beams, found.length_penalty, found.coverage_penalty)

    @property
    def shares(self) -> str:
        """What the numbers beside a class are."""
        return "probabilities" if self.tokenizer else "margins"


def margins(model: linear.LinearModel, examples: list[Example]) -> list[Any]:
    """The linear baseline's predictions: the distance from each class's plane by its name, or the score."""
    if model.labels is None:
        return list(model.predict(examples))
    return [dict(zip(model.labels, map(float, row))) for row in model.scores(examples)]


def open_model(name: str) -> Opened:
    """A fine-tuned model; ValueError where it is not fine-tuned, or not for one class of several."""
    if linear.is_linear(name):
        baseline = linear.load(name)
        kind = "regression" if baseline.labels is None else "classification"
        return Opened(name, baseline, None, kind, baseline.labels or (), trained_on(name))
    model, tokenizer = load(name)
    if hasattr(model, "read_source"):
        if tokenizer is None:
            raise ValueError(f"{name} has no tokenizer that gyebo reads (a tokenizer.json): text can't be translated with it")
        return Opened(name, model, tokenizer, translation.KIND, (), trained_on(name))
    if not isinstance(model, TaskModel):
        what = f"{name} is a {type(model).__name__} without the head of a task"
        raise ValueError(f"{what}: gyebo finetune {name} TASK -o DIR makes one that has it")
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    if model.problem == "multi_label_classification":
        raise ValueError(f"{name} gives several classes to one text, which gyebo's tasks don't; only one of them")
    if model.problem == "regression" and len(model.labels) > 1:
        raise ValueError(f"{name} gives {len(model.labels)} numbers to one text, which gyebo's tasks don't; only one of them")
    kind = "regression" if model.problem == "regression" else model.kind
    return Opened(name, model, tokenizer, kind, model.labels, trained_on(name))


def predict(
    name: str,
    file: str,
    out: Path | None = None,
    *,
    text: str | None = None,
    pair: str | None = None,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
    notes: list[str] | None = None,
) -> list[dict[str, Any]]:
    """What a fine-tuned model says of each row of a file, as `gyebo.jobs.predictions` writes it: a text a line of a `.txt`,
    else columns, by default those from which the model learned.

    Written to `out` as JSON lines where it is given; what else is to be said goes into `notes`. Raises ValueError for a kind
    without a file format, and for what is wrong in the file.
    """
    check_precision(precision, pick_device(device))
    _refuse_existing(out, overwrite, file)
    opened = open_model(name)
    examples = list(_examples(opened, Path(file), text, pair))
    if not examples:
        raise ValueError(f"{file}: no text in it: the file is empty")
    found = as_rows(examples, opened.answers(examples, device=device, precision=precision, max_length=None), opened.shares)
    if notes is not None:
        notes += opened.notes
    if out is not None:
        write_predictions(out, found)
    return found


def _refuse_existing(out: Path | None, overwrite: bool | None, source: str | None = None) -> None:
    """ValueError before anything is computed; `overwrite` None: there is no such option."""
    if out is None:
        return
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")
    if source is not None and Path(source).resolve() == out.resolve():
        raise ValueError(f"-o {out} is the file that is read: choose another name")
    if out.exists() and (out.is_dir() or not overwrite):
        hint = "choose another name" if out.is_dir() or overwrite is None else "choose another name, or --overwrite it"
        raise ValueError(f"{out} exists already: {hint}")


def _examples(opened: Opened, file: Path, text: str | None, pair: str | None) -> Iterator[Example]:
    kind, trained = opened.kind, opened.trained
    if kind == translation.KIND:
        raise ValueError(f"{opened.name} translates: use gyebo translate {opened.name} {file}")
    if kind == "dependency":
        raise ValueError(f"{opened.name} parses the words of a treebank: use gyebo evaluate {opened.name} TASK")
    marked = trained is not None and trained.task.name not in USER_KINDS and open_task(trained.task).marked
    if marked and (form_of(file) == "txt" or text or pair):
        raise ValueError(
            f"{file}: {opened.name} tells how two entities of a text are related, and has to be told which: give a file of the "
            f"form of {trained.task.name}, without --text and --pair"  # type: ignore[union-attr]
        )
    if form_of(file) != "txt":
        return _columns(opened, file, text, pair)
    for flag, value in (("text", text), ("pair", pair)):
        if value is not None:
            raise ValueError(f"--{flag} has no effect on {file}, whose lines are the texts: leave it out")
    if kind not in LINES or (trained and trained.paired):
        what = "two texts" if kind in LINES else kind
        raise ValueError(f"{file}: {opened.name} reads {what}, which lines can't hold: give a .csv, .tsv, .jsonl or .parquet")
    return (Example(f"line {number}", line) for number, line in enumerate(lines(file), 1) if line.strip())


def _columns(opened: Opened, file: Path, text: str | None, pair: str | None) -> Iterator[Example]:
    """A file's examples: of a registered task's own columns, where it has those."""
    known = opened.trained
    if known and known.task.name not in USER_KINDS and not (text or pair):
        own = open_task(known.task)
        first = next((values for _, values in any_rows(file) if isinstance(values, dict)), {})
        if isinstance(own.convert, Columns) and any(name in first for name in own.convert.text):
            return replace(own, rows=any_rows).read(file, labelled=False)
    return _task_of(opened, text, pair).read(file, labelled=False)


def _task_of(opened: Opened, text: str | None, pair: str | None) -> Task:
    """What reads a file's columns: as named, else as those from which the model learned, else by their common names."""
    known = opened.trained
    if known and known.task.name in USER_KINDS:
        return open_task(known.task.model_copy(update={"text": text or known.task.text, "pair": pair or known.task.pair}))
    if known and open_task(known.task).marked and not (text or pair):
        return open_task(known.task)  # its files say where the entities are, columns of texts don't
    paired = known is not None and known.paired and opened.kind in ("classification", "regression")
    return user_task(opened.kind, text, pair or ("pair" if paired else None))


def evaluate_task(
    name: str,
    options: TaskOptions | None = None,
    *,
    device: str = "auto",
    precision: str = "float32",
    predictions: Path | None = None,
) -> dict[str, Any]:
    """A task's metrics of a fine-tuned model; without a task of that which it learned, on the part that it was measured on.

    A file of one's own counts whole, unless the model learned from it. Raises ValueError where the model does another kind of
    task, or knows other labels.
    """
    check_precision(precision, pick_device(device))
    _refuse_existing(predictions, None)
    opened = open_model(name)
    if options is None:
        if opened.trained is None:
            raise ValueError(f"{name} is no run of gyebo, so its task is not known: name one")
        options = opened.trained.task
    task = open_task(options)
    if opened.kind != task.kind:
        raise ValueError(f"{name} does {opened.kind}, but {task.name} is {task.kind}: fine-tune a model on {task.name} first")
    labels = opened.labels if opened.kind in NAMED else ()
    unknown = sorted(set(task.labels or ()) - set(labels)) if labels else []
    if unknown:
        raise ValueError(f"{name} knows the labels {', '.join(sorted(labels))}, but {task.name} has {', '.join(unknown)} too")
    held_out = _held_out(options, opened, labels)
    found = opened.answers(held_out.examples, device=device, precision=precision, max_length=held_out.task.max_length)
    if predictions is not None:
        write_predictions(predictions, as_rows(held_out.examples, found, opened.shares))
    metrics: dict[str, Any] = dict(measure(held_out.task, found, held_out.examples))
    metrics |= {f"{name}_signature": words for name, words in signatures(task.metrics, found, held_out.examples).items()}
    noted = {"note": "; ".join(opened.notes)} if opened.notes else {}
    return {"task": task.name, "measured": held_out.measured, "examples": len(held_out.examples), **metrics, **noted}


def _held_out(options: TaskOptions, opened: Opened, labels: tuple[str, ...]) -> HeldOut:
    """What the model is measured on: never what it learned from."""
    known = opened.trained.task if opened.trained else None
    if known and options.name in USER_KINDS and options.test is None and same_source(known.data, options.data):
        for column in ("text", "pair", "label"):
            given = getattr(options, column)
            if given is not None and given != getattr(known, column):
                raise ValueError(
                    f"--{column} {given}: {opened.name} learned from other columns of {options.data}, and was measured on what "
                    "was set aside there: leave the columns out, or name another file"
                )
        if known.test is not None and options is not known:
            raise ValueError(
                f"{opened.name} learned from {options.data} and set nothing of it aside to be measured on: name another file"
            )
        data = read_task(known)
        return HeldOut(data.task, data.test, data.measured, data.notes)
    return read_test(options, labels)


def as_lines(rows: list[dict[str, Any]]) -> str:
    """Predictions as JSON lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
