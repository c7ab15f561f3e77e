"""Head styles: what each family's head reads of a text, and of which layers it is made (no torch).

| style | of one text or pair |
| --- | --- |
| pooled (BERT, Devlin et al. 2019) | first token -> pooler (dense, tanh) -> dropout -> linear |
| dense (RoBERTa, Liu et al. 2019) | first token -> dropout -> dense -> tanh -> dropout -> linear |
| pre-classifier (DistilBERT, Sanh et al. 2019) | first token -> dense -> ReLU -> dropout -> linear |
| last (GPT, Radford et al. 2018, GPT-2) | last token -> dropout -> linear without bias |
| concat (ULMFiT, Howard & Ruder 2018) | all tokens, pooled, and two layers: `concat_pooling.py` beside this |
| mix (ELMo, Peters et al. 2018) | mixture of the layers -> largest of each feature over tokens -> dropout -> linear |

What a head of another kind of task reads in each style says that kind's file in `gyebo/tasks/kinds/`. First and last mean real
tokens: padding may stand anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadSpec:
    """What a head does. `rows`: what of the text it reads, "first", "pooled", "last", "max", "every" or "concat" (a head of its
    own). `activation`: that of a dense layer before the last one, None: there is none. `before`, `between`: dropout before each
    of the two layers."""

    rows: str
    activation: str | None = None
    before: bool = False
    between: bool = True
    bias: bool = True


WINDOWS = "concat"
"""What `HeadSpec.rows` says where a text is read in windows, and norms go over the batch (`concat_pooling.py` beside this)."""

POOLED, LAST = HeadSpec("pooled"), HeadSpec("last", bias=False)
EVERY_TOKEN = HeadSpec("every")

STYLES: dict[str, HeadSpec] = {
    "pooled": POOLED,
    "dense": HeadSpec("first", "tanh", before=True),
    "pre-classifier": HeadSpec("first", "relu"),
    "last": LAST,
    "concat": HeadSpec(WINDOWS),
    "mix": HeadSpec("max"),
}
"""Style -> the head on one text or pair."""


def layers_are_features(style: str) -> bool:
    """Whether a head reads all layers of a body that stays as it is, mixed in proportions of its own (`layer_mix.py`)."""
    return style == "mix"


def check_style(style: str) -> None:
    """ValueError where there is no such style."""
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, but is {style!r} instead")
