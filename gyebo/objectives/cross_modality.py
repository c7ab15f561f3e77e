"""What LXMERT learns (Tan & Bansal 2019, section 3.1; the authors' code): five tasks on a text and the regions of its picture.

    mlm         masked words: 15 %; of these 80 % show the mask, 10 % a random token, 10 % themselves
    feature     masked regions: 15 %; of these 80 % show zeros, 10 % a region of another picture, 10 % themselves; the smooth L1
                distance to the feature as it was, a mean over its numbers
    object      the label of each region, weighted by the confidence of whoever gave it
    attribute   one of its attributes, likewise
    match       whether the text is about the picture (0 no, 1 yes); half of them are not
    answer      the answer of a question, where it is about the picture

All have weight 1, but those of regions 1 / 0.15: their sums are divided by the number of all regions, masked or not. As in the
authors' code, labels and attributes are learned at all regions (the paper says at masked ones: `scored = "masked"`), and
nothing but the answer is switched off where the text is about another picture.

What differs from the published scripts: how many words are masked is drawn as in `masked.py`; attributes are several for a
region where a corpus says so, of which one is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.data.boxes import Boxes
from gyebo.data.streams import REGIONS, TOKENS, Arrays, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.nn.host import on_host, places_of
from gyebo.nn.ragged import first_tokens
from gyebo.objectives import text_with_regions
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Batch, Draw, Setting
from gyebo.objectives.text_with_regions import TextWithRegions, encode, facts_of

MATCHED = ("another picture", "its picture")  # by label


class Options(text_with_regions.Options):
    """Those of all objectives that learn from texts with regions, and LXMERT's."""

    zero_share: float = Field(0.8, ge=0, le=1, description="share of masked regions whose feature is replaced by zeros")
    other_share: float = Field(0.1, ge=0, le=1, description="share of masked regions that show a region of another picture")
    scored: Literal["all", "masked"] = Field("all", description="regions at which labels and attributes are learned")
    normalizer: float = Field(1 / 0.15, gt=0, description="weight of the tasks of regions")
    answers: bool = Field(True, description="learn the answers of questions, where there are any")

    @model_validator(mode="after")
    def _consistent_regions(self) -> Options:
        if self.zero_share + self.other_share > 1:
            raise ValueError(f"zero_share and other_share are {self.zero_share + self.other_share:g} together, more than 1")
        return self


@dataclass(frozen=True)
class CrossModality(TextWithRegions):
    """LXMERT's pretraining on a corpus of pictures."""

    matching: ClassVar[str] = "match"  # the term and the field that tell whether text and picture belong together

    @property
    def places(self) -> int:
        """Regions of a row."""
        return self.most

    @property
    def parts(self) -> dict[str, bool]:
        """The heads of what there is to learn."""
        some = {"object": bool(self.labels), "attribute": bool(self.attributes), "answer": bool(self.answers)}
        return {"mlm": True, "match": True, "region_head": True, "feature": True, "pooler": True, **some}

    @property
    def shape(self) -> dict[str, Any]:
        """How many classes there are, and how a feature is made."""
        names = {"objects": self.labels, "attributes": self.attributes, "answers": self.answers}  # where there are any
        counts = {key: len(known) for key, known in names.items() if known}
        return {**self.read_as, **counts}

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """What stands in a batch."""
        size = (self.feature_size,)
        labels = [BatchField("region_labels", REGIONS, IGNORE, names=self.labels)] if self.labels else []
        if self.attributes:
            labels.append(BatchField("region_attributes", REGIONS, IGNORE, names=self.attributes))
        if self.file is not None:
            labels += [BatchField(f"{head}_confidences", REGIONS, 0, "float32") for head in ("object", "attribute")]
        answers = [BatchField("answer", None, IGNORE, names=self.answers)] if self.answers else []
        return (
            BatchField("input_ids"),
            BatchField("labels", TOKENS, IGNORE),
            BatchField("visual_feats", REGIONS, 0, "float32", size),
            BatchField("visual_pos", REGIONS, 0, "float32", (4,)),
            BatchField("region_masked", REGIONS, 0, names=("seen", "masked")),
            BatchField("region_targets", REGIONS, 0, "float32", size),
            *labels,
            BatchField("match", None, IGNORE, names=MATCHED),
            *answers,
        )

    def for_evaluation(self) -> CrossModality:
        """The same texts with their own pictures, and the published masks."""
        plain = Options()
        names = ("rate", "mask_share", "random_share", "region_rate", "zero_share", "other_share")
        settled = self.options.model_copy(update={name: getattr(plain, name) for name in names})
        return replace(self, options=settled, swap=0.0)

    def as_read(self, features: NDArray[np.float32], boxes: Boxes) -> Arrays:
        """The regions."""
        return {"visual_feats": features, "visual_pos": boxes}

    def with_regions(self, example: Arrays, own: bool, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Mask regions; say what is to be predicted at them and of the row."""
        shown, masked = self._mask(example, rng, draw)
        scored = masked if self.options.scored == "masked" else np.ones(len(masked), bool)
        found = {
            **self.as_read(shown, example["boxes"]),
            "region_masked": masked.astype(np.int64),
            "region_targets": example["features"],
            "match": np.array(int(own)),
        }
        if self.labels:
            found["region_labels"] = np.where(scored, example["labels"], IGNORE)
        if self.attributes:
            found["region_attributes"] = np.where(scored, example["attribute"], IGNORE)
        if self.file is not None:
            found |= {"object_confidences": example["confidences"], "attribute_confidences": example["attribute_confidences"]}
        if self.answers:
            found["answer"] = np.array(example["answer"][0] if own and example["answer"][0] >= 0 else IGNORE)
        return found

    def _mask(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features as they are shown [n, F], and which regions are masked [n]."""
        features = example["features"].copy()
        masked = rng.random(len(features)) < self.options.region_rate
        u = rng.random(len(features))
        features[masked & (u < self.options.zero_share)] = 0
        for number in np.flatnonzero(masked & (u >= self.options.zero_share) & (u < self._replaced)):
            others = self.another(example, rng, draw)["features"]
            features[number] = others[int(rng.integers(len(others)))]
        return features, masked

    @property
    def _replaced(self) -> float:
        return self.options.zero_share + self.options.other_share

    # -- loss

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"mlm": masked words, "match": rows, "feature", "object", "attribute": all regions, "answer": answers}."""
        regions = int((batch[REGIONS.document_ids] > 0).sum())
        found = {"mlm": int((batch["labels"] != IGNORE).sum()), "match": len(batch["match"]), "feature": regions}
        found |= {"object": regions} if self.labels else {}
        found |= {"attribute": regions} if self.attributes else {}
        return found | ({"answer": int((batch["answer"] != IGNORE).sum())} if self.answers else {})

    def projected(self, batch: Batch) -> dict[str, int]:
        """Masked words, rows, masked regions, regions with a label, with an attribute, answers."""
        found = self.counts(batch) | {"feature": int((batch["region_masked"] > 0).sum())}
        for head, field in (("object", "region_labels"), ("attribute", "region_attributes")):
            if head in found:
                found[head] = int((batch[field] != IGNORE).sum())
        return found

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{term: (sum, weight)}; each head is computed where something is to be predicted alone."""
        found, weight = encode(model, batch), self.options.normalizer
        assert found.region_hidden is not None
        first = first_tokens(found.hidden, batch["document_ids"] != 0)
        masked = places_of(on_host(batch["region_masked"]) > 0, first.device)
        regions, targets = (x.flatten(0, 1).index_select(0, masked) for x in (found.region_hidden, batch["region_targets"]))
        predicted = model.project(regions, "feature").float()
        distance = F.smooth_l1_loss(predicted, targets, reduction="none").mean(1)
        logits = model.project(first, "match").float()
        terms = {
            "mlm": (cross_entropy_sum(*labelled(model, found.hidden, batch["labels"], "mlm")), 1.0),
            "match": (F.cross_entropy(logits, batch["match"], reduction="sum"), 1.0),
            "feature": (distance.sum(), weight),
        }
        for head, field in (("object", "region_labels"), ("attribute", "region_attributes")):
            if field in batch:
                terms[head] = (_weighted(model, found.region_hidden, batch, head, field), weight)
        if "answer" in batch:
            asked = places_of(on_host(batch["answer"]) != IGNORE, first.device)
            scores = model.project(first.index_select(0, asked), "answer").float()
            terms["answer"] = (F.cross_entropy(scores, batch["answer"][asked], reduction="sum"), 1.0)
        return terms


def _weighted(model: Any, hidden: Tensor, batch: Batch, head: str, field: str) -> Tensor:
    """The sum of cross-entropies at the regions that have a class, each times its confidence where the batch has one."""
    rows, matrix, bias, classes = labelled(model, hidden, batch[field], head)
    confidences = batch.get(f"{head}_confidences")
    nats = F.cross_entropy(F.linear(rows, matrix, bias).float(), classes, reduction="none")
    if confidences is None:
        return nats.sum()
    return (nats * confidences.flatten()[places_of(on_host(batch[field]) != IGNORE, nats.device)]).sum()


def build(options: Options, setting: Setting) -> CrossModality:
    """The objective for a corpus of pictures; errors as of `facts_of`."""
    facts = facts_of(options, setting)
    pictures = setting.split.pictures
    assert pictures is not None
    return CrossModality(**facts, answers=pictures.answer_names if options.answers else ())
