"""What a pretraining gives: a run, or what one would be."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.showing import Shown, Written, duration, figure
from gyebo.api.speaking import console
from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.config.toml import Settings, parsed
from gyebo.jobs import run_directory
from gyebo.jobs.results import DryRun, PretrainResult

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose


@dataclass(frozen=True, kw_only=True, repr=False)
class Run(Written, PretrainResult):
    """A finished pretraining and its directory `out`, which `gyebo.load` and `transformers` open. `options`: all of the run."""

    out: Path
    options: RunOptions

    def title(self) -> str:
        """What it is, in a line."""
        return f"{self.family} {self.size}, seed {self.seed}: {self.out}"

    def lines(self) -> list[tuple[str, str]]:
        """The metric that is reported, and what it cost."""
        words, value = self.reported
        return [
            (words, f"{value:.4f} (held out)"),
            ("parameters", f"{self.parameters:,}"),
            ("steps", f"{self.steps:,}"),
            ("tokens", f"{self.tokens:,} ({self.epochs:.2f} epochs)"),
            ("time", f"{duration(self.seconds)}, {self.tokens_per_second:,.0f} tokens/s"),
        ]

    def image_files(self) -> list[Path]:
        """The curve of its loss."""
        return [self.out / "loss.png"]

    def as_dict(self) -> dict[str, Any]:
        """The result as it is stored in run.toml."""
        return {name: getattr(self, name) for name in PretrainResult.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True, repr=False)
class RunPlanned(Shown, DryRun):
    """What a pretraining would be, measured on a few steps."""

    def title(self) -> str:
        """What it is, in a line."""
        return "a dry run: nothing was written"

    def lines(self) -> list[tuple[str, str]]:
        """Size, budget, time and memory."""
        seconds = self.seconds_per_step or 0.0
        return [
            ("parameters", f"{self.parameters:,} ({self.parameters_without_embeddings:,} without embeddings)"),
            ("steps", f"{self.steps:,} of {self.tokens_per_step:,.0f} tokens ({self.epochs:.2f} epochs)"),
            (
                "expected time",
                f"{duration(seconds * self.steps)} ({figure(seconds)} s per step), {self.precision} on {self.device}",
            ),
            ("memory", f"{self.memory_bytes / 1e9:.2f} GB"),
        ]


def refuse_without_budget(out: Path | None, budget: Mapping[str, Any], settings: Settings | None) -> None:
    """OptionError, with the budget of the run in `out`, where one is to be resumed and none is given."""
    if out is None or budget or any(name.partition(".")[0] == "budget" for name in parsed(settings or {})):
        return
    if (out / "run.toml").is_file():
        stored = run_directory.read(out).get("options", {}).get("budget", {})
        told = ", ".join(f"‹budget.{name}›={value}" for name, value in stored.items())
        if told:
            raise OptionError(f"{out} was begun with the budget {told}: give it with ‹resume›, or a larger one")


def train(
    options: RunOptions, out: Path | None, *, dry_run: bool, resume: bool, overwrite: bool, verbose: Verbose
) -> Run | RunPlanned:
    """Train as checked options say, or find out what that would be. Under `torchrun` the other processes are given None."""
    from gyebo.jobs import pretrain as job
    from gyebo.jobs.pretraining import planning

    if dry_run and (resume or overwrite):
        raise OptionError("‹dry_run› and ‹resume› or ‹overwrite› exclude each other: a dry run writes nothing")
    if out is None and not dry_run:
        raise OptionError("‹out› is missing: name the directory to write, such as runs/first")
    speak = console(verbose)
    if dry_run or out is None:
        with tempfile.TemporaryDirectory() as aside:  # a tokenizer may be trained on the way, but nothing is to be left
            return RunPlanned(**planning.dry_run(options, Path(aside), speak).as_dict())
    found = job.pretrain(options, out, resume=resume, overwrite=overwrite, console=speak)
    return found and Run(**vars(found), out=out, options=options)  # type: ignore[return-value]
