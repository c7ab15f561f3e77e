"""`python -m tests.fuzz --inputs 20000`: damaged files for all readers, for hours if asked; failures are said, and kept."""

import argparse
import faulthandler
import sys
import tempfile
from pathlib import Path

from tests.fuzz.running import run
from tests.fuzz.table import READERS


def main() -> int:
    """The exit status: 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged files for every reader.")
    parser.add_argument("--inputs", type=int, default=20_000, help="number of inputs (default 20000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    parser.add_argument("--only", default="", help="readers whose name has this in it")
    parser.add_argument("--folder", type=Path, help="folder for the inputs of failures (default: a temporary one)")
    given = parser.parse_args()
    faulthandler.enable()
    readers = [reader for reader in READERS if given.only in reader.name]
    if not readers:
        parser.error(f"no reader has {given.only!r} in its name; there are {', '.join(reader.name for reader in READERS)}")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="gyebo-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    inputs = range(given.first, given.first + given.inputs)
    failures = run(readers, inputs, given.seed, folder, lambda text: print(text, flush=True))
    print(
        f"{given.inputs:,} inputs for {len(readers)} readers with seed {given.seed}: {len(failures)} failures; files: {folder}"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
