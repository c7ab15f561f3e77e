"""One call of `compare`: what is asked for, where it goes, who does the work, and what one piece of work may do to the rest."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console

from gyebo.compare.plan import PLAN, Branch, CandidatePlan, KnownTask, State
from gyebo.compare.recipe import Recipe
from gyebo.compare.sections import Candidate, RecipeTask
from gyebo.config.durable import clean, make_folder, write
from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.config.run import DataOptions, RunOptions
from gyebo.data.lock import Busy
from gyebo.jobs.results import (
    CorpusFacts,
    FinetuneResult,
    FinetuneSummary,
    PretrainResult,
    RunPlan,
    SeenTests,
    Stored,
    TaskFacts,
    read,
)

Result = TypeVar("Result", bound=Stored)
Watch = Callable[[int, float], None]  # finished steps of a run, their seconds


class Pretrain(Protocol):
    """`gyebo.jobs.pretrain.pretrain`."""

    def __call__(
        self,
        options: RunOptions,
        out: Path,
        *,
        resume: bool,
        console: Console | None,
        watch: Watch | None = None,
    ) -> PretrainResult | None:
        """Train a run, or take the result of a finished one."""


class Finetune(Protocol):
    """`gyebo.jobs.finetuning.run.finetune`."""

    def __call__(
        self, options: FinetuneOptions, out: Path, *, resume: bool = False, overwrite: bool = False, console: Console | None
    ) -> FinetuneResult:
        """Fine-tune one seed, or take the result of a finished one."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The functions that do the work, those of `gyebo.jobs` unless a test brings others."""

    prepare: Callable[[RunOptions, Path, Console | None], CorpusFacts]
    left_open: Callable[[RunOptions], list[str]]
    decided: Callable[[Sequence[RunOptions], Path, Console | None], list[RunOptions]]
    plan_steps: Callable[[Sequence[RunOptions], Path, Console | None], list[RunPlan]]
    pretrain: Pretrain
    branch: Callable[[Path, int, Path], None]
    examine: Callable[[TaskOptions], TaskFacts]
    find_test_texts: Callable[[Mapping[str, TaskOptions], DataOptions], dict[str, SeenTests]]
    keep_test_texts: Callable[[Mapping[str, TaskOptions], str, Path], None]
    finetune: Finetune
    linear: Callable[[TaskOptions, Path], FinetuneSummary]


@dataclass(kw_only=True)
class Session:
    """What the parts of a comparison share while it runs."""

    recipe: Recipe
    out: Path
    console: Console
    jobs: Jobs
    state: State = field(default_factory=State)

    def keep(self) -> None:
        """Write the state to plan.json."""
        write(self.out / PLAN, json.dumps(finite(self.state.as_dict()), ensure_ascii=False, indent=1, allow_nan=False))

    def restore(self) -> None:
        """Read the state from plan.json, where there is one."""
        if (path := self.out / PLAN).is_file():
            self.state = read(State, json.loads(path.read_text(encoding="utf-8")), str(path))

    def plan(self, candidate: Candidate) -> CandidatePlan:
        """What is fixed for all seeds of a candidate."""
        return self.state.candidates[candidate.name]

    def remember_branch(self, candidate: Candidate, branch: Branch) -> None:
        """Keep what a branch is; it is the same for all seeds of a candidate."""
        plan = self.plan(candidate)
        others = [one for one in plan.branches if one.share != branch.share]
        self.state.candidates[candidate.name] = replace(plan, branches=[*others, branch])
        self.keep()

    def known(self, task: RecipeTask) -> KnownTask:
        """What was found out of a task before the runs."""
        return self.state.tasks[task.called]

    @property
    def tokenizer(self) -> str:
        """The directory of the shared tokenizer."""
        return self.recipe.tokenizer.path or str(self.out / "tokenizer")


def attempt(
    work: Callable[[], Result],
    figure: Callable[[Result], tuple[str, float | None]],
    note: Path,
    *,
    but: type[Exception] = OSError,
) -> tuple[Result | None, str]:
    """Do one piece of work; None and the reason where it failed, with the traceback in `note`.

    figure: result -> (its name, its value), which must be a number. A stop, another process that writes the run, and a full or
    broken disk are no candidate's failure: they end the comparison, to be resumed. but: what else is raised as it is.
    """
    from gyebo.training.loop import Stopped

    try:
        result = work()
        name, value = figure(result)
        if value is None or not math.isfinite(value):
            raise FloatingPointError(f"{name} is {value}")
    except (Stopped, Busy, OSError, but):
        raise
    except Exception as error:  # whatever a family's code may raise, the other candidates go on
        make_folder(note.parent)
        clean(note.parent)
        write(note, traceback.format_exc())
        first_line = str(error).strip().partition("\n")[0]
        return None, first_line or type(error).__name__
    note.unlink(missing_ok=True)
    return result, ""


def held_out(result: PretrainResult) -> tuple[str, float]:
    """The metric that a pretraining reports and its learning rate is chosen by: (its words, value)."""
    words, value = result.reported
    return f"held-out {words}", value


def finite(value: Any) -> Any:
    """Nested values with None for numbers that are none (JSON has no NaN)."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
