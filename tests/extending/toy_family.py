"""A family that gyebo does not have: each token sees itself and the two before it. This is all that a family needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.interchange.families.rnn import causal_format
from gyebo.models.protocol import CausalWithoutPositions, check_shape
from gyebo.models.tree.row import Family
from gyebo.nn.cost import Workload
from gyebo.nn.outputs import Encoded


@dataclass
class ToyConfig:
    vocab_size: int = 4096
    context: int = 64
    width: int = 16
    layers: int = 1
    init_std: float = 0.05
    tied: bool = True
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        check_shape(self, counts=("vocab_size", "context", "width", "layers"), ids=("pad_id", "bos_id", "eos_id"))


class Toy(CausalWithoutPositions, nn.Module):
    """token -> [ linear layer on the token and the two before it -> tanh ] x layers -> vocabulary."""

    family: ClassVar[str] = "toy"
    config_class: ClassVar[type] = ToyConfig
    sizes: ClassVar[dict[str, ToyConfig]] = {"tiny": ToyConfig(), "mini": ToyConfig(width=24)}

    def __init__(self, config: ToyConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList([nn.Linear(3 * config.width, config.width) for _ in range(config.layers)])
        self.lm_head = nn.Linear(config.width, config.vocab_size)
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        for name, parameter in self.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.normal_(0.0, self.config.init_std)

    def encode(self, input_ids, attention_mask=None, document_ids=None, *, return_layers=False) -> Encoded:
        documents = document_ids if document_ids is not None else attention_mask
        documents = torch.ones_like(input_ids) if documents is None else documents
        layers = [self.embed(input_ids) * (documents != 0)[..., None]]
        for block in self.blocks:
            seen = [layers[-1], *(_before(layers[-1], documents, steps) for steps in (1, 2))]
            layers.append(torch.tanh(block(torch.cat(seen, -1))) * (documents != 0)[..., None])
        return Encoded(layers[-1], tuple(layers) if return_layers else None)

    def flops(self, work: Workload) -> float:
        config = self.config
        layers = work.places() * 3 * config.layers * config.width**2
        return 2 * (layers + work.outputs({"lm": config.width * config.vocab_size}))


def _before(x: Tensor, documents: Tensor, steps: int) -> Tensor:
    """What stands so many places before [B, T, D], in the same document; else zeros."""
    moved = F.pad(x, (0, 0, steps, 0))[:, : x.shape[1]]
    same = F.pad(documents, (steps, 0))[:, : documents.shape[1]] == documents
    return moved * same[..., None]


FAMILY = Family(
    name="toy",
    title="Toy",
    year=2026,
    paper="nobody 2026, nothing",
    parents=(),
    objective="toy-denoising",
    cls="tests.extending.toy_family:Toy",
    sizes={"tiny": 70_416, "mini": 104_152},
    tokens={"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"},
    head_style="last",
    pair=("$A", "eos", "$B"),
    in_transformers=False,
)
FORMAT = causal_format("toy", ("weight", "bias"), 64, 16, 1)
