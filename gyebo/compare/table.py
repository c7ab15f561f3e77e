"""The results of a comparison as data, as one table (measures down, candidates across) and as one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from gyebo.compare.recipe import Candidate, Recipe
from gyebo.compare.statistics import Summary, difference, pair_confidence, summarise, verdicts

FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """One candidate: what each seed gave, or why it gave nothing.

    `results`: seed -> result of `pretrain`, in the recipe's order. `failures`: "seed N" or "sweep" -> reason. `sweep`: the
    chosen "lr", the "trials" and their cost in "tokens", "flops" and "seconds". `verdict`: "best", "no difference shown",
    "behind", "failed" (any of its runs failed: not ranked, as its luckier seeds would flatter it) or "nothing to compare
    with".
    """

    candidate: Candidate
    results: dict[int, dict[str, Any]]
    failures: dict[str, str] = field(default_factory=dict)
    sweep: dict[str, Any] | None = None
    verdict: str = ""

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name

    @property
    def scores(self) -> list[float]:
        """Held-out bits per byte, one a finished seed."""
        return [result["valid"]["bits_per_byte"] for result in self.results.values()]

    @property
    def summary(self) -> Summary | None:
        """Mean and spread of the scores; None where no seed finished."""
        return summarise(self.scores) if self.results else None

    @property
    def best_seed(self) -> int | None:
        """The seed with the fewest held-out bits per byte; None where none finished."""
        return min(self.results, key=lambda seed: self.results[seed]["valid"]["bits_per_byte"]) if self.results else None

    def mean(self, key: str) -> float | None:
        """Mean over seeds of an entry of the results (a dot leads into a section); None where a seed lacks it."""
        values: list[Any] = list(self.results.values())
        for part in key.split("."):
            values = [value.get(part) for value in values]
        return math.fsum(values) / len(values) if values and None not in values else None


@dataclass(frozen=True)
class Comparison:
    """A finished comparison. `rows`: best mean first, failed ones last. `prepared`: what `prepare` told of the corpus."""

    recipe: Recipe
    out: Path
    rows: list[Row]
    prepared: dict[str, Any]
    plan: dict[str, dict[str, Any]]
    environment: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every run of every candidate finished."""
        return not any(row.failures for row in self.rows)

    @property
    def floor(self) -> float | None:
        """The known entropy of the held-out text, bits per byte, if there is one."""
        return self.prepared.get("floor_bits_per_byte")

    @property
    def leader(self) -> Row | None:
        """The ranked row with the lowest mean; None where nothing finished."""
        return next((row for row in self.rows if row.verdict != FAILED), None)

    def run(self, row: Row, seed: int) -> Path:
        """The run's directory: a model that gyebo and transformers open."""
        return run_directory(self.out, row.name, seed)


def run_directory(out: Path, name: str, seed: int) -> Path:
    """Where a candidate's run with that seed lies."""
    return out / "runs" / name / f"seed-{seed}"


def rank(rows: Sequence[Row]) -> list[Row]:
    """The rows with their verdicts, lowest mean first, those with a failure last."""
    whole = {row.name: row.scores for row in rows if not row.failures}
    said = verdicts(whole)
    judged = [Row(row.candidate, row.results, row.failures, row.sweep, said.get(row.name, FAILED)) for row in rows]
    return sorted(judged, key=lambda row: (row.verdict == FAILED, row.summary.mean if row.summary else math.inf))


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


def _bits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _score(row: Row) -> str:
    summary = row.summary
    if summary is None:
        return "-"
    if summary.deviation is None:
        return f"{_bits(summary.mean)} (one seed: no spread)"
    return f"{_bits(summary.mean)} ± {_bits(summary.deviation)}"


def _interval(row: Row) -> str:
    summary = row.summary
    return "-" if summary is None or summary.low is None else f"{_bits(summary.low)} to {_bits(summary.high)}"


def _seeds(row: Row) -> str:
    done = [f"{seed}: {_bits(result['valid']['bits_per_byte'])}" for seed, result in row.results.items()]
    return ", ".join(done + [f"{where.removeprefix('seed ')}: failed" for where in row.failures])


def _each(key: str, form: Callable[[Any], str]) -> Callable[[Row], str]:
    """The distinct values over seeds, usually one."""

    def cell(row: Row) -> str:
        return ", ".join(dict.fromkeys(form(result[key]) for result in row.results.values())) or "-"

    return cell


def _mean(key: str, form: Callable[[float], str]) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row.mean(key)
        return "-" if value is None else form(value)

    return cell


def _sweep(row: Row) -> str:
    if row.sweep is None:
        return "none"
    cost, rates = row.sweep, [trial["lr"] for trial in row.sweep["trials"]]
    spent = (
        f"{len(rates)} trials: {short(cost['tokens'])} tokens, {short(cost['flops'], 'FLOP')}, {cost['seconds'] / 60:.1f} min"
    )
    edge = cost["lr"] in (min(rates), max(rates))
    return spent + ("; the best rate is at the edge of those tried" if edge else "")


@dataclass(frozen=True)
class Measure:
    """A line of the table: its heading, what it means in plain words, and the cell of a row.

    `first`: shown at once in the report; the others unfold.
    """

    heading: str
    explanation: str
    cell: Callable[[Row], str]
    first: bool = False


MEASURES: tuple[Measure, ...] = (
    Measure(
        "Bits per byte, held out",
        "The score; lower is better. How many yes-or-no questions, on average, the model would need to be told each next byte"
        " of text that it has never seen. 8 would be pure guessing. Mean over the seeds ± their standard deviation.",
        _score,
        first=True,
    ),
    Measure(
        "Verdict",
        "What the scores allow us to say, given how much they differ from seed to seed.",
        lambda row: row.verdict,
        first=True,
    ),
    Measure(
        "95 % interval of the mean",
        "Where the mean would very likely lie if we trained with many more seeds. Few seeds make it wide.",
        _interval,
    ),
    Measure("Each seed", "The same training repeated from other random starts: seed: score.", _seeds),
    Measure(
        "Bits per character",
        "The score again, per letter instead of per byte. A Korean syllable is one character but three bytes.",
        _mean("valid.bits_per_character", _bits),
    ),
    Measure(
        "Perplexity",
        "Among how many equally likely tokens (pieces of words) the model seems to hesitate. Lower is better.",
        _mean("valid.perplexity", "{:,.1f}".format),
    ),
    Measure("Parameters", "The size of the model: how many numbers it learned.", _mean("parameters", short), first=True),
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
    Measure("Minutes", "Time on the clock of one training run.", _mean("seconds", lambda s: short(s / 60)), first=True),
    Measure("Tokens per second", "How fast it trained on this machine.", _mean("tokens_per_second", short)),
    Measure("Memory", "The most memory that training needed.", _mean("memory_bytes", lambda b: short(b, "B")), first=True),
    Measure("Precision", "How exactly the machine calculated.", _each("precision", str)),
    Measure(
        "Search for the learning rate",
        "What was spent before, to find this candidate's learning rate. It comes on top of the training runs.",
        _sweep,
    ),
)


def cells(rows: Sequence[Row]) -> list[tuple[Measure, list[str]]]:
    """Each measure with the cells of all rows."""
    return [(measure, [measure.cell(row) for row in rows]) for measure in MEASURES]


# ---- the table in three forms


def rich_table(comparison: Comparison) -> Table:
    """For the terminal."""
    table = Table(title=comparison.recipe.title or None, title_justify="left")
    table.add_column("")
    for row in comparison.rows:
        table.add_column(row.name, justify="right", overflow="fold")
    for measure, values in cells(comparison.rows):
        table.add_row(Text(measure.heading), *(Text(value) for value in values))
    return table


def markdown(comparison: Comparison) -> str:
    """For documentation: the verdict, the table, the failures."""
    headline, why = conclusion(comparison)
    lines = [f"**{headline}** {why}", "", "| | " + " | ".join(row.name for row in comparison.rows) + " |"]
    lines.append("| --- |" + " ---: |" * len(comparison.rows))
    lines += [f"| {measure.heading} | {' | '.join(values)} |" for measure, values in cells(comparison.rows)]
    if comparison.floor is not None:
        lines += ["", f"Known entropy of the held-out text: {_bits(comparison.floor)} bits per byte."]
    failures = [f"- {row.name}, {where}: {reason}" for row in comparison.rows for where, reason in row.failures.items()]
    return "\n".join([*lines, *(["", *failures] if failures else []), ""])


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain values: for programs, and for whoever doubts the table."""
    headline, why = conclusion(comparison)
    whole = [row for row in comparison.rows if not row.failures]
    confidence = pair_confidence(len(whole))
    return {
        "conclusion": f"{headline} {why}",
        "ok": comparison.ok,
        "floor_bits_per_byte": comparison.floor,
        "recipe": comparison.recipe.model_dump(mode="json"),
        "prepared": comparison.prepared,
        "environment": comparison.environment,
        "candidates": [
            {
                "name": row.name,
                "family": row.candidate.family,
                "size": row.candidate.size,
                "verdict": row.verdict,
                "bits_per_byte": asdict(row.summary) if row.summary else None,
                "plan": comparison.plan.get(row.name, {}),
                "sweep": row.sweep,
                "seeds": {str(seed): result for seed, result in row.results.items()},
                "failures": row.failures,
            }
            for row in comparison.rows
        ],
        "differences": [
            {"from": leader.name, "to": other.name, "confidence": confidence}
            | asdict(difference(other.scores, leader.scores, confidence))
            for leader in whole[:1]
            for other in whole[1:]
        ],
    }


# ---- the sentence


def conclusion(comparison: Comparison) -> tuple[str, str]:
    """A headline and its reason, in words for a reader who doesn't program."""
    leader, rows = comparison.leader, [row for row in comparison.rows if row.verdict != FAILED]
    lost = " ".join(_failure(row, len(comparison.recipe.seeds)) for row in comparison.rows if row.failures)
    if leader is None:
        return "No candidate finished, so nothing can be said.", lost
    headline, why = _judge(leader, rows, comparison.ok)
    return headline, " ".join(filter(None, (why, lost)))


def _judge(leader: Row, rows: Sequence[Row], whole: bool) -> tuple[str, str]:
    assert leader.summary is not None, "a ranked row has scores"
    first = leader.summary
    if len(rows) == 1:
        return f"Only {leader.name} finished, so there is nothing to compare it with.", _needs(leader)
    if leader.verdict == "best":
        second = rows[1].summary
        assert second is not None, "a ranked row has scores"
        return (
            f"{leader.name} is best on this text." if whole else f"{leader.name} is best of those that finished.",
            f"{_needs(leader)} The next, {rows[1].name}, needs {_bits(second.mean)} ({_more(first.mean, second.mean)}): a"
            f" difference larger than chance between {first.count} repetitions explains.",
        )
    close = [row for row in rows if row.verdict == "no difference shown"]
    behind = [row.name for row in rows if row.verdict == "behind"]
    means = _join([f"{row.name} {_bits(row.summary.mean)}" for row in close if row.summary])
    headline = f"No difference shown between {_join([row.name for row in close])}."
    if first.count == 1:
        why = (
            f"Bits per byte on text never seen: {means}. Each was trained once (one seed: no spread), so a better model can't"
            " be told from a lucky start: repeat with three or more seeds."
        )
    else:
        why = (
            f"Bits per byte on text never seen: {means}. Repeating a training from another random start changes its score too,"
            f" and with {first.count} repetitions each, a gap like this may be chance; more seeds or a larger budget may tell."
        )
    return headline, why + (f" Behind them: {_join(behind)}." if behind else "")


def _needs(row: Row) -> str:
    return f"On text that it had never seen it needs {_bits(row.summary.mean if row.summary else None)} bits per byte."


def _more(low: float, high: float) -> str:
    return f"{(high / low - 1) * 100:.1f} % more" if low > 0 else f"{high - low:.4f} more"


def _failure(row: Row, seeds: int) -> str:
    reason = "; ".join(dict.fromkeys(row.failures.values()))
    where = "" if "sweep" in row.failures else f" in {len(row.failures)} of {seeds} runs"
    return f"{row.name} failed{where} and is not ranked: {reason.rstrip('.')}."


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def differing(rows: Mapping[str, str]) -> str:
    """`name: value` of each where the values differ, else the one value."""
    values = list(dict.fromkeys(rows.values()))
    return values[0] if len(values) == 1 else "; ".join(f"{name}: {value}" for name, value in rows.items())
