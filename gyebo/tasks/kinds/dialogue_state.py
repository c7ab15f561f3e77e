"""Dialogue state tracking: read and scored only; no family here learns it."""

from __future__ import annotations

from gyebo.tasks.kinds.kind import Kind

KIND = Kind(
    name="dialogue-state",
    pipeline_tag="text-generation",
    command="evaluate",
    answered=lambda example: bool(example.state),
)
