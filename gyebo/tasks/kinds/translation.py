"""Translation: the sentence in the other language, from aligned files or from columns."""

from __future__ import annotations

from gyebo.config.errors import OptionError
from gyebo.tasks.data.parallel import translation_task
from gyebo.tasks.kinds.kind import Kind, OwnFile, TextForm, all_texts, in_columns
from gyebo.tasks.task import Example, Task


def _own(source: str | None, pair: str | None, target: str | None) -> Task:
    if pair is not None:
        raise OptionError("‹pair› has no effect on translation: leave it out")
    if source is None or target is None:
        missing = "‹text› (the source)" if source is None else "‹label› (the target)"
        raise OptionError(f"translation needs the names of both languages, e.g. ‹text›=en ‹label›=de; missing: {missing}")
    return translation_task(source, target)


def _both(example: Example) -> tuple[str, ...]:
    return (*all_texts(example), *((str(example.label),) if example.label is not None else ()))


KIND = Kind(
    name="translation",
    pipeline_tag="translation",
    text=TextForm(
        source=in_columns(lambda example: {"text": example.text}),
        target=lambda example, task: None if example.label is None else str(example.label),
        answer=lambda text, example, task: text,
    ),
    own_files=(OwnFile(name="translation", task=_own),),
    command="translate",
    bpe_dropout=True,
    always_answered=True,
    texts=_both,
    one_answer=False,
    picture="lengths",
)
