"""Tasks on a user's own file, without any code: the kinds of task that have a form for one.

.csv (quoted), .tsv and .txt (unquoted, with a header), .jsonl, .json (a list) and .parquet; tagging also CoNLL's lines of
a word and its tag, spans also SQuAD's .json; all but parquet also as .gz or .zst.
"""

from __future__ import annotations

from dataclasses import replace

from gyebo.config.errors import OptionError, nearest
from gyebo.tasks.kinds.table import own_files
from gyebo.tasks.task import Task

# The columns of kinds of tasks, and the option that names another one.
_COLUMNS = {"text": "text", "context": "text", "turns": "text", "pair": "pair", "question": "pair", "options": "pair"}
_COLUMNS |= {"label": "label", "spans": "label", "answers": "label", "summary": "label", "image": "image"}


def is_own(name: str) -> bool:
    """Whether the name denotes a kind of task on a user's own file."""
    return name in own_files()


def user_task(
    name: str,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    image: str | None = None,
    features: str | None = None,
) -> Task:
    """A task on a user's own files, by a name of `own_files()`; `text`, `pair`, `label` and `image` name columns.

    Defaults: text, label; multi-label: text, labels (a column, or several, "a,b,c", of 0 and 1); pair: text, pair, label;
    tagging: text, spans; spans: context, question, answers; choice: text, options, label. With `pair`, the first two and
    regression read two texts. choice: `pair` names one column with a list, or several columns, "a,b,c,d"; its label is the
    index of the correct option, or the option itself. translation: `text` and `label` name the languages: columns, or the
    extensions of two aligned files; there is no default. visual-classification: image (the name of the image file, relative
    to the table), text, label; `features`: a file with the regions of these pictures.
    Raises ValueError for an unknown name, and where `pair`, `image` or `features` has no effect.
    """
    known = own_files()
    if name not in known:
        raise ValueError(f"unknown kind of task {name!r}{nearest(name, known)}; available: {', '.join(known)}")
    for option, value in (("image", image), ("features", features)):
        if value and not known[name].pictured:
            seeing = ", ".join(own.name for own in known.values() if own.pictured)
            what = f"{name}, which has no pictures: leave it out, or use {seeing}"
            raise OptionError(f"‹{option}›={value} has no effect on {what}")
    columns = (text, pair, label, image) if known[name].pictured else (text, pair, label)
    task = known[name].task(*columns, features) if known[name].pictured else known[name].task(*columns)
    named = {column: option for column, option in zip(columns, ("text", "pair", "label", "image")) if column}
    return replace(task, options=_COLUMNS | named)
