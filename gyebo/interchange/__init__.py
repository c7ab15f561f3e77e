"""Weight names <-> Hugging Face: a table per family, one engine; open, save, the model card."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gyebo.interchange.card import model_card
    from gyebo.interchange.opening import load
    from gyebo.interchange.saving import save

__all__ = ["load", "model_card", "save"]

# Resolved on first use, so that whoever only writes a card imports no torch.
_PLACES = {"load": "opening", "save": "saving", "model_card": "card"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
