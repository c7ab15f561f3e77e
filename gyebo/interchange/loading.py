"""Open a model: a run, a directory that `transformers` wrote, or a hub id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.interchange.config_fields import read_config
from gyebo.interchange.files import Stored, read_json, stored_tensors
from gyebo.interchange.format import Architecture, Format, Source
from gyebo.interchange.hub import snapshot
from gyebo.interchange.registry import find_format, found_parts
from gyebo.interchange.task_heads import empty_task_model, plain
from gyebo.interchange.tensor_names import our_names, some, their_names
from gyebo.models.family import Family, find, model_class
from gyebo.tasks.heads.task_model import body_of
from gyebo.text.roles import PLAIN_PAIR, PLAIN_SINGLE, roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
STACKS = {"blocks": "layers", "encoder": "layers", "decoder": "decoder_layers"}  # how layers are called -> their number
TOKENIZER_FILES = ("tokenizer.json", "source.spm", "vocab.json", "vocab.txt", "*.model")


def load(
    name: str | Path, *, revision: str | None = None, dtype: torch.dtype | str | None = None
) -> tuple[Any, Tokenizer | None]:
    """The model of a directory or hub id, in evaluation mode on the CPU, and its tokenizer (None where it has none).

    A fine-tuned one (its class in `config.json` has a task head) is a `gyebo.tasks.heads.task_model.TaskModel`.
    `revision`: a hub id's branch, tag or commit. `dtype`: of the weights; None gives float32, "auto" what the files hold.
    Weights are read as safetensors or by torch's restricted reader; nothing in a directory is ever executed. Raises
    FileNotFoundError where something is missing and ValueError where a file is damaged, does not fit `config.json`, or asks for
    what gyebo does not support; each names the file, and the field or tensor.
    """
    directory = _directory(name, revision)
    config_file = _config_file(directory)
    given = read_json(config_file)
    table, architecture = find_format(given, str(config_file))
    options = read_config(table, given, str(config_file))
    stored = stored_tensors(directory)
    names = our_names(table, stored, str(directory), architecture)
    options |= found_parts(table, architecture, names)
    cls = model_class(table.family)
    try:
        config = cls.config_class(**options)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    model = _empty_model(cls, config, names, str(config_file))
    if architecture is not None and architecture.kind is not None:
        model = empty_task_model(model, architecture, given, str(config_file))
    _check(table, architecture, model, stored, names, directory)
    _fill(model, stored, names, _dtype(dtype, stored), config.tied)
    _check_spelling(body_of(model), directory)
    return model.eval(), _tokenizer(directory, config, find(table.family))


def family_of(name: str | Path) -> str:
    """The family of a directory or hub id, from its `config.json` alone; FileNotFoundError or ValueError as of `load`."""
    file = _config_file(_directory(name, None))
    return find_format(read_json(file), str(file))[0].family


def _config_file(directory: Path) -> Path:
    file = directory / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; a model's directory has one, with its weights beside it")
    return file


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


def _empty_model(cls: Any, config: Any, names: Mapping[str, Source], where: str) -> nn.Module:
    """The model without memory, once the number of layers is known to be that of the file."""
    for stack, option in STACKS.items():
        numbers = [int(found[1]) for name in names if (found := re.match(rf"{stack}\.(\d+)\.", name))]
        if numbers and getattr(config, option) != max(numbers) + 1:
            declared, kind = getattr(config, option), "" if stack == "blocks" else f" of the {stack}"
            raise ValueError(f"{where}: declares {declared} layers{kind}, but the weights hold {max(numbers) + 1}")
    try:
        with torch.device("meta"):
            return cls(config)
    except (RuntimeError, OverflowError) as error:
        raise ValueError(f"{where}: declares sizes that no model has ({str(error).partition(chr(10))[0]})") from error


def _check(
    table: Format,
    architecture: Architecture | None,
    model: nn.Module,
    stored: dict[str, Stored],
    names: Mapping[str, Source],
    directory: Path,
) -> None:
    """Every tensor that the model has is there, with its shape and of a fitting type; nothing more is."""
    expected: dict[str, Tensor] = {plain(name): tensor for name, tensor in model.state_dict(keep_vars=True).items()}
    first = {id(tensor): name for name, tensor in reversed(expected.items())}  # a tied tensor's first name
    absent = [name for name, tensor in expected.items() if name not in names and first[id(tensor)] not in names]
    if absent:
        shown = [theirs for name in absent for theirs in their_names(table, name, architecture).names]
        raise ValueError(f"{directory}: {some(shown)} missing from the weights, but config.json asks for it")
    extra = [theirs for name, source in names.items() if name not in expected for theirs in source.names]
    if extra:
        raise ValueError(f"{directory}: {some(extra)} in the weights, but config.json has no place for it")
    for name, tensor in expected.items():
        if name not in names:
            continue
        source, (rows, *others) = names[name], tensor.shape
        shape = (rows // len(source.names), *others)
        for theirs in (*source.names, *source.copies):
            expected_shape = (1, *shape) if source.row else tuple(reversed(shape)) if source.transpose else shape
            _check_tensor(theirs, stored[theirs], expected_shape, tensor.dtype)


def _check_tensor(name: str, entry: Stored, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if entry.shape != shape:
        raise ValueError(f"{entry.file}: {name} is {list(entry.shape)}, but config.json asks for {list(shape)}")
    if entry.dtype not in FLOATS if dtype.is_floating_point else entry.dtype != dtype:
        fitting = "float32, float16, bfloat16 or float64" if dtype.is_floating_point else str(dtype).removeprefix("torch.")
        raise ValueError(f"{entry.file}: {name} is not of type {fitting}")


def _check_spelling(body: Any, directory: Path) -> None:
    """Of a model that reads characters, that it has a row for each symbol in the table of its pieces."""
    if body.reads_characters:
        try:
            body.spell(body.spelling)
        except ValueError as error:
            raise ValueError(f"{directory}: {error}") from error


def _fill(model: nn.Module, stored: dict[str, Stored], names: Mapping[str, Source], dtype: torch.dtype, tied: bool) -> None:
    """Give the model its values, tensor by tensor; tied tensors stay one."""
    filled: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        source = names.get(plain(name))
        if id(tensor) not in filled:
            assert source is not None  # checked: the first name of a tensor is in the file
            kept = dtype if tensor.is_floating_point() else tensor.dtype
            values = _read(tensor.shape, stored, source.names, source.transpose, kept)
            filled[id(tensor)] = nn.Parameter(values) if isinstance(tensor, nn.Parameter) else values
        elif source is not None:
            _same(source.names, filled[id(tensor)], stored, source.transpose)
        if tied and source is not None:  # else transformers computes with the first of them alone
            for copy in source.copies:
                _same((copy,), filled[id(tensor)], stored, source.transpose)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, filled[id(tensor)])


def _read(shape: torch.Size, stored: dict[str, Stored], names: tuple[str, ...], transpose: bool, dtype: torch.dtype) -> Tensor:
    """A tensor from those that it joins along its rows."""
    tensor = torch.empty(shape, dtype=dtype)
    for piece, name in zip(tensor.chunk(len(names)), names):
        values = stored[name].read()
        piece.copy_(values.T if transpose else values.reshape(piece.shape))
    return tensor


def _same(names: tuple[str, ...], first: Tensor, stored: dict[str, Stored], transpose: bool) -> None:
    """A file may hold a tied tensor twice; the two must agree. A model on the meta device has no values to compare."""
    if not first.is_meta and not torch.equal(_read(first.shape, stored, names, transpose, first.dtype), first):
        raise ValueError(
            f"{stored[names[0]].file}: {names[0]} differs from the tensor that it is tied to by config.json: "
            "set tie_word_embeddings to false there if it is a layer of its own"
        )


def _dtype(asked: torch.dtype | str | None, stored: dict[str, Stored]) -> torch.dtype:
    if asked is None:
        return torch.float32
    if asked == "auto":
        return next((entry.dtype for entry in stored.values() if entry.dtype in FLOATS), torch.float32)
    dtype = getattr(torch, asked, None) if isinstance(asked, str) else asked
    if dtype not in FLOATS:
        raise ValueError(f"dtype must be float32, bfloat16, float16, float64, auto or None, but is {asked!r} instead")
    return dtype


def _tokenizer(directory: Path, config: Any, family: Family) -> Tokenizer | None:
    if not any(next(directory.glob(pattern), None) for pattern in TOKENIZER_FILES):
        vocabulary = next(directory.glob("*.pkl"), None)  # fastai's
        if vocabulary is not None and any(directory.glob("*.pth")):
            raise ValueError(
                f"{vocabulary}: a pickle, which could run anything and is never opened: take it away, and put a tokenizer.json "
                "beside the weights if their words are wanted"
            )
        return None
    tokenizer = Tokenizer.load(directory)
    if tokenizer.kind == PUBLISHED:
        tokenizer = _as_read_by(tokenizer, family, config)
    check_vocabulary(tokenizer, config, str(directory))
    return tokenizer


def _as_read_by(tokenizer: Tokenizer, family: Family, config: Any) -> Tokenizer:
    """A published tokenizer as the model's class of `transformers` would read with it, whatever its files leave out: the names
    of roles, the frame that an encoder was trained with, and segments where the model has several."""
    roles = roles_of(family)
    if family.head_style == "last":  # what a decoder puts between two texts is for whoever fine-tunes it
        roles = replace(roles, single=PLAIN_SINGLE, pair=PLAIN_PAIR)
    if "token_type_ids" in roles.model_inputs and config.segments < 2:
        roles = replace(roles, model_inputs=tuple(name for name in roles.model_inputs if name != "token_type_ids"))
    return tokenizer.for_family(roles)


def check_vocabulary(tokenizer: Tokenizer, config: Any, where: str) -> None:
    """ValueError where a tokenizer has ids that a model's embedding has no row for."""
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{where}: the tokenizer has {tokenizer.vocab_size} ids, but the model's embedding has {config.vocab_size} rows: "
            "they do not belong together"
        )
