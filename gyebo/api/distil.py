"""`gyebo.distil`, the verb of `gyebo distill`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gyebo.api.memory import Texts
from gyebo.api.options import Named, checked, folder, given, named, verb
from gyebo.api.pretrain import corpora
from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.config.toml import Settings

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.api.training import Run


@verb("distill")
def distil(
    teacher: Named,
    corpus: Texts,
    *,
    out: str | Path,
    layers: int | None = None,
    steps: int | None = None,
    tokens: float | None = None,
    minutes: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int | None = None,
    context: int | None = None,
    batch_tokens: int | None = None,
    documents: str | None = None,
    text_field: str | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    valid: Texts = None,
    valid_last: float | None = None,
    valid_share: float | None = None,
    device: str | None = None,
    precision: str | None = None,
    settings: Settings | None = None,
    verbose: Verbose = None,
) -> Run:
    """Train a smaller model from a larger one, as DistilBERT: `gyebo.distil("runs/bert", "a.txt", minutes=10, out="runs/s")`.

    teacher: a run, a `transformers` directory or a hub id. layers: of the student, by default half of the teacher's. Give
    exactly one budget: `steps`, `tokens` or `minutes`. Other parameters and errors as of `gyebo.pretrain`.
    """
    from gyebo.api.training import Run, refuse_without_budget, train
    from gyebo.jobs.places import placed_name
    from gyebo.jobs.pretraining.build import student_family

    place = folder(out)
    if place is None:
        raise OptionError("‹out› is missing: name the directory to write, such as runs/student")
    name = named(teacher, "teacher")
    there = placed_name(name, "teacher", place) if resume else name
    values = given(family=student_family(there), teacher=name, context=context, seed=seed)
    data = given(
        documents=documents,
        text_field=text_field,
        encoding=encoding,
        bad_bytes=bad_bytes,
        valid_last=valid_last,
        valid_share=valid_share,
    )
    values["data"] = data | corpora(corpus, valid, text_field)
    values["model"] = given(layers=layers)
    values["train"] = given(batch_tokens=batch_tokens, device=device, precision=precision)
    values["budget"] = given(steps=steps, tokens=tokens, minutes=minutes)
    if resume:
        refuse_without_budget(place, values["budget"], settings)
    found = train(
        checked(RunOptions, values, settings), place, dry_run=False, resume=resume, overwrite=overwrite, verbose=verbose
    )
    assert found is None or isinstance(found, Run)
    return found
