"""What a full disk becomes: one type of error, with the place, what is kept and what to do."""

import errno

import pytest

from gyebo.config.disk import DiskFull, disk_full

ENOSPC = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error",
    [
        ENOSPC,
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_it_names_the_place_and_what_to_do(tmp_path, error):
    with (
        pytest.raises(DiskFull, match=r"run: (No space|Disk quota).*; free some space") as caught,
        disk_full(tmp_path / "run", "free some space"),
    ):
        raise error
    assert isinstance(caught.value, OSError) and caught.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), ValueError("full"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, disk_full(tmp_path, "free some space"):
        raise error
    assert caught.value is error


def test_a_file_elsewhere_is_named_itself(tmp_path):
    with pytest.raises(DiskFull, match=r"^/elsewhere/file: "), disk_full(tmp_path, ""):
        raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere/file")
    with pytest.raises(DiskFull, match=rf"^{tmp_path}: "), disk_full(tmp_path, ""):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".temporary.part"))


def test_the_advice_of_the_run_counts_for_its_files_and_that_of_the_cache_for_the_cache(tmp_path):
    run, cache = tmp_path / "run", tmp_path / "cache"
    with (
        pytest.raises(DiskFull, match=r"step-3: .*; outer"),
        disk_full(run, lambda: "outer"),
        disk_full(run / "step-3", "inner"),
    ):
        raise ENOSPC
    with pytest.raises(DiskFull, match=r"cache: .*; inner"), disk_full(run, "outer"), disk_full(cache, "inner"):
        raise ENOSPC
