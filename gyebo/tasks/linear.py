"""The linear baseline: TF-IDF over character n-grams and a linear support vector machine; for scores, ridge regression.

A network is worth its cost only if it beats this: it trains in seconds instead of minutes, and on short Korean reviews it is as
accurate as an LSTM. Sources: Joachims 1998, "Text Categorization with Support Vector Machines"; LIBLINEAR (Fan et al. 2008)
through scikit-learn. Texts are normalised to NFC and lower case; runs of white space become one space.

Features of one text: sublinear term frequency x inverse document frequency of its character n-grams, scaled to length 1.
Features of a pair (x of the first text, y of the second): x, y, x * y and |x - y| concatenated, and x . y, their cosine. The
first two describe each text alone (a hypothesis with a "not"), the others what the texts share and where they differ.

On disk: `config.json`, `vocabulary.json` (the n-grams in the order of the columns) and `model.safetensors`; nothing is pickled.

Letters: N texts, F n-grams, C columns (F, or 4F + 1 for pairs), K rows of weights (1 for two classes and for scores).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gyebo.config import durable
from gyebo.text.normalize import nfc

MODEL_TYPE = "gyebo-linear"
_CONFIG, _VOCABULARY, _WEIGHTS = "config.json", "vocabulary.json", "model.safetensors"
_MOST_CONFIG_BYTES = 1 << 24
_MOST_NGRAM = 16


class Labelled(Protocol):
    """The fields of an example that the baseline reads: its text, the second text of a pair or None, and its label."""

    @property
    def text(self) -> str:
        """The first text."""
        ...

    @property
    def pair(self) -> str | None:
        """The second text."""
        ...

    @property
    def label(self) -> str | float | None:
        """A class name, or a score."""
        ...


@dataclass(frozen=True)
class LinearModel:
    """A trained baseline. `labels`: the class names, None where it gives scores; `paired`: whether it reads two texts.

    `ngrams` (shortest, longest), `vocabulary` (F n-grams), `idf` [F], `weight` [K, C] and `bias` [K], float32.
    """

    labels: tuple[str, ...] | None
    paired: bool
    ngrams: tuple[int, int]
    vocabulary: tuple[str, ...]
    idf: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def scores(self, texts: Sequence[str | Labelled]) -> np.ndarray:
        """[N, labels]: the margin of each class; the largest is predicted (two classes: -s and s). [N, 1] for regression.

        Raises ValueError where the second text of a pair is missing, or an unexpected one is given.
        """
        found = np.asarray(_features(self._vectorizer, texts, self.paired) @ self.weight.T.astype(np.float64)) + self.bias
        return np.concatenate([-found, found], 1) if self.labels is not None and found.shape[1] == 1 else found

    def predict(self, texts: Sequence[str | Labelled]) -> list[str] | list[float]:
        """The class name of each text, or its score; `texts` are strings, or examples (needed for pairs)."""
        scores = self.scores(texts)
        if self.labels is None:
            return [float(score) for score in scores[:, 0]]
        return [self.labels[number] for number in scores.argmax(1)]

    def save(self, directory: str | Path) -> None:
        """Write the three files, each of them atomically."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_type": MODEL_TYPE,
            "architectures": ["GyeboLinear"],
            "labels": self.labels,
            "paired": self.paired,
            "ngrams": self.ngrams,
        }
        _write_json(folder / _CONFIG, config, indent=2)
        _write_json(folder / _VOCABULARY, self.vocabulary)
        with durable.replacing(folder / _WEIGHTS) as aside:
            save_file({"idf": self.idf, "weight": self.weight, "bias": self.bias}, aside)

    @cached_property
    def _vectorizer(self) -> Any:
        vectorizer = _vectorizer(self.ngrams, vocabulary={ngram: column for column, ngram in enumerate(self.vocabulary)})
        vectorizer.idf_ = self.idf
        return vectorizer


def fit(
    examples: Sequence[Labelled],
    labels: Sequence[str] | None = None,
    *,
    ngrams: tuple[int, int] = (1, 4),
    min_documents: int | None = None,
    strength: float | None = None,
    seed: int = 0,
) -> LinearModel:
    """Train on examples that all have a second text, or none of which has one.

    `labels`: the class names in order; None: those that occur, sorted, or regression if labels are numbers. `ngrams`: shortest
    and longest, in characters. `min_documents`: n-grams in fewer documents are ignored (default: 2 for at least 1,000 examples,
    otherwise 1). `strength`: weight of errors relative to regularization (C of the support vector machine, default 0.25; 1 /
    alpha of ridge regression, default 0.1). `seed`: of the order in which LIBLINEAR visits examples. Raises ValueError for no
    examples, a missing or unknown label, fewer than two classes, or options out of range.
    """
    if not examples:
        raise ValueError("examples: none were given; a baseline needs training examples")
    if not 1 <= ngrams[0] <= ngrams[1] <= _MOST_NGRAM:
        raise ValueError(f"ngrams must be (shortest, longest) with 1 <= shortest <= longest <= {_MOST_NGRAM}, but is {ngrams}")
    if strength is not None and not 0 < strength < math.inf:
        raise ValueError(f"strength must be positive, but is {strength} instead")
    names, targets = _targets(examples, labels)
    paired = examples[0].pair is not None
    least = min_documents if min_documents is not None else 2 if len(examples) >= 1000 else 1
    if least < 1:
        raise ValueError(f"min_documents must be at least 1, but is {least} instead")
    vectorizer = _vectorizer(ngrams, min_df=least)
    first, second = strings(examples, paired)
    try:
        rows = vectorizer.fit_transform(first + second)
    except ValueError as error:
        raise ValueError(f"examples: no n-gram occurs in {least} of {len(examples)} texts, so there are no features") from error
    features = _side_by_side(rows[: len(first)], rows[len(first) :]) if paired else rows
    weight, bias = _ridge(features, targets, strength) if names is None else _machine(features, targets, names, strength, seed)
    return LinearModel(
        labels=names,
        paired=paired,
        ngrams=(int(ngrams[0]), int(ngrams[1])),
        vocabulary=tuple(vectorizer.get_feature_names_out()),
        idf=np.ascontiguousarray(vectorizer.idf_, np.float32),
        weight=np.ascontiguousarray(np.atleast_2d(weight), np.float32),
        bias=np.ascontiguousarray(np.atleast_1d(bias), np.float32),
    )


def _targets(examples: Sequence[Labelled], labels: Sequence[str] | None) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """The class names (None for regression) and the target of each example: class numbers, or scores."""
    given = [example.label for example in examples]
    if None in given:
        raise ValueError(f"examples: number {given.index(None) + 1} has no label; training examples need one")
    if labels is None and not any(isinstance(label, str) for label in given):
        scores = np.array(given, np.float64)
        if not np.isfinite(scores).all():
            raise ValueError(f"examples: number {int(np.argmin(np.isfinite(scores))) + 1} has a score that is not finite")
        return None, scores
    found = {str(label) for label in given}
    names = tuple(sorted(found) if labels is None else labels)
    if len(set(names)) != len(names):
        raise ValueError(f"labels: {', '.join(names)}: a name occurs twice")
    if unknown := sorted(found - set(names)):
        raise ValueError(f"examples: the label {unknown[0]!r} is none of {', '.join(names)}")
    if len(found) < 2:
        raise ValueError(f"examples: all have the label {next(iter(found))!r}; two classes are needed")
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[str(label)] for label in given])


def _ridge(features: Any, targets: np.ndarray, strength: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Weights [C] and bias []."""
    from sklearn.linear_model import Ridge

    ridge = Ridge(alpha=1 / (strength or 0.1), solver="sparse_cg").fit(features.astype(np.float64), targets)
    return ridge.coef_, ridge.intercept_


def _machine(
    features: Any, targets: np.ndarray, names: tuple[str, ...], strength: float | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [K, C] and bias [K]: one row for two classes, otherwise one per class, against all others."""
    from sklearn.svm import LinearSVC

    with (
        warnings.catch_warnings()
    ):  # that there are many classes is a note of the data's (tasks/data/checks.py), not of sklearn's
        warnings.filterwarnings("ignore", "The number of unique classes")
        machine = LinearSVC(C=strength or 0.25, random_state=seed).fit(features, targets)
    weight, bias = machine.coef_, machine.intercept_
    if len(names) == 2:
        return weight, bias
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
    # A class that does not occur in the data is never predicted.
    rows, biases = np.zeros((len(names), features.shape[1])), np.full(len(names), float(np.finfo(np.float32).min))
    rows[machine.classes_], biases[machine.classes_] = weight, bias
    return rows, biases


def _vectorizer(ngrams: tuple[int, int], **options: Any) -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise ValueError("the linear baseline needs scikit-learn: pip install scikit-learn") from None
    return TfidfVectorizer(analyzer="char", ngram_range=ngrams, lowercase=True, sublinear_tf=True, dtype=np.float32, **options)


def strings(items: Iterable[str | Labelled], paired: bool) -> tuple[list[str], list[str]]:
    """First and second texts in NFC; no second texts where there are no pairs."""
    first, second = [], []
    for number, item in enumerate(items, 1):
        text, pair = (item, None) if isinstance(item, str) else (item.text, item.pair)
        if (pair is not None) != paired:
            found = "has a second text, but others or the model have none" if pair is not None else "has no second text"
            raise ValueError(f"texts: number {number} {found}: give pairs throughout, or single texts")
        first.append(nfc(text))
        if pair is not None:
            second.append(nfc(pair))
    return first, second


def _features(vectorizer: Any, items: Sequence[str | Labelled], paired: bool) -> Any:
    """A sparse matrix [N, C]."""
    first, second = strings(items, paired)
    x = vectorizer.transform(first)
    return _side_by_side(x, vectorizer.transform(second)) if paired else x


def _side_by_side(x: Any, y: Any) -> Any:
    """The features of pairs from those of their texts: two times [N, F] -> [N, 4F + 1]."""
    from scipy.sparse import csr_matrix, hstack

    shared = x.multiply(y)
    return hstack([x, y, shared, abs(x - y), csr_matrix(np.reshape(shared.sum(1), (-1, 1)))], format="csr", dtype=np.float32)


def is_linear(directory: str | Path) -> bool:
    """Whether a directory holds a saved baseline, by the `model_type` of its `config.json`."""
    path = Path(directory) / _CONFIG
    try:
        return path.is_file() and _read_json(path, _MOST_CONFIG_BYTES, dict).get("model_type") == MODEL_TYPE
    except ValueError:
        return False


def load(directory: str | Path) -> LinearModel:
    """A saved baseline; it predicts the same.

    Raises FileNotFoundError where a file is missing, ValueError where one is damaged or does not fit the others. The sizes
    declared in a file are checked against its length before memory is allocated.
    """
    folder = Path(directory)
    for name in (_CONFIG, _VOCABULARY, _WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file; a linear baseline is {_CONFIG}, {_VOCABULARY}, {_WEIGHTS}")
    labels, paired, ngrams = _read_config(folder / _CONFIG)
    idf, weight, bias = _read_weights(folder / _WEIGHTS, labels, paired)
    path = folder / _VOCABULARY
    vocabulary = _read_json(path, 64 + len(idf) * (12 * ngrams[1] + 8), list)  # a character takes at most 12 bytes, escaped
    if not all(isinstance(ngram, str) and 0 < len(ngram) <= ngrams[1] for ngram in vocabulary):
        raise ValueError(f"{path}: expected n-grams of at most {ngrams[1]} characters: the file is damaged or of another kind")
    if len(set(vocabulary)) != len(vocabulary) or len(vocabulary) != len(idf):
        raise ValueError(f"{path}: holds {len(set(vocabulary)):,} different n-grams, but {_WEIGHTS} has {len(idf):,} columns")
    return LinearModel(labels, paired, ngrams, tuple(vocabulary), idf, weight, bias)


def _read_config(path: Path) -> tuple[tuple[str, ...] | None, bool, tuple[int, int]]:
    config = _read_json(path, _MOST_CONFIG_BYTES, dict)
    if config.get("model_type") != MODEL_TYPE:
        raise ValueError(f"{path}: model_type must be {MODEL_TYPE!r}, but is {config.get('model_type')!r:.60} instead")
    labels, paired, ngrams = config.get("labels"), config.get("paired"), config.get("ngrams")
    names = labels is None or (isinstance(labels, list) and all(isinstance(label, str) for label in labels))
    if not names or (labels is not None and not 2 <= len(set(labels)) == len(labels)):
        raise ValueError(f"{path}: labels must be two or more different names, or null for scores, but is {labels!r:.60}")
    if not isinstance(paired, bool):
        raise ValueError(f"{path}: paired must be true or false, but is {paired!r:.60}")
    whole = isinstance(ngrams, list) and len(ngrams) == 2 and all(type(n) is int for n in ngrams)
    if not whole or not 1 <= ngrams[0] <= ngrams[1] <= _MOST_NGRAM:
        raise ValueError(f"{path}: ngrams must be two whole numbers from 1 to {_MOST_NGRAM}, but is {ngrams!r:.60}")
    return None if labels is None else tuple(labels), paired, (ngrams[0], ngrams[1])


def _read_weights(path: Path, labels: tuple[str, ...] | None, paired: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:  # checks that the sizes in the header add up to the length of the file
        with safe_open(str(path), framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a dict)
            kinds = {file.get_slice(name).get_dtype() for name in shapes}
            if set(shapes) != {"idf", "weight", "bias"} or kinds != {"F32"} or len(shapes["idf"]) != 1:
                raise ValueError(f"{path}: expected float32 idf, weight and bias, but found {', '.join(sorted(shapes))}")
            (count,) = shapes["idf"]
            rows = {1} if labels is None else {len(labels)} | ({1} if len(labels) == 2 else set())
            columns = 4 * count + 1 if paired else count
            if shapes["bias"] not in [[row] for row in rows] or shapes["weight"] != [*shapes["bias"], columns]:
                raise ValueError(
                    f"{path}: weight {shapes['weight']} and bias {shapes['bias']} do not fit {count:,} n-grams and {_CONFIG}"
                )
            tensors = [file.get_tensor(name) for name in ("idf", "weight", "bias")]
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged, truncated or not safetensors ({error}): copy it again") from error
    if not all(np.isfinite(tensor).all() for tensor in tensors):
        raise ValueError(f"{path}: holds numbers that are not finite: the file is damaged")
    return tensors[0], tensors[1], tensors[2]


def _read_json(path: Path, most: int, kind: type) -> Any:
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"{path}: {size:,} bytes is too large, at most {most:,} are expected here: this is not such a file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}): the file is damaged or of another kind") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected a JSON {kind.__name__}, but it holds a {type(content).__name__} instead")
    return content


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    durable.write(path, json.dumps(content, ensure_ascii=False, indent=indent) + "\n")
