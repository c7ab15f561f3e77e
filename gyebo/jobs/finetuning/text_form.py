"""The setup of fine-tuning a model that writes its answers: tokenizer of both sides, batches by tokens or of several tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, TranslationOptions, scratch
from gyebo.jobs.finetuning.setup import PARTS, Origin, Setup, TaskPart, bpe_dropout_features, longest_row
from gyebo.jobs.model_building import freeze, with_dropout
from gyebo.models import family as tree
from gyebo.models.tree.row import TEXT
from gyebo.objectives.source_target import TargetLoss
from gyebo.tasks import text_answers
from gyebo.tasks.features import ExampleRows, Features, token_groups
from gyebo.tasks.kinds.kind import Kind, TaskTexts
from gyebo.tasks.mixing import MixedRows, joined, mixing_rates
from gyebo.tasks.reading import Reader, reader_of
from gyebo.tasks.splits import TaskData
from gyebo.tasks.text_task import TextTask
from gyebo.tasks.wording import text_task
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer, train_translation_tokenizer
from gyebo.training.trainer import initial_seed

SAMPLES_SHOWN = 2  # at each evaluation


def form_of(data: TaskData, kind: Kind, *, prefixes: bool) -> TaskTexts:
    """The task as text."""
    assert kind.text is not None
    return kind.text.of(text_task(data.task, data.train, prefixes=prefixes))


def train_pair_tokenizer(
    asked: TranslationOptions, tasks: Sequence[tuple[TaskData, Kind]], ids: int, *, prefixes: bool
) -> Tokenizer:
    """Train a byte-level BPE on sources and targets of the training examples, or one on each, and note it. `ids`: default size
    of the vocabulary."""
    known = [(form_of(data, kind, prefixes=prefixes), example) for data, kind in tasks for example in data.train]
    size, pairs = asked.vocab_size or ids, [(form.texts_read(each), text_answers.target_of(form, each)) for form, each in known]
    if asked.separate:
        sources, targets = [text for read, _ in pairs for text in read], [target for _, target in pairs]
        tokenizer: Tokenizer = train_translation_tokenizer(sources, targets, size)
        what = f"one byte-level BPE for the source and one for the target, {tokenizer.vocab_size:,} ids in total"
    else:
        tokenizer = train_tokenizer((text for read, target in pairs for text in (*read, target)), "bpe", size)
        what = f"one byte-level BPE for source and target with {tokenizer.vocab_size:,} ids"
    tasks[0][0].notes.append(f"no tokenizer given: {what}, trained on the training examples")
    return tokenizer


def check_options(options: FinetuneOptions) -> None:
    """ValueError for options that have no effect on models that write their answers."""
    asked = options.translation
    for name, given in (("vocab_size", asked.vocab_size), ("separate", asked.separate)):
        if given and not scratch(options.model):
            raise OptionError(f"‹translation.{name}› has no effect on {options.model}, which has a tokenizer: leave it out")
    if idle := options.without_effect_on_text():
        better = "use ‹body_dropout›" if idle == "dropout" else "leave it out"
        raise OptionError(f"‹{idle}› is for task heads, but {options.model} answers {options.task.name} by text: {better}")
    if options.distil.teachers:
        raise OptionError(
            f"‹distil.teachers› is for task heads, but {options.model} answers {options.task.name} by text: leave it out"
        )
    if options.batch and asked.batch_tokens != TranslationOptions.model_fields["batch_tokens"].default:
        raise OptionError(
            f"‹batch›={options.batch} and ‹translation.batch_tokens›={asked.batch_tokens} exclude each other: keep one"
        )
    if options.micro_batch and not options.batch:
        raise OptionError(f"‹micro_batch›={options.micro_batch} has no effect without ‹batch›: a step is measured in tokens")


def build(options: FinetuneOptions, tasks: Sequence[tuple[TaskData, Kind]], *, origin: Origin, device: torch.device) -> Setup:
    """The setup of a model that writes its answers to one task or several."""
    asked, tokenizer = options.translation, origin.tokenizer
    if "eos" not in tokenizer.role_ids:
        raise ValueError(
            f"the tokenizer of {options.tokenizer or options.model} has no token (eos) that ends a generated answer"
        )
    reader = reader_of(tree.model_class(origin.family.name), origin.config)
    if reader.alone:
        _check_decoder(options, origin)
    elif asked.coverage_penalty and not origin.config.attends_source:
        raise OptionError(
            f"‹translation.coverage_penalty›={asked.coverage_penalty:g} has no effect: {options.model} has no attention"
        )
    prefixes = origin.family.prefixes or len(tasks) > 1
    parts = tuple(_part(options, data, kind, prefixes=prefixes, origin=origin, reader=reader) for data, kind in tasks)
    _check_told_apart(parts)
    rows = _rows(options, parts[0], origin, reader) if len(parts) == 1 else _mixed(options, parts)
    most = sum(len(part.features["train"]) for part in parts)
    if options.batch and options.batch > most:
        raise OptionError(f"‹batch›={options.batch} is more than the {most:,} training examples: lower it")
    batch = options.batch or (1 if len(parts) == 1 else min(most, parts[0].data.task.batch))
    by_tokens = len(parts) == 1 and not options.batch
    return Setup(
        options=options,
        tasks=parts,
        form=TEXT,
        origin=origin,
        tokenizer=tokenizer,
        make_model=partial(_make_model, options, tuple(part.texts.task for part in parts if part.texts), origin),
        rows=rows,
        objective=TargetLoss("task", asked.smoothing),
        max_length=max(part.longest["train"] for part in parts),
        batch=batch,
        step_size=f"{asked.batch_tokens:,} tokens" if by_tokens else f"{batch} examples",
        by_tokens=by_tokens,
        device=device,
        averaged=asked.average,
        rates={} if isinstance(rows, ExampleRows) else dict(zip((part.name for part in parts), rows.rates.tolist())),
    )


def _check_decoder(options: FinetuneOptions, origin: Origin) -> None:
    """ValueError for what a decoder alone can't do, which reads source and answer with one vocabulary in one row."""
    asked, tokenizer = options.translation, origin.tokenizer
    if asked.separate or tokenizer.target is not tokenizer:
        raise OptionError(
            f"‹translation.separate›: {options.model} reads source and answer in one row, with one vocabulary: leave it out"
        )
    if asked.coverage_penalty:
        raise OptionError(
            f"‹translation.coverage_penalty›={asked.coverage_penalty:g} has no effect: {options.model} has no attention to a "
            "source of its own"
        )
    if asked.smoothing and tree.model_class(origin.family.name).has_clusters and origin.config.cutoffs:
        raise OptionError(
            f"‹translation.smoothing›={asked.smoothing:g} is not defined for the adaptive softmax of {options.model}: set "
            "it to 0"
        )


def _part(options: FinetuneOptions, data: TaskData, kind: Kind, *, prefixes: bool, origin: Origin, reader: Reader) -> TaskPart:
    """A task with its examples as rows, and how it is predicted."""
    asked, tokenizer, form = options.translation, origin.tokenizer, form_of(data, kind, prefixes=prefixes)
    length = longest_row(options, data.task, reader.context)
    encode = partial(text_answers.encode, form, reader=reader)
    longest = length if form.shortens else reader.context  # of a row that is no training row
    features = {part: encode(getattr(data, part), tokenizer, max_length=longest) for part in PARTS[1:]}
    features = {"train": encode(data.train, tokenizer, max_length=length, skip_long=True), **features}
    data.notes.extend(_left_out(features, reader.longest(length)))
    search = text_answers.search_options(asked.beams, asked.length_penalty, asked.coverage_penalty)

    def predict(model: Any, part: str, autocast: Any, quick: bool) -> list[Any]:
        own, found = features[part], text_answers.search_options(1) if quick else search
        examples = getattr(data, part)
        written = examples[:SAMPLES_SHOWN] if quick and form.scored else examples
        answers = text_answers.predict(form, model, own, written, options=found, empty=kind.empty, autocast=autocast)
        return text_answers.scored(form, model, own, examples, answers, autocast=autocast) if form.scored else answers

    def sample(predictions: list[Any]) -> list[str]:
        shown = zip(data.valid, predictions[:SAMPLES_SHOWN])
        return [f"{' / '.join(form.texts_read(each))} -> {found}" for each, found in shown]

    return TaskPart(
        data=data,
        kind=kind,
        features=features,
        predict=predict,
        longest={"train": length, "valid": longest, "test": longest},
        texts=form,
        sample=sample,
    )


def _left_out(features: Mapping[str, Features], longest: int) -> list[str]:
    """What of dialogues is not read, a line for each set in which something is left out."""
    called = {"train": "training", "valid": "validation", "test": "test"}
    said = ((called[part], own.notes["dropped"].said(longest)) for part, own in features.items())
    return [f"{name} examples: {line}" for name, line in said if line]


def _rows(options: FinetuneOptions, part: TaskPart, origin: Origin, reader: Reader) -> ExampleRows:
    """The training rows of one task, in groups of similar lengths where a step is measured in tokens."""
    assert part.texts is not None
    features, tokenizer = part.features["train"], origin.tokenizer
    kept = [part.data.train[number] for number in features.example]
    longest = part.longest["train"] if part.texts.shortens else reader.context
    # Under BPE-dropout an example has more tokens; if they are too many, it is encoded without.
    encoded = partial(text_answers.encode, part.texts, kept, reader=reader, max_length=longest, fallback=tokenizer)
    of_epoch = bpe_dropout_features(options, part.data.task, tokenizer, encoded)
    groups = None if options.batch else token_groups(features, options.translation.batch_tokens)
    return ExampleRows(features, of_epoch, groups)


def _mixed(options: FinetuneOptions, parts: Sequence[TaskPart]) -> MixedRows:
    """The training rows of several tasks as a mixture; an epoch draws as many as there are rows, of a task at most `limit`."""
    features, asked = [part.features["train"] for part in parts], options.mixing
    if empty := next((part.name for part, own in zip(parts, features) if not len(own)), None):
        raise OptionError(f"{empty}: no training example is short enough: raise ‹max_length›")
    sizes = tuple(len(own) for own in features)
    rates = mixing_rates(sizes, by=asked.by, limit=asked.limit, temperature=asked.temperature)
    return MixedRows(joined(features), sizes, rates, sum(min(size, asked.limit or size) for size in sizes))


def _check_told_apart(parts: Sequence[TaskPart]) -> None:
    """ValueError for two tasks of one name, or that can't be told apart by what is read."""
    for number, part in enumerate(parts):
        for other in parts[:number]:
            if part.name == other.name:
                raise OptionError(f"‹task.name›: {part.name} is named twice: name each task once")
            assert part.texts and other.texts
            one, two = part.texts.task, other.texts.task
            if (one.prefix, one.columns) == (two.prefix, two.columns):
                raise ValueError(f"{part.name} and {other.name} are read alike ({one.columns[0][1]}: ...): leave one out")


def _make_model(options: FinetuneOptions, tasks: tuple[TextTask, ...], origin: Origin) -> Any:
    """The model; all randomness comes from the seed."""
    torch.manual_seed(initial_seed(options.seed))
    model = with_dropout(origin.body(), options.body_dropout)
    if "lm" not in model.heads:
        raise ValueError(
            f"{options.model} was fine-tuned with a task head and has no output layer to write with: start from the pretrained "
            "model"
        )
    model.tasks = tasks
    freeze(model, options.optim.freeze)
    return model
