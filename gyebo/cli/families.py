"""`gyebo families`."""

from __future__ import annotations

import dataclasses
import json as json_module

from gyebo.cli import options as shared


def families(json: shared.Json = False) -> None:
    """The family tree: year, paper, objective, parents, sizes.

    gyebo families
    """
    from gyebo.models.family import FAMILIES

    if json:
        print(json_module.dumps([dataclasses.asdict(family) for family in FAMILIES.values()], ensure_ascii=False))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("family", "year", "parents", "objective", "sizes (parameters)", "paper"):
        table.add_column(column, overflow="fold")
    for family in FAMILIES.values():
        sizes = ", ".join(f"{name} {count / 1e6:,.1f}M" for name, count in family.sizes.items())
        table.add_row(family.name, str(family.year), ", ".join(family.parents) or "-", family.objective, sizes, family.paper)
    shared.console().print(table)
