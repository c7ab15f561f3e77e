"""What a dialogue model gives for an example: the response that it wrote, and how likely the right one was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """`text`: what was written, None where only the right response was scored. `nats`: -ln p of the right response, its end
    included, None where it is not known; `tokens`: how many tokens that is."""

    text: str | None
    nats: float | None = None
    tokens: int = 0

    def __str__(self) -> str:
        return self.text or ""
