"""What a family's table of names consists of: tensors, config fields, classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Names = str | tuple[str, ...]


def pairs(names: Iterable[tuple[Names, str]], *, head: bool = False, part: str | None = None) -> tuple[Weight, ...]:
    """The weight and the bias of layers, of (their name or names, ours)."""

    def named(name: Names, kind: str) -> Names:
        return f"{name}.{kind}" if isinstance(name, str) else tuple(f"{one}.{kind}" for one in name)

    return tuple(
        Weight(named(theirs, kind), f"{ours}.{kind}", head=head, part=part)
        for theirs, ours in names
        for kind in ("weight", "bias")
    )


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


CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")  # as torch calls them
