"""Small sheets, written as a user would."""

import json

import pytest


def row(name, bot="a", conversation="c1", context=("Hi!",), response="Hello.", **more):
    return {
        "id": name,
        "bot": bot,
        "conversation": conversation,
        "context": list(context) if isinstance(context, tuple) else context,
        "response": response,
        **more,
    }


def vote(item, rater, sensible, specific=None, **more):
    return {"item": item, "rater": rater, "sensible": sensible, "specific": specific, **more}


@pytest.fixture
def write(tmp_path):
    """Writes rows to a .jsonl in the test's folder and gives its path."""

    def run(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(values, ensure_ascii=False) + "\n" for values in rows), encoding="utf-8")
        return path

    return run
