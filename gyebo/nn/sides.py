"""A text and the regions of its picture as two flat layouts that look at each other, document by document.

Letters: B batch, T length of the texts, R regions of a picture, N words, M regions of the batch, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gyebo.nn.across import Pairs, pairs_of
from gyebo.nn.host import on_host
from gyebo.nn.ragged import Ragged, ragged_layout


@dataclass(frozen=True)
class Sides:
    """The layouts of the words and of the regions. `text_ids` [B, T], `region_ids` [B, R], on the CPU: the document of each
    place, 0 at padding; `several`: whether a row may hold several of them; `dense`: whether padding has rows, for attention
    weights."""

    text: Ragged
    regions: Ragged
    text_ids: Tensor
    region_ids: Tensor
    several: bool
    dense: bool

    @cached_property
    def to_regions(self) -> Pairs:
        """Which regions a word attends to: those of its document."""
        return self._pairs(self.text, self.regions, self.text_ids, self.region_ids)

    @cached_property
    def to_text(self) -> Pairs:
        """Which words a region attends to."""
        return self._pairs(self.regions, self.text, self.region_ids, self.text_ids)

    def _pairs(self, target: Ragged, source: Ragged, target_ids: Tensor, source_ids: Tensor) -> Pairs:
        if not self.dense:
            return pairs_of(target, source, None, (target_ids, source_ids) if self.several else None)
        same = (target_ids[:, :, None] == source_ids[:, None, :]) & (target_ids != 0)[:, :, None]
        allowed = same | ~same.any(-1, keepdim=True)  # a query without any key, whose output is not used, may look at all
        return pairs_of(target, source, allowed[:, None].to(target.index.device))

    @cached_property
    def joint(self) -> Ragged:
        """The layout of one sequence a document: its words and its regions."""
        ids = torch.cat([self.text_ids, self.region_ids], 1)
        device = self.text.index.device
        return ragged_layout(ids.shape, device, document_ids=ids.to(device) if self.dense else ids, dense=self.dense)

    def join(self, words: Tensor, regions: Tensor) -> Tensor:
        """Words [N, D] and regions [M, D] as rows of the joint layout."""
        return self.joint.gather(torch.cat([self.text.scatter(words), self.regions.scatter(regions)], 1))

    def divide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the joint layout as words [N, D] and regions [M, D]."""
        words, regions = self.joint.scatter(x).split([self.text.shape[1], self.regions.shape[1]], 1)
        return self.text.gather(words), self.regions.gather(regions)


def sides_of(
    input_ids: Tensor,
    features: Tensor,
    *,
    attention_mask: Tensor | None = None,
    document_ids: Tensor | None = None,
    region_mask: Tensor | None = None,
    region_document_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
    dense: bool = False,
) -> Sides:
    """The layouts of texts `input_ids` [B, T] and regions `features` [B, R, F]. The masks are 0 at padding; without document
    ids a row is one text with one picture.

    Raises ValueError where the two are of different batches, or the document ids of one of the two are missing.
    """
    device, shape, seen = input_ids.device, input_ids.shape, features.shape[:2]
    if len(shape) != 2 or shape[0] != seen[0]:
        raise ValueError(f"input_ids {list(input_ids.shape)} and visual_feats {list(features.shape)} are not of one batch")
    if (document_ids is None) != (region_document_ids is None):
        raise ValueError("document_ids and region_document_ids belong together: give both, or neither")
    text = ragged_layout(
        shape, device, attention_mask=attention_mask, document_ids=document_ids, position_ids=position_ids, dense=dense
    )
    regions = ragged_layout(seen, device, attention_mask=region_mask, document_ids=region_document_ids, dense=dense)
    text_ids, region_ids = _numbers(shape, attention_mask, document_ids), _numbers(seen, region_mask, region_document_ids)
    return Sides(text, regions, text_ids, region_ids, document_ids is not None, dense)


def _numbers(shape: torch.Size, mask: Tensor | None, documents: Tensor | None) -> Tensor:
    """The document of each place of a batch [B, T], 0 at padding; all in one where none is named."""
    ids = torch.ones(shape, dtype=torch.long) if documents is None else on_host(documents)
    return ids if mask is None else ids.masked_fill(on_host(mask) == 0, 0)
