"""A model before it is trained: its shape, what it needs of the tokenizer, dropout, further ids, frozen layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.nn.adaptive import AdaptiveEmbedding
from gyebo.tasks.heads.task_model import drop_untied_output
from gyebo.text.characters import spelling
from gyebo.text.tokenizer import Tokenizer


def with_dropout(model: Any, rate: float | None) -> Any:
    """The model with that dropout at all its places, which are fixed when its layers are made; None: as it is."""
    if rate is None:
        return model
    changed = type(model)(replace(model.config, **dict.fromkeys(dropouts(model.config), rate)))
    changed.load_state_dict(model.state_dict())
    return changed


def dropouts(config: Any) -> dict[str, float]:
    """All places of dropout of a config, and its rates."""
    return {field.name: getattr(config, field.name) for field in fields(config) if field.name.rpartition("_")[2] == "dropout"}


def with_layers_of(model: Any, cls: Any, tokenizer: Tokenizer) -> Any:
    """A model of another class with the embeddings and layers of this one, whose heads are left behind; what it has beside them
    is newly initialised. `tokenizer`: the copy for its family."""
    own, theirs = ({field.name for field in fields(config)} for config in (cls.config_class, model.config))
    shared = (own & theirs) - {*cls.parts(), *model.parts(), *ROLES}
    ids = {name: tokenizer.role_ids.get(role) for name, role in ROLES.items() if name in own}
    made = cls(cls.config_class(**{name: getattr(model.config, name) for name in shared}, **ids))
    heads = tuple(f"{name}_head." for name in model.heads)
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(heads)}
    if unknown := sorted(kept.keys() - made.state_dict().keys()):
        raise ValueError(f"{cls.family} has no {unknown[0]}, which this {model.family} has")
    made.load_state_dict(kept, strict=False)
    return made


@contextmanager
def saved_with(model: Any, values: dict[str, float]) -> Iterator[None]:
    """A model's config has these values while it is saved."""
    config = model.config
    model.config = replace(config, **values)
    try:
        yield
    finally:
        model.config = config


@torch.no_grad()
def grow_vocabulary(model: Any, size: int) -> None:
    """Add rows to the token embedding, drawn like fresh ones, until there are `size`; biases of a tied output layer are 0."""
    if size <= model.config.vocab_size:
        return
    if isinstance(model.token_embedding, AdaptiveEmbedding):
        model.token_embedding.grow(size, model.config.init_std)
        model.config = replace(model.config, vocab_size=size)
        if model.output is not None:
            model.output.grow(size, model.token_embedding if model.config.tied else None, model.config.init_std)
        return
    old = model.token_embedding.weight
    grown = nn.Embedding(size, old.shape[1], device=old.device, dtype=old.dtype)
    grown.weight.normal_(0.0, model.config.init_std)
    grown.weight[: len(old)] = old
    model.token_embedding = grown
    model.config = replace(model.config, vocab_size=size)
    if model.output is not None and model.config.tied:
        model.output.weight = grown.weight
        if model.output.bias is not None:
            model.output.bias = nn.Parameter(F.pad(model.output.bias, (0, size - len(old))))


def longest_read(config: Any, cls: Any, memory: int | None = None) -> int:
    """How much of a text a model that learns in windows reads when it is measured: the longest text, in windows one after the
    other; without a memory of the `memory` asked for or its own, where it needs one for that, a window."""
    return config.window if cls.any_memory and not (memory or config.memory) else config.context


def spell_more(model: Any, tokenizer: Tokenizer) -> None:
    """Tell a model that reads characters how further ids are spelled; what predicted ids, which a task does not need, goes."""
    if tokenizer.vocab_size > model.config.vocab_size:
        drop_untied_output(model)
        model.config = replace(model.config, vocab_size=tokenizer.vocab_size)
        with_pieces(model, tokenizer)


def layers_of(model: Any) -> list[list[nn.Parameter]]:
    """The model's groups of layers, from input to output, without the empty ones."""
    return [group for group in model.layer_groups() if group]


def freeze(model: Any, groups: int) -> None:
    """Keep the first groups of layers as they are; ValueError where nothing would be left to learn."""
    layers = layers_of(model)
    if groups >= len(layers):
        raise OptionError(f"‹optim.freeze›={groups}: the model has {len(layers)} groups of layers with its head: freeze fewer")
    for group in layers[:groups]:
        for parameter in group:
            parameter.requires_grad_(False)


def with_pieces(model: Any, tokenizer: Tokenizer) -> Any:
    """The model, told how the tokenizer's pieces are spelled where it reads their characters."""
    if model.reads_characters:
        model.spell(torch.from_numpy(spelling(tokenizer, model.config.characters)))
    return model


# How a field of a family's config is declared -> what it takes, and how that is called.
KINDS: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a word"),
    "tuple[int, ...]": (list, "a list of whole numbers"),
}


# Fields that follow from the tokenizer, from the text and from what is learned.
ROLES = {
    "pad_id": "pad",
    "bos_id": "bos",
    "eos_id": "eos",
    "forced_bos_id": "bos",
    "forced_eos_id": "eos",
    "end_id": "sep",
}  # field -> role
FIXED = {"vocab_size", "context", "window", "symbols", "start_id", "mlm", "nsp", "lm", "pooler", *ROLES}
FIXED |= {"decoder", "multilingual", "prefix"}
FIXED |= {"match", "region_head", "object", "attribute", "feature", "answer", "region", "alignment"}
FIXED |= {"crop", "feature_size", "objects", "attributes", "answers", "classes", "picture_size"}
FIXED |= {"image_codes", "grid", "guided", "image_first"}


def shaped(
    size: Any,
    changes: dict[str, Any],
    tokenizer: Tokenizer,
    *,
    windows: bool,
    context: int | None = None,
    section: str = "model",
) -> Any:
    """The size's config with the tokenizer's vocabulary and roles, a run's context, and the fields of `section`. The
    context is the window of a family that reads in `windows`: how long a text may be stays as it is.

    Raises ValueError for a field that the family has not, or a value of another kind.
    """
    kinds = _checked(size, changes, section)
    if context and windows and context > size.context:
        raise OptionError(f"‹context›={context}: a window of the text is at most as long as a text, {size.context} tokens")
    ids = {name: tokenizer.role_ids.get(role) for name, role in ROLES.items() if name in kinds}
    asked = {"window" if windows else "context": context} if context else {}
    return dataclasses.replace(size, vocab_size=tokenizer.vocab_size, **ids, **asked, **changes)


def _checked(size: Any, changes: dict[str, Any], section: str) -> dict[str, str]:
    """How each field of a size is declared; ValueError for a change of none of them, or to a value of another kind."""
    kinds = {field.name: str(field.type).removesuffix(" | None") for field in dataclasses.fields(size)}
    for name, value in changes.items():
        if name not in kinds or name in FIXED:
            raise ValueError(f"unknown option '{section}.{name}'{toml.suggest(name, sorted(set(kinds) - FIXED))}")
        accepted, words = KINDS[kinds[name]]
        if not isinstance(value, accepted) or (isinstance(value, bool) and accepted is not bool):
            raise OptionError(f"‹{section}.{name}› must be {words}, but is {value!r} instead")
    return kinds


def shaped_for_pictures(size: Any, changes: dict[str, Any], picture_size: int | None) -> Any:
    """The same of a family that reads no text: the size's config with the size of the corpus's pictures."""
    _checked(size, changes, "model")
    return dataclasses.replace(size, picture_size=picture_size, **changes)
