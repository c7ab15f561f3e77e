"""Several seeds of one fine-tuning: the same data and options, other random starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from gyebo.config import durable
from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs import identity, places, run_directory
from gyebo.jobs.finetuning.build import with_defaults, with_family_name
from gyebo.jobs.finetuning.report import card, lines, summary
from gyebo.jobs.finetuning.run import finetune, options_of, refuse_processes, started_from
from gyebo.jobs.results import RESULTS, FinetuneResult, FinetuneSummary

OF_ONE_SEED = ("metrics.jsonl", "run.toml", "events.*")  # stay beside the checkpoints that they belong to


def finetune_seeds(
    options: FinetuneOptions,
    seeds: list[int],
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> FinetuneSummary:
    """Fine-tune with each seed: mean and standard deviation of every metric, and the seed that is best on validation.

    One seed is a run in `out`. Several lie in `out/seed-N`, and `out` becomes the model of the best one, with `results.json`
    and `results.md`; with `resume`, finished seeds are kept and further ones added. Raises what `finetune` does.
    """
    if len(seeds) == 1:
        alone = options.model_copy(update={"seed": seeds[0]})
        return summary([finetune(alone, out, resume=resume, overwrite=overwrite, console=console)])
    refuse_processes()
    options = with_family_name(options)
    places.refuse_names(options, out)
    run_directory.refuse_to_replace(out, started_from(options))
    with run_directory.claim(out, resume=resume, overwrite=overwrite, kind=RESULTS) as resumed:
        if resumed:
            _refuse_other(options, out)
        noted = {"seeds": seeds, "options": places.published(options).model_dump(mode="json")}
        if not resumed:  # else what stands there counts until all seeds are done
            durable.write(out / RESULTS, json.dumps({"finished": False, **noted}))
        try:
            results = {seed: _one(options, seed, out, console) for seed in seeds}
        except BaseException:
            if not resumed and not any(out.glob("seed-*")):  # refused before anything was written
                (out / RESULTS).unlink()
            raise
        found = summary(list(results.values()))
        best = found.best_seed
        places.remember(out, options, places.placed(options, out / f"seed-{best}", typed=True))
        _copy(out / f"seed-{best}", out)
        durable.write(out / "README.md", card(options, out, results[best], found))
        durable.write(out / "results.md", "\n".join(lines(found)) + "\n")
        _keep(out, {"finished": True, **noted, **found.as_dict(), "result": results[best].as_dict()})
        return found


def _one(options: FinetuneOptions, seed: int, out: Path, console: Console | None) -> FinetuneResult:
    if console:
        console.rule(f"seed {seed}")
    alone, place = options.model_copy(update={"seed": seed}), out / f"seed-{seed}"
    beside = next((path for path in _begun(out) if path != place), None)
    found = finetune(alone, place, resume=True, console=console, beside=beside)
    run_directory.started(out)
    return found


def _begun(out: Path) -> list[Path]:
    """The runs of seeds that have a record."""
    return [path for path in sorted(out.glob("seed-*")) if (path / "run.toml").is_file()]


def _refuse_other(options: FinetuneOptions, out: Path) -> None:
    """OptionError where the seeds that are there were trained with other options; budget and rate may change."""
    for path in _begun(out):
        record = run_directory.read(path)
        stored = options_of(record, path)
        given = with_defaults(options.model_copy(update={"seed": stored.seed}), record.get("family"))
        identity.schedule(stored, given, path, by_content="identity" in record)


def _copy(run: Path, out: Path) -> None:
    """The model of a seed, with all that belongs to it but its own record."""
    for path in run.iterdir():
        if path.is_file() and not path.name.startswith(".") and not any(path.match(name) for name in OF_ONE_SEED):
            with durable.replacing(out / path.name) as aside:
                shutil.copy2(path, aside)


def _keep(out: Path, content: dict[str, Any]) -> None:
    """Write results.json, which marks the directory as gyebo's."""
    durable.write(out / RESULTS, json.dumps(content, ensure_ascii=False, indent=1))
    run_directory.started(out)
