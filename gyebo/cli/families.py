"""`gyebo families`."""

from __future__ import annotations

import dataclasses
import json as json_module

from gyebo.cli import options as shared


def families(json: shared.Json = False) -> None:
    """List the families: year, paper, objective, parents, sizes.

    \b
    Examples:
      gyebo families
      gyebo families --json
    """
    from gyebo.models.family import FAMILIES

    if json:
        print(json_module.dumps([dataclasses.asdict(family) for family in FAMILIES.values()], ensure_ascii=False))
        return
    for family in FAMILIES.values():
        parents = f"child of {', '.join(family.parents)}" if family.parents else "a root of the tree"
        sizes = ", ".join(f"{name} {_millions(count)}" for name, count in family.sizes.items())
        print(f"{family.name:<12} {family.title}, {family.year}; {parents}; objective: {family.objective}")
        print(f"{'':<12} {family.novelty}")
        print(f"{'':<12} {family.paper}")
        print(f"{'':<12} sizes: {sizes}\n")


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f}B" if count >= 1e9 else f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}K"
