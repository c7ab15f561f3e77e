"""`gyebo env`."""

from __future__ import annotations

import json as json_module

from gyebo.cli import options as shared


def env(json: shared.Json = False) -> None:
    """What a bug report needs: versions, processor, memory, devices, measured matrix-product rates.

    gyebo env
    """
    from gyebo.jobs.env import describe

    facts = describe()
    if json:
        print(json_module.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:<20} {value}")
