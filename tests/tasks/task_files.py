"""Small files of tasks as they are released, for the tests of reading."""

import gzip
import json
from pathlib import Path

import pytest

from gyebo.tasks.task import Example

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def needs(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder} data here")
    return DATA


def tsv(*rows: str) -> str:
    """Rows with "|" between the fields."""
    return "".join(row.replace("|", "\t") + "\n" for row in rows)


def write(root: Path, name: str, content, packed: str = "") -> Path:
    path = root / (name + packed)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    data = text.encode()
    if packed == ".gz":
        data = gzip.compress(data)
    if packed == ".zst":
        import zstandard

        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


def triples(examples: list[Example]) -> list[tuple]:
    return [(e.text, e.pair, e.label) for e in examples]
