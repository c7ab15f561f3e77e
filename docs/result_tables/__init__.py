"""The tables of docs/results.md and other pages whose figures are stored, by what they are about."""

from __future__ import annotations

from collections.abc import Callable

from result_tables import budget, comparisons, lab, quality, rates, seeing, speed, talking
from result_tables.files import Rows

MODULES = (budget, comparisons, lab, quality, rates, seeing, speed, talking)
TABLES: dict[str, Callable[[], Rows]] = {each.__name__: each for module in MODULES for each in module.TABLES}
