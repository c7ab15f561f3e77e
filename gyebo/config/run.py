"""The options of a training run. Every field is stored in `run.toml` and can be set with `--set section.field=value`."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gyebo.config.errors import OptionError

Schedule = Literal["cosine", "linear", "constant", "inverse-root", "slanted-triangular", "wsd"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]


SOURCES = re.compile(r"data\.(corpus|valid|without)|tokenizer(\.path)?|start_from|teacher|model|tasks?(\.\d+)?\.(data|test)")


def names_source(option: str) -> bool:
    """Whether an option of a run, a fine-tuning or a recipe says where something lies: what that is decides, not its name."""
    return SOURCES.fullmatch(option) is not None


class Section(BaseModel):
    """A group of options; an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


class DataOptions(Section):
    """Which text, cut into which documents, and which part is held out."""

    corpus: list[str] = Field(min_length=1, description="files, folders, globs, hf:NAME, world:, or - for stdin")
    documents: Literal["line", "blank", "file"] = Field("line", description="what a document is in plain text")
    text_field: str = Field("text", description="the column or key that holds the text in jsonl, csv, tsv, parquet and hf:")
    bad_bytes: Literal["refuse", "replace"] = Field("refuse", description="what to do with bytes that are not UTF-8")
    valid: str | None = Field(None, description="a corpus to use as the held-out set")
    valid_last: float | None = Field(None, gt=0, lt=1, description="hold out this share at the end of the text")
    valid_share: float | None = Field(
        None, gt=0, lt=1, description="hold out this share of the documents, chosen by hash (default 0.01)"
    )
    without: list[str] = Field(
        default_factory=list,
        description="texts that must not be learned, named as a corpus: documents that hold one are left out of training",
    )
    across_documents: bool = Field(False, description="let attention cross document boundaries")
    order: Literal["auto", "shuffled", "lanes"] = Field(
        "auto", description="packed rows in random order, or lanes with a carried state (truncated BPTT); auto: by family"
    )
    plan_seed: int = Field(
        0, ge=0, description="seed of packing and of the order of documents in lanes; the same for all runs of a comparison"
    )

    @model_validator(mode="after")
    def _one_held_out_part(self) -> DataOptions:
        given = [f"‹{n}›" for n in ("valid", "valid_last", "valid_share") if getattr(self, n) is not None]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} exclude each other: keep one")
        if "-" in self.without:
            raise OptionError("‹data.without›: texts to leave out are read from files, not from stdin (-)")
        return self

    @property
    def hash_share(self) -> float:
        """The share of documents held out by hash; 0 where another way was chosen."""
        if self.valid is not None or self.valid_last is not None:
            return 0.0
        return 0.01 if self.valid_share is None else self.valid_share


class OptimOptions(Section):
    """AdamW (Loshchilov & Hutter 2019) and its schedule."""

    lr: float | None = Field(None, gt=0, description="peak learning rate; by default by model width")
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.1, ge=0, description="on matrices and embeddings only, never on biases and norms")
    schedule: Schedule = "cosine"
    # With 2 % post-norm models of a short run stay at the frequencies of single tokens.
    warmup: float = Field(0.1, ge=0, description="learning-rate warm-up in steps; below 1: as a share of all steps")
    final_lr: float = Field(0.1, ge=0, le=1, description="final learning rate as a share of the peak, for decaying schedules")
    layer_decay: float = Field(1.0, gt=0, le=1, description="learning rate of a layer as a share of that of the layer above it")
    clip: float = Field(1.0, ge=0, description="gradient clipping: maximum norm; 0: off")

    @model_validator(mode="after")
    def _betas(self) -> OptimOptions:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError(f"‹betas› must lie in [0, 1), but are {list(self.betas)} instead")
        return self


class BudgetOptions(Section):
    """How much training: exactly one of these."""

    steps: int | None = Field(None, gt=0)
    tokens: float | None = Field(None, gt=0)
    flops: float | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> BudgetOptions:
        given = [name for name in ("steps", "tokens", "flops", "minutes") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"‹{name}›" for name in given) or "none"
            raise OptionError(f"the budget needs exactly one of ‹steps›, ‹tokens›, ‹flops›, ‹minutes›; found {found}")
        return self


class TrainOptions(Section):
    """How the loop runs."""

    batch_tokens: int = Field(8192, gt=0, description="global batch size in tokens")
    micro_batch_tokens: int | None = Field(
        None, gt=0, description="micro-batch size in tokens (gradient accumulation); by default the whole batch"
    )
    device: Device = "auto"
    precision: Precision = "auto"
    compile: bool = Field(False, description="use torch.compile")
    checkpoint_every: int | None = Field(None, gt=0, description="checkpoint interval in steps; by default a tenth of the run")
    keep: int = Field(2, ge=2, description="number of checkpoints to keep")
    evaluate_every: int | None = Field(None, gt=0, description="evaluation interval in steps; by default a tenth of the run")
    evaluate_tokens: int = Field(32_768, gt=0, description="tokens of an evaluation during training; the final one uses all")
    evaluate_context: int | None = Field(
        None, gt=1, description="context length in tokens of an evaluation; by default that of training, ULMFiT's longest text"
    )


class ModelOptions(Section):
    """Which model, and what it learns from text."""

    family: str
    size: str = "mini"
    model: dict[str, Any] = Field(default_factory=dict, description="fields of the family's config that differ from the size")
    objective: dict[str, Any] = Field(default_factory=dict, description="options of the objective")


class RunOptions(ModelOptions):
    """All that decides a pretraining run."""

    start_from: str | None = Field(None, description="start from the weights of this model")
    teacher: str | None = Field(None, description="teacher model (gyebo distill)")
    tokenizer: str | None = Field(None, description="a tokenizer's directory; by default one is trained on the corpus")
    vocab_size: int = Field(16_000, gt=0, description="vocabulary size of the tokenizer to train")
    context: int | None = Field(None, gt=1, description="context length in tokens; by default the model's")
    seed: int = Field(0, ge=0)
    data: DataOptions
    optim: OptimOptions = Field(default_factory=OptimOptions)
    budget: BudgetOptions
    train: TrainOptions = Field(default_factory=TrainOptions)
