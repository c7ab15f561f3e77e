"""Agreement of real raters: the published votes of three people about PPLM's and other models' texts.

    git clone https://github.com/uber-research/PPLM
    python benchmarks/votes.py PPLM/human_annotation

Of each pair of texts A and B a rater said which is on the topic: a, b, both or neither, in columns 3, 7 and 11 of each file.
The two files in `toxicity_csvs` have one rater, so no agreement; they are listed without one. Figures are those of
`gyebo.ssa.agreement`, which `gyebo ssa score` prints for its two questions.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np

from gyebo.ssa.agreement import agreement

CLASSES = ("a", "b", "both", "neither")
COLUMNS = (2, 6, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    groups: dict[str, list[np.ndarray]] = {}
    for path in sorted(given.folder.glob("*/*.csv")):
        votes, others = votes_of(path)
        print(line(f"{path.parent.name}/{path.name}", votes) + (f"  not counted: {dict(others)}" if others else ""))
        groups.setdefault(path.parent.name, []).append(votes)
    for name, parts in groups.items():
        print(line(f"{name}, {len(parts)} files", np.concatenate(parts, axis=1)))
    every = [votes for parts in groups.values() for votes in parts]
    print(line(f"all, {len(every)} files", np.concatenate(every, axis=1)))


def votes_of(path: Path) -> tuple[np.ndarray, Counter[str]]:
    """Numbers of classes [3, M], NaN for no vote, of the rows that somebody voted on; and the cells that are no vote."""
    with path.open(encoding="utf-8", newline="") as file:
        cells = [[row[column].strip().lower() if column < len(row) else "" for column in COLUMNS] for row in csv.reader(file)]
    voted = [row for row in cells if any(cell in CLASSES for cell in row)]
    others = Counter(cell for row in voted for cell in row if cell and cell not in CLASSES)
    table = [[CLASSES.index(cell) if cell in CLASSES else np.nan for cell in row] for row in voted]
    return np.array(table, dtype=np.float64).reshape(-1, len(COLUMNS)).T, others


def line(name: str, votes: np.ndarray) -> str:
    """One line of the table."""
    found = agreement(votes)
    alpha, kappa = ("-" if value is None else f"{value:.3f}" for value in (found.alpha, found.kappa))
    counts = f"alpha {alpha} ({found.alpha_items:,} items)  kappa {kappa} ({found.kappa_items:,} with {found.kappa_ratings})"
    return f"{name:<44} {int((~np.isnan(votes)).sum()):>6,} votes  {counts}"


if __name__ == "__main__":
    main()
