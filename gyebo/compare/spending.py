"""What a candidate's budget was, and what it really spent: pretraining, with the search where that is counted."""

from __future__ import annotations

from gyebo.compare.results import FAILED, Comparison, Row

TOLERANCE = 0.15  # beyond it, candidates did not have the same budget
UNITS = {"minutes": "minutes", "tokens": "tokens", "flops": "FLOPs", "steps": "steps", "epochs": "epochs"}


def budgeted(comparison: Comparison) -> tuple[str, float]:
    """(what the budget counts, how much of it each candidate has)."""
    return next((kind, value) for kind, value in comparison.recipe.budget.model_dump().items() if value is not None)


def spent(comparison: Comparison, row: Row) -> float | None:
    """What one pretraining cost in the budget's unit, a counted search included: the mean over seeds; None without a run."""
    kind, _ = budgeted(comparison)
    run = row.mean(lambda result: result.seconds / 60 if kind == "minutes" else getattr(result, kind))
    if run is None or row.sweep is None or not row.sweep.counted:
        return run
    if kind in ("steps", "epochs"):
        steps = row.mean(lambda result: result.steps) or 1
        return run * (1 + row.sweep.steps * len(row.sweep.trials) / steps)
    return run + (row.sweep.seconds / 60 if kind == "minutes" else getattr(row.sweep, kind))


def remarks(comparison: Comparison) -> list[str]:
    """A sentence on each ranked candidate that spent another budget, or whose learning rate is at the edge of its search."""
    kind, given = budgeted(comparison)
    said = []
    for row in comparison.rows:
        if row.verdict == FAILED:
            continue
        off = (spent(comparison, row) or given) / given - 1
        if abs(off) > TOLERANCE:
            said.append(f"{row.name} spent {abs(off):.0%} {'more' if off > 0 else 'less'} {UNITS[kind]} than budgeted.")
        if row.sweep and row.sweep.edge:
            rate = f"The learning rate of {row.name} ({row.sweep.lr:g})"
            said.append(f"{rate} is at the edge of its search, so another may make it better.")
    return said
