"""What CLIP learns (Radford et al. 2021, section 2.3): which texts and pictures of a batch belong together.

    -ln p(picture | text) and -ln p(text | picture), each over all of the batch, on average

where p comes from cosines times a learned scale, which is at most 100, as in the paper. A row is one text with its picture.
Where a batch holds a picture or a text twice, its others are no wrong answers: they are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from gyebo.data.picture_plans import one_row_a_text, pictures_of
from gyebo.data.plan import DOCUMENT, SIZE, Plan
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.objectives.objective import Batch, Defaults, Draw, Setting

MOST = 100.0  # of the scale


class Options(BaseModel):
    """There are none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Contrastive(Defaults):
    """`before`, `after`: ids around a text; `size`: pixels of a side of a picture."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    size: int

    @property
    def whole_batches(self) -> bool:
        """Yes: the other pairs of a batch are the wrong answers."""
        return True

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """A text, the pixels of its picture, and which picture it is."""
        pixels = BatchField("pixels", None, dtype="uint8", shape=(self.size, self.size, 3))
        return BatchField("input_ids"), pixels, BatchField("picture", None)

    def describe(self) -> str:
        """What is told from each other."""
        return "which texts and pictures of a batch belong together"

    def for_evaluation(self) -> Contrastive:
        """The same."""
        return self

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """A row for each text."""
        return self.held_out(split, context)

    def held_out(self, split: Split, context: int) -> Plan:
        """The same."""
        return one_row_a_text(split, context, special=len(self.before) + len(self.after))

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """A text between its ids, and its picture."""
        document, pictures = int(piece[DOCUMENT]), pictures_of(split)
        picture = int(pictures.of[document])
        ids = np.concatenate([self.before, split.read(document, 0, int(piece[SIZE])), self.after]).astype(np.int64)
        return {"input_ids": ids, "pixels": pictures.read(picture), "picture": np.array(picture)}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """As it is."""
        return dict(example)

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"contrast": pairs of a text and its picture}."""
        return {"contrast": len(batch["input_ids"])}

    def projected(self, batch: Batch) -> dict[str, int]:
        """A vector of each text and of each picture."""
        return {"text": len(batch["input_ids"]), "picture": len(batch["input_ids"])}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"contrast": (sum over pairs of the mean of both directions, 1)}."""
        logits = compared(model, batch)
        right = torch.arange(len(logits), device=logits.device)
        both = F.cross_entropy(logits, right, reduction="sum") + F.cross_entropy(logits.T, right, reduction="sum")
        return {"contrast": (both / 2, 1.0)}


def compared(model: Any, batch: Batch) -> Tensor:
    """Logits [R, R] in float32 of all texts with all pictures of a batch, -inf where they belong together without being a
    pair."""
    ids, documents = batch["input_ids"], batch[TOKENS.document_ids]
    texts, pictures = model.text_vectors(ids, document_ids=documents), model.picture_vectors(batch["pixels"])
    scale = model.scale.exp().clamp(max=MOST).float()
    return (texts.float() @ pictures.float().T * scale).masked_fill(alike(ids, documents, batch["picture"]), -torch.inf)


def alike(ids: Tensor, documents: Tensor, picture: Tensor) -> Tensor:
    """[R, R], True for two rows of a batch with the same picture or the same text, but for each row and itself."""
    text = torch.where(documents > 0, ids, -1)
    same = (text[:, None] == text[None]).all(-1) | (picture[:, None] == picture[None])
    return same.fill_diagonal_(False)


def build(options: Options, setting: Setting) -> Contrastive:
    """The objective for a corpus of pictures; OptionError where it has none."""
    ids, template = setting.tokenizer.role_ids, setting.roles.single
    at = template.index("$A")
    before, after = (tuple(ids[role] for role in roles) for roles in (template[:at], template[at + 1 :]))
    return Contrastive(before, after, pictures_of(setting.split).size)
