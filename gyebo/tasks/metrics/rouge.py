"""ROUGE of summaries by `rouge-score` (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"), also for Korean.

`rouge-score` keeps the letters a to z and digits only, so a Korean summary would have no token. Here tokens are runs of letters
and digits in lower case, as there, but of every script; Hangul syllables and letters, kana and CJK characters are one each.
On ASCII text the figures are those of `rouge-score` without its stemmer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from importlib.metadata import version
from statistics import fmean
from typing import Any

from gyebo.tasks.metrics.inputs import classes, library
from gyebo.tasks.task import Example

SCORES = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}  # our name -> that of rouge-score
_ALONE = (  # Hangul letters and syllables, kana, CJK characters
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_TOKEN = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])[^\W_])+")


class Tokens:
    """The tokenizer that `rouge-score` is given."""

    def tokenize(self, text: str) -> list[str]:
        """See above; text is composed first (NFC)."""
        return _TOKEN.findall(unicodedata.normalize("NFC", text).lower())


def _mean(name: str, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
    found, right = classes(predictions, examples)
    kind = SCORES[name]
    scorer = library("rouge_score.rouge_scorer").RougeScorer([kind], tokenizer=Tokens())
    scores = [scorer.score(str(reference), str(written))[kind].fmeasure for written, reference in zip(found, right)]
    return {name: fmean(scores)}


def rouge_1(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> dict[str, float]:
    """ROUGE-1: the mean over summaries of the F1 of single tokens."""
    return _mean("rouge_1", predictions, examples)


def rouge_2(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> dict[str, float]:
    """ROUGE-2: the mean over summaries of the F1 of pairs of neighbouring tokens."""
    return _mean("rouge_2", predictions, examples)


def rouge_l(predictions: Sequence[Any], examples: Sequence[Example], labels: Any = None) -> dict[str, float]:
    """ROUGE-L: the mean over summaries of the F1 of the longest common subsequence of tokens."""
    return _mean("rouge_l", predictions, examples)


def signatures(names: Sequence[str]) -> dict[str, str]:
    """How each of these scores was computed; names of other metrics are skipped."""
    how = "mean F1, no stemmer, lower case, Hangul syllables and CJK characters as single tokens"
    return {name: f"rouge-score {version('rouge-score')}: {SCORES[name]}, {how}" for name in names if name in SCORES}
