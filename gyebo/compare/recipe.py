"""A comparison as a TOML file: one corpus, one tokenizer, one budget, several candidates, tasks, seeds. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, TaskOptions, TuningOptions
from gyebo.config.run import (
    BudgetOptions,
    DataOptions,
    ModelOptions,
    OptimOptions,
    RunOptions,
    Section,
    TrainOptions,
    names_source,
)
from gyebo.jobs.finetuning.answer import answer_form
from gyebo.models.family import TEXT, find, find_size
from gyebo.objectives.table import LIKELIHOOD, ObjectiveFacts, asked
from gyebo.tasks.heads.styles import STYLES, WINDOWS, layers_are_features
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.splits import open_task

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # a folder's name on every system, and letters that every plot can draw
BASELINE = "linear"  # beside the candidates' folders
SECTIONS = ("data", "tokenizer", "budget", "optim", "train", "sweep")
LISTS = ("candidates", "tasks")
OLD_SHARE = 0.1  # the default before searches were counted: of a trial
LEAST_TRIAL = 1.25  # times its warm-up
PREFIXED = "wsd"  # the schedule whose short runs are the beginning of long ones, but for the cool-down


class TokenizerOptions(Section):
    """The one segmentation that all candidates share: a directory, or what to train on the corpus."""

    path: str | None = Field(None, description="a tokenizer's directory; by default one is trained")
    kind: str | None = Field(None, description="type of the tokenizer to train: bpe")
    vocab_size: int | None = Field(None, gt=0, description="vocabulary size of the tokenizer to train (default 16000)")

    @model_validator(mode="after")
    def _one_way(self) -> TokenizerOptions:
        for name in ("kind", "vocab_size"):
            if self.path is not None and getattr(self, name) is not None:
                raise ValueError(f"tokenizer.path and tokenizer.{name} exclude each other: keep one")
        if self.kind not in (None, "bpe"):
            raise ValueError(
                f"tokenizer.kind: a comparison trains bpe only, but is {self.kind!r} instead: make it with"
                f' `gyebo tokenizer train CORPUS --kind {self.kind} -o tok/` and give tokenizer.path = "tok/"'
            )
        return self


class SweepOptions(Section):
    """A search for the learning rate before the measured runs, by short runs."""

    lr: list[float] = Field(min_length=2, description="peak learning rates to try")
    share: float = Field(
        0.3, gt=0, description="share of a candidate's budget that the trials of these rates get, in equal parts"
    )
    counted: bool = Field(True, description="the trials are part of the budget: a measured run gets what they leave")
    extend: int = Field(3, ge=0, description="at most so many further rates while the best one is the lowest or the highest")

    @model_validator(mode="after")
    def _rates(self) -> SweepOptions:
        if any(rate <= 0 for rate in self.lr) or len(set(self.lr)) != len(self.lr):
            raise ValueError(f"sweep.lr needs different positive learning rates, but is {self.lr} instead")
        return self

    @property
    def trial_share(self) -> float:
        """Length of a trial as a share of the budget."""
        return round(self.share / len(self.lr), 12)  # the same as before a multiplication by that number


class Candidate(ModelOptions):
    """One family at one size, and what it does differently from the others."""

    name: str = Field("", description="name in the table and of the folder; by default family-size")
    optim: dict[str, Any] = Field(default_factory=dict, description="fields of [optim] that differ for this candidate")
    tuning: dict[str, Any] = Field(
        default_factory=dict, description="fine-tuning options (fields of [[tasks]]) that differ for this candidate"
    )

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("name"):
            values = {**values, "name": f"{values.get('family')}-{values.get('size', 'mini')}"}
        return values

    @model_validator(mode="after")
    def _known(self) -> Candidate:
        find_size(find(self.family), self.size)
        if self.objective_facts.kind:
            raise ValueError(f"{self.family} learns from sentence pairs, so it can't be compared here: use gyebo finetune")
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r}: use Latin letters, digits, '.', '_' and '-' (it names a folder too)")
        if what := next((name for name in self.tuning if name in ("called", *TaskOptions.model_fields)), None):
            raise ValueError(f"tuning.{what} defines the task, which is the same for all candidates: set it in [[tasks]]")
        if not isinstance(self.tuning.get("optim", {}), dict):
            raise ValueError(f"tuning.optim must be a section, but is {self.tuning['optim']!r} instead")
        return self

    @property
    def objective_facts(self) -> ObjectiveFacts:
        """What it learns from text."""
        return asked(find(self.family).objective, self.objective)

    @property
    def likelihood(self) -> bool:
        """Whether its models give a text a probability; others have no bits per byte."""
        return self.objective_facts.likelihood


class RecipeTask(TuningOptions, TaskOptions):
    """A task that every pretrained model is fine-tuned on, and how: what is not given follows from the task."""

    called: str = Field("", description="name in the table and of the folder; by default the task's name")
    lr: float | None = Field(None, gt=0, description="the same as optim.lr")

    @model_validator(mode="before")
    @classmethod
    def _default_called(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("name") and not values.get("called"):
            values = {**values, "called": values["name"]}
        return values

    @model_validator(mode="after")
    def _possible(self) -> RecipeTask:
        if not NAME.fullmatch(self.called):
            raise ValueError(f"called {self.called!r}: use Latin letters, digits, '.', '_' and '-' (it names a folder too)")
        if self.lr is not None and self.optim.lr is not None:
            raise ValueError("lr and optim.lr are the same option: keep one")
        open_task(self.source)
        return self

    @property
    def source(self) -> TaskOptions:
        """The task and its data, without how it is learned."""
        return TaskOptions(**self.model_dump(include=set(TaskOptions.model_fields)))


class Recipe(Section):
    """All that decides a comparison."""

    title: str = ""
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    tuning_seeds: list[int] = Field(
        default_factory=list,
        description="seeds of several fine-tunings of one pretraining; by default the seed of the pretraining",
    )
    context: int | None = Field(None, gt=1, description="context length in tokens; by default that of each model")
    without_test_texts: bool = Field(False, description="leave documents that hold a test example of a task out of pretraining")
    data: DataOptions
    tokenizer: TokenizerOptions = Field(default_factory=TokenizerOptions)
    budget: BudgetOptions
    optim: OptimOptions = Field(default_factory=OptimOptions)
    train: TrainOptions = Field(default_factory=TrainOptions)
    sweep: SweepOptions | None = None
    cooldowns: list[float] = Field(
        default_factory=list,
        description="shares of a run's steps at which it cools down too, in branches beside the budget: score against budget",
    )
    candidates: list[Candidate] = Field(min_length=2)
    tasks: list[RecipeTask] = Field(
        default_factory=list, description="the first task ranks; without tasks, the held-out text does"
    )

    @model_validator(mode="before")
    @classmethod
    def _schedule_of_prefixes(cls, values: Any) -> Any:
        """With a search or branches, the beginning of a run does not depend on its length, unless a schedule is named."""
        asked = isinstance(values, dict) and (values.get("sweep") or values.get("cooldowns"))
        if asked and isinstance(values.get("optim", {}), dict):
            values = {**values, "optim": {"schedule": PREFIXED, **values.get("optim", {})}}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        _different([candidate.name for candidate in self.candidates], "candidates", "name")
        _different([task.called for task in self.tasks], "tasks", "called")
        if not self.tasks and self.measured_by.shown_by:
            self._same_shown_text(self.measured_by)
        for candidate in self.candidates:
            facts = candidate.objective_facts
            if not self.tasks and not (facts.ranks and facts.metric == self.measured_by.metric):
                raise OptionError(
                    f"candidate {candidate.name}: {find(candidate.family).title} {_lacks(self.measured_by)}, so only a task can"
                    ' rank it: add [[tasks]] with name = "nsmc", or classification and a data file (or ‹task›=NAME)'
                )
            if candidate.tuning and not self.tasks:
                raise ValueError(
                    f"candidate {candidate.name}: tuning has no effect without a task: add [[tasks]], or leave it out"
                )
            for task in self.tasks:
                if idle := _idle(self.learned_by(candidate, task), candidate):
                    raise ValueError(f"task {task.called}: {idle} has no effect on candidate {candidate.name}: leave it out")
                self.finetuning(candidate, task, model="a-model", seed=0, precision="auto")
            if self.tasks and candidate.name.lower() == BASELINE:
                raise ValueError(f"candidate {candidate.name}: this is the name of the baseline: choose another `name`")
        for name, seeds in (("seeds", self.seeds), ("tuning_seeds", self.tuning_seeds)):
            if len(set(seeds)) != len(seeds) or min(seeds, default=0) < 0:
                raise ValueError(f"{name} must be different whole numbers from 0, but are {seeds} instead")
        if self.tuning_seeds and len(self.seeds) > 1:
            raise ValueError(
                f"tuning_seeds = {self.tuning_seeds}: they are for one pretraining of each candidate, but seeds = {self.seeds};"
                " name one seed, or leave tuning_seeds out"
            )
        if self.tuning_seeds and not self.tasks:
            raise ValueError(f"tuning_seeds = {self.tuning_seeds} has no effect without a task: add [[tasks]], or leave it out")
        if self.without_test_texts and not self.tasks:
            raise ValueError("without_test_texts has no effect without a task: add [[tasks]], or leave it out")
        if "-" in self.data.corpus or self.data.valid == "-":
            raise ValueError("stdin (-) can't be read again when a comparison is resumed: save the text in a file")
        for candidate in self.candidates:
            optim = toml.check(OptimOptions, self.optim.chosen() | candidate.optim, f"candidate {candidate.name}: optim")
            if self.sweep and optim.lr is not None:
                where = f"candidate {candidate.name}" if "lr" in candidate.optim else "[optim]"
                raise ValueError(f"[sweep] chooses the learning rate, so lr in {where} has no effect: remove one of them")
        return self

    @model_validator(mode="after")
    def _cooldowns(self) -> Recipe:
        shares = self.cooldowns
        if any(not 0 < share < 1 for share in shares) or len(set(shares)) != len(shares):
            raise ValueError(f"cooldowns must be different shares of a run, between 0 and 1, but are {shares} instead")
        for candidate in self.candidates if shares else ():
            optim = toml.check(OptimOptions, self.optim.model_dump() | candidate.optim)
            if optim.schedule != PREFIXED:
                where = f"candidate {candidate.name}" if "schedule" in candidate.optim else "[optim]"
                raise ValueError(
                    f"cooldowns need a schedule whose beginning does not depend on its length, but schedule in {where} is"
                    f" {optim.schedule!r}: use {PREFIXED}, or leave it out"
                )
            if optim.warmup < 1 and min(shares) < LEAST_TRIAL * optim.warmup:
                raise ValueError(
                    f"cooldowns begin at {min(shares):.1%} of a run, of which {optim.warmup:.1%} are warm-up: name a larger"
                    " share, or lower optim.warmup"
                )
        return self

    def check_search(self) -> None:
        """ValueError for a search of a new comparison that would cost the whole budget, or whose trials hardly warm up.

        A trial has the warm-up steps of a whole run, and tells nothing about a rate that it hardly reaches.
        """
        if (sweep := self.sweep) is None:
            return
        most = sweep.trial_share * (len(sweep.lr) + sweep.extend)
        if sweep.counted and most >= 1:
            raise ValueError(
                f"sweep.share = {sweep.share:g} for {len(sweep.lr)} rates, and as much for each of up to {sweep.extend} further"
                f" ones, is {most:.0%} of the budget: lower sweep.share or sweep.extend"
            )
        for candidate in self.candidates:
            optim = toml.check(OptimOptions, self.optim.chosen() | candidate.optim)
            warm = optim.warmup * (1 - sweep.share if sweep.counted else 1)
            if optim.schedule == PREFIXED and optim.warmup < 1 and sweep.trial_share < LEAST_TRIAL * warm:
                raise ValueError(
                    f"a trial of [sweep] has {sweep.trial_share:.1%} of the budget, of which {warm:.1%} are warm-up: try fewer"
                    " rates, or raise sweep.share, or lower optim.warmup"
                )

    @property
    def measured_by(self) -> ObjectiveFacts:
        """Whose metric of held-out text is shown: a likelihood's, or without any, and without a task, the first that ranks."""
        found = [candidate.objective_facts for candidate in self.candidates]
        if self.tasks or any(facts.likelihood for facts in found):
            return LIKELIHOOD
        return next((facts for facts in found if facts.ranks), LIKELIHOOD)

    def leaving_out(self, texts: Path) -> Recipe:
        """What is trained: with `without_test_texts`, no document that holds one of the texts in that file is learned."""
        if not self.without_test_texts:
            return self
        data = self.data.model_copy(update={"without": [*self.data.without, str(texts)]})
        return self.model_copy(update={"data": data})

    @property
    def evaluate_context(self) -> int:
        """The context with which all candidates are evaluated: the recipe's, or else the shortest of the candidates' (imports
        torch)."""
        from gyebo.models.family import model_class

        shortest = min(model_class(each.family).sizes[each.size].context for each in self.candidates)
        return self.train.evaluate_context or self.context or shortest

    def tunings(self, seed: int) -> list[int]:
        """The seeds with which a pretraining is fine-tuned."""
        return self.tuning_seeds or [seed]

    def _same_shown_text(self, facts: ObjectiveFacts) -> None:
        """Such a metric ranks models that are shown the same texts with the same tokens masked, and no others."""
        for name in ("family", "size") if self.context is None else ("family",):
            if len(found := {getattr(candidate, name): 0 for candidate in self.candidates}) > 1:
                raise OptionError(
                    f"the candidates give texts no probability, and differ in {name} ({', '.join(found)}), so they are"
                    " shown different parts of the text: add [[tasks]] (or ‹task›=NAME), or let them differ in less"
                )
        published = find(self.candidates[0].family).published
        for name, default in ((name, published.get(name, default)) for name, default in facts.shown_by.items()):
            values = [candidate.objective.get(name, default) for candidate in self.candidates]
            if any(value != values[0] for value in values):
                raise OptionError(
                    f"the candidates differ in objective.{name} ({', '.join(map(str, values))}), so they are shown different"
                    " texts, and their losses can't be compared: add [[tasks]] (or ‹task›=NAME)"
                )

    def options(self, candidate: Candidate, seed: int, tokenizer: str | None, **changes: Any) -> RunOptions:
        """The options of one run.

        changes: `steps`, `precision`, `evaluate_context`, `lr` and `warmup` take the place of what the recipe says.
        """
        optim = self.optim.chosen() | candidate.optim
        train = self.train.model_dump()
        budget = self.budget.model_dump()
        optim |= {name: changes[name] for name in ("lr", "warmup") if changes.get(name) is not None}
        train |= {name: changes[name] for name in ("precision", "evaluate_context") if changes.get(name) is not None}
        if changes.get("steps") is not None:
            budget = {"steps": changes["steps"]}
        values = {
            "family": candidate.family,
            "size": candidate.size,
            "model": candidate.model,
            "objective": candidate.objective,
            "tokenizer": tokenizer if tokenizer is not None else self.tokenizer.path,
            "context": self.context,
            "seed": seed,
            "data": self.data.model_dump(),
            "optim": optim,
            "budget": budget,
            "train": train,
        }
        if self.tokenizer.vocab_size is not None:
            values["vocab_size"] = self.tokenizer.vocab_size
        return toml.check(RunOptions, values, f"candidate {candidate.name}")

    def learned_by(self, candidate: Candidate, task: RecipeTask) -> RecipeTask:
        """The task as this candidate learns it: what its `tuning` names takes the place of the task's."""
        if not candidate.tuning:
            return task
        given, own = task.model_dump(exclude_none=True, exclude={"optim"}), dict(candidate.tuning)
        optim, own_optim = task.optim.chosen(), own.pop("optim", {})
        if "lr" in own or "lr" in own_optim:  # two names of one option
            given.pop("lr", None)
            optim.pop("lr", None)
        for one, other in (("steps", "epochs"), ("epochs", "steps")):  # two ways to say one thing
            if one in own:
                given.pop(other, None)
        return toml.check(RecipeTask, given | own | {"optim": optim | own_optim}, f"candidate {candidate.name}: tuning")

    def finetuning(
        self, candidate: Candidate, task: RecipeTask, *, model: str, seed: int, precision: str, context: int | None = None
    ) -> FinetuneOptions:
        """The options of one fine-tuning of a candidate's pretrained model. `precision`: the same for all its seeds.

        context: the one of all candidates; none reads more of an example, unless the recipe gives a `max_length`.
        """
        task = self.learned_by(candidate, task)
        values = task.model_dump(exclude={"called", "lr", *TaskOptions.model_fields})
        if context and task.max_length is None and open_task(task.source).max_length > context:
            values["max_length"] = context
        if task.lr is not None:
            values["optim"]["lr"] = task.lr
        values |= {"model": model, "task": task.source.model_dump(), "seed": seed}
        values |= {"device": self.train.device, "precision": precision}
        return toml.check(FinetuneOptions, values, f"task {task.called}")


def _lacks(facts: ObjectiveFacts) -> str:
    """What a candidate lacks that can't be evaluated by this objective's metric."""
    return "assigns no probability to text" if facts.likelihood else f"has no {facts.unit}"


def _idle(task: RecipeTask, candidate: Candidate) -> str | None:
    """The name of an option of a task that has no effect on a candidate; None where there is none. ValueError where it can't
    learn the task."""
    family, kind = find(candidate.family), find_kind(open_task(task.source).kind)
    form = answer_form(family, kind, asked=task.answer, model=f"candidate {candidate.name}", task=task.called)
    if form == TEXT:
        return task.without_effect_on_text()
    style = family.head_style
    if task.gradient_windows and STYLES[style].pooling != WINDOWS:
        return "gradient_windows"
    return task.without_effect_on_features() if layers_are_features(style) else task.layers and "layers"


def _different(names: Sequence[str], what: str, field: str) -> None:
    lower = [name.lower() for name in names]  # some file systems don't tell cases apart
    for name in lower:
        if lower.count(name) > 1:
            raise ValueError(f"{lower.count(name)} {what} are called {name!r}: give each a `{field}` of its own")


def load(path: str | Path, *, corpus: Sequence[str] = (), tasks: Sequence[str] = (), settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    corpus: takes the place of the recipe's `[data] corpus`. tasks: "NAME" or "NAME=DATA", take
    the place of its tasks; one that the recipe has too keeps its other options. settings: `section.field=value`; a budget
    takes the place of the recipe's, also where it counts something else.
    Raises FileNotFoundError or ValueError with one line that names the file and the field.
    """
    values = toml.read(path)
    if any(setting.startswith("budget.") for setting in settings):
        values["budget"] = {}
    values = toml.override(values, list(settings))
    if corpus and isinstance(values.get("data", {}), dict):
        values["data"] = {**values.get("data", {}), "corpus": list(corpus)}
    if tasks:
        values["tasks"] = [_task(asked, values.get("tasks")) for asked in tasks]
    return parse(values, str(path))


def _task(asked: str, known: Any) -> dict[str, Any]:
    name, equals, data = asked.partition("=")
    tasks = [task for task in known if isinstance(task, dict)] if isinstance(known, list) else []
    task = next((task for task in tasks if name in (task.get("called"), task.get("name"))), {"name": name})
    return {**task, "data": data} if equals else task


def parse(values: dict[str, Any], origin: str = "recipe") -> Recipe:
    """Check the values of a recipe; ValueError with one line a mistake, `origin` said first."""
    for name, value in values.items():
        if name not in Recipe.model_fields:
            raise ValueError(f"{origin}: unknown option {name!r}{toml.suggest(name, list(Recipe.model_fields))}")
        if name in SECTIONS and not isinstance(value, dict):
            raise ValueError(f"{origin}: {name} must be a section [{name}], but is {value!r} instead")
        if name in LISTS and not (isinstance(value, list) and all(isinstance(entry, dict) for entry in value)):
            raise ValueError(f"{origin}: {name} must be [[{name}]] sections, but is {value!r} instead")
    if not values.get("data", {}).get("corpus"):
        raise OptionError(f'{origin}: no corpus: write [data] corpus = ["my-text.txt"] or give ‹corpus›=my-text.txt')
    candidates = values.get("candidates", [])
    if len(candidates) < 2:
        raise ValueError(f"{origin}: a comparison needs at least two [[candidates]] sections; found {len(candidates)}")
    for index, candidate in enumerate(candidates, 1):  # each alone first, so that a slip is named with its candidate
        toml.check(Candidate, candidate, f"{origin}: candidate {index}")
    for index, task in enumerate(values.get("tasks", []), 1):
        toml.check(RecipeTask, task, f"{origin}: task {index}")
    return toml.check(Recipe, values, origin)


def dump(recipe: Recipe) -> str:
    """The recipe as TOML, every default written out, so that a later version's other defaults don't change it."""
    return toml.dump(recipe.model_dump())


def searched_before(values: dict[str, Any]) -> bool:
    """Whether stored values of a recipe have a search from before searches were counted."""
    return isinstance(values.get("sweep"), dict) and "counted" not in values["sweep"]


def continued(values: dict[str, Any], asked: Recipe, origin: str) -> tuple[Recipe, list[str]]:
    """The recipe that a comparison goes on with, from the values that it stored, and what the one that is asked for changes.

    In one from before searches were counted, a trial was `share` of a run long, by the recipe's own schedule, beside the
    budget, and no rate was added: so it stays.
    """
    if not searched_before(values) or asked.sweep is None:
        return asked, changed(parse(values, origin), asked)
    sweep = values["sweep"]
    own = {"counted": False, "extend": 0}
    given = asked.sweep.share if "share" in asked.sweep.model_fields_set else OLD_SHARE
    before = parse({**values, "sweep": {**sweep, **own, "share": sweep["share"] * len(sweep["lr"])}}, origin)
    as_then = asked.sweep.model_copy(update=own | {"share": given * len(asked.sweep.lr)})
    as_asked = asked.model_copy(update={"sweep": as_then})
    return before.model_copy(update={"title": asked.title}), changed(before, as_asked, but=("optim.schedule",))


def changed(before: Recipe, after: Recipe, *, but: Sequence[str] = ()) -> list[str]:
    """What differs between two recipes, one `field was X, is Y` each; the title, a heading only, and `but` may differ, and so
    may the names of sources, which are compared by what they hold."""
    old, new = (toml.flat(recipe.model_dump(exclude={"title"})) for recipe in (before, after))
    return [
        f"{field} was {old.get(field)!r}, is {new.get(field)!r}"
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
        and field not in but
        and not (names_source(field) and old.get(field) and new.get(field))
    ]
