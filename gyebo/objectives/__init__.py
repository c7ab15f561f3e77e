"""What is learned: corruption, counts and loss of each objective."""

from types import ModuleType

from gyebo.objectives import bidirectional, causal, masked

OBJECTIVES: dict[str, ModuleType] = {module.NAME: module for module in (causal, bidirectional, masked)}
"""Name -> module; see `gyebo/objectives/objective.py`."""
