"""FLOPs of a forward pass: the floating-point operations of its matrix products and convolutions; a multiply-add counts 2.

Counted are the real tokens of each document, whatever shares a row with it and whichever kernel computes it: all matrices and
convolutions, attention as the full square of each document (the masked half of causal attention included, as kernels that skip
it are an optimisation of the same work), and the output layer where it is computed. Not counted: embedding lookups, norms,
activations, softmax, padding, and the projection of relative positions, which a pass computes once for all documents.

Training costs three times this: each product has two more in the backward pass (Kaplan et al. 2020, appendix B; Hoffmann et al.
2022, appendix F).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Workload:
    """What forward passes compute on, the argument of `flops` of every model.

    `lengths`: name of a stream -> length of each document in it [documents]: "tokens" of a language model; "source" and
    "target" of a translator, pair by pair; "words" of a parser; "characters" of a model that reads them: for each distinct
    token of a pass, the number of its symbols; "memory" of a model that has one: for each document, the tokens before it that
    it attends to. `projected`: head -> number of rows at which its output layer is computed; "lm.1" ...: of these, those
    whose label is in that cluster; "embedding.0" ...: tokens whose vector is in that cluster.
    """

    lengths: Mapping[str, Any]
    projected: Mapping[str, float] = field(default_factory=dict)

    def places(self, stream: str = "tokens") -> int:
        """Number of places of a stream."""
        return int(self._of(stream).sum())

    def documents(self, stream: str = "tokens") -> int:
        """Number of documents of a stream that are not empty."""
        return int((self._of(stream) > 0).sum())

    def pairs(self, queries: str = "tokens", keys: str | None = None) -> int:
        """Number of pairs of a query and a key of one document: the sum of n x n, or across two streams of n x m."""
        return int(self._of(queries) @ self._of(keys or queries))

    def outputs(self, costs: Mapping[str, float]) -> float:
        """The sum over heads of `projected` times the cost of a row. KeyError for a head without a cost."""
        return sum(rows * costs[head] for head, rows in self.projected.items())

    def _of(self, stream: str) -> NDArray[np.int64]:
        return np.asarray(self.lengths[stream], np.int64)


def transformer_flops(tokens: float, pairs: float, *, width: int, layers: int, inner: int) -> float:
    """FLOPs of the blocks of a Transformer over `tokens` tokens, of which `pairs` pairs attend to each other: query, key, value
    and output matrices, scores and weighted sums, feed-forward."""
    block = 4 * width * width + 2 * width * inner
    return 2 * layers * (tokens * block + 2 * pairs * width)


def recurrent_flops(tokens: float, *, inputs: int, width: int, gates: int) -> float:
    """FLOPs of a recurrent layer from `inputs` to a state of `width`: an input and a recurrent matrix for each gate."""
    return 2 * tokens * gates * (inputs + width) * width


def projected_lstm_flops(tokens: float, *, inputs: int, cells: int, outputs: int) -> float:
    """FLOPs of an LSTM with projection: four input and four recurrent matrices, and the projection."""
    return 2 * tokens * cells * (4 * (inputs + outputs) + outputs)
