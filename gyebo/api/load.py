"""`gyebo.load` and `gyebo.save`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.options import Named, named
from gyebo.api.processor import PictureProcessor, Processor
from gyebo.interchange import load as open_model
from gyebo.interchange import save as write_model
from gyebo.tasks.heads.task_model import body_of

if TYPE_CHECKING:
    import torch

    from gyebo.text.tokenizer import Tokenizer


def load(
    name: Named,
    *,
    revision: str | None = None,
    dtype: torch.dtype | str | None = None,
    ignore: Iterable[str] = (),
) -> tuple[Any, Tokenizer | Processor | PictureProcessor | None]:
    """The model of a run, a `transformers` directory or a hub id, in evaluation mode on the CPU, and what prepares its inputs.

    That is its tokenizer (None where the directory has none), of a model that sees pictures a `Processor` of texts and
    pictures, whose `tokenizer` is the tokenizer, of one that reads pictures alone a `PictureProcessor`. Parameters and errors
    as of `gyebo.interchange.load`.
    """
    name = named(name, "name")
    model, tokenizer = open_model(name, revision=revision, dtype=dtype, ignore=ignore)
    body = body_of(model)
    if body.tokenizes_pictures:
        return model, PictureProcessor(model, name)
    if tokenizer is not None and (body.sees or body.compares or body.draws or body.captions):
        return model, Processor(tokenizer, model, name)
    return model, tokenizer


def save(model: Any, tokenizer: Any, directory: str | Path, **options: Any) -> None:
    """Write a model and what prepares its inputs, as `load` gives it, as a directory that `transformers` opens where it has the
    family. Parameters and errors as of `gyebo.interchange.save`."""
    alone = tokenizer.tokenizer if isinstance(tokenizer, Processor | PictureProcessor) else tokenizer
    write_model(model, alone, directory, **options)
