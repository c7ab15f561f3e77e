"""Multiple choice: a prompt with each of its options as a pair, scored side by side (Radford et al. 2018, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gyebo.tasks.features import Features, all_labelled, features_of
from gyebo.tasks.task import Example
from gyebo.text.batch import longest_first
from gyebo.text.template import frame_of
from gyebo.text.tokenizer import Tokenizer


def encode(examples: Sequence[Example], tokenizer: Tokenizer, max_length: int) -> Features:
    """Prompts (`text`) with their `options` as inputs [N, C, T] and "labels" [N], the number of the right option from 0.

    Of prompt and option the longer gives way first; an example counts once in `cut`, however many of its options were cut.
    Raises ValueError where examples differ in the number of options, have fewer than two, or a label that is none of them.
    """
    frame = frame_of(tokenizer, 2)
    room = frame.room(max_length)
    labelled = all_labelled(examples, lambda example: example.label is not None)
    count = len(examples[0].options) if examples else 2
    for example in examples:
        if len(example.options) != count or count < 2:
            raise ValueError(
                f"example {example.id}: {len(example.options)} options; all examples need the same number, at least 2 "
                f"(the first has {count})"
            )
    prompts = tokenizer.encode_batch([example.text for example in examples])
    options = iter(tokenizer.encode_batch([option for example in examples for option in example.options]))
    rows = []
    cut = 0
    for prompt in prompts:
        lost = False
        for option in (next(options) for _ in range(count)):
            first, second = longest_first(len(prompt), len(option), room)
            lost |= first < len(prompt) or second < len(option)
            rows.append(frame.around(prompt[:first], option[:second]))
        cut += lost
    features = features_of(examples, tokenizer, rows, options=count, cut=cut)
    if labelled:
        features.fixed["labels"] = np.array([_right(example) for example in examples], np.int64)
    return features


def _right(example: Example) -> int:
    label = str(example.label).removesuffix(".0")
    if not label.isdecimal() or int(label) >= len(example.options):
        last = len(example.options) - 1
        raise ValueError(f"example {example.id}: label {example.label!r} is not the number of an option, 0 to {last}")
    return int(label)
