"""The error against the number of labels, for several models in one picture: what is a pretraining worth?

    python benchmarks/labels.py "ULMFiT=runs/ulmfit-*" "LSTM from scratch=runs/lstm-*" -o labels.png

Reads the run.toml of fine-tuned runs, several seeds in one directory too. Runs that learned from about as many examples are one
point: mean, and range of the seeds (Howard & Ruder 2018, figure 3).
"""

from __future__ import annotations

import argparse
import tomllib
from collections import defaultdict
from glob import glob
from pathlib import Path
from statistics import mean

from gyebo.figures.tasks import error_by_labels


def read(pattern: str) -> list[tuple[int, list[float]]]:
    """(labels, error in percent of each seed) of the runs that match, by rising labels."""
    found: dict[int, list[float]] = defaultdict(list)
    for folder in sorted(glob(pattern)):
        alone = Path(folder, "run.toml")
        for path in [alone] if alone.exists() else sorted(Path(folder).glob("seed-*/run.toml")):
            result = tomllib.loads(path.read_text(encoding="utf-8"))["result"]
            score = result["test"][result["score"]]
            found[result["examples"]].append(100 * (1 - (score["mean"] if isinstance(score, dict) else score)))
    if not found:
        raise SystemExit(f"{pattern}: no fine-tuned run")
    return sorted(found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="+", metavar="NAME=RUNS")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    curves = {name: read(runs) for name, _, runs in (curve.partition("=") for curve in given.curves)}
    for name, points in curves.items():
        print(f"{name:<20}" + "  ".join(f"{labels:,} ({len(e)}): {mean(e):.2f}" for labels, e in points))
    error_by_labels(given.out, curves, "error, %")


if __name__ == "__main__":
    main()
