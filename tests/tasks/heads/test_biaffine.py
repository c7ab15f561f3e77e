"""The biaffine parser against the equations written as loops, its loss against logarithms, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch

from gyebo.nn.outputs import ParsingOutput
from gyebo.tasks.heads.biaffine import Parser, parsing_loss


def parser(width=6, relations=3, seed=0, **options):
    torch.manual_seed(seed)
    return Parser(width, relations, arc_width=5, relation_width=4, init_std=0.5, **options).double().eval()


@torch.no_grad()
def test_scores_are_those_of_the_equations():
    model = parser()
    for parameter in model.parameters():
        parameter.normal_(0, 0.5)  # biases too
    hidden = torch.randn(2, 7, 6, dtype=torch.float64)
    first, last = torch.tensor([[1, 3, 4], [1, 2, 0]]), torch.tensor([[2, 3, 5], [1, 6, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    found = model(hidden, first, last, mask)
    assert found.arc_logits.shape == (2, 3, 4) and found.relation_logits.shape == (2, 3, 4, 3)

    def net(layer, x):
        return [max(0.0, float(sum(w * v for w, v in zip(row, x)) + b)) for row, b in zip(layer.weight, layer.bias)]

    for b in range(2):
        words = [torch.cat([hidden[b, first[b, i]], hidden[b, last[b, i]]]) for i in range(int(mask[b].sum()))]
        all_heads = [model.root, *words]
        for i, word in enumerate(words):
            dep, rdep = net(model.arc_dep, word), net(model.relation_dep, word)
            for j, head in enumerate(all_heads):
                ahead, rhead = net(model.arc_head, head), net(model.relation_head, head)
                arc = sum(model.arc.bias[q] * ahead[q] for q in range(5))
                arc += sum(dep[p] * model.arc.weight[q, p] * ahead[q] for p in range(5) for q in range(5))
                if j == i + 1:
                    assert found.arc_logits[b, i, j] == -math.inf
                else:
                    assert float(found.arc_logits[b, i, j]) == pytest.approx(float(arc), abs=1e-9)
                for r in range(3):
                    score = float(model.relation_of_dep.bias[r])
                    score += sum(rdep[p] * model.relation[r, p, q] * rhead[q] for p in range(4) for q in range(4))
                    score += sum(rdep[p] * model.relation_of_dep.weight[r, p] for p in range(4))
                    score += sum(rhead[q] * model.relation_of_head.weight[r, q] for q in range(4))
                    assert float(found.relation_logits[b, i, j, r]) == pytest.approx(float(score), abs=1e-9)
    assert (found.arc_logits[1, :, 3] == -math.inf).all()  # what is no word is nobody's head


def test_loss_by_hand_and_its_gradient():
    arcs = torch.tensor([[[1.0, -math.inf, 2.0], [0.5, 1.5, -math.inf]], [[3.0, -math.inf, -math.inf], [0.0, 0.0, -math.inf]]])
    relations = torch.arange(24.0).reshape(2, 2, 3, 2).cos()
    arcs.requires_grad_(), relations.requires_grad_()
    heads, names = torch.tensor([[2, 0], [0, -100]]), torch.tensor([[1, 0], [1, -100]])
    terms = parsing_loss(ParsingOutput(arcs, relations), heads, names)
    assert {name: int(weight) for name, (_, weight) in terms.items()} == {"arc": 3, "relation": 3}

    def nll(scores, right):
        return math.log(sum(math.exp(s) for s in scores)) - scores[right]

    expected = nll([1.0, 2.0], 1) + nll([0.5, 1.5], 0) + 0.0
    assert float(terms["arc"][0].detach()) == pytest.approx(expected, abs=1e-6)
    picked = [(0, 0, 2, 1), (0, 1, 0, 0), (1, 0, 0, 1)]
    expected = sum(nll(relations[b, i, j].tolist(), r) for b, i, j, r in picked)
    assert float(terms["relation"][0].detach()) == pytest.approx(expected, abs=1e-6)
    sum(total for total, _ in terms.values()).backward()
    assert arcs.grad.isfinite().all() and relations.grad.isfinite().all()
    assert arcs.grad[1, 1].abs().sum() == 0


@torch.no_grad()
def test_what_stands_beside_changes_nothing():
    """A sentence alone, and in a batch with a longer one."""
    model = parser()
    hidden = torch.randn(2, 9, 6, dtype=torch.float64)
    first, last = torch.tensor([[1, 2, 4, 6], [1, 3, 0, 0]]), torch.tensor([[1, 3, 5, 8], [2, 3, 0, 0]])
    together = model(hidden, first, last, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    alone = model(hidden[1:, :5], first[1:, :2], last[1:, :2])
    assert torch.allclose(together.arc_logits[1, :2, :3], alone.arc_logits[0])
    assert torch.allclose(together.relation_logits[1, :2, :3], alone.relation_logits[0])
    for b, words in ((0, 4), (1, 2)):  # a head is the root or another word of the sentence
        for i in range(words):
            assert together.arc_logits[b, i].isfinite().nonzero().flatten().tolist() == [
                head for head in range(words + 1) if head != i + 1
            ]


def test_it_learns_who_belongs_to_whom():
    """Words carry a random vector each; the head of word i is the word whose vector is in its second half."""
    torch.manual_seed(0)
    model = Parser(16, 2, arc_width=32, relation_width=16, dropout=0.0, init_std=0.1)
    table = torch.randn(6, 8)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)

    def batch():
        order = torch.stack([torch.randperm(6)[:4] for _ in range(32)])
        heads = torch.stack([torch.randint(0, 5, (4,)) for _ in range(32)])
        itself = heads == torch.arange(1, 5)
        heads[itself] = 0
        own = table[order]
        wanted = torch.where((heads > 0)[..., None], own.gather(1, (heads - 1).clamp(min=0)[..., None].expand(-1, -1, 8)), 0.0)
        places = torch.arange(4).expand(32, -1)
        return torch.cat([own, wanted], -1), places, heads, (heads > 0).long()

    for _ in range(120):
        hidden, places, heads, relations = batch()
        terms = parsing_loss(model(hidden, places, places), heads, relations)
        loss = sum(total / weight for total, weight in terms.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    hidden, places, heads, relations = batch()
    found = model.eval()(hidden, places, places)
    chosen = found.relation_logits[torch.arange(32)[:, None], places, heads]
    assert (found.arc_logits.argmax(-1) == heads).float().mean() > 0.9
    assert (chosen.argmax(-1) == relations).float().mean() > 0.9
