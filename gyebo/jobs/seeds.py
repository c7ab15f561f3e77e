"""Several seeds of one fine-tuning: the same data and options, other random starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs import runs
from gyebo.jobs.finetune import finetune
from gyebo.jobs.taskreport import lines, summary

RESULTS = "results.json"
LEFT_IN_PLACE = {"checkpoints", "metrics.jsonl", "run.toml", ".gyebo-starting"}


def finetune_seeds(
    options: FinetuneOptions,
    seeds: list[int],
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Fine-tune each seed and give the summary of all: mean and spread of every metric, and the seed that is best on validation.

    One seed is a run in `out`. Several lie in `out/seed-N`, and `out` becomes the model of the best one, with `results.json`.
    Raises what `finetune` does.
    """
    if len(seeds) == 1:
        alone = options.model_copy(update={"seed": seeds[0]})
        return summary([finetune(alone, out, resume=resume, overwrite=overwrite, console=console)])
    runs.claim(out, resume=resume, overwrite=overwrite, kind=RESULTS)
    _write(out / RESULTS, {"finished": False, "seeds": seeds})
    runs.started(out)
    results = []
    for seed in seeds:
        if console:
            console.rule(f"seed {seed}")
        folder = out / f"seed-{seed}"
        again = (folder / "run.toml").is_file()
        results.append(finetune(options.model_copy(update={"seed": seed}), folder, resume=again, console=console))
    found = summary(results)
    for path in (out / f"seed-{found['best_seed']}").iterdir():
        if path.is_file() and path.name not in LEFT_IN_PLACE:
            shutil.copy2(path, out / path.name)
    _write(out / RESULTS, {"finished": True, **found})
    (out / "results.md").write_text("\n".join(lines(found)) + "\n", encoding="utf-8")
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    aside.replace(path)


