"""The options of a training run. Every field is stored in `run.toml` and can be set with `--set section.field=value`."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _Meta
else:
    _Meta = type(BaseModel)

Schedule = Literal["cosine", "linear", "constant", "inverse-root", "slanted-triangular", "wsd"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
OPTIMIZERS = {"adamw": "AdamW", "adafactor": "Adafactor", "muon": "Muon"}


_NOT_OF_FILES = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "unicode_escape", "raw_unicode_escape", "utf-7"}
_NOT_OF_FILES |= {"undefined", "mbcs", "oem"}


def known_encoding(name: str) -> str:
    """The name of an encoding in which files of text are. OptionError for any other."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not getattr(found, "_is_text_encoding", True) or found.name in _NOT_OF_FILES:
        raise OptionError(f"{name} is no encoding of text: name one as cp949, euc-kr, utf-16, shift_jis, gb18030 or latin-1")
    return name


Encoding = Annotated[str, AfterValidator(known_encoding)]
SOURCES = re.compile(
    r"data\.(corpus|valid|without)|tokenizer(\.path)?|picture_tokenizer|start_from|teacher|model|distil\.(teachers|texts\.(corpus|valid|without))|(further_)?tasks?(\.\d+)?\.(data|test|features)"
)


def names_source(option: str) -> bool:
    """Whether an option of a run, a fine-tuning or a recipe says where something lies: what that is decides, not its name."""
    return SOURCES.fullmatch(option) is not None


class _OneLine(_Meta):
    """What is wrong with options that are given in Python is one line too (`gyebo.config.toml.check`)."""

    def __call__(cls, /, *args: Any, **values: Any) -> Any:
        from gyebo.config.toml import said

        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise said(cls, error) from None  # type: ignore[arg-type]


class Section(BaseModel, metaclass=_OneLine):
    """A group of options; an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


class DataOptions(Section):
    """Which text, cut into which documents, and which part is held out."""

    corpus: list[str] = Field(min_length=1, description="files, folders, globs, hf:NAME, world:, or - for stdin")
    documents: Literal["line", "blank", "file"] = Field("line", description="what a document is in plain text")
    text_field: str = Field(
        "text",
        description="the column or key that holds the text in jsonl, csv, tsv, parquet and hf:; of pictures also several: a,b",
    )
    encoding: Encoding | None = Field(
        None, description="of the files' text, as cp949 or utf-16 (default: UTF-8; a byte-order mark goes before both)"
    )
    bad_bytes: Literal["refuse", "replace"] = Field("refuse", description="what to do with bytes that are not of the encoding")
    valid: str | None = Field(None, description="a corpus to use as the held-out set")
    valid_last: float | None = Field(None, gt=0, lt=1, description="hold out this share at the end of the text")
    valid_share: float | None = Field(
        None, gt=0, lt=1, description="hold out this share of the documents, chosen by hash (default 0.01)"
    )
    without: list[str] = Field(
        default_factory=list,
        description="texts that must not be learned, named as a corpus: documents that hold one are left out of training",
    )
    picture_field: str | None = Field(
        None, description="the column or key that names or holds the picture (default: the known names, such as image)"
    )
    picture_size: int | None = Field(None, ge=8, le=512, description="pixels a side to which pictures are brought (default 64)")
    picture_fit: Literal["crop", "pad", "stretch"] | None = Field(
        None,
        description="of pictures that are not square: their middle (crop, mostly the default), all on white (pad), or stretch",
    )
    crop_size: int | None = Field(
        None, ge=4, le=128, description="pixels a side of what is kept of each region of a picture (default 16)"
    )
    across_documents: bool = Field(False, description="let attention cross document boundaries")
    order: Literal["auto", "shuffled", "lanes"] = Field(
        "auto", description="packed rows in random order, or lanes with a carried state (truncated BPTT); auto: by family"
    )
    plan_seed: int = Field(
        0, ge=0, description="seed of packing and of the order of documents in lanes; the same for all runs of a comparison"
    )

    @field_validator("corpus", "without", mode="before")
    @classmethod
    def _one_or_several(cls, names: Any) -> Any:
        """One name, or a path, is a list of one."""
        if isinstance(names, str | Path):
            return [str(names)]
        return [str(name) if isinstance(name, Path) else name for name in names] if isinstance(names, list | tuple) else names

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


# Which optimisers read an option that not all do; under the others it is None, and refused where given. Muon has AdamW's
# options for what it leaves to AdamW.
READ_BY = {
    "betas": ("adamw", "muon"),
    "eps": ("adamw", "muon"),
    "beta2_decay": ("adafactor",),
    "eps2": ("adafactor",),
    "clip_threshold": ("adafactor",),
    "momentum": ("muon",),
}


def by_optimizer(adamw: Any = None, adafactor: Any = None, muon: Any = None) -> Any:
    """The default of an option that depends on the optimiser."""
    return lambda given: {"adamw": adamw, "adafactor": adafactor, "muon": muon}.get(given.get("name"))


class OptimOptions(Section):
    """AdamW (Loshchilov & Hutter 2019), Adafactor (Shazeer & Stern 2018) or Muon (Jordan et al. 2024), and the schedule of its
    learning rate."""

    name: Literal["adamw", "adafactor", "muon"] = Field(
        "adamw",
        description="optimiser: adamw, adafactor, as T5 was trained, or muon for matrices of blocks and AdamW for the rest",
    )
    lr: float | None = Field(None, gt=0, description="peak learning rate; by default by optimiser and model width")
    betas: tuple[float, float] | None = Field(
        default_factory=by_optimizer(adamw=(0.9, 0.95), muon=(0.9, 0.95)),
        description="AdamW's betas: decay rates of both moments",
    )
    eps: float | None = Field(default_factory=by_optimizer(adamw=1e-8, muon=1e-8), gt=0, description="AdamW's epsilon")
    beta2_decay: float | None = Field(
        default_factory=by_optimizer(adafactor=-0.8),
        le=0,
        description="Adafactor's decay rate: the second moment of step t has the decay 1 - t**beta2_decay",
    )
    eps2: float | None = Field(
        default_factory=by_optimizer(adafactor=1e-3),
        gt=0,
        description="Adafactor's second epsilon: least root mean square of a parameter, to which its step is relative",
    )
    clip_threshold: float | None = Field(
        default_factory=by_optimizer(adafactor=1.0),
        ge=1,
        description="Adafactor's clipping threshold d: largest root mean square of an update before its learning rate",
    )
    momentum: float | None = Field(
        default_factory=by_optimizer(muon=0.95), ge=0, lt=1, description="Muon's momentum, after Nesterov"
    )
    weight_decay: float = Field(
        default_factory=by_optimizer(adamw=0.1, adafactor=0.0, muon=0.1),
        ge=0,
        description="on matrices and embeddings only, never on biases and norms",
    )
    schedule: Schedule = "cosine"
    # With 2 % post-norm models of a short run stay at the frequencies of single tokens.
    warmup: float = Field(0.1, ge=0, description="learning-rate warm-up in steps; below 1: as a share of all steps")
    final_lr: float = Field(0.1, ge=0, le=1, description="final learning rate as a share of the peak, for decaying schedules")
    layer_decay: float = Field(1.0, gt=0, le=1, description="learning rate of a layer as a share of that of the layer above it")
    clip: float = Field(1.0, ge=0, description="gradient clipping: maximum norm; 0: off")

    @model_validator(mode="after")
    def _of_the_optimizer(self) -> OptimOptions:
        for name, optimizers in READ_BY.items():
            given, reads = getattr(self, name) is not None, self.name in optimizers
            if given and not reads:
                titles = " and ".join(OPTIMIZERS[optimizer] for optimizer in optimizers)
                raise OptionError(f"‹{name}› is an option of {titles}: it has no effect with ‹name›={self.name}")
            if reads and not given:
                raise OptionError(f"‹{name}› is missing, which {OPTIMIZERS[self.name]} needs")
        if self.betas and not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError(f"‹betas› must lie in [0, 1), but are {list(self.betas)} instead")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: Any, info: SerializationInfo) -> dict[str, Any]:
        """pydantic does not compare with a default that depends on another field."""
        values: dict[str, Any] = write(self)
        if not info.exclude_defaults:
            return values
        return {name: value for name, value in values.items() if name in self.chosen()}

    def chosen(self) -> dict[str, Any]:
        """The options that differ from the defaults of their optimiser."""
        usual = type(self).model_construct(name=self.name)
        return {name: value for name, value in self if name == "name" or value != getattr(usual, name)}


class BudgetOptions(Section):
    """How much training: exactly one of these."""

    steps: int | None = Field(None, gt=0)
    tokens: float | None = Field(None, gt=0)
    flops: float | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> BudgetOptions:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"‹{name}›" for name in given) or "none"
            all_of_them = ", ".join(f"‹{name}›" for name in type(self).model_fields)
            raise OptionError(f"the budget needs exactly one of {all_of_them}; found {found}")
        return self


class TrainOptions(Section):
    """How the loop runs."""

    batch_tokens: int = Field(
        8192, gt=0, description="global batch size in tokens; on plain text the budget decides, but for steps"
    )
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
        None,
        gt=1,
        description="context length in tokens of an evaluation; by default that of training, of models that read in windows "
        "the longest text",
    )
    dropout_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="dropout in this training as a share of the model's, which the saved model keeps for fine-tuning; 0: none",
    )
    evaluate_memory: int | None = Field(
        None, gt=0, description="memory in tokens of an evaluation (Transformer-XL); by default that of training"
    )


class ModelOptions(Section):
    """Which model, and what it learns from text."""

    family: str
    size: str = Field("mini", description="a size of the family, or auto: what suits the budget")
    model: dict[str, Any] = Field(default_factory=dict, description="fields of the family's config that differ from the size")
    objective: dict[str, Any] = Field(default_factory=dict, description="options of the objective")


class RunOptions(ModelOptions):
    """All that decides a pretraining run."""

    start_from: str | None = Field(None, description="start from the weights of this model")
    teacher: str | None = Field(None, description="teacher model (gyebo distill)")
    tokenizer: str | None = Field(None, description="a tokenizer's directory; by default one is trained on the corpus")
    picture_tokenizer: str | None = Field(None, description="a model that gives pictures codes, for one that draws them")
    vocab_size: int = Field(
        16_000, gt=0, description="vocabulary size of the tokenizer to train; by default up to 16,000, as the corpus gives"
    )
    context: int | None = Field(None, gt=1, description="context length in tokens; by default the model's")
    recipe: Literal["efficient", "published"] = Field(
        "efficient", description="what is not given otherwise: gyebo's defaults, or the optimiser and schedule of the paper"
    )
    seed: int = Field(0, ge=0)
    data: DataOptions
    optim: OptimOptions = Field(default_factory=OptimOptions)
    budget: BudgetOptions
    train: TrainOptions = Field(default_factory=TrainOptions)
