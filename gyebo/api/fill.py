"""`gyebo.fill`, the verb of `gyebo fill`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import texts_in
from gyebo.api.models import of_model
from gyebo.api.showing import Shown

if TYPE_CHECKING:
    from gyebo.jobs.opened import Given


@dataclass(frozen=True, kw_only=True, repr=False)
class FilledText(Shown):
    """A text with masks, filled. `sequence`: with the most probable candidates. `masks`: for each mask its candidates, the most
    probable first, as dicts of text, probability, ids and sequence (with this mask alone filled). `sequences`: of a model that
    writes the text anew, whole texts with their log_probability instead."""

    text: str
    sequence: str
    masks: list[list[dict[str, Any]]] = field(default_factory=list)
    sequences: list[dict[str, Any]] = field(default_factory=list)

    def title(self) -> str:
        """The filled text."""
        return self.sequence

    def lines(self) -> list[tuple[str, str]]:
        """The candidates."""
        written = [(f"{each['log_probability']:.2f}", each["sequence"]) for each in self.sequences]
        return written + [(f"{each['probability']:.2%}", each["sequence"]) for mask in self.masks for each in mask]

    def as_dict(self) -> dict[str, Any]:
        """Plain values: text, sequence, and masks or sequences."""
        found = {"sequences": self.sequences} if self.sequences else {"masks": self.masks}
        return {"text": self.text, "sequence": self.sequence, **found}


@of_model("fill")
def fill(model: Given, text: str | Sequence[str], *, top_k: int = 5, device: str = "auto") -> FilledText | list[FilledText]:
    """The most probable tokens for the masks of a text: `gyebo.fill("runs/bert", "대한민국의 수도는 [MASK]이다.")`.

    text: one string, or several texts, which give a list. The mask is written as in the model's tokenizer. top_k: candidates
    for each mask. Raises ValueError for a text without a mask, and a model that fills none.
    """
    from gyebo.jobs.fill import fill as job

    texts = [text] if isinstance(text, str) else list(texts_in(text, "text"))
    found = [FilledText(**row) for row in job(model, texts, top_k=top_k, device=device)]
    return found[0] if isinstance(text, str) else found
