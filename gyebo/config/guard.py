"""The files of the guard: its checks with their thresholds, and the policy, both TOML.

Names of files and folders in them are relative to the file, or absolute; what is found in neither place is the id of a model on
the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from gyebo.config.errors import OptionError
from gyebo.config.run import Section

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""False-alarm rates that thresholds are stored for."""
RATE = 0.05


class CheckOptions(Section):
    """A check. Which fields a kind has is in `FIELDS`."""

    kind: Literal["words", "classifier", "similarity"]
    name: str = Field(description="what the log calls it")
    file: str | None = Field(None, description="words: the list; similarity: the vectors of the exemplars")
    model: str | None = Field(None, description="classifier: a fine-tuned model; similarity: an encoder")
    classes: list[str] | None = Field(None, description="classifier: the unwanted classes")
    neighbours: int = Field(1, ge=1, description="similarity: how many of the nearest exemplars vote")
    thresholds: dict[str, float] = Field(description="false-alarm rate of all checks together -> threshold of this one")
    alone: dict[str, float] = Field(default_factory=dict, description="the same, of this check alone")

    @model_validator(mode="after")
    def _has_its_fields(self) -> Self:
        for field in ("file", "model", "classes"):
            given, needed = getattr(self, field) is not None, field in FIELDS[self.kind]
            if given != needed:
                raise OptionError(f"‹{field}› {'is missing' if needed else 'has no effect'} with kind={self.kind!r}", (field,))
        if self.neighbours != 1 and self.kind != "similarity":
            raise OptionError(f"‹neighbours› has no effect with kind={self.kind!r}", ("neighbours",))
        for rate in (*self.thresholds, *self.alone):
            if not _is_rate(rate):
                raise OptionError(f"‹thresholds› are by false-alarm rate, such as 0.05, but one is {rate!r}", ("thresholds",))
        return self


FIELDS = {"words": ("file",), "classifier": ("model", "classes"), "similarity": ("file", "model")}


def _is_rate(text: str) -> bool:
    try:
        return 0 <= float(text) < 1
    except ValueError:
        return False


class FittedOptions(Section):
    """What the thresholds were chosen on; a record, which has no effect."""

    data: str
    positive: list[str]
    ignored: list[str] = Field(default_factory=list)
    innocent: int
    unwanted: int
    blocked: int


class GuardOptions(Section):
    """A guard's file."""

    mode: Literal["off", "warn", "block"] = "block"
    rate: float = Field(RATE, ge=0, lt=1, description="share of innocent texts that are blocked")
    retries: int = Field(3, ge=0, description="how often an answer is sampled anew")
    neutral: str = Field("", description="the answer after that; by default one in Korean or English")
    longest: int = Field(200, ge=1, description="characters after which a sentence without an end is cut")
    window: int = Field(600, ge=2, description="characters at the end of an answer that are checked together")
    log: str = Field(description="decisions are appended to this file, JSON lines")
    policy: str | None = Field(None, description="a policy's file, or default")
    checks: list[CheckOptions] = Field(min_length=1)
    fitted: FittedOptions | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [check.name for check in self.checks]
        if len(set(names)) < len(names):
            raise OptionError(f"‹checks› {', '.join(names)}: a name occurs twice", ("checks",))
        return self


class TopicOptions(Section):
    """A topic of a policy, known by words or by a classifier's class."""

    name: str
    action: Literal["neutral", "negative", "block"]
    words: str | None = Field(None, description="a file, or words between commas")
    model: str | None = Field(None, description="a classifier")
    classes: list[str] | None = Field(None, description="its classes of this topic")
    threshold: float | None = Field(None, description="score of the classes above which a text has the topic")
    rate: float | None = Field(None, ge=0, lt=1, description="false-alarm rate of the guard's thresholds; by default its own")
    bag_of_words: list[str] = Field(default_factory=list, description="bags that answers are steered to, FILE[=STRENGTH]")
    attribute: list[str] = Field(default_factory=list, description="attributes, DIR:CLASS[=STRENGTH]")

    @model_validator(mode="after")
    def _known_by_one(self) -> Self:
        by_class = (self.model, self.classes, self.threshold)
        if (self.words is None) == (self.model is None) or len({value is None for value in by_class}) > 1:
            raise OptionError("a topic needs words, or model, classes and threshold", ("name",))
        if self.action == "block" and (self.bag_of_words or self.attribute):
            raise OptionError(
                f"{self.name} is not answered, so nothing can be steered: remove bag_of_words and attribute", ("name",)
            )
        return self


class PolicyOptions(Section):
    """A policy's file."""

    topics: list[TopicOptions] = Field(min_length=1)


def beside(name: str, file: Path) -> str:
    """What a name in a file means: a path relative to the file, where something is there, else the name itself."""
    path = file.parent / name
    return str(path) if path.exists() else name
