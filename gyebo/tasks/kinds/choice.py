"""Multiple choice: a prompt with each of its options as a pair, scored side by side (Radford et al. 2018, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.features import Features, all_labelled, features_of
from gyebo.tasks.heads.styles import LAST, POOLED, STYLES
from gyebo.tasks.kinds.classification import loss, rows_of
from gyebo.tasks.kinds.kind import Encoding, HeadForm, Kind, Outputs, OwnFile, has_label
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example, look, need, number, text_of
from gyebo.text.batch import longest_first
from gyebo.text.template import frame_of
from gyebo.text.tokenizer import Tokenizer


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Prompts (`text`) with their `options` as inputs [N, C, T] and "labels" [N], the number of the right option from 0.

    Of prompt and option the longer gives way first; an example counts once in `cut`, however many of its options were cut.
    Raises ValueError where examples differ in the number of options, have fewer than two, or a label that is none of them.
    """
    frame = frame_of(tokenizer, 2)
    room = frame.room(encoding.max_length)
    labelled = all_labelled(examples, has_label)
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


def decode(features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]) -> list[int]:
    """The number of the best option of every example."""
    return [int(row.argmax()) for row in outputs[0]]


class Options:
    """Reads a prompt, its options (a column with a list, or one column each) and which one is right."""

    def __init__(self, text: str, options: str, label: str) -> None:
        self.text, self.options, self.label = text, options.split(","), label

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The row's example. Raises `MissingColumn`, and ValueError for a label that is none of the options."""
        if len(self.options) == 1:
            found = need(values, (self.options[0],))
            if not isinstance(found, list) or not all(isinstance(option, str) for option in found):
                raise ValueError(f"{self.options[0]} is not a list of texts; name its columns as one,two,three")
        else:
            found = [text_of(values, (name,)) for name in self.options]
        if len(found) < 2:
            raise ValueError(f"{len(found)} option is no choice")
        label = need(values, (self.label,)) if labelled else look(values, (self.label,))
        if labelled and (label is None or label == ""):
            raise ValueError(f"{self.label} is empty")
        identity = look(values, ("id", "guid"))
        yield Example(
            id=where if identity is None else str(identity),
            text=text_of(values, (self.text,)),
            options=tuple(found),
            label=None if label is None or label == "" else self._right(label, found),
        )

    def _right(self, label: Any, options: list[str]) -> int:
        if isinstance(label, str) and options.count(label) == 1:
            return options.index(label)
        try:
            at = number(label, self.label)
        except ValueError:
            raise ValueError(f"{self.label} is {label!r}, none of the {len(options)} options and no number of one") from None
        if at != int(at) or not 0 <= at < len(options):
            raise ValueError(f"{self.label} is {label!r}, but options are numbered 0 to {len(options) - 1}")
        return int(at)


# one file, several splits ---------------------------------------------------------------------------------------------


# what to know before training -----------------------------------------------------------------------------------------


KIND = Kind(
    name="choice",
    pipeline_tag="multiple-choice",
    head=HeadForm(
        transformers_class="MultipleChoice",
        specs=STYLES | {"dense": POOLED, "concat": LAST},
        outputs=1,
        encode=encode,
        grouped=True,
        output=TaskOutput,
        count=rows_of,
        loss=loss,
        decode=decode,
    ),
    own_files=(
        OwnFile(
            name="choice",
            task=column_task(
                "choice",
                pair="options",
                label="label",
                metrics=("accuracy",),
                convert=lambda text, pair, label: Options(text, pair or "", label),
            ),
        ),
    ),
    bpe_dropout=True,
    row=lambda example, prediction, shares: {"prediction": prediction, "option": example.options[prediction]},
)
