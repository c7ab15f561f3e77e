"""Labels of examples as numbers, and whether a set of examples has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gyebo.tasks.task import Example


def number_of(example: Example, label: Any, labels: Sequence[str]) -> int:
    """The number of a label's name. Raises ValueError, naming the example, for one that is not among `labels`."""
    if str(label) not in labels:
        raise ValueError(f"example {example.id}: label {str(label)!r} is none of {', '.join(labels)}")
    return labels.index(str(label))


def all_labelled(examples: Sequence[Example], has: Callable[[Example], bool]) -> bool:
    """Whether all examples have what `has` asks for; ValueError, naming an example, where only some have."""
    missing = [example.id for example in examples if not has(example)]
    if missing and len(missing) < len(examples):
        raise ValueError(f"example {missing[0]} has no label, but others have; label all of them or none")
    return not missing
