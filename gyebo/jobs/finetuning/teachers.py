"""What fine-tuned models teach another one of their task: a probability of each class for every training example, and for texts
without a label (Buciluă et al. 2006; Hinton et al. 2015).

A text's probabilities are the mean of those of all teachers. Each teacher's scores are first multiplied by the one number under
which the labels of the validation examples are likeliest (Guo et al. 2017, temperature scaling): fine-tuned networks are too
sure, and the margins of a linear baseline or the classes that a model writes are no probabilities.

N examples, K classes.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.config.finetune import DistilOptions, FinetuneOptions
from gyebo.data.prepare import open_corpus, training_texts
from gyebo.data.splitting import split_key
from gyebo.jobs import identity
from gyebo.jobs.finetuned_model import FinetunedModel, open_model
from gyebo.tasks.features import Features
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.linear import LinearModel
from gyebo.tasks.splits import TaskData
from gyebo.tasks.task import Example

SCALES = np.geomspace(0.02, 50, 120)
LEAST = 1e-12  # of a probability, before its logarithm


@dataclass(frozen=True)
class Taught:
    """`texts`: examples without a label. `labels` [N, K]: probabilities of the training examples and then of these texts."""

    texts: list[Example]
    labels: NDArray[np.float32]

    def examples(self, train: Sequence[Example]) -> list[Example]:
        """All that is learned, in the order of `labels`, without labels of its own."""
        return [replace(example, label=None) for example in train] + self.texts

    def given_to(self, features: Features) -> Features:
        """The features of these examples, with what the teachers say of each."""
        return replace(features, fixed=features.fixed | {"labels": self.labels[features.example]})


def taught(options: FinetuneOptions, data: TaskData, kind: Kind) -> Taught | None:
    """What the teachers of a fine-tuning say; None where it has none. OptionError for a task or a teacher that can't be."""
    distil = options.distil
    if not distil.teachers:
        return None
    names = data.task.labels
    if not data.task.gives_one_class or names is None:
        raise OptionError(f"‹distil.teachers› has no effect on {data.task.name}: it is for tasks that give a text one class")
    texts = _texts(distil, data)
    asked = [*data.valid, *data.train, *texts]
    right = np.array([names.index(str(example.label)) for example in data.valid])
    sums = np.zeros((len(asked), len(names)))
    for name in distil.teachers:
        scores = scores_of(opened(name, options, data, kind), asked, names, options)
        sums += softmax(best_scale(scores[: len(right)], right) * scores)
    found = sums[len(right) :] / len(distil.teachers)
    own = np.eye(len(names))[[names.index(str(example.label)) for example in data.train]]
    found[: len(own)] = distil.weight * found[: len(own)] + (1 - distil.weight) * own
    return Taught(texts, found.astype(np.float32))


def opened(name: str, options: FinetuneOptions, data: TaskData, kind: Kind) -> FinetunedModel:
    """A teacher; OptionError where it does another task."""
    found = open_model(name, options.task)
    if found.kind.name != kind.name:
        raise OptionError(f"‹distil.teachers›: {name} does {found.kind.name}, but {data.task.name} is {kind.name}")
    if found.labels and set(found.labels) != set(data.task.labels or ()):
        raise OptionError(
            f"‹distil.teachers›: {name} knows the classes {', '.join(sorted(found.labels))}, but {data.task.name} has "
            f"{', '.join(sorted(data.task.labels or ()))}"
        )
    known = found.model if isinstance(found.model, LinearModel) else found.trained
    if known is not None and (paired := known.paired) != data.paired:
        told = ("pairs of texts", "single texts")
        raise OptionError(f"‹distil.teachers›: {name} learned {told[not paired]}, but {data.task.name} has {told[paired]}")
    return found


def scores_of(
    teacher: FinetunedModel, examples: list[Example], names: Sequence[str], options: FinetuneOptions
) -> NDArray[np.float64]:
    """A score [N, K] of each class: the logarithm of its probability, the baseline's margin, or 1 for the class that is
    written."""
    said = teacher.predict(examples, device=options.device, precision="float32", max_length=None)
    if isinstance(teacher.model, LinearModel):
        return np.array([[row[name] for name in names] for row in said])
    if isinstance(said[0], Mapping):
        return np.log(np.maximum([[row[name] for name in names] for row in said], LEAST))
    return np.array([[float(name == answer) for name in names] for answer in said])


def best_scale(scores: NDArray[np.float64], right: NDArray[np.int64]) -> float:
    """The factor under which the right classes [N] are likeliest."""
    losses = [-np.log(np.maximum(softmax(scale * scores)[np.arange(len(right)), right], LEAST)).mean() for scale in SCALES]
    return float(SCALES[int(np.argmin(losses))])


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities [N, K]."""
    found = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(found / found.sum(1, keepdims=True))


def _texts(options: DistilOptions, data: TaskData) -> list[Example]:
    """Texts without a label, at most so many, those of the smallest hashes; none that is an example of any set."""
    texts = options.texts
    if texts is None:
        return []
    if data.paired:
        raise OptionError(f"‹distil.texts› has no effect on {data.task.name}, whose examples have two texts: leave it out")
    known = {split_key(example.text) for part in (data.train, data.valid, data.test) for example in part}

    def new() -> Iterator[tuple[int, str]]:
        for text in training_texts(open_corpus(texts)):
            if text.strip() and (key := split_key(text)) not in known:
                known.add(key)
                yield key, text

    return [Example(f"text {key:016x}", text) for key, text in heapq.nsmallest(options.most, new())]


def identity_of(options: FinetuneOptions) -> dict[str, str]:
    """Digests of the teachers and of the texts without a label; {} where there are none."""
    distil = options.distil
    if not distil.teachers:
        return {}
    found = {"teachers": "+".join(_digest(open_model(name, options.task).model) for name in distil.teachers)}
    return found | ({"texts": open_corpus(distil.texts).fingerprint} if distil.texts else {})


def _digest(model: Any) -> str:
    if not isinstance(model, LinearModel):
        return identity.digest(model)
    found = hashlib.sha256(repr((model.labels, model.vocabulary)).encode())
    for values in (model.idf, model.weight, model.bias):
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
