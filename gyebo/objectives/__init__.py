"""What is learned: corruption, counts and loss of each objective."""

from types import ModuleType

from gyebo.objectives import causal

OBJECTIVES: dict[str, ModuleType] = {module.NAME: module for module in (causal,)}
"""An objective is a module with `NAME`, `max_length`, `corrupt`, `counts` and `loss`."""
