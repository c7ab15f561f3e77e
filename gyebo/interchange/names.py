"""How a family is called in a Hugging Face directory: what a table of names holds, and the one engine that reads it.

A table is data: each tensor with its two names, each field of `config.json` with its two names. Whatever a file holds that
no table mentions is an error that names it, so that nothing which changes the computation is skipped in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

MAX_INT = 2**31 - 1

# Fields of any `config.json` that do not change what a language model computes.
_GENERATION = """assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens decoder_start_token_id
diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff
exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty max_length min_length
no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams num_return_sequences
output_scores remove_invalid_values repetition_penalty return_dict_in_generate suppress_tokens target_lookbehind temperature
top_k top_p typical_p"""
_BOOKKEEPING = """architectures model_type transformers_version dtype torch_dtype torchscript use_bfloat16 name_or_path
_name_or_path _commit_hash _from_model_config attn_implementation _attn_implementation _attn_implementation_autoset
_attn_implementation_internal experts_implementation use_cache output_past output_attentions output_hidden_states return_dict
gradient_checkpointing chunk_size_feed_forward finetuning_task problem_type num_labels _num_labels id2label label2id
task_specific_params prefix tokenizer_class is_decoder cross_attention_hidden_size tie_encoder_decoder tf_legacy_loss
sep_token_id author license created_date"""
HARMLESS = frozenset(_GENERATION.split() + _BOOKKEEPING.split())


@dataclass(frozen=True)
class Weight:
    """A tensor in both worlds; `*` stands for the layer's number.

    `theirs`: its name, or the names of those that ours joins along its rows. `transpose`: theirs is stored [in, out] (Conv1D).
    `head`: it stands beside the body, so that their name has no prefix. `copies`: names under which the same numbers are
    stored once more. `part`: the flag of our config that is on where the tensor exists. `row`: theirs is [1, n], ours [n].
    """

    theirs: str | tuple[str, ...]
    ours: str
    transpose: bool = False
    head: bool = False
    copies: tuple[str, ...] = ()
    part: str | None = None
    row: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order in which ours joins them."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


@dataclass(frozen=True)
class Source:
    """Where one of our tensors lies in a file: `names` that it joins along its rows, mostly one; the rest as in `Weight`."""

    names: tuple[str, ...]
    transpose: bool = False
    copies: tuple[str, ...] = ()
    part: str | None = None
    row: bool = False


@dataclass(frozen=True)
class Field:
    """A field of `config.json` and the field of our config that it sets; two of ours may share one of theirs.

    `default`: the value that `transformers` takes where the file has none. `kind`: "count" (a whole number from 1 to 2^31-1),
    "counts" (some of them), "natural" (from 0), "share" (0 <= x < 1), "number" (positive), "bound" (from 0), "flag", "id" (a
    token's id or null) or "word". `values`: their words -> ours (the
    first of several that mean the same is written). `aliases`: other names that `transformers` reads. `more`: by how much
    their number exceeds ours, from our options that stand before it in the table. `instead`: what is written where ours is
    None, from our config.
    """

    theirs: str
    ours: str
    kind: str
    default: Any = None
    values: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    optional: bool = False  # null is a value
    more: Callable[[Mapping[str, Any]], int] | None = None
    instead: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Architecture:
    """A class of `transformers`.

    `parts`: the flags of our config that are on in it; a file that holds more has more on. `bare`: a body alone, whose names
    have no prefix. `kind`, `weights`: the task of its head and the tensors beside the family's.
    """

    name: str
    parts: tuple[str, ...] = ()
    bare: bool = False
    kind: str | None = None
    weights: tuple[Weight, ...] = ()


@dataclass(frozen=True)
class Format:
    """Everything about one family's directories.

    `architectures`: the classes of `transformers` that are read; of those without a task the one is written whose parts are
    most of the model's. `base`: what their names start with in a model with a head, left out in a bare body. `written`: fields
    written with a fixed value, refused when read with another; `accepted`: so, but not written. `implied`: what one of our
    options must be where they have no field for it, as a function of our config; `fixed`: those that are always the same.
    `dropped`: patterns of tensors that carry no weights. `harmless`: fields that change nothing, beside `HARMLESS`.
    `renamed`: endings of names in old files -> today's. `generates`: it writes text, so it has a `generation_config.json`.
    `repeats`: a tied tensor is written under each of its names, as its loader expects it. `computed`: tensors that follow from
    our config, by their names without `base`, which a loader misses where a file lacks them; they are never read.
    """

    family: str
    model_type: str
    architectures: tuple[Architecture, ...]
    base: str
    weights: tuple[Weight, ...]
    fields: tuple[Field, ...]
    written: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, Any] = field(default_factory=dict)
    implied: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    harmless: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    generates: bool = True
    repeats: bool = False
    computed: Callable[[Any], Mapping[str, Any]] | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The flags of our config that say which parts a model has."""
        return tuple(dict.fromkeys(weight.part for weight in self.weights if weight.part is not None))

    def architecture(self, name: str | None) -> Architecture | None:
        """The class of that name; None where it is none of this family's."""
        return next((entry for entry in self.architectures if entry.name == name), None)


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


def read_config(table: Format, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of our config from a parsed `config.json`; ValueError naming `where` and the field."""
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
        if entry.more is not None:
            more = entry.more(ours)
            if value <= more:
                raise ValueError(f"{where}: {name} must be at least {more + 1}, but is {value} instead")
            value -= more
        if entry.ours in ours and value not in (None, ours[entry.ours]):
            raise ValueError(
                f"{where}: {name} = {_short(value)}, but {ours[entry.ours]!r} stands elsewhere for the same option of gyebo "
                f"({entry.ours}): the two must agree"
            )
        ours.setdefault(entry.ours, value)
    for name, accepted in {**_REFUSED, **table.accepted, **table.written}.items():
        known.add(name)
        value = given.get(name, accepted)
        if value != accepted and not (_empty(value) and accepted is not True):
            raise ValueError(f"{where}: {name} = {_short(value)} is not supported for {table.model_type}, only {accepted!r}")
    for name in given.keys() - known - HARMLESS - set(table.harmless):
        if not _empty(given[name]):
            raise ValueError(
                f"{where}: the field {name} = {_short(given[name])} is unknown for {table.model_type} and might change the "
                "model: remove it from the file if it does not"
            )
    for name in ("pad_id", "bos_id", "eos_id"):  # transformers writes GPT-2's own ids for smaller vocabularies too
        if ours.get(name) is not None and ours[name] >= ours["vocab_size"]:
            ours[name] = None
    return ours


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
    places: dict[str, str] = {}  # their field -> ours that set it
    for entry in table.fields:
        value = getattr(config, entry.ours)
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
        if entry.more is not None:
            value += entry.more(vars(config))
        other = places.setdefault(entry.theirs, entry.ours)
        if other != entry.ours and written[entry.theirs] != value:
            raise ValueError(
                f"{entry.ours} = {value!r} and {other} = {written[entry.theirs]!r} cannot be saved: {table.model_type} in "
                f"transformers has one field for both, {entry.theirs}"
            )
        written[entry.theirs] = value
    expressed = {entry.ours for entry in table.fields} | set(table.parts)
    for option in fields(config):
        value = getattr(config, option.name)
        if option.name in expressed or value == table.fixed.get(option.name, option.default):
            continue
        if option.name not in table.implied or value != table.implied[option.name](config):
            raise ValueError(
                f"{option.name} = {value!r} cannot be saved: {table.model_type} in transformers has no such option"
            )
    return written


def expresses(table: Format, config: Any) -> bool:
    """Whether `write_config` can write one of our configs in this format."""
    try:
        write_config(table, config)
    except ValueError:
        return False
    return True


def our_names(table: Format, theirs: Iterable[str], where: str, architecture: Architecture | None = None) -> dict[str, Source]:
    """{our name: where it lies} of a file's tensors, those of an architecture's head included.

    Raises ValueError naming tensors that the table does not know, that stand twice, or that lack the others of a join.
    """
    found: dict[str, tuple[Weight, list[str], dict[str, str]]] = {}  # our name -> row, layers, {pattern: their name}
    unknown = []
    for name in sorted(theirs):
        today = _today(table, name)
        if any(_match(pattern, today.removeprefix(table.base)) is not None for pattern in table.dropped):
            continue
        for weight in _weights(table, architecture):
            bare = today if weight.head else today.removeprefix(table.base)
            pattern, layers = _first_match((*weight.names, *weight.copies), bare)
            if layers is not None:
                *_, places = found.setdefault(_fill(weight.ours, layers), (weight, layers, {}))
                if pattern in places:
                    raise ValueError(f"{where}: {places[pattern]} and {name} are the same tensor: which one counts?")
                places[pattern] = name
                break
        else:
            unknown.append(name)
    if unknown:
        known = "" if architecture is None else f" ({architecture.name})"
        raise ValueError(f"{where}: {some(unknown)}: no such tensor in {table.model_type}{known}")
    return {ours: _source(*entry, where) for ours, entry in found.items()}


def _source(weight: Weight, layers: list[str], places: Mapping[str, str], where: str) -> Source:
    """Where a tensor lies of which these names were found; one that is stored more than once may be there once only."""
    copies = [places[pattern] for pattern in weight.copies if pattern in places]
    names = [places[pattern] for pattern in weight.names if pattern in places]
    if not names:
        names, copies = copies[:1], copies[1:]
    elif len(names) < len(weight.names):
        absent = next(pattern for pattern in weight.names if pattern not in places)
        raise ValueError(f"{where}: {names[0]} is in the weights, but {_fill(absent, layers)}, which belongs to it, is missing")
    return Source(tuple(names), weight.transpose, tuple(copies), weight.part, weight.row)


def their_names(table: Format, ours: str, architecture: Architecture | None = None) -> Source:
    """Where one of our tensors lies in a file that is written; KeyError for one that the table does not know."""
    for weight in _weights(table, architecture):
        layers = _match(weight.ours, ours)
        if layers is not None:
            prefix = "" if weight.head or (architecture is not None and architecture.bare) else table.base
            names, copies = (
                tuple(prefix + _fill(pattern, layers) for pattern in patterns) for patterns in (weight.names, weight.copies)
            )
            return Source(names, weight.transpose, copies, weight.part, weight.row)
    raise KeyError(f"{ours}: not in the table of names of {table.family}")


def _weights(table: Format, architecture: Architecture | None) -> tuple[Weight, ...]:
    return table.weights if architecture is None else table.weights + architecture.weights


def _today(table: Format, name: str) -> str:
    """A name as files have it today."""
    for old, new in table.renamed.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for an error line."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _read_field(entry: Field, value: Any, where: str, name: str) -> Any:
    if value is None and (entry.optional or entry.kind == "id"):
        return None
    expected = _CHECKS[entry.kind][0]
    if not _CHECKS[entry.kind][1](value):
        raise ValueError(f"{where}: {name} must be {expected}, but is {_short(value)} instead")
    if not entry.values:
        return value
    if value not in entry.values:
        raise ValueError(f"{where}: {name} must be one of {', '.join(entry.values)}, but is {_short(value)} instead")
    return entry.values[value]


def _whole(value: Any, low: int) -> bool:
    return type(value) is int and low <= value <= MAX_INT


def _list(value: Any, most: int) -> bool:
    return isinstance(value, list | tuple) and len(value) <= most and all(_whole(entry, 1) for entry in value)


def _real(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_CHECKS: dict[str, tuple[str, Any]] = {
    "count": ("a whole number of at least 1", lambda value: _whole(value, 1)),
    "counts": ("a list of whole numbers of at least 1, no more than 100", lambda value: _list(value, 100)),
    "natural": ("a whole number of at least 0", lambda value: _whole(value, 0)),
    "bound": ("a number of at least 0", lambda value: _real(value) and value >= 0),
    "share": ("a number from 0 to below 1", lambda value: _real(value) and 0 <= value < 1),
    "number": ("a positive number", lambda value: _real(value) and value > 0),
    "flag": ("true or false", lambda value: type(value) is bool),
    "id": ("one token's id or null", lambda value: _whole(value, 0)),
    "word": ("a word", lambda value: type(value) is str),
}


def _empty(value: Any) -> bool:
    """Whether a field that we do not know is switched off."""
    return value is None or value is False or value in ("", [], {})


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _first_match(patterns: Iterable[str], name: str) -> tuple[str, list[str] | None]:
    """The first pattern that a name fits, and the layer numbers there; None where it fits none."""
    for pattern in patterns:
        layers = _match(pattern, name)
        if layers is not None:
            return pattern, layers
    return "", None


def _match(pattern: str, name: str) -> list[str] | None:
    """The layer numbers where a name fits a pattern, else None."""
    found = _compiled(pattern).fullmatch(name)
    return list(found.groups()) if found else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", r"(0|[1-9][0-9]{0,8})"))


def _fill(pattern: str, layers: list[str]) -> str:
    for layer in layers:
        pattern = pattern.replace("*", layer, 1)
    return pattern
