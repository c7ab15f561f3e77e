"""What ViLBERT learns (Lu et al. 2019, section 2.2; the authors' code, multi-task release): three tasks on a text and the
regions of its picture.

    mlm         masked words: 15 %; of these 80 % show the mask, 10 % a random token, 10 % themselves
    region      masked regions: 15 %; of these 90 % show zeros, 10 % themselves; over classes KL(what was found there ||
                prediction)
    alignment   whether the text is about the picture (0 yes, 1 no: the opposite of LXMERT); half of them are not

All have weight 1. The first region of a row is IMG, the whole picture: its feature is the sum of all features, as they are
shown, divided by the number of the row's places, empty ones included, that do not overlap a masked region by more than 0.4
(intersection over union); nothing is predicted at it. Regions that overlap a masked one are shown as they are.

What was found in a region is its label, with the confidence of whoever gave it; the rest is shared by the other classes.
Without masked regions that have a label the second term is left out, where the authors' code divides by zero.

What differs from the published scripts: how many words are masked is drawn as in `masked.py`; the overlap is that of areas,
without the pixel at the border that the authors add to each side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.data.boxes import Boxes, overlaps, with_whole
from gyebo.data.streams import REGIONS, TOKENS, Arrays, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.nn.host import on_host, places_of
from gyebo.nn.ragged import first_tokens
from gyebo.objectives import text_with_regions
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Batch, Draw, Setting
from gyebo.objectives.text_with_regions import TextWithRegions, encode, facts_of

ALIGNED = ("its picture", "another picture")  # by label
OVERLAP = 0.4


class Options(text_with_regions.Options):
    """Those of all objectives that learn from texts with regions, and ViLBERT's."""

    zero_share: float = Field(0.9, ge=0, le=1, description="share of masked regions whose feature is replaced by zeros")
    on_mismatch: bool = Field(True, description="learn masked words and regions also where the text is about another picture")


@dataclass(frozen=True)
class Alignment(TextWithRegions):
    """ViLBERT's pretraining on a corpus of pictures."""

    matching: ClassVar[str] = "alignment"

    @property
    def places(self) -> int:
        """IMG and the regions of a row."""
        return 1 + self.most

    @property
    def parts(self) -> dict[str, bool]:
        """The heads of what there is to learn."""
        return {"mlm": True, "region": bool(self.labels), "alignment": True}

    @property
    def shape(self) -> dict[str, Any]:
        """How many classes there are, and how a feature is made."""
        classes = {"classes": len(self.labels)} if self.labels else {}
        return {**self.read_as, **classes}

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """What stands in a batch."""
        labels = [BatchField("region_labels", REGIONS, IGNORE, names=self.labels)] if self.labels else []
        if self.file is not None:
            labels.append(BatchField("region_confidences", REGIONS, 0, "float32"))
        return (
            BatchField("input_ids"),
            BatchField("labels", TOKENS, IGNORE),
            BatchField("visual_feats", REGIONS, 0, "float32", (self.feature_size,)),
            BatchField("visual_pos", REGIONS, 0, "float32", (5,)),
            BatchField("region_masked", REGIONS, 0, names=("seen", "masked")),
            *labels,
            BatchField("alignment", None, IGNORE, names=ALIGNED),
        )

    def for_evaluation(self) -> Alignment:
        """The same texts with their own pictures, and the published masks."""
        plain = Options()
        names = ("rate", "mask_share", "random_share", "region_rate", "zero_share")
        settled = self.options.model_copy(update={name: getattr(plain, name) for name in names})
        return replace(self, options=settled, swap=0.0)

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """As all of its kind; without words to predict where the text is about another picture, if so chosen."""
        found = super().corrupt(example, rng, draw)
        if found["alignment"] and not self.options.on_mismatch:
            found["labels"] = np.full_like(found["labels"], IGNORE)
        return found

    def as_read(self, features: NDArray[np.float32], boxes: Boxes, masked: NDArray[np.bool_] | None = None) -> Arrays:
        """IMG, then the regions. `masked` [n]: which of them are."""
        hidden = np.zeros(len(features), bool) if masked is None else masked
        whole = _whole(features, overlaps(boxes), hidden, self.most)
        return {
            "visual_feats": np.concatenate([whole[None], features]),
            "visual_pos": with_whole(boxes),
        }

    def with_regions(self, example: Arrays, own: bool, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Mask regions, put IMG before them; say what is to be predicted at them and of the row."""
        boxes, features = example["boxes"], example["features"].copy()
        masked = rng.random(len(features)) < self.options.region_rate
        features[masked & (rng.random(len(features)) < self.options.zero_share)] = 0
        found = {
            **self.as_read(features, boxes, masked),
            "region_masked": np.concatenate([[0], masked.astype(np.int64)]),
            "alignment": np.array(int(not own)),
        }
        if self.file is not None:
            found["region_confidences"] = np.concatenate([np.zeros(1, np.float32), example["confidences"]])
        if self.labels:
            learned = masked & (own or self.options.on_mismatch)
            found["region_labels"] = np.concatenate([[IGNORE], np.where(learned, example["labels"], IGNORE)])
        return found

    # -- loss

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"mlm": masked words, "region": masked regions with a label, "alignment": rows}."""
        regions = {"region": int((batch["region_labels"] != IGNORE).sum())} if self.labels else {}
        return {"mlm": int((batch["labels"] != IGNORE).sum()), **regions, "alignment": len(batch["alignment"])}

    def projected(self, batch: Batch) -> dict[str, int]:
        """The same: each term has a head of its name."""
        return self.counts(batch)

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{term: (sum, 1)}; each head is computed where something is to be predicted alone."""
        found = encode(model, batch)
        assert found.region_hidden is not None
        logits = model.project(fused(model, found.hidden, found.region_hidden, batch), "alignment").float()
        terms = {
            "mlm": (cross_entropy_sum(*labelled(model, found.hidden, batch["labels"], "mlm")), 1.0),
            "alignment": (F.cross_entropy(logits, batch["alignment"], reduction="sum"), 1.0),
        }
        if "region_labels" in batch:
            rows, matrix, bias, classes = labelled(model, found.region_hidden, batch["region_labels"], "region")
            predicted = F.linear(rows, matrix, bias).float().log_softmax(1)
            confidences, sure = batch.get("region_confidences"), None
            if confidences is not None:
                sure = confidences.flatten()[places_of(on_host(batch["region_labels"]) != IGNORE, classes.device)]
            terms["region"] = (divergence(predicted, classes, sure), 1.0)
        return terms


def _whole(
    features: NDArray[np.float32], shared: NDArray[np.float32], masked: NDArray[np.bool_], places: int
) -> NDArray[np.float32]:
    """The feature of IMG: of features as they are shown [n, F], overlaps [n, n], which regions are masked [n], and the number
    of the row's places for regions."""
    hidden = (shared[masked] > OVERLAP).any(0).sum() if masked.any() else 0
    return (features.sum(0) / max(1, places - int(hidden))).astype(np.float32)


def fused(model: Any, words: Tensor, regions: Tensor, batch: Batch) -> Tensor:
    """The vectors [R, C] of the texts with their pictures, from hidden vectors of both."""
    first, whole = (
        first_tokens(hidden, batch[ids] != 0) for hidden, ids in ((words, TOKENS.document_ids), (regions, REGIONS.document_ids))
    )
    return model.fuse(first, whole)


def divergence(predicted: Tensor, classes: Tensor, confidences: Tensor | None) -> Tensor:
    """The sum of KL(p || q) over regions: ln q [n, C], and p, which is the confidence [n] at the class [n] and the same for all
    others; without confidences 1, and 0."""
    at = predicted.gather(1, classes[:, None]).squeeze(1)
    if confidences is None:
        return -at.sum()
    others = predicted.shape[1] - 1
    rest = (1 - confidences) / others
    crossed = confidences * at + rest * (predicted.sum(1) - at)
    own = _plogp(confidences) + others * _plogp(rest)
    return (own - crossed).sum()


def _plogp(p: Tensor) -> Tensor:
    return p * p.clamp(min=math.ulp(0.0)).log()


def build(options: Options, setting: Setting) -> Alignment:
    """The objective for a corpus of pictures; errors as of `facts_of`."""
    return Alignment(**facts_of(options, setting), answers=())
