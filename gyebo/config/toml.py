"""Options from TOML files and `--set`, back to TOML, and one clear line for what is wrong with them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

Options = TypeVar("Options", bound=BaseModel)


def check(kind: type[Options], values: Mapping[str, Any], origin: str = "") -> Options:
    """Build the options; ValueError with one line a mistake, naming the field, what was found and what there is.

    `origin` is said first: the file or the command that the values came from.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ValueError("; ".join(_line(kind, problem, origin) for problem in error.errors())) from None


def _line(kind: type[BaseModel], problem: Any, origin: str) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    start = f"{origin}: " if origin else ""
    if problem["type"] == "extra_forbidden":
        return f"{start}unknown option {where!r}{suggest(where, field_names(kind))}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{start}{message}"
    if problem["type"] == "missing":
        return f"{start}{where} is missing"
    return f"{start}{where}: {message[0].lower()}{message[1:]}, but is {problem['input']!r} instead"


def field_names(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted option names of a model, those of its sections included."""
    names = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += field_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def suggest(name: str, known: list[str]) -> str:
    """The nearest known names as the end of an error line."""
    short = {n.rsplit(".", 1)[-1]: n for n in known}
    close = difflib.get_close_matches(name, known, 2, 0.6)
    close = close or [short[n] for n in difflib.get_close_matches(name.rsplit(".", 1)[-1], list(short), 2, 0.6)]
    return f"; did you mean {' or '.join(close)}?" if close else f"; there is: {', '.join(known)}"


def override(values: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Apply `section.field=value` settings (values in TOML, or a bare word) to nested values; gives a copy.

    Raises ValueError where a setting has no "=" or runs through something that is no section.
    """
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise ValueError(f"--set needs section.field=value, but got {setting!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        target = result
        *sections, last = name.strip().split(".")
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ValueError(f"--set {setting}: {section} is not a section")
        target[last] = value
    return result


def read(path: str | Path) -> dict[str, Any]:
    """The values of a TOML file; FileNotFoundError or ValueError name the file and the line."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from None


def dump(values: Mapping[str, Any]) -> str:
    """TOML text; entries that are None are left out (TOML has no null)."""
    return tomli_w.dumps(_without_none(values))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
