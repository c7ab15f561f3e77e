"""Head styles: which vector of a text each family's head reads, and the layers of the head (no torch).

| style | head on one text or pair |
| --- | --- |
| pooled (BERT, Devlin et al. 2019) | first token -> pooler (dense, tanh) -> dropout -> linear |
| dense (RoBERTa, Liu et al. 2019) | first token -> dropout -> dense -> tanh -> dropout -> linear |
| dense-gelu (ELECTRA, Clark et al. 2020) | first token -> dropout -> dense -> GELU -> dropout -> linear |
| pre-classifier (DistilBERT, Sanh et al. 2019) | first token -> dense -> ReLU -> dropout -> linear |
| summary (XLNet, Yang et al. 2019) | last token -> dense -> tanh -> dropout -> linear |
| last (GPT, Radford et al. 2018, GPT-2) | last token -> dropout -> linear without bias |
| last-dense (BART, Lewis et al. 2020; T5) | last token of the decoder -> dropout -> dense -> tanh -> dropout -> linear |
| concat (ULMFiT, Howard & Ruder 2018) | all tokens, pooled, and two layers: `concat_pooling.py` beside this |
| mix (ELMo, Peters et al. 2018) | weighted sum of the layers -> maximum over tokens -> dropout -> linear |

The heads of other kinds of task are defined in their files in `gyebo/tasks/kinds/`. First and last are real tokens: padding may
be anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadSpec:
    """The input and the layers of a head. `pooling`: its input, "first", "pooled", "last", "max", "every" (token), "joint"
    (of text and picture) or "concat" (a separate head). `activation`: of a dense layer before the last one, None: there is no
    such layer. `dropout_before`, `dropout_between`: dropout before each of the two layers."""

    pooling: str
    activation: str | None = None
    dropout_before: bool = False
    dropout_between: bool = True
    bias: bool = True


JOINT = "joint"
"""`HeadSpec.pooling` of a head that reads the vector of a text with its picture."""

WINDOWS = "concat"
"""`HeadSpec.pooling` of the head that reads a text in windows, with batch normalization (`concat_pooling.py`)."""

POOLED, LAST = HeadSpec("pooled"), HeadSpec("last", bias=False)
EVERY = "every"
"""`HeadSpec.pooling` of a head that is computed at every token."""

EVERY_TOKEN = HeadSpec(EVERY)

STYLES: dict[str, HeadSpec] = {
    "pooled": POOLED,
    "dense": HeadSpec("first", "tanh", dropout_before=True),
    "dense-gelu": HeadSpec("first", "gelu", dropout_before=True),
    "pre-classifier": HeadSpec("first", "relu"),
    "summary": HeadSpec("last", "tanh"),
    "last": LAST,
    "last-dense": HeadSpec("last", "tanh", dropout_before=True),
    "concat": HeadSpec(WINDOWS),
    "mix": HeadSpec("max"),
}
"""Style -> head on one text or pair."""


def layers_are_features(style: str) -> bool:
    """Whether a head reads a weighted sum of all layers of a frozen body (`layer_mix.py`)."""
    return style == "mix"


def check_style(style: str) -> None:
    """ValueError for an unknown style."""
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, but is {style!r} instead")
