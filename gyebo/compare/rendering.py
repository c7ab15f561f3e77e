"""A comparison for the terminal, for documentation and for programs."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from itertools import chain, repeat
from typing import Any

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gyebo.compare.conclusion import conclusion
from gyebo.compare.recipe import BASELINE
from gyebo.compare.results import Comparison, HandedOver, Row
from gyebo.compare.statistics import CONFIDENCE
from gyebo.compare.table_rows import cells, columns, digits, words
from gyebo.objectives.table import LIKELIHOOD

BORDER = 3  # characters: a column's line and the spaces around it


def rich_tables(comparison: Comparison, width: int) -> Group:
    """For the terminal: the lines that the report shows at once; `markdown` has all. Candidates that don't fit into `width`
    characters side by side stand in further tables below."""
    headings, *shown = _first_lines(comparison)
    widths = [max(map(cell_len, column)) + BORDER for column in zip(headings, *shown)]
    tables: list[Table] = []
    for places in _beside_each_other(widths, width):
        title = comparison.recipe.title if not tables else None
        table = Table(title=title or None, title_justify="left")
        table.add_column("", overflow="fold")
        for place in places:
            table.add_column(headings[place], justify="right", overflow="fold")
        for row in shown:
            table.add_row(*(Text(row[place]) for place in (0, *places)))
        tables.append(table)
    return Group(*tables)


def _beside_each_other(widths: list[int], width: int) -> list[list[int]]:
    """The places of the columns, after the first one, which each table repeats, of as few tables as fit."""
    found: list[list[int]] = []
    left = 0
    for place, wanted in enumerate(widths[1:], 1):
        if not found or wanted > left:
            found.append([])
            left = width - widths[0] - 1
        found[-1].append(place)
        left -= wanted
    return found


def _first_lines(comparison: Comparison) -> list[list[str]]:
    """The lines that the report shows at once, under the names of the candidates."""
    shown = ([measure.heading, *values] for measure, values in cells(comparison) if measure.first)
    return [["", *columns(comparison)], *shown]


def plain(comparison: Comparison) -> str:
    """For Python's prompt: the verdict, the lines that the report shows at once, and where the rest is."""
    headline, why = conclusion(comparison)
    rows = _first_lines(comparison)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    report = f"Report: {comparison.out / 'report.html'}"
    return "\n".join([f"{headline} {why}", *lines, *lines_handed_over(comparison), report])


def html(comparison: Comparison) -> str:
    """For a notebook: as `plain`."""
    headline, why = conclusion(comparison)
    rows = zip(_first_lines(comparison), chain(["th"], repeat("td")))
    body = "".join("<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>" for row, tag in rows)
    below = [*lines_handed_over(comparison), f"Report: {comparison.out / 'report.html'}"]
    after = "".join(f"<p>{escape(line)}</p>" for line in below)
    return f"<p><b>{escape(headline)}</b> {escape(why)}</p><table>{body}</table>{after}"


def markdown(comparison: Comparison) -> str:
    """For documentation: the verdict, the table, the failures."""
    headline, why = conclusion(comparison)
    names = columns(comparison)
    lines = [f"**{headline}** {why}", "", f"| | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    lines += [f"| {measure.heading} | {' | '.join(values)} |" for measure, values in cells(comparison)]
    if comparison.floor is not None:
        lines += ["", f"Known entropy of the held-out text: {digits(comparison.floor)} bits per byte."]
    lines += [line for said in lines_handed_over(comparison) for line in ("", said)]
    failed = [f"- {name}, {where}: {reason}" for name, where, reason in failures(comparison)]
    return "\n".join([*lines, *(["", *failed] if failed else []), ""])


def lines_handed_over(comparison: Comparison) -> list[str]:
    """What was trained beside the table, a line for each task."""
    return [_handed_over(each, comparison) for each in comparison.handed_over if each.result]


def _handed_over(each: HandedOver, comparison: Comparison) -> str:
    assert each.result is not None
    metric, tests = words(each.result.score), comparison.tasks[each.task].examples.test
    return (
        f"Handed over for {each.task}: {each.candidate} again, taught by {each.teachers} models: {metric} {digits(each.score)} "
        f"on the {tests:,} test examples, where its own fine-tunings have {digits(each.alone)} on average. It took "
        f"{each.seconds:,.0f} seconds beside the budget, and no verdict uses it."
    )


def failures(comparison: Comparison) -> list[tuple[str, str, str]]:
    """What failed, as (candidate or baseline, where, reason)."""
    found = [(row.name, where, reason) for row in comparison.rows for where, reason in row.failures.items()]
    found += [
        (row.name, f"{share:.0%} of the steps, {where}", reason)
        for row in comparison.rows
        for share, branch in row.cooldowns.items()
        for where, reason in branch.failures.items()
    ]
    baselines = {task: known.baseline_failed for task, known in comparison.tasks.items()}
    found += [(f"{BASELINE} baseline", task, reason) for task, reason in baselines.items() if reason]
    return found + [("handed over", each.task, each.reason) for each in comparison.handed_over if each.reason]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain values: for programs, and for whoever doubts the table."""
    headline, why = conclusion(comparison)
    metrics = [*comparison.tasks, comparison.on_text]
    return {
        "conclusion": f"{headline} {why}",
        "ok": comparison.ok,
        "ranked_by": comparison.ranked_by,
        "floor_bits_per_byte": comparison.floor,
        "recipe": comparison.recipe.model_dump(mode="json"),
        "prepared": comparison.prepared.as_dict(),
        "environment": comparison.environment,
        "tasks": {name: task.as_dict() for name, task in comparison.tasks.items()},
        "candidates": [_candidate(comparison, row) for row in comparison.rows],
        "handed_over": [asdict(each) for each in comparison.handed_over],
        "differences": [entry for metric in metrics for entry in _differences(comparison, metric)],
    }


def _candidate(comparison: Comparison, row: Row) -> dict[str, Any]:
    on_text = {
        facts.metric: {"verdict": row.verdicts[facts.unit], **asdict(summary)} if summary else None
        for facts in (LIKELIHOOD, comparison.recipe.measured_by)
        for summary in [row.summary_by(facts.unit)]
    }
    return {
        "name": row.name,
        "family": row.candidate.family,
        "size": row.candidate.size,
        "model": row.candidate.model,
        "optim": row.candidate.optim,
        "dropout_share": row.candidate.dropout_share,
        "verdict": row.verdict,
        **on_text,
        "tasks": {task: _task(comparison, row, task) for task in comparison.tasks},
        "plan": comparison.plan[row.name].as_dict() if row.name in comparison.plan else {},
        "sweep": row.sweep.as_dict() if row.sweep else None,
        "seeds": {str(seed): result.as_dict() for seed, result in row.results.items()},
        "cooldowns": {f"{share:g}": _branch(comparison, branch) for share, branch in sorted(row.cooldowns.items())},
        "failures": row.failures,
    }


def _branch(comparison: Comparison, row: Row) -> dict[str, Any]:
    found = {metric: row.summary_by(metric) for metric in comparison.metrics_by_budget}
    return {
        "scores": {metric: asdict(summary) for metric, summary in found.items() if summary},
        "seeds": {str(seed): result.as_dict() for seed, result in row.results.items()},
        "tasks": {
            task: {str(seed): result.as_dict() for seed, result in results.items()} for task, results in row.tasks.items()
        },
        "failures": row.failures,
    }


def _task(comparison: Comparison, row: Row, task: str) -> dict[str, Any]:
    summary, gap = row.summary_by(task), comparison.against_baseline(row, task)
    return {
        "score": comparison.tasks[task].score,
        "verdict": row.verdicts[task],
        **(asdict(summary) if summary else {}),
        "against_baseline": asdict(gap) if gap else None,
        "seeds": {str(seed): result.as_dict() for seed, result in row.tasks.get(task, {}).items()},
    }


def _differences(comparison: Comparison, metric: str) -> list[dict[str, Any]]:
    """Every other ranked candidate minus the leader, by one metric: intervals that hold together. `examples`: whether they
    include chance between test examples."""
    if not comparison.samples(metric):
        return []
    leader, found = comparison.against_leader(metric)
    facts = {"metric": metric, "from": leader, "confidence": CONFIDENCE, "examples": comparison.includes_examples(metric)}
    return [facts | {"to": name} | asdict(difference) for name, difference in found.items()]
