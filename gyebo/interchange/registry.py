"""The table of formats, by `model_type`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gyebo.interchange.families import bert, dan, distilbert, elmo, gpt, gpt2, rnn, roberta, seq2seq, transformer, ulmfit
from gyebo.interchange.format import Architecture, Format, Source
from gyebo.interchange.task_heads import with_heads
from gyebo.models.family import nearest
from gyebo.tasks import linear

FORMATS: dict[str, Format] = {
    table.model_type: with_heads(table)
    for table in (
        *rnn.FORMATS,
        seq2seq.FORMAT,
        dan.FORMAT,
        elmo.FORMAT,
        ulmfit.FORMAT,
        gpt.FORMAT,
        gpt2.FORMAT,
        bert.FORMAT,
        roberta.FORMAT,
        distilbert.FORMAT,
        *transformer.FORMATS,
    )
}


def find_format(given: Mapping[str, Any], where: str) -> tuple[Format, Architecture | None]:
    """The table for a parsed `config.json` and its class there, None where it names none; ValueError where gyebo has none."""
    kind, classes = given.get("model_type"), given.get("architectures") or []
    if not isinstance(classes, list) or not all(isinstance(entry, str) for entry in classes) or len(classes) > 1:
        raise ValueError(f"{where}: architectures must name one class, but is {classes!r} instead")
    if kind is None and classes:
        kind = next((table.model_type for table in FORMATS.values() if table.architecture(classes[0])), None)
    if not isinstance(kind, str) or kind not in FORMATS:
        kind = given.get("model_type")
        if kind == linear.MODEL_TYPE:
            raise ValueError(
                f"{where}: a linear baseline, not a network: gyebo.tasks.linear.load opens it, gyebo predict asks it"
            )
        hint = nearest(kind, FORMATS) if isinstance(kind, str) else f" There is: {', '.join(FORMATS)}"
        raise ValueError(f"{where}: model_type {kind!r} is none that gyebo opens{hint}")
    table = FORMATS[kind]
    architecture = table.architecture(classes[0]) if classes else None
    if classes and architecture is None:
        known = ", ".join(entry.name for entry in table.architectures)
        raise ValueError(f"{where}: architectures {classes[0]} is not supported, only {known}")
    return table, architecture


def found_parts(table: Format, architecture: Architecture | None, names: Mapping[str, Source]) -> dict[str, bool]:
    """Which parts a model has: those of its class, and those whose tensors are in the file (Google's files of BERT name a class
    with one head and hold two)."""
    found = {source.part for source in names.values()} | set(architecture.parts if architecture else ())
    return {part: part in found for part in table.parts}
