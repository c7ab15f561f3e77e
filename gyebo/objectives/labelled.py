"""The loss of given labels, as `forward(labels=)` gives it: the mean cross-entropy of what a model learned to predict.

As in `transformers`: -100 marks places without a label, a causal model predicts the next id at each place, all others the label
at the place itself. Objectives (corruption, packing, several heads) are what a run learns by; this is one term of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100
NEXT, HERE, BOTH, PAIRS = "next", "here", "both", "pairs"  # where a model's labels stand: `Pretrained.label_places`


def loss_of(places: str, labels: Tensor, logits: Tensor, backward: Tensor | None = None) -> Tensor:
    """The mean over all labels [B, T] for logits [B, T, V]; `backward`: those for the id before each place, where labels are
    for both directions. ValueError for labels of another shape."""
    if labels.shape != logits.shape[:-1]:
        raise ValueError(f"labels must be {list(logits.shape[:-1])}, as the logits, but are {list(labels.shape)} instead")
    if places == HERE:
        return mean_cross_entropy(logits, labels)
    following = mean_cross_entropy(logits[:, :-1], labels[:, 1:])
    if places == NEXT or backward is None:
        return following
    return (following + mean_cross_entropy(backward[:, 1:], labels[:, :-1])) / 2


def contrast(logits: Tensor) -> Tensor:
    """Of texts and their pictures, logits [B, B]: the mean of both directions, each text among pictures and the other way."""
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits.float(), right) + F.cross_entropy(logits.float().T, right)) / 2


def told_apart(logits: Tensor, labels: Tensor, real: Tensor | None) -> Tensor:
    """Binary cross-entropy, logits [B, T] above 0 for label 1: the mean over real tokens that have a label."""
    if labels.shape != logits.shape:
        raise ValueError(f"labels must be {list(logits.shape)}, as the logits, but are {list(labels.shape)} instead")
    known = (labels != IGNORE) if real is None else (labels != IGNORE) & real
    return F.binary_cross_entropy_with_logits(logits[known].float(), labels[known].float())


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over all labels [...] for logits [..., C]."""
    return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten().to(logits.device), ignore_index=IGNORE)


def shifted_right(labels: Tensor, start: int, pad: int) -> Tensor:
    """What a decoder reads of labels [B, U]: its start id, then all but the last, with padding where there is no label."""
    before = labels.new_full((len(labels), 1), start)
    return torch.cat([before, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORE, pad)], 1)
