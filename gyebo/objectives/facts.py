"""What commands, comparisons and reports must know of an objective: a row of the table, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a comparison's table: its heading, what it means in plain words, the metric, and how its number is written."""

    heading: str
    meaning: str
    metric: str
    form: str = "{:.4f}"


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a model shows of itself. `function`: "module:function" that gives lines of text (`gyebo/evaluation/samples.py`);
    `heading`, `meaning`: of the report's section."""

    function: str
    heading: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Pictures that a model shows of itself. `function`: "module:function" from (model, rows, count) to lines of pictures,
    arrays [n, S, S, 3] (`gyebo/evaluation/reconstruction.py`); `file`: in the run's directory; `caption`."""

    function: str
    file: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class ObjectiveFacts:
    """One objective.

    `module`: where its `Options` and `build` are. `kind`: the kind of task from whose examples it is learned, instead of from a
    corpus, and which a model answers that has no record of another one.
    `capabilities`: of a model's class, one of which it takes (`gyebo/models/pretrained.py`); none: its heads decide.
    `flag`: of a model's config that is on where it learned this, instead of the family's own objective.
    `sentinels`: the number of sentinels that a tokenizer without any is given.
    `heads`: the heads that a model needs to be measured. `with_teacher`: the objective by which a student learns the same
    from a teacher. `needs_teacher`: that is this one.

    The reported metric: `metric` is its name in results, `unit` its words with the unit, `lower_is_better` its direction,
    `note` what a reader of `gyebo evaluate` should know. `likelihood`: models give a text a probability, so the metric is bits
    per byte, which compares all of them and has a floor where the entropy of the text is known. `ranks`: without a task a
    comparison of models with the same metric is ranked by it. `shown_by`: options, with their defaults, that decide
    what an evaluation shows to a model; where there are any, the metric ranks only models of one family and size that agree
    in them. `elsewhere`: options for evaluating a text that is not the run's own. `evaluate`: "module:function" from
    (model, rows, tokens=, autocast=) to an `Evaluation`.

    `of`: what is learned from and measured on, in a word. `shown`: pictures of the model, drawn at the end of a run.

    In reports and model cards: `learns` in plain words; `term` of the loss whose curve is drawn; `card_metrics` of the model
    card; `auto_class` ("": it has none for what is learned) and `pipeline_tag` of `transformers`; `next_command`: what one
    types after a run, {out} its directory.

    In a comparison: `meaning` of the reported metric; `lines` shown always, `lines_beside` where
    another metric ranks; `tries`: (what for, words after `gyebo`) with {name}, {model}, {start} and {masked}, a text with a
    mask token.
    """

    name: str
    module: str
    learns: str
    kind: str = ""
    capabilities: tuple[str, ...] = ()
    flag: str = ""
    sentinels: int = 0
    heads: tuple[str, ...] = ("lm",)
    with_teacher: str | None = None
    needs_teacher: bool = False
    metric: str
    unit: str
    lower_is_better: bool = True
    likelihood: bool = False
    ranks: bool = True
    shown_by: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    evaluate: str
    term: str = "loss"
    card_metrics: tuple[str, ...]
    samples: Samples | None = None
    of: str = "text"
    shown: Shown | None = None
    auto_class: str = "AutoModel"
    pipeline_tag: str = "feature-extraction"
    next_command: str = "finetune {out} TASK -o ..."
    meaning: str = ""
    lines: tuple[Line, ...] = ()
    lines_beside: tuple[Line, ...] = ()
    tries: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        if " " not in self.unit:  # a comparison calls it so beside tasks, whose names have none
            raise ValueError(f"objective {self.name}: unit must be several words, but is {self.unit!r} instead")

    @property
    def plain_text(self) -> bool:
        """Whether it is learned from plain text alone."""
        return not self.kind and self.of == "text"

    def load(self) -> ModuleType:
        """The module, imported on use."""
        return import_module(self.module)


def resolve(place: str) -> Callable[..., Any]:
    """The function at "module:function", imported on use."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
