"""`gyebo tasks`."""

from __future__ import annotations

import json as json_module

from gyebo.cli import options as shared

MOST = 47  # characters of a column that is padded
FIELDS = ("name", "title", "kind", "labels", "metrics", "score", "note")


def tasks(json: shared.Json = False) -> None:
    """List the registered tasks with kind and metrics.

    \b
    Examples:
      gyebo tasks
      gyebo tasks --json
    """
    from gyebo.tasks.kinds.table import own_files
    from gyebo.tasks.registry import TASKS

    if json:
        rows = [{field: getattr(task, field) for field in FIELDS} for task in TASKS.values()]
        print(json_module.dumps(rows, ensure_ascii=False))
        return
    columns = [[task.name, task.kind, ", ".join(task.metrics)] for task in TASKS.values()]
    widths = [min(MOST, max(map(len, column))) for column in zip(*columns)]
    for task, values in zip(TASKS.values(), columns):
        print(*(f"{value:<{width}}" for value, width in zip(values, widths)), task.title)
    print(f"\nOn your own file (--data FILE): {', '.join(own_files())}.")
