"""What learning to translate is made of: both languages' tokenizer, batches of pairs, the search."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from gyebo.config.finetune import FinetuneOptions, TranslationOptions
from gyebo.jobs.finetuning.setup import Origin, Setup, learning_rate, longest_row, steps_of, with_dropped_merges
from gyebo.jobs.model_building import freeze, with_dropout
from gyebo.objectives.translation import Translation
from gyebo.tasks.kinds import translation
from gyebo.tasks.splits import TaskData
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer, train_two_sided
from gyebo.training.trainer import initial_seed


def learn_tokenizer(asked: TranslationOptions, data: TaskData, ids: int) -> Tokenizer:
    """A byte-level BPE from both sides of the training pairs, or one from each, with so many ids in all unless told otherwise;
    said in the notes."""
    size, sources = asked.vocab_size or ids, [example.text for example in data.train]
    targets = [str(example.label) for example in data.train]
    if asked.separate:
        tokenizer: Tokenizer = train_two_sided(sources, targets, size)
        what = f"each language has a byte-level BPE of its own, over {tokenizer.vocab_size:,} ids together"
    else:
        tokenizer = train_tokenizer((text for pair in zip(sources, targets) for text in pair), "bpe", size)
        what = f"both languages share a byte-level BPE with {tokenizer.vocab_size:,} ids"
    data.notes.append(f"no --tokenizer given: {what}, learned from the pairs")
    return tokenizer


def set_up_pairs(options: FinetuneOptions, data: TaskData, origin: Origin, device: torch.device) -> Setup:
    """What learning to translate is made of."""
    asked, tokenizer, task = options.translation, origin.tokenizer, data.task
    if "eos" not in tokenizer.role_ids:
        raise ValueError(f"the tokenizer of {options.tokenizer or options.model} names no end (eos), which a translation needs")
    if asked.coverage_penalty and not origin.config.attends_source:
        raise ValueError(
            f"--set translation.coverage_penalty={asked.coverage_penalty:g} has no effect: {options.model} has no attention"
        )
    context, start = origin.config.context, origin.config.first_id
    length = longest_row(options, task, context)
    features = {
        "train": translation.encode(data.train, tokenizer, length, start, drop=True),
        "valid": translation.encode(data.valid, tokenizer, context, start),
        "test": translation.encode(data.test, tokenizer, context, start),
    }
    kept = [data.train[number] for number in features["train"].example]
    # Under BPE-dropout a pair has more pieces; what the model could not read any more stays in those that fitted.
    encoded = partial(translation.encode, kept, max_length=context, start=start, plain=tokenizer)
    again = with_dropped_merges(options, task, tokenizer, encoded)
    rows = translation.pair_rows(features["train"], asked.batch_tokens, again)
    return Setup(
        options,
        data,
        origin.family,
        tokenizer,
        partial(_make_translator, options, origin),
        features,
        rows,
        Translation(asked.smoothing),
        length,
        1,
        steps_of(options, task, len(rows)),
        learning_rate(options, task, origin),
        device,
        context,
        translation.search_options(asked.beams, asked.length_penalty, asked.coverage_penalty),
    )


def _make_translator(options: FinetuneOptions, origin: Origin) -> Any:
    """The model; all randomness from the seed."""
    torch.manual_seed(initial_seed(options.seed))
    model = with_dropout(origin.body(), options.body_dropout)
    freeze(model, options.optim.freeze)
    return model
