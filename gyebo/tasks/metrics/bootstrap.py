"""Chance between test examples: what each example contributes to a score, and the score on resamples of the examples.

Two models are measured on the same examples, so their resamples must be the same ones too: resample r of m examples depends
on m only. A metric that is a function of sums over examples (a mean, F1, BLEU, Pearson's correlation) is computed from
the resampled sums; others see the resampled examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gyebo.config.durable import replacing
from gyebo.tasks.metrics.inputs import Labels, Values, classes, library, scores, tag_lists
from gyebo.tasks.task import Example

FILE = "per-example.npz"
RESAMPLES = 1000
MOST_UNITS = 10_000  # above, examples are resampled in groups: chance is the same, and the cost bounded
CHUNK = 50  # resamples at a time

Array = np.ndarray[Any, np.dtype[np.float64]]
Rows = Callable[[Sequence[Any], Sequence[Example], Labels], Array]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """How a score follows from its examples.

    `rows`: (predictions, examples, labels) -> [m, k], what each example contributes; None where others make them. `of_sums`:
    sums of rows [R, k] -> scores [R]. `of_rows`: where sums are not enough: the rows of one resample [m, k] -> its score.
    """

    rows: Rows | None = None
    of_sums: Callable[[Array], Array] | None = None
    of_rows: Callable[[Array], float] | None = None


def resample(parts: Parts, rows: Array, count: int = RESAMPLES) -> Array:
    """The score on `count` resamples of the examples [count]: as many as there are, drawn with replacement."""
    draw = np.random.default_rng(0)
    if parts.of_sums is not None and len(rows) > MOST_UNITS:
        rows = np.add.reduceat(rows[draw.permutation(len(rows))], np.arange(MOST_UNITS) * len(rows) // MOST_UNITS)
    size = len(rows)
    found = []
    for start in range(0, count, CHUNK):
        weights = draw.multinomial(size, np.full(size, 1 / size), size=min(CHUNK, count - start))
        if parts.of_sums is not None:
            found.append(parts.of_sums(weights.astype(np.float64) @ rows))
        else:
            assert parts.of_rows is not None, "one of the two ways"
            found.append(np.array([parts.of_rows(np.repeat(rows, times, axis=0)) for times in weights]))
    return np.concatenate(found)


def write(folder: Path, rows: Array) -> None:
    """Store the rows of a test set beside the model that gave them."""
    with replacing(folder / FILE) as aside, aside.open("wb") as file:
        np.savez_compressed(file, rows=rows)


def read(folder: Path) -> Array | None:
    """What `write` stored; None where there is none (a run of an older version). ValueError for a damaged file."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path) as stored:
            return np.asarray(stored["rows"], dtype=np.float64)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{path} can't be read ({type(error).__name__}): delete it; the verdict then leaves it out") from error


# ---- means


def mean_of(metric: Callable[[Sequence[Any], Sequence[Example], Labels], Values]) -> Parts:
    """Of a metric that is a mean over examples: each one's own value."""

    def rows(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
        pairs = zip(predictions, examples, strict=True)
        values = [next(iter(metric([found], [example], labels).values())) for found, example in pairs]
        return np.stack([np.array(values, np.float64), np.ones(len(values))], axis=1)

    return Parts(rows=rows, of_sums=ratio)


def ratio(sums: Array) -> Array:
    """First sum / second sum: a mean, bits per byte."""
    return np.asarray(sums[:, 0] / sums[:, 1])


# ---- F1: rows are counts [3, C], flat: correct, predicted and true ones of each class


def micro(sums: Array) -> Array:
    """F1 over all classes together; 0 where nothing is predicted or true."""
    right, predicted, true = sums.reshape(len(sums), 3, -1).sum(2).T
    return np.asarray(2 * right / np.maximum(predicted + true, 1))


def macro(sums: Array) -> Array:
    """Mean of the F1 of each class that occurs in predictions or labels."""
    right, predicted, true = sums.reshape(len(sums), 3, -1).transpose(1, 0, 2)
    occurring = predicted + true
    f1 = 2 * right / np.maximum(occurring, 1)
    return np.asarray(f1.sum(1) / np.maximum((occurring > 0).sum(1), 1))


def matthews(sums: Array) -> Array:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 if all predictions are the same class."""
    right, predicted, true = sums.reshape(len(sums), 3, -1).transpose(1, 0, 2)
    count, covered = true.sum(1), (predicted * true).sum(1)
    above = right.sum(1) * count - covered
    below = np.sqrt((count**2 - (predicted**2).sum(1)) * (count**2 - (true**2).sum(1)))
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def counts(pairs: Sequence[tuple[Sequence[Any], Sequence[Any]]], names: Sequence[Any] | None = None) -> Array:
    """[m, 3C] from the (predicted, true) classes of each example's decisions; `names`: classes that count (default: all)."""
    found = names if names is not None else sorted({name for pair in pairs for side in pair for name in side}, key=str)
    number = {name: index for index, name in enumerate(found)}
    table = np.zeros((len(pairs), 3, max(1, len(number))))
    for row, (predicted, true) in zip(table, pairs):
        for one, other in zip(predicted, true, strict=True):
            if one in number:
                row[1, number[one]] += 1
                row[0, number[one]] += one == other
            if other in number:
                row[2, number[other]] += 1
    return table.reshape(len(pairs), -1)


def of_classes(pick: Callable[[Labels], Sequence[Any] | None] = lambda labels: None) -> Rows:
    """Rows of `counts` for one class an example; `pick`: which of the task's labels count."""

    def rows(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
        predicted, right = classes(predictions, examples, labels)
        return counts([([one], [other]) for one, other in zip(predicted, right)], pick(labels))

    return rows


def of_entities(
    lists: Callable[[Sequence[Any], Sequence[Example]], tuple[list[list[str]], list[list[str]]]] = tag_lists,
) -> Rows:
    """Rows of `counts` for entities by type, strict and IOB2 by seqeval. `lists`: predictions and examples to tags."""

    def rows(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
        scheme = library("seqeval.scheme")
        sides = [scheme.Entities(side, scheme.IOB2).entities for side in lists(predictions, examples)]
        predicted, true = ([{(found.tag, found.start, found.end) for found in text} for text in side] for side in sides)
        types = sorted({entity[0] for side in (predicted, true) for text in side for entity in text})
        number = {name: index for index, name in enumerate(types)}
        table = np.zeros((len(examples), 3, max(1, len(types))))
        for row, ours, theirs in zip(table, predicted, true):
            for place, entities in enumerate((ours & theirs, ours, theirs)):
                for entity in entities:
                    row[place, number[entity[0]]] += 1
        return table.reshape(len(examples), -1)

    return rows


# ---- correlations


def numbers(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
    """[m, 2]: the predicted and the right number of each example."""
    return np.stack([np.array(side, np.float64) for side in scores(predictions, examples)], axis=1)


def moments(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
    """[m, 6]: 1, x, y, xx, yy, xy of predictions and scores less their means."""
    found = numbers(predictions, examples, labels)
    x, y = (found - found.mean(0)).T
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def correlation(sums: Array) -> Array:
    """Pearson's correlation; 0 if either is constant."""
    n, x, y, xx, yy, xy = sums.T
    above, below = n * xy - x * y, np.sqrt(np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0))
    return np.divide(above, below, out=np.zeros_like(above), where=below > 1e-12 * n)


def rank_correlation(rows: Array) -> float:
    """Spearman's correlation; 0 if either is constant."""
    if (rows == rows[0]).all(0).any():
        return 0.0
    return float(library("scipy.stats").spearmanr(rows[:, 0], rows[:, 1])[0])
