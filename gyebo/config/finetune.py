"""The options of a fine-tuning. Every field is stored in `run.toml`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gyebo.config.errors import OptionError
from gyebo.config.run import Device, OptimOptions, Precision, Schedule, Section


class TaskOptions(Section):
    """Which task, and where its examples are."""

    name: str = Field(description="a registered task, or one of one's own: classification, translation...")
    data: str | None = Field(None, description="the task's folder, or a file of one's own; by default the hub's data set")
    text: str | None = Field(None, description="column of the text in one's own file")
    pair: str | None = Field(None, description="column of the second text")
    label: str | None = Field(None, description="column of the label")
    test: str | None = Field(None, description="a file of one's own to test on; by default a tenth of the examples, by hash")
    train_share: float | None = Field(None, gt=0, le=1, description="use this share of the training examples, by hash")


class LearningOptions(OptimOptions):
    """AdamW for fine-tuning: what is not given follows from the task."""

    lr: float | None = Field(None, gt=0, description="peak learning rate; by default the task's, by the model's width")
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-6, gt=0)
    weight_decay: float = Field(0.01, ge=0, description="on matrices and embeddings only, never on biases and norms")
    schedule: Schedule = "linear"
    warmup: float | None = Field(  # type: ignore[assignment]
        None, ge=0, description="steps of linear warm-up; below 1: a share of all steps; by default the task's"
    )
    final_lr: float = Field(0.0, ge=0, le=1, description="the last learning rate as a share of the peak, where it falls")
    freeze: int = Field(0, ge=0, description="groups of layers, from the input, that stay as they are; 1: the embeddings")
    unfreeze: float = Field(
        0.0, ge=0, lt=1, description="share of the run over which layers begin to learn, one group after the other, head first"
    )


class TranslationOptions(Section):
    """What only a translation has."""

    vocab_size: int | None = Field(
        None, gt=0, description="ids of the tokenizer that both languages share where none is given; by default the size's"
    )
    separate: bool = Field(
        False, description="each language has a tokenizer of its own, with half of the ids, where none is given"
    )
    batch_tokens: int = Field(4096, gt=0, description="tokens of one step, on the side that has more of them")
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing: the share that all ids of the vocabulary divide")
    average: int = Field(
        5, gt=0, description="weights: the mean of so many last checkpoints, where that is better on validation; 1: off"
    )
    beams: int = Field(4, gt=0, description="of the search; 1: the likeliest token at every step")
    length_penalty: float = Field(1.0, description="a translation's score is its log-probability / length**length_penalty")
    coverage_penalty: float = Field(0.0, ge=0, description="what is missing from full attention to the source costs so much")


class TuningOptions(Section):
    """How a model learns a task: what a fine-tuning and a task of a comparison both say."""

    epochs: float | None = Field(None, gt=0, description="by default the task's")
    steps: int | None = Field(None, gt=0, description="updates, instead of epochs")
    batch: int | None = Field(None, gt=0, description="examples of one step; by default the task's")
    micro_batch: int | None = Field(None, gt=0, description="examples of one forward pass; by default the whole batch")
    max_length: int | None = Field(None, gt=2, description="tokens of a text; by default the task's, at most the model's")
    dropout: float = Field(0.1, ge=0, lt=1, description="of the head")
    body_dropout: float | None = Field(
        None, ge=0, lt=1, description="of embeddings, attention and layers; by default the model's"
    )
    bpe_dropout: float = Field(0.0, ge=0, lt=1, description="leave out merges of words at random, anew in each epoch")
    layers: Literal["mix", "static", "top"] | None = Field(
        None,
        description="of ELMo, what the head reads: a learned mixture of the layers (default), token vectors, the last layer",
    )
    gradient_windows: int | None = Field(
        None, gt=0, description="of a text that is read in windows (ulmfit): the last ones, through which a gradient flows"
    )
    evaluations: float = Field(2, gt=0, description="in an epoch; the best one's weights are kept")
    patience: int | None = Field(None, gt=0, description="stop after so many evaluations without a better one")
    optim: LearningOptions = Field(default_factory=LearningOptions)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs and self.steps:
            raise OptionError("‹epochs› and ‹steps› exclude each other: keep one")
        return self

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
    tokenizer: str | None = Field(None, description="for FAMILY:SIZE: a tokenizer's directory")
    shape: dict[str, Any] = Field(
        default_factory=dict, description="for FAMILY:SIZE: fields of the family's config that differ from the size"
    )
    seed: int = Field(0, ge=0)
    translation: TranslationOptions = Field(default_factory=TranslationOptions)
    device: Device = "auto"
    precision: Precision = "auto"

    @model_validator(mode="after")
    def _scratch(self) -> FinetuneOptions:
        if self.tokenizer and not scratch(self.model):
            raise OptionError(f"‹tokenizer› has no effect with {self.model}: a trained model has its own")
        if self.shape and not scratch(self.model):
            name = next(iter(self.shape))
            raise OptionError(f"‹shape.{name}› has no effect with {self.model}: a trained model has its own shape")
        return self


def scratch(model: str) -> tuple[str, str] | None:
    """(family, size) of FAMILY:SIZE, None for a directory or hub id."""
    family, colon, size = model.partition(":")
    return (family, size) if colon and family and size and "/" not in model and "\\" not in model else None
