"""Dependency parsing as a head: the deep biaffine parser of Dozat & Manning 2017, "Deep Biaffine Attention for Neural
Dependency Parsing" (ICLR), on words instead of its LSTM's states.

    word = [its first token ; its last token]        (as in the KLUE baseline, Park et al. 2021)
    arc score of (word i, head j)      = dep_i' U head_j + u' head_j                   equations 4 to 6 of the paper
    relation score r of (word i, j)    = dep_i' U_r head_j + w_r' [dep_i ; head_j] + b_r       equations 2 and 3

where dep and head are one-layer networks, separate ones for arcs and relations. The root has a learned vector.

Letters: B batch, T length, D width, W words, R relations. Heads are numbered as in treebanks: 0 is the root, j the j-th word.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import ParsingOutput

IGNORE = -100


class Parser(nn.Module):
    """The biaffine head. `relations`: their number. `arc_width`, `relation_width` as in the paper; `dropout` is applied to the
    inputs and to the outputs of the four networks. Matrices are initialised as N(0, init_std), biases as 0."""

    def __init__(
        self,
        width: int,
        relations: int,
        *,
        arc_width: int = 500,
        relation_width: int = 100,
        dropout: float = 0.33,
        init_std: float = 0.02,
    ):
        super().__init__()
        self.p = dropout
        self.root = nn.Parameter(torch.empty(2 * width))
        self.arc_dep = nn.Linear(2 * width, arc_width)
        self.arc_head = nn.Linear(2 * width, arc_width)
        self.relation_dep = nn.Linear(2 * width, relation_width)
        self.relation_head = nn.Linear(2 * width, relation_width)
        self.arc = nn.Linear(arc_width, arc_width)  # U and u
        self.relation = nn.Parameter(torch.empty(relations, relation_width, relation_width))
        self.relation_of_dep = nn.Linear(relation_width, relations)
        self.relation_of_head = nn.Linear(relation_width, relations, bias=False)
        self.initialise(init_std)

    @torch.no_grad()
    def initialise(self, init_std: float) -> None:
        """Initialise the weights with torch's generator."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.normal_(0.0, init_std)

    def forward(self, hidden: Tensor, word_first: Tensor, word_last: Tensor, word_mask: Tensor | None = None) -> ParsingOutput:
        """hidden [B, T, D]; positions of the first and last token of each word [B, W]; `word_mask` [B, W], 0 at padding, where
        the output is undefined."""
        batch, words = word_first.shape
        real = torch.ones_like(word_first, dtype=torch.bool) if word_mask is None else word_mask.bool()
        rows = torch.arange(batch, device=hidden.device)[:, None]
        vectors = torch.cat([hidden[rows, word_first], hidden[rows, word_last]], -1)  # [B, W, 2D]
        p = self.p if self.training else 0.0
        vectors = dropout(torch.cat([self.root.expand(batch, 1, -1), vectors], 1), p)  # the root is number 0

        def network(layer: nn.Linear, x: Tensor) -> Tensor:
            return dropout(F.relu(layer(x)), p)

        arcs = self.arc(network(self.arc_dep, vectors[:, 1:])) @ network(self.arc_head, vectors).transpose(1, 2)
        allowed = torch.cat([torch.ones_like(real[:, :1]), real], 1)[:, None].expand(-1, words, -1)
        itself = torch.eye(words + 1, dtype=torch.bool, device=hidden.device)[1:]
        arcs = arcs.masked_fill(~allowed | itself, float("-inf"))

        dep, head = network(self.relation_dep, vectors[:, 1:]), network(self.relation_head, vectors)
        relations = torch.einsum("bid,rde,bje->bijr", dep, self.relation, head)
        return ParsingOutput(arcs, relations + self.relation_of_dep(dep)[:, :, None] + self.relation_of_head(head)[:, None])

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`): the root is a head beside the words."""
        words = work.places("words")
        heads, pairs = words + work.documents("words"), work.pairs("words") + words
        as_dep = (self.arc_dep, self.arc, self.relation_dep, self.relation_of_dep)
        as_head = (self.arc_head, self.relation_head, self.relation_of_head)
        products = words * (sum(layer.weight.numel() for layer in as_dep) + self.relation.numel())
        products += heads * sum(layer.weight.numel() for layer in as_head)
        return 2 * (products + pairs * (self.arc.out_features + self.relation.shape[0] * self.relation.shape[1]))


def parsing_loss(scores: ParsingOutput, heads: Tensor, relations: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """{"arc", "relation"}: (sum of the cross-entropy, number of words), from the true head and relation of each word [B, W],
    -100 at padding. The relation is scored at the true head, as in the paper."""
    real = heads != IGNORE
    known = heads.where(real, 0)
    chosen = _relations_at(scores, known)
    arc = F.cross_entropy(scores.arc_logits[real].float(), heads[real], reduction="sum")
    relation = F.cross_entropy(chosen[real].float(), relations[real], reduction="sum")
    return {"arc": (arc, real.sum()), "relation": (relation, real.sum())}


def _relations_at(scores: ParsingOutput, heads: Tensor) -> Tensor:
    """The scores of the relations [B, W, R] to these heads [B, W]."""
    places = heads[..., None, None].expand(-1, -1, 1, scores.relation_logits.shape[-1])
    return scores.relation_logits.gather(2, places).squeeze(2)
