"""Small seq2seq models of every kind, and batches for them."""

from __future__ import annotations

import pytest
import torch

from gyebo.models.seq2seq import Seq2seq, Seq2seqConfig
from tests.models.encoder_decoders import tokens

ODD = {"vocab_size": 53, "context": 32, "width": 11, "pad_id": 0, "bos_id": 1, "eos_id": 2, "init_std": 0.5}
ONE_WAY = {"bidirectional": False}

VARIANTS = {
    "none": {"attention": "none", **ONE_WAY},
    "none-reversed-lstm": {"attention": "none", **ONE_WAY, "reversed_source": True, "cell": "lstm", "layers": 2},
    "none-both-ways-lstm": {"attention": "none", "cell": "lstm", "layers": 2},
    "additive": {"embedding": 7, "maxout": 5, "tied": False},
    "additive-lstm": {"cell": "lstm", "layers": 2},
    "additive-reversed": {**ONE_WAY, "reversed_source": True, "layers": 2},
    "dot": {"attention": "dot", **ONE_WAY},
    "dot-fed-reversed": {"attention": "dot", **ONE_WAY, "input_feeding": True, "reversed_source": True, "layers": 2},
    "general": {"attention": "general", "layers": 2},
    "general-fed-lstm": {
        "attention": "general",
        "input_feeding": True,
        "cell": "lstm",
        "layers": 2,
        "embedding": 7,
        "tied": False,
    },
    "concat": {"attention": "concat", "cell": "lstm"},
    "concat-fed": {"attention": "concat", "input_feeding": True},
}
EACH = pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
ATTENTIVE = {name: options for name, options in VARIANTS.items() if options.get("attention") != "none"}
EACH_ATTENTIVE = pytest.mark.parametrize("options", ATTENTIVE.values(), ids=list(ATTENTIVE))


def make(seed: int = 0, **options) -> Seq2seq:
    torch.manual_seed(seed)
    model = Seq2seq(Seq2seqConfig(**{**ODD, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for name, parameter in model.named_parameters():
            if name.startswith("attention."):
                parameter.mul_(2.0)
    return model


PAIRS = [(tokens(1, n, seed=n), tokens(1, m, seed=30 + m)) for n, m in ((7, 5), (1, 12), (12, 1), (4, 4))]
