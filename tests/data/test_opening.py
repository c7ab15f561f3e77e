"""Compressed files that are whole, cut, damaged, or far larger than they look."""

import gzip
import lzma
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gyebo.data.opening import PACKED, open_bytes, whole_lines

TEXT = "".join(f"{i} 번째 줄 {i * 7919 % 10007}\n" for i in range(20_000)).encode()


def packed(raw, ending):
    if ending == ".zst":
        return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(raw)  # as the command zstd does
    return {"": lambda raw: raw, ".gz": gzip.compress, ".xz": lzma.compress}[ending](raw)


def read(path):
    with open_bytes(path) as file:
        return file.read()


@pytest.mark.parametrize("ending", PACKED)
def test_several_streams_in_one_file_are_one_text(tmp_path, ending):
    path = tmp_path / f"a.TXT{ending.upper()}"
    path.write_bytes(packed(TEXT[:1000], ending) + packed(TEXT[1000:], ending))
    assert read(path) == TEXT
    with open_bytes(path) as file:
        assert b"".join(whole_lines(file, path)) == TEXT


@pytest.mark.parametrize("ending", PACKED[1:])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_that_was_cut_is_never_taken_for_a_whole_one(tmp_path, ending, share):
    whole = packed(TEXT, ending)
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        ValueError, match=rf"a\.txt\{ending}: damaged or cut after [\d,]+ bytes of its text: it ends in"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", PACKED[1:])
def test_a_damaged_file_says_how_far_it_could_be_read(tmp_path, ending):
    whole = bytearray(packed(TEXT, ending))
    whole[len(whole) // 2] ^= 0xFF
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=rf"a\.txt\{ending}: damaged or cut after"):
        read(path)
    path.write_bytes(b"plain text, wrongly named\n" * 100)
    with pytest.raises(ValueError, match=rf"a\.txt\{ending}: damaged or cut after 0 bytes"):
        read(path)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (gzip.compress(b"x", mtime=0), "compressed by gzip: let its name end in .gz"),
        (lzma.compress(b"x"), "compressed by xz"),
        (b"PK\x03\x04....", "a zip file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PAR1....", "a parquet file"),
    ],
)
def test_other_files_are_known_by_how_they_begin(tmp_path, raw, words):
    (tmp_path / "a.csv").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"a\.csv: is no text, but {words}"):
        read(tmp_path / "a.csv")


# A text far larger than its file: name, what it begins with, what is repeated up to a gigabyte.
BOMBS = [
    ("zeros.txt", b"", b"\0"),
    ("line.txt", b"", b"a"),
    ("line.jsonl", b'{"text": "', b"a"),
    ("commas.csv", b"id,text\n", b","),
    ("quote.csv", b'id,text\n1,"', b"a,b\n"),
    ("tabs.tsv", b"id\ttext\n", b"\t"),
    ("deep.json", b"[", b"["),
    ("item.json", b'[{"text": "', b"a"),
    ("blank.txt", b"", b"a\n"),
]
READS = """
    import re, sys, time
    from pathlib import Path
    from gyebo.config.run import DataOptions
    from gyebo.data import documents, sources
    from gyebo.tasks.data.loading import load
    from gyebo.tasks.data.own_file import user_task

    def corpus(path):
        options = DataOptions(corpus=[path], documents="blank" if "blank" in path else "line")
        found = sources.resolve([path], Path("spool"), options)
        return sum(len(documents.texts_of(chunk, options)) for chunk in documents.chunks(found, options))

    for path in sys.argv[1:]:
        for read in (corpus, lambda path: load(user_task("classification"), "train", path)):
            start = time.process_time()
            try:
                read(path)
                said = "read"
            except ValueError as error:
                said = str(error)
            peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
            print(f"{path}|{peak}|{time.process_time() - start:.1f}|{said}", flush=True)
"""


def bomb(path, head, unit):
    """A gigabyte, compressed piece by piece."""
    zstandard = pytest.importorskip("zstandard")
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        writer.write(head)
        block = unit * ((1 << 20) // len(unit))
        for _ in range(1 << 10):
            writer.write(block)


# Not by getrusage, whose peak is also that of the process that started this one.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc, which tells the peak of a process")
def test_a_gigabyte_in_a_small_file_takes_half_a_gigabyte_at_most(tmp_path):
    for name, head, unit in BOMBS:
        bomb(tmp_path / f"{name}.zst", head, unit)
        assert (tmp_path / f"{name}.zst").stat().st_size < 1 << 18
    names = [f"{name}.zst" for name, *_ in BOMBS]
    path = str(Path(__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READS), *names],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = [line.split("|", 3) for line in found.stdout.splitlines()]
    assert len(told) == 2 * len(BOMBS), found.stdout
    for name, peak, seconds, said in told:
        assert int(peak) < 512, (name, peak, said)
        assert float(seconds) < 30, (name, seconds, said)
        assert said == "read" or name in said, said
