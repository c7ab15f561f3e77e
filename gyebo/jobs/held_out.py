"""What a model is measured on beside tasks: the held-out part of its run, or another corpus, as its objective reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data.batches import Rows
from gyebo.data.prepare import open_corpus, prepare
from gyebo.data.shards import Prepared
from gyebo.jobs import places, run_directory
from gyebo.jobs.model_building import longest_read
from gyebo.jobs.objective_building import NAME, build_objective, held_out_rows, options_of
from gyebo.jobs.opened import Given, directory_of, open_given
from gyebo.jobs.picture_codes import codes_of
from gyebo.jobs.picture_reading import pictures_as_read
from gyebo.jobs.pretraining.corpus import refuse_idle, refuse_without_pictures, replaced_in
from gyebo.jobs.pretraining.pictures import with_painter
from gyebo.models.family import find
from gyebo.objectives import table
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.objective import Objective, Setting
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class HeldOutRows:
    """A model, the `rows` on which it is measured, and `facts` of what it learned. `precision`, `memory`: those of its run, or
    what was asked for. `notes`: what is odd about the files of the text."""

    model: Any
    tokenizer: Tokenizer | None
    _: KW_ONLY
    facts: ObjectiveFacts
    prepared: Prepared
    rows: Rows
    precision: str
    memory: int | None
    notes: tuple[str, ...] = ()


def open_held_out(
    name: Given,
    corpus: Sequence[str],
    *,
    context: int | None = None,
    memory: int | None = None,
    data: dict[str, Any] | None = None,
) -> HeldOutRows:
    """A model with all of `corpus`, or where it is empty with the held-out part of its run.

    Raises ValueError where the model has no tokenizer, or is no run and no corpus is given, or was fine-tuned.
    """
    model, tokenizer = open_given(name)
    if tokenizer is None and find(model.family).reads_text:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    learned = _learned(name, model)
    if table.asked(find(model.family).objective, learned).kind:
        raise ValueError(
            f"{name} learned from the examples of a task, on which alone it is measured: gyebo evaluate {name} TASK --data FILE"
        )
    if isinstance(model, TaskModel) or model.tasks:
        raise ValueError(f"{name} was fine-tuned and has no head for text: name a task, as in gyebo evaluate {name} TASK")
    if memory is not None and not model.any_memory:
        raise OptionError(
            f"‹memory›={memory} has no effect: {name} is a {find(model.family).title}, which is measured without a memory"
        )
    record = None if corpus else _record(name, data or {})
    pictures = pictures_as_read(directory_of(name), model)
    notes: tuple[str, ...] = ()
    if record:
        prepared = _own_text(record, str(name), tokenizer, pictures)
    else:
        prepared, notes = _text(corpus, data or {}, tokenizer, pictures)
    options = record["options"] if record else {}
    trained = None if model.has_windows else options.get("context")
    memory = memory or options.get("train", {}).get("evaluate_memory")
    read = longest_read(model.config, model, memory)
    window = context or options.get("train", {}).get("evaluate_context") or trained or read
    if not 2 <= window <= model.config.context:
        raise OptionError(f"‹context› must be from 2 to the model's {model.config.context}, but is {window} instead")
    facts = table.asked(find(model.family).objective, learned, teacher=bool(record and record["options"].get("teacher")))
    objective = _objective(facts, model, tokenizer, prepared, record)
    return HeldOutRows(
        model,
        tokenizer,
        facts=facts,
        prepared=prepared,
        rows=held_out_rows(objective, prepared.valid, window, tokenizer.role_ids.get("pad", 0) if tokenizer else 0),
        precision=record["plan"]["precision"] if record else "float32",
        memory=memory,
        notes=notes,
    )


def _objective(
    facts: ObjectiveFacts, model: Any, tokenizer: Tokenizer | None, prepared: Prepared, record: dict[str, Any] | None
) -> Objective:
    """What the model learned, for its run's own text as the run learned it, for any other as `facts.elsewhere` says.

    Raises ValueError where the model lacks a head that this needs."""
    lacking = [head for head in facts.heads if head not in model.heads]
    if lacking:
        raise ValueError(
            f"this model of the family {find(model.family).title} has no head ({', '.join(lacking)}) for what it learned: give "
            "its pretrained model, "
            "or a task"
        )
    family = find(model.family)
    options = options_of(facts, family, record["options"].get("objective", {})) if record else facts.elsewhere
    split = prepared.train if record else prepared.valid
    given: dict[str, Any] = {"encodes_source": True, "start_id": model.start_id} if model.encodes_source else {}
    given |= {"factor": model.config.factor} if model.tokenizes_pictures else {}
    given |= {"codes": codes_of(prepared, with_painter(model))} if model.draws else {}
    setting = Setting(
        tokenizer, roles_of(family), split, tuple(model.heads), gives_raw=model.gives_raw, config=model.config, **given
    )
    return build_objective(facts, options, setting)


def _text(
    corpus: Sequence[str], data: dict[str, Any], tokenizer: Tokenizer | None, pictures: dict[str, Any] | None
) -> tuple[Prepared, tuple[str, ...]]:
    """A corpus as the held-out part of a preparation, and what is odd about its files; `pictures` as the model reads them.
    ValueError where it needs some and there are none."""
    options = toml.check(DataOptions, {**data, "corpus": list(corpus)}, section="data")
    if pictures is not None:
        refuse_without_pictures(options)
    opened = open_corpus(options.model_copy(update=pictures), hold_out_all=True)
    refuse_idle(opened)
    prepared = prepare(opened, tokenizer)
    return prepared, (*opened.notes, *replaced_in(prepared))


def _learned(name: Given, model: Any) -> dict[str, Any]:
    """Which objective a run names, or the config of a model that is no run shows; {} where it is the family's own."""
    folder = directory_of(name)
    if folder is None or not (folder / "run.toml").is_file():
        shown = (f for f in table.OBJECTIVES.values() if f.flag in model.learned_as and getattr(model.config, f.flag))
        return {NAME: facts.name} if (facts := next(shown, None)) else {}
    options = run_directory.read(folder)["options"].get("objective", {})
    return {NAME: options[NAME]} if NAME in options else {}


def _record(name: Given, data: dict[str, Any]) -> dict[str, Any]:
    """What a run says of itself; ValueError where the name is no run or options are about a corpus that isn't given."""
    folder = directory_of(name)
    if folder is None or not (folder / "run.toml").is_file():
        raise ValueError(f"{name} is not a run of gyebo, so it has no held-out part: name a corpus")
    for option in data:
        raise OptionError(f"‹data.{option}› has no effect without a CORPUS: the run's held-out part is read as the run read it")
    return run_directory.read(folder)


def _own_text(record: dict[str, Any], name: str, tokenizer: Tokenizer | None, pictures: dict[str, Any] | None) -> Prepared:
    """The held-out part of a run, `pictures` as its model reads them; ValueError where its corpus is no longer the one
    that it was trained on."""
    options = places.placed(run_directory.options_of(record, Path(name)), Path(name), typed=False).data
    corpus = open_corpus(options.model_copy(update=pictures))
    if corpus.fingerprint != record["corpus"]["fingerprint"]:
        raise ValueError(
            f"{name}: its corpus has changed since the run, so what is held out now may have been trained on: name a corpus"
        )
    return prepare(corpus, tokenizer)
