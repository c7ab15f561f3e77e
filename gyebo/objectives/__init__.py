"""What is learned: corruption, counts and loss of each objective."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {"causal": "causal", "bidirectional": "bidirectional", "masked": "masked"}


def __getattr__(name: str) -> Any:
    """OBJECTIVES: name -> module (see `gyebo/objectives/objective.py`), imported on first use: `table.py` needs no torch."""
    if name != "OBJECTIVES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return {known: import_module(f"{__name__}.{module}") for known, module in _PLACES.items()}
