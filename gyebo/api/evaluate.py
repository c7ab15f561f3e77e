"""`gyebo.evaluate`, the verb of `gyebo evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import Texts, corpus_names, row_file
from gyebo.api.models import of_model
from gyebo.api.options import folder, given
from gyebo.api.showing import Shown, figure
from gyebo.api.speaking import aside
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.jobs.opened import Given


@dataclass(frozen=True, repr=False)
class Figures(Shown, Mapping[str, Any]):
    """What a model was measured to be: a mapping from names of figures, such as bits_per_byte, to their values."""

    model: str
    values_by_name: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def title(self) -> str:
        """What it is, in a line."""
        return self.model

    def lines(self) -> list[tuple[str, str]]:
        """All figures."""
        return [(name.replace("_", " "), figure(value)) for name, value in self.items()]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(self.values_by_name)


@of_model("evaluate")
def evaluate(
    model: Given,
    what: Texts = None,
    *,
    data: Any = None,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    image: str | None = None,
    features: str | Path | None = None,
    predictions: str | Path | None = None,
    context: int | None = None,
    memory: int | None = None,
    measure: str | None = None,
    among: int | None = None,
    ablate: str | None = None,
    documents: str | None = None,
    text_field: str | None = None,
    picture_field: str | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    verbose: Verbose = None,
) -> Figures:
    """Measure a model: `gyebo.evaluate("runs/x")`, on what its run held out, or on a task or a corpus, `what`.

    what: the name of a task, whose data may be named or given in memory (`data`, with its columns `text`, `pair`, `label`,
    `image`; `features`: a file with the regions of its pictures); or a corpus, as of `gyebo.pretrain`. predictions: a file for
    those of a task. context, memory: of text. measure: "captions" or "retrieval", of models that see. Raises ValueError or
    FileNotFoundError, one line that names the parameter.
    """
    from gyebo.jobs.finetuned_model import trained_on

    own = given(data=row_file(data, "data"), text=text, pair=pair, label=label, image=image)
    own |= given(features=None if features is None else str(features), predictions=folder(predictions))
    spans = given(context=context, memory=memory, documents=documents, text_field=text_field, picture_field=picture_field)
    decoding = given(encoding=encoding, bad_bytes=bad_bytes)
    tuned = trained_on(model)
    of_pictures = given(among=among, ablate=ablate)
    task = what if isinstance(what, str) else what[0] if _is_name(what) else None
    if measure is None:
        _refuse(of_pictures, "anything without ‹measure›")
    if measure is not None:
        _refuse(own | given(context=context, memory=memory, precision=precision), f"‹measure›={measure}")
        found = _measure(measure, model, _corpus(what, text_field), of_pictures, spans | decoding, device, verbose)
    elif task is not None and _is_task(task):
        _refuse(spans, f"the task {task}")
        found = _task(model, task, own | decoding, device, precision)
    elif tuned and not _given(what):
        _refuse({name: value for name, value in own.items() if name != "predictions"}, "a run's own task: name the task")
        _refuse(spans | decoding, f"the task {tuned.task.name}")
        found = _task(model, None, own, device, precision)
    elif tuned:
        raise ValueError(f"{model} was fine-tuned on {tuned.task.name}, so text can't be scored with it: name a task, or none")
    else:
        _refuse(own, "text: name a task")
        found = _text(model, _corpus(what, text_field), spans | decoding, device, precision)
    return Figures(str(model), found)


def _given(what: Texts) -> bool:
    return what is not None and not (isinstance(what, tuple | list) and not what)


def _is_name(what: Texts) -> bool:
    """Whether it is one name, as the command line gives it."""
    from gyebo.api.memory import Names

    return isinstance(what, Names) and len(what) == 1


def _corpus(what: Texts, text_field: str | None) -> list[str]:
    return corpus_names(what, "what", text_field) if _given(what) else []


def _is_task(name: str) -> bool:
    from gyebo.tasks.data.own_file import is_own
    from gyebo.tasks.registry import TASKS

    return name in TASKS or is_own(name)  # a file that is called so can be written as ./NAME


def _refuse(options: dict[str, Any], what: str) -> None:
    for name in options:
        raise OptionError(f"‹{name}› has no effect on {what}")


def _measure(
    measure: str,
    model: Given,
    corpus: list[str],
    options: dict[str, Any],
    data: dict[str, Any],
    device: str,
    verbose: Verbose,
) -> dict[str, Any]:
    from rich.progress import Progress

    from gyebo.jobs.evaluate_pictures import measure as job

    speak = aside(verbose)
    with Progress(console=speak, transient=True, disable=not speak.is_terminal or speak.quiet) as progress:
        bar = progress.add_task("measuring", total=1.0)
        told = lambda share: progress.update(bar, completed=share)  # noqa: E731
        return job(measure, model, corpus, **options, data=data, device=device, on_step=told)


def _task(model: Given, name: str | None, own: dict[str, Any], device: str, precision: str | None) -> dict[str, Any]:
    from gyebo.config import toml
    from gyebo.config.finetune import TaskOptions
    from gyebo.jobs.evaluate import evaluate_task

    path = own.pop("predictions", None)
    options = toml.check(TaskOptions, {"name": name, **own}, section="task") if name else None
    place = None if path is None else Path(path)
    return evaluate_task(model, options, device=device, precision=precision or "float32", predictions=place)


def _text(model: Given, corpus: list[str], spans: dict[str, Any], device: str, precision: str | None) -> dict[str, Any]:
    from gyebo.jobs.evaluate import evaluate as job

    lengths = {name: spans.pop(name, None) for name in ("context", "memory")}
    return job(model, corpus, **lengths, data=spans, device=device, precision=precision)
