"""How much faster a student reads than its teacher: the classes of texts, by two fine-tuned runs of gyebo.

    python benchmarks/student.py TEACHER STUDENT --texts reviews.txt [--count 4096] [--rounds 5]

Both read the same texts (one a line) as `gyebo predict` does: batches of similar length without padding, on a CPU, in float32
and in bfloat16. A side a process, one working at a time, medians over interleaved rounds. Writes
benchmarks/results/student.json.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import median

from report import machine, store
from sides import Work, measure

from gyebo.jobs.finetuned_model import open_model
from gyebo.tasks.task import Example


def side(name: str, precision: str, file: str, count: int) -> Work:
    """All texts once."""
    opened = open_model(name)
    with Path(file).open(encoding="utf-8") as lines:
        examples = [Example(str(number), line.strip()) for number, line in zip(range(count), lines)]
    return lambda: opened.predict(examples, device="cpu", precision=precision, max_length=128) and None


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("student")
    parser.add_argument("--texts", required=True, metavar="FILE")
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    figures = {}
    for precision in ("float32", "bfloat16"):
        sides = {name: partial(side, getattr(given, name), precision) for name in ("teacher", "student")}
        times = measure(sides, (given.texts, given.count), given.rounds, warm=1)
        middle = {name: median(seconds) for name, seconds in times.items()}
        ratio = middle["teacher"] / middle["student"]
        for name, seconds in middle.items():
            print(f"{precision:<9} {name:<8} {given.count / seconds:>8,.0f} texts/s")
        print(f"{precision:<9} the student is {ratio:.2f} times as fast")
        figures[precision] = {"seconds": times, "student_times_as_fast": ratio}
    store("student", {"texts": given.count, "machine": machine(), "precisions": figures})


if __name__ == "__main__":
    main()
