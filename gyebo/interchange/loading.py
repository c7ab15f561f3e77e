"""Open a model: a run, a directory that `transformers` wrote, or a hub id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.interchange.config_fields import FORCED, GENERATION, options_of, read_config
from gyebo.interchange.files import Stored, read_json, stored_tensors
from gyebo.interchange.format import Architecture, Format, Source
from gyebo.interchange.hooks import LazyTensor
from gyebo.interchange.hub import snapshot
from gyebo.interchange.registry import find_format, found_parts, refuse_pickles
from gyebo.interchange.task_heads import empty_task_model, plain
from gyebo.interchange.tensor_names import full_name, names_today, our_names, some, their_names, their_tensors
from gyebo.models.family import find, model_class
from gyebo.models.tree.row import Family
from gyebo.tasks import text_task
from gyebo.tasks.heads.task_model import body_of
from gyebo.text.roles import PLAIN_PAIR, PLAIN_SINGLE, roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
PICTURE_TOKENIZER = "picture_tokenizer"  # the folder of what paints for a model that draws
TOKENIZER_FILES = ("tokenizer.json", "source.spm", "vocab.json", "vocab.txt", "*.model")


@dataclass(frozen=True)
class _Weights:
    """What a directory holds. `stored`: its tensors by their names there; `files`: {name in the table: name there}; `tensors`:
    by their names in the table, where the family's hook has been applied; `sources`: of each of our tensors."""

    directory: Path
    stored: Mapping[str, Stored]
    files: Mapping[str, str]
    tensors: Mapping[str, LazyTensor]
    sources: Mapping[str, Source]

    def called(self, name: str) -> str:
        """What a tensor of the table is called in its file."""
        return self.files.get(name, name)

    def place(self, name: str) -> Path:
        """The file that holds a tensor of the table."""
        return self.stored[self.files[name]].file if name in self.files else self.directory


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    dtype: torch.dtype | str | None = None,
    ignore: Iterable[str] = (),
) -> tuple[Any, Tokenizer | None]:
    """The model of a directory or hub id, in evaluation mode on the CPU, and its tokenizer (None where it has none).

    A fine-tuned one (its class in `config.json` has a task head) is a `gyebo.tasks.heads.task_model.TaskModel`.
    `revision`: a hub id's branch, tag or commit. `dtype`: of the weights; None gives float32, "auto" what the files hold.
    `ignore`: unknown fields of `config.json` that do not change the model; without it, those that might are refused.
    Weights are read as safetensors or by torch's restricted reader; nothing in a directory is ever executed. Raises
    FileNotFoundError where something is missing and ValueError where a file is damaged, does not fit `config.json`, or asks for
    what gyebo does not support; each names the file, and the field or tensor.
    """
    directory = _directory(name, revision)
    refuse_pickles(directory)
    config_file = _config_file(directory)
    given = read_json(config_file)
    table, architecture = find_format(given, str(config_file))
    given |= _forced(table, directory / GENERATION)
    options = read_config(table, given, str(config_file), ignore)
    weights = _find_weights(table, architecture, options, directory)
    options |= found_parts(table, architecture, weights.sources)
    cls = model_class(table.family)
    try:
        config = cls.config_class(**options)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    model: Any = _empty_model(cls, config, table, weights, str(config_file))
    if architecture is None or architecture.kind is None:
        model.tasks = text_task.read(given, str(config_file))
    else:
        model = empty_task_model(model, architecture, given, str(config_file), weights.sources)
    _check(table, architecture, model, weights)
    _fill(model, weights, _dtype(dtype, weights.stored), config.tied)
    _check_spelling(body_of(model), directory)
    if body_of(model).draws and (directory / PICTURE_TOKENIZER).is_dir():
        _take_painter(model, directory)
    return model.eval(), _tokenizer(directory, config, find(table.family))


def family_of(name: str | Path) -> str:
    """The family of a directory or hub id, from its `config.json` alone; FileNotFoundError or ValueError as of `load`."""
    file = _config_file(_directory(name, None))
    return find_format(read_json(file), str(file))[0].family


def _config_file(directory: Path) -> Path:
    file = directory / "config.json"
    if not file.is_file():
        below = next((f", such as {each.parent}" for each in sorted(directory.glob("*/config.json"))), "")
        if (directory / "tokenizer.json").is_file():
            below = "; this is a tokenizer's (in Python: gyebo.Tokenizer.load)"
        raise FileNotFoundError(f"{file}: no such file; a model's directory has one, with its weights beside it{below}")
    return file


def _forced(table: Format, file: Path) -> dict[str, Any]:
    """The ids that generation forces, as `transformers` takes them: from `generation_config.json` alone where there is one."""
    names = [field.theirs for field in table.fields if field.theirs in FORCED]
    found = read_json(file) if names and file.is_file() else None
    return {} if found is None else {name: found.get(name) for name in names}


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


def _find_weights(table: Format, architecture: Architecture | None, options: Mapping[str, Any], directory: Path) -> _Weights:
    """The tensors of a directory under the names of our model; none of them is read into memory to stay."""
    where, stored = str(directory), stored_tensors(directory)
    files = names_today(table, stored, where, architecture)
    try:
        tensors = table.tensors.to_ours({name: LazyTensor(stored[file].read) for name, file in files.items()}, options)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    sources = our_names(table, {name: files.get(name, name) for name in tensors}, where, architecture)
    return _Weights(directory, stored, files, tensors, sources)


def _empty_model(cls: Any, config: Any, table: Format, weights: _Weights, where: str) -> nn.Module:
    """The model without memory, once the number of layers is known to be that of the file."""
    for stack, option in table.stacks.items():
        pattern = re.compile(rf"{re.escape(stack)}\.(\d+)\.")
        numbers = [int(found[1]) for name in weights.sources if (found := pattern.match(name))]
        if numbers and getattr(config, option) != max(numbers) + 1:
            declared, kind = getattr(config, option), "" if len(table.stacks) == 1 else f" of the {stack}"
            raise ValueError(f"{where}: declares {declared} layers{kind}, but the weights hold {max(numbers) + 1}")
    try:
        with torch.device("meta"):
            return cls(config)
    except (RuntimeError, OverflowError) as error:
        raise ValueError(f"{where}: declares sizes that no model has ({str(error).partition(chr(10))[0]})") from error


def _check(table: Format, architecture: Architecture | None, model: nn.Module, weights: _Weights) -> None:
    """Every tensor that the model has is there, nothing more is, and each has the shape and a type that `save` would write."""
    expected: dict[str, Tensor] = {plain(name): tensor for name, tensor in model.state_dict(keep_vars=True).items()}
    sources, first = weights.sources, {id(tensor): name for name, tensor in reversed(expected.items())}  # a tied tensor's first
    absent = [name for name, tensor in expected.items() if name not in sources and first[id(tensor)] not in sources]
    if absent:
        shown = [full_name(table, name, architecture) for one in absent for name in their_names(table, one, architecture).names]
        raise ValueError(f"{weights.directory}: {some(shown)} missing from the weights, but config.json asks for it")
    extra = [weights.called(theirs) for name, source in sources.items() if name not in expected for theirs in source.names]
    if extra:
        raise ValueError(f"{weights.directory}: {some(extra)} in the weights, but config.json has no place for it")
    with torch.device("meta"):
        for name, tensor in their_tensors(table, expected, options_of(model.config), architecture).items():
            if name in weights.files:
                _check_tensor(weights.called(name), weights.stored[weights.called(name)], tensor.read())


def _check_tensor(name: str, entry: Stored, expected: Tensor) -> None:
    shape, dtype = expected.shape, expected.dtype
    if entry.shape != tuple(shape):
        raise ValueError(f"{entry.file}: {name} is {list(entry.shape)}, but config.json asks for {list(shape)}")
    if entry.dtype not in FLOATS if dtype.is_floating_point else entry.dtype != dtype:
        fitting = "float32, float16, bfloat16 or float64" if dtype.is_floating_point else str(dtype).removeprefix("torch.")
        raise ValueError(f"{entry.file}: {name} is not of type {fitting}")


def _check_spelling(body: Any, directory: Path) -> None:
    """Of a model that reads characters, that it has a row for each symbol in the spelling of its tokens."""
    if body.reads_characters:
        try:
            body.spell(body.spelling)
        except ValueError as error:
            raise ValueError(f"{directory}: {error}") from error


def _take_painter(model: Any, directory: Path) -> None:
    """Tell a model that draws the picture tokenizer that lies beside it."""
    painter, _ = load(directory / PICTURE_TOKENIZER)
    if not painter.tokenizes_pictures:
        raise ValueError(f"{directory / PICTURE_TOKENIZER}: holds a {painter.title}, which gives pictures no codes")
    try:
        model.take_picture_tokenizer(painter)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from error


def _fill(model: nn.Module, weights: _Weights, dtype: torch.dtype, tied: bool) -> None:
    """Give the model its values, tensor by tensor; tied tensors stay one."""
    filled: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        source = weights.sources.get(plain(name))
        if id(tensor) not in filled:
            assert source is not None  # checked: the first name of a tensor is in the file
            kept = dtype if tensor.is_floating_point() else tensor.dtype
            values = _read(tensor.shape, weights, source, kept)
            filled[id(tensor)] = nn.Parameter(values) if isinstance(tensor, nn.Parameter) else values
        elif source is not None:
            _same(source, filled[id(tensor)], weights)
        if tied and source is not None:  # else transformers computes with the first of them alone
            for copy in source.copies:
                _same(replace(source, names=(copy,)), filled[id(tensor)], weights)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, filled[id(tensor)])


def _read(shape: torch.Size, weights: _Weights, source: Source, dtype: torch.dtype) -> Tensor:
    """A tensor from those that it joins along its rows."""
    tensor = torch.empty(shape, dtype=dtype)
    parts = tensor.chunk(len(source.names)) if len(source.names) > 1 else (tensor,)
    for part, name in zip(parts, source.names):
        values = weights.tensors[name].read()
        values = values.T if source.transpose else values
        assert values.shape == part.shape, name  # checked by its name in the file, or made by the family's hook
        part.copy_(values)
    return tensor


def _same(source: Source, first: Tensor, weights: _Weights) -> None:
    """A file may hold a tied tensor twice; the two must agree. A model on the meta device has no values to compare."""
    if not first.is_meta and not torch.equal(_read(first.shape, weights, source, first.dtype), first):
        name = source.names[0]
        raise ValueError(
            f"{weights.place(name)}: {weights.called(name)} differs from the tensor that it is tied to by config.json: "
            "set tie_word_embeddings to false there if it is a layer of its own"
        )


def _dtype(asked: torch.dtype | str | None, stored: Mapping[str, Stored]) -> torch.dtype:
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
    of roles, the template that an encoder was trained with, and segments where the model has several."""
    roles = roles_of(family)
    if family.templates_for_tasks:
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
