"""Distillation: a student learns from a teacher's predictions, from the masked tokens and from the teacher's last layer.

    5 x KL(teacher || student) at temperature 2, times 2^2     over all real positions ("soft")
    2 x masked language modelling                              over the masked tokens ("mlm")
    1 x (1 - cosine of the last hidden vectors)                over all real positions ("cosine")

Sanh et al. 2019, section 2, with the weights of their released training; without the soft and the cosine term it is
masked language modelling alone, the student without a teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field
from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.nn.cross_entropy import cross_entropy_sum, soft_cross_entropy_sum
from gyebo.objectives import masked
from gyebo.objectives.causal import labelled
from gyebo.objectives.masked import Masked, encode
from gyebo.objectives.objective import Setting


def renamed(value: Any) -> Any:
    """`soft_at` as older runs store it -> today's value."""
    return "masked" if value == "hidden" else value


class Options(masked.Options):
    """Those of masked language modelling, and the losses against the teacher."""

    format: Literal["auto", "full-sentences", "doc-sentences"] = "doc-sentences"
    temperature: float = Field(2.0, gt=0, description="temperature of both distributions")
    soft: float = Field(5.0, ge=0, description="weight of the KL divergence to the teacher")
    mlm: float = Field(2.0, ge=0, description="weight of masked language modelling")
    cosine: float = Field(1.0, ge=0, description="weight of the cosine loss on the last hidden states")
    soft_at: Annotated[Literal["all", "masked"], BeforeValidator(renamed)] = Field(
        "all", description="positions of the KL divergence: all, or the masked tokens only"
    )


@dataclass(frozen=True)
class Distillation(Masked):
    """Masked language modelling beside a `teacher`, a model in evaluation mode that is never changed."""

    teacher: Any = None

    def counts(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"soft": positions, "mlm": masked tokens, "cosine": positions}, without those of weight 0."""
        masked, real = int((batch["labels"] != IGNORE).sum()), int((batch["document_ids"] > 0).sum())
        options = self._options
        found = {"soft": real if options.soft_at == "all" else masked, "mlm": masked, "cosine": real}
        return {name: count for name, count in found.items() if getattr(options, name)}

    def projected(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"mlm": positions of both terms}, as each computes the output layer."""
        found = self.counts(batch)
        return {"mlm": found.get("soft", 0) + found.get("mlm", 0)}

    def taught(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"mlm": positions of the soft term}."""
        return {"mlm": self.counts(batch).get("soft", 0)}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, float]]:
        """{term: (sum, weight)}; the teacher runs once, without gradients."""
        options, real = self._options, batch["document_ids"] > 0
        with torch.no_grad():
            taught = encode(self.teacher, batch)
        learned = encode(model, batch)
        terms = {}
        if options.soft:
            at = real if options.soft_at == "all" else batch["labels"] != IGNORE
            with torch.no_grad():
                teacher = self.teacher.output_layer(taught[at], "mlm")
            total = soft_cross_entropy_sum(model.output_layer(learned[at], "mlm"), teacher, options.temperature)
            terms["soft"] = (total, options.soft * options.temperature**2)
        if options.mlm:
            terms["mlm"] = (cross_entropy_sum(*labelled(model, learned, batch["labels"], "mlm")), options.mlm)
        if options.cosine:
            near = F.cosine_similarity(learned[real].float(), taught[real].float(), dim=-1)
            terms["cosine"] = ((1 - near).sum(), options.cosine)
        return terms

    @property
    def _options(self) -> Options:
        assert isinstance(self.options, Options)
        return self.options


def build(options: Options, setting: Setting) -> Distillation:
    """The objective beside a teacher of the same vocabulary, and of the student's width where their angle counts.

    Raises ValueError where the student's head would learn nothing, or the teacher has no head for masked tokens.
    """
    if not (options.soft or options.mlm):
        raise ValueError(
            "objective.soft and objective.mlm are both 0: the student's output layer would not be trained; keep one above 0"
        )
    idle = sorted({"temperature", "soft_at"} & options.model_fields_set)
    if not options.soft and idle:
        raise ValueError(f"objective.{idle[0]} has no effect where objective.soft is 0: leave it out")
    teacher = setting.teacher
    if teacher is not None and "mlm" not in teacher.heads:
        raise ValueError(f"the teacher, a {teacher.title}, has no head for masked tokens: give its pretrained model")
    plain = masked.build(options, setting)
    return Distillation(
        **{name: getattr(plain, name) for name in plain.__dataclass_fields__}, teacher=teacher and teacher.eval()
    )


def kept_layers(teacher: int, student: int) -> list[int]:
    """Which of the teacher's layers the student starts from: floor(i (L - 1) / (l - 1) + 1/2), so 12 to 6 gives 0, 2, 4, 7, 9
    and 11.

    Raises ValueError for a student that is deeper than its teacher.
    """
    if not 1 <= student <= teacher:
        raise ValueError(f"a student has 1 to {teacher} layers (as many as its teacher), but {student} were requested")
    if student == 1:
        return [0]
    return [int(i * (teacher - 1) / (student - 1) + 0.5) for i in range(student)]


@torch.no_grad()
def start_from_teacher(student: Any, teacher: Any) -> None:
    """Give the student the teacher's embeddings, the layers of `kept_layers` and its head for masked tokens.

    A student without segments gets the first segment's vector inside its positions, so that it starts where its teacher
    stands. Raises ValueError where a tensor of the two does not fit.
    """
    layers = kept_layers(teacher.config.layers, student.config.layers)
    theirs = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        part, _, rest = name.removeprefix("blocks.").partition(".")
        source = f"blocks.{layers[int(part)]}.{rest}" if name.startswith("blocks.") else name
        found = theirs.get(source)
        if found is None or found.shape != tensor.shape:
            shape = "missing there" if found is None else f"{list(found.shape)} there and {list(tensor.shape)} here"
            raise ValueError(
                f"the student can't start from its teacher: {source} is {shape}; keep the teacher's width and heads"
            )
        tensor.copy_(found)
    if teacher.segment_embedding is not None and student.segment_embedding is None:
        table = student.position_embedding.weight
        table += teacher.segment_embedding.weight[0].to(table.device)
