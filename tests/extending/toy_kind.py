"""A kind of task that gyebo does not have: stars from 1 to 5, learned as a number and answered as a whole one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.heads.styles import STYLES
from gyebo.tasks.kinds.classification import encode_texts, rows_of
from gyebo.tasks.kinds.kind import HeadForm, Kind, OwnFile, has_label
from gyebo.tasks.kinds.own_columns import column_task


def encode(examples, tokenizer, encoding):
    features = encode_texts(examples, tokenizer, encoding.max_length)
    if not examples or not all(map(has_label, examples)):
        return features
    stars = np.array([float(example.label) for example in examples], np.float32)
    return replace(features, fixed={"labels": stars})


def loss(output, batch):
    return (output.logits.squeeze(-1) - batch["labels"]).abs().sum()


def decode(features, examples, outputs, labels):
    return [str(min(5, max(1, round(float(row[0]))))) for row in outputs[0]]


KIND = Kind(
    name="stars",
    pipeline_tag="text-classification",
    head=HeadForm(
        transformers_class="StarRating",
        specs=STYLES,
        outputs=1,
        encode=encode,
        output=TaskOutput,
        count=rows_of,
        loss=loss,
        decode=decode,
    ),
    own_files=(OwnFile(name="stars", task=column_task("stars", label="stars", metrics=("accuracy",))),),
    lines=True,
)
