"""What jobs find out, as data for comparisons, reports and Python users; stored in run.toml, plan.json and results.json.

No torch here. What a stored record of an older version lacks takes its default; an entry that is unknown is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, ValidationError

from gyebo.objectives.table import LIKELIHOOD, words_of

Number = int | float
Kind = TypeVar("Kind")

RESULTS = "results.json"  # of all seeds of a fine-tuning


class Stored:
    """What can be stored as plain values, and read again."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]


def read(kind: type[Kind], values: Mapping[str, Any], origin: str) -> Kind:
    """What was stored; ValueError with one line where an entry is missing, unknown or of another type. `origin`: the file."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}" for problem in error.errors()]
        raise ValueError(f"{origin}: this is no {kind.__name__} as gyebo stores it ({'; '.join(found)})") from None


@dataclass(frozen=True, kw_only=True)
class CorpusFacts(Stored):
    """A prepared corpus: its tokenizer's directory, what it holds for training, and its fingerprint.

    floor_bits_per_byte: the known entropy of the held-out text, None where unknown. tokenizer_fingerprint: None in older
    records. left_out: documents that hold a text which must not be learned.
    """

    tokenizer: str
    documents: int
    valid_documents: int
    tokens: int
    bytes: int
    sample: str
    floor_bits_per_byte: float | None = None
    fingerprint: str
    tokenizer_fingerprint: str | None = None
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class RunPlan(Stored):
    """A budget as steps, with the precision; flops_per_step: forward and backward; seconds_per_step: None if not measured;
    evaluate_context: tokens of a row of held-out text, None in older records."""

    steps: int
    precision: str
    tokens_per_step: float
    flops_per_step: Number
    seconds_per_step: float | None = None
    epochs: float
    parameters: int
    parameters_without_embeddings: int
    device: str
    evaluate_context: int | None = None


@dataclass(frozen=True, kw_only=True)
class DryRun(RunPlan):
    """A plan measured on a few steps; memory_bytes: the most that they needed."""

    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class PretrainResult(Stored):
    """A finished pretraining.

    bytes: of the text seen, estimated by the corpus' mean; seconds: on the clock; valid: metrics of the held-out text; metric:
    the one that is reported; evaluate_context: tokens of context that they were measured with, None in older records.
    """

    family: str
    size: str
    seed: int
    steps: int
    tokens: int
    bytes: int
    epochs: float
    flops: Number
    parameters: int
    parameters_without_embeddings: int
    seconds: float
    tokens_per_second: float
    memory_bytes: int
    precision: str
    lr: float
    valid: dict[str, Number | None]
    samples: list[str] = field(default_factory=list)
    metric: str = LIKELIHOOD.metric
    evaluate_context: int | None = None

    def __getitem__(self, name: str) -> Any:
        """result["steps"] is result.steps; KeyError for a figure that there is not."""
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    @property
    def reported(self) -> tuple[str, float]:
        """The metric that is reported: its words, its value."""
        value = self.valid[self.metric]
        assert value is not None, "a finished run has its metric"
        return words_of(self.metric), value


def read_pretraining(values: Mapping[str, Any], origin: str) -> PretrainResult:
    """A stored result of a pretraining; older ones call the reported metric `headline`."""
    names = {"headline": "metric"}
    return read(PretrainResult, {names.get(name, name): value for name, value in values.items()}, origin)


@dataclass(frozen=True, kw_only=True)
class ExampleCounts(Stored):
    """Number of training, validation and test examples of a task."""

    train: int
    valid: int
    test: int


@dataclass(frozen=True, kw_only=True)
class SeenTests(Stored):
    """Test examples of a task of which a text stands in the training documents of a corpus, by how it does: it is a document,
    is one but for case, spaces, punctuation and repeated letters, or is lines or sentences of one.

    short: examples whose texts are all too short to tell. left_out: the documents that hold them were left out of training.
    """

    exact: int = 0
    near: int = 0
    contained: int = 0
    short: int = 0
    left_out: bool = False

    @property
    def total(self) -> int:
        """Number of examples that were found."""
        return self.exact + self.near + self.contained

    @property
    def ways(self) -> str:
        """How they were found, in words."""
        return (
            f"{self.exact:,} as a document, {self.near:,} but for case, spaces, punctuation and repeated letters,"
            f" {self.contained:,} within a longer one; {self.short:,} are too short to tell"
        )


@dataclass(frozen=True, kw_only=True)
class TaskFacts(Stored):
    """A task with its examples. labels: how many classes, None where it has none; score: the metric that ranks; measured: the
    test set, in words; notes: skipped examples and anomalies of the data; note: of the task itself."""

    title: str
    kind: str
    score: str
    labels: int | None = None
    measured: str
    examples: ExampleCounts
    notes: list[str] = field(default_factory=list)
    note: str = ""
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class TaskResult(Stored):
    """A finished fine-tuning, or the linear baseline's. valid, test: metric -> value; score: the metric that ranks; ablate: the
    side of examples, "text" or "image", that was left out; signatures: how a metric was computed, where that has a standard
    form."""

    task: str
    kind: str
    model: str
    seed: int
    score: str
    measured: str
    valid: dict[str, float]
    test: dict[str, float]
    examples: int
    paired: bool = False
    parameters: int
    seconds: float
    lr: float | None = None
    auto_class: str | None = None
    ablate: str | None = None
    signatures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ClassResult(Stored):
    """A class on the test set. examples: how many examples, or entities, have it."""

    name: str
    precision: float
    recall: float
    f1: float
    examples: int


@dataclass(frozen=True, kw_only=True)
class FinetuneResult(TaskResult):
    """A finished fine-tuning of one seed.

    answer: with a "head" or by "text" ("": not recorded); best_step: where the weights are from, unless `weights` says that
    they are a mean; step_size: in words; max_length: tokens of a row; pictures: caption -> file; classes: of a task whose
    answers are classes, each on the test set; tasks: of several, name -> training examples.
    """

    family: str
    answer: str = ""
    steps: int
    best_step: int | None = None
    epochs: float
    step_size: str = ""
    weights: str = "best"
    tokens: int
    batch: int | None = None
    max_length: int | None = None
    precision: str
    memory_bytes: int
    pictures: dict[str, str] = field(default_factory=dict)
    classes: list[ClassResult] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SeedSummary(Stored):
    """A metric over seeds: mean, standard deviation (None of one seed), and each value. None as mean: it was not finite.

    Older files call the deviation `spread`.
    """

    mean: float | None
    deviation: Annotated[float | None, Field(validation_alias=AliasChoices("deviation", "spread"))] = None
    values: list[float | None] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FinetuneSummary(Stored):
    """Several seeds of one fine-tuning; fields as in `TaskResult`, but older files lack `kind`. best_seed: by the score on
    validation."""

    task: str
    kind: str = ""
    model: str
    score: str
    measured: str
    examples: int
    lr: float | None = None
    parameters: int
    auto_class: str | None = None
    ablate: str | None = None
    signatures: dict[str, str] = field(default_factory=dict)
    seeds: list[int]
    valid: dict[str, SeedSummary]
    test: dict[str, SeedSummary]
    best_seed: int
