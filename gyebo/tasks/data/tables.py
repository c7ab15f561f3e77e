"""Columns of tasks with labelled texts or pairs: GLUE as released, Korean data sets, and their rows on the hub.

Label codes of the files become the class names of the hub, so that a model predicts "acceptable" instead of "1".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gyebo.data.encoding import UTF8, Reading
from gyebo.data.rows import lines, table
from gyebo.tasks.task import Columns, Row


def cola_table(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """CoLA: train and dev have no header (source, label, the author's mark, sentence), test has one."""
    first = next(lines(path, reading), "").split("\t")
    return table(path, reading, None if "sentence" in first else ("source", "label", "mark", "sentence"))


def _codes(*names: str) -> dict[str, str]:
    return {str(code): name for code, name in enumerate(names)}


COLA = Columns("sentence", names=_codes("unacceptable", "acceptable"))
SST2 = Columns("sentence", names=_codes("negative", "positive"))
MRPC = Columns(
    ("#1 String", "sentence1"), ("#2 String", "sentence2"), ("Quality", "label"), names=_codes("not_equivalent", "equivalent")
)
STSB = Columns("sentence1", "sentence2", ("score", "label"), id=("index", "idx"), number=True)
QQP = Columns("question1", "question2", ("is_duplicate", "label"), id=("id", "idx"), names=_codes("not_duplicate", "duplicate"))
MNLI = Columns(("sentence1", "premise"), ("sentence2", "hypothesis"), ("gold_label", "label"), id=("pairID", "idx"))
QNLI = Columns("question", "sentence", id=("index", "idx"))
RTE = Columns("sentence1", "sentence2", id=("index", "idx"))
WNLI = Columns("sentence1", "sentence2", id=("index", "idx"), names=_codes("not_entailment", "entailment"))

NSMC = Columns("document", id="id", names=_codes("negative", "positive"))
KORSTS = Columns("sentence1", "sentence2", "score", number=True)
KORNLI = Columns(("sentence1", "premise"), ("sentence2", "hypothesis"), ("gold_label", "label"))
QUESTION_PAIR = Columns("question1", "question2", "is_duplicate", names=_codes("same", "different"))
HATE_SPEECH = Columns("comments", label="hate")

KLUE_TC = Columns("title", id="guid")
KLUE_STS = Columns("sentence1", "sentence2", "labels.real-label", id="guid", number=True)
KLUE_NLI = Columns("premise", "hypothesis", ("gold_label", "label"), id="guid")
