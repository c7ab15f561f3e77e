"""Encoded examples, stored compactly, and batches of them: padded arrays in the order of training or evaluation.

N rows, T tokens of the longest row of a batch, W words of the longest row, C options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gyebo.data.batches import IGNORE
from gyebo.data.order import shuffled
from gyebo.data.streams import REGIONS, TOKENS, Arrays, BatchField, Pieces, Stream, laid_out, streams_of
from gyebo.tasks.task import Example
from gyebo.text.template import TemplatedText
from gyebo.text.tokenizer import Tokenizer

TEXT = (BatchField("input_ids"), BatchField("token_type_ids", TOKENS, 0), BatchField("labels", TOKENS, IGNORE))


@dataclass(frozen=True)
class Ragged:
    """Lists of different lengths as one array [sum of lengths, *shape]: list i is `values[starts[i] : starts[i + 1]]`."""

    values: NDArray[Any]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> NDArray[Any]:
        return self.values[self.starts[number] : self.starts[number + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The lengths of all lists."""
        return np.diff(self.starts)

    def lengths_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lengths of these lists."""
        return self.starts[numbers + 1] - self.starts[numbers]

    def joined(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """The values of these lists, concatenated."""
        first, lengths = self.starts[numbers], self.lengths_of(numbers)
        before = np.cumsum(lengths) - lengths
        return self.values[np.repeat(first - before, lengths) + np.arange(int(lengths.sum()))]


def ragged(lists: Iterable[Sequence[float] | NDArray[Any]]) -> Ragged:
    """The lists, each of n values or an array [n, *shape], as a `Ragged`. Values keep their type, except int64, which is stored
    as int32. Raises ValueError for integers beyond 32 bits."""
    arrays = [np.asarray(values) for values in lists]
    starts = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([len(values) for values in arrays], out=starts[1:])
    # An empty Python list is an array of float64, which would make floats of the integers beside it.
    values = np.concatenate([values for values in arrays if len(values)] or arrays[:1] or [np.zeros(0, np.int64)])
    if values.dtype == np.int64:
        limits = np.iinfo(np.int32)
        if len(values) and not limits.min <= values.min() <= values.max() <= limits.max:
            raise ValueError(f"integers of a column must fit into 32 bits, but range from {values.min()} to {values.max()}")
        values = values.astype(np.int32)
    return Ragged(values, starts)


@dataclass(frozen=True)
class Features:
    """Rows of model inputs with their labels. An example has one row, or one per window of a long text.

    columns: per-token (or per-word) lists, for multiple choice `options` of them per row: "input_ids",
        "token_type_ids" where the family has them, "labels" of tagging, and the words of dependency parsing.
    fixed: one number per row: "labels" of classification (int64) and regression (float32), "start_positions"...
    notes: data for decoding predictions, which never enter a batch.
    example: the number of each row's example. ids: the `id` of each example.
    fields: the batch fields of the columns; they may name more columns than there are.
    too_long: number of examples longer than `max_length`, which were truncated (or skipped).
    """

    columns: dict[str, Ragged]
    fixed: dict[str, NDArray[Any]]
    example: NDArray[np.int64]
    ids: tuple[str, ...]
    pad_id: int
    options: int = 1
    too_long: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    fields: tuple[BatchField, ...] = TEXT

    def __len__(self) -> int:
        return len(self.example)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each row [rows], special tokens included; for multiple choice, of its longest option."""
        return self.columns["input_ids"].lengths.reshape(len(self), self.options).max(1)

    @property
    def places(self) -> NDArray[np.int64]:
        """Number of places of each row: its tokens, of all options, and the regions of its picture."""
        regions = [self.columns[f.name].lengths for f in self.fields if f.stream is REGIONS and f.name in self.columns]
        return self.lengths * self.options + (regions[0] if regions else 0)

    @property
    def _present(self) -> list[BatchField]:
        if unknown := self.columns.keys() - {field.name for field in self.fields}:
            raise ValueError(
                f"column {min(unknown)!r} is not among the fields of these features: declare a field with its stream"
            )
        present = [field for field in self.fields if field.name in self.columns]
        for known in present:
            values = self.columns[known.name].values
            if len(values) and not np.can_cast(values.dtype, known.dtype, "same_kind"):
                raise ValueError(f"column {known.name!r} holds {values.dtype}, which its field's {known.dtype} cannot store")
        return present

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of a row."""
        return streams_of(self._present)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of positions of each row in each of its streams [streams, rows], where a row has no options."""
        first = {field.stream: field.name for field in reversed(self._present) if field.stream}
        return np.stack([self.columns[first[stream]].lengths for stream in self.streams])

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Arrays:
        """The rows as arrays: int64 [N, T] (choices [N, C, T]; words [N, W]), scores float32 [N].

        `document_ids` are 1 at real tokens and 0 at padding, which is on the right; `word_mask` likewise for words,
        `decoder_document_ids` for decoder inputs. Labels at padding are -100.
        """
        rows = np.asarray(rows, np.int64)
        lists = (rows[:, None] * self.options + np.arange(self.options)).ravel()
        columns, fields = self.columns, self._present
        sizes = {field.stream.name: columns[field.name].lengths_of(lists) for field in fields if field.stream}
        ones = np.ones(len(lists), np.int64)
        values = {field.name: columns[field.name].joined(lists) for field in fields}
        out = laid_out(Pieces(len(lists), np.arange(len(lists)), ones, sizes, values), fields, pad=self.pad_id)
        if self.options > 1:
            out = {name: array.reshape(len(rows), self.options, *array.shape[1:]) for name, array in out.items()}
        return out | {name: values[rows] for name, values in self.fixed.items()}


def features_of(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    rows: Sequence[TemplatedText],
    *,
    example: Sequence[int] | None = None,
    options: int = 1,
    too_long: int = 0,
) -> Features:
    """Features without labels. example: the number of each row's example (default: one row each).

    A text without any token (an empty one, in a family without special tokens around texts) becomes one `bos`, otherwise
    `eos` or pad, because a model needs at least one token.
    """
    roles = tokenizer.role_ids
    pad = roles.get("pad", 0)
    single = [roles.get("bos", roles.get("eos", pad))]
    columns = {"input_ids": ragged(row.ids or single for row in rows)}
    if "token_type_ids" in tokenizer.model_inputs:
        columns["token_type_ids"] = ragged(row.types or [0] for row in rows)
    numbers = np.arange(len(examples)) if example is None else np.asarray(example, np.int64)
    return Features(columns, {}, numbers, tuple(example.id for example in examples), pad, options, too_long)


@dataclass(frozen=True)
class ExampleRows:
    """The rows of features as batches: for tasks what `gyebo.data.batches.Rows` is for pretraining.

    of_epoch: epoch (from 0) -> its features, where the examples are encoded differently in each epoch (BPE-dropout).
    groups: rows that always share a batch, and count as one row there (`token_groups`); None: each row alone.
    """

    features: Features
    of_epoch: Callable[[int], Features] | None = None
    groups: tuple[NDArray[np.int64], ...] | None = None
    carries: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not len(self.features):
            raise ValueError("there are no examples: the file or the split is empty")

    def __len__(self) -> int:
        return len(self.features) if self.groups is None else len(self.groups)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of a row."""
        return self.features.streams

    @property
    def mean_tokens(self) -> float:
        """Mean number of real tokens in a row; with two streams, in the first."""
        return len(self.features.columns["input_ids"].values) / len(self.features)

    def step(self, step: int, batch: int, seed: int, first: int = 0, count: int | None = None) -> Arrays:
        """Rows (or groups) `first` to `first + count` of global training batch `step` (from 0), which has `batch` of them.

        Every epoch is a permutation of all; the last batch of an epoch is filled from the next.
        """
        rows, _ = shuffled(step, batch, len(self), seed)
        features = self.of_epoch(step * batch // len(self)) if self.of_epoch else self.features
        return features.batch(self._rows(rows[first : batch if count is None else first + count]))

    def ids(self, step: int, batch: int, seed: int) -> list[str]:
        """The ids of the examples in global training batch `step`, for messages."""
        rows, _ = shuffled(step, batch, len(self), seed)
        return sorted({self.features.ids[number] for number in self.features.example[self._rows(rows)]})

    def _rows(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        return chosen if self.groups is None else np.concatenate([self.groups[group] for group in chosen])

    def by_length(self, tokens_per_batch: int) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
        """All rows once, the longest first, as (row numbers, their arrays) with at most `tokens_per_batch` tokens and regions,
        padding included, or a single longer row. `in_order` restores the order of the rows in a model's outputs.
        """
        lengths = self.features.places
        order = np.argsort(-lengths, kind="stable")
        at = 0
        while at < len(order):
            rows = order[at : at + max(1, tokens_per_batch // max(1, int(lengths[order[at]])))]
            yield rows, self.features.batch(rows)
            at += len(rows)


def token_groups(features: Features, tokens: int) -> tuple[NDArray[np.int64], ...]:
    """Rows in groups of similar lengths, with at most `tokens` tokens in each stream (source and target, or both in one), or a
    single longer row.

    Raises ValueError where there is no row.
    """
    if not len(features):
        raise ValueError("no training examples: the file is empty, or all of them are too long")
    sizes = features.sizes
    order = np.lexsort(sizes)
    groups, begin, sums = [], 0, np.zeros(len(sizes), np.int64)
    for place, row in enumerate(order):
        if place > begin and (sums + sizes[:, row]).max() > tokens:
            groups.append(order[begin:place])
            begin, sums = place, np.zeros(len(sizes), np.int64)
        sums += sizes[:, row]
    return (*groups, order[begin:])


def in_order(
    parts: Iterable[tuple[NDArray[np.int64], NDArray[Any]]], lengths: NDArray[np.int64] | None = None
) -> list[NDArray[Any]]:
    """From (rows, outputs [N, ...]) of all batches to one output per row, in the order of the rows.

    lengths: tokens of each row (`Features.lengths`) if outputs are [N, T, ...], to drop padding.
    Raises ValueError where a row occurs twice or is missing.
    """
    found: dict[int, NDArray[Any]] = {}
    for rows, outputs in parts:
        for row, output in zip(rows.tolist(), outputs, strict=True):
            if row in found:
                raise ValueError(f"row {row} occurs twice in the batches; each must occur once")
            found[row] = (output if lengths is None else output[: lengths[row]]).copy()
    if sorted(found) != list(range(len(found))) or (lengths is not None and len(found) != len(lengths)):
        raise ValueError(f"{len(found)} rows in the batches, not all from the first to the last; each must occur once")
    return [found[row] for row in range(len(found))]


def number_of(example: Example, label: Any, labels: Sequence[str]) -> int:
    """The index of a label in `labels`. Raises ValueError, naming the example, for one that is not among them."""
    if str(label) not in labels:
        raise ValueError(f"example {example.id}: label {str(label)!r} is none of {', '.join(labels)}")
    return labels.index(str(label))


def all_labelled(examples: Sequence[Example], has: Callable[[Example], bool]) -> bool:
    """Whether all examples have what `has` asks for; ValueError, naming an example, where only some have."""
    missing = [example.id for example in examples if not has(example)]
    if missing and len(missing) < len(examples):
        raise ValueError(f"example {missing[0]} has no label, but others have; label all of them or none")
    return not missing
