"""report.html: the comparison as one page that a reader who doesn't program can follow; it loads nothing from elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path

import jinja2

from gyebo.compare.conclusion import conclusion, differing
from gyebo.compare.pictures import colors, pictures
from gyebo.compare.recipe import Recipe
from gyebo.compare.rendering import failures, lines_handed_over
from gyebo.compare.results import Comparison, Row
from gyebo.compare.sections import Candidate
from gyebo.compare.table_rows import cells, columns, short
from gyebo.compare.tasks import said_of_tests
from gyebo.config import durable, toml
from gyebo.config.run import OPTIMIZERS
from gyebo.figures.curves import COLORS
from gyebo.jobs.places import published_name
from gyebo.models.family import find
from gyebo.objectives.facts import Samples
from gyebo.objectives.table import OBJECTIVES

SAMPLES = 3


def write_report(result: Comparison) -> None:
    """Write report.html into the comparison's directory, and its plots as PNG files beside it."""
    durable.write(result.out / "report.html", render(result))


def render(result: Comparison) -> str:
    """The page as HTML; writes the PNG plots on the way. Texts of the corpus and of models are escaped by the template."""
    loader = jinja2.PackageLoader("gyebo", "compare")
    page = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    headline, why = conclusion(result)
    shown = Path(published_name(str(result.out)))  # the page is published
    return page.get_template("report.html.j2").render(
        title=result.recipe.title or "Which model is best on this text?",
        headline=headline,
        why=why,
        rows=result.rows,
        columns=_columns(result),
        measures=cells(result),
        tasks=result.tasks,
        pictures=pictures(result),
        floor=result.floor,
        on_text=result.on_text,
        lower=result.recipe.measured_by.lower_is_better,
        lacking=[row.name for row in result.rows if row.results and not row.scores_by(result.on_text)],
        shows=_shows(result),
        dots={name: number % len(COLORS) for name, number in colors(result).items()},
        equal=equal_terms(result),
        unequal=unequal_terms(result),
        handed_over=lines_handed_over(result),
        failures=failures(result),
        commands=commands(result, shown),
        repeat=shlex.join(["gyebo", "compare", str(shown / "recipe.toml"), "-o", f"{shown}-again"]),
        recipe=toml.dump(result.recipe.model_dump(exclude_defaults=True)),
        environment=result.environment,
        sample=result.prepared.sample,
    )


def _columns(result: Comparison) -> list[tuple[str, str]]:
    """(name, what it is) of each column of the table."""
    titles = [f"{find(row.candidate.family).title}, {_size(row.candidate)}" for row in result.rows]
    return list(zip(columns(result), [*titles, "character n-grams, no pretraining"]))


def _size(candidate: Candidate) -> str:
    width = candidate.model.get("width")
    return candidate.size if width is None else f"{candidate.size} with width {width}"


def _shows(result: Comparison) -> list[tuple[Samples, list[tuple[str, list[str]]]]]:
    """Samples by kind of model: their heading and meaning, and the lines of each such candidate."""
    found: dict[Samples, list[tuple[str, list[str]]]] = {}
    for row in sorted(result.rows, key=lambda row: not row.candidate.likelihood):
        if samples := row.candidate.objective_facts.samples:
            found.setdefault(samples, []).append((row.name, row.samples[:SAMPLES]))
    return list(found.items())


# ---- what was equal, and the next commands


def _seeds(recipe: Recipe) -> str:
    seeds, tuning = (", ".join(map(str, numbers)) for numbers in (recipe.seeds, recipe.tuning_seeds))
    if tuning:
        return f"pretrained once, with seed {seeds}, and fine-tuned with seeds {tuning}, the same for all"
    return f"seed{'s' if len(recipe.seeds) > 1 else ''} {seeds}, the same for all"


def equal_terms(result: Comparison) -> list[tuple[str, str]]:
    """What all candidates shared, as (name, value)."""
    recipe, prepared = result.recipe, result.prepared
    budget, given = next((name, value) for name, value in recipe.budget.model_dump().items() if value is not None)
    amount = {
        "minutes": f"{given:g} minutes on this machine for each run, converted to steps once per candidate",
        "tokens": f"{short(given)} tokens for each run",
        "flops": f"{short(given, 'FLOP')} for each run",
        "steps": f"{given:,} steps for each run",
        "epochs": f"{given:g} epochs of the text for each run",
    }[budget]
    texts = (
        f"{', '.join(recipe.data.corpus)}: {prepared.documents:,} training documents"
        f" ({short(prepared.bytes, 'B')}, {short(prepared.tokens)} tokens), {prepared.valid_documents:,} held out"
    )
    if prepared.left_out:
        texts += f"; {prepared.left_out:,} documents left out, as they hold a test example or another text of data.without"
    tokenizer = recipe.tokenizer.path or "one byte-level BPE, trained on the training text"
    terms = [
        ("Text", texts),
        ("Tokenizer", f"{tokenizer}: the same tokens for all candidates"),
        ("Budget", amount + (", before any fine-tuning" if result.tasks else "")),
        *_task_terms(result),
        ("Random seeds", _seeds(recipe)),
        ("Batch", f"{recipe.train.batch_tokens:,} tokens for each step"),
    ]
    if recipe.context is not None:
        terms.append(("Context", f"{recipe.context:,} tokens"))
    contexts = {entry.evaluate_context for entry in result.plan.values()}
    if len(contexts) == 1 and None not in contexts:
        terms.append(("Context of held-out text", f"{contexts.pop():,} tokens"))
    if recipe.cooldowns:
        shares = " and ".join(f"{share:.0%}" for share in sorted(recipe.cooldowns))
        terms.append(("Cool-downs", f"of each run also at {shares} of its steps, in branches beside the budget"))
    if shared := _shared(result):
        terms.append(("Options of all", ", ".join(shared)))
    own = {name for candidate in recipe.candidates for name in candidate.optim}
    if own <= {"betas", "lr"}:  # what the budget may have decided for each
        rate = "learning rate by model width" if recipe.optim.name == "adamw" else "its default learning rate"
        rate = "learning-rate sweep per candidate" if recipe.sweep else rate
        rate = f"learning rate {recipe.optim.lr:g}" if recipe.optim.lr else rate
        rate = "a learning rate for each candidate" if "lr" in own else rate
        terms.append(("Optimiser", f"{OPTIMIZERS[recipe.optim.name]}, {recipe.optim.schedule} schedule, {rate}"))
    if any(candidate.likelihood for candidate in recipe.candidates):
        terms.append(("Bits per byte", "the same held-out text, every byte of it counted, the end of each document included"))
    environment = result.environment
    terms.append(("Machine", f"{environment['processor']}, {environment['cores']} cores, one run at a time"))
    return terms


def _task_terms(result: Comparison) -> list[tuple[str, str]]:
    """The examples of every task, and the options of its fine-tuning."""
    terms = []
    for task in result.recipe.tasks:
        known, learning = result.tasks[task.called], task.model_dump(exclude_defaults=True, exclude={"name", "called", "optim"})
        own = learning | {f"optim.{name}": value for name, value in task.optim.model_dump(exclude_defaults=True).items()}
        chosen = ", ".join(f"{name} {value}" for name, value in own.items())
        counts = known.examples
        terms.append(
            (
                f"Task {task.called}",
                f"{known.title}: the same {counts.train:,} training, {counts.valid:,} validation"
                f" and {counts.test:,} test examples ({known.measured});"
                f" {chosen or 'all options the defaults of the task'}"
                + (f"; {said}" if (said := said_of_tests(known)) else ""),
            )
        )
    return terms


def unequal_terms(result: Comparison) -> list[tuple[str, str]]:
    """What differed between the candidates, besides family and size."""
    terms = []
    shared = {name: entry.precision for name, entry in result.plan.items()}
    if len(set(shared.values())) > 1:
        terms.append(("Precision (the faster one for each)", differing(shared)))
    learned = {candidate.name: candidate.objective_facts.learns for candidate in result.recipe.candidates}
    if len(set(learned.values())) > 1:
        terms.append(("Objective", differing(learned)))
    for candidate in result.recipe.candidates:
        own = [setting for setting in _settings(candidate) if setting not in _shared(result)]
        if own:
            terms.append((f"Options of {candidate.name} only", ", ".join(own)))
    if result.recipe.context is None:
        terms.append(("Context", "the recipe sets none, so that of each model"))
    if result.recipe.sweep:
        paid = "inside its budget" if result.recipe.sweep.counted else "beside its budget"
        terms.append(("Learning rate", f"the best of a sweep per candidate on held-out text, {paid}; its cost is in the table"))
    return terms


def _settings(candidate: Candidate) -> list[str]:
    """What a candidate sets itself, as "section.name = value"."""
    tuning = {name: value for name, value in candidate.tuning.items() if name != "optim"}
    tuning |= {f"optim.{name}": value for name, value in candidate.tuning.get("optim", {}).items()}
    sections = (("model", candidate.model), ("objective", candidate.objective), ("optim", candidate.optim), ("tuning", tuning))
    found = [f"{section}.{name} = {value}" for section, values in sections for name, value in values.items()]
    return found + ([] if candidate.dropout_share is None else [f"dropout_share = {candidate.dropout_share:g}"])


def _shared(result: Comparison) -> list[str]:
    """What every candidate sets to the same value."""
    first, *others = [_settings(candidate) for candidate in result.recipe.candidates]
    return [setting for setting in first if all(setting in other for other in others)]


def commands(result: Comparison, out: Path) -> list[tuple[str, str]]:
    """The next commands, as (purpose, command); `out`: the comparison's directory as they name it."""
    again = ["gyebo", "compare", str(out / "recipe.toml"), "-o", str(out), "--resume"]
    lines: list[tuple[str, str]] = [] if result.ok else [("Try the failed runs again", shlex.join(again))]
    leader = result.leader
    if leader is None or leader.best_seed is None:
        return lines
    lines += _task_commands(result, leader, leader.best_seed, out) if result.tasks else []
    model = str(out / result.run(leader, leader.best_seed).relative_to(result.out))
    words = result.prepared.sample.split()
    family, facts = find(leader.candidate.family), leader.candidate.objective_facts
    masked = " ".join([*words[:2], family.tokens.get("mask", ""), *words[3:6]])
    filled = {"name": leader.name, "model": model, "start": " ".join(words[:2]), "masked": masked}
    for what, command in facts.tries:
        lines.append((what.format(**filled), shlex.join(["gyebo", *(word.format(**filled) for word in command)])))
    opening = OBJECTIVES[family.objective].auto_class if family.in_transformers and not result.tasks else ""
    return [*lines, _opened(model, opening)] if opening else lines


def _task_commands(result: Comparison, leader: Row, seed: int, out: Path) -> list[tuple[str, str]]:
    task = result.ranked_by
    model, kind = str(out / result.task_run(leader, task, seed).relative_to(result.out)), leader.tasks[task][seed].auto_class
    use = (
        f"Predict {task} for your own texts with {leader.name}",
        shlex.join(["gyebo", "predict", model, "my-texts.txt"]),
    )
    return [use, _opened(model, kind)] if kind else [use]


def _opened(model: str, kind: str) -> tuple[str, str]:
    return (
        "Open it with transformers (Python)",
        f"from transformers import {kind}, AutoTokenizer\n"
        f"model = {kind}.from_pretrained({model!r})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({model!r})",
    )
