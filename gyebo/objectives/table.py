"""Facts of the objectives that need no torch."""

from __future__ import annotations

NEXT = {
    "bits_per_byte": "generate {out} --prompt ...",
    "masked_loss": "finetune {out} TASK -o ...",
    "bidirectional_loss": "finetune {out} TASK -o ...",
}


LIKELIHOODS = ("causal",)  # objectives whose models give a text a probability, and so have bits per byte


MEASURED = {"bits_per_byte": LIKELIHOODS, "masked_loss": ("masked",)}  # figure of held-out text -> the objectives that have it


IN_SIGHT = {"format": "auto", "next_sentence": None}  # decide which text a masked evaluation shows; by default


FIGURES = {  # of held-out text, lower is better
    "bits_per_byte": "bits per byte",
    "masked_loss": "nats per hidden piece",
    "bidirectional_loss": "nats per token, from both sides",
}
