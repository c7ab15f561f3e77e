"""The guard: an answer goes through checks before it is shown, sentence by sentence; what fails is sampled anew.

A `Guard` has `Rule`s, each a `Check` with its thresholds, and is given to `gyebo.generate` and `gyebo.stream`. It knows no
model: the encoder and the classifier are functions that it is given (`gyebo/jobs/guard/` loads them).
"""

from gyebo.generation.guard.answering import MODES, Decision, Guard, Judgement, Rule, answer
from gyebo.generation.guard.checks import Check, Exemplars, Finding
from gyebo.generation.guard.policy import ACTIONS, Topic
from gyebo.generation.guard.sentences import Sentences

__all__ = [
    "ACTIONS",
    "MODES",
    "Check",
    "Decision",
    "Exemplars",
    "Finding",
    "Guard",
    "Judgement",
    "Rule",
    "Sentences",
    "Topic",
    "answer",
]
