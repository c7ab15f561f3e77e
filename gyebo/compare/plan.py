"""plan.json: what is fixed before the runs of a comparison, and found out on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """The learning rate that was chosen, the steps of each trial, and what all trials cost."""

    lr: float
    steps: int
    trials: list[Trial]


@dataclass(frozen=True, kw_only=True)
class CandidatePlan(RunPlan):
    """What is fixed for all seeds of a candidate."""

    sweep: Sweep | None = None


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


@dataclass(kw_only=True)
class State(Stored):
    """All of plan.json; candidates and tasks by name."""

    tasks: dict[str, KnownTask] = field(default_factory=dict)
    prepared: CorpusFacts | None = None
    candidates: dict[str, CandidatePlan] = field(default_factory=dict)
