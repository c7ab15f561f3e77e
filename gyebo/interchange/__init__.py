"""Weight names <-> Hugging Face: a table per family, one engine; open, save, the model card."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gyebo.interchange.loading import load
    from gyebo.interchange.saving import save

__all__ = ["load", "save"]

# Resolved on first use, so that whoever only writes a model card imports no torch.
_PLACES = {"load": "loading", "save": "saving"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
