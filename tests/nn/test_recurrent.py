"""Recurrent cells: the equations against torch's fused layers, and ragged batches against each sequence alone."""

from __future__ import annotations

import math

import pytest
import torch

from gyebo.nn import recurrent
from gyebo.nn.ragged import aligned, ragged_layout
from gyebo.nn.recurrent import CELLS, ProjectedLstm, gates, projected_lstm, read, time_steps

CELL = pytest.mark.parametrize("name", CELLS)


def layer_of(name, inputs=5, width=7, dtype=torch.float64):
    torch.manual_seed(3)
    return CELLS[name].layer(inputs, width, batch_first=True).to(dtype)


def by_equations(name, layer, x, state):
    """x [T, I] step by step; gives [T, D] and the last state."""
    states = []
    for row in x:
        state = CELLS[name].equations(row[None], state, gates(layer))
        states.append(state[0][0])
    return torch.stack(states), state


def start(name, width=7, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(1, width, generator=generator, dtype=torch.float64) for _ in range(CELLS[name].states))


@CELL
def test_the_equations_are_what_torch_computes(name):
    layer, x, state = layer_of(name), torch.randn(9, 5, dtype=torch.float64), start(name)
    given = tuple(part[None] for part in state)
    expected, after = layer(x[None], given if len(given) > 1 else given[0])
    found, last = by_equations(name, layer, x, state)
    assert torch.allclose(found, expected[0], atol=1e-12, rtol=0)
    for mine, theirs in zip(last, after if isinstance(after, tuple) else (after,)):
        assert torch.allclose(mine, theirs[0], atol=1e-12, rtol=0)


@CELL
def test_slopes_of_the_equations_are_those_of_torch(name):
    layer, x, state = layer_of(name), torch.randn(6, 5, dtype=torch.float64), start(name)
    given = tuple(part[None] for part in state)
    weight = torch.randn(6, 7, dtype=torch.float64)
    fused = torch.autograd.grad(
        (layer(x[None], given if len(given) > 1 else given[0])[0][0] * weight).sum(), list(layer.parameters())
    )
    plain = torch.autograd.grad((by_equations(name, layer, x, state)[0] * weight).sum(), list(layer.parameters()))
    for one, other in zip(fused, plain):
        assert torch.allclose(one, other, atol=1e-11, rtol=0)


def documents(kind):
    """Document ids [B, T], 0 at padding."""
    if kind == "packed":
        return torch.tensor([[1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 0], [5] * 11, [0, 0, 2, 2, 7, 0, 0, 9, 9, 9, 9], [0] * 11])
    generator = torch.Generator().manual_seed(1)
    if kind == "many":  # so many rows that spare ones are added
        return (torch.rand(40, 23, generator=generator) < torch.rand(40, 1, generator=generator)).long()
    if kind == "holes":
        return (torch.rand(4, 11, generator=generator) < 0.6).long()
    sizes, places = torch.tensor([11, 3, 7, 1])[:, None], torch.arange(11)[None]
    return {"full": places < 11 * sizes, "right": places < sizes, "left": places >= 11 - sizes}[kind].long()


@CELL
@pytest.mark.parametrize("kind", ["left", "right", "holes", "packed", "full", "many"])
def test_a_ragged_batch_is_each_sequence_alone(name, kind):
    real, layer = documents(kind), layer_of(name)
    x = torch.randn(*real.shape, 5, dtype=torch.float64)
    layout = ragged_layout(real.shape, x.device, document_ids=real)
    assert (layout.spare > 0) == (kind == "many")
    steps = time_steps(layout)
    rows, after = read(layer, layout.gather(x), steps)
    found = layout.scatter(rows)
    begins = layout.index[(layout.positions == 0).nonzero().squeeze(1)].tolist()[: steps.sequences - layout.spare]
    first, last = ({int(steps.row[s]): int(s) for s in which} for which in (steps.first, steps.last))
    for row, names in enumerate(real.tolist()):
        for document in set(names) - {0}:
            places = (real[row] == document).nonzero().squeeze(1)
            alone = layer(x[row, places][None])[0][0]
            assert torch.allclose(found[row, places], alone, atol=1e-12, rtol=0)
            sequence = begins.index(row * len(names) + int(places[0]))
            assert int(steps.row[sequence]) == row
            assert torch.allclose(after[0][sequence], alone[-1], atol=1e-12, rtol=0)
            held = [name for name in names if name]
            assert (first[row] == sequence) == (held[0] == document)
            assert (last[row] == sequence) == (held[-1] == document)
        assert (row in first) == (row in last) == any(names)
    assert len(first) == len(steps.first) and len(last) == len(steps.last)
    assert found[real == 0].count_nonzero() == 0


@CELL
def test_a_state_that_is_handed_on_joins_two_halves(name):
    layer, x = layer_of(name), torch.randn(3, 10, 5, dtype=torch.float64)
    whole = ragged_layout((3, 10), x.device)
    half = ragged_layout((3, 5), x.device)
    expected = whole.scatter(read(layer, whole.gather(x), time_steps(whole))[0])
    steps = time_steps(half)
    first, state = read(layer, half.gather(x[:, :5]), steps)
    second, _ = read(layer, half.gather(x[:, 5:]), steps, state)
    assert torch.allclose(torch.cat([half.scatter(first), half.scatter(second)], 1), expected, atol=1e-12, rtol=0)
    assert not torch.allclose(half.scatter(read(layer, half.gather(x[:, 5:]), steps)[0]), expected[:, 5:], atol=1e-3)


@CELL
@pytest.mark.parametrize("kind", ["left", "right", "holes", "packed", "full", "many"])
def test_backwards_is_each_sequence_reversed(name, kind):
    real, layer = documents(kind), layer_of(name)
    x = torch.randn(*real.shape, 5, dtype=torch.float64)
    layout = ragged_layout(real.shape, x.device, document_ids=real)
    steps = time_steps(layout, backwards=True)
    rows, after = read(layer, layout.gather(x), steps)
    found = layout.scatter(rows)
    assert [steps.sequences, steps.row.tolist()] == [time_steps(layout).sequences, time_steps(layout).row.tolist()]
    ends = steps.by_row(after, len(real))
    for row, names in enumerate(real.tolist()):
        for document in set(names) - {0}:
            places = (real[row] == document).nonzero().squeeze(1)
            alone, state = layer(x[row, places.flip(0)][None])
            assert torch.allclose(found[row, places], alone[0].flip(0), atol=1e-12, rtol=0)
            if document == [name for name in names if name][-1]:
                for part, expected in zip(ends, state if isinstance(state, tuple) else (state,), strict=True):
                    assert torch.allclose(part[row], expected[0, 0], atol=1e-12, rtol=0)
        assert any(names) or not any(part[row].any() for part in ends)


@CELL
@pytest.mark.parametrize("kind", ["left", "holes", "many"])
def test_a_bidirectional_layer_reads_each_sequence_from_both_ends(name, kind):
    torch.manual_seed(2)
    real, layer = documents(kind), CELLS[name].layer(5, 7, batch_first=True, bidirectional=True).double()
    x = torch.randn(*real.shape, 5, dtype=torch.float64)
    layout = ragged_layout(real.shape, x.device, document_ids=real)
    steps = time_steps(layout)
    rows, after = read(layer, layout.gather(x), steps)
    found, last = layout.scatter(rows), {int(steps.row[s]): int(s) for s in steps.last}
    assert len(after) == CELLS[name].states and all(part.shape == (steps.sequences, 14) for part in after)
    for row, marks in enumerate(real):
        if marks.any():
            alone = layer(x[row, marks != 0][None])[0][0]
            assert torch.allclose(found[row, marks != 0], alone, atol=1e-12, rtol=0)
            assert torch.allclose(after[0][last[row]], torch.cat([alone[-1, :7], alone[0, 7:]]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["left", "right", "holes", "full", "many"])
def test_aligned_rows_stand_at_the_beginning(kind):
    real = documents(kind)
    x = torch.randn(*real.shape, 5, requires_grad=True)
    layout = ragged_layout(real.shape, x.device, document_ids=real)
    grid = aligned(layout)
    rows = layout.gather(x)
    cells = grid.scatter(rows)
    assert cells.shape == (len(real), int(real.sum(1).max()), 5)
    for row, marks in enumerate(real):
        count = int(marks.sum())
        assert torch.equal(cells[row, :count], x[row, marks != 0]) and not cells[row, count:].any()
    assert torch.equal(grid.gather(cells), rows)
    slopes = torch.randn(cells.shape)
    (found,) = torch.autograd.grad((cells * slopes).sum(), x)
    for row, marks in enumerate(real):
        assert torch.equal(found[row, marks != 0], slopes[row, : int(marks.sum())]) and not found[row, marks == 0].any()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_part_of_the_input_may_be_given_before_the_step(name):
    layer, x, state = layer_of(name), torch.randn(4, 5, dtype=torch.float64), start(name)
    state, whole = tuple(part.expand(4, 7) for part in state), gates(layer)
    split = whole._replace(inputs=whole.inputs[:, 2:], input_bias=x[:, :2] @ whole.inputs[:, :2].T + whole.input_bias)
    for one, other in zip(CELLS[name].equations(x[:, 2:], state, split), CELLS[name].equations(x, state, whole)):
        assert torch.allclose(one, other, atol=1e-12, rtol=0)


# -- an LSTM whose output is projected


def projected(inputs=5, cells=9, outputs=4, clip=0.0):
    """Our layer and torch's with the same weights, whose two biases are one here."""
    torch.manual_seed(3)
    theirs, ours = (
        torch.nn.LSTM(inputs, cells, proj_size=outputs).double(),
        ProjectedLstm(inputs, cells, outputs, clip).double(),
    )
    with torch.no_grad():
        theirs.bias_hh_l0.zero_()
        for mine, its in (
            ("inputs", "weight_ih"),
            ("recurrent", "weight_hh"),
            ("bias", "bias_ih"),
            ("projection", "weight_hr"),
        ):
            getattr(ours, mine).copy_(getattr(theirs, f"{its}_l0").normal_())
    return ours, theirs


@pytest.mark.parametrize("kind", ["left", "right", "holes", "packed", "full", "many"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_projected_lstm_is_torchs_on_each_sequence_in_either_direction(kind, backwards):
    real, (ours, theirs) = documents(kind), projected()
    x = torch.randn(*real.shape, 5, dtype=torch.float64)
    slope = torch.randn(*real.shape, 4, dtype=torch.float64)
    layout = ragged_layout(real.shape, x.device, document_ids=real)
    steps = time_steps(layout, backwards=backwards)
    found = layout.scatter(ours(layout.gather(x)[steps.order], steps.sizes)[steps.back])
    expected = 0.0
    for row, names in enumerate(real.tolist()):
        for document in set(names) - {0}:
            places = (real[row] == document).nonzero().squeeze(1)
            read_in = places.flip(0) if backwards else places
            alone = theirs(x[row, read_in][:, None])[0][:, 0]
            assert torch.allclose(found[row, read_in], alone, atol=1e-12, rtol=0)
            expected = expected + (alone * slope[row, read_in]).sum()
    assert found[real == 0].count_nonzero() == 0
    slopes = torch.autograd.grad((found * slope).sum(), [ours.inputs, ours.recurrent, ours.bias, ours.projection])
    named = [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, theirs.weight_hr_l0]
    for one, other in zip(slopes, torch.autograd.grad(expected, named)):
        assert torch.allclose(one, other, atol=1e-10, rtol=0)


def test_cell_and_output_are_bounded_inside_the_step():
    """By hand, a number at a time; the bound changes what comes after it, not only what it cuts."""
    ours, theirs = projected(clip=0.3)
    x = 3 * torch.randn(6, 5, dtype=torch.float64)
    found = ours(x, torch.ones(6, dtype=torch.long))
    h, c, w = [0.0] * 4, [0.0] * 9, {name: tensor.tolist() for name, tensor in ours.named_parameters()}
    cut = 0
    for t in range(6):
        z = [
            w["bias"][k]
            + sum(w["inputs"][k][j] * float(x[t, j]) for j in range(5))
            + sum(w["recurrent"][k][j] * h[j] for j in range(4))
            for k in range(36)
        ]
        i, f, o = ([1 / (1 + math.exp(-v)) for v in z[at : at + 9]] for at in (0, 9, 27))
        free = [f[k] * c[k] + i[k] * math.tanh(z[18 + k]) for k in range(9)]
        c = [max(-0.3, min(0.3, v)) for v in free]
        out = [sum(w["projection"][p][k] * o[k] * math.tanh(c[k]) for k in range(9)) for p in range(4)]
        h = [max(-0.3, min(0.3, v)) for v in out]
        cut += free != c and out != h
        assert found[t].tolist() == pytest.approx(h, abs=1e-12)
    assert cut >= 2
    assert not torch.allclose(theirs(x[:, None])[0][:, 0].clamp(-0.3, 0.3), found, atol=1e-2)


def test_the_state_of_a_cell_stays_float32_in_bfloat16(monkeypatch):
    """Else what a cell adds up over a long text would be lost in its rounding."""
    ours, cells = projected()[0].float(), []
    x = torch.randn(40, 5)
    exact = ours(x, torch.ones(40, dtype=torch.long))

    def seen(part, state, *rest):
        cells.append(state[1].dtype)
        return projected_lstm(part, state, *rest)

    monkeypatch.setattr(recurrent, "projected_lstm", seen)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(x, torch.ones(40, dtype=torch.long))
    assert found.dtype == torch.bfloat16 and set(cells) == {torch.float32} and len(cells) == 40
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()
