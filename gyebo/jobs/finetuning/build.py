"""What a fine-tuning is made of, from its options: examples, tokenizer, a model with its head, rows and steps."""

from __future__ import annotations

from functools import partial

import torch

from gyebo.config.finetune import FinetuneOptions, TranslationOptions, idle_on_features, scratch
from gyebo.interchange import load
from gyebo.jobs.finetuning.build_translation import learn_tokenizer, set_up_pairs
from gyebo.jobs.finetuning.setup import (
    PARTS,
    Origin,
    Setup,
    gives_features,
    learning_rate,
    longest_row,
    steps_of,
    with_dropped_merges,
)
from gyebo.jobs.model_building import freeze, grow_vocabulary, layers_of, shaped, spell_more, with_dropout, with_pieces
from gyebo.models import family as tree
from gyebo.objectives.table import OBJECTIVES
from gyebo.tasks.features import ExampleRows
from gyebo.tasks.heads.layer_mix import check_layers
from gyebo.tasks.heads.styles import reads_windows
from gyebo.tasks.heads.task_model import TaskModel, add_head, body_of
from gyebo.tasks.kinds import translation
from gyebo.tasks.kinds.relation import with_markers
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.objective import TaskObjective
from gyebo.tasks.splits import TaskData, open_task, read_task
from gyebo.tasks.task import NAMED, Task
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED
from gyebo.training.device import make_ready, pick_device
from gyebo.training.trainer import initial_seed


def with_defaults(options: FinetuneOptions, family: str | None) -> FinetuneOptions:
    """The options with those of the family's own way of fine-tuning, where nothing else was asked for."""
    if family is None:
        return options
    tuning = tree.find(family).tuning
    own = {name: value for name, value in tuning.items() if name != "optim" and name not in options.model_fields_set}
    optim = {name: value for name, value in tuning.get("optim", {}).items() if name not in options.optim.model_fields_set}
    return options.model_copy(update={**own, "optim": options.optim.model_copy(update=optim)})


def set_up(options: FinetuneOptions) -> Setup:
    """Examples, tokenizer, model and features; ValueError names what doesn't fit together."""
    device = pick_device(options.device)
    make_ready(device)
    if open_task(options.task).kind == "dialogue-state":
        raise ValueError(f"{options.task.name} can be read and scored, but not fine-tuned: it has no head")
    data = read_task(options.task)
    task = data.task
    origin = _fresh(options, data, *named) if (named := scratch(options.model)) else _pretrained(options.model)
    _check_kind(options, task, origin.family)
    check_features(options, origin.family)
    if task.kind == translation.KIND:
        return set_up_pairs(options, data, origin, device)
    tokenizer = with_markers(origin.tokenizer) if task.marked else origin.tokenizer
    length = longest_row(options, task, origin.config.context)
    labels = task.labels if task.kind in NAMED else None
    features = {part: encode(task.kind, getattr(data, part), tokenizer, labels, length) for part in PARTS}
    count = len(features["train"])
    if options.batch and options.batch > count:
        raise ValueError(f"--batch {options.batch} is more than the {count:,} rows of the examples to learn from: lower it")
    batch = min(options.batch or task.batch, count)
    _refuse_parts(options, origin.family, task, batch)
    encoded = partial(encode, task.kind, data.train, labels=labels, max_length=length)
    return Setup(
        options,
        data,
        origin.family,
        tokenizer,
        partial(_make_model, options, origin, task, tokenizer),
        features,
        ExampleRows(features["train"], with_dropped_merges(options, task, tokenizer, encoded)),
        TaskObjective(task.kind),
        length,
        batch,
        steps_of(options, task, count / batch),
        learning_rate(options, task, origin),
        device,
        origin.config.context,
    )


def _refuse_parts(options: FinetuneOptions, family: tree.Family, task: Task, batch: int) -> None:
    """ValueError where a head with norms over the batch would learn from less than that."""
    if not reads_windows(family.head_style, head_kind(task.kind)):
        return
    if batch < 2:
        raise ValueError(f"--batch 1: the head of {family.name} has norms over the batch, which needs two examples or more")
    if options.micro_batch and options.micro_batch < batch:
        raise ValueError(
            f"--set micro_batch={options.micro_batch}: the head of {family.name} has norms over the batch of {batch}, of which "
            "parts would learn something else: leave it out, or lower --batch"
        )


def head_kind(kind: str) -> str:
    """The kind of the head for a kind of task."""
    return "classification" if kind == "regression" else kind


def _check_kind(options: FinetuneOptions, task: Task, family: tree.Family) -> None:
    """ValueError where a family can't learn a task, or an option has no effect on it."""
    translates = OBJECTIVES[family.objective].pairs
    if translates != (task.kind == translation.KIND):
        does = "translates, and has no head for" if translates else "does not translate, as"
        better = "an encoder, as bert:mini" if translates else "one that does, as transformer:mini"
        raise ValueError(f"{options.model} {does} {task.name} ({task.kind}): start from {better}")
    if options.gradient_windows and not reads_windows(family.head_style, head_kind(task.kind)):
        raise ValueError(
            f"--set gradient_windows={options.gradient_windows} has no effect on {task.kind} with {family.name}, which reads "
            "in no windows: leave it out"
        )
    if not translates and options.translation != TranslationOptions():
        raise ValueError(f"--set translation... has no effect on {task.name}, which is {task.kind}: leave it out")
    if translates:
        asked = options.translation
        for name, given in (("vocab_size", asked.vocab_size), ("separate", asked.separate)):
            if given and not scratch(options.model):
                raise ValueError(
                    f"--set translation.{name} has no effect on {options.model}, which has a tokenizer: leave it out"
                )
        for name in ("batch", "micro_batch"):
            if getattr(options, name) is not None:
                flag = "--batch" if name == "batch" else "--set micro_batch"
                raise ValueError(f"{flag} has no effect on a translation: use --set translation.batch_tokens")
        if options.dropout != FinetuneOptions.model_fields["dropout"].default:
            raise ValueError("--set dropout is that of a head, which a translation has not: use --set body_dropout")


def check_features(options: FinetuneOptions, family: tree.Family) -> None:
    """ValueError for options that mean nothing where the body gives features, and for those that mean something there only."""
    check_layers(family.head_style, options.layers)
    if options.layers and scratch(options.model):
        raise ValueError(
            f"layers = {options.layers!r} chooses among the layers of a trained model: leave it out with {options.model}"
        )
    idle = idle_on_features(options) if gives_features(options, family) else None
    if idle:
        raise ValueError(
            f"{idle} has no effect on {family.title}: its layers are features, which stay as they are; leave it out"
        )


def _fresh(options: FinetuneOptions, data: TaskData, name: str, size: str) -> Origin:
    """A size of a family, whose weights are drawn."""
    family = tree.find(name)
    tree.find_size(family, size)
    _check_kind(options, data.task, family)
    cls = tree.model_class(name)
    tokenizer = _tokenizer(options, data, cls.sizes[size].vocab_size).for_family(roles_of(family))
    longer = options.max_length if OBJECTIVES[family.objective].pairs else None  # neither has a table of positions
    context = max(longer or 0, cls.sizes[size].context)
    config = shaped(cls.sizes[size], options.shape, tokenizer, context=context, section="shape")
    return Origin(family, tokenizer, config, lambda: with_pieces(cls(config), tokenizer))


def _tokenizer(options: FinetuneOptions, data: TaskData, ids: int) -> Tokenizer:
    """The tokenizer that is named; of a translation else what is learned from the training pairs."""
    if options.tokenizer:
        for name, value in (("vocab_size", options.translation.vocab_size), ("separate", options.translation.separate or None)):
            if value is not None:
                raise ValueError(f"--set translation.{name}={value} has no effect beside --tokenizer: leave one out")
        return Tokenizer.load(options.tokenizer)
    if data.task.kind != translation.KIND:
        raise ValueError(f"{options.model} starts from scratch and needs a tokenizer: --tokenizer DIR (a trained run will do)")
    return learn_tokenizer(options.translation, data, ids)


def _pretrained(name: str) -> Origin:
    """A trained model; of one that was fine-tuned already the body, without its head."""
    opened, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    family = tree.find(opened.family)
    if tokenizer.kind == PUBLISHED and family.head_style == "last":  # what stands between two texts, where it names nothing
        tokenizer = tokenizer.for_family(roles_of(family))
    return Origin(family, tokenizer, opened.config, lambda: body_of(load(name)[0]))


def _make_model(options: FinetuneOptions, origin: Origin, task: Task, tokenizer: Tokenizer) -> TaskModel:
    """The body, with what the task adds to the vocabulary, and a fresh head; all randomness from the seed."""
    kind = head_kind(task.kind)
    labels = {"regression": 1, "spans": None, "choice": None}.get(task.kind, task.labels)
    problem = "regression" if task.kind == "regression" else None
    torch.manual_seed(initial_seed(options.seed))
    body = with_dropout(origin.body(), options.body_dropout)
    if body.reads_characters:
        spell_more(body, tokenizer)
    else:
        grow_vocabulary(body, tokenizer.vocab_size)
    model = add_head(body, origin.family.head_style, kind, labels, options.dropout, problem, options.layers)
    if options.gradient_windows:
        model.head.windows = options.gradient_windows
    features = gives_features(options, origin.family)
    freeze(model, len(layers_of(model)) - 1 if features else options.optim.freeze)
    return model
