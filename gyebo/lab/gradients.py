"""The gradient norm as a function of distance, for RNN, LSTM, GRU and Transformer.

The output at the last of T tokens depends on the embeddings of all tokens before. In a recurrent network, the gradient is a
product of one matrix per step, so its norm decreases or grows exponentially with the distance; through the cell of an LSTM it
is a product of forget gates near 1; a Transformer reaches every token in one step.

Letters: B rows, T tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gyebo.figures.lab import lines
from gyebo.models.rnn import Gru, Lstm, Rnn
from gyebo.models.transformer import Transformer, TransformerConfig

CLAIM = (
    "with distance, the gradient of an RNN vanishes or explodes, that of an LSTM lasts longer, that of a Transformer does not "
    "depend on it"
)
SOURCE = "Bengio et al. 1994; Hochreiter & Schmidhuber 1997; Pascanu et al. 2013; Vaswani et al. 2017, table 1"

LENGTH, WIDTH, VOCABULARY, ROWS = 100, 64, 64, 8


@dataclass(frozen=True)
class Probe:
    """A model whose gradient is measured: `hidden(ids)` [B, T, D]; `embedding`: its token embedding."""

    hidden: Callable[[Tensor], Tensor]
    embedding: torch.nn.Embedding


def gradient_norms(probe: Probe, ids: Tensor, seed: int = 0) -> Tensor:
    """Norms [T] of the gradient of the last hidden vector, in a random direction, with respect to the embedding of each token:
    by distance from the last token; the mean over the rows of ids [B, T]."""
    kept: list[Tensor] = []

    def keep(module: Any, arguments: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())  # with an encoder and a decoder: first the source, then the target
        return kept[-1]

    hook = probe.embedding.register_forward_hook(keep)
    try:
        last = probe.hidden(ids)[:, -1]
    finally:
        hook.remove()
    direction = torch.randn(last.shape, generator=torch.Generator().manual_seed(seed))
    direction = direction / direction.norm(dim=1, keepdim=True)
    (slope,) = torch.autograd.grad((last * direction).sum(), kept[-1])
    slope = slope.view(*ids.shape, -1)
    return slope.norm(dim=2).mean(0).flip(0)


def recurrent_model(cls: type[Rnn], gain: float = 1.0) -> Rnn:
    """A newly initialised recurrent network of one layer, with an orthogonal recurrent matrix times `gain`."""
    model = cls(cls.config_class(VOCABULARY, LENGTH, WIDTH, layers=1, dropout=0.0)).eval()
    block: Any = model.blocks[0]
    with torch.no_grad():
        block.weight_hh_l0.mul_(gain)
    return model


def recurrent(cls: type[Rnn], gain: float = 1.0) -> Probe:
    """`recurrent_model` as a probe."""
    model = recurrent_model(cls, gain)
    return Probe(lambda ids: model.encode(ids).hidden, model.token_embedding)


def transformer() -> Probe:
    """The decoder of a newly initialised Transformer of two layers, with an empty source (a single id)."""
    model = Transformer(TransformerConfig(VOCABULARY, LENGTH, WIDTH, 1, 2, 4, 2 * WIDTH, residual_dropout=0.0)).eval()
    blank = torch.zeros(ROWS, 1, dtype=torch.long)

    def hidden(ids: Tensor) -> Tensor:
        return model.encode(blank, None, ids).hidden

    return Probe(hidden, model.token_embedding)


PROBES: dict[str, Callable[[], Probe]] = {
    "RNN, recurrent matrix x 0.9": lambda: recurrent(Rnn, 0.9),
    "RNN": lambda: recurrent(Rnn),
    "RNN, recurrent matrix x 2": lambda: recurrent(Rnn, 2.0),
    "GRU": lambda: recurrent(Gru),
    "LSTM": lambda: recurrent(Lstm),
    "Transformer": transformer,
}


def run(out: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all, plot `gradients.png`, and compare distance 99 with 10 (shorter ones depend on the gates of the cell)."""
    curves: dict[str, Tensor] = {}
    for name, make in PROBES.items():
        found = []
        for seed in seeds:
            torch.manual_seed(seed)
            ids = torch.randint(VOCABULARY, (ROWS, LENGTH))
            found.append(gradient_norms(make(), ids, seed))
        curves[name] = torch.stack(found).log().mean(0).exp()  # the geometric mean: the norms are powers
        say(f"{name:<28} at distance 1: {curves[name][1]:.2e}, 10: {curves[name][10]:.2e}, 99: {curves[name][99]:.2e}")
    lines(
        out / "gradients.png",
        {name: (range(LENGTH), (curve / curve[0]).tolist()) for name, curve in curves.items()},
        "distance in tokens",
        "relative gradient norm",
        log="y",
    )
    decades = {name: math.log10(float(curve[99] / curve[10])) for name, curve in curves.items()}
    vanishes, explodes = decades["RNN, recurrent matrix x 0.9"] < -2, decades["RNN, recurrent matrix x 2"] > 2
    lasts = decades["LSTM"] > decades["RNN, recurrent matrix x 0.9"] and abs(decades["Transformer"]) < 1
    shown = ", ".join(f"{name} {value:+.1f}" for name, value in decades.items())
    return {
        "holds": bool(vanishes and explodes and lasts),
        "finding": f"from distance 10 to 99 the gradient changes by these powers of ten: {shown}",
        "decades": decades,
    }
