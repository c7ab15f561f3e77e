"""Options of a family that reads no text: what is about text has no effect, and pictures have the model's size."""

from __future__ import annotations

from typing import Any

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions, RunOptions
from gyebo.jobs.pretraining.corpus import refuse_without_pictures
from gyebo.models.family import Family, model_class

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
    """The data of a run with the size of pictures that its model reads, where none is asked for; of a family that reads text as
    they are. `opened`: the model that it starts from, if any."""
    if family.reads_text or options.data.picture_size is not None:
        return options.data
    config = opened.config if opened is not None else model_class(family.name).sizes[options.size]
    return options.data.model_copy(update={"picture_size": config.picture_size})
