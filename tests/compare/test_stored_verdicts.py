"""The verdicts in docs/results follow from the seeds' scores that stand there."""

import re
from pathlib import Path

import pytest

from gyebo.compare.statistics import Sample, verdicts

TABLES = sorted((Path(__file__).parents[2] / "docs" / "results").glob("*/results.md"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parent.name)
def test_stored_verdicts_follow_from_the_seeds(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    table = {cells[0]: cells[1:] for line in lines if (cells := [cell.strip() for cell in line.strip("|").split("|")])}
    tasks = [heading.removesuffix(": verdict") for heading in table if heading.endswith(": verdict") and heading[0].islower()]
    assert tasks
    for task in tasks:
        scores = {
            name: [float(value) for value in re.findall(r": (\d\.\d+)", cell)]
            for name, cell in zip(table[""], table[f"{task}: each seed"])
        }
        samples = {name: Sample(values=values) for name, values in scores.items() if values}
        stored = dict(zip(table[""], table[f"{task}: verdict"]))
        assert verdicts(samples, higher=True) == {name: stored[name] for name in samples}
