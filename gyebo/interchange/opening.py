"""Open a model: a run, a directory that `transformers` wrote, or a hub id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.interchange import gpt, gpt2
from gyebo.interchange.files import Stored, read_json, stored_tensors
from gyebo.interchange.hub import snapshot
from gyebo.interchange.names import Format, our_names, read_config, some, their_name
from gyebo.models.family import model_class, nearest
from gyebo.text.tokenizer import Tokenizer

FORMATS: dict[str, Format] = {table.model_type: table for table in (gpt.FORMAT, gpt2.FORMAT)}
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")


def load(
    name: str | Path, *, revision: str | None = None, dtype: torch.dtype | str | None = None
) -> tuple[Any, Tokenizer | None]:
    """The model of a directory or hub id, in evaluation mode on the CPU, and its tokenizer (None where it has none).

    `revision`: a hub id's branch, tag or commit. `dtype`: of the weights; None gives float32, "auto" what the files hold.
    Weights are read as safetensors or by torch's restricted reader; nothing in a directory is ever executed. Raises
    FileNotFoundError where something is missing and ValueError where a file is damaged, does not fit `config.json`, or asks for
    what gyebo does not support; each names the file, and the field or tensor.
    """
    directory = _directory(name, revision)
    config_file = directory / "config.json"
    if not config_file.is_file():
        raise FileNotFoundError(f"{config_file}: no such file; a model's directory has one, with its weights beside it")
    given = read_json(config_file)
    table = find_format(given, str(config_file))
    options = read_config(table, given, str(config_file))
    cls = model_class(table.family)
    try:
        config = cls.config_class(**options)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    stored = stored_tensors(directory)
    names = our_names(table, stored, str(directory))
    model = _empty_model(cls, config, names, str(config_file))
    _check(table, model, stored, names, directory)
    _fill(model, stored, names, _dtype(dtype, stored))
    return model.eval(), _tokenizer(directory, config)


def find_format(given: Mapping[str, Any], where: str) -> Format:
    """The table for a parsed `config.json`, by its `model_type` and `architectures`; ValueError where there is none."""
    kind, classes = given.get("model_type"), given.get("architectures") or []
    if not isinstance(classes, list) or not all(isinstance(entry, str) for entry in classes) or len(classes) > 1:
        raise ValueError(f"{where}: architectures must name one class, but is {classes!r} instead")
    if kind is None and classes:
        kind = next((table.model_type for table in FORMATS.values() if classes[0] in table.architectures), None)
    if not isinstance(kind, str) or kind not in FORMATS:
        kind = given.get("model_type")
        hint = nearest(kind, FORMATS) if isinstance(kind, str) else f" There is: {', '.join(FORMATS)}"
        raise ValueError(f"{where}: model_type {kind!r} is none that gyebo opens{hint}")
    table = FORMATS[kind]
    if classes and classes[0] not in table.architectures:
        raise ValueError(f"{where}: architectures {classes[0]} is not supported, only {' and '.join(table.architectures)}")
    return table


def _directory(name: str | Path, revision: str | None) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        if revision is not None:
            raise ValueError(f"revision = {revision!r} has no effect on the directory {path}: leave it out")
        return path
    if path.exists():
        raise ValueError(f"{path}: is a file; give the directory that holds config.json and the weights")
    if isinstance(name, Path) or not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", name):
        raise FileNotFoundError(f"{name}: no such directory")
    return snapshot(name, revision)


def _empty_model(cls: Any, config: Any, names: Mapping[str, Any], where: str) -> nn.Module:
    """The model without memory, once the number of layers is known to be that of the file."""
    numbers = [int(name.split(".")[1]) for name in names if name.startswith("blocks.")]
    layers = max(numbers, default=-1) + 1
    if config.layers != layers:
        raise ValueError(f"{where}: declares {config.layers} layers, but the weights hold {layers}")
    try:
        with torch.device("meta"):
            return cls(config)
    except (RuntimeError, OverflowError) as error:
        raise ValueError(f"{where}: declares sizes that no model has ({str(error).partition(chr(10))[0]})") from error


def _check(table: Format, model: nn.Module, stored: dict[str, Stored], names: Mapping, directory: Path) -> None:
    """Every tensor that the model has is there, with its shape and of a float type; nothing more is."""
    expected: dict[str, Tensor] = model.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(expected.items())}  # a tied tensor's first name
    absent = [name for name, tensor in expected.items() if name not in names and first[id(tensor)] not in names]
    if absent:
        shown = [their_name(table, name)[0] for name in absent]
        raise ValueError(f"{directory}: {some(shown)} missing from the weights, but config.json asks for it")
    extra = [names[name][0] for name in names if name not in expected]
    if extra:
        raise ValueError(f"{directory}: {some(extra)} in the weights, but config.json has no place for it")
    for name, tensor in expected.items():
        if name not in names:
            continue
        theirs_name, transposed = names[name]
        entry = stored[theirs_name]
        shape = tuple(reversed(tensor.shape)) if transposed else tuple(tensor.shape)
        if entry.shape != shape:
            raise ValueError(f"{entry.file}: {theirs_name} is {list(entry.shape)}, but config.json asks for {list(shape)}")
        if entry.dtype is None:
            raise ValueError(f"{entry.file}: {theirs_name} is not of type float32, float16, bfloat16 or float64")


def _fill(model: nn.Module, stored: dict[str, Stored], names: Mapping[str, tuple[str, bool]], dtype: torch.dtype) -> None:
    """Give the model its values, tensor by tensor; tied tensors stay one."""
    filled: dict[int, nn.Parameter] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in filled:
            filled[id(tensor)] = nn.Parameter(_read(name, tensor.shape, stored, names, dtype))
        elif name in names:
            _same(name, filled[id(tensor)], stored, names)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, filled[id(tensor)])


def _read(name: str, shape: torch.Size, stored: dict[str, Stored], names: Mapping, dtype: torch.dtype) -> Tensor:
    theirs, transposed = names[name]
    values = stored[theirs].read()
    return torch.empty(shape, dtype=dtype).copy_(values.T if transposed else values)


def _same(name: str, first: Tensor, stored: dict[str, Stored], names: Mapping[str, tuple[str, bool]]) -> None:
    """A file may hold a tied tensor twice; the two must agree."""
    if not torch.equal(_read(name, first.shape, stored, names, first.dtype), first):
        theirs = names[name][0]
        raise ValueError(
            f"{stored[theirs].file}: {theirs} differs from the tensor that it is tied to by config.json: "
            "set tie_word_embeddings to false there if it is a layer of its own"
        )


def _dtype(asked: torch.dtype | str | None, stored: dict[str, Stored]) -> torch.dtype:
    if asked is None:
        return torch.float32
    if asked == "auto":
        return next((entry.dtype for entry in stored.values() if entry.dtype is not None), torch.float32)
    dtype = getattr(torch, asked, None) if isinstance(asked, str) else asked
    if dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        raise ValueError(f"dtype must be float32, bfloat16, float16, float64, auto or None, but is {asked!r} instead")
    return dtype


def _tokenizer(directory: Path, config: Any) -> Tokenizer | None:
    if not any(next(directory.glob(pattern), None) for pattern in TOKENIZER_FILES):
        return None
    tokenizer = Tokenizer.load(directory)
    check_vocabulary(tokenizer, config, str(directory))
    return tokenizer


def check_vocabulary(tokenizer: Tokenizer, config: Any, where: str) -> None:
    """ValueError where a tokenizer has ids that a model's embedding has no row for."""
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{where}: the tokenizer has {tokenizer.vocab_size} ids, but the model's embedding has {config.vocab_size} rows: "
            "they do not belong together"
        )
