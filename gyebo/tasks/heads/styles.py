"""Head styles: what each family's head reads of a text and of which layers it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.nn.dropout import dropout
from gyebo.tasks.heads.biaffine import Parser
from gyebo.tasks.heads.concat_pooling import ConcatHead
from gyebo.tasks.task import OUTPUTS


@dataclass(frozen=True)
class Reading:
    """What a head does. `rows`: what of the text it reads, "first", "pooled", "last", "max", "every" or "concat" (a head of its
    own). `activation`: that of a dense layer before the last one, None: there is none. `before`, `between`: dropout before each
    of the two layers."""

    rows: str
    activation: str | None = None
    before: bool = False
    between: bool = True
    bias: bool = True


_POOLED = Reading("pooled")


_PRE = Reading("first", "relu")


_LAST = Reading("last", bias=False)


_MAX = Reading("max")


_DENSE = Reading("first", "tanh", before=True)


_TAGGING = Reading("every")


_SPANS = Reading("every", between=False)


_CONCAT = Reading("concat")


READINGS: dict[tuple[str, str], Reading] = {
    ("pooled", "classification"): _POOLED,
    ("pooled", "choice"): _POOLED,
    ("pooled", "tagging"): _TAGGING,
    ("pooled", "spans"): _SPANS,
    ("dense", "classification"): _DENSE,
    ("dense", "choice"): _POOLED,
    ("dense", "tagging"): _TAGGING,
    ("dense", "spans"): _SPANS,
    ("pre-classifier", "classification"): _PRE,
    ("pre-classifier", "choice"): _PRE,
    ("pre-classifier", "tagging"): _TAGGING,
    ("pre-classifier", "spans"): _TAGGING,
    ("last", "classification"): _LAST,
    ("last", "choice"): _LAST,
    ("last", "tagging"): _TAGGING,
    ("last", "spans"): _SPANS,
    ("concat", "classification"): _CONCAT,
    ("concat", "choice"): _LAST,
    ("concat", "tagging"): _TAGGING,
    ("concat", "spans"): _SPANS,
    ("mix", "classification"): _MAX,
    ("mix", "choice"): _MAX,
    ("mix", "tagging"): _TAGGING,
    ("mix", "spans"): _TAGGING,
}


STYLES = ("pooled", "dense", "pre-classifier", "last", "concat", "mix")


KINDS = ("classification", "tagging", "spans", "choice", "dependency")


PROBLEMS = ("single_label_classification", "regression", "multi_label_classification")


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


class Head(nn.Module):
    """One or two linear layers on rows [..., D]; starts as N(0, init_std), biases 0."""

    def __init__(self, reading: Reading, width: int, outputs: int, p: float, init_std: float):
        super().__init__()
        self.reading, self.p = reading, p
        self.dense = nn.Linear(width, width) if reading.activation else None
        self.out = nn.Linear(width, outputs, bias=reading.bias)
        self.initialise(init_std)

    @torch.no_grad()
    def initialise(self, init_std: float) -> None:
        """Draw fresh weights from torch's generator."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0.0, init_std)
                if layer.bias is not None:
                    layer.bias.zero_()

    def forward(self, rows: Tensor) -> Tensor:
        """[..., D] -> [..., outputs]."""
        p = self.p if self.training else 0.0
        if self.dense is not None:
            assert self.reading.activation
            rows = dropout(rows, p) if self.reading.before else rows
            rows = _ACTIVATIONS[self.reading.activation](self.dense(rows))
        return self.out(dropout(rows, p) if self.reading.between else rows)


def head_style(style: str, kind: str) -> None:
    """ValueError where there is no such style or kind."""
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, but is {style!r} instead")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {kind!r} instead")


def reads_pooled(style: str, kind: str) -> bool:
    """Whether the body needs its pooler."""
    return kind != "dependency" and READINGS[style, kind].rows == "pooled"


def reads_windows(style: str, kind: str) -> bool:
    """Whether texts are read in windows, and norms go over the batch (`gyebo/tasks/heads/concat_pooling.py`)."""
    return READINGS.get((style, kind)) is _CONCAT


def make_head(style: str, kind: str, labels: int, config: Any, dropout: float) -> nn.Module:
    """A fresh head for a body of this config (`width`, `init_std`); `labels` as `OUTPUTS` says for spans and choice."""
    if kind == "dependency":
        return Parser(config.width, labels, dropout=dropout, init_std=config.init_std)
    if reads_windows(style, kind):
        return ConcatHead(config.width, labels, dropout, config.init_std)
    return Head(READINGS[style, kind], config.width, OUTPUTS.get(kind, labels), dropout, config.init_std)
