"""The error against the number of labels, for several models in one picture: what is a pretraining worth?

    python benchmarks/labels.py --curve ULMFiT runs/ulmfit-* --curve "LSTM from scratch" runs/lstm-* -o labels.png

Reads the run.toml of fine-tuned runs, several seeds in one directory too. Runs that learned from about as many examples are one
point: mean, and range of the seeds (Howard & Ruder 2018, figure 3).
"""

from __future__ import annotations

import argparse
import tomllib
from collections import defaultdict
from pathlib import Path
from statistics import mean

from gyebo.figures.tasks import error_by_labels


def read(runs: list[str]) -> list[tuple[int, list[float]]]:
    """(labels, error in percent of each seed) of fine-tuned runs, by rising labels."""
    found: dict[int, list[float]] = defaultdict(list)
    for folder in map(Path, runs):
        for path in sorted(folder.glob("seed-*/run.toml")) or [folder / "run.toml"]:
            result = tomllib.loads(path.read_text(encoding="utf-8"))["result"]
            score = result["test"][result["score"]]
            found[result["examples"]].append(100 * (1 - (score["mean"] if isinstance(score, dict) else score)))
    return sorted(found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curve", nargs="+", action="append", required=True, metavar=("NAME", "RUN"))
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    curves = {name: read(runs) for name, *runs in given.curve}
    for name, points in curves.items():
        print(f"{name:<20}" + "  ".join(f"{labels:,} ({len(e)}): {mean(e):.2f}" for labels, e in points))
    error_by_labels(given.out, curves, "error, %")


if __name__ == "__main__":
    main()
