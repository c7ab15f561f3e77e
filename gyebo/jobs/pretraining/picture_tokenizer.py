"""What a model that sees or draws takes from a corpus of pictures and from a picture tokenizer before it is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.data.shards import Prepared
from gyebo.jobs.picture_codes import open_picture_tokenizer
from gyebo.jobs.pretraining.pictures import with_painter


def picture_tokenizer_of(options: RunOptions, cls: Any, opened: Any) -> Any:
    """The picture tokenizer of a run: the one that is named, or that of the model it starts from; None for a family that
    doesn't draw. OptionError where one is missing, or has no effect."""
    name = options.picture_tokenizer
    if not cls.draws:
        if name:
            raise OptionError(f"‹picture_tokenizer›={name} has no effect: {cls.family} draws no pictures; leave it out")
        return None
    if opened is not None and name:
        raise OptionError(f"‹picture_tokenizer›={name} contradicts ‹start_from›: the codes are those of {options.start_from}")
    if opened is not None:
        return with_painter(opened)
    if name is None:
        raise OptionError(
            f"‹picture_tokenizer› is missing: {cls.family} draws the codes of a picture tokenizer; train one on the same "
            "pictures with gyebo pretrain vqvae, and name it"
        )
    return open_picture_tokenizer(name)


def fitted(config: Any, prepared: Prepared, painter: Any, *, of: str | None) -> Any:
    """The config of a model for the pictures and their codes. `of`: the model that a run starts from, whose config stays.

    OptionError for pictures of another size than that model's.
    """
    known = {option.name for option in dataclasses.fields(config)}
    found: dict[str, Any] = {}
    if "picture_size" in known and prepared.train.pictures is not None:
        found["picture_size"] = prepared.train.pictures.size
    if painter is not None:
        found |= {"image_codes": painter.config.codes, "grid": painter.config.picture_size // painter.config.factor}
    if of is None:
        return dataclasses.replace(config, **found)
    for name, value in found.items():
        if getattr(config, name) != value:
            raise OptionError(
                f"‹data.picture_size›: the corpus has pictures of {value} pixels a side, but {of} reads {getattr(config, name)}"
            )
    return config


def made(make: Callable[[], Any], painter: Any) -> Any:
    """The model that `make` gives, told of its picture tokenizer."""
    model = make()
    if painter is not None:
        model.take_picture_tokenizer(painter)
    return model
