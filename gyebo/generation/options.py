"""Generation options: how the next token is chosen and when to stop, validated on creation.

An option that could have no effect with the others is refused, so that it is not ignored silently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from gyebo.generation.ranges import Range, check_known, check_ranges

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed", "rank")  # have an effect only on sampling
_SEARCH = ("length_penalty", "coverage_penalty", "early_stopping")  # have an effect only on beam search

_RANGES = {
    "max_new_tokens": Range(int, 1, math.inf, "a whole number of at least 1"),
    "min_new_tokens": Range(int, 0, math.inf, "a whole number of at least 0"),
    "temperature": Range(float, 1e-6, math.inf, "above 0 (for greedy decoding use greedy)"),
    "top_k": Range(int, 0, math.inf, "a whole number of at least 0 (0: off)"),
    "top_p": Range(float, 1e-9, 1.0, "above 0 and at most 1 (1: off)"),
    "min_p": Range(float, 0.0, 1.0, "between 0 (off) and 1"),
    "repetition_penalty": Range(float, 1e-6, math.inf, "above 0 (1: off)"),
    "no_repeat_ngram": Range(int, 0, math.inf, "a whole number of at least 0 (0: off)"),
    "beams": Range(int, 1, math.inf, "a whole number of at least 1 (1: off)"),
    "length_penalty": Range(float, -math.inf, math.inf, "a number (1: scores are means per token)"),
    "coverage_penalty": Range(float, 0.0, math.inf, "at least 0 (0: off)"),
    "samples": Range(int, 1, math.inf, "a whole number of at least 1"),
    "rank": Range(int, 0, math.inf, "a whole number of at least 2 (0: off)"),
    "no_repeat_turn": Range(int, 0, math.inf, "a whole number of at least 0 (0: off)"),
    "seed": Range(int, 0, math.inf, "a whole number of at least 0, or None for a new one at every call", optional=True),
}


@dataclass(frozen=True)
class GenerationOptions:
    """Without `greedy` and without `beams`, every token is sampled from the model's (reshaped) distribution.

    The options that reshape are applied in this order: repetition_penalty, no_repeat_ngram, min_new_tokens, temperature, top_k,
    top_p, min_p; each has the meaning that it has in `transformers`. Raises ValueError for a value out of its range and for
    options that contradict each other or have no effect together.
    """

    max_new_tokens: int = 64
    """Maximum number of generated tokens; an answer also ends where prompt and answer fill the model's context."""
    min_new_tokens: int = 0
    """Minimum number of generated tokens before the end token (stop strings may end an answer earlier)."""
    temperature: float = 1.0
    """Sampling temperature: logits are divided by it."""
    top_k: int = 0
    """Sample among the k most probable tokens (Fan et al. 2018); 0: all."""
    top_p: float = 1.0
    """Sample among the smallest set of tokens with total probability p (nucleus sampling, Holtzman et al. 2019)."""
    min_p: float = 0.0
    """Sample among tokens with at least this fraction of the highest probability (Nguyen et al. 2024)."""
    repetition_penalty: float = 1.0
    """Above 1: tokens that occur in the prompt or the answer become less probable (CTRL, Keskar et al. 2019)."""
    no_repeat_ngram: int = 0
    """No n-gram of this size occurs twice in prompt and answer (Paulus et al. 2017); 0: off."""
    greedy: bool = False
    """Greedy decoding: the most probable token at every step."""
    beams: int = 1
    """Number of beams; above 1: beam search."""
    length_penalty: float = 1.0
    """Hypotheses and candidates are scored by log-probability / length**length_penalty: 1 per token, 0 the sum; above 0 favours
    longer ones. Only with beams or rank."""
    coverage_penalty: float = 0.0
    """Weight of the coverage penalty of translations, for source tokens without full attention (Wu et al. 2016, section 7;
    there 0.2). Only with beams."""
    early_stopping: bool = False
    """End the beam search once as many hypotheses are complete as there are beams. Only with beams."""
    samples: int = 1
    """Number of answers per prompt: independent samples, or the best hypotheses."""
    rank: int = 0
    """Sample-and-rank: the answer is the candidate with the best score (see length_penalty) by the unscaled model among so many
    independent samples (Adiwardana et al. 2020, section 3.4; there 20 at temperature 0.88); 0: off."""
    no_repeat_turn: int = 0
    """Drops candidates whose longest common subsequence with an earlier turn has so many tokens; 0: off. Only with rank."""
    stop: tuple[str, ...] = ()
    """An answer ends before the first of these strings."""
    seed: int | None = 0
    """Random seed; samples also depend on the index of the prompt in the batch, of the sample and of the step."""

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        for name in ("greedy", "early_stopping"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, but is {getattr(self, name)!r} instead")
        if isinstance(self.stop, str) or not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError(f"stop must be a list of strings with at least one character each, but is {self.stop!r}")
        object.__setattr__(self, "stop", tuple(self.stop))
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens={self.min_new_tokens} is more than max_new_tokens={self.max_new_tokens}: lower the first"
            )
        self._check_together()

    def _check_together(self) -> None:
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.greedy and self.beams > 1:
            raise ValueError(f"greedy and beams={self.beams} cannot be combined: choose one")
        if self.greedy and self.samples > 1:
            raise ValueError(
                f"samples={self.samples} has no effect with greedy, as the answers would be identical: leave out one"
            )
        if self.greedy or self.beams > 1:
            how = "greedy" if self.greedy else f"beams={self.beams}"
            for name in _SAMPLING:
                if name in changed:
                    raise ValueError(f"{name}={changed[name]} has no effect with {how}, which does not sample: leave out one")
        self._check_ranking()
        if self.beams == 1:
            for name in _SEARCH:
                if name in changed and not (name == "length_penalty" and self.rank):
                    other = " (or rank)" if name == "length_penalty" else ""
                    raise ValueError(f"{name}={changed[name]} has no effect without beams{other}: set beams to 2 or more")
            return
        if self.samples > self.beams:
            raise ValueError(f"samples={self.samples} is more than beams={self.beams}: beam search returns one answer per beam")
        if self.stop:
            raise ValueError(f"stop strings are not supported with beams={self.beams}: use greedy, or truncate the answers")

    def _check_ranking(self) -> None:
        if self.rank == 1:
            raise ValueError("rank=1 has no effect, as a single candidate is the best: set it to 2 or more, or leave it out")
        if self.rank and self.samples > 1:
            raise ValueError(
                f"samples={self.samples} and rank={self.rank} cannot be combined: the best candidate alone is given"
            )
        if self.no_repeat_turn and not self.rank:
            raise ValueError(
                f"no_repeat_turn={self.no_repeat_turn} has no effect without rank: set rank to the number of candidates"
            )


def options_from(settings: dict[str, object]) -> GenerationOptions:
    """Options from keywords. Raises ValueError for an unknown name, with the nearest known ones."""
    check_known(settings, GenerationOptions.__dataclass_fields__, "generation option")
    return GenerationOptions(**settings)  # type: ignore[arg-type]
