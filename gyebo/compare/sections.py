"""The sections of a recipe that no other file of options has: tokenizer, search, candidates, tasks. No torch here."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, model_validator

from gyebo.config.errors import OptionError, placed
from gyebo.config.finetune import TaskOptions, TuningOptions
from gyebo.config.run import ModelOptions, Section
from gyebo.jobs.pretraining.sizing import refuse_unfit
from gyebo.models.family import AUTO, find, find_size
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.table import asked
from gyebo.tasks.splits import open_task

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # a folder's name on every system, and letters that every plot can draw


class TokenizerOptions(Section):
    """The one segmentation that all candidates share: a directory, or what to train on the corpus."""

    path: str | None = Field(None, description="a tokenizer's directory; by default one is trained")
    kind: str | None = Field(None, description="type of the tokenizer to train: bpe")
    vocab_size: int | None = Field(None, gt=0, description="vocabulary size of the tokenizer to train (default 16000)")

    @model_validator(mode="after")
    def _one_way(self) -> TokenizerOptions:
        for name in ("kind", "vocab_size"):
            if self.path is not None and getattr(self, name) is not None:
                raise OptionError(f"tokenizer.path and tokenizer.{name} exclude each other: keep one", (name,))
        if self.kind not in (None, "bpe"):
            raise OptionError(
                f"tokenizer.kind: a comparison trains bpe only, but is {self.kind!r} instead: make it with"
                f' `gyebo tokenizer train CORPUS --kind {self.kind} -o tok/` and give tokenizer.path = "tok/"',
                ("kind",),
            )
        return self


class SweepOptions(Section):
    """A search for the learning rate before the measured runs, by short runs."""

    lr: list[float] = Field(min_length=2, description="peak learning rates to try")
    share: float = Field(
        0.3, gt=0, description="share of a candidate's budget that the trials of these rates get, in equal parts"
    )
    counted: bool = Field(True, description="the trials are part of the budget: a measured run gets what they leave")
    extend: int = Field(3, ge=0, description="at most so many further rates while the best one is the lowest or the highest")

    @model_validator(mode="after")
    def _rates(self) -> SweepOptions:
        if any(rate <= 0 for rate in self.lr) or len(set(self.lr)) != len(self.lr):
            raise OptionError(f"sweep.lr needs different positive learning rates, but is {self.lr} instead", ("lr",))
        return self

    @property
    def trial_share(self) -> float:
        """Length of a trial as a share of the budget."""
        return round(self.share / len(self.lr), 12)  # the same as before a multiplication by that number


class Candidate(ModelOptions):
    """One family at one size, and what it does differently from the others."""

    name: str = Field("", description="name in the table and of the folder; by default family-size")
    optim: dict[str, Any] = Field(default_factory=dict, description="fields of [optim] that differ for this candidate")
    dropout_share: float | None = Field(
        None, ge=0, le=1, description="dropout in pretraining as a share of the model's; by default what [train] says"
    )
    tuning: dict[str, Any] = Field(
        default_factory=dict, description="fine-tuning options (fields of [[tasks]]) that differ for this candidate"
    )

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("family"), str):
            with placed("family"):
                values = {**values, "family": find(values["family"]).name}
        if isinstance(values, dict) and not values.get("name"):
            values = {**values, "name": f"{values.get('family')}-{values.get('size', 'mini')}"}
        return values

    @model_validator(mode="after")
    def _known(self) -> Candidate:
        with placed("size"):
            if self.size not in AUTO:
                find_size(find(self.family), self.size)
        if self.objective_facts.kind:
            raise ValueError(f"{self.family} learns from sentence pairs, so it can't be compared here: use gyebo finetune")
        if self.size in AUTO:
            with placed("size"):
                refuse_unfit(self.family, self.size, self.model, self.objective)
        if not NAME.fullmatch(self.name):
            message = f"name {self.name!r}: use Latin letters, digits, '.', '_' and '-' (it names a folder too)"
            raise OptionError(message, ("name",))
        if what := next((name for name in self.tuning if name in ("called", *TaskOptions.model_fields)), None):
            message = f"tuning.{what} defines the task, which is the same for all candidates: set it in [[tasks]]"
            raise OptionError(message, ("tuning", what))
        if not isinstance(self.tuning.get("optim", {}), dict):
            raise OptionError(f"tuning.optim must be a section, but is {self.tuning['optim']!r} instead", ("tuning", "optim"))
        return self

    @property
    def objective_facts(self) -> ObjectiveFacts:
        """What it learns from text."""
        return asked(find(self.family).objective, self.objective)

    @property
    def likelihood(self) -> bool:
        """Whether its models give a text a probability; others have no bits per byte."""
        return self.objective_facts.likelihood


class RecipeTask(TuningOptions, TaskOptions):
    """A task that every pretrained model is fine-tuned on, and how: what is not given follows from the task."""

    called: str = Field("", description="name in the table and of the folder; by default the task's name")
    lr: float | None = Field(None, gt=0, description="the same as optim.lr")

    @model_validator(mode="before")
    @classmethod
    def _default_called(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("name") and not values.get("called"):
            values = {**values, "called": values["name"]}
        return values

    @model_validator(mode="after")
    def _possible(self) -> RecipeTask:
        if not NAME.fullmatch(self.called):
            message = f"called {self.called!r}: use Latin letters, digits, '.', '_' and '-' (it names a folder too)"
            raise OptionError(message, ("called",))
        if self.lr is not None and self.optim.lr is not None:
            raise OptionError("lr and optim.lr are the same option: keep one", ("lr",))
        open_task(self.source)
        return self

    @property
    def source(self) -> TaskOptions:
        """The task and its data, without how it is learned."""
        return TaskOptions(**self.model_dump(include=set(TaskOptions.model_fields)))
