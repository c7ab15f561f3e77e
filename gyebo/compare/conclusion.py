"""The conclusion of a comparison: one sentence, and its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gyebo.compare.results import BITS, FAILED, Comparison, Row
from gyebo.compare.spending import remarks
from gyebo.compare.table_rows import digits, words


def conclusion(comparison: Comparison) -> tuple[str, str]:
    """(the conclusion in one sentence, its reasons)."""
    leader, rows = comparison.leader, [row for row in comparison.rows if row.verdict != FAILED]
    lost = [_failure(row, comparison) for row in comparison.rows if row.failures]
    lost += [
        f"The linear baseline failed on {task}: {known.baseline_failed.rstrip('.')}."
        for task, known in comparison.tasks.items()
        if known.baseline_failed
    ]
    if leader is None:
        return "No candidate finished, so there is no result.", " ".join(lost)
    headline, why = _judge(leader, rows, comparison)
    beside = (
        [_once(comparison), _beside_baseline(leader, comparison), *_other_tasks(comparison), _bits(comparison)]
        if comparison.tasks
        else []
    )
    return headline, " ".join(filter(None, (why, *beside, *remarks(comparison), *lost)))


def _once(comparison: Comparison) -> str:
    """What a verdict does not say where every candidate was pretrained once."""
    if not comparison.recipe.tuning_seeds:
        return ""
    return (
        "Each was pretrained once, and the seeds are of fine-tuning alone: the verdict is of these checkpoints, not of the"
        " families, which another pretraining may order differently."
    )


def covers(comparison: Comparison, metric: str) -> str:
    """What the verdicts by a metric hold for: other seeds, and other examples where chance between them is known."""
    seeds = len(comparison.recipe.tuning_seeds or comparison.recipe.seeds)
    several = f"over {seeds} {'fine-tunings' if comparison.recipe.tuning_seeds else 'seeds'}"
    task = comparison.tasks.get(metric)
    examples = f"{task.examples.test:,} test examples" if task else "held-out documents"
    return f"{several} and {examples}" if comparison.includes_examples(metric) else f"{several}, on these {examples} alone"


def _judge(leader: Row, rows: Sequence[Row], comparison: Comparison) -> tuple[str, str]:
    assert leader.summary is not None, "a ranked row has scores"
    first, task = leader.summary, comparison.ranked_by if comparison.tasks else None
    needs = task is None and comparison.recipe.measured_by.lower_is_better
    of_these = "Of these checkpoints, " if comparison.recipe.tuning_seeds else ""
    chance = covers(comparison, leader.ranked_by)
    if len(rows) == 1:
        return f"Only {leader.name} finished, so there is nothing to compare it with.", _reaches(leader, comparison)
    if leader.verdict == "best":
        second = rows[1].summary
        assert second is not None, "a ranked row has scores"
        gap = f" ({_more(first.mean, second.mean)})" if needs else ""
        return (
            f"{of_these}{leader.name} is best {_of_what(leader, comparison, chance)}.",
            f"{_reaches(leader, comparison)} The next, {rows[1].name}, {'needs' if needs else 'has'}"
            f" {digits(second.mean)}{gap}: a larger difference than chance explains.",
        )
    close = [row for row in rows if row.verdict == "no difference shown"]
    behind = [row.name for row in rows if row.verdict == "behind"]
    means = join([f"{row.name} {digits(row.summary.mean)}" for row in close if row.summary])
    on_task = f" on {task}" if task else ""
    headline = f"{of_these}{'n' if of_these else 'N'}o difference shown between {join([row.name for row in close])}{on_task}"
    headline += "." if first.count == 1 else f", {chance}."
    metric = _metric(comparison) if task else ""
    unit = comparison.on_text
    told = f"{metric[0].upper()}{metric[1:]} on test examples" if task else f"{unit[0].upper()}{unit[1:]} on held-out text"
    if first.count == 1:
        why = (
            f"{told}: {means}. Each was trained once (one seed: no standard deviation), so a"
            " better model can't be distinguished from a lucky seed: repeat with three or more seeds."
        )
    else:
        why = (
            f"{told}: {means}. More seeds, more test examples or a larger budget may show a difference."
            if task
            else f"{told}: {means}. More seeds, more held-out text or a larger budget may show a difference."
        )
    return headline, why + (f" Significantly worse: {join(behind)}." if behind else "")


def _of_what(leader: Row, comparison: Comparison, chance: str) -> str:
    """What the best model is best on."""
    whole = not any(row.verdict == FAILED for row in comparison.rows)
    if not comparison.tasks:
        return f"on this text, {chance}" if whole else f"of those that finished, {chance}"
    task = comparison.ranked_by
    where = f"on {task}, {chance}" if whole else f"on {task} of those that finished, {chance}"
    gap = comparison.against_baseline(leader, task)
    beaten = gap is not None and gap.shown and gap.mean < 0
    return f"of the models {where}, but the linear baseline is better" if beaten else where


def _metric(comparison: Comparison) -> str:
    return words(comparison.tasks[comparison.ranked_by].score)


def _reaches(row: Row, comparison: Comparison) -> str:
    mean = digits(row.summary.mean if row.summary else None)
    if not comparison.tasks:
        verb = "needs" if comparison.recipe.measured_by.lower_is_better else "reaches"
        return f"On held-out text it {verb} {mean} {comparison.on_text}."
    counts = comparison.tasks[comparison.ranked_by].examples
    return (
        f"Fine-tuned on {counts.train:,} labelled examples, it reaches {_metric(comparison)} {mean} on {counts.test:,}"
        " test examples."
    )


def _more(low: float, high: float) -> str:
    return f"{(high / low - 1) * 100:.1f} % more" if low > 0 else f"{high - low:.4f} more"


def _beside_baseline(leader: Row, comparison: Comparison) -> str:
    task = comparison.ranked_by
    gap, baseline = comparison.against_baseline(leader, task), comparison.tasks[task].linear
    if gap is None or baseline is None:
        return ""
    said = ("above" if gap.mean > 0 else "below") if gap.shown else "not shown to differ from"
    return (
        f"{leader.name} is {said} the linear baseline ({digits(comparison.baseline(task))}), which only uses character n-grams"
        f" and was trained in {max(1, round(baseline.seconds)):,} s."
    )


def _other_tasks(comparison: Comparison) -> list[str]:
    """A sentence on each task that does not rank."""
    found = []
    for task in list(comparison.tasks)[1:]:
        best = [row.name for row in comparison.rows if row.verdicts[task] == "best"]
        close = [row.name for row in comparison.rows if row.verdicts[task] == "no difference shown"]
        if best:
            found.append(f"On {task}, {best[0]} is best.")
        elif close:
            found.append(f"On {task}, no difference is shown between {join(close)}.")
    return found


def _bits(comparison: Comparison) -> str:
    """What ranks, and what bits per byte say beside it."""
    ranking = f"The ranking is by {comparison.ranked_by}" + (", the first of the tasks" if len(comparison.tasks) > 1 else "")
    means = {row.name: row.summary_by(BITS) for row in comparison.rows if row.candidate.likelihood}
    needs = [f"{name} needs {digits(summary.mean)}" for name, summary in means.items() if summary]
    lacking = [row.name for row in comparison.rows if not row.candidate.likelihood]
    if not needs:
        return f"{ranking}."
    found = f"{ranking}. In bits per byte of held-out text, {join(needs)}"
    return f"{found}; {join(lacking)} {'has' if len(lacking) == 1 else 'have'} no bits per byte." if lacking else f"{found}."


def _failure(row: Row, comparison: Comparison) -> str:
    reason = "; ".join(dict.fromkeys(row.failures.values())).rstrip(".")
    ranked = "" if row.verdict == FAILED else f" (ranked all the same, as its {comparison.ranked_by} is complete)"
    unranked = " and is not ranked" if row.verdict == FAILED else ""
    if "sweep" in row.failures:
        return f"{row.name} failed{unranked}: {reason}."
    seeds = len(comparison.recipe.seeds)
    tuned = [where for where in row.failures if ", " in where]
    places = [f"{len(row.failures) - len(tuned)} of {seeds} runs"] if len(tuned) < len(row.failures) else []
    for task in comparison.tasks:
        if count := sum(where.startswith(f"{task}, ") for where in tuned):
            places.append(f"{count} of {len(comparison.recipe.tuning_seeds) or seeds} fine-tunings on {task}")
    return f"{row.name} failed in {join(places)}{unranked}{ranked}: {reason}."


def join(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def differing(rows: Mapping[str, str]) -> str:
    """`name: value` of each where the values differ, else the one value."""
    values = list(dict.fromkeys(rows.values()))
    return values[0] if len(values) == 1 else "; ".join(f"{name}: {value}" for name, value in rows.items())
