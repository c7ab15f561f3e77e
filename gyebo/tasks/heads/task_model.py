"""Task heads over the model protocol: what stands on a pretrained body when it is fine-tuned.

Every family reads its own way, as published and as `transformers` has it (`style`, which `gyebo/models/family.py` names):

| style | one text or pair ("classification"), one of several ("choice") |
| --- | --- |
| pooled (BERT, Devlin et al. 2019) | first token -> pooler (dense, tanh) -> dropout -> linear |
| dense (RoBERTa, Liu et al. 2019) | first token -> dropout -> dense -> tanh -> dropout -> linear; choice as pooled |
| pre-classifier (DistilBERT, Sanh et al. 2019) | first token -> dense -> ReLU -> dropout -> linear |
| last (GPT, Radford et al. 2018, GPT-2) | last token -> dropout -> linear without bias |
| concat (ULMFiT, Howard & Ruder 2018) | all tokens, pooled, and two layers: `concat_pooling.py` beside this; choice as last |
| mix (ELMo, Peters et al. 2018) | mixture of the layers -> largest of each feature over tokens -> dropout -> linear |

Of every style: "tagging" is dropout -> linear at each position; "spans" is linear to a start and an end logit at each position
(pre-classifier: dropout before); "dependency" is the biaffine parser of `biaffine.py` beside this on words. With mix they read
the mixture too (`layer_mix.py`), and the body stays as it is unless it starts from scratch.

First and last mean real tokens: padding may stand anywhere. Letters: B batch, C choices, T length, W words, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from gyebo.nn.pooling import first_token, last_token, max_token
from gyebo.tasks.heads.concat_pooling import ConcatHead, concat_pool, read_text
from gyebo.tasks.heads.layer_mix import check_layers, make_mix, read_layers
from gyebo.tasks.heads.styles import PROBLEMS, head_style, make_head, reads_pooled, reads_windows
from gyebo.tasks.task import OUTPUTS


class TaskModel(nn.Module):
    """A body and a head. `labels`: the names of the outputs (none for spans and choice). `problem`: "regression" for one
    output, else "single_label_classification" (what `transformers` calls problem_type); None where it is no classification.
    `layers`: of style mix, what is read of the body: one of `gyebo.tasks.heads.layer_mix.LAYERS`."""

    heads: ClassVar[tuple[str, ...]] = ()  # what it was pretrained with is taken off
    generates: ClassVar[bool] = False
    encodes_source: ClassVar[bool] = False

    def __init__(
        self,
        body: Any,
        head: nn.Module,
        style: str,
        kind: str,
        labels: Sequence[str],
        problem: str | None = None,
        layers: str | None = None,
    ):
        super().__init__()
        self.body = body
        self.layers = check_layers(style, layers)
        self.mix = make_mix(self.layers, body.config)
        self.head: Any = head
        self.style, self.kind, self.labels = style, kind, tuple(labels)
        if problem is None and kind == "classification":
            problem = PROBLEMS[len(self.labels) == 1]
        self.problem = problem

    @property
    def config(self) -> Any:
        """The body's."""
        return self.body.config

    @property
    def family(self) -> str:
        """The body's."""
        return self.body.family

    @property
    def dropout(self) -> float:
        """Of the head."""
        return self.head.p

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        word_first: Tensor | None = None,
        word_last: Tensor | None = None,
        word_mask: Tensor | None = None,
        labels: None = None,
    ) -> Any:
        """Logits of one text a row, ids [B, T] (choice: [B, C, T], and so all inputs).

        classification: [B, labels]. tagging: [B, T, labels]. spans: [B, T, 2], start and end; what stands at padding means
        nothing. choice: [B, C]. dependency: `Arcs`, from the positions [B, W] of each word's first and last piece and
        `word_mask`, 0 where there is no word. `document_ids` may stand in the place of the mask; a row holds one text, so all
        that are not 0 are the same. Raises ValueError for `labels`, and for words where the kind reads none or lacks them.
        """
        if labels is not None:
            raise ValueError("labels= is not taken: a model has no loss here; the task has it")
        if (self.kind == "dependency") != (word_first is not None and word_last is not None):
            raise ValueError(f"word_first and word_last belong to kind dependency, but the kind is {self.kind}")
        if attention_mask is None and document_ids is not None:
            attention_mask = (document_ids != 0).long()
        given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "position_ids": position_ids}
        inputs = {"input_ids": input_ids} | {name: tensor for name, tensor in given.items() if tensor is not None}
        if self.kind == "choice":
            if input_ids.ndim != 3:
                raise ValueError(f"input_ids of kind choice must be [B, C, T], but is {list(input_ids.shape)} instead")
            inputs = {name: tensor.flatten(0, 1) for name, tensor in inputs.items()}
        if isinstance(self.head, ConcatHead):
            return self.head(concat_pool(*read_text(self.body, **inputs, windows=self.head.windows)))
        hidden = read_layers(self.body, self.layers, self.mix, inputs)
        if self.kind == "dependency":
            return self.head(hidden, word_first, word_last, word_mask)
        logits = self.head(self._rows(hidden, inputs.get("attention_mask")))
        return logits.view(input_ids.shape[:2]) if self.kind == "choice" else logits

    def _rows(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        rows = self.head.reading.rows
        if rows == "every":
            return hidden
        if rows in ("last", "max"):
            return (last_token if rows == "last" else max_token)(hidden, mask)
        first = first_token(hidden, mask)
        return self.body.pool(first) if rows == "pooled" else first

    def train(self, mode: bool = True) -> TaskModel:
        """Into training mode or out of it; features that stay as they are, those of style mix, are read without dropout."""
        super().train(mode)
        if self.style == "mix" and not any(parameter.requires_grad for parameter in self.body.parameters()):
            self.body.eval()
        return self

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: the body's groups, that of its table first, then the head's, with the mixture."""
        table = None if self.body.reads_characters else self.body.token_embedding
        groups = sorted(self.body.layer_groups(), key=lambda group: not any(p is table.weight for p in group) if table else 0)
        return [*groups, [p for part in self._added() for p in part.parameters()]]

    def flops(self, tokens: float, context: int, projected: float = 0.0) -> float:
        """Operations of a forward pass over so many tokens in rows of `context`: the body's. The head's vanish beside them, and
        nothing is projected on a vocabulary, whatever `projected` says."""
        return self.body.flops(tokens, context, 0.0)

    def count_parameters(self, *, embeddings: bool = True) -> int:
        """Of body and head, tied tensors once; without `embeddings`: less the tables."""
        added = sum(p.numel() for part in self._added() for p in part.parameters())
        return self.body.count_parameters(embeddings=embeddings) + added

    def _added(self) -> list[nn.Module]:
        return [part for part in (self.mix, self.head) if part is not None]


def add_head(
    model: Any,
    style: str,
    kind: str,
    labels: Sequence[str] | int | None = None,
    dropout: float = 0.1,
    problem: str | None = None,
    layers: str | None = None,
) -> TaskModel:
    """Put a fresh head on a pretrained model; what it has learned to pretrain with (LM, MLM, NSP) is taken off.

    The weights move into the result: do not use `model` afterwards. A pooler that the head needs and the model lacks starts
    afresh. `labels`: names of the outputs, or their number; none for spans and choice. `dropout`: of the head. `problem`: one
    of `PROBLEMS`, only for classification. `layers`: what a head of style mix reads of the body. Random numbers come from
    torch's generator. Raises ValueError for an unknown style or kind, one that the model cannot have, labels or layers that do
    not fit, or dropout out of range.
    """
    head_style(style, kind)
    if reads_windows(style, kind) and not model.carries_state:
        raise ValueError(f"{model.family} hands no state on from window to window, which a head of style concat needs")
    names = _names(kind, labels)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout of a head must be from 0 to below 1, but is {dropout} instead")
    if problem is not None and (kind != "classification" or problem not in PROBLEMS):
        raise ValueError(f"problem must be one of {', '.join(PROBLEMS)} and of kind classification, but is {problem!r}, {kind}")
    body = without_pretraining_heads(model, pooler=reads_pooled(style, kind))
    head = make_head(style, kind, len(names), body.config, dropout)
    first = next(body.parameters())
    made = TaskModel(body, head, style, kind, names, problem, layers)
    for part in made._added():
        part.to(first.device, first.dtype)
    return made.train(model.training)


def _names(kind: str, labels: Sequence[str] | int | None) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise ValueError(f"labels must be several names or their number, but is the one string {labels!r}")
    names = default_labels(labels) if isinstance(labels, int) else tuple(labels or ())
    if kind in OUTPUTS:
        if len(names) not in (0, OUTPUTS[kind]):
            raise ValueError(f"labels: kind {kind} has none to name, but {len(names)} were given")
        return ()
    if not names:
        raise ValueError(f"labels: kind {kind} needs at least one, but none was given")
    if len(set(names)) != len(names):
        raise ValueError("labels: a name stands there twice")
    return names


def default_labels(count: int) -> tuple[str, ...]:
    """LABEL_0, LABEL_1 and so on, as `transformers` calls what has no name."""
    return tuple(f"LABEL_{number}" for number in range(count))


def without_pretraining_heads(model: Any, pooler: bool = False) -> Any:
    """The model as a body, its weights shared: without its pretraining heads, with or without its pooler.

    An output layer tied to the token embedding (GPT) holds no weights of its own and stays: fine-tuning may go on learning the
    language with it. An untied one goes.
    """
    parts = dict.fromkeys(model.parts(), False) | ({"pooler": pooler} if model.has_pooler else {})
    changed = {name: value for name, value in parts.items() if getattr(model.config, name) != value}
    if pooler and not model.has_pooler:
        raise ValueError(f"{model.family} has no pooler, which this head reads")
    body = model
    if changed:
        body = type(model)(replace(model.config, **changed))
        first = next(model.parameters())
        body.to(first.device, first.dtype)
        wanted = body.state_dict().keys()
        kept = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name in wanted}
        body.load_state_dict(kept, strict=False, assign=True)
        body.train(model.training)
    drop_untied_output(body)
    return body


def drop_untied_output(body: Any) -> None:
    """Take off a causal model's output layer where it is not the token embedding."""
    if body.output is not None and not body.config.tied:
        del body.lm_head
        body.heads = ()


def body_of(model: Any) -> Any:
    """The body of a fine-tuned model, else the model itself."""
    return model.body if isinstance(model, TaskModel) else model
