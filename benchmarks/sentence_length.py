"""BLEU against the length of the sentence, several translation runs in one picture: does a fixed vector forget long ones?

    python benchmarks/sentence_length.py runs/none runs/additive runs/transformer -o bottleneck.png

Reads each run's predictions.jsonl (translations and references of the test set); lengths are words of the reference by spaces,
in groups of five, those of fewer than ten sentences left out (Bahdanau et al. 2014, figure 2).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gyebo.figures.tasks import score_by_length
from gyebo.tasks.metrics.metrics import by_length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    curves = {}
    for run in given.runs:
        rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
        found = by_length("bleu_tokenized", [row["prediction"] for row in rows], [row["label"] for row in rows])
        curves[run.name] = [(words, score) for words, _, score in found]
        print(f"{run.name:<20}" + "  ".join(f"{words:.1f} words ({count}): {score:.4f}" for words, count, score in found))
    score_by_length(given.out, curves, "BLEU, words by spaces")


if __name__ == "__main__":
    main()
