"""The options of a fine-tuning. Every field is stored in `run.toml`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions, Device, Encoding, OptimOptions, Precision, Schedule, Section, by_optimizer


class TaskOptions(Section):
    """Which task, and where its examples are. `sources`: the fields that name files."""

    sources: ClassVar[tuple[str, ...]] = ("data", "test", "features")

    name: str = Field(description="a registered task, or a kind of task on your own file: classification, translation...")
    data: str | None = Field(None, description="the task's folder, or your own file; by default the hub's data set")
    text: str | None = Field(None, description="text column of your own file")
    pair: str | None = Field(None, description="column of the second text")
    label: str | None = Field(None, description="column of the label")
    image: str | None = Field(None, description="column of the picture: the name of its file, relative to your own file")
    features: str | None = Field(
        None, description="file with the regions of your own file's pictures, as a detector found them: .tsv, .npz or .parquet"
    )
    test: str | None = Field(None, description="test set file; by default a tenth of the examples, chosen by hash")
    encoding: Encoding | None = Field(
        None, description="of the files' text, as cp949 or utf-16 (default: UTF-8; a byte-order mark goes before both)"
    )
    bad_bytes: Literal["refuse", "replace"] | None = Field(
        None, description="what to do with bytes that are not of the encoding (default: refuse)"
    )
    train_share: float | None = Field(None, gt=0, le=1, description="share of the training examples to use, chosen by hash")


class LearningOptions(OptimOptions):
    """The optimiser of a fine-tuning: what is not given follows from the task."""

    lr: float | None = Field(None, gt=0, description="peak learning rate; by default the task's, scaled by model width")
    betas: tuple[float, float] | None = Field(
        default_factory=by_optimizer(adamw=(0.9, 0.999), muon=(0.9, 0.999)),
        description="AdamW's betas: decay rates of both moments",
    )
    eps: float | None = Field(default_factory=by_optimizer(adamw=1e-6, muon=1e-6), gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(
        default_factory=by_optimizer(adamw=0.01, adafactor=0.0, muon=0.01),
        ge=0,
        description="on matrices and embeddings only, never on biases and norms",
    )
    schedule: Schedule = "linear"
    warmup: float | None = Field(  # type: ignore[assignment]
        None, ge=0, description="learning-rate warm-up in steps; below 1: as a share of all steps; by default the task's"
    )
    final_lr: float = Field(0.0, ge=0, le=1, description="final learning rate as a share of the peak, for decaying schedules")
    freeze: int = Field(0, ge=0, description="number of frozen layer groups, counted from the input; 1: the embeddings")
    unfreeze: float = Field(
        0.0, ge=0, lt=1, description="gradual unfreezing: share of the run over which layer groups are unfrozen, the head first"
    )


class TranslationOptions(Section):
    """What only a model that writes its answers has, as a translation model does."""

    vocab_size: int | None = Field(
        None, gt=0, description="vocabulary size of the tokenizer to train on sources and targets; by default the size's"
    )
    separate: bool = Field(False, description="train one tokenizer on sources and one on targets, each with half of the ids")
    batch_tokens: int = Field(4096, gt=0, description="tokens per step, on the side that has more; or give batch instead")
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing: probability mass spread over the vocabulary")
    average: int = Field(
        5,
        gt=0,
        description="checkpoint averaging: number of last checkpoints whose mean is kept if better on validation; 1: off",
    )
    beams: int = Field(4, gt=0, description="number of beams; 1: greedy decoding")
    length_penalty: float = Field(
        1.0, description="length penalty: hypotheses are scored by log-probability / length**length_penalty"
    )
    coverage_penalty: float = Field(0.0, ge=0, description="weight of the coverage penalty (Wu et al. 2016)")


class MixingOptions(Section):
    """How often each of several tasks is drawn (Raffel et al. 2020, section 3.5.2)."""

    by: Literal["proportional", "equal"] = Field(
        "proportional", description="proportional: to the number of training examples; equal: all tasks alike"
    )
    limit: int | None = Field(None, gt=0, description="number of examples above which a task is drawn no more often")
    temperature: float = Field(1.0, ge=1, description="above 1: rates become more alike, rate**(1/temperature)")

    @model_validator(mode="after")
    def _with_effect(self) -> Self:
        for name, given in (("limit", self.limit), ("temperature", None if self.temperature == 1 else self.temperature)):
            if given and self.by == "equal":
                raise OptionError(f"‹mixing.{name}›={given:g} has no effect where all tasks are drawn alike: leave one out")
        return self


class DistilOptions(Section):
    """What fine-tuned models teach: a class for each text, as surely as they are on average (Hinton et al. 2015)."""

    teachers: list[str] = Field(default_factory=list, description="fine-tuned models of the same task, or linear baselines")
    texts: DataOptions | None = Field(None, description="texts without a label, which the teachers label: options of a corpus")
    most: int = Field(20_000, gt=0, description="largest number of these texts, chosen by hash")
    weight: float = Field(
        0.5, ge=0, le=1, description="weight of what the teachers say of a training example, beside its own label"
    )

    @model_validator(mode="after")
    def _taught(self) -> Self:
        given = self.model_dump(exclude_defaults=True)
        if not self.teachers and given:
            raise OptionError(f"‹{next(iter(given))}› has no effect without ‹teachers›: name one, or leave it out")
        if self.texts is None and "most" in given:
            raise OptionError(f"‹most›={self.most} has no effect without ‹texts›: leave it out")
        if self.texts is None and self.teachers and not self.weight:
            raise OptionError("‹weight›=0: without ‹texts›, nothing that the ‹teachers› say would be learned")
        if self.texts and "-" in self.texts.corpus:
            raise OptionError("‹texts›: stdin (-) can't be read again by another seed: save the texts in a file")
        return self


class TuningOptions(Section):
    """How a model learns a task: what a fine-tuning and a task of a comparison both say."""

    epochs: float | None = Field(None, gt=0, description="by default the task's")
    steps: int | None = Field(None, gt=0, description="number of steps, instead of epochs")
    batch: int | None = Field(None, gt=0, description="batch size in examples; by default the task's")
    micro_batch: int | None = Field(
        None, gt=0, description="micro-batch size in examples (gradient accumulation); by default the whole batch"
    )
    max_length: int | None = Field(
        None, gt=2, description="maximum tokens per text; by default the task's, at most the model's"
    )
    answer: Literal["head", "text"] | None = Field(
        None, description="head: a task head on the body; text: the answer is written; by default the family's usual one"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout of the head")
    body_dropout: float | None = Field(
        None, ge=0, lt=1, description="dropout of embeddings, attention and layers; by default the model's"
    )
    bpe_dropout: float = Field(
        0.0, ge=0, lt=1, description="BPE dropout: probability of leaving out a merge, newly drawn in each epoch"
    )
    layers: Literal["mix", "static", "top"] | None = Field(
        None,
        description="input of the head on ELMo: a learned mixture of the layers (default), token vectors, the last layer",
    )
    ngrams: int | None = Field(
        None,
        ge=1 << 8,
        le=1 << 26,
        description="number of buckets into which the texts' character n-grams are hashed, for a linear layer beside the head "
        "that learns with it; by default there is none",
    )
    gradient_windows: int | None = Field(
        None, gt=0, description="number of last windows of a text through which a gradient flows (ulmfit)"
    )
    evaluations: float = Field(2, gt=0, description="evaluations per epoch; the weights of the best one are kept")
    patience: int | None = Field(None, gt=0, description="early stopping after this many evaluations without improvement")
    optim: LearningOptions = Field(default_factory=LearningOptions)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs and self.steps:
            raise OptionError("‹epochs› and ‹steps› exclude each other: keep one")
        return self

    def without_effect_on_text(self) -> str | None:
        """The name of an option that has no effect on a model that answers by text; None where there is none."""
        if self.dropout != type(self).model_fields["dropout"].default:
            return "dropout"
        return next((name for name in ("layers", "ngrams", "gradient_windows") if getattr(self, name) is not None), None)

    def without_effect_on_features(self) -> str | None:
        """The name of an option that has no effect where the body's layers are features, which stay as they are (ELMo); None
        where there is none."""
        given = {
            "optim.freeze": self.optim.freeze > 0,
            "optim.unfreeze": self.optim.unfreeze > 0,
            "optim.layer_decay": self.optim.layer_decay < 1,
            "body_dropout": self.body_dropout is not None,
        }
        return next((name for name, is_given in given.items() if is_given), None)


class FinetuneOptions(TuningOptions):
    """All that decides a fine-tuning of one seed."""

    model: str = Field(description="a directory, a hub id, or FAMILY:SIZE to start from scratch")
    task: TaskOptions
    further_tasks: list[TaskOptions] = Field(
        default_factory=list, description="tasks that the same model learns beside the first, answered by text"
    )
    mixing: MixingOptions = Field(default_factory=MixingOptions)
    tokenizer: str | None = Field(None, description="for FAMILY:SIZE: a tokenizer's directory")
    shape: dict[str, Any] = Field(
        default_factory=dict, description="for FAMILY:SIZE: fields of the family's config that differ from the size"
    )
    seed: int = Field(0, ge=0)
    translation: TranslationOptions = Field(default_factory=TranslationOptions)
    distil: DistilOptions = Field(default_factory=DistilOptions)
    device: Device = "auto"
    precision: Precision = "auto"
    ablate: Literal["text", "image"] | None = Field(
        None, description="leave this side of examples with pictures out, in training, validation and test"
    )

    @model_validator(mode="after")
    def _scratch(self) -> FinetuneOptions:
        if self.tokenizer and not scratch(self.model):
            raise OptionError(f"‹tokenizer› has no effect with {self.model}: a trained model has its own")
        if self.shape and not scratch(self.model):
            name = next(iter(self.shape))
            raise OptionError(f"‹shape.{name}› has no effect with {self.model}: a trained model has its own shape")
        return self

    @model_validator(mode="after")
    def _several(self) -> FinetuneOptions:
        if not self.further_tasks:
            if changed := self.mixing.model_dump(exclude_defaults=True):
                raise OptionError(f"‹mixing.{next(iter(changed))}› has no effect on a single task: leave it out")
            return self
        idle = {"answer": self.answer == "head", "bpe_dropout": self.bpe_dropout > 0}
        idle["translation.batch_tokens"] = self.translation.batch_tokens != TranslationOptions().batch_tokens
        if name := next((name for name, given in idle.items() if given), None):
            better = {"answer": "they are answered by text", "bpe_dropout": "leave it out"}
            raise OptionError(f"‹{name}› can't be set for several tasks: {better.get(name, 'use ‹batch›, in examples')}")
        return self

    @property
    def tasks(self) -> list[TaskOptions]:
        """All tasks that are learned."""
        return [self.task, *self.further_tasks]


def scratch(model: str) -> tuple[str, str] | None:
    """(family, size) of FAMILY:SIZE, None for a directory or hub id."""
    family, colon, size = model.partition(":")
    return (family, size) if colon and family and size and "/" not in model and "\\" not in model else None
