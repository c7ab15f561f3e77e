"""The experiment trains what it says: with a limit that nothing reaches both sides are one, and text is read as bytes."""

import math

import torch

from gyebo.lab import clipping


def test_a_limit_that_nothing_reaches_changes_nothing(monkeypatch):
    monkeypatch.setattr(clipping, "STEPS", 12)
    monkeypatch.setattr(clipping, "RATE", 0.05)
    ids = clipping.text(20)
    assert clipping.losses(ids, 1, math.inf) == clipping.losses(ids, 1, 1e9)
    assert clipping.losses(ids, 1, math.inf) != clipping.losses(ids, 1, 0.01)
    assert clipping.losses(ids, 1, 0.01) != clipping.losses(ids, 2, 0.01)


def test_text_is_the_worlds_bytes():
    assert bytes(clipping.text(3).tolist()).decode().count("\n") == 2
    assert clipping.text(3).dtype == torch.long


def test_both_sides_are_run_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(clipping, "STEPS", 120)
    found = clipping.run(tmp_path, [0], lambda line: None)
    assert found["holds"] and found["without"][0] > math.log(256) > found["clipped"][0]
    assert (tmp_path / "clipping.png").read_bytes().startswith(b"\x89PNG")
