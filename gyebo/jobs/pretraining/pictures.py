"""Options of a family that reads no text: what is about text has no effect, and pictures have the model's size."""

from __future__ import annotations

from typing import Any

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions, RunOptions
from gyebo.interchange import load
from gyebo.jobs.pretraining.corpus import refuse_without_pictures
from gyebo.models.family import model_class
from gyebo.models.tree.row import Family

TEXT_OPTIONS = ("tokenizer", "vocab_size", "context")


def check_for_pictures(options: RunOptions, family: Family, config: Any) -> None:
    """OptionError for an option that has no effect on a family that reads no text, or contradicts the `config` that it starts
    from; ValueError where the corpus has no pictures."""
    for name in TEXT_OPTIONS:
        if (given := getattr(options, name)) != RunOptions.model_fields[name].default:
            raise OptionError(f"‹{name}›={given} has no effect: {family.title} reads no text; leave it out")
    if options.data.across_documents:
        raise OptionError(f"‹data.across_documents› has no effect: {family.title} reads no text; leave it out")
    refuse_without_pictures(options.data)
    asked = options.data.picture_size
    if options.start_from and asked not in (None, config.picture_size):
        raise OptionError(f"‹data.picture_size›={asked}: {options.start_from} reads pictures of {config.picture_size} pixels")


def sized(options: RunOptions, family: Family, opened: Any) -> DataOptions:
    """The data of a run with the size of pictures that its model, or its picture tokenizer, reads, where none is asked for; as
    they are where any will do. `opened`: the model that it starts from, if any."""
    if options.data.picture_size is not None:
        return options.data
    size: int | None = None
    if opened is not None:
        size = picture_size_of(opened)
    elif options.picture_tokenizer:
        size = load(options.picture_tokenizer)[0].config.picture_size
    elif not family.reads_text:
        size = model_class(family.name).sizes[options.size].picture_size
    return options.data if size is None else options.data.model_copy(update={"picture_size": size})


def picture_size_of(model: Any) -> int | None:
    """Pixels of a side of the pictures that a model, or its picture tokenizer, reads; None for a model that sees none."""
    if model.draws:
        return int(with_painter(model).config.picture_size)
    return int(model.config.picture_size) if model.tokenizes_pictures or model.compares else None


def with_painter(model: Any) -> Any:
    """The picture tokenizer of a model that draws; ValueError where it has none."""
    if model.picture_tokenizer is None:
        raise ValueError("the model has no picture_tokenizer folder, without which it knows no codes: name the whole run")
    return model.picture_tokenizer
