"""The pictures of a comparison: where every seed ended by each metric, and the held-out curves."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from gyebo.compare.results import BASELINE_TITLE, Comparison, Row, run_directory
from gyebo.compare.table_rows import words
from gyebo.figures.curves import Curve, comparison, inline_svg, intervals, save
from gyebo.training import log


@dataclass(frozen=True)
class Picture:
    """One picture as <svg>. `about`: "task", "text" (the ends), "budget" (the ends of branches and runs) or "curve"; `task`:
    which, or the metric of the held-out text."""

    svg: Markup  # ours, from numbers and checked names only
    about: str
    task: str = ""


def drawn(result: Comparison) -> list[Row]:
    """Rows with at least one finished seed, in the table's order: their place is their colour."""
    return [row for row in result.rows if row.results]


def colors(result: Comparison) -> dict[str, int]:
    """The number of each row's colour in all pictures of the page."""
    return {row.name: index for index, row in enumerate(drawn(result))}


def pictures(result: Comparison) -> list[Picture]:
    """All pictures, the metric that ranks first; also written as PNG files beside the report."""
    found = [picture for task in result.tasks if (picture := _task_picture(result, task))]
    by_budget = [picture for metric in result.metrics_by_budget if (picture := _budget_picture(result, metric))]
    unit = result.on_text
    rows = [row for row in drawn(result) if row.scores_by(unit)]
    if not rows:
        return found + by_budget
    by_tokens = comparison(curves(result, rows, "tokens"), "tokens seen", floor=result.floor, y_label=unit)
    by_flops = comparison(curves(result, rows, "flops"), "computation (FLOPs)", floor=result.floor, y_label=unit)
    described = [
        ("curve", "tokens", by_tokens, f"Held-out {unit} against tokens seen"),
        ("curve", "flops", by_flops, f"Held-out {unit} against computation"),
    ]
    if len(rows) > 1 or not result.tasks:
        ends = intervals(_ends(rows, unit), unit, colors=[colors(result)[row.name] for row in rows])
        text = f"Held-out {unit} of each candidate: every seed, the mean and its interval"
        described.insert(0, ("text", "scores", ends, text))
    for _, name, figure, _ in described:
        save(figure, result.out / f"{name}.png")
    found += [Picture(Markup(inline_svg(figure, text)), about) for about, _, figure, text in described]
    return found + by_budget


def _task_picture(result: Comparison, task: str) -> Picture | None:
    rows = [row for row in drawn(result) if row.scores_by(task)]
    if not rows:
        return None
    score, baseline = words(result.tasks[task].score), result.baseline(task)
    figure = intervals(
        _ends(rows, task),
        f"{score} on {task}",
        colors=[colors(result)[row.name] for row in rows],
        mark=None if baseline is None else (BASELINE_TITLE, baseline),
    )
    _look_at(
        figure, [score for row in rows for score in row.scores_by(task).values()] + ([] if baseline is None else [baseline])
    )
    save(figure, result.out / f"task-{task}.png")
    text = f"{score} on {task} of each candidate: every seed, the mean and its interval"
    return Picture(Markup(inline_svg(figure, text)), "task", task)


def _budget_picture(result: Comparison, metric: str) -> Picture | None:
    """Score against training FLOPs, a point for each branch and each run."""
    lines = [line for row in drawn(result) if (line := _by_budget(row, metric, colors(result)[row.name]))]
    if not lines:
        return None
    known = result.tasks.get(metric)
    label = f"{words(known.score)} on {metric}" if known else metric
    floor = None if known else result.floor
    figure = comparison(lines, "computation of a run (FLOPs)", floor=floor, y_label=label, log_x=True)
    save(figure, result.out / (f"budget-{metric}.png" if known else "budget.png"))
    return Picture(Markup(inline_svg(figure, f"{label} against the budget of a run")), "budget", metric)


def _by_budget(row: Row, metric: str, color: int) -> Curve | None:
    """Only seeds that have a score at every share."""
    ends = [*(row.cooldowns[share] for share in sorted(row.cooldowns)), row]
    scores = [end.scores_by(metric) for end in ends]
    seeds = [seed for seed in scores[-1] if all(seed in found for found in scores)]
    if not seeds or len(ends) == 1:
        return None
    flops = [end.mean(lambda run: run.flops) for end in ends]  # those of all seeds are the same
    xs = [x for x in flops if x is not None]
    lines = [(xs, [found[seed] for found in scores]) for seed in seeds]
    return Curve(row.name, lines, [point for line in lines for point in zip(*line)], color)


def _look_at(figure: Figure, scores: list[float]) -> None:
    """Show where the scores are: the intervals of two seeds reach so far that nothing could be told apart beside them."""
    axes = figure.axes[0]
    left, right = axes.get_xlim()
    room = 0.6 * max(max(scores) - min(scores), 0.01)
    axes.set_xlim(max(left, min(scores) - room), min(right, max(scores) + room))


def _ends(rows: list[Row], metric: str) -> list[tuple[str, list[float], float | None, float | None]]:
    found = []
    for row in rows:
        low, high = row.interval_by(metric) or (None, None)
        found.append((row.name, list(row.scores_by(metric).values()), low, high))
    return found


def curves(result: Comparison, rows: list[Row], x: str) -> list[Curve]:
    """The held-out curves of rows with that metric, from their logs; x: "tokens" or "flops", from the run's start.

    The measurements on the way use a part of the held-out text; the last one, which is the score, uses all of it.
    """
    return [_curve(result, row, x) for row in rows]


def _curve(result: Comparison, row: Row, x: str) -> Curve:
    metric = result.recipe.measured_by.metric
    logs: list[dict[int, tuple[float, float]]] = []  # a seed each: step -> point
    for seed, end in row.results.items():
        total: float = getattr(end, x)
        scale, last = total / end.tokens, end.valid[metric]
        assert last is not None, "rows without the metric are left out"
        records = log.read(run_directory(result.out, row.name, seed))
        points = {
            line["step"]: (line["tokens"] * scale, line["evaluation"][metric]) for line in records if "evaluation" in line
        }
        logs.append(points | {end.steps: (total, last)})
    steps = sorted(set(logs[0]).intersection(*logs[1:]))  # the tokens of a step differ a little from seed to seed
    seeds = [tuple(zip(*(points[step] for step in steps))) for points in logs]
    color = colors(result)[row.name]
    return Curve(row.name, [(xs, ys) for xs, ys in seeds], [points[steps[-1]] for points in logs], color)
