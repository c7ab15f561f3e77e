"""A log that is short, torn or lost: what can be read is kept, and what is lost is said."""

import json

import pytest

from gyebo.training import log


def step(number):
    return {"step": number, "loss": 1.0 / number}


def evaluation(number):
    return {"step": number, "evaluation": {"nats": 2.0}}


def lines(folder):
    return [json.loads(line) for line in (folder / log.NAME).read_text().splitlines()]


def written(folder, *records):
    book = log.Log(folder, tensorboard=False)
    for record in records:
        book.write(record)
    book.close()


def test_a_whole_log_is_cut_to_the_step_without_a_word(tmp_path):
    written(tmp_path, step(1), step(2), evaluation(2), step(3))
    assert log.repair(tmp_path, 2) == []
    assert lines(tmp_path) == [step(1), step(2), evaluation(2)]


def test_a_torn_last_line_is_left_out_and_said(tmp_path):
    written(tmp_path, step(1), step(2))
    with (tmp_path / log.NAME).open("a") as file:
        file.write('{"step": 3, "lo')
    assert log.read(tmp_path) == [step(1), step(2)]
    (said,) = log.repair(tmp_path, 2)
    assert "1 line can't be read" in said and lines(tmp_path) == [step(1), step(2)]


@pytest.mark.parametrize("damage", [b"\0\0\0\0", b"\xff\xfe", b"[1]", b"{}", b'{"step": "3"}', b'{"step": 2, "loss": 0.'])
def test_damaged_lines_in_the_middle_are_left_out_and_what_is_missing_is_said(tmp_path, damage):
    first, *_, last = [json.dumps(step(number)).encode() for number in (1, 2, 3)]
    (tmp_path / log.NAME).write_bytes(b"\n".join([first, damage, last, b""]))
    unreadable, missing = log.repair(tmp_path, 3)
    assert "1 line can't be read" in unreadable and "1 of 3 steps are missing" in missing
    assert lines(tmp_path) == [step(1), step(3)]


@pytest.mark.parametrize("lost", ["file", "content", "end"])
def test_evaluations_that_the_checkpoint_holds_are_put_back(tmp_path, lost):
    if lost != "file":
        written(tmp_path, *([step(1), evaluation(1)] if lost == "end" else []))
    (said,) = log.repair(tmp_path, 4, [evaluation(1), evaluation(3)])
    assert f"{3 if lost == 'end' else 4} of 4 steps are missing" in said
    assert lines(tmp_path) == [*([step(1)] if lost == "end" else []), evaluation(1), evaluation(3)]


def test_nothing_is_said_or_written_where_nothing_was_logged_yet(tmp_path):
    assert log.repair(tmp_path, 0) == [] and not (tmp_path / log.NAME).exists()


def test_a_failure_is_remembered_until_the_run_goes_on(tmp_path):
    written(tmp_path, step(1), step(2), {"step": 3, "failed": "loss nan"})
    assert log.failed_step(tmp_path) == 3
    assert log.repair(tmp_path, 2) == [] and log.failed_step(tmp_path) is None
