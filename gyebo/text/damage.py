"""Damaged and hostile tokenizer files: one error line instead of a crash, and limits before anything is done with them.

`tokenizers` raises bare Exceptions, and for some contents its Rust code panics, which Python sees as an exception that is no
`Exception`; a few bytes of JSON can ask for any amount of work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**20  # of a file; the largest published ones have half of it
MOST_ID = 2**24
_MOST_STEPS = 64  # of a normaliser or decoder
_MOST_GROWTH = 1000  # how much longer the steps may make a text


@contextmanager
def refused(where: str | Path, what: str = "its tokenizer cannot be used") -> Iterator[None]:
    """Whatever goes wrong inside is a ValueError of one line that names `where`; what is missing stays what it is."""
    try:
        yield
    except (FileNotFoundError, ImportError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        line = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, ValueError) and str(where) in line and not isinstance(error, UnicodeError):
            raise ValueError(line) from error
        kind = "" if isinstance(error, ValueError) or type(error) is Exception else f"{type(error).__name__}: "
        raise ValueError(f"{where}: {what}: {kind}{line}") from error


def is_panic(error: BaseException) -> bool:
    """Whether the code of `tokenizers` gave up in the middle."""
    return type(error).__name__ == "PanicException"


def read_text(path: Path) -> str:
    """A text file of at most 64 MiB in UTF-8; ValueError naming it otherwise."""
    check_size(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); the file is damaged or of another kind") from error


def check_size(path: Path) -> None:
    """ValueError for a file that is larger than any tokenizer's."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path}: {size:,} bytes are too many for a tokenizer's file, which has some millions: something else")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of at most 64 MiB; ValueError for other content."""
    check_size(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); the file is damaged or of another kind") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def check_spec(spec: dict[str, Any], where: Path) -> None:
    """ValueError for a `tokenizer.json` whose vocabulary, added tokens or steps are damaged, or ask for too much."""
    vocab = spec["model"]["vocab"]
    if isinstance(vocab, dict):
        good = all(type(id) is int and 0 <= id < MOST_ID for id in vocab.values())
    else:
        good = all(isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) for entry in vocab)
    if not good:
        raise ValueError(f"{where}: the vocabulary has entries other than tokens with ids or scores; the file is damaged")
    added = spec["added_tokens"]
    good = isinstance(added, list) and all(isinstance(entry, dict) for entry in added)
    for entry in added if good else ():
        id, token = entry.get("id"), entry.get("content")
        good &= type(id) is int and 0 <= id < MOST_ID and isinstance(token, str) and bool(token)
        good &= type(entry.get("special")) is bool
    if not good:
        raise ValueError(f"{where}: added_tokens has an entry without id, content or special; the file is damaged")
    for part, inner in (("normalizer", "normalizers"), ("decoder", "decoders"), ("pre_tokenizer", "pretokenizers")):
        steps = list(_steps(spec[part], inner, where))
        growth = 1.0
        for step in steps:
            growth *= _growth(step)
        if len(steps) > _MOST_STEPS or growth > _MOST_GROWTH:
            raise ValueError(
                f"{where}: its {part} has {len(steps)} steps that may make a text {growth:.0f} times as long: refused"
            )


def _steps(part: Any, inner: str, where: Path, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The steps of a part, those of sequences one after the other."""
    if part is None:
        return
    if not isinstance(part, dict) or not isinstance(part.get("type"), str) or depth > 8:
        raise ValueError(f"{where}: a step of it has no type, or sequences within sequences; the file is damaged")
    if part["type"] != "Sequence":
        yield part
        return
    if not isinstance(part.get(inner), list):
        raise ValueError(f"{where}: a sequence of it has no list of {inner}; the file is damaged")
    for step in part[inner]:
        yield from _steps(step, inner, where, depth + 1)


def _growth(step: dict[str, Any]) -> float:
    """How much longer a replacement may make a text."""
    pattern, content = step.get("pattern"), step.get("content")
    if step["type"] != "Replace" or not isinstance(pattern, dict) or not isinstance(content, str):
        return 1.0
    found = pattern.get("String")
    if isinstance(found, str):
        return max(1.0, len(content) / max(1, len(found)))
    return 1.0 + len(content) if "(?" in str(pattern.get("Regex")) else max(1.0, float(len(content)))
