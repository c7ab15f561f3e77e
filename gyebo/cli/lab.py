"""`gyebo lab list` and `gyebo lab run`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared
from gyebo.config import durable


def list_claims() -> None:
    """List the experiments.

    \b
    Examples:
      gyebo lab list
    """
    from gyebo.lab import CLAIMS

    for name, module in CLAIMS.items():
        print(f"{name:<12} {module.CLAIM}\n{'':<12} {module.SOURCE}")


def run(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="An experiment of gyebo lab list.")],
    out: shared.Out,
    seeds: Annotated[int, shared.count("Number of random seeds, counted from 0.")] = 3,
    json: shared.Json = False,
) -> None:
    """Run an experiment: measure, plot, and say whether the claim holds.

    \b
    Examples:
      gyebo lab run gradients -o runs/gradients
      gyebo lab run clipping -o runs/clipping
    """
    from gyebo.config.disk import disk_full
    from gyebo.lab import CLAIMS
    from gyebo.models.family import nearest

    if claim not in CLAIMS:
        raise ValueError(f"unknown claim {claim!r}{nearest(claim, CLAIMS)}")
    if out.exists():
        raise ValueError(f"{out} exists already: choose another name")
    console = shared.console(json)
    with disk_full(out, "free some space, delete it and start again"):
        out.mkdir(parents=True)
        found = CLAIMS[claim].run(out, list(range(seeds)), lambda line: console.print(line, highlight=False, markup=False))
        durable.write(out / "result.json", json_module.dumps({"claim": claim, **found}, indent=1))
    if json:
        print(json_module.dumps(found))
        return
    print(
        f"{CLAIMS[claim].CLAIM}: {'confirmed' if found['holds'] else 'not confirmed'}\n{found['finding']}\nThe plot is in {out}"
    )
