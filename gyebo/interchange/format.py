"""What a family's table of names consists of: tensors, config fields, classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gyebo.interchange.hooks import OptionHook, TensorHook

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
    """A tensor in both worlds; `*` stands for the layer's number, `**` for any name.

    `theirs`: its name, or the names of those that ours joins along its rows. `transpose`: theirs is stored [in, out] (Conv1D).
    `head`: it stands beside the body, so that their name has no prefix. `copies`: names under which the same numbers are
    stored once more. `part`: the flag of our config that is on where the tensor exists.
    """

    theirs: str | tuple[str, ...]
    ours: str
    transpose: bool = False
    head: bool = False
    copies: tuple[str, ...] = ()
    part: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order in which ours joins them."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


@dataclass(frozen=True)
class Source:
    """Where one of our tensors lies in a file: `names` that it joins along its rows, mostly one; the rest as in `Weight`.

    Names are those of the table, without the prefix of the body.
    """

    names: tuple[str, ...]
    transpose: bool = False
    copies: tuple[str, ...] = ()
    part: str | None = None


@dataclass(frozen=True)
class Field:
    """A field of `config.json` and the field of our config that it sets; two of ours may share one of theirs.

    `default`: the value that `transformers` takes where the file has none. `kind`: "count" (a whole number from 1 to 2^31-1),
    "counts" (some of them), "natural" (from 0), "naturals" (some of them), "integer" (any), "share" (0 <= x < 1), "number"
    (positive), "bound" (from 0), "flag", "flags" (some of them), "id" (a token's id or null) or "word". `values`: their words
    -> ours (the first of several that mean the same is written). `aliases`: other names that `transformers` reads. `instead`:
    what is written where ours is None, from our config. `own`: a field of gyebo's, which `transformers` passes over, written
    where it isn't the default. `most`: the largest number, of parts that are built one by one before weights are compared.
    """

    theirs: str
    ours: str
    kind: str
    default: Any = None
    values: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    optional: bool = False  # null is a value
    instead: Callable[[Any], Any] | None = None
    own: bool = False
    most: int | None = None


@dataclass(frozen=True)
class Architecture:
    """A class of `transformers`, or one of ours where it has none.

    `parts`: the flags of our config that are on in it; a file that holds more has more on. `bare`: a body alone, whose names
    have no prefix. Of a class with a task head, `kind`: the kind of task; `weights`: the tensors beside the family's;
    `dropout`: the fields of `config.json` that may say the head's dropout, looked up in this order (the first is written), and
    `dropout_default` where none does. Some classes of `transformers` read none of them; they then matter to gyebo only.
    `told_by`: of two classes of one name, the field of `config.json` by which this one is known; `counted`: the field that says
    how many labels there are, where it is not `id2label` alone.
    """

    name: str
    parts: tuple[str, ...] = ()
    bare: bool = False
    kind: str | None = None
    weights: tuple[Weight, ...] = ()
    dropout: tuple[str, ...] = ("classifier_dropout",)
    dropout_default: float = 0.1
    told_by: str | None = None
    counted: str | None = None


def head_layers(**layers: str) -> tuple[Weight, ...]:
    """Weight and bias of the layers of a task head, by our name: theirs."""
    return pairs([(theirs, f"head.{ours}") for ours, theirs in layers.items()], head=True)


@dataclass(frozen=True)
class Format:
    """Everything about one family's directories.

    `architectures`: the classes that are read; of those without a task the one is written whose parts are most of the model's;
    for a kind of task that none of them has there is a class of ours (`gyebo/interchange/task_heads.py`). `base`: what their
    names start with in a model with a head, left out in a bare body. `written`: fields written with a fixed value, refused when
    read with another; `accepted`: so, but not written. `fixed`: what our options for which they have no field always are, where
    that is not our default. `dropped`: patterns of tensors that carry no weights. `harmless`: fields that change nothing,
    beside `HARMLESS`. `renamed`: endings of names in old files -> today's. `refused`: a `model_type` of `transformers` that one
    may take for this family -> in what it differs. `alias`: its name in the registry, where another family has its `model_type`
    and its classes or what is `written` tell the two apart. `told_by`: fields by which a `config.json` without `model_type` is
    known. `read_only`: another format of the family is written instead. `pickles`: files of pickled modules in which the family
    was published -> what makes weights of them. `generates`: it writes text, so it has a `generation_config.json`. `stacks`:
    how our lists of layers are called -> the option that is their number, by which a file with another number is refused before
    a model is built. `sections`: objects of `config.json`, whose fields the table calls "section.field". `tensors`, `options`:
    what a table cannot say.
    """

    family: str
    model_type: str
    architectures: tuple[Architecture, ...]
    base: str
    weights: tuple[Weight, ...]
    fields: tuple[Field, ...]
    written: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    harmless: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    alias: str = ""
    told_by: tuple[str, ...] = ()
    read_only: bool = False
    pickles: Mapping[str, str] = field(default_factory=dict)
    generates: bool = True
    stacks: Mapping[str, str] = field(default_factory=lambda: {"blocks": "layers"})
    sections: tuple[str, ...] = ()
    tensors: TensorHook = field(default_factory=TensorHook)
    options: OptionHook = field(default_factory=OptionHook)

    @property
    def key(self) -> str:
        """Its name in the registry."""
        return self.alias or self.model_type

    @property
    def parts(self) -> tuple[str, ...]:
        """The flags of our config that say which parts a model has."""
        return tuple(dict.fromkeys(weight.part for weight in self.weights if weight.part is not None))

    def architecture(self, name: str | None, given: Mapping[str, Any] = MappingProxyType({})) -> Architecture | None:
        """The class of that name, of several the one that the `config.json` tells; None where it is none of this family's."""
        named = (entry for entry in self.architectures if entry.name == name)
        return next((entry for entry in named if entry.told_by is None or entry.told_by in given), None)


CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")  # as torch calls them
