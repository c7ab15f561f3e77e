"""What the tests of models with an encoder and a decoder share: batches, and what holds for every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]  # ids of a source and of a target, [1, T] each
Batch = tuple[torch.Tensor, torch.Tensor]  # ids and mask, [B, T]


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, 53, shape, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def padded(texts: list[torch.Tensor], side: str, length: int = 15) -> Batch:
    """Whatever stands at padding: no id tells it from a token."""
    ids, mask = tokens(len(texts), length, seed=9), torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(0, text.shape[1]) if side == "right" else slice(length - text.shape[1], length)
        ids[row, place], mask[row, place] = text[0], 1
    return ids, mask


def batch_of(pairs: Pairs, *sides: str) -> tuple[Batch, Batch]:
    """Sources and targets as batches, each padded on its side."""
    sources, targets = (padded(list(texts), side) for texts, side in zip(zip(*pairs), sides, strict=True))
    return sources, targets


@torch.no_grad()
def assert_padding_and_neighbours_change_nothing(model: Any, pairs: Pairs) -> None:
    alone = [model(source, None, target) for source, target in pairs]
    assert min(float(found.logits.std()) for found in alone) > 0.1
    for sides in (("left", "right"), ("right", "left"), ("right", "right"), ("left", "left")):
        (ids, mask), (target, target_mask) = batch_of(pairs, *sides)
        found = model(ids, mask, target, target_mask)
        for row, single in enumerate(alone):
            assert close(found.logits[row][target_mask[row] == 1], single.logits[0])
            assert close(found.encoder_last_hidden_state[row][mask[row] == 1], single.encoder_last_hidden_state[0])
        assert not found.last_hidden_state[target_mask == 0].any()


@torch.no_grad()
def assert_step_by_step_is_at_once(model: Any, pairs: Pairs, places: int) -> None:
    """`places` steps of each pair, then of beams of some sources, then of other ones in unequal numbers."""
    (ids, mask), target = padded([source for source, _ in pairs], "left"), tokens(len(pairs), places + 2, seed=5)
    whole = model.encode(ids, mask, target).hidden
    cache = model.read_source(ids, mask, slots=places + 2)
    for place in range(places):
        assert close(model.step(target[:, place], cache), whole[:, place])
    rows = torch.tensor([2, 2, 0, 0, 3, 3])
    cache = cache.reorder(rows)
    assert cache.rows_per_source == 2 and len(cache.keys[0]) == 3
    assert close(model.step(target[rows, places], cache), whole[rows, places])
    more = torch.tensor([0, 1, 1, 5])
    cache = cache.reorder(more)
    assert close(model.step(target[rows[more], places + 1], cache), whole[rows[more], places + 1])


@torch.no_grad()
def watched(model: Any, pairs: Pairs) -> tuple[Any, Batch, Batch]:
    """What a model gives with all weights and hidden states, after it was compared with the fast path; and the batch."""
    (ids, mask), (target, target_mask) = batch_of(pairs, "right", "left")
    fast = model(ids, mask, target, target_mask)
    slow = model(ids, mask, target, target_mask, output_attentions=True, output_hidden_states=True)
    assert close(slow.logits[target_mask == 1], fast.logits[target_mask == 1])
    return slow, (ids, mask), (target, target_mask)


def assert_attends_to_real_tokens(weights: torch.Tensor, mask: torch.Tensor, target_mask: torch.Tensor) -> None:
    """Weights [B, H, M, N] of the target's tokens are a distribution over those of the source."""
    real = weights[target_mask[:, None, :, None].bool().expand_as(weights)].view(-1, weights.shape[-1])
    assert close(real.sum(-1), torch.ones(len(real)))
    assert not weights[(mask == 0)[:, None, None].expand_as(weights)].any()
