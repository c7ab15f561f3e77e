"""`gyebo attribute`: an attribute model for control, one linear layer on the mean hidden state of a frozen language model.

The language model reads each text once, its start token first; the layer learns from the means. On disk: `attribute.json` with
the classes and the identity of the language model and its tokenizer, whose hidden states alone it understands, and
`attribute.safetensors`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gyebo.config import durable
from gyebo.config.attribute import AttributeOptions
from gyebo.generation.pplm import Discriminator, Strength
from gyebo.interchange import load
from gyebo.interchange.files import read_json
from gyebo.jobs import identity, places, run_directory
from gyebo.jobs.written import ATTRIBUTE, ATTRIBUTE_WEIGHTS
from gyebo.nn.pooling import mean_token
from gyebo.tasks.splits import TaskData, read_task
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import make_ready, pick_device

FORMAT = 1
READ_AT_ONCE = 64  # texts
PARTS = ("train", "valid", "test")


def train_attribute(
    options: AttributeOptions, out: Path, *, overwrite: bool = False, report: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train an attribute model and write it to `out`; returns what `attribute.json` holds. `report`: called with what is being
    done. Raises ValueError for a task that is no classification of single texts, and for a model that can't be steered."""
    device = pick_device(options.device)
    make_ready(device)
    data = read_task(options.task)
    _check_task(data)
    model, tokenizer = load(options.model)
    if tokenizer is None:
        raise ValueError(f"{options.model} has no tokenizer")
    if not (model.generates and model.steers):
        raise ValueError(f"{options.model}: a {model.title} can't be steered: an attribute model would be of no use")
    run_directory.refuse_to_replace(out, (options.model, options.task.data, options.task.test))
    with run_directory.claim(out, resume=False, overwrite=overwrite, kind=ATTRIBUTE):
        return _train(options, data, model, tokenizer, out, device, report)


def _check_task(data: TaskData) -> None:
    task = data.task
    if task.kind != "classification" or data.paired or task.entity_markers:
        raise ValueError(f"{task.name}: an attribute is a class of single texts, but this is {task.kind} of another form")


def _train(
    options: AttributeOptions,
    data: TaskData,
    model: Any,
    tokenizer: Tokenizer,
    out: Path,
    device: torch.device,
    report: Callable[[str], None],
) -> dict[str, Any]:
    start, labels = time.perf_counter(), list(data.task.labels or ())
    owner = {"weights": identity.digest(model), "tokenizer": tokenizer.fingerprint}
    model = model.eval().to(device)
    vectors, classes, cut = {}, {}, 0
    most = min(options.max_length, model.config.context)
    for part in PARTS:
        examples = getattr(data, part)
        report(f"reading {len(examples):,} texts ({part})")
        rows, longer = _rows([example.text for example in examples], model.config, tokenizer, most)
        vectors[part], cut = mean_hidden(model, rows), cut + longer
        classes[part] = torch.tensor([labels.index(str(example.label)) for example in examples])
    report("training")
    layer = fit(vectors["train"], classes["train"], len(labels), options)
    with torch.no_grad():
        accuracy = {part: _accuracy(layer, vectors[part], classes[part]) for part in PARTS[1:]}
    notes = [
        *data.notes,
        *([f"{cut:,} texts have more than {most} tokens: their beginning was read"] * (cut > 0)),
    ]
    record = {
        "format": FORMAT,
        "labels": labels,
        "width": model.config.width,
        **owner,
        "accuracy": accuracy,
        "measured": data.measured,
        "examples": {part: len(classes[part]) for part in PARTS},
        "seconds": round(time.perf_counter() - start, 1),
        "notes": notes,
        "options": places.published(options).model_dump(mode="json"),
        "versions": run_directory.versions(),
    }
    with durable.replacing(out / ATTRIBUTE_WEIGHTS) as aside:
        save_file({"weight": layer.weight.detach(), "bias": layer.bias.detach()}, aside)
    durable.write(out / ATTRIBUTE, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    run_directory.started(out)
    return record


def _rows(texts: Sequence[str], config: Any, tokenizer: Tokenizer, most: int) -> tuple[list[list[int]], int]:
    """The ids of texts as generation reads them, and how many texts are cut to `most` tokens."""
    start = [] if config.bos_id is None else [config.bos_id]
    rows = [start + ids for ids in tokenizer.encode_batch(texts)]
    return [row[:most] for row in rows], sum(len(row) > most for row in rows)


@torch.no_grad()
def mean_hidden(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """The mean of each text's last hidden states, [N, D] in float32 on the CPU, for texts as lists of ids; 0 without ids."""
    device = next(iter(model.parameters())).device
    found = torch.zeros(len(rows), model.config.width)
    order = sorted((number for number, row in enumerate(rows) if row), key=lambda number: len(rows[number]))
    for start in range(0, len(order), READ_AT_ONCE):
        numbers = order[start : start + READ_AT_ONCE]
        longest = len(rows[numbers[-1]])
        ids = torch.zeros(len(numbers), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, number in enumerate(numbers):
            ids[place, : len(rows[number])], mask[place, : len(rows[number])] = torch.tensor(rows[number]), 1
        ids, mask = ids.to(device), mask.to(device)
        found[numbers] = mean_token(model.encode(ids, mask).hidden.float(), mask).cpu()
    return found


def fit(vectors: Tensor, classes: Tensor, labels: int, options: AttributeOptions) -> nn.Linear:
    """The linear layer that Adam learns from vectors [N, D] and their classes [N], in an order that follows from the seed."""
    random = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        layer = nn.Linear(vectors.shape[1], labels)
    optimizer = torch.optim.Adam(layer.parameters(), lr=options.lr)
    for _ in range(options.epochs):
        for batch in torch.randperm(len(vectors), generator=random).split(options.batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(layer(vectors[batch]), classes[batch]).backward()
            optimizer.step()
    return layer


def _accuracy(layer: nn.Linear, vectors: Tensor, classes: Tensor) -> float:
    return round(float((layer(vectors).argmax(1) == classes).double().mean()), 4)


def open_attribute(
    folder: str | Path, label: str, strength: Strength, *, config: Any, tokenizer: Tokenizer, weights: str
) -> Discriminator:
    """The discriminator of a class from a directory that `train_attribute` wrote, for a language model of that config,
    tokenizer and digest of its weights; ValueError where it belongs to another, or has no such class."""
    folder = Path(folder)
    if not (folder / ATTRIBUTE).is_file():
        raise FileNotFoundError(f"{folder}: no attribute model here (no {ATTRIBUTE}): train one with gyebo attribute")
    record = read_json(folder / ATTRIBUTE)
    if record.get("format") != FORMAT:
        raise ValueError(f"{folder / ATTRIBUTE}: its format is {record.get('format')!r}, but this version reads {FORMAT}")
    given = {"width": config.width, "tokenizer": tokenizer.fingerprint, "weights": weights}
    words = {"width": "width {} instead of {}", "tokenizer": "another tokenizer", "weights": "other weights"}
    if wrong := next((name for name in given if record.get(name) != given[name]), None):
        what = words[wrong].format(record.get(wrong), given[wrong])
        raise ValueError(f"{folder} was trained for a model with {what}: train one for this model")
    labels = record["labels"]
    if label not in labels:
        raise ValueError(f"{folder} has no class {label!r}; it has: {', '.join(labels)}")
    path = folder / ATTRIBUTE_WEIGHTS
    try:
        tensors = load_file(path)
        weight, bias = tensors["weight"], tensors["bias"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is missing or damaged ({error}): train it again") from None
    if weight.shape != (len(labels), config.width) or bias.shape != (len(labels),):
        raise ValueError(f"{path} holds other shapes than {ATTRIBUTE} says: train it again")
    return Discriminator(weight, bias, labels.index(label), strength)
