"""Options from TOML files and `--set`, back to TOML, and one clear line for what is wrong with them."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from gyebo.config.errors import OptionError, marked, place_of, within
from gyebo.config.toml_lines import Place, key_lines

Options = TypeVar("Options", bound=BaseModel)
Settings = Mapping[str, Any] | Sequence[str]  # {"section.field": value}, or as typed: section.field=value


@dataclass(frozen=True)
class Source:
    """Where options come from: the name of a file and the `lines` of its keys, None for what does not stand there. `what`: the
    part of it that is meant, and its `place`."""

    name: str
    lines: Mapping[Place, int | None] = dataclasses.field(default_factory=dict)
    what: str = ""
    place: Place = ()

    def part(self, what: str, *place: str | int) -> Source:
        """A part of this."""
        return dataclasses.replace(self, what=what, place=(*self.place, *place))

    def without(self, *places: Place) -> Source:
        """The same, where these values and all inside of them come from elsewhere."""
        kept = {place: line for place, line in self.lines.items() if not any(place[: len(gone)] == gone for gone in places)}
        return dataclasses.replace(self, lines=kept | dict.fromkeys(places))

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors inside are about these options: file and line are said first."""
        try:
            yield
        except ValueError as error:
            raise OptionError(f"{self.at(*place_of(error))}: {marked(error)}", place_of(error)) from None

    def at(self, *place: str | int) -> str:
        """The beginning of a message about an option: the file, the line of the option or else of what holds it, the part."""
        whole = (*self.place, *place)
        line = next((self.lines[whole[:end]] for end in range(len(whole), 0, -1) if whole[:end] in self.lines), None)
        return f"{self.name}{f', line {line}' if line else ''}{f': {self.what}' if self.what else ''}"


def check(kind: type[Options], values: Mapping[str, Any], origin: str | Source = "", *, section: str = "") -> Options:
    """Build the options; OptionError with one line for all mistakes, naming the field, what was found and what there is.

    `origin` is said first: the file that the values came from. `section`: where the options belong, as a field is named.
    """
    source = Source(origin) if isinstance(origin, str) else origin
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise said(kind, error, source, section) from None


def said(kind: type[BaseModel], error: ValidationError, source: Source | None = None, section: str = "") -> OptionError:
    """What is wrong with options, in one line."""
    # A default that depends on another option is missing where that one is wrong: no mistake of its own.
    wrong = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
    lines = (_line(kind, problem, source or Source(""), section) for problem in wrong)
    return OptionError("; ".join(lines), _place(wrong[0]))


def _place(problem: Any) -> Place:
    own = place_of(problem["ctx"]["error"]) if problem["type"] == "value_error" else ()
    return (*problem["loc"], *own)


def _line(kind: type[BaseModel], problem: Any, source: Source, section: str) -> str:
    where = ".".join(str(part) for part in ([section] if section else []) + list(problem["loc"]))
    start = f"{source.at(*_place(problem))}: " if source.name else ""
    if problem["type"] == "extra_forbidden":
        return f"{start}unknown option {where!r}{suggest(where, described(kind, f'{section}.' if section else ''))}"
    if problem["type"] == "value_error":
        return f"{start}{within(where, marked(problem['ctx']['error']))}"
    if problem["type"] == "missing":
        return f"{start}‹{where}› is missing"
    message = problem["msg"]
    message = message.replace("Input should be", "must be", 1) if message.startswith("Input") else f"is wrong ({message})"
    return f"{start}‹{where}› {message}, but is {problem['input']!r} instead"


def described(kind: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """All dotted option names of a model, those of its sections included, with their descriptions."""
    found: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        inner = field.annotation
        parts = get_args(inner) if isinstance(inner, UnionType) else (inner,)
        sections = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        for section in sections:
            found |= described(section, f"{prefix}{name}.")
        if not sections or len(parts) > 1:  # a section that may be left out has a name of its own
            found[prefix + name] = field.description or ""
    return found


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted names; the sections of a list are numbered from 1, empty sections are left out."""
    if isinstance(values, dict):
        return {key: item for name, value in values.items() for key, item in flat(value, f"{prefix}{name}.").items()}
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return flat({str(index): value for index, value in enumerate(values, 1)}, prefix)
    return {prefix.removesuffix("."): list(values) if isinstance(values, tuple) else values}


def suggest(name: str, known: Iterable[str] | Mapping[str, str]) -> str:
    """The end of an error line: the nearest of the known names, by spelling or by description, or those there are."""
    names = list(known)
    section, _, last = name.rpartition(".")
    short = {n.rsplit(".", 1)[-1]: n for n in reversed(names)}
    close = [short[n] for n in difflib.get_close_matches(last, list(short), 2, 0.6)]
    if not close and isinstance(known, Mapping):
        close = [n for n, text in known.items() if last.replace("_", " ") in text][:2]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    beside = [n for n in names if section and n.startswith(f"{section}.")]
    return f"; there is: {', '.join(beside or names)}"


def override(values: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Apply settings to nested values, `section.field=value` (in TOML, or a bare word) or {"section.field": value}, in a copy.

    Raises OptionError where a setting has no "=" or runs through something that is no section.
    """
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for name, value in parsed(settings).items():
        target = result
        *sections, last = name.split(".")
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise OptionError(f"‹settings› {name}={value}: {section} is not a section")
        target[last] = value
    return result


def parsed(settings: Settings) -> dict[str, Any]:
    """Settings by their dotted names; OptionError for what is none."""
    if isinstance(settings, Mapping):
        if wrong := next((name for name in settings if not isinstance(name, str) or not name), None):
            raise OptionError(f"‹settings› needs names of options as keys, but has {wrong!r}")
        return dict(settings)
    if isinstance(settings, str):
        raise OptionError(f'‹settings› needs {{"section.field": value}}, but is the string {settings!r}')
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise OptionError(f"‹settings› needs section.field=value, but got {setting!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        found[name.strip()] = value
    return found


def read(path: str | Path) -> dict[str, Any]:
    """The values of a TOML file; FileNotFoundError or ValueError name the file and the line."""
    return _parsed(Path(path))[1]


def read_with_lines(path: str | Path) -> tuple[dict[str, Any], Source]:
    """As `read`, and the file with the lines of its keys."""
    text, values = _parsed(Path(path))
    return values, Source(str(path), dict(key_lines(text)))


def _parsed(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
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
