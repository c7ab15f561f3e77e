"""A fine-tuned model as it is opened: what it was trained on, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gyebo.config import toml
from gyebo.config.finetune import TaskOptions, TranslationOptions
from gyebo.generation.options import GenerationOptions
from gyebo.interchange import load
from gyebo.interchange.files import read_json
from gyebo.jobs import run_directory as runs
from gyebo.jobs.finetune import RESULTS
from gyebo.jobs.inference import ready
from gyebo.tasks import linear
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.tasks.kinds import translation
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.prediction import predict as predict_examples
from gyebo.tasks.task import NAMED, Example
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import pick_device


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
    if model.encodes_source:
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
