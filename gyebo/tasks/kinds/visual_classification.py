"""Classification of a text with a picture: a statement that holds or not (NLVR), a question and its answer (VQA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.data.with_pictures import own_task
from gyebo.tasks.heads.styles import JOINT, STYLES, HeadSpec
from gyebo.tasks.kinds import classification
from gyebo.tasks.kinds.kind import HeadForm, Kind, OwnFile
from gyebo.tasks.metrics import by_class

if TYPE_CHECKING:
    from torch import nn


def build(config: Any, outputs: int, dropout: float) -> nn.Module:
    """The head for a body of this config."""
    from gyebo.tasks.heads.answer import answer_head

    return answer_head(config, outputs, dropout)


KIND = Kind(
    name="visual-classification",
    pipeline_tag="visual-question-answering",
    head=HeadForm(
        transformers_class="VisualClassification",
        specs=dict.fromkeys(STYLES, HeadSpec(JOINT)),
        build=build,
        sees=True,
        encode=classification.encode,
        output=TaskOutput,
        count=classification.rows_of,
        loss=classification.loss,
        decode=classification.decode,
    ),
    own_files=(OwnFile(name="visual-classification", task=own_task, pictured=True),),
    class_names=lambda example: () if example.label is None else (example.label,),
    nothing_to_learn=classification.one_class,
    by_class=by_class.one_class,
    row=classification.row,
    picture="confusion",
)
