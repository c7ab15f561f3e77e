"""Names of DAN: directories are gyebo's own, with the words that are usual there."""

from __future__ import annotations

from gyebo.interchange.families.rnn import causal_format
from gyebo.interchange.format import Field

FORMAT = causal_format(
    "dan",
    ("weight", "bias"),
    1024,
    300,
    3,
    Field("dropout", "dropout", "share", 0.0),
    Field("word_dropout", "word_dropout", "share", 0.3),
)

FORMATS = (FORMAT,)
