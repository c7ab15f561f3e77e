"""The setup of fine-tuning a model that writes its answers: tokenizer of both sides, batches by tokens, beam search."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, TranslationOptions, scratch
from gyebo.jobs.finetuning.setup import PARTS, Origin, Setup, bpe_dropout_features, longest_row
from gyebo.jobs.model_building import freeze, with_dropout
from gyebo.models.family import TEXT, Family
from gyebo.objectives.source_target import TargetLoss
from gyebo.tasks import text_answers
from gyebo.tasks.features import ExampleRows, token_groups
from gyebo.tasks.kinds.kind import Kind, TaskTexts
from gyebo.tasks.splits import TaskData
from gyebo.tasks.text_task import TextTask
from gyebo.tasks.wording import text_task
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer, train_translation_tokenizer
from gyebo.training.trainer import initial_seed

SAMPLES_SHOWN = 2  # at each evaluation


def form_of(data: TaskData, kind: Kind, family: Family) -> TaskTexts:
    """The task as text."""
    assert kind.text is not None
    return kind.text.of(text_task(data.task, data.train, prefixes=family.prefixes))


def train_pair_tokenizer(asked: TranslationOptions, data: TaskData, form: TaskTexts, ids: int) -> Tokenizer:
    """Train a byte-level BPE on sources and targets of the training examples, or one on each, and note it. `ids`: default size
    of the vocabulary."""
    size, sources = asked.vocab_size or ids, [form.source(example) for example in data.train]
    targets = [text_answers.target_of(form, example) for example in data.train]
    if asked.separate:
        tokenizer: Tokenizer = train_translation_tokenizer(sources, targets, size)
        what = f"one byte-level BPE for the source and one for the target, {tokenizer.vocab_size:,} ids in total"
    else:
        tokenizer = train_tokenizer((text for pair in zip(sources, targets) for text in pair), "bpe", size)
        what = f"one byte-level BPE for source and target with {tokenizer.vocab_size:,} ids"
    data.notes.append(f"no tokenizer given: {what}, trained on the training examples")
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
    if options.batch and asked.batch_tokens != TranslationOptions.model_fields["batch_tokens"].default:
        raise OptionError(
            f"‹batch›={options.batch} and ‹translation.batch_tokens›={asked.batch_tokens} exclude each other: keep one"
        )
    if options.micro_batch and not options.batch:
        raise OptionError(f"‹micro_batch›={options.micro_batch} has no effect without ‹batch›: a step is measured in tokens")


def build(options: FinetuneOptions, data: TaskData, kind: Kind, *, origin: Origin, device: torch.device) -> Setup:
    """The setup of a model that writes its answers."""
    asked, tokenizer, task, form = options.translation, origin.tokenizer, data.task, form_of(data, kind, origin.family)
    if "eos" not in tokenizer.role_ids:
        raise ValueError(
            f"the tokenizer of {options.tokenizer or options.model} has no token (eos) that ends a generated answer"
        )
    if asked.coverage_penalty and not origin.config.attends_source:
        raise OptionError(
            f"‹translation.coverage_penalty›={asked.coverage_penalty:g} has no effect: {options.model} has no attention"
        )
    context, length = origin.config.context, longest_row(options, task, origin.config.context)
    encode = partial(text_answers.encode, form, start=origin.config.first_id, first=origin.config.forced_ids[0])
    longest = length if form.cut else context  # of a row that is no training row
    features = {part: encode(getattr(data, part), tokenizer, max_length=longest) for part in PARTS[1:]}
    features = {"train": encode(data.train, tokenizer, max_length=length, skip_long=True), **features}
    kept = [data.train[number] for number in features["train"].example]
    # Under BPE-dropout an example has more tokens; if they are too many, it is encoded without.
    encoded = partial(encode, kept, max_length=longest, fallback=tokenizer)
    of_epoch = bpe_dropout_features(options, task, tokenizer, encoded)
    search = text_answers.search_options(asked.beams, asked.length_penalty, asked.coverage_penalty)

    def predict(model: Any, part: str, autocast: Any, quick: bool) -> list[Any]:
        found = text_answers.search_options(1) if quick else search
        examples = getattr(data, part)
        return text_answers.predict(form, model, features[part], examples, options=found, empty=kind.empty, autocast=autocast)

    def sample(predictions: list[Any]) -> list[str]:
        return [f"{form.source(each)} -> {found}" for each, found in zip(data.valid, predictions[:SAMPLES_SHOWN])]

    if options.batch and options.batch > len(kept):
        raise OptionError(f"‹batch›={options.batch} is more than the {len(kept):,} training examples: lower it")
    groups = None if options.batch else token_groups(features["train"], asked.batch_tokens)
    return Setup(
        options=options,
        data=data,
        kind=kind,
        form=TEXT,
        texts=form,
        origin=origin,
        tokenizer=tokenizer,
        make_model=partial(_make_model, options, form.task, origin),
        features=features,
        rows=ExampleRows(features["train"], of_epoch, groups),
        objective=TargetLoss("task", asked.smoothing),
        predict=predict,
        max_length=length,
        longest={"train": length, "valid": longest, "test": longest},
        batch=options.batch or 1,
        step_size=f"{options.batch} examples" if options.batch else f"{asked.batch_tokens:,} tokens",
        device=device,
        averaged=asked.average,
        sample=sample,
    )


def _make_model(options: FinetuneOptions, task: TextTask, origin: Origin) -> Any:
    """The model; all randomness comes from the seed."""
    torch.manual_seed(initial_seed(options.seed))
    model = with_dropout(origin.body(), options.body_dropout)
    model.tasks = (task,)
    freeze(model, options.optim.freeze)
    return model
