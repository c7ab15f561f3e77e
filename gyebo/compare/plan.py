"""plan.json: what is fixed before the runs of a comparison, and found out on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gyebo.compare.sections import Candidate
from gyebo.jobs.results import CorpusFacts, FinetuneSummary, Number, RunPlan, SeenTests, Stored, TaskFacts

PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Cost(Stored):
    """What training used up; seconds: on the clock."""

    tokens: Number
    flops: Number
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Trial(Cost):
    """A short run with one learning rate: the words of its reported metric and the value; else why it failed."""

    lr: float
    figure: str | None = None
    score: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Sweep(Cost):
    """The learning rate that was chosen, the steps of each trial, and what all trials cost.

    warmup: warm-up steps of trials and measured runs alike, None where the schedule counts them as a share of each run.
    counted: whether the trials' steps are taken from the measured runs. (Older comparisons have neither.)
    """

    lr: float
    steps: int
    trials: list[Trial]
    warmup: int | None = None
    counted: bool = False

    @property
    def edge(self) -> bool:
        """Whether the chosen rate is the lowest or the highest that was tried, so that a better one may lie beyond."""
        rates = [trial.lr for trial in self.trials]
        return self.lr in (min(rates), max(rates))


@dataclass(frozen=True, kw_only=True)
class Pace(Stored):
    """The second measurement of a budget in minutes: seconds per step of the first seed's first tenth, and the steps of all
    seeds that follow from it."""

    seconds_per_step: float | None
    steps: int


@dataclass(frozen=True, kw_only=True)
class Branch(Stored):
    """What cools down at a share of a run's steps: the steps that it has, those of the warm-up, and after which it leaves the
    run."""

    share: float
    steps: int
    warmup: int
    start: int


@dataclass(frozen=True, kw_only=True)
class CandidatePlan(RunPlan):
    """What is fixed for all seeds of a candidate; `steps`: what the whole budget pays for; `branches`: of each measured run."""

    sweep: Sweep | None = None
    pace: Pace | None = None
    branches: list[Branch] = field(default_factory=list)

    @property
    def planned_steps(self) -> int:
        """Steps of a measured run by the first measurement: what a search inside the budget leaves."""
        spent = len(self.sweep.trials) * self.sweep.steps if self.sweep and self.sweep.counted else 0
        return max(1, self.steps - spent)

    @property
    def run_steps(self) -> int:
        """Steps of a measured run."""
        return self.pace.steps if self.pace else self.planned_steps

    @property
    def branch_steps(self) -> int:
        """Steps that the branches of one run cost beside it."""
        return sum(branch.steps - branch.start for branch in self.branches)


@dataclass(frozen=True, kw_only=True)
class Baseline(FinetuneSummary):
    """The linear baseline of a task; seconds: to train and measure it."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class KnownTask(TaskFacts):
    """A task, and its linear baseline: None where it can't do the task, or failed for the reason that is given. seen: which of
    its test examples the corpus holds, None where that was not looked for yet."""

    linear: Baseline | None = None
    baseline_failed: str = ""
    seen: SeenTests | None = None


@dataclass(frozen=True, kw_only=True)
class Decided(Stored):
    """What the budget decided for a candidate; None: nothing."""

    size: str
    model: dict[str, Any]
    betas: list[float] | None = None
    lr: float | None = None
    dropout_share: float | None = None

    def given_to(self, candidate: Candidate) -> Candidate:
        """The candidate with it."""
        optim = candidate.optim | {name: value for name, value in (("betas", self.betas), ("lr", self.lr)) if value}
        changes = {"size": self.size, "model": self.model, "optim": optim, "dropout_share": self.dropout_share}
        return candidate.model_copy(update=changes)


@dataclass(kw_only=True)
class State(Stored):
    """All of plan.json: tasks and candidates by name, what the budget decided for each, and the tokens of a step of all."""

    tasks: dict[str, KnownTask] = field(default_factory=dict)
    decided: dict[str, Decided] = field(default_factory=dict)
    batch_tokens: int | None = None
    prepared: CorpusFacts | None = None
    candidates: dict[str, CandidatePlan] = field(default_factory=dict)
