"""A fine-tuned model: a pretrained body with the head of a kind of task.

The head is determined by the family's style (`styles.py`) and the kind of task (`gyebo/tasks/kinds/`).
Letters: B batch, C choices, T length, W words, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gyebo.nn.adaptive import AdaptiveSoftmax
from gyebo.nn.cost import Workload
from gyebo.nn.counting import Counted
from gyebo.nn.outputs import Encoded
from gyebo.nn.pooling import first_token, last_token, max_token
from gyebo.tasks.heads.concat_pooling import concat_pool, read_text
from gyebo.tasks.heads.head import make_head, needs_pooler, reads_pooled, reads_windows
from gyebo.tasks.heads.layer_mix import STATIC, check_layers, make_mix, read_layers
from gyebo.tasks.heads.ngram_scores import NgramScores
from gyebo.tasks.heads.styles import JOINT, check_style, layers_are_features
from gyebo.tasks.kinds.kind import HeadForm, Kind
from gyebo.tasks.kinds.table import KINDS, find_kind
from gyebo.tasks.ngrams import NgramReading, Ngrams
from gyebo.tasks.objective import loss
from gyebo.tasks.seeing import PictureReading

_POOLINGS = {"first": first_token, "pooled": first_token, "last": last_token, "max": max_token}  # otherwise every token


class TaskModel(Counted, nn.Module):
    """A body and a head. `labels`: the names of the outputs (none for spans and choice). `problem`: problem_type of
    `transformers`, one of those of the kind, None where it has none. `layers`: for style mix, the input of the head: one of
    `gyebo.tasks.heads.layer_mix.LAYERS`. `pictures`: how it reads those of examples, for a kind that sees. `ngrams`: which
    n-grams of the texts a linear layer beside the head reads, if there is one."""

    heads: ClassVar[tuple[str, ...]] = ()  # what it was pretrained with is taken off
    generates: ClassVar[bool] = False
    encodes_source: ClassVar[bool] = False
    learned_as: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        body: Any,
        head: nn.Module,
        kind: Kind,
        *,
        style: str,
        labels: Sequence[str] = (),
        problem: str | None = None,
        layers: str | None = None,
        pictures: PictureReading | None = None,
        ngrams: Ngrams | None = None,
    ):
        super().__init__()
        self.body = body
        self.layers = check_layers(style, layers)
        self.mix = make_mix(self.layers, body.config)
        self.head: Any = head
        self.kind, self.style, self.labels = kind, style, tuple(labels)
        self.problem = problem
        self.pictures = pictures
        self.ngrams = NgramScores(ngrams, len(labels)) if ngrams else None

    @property
    def form(self) -> HeadForm:
        """The definition of the head."""
        assert self.kind.head is not None
        return self.kind.head

    @property
    def config(self) -> Any:
        """The config of the body."""
        return self.body.config

    @property
    def family(self) -> str:
        """The family of the body."""
        return self.body.family

    @property
    def title(self) -> str:
        """What it is called in messages: BERT with a task head."""
        return f"{self.body.title} with a task head"

    @property
    def dropout(self) -> float:
        """Dropout of the head."""
        return self.head.p

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        visual_feats: Tensor | None = None,
        visual_pos: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        region_document_ids: Tensor | None = None,
        ngram_ids: Tensor | None = None,
        ngram_weights: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        labels: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **extra: Tensor,
    ) -> Any:
        """The head's outputs for one text per row, ids [B, T] (choice: [B, C, T], as all inputs).

        spans return `SpansOutput`, dependency `ParsingOutput`, all others `TaskOutput` of `gyebo.nn.outputs`; dependency takes
        the positions [B, W] of each word's first and last token, `word_first` and `word_last`, and `word_mask`, 0 at padding. A
        kind that sees takes features and boxes of regions as the body does. A model that reads n-grams takes their columns and
        weights [B, G] (`gyebo.tasks.ngrams`). `document_ids` may replace the mask, and
        `region_document_ids` that of regions; a row holds one text, so all ids that are not 0 are equal.

        With `labels`, of spans `start_positions` and `end_positions`, as in `transformers`, the output has the mean `loss` of
        the kind. Raises ValueError for inputs of another kind of task.
        """
        right = self._right(labels, start_positions, end_positions)
        self._check_inputs(input_ids, extra, output_attentions)
        self._check_ngrams(ngram_ids, ngram_weights)
        if attention_mask is None and document_ids is not None:
            attention_mask = (document_ids != 0).long()
        given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "position_ids": position_ids}
        inputs = {"input_ids": input_ids} | {name: tensor for name, tensor in given.items() if tensor is not None}
        if self.form.grouped:
            inputs = {name: tensor.flatten(0, 1) for name, tensor in inputs.items()}
        wanted = {"return_layers": output_hidden_states, "return_attentions": output_attentions}
        if visual_attention_mask is None and region_document_ids is not None:
            visual_attention_mask = (region_document_ids != 0).long()
        shown = {"visual_feats": visual_feats, "visual_pos": visual_pos, "visual_attention_mask": visual_attention_mask}
        inputs |= self._picture({name: tensor for name, tensor in shown.items() if tensor is not None})
        arguments: dict[str, Any] = inputs | {name: True for name, value in wanted.items() if value}
        if reads_windows(self.form, self.style):
            encoded, mask = read_text(self.body, windows=self.head.windows, **arguments)
            assert encoded.raw is not None
            scores = self.head(concat_pool(encoded.raw, mask))
        else:
            hidden, encoded = read_layers(self.body, self.layers, self.mix, arguments)
            scores = self.head(self._rows(hidden, encoded, inputs), **extra)
        apart: tuple[Tensor, ...] = ()
        if self.ngrams is not None:
            assert ngram_ids is not None and ngram_weights is not None
            apart = scores, self.ngrams(ngram_ids, ngram_weights)
            scores = self.ngrams.answer(*apart)
        if self.form.grouped:
            scores = scores.view(input_ids.shape[:2])
        layers = encoded.layers if output_hidden_states else None  # style mix computes them in any case
        output = self.form.output(scores, hidden_states=layers, attentions=encoded.attentions)
        if apart:
            output.apart = apart
        if right:
            ids = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            batch = {"input_ids": input_ids, "document_ids": ids, **extra, **right}
            output.loss = loss(self.form, output, batch, apart=self.training) / max(1, self.form.count(batch))
        return output

    def _right(self, labels: Tensor | None, start: Tensor | None, end: Tensor | None) -> dict[str, Tensor]:
        """The right answers of a batch, where they are given; ValueError for those of another kind of task."""
        given = {"labels": labels, "start_positions": start, "end_positions": end}
        found = {name: tensor for name, tensor in given.items() if tensor is not None}
        wanted = self.form.answers
        if found and set(found) != set(wanted):
            needed = " and ".join(f"{name}=" for name in wanted) or "no labels"
            raise ValueError(f"{next(iter(found))}= does not belong to kind {self.kind.name}, which takes {needed}")
        return found

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `config.json` and `model.safetensors`, which `transformers` opens where it has the family."""
        type(self.body).save_pretrained(self, directory)

    def _check_inputs(self, input_ids: Tensor, extra: dict[str, Tensor], attentions: bool) -> None:
        """ValueError for inputs that the kind does not take, and for missing ones."""
        form = self.form
        if attentions and not self.body.gives_attentions:
            raise ValueError(f"output_attentions: {self.family} has no attention whose weights could be given: leave it out")
        if strange := [name for name in extra if name not in (*form.inputs, *form.optional)]:
            raise ValueError(f"{strange[0]} does not belong to kind {self.kind.name}: leave it out")
        if missing := [name for name in form.inputs if name not in extra]:
            raise ValueError(f"kind {self.kind.name} needs {' and '.join(missing)}")
        if form.grouped and input_ids.ndim != 3:
            raise ValueError(f"input_ids of kind {self.kind.name} must be [B, C, T], but is {list(input_ids.shape)} instead")

    def _check_ngrams(self, ids: Tensor | None, weights: Tensor | None) -> None:
        """ValueError where they are missing, or given to a model that reads none."""
        if self.ngrams is None and (ids is not None or weights is not None):
            raise ValueError("ngram_ids and ngram_weights: this model reads no n-grams: leave them out")
        if self.ngrams is not None and (ids is None or weights is None):
            raise ValueError("ngram_ids and ngram_weights are missing, which this model reads: gyebo.predict makes them")

    def _picture(self, shown: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is shown of a picture; ValueError for a kind that sees none."""
        if shown and not self.form.sees:
            raise ValueError(f"{next(iter(shown))} does not belong to kind {self.kind.name}: leave it out")
        return shown

    def _rows(self, hidden: Tensor, encoded: Encoded, inputs: dict[str, Tensor]) -> Tensor:
        pooling = self.form.specs[self.style].pooling
        if pooling == JOINT:
            real, shown = (inputs.get(name) for name in ("attention_mask", "visual_attention_mask"))
            return self.body.joint_vectors(encoded, *(None if mask is None else mask != 0 for mask in (real, shown)))
        if pooling not in _POOLINGS:
            return hidden
        vectors = _POOLINGS[pooling](hidden, inputs.get("attention_mask"))
        return self.body.pool(vectors) if reads_pooled(self.form, self.style) else vectors

    def train(self, mode: bool = True) -> TaskModel:
        """Set training mode; a frozen body whose layers are features (style mix) stays in evaluation mode, without dropout."""
        super().train(mode)
        if layers_are_features(self.style) and not any(parameter.requires_grad for parameter in self.body.parameters()):
            self.body.eval()
        return self

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: the groups of the body, starting with its token embedding, then the head and the
        weights of the layers."""
        table = None if self.body.reads_characters else self.body.token_embedding
        first = set() if table is None else {id(p) for p in table.parameters()}
        groups = sorted(self.body.layer_groups(), key=lambda group: first.isdisjoint(map(id, group)) if first else 0)
        return [*groups, [p for part in self._added() for p in part.parameters()]]

    def block_matrices(self) -> dict[Tensor, int]:
        """Those of the body, which are the head's neither."""
        found: dict[Tensor, int] = self.body.block_matrices()
        return found

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass of body and head (`gyebo/nn/cost.py`)."""
        if self.form.specs[self.style].pooling == JOINT:
            work = Workload(work.lengths, {**work.projected, JOINT: work.documents()})
        body = self.body.flops(work, **({"depth": 0} if self.layers == STATIC else {}))
        pooled = work.documents() * self.config.width**2 if reads_pooled(self.form, self.style) else 0
        beside = self.ngrams.flops(work) if self.ngrams is not None else 0.0
        return body + 2 * pooled + self.head.flops(work) + beside

    def count_parameters(self, *, embeddings: bool = True) -> int:
        """Number of parameters of body and head, tied ones once; without `embeddings`: without the embedding tables."""
        added = sum(p.numel() for part in self._added() for p in part.parameters())
        return self.body.count_parameters(embeddings=embeddings) + added

    def _added(self) -> list[nn.Module]:
        return [part for part in (self.mix, self.head, self.ngrams) if part is not None]


def add_head(
    model: Any,
    style: str,
    kind: str,
    labels: Sequence[str] | int | None = None,
    *,
    dropout: float = 0.1,
    problem: str | None = None,
    layers: str | None = None,
    pictures: PictureReading | None = None,
    ngrams: NgramReading | None = None,
) -> TaskModel:
    """Put a newly initialised head on a pretrained model; its pretraining heads (LM, MLM, NSP) are removed.

    The weights move into the result: do not use `model` afterwards. A pooler that the head needs and the model lacks is newly
    initialised. `kind`: the name of one of `gyebo.tasks.kinds.table.KINDS`. `labels`: names of the outputs, or their number;
    none for regression, spans and choice. `dropout`: of the head. `problem`: problem_type of `transformers`, by default the
    first of the kind. `layers`: the input of a head of style mix. `pictures`: how a kind that sees reads them. `ngrams`:
    how a linear layer beside the head reads those of the texts. Random numbers come from torch's generator. Raises ValueError
    for an unknown style or kind, one that the model cannot have, labels or layers that do not fit, or dropout out of range.
    """
    check_style(style)
    found = find_kind(kind)
    form = found.head
    if form is None:
        raise ValueError(f"kind {kind} has no head")
    if ngrams and not form.ngrams:
        raise ValueError(f"kind {kind} has no layer for n-grams")
    if form.sees and not model.sees:
        raise ValueError(f"{model.family} sees no pictures, which a head for {kind} reads")
    if reads_windows(form, style) and not model.carries_state:
        raise ValueError(f"{model.family} carries no state between windows, which a head of style concat needs")
    names = _names(found, form, labels)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout of a head must be from 0 to below 1, but is {dropout} instead")
    model = model.without_decoder() if form.encoder_alone and model.embeds_source else model
    body = without_pretraining_heads(model, pooler=needs_pooler(form, style, model))
    head = make_head(form, style, body.config, labels=len(names), dropout=dropout)
    first = next(body.parameters())
    problem = _problem(found, len(names), problem)
    known = ngrams.ngrams if ngrams else None
    made = TaskModel(
        body, head, found, style=style, labels=names, problem=problem, layers=layers, pictures=pictures, ngrams=known
    )
    if ngrams and made.ngrams:
        made.ngrams.idf.copy_(torch.from_numpy(ngrams.idf))
    for part in made._added():
        part.to(first.device, first.dtype)
    return made.train(model.training)


def _problem(kind: Kind, labels: int, asked: str | None) -> str | None:
    """problem_type of `transformers`: the first one of the kind, unless another is requested. ValueError where `transformers`
    would take so many labels for another kind of the same class."""
    assert kind.head is not None
    known = kind.head.problems
    if asked is not None and asked not in known:
        raise ValueError(f"problem of kind {kind.name} must be one of {', '.join(known) or 'none'}, but is {asked!r} instead")
    if asked is None and (other := _default_kind(kind.head.transformers_class, labels)) not in (None, kind.name):
        raise ValueError(f"labels: kind {kind.name} with {labels} is what transformers calls a {other}: use that kind")
    return asked or next(iter(known), None)


def _default_kind(transformers_class: str, labels: int) -> str | None:
    """The kind of task that a class of `transformers` is for where it has so many labels and says no more."""
    heads = {kind.name: kind.head for kind in KINDS.values() if kind.head}
    found = (
        name for name, head in heads.items() if (head.transformers_class, head.default_labels) == (transformers_class, labels)
    )
    return next(found, None)


def _names(kind: Kind, form: HeadForm, labels: Sequence[str] | int | None) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise ValueError(f"labels must be several names or their number, but is the one string {labels!r}")
    labels = form.default_labels if labels is None else labels
    names = default_labels(labels) if isinstance(labels, int) else tuple(labels or ())
    if form.outputs is not None:
        if len(names) not in (0, form.outputs):
            raise ValueError(f"labels: kind {kind.name} has no labels, but {len(names)} were given")
        return ()
    if not names:
        raise ValueError(f"labels: kind {kind.name} needs at least one, but none was given")
    if len(set(names)) != len(names):
        raise ValueError("labels: a label occurs twice")
    return names


def default_labels(count: int) -> tuple[str, ...]:
    """LABEL_0, LABEL_1 and so on, the names that `transformers` gives to labels without one."""
    return tuple(f"LABEL_{number}" for number in range(count))


def without_pretraining_heads(model: Any, pooler: bool = False) -> Any:
    """The model as a body with shared weights: without its pretraining heads, with or without its pooler.

    An output layer tied to the token embedding (GPT) has no weights of its own and is kept; an untied one is removed.
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
    """Remove the output layer of a causal model unless it is tied to the token embedding; an adaptive softmax has more than is
    tied."""
    if body.output is not None and (not body.config.tied or isinstance(body.output, AdaptiveSoftmax)):
        del body.lm_head
        body.heads = ()


def body_of(model: Any) -> Any:
    """The body of a fine-tuned model, otherwise the model itself."""
    return model.body if isinstance(model, TaskModel) else model
