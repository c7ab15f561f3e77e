"""Save a model as a directory that `transformers` opens."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from gyebo.config import durable
from gyebo.config.disk import disk_full
from gyebo.interchange import task_heads
from gyebo.interchange.config_fields import FORCED, GENERATION, expresses, options_of, write_config, written_architecture
from gyebo.interchange.format import Architecture, Format
from gyebo.interchange.hooks import LazyTensor
from gyebo.interchange.loading import PICTURE_TOKENIZER, check_vocabulary
from gyebo.interchange.registry import formats_of
from gyebo.interchange.task_heads import plain, task_architecture, task_fields
from gyebo.interchange.tensor_names import full_name, their_tensors
from gyebo.tasks import text_task
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.text import added_tokens
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.translation_tokenizer import SOURCE_MODEL, TARGET_FILE, TARGET_MODEL

_TOKENIZERS = ("tokenizer.json", TARGET_FILE, SOURCE_MODEL, TARGET_MODEL, added_tokens.FILE)  # any of them would be read
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", *FORCED)
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def save(
    model: Any,
    tokenizer: Tokenizer | None,
    directory: str | Path,
    *,
    max_shard_bytes: int = 5 * 10**9,
    card: str | None = None,
) -> None:
    """Write `config.json`, the weights and the tokenizer; `generation_config.json` for a family that generates.

    `README.md` is written where `card` is given.

    The picture tokenizer of a model that draws is written first, into a folder of its own.

    Weights larger than `max_shard_bytes` become several files with an index. Everything is written aside, flushed and then
    renamed, so that an interrupted save leaves each file as it was. Files of the directory with other names stay. Raises
    ValueError for an option that the format cannot express, or a tokenizer with more ids than the model; OSError where the disk
    refuses (`gyebo.config.disk.DiskFull` where it is full), with the directory as it was.
    """
    directory = Path(directory)
    table = format_of(model)
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes must be at least 1, but is {max_shard_bytes} instead")
    tuned = isinstance(model, TaskModel)
    if (directory / PICTURE_TOKENIZER).is_symlink():
        raise ValueError(f"{directory / PICTURE_TOKENIZER} is a symbolic link, through which gyebo does not write: delete it")
    if not tuned and model.draws and model.picture_tokenizer is not None:
        save(model.picture_tokenizer, None, directory / PICTURE_TOKENIZER)
    architecture = task_architecture(table, model) if tuned else written_architecture(table, model.config)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    learned = task_fields(architecture, model) if tuned else _text_tasks(model)
    config = write_config(table, model.config, architecture) | {"dtype": dtype} | learned
    if tokenizer is not None:
        check_vocabulary(tokenizer, model.config, str(directory))
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if name in config and config[name] is None:
                config[name] = tokenizer.role_ids.get(name.removesuffix("_token_id"))
    ids = {name: config[name] for name in _IDS if name in config}
    with disk_full(directory, "it is as it was: free some space and save again"), _aside(directory) as temporary:
        names = _write_weights(table, architecture, model, temporary, max_shard_bytes)
        if tokenizer is not None:
            tokenizer.save(temporary, max_length=model.config.context)
        _write_json(temporary / "config.json", config)
        if table.generates and not tuned:
            _write_json(temporary / GENERATION, ids)
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")
        _publish(temporary, directory, names, whole=tokenizer is not None)


def _text_tasks(model: Any) -> dict[str, Any]:
    return {text_task.FIELD: [task.as_dict() for task in model.tasks]} if model.tasks else {}


def format_of(model: Any) -> Format:
    """The first format of a model's family that can express its config; the last one of all says why none can."""
    *others, last = (table for table in formats_of(model.family) if not table.read_only)
    return next((table for table in others if expresses(table, model.config)), last)


def auto_class(model: Any) -> str | None:
    """The class of `transformers` that opens what `save` writes of a model that learned a task; None where it has none."""
    if isinstance(model, TaskModel):
        return task_heads.auto_class(format_of(model), model)
    if format_of(model).model_type.startswith("gyebo-"):
        return None
    return "AutoModelForSeq2SeqLM" if model.encodes_source else "AutoModelForCausalLM"


@contextmanager
def _aside(directory: Path) -> Iterator[Path]:
    """A folder on the same file system, gone afterwards whatever happens."""
    durable.make_folder(directory)
    temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=directory))
    try:
        yield temporary
    except SafetensorError as error:  # safetensors hides the system's error in a text
        raise OSError(f"{directory}: the weights could not be written ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_weights(table: Format, architecture: Architecture, model: nn.Module, folder: Path, most: int) -> list[str]:
    """The weights' files, in the order in which they are to be renamed: the one that makes the others count comes last."""
    theirs = their_tensors(table, _tied_once(model), options_of(model.config), architecture)
    shards: list[dict[str, LazyTensor]] = [{}]
    room, total = most, 0
    for name, tensor in theirs.items():
        size = tensor.read().nbytes
        if size > room and shards[-1]:
            shards.append({})
            room = most
        shards[-1][full_name(table, name, architecture)] = tensor
        room -= size
        total += size
    if len(shards) == 1:
        _write_shard(folder / _WEIGHTS, shards[0])
        return [_WEIGHTS]
    files = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for file, shard in zip(files, shards):
        _write_shard(folder / file, shard)
    places = {tensor: file for file, shard in zip(files, shards) for tensor in sorted(shard)}
    _write_json(folder / _INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    return [*files, _INDEX]


def _tied_once(model: nn.Module) -> dict[str, Tensor]:
    """A model's tensors; a tied one stands under its first name alone, as `transformers` has it."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (plain(name), tensor.detach()))
    return dict(found.values())


def _write_shard(path: Path, shard: dict[str, LazyTensor]) -> None:
    tensors: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, lazy in shard.items():
        tensor = lazy.read().cpu().contiguous()
        tensors[name] = tensor.clone() if tensor.data_ptr() in places else tensor  # safetensors refuses shared memory
        places.add(tensor.data_ptr())
    save_file(tensors, str(path), metadata={"format": "pt"})


def _publish(temporary: Path, directory: Path, weights: list[str], *, whole: bool) -> None:
    """Flush all, then rename each file to its place; weights of an earlier save under other names go, and what it said about
    generation where this model does not generate; `whole`: so do an earlier tokenizer's files, as this save has its own.

    Where files of several shards are replaced, the index is away meanwhile: a directory without one is refused when it is
    opened, whereas old and new shards together would not be noticed.
    """
    durable.flush_files(temporary)
    if weights[-1] == _INDEX:
        (directory / _INDEX).unlink(missing_ok=True)
        durable.flush(directory)
    others = sorted(path.name for path in temporary.iterdir() if path.name not in weights)
    for name in (*others, *weights):
        if name == _INDEX:
            durable.flush(directory)  # the shards stand before what makes them count
        (temporary / name).replace(directory / name)
    written = {*weights, *others}
    shards = (path.name for path in directory.glob("model-*-of-*.safetensors"))
    stale = {_WEIGHTS, _INDEX, GENERATION, *shards, *(_TOKENIZERS if whole else ())} - written
    for name in sorted(stale):
        (directory / name).unlink(missing_ok=True)
    durable.flush(directory)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
