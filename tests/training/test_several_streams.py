"""Rows of several streams through the plan, the loop, accumulation, processes and an interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gyebo.data.batches import IGNORE
from gyebo.data.plan import ROOM, SIZE
from gyebo.nn.state import leaves
from gyebo.training import checkpoint
from gyebo.training.loop import Intervals, resume, train
from gyebo.training.progress import Progress
from tests.training import memory_model, stream_fixtures
from tests.training.stream_fixtures import CASES, CONTEXT, HIDDEN, LENGTHS, PAD, PICTURE, rows_of, trainer_of

CASE = pytest.mark.parametrize("case", CASES)


@CASE
def test_every_piece_stands_in_one_row_and_fits_in_every_stream(case):
    rows = rows_of(case)
    plan, lengths = rows.plan, rows.objective.lengths(CONTEXT)
    for row in range(len(plan)):
        assert (plan.row(row)[:, ROOM:].sum(0) <= list(lengths.values())).all() and len(plan.row(row))
    read = sorted((int(d), first + at) for d, first, size, *_ in plan.pieces for at in range(size))
    less = 0 if case == "spans" else 1
    assert read == [(d, at) for d, length in enumerate(LENGTHS) for at in range(length - less)]
    assert len(plan) < len(plan.pieces)  # something shares a row
    counted = [ROOM, ROOM + 1] if case == "spans" else [ROOM]
    assert plan.positions == plan.pieces[:, counted].sum()


def test_a_source_and_its_target_bear_the_number_of_their_document():
    rows = rows_of("spans")
    batch = rows.step(0, 9, seed=2)
    numbers, _ = rows.plan.order(0, 9, 2)
    assert batch["input_ids"].shape == batch["document_ids"].shape == (9, CONTEXT)
    assert all(batch[name].shape == (9, CONTEXT // 2) for name in ("decoder_input_ids", "labels", "decoder_document_ids"))
    for row, number in enumerate(numbers):
        pieces = rows.plan.row(number)
        assert set(batch["document_ids"][row]) - {0} == set(range(1, len(pieces) + 1))
        for place, piece in enumerate(pieces, 1):
            source = batch["input_ids"][row][batch["document_ids"][row] == place].tolist()
            here = batch["decoder_document_ids"][row] == place
            target, labels = (batch[name][row][here].tolist() for name in ("decoder_input_ids", "labels"))
            assert target[1:] == labels[:-1] and target[0] == labels[-1] == HIDDEN
            gap = source.index(HIDDEN)
            whole = rows.objective.read(rows.split, piece, 0)["input_ids"].tolist()
            assert source[:gap] + target[1:] + source[gap + 1 :] == whole and len(whole) == piece[SIZE]
        for documents, fills in (
            ("document_ids", {"input_ids": PAD}),
            ("decoder_document_ids", {"decoder_input_ids": PAD, "labels": IGNORE}),
        ):
            for name, fill in fills.items():
                assert (batch[name][row][batch[documents][row] == 0] == fill).all()


def test_a_picture_stands_beside_the_tokens_of_its_document():
    rows = rows_of("pictures")
    batch = rows.step(1, 9, seed=2)
    numbers, _ = rows.plan.order(1, 9, 2)
    assert batch["pixels"].shape == (9, 3, *PICTURE) and batch["pixels"].dtype == np.uint8
    for row, number in enumerate(numbers):
        pieces = rows.plan.row(number)
        assert batch["image_document_ids"][row].tolist() == [*range(1, len(pieces) + 1), 0, 0, 0][:3]
        for place, piece in enumerate(pieces):
            picture = rows.objective.read(rows.split, piece, 0)["pixels"][0]
            found = batch["pixels"][row, place]
            assert np.array_equal(found, picture) or np.array_equal(found, picture[..., ::-1])
        assert not batch["pixels"][row, len(pieces) :].any()


def test_a_plan_of_several_streams_is_kept(tmp_path):
    made, read = (rows_of("spans", tmp_path).plan for _ in range(2))
    assert len(list(tmp_path.glob("plan-*.npz"))) == 1
    assert np.array_equal(made.pieces, read.pieces) and np.array_equal(made.rows, read.rows)
    assert read.streams == made.streams and read.positions == made.positions


@CASE
@pytest.mark.parametrize("micro_rows", [1, 3])
def test_accumulation_equals_one_large_batch(case, micro_rows):
    whole, parts = trainer_of(case), trainer_of(case, micro_rows=micro_rows)
    for trainer in (whole, parts):
        trainer.optimizer.step = lambda: None
    records = [trainer.advance() for trainer in (whole, parts)]
    assert records[0] == pytest.approx(records[1], rel=1e-5)
    for (name, p), (_, q) in zip(whole.model.named_parameters(), parts.model.named_parameters()):
        assert p.grad.abs().sum() > 0
        torch.testing.assert_close(p.grad, q.grad, atol=1e-6, rtol=1e-4, msg=name)


@CASE
def test_tokens_seen_are_those_of_the_streams_that_count(case):
    trainer = trainer_of(case)
    batch = trainer.rows.step(0, 7, 0)
    names = ["document_ids", "decoder_document_ids"] if case == "spans" else ["document_ids"]
    assert trainer.advance()["tokens"] == sum((batch[name] > 0).sum() for name in names)


def test_two_processes_equal_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = Path(__file__).parents[2]
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    out = tmp_path / "found"
    done = subprocess.run([*command, stream_fixtures.__file__, str(out)], capture_output=True, text=True, timeout=120, env=here)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.with_suffix(".json").read_text())
    for case in (*CASES, "memory"):
        trainer = memory_model.trainer_of() if case == "memory" else trainer_of(case)
        for record in found[case]:
            alone = trainer.advance()
            assert record["tokens"] == alone["tokens"]
            assert record == pytest.approx(alone, rel=1e-4)
    gathered, carried = load_file(out.with_suffix(".safetensors")), leaves(trainer.carried)
    assert gathered.keys() == carried.keys()
    for path, leaf in gathered.items():
        torch.testing.assert_close(leaf, carried[path], atol=1e-5, rtol=1e-3)


class Killed(BaseException):
    """Nobody catches it."""


@CASE
def test_a_killed_and_resumed_run_is_the_same_to_the_bit(case, tmp_path):
    def go_on(name, killed_at=None):
        trainer = trainer_of(case)
        (tmp_path / name).mkdir(exist_ok=True)
        resume(trainer, tmp_path / name, print)
        plain = trainer.advance

        def advance():
            if trainer.step == killed_at:
                raise Killed
            return plain()

        trainer.advance = advance
        quiet = Progress(None, 1.0)
        train(
            trainer,
            tmp_path / name,
            Intervals(2, 100, 2),
            evaluate=lambda model: ({}, []),
            save=lambda model: None,
            progress=quiet,
        )
        return checkpoint.weights(trainer.model)

    whole = go_on("whole")
    with pytest.raises(Killed):
        go_on("killed", 5)
    assert checkpoint.newest(tmp_path / "killed" / "checkpoints")[0].name == "step-4"
    again = go_on("killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
