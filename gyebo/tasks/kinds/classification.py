"""Classification of texts, of pairs, and of the relation of two entities: one class of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.features import Features, all_labelled, features_of, number_of
from gyebo.tasks.heads.styles import STYLES
from gyebo.tasks.kinds.kind import (
    Encoding,
    HeadForm,
    Kind,
    Outputs,
    OwnFile,
    TextForm,
    bare_row,
    has_label,
    in_columns,
    stacked,
)
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.kinds.relation import marking
from gyebo.tasks.metrics import by_class
from gyebo.tasks.task import Example
from gyebo.text.batch import longest_first
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("macro_f1", "accuracy")


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Texts or pairs as rows, with "labels" [N], the ids of the classes, if all are known. An example with `answers` is a
    relation: markers are added around its entities."""
    features = encode_texts(examples, tokenizer, encoding.max_length)
    if all_labelled(examples, has_label):
        numbers = [number_of(example, example.label, encoding.labels) for example in examples]
        features.fixed["labels"] = np.array(numbers, np.int64)
    return features


def encode_texts(examples: Sequence[Example], tokenizer: Tokenizer, max_length: int) -> Features:
    """Texts or pairs as rows without labels; the longer text of a pair is truncated first."""
    templates = {1: template_of(tokenizer, 1), 2: template_of(tokenizer, 2)}
    mark = marking(tokenizer) if any(example.answers for example in examples) else None
    plain = iter(tokenizer.encode_batch([example.text for example in examples if not example.answers]))
    pairs = iter(tokenizer.encode_batch([example.pair for example in examples if example.pair]))
    rows = []
    too_long = 0
    for example in examples:
        texts = [mark(example) if mark and example.answers else next(plain)]
        if example.pair:  # an empty second text is none, as for the tokenizer
            texts.append(next(pairs))
        template = templates[len(texts)]
        sizes = longest_first(len(texts[0]), sum(map(len, texts[1:])), template.room(max_length))
        too_long += sum(sizes) < sum(map(len, texts))
        rows.append(template.apply(*(text[:size] for text, size in zip(texts, sizes))))
    return features_of(examples, tokenizer, rows, too_long=too_long)


def rows_of(batch: dict[str, Tensor]) -> int:
    """Number of rows of a batch, each with one label."""
    return len(batch["input_ids"])


def loss(output: TaskOutput, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy, summed over the rows."""
    import torch.nn.functional as F

    return F.cross_entropy(output.precise, batch["labels"], reduction="sum")


def decode(
    features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]
) -> list[dict[str, float]]:
    """A mapping from class name to probability for every example."""
    import torch

    probabilities = torch.from_numpy(stacked(outputs[0])).softmax(-1).tolist()
    return [dict(zip(labels, row)) for row in probabilities]


def one_class(examples: Sequence[Example]) -> str | None:
    """The reason why examples of a single class cannot be used for training: a constant prediction would be perfect."""
    seen = {example.label for example in examples}
    return f"all {len(examples):,} examples have one class, {next(iter(seen))!r}" if len(seen) < 2 else None


def parts(example: Example) -> dict[str, str | None]:
    """The texts of an example, and the entities of a relation, by name."""
    entities = dict(zip(("subject", "object"), (text for _, text in example.answers)))
    return {"text": example.text, "pair": example.pair, **entities}


def row(example: Example, prediction: str | Mapping[str, float], probability_key: str) -> dict[str, Any]:
    """The class, of numbers by class name the one with the largest; and the numbers (probabilities or margins), if any."""
    if isinstance(prediction, str):
        return bare_row(example, prediction, probability_key)
    numbers = {name: round(value, 6) for name, value in prediction.items()}
    return {"prediction": max(prediction, key=prediction.__getitem__), probability_key: numbers}


KIND = Kind(
    name="classification",
    pipeline_tag="text-classification",
    head=HeadForm(
        transformers_class="SequenceClassification",
        specs=STYLES,
        problems=("single_label_classification",),
        encode=encode,
        ngrams=True,
        output=TaskOutput,
        count=rows_of,
        loss=loss,
        decode=decode,
    ),
    text=TextForm(
        source=in_columns(parts),
        target=lambda example, task: None if example.label is None else str(example.label),
        answer=lambda text, example, task: text.strip(),
        columns=(("text", "sentence"), ("pair", "sentence2")),
        cut="end",
    ),
    own_files=(
        OwnFile(name="classification", task=column_task("classification", label="label", metrics=METRICS)),
        OwnFile(name="pair", task=column_task("classification", name="pair", pair="pair", label="label", metrics=METRICS)),
    ),
    lines=True,
    bpe_dropout=True,
    linear=True,
    class_names=lambda example: () if example.label is None else (example.label,),
    nothing_to_learn=one_class,
    by_class=by_class.one_class,
    row=row,
    picture="confusion",
)
