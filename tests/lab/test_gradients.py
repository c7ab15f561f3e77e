"""The measure of gradients against distance is the derivative, and a power where it must be one."""

from __future__ import annotations

import pytest
import torch

from gyebo.lab import CLAIMS, gradients
from gyebo.lab.gradients import PROBES, Probe, gradient_norms, recurrent, recurrent_model, transformer
from gyebo.models.rnn import Lstm, Rnn


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.25])
def test_near_zero_an_rnn_multiplies_by_its_matrix_at_each_step(gain):
    """tanh is the identity there, and an orthogonal matrix keeps norms, so distance k has gain**k."""
    torch.manual_seed(0)
    model = recurrent_model(Rnn, gain)
    with torch.no_grad():
        model.token_embedding.weight.mul_(1e-12)
        model.blocks[0].weight_ih_l0.copy_(torch.eye(64))
    norms = gradient_norms(Probe(lambda ids: model.encode(ids).hidden, model.token_embedding), torch.randint(64, (2, 30)))
    torch.testing.assert_close(norms, gain ** torch.arange(30.0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("make", [lambda: recurrent(Lstm), transformer], ids=["lstm", "transformer"])
def test_the_norms_are_those_of_the_table_where_every_token_occurs_once(make):
    """Then a row of the embedding belongs to one place, and its gradient is that place's."""
    torch.manual_seed(1)
    probe, ids = make(), torch.arange(8, 8 + 8 * 6).view(8, 6)  # id 0 is the empty source
    norms = gradient_norms(probe, ids, seed=3)
    direction = torch.randn(8, 64, generator=torch.Generator().manual_seed(3))
    direction = direction / direction.norm(dim=1, keepdim=True)
    (probe.hidden(ids)[:, -1] * direction).sum().backward()
    table = probe.embedding.weight.grad[ids].norm(dim=2)  # [rows, places]
    torch.testing.assert_close(norms, table.mean(0).flip(0), rtol=1e-4, atol=1e-7)


def test_all_probes_are_measured_and_drawn(tmp_path):
    said: list[str] = []
    found = gradients.run(tmp_path, [0], said.append)
    assert len(said) == len(PROBES) == len(found["decades"])
    assert (tmp_path / "gradients.png").read_bytes().startswith(b"\x89PNG")
    assert found["decades"]["RNN, recurrent matrix x 0.9"] < -2 < found["decades"]["LSTM"] + 20


def test_every_claim_says_what_and_whose():
    for module in CLAIMS.values():
        assert module.CLAIM and module.SOURCE and module.run.__doc__
