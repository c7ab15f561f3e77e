"""Score against budget: every measured run also cools down early, in branches of its own.

With the schedule `wsd` a run has a constant rate until it cools down, so until then it is the beginning of every longer run
(Hägele et al. 2024, section 3). A branch starts from the run's last checkpoint before its own cool-down and gives the model
that a smaller budget would have given, for the price of its last steps. The run itself goes on at the constant rate and cools
down at the end.

`cooldowns/SHARE/` has the folders of a comparison: runs, tasks, failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gyebo.compare.plan import Branch
from gyebo.compare.results import run_directory
from gyebo.compare.sections import Candidate
from gyebo.compare.session import Session, Watch
from gyebo.config.run import RunOptions
from gyebo.training.schedule import stable_steps, warmup_steps


def planned(options: RunOptions, shares: Sequence[float]) -> list[Branch]:
    """The branches of a run with these options, whose warm-up is a number of steps."""
    from gyebo.jobs.pretraining.budget import tenth

    steps, warmup = options.budget.steps, options.optim.warmup
    assert steps is not None, "a comparison converts budgets to steps"
    every = options.train.checkpoint_every or tenth(steps)
    found = []
    for share in shares:
        own = max(1, round(share * steps))
        start = stable_steps(warmup, own) // every * every
        found.append(Branch(share=share, steps=own, warmup=warmup_steps(warmup, steps), start=start))
    return found


def folder(out: Path, share: float) -> Path:
    """Where the branches at a share of the steps lie, in the directory of a comparison."""
    return out / "cooldowns" / f"{share:g}"


def watch(session: Session, candidate: Candidate, seed: int, options: RunOptions) -> Watch | None:
    """What takes the beginning of each branch from a run with these options while it is trained; None without branches."""
    branches = planned(options, session.recipe.cooldowns)
    run = run_directory(session.out, candidate.name, seed)

    def take(step: int, seconds: float) -> None:
        for branch in branches:
            if branch.start == step:
                out = run_directory(folder(session.out, branch.share), candidate.name, seed)
                session.jobs.branch(run, step, out)

    return take if branches else None
