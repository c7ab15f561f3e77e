"""A training run from its options: corpus, tokenizer, model, objective, rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.data.batches import Rows
from gyebo.data.lanes import Lanes, lanes
from gyebo.data.plan import Plan
from gyebo.data.shards import Prepared
from gyebo.data.streams import streams_of
from gyebo.interchange import load
from gyebo.jobs.model_building import dropouts, longest_read, shaped, shaped_for_pictures, with_layers_of, with_pieces
from gyebo.jobs.objective_building import build_objective, chosen, held_out_rows, options_of
from gyebo.jobs.picture_codes import codes_of
from gyebo.jobs.pretraining import picture_tokenizer
from gyebo.jobs.pretraining.corpus import open_data, refuse_without_pictures
from gyebo.jobs.pretraining.pictures import check_for_pictures, sized
from gyebo.jobs.pretraining.setup import Setup
from gyebo.models import family as tree
from gyebo.models.tree.row import Family
from gyebo.objectives.distillation import start_from_teacher
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.objective import Objective, Setting
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.training import distributed
from gyebo.training.device import make_ready, pick_device
from gyebo.training.trainer import initial_seed

Opened = tuple[Any, Tokenizer | None] | None  # a model that a run starts from or learns from, with its tokenizer


def set_up(options: RunOptions, out: Path, console: Console | None) -> Setup:
    """Corpus, tokenizer, model and rows of a run. ValueError names what doesn't fit together."""
    family = tree.find(options.family)
    options = options.model_copy(update={"family": family.name})
    facts, cls = chosen(family, options.objective, teacher=options.teacher is not None), tree.model_class(family.name)
    device = pick_device(options.train.device)
    make_ready(device)
    options, opened = _started(options, family, facts)
    painter = picture_tokenizer.picture_tokenizer_of(options, cls, opened and opened[0])
    options = options.model_copy(update={"data": sized(options, family, opened and opened[0])})
    tokenizer, prepared = _text(options, out, console, family, facts, opened)
    config, make = _origin(options, family, opened and opened[0], tokenizer)
    config = picture_tokenizer.fitted(config, prepared, painter, of=options.start_from)
    context = _context(options, config, tokenizer, opened)
    setting = _setting(options, family, config, tokenizer, prepared, opened, device)
    setting = dataclasses.replace(setting, codes=codes_of(prepared, painter, console) if painter else {})
    objective = build_objective(facts, options_of(facts, family, options.objective), setting)
    pad = tokenizer.role_ids["pad"] if tokenizer else 0
    valid = held_out_rows(objective, prepared.valid, _evaluated(options, config, context, cls), pad)
    config = _of_the_objective(options, config, objective, cls)
    kept = dropouts(config)
    config = _with_less_dropout(options, config)
    window = options.context or (config.window if cls.has_windows else context)
    batch_rows, micro_rows = _rows_of_a_step(options, family, objective, window)
    plan = _plan(options, family, objective, prepared, window, batch_rows, goes_on=setting.carries)
    if batch_rows > len(plan):
        more = " or ‹context›, or bring more text" if family.reads_text else ", or bring more pictures"
        raise OptionError(
            f"{', '.join(options.data.corpus)}: {len(plan)} rows of {window} tokens, less than one batch of {batch_rows}: "
            f"lower ‹train.batch_tokens› (now {options.train.batch_tokens}){more}"
        )
    return Setup(
        options,
        family,
        tokenizer,
        prepared=prepared,
        make_model=partial(picture_tokenizer.made, partial(make, config), painter),
        dropouts=kept,
        objective=objective,
        rows=Rows(prepared.train, plan, objective, pad),
        valid=valid,
        batch_rows=batch_rows,
        micro_rows=micro_rows,
        device=device,
    )


def _started(options: RunOptions, family: Family, facts: ObjectiveFacts) -> tuple[RunOptions, Opened]:
    """The options with what follows from the model that a run starts from, or its teacher, and that model with its tokenizer;
    ValueError where the family can't learn what is asked from what is given."""
    if facts.kind:
        raise ValueError(
            f"{family.name} learns from sentence pairs, not from a corpus: gyebo finetune {family.name}:{options.size} "
            "translation --data pairs.tsv --text SOURCE --label TARGET --tokenizer DIR -o DIR"
        )
    named = options.start_from or options.teacher
    opened = _open(options, family) if options.start_from else load(named) if named else None
    if opened:
        options = _inherit(options, *opened)
    else:
        tree.find_size(family, options.size)
    cls = tree.model_class(family.name)
    if not family.reads_text:
        check_for_pictures(options, family, opened[0].config if opened else None)
    elif facts.of == "pictures" or cls.sees:
        refuse_without_pictures(options.data)
    if options.train.compile and not cls.compiles:
        able = ", ".join(name for name in tree.FAMILIES if tree.model_class(name).compiles)
        raise OptionError(
            f"‹train.compile›: {family.title} is not prepared for torch.compile, as these families are: {able}; leave it out"
        )
    return options, opened


def _text(
    options: RunOptions, out: Path, console: Console | None, family: Family, facts: ObjectiveFacts, opened: Opened
) -> tuple[Tokenizer | None, Prepared]:
    """The family's copy of the tokenizer, and the prepared corpus."""
    own = opened[1] if opened and options.tokenizer == str(options.start_from or options.teacher) else None
    tokenizer, prepared = open_data(options, out, console, own, reads_text=family.reads_text)
    if tokenizer:
        tokenizer = tokenizer.for_family(roles_of(family))
        if not options.start_from:
            tokenizer = tokenizer.with_sentinels(facts.sentinels)
    return tokenizer, prepared


def _context(options: RunOptions, config: Any, tokenizer: Tokenizer | None, opened: Opened) -> int:
    """The tokens of a row; ValueError for ids or positions that the model has not."""
    named = options.start_from or options.teacher
    if opened and tokenizer and tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but {named} has {config.vocab_size}: use its own tokenizer"
        )
    context = options.context or config.context
    if context > config.context:
        raise OptionError(f"‹context›={context} is longer than the {config.context} positions of {named}")
    return int(context)


def _setting(
    options: RunOptions,
    family: Family,
    config: Any,
    tokenizer: Tokenizer | None,
    prepared: Prepared,
    opened: Opened,
    device: torch.device,
) -> Setting:
    """What the objective must know of all else, but the codes of pictures."""
    cls = tree.model_class(family.name)
    return Setting(
        tokenizer,
        roles_of(family),
        prepared.train,
        tuple(opened[0].heads) if opened and options.start_from else cls.possible_heads(),
        across_documents=options.data.across_documents,
        gives_raw=cls.gives_raw,
        encodes_source=cls.encodes_source,
        start_id=config.first_id if cls.encodes_source else 0,
        carries=_goes_on(options, family, config),
        factor=config.factor if cls.tokenizes_pictures else 0,
        teacher=opened[0].to(device) if opened and options.teacher else None,
        config=config,
    )


def _of_the_objective(options: RunOptions, config: Any, objective: Objective, cls: Any) -> Any:
    """The config with the heads and sizes that the objective asks for; ValueError where a model that is there has others."""
    if not options.start_from:
        parts = {part: on for part, on in objective.parts.items() if part in cls.parts()}
        config = dataclasses.replace(config, **parts, **objective.shape)
    elif wrong := [name for name, value in objective.shape.items() if getattr(config, name) != value]:
        raise OptionError(
            f"‹start_from›={options.start_from}: was made for {wrong[0]} = {getattr(config, wrong[0])}, but this corpus has "
            f"{objective.shape[wrong[0]]}: use a corpus with the same labels and answers, and its ‹data.crop_size›"
        )
    return dataclasses.replace(config, **{name: objective.parts.get(name, False) for name in cls.learned_as})


def _with_less_dropout(options: RunOptions, config: Any) -> Any:
    """The config with the share of its dropout that this training has; ValueError for a model that is there, whose layers have
    theirs."""
    share = options.train.dropout_share
    if share is None:
        return config
    if options.start_from:
        raise OptionError(f"‹train.dropout_share›={share:g} has no effect on ‹start_from›={options.start_from}: leave it out")
    if not any(dropouts(config).values()):
        raise OptionError(f"‹train.dropout_share›={share:g} has no effect: this {options.family} has no dropout; leave it out")
    return dataclasses.replace(config, **{name: share * rate for name, rate in dropouts(config).items()})


def places_of_a_row(objective: Objective, window: int) -> int:
    """The tokens that a row of such a window counts as: those of all streams that are counted."""
    lengths, streams = objective.lengths(window), streams_of(objective.fields)
    return sum(lengths[stream.name] for stream in streams if stream.counted)


def _rows_of_a_step(options: RunOptions, family: Family, objective: Objective, window: int) -> tuple[int, int]:
    """How many rows a batch and a micro-batch have; ValueError where not even one fits, or a batch can't be divided."""
    places = places_of_a_row(objective, window)
    batch_rows = round(options.train.batch_tokens / places)
    if not batch_rows:
        raise OptionError(
            f"‹train.batch_tokens›={options.train.batch_tokens} is less than one row of {places} tokens: give at least "
            f"{places}, or a shorter ‹context›"
        )
    asked = options.train.micro_batch_tokens
    micro_rows = max(1, asked // places) if asked else batch_rows
    if objective.whole_batches and (micro_rows < batch_rows or distributed.world_size() > 1):
        raise OptionError(
            f"{family.name} compares all pairs of a batch, which can't be divided: leave ‹train.micro_batch_tokens› out, and "
            "train in one process"
        )
    return batch_rows, micro_rows


def _evaluated(options: RunOptions, config: Any, context: int, cls: Any) -> int:
    """The context of an evaluation: that of training, or of a family that learns in windows the longest text that it reads."""
    asked, memory = options.train.evaluate_context, options.train.evaluate_memory
    if memory is not None and not cls.any_memory:
        raise OptionError(
            f"‹train.evaluate_memory›={memory} has no effect: {cls.family} is measured without a memory, leave it out"
        )
    if asked is not None and asked > config.context:
        raise OptionError(f"‹train.evaluate_context›={asked} is longer than the {config.context} positions of the model")
    return asked or (longest_read(config, cls, memory) if cls.has_windows else context)


def _goes_on(options: RunOptions, family: Family, config: Any) -> bool:
    """Whether rows go on from each other, in lanes: for a model that carries a state, unless `data.order` says otherwise."""
    order, cls = options.data.order, tree.model_class(family.name)
    if order == "lanes" and not cls.carries(config):
        lacks = (
            "has no memory: give it one, as with ‹model.memory›=128"
            if cls.carries_state
            else "carries no state from row to row"
        )
        raise OptionError(f"‹data.order›=lanes: {family.name} {lacks}; or leave ‹data.order› out")
    if order == "shuffled" and cls.has_memory and config.memory:
        raise OptionError(
            f"‹model.memory›={config.memory} has no effect with ‹data.order›=shuffled: packed rows do not go on from each "
            "other; leave ‹data.order› out, or set ‹model.memory›=0"
        )
    return order != "shuffled" and cls.carries(config)


def _plan(
    options: RunOptions,
    family: Family,
    objective: Objective,
    prepared: Prepared,
    context: int,
    batch_rows: int,
    *,
    goes_on: bool,
) -> Plan | Lanes:
    """Which text stands in which row."""
    if not goes_on:
        return objective.plan(prepared.train, context, options.data.plan_seed, prepared.folder)
    if len(streams := streams_of(objective.fields)) > 1:
        raise OptionError(
            f"‹data.order›: {family.name} carries a state along one stream, but its objective reads {len(streams)} "
            f"({', '.join(stream.name for stream in streams)}): choose the order shuffled"
        )
    return lanes(
        prepared.train,
        context,
        extra=objective.extra,
        count=batch_rows,
        plan_seed=options.data.plan_seed,
        seed=options.seed,
        backwards=batch_rows // 2 if objective.both_directions else 0,
    )


def _origin(options: RunOptions, family: Family, opened: Any, tokenizer: Tokenizer | None) -> tuple[Any, Callable[[Any], Any]]:
    """The config of a run's model, and what makes the model from it: drawn from the seed, read from `start_from`, or a student
    that starts from its teacher."""
    cls = tree.model_class(family.name)
    if options.start_from:
        return opened.config, partial(_further, options, family)

    def fresh(config: Any) -> Any:
        torch.manual_seed(initial_seed(options.seed))
        model = cls(config) if tokenizer is None else with_pieces(cls(config), tokenizer)
        if options.teacher:
            start_from_teacher(model, opened)
        return model

    if options.teacher:
        return student_config(cls, opened, options), fresh
    if tokenizer is None:
        return shaped_for_pictures(cls.sizes[options.size], options.model, options.data.picture_size), fresh
    return shaped(cls.sizes[options.size], options.model, tokenizer, windows=cls.has_windows, context=options.context), fresh


def _open(options: RunOptions, family: Family) -> tuple[Any, Tokenizer | None]:
    """The model that a run starts from, with its tokenizer; of another family with the same layers as one of this."""
    name = str(options.start_from)
    model, tokenizer = load(name)
    if isinstance(model, TaskModel) or model.family not in family.starts_from:
        return model, tokenizer
    read = Tokenizer.load(options.tokenizer) if options.tokenizer not in (None, name) else tokenizer
    if read is None:
        raise OptionError(f"{name} has no tokenizer: name one with ‹tokenizer›")
    torch.manual_seed(initial_seed(options.seed))
    return with_layers_of(model, tree.model_class(family.name), read.for_family(roles_of(family))), tokenizer


def _further(options: RunOptions, family: Family, config: Any) -> Any:
    """A model to be trained further, in the way in which it now learns; which task it answered by text is forgotten, as its
    weights will be others."""
    model = _open(options, family)[0]
    model.tasks = ()
    model.config = dataclasses.replace(model.config, **{name: getattr(config, name) for name in model.learned_as})
    return model


def student_family(teacher: str) -> str:
    """The family of a teacher's student; ValueError for a teacher that none can learn from."""
    family = tree.find(load(teacher)[0].family)
    if family.student is None:
        known = ", ".join(name for name, other in tree.FAMILIES.items() if other.student)
        raise ValueError(f"{teacher} holds a {family.name} model: a student learns from {known}")
    return family.student


def student_config(cls: Any, teacher: Any, options: RunOptions) -> Any:
    """The shape of a student: its teacher's, with half the layers unless `model.layers` says otherwise."""
    other = sorted(set(options.model) - {"layers", "embedding_dropout", "attention_dropout", "residual_dropout"})
    if other:
        raise OptionError(f"‹model.{other[0]}›: a student has its teacher's shape; only layers and dropout can be set")
    own, theirs = ({field.name for field in dataclasses.fields(config)} for config in (cls.config_class, teacher.config))
    shared = (own & theirs) - {"segments", *cls.parts(), *teacher.parts()}
    values = {name: getattr(teacher.config, name) for name in shared} | {"layers": max(1, teacher.config.layers // 2)}
    return cls.config_class(**values | options.model)


def _inherit(options: RunOptions, model: Any, tokenizer: Tokenizer | None) -> RunOptions:
    """Options that follow from `start_from` or a teacher: its tokenizer, where none is named."""
    name = options.start_from or options.teacher
    if isinstance(model, TaskModel):
        raise ValueError(f"{name} was fine-tuned and has no head to pretrain with: name the model that it was fine-tuned from")
    if options.start_from and model.family != options.family:
        raise OptionError(f"‹start_from›={name} holds a {model.family} model, not {options.family}")
    if options.start_from and options.model:
        raise OptionError(f"‹model.{next(iter(options.model))}› contradicts ‹start_from›: the shape is that of {name}")
    if options.tokenizer is None and model.reads_text:
        if tokenizer is None:
            raise OptionError(f"{name} has no tokenizer: name one with ‹tokenizer›")
        options = options.model_copy(update={"tokenizer": str(name)})
    return options
