"""The setup of fine-tuning with a head: a body with the head of the kind of task, batches of examples."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.jobs.finetuning import teachers
from gyebo.jobs.finetuning.setup import PARTS, Origin, Setup, TaskPart, bpe_dropout_features, gives_features, longest_row
from gyebo.jobs.model_building import freeze, grow_vocabulary, layers_of, spell_more, with_dropout
from gyebo.models.family import FAMILIES, model_class
from gyebo.models.tree.row import HEAD, Family
from gyebo.tasks.features import ExampleRows
from gyebo.tasks.heads.head import reads_windows
from gyebo.tasks.heads.layer_mix import check_layers
from gyebo.tasks.heads.task_model import TaskModel, add_head
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.relation import with_markers
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.ngram_factors import fit_factors
from gyebo.tasks.ngrams import NgramReading, Ngrams
from gyebo.tasks.objective import TaskObjective
from gyebo.tasks.prediction import predict as predict_examples
from gyebo.tasks.seeing import PictureReading
from gyebo.tasks.splits import TaskData
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.trainer import initial_seed


def build(options: FinetuneOptions, data: TaskData, kind: Kind, *, origin: Origin, device: torch.device) -> Setup:
    """The setup of a body with a head."""
    task, form = data.task, kind.head
    assert form is not None
    tokenizer = with_markers(origin.tokenizer) if task.entity_markers else origin.tokenizer
    length = longest_row(options, task, origin.config.context)
    labels = task.labels if kind.names_classes else None
    pictures = _pictures(options, data, kind, origin)
    ngrams = _ngrams(options, data)
    taught = teachers.taught(options, data, kind)

    def encoded(tokenizer: Tokenizer, part: str = "train") -> Any:
        from_teachers = taught if part == "train" else None
        examples = from_teachers.examples(data.train) if from_teachers else getattr(data, part)
        found = encode(kind.name, examples, tokenizer, labels, length, pictures)
        found = from_teachers.given_to(found) if from_teachers else found
        return ngrams.read(found, examples) if ngrams else found

    features = {part: encoded(tokenizer, part) for part in PARTS}
    count = len(features["train"])
    if options.batch and options.batch > count:
        raise OptionError(f"‹batch›={options.batch} is more than the {count:,} rows of the training examples: lower it")
    batch = min(options.batch or task.batch, count)
    _check_batch(options, origin.family, kind, batch)

    def predict(model: Any, part: str, autocast: Any, quick: bool) -> list[Any]:
        return predict_examples(model, form, features[part], getattr(data, part), autocast=autocast)

    def fit(model: Any, autocast: Any) -> None:
        fit_factors(model, features["valid"], autocast)

    return Setup(
        options=options,
        tasks=(
            TaskPart(
                data=data,
                kind=kind,
                features=features,
                predict=predict,
                longest=dict.fromkeys(PARTS, length),
                fit=fit if ngrams else None,
            ),
        ),
        form=HEAD,
        origin=origin,
        tokenizer=tokenizer,
        make_model=partial(
            _make_model, options, data, kind, origin=origin, tokenizer=tokenizer, pictures=pictures, ngrams=ngrams
        ),
        rows=ExampleRows(features["train"], bpe_dropout_features(options, task, tokenizer, encoded)),
        objective=TaskObjective(form),
        max_length=length,
        batch=batch,
        step_size=f"{batch} examples",
        device=device,
    )


def check_options(options: FinetuneOptions, kind: Kind, family: Family) -> None:
    """ValueError for options that have no effect on models with a head, or on this head, and for a kind of task that needs eyes
    where the family has none."""
    assert kind.head is not None
    if kind.head.sees and not model_class(family.name).sees:
        seeing = [name for name in FAMILIES if model_class(name).sees]
        raise ValueError(
            f"{options.task.name} has pictures, which {family.title} does not see: start from a family that does, e.g. "
            f"{' or '.join(f'{name}:mini' for name in seeing)}"
        )
    if options.ngrams and not kind.head.ngrams:
        raise OptionError(
            f"‹ngrams›={options.ngrams} has no effect on {kind.name}: it is for tasks that give a text a class, several or a "
            "score; leave it out"
        )
    if options.gradient_windows and not reads_windows(kind.head, family.head_style):
        raise OptionError(
            f"‹gradient_windows›={options.gradient_windows} has no effect on {kind.name} with {family.name}, which "
            "does not read in windows: leave it out"
        )
    if changed := options.translation.model_dump(exclude_defaults=True):
        name = next(iter(changed))
        raise OptionError(
            f"‹translation.{name}› has no effect on {options.task.name} with {family.name}, which answers with a head: leave "
            "it out"
        )
    check_features(options, family)


def check_features(options: FinetuneOptions, family: Family) -> None:
    """ValueError for options without effect where the layers of the body are features, and for those with an effect only
    there."""
    check_layers(family.head_style, options.layers)
    if options.layers and scratch(options.model):
        raise OptionError(f"‹layers›={options.layers} selects layers of a pretrained model: leave it out with {options.model}")
    idle = options.without_effect_on_features() if gives_features(options, family) else None
    if idle:
        raise OptionError(f"‹{idle}› has no effect on {family.title}, whose layers are frozen features: leave it out")


def _check_batch(options: FinetuneOptions, family: Family, kind: Kind, batch: int) -> None:
    """ValueError where a head with batch normalization would be trained with single examples or micro-batches."""
    assert kind.head is not None
    if not reads_windows(kind.head, family.head_style):
        return
    if batch < 2:
        raise OptionError(f"‹batch›=1: the head of {family.name} has batch normalization, which needs at least two examples")
    if options.micro_batch and options.micro_batch < batch:
        raise OptionError(
            f"‹micro_batch›={options.micro_batch}: the head of {family.name} has batch normalization over the batch of "
            f"{batch}, so micro-batches would change the result: leave it out, or lower ‹batch›"
        )


def _pictures(options: FinetuneOptions, data: TaskData, kind: Kind, origin: Origin) -> PictureReading | None:
    """How the pictures of the examples are read; None for a kind that sees none."""
    assert kind.head is not None
    reading = origin.pictures() if kind.head.sees else None
    return None if reading is None else replace(reading.settled(data.train), left_out=options.ablate)


def _ngrams(options: FinetuneOptions, data: TaskData) -> NgramReading | None:
    """How the n-grams of the examples are read; None where none are."""
    return NgramReading.of(Ngrams(options.ngrams, data.paired), data.train) if options.ngrams else None


def _make_model(
    options: FinetuneOptions,
    data: TaskData,
    kind: Kind,
    *,
    origin: Origin,
    tokenizer: Tokenizer,
    pictures: PictureReading | None,
    ngrams: NgramReading | None,
) -> TaskModel:
    """The body, with the tokens that the task adds, and a newly initialised head; all randomness comes from the seed."""
    torch.manual_seed(initial_seed(options.seed))
    body = with_dropout(origin.body(), options.body_dropout)
    if body.reads_characters:
        spell_more(body, tokenizer)
    else:
        grow_vocabulary(body, tokenizer.vocab_size)
    labels = data.task.labels if kind.names_classes else None
    style = body.own_head_style or origin.family.head_style
    added = {"dropout": options.dropout, "layers": options.layers, "pictures": pictures, "ngrams": ngrams}
    model = add_head(body, style, kind.name, labels, **added)  # type: ignore[arg-type]
    if options.gradient_windows:
        model.head.windows = options.gradient_windows
    features = gives_features(options, origin.family)
    freeze(model, len(layers_of(model)) - 1 if features else options.optim.freeze)
    return model
