"""Adaptive input embedding and adaptive softmax: frequent ids have wide vectors, rare ones narrow ones.

Grave et al. 2017, "Efficient softmax approximation for GPUs", and Baevski & Auli 2019, "Adaptive Input Representations for
Neural Language Modeling"; in the layout of Transformer-XL, so that published weights fit. Ids are sorted by frequency;
`cutoffs` divide them into clusters, the first of which is the short list. The head scores the short list and one column for
each other cluster; p(id) = p(cluster) p(id | cluster). With `division` d, the vectors of cluster i have width E / d^i, and are
projected to the width D of the model; with d = 1 all clusters share one table. The head's columns for the clusters are in their
order, as in the TensorFlow code of Transformer-XL and in `transformers`; the original PyTorch code reads them from the last to
the first, so that these rows of its weights have to be reversed.

Letters: N rows, D width of the model, E width of the first cluster's vectors, V vocabulary, C clusters beside the short list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gyebo.nn import host

Sum = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""A function of rows [N, E], a matrix [V, E], a bias [V] and labels [N], as `cross_entropy_sum`."""


def check_cutoffs(vocab_size: int, cutoffs: Sequence[int], division: int, width: int) -> None:
    """ValueError unless the cutoffs ascend below the vocabulary, and the last cluster's vectors have a width."""
    if any(low >= high for low, high in pairwise([0, *cutoffs, vocab_size])):
        raise ValueError(f"cutoffs must ascend from 1 to below vocab_size {vocab_size}, but are {list(cutoffs)} instead")
    if division < 1 or width // division ** len(cutoffs) < 1:
        raise ValueError(
            f"division must be at least 1 and leave the last of {len(cutoffs) + 1} clusters a width, but is {division} with "
            f"{width} instead"
        )


def bounds(vocab_size: int, cutoffs: Sequence[int]) -> list[tuple[int, int]]:
    """The first id of each cluster, and the one after its last."""
    return list(pairwise([0, *cutoffs, vocab_size]))


class AdaptiveEmbedding(nn.Module):
    """Ids -> vectors of width D. `tables`: one for each cluster, or with a division of 1 one for all; `projections` [D, E_i]
    of each, none where a single table has width D."""

    def __init__(self, vocab_size: int, width: int, embedding_width: int, cutoffs: Sequence[int], division: int):
        super().__init__()
        self.cutoffs = tuple(cutoffs) if division > 1 else ()  # of the tables
        self.width = width
        parts = bounds(vocab_size, self.cutoffs)
        widths = [embedding_width // division**number for number in range(len(parts))]
        self.tables = nn.ModuleList([nn.Embedding(end - first, size) for (first, end), size in zip(parts, widths)])
        plain = division == 1 and embedding_width == width
        self.projections = nn.ParameterList([] if plain else [torch.empty(width, size) for size in widths])

    @property
    def num_embeddings(self) -> int:
        """The size of the vocabulary."""
        return sum(len(table.weight) for table in self._tables())

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [...] -> [..., D]."""
        flat = ids.contiguous().flatten()
        if len(self.tables) == 1:
            return self._vectors(0, flat).unflatten(0, ids.shape)
        cluster = torch.bucketize(host.on_host(ids).contiguous().flatten(), torch.tensor(self.cutoffs), right=True)
        order = cluster.argsort(stable=True)
        counts = torch.bincount(cluster, minlength=len(self.tables)).tolist()
        order, back = (host.to_device(rows, ids.device) for rows in (order, order.argsort()))
        starts = [0, *self.cutoffs]
        parts = [
            self._vectors(number, part - start)  # an empty cluster too, so that every table has a gradient
            for number, (part, start) in enumerate(zip(flat[order].split(counts), starts))
        ]
        return torch.cat(parts).index_select(0, back).unflatten(0, ids.shape)

    def _tables(self) -> list[Any]:
        return list(self.tables)

    def _vectors(self, number: int, ids: Tensor) -> Tensor:
        vectors: Tensor = self.tables[number](ids)
        return linear(vectors, self.projections[number]) if len(self.projections) else vectors

    @torch.no_grad()
    def initialise(self, std: float, projection_std: float | None = None) -> None:
        """Normal tables and projections; these by default so that vectors keep their size."""
        for table in self.tables:
            nn.init.normal_(table.weight, 0.0, std)  # type: ignore[arg-type]
        for projection in self.projections:
            nn.init.normal_(projection, 0.0, projection_std or projection.shape[1] ** -0.5)

    def flops(self) -> dict[str, int]:
        """Multiply-adds of an id: "embedding.0", "embedding.1" ..., by its cluster; of a single table under the first name."""
        return {f"embedding.{number}": projection.numel() for number, projection in enumerate(self.projections)}

    @torch.no_grad()
    def grow(self, size: int, std: float) -> None:
        """Give the last table rows for ids up to `size`, drawn like fresh ones."""
        old: Any = self.tables[-1]
        grown = nn.Embedding(size - self.num_embeddings + len(old.weight), old.weight.shape[1])
        grown.to(old.weight.device, old.weight.dtype)
        grown.weight.normal_(0.0, std)
        grown.weight[: len(old.weight)] = old.weight
        self.tables[-1] = grown


def table_of(embedding: nn.Embedding | AdaptiveEmbedding) -> Tensor:
    """The vectors of all ids, [V, D]."""
    if isinstance(embedding, nn.Embedding):
        return embedding.weight
    ids = torch.arange(embedding.num_embeddings, device=embedding.tables[0].weight.device)  # type: ignore[arg-type]
    vectors: Tensor = embedding(ids)
    return vectors


@dataclass(frozen=True)
class Clusters:
    """What stands in the place of an output matrix [V, D]: for each cluster, the short list first, its ids (first, last + 1),
    projection [D, E_i] or None, matrix [V_i, E_i] and bias [V_i], those of the short list followed by a row for each other
    cluster."""

    parts: tuple[tuple[tuple[int, int], Tensor | None, Tensor, Tensor], ...]

    def sum(self, x: Tensor, labels: Tensor, loss: Sum) -> Tensor:
        """The sum of -ln p(label) over rows [N, D], by a function that gives it for one matrix."""
        return sum((loss(*part) for part, _ in self._divided(x, labels)), x.new_zeros((), dtype=torch.float32))

    def each(self, x: Tensor, labels: Tensor, loss: Sum) -> Tensor:
        """-ln p(label) of each row [N], by a function that gives it for one matrix."""
        total = torch.zeros(len(labels), device=x.device)
        for part, rows in self._divided(x, labels):
            total.index_add_(0, rows, loss(*part))
        return total

    def _divided(self, x: Tensor, labels: Tensor) -> list[tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]]:
        """(rows, matrix, bias, labels) of the head and of each cluster, and which of all rows these are. A cluster without rows
        is there too, so that its matrix has a gradient."""
        found = []
        short = self.parts[0][0][1]
        names, made = labels.clone(), host.on_host(labels)  # `names`: the column of the head
        for number, ((first, end), projection, matrix, bias) in enumerate(self.parts[1:]):
            names = names.masked_fill((labels >= first) & (labels < end), short + number)
            rows = host.places_of((made >= first) & (made < end), labels.device)
            found.append(((_project(x.index_select(0, rows), projection), matrix, bias, labels[rows] - first), rows))
        _, projection, matrix, bias = self.parts[0]
        return [((_project(x, projection), matrix, bias, names), torch.arange(len(x), device=x.device)), *found]


def _project(x: Tensor, projection: Tensor | None) -> Tensor:
    return x if projection is None else x @ projection


class AdaptiveSoftmax(nn.Module):
    """The output layer over clusters: rows [..., D] -> logits [..., V], with clusters ln p of every id.

    `layers`: matrix and bias of each cluster, or with a division of 1 one for all; `clusters`: the rows of the head for the
    clusters; `projections` [D, E_i]: of each cluster, none with a division of 1 where E = D.
    """

    def __init__(self, vocab_size: int, width: int, embedding_width: int, cutoffs: Sequence[int], division: int):
        super().__init__()
        self.cutoffs, self.division = tuple(cutoffs), division
        self.bounds = bounds(vocab_size, cutoffs)
        widths = [embedding_width // division**number for number in range(len(self.bounds))]
        stored = zip(self.bounds, widths) if division > 1 else [((0, vocab_size), embedding_width)]
        self.layers = nn.ModuleList([_Layer(size, end - first) for (first, end), size in stored])
        self.clusters = _Layer(embedding_width, len(cutoffs)) if cutoffs else None
        plain = division == 1 and embedding_width == width
        self.projections = nn.ParameterList([] if plain else [torch.empty(width, size) for size in widths])

    def tie(self, embedding: AdaptiveEmbedding, *, tables: bool, projections: bool) -> None:
        """Share the embedding's tables, and its projections but the first: that of the short list is never shared, as in the
        original."""
        if tables:
            for layer, table in zip(self.layers, embedding.tables):
                layer.weight = table.weight
        if projections:
            for number in range(1, len(self.projections)):
                self.projections[number] = embedding.projections[number if self.division > 1 else 0]

    @property
    def weight(self) -> Clusters:
        """What the losses of `gyebo/nn/cross_entropy.py` take for the matrix; the biases are in it."""
        parts = []
        for number, ((first, end), projection) in enumerate(zip(self.bounds, self._projections())):
            layer: Any = self.layers[number if self.division > 1 else 0]
            inside = slice(None) if self.division > 1 else slice(first, end)
            weight, bias = layer.weight[inside], layer.bias[inside]
            if number == 0 and self.clusters is not None:
                weight, bias = torch.cat([weight, self.clusters.weight]), torch.cat([bias, self.clusters.bias])
            parts.append(((first, end), projection, weight, bias))
        return Clusters(tuple(parts))

    @property
    def bias(self) -> None:
        """None: see `weight`."""
        return None

    def _projections(self) -> list[Tensor | None]:
        return list(self.projections) if len(self.projections) else [None] * len(self.bounds)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., V]."""
        if self.clusters is None:
            ((_, projection, matrix, bias),) = self.weight.parts
            return linear(_project(x, projection), matrix, bias)
        found: list[Tensor] = []
        for _, projection, matrix, bias in self.weight.parts:
            scores = linear(_project(x, projection), matrix, bias).float().log_softmax(-1)
            if found:
                scores = scores + found[0][..., self.bounds[0][1] + len(found) - 1, None]
            found.append(scores)
        return torch.cat([found[0][..., : self.bounds[0][1]], *found[1:]], -1)

    @torch.no_grad()
    def initialise(self, std: float, projection_std: float | None = None) -> None:
        """Normal matrices and projections, as those of the embedding; biases 0."""
        for layer in (*self.layers, *([] if self.clusters is None else [self.clusters])):
            nn.init.normal_(layer.weight, 0.0, std)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for projection in self.projections:
            nn.init.normal_(projection, 0.0, projection_std or projection.shape[1] ** -0.5)

    @torch.no_grad()
    def grow(self, size: int, tied: AdaptiveEmbedding | None, std: float) -> None:
        """Give the last cluster rows for ids up to `size`: those of the embedding that it is tied to, else fresh ones."""
        layer: Any = self.layers[-1]
        bias = torch.nn.functional.pad(layer.bias, (0, size - self.bounds[-1][1]))
        if tied is not None:
            layer.weight = tied.tables[-1].weight
        else:
            rows = torch.randn(len(bias) - len(layer.bias), layer.weight.shape[1], device=bias.device, dtype=bias.dtype) * std
            layer.weight = nn.Parameter(torch.cat([layer.weight, rows]))
        layer.bias, layer.out_features = nn.Parameter(bias), len(bias)
        self.bounds[-1] = (self.bounds[-1][0], size)

    def flops(self, width: int) -> dict[str, int]:
        """Multiply-adds of a row: "lm", of the head, and "lm.1", "lm.2" ..., of the cluster that a label lies in."""
        found = {}
        for number, ((first, end), projection) in enumerate(zip(self.bounds, self._projections())):
            layer: Any = self.layers[number if self.division > 1 else 0]
            size, ids = layer.weight.shape[1], end - first + (len(self.cutoffs) if number == 0 else 0)
            found[f"lm.{number}" if number else "lm"] = size * (ids + (0 if projection is None else width))
        return found


class _Layer(nn.Linear):
    """A linear layer that is never packed for decoding (`gyebo/nn/decoding.py`): its rows are taken apart."""
