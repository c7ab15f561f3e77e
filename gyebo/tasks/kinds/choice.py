"""Multiple choice: the prompt with each option as a pair, each pair with a score (Radford et al. 2018, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gyebo.data.values import written
from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.features import Features, all_labelled, features_of
from gyebo.tasks.heads.styles import LAST, POOLED, STYLES, HeadSpec
from gyebo.tasks.kinds.classification import loss, rows_of
from gyebo.tasks.kinds.kind import Encoding, HeadForm, Kind, Outputs, OwnFile, TextForm, has_label, in_columns
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example, class_name, look, need, number, text_of
from gyebo.tasks.text_task import TextTask
from gyebo.text.batch import longest_first
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Prompts (`text`) with their `options` as inputs [N, C, T] and "labels" [N], the index of the correct option.

    The longer one of prompt and option is truncated first; an example counts once in `too_long`. Raises ValueError where
    examples differ in the number of options, have fewer than two, or a label that is not one of them.
    """
    template = template_of(tokenizer, 2)
    room = template.room(encoding.max_length)
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
    too_long = 0
    for prompt in prompts:
        truncated = False
        for option in (next(options) for _ in range(count)):
            first, second = longest_first(len(prompt), len(option), room)
            truncated |= first < len(prompt) or second < len(option)
            rows.append(template.apply(prompt[:first], option[:second]))
        too_long += truncated
    features = features_of(examples, tokenizer, rows, options=count, too_long=too_long)
    if labelled:
        features.fixed["labels"] = np.array([_correct_option(example) for example in examples], np.int64)
    return features


def _correct_option(example: Example) -> int:
    label = str(example.label).removesuffix(".0")
    if not label.isdecimal() or int(label) >= len(example.options):
        last = len(example.options) - 1
        raise ValueError(f"example {example.id}: label {example.label!r} is not the index of an option, 0 to {last}")
    return int(label)


def decode(features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]) -> list[int]:
    """The index of the best option of every example."""
    return [int(row.argmax()) for row in outputs[0]]


def parts(example: Example) -> dict[str, str | None]:
    """The prompt, and the options with their numbers."""
    rest = (f"choice{number}: {option}" for number, option in enumerate(example.options, 1))
    return {"text": example.text, "options": " ".join(rest)}


def answer(text: str, example: Example, task: TextTask) -> int | None:
    """The index of the option that was named; None for anything else."""
    names = [f"choice{number}" for number in range(1, len(example.options) + 1)]
    return names.index(text.strip()) if text.strip() in names else None


def row(example: Example, prediction: int | None, probability_key: str) -> dict[str, Any]:
    """The index of the option, and its text; None where a text named none."""
    return {"prediction": prediction, "option": None if prediction is None else example.options[prediction]}


class Options:
    """Reads a prompt, its options (one column with a list, or one column each) and the correct one."""

    def __init__(self, text: str, options: str, label: str) -> None:
        self.text, self.options, self.label = text, options.split(","), label

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of the row. Raises `MissingColumn`, and ValueError for a label that is not one of the options."""
        if len(self.options) == 1:
            found = need(values, (self.options[0],))
            if not isinstance(found, list) or not all(isinstance(option, str) for option in found):
                raise ValueError(f"{self.options[0]} is not a list of texts; if options are columns, name them one,two,three")
        else:
            found = [text_of(values, (name,)) for name in self.options]
        if len(found) < 2:
            raise ValueError(f"{len(found)} option, but a choice needs at least two")
        label = need(values, (self.label,)) if labelled else look(values, (self.label,))
        if labelled and (label is None or label == ""):
            raise ValueError(f"{self.label} is empty")
        identity = look(values, ("id", "guid"))
        yield Example(
            id=where if identity is None else written(identity),
            text=text_of(values, (self.text,)),
            options=tuple(found),
            label=None if label is None or label == "" else self._index(label, found),
        )

    def _index(self, label: Any, options: list[str]) -> int:
        named = [class_name(option) for option in options]
        if isinstance(label, str) and named.count(class_name(label)) == 1:
            return named.index(class_name(label))
        try:
            at = number(label, self.label)
        except ValueError:
            raise ValueError(
                f"{self.label} is {label!r}, neither one of the {len(options)} options nor the index of one"
            ) from None
        if at != int(at) or not 0 <= at < len(options):
            raise ValueError(f"{self.label} is {label!r}, but options are numbered 0 to {len(options) - 1}")
        return int(at)


KIND = Kind(
    name="choice",
    pipeline_tag="multiple-choice",
    head=HeadForm(
        transformers_class="MultipleChoice",
        specs=STYLES | {"dense": POOLED, "concat": LAST, "dense-gelu": HeadSpec("first", "gelu")},
        outputs=1,
        encode=encode,
        grouped=True,
        output=TaskOutput,
        count=rows_of,
        loss=loss,
        decode=decode,
    ),
    text=TextForm(
        source=in_columns(parts),
        target=lambda example, task: None if example.label is None else f"choice{_correct_option(example) + 1}",
        answer=answer,
        columns=(("text", "prompt"), ("options", "")),
        cut="end",
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
    row=row,
)
