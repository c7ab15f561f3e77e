"""Which size suits a budget: how many tokens a model should read, and what follows from a width. No torch here.

With a budget of C FLOPs a model should read `tokens_for(C)` tokens, whatever its family: a larger model sees too little text, a
smaller one can't hold what it sees (`docs/budget.md` has the runs that the rule agrees with). Of the widths below that one is
best whose FLOPs a token come closest to that. All else of a shape follows from the width: the depth, and the family's own
proportions, those of its size "mini".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gyebo.config.errors import OptionError
from gyebo.models.family import FAMILIES, find
from gyebo.objectives import table

TEMPLATE = "mini"  # the size whose proportions are kept
# Width -> layers of a Transformer: one for each 32 of the width, then as deep as GPT-2 and its larger sizes.
DEPTHS = {64: 2, 96: 3, 128: 4, 192: 6, 256: 8, 384: 8, 512: 8, 640: 10, 768: 12, 1024: 24, 1280: 36, 1600: 48}
TEMPLATE_DEPTH = 4  # what the template's own layers count as
CHOSEN = ("width", "heads", "head_width", "inner", "cells")  # fields that can't be named beside it
HEAD = 64  # values of an attention head
# The exponent of Hoffmann et al. 2022; where the line lies is chosen by our runs at 4e12 FLOPs.
REFERENCE_FLOPS, REFERENCE_TOKENS, EXPONENT = 1e13, 3.2e6, 0.5
# From so many FLOPs on, so many ids; above them the default, which follows the corpus.
VOCABULARIES = ((0.0, 1000), (3e12, 2000), (1e13, 4000), (3e14, 8000), (3e15, None))
STEPS = 4000  # that a run should have, as far as the sizes of a batch allow
REFERENCE_WIDTH, HIGHEST_LR = 256, 4.0  # width whose rate is 1e-3; how many times that a narrower model may have
HALF_LIFE = 560_000  # tokens after which the optimiser has forgotten half of a gradient's size
SMALLEST_BETA2 = 0.95
SMALLEST_BATCH, LARGEST_BATCH = 512, 65_536  # tokens


@dataclass(frozen=True)
class Budget:
    """What a run may cost: FLOPs, or as many as `tokens` take. One of both is None."""

    flops: float | None
    tokens: float | None

    def about(self) -> float:
        """FLOPs of the run with the model that suits it best."""
        return self.flops if self.flops is not None else flops_for(self.tokens or 0.0)

    def tokens_at(self, per_token: float) -> float:
        """Tokens that a model with so many FLOPs a token reads."""
        return self.tokens if self.tokens is not None else (self.flops or 0.0) / per_token

    def distance(self, per_token: float) -> float:
        """How far such a model is from the best one: the logarithm of what it reads over what it should read."""
        tokens = self.tokens_at(per_token)
        return abs(math.log(tokens / tokens_for(tokens * per_token)))


def tokens_for(flops: float) -> float:
    """How many tokens the best model of a budget reads."""
    return REFERENCE_TOKENS * (flops / REFERENCE_FLOPS) ** EXPONENT


def flops_for(tokens: float) -> float:
    """The budget whose best model reads so many tokens."""
    return REFERENCE_FLOPS * (tokens / REFERENCE_TOKENS) ** (1 / EXPONENT)


def vocabulary_for(flops: float) -> int | None:
    """Ids of a tokenizer that is trained for a budget; None: as the corpus gives."""
    return [ids for least, ids in VOCABULARIES if flops >= least][-1]


def batch_for(tokens: float) -> int:
    """Tokens of a step of a run that reads so many, a power of two."""
    return int(min(LARGEST_BATCH, max(SMALLEST_BATCH, 2 ** round(math.log2(tokens / STEPS)))))


def beta2_for(batch_tokens: int) -> float:
    """Adam's second beta with which a gradient counts half after `HALF_LIFE` tokens, however many a step has, or the usual
    one where that is higher."""
    return float(round(max(SMALLEST_BETA2, 0.5 ** (batch_tokens / HALF_LIFE)), 5))


def lr_for(width: int, *, likelihood: bool) -> float | None:
    """Peak learning rate of AdamW and Muon for a model narrower than 256, at which it is 1e-3: as 1 / width, and as 1 /
    sqrt(width) for objectives without a likelihood, which stay longer at the frequencies of single tokens where it is high.
    None: the usual one."""
    if width >= REFERENCE_WIDTH:
        return None
    return float(f"{1e-3 * min(HIGHEST_LR, REFERENCE_WIDTH / width) ** (1.0 if likelihood else 0.5):.2g}")


def resized(config: Any, width: int) -> dict[str, int]:
    """The fields of a family's config that make it that wide and as deep as suits it: whatever is a width keeps its proportion,
    a Transformer's layers follow the width, those of other networks stay."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    changed = {name: round(fields[name] * width / config.width) for name in ("inner", "cells") if fields.get(name)}
    changed |= {"width": width}
    if "heads" in fields:
        heads = max(2, width // HEAD)
        depth = {name: fields[name] for name in ("layers", "decoder_layers") if name in fields}
        changed |= {"heads": heads} | ({"head_width": width // heads} if "head_width" in fields else {})
        changed |= {name: max(1, round(layers * DEPTHS[width] / TEMPLATE_DEPTH)) for name, layers in depth.items()}
    return changed


def refuse_unfit(family: str, size: str, model: Iterable[str], objective: Mapping[str, Any]) -> None:
    """OptionError for a family with these options of its objective, or a field of `model`, with which no size can be chosen."""
    row = find(family)
    if not table.asked(row.objective, objective).plain_text:
        able = ", ".join(name for name, other in FAMILIES.items() if table.find(other.objective).plain_text)
        raise OptionError(
            f"‹size›={size} is for families that learn from plain text ({able}): name a size of {row.title}, "
            f"{', '.join(row.sizes)}"
        )
    if named := next((name for name in model if name in CHOSEN), None):
        raise OptionError(f"‹size›={size} chooses the width, so ‹model.{named}› has no effect: leave one of them out")
