"""The lines of a comparison's table: what each is called, what it means in plain words, and its cell in every column."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gyebo.compare.recipe import BASELINE
from gyebo.compare.results import BASELINE_TITLE, BITS, FAILED, HIDDEN, Comparison, Row
from gyebo.compare.statistics import Summary

# What a task's score says, in words for a reader who doesn't program; all are 1 where nothing is wrong.
SCORES = {
    "accuracy": "The share of the answers that were right.",
    "macro_f1": "How well each class was found, from 0 to 1, rare classes counting as much as frequent ones.",
    "micro_f1": "How well the classes were found, from 0 to 1, each answer counting alike.",
    "positive_f1": "How well the examples of the second class were found, from 0 to 1.",
    "matthews": "How far the answers go together with the right ones: 0 is guessing, 1 is perfect.",
    "pearson": "How far the numbers go up and down with the right ones: 0 is not at all, 1 is perfect.",
    "spearman": "How far the order of the numbers is the right one: 0 is not at all, 1 is perfect.",
    "exact_match": "The share of the answers that are right to the letter.",
    "answer_f1": "How much the words of the answers overlap with the right ones, from 0 to 1.",
    "entity_f1": "How well names were found, from 0 to 1; one counts only where both ends and the type are right.",
}


@dataclass(frozen=True)
class Measure:
    """A line of the table: its heading, what it means in plain words, the cell of a row, and that of the linear baseline.

    `first`: shown at once in the report; the others unfold. `verdict`: its cells are verdicts.
    """

    heading: str
    explanation: str
    cell: Callable[[Row], str]
    first: bool = False
    baseline: str = "-"
    verdict: bool = False


def columns(comparison: Comparison) -> list[str]:
    """The names of the table's columns: the candidates, and the linear baseline where a task has one."""
    with_baseline = any(task.get(BASELINE) for task in comparison.tasks.values())
    return [row.name for row in comparison.rows] + ([BASELINE_TITLE] if with_baseline else [])


def cells(comparison: Comparison) -> list[tuple[Measure, list[str]]]:
    """Each line with the cells of all columns."""
    beside = len(columns(comparison)) > len(comparison.rows)
    return [
        (measure, [measure.cell(row) for row in comparison.rows] + ([measure.baseline] if beside else []))
        for measure in measures(comparison)
    ]


def measures(comparison: Comparison) -> list[Measure]:
    """The lines that a comparison has a use for, the yardstick that ranks first."""
    lines = [line for task in comparison.tasks for line in _task_lines(comparison, task)]
    if any(row.candidate.likelihood for row in comparison.rows):
        lines += _likelihood_lines(ranks=not comparison.tasks)
    if comparison.ranked_by == HIDDEN:
        lines += [*RANKED_HIDDEN_LINES, RESTORED]
    else:
        learned = {row.candidate.objective_name for row in comparison.rows}
        lines += HIDDEN_LINES if "masked" in learned else []
        lines += [BOTH_SIDES] if "bidirectional" in learned else []
    return lines + _cost_lines(comparison)


# ---- cells


def short(value: float | None, unit: str = "") -> str:
    """A number with three digits and a letter: 1234567 -> "1.23 M"."""
    if value is None:
        return "-"
    letters = ("", " k", " M", " G", " T", " P", " E", " Z", " Y")
    index, value = 0, float(f"{value:.3g}")  # rounded first: 999.7 is 1.00 k, and 99.97 is 100
    while index < len(letters) - 1 and abs(value) >= 1000:
        value, index = float(f"{value / 1000:.3g}"), index + 1
    whole = index == 0 and value == int(value)
    digits = 0 if whole or value == 0 else max(0, 2 - max(0, math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}{letters[index] or (' ' if unit else '')}{unit}"


def digits(value: float | None) -> str:
    """A score with four digits."""
    return "-" if value is None else f"{value:.4f}"


def words(metric: str) -> str:
    """The name of a metric in a sentence: macro_f1 -> "macro F1"."""
    return " ".join("F1" if part == "f1" else part for part in metric.split("_"))


def with_spread(summary: Summary | None) -> str:
    """Mean ± standard deviation."""
    if summary is None:
        return "-"
    if summary.deviation is None:
        return f"{digits(summary.mean)} (one seed: no spread)"
    return f"{digits(summary.mean)} ± {digits(summary.deviation)}"


def _score(yardstick: str) -> Callable[[Row], str]:
    return lambda row: with_spread(row.summary_by(yardstick))


def _verdict(yardstick: str) -> Callable[[Row], str]:
    return lambda row: row.verdicts.get(yardstick, "-")


def _interval(yardstick: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        bounds = row.interval_by(yardstick)
        return "-" if bounds is None else f"{digits(bounds[0])} to {digits(bounds[1])}"

    return cell


def _seeds(yardstick: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        done = [f"{seed}: {digits(score)}" for seed, score in row.scores_by(yardstick).items()]
        failed = [f"{where.rpartition('seed ')[2]}: failed" for where in row.failures_by(yardstick)]
        return ", ".join(done + failed) or "-"

    return cell


def _each(key: str, form: Callable[[Any], str], task: str | None = None) -> Callable[[Row], str]:
    """The distinct values over seeds, usually one."""

    def cell(row: Row) -> str:
        results = row.results if task is None else row.tasks.get(task, {})
        return ", ".join(dict.fromkeys(form(result[key]) for result in results.values())) or "-"

    return cell


def _mean(key: str, form: Callable[[float], str], task: str | None = None) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row.mean(key, task)
        return "-" if value is None else form(value)

    return cell


def _minutes(seconds: float) -> str:
    return short(seconds / 60)


def _sweep(row: Row) -> str:
    if row.sweep is None:
        return "none"
    cost, rates = row.sweep, [trial["lr"] for trial in row.sweep["trials"]]
    spent = (
        f"{len(rates)} trials: {short(cost['tokens'])} tokens, {short(cost['flops'], 'FLOP')}, {cost['seconds'] / 60:.1f} min"
    )
    edge = cost["lr"] in (min(rates), max(rates))
    return spent + ("; the best rate is at the edge of those tried" if edge else "")


# ---- lines

INTERVAL = "Where the mean would very likely lie if we trained with many more seeds. Few seeds make it wide."
EACH_SEED = "The same training repeated from other random starts: seed: score."
VERDICT = "What the scores allow us to say, given how much they differ from seed to seed."


def _task_lines(comparison: Comparison, task: str) -> list[Measure]:
    known = comparison.tasks[task]
    baseline, score = known.get(BASELINE), known["score"]
    measured = {name: digits(value["mean"]) for name, value in baseline["test"].items()} if baseline else {}
    counts = known["examples"]
    explanation = (
        f"{'The score; h' if task == comparison.ranked_by else 'H'}igher is better. {SCORES.get(score, 'At most 1.')} Asked on"
        f" {counts['test']:,} examples that no model had seen, after learning from {counts['train']:,} labelled ones. Mean over"
        " the seeds ± their standard deviation."
    )
    if comparison.recipe.tuning_seeds:
        explanation += " Each model was pretrained once, so the spread is that of fine-tuning alone."
    lines = [
        Measure(f"{task}: {words(score)}", explanation, _score(task), first=True, baseline=measured.get(score, "-")),
        Measure(f"{task}: verdict", VERDICT, _verdict(task), first=True, verdict=True),
    ]
    if baseline:
        lines.append(
            Measure(
                f"{task}: against the linear baseline",
                "Whether the model beats a program that only counts which letters stand together, and what it gains.",
                lambda row: beats(comparison, row, task),
                first=True,
            )
        )
    lines += [
        Measure(f"{task}: 95 % interval of the mean", INTERVAL, _interval(task)),
        Measure(f"{task}: each seed", EACH_SEED, _seeds(task)),
    ]
    results = [result for row in comparison.rows for result in row.tasks.get(task, {}).values()]
    for name in dict.fromkeys(name for result in results for name in result["test"] if name != score):
        meaning, cell = SCORES.get(name, "Another score of the same answers."), _mean(f"test.{name}", digits, task)
        lines.append(Measure(f"{task}: {words(name)}", meaning, cell, baseline=measured.get(name, "-")))
    spent = _minutes(baseline["seconds"]) if baseline else "-"
    return [
        *lines,
        Measure(
            f"{task}: minutes of fine-tuning",
            "Time on the clock to teach one pretrained model the task. It comes on top of the pretraining.",
            _mean("seconds", _minutes, task),
            first=True,
            baseline=spent,
        ),
        Measure(f"{task}: learning rate", "How large the steps of fine-tuning were.", _each("lr", "{:.3g}".format, task)),
        Measure(f"{task}: steps", "How often the model was corrected in fine-tuning.", _each("steps", "{:,}".format, task)),
    ]


def beats(comparison: Comparison, row: Row, task: str) -> str:
    """ "above", "below" or "no difference shown", with the mean difference; "-" where there is nothing to compare."""
    gap = comparison.against_baseline(row, task)
    if gap is None:
        return "-"
    if row.failures_by(task):
        return FAILED
    return f"{('above' if gap.mean > 0 else 'below') if gap.shown else 'no difference shown'} ({gap.mean:+.4f})"


def _likelihood_lines(ranks: bool) -> list[Measure]:
    meaning = (
        "ower is better. How many yes-or-no questions, on average, the model would need to be told each next byte"
        " of text that it has never seen. 8 would be pure guessing. Mean over the seeds ± their standard deviation."
    )
    beside = " Models that read a text from both sides at once have no such figure."
    meaning = f"The score; l{meaning}" if ranks else f"L{meaning}{beside}"

    def named(heading: str) -> str:
        return heading if ranks else f"Bits per byte: {heading[0].lower()}{heading[1:]}"

    return [
        Measure("Bits per byte, held out", meaning, _score(BITS), first=True),
        Measure(named("Verdict"), VERDICT, _verdict(BITS), first=ranks, verdict=True),
        Measure(named("95 % interval of the mean"), INTERVAL, _interval(BITS)),
        Measure(named("Each seed"), EACH_SEED, _likelihood_seeds),
        Measure(
            "Bits per character",
            "Bits per byte again, per letter instead of per byte. A Korean syllable is one character but three bytes.",
            _mean("valid.bits_per_character", digits),
        ),
        Measure(
            "Perplexity",
            "Among how many equally likely tokens (pieces of words) the model seems to hesitate. Lower is better.",
            _mean("valid.perplexity", "{:,.1f}".format),
        ),
    ]


def _likelihood_seeds(row: Row) -> str:
    return _seeds(BITS)(row) if row.candidate.likelihood else "-"


RESTORED = Measure(
    "Hidden pieces restored",
    "Of the pieces of words that were hidden from a model that reads from both sides, how many it guessed. This depends on"
    " what was hidden and what was left to see, so nothing is ranked by it.",
    _mean("valid.masked_accuracy", "{:.1%}".format),
)

RANKED_HIDDEN_LINES = [
    Measure(
        "Nats per hidden piece, held out",
        "The score; lower is better. How surprised the model was by pieces of words that were hidden from it, in text that it"
        " had never seen; the same pieces were hidden from all. Mean over the seeds ± their standard deviation.",
        _score(HIDDEN),
        first=True,
    ),
    Measure("Verdict", VERDICT, _verdict(HIDDEN), first=True, verdict=True),
    Measure("95 % interval of the mean", INTERVAL, _interval(HIDDEN)),
    Measure("Each seed", EACH_SEED, _seeds(HIDDEN)),
]

HIDDEN_LINES = [
    RESTORED,
    Measure(
        "Loss on hidden pieces",
        "How surprised such a model was by what was hidden (nats per piece; lower is better). No bits per byte.",
        _mean("valid.masked_loss", digits),
    ),
]


BOTH_SIDES = Measure(
    "Nats per token, from both sides",
    "How surprised two models in one were: each piece of a word was predicted from those before it and from those after it"
    " (lower is better). No bits per byte, and nothing is ranked by it.",
    _mean("valid.bidirectional_loss", digits),
)


def _cost_lines(comparison: Comparison) -> list[Measure]:
    found = [task[BASELINE]["parameters"] for task in comparison.tasks.values() if task.get(BASELINE)]
    return [
        Measure(
            "Parameters",
            "The size of the model: how many numbers it learned.",
            _mean("parameters", short),
            first=True,
            baseline=", ".join(dict.fromkeys(map(short, found))) or "-",
        ),
        *COST_LINES,
    ]


COST_LINES = [
    Measure(
        "... without embeddings",
        "The same without the table that turns tokens and positions into numbers.",
        _mean("parameters_without_embeddings", short),
    ),
    Measure("Learning rate", "How large the steps of learning were at their largest.", _each("lr", "{:.3g}".format)),
    Measure("Steps", "How often the model was corrected.", _each("steps", "{:,}".format)),
    Measure("Tokens seen", "How many pieces of words it read, repeats included.", _mean("tokens", short), first=True),
    Measure("Bytes seen", "How much text that was.", _mean("bytes", lambda value: short(value, "B"))),
    Measure("Epochs", "How often it went through the whole text.", _mean("epochs", "{:.2f}".format)),
    Measure(
        "Computation",
        "Calculations spent on one training run (FLOP: one addition or multiplication; T: 10¹², P: 10¹⁵).",
        _mean("flops", lambda value: short(value, "FLOP")),
        first=True,
    ),
    Measure("Minutes", "Time on the clock of one training run on the text.", _mean("seconds", _minutes), first=True),
    Measure("Tokens per second", "How fast it trained on this machine.", _mean("tokens_per_second", short)),
    Measure("Memory", "The most memory that training needed.", _mean("memory_bytes", lambda b: short(b, "B")), first=True),
    Measure("Precision", "How exactly the machine calculated.", _each("precision", str)),
    Measure(
        "Search for the learning rate",
        "What was spent before, to find this candidate's learning rate. It comes on top of the training runs.",
        _sweep,
    ),
]
