"""Sample-and-rank (Meena, Adiwardana et al. 2020, section 3.4): which of several sampled answers is given.

Candidates are ranked by the log-likelihood that the model itself gives them, whatever temperature they were sampled at. A
candidate that repeats an earlier turn of the conversation is dropped (section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gyebo.generation.options import GenerationOptions
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gyebo.generation.text import Completion


@dataclass(frozen=True)
class Candidate:
    """A sampled `answer`; its `score`, log-probability / length**length_penalty; `repeats`: an earlier turn."""

    answer: Completion
    score: float
    repeats: bool


@dataclass(frozen=True)
class Ranking:
    """The `candidates` for one prompt, by falling score; no two have the same text, and none is empty if there are others."""

    candidates: list[Candidate]

    @property
    def best(self) -> Candidate:
        """The first that repeats no earlier turn; where all do, the first."""
        return next((each for each in self.candidates if not each.repeats), self.candidates[0])


def ranked(
    answers: Sequence[Completion], turns: Sequence[str], tokenizer: Tokenizer, options: GenerationOptions, begun: str = ""
) -> Ranking:
    """The answers to one prompt as candidates; `turns`: what was said before, by whomever, for `options.no_repeat_turn`;
    `begun`: what the answers continue, which may repeat a turn together with them."""
    scores = [answer.log_probability / len(answer.ids) ** options.length_penalty for answer in answers]
    order = sorted(range(len(answers)), key=lambda number: -scores[number])
    different: dict[str, int] = {}
    for number in order:
        different.setdefault(_words(answers[number].text), number)  # of equal texts the most probable one
    if len(different) > 1:
        different.pop("", None)  # to end at once is probable, but says nothing
    least, said = options.no_repeat_turn, [tokenizer.encode(_words(turn)) for turn in turns]
    whole = {text: tokenizer.encode(_words(begun + answers[number].text)) for text, number in different.items()}
    repeats = {text: bool(least) and longest_common(ids, said) >= least for text, ids in whole.items()}
    return Ranking([Candidate(answers[number], scores[number], repeats[text]) for text, number in different.items()])


def longest_common(ids: Sequence[int], others: Sequence[Sequence[int]]) -> int:
    """The length of the longest common subsequence of `ids` and any of the others: ids in the same order, whatever is between.

    One integer is a row of the usual table, a bit an id, and 0 where the row's value rises (Hyyrö 2004).
    """
    places: dict[int, int] = {}
    for place, id in enumerate(ids):
        places[id] = places.get(id, 0) | 1 << place
    full = (1 << len(ids)) - 1
    longest = 0
    for other in others:
        row = full
        for id in other:
            here = row & places.get(id, 0)
            row = (row + here | row - here) & full
        longest = max(longest, len(ids) - row.bit_count())
    return longest


def _words(text: str) -> str:
    """A text without differences that nobody sees."""
    return " ".join(text.split())
