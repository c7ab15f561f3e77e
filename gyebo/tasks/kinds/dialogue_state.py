"""Dialogue state tracking: examples can be read and scored; no head answers it."""

from __future__ import annotations

from gyebo.tasks.kinds.kind import Kind

KIND = Kind(
    name="dialogue-state",
    pipeline_tag="text-generation",
    command="evaluate",
    answered=lambda example: bool(example.state),
)
