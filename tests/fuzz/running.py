"""Damaged files for each reader in turn. What is drawn for an input depends on the seed and its number alone."""

import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.mutations import mutated
from tests.fuzz.reader import Reader, wrong_about, wrong_in

LONGEST = 10.0  # seconds of an input


@dataclass(frozen=True)
class Failure:
    """What a reader did that it must not, and where the input is kept."""

    number: int
    reader: str
    file: str
    wrong: str
    where: str

    def __str__(self) -> str:
        return f"input {self.number}, {self.reader}, {self.file}: {self.wrong} ({self.where})"


@cache
def _files(reader: Reader) -> dict[str, bytes]:
    return reader.files()


def run(
    readers: Sequence[Reader], inputs: range, seed: int, folder: Path, told: Callable[[str], None] = lambda text: None
) -> list[Failure]:
    """The failures of these inputs. The files of one input are in `folder`, those of failures in folders there, and the last
    one stays where Python itself was ended."""
    failures: list[Failure] = []
    for number in inputs:
        rng, reader = random.Random(f"{seed} {number}"), readers[number % len(readers)]
        files = dict(_files(reader))
        name, other = rng.choice(sorted(files)), rng.choice(sorted(files))
        files[name] = mutated(files[name], files[other], rng)
        case = folder / "case"
        for old in case.glob("*"):
            old.unlink()
        case.mkdir(exist_ok=True)
        for each, raw in files.items():
            (case / each).write_bytes(raw)
        wrong, where = _tried(reader, case, case / name)
        if wrong:
            kept = folder / f"failure-{number}-{name}"
            kept.write_bytes(files[name])
            failures.append(Failure(number, reader.name, str(kept), wrong, where))
            told(str(failures[-1]))
        if number % 1000 == 999:
            told(f"{number + 1:,} inputs, {len(failures)} failures")
    return failures


def _tried(reader: Reader, case: Path, path: Path) -> tuple[str | None, str]:
    start = time.process_time()
    where = ""
    try:
        wrong = wrong_in(reader.read(case, path))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        wrong = wrong_about(error, path, reader)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "gyebo" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    seconds = time.process_time() - start
    return wrong or (f"took {seconds:.1f} seconds" if seconds > LONGEST else None), where
