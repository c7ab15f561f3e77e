"""A fine-tuned model, opened for predictions, and the record of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions, TranslationOptions
from gyebo.generation.options import GenerationOptions
from gyebo.interchange.files import read_json
from gyebo.jobs import run_directory as runs
from gyebo.jobs.opened import Given, Loaded, directory_of, made_ready, open_given
from gyebo.jobs.picture_reading import reading_of
from gyebo.jobs.places import placed_task
from gyebo.jobs.results import RESULTS
from gyebo.models.family import find
from gyebo.models.tree.row import HEAD, TEXT
from gyebo.objectives import table
from gyebo.tasks import linear, text_answers
from gyebo.tasks.dialogue import Source, source_of
from gyebo.tasks.features import Features
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.tasks.kinds.kind import HeadForm, Kind, TaskTexts
from gyebo.tasks.kinds.table import encode, find_kind
from gyebo.tasks.prediction import predict as predict_examples
from gyebo.tasks.reading import Reader, reader_of
from gyebo.tasks.seeing import PictureReading
from gyebo.tasks.splits import open_task
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.tasks.wording import text_task
from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TrainingRecord:
    """The record of a fine-tuning, for one of its tasks: the task, whether examples had two texts, maximum tokens of a row
    (None: unlimited), and the options of a model that writes its answers. `tasks`: all that it learned."""

    task: TaskOptions
    paired: bool
    max_length: int | None
    translation: TranslationOptions
    tasks: tuple[TaskOptions, ...] = ()

    def of(self, text: TextTask) -> TrainingRecord:
        """The record for another of several tasks, as it was read."""
        if len(self.tasks) < 2:
            return self
        task = next(task for task in self.tasks if task.name == text.name)
        return replace(self, task=task, paired="pair" in dict(text.columns), max_length=open_task(task).max_length)


def is_linear(name: Given) -> bool:
    """Whether a directory holds the linear baseline."""
    return not isinstance(name, Loaded) and linear.is_linear(name)


def trained_on(name: Given) -> TrainingRecord | None:
    """The training record of a run, for the first of its tasks; None for other directories, for runs other than fine-tunings,
    and for a model that is open already."""
    folder = directory_of(name)
    if folder is None:
        return None
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
        raise OptionError(f"{name}: its fine-tuning is not finished: continue it with ‹resume›")
    stored = {"task": options["task"]}
    stored |= {f"further_tasks.{number}": task for number, task in enumerate(options.get("further_tasks", ()), 1)}
    checked = {field: toml.check(TaskOptions, task, f"{name}: the stored task") for field, task in stored.items()}
    tasks = tuple(placed_task(task, folder, field) for field, task in checked.items())
    searched = toml.check(TranslationOptions, options.get("translation", {}), f"{name}: the stored options")
    return TrainingRecord(tasks[0], result["paired"], result.get("max_length"), searched, tasks)


@dataclass(frozen=True, kw_only=True)
class FinetunedModel:
    """A fine-tuned model. `tokenizer`: None for the linear baseline. `trained`: None if it was not fine-tuned by gyebo.
    `texts`: its task as text, if it answers by text. `notes`: remarks on the examples that it predicted."""

    name: Given
    model: Any
    kind: Kind
    tokenizer: Tokenizer | None = None
    labels: tuple[str, ...] = ()
    trained: TrainingRecord | None = None
    texts: TaskTexts | None = None
    notes: list[str] = field(default_factory=list)

    def predict(self, examples: list[Example], *, device: str, precision: str, max_length: int | None) -> list[Any]:
        """Predictions for examples, as `gyebo/tasks/task.py` defines them; for the linear baseline margins instead of
        probabilities. `max_length`: maximum tokens of a row, if the training record has none; None: the context."""
        if isinstance(self.model, linear.LinearModel):
            if precision != "float32":
                raise OptionError(f"‹precision›={precision} has no effect on the linear baseline: leave it out")
            return margins(self.model, examples)
        autocast = partial(made_ready, self.name, self.model, device, precision)
        blank = [replace(example, label=None, tags=(), heads=(), relations=(), state=()) for example in examples]
        context = self.model.config.context
        length = min((self.trained and self.trained.max_length) or max_length or context, context)
        if isinstance(self.model, TaskModel):
            return self._by_head(self.model.form, blank, length, autocast)
        return self._by_text(examples, blank, length, autocast)

    def _by_head(self, form: HeadForm, blank: list[Example], length: int, autocast: Callable[[], Any]) -> list[Any]:
        assert self.tokenizer is not None
        empty = self.kind.empty
        read = blank if empty is None else [example for example in blank if example.text]
        labels = self.labels if self.kind.names_classes else None
        features = encode(self.kind.name, read, self.tokenizer, labels, length, self.pictures)
        self._note_truncated(features, length)
        if self.model.ngrams is not None:
            features = self.model.ngrams.reading.read(features, read)
        if self.pictures and self.pictures.left_out:
            self.notes.append(f"the {self.pictures.left_out} of each example is left out, as in training")
        found = iter(predict_examples(self.model, form, features, read, autocast=autocast()))
        return [next(found) if empty is None or example.text else empty() for example in blank]

    @property
    def pictures(self) -> PictureReading | None:
        """How it reads the pictures of examples: as it was fine-tuned, or as its body was trained; None where it sees none."""
        assert isinstance(self.model, TaskModel)
        if not self.model.form.sees:
            return None
        return self.model.pictures or reading_of(None, self.model)

    def _note_truncated(self, features: Features, length: int) -> None:
        if features.too_long:
            self.notes.append(
                f"{features.too_long:,} of {len(features.ids):,} texts are longer than {length} tokens and were truncated"
            )

    def _by_text(self, examples: list[Example], blank: list[Example], length: int, autocast: Callable[[], Any]) -> list[Any]:
        form = self.texts
        assert form is not None
        sources, ready = self.sources(blank, length), autocast()
        found = text_answers.predict(
            form, self.model, sources, blank, options=self.search, empty=self.kind.empty, autocast=ready
        )
        if form.scored is None or any(form.target(example) is None for example in examples):
            return found
        rows = self._rows(examples, length, targets=True)
        return text_answers.scored(form, self.model, rows, examples, found, autocast=ready)

    @property
    def reader(self) -> Reader:
        """How a model that writes its answers reads."""
        return reader_of(self.model, self.model.config)

    def _rows(self, examples: list[Example], length: int | None, *, targets: bool) -> Features:
        assert self.tokenizer is not None and self.texts is not None
        longest = (length or self.reader.context) if self.texts.shortens else self.reader.context
        return text_answers.encode(
            self.texts, examples, self.tokenizer, reader=self.reader, max_length=longest, targets=targets
        )

    def source_of(self, turns: Sequence[str]) -> Source:
        """A history as a dialogue model reads it, as in training (`gyebo/tasks/dialogue.py`). ValueError for another kind of
        model, for no turn, and for an empty one."""
        if self.texts is None or self.texts.task.turns is None:
            raise ValueError(
                f"{self.name} is a model for {self.kind.name}, which reads no dialogue: gyebo finetune MODEL dialogue"
            )
        assert self.tokenizer is not None
        length = (self.trained and self.trained.max_length) or self.reader.context
        return source_of(turns, self.tokenizer, self.texts.task, self.reader, length)

    def sources(self, examples: list[Example], length: int | None = None) -> Features:
        """The features of examples for a model that generates. A source longer than `length` tokens is cut where the kind says
        how, and this is noted; otherwise one longer than the context is a ValueError."""
        form, reader = self.texts, self.reader
        assert self.tokenizer is not None and form is not None
        found, longest = self._rows(examples, length, targets=False), reader.longest(length or reader.context)
        if form.shortens:
            self._note_truncated(found, longest)
            self.notes.extend(filter(None, [found.notes["dropped"].said(longest)]))
        elif found.too_long:
            most = reader.longest(reader.context)
            room = reader.template(self.tokenizer).room(most)
            texts = self.tokenizer.encode_batch([form.source(example) for example in examples])
            long = next(number for number, ids in enumerate(texts) if len(ids) > room)
            what = (
                f"more than {most} tokens, the most that {self.name} reads"
                if reader.alone
                else (f"more than the {most} tokens of the context of {self.name}")
            )
            raise ValueError(f"{examples[long].id} has {what}: split it")
        return found

    @property
    def search(self) -> GenerationOptions:
        """Options of beam search: those of the run, otherwise the defaults."""
        found = self.trained.translation if self.trained else TranslationOptions()
        return text_answers.search_options(found.beams, found.length_penalty, found.coverage_penalty)

    @property
    def probability_key(self) -> str:
        """The key of the numbers by class name in predictions."""
        return "probabilities" if self.tokenizer else "margins"


def margins(model: linear.LinearModel, examples: list[Example]) -> list[Any]:
    """The linear baseline's predictions: the margin of each class by name, or the score."""
    if model.labels is None:
        return list(model.predict(examples))
    return [dict(zip(model.labels, map(float, row))) for row in model.scores(examples)]


def open_model(name: Given, task: TaskOptions | None = None) -> FinetunedModel:
    """A fine-tuned model, for one of its tasks; `task`: which, where it learned several, or is a published model that was told
    its tasks by their names. Raises ValueError as `open_tasks`, and for a task that is not named or was not learned."""
    found = open_tasks(name, task)
    if len(found) == 1:
        return found[0]
    names = [each.texts.task.name for each in found if each.texts]
    if task is None:
        raise OptionError(f"{name} learned several tasks: name one with ‹task›: {', '.join(names)}")
    if task.name not in names:
        raise ValueError(f"{name} learned {', '.join(names)}, not {task.name}")
    return found[names.index(task.name)]


def open_named(name: Given, task: str | None) -> FinetunedModel:
    """As `open_model`, for a task by its name; OptionError for one that a model of one task did not learn."""
    opened = open_model(name, None if task is None else TaskOptions(name=task))
    known = opened.texts.task.name if opened.texts else opened.trained.task.name if opened.trained else None
    if task is not None and task != known:
        raise OptionError(f"‹task›={task}: {name} learned {known or 'a task that it does not name'}: leave it out")
    return opened


def open_tasks(name: Given, task: TaskOptions | None = None) -> tuple[FinetunedModel, ...]:
    """A fine-tuned model for each of its tasks, mostly one. `task`: what is asked of a published model.

    Raises ValueError for models without a task head that learned no task to answer by text, and for multi-label classifiers.
    """
    if not isinstance(name, Loaded) and is_linear(name):
        baseline = linear.load(name)
        kind = find_kind("regression" if baseline.labels is None else "classification")
        labels = baseline.labels or ()
        return (FinetunedModel(name=name, model=baseline, kind=kind, labels=labels, trained=trained_on(name)),)
    model, tokenizer = open_given(name)
    if not find(model.family).answers:
        raise ValueError(f"{name} is a model of the family {find(model.family).title}, which learns no task")
    if not isinstance(model, TaskModel) and TEXT in find(model.family).answers:
        if tokenizer is None:
            raise ValueError(f"{name} has no tokenizer that gyebo reads (a tokenizer.json)")
        trained = trained_on(name)
        return tuple(
            FinetunedModel(
                name=name,
                model=model,
                kind=find_kind(texts.task.kind),
                tokenizer=tokenizer,
                labels=texts.task.labels,
                trained=trained and trained.of(texts.task),
                texts=texts,
            )
            for texts in _learned(model, trained, name, task)
        )
    if not isinstance(model, TaskModel):
        what = f"{name} is a model of the family {find(model.family).title} without a task head"
        raise ValueError(f"{what}: fine-tune it first, gyebo finetune {name} TASK -o DIR")
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    expected = model.form.default_labels
    if expected is not None and len(model.labels) != expected:
        raise ValueError(f"{name} predicts {len(model.labels)} numbers per text, but gyebo supports only one")
    return (
        FinetunedModel(
            name=name, model=model, kind=model.kind, tokenizer=tokenizer, labels=model.labels, trained=trained_on(name)
        ),
    )


def _learned(model: Any, trained: TrainingRecord | None, name: Given, asked: TaskOptions | None) -> list[TaskTexts]:
    """The tasks that a model answers by text: as its `config.json` has them, else the record of its run, else the one of which
    its family alone learns, or of a published model that reads prefixes what is asked; ValueError where there is none."""
    family = find(model.family)
    learned = table.find(family.objective).kind
    if model.tasks:
        tasks = list(model.tasks)
    elif trained:  # of a version that wrote no task into `config.json`, when sources had no prefix
        known = open_task(trained.task)
        tasks = [TextTask(name=known.name, kind=known.kind)]
    elif learned:
        tasks = [TextTask(name=learned, kind=learned)]
    elif family.prefixes and asked is not None:
        tasks = [text_task(open_task(asked), prefixes=True)]
    else:
        head = f"is a model of the family {family.title} without a task head and " if family.answers[0] == HEAD else ""
        raise ValueError(
            f"{name} {head}has no record of the task that it learned: fine-tune it first, gyebo finetune {name} TASK -o DIR"
        )
    return [_form(task, name) for task in tasks]


def _form(task: TextTask, name: Given) -> TaskTexts:
    kind = find_kind(task.kind)
    if kind.text is None:
        raise ValueError(f"{name}: its config.json names the task {task.name}, but {kind.name} is not answered by text")
    return kind.text.of(task)
