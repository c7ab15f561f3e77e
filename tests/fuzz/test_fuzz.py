"""The readers of files under damage, with a fixed seed; `python -m tests.fuzz` goes on for hours."""

import random

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.reader import Reader, wrong_about, wrong_in
from tests.fuzz.running import run
from tests.fuzz.table import READERS

INPUTS = 1500


@pytest.mark.slow
def test_no_damaged_file_breaks_a_reader(tmp_path, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    failures = run(READERS, range(INPUTS), 0, tmp_path)
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_whole_files_are_read(tmp_path, monkeypatch, reader):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    for name, raw in reader.files().items():
        (tmp_path / name).write_bytes(raw)
    for name in reader.files():
        found = reader.read(tmp_path, tmp_path / name)
        assert found and wrong_in(found) is None, name


def test_the_harness_sees_what_is_wrong(tmp_path):
    def reads(wrong):
        def read(folder, path):
            if isinstance(wrong, BaseException):
                raise wrong
            return wrong

        return Reader("toy", lambda: {"a.txt": b"text"}, read)

    class Panic(BaseException):
        pass

    errors = [Panic("rust"), KeyError("x"), ValueError("a.txt: one\ntwo"), ValueError("no name")]
    errors.append(UnicodeEncodeError("utf-8", "a", 0, 1, "a.txt"))
    for bad in (*errors, ["\ud83d"], {"a": ("\udc00",)}):
        assert len(run([reads(bad)], range(3), 0, tmp_path)) == 3, bad
    for good in (ValueError("a.txt: what is wrong"), FileNotFoundError("a.txt: gone"), ["text", {"a": 1.5}], None):
        assert run([reads(good)], range(3), 0, tmp_path) == []
    assert wrong_about(ValueError("x" * 5000 + "a.txt"), tmp_path / "a.txt", reads(None)) is not None


def test_damage_follows_from_the_seed():
    one, other = (mutated(b"text" * 100, b"", random.Random(5)) for _ in range(2))
    assert one == other != b"text" * 100
