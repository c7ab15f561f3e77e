"""A comparison as a TOML file: one corpus, one tokenizer, one budget, several candidates, tasks, seeds. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from gyebo.compare.sections import Candidate, RecipeTask, SweepOptions, TokenizerOptions
from gyebo.config import toml
from gyebo.config.errors import OptionError, placed
from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.config.run import (
    BudgetOptions,
    DataOptions,
    OptimOptions,
    RunOptions,
    Section,
    TrainOptions,
    names_source,
)
from gyebo.config.toml_lines import Place
from gyebo.jobs.finetuning.answer import answer_form
from gyebo.models.family import find
from gyebo.models.tree.row import TEXT
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.table import LIKELIHOOD
from gyebo.tasks.heads.styles import STYLES, WINDOWS, layers_are_features
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.splits import open_task

BASELINE = "linear"  # beside the candidates' folders
SECTIONS = ("data", "tokenizer", "budget", "optim", "train", "sweep")
LISTS = ("candidates", "tasks")
OLD_SHARE = 0.1  # the default before searches were counted: of a trial
LEAST_TRIAL = 1.25  # times its warm-up
DECIDED = (("train", "batch_tokens"), ("optim", "betas"))  # options of all candidates whose default the budget decides
PREFIXED = "wsd"  # the schedule whose short runs are the beginning of long ones, but for the cool-down


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
    hand_over: Literal["distil"] | None = Field(
        None,
        description="distil: one more model of each task, which all others and the linear baseline taught, beside the table",
    )
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
        for number, candidate in enumerate(self.candidates):
            self._check_candidate(candidate, ("candidates", number))
        self._check_seeds()
        if self.hand_over:
            self._check_hand_over()
        if self.without_test_texts and not self.tasks:
            message = "without_test_texts has no effect without a task: add [[tasks]], or leave it out"
            raise OptionError(message, ("without_test_texts",))
        if "-" in self.data.corpus or self.data.valid == "-":
            place = ("data", "corpus" if "-" in self.data.corpus else "valid")
            raise OptionError("stdin (-) can't be read again when a comparison is resumed: save the text in a file", place)
        return self

    def _check_hand_over(self) -> None:
        """ValueError where no model of a task can teach or be taught."""
        taught = [task for task in self.tasks if open_task(task.source).gives_one_class]
        if not taught:
            message = "‹hand_over› has no effect without a task that gives a text one class: add [[tasks]], or leave it out"
            raise OptionError(message, ("hand_over",))
        for task in taught:
            if not any(self.has_head(candidate, task) for candidate in self.candidates):
                message = (
                    f"‹hand_over›: no candidate answers {task.called} with a head, which alone can be taught: leave it out"
                )
                raise OptionError(message, ("hand_over",))

    def has_head(self, candidate: Candidate, task: RecipeTask) -> bool:
        """Whether a candidate answers a task with a head."""
        family, kind = find(candidate.family), find_kind(open_task(task.source).kind)
        asked = self.learned_by(candidate, task).answer
        return answer_form(family, kind, asked=asked, model=f"candidate {candidate.name}", task=task.called) != TEXT

    def _check_candidate(self, candidate: Candidate, at: Place) -> None:
        """ValueError where the candidate that stands there can't be ranked, or an option of it, or of a task, has no effect."""
        facts, family = candidate.objective_facts, find(candidate.family)
        if not family.reads_text:
            raise OptionError(
                f"candidate {candidate.name}: {family.title} reads no text, and only models that do are compared: leave it out",
                (*at, "family"),
            )
        if not self.tasks and not (facts.ranks and facts.metric == self.measured_by.metric):
            raise OptionError(
                f"candidate {candidate.name}: {family.title} {_lacks(self.measured_by)}, so only a task can"
                ' rank it: add [[tasks]] with name = "nsmc", or classification and a data file (or ‹task›=NAME)',
                (*at, "family"),
            )
        if candidate.tuning and not self.tasks:
            message = f"candidate {candidate.name}: tuning has no effect without a task: add [[tasks]], or leave it out"
            raise OptionError(message, (*at, "tuning"))
        for number, task in enumerate(self.tasks):
            with placed(*at, "tuning"):
                learned = self.learned_by(candidate, task)
            with placed("tasks", number):
                idle = _idle(learned, candidate)
                self.finetuning(candidate, task, model="a-model", seed=0, precision="auto")
            if idle:
                own = idle.partition(".")[0] in candidate.tuning
                message = f"task {task.called}: {idle} has no effect on candidate {candidate.name}: leave it out"
                raise OptionError(message, (*((*at, "tuning") if own else ("tasks", number)), *idle.split(".")))
        if self.tasks and candidate.name.lower() == BASELINE:
            message = f"candidate {candidate.name}: this is the name of the baseline: choose another `name`"
            raise OptionError(message, (*at, "name"))
        with placed(*at, "optim"):
            optim = toml.check(OptimOptions, self.optim.chosen() | candidate.optim, f"candidate {candidate.name}: optim")
        if self.sweep and optim.lr is not None:
            where, place = self._optim_of(candidate, at, "lr")
            raise OptionError(f"[sweep] chooses the learning rate, so lr in {where} has no effect: remove one of them", place)

    def _optim_of(self, candidate: Candidate, at: Place, name: str) -> tuple[str, Place]:
        """Where an option of a candidate's optimiser is set, in words and as a place."""
        if name in candidate.optim:
            return f"candidate {candidate.name}", (*at, "optim", name)
        return "[optim]", ("optim", name)

    def _check_seeds(self) -> None:
        """ValueError for seeds that are no different natural numbers, or have no effect."""
        for name, seeds in (("seeds", self.seeds), ("tuning_seeds", self.tuning_seeds)):
            if len(set(seeds)) != len(seeds) or min(seeds, default=0) < 0:
                message = f"{name} must be different whole numbers from 0, but are {seeds} instead"
                raise OptionError(message, (name,))
        if self.tuning_seeds and len(self.seeds) > 1:
            raise OptionError(
                f"tuning_seeds = {self.tuning_seeds}: they are for one pretraining of each candidate, but seeds = {self.seeds};"
                " name one seed, or leave tuning_seeds out",
                ("tuning_seeds",),
            )
        if self.tuning_seeds and not self.tasks:
            message = f"tuning_seeds = {self.tuning_seeds} has no effect without a task: add [[tasks]], or leave it out"
            raise OptionError(message, ("tuning_seeds",))

    @model_validator(mode="after")
    def _cooldowns(self) -> Recipe:
        shares = self.cooldowns
        if any(not 0 < share < 1 for share in shares) or len(set(shares)) != len(shares):
            message = f"cooldowns must be different shares of a run, between 0 and 1, but are {shares} instead"
            raise OptionError(message, ("cooldowns",))
        for number, candidate in enumerate(self.candidates if shares else ()):
            optim = toml.check(OptimOptions, self.optim.chosen() | candidate.optim)
            if optim.schedule != PREFIXED:
                where, place = self._optim_of(candidate, ("candidates", number), "schedule")
                raise OptionError(
                    f"cooldowns need a schedule whose beginning does not depend on its length, but schedule in {where} is"
                    f" {optim.schedule!r}: use {PREFIXED}, or leave it out",
                    place,
                )
            if optim.warmup < 1 and min(shares) < LEAST_TRIAL * optim.warmup:
                raise OptionError(
                    f"cooldowns begin at {min(shares):.1%} of a run, of which {optim.warmup:.1%} are warm-up: name a larger"
                    " share, or lower optim.warmup",
                    ("cooldowns",),
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
            raise OptionError(
                f"sweep.share = {sweep.share:g} for {len(sweep.lr)} rates, and as much for each of up to {sweep.extend} further"
                f" ones, is {most:.0%} of the budget: lower sweep.share or sweep.extend",
                ("sweep", "share"),
            )
        for candidate in self.candidates:
            optim = toml.check(OptimOptions, self.optim.chosen() | candidate.optim)
            warm = optim.warmup * (1 - sweep.share if sweep.counted else 1)
            if optim.schedule == PREFIXED and optim.warmup < 1 and sweep.trial_share < LEAST_TRIAL * warm:
                raise OptionError(
                    f"a trial of [sweep] has {sweep.trial_share:.1%} of the budget, of which {warm:.1%} are warm-up: try fewer"
                    " rates, or raise sweep.share, or lower optim.warmup",
                    ("sweep", "lr"),
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
                    " shown different parts of the text: add [[tasks]] (or ‹task›=NAME), or let them differ in less",
                    ("candidates",),
                )
        published = find(self.candidates[0].family).published
        for name, default in ((name, published.get(name, default)) for name, default in facts.shown_by.items()):
            values = [candidate.objective.get(name, default) for candidate in self.candidates]
            if any(value != values[0] for value in values):
                raise OptionError(
                    f"the candidates differ in objective.{name} ({', '.join(map(str, values))}), so they are shown different"
                    " texts, and their losses can't be compared: add [[tasks]] (or ‹task›=NAME)",
                    ("candidates", next(n for n, value in enumerate(values) if value != values[0]), "objective", name),
                )

    def options(self, candidate: Candidate, seed: int, tokenizer: str | None, **changes: Any) -> RunOptions:
        """The options of one run.

        changes: `steps`, `precision`, `evaluate_context`, `lr` and `warmup` take the place of what the recipe says.
        """
        optim = self.optim.chosen() | candidate.optim
        if "betas" in self.optim.model_fields_set and optim["name"] == self.optim.name:  # named, also where it is the default
            optim.setdefault("betas", self.optim.betas)
        train = self.train.model_dump(exclude_unset=True)
        budget = self.budget.model_dump()
        optim |= {name: changes[name] for name in ("lr", "warmup") if changes.get(name) is not None}
        train |= {name: changes[name] for name in ("precision", "evaluate_context") if changes.get(name) is not None}
        if candidate.dropout_share is not None:
            train["dropout_share"] = candidate.dropout_share
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
    if task.ngrams and not (kind.head and kind.head.ngrams):
        return "ngrams"
    style = family.head_style
    if task.gradient_windows and STYLES[style].pooling != WINDOWS:
        return "gradient_windows"
    return task.without_effect_on_features() if layers_are_features(style) else task.layers and "layers"


def _different(names: Sequence[str], what: str, field: str) -> None:
    lower = [name.lower() for name in names]  # some file systems don't tell cases apart
    for number, name in enumerate(lower):
        if name in lower[:number]:
            message = f"{lower.count(name)} {what} are called {name!r}: give each a `{field}` of its own"
            raise OptionError(message, (what, number, field))


def load(path: str | Path, *, corpus: Sequence[str] = (), tasks: Sequence[str] = (), settings: toml.Settings = ()) -> Recipe:
    """`load_with_lines` without the lines."""
    return load_with_lines(path, corpus=corpus, tasks=tasks, settings=settings)[0]


def load_with_lines(
    recipe: str | Path | Mapping[str, Any],
    *,
    corpus: Sequence[str] = (),
    tasks: Sequence[str] = (),
    settings: toml.Settings = (),
) -> tuple[Recipe, toml.Source]:
    """Read and check a recipe, a file or its values; the file with the lines of its fields beside it.

    corpus: takes the place of the recipe's `[data] corpus`. tasks: "NAME" or "NAME=DATA", take
    the place of its tasks; one that the recipe has too keeps its other options. settings: of its options; a budget
    takes the place of the recipe's, also where it counts something else.
    Raises FileNotFoundError or ValueError with one line that names the file, the line in it, and the field.
    """
    values, source = (dict(recipe), toml.Source("recipe")) if isinstance(recipe, Mapping) else toml.read_with_lines(recipe)
    chosen = toml.parsed(settings)
    elsewhere: list[Place] = [tuple(name.split(".")) for name in chosen]
    if any(name.startswith("budget.") for name in chosen):
        values["budget"] = {}
        elsewhere.append(("budget",))
    values = toml.override(values, chosen)
    if corpus and isinstance(values.get("data", {}), dict):
        values["data"] = {**values.get("data", {}), "corpus": list(corpus)}
        elsewhere.append(("data", "corpus"))
    if tasks:
        values["tasks"] = [_task(asked, values.get("tasks")) for asked in tasks]
        elsewhere.append(("tasks",))
    source = source.without(*elsewhere)
    return parse(values, source), source


def _task(asked: str, known: Any) -> dict[str, Any]:
    name, equals, data = asked.partition("=")
    tasks = [task for task in known if isinstance(task, dict)] if isinstance(known, list) else []
    task = next((task for task in tasks if name in (task.get("called"), task.get("name"))), {"name": name})
    return {**task, "data": data} if equals else task


def parse(values: dict[str, Any], origin: str | toml.Source = "recipe") -> Recipe:
    """Check the values of a recipe; ValueError with one line a mistake, `origin` said first."""
    source = toml.Source(origin) if isinstance(origin, str) else origin
    for name, value in values.items():
        if name not in Recipe.model_fields:
            raise ValueError(f"{source.at(name)}: unknown option {name!r}{toml.suggest(name, list(Recipe.model_fields))}")
        if name in SECTIONS and not isinstance(value, dict):
            raise ValueError(f"{source.at(name)}: {name} must be a section [{name}], but is {value!r} instead")
        if name in LISTS and not (isinstance(value, list) and all(isinstance(entry, dict) for entry in value)):
            raise ValueError(f"{source.at(name)}: {name} must be [[{name}]] sections, but is {value!r} instead")
    if not values.get("data", {}).get("corpus"):
        where = source.at("data", "corpus")
        raise OptionError(f'{where}: no corpus: write [data] corpus = ["my-text.txt"] or give ‹corpus›=my-text.txt')
    candidates = values.get("candidates", [])
    if len(candidates) < 2:
        where = source.at("candidates")
        raise ValueError(f"{where}: a comparison needs at least two [[candidates]] sections; found {len(candidates)}")
    for index, candidate in enumerate(candidates):  # each alone first, so that a slip is named with its candidate
        toml.check(Candidate, candidate, source.part(f"candidate {index + 1}", "candidates", index))
    for index, task in enumerate(values.get("tasks", [])):
        toml.check(RecipeTask, task, source.part(f"task {index + 1}", "tasks", index))
    return toml.check(Recipe, values, source)


def dump(recipe: Recipe) -> str:
    """The recipe as TOML, every default written out, so that a later version's other defaults don't change it, but for what the
    budget decides where it is not named."""
    values = recipe.model_dump()
    for section, name in DECIDED:
        if name not in getattr(recipe, section).model_fields_set:
            del values[section][name]
    return toml.dump(values)


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
    """What differs between two recipes, one `field was X, is Y` each; the title, a heading only, what is handed over besides,
    and `but` may differ, and so may the names of sources, which are compared by what they hold."""
    old, new = (toml.flat(recipe.model_dump(exclude={"title", "hand_over"})) for recipe in (before, after))
    return [
        f"{field} was {old.get(field)!r}, is {new.get(field)!r}"
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
        and field not in but
        and not (names_source(field) and old.get(field) and new.get(field))
    ]
