"""Weight files as found in a directory: which there are, and what each tensor is, before any of it is read into memory.

Safetensors hold numbers only. A pickle (`pytorch_model.bin`, or the `.pth` of fastai) is read by torch's restricted reader
(`weights_only=True`), which builds tensors and nothing else, and never runs what the file names.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

MOST_JSON_BYTES = 64 * 2**20
_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
}
_KINDS = (("model.safetensors", False), ("model.safetensors.index.json", True))
_CHECKPOINTS = ("state_dict", "model_state_dict", "model", "model_state", "net", "module")  # where trainers put the weights
_PICKLES = (("pytorch_model.bin", False), ("pytorch_model.bin.index.json", True))


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its shape and type as declared; `read` gives its values. `dtype` None: a type that no model has."""

    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    read: Callable[[], Tensor]


def stored_tensors(directory: Path) -> dict[str, Stored]:
    """Every tensor of a directory's weights, by its name there; ValueError or FileNotFoundError naming the file."""
    for name, sharded in _KINDS + _PICKLES:
        path = directory / name
        if path.is_file():
            return _from_index(path) if sharded else _open_file(path)
    named = sorted(directory.glob("*.pth"))  # fastai leaves the name to its user
    if len(named) > 1:
        raise ValueError(f"{directory}: {named[0].name} and {named[1].name} are weights: leave the one that counts")
    if named:
        return _open_file(named[0])
    expected = ", ".join(name for name, _ in _KINDS + _PICKLES)
    raise FileNotFoundError(f"{directory}: no weights here; expected one of {expected}, or a single .pth")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of at most 64 MiB; ValueError naming the file otherwise."""
    size = path.stat().st_size
    if size > MOST_JSON_BYTES:
        raise ValueError(f"{path}: {size:,} bytes is too large for this file, which has some thousands: it is something else")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}): the file is damaged or something else") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, but it holds a {type(content).__name__} instead")
    return content


def _from_index(index: Path) -> dict[str, Stored]:
    suffix = ".safetensors" if ".safetensors" in index.name else ".bin"
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{index}: no weight_map in it: the file is damaged or something else")
    for name in places.values():
        plain = isinstance(name, str) and name == PurePosixPath(name).name and "\\" not in name and name.endswith(suffix)
        if not plain:
            raise ValueError(f"{index}: {name!r} is not the plain name of a {suffix} file in its directory: refused")
    found: dict[str, Stored] = {}
    for name in sorted(set(places.values())):
        path = index.parent / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: missing, but {index.name} names it: copy the directory again")
        for tensor, stored in _open_file(path).items():
            if places.get(tensor) != name:
                raise ValueError(f"{path}: holds {tensor}, which {index.name} places in {places.get(tensor)}: not one save")
            found[tensor] = stored
    absent = sorted(places.keys() - found.keys())
    if absent:
        raise ValueError(f"{index.parent / places[absent[0]]}: {absent[0]} is missing, but {index.name} places it there")
    return found


def _open_file(path: Path) -> dict[str, Stored]:
    return _open_safetensors(path) if path.suffix == ".safetensors" else _open_pickle(path)


def _open_safetensors(path: Path) -> dict[str, Stored]:
    try:  # checks that the sizes in the header add up to the length of the file
        file = safe_open(str(path), framework="pt")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged, cut short or not safetensors ({error}): copy it again") from error
    return {
        name: Stored(path, tuple(part.get_shape()), _SAFETENSORS_DTYPES.get(part.get_dtype()), partial(file.get_tensor, name))
        for name, part in slices.items()
    }


def _open_pickle(path: Path) -> dict[str, Stored]:
    archive = zipfile.is_zipfile(path)  # else the form that torch wrote before 1.6
    if archive:
        _check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        reason = str(error).strip().partition("\n")[0][:200]
        kind = type(error).__name__
        raise ValueError(f"{path}: refused: not plain weights, damaged or cut short ({kind}: {reason})") from error
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path}: expected tensors by name, but it holds a {type(state).__name__} instead")
    for key in _CHECKPOINTS:
        if isinstance(state.get(key), dict):
            raise ValueError(
                f"{path}: a training checkpoint, whose weights stand under {key!r}: save these alone, "
                f"torch.save(torch.load({path.name!r})[{key!r}], {path.name!r}) where you trust the file"
            )
    return {name: _stored(path, name, tensor) for name, tensor in state.items()}


def _check_archive(path: Path) -> None:
    """Refuse compressed entries: sizes could then exceed the file's by any factor."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: damaged or cut short ({error}): copy it again") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(f"{path}: holds compressed entries, which torch never writes: refused")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError(f"{path}: its entries declare more bytes than the file has: refused")


def _stored(path: Path, name: Any, tensor: Any) -> Stored:
    if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
        raise ValueError(f"{path}: {name!r} is not a dense tensor: refused")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"{path}: {name} declares {tuple(tensor.shape)}, more numbers than the file holds: refused")
    known = tensor.dtype in _SAFETENSORS_DTYPES.values()
    return Stored(path, tuple(tensor.shape), tensor.dtype if known else None, lambda: tensor)
