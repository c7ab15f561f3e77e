"""`config.json` to our config and back, field by field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from gyebo.interchange import unknown_fields
from gyebo.interchange.format import Architecture, Field, Format
from gyebo.interchange.unknown_fields import check_unknown, off
from gyebo.interchange.unknown_fields import short as _short
from gyebo.tasks.ngrams import FIELD as NGRAMS
from gyebo.tasks.seeing import FIELD as PICTURES
from gyebo.tasks.text_task import FIELD as TASKS

MAX_INT = 2**31 - 1
GENERATION = "generation_config.json"
FORCED = ("forced_bos_token_id", "forced_eos_token_id")  # fields of it that change what a model generates


HARMLESS = unknown_fields.HARMLESS | {TASKS, PICTURES, NGRAMS}

# What no family supports: the one value that is accepted.
_REFUSED: dict[str, Any] = {
    "quantization_config": None,
    "auto_map": None,
    "per_layer_config": None,
    "pruned_heads": None,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "tie_last_hidden_states": True,
}


def read_config(table: Format, given: Mapping[str, Any], where: str, ignore: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of our config from a parsed `config.json`; ValueError naming `where` and the field. `ignore`: names of unknown
    fields to pass over."""
    given = _flat(table, given, where)
    known: set[str] = set()
    ours: dict[str, Any] = dict(table.fixed)
    for entry in table.fields:
        names = (entry.theirs, *entry.aliases)
        known.update(names)
        found = [name for name in names if name in given]
        if len({repr(given[name]) for name in found}) > 1:
            raise ValueError(f"{where}: {' and '.join(found)} mean the same, but have different values: keep one of them")
        name = found[0] if found else entry.theirs
        value = _read_field(entry, given[name] if found else entry.default, where, name)
        if entry.ours in ours and value not in (None, ours[entry.ours]):
            raise ValueError(
                f"{where}: {name} = {_short(value)}, but {ours[entry.ours]!r} stands elsewhere for the same option of gyebo "
                f"({entry.ours}): the two must agree"
            )
        ours.setdefault(entry.ours, value)
    for name, accepted in {**_REFUSED, **table.accepted, **table.written}.items():
        if name in known:  # the table has an option for it
            continue
        known.add(name)
        value = given.get(name, accepted)
        if value != accepted and not (off(value) and accepted is not True):
            raise ValueError(f"{where}: {name} = {_short(value)} is not supported for {table.model_type}, only {accepted!r}")
    check_unknown(given, known | {TASKS, PICTURES, NGRAMS, *table.harmless}, ignore, table.model_type, where)
    try:
        options = dict(table.options.to_ours(ours))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    for name in ("pad_id", "bos_id", "eos_id"):  # transformers writes GPT-2's own ids for smaller vocabularies too
        if options.get(name) is not None and options[name] >= options["vocab_size"]:
            options[name] = None
    return options


def options_of(config: Any) -> dict[str, Any]:
    """The fields of one of our configs."""
    return {option.name: getattr(config, option.name) for option in fields(config)}


def written_architecture(table: Format, config: Any) -> Architecture:
    """The class as which a model without a task head is saved: of those whose parts it has, the one with most of them."""
    fitting = [
        entry for entry in table.architectures if entry.kind is None and all(getattr(config, part) for part in entry.parts)
    ]
    return max(fitting, key=lambda entry: len(entry.parts))  # the first of several


def write_config(table: Format, config: Any, architecture: Architecture | None = None) -> dict[str, Any]:
    """`config.json` of one of our configs; ValueError naming the option that this format cannot express.

    `architecture`: the class to name; default: that of a model without a task head.
    """
    architecture = architecture or written_architecture(table, config)
    written: dict[str, Any] = {"architectures": [architecture.name], "model_type": table.model_type, **table.written}
    options = table.options.to_theirs(options_of(config))
    places: dict[str, str] = {}  # their field -> ours that set it
    for entry in table.fields:
        value = options[entry.ours]
        if entry.own and value == entry.default:
            continue
        if entry.values:
            words = [theirs for theirs, ours in entry.values.items() if ours == value]
            if not words:
                raise ValueError(
                    f"{entry.ours} = {value!r} cannot be saved: {table.model_type} in transformers knows only "
                    f"{', '.join(sorted(set(entry.values.values())))}"
                )
            value = words[0]
        if value is None and entry.instead is not None:
            value = entry.instead(config)
        other = places.setdefault(entry.theirs, entry.ours)
        if other != entry.ours and written[entry.theirs] != value:
            raise ValueError(
                f"{entry.ours} = {value!r} and {other} = {written[entry.theirs]!r} cannot be saved: {table.model_type} in "
                f"transformers has one field for both, {entry.theirs}"
            )
        written[entry.theirs] = value
    expressed = {entry.ours for entry in table.fields} | set(table.parts)
    unwritten = {option.name: option.default for option in fields(config)} | dict(table.fixed)
    for name, value in options.items():
        if name not in expressed and value != unwritten.get(name):
            raise ValueError(f"{name} = {value!r} cannot be saved: {table.model_type} in transformers has no such option")
    return _nested(table, written)


def expresses(table: Format, config: Any) -> bool:
    """Whether `write_config` can write one of our configs in this format."""
    try:
        write_config(table, config)
    except ValueError:
        return False
    return True


def _flat(table: Format, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A parsed `config.json` with the fields of its sections beside the others, as "section.field"."""
    flat = {name: value for name, value in given.items() if name not in table.sections}
    for section in table.sections:
        inner = given.get(section) or {}
        if not isinstance(inner, dict):
            raise ValueError(f"{where}: {section} must be an object, but is {_short(inner)} instead")
        flat |= {f"{section}.{name}": value for name, value in inner.items() if name not in HARMLESS}
    return flat


def _nested(table: Format, flat: Mapping[str, Any]) -> dict[str, Any]:
    """The opposite of `_flat`."""
    nested: dict[str, Any] = {section: {} for section in table.sections}
    for name, value in flat.items():
        section, dot, field = name.partition(".")
        place, key = (nested[section], field) if dot and section in nested else (nested, name)
        place[key] = value
    return nested


def _read_field(entry: Field, value: Any, where: str, name: str) -> Any:
    if value is None and (entry.optional or entry.kind == "id"):
        return None
    expected = _CHECKS[entry.kind][0]
    if not _CHECKS[entry.kind][1](value):
        raise ValueError(f"{where}: {name} must be {expected}, but is {_short(value)} instead")
    if entry.most is not None and value is not None and value > entry.most:
        raise ValueError(f"{where}: {name} must be at most {entry.most}, but is {_short(value)} instead")
    if not entry.values:
        return value
    if value not in entry.values:
        raise ValueError(f"{where}: {name} must be one of {', '.join(entry.values)}, but is {_short(value)} instead")
    return entry.values[value]


def _whole(value: Any, low: int) -> bool:
    return type(value) is int and low <= value <= MAX_INT


def _list(value: Any, most: int, low: int = 1) -> bool:
    return isinstance(value, list | tuple) and len(value) <= most and all(_whole(entry, low) for entry in value)


def _real(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_CHECKS: dict[str, tuple[str, Any]] = {
    "count": ("a whole number of at least 1", lambda value: _whole(value, 1)),
    "counts": ("a list of whole numbers of at least 1, no more than 100", lambda value: _list(value, 100)),
    "naturals": ("a list of whole numbers of at least 0, no more than 100", lambda value: _list(value, 100, 0)),
    "flags": ("a list of true and false", lambda value: isinstance(value, list) and {*map(type, value)} == {bool}),
    "natural": ("a whole number of at least 0", lambda value: _whole(value, 0)),
    "integer": ("a whole number", lambda value: _whole(value, -MAX_INT)),
    "bound": ("a number of at least 0", lambda value: _real(value) and value >= 0),
    "share": ("a number from 0 to below 1", lambda value: _real(value) and 0 <= value < 1),
    "number": ("a positive number", lambda value: _real(value) and value > 0),
    "flag": ("true or false", lambda value: type(value) is bool),
    "id": ("one token's id or null", lambda value: _whole(value, 0)),
    "word": ("a word", lambda value: type(value) is str),
}
