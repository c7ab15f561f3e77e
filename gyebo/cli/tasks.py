"""`gyebo tasks`."""

from __future__ import annotations

import json as json_module

from gyebo.cli import options as shared


def tasks(json: shared.Json = False) -> None:
    """What gyebo finetune can learn: the registered tasks, their kind and metrics.

    \b
    Examples:
      gyebo tasks
      gyebo tasks --json
    """
    from gyebo.tasks.registry import TASKS

    if json:
        fields = ("name", "title", "kind", "labels", "metrics", "score", "note")
        print(json_module.dumps([{field: getattr(task, field) for field in fields} for task in TASKS.values()], ensure_ascii=False))
        return
    for task in TASKS.values():
        print(f"{task.name:<22} {task.kind:<15} {', '.join(task.metrics):<32} {task.title}")
