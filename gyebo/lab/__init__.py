"""Experiments on textbook claims that run in minutes: one file per claim.

A module of this folder has `CLAIM` (the claim in a sentence), `SOURCE` (its source) and `run(out, seeds, say)`, which writes a
plot and returns {"holds": whether the claim was confirmed, "finding": a sentence, and the measurements}.
"""

from __future__ import annotations

from types import ModuleType

from gyebo.lab import alignment, clipping, debias, depth, gradients, mask_token, new_york

CLAIMS: dict[str, ModuleType] = {
    "gradients": gradients,
    "clipping": clipping,
    "depth": depth,
    "alignment": alignment,
    "mask-token": mask_token,
    "new-york": new_york,
    "debias": debias,
}
