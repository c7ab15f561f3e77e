"""Scores of translations by `sacrebleu` (Post 2018, "A Call for Clarity in Reporting BLEU Scores"), with their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from gyebo.tasks.metrics.bootstrap import Array, Parts
from gyebo.tasks.metrics.inputs import classes, library
from gyebo.tasks.task import Example
from gyebo.text.normalize import nfc

# Our name -> the class of sacrebleu and its options. "none": the text is tokenised already, as in the literature on such files;
# `force`: no warning that one of the two may not suit the text, as both are reported.
SCORES: dict[str, tuple[str, dict[str, Any]]] = {
    "bleu": ("BLEU", {"force": True}),
    "bleu_tokenized": ("BLEU", {"tokenize": "none", "force": True}),
    "chrf": ("CHRF", {}),
}


def _score(name: str, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
    metric = _metric(name)
    return {name: metric.corpus_score(*_texts(predictions, examples)).score / 100}


def _metric(name: str) -> Any:
    kind, options = SCORES[name]
    return getattr(library("sacrebleu.metrics"), kind)(**options)


def _texts(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[str], list[list[str]]]:
    """Predictions and references in one form (NFC): sacrebleu compares code points."""
    found, right = classes(predictions, examples)
    return [nfc(text) for text in found], [[nfc(str(label)) for label in right]]


def bleu(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> dict[str, float]:
    """BLEU of plain text (Papineni et al. 2002), tokenised by sacrebleu as mteval-v13a does."""
    return _score("bleu", predictions, examples)


def bleu_tokenized(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> dict[str, float]:
    """BLEU over words split at spaces, for text that is tokenised already."""
    return _score("bleu_tokenized", predictions, examples)


def chrf(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> dict[str, float]:
    """chrF2 (Popovic 2015): an F-score of character n-grams of up to 6 characters."""
    return _score("chrf", predictions, examples)


def against_several(name: str, found: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, str]:
    """One of these scores of texts that have several references each, not all equally many, and its signature."""
    metric = _metric(name)
    composed = [[nfc(text) for text in some] for some in references]
    streams = [list(stream) for stream in zip_longest(*composed)]  # None: a text has fewer
    return metric.corpus_score([nfc(text) for text in found], streams).score / 100, str(metric.get_signature())


def parts(name: str) -> Parts:
    """How BLEU follows from its sentences: lengths of both sides, matching and all n-grams of each order."""

    def rows(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> Array:
        found, (right,) = _texts(predictions, examples)
        kind, options = SCORES[name]
        metric = getattr(library("sacrebleu.metrics"), kind)(**options, effective_order=True)  # counts of one sentence alone
        each = [metric.sentence_score(ours, [theirs]) for ours, theirs in zip(found, right, strict=True)]
        return np.array([[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in each], np.float64)

    def of_sums(sums: Array) -> Array:
        compute = library("sacrebleu.metrics").BLEU.compute_bleu
        return np.array(
            [
                compute(list(row[2:6]), list(row[6:]), int(row[0]), int(row[1]), smooth_method="exp").score / 100
                for row in sums.round().astype(int).tolist()
            ]
        )

    return Parts(rows=rows, of_sums=of_sums)


def signatures(names: Sequence[str], predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, str]:
    """The signature of sacrebleu for each of these scores; names of other metrics are skipped."""
    found = {}
    for name in names:
        if name in SCORES:
            metric = _metric(name)
            metric.corpus_score(*_texts(predictions, examples))  # the signature counts the references
            found[name] = str(metric.get_signature())
    return found
