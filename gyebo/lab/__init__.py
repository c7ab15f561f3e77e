"""Textbook claims as experiments that anyone can run in minutes: one file a claim.

A module of this folder has `CLAIM` (what the textbook says, in a sentence), `SOURCE` (who says it) and `run(out, seeds, say)`,
which writes a picture and gives {"holds": whether it was seen, "finding": in a sentence, and the figures}.
"""

from __future__ import annotations

from types import ModuleType

from gyebo.lab import clipping, gradients

CLAIMS: dict[str, ModuleType] = {"gradients": gradients, "clipping": clipping}
