"""One row of the family tree, without torch, and the special tokens that several families share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

END = "<|endoftext|>"
BRACKETS = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "cls": "[CLS]", "eos": "[SEP]", "sep": "[SEP]", "mask": "[MASK]"}
ANGLES = {"pad": "<pad>", "bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
PLAIN = {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}

HEAD, TEXT = "head", "text"
"""How a family answers a task: with a head on its body, or with text that it generates."""


def adam(beta2: float, eps: float, *, decay: float, schedule: str, warmup: float, **more: Any) -> dict[str, Any]:
    """Adam as a paper has it, whose rate falls to 0, as options of pretraining. `warmup`: a share of the published steps."""
    named = {"betas": (0.9, beta2), "eps": eps, "weight_decay": decay, "schedule": schedule, "warmup": warmup, "final_lr": 0.0}
    return {f"optim.{name}": value for name, value in {**named, **more}.items()}


@dataclass(frozen=True)
class Family:
    """One member of the tree.

    `parents`: the families whose blocks its file may import. `objective`: the name in `gyebo/objectives/table.py`. `cls`:
    "module:Class". `sizes`: published and own sizes with their exact parameter counts at the default vocabulary, tied tensors
    once. `tokens`: role -> token string (two roles with one string share an id); none: it reads no text. `head_style`: what a
    classification head is made of, a name of `gyebo/tasks/heads/styles.py`; "": there is none. `answers`: how it answers a
    task, HEAD, TEXT or both, what is usual for it first; () where it learns none. `single`, `pair`: templates over roles and
    $A, $B. `padding_side`: where its tokenizer pads in `transformers`. `published`: options of the objective in which the
    family differs from the objective's own defaults. `training`: options of pretraining as its paper has them, by name, for the
    recipe "published"; None where that needs what gyebo has not. `tuning`: options of a fine-tuning, likewise. `prefixes`: what
    it reads begins with the name of the task, as it answers many. `student`: the family that learns from it as a teacher; None
    where none does. `starts_from`: other families whose body has the same layers, from which a pretraining may start.
    `in_transformers`: its directories open there; else they are gyebo's own, with `model_type` "gyebo-NAME".
    """

    name: str
    title: str
    year: int
    paper: str
    parents: tuple[str, ...]
    objective: str
    cls: str
    sizes: dict[str, int]
    tokens: dict[str, str]
    head_style: str
    answers: tuple[str, ...] = (HEAD,)
    single: tuple[str, ...] = ("$A",)
    pair: tuple[str, ...] = ("$A", "$B")
    model_inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    padding_side: str = "right"
    novelty: str = ""
    published: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    tuning: dict[str, Any] = field(default_factory=dict)
    student: str | None = None
    starts_from: tuple[str, ...] = ()
    prefixes: bool = False
    in_transformers: bool = True

    def __post_init__(self) -> None:
        if (
            (HEAD in self.answers) != bool(self.head_style)
            or not {HEAD, TEXT} >= {*self.answers}
            or (self.answers and not self.reads_text)
        ):
            raise ValueError(f"{self.name}: answers = {self.answers} does not fit head_style = {self.head_style!r}")

    @property
    def reads_text(self) -> bool:
        """Whether it has a tokenizer; a family without one sees pictures alone."""
        return bool(self.tokens)

    @property
    def templates_for_tasks(self) -> bool:
        """Whether its templates are of fine-tuning alone: it is pretrained on plain text, and a published tokenizer of it puts
        nothing around texts."""
        return self.head_style == "last"
