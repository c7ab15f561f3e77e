"""The kinds of task, and how the examples of each become features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gyebo.tasks.features import Features
from gyebo.tasks.kinds import choice, dependency, spans, tagging
from gyebo.tasks.kinds.classification import Labels, encode_classification, encode_regression
from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer


def encode(
    kind: str, examples: Sequence[Example], tokenizer: Tokenizer, labels: Labels, max_length: int, *, stride: int | None = None
) -> Features:
    """The examples as features of a kind of task.

    tokenizer: the family's copy. labels: the names of classes, tags or relations in the order of their numbers; None for
    regression, spans and choice. max_length: the longest row, roles included; the longer text of a pair is cut first, and
    `Features.cut` says how many examples lost tokens. stride: tokens from one window of a long text to the next (tagging:
    half a window by default; spans: 128, as KLUE).

    Raises ValueError for an unknown kind, labels that are missing, unknown, or without effect, no room for text, a stride
    without effect, an example that does not fit its kind (its id is named), or a set in which only some are labelled.
    """
    if kind not in _ENCODERS:
        raise ValueError(f"kind: no features for {kind!r}; there are {', '.join(_ENCODERS)}")
    encoder, named, windowed = _ENCODERS[kind]
    if named and not labels:
        raise ValueError(f"labels: {kind} needs the names of its labels; give them in the order of their numbers")
    if not named and labels:
        raise ValueError(f"labels have no effect on {kind}; leave them out")
    if stride is not None and (not windowed or stride < 1):
        wrong = "must be at least 1" if windowed else f"has no effect on {kind}; leave it out"
        raise ValueError(f"stride: {stride} {wrong}")
    arguments = ([labels] if named else []) + [max_length] + ([stride] if windowed else [])
    return encoder(examples, tokenizer, *arguments)


_ENCODERS: dict[str, tuple[Callable[..., Features], bool, bool]] = {
    # kind: (function, takes labels, takes a stride)
    "classification": (encode_classification, True, False),
    "regression": (encode_regression, False, False),
    "tagging": (tagging.encode, True, True),
    "spans": (spans.encode, False, True),
    "choice": (choice.encode, False, False),
    "dependency": (dependency.encode, True, False),
}
