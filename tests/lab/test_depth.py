"""Times are of what is said: the slope is the power, every shape is measured in every round, and a step trains."""

import math

import pytest
import torch

from gyebo.lab import depth
from gyebo.models.bert import Bert
from gyebo.models.rnn import Lstm


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_is_the_power(power):
    sizes = (1, 2, 4, 8, 16)
    assert math.isclose(depth.slope(sizes, [0.3 * n**power for n in sizes]), power, abs_tol=1e-12)


def test_rounds_take_the_shapes_in_turn_and_the_fastest_time_of_each():
    calls = []

    def make(size):
        times = iter([100.0, *(size + extra for extra in (0.5, 0.0, 0.7, 9.0, 8.0, 1.0))])  # the first one is not counted

        def work():
            calls.append(size)
            return next(times)

        return work

    assert depth.measured([make(1), make(2)], rounds=2) == [[1.0, 2.0], [2.0, 3.0]]
    assert calls == [1, 2] + 2 * (3 * [1] + 3 * [2])


@pytest.mark.parametrize("cls", [Lstm, Bert])
def test_a_step_trains_a_model_of_that_depth(cls, monkeypatch):
    monkeypatch.setattr(depth, "TOKENS", 32)
    monkeypatch.setattr(depth, "WIDTH", 16)
    made = []
    shape = depth._shape
    monkeypatch.setattr(depth, "_shape", lambda *of: made.append(shape(*of)) or made[-1])
    step = depth.training_step(cls, 3, 8, torch.device("cpu"))
    (model,) = made
    before = [p.clone() for p in model.parameters()]
    assert step() > 0
    assert len(model.blocks) == 3
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters()) if b.ndim == 2)


def test_all_is_measured_and_drawn(tmp_path, monkeypatch):
    small = {"DEPTHS": (1, 2), "LENGTHS": (8, 16), "LAYERS": 1, "WIDTH": 16, "TOKENS": 32, "LENGTH": 8, "PROMPT": 4}
    for name, value in small.items():
        monkeypatch.setattr(depth, name, value)
    found = depth.run(tmp_path, [0, 1], lambda line: None)
    assert {what: list(found[what]) for what in ("depth", "length", "generation")} == {
        "depth": ["LSTM", "BERT"],
        "length": ["LSTM", "BERT"],
        "generation": ["GPT"],
    }
    assert len(found["depth"]["BERT"]["rounds"]) == 2
    for name in ("depth", "depth-length", "depth-generation"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
