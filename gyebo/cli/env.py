"""`gyebo env`."""

from __future__ import annotations

import json as json_module

from gyebo.cli import options as shared


def env(json: shared.Json = False) -> None:
    """Show what a bug report needs.

    Versions, processor, memory, devices, and the measured throughput of matrix products.

    \b
    Examples:
      gyebo env
      gyebo env --json
    """
    from gyebo.jobs.env import describe

    facts = describe()
    if json:
        print(json_module.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:<20} {value}")
