"""`gyebo guard score`: what a guard finds of labelled texts, each check alone and all together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.guard import GuardOptions
from gyebo.data.encoding import UTF8, Reading
from gyebo.generation.guard.calibration import blocks, fires
from gyebo.jobs.guard import labelled
from gyebo.jobs.guard.opening import check_of
from gyebo.text import word_list

ANY = "any check"


def score(
    guard: str | Path,
    data: str,
    positive: Sequence[str],
    *,
    text: str | None = None,
    label: str | None = None,
    ignored: Sequence[str] = (),
    reading: Reading = UTF8,
    rate: float | None = None,
    terms: str | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Recall and false alarms of each check alone, at its own threshold for the rate, and of all together, with Wilson's
    intervals of 95 %. `rate`: by default that of the guard's file. `terms`: a word list; of each word the share of the innocent
    texts with it that the guard blocks.

    Texts are read as in `labelled.read`, each as one sentence, and without a prompt and topics. Raises ValueError, too, for a
    rate that the file has no thresholds for.
    """
    path = Path(guard)
    values, source = toml.read_with_lines(path)
    options = toml.check(GuardOptions, values, source)
    chosen = options.rate if rate is None else float(rate)
    words = None if terms is None else word_list.read(terms)
    found = labelled.read(data, positive, ignored, text=text, label=label, reading=reading)
    with source.named():
        shared, own = (_thresholds(options, kind, chosen) for kind in ("thresholds", "alone"))
        checks = [check_of(check, path, device) for check in options.checks]
    unwanted, innocent = (labelled.scores_of(checks, texts) for texts in (found.unwanted, found.innocent))
    blocked = blocks(innocent, shared)
    rows = [
        {"check": check.name, "recall": share(recalled), "false_alarms": share(alarmed)}
        for check, recalled, alarmed in zip(options.checks, fires(unwanted, own), fires(innocent, own))
    ]
    rows.append({"check": ANY, "recall": share(blocks(unwanted, shared)), "false_alarms": share(blocked)})
    result: dict[str, Any] = {"rate": chosen, "unwanted": len(found.unwanted), "innocent": len(found.innocent)}
    result["checks"] = rows
    if words is not None:
        result["terms"] = _by_term(words, found.innocent, blocked)
    return result


def share(which: NDArray[np.bool_]) -> dict[str, Any]:
    """How many of how many, and Wilson's interval of 95 % (Wilson 1927)."""
    count, total = int(which.sum()), len(which)
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return {"count": count, "of": total, "share": count / total, "low": float(interval.low), "high": float(interval.high)}


def _thresholds(options: GuardOptions, kind: str, rate: float) -> NDArray[np.float64]:
    found = []
    for check in options.checks:
        stored = {float(each): threshold for each, threshold in getattr(check, kind).items()}
        if rate not in stored:
            known = ", ".join(map(str, sorted(stored))) or "none"
            raise OptionError(
                f"‹rate›={rate}: {check.name} has {kind} for {known}: choose one of these, or fit the guard again"
            )
        found.append(stored[rate])
    return np.array(found)


def _by_term(words: word_list.WordList, texts: Sequence[str], blocked: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The innocent texts with each term that are blocked; terms that occur in none are left out."""
    found: dict[str, list[int]] = {entry.word: [] for entry in words.entries}
    for number, text in enumerate(texts):
        for word in {hit.entry.word for hit in words.find(text)}:
            found[word].append(number)
    return [{"term": word, **share(blocked[numbers])} for word, numbers in found.items() if numbers]
