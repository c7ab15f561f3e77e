"""report.html: the comparison as one page for a reader who doesn't program; nothing in it is fetched from elsewhere."""

from __future__ import annotations

import shlex

import jinja2
from markupsafe import Markup

from gyebo.compare.table import FAILED, Comparison, Row, cells, conclusion, differing, run_directory, short
from gyebo.config import toml
from gyebo.figures.curves import COLORS, Curve, comparison, inline_svg, intervals, save
from gyebo.models.family import find
from gyebo.training import log

SAMPLES = 3


def write_report(result: Comparison) -> None:
    """Write report.html into the comparison's directory, and its pictures as PNG files beside it."""
    page = render(result)
    aside = result.out / ".report.html.part"
    aside.write_text(page, encoding="utf-8")
    aside.replace(result.out / "report.html")


def render(result: Comparison) -> str:
    """The page as HTML; draws the PNG pictures on the way. Texts of the corpus and of models are escaped by the template."""
    loader = jinja2.PackageLoader("gyebo", "compare")
    page = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    headline, why = conclusion(result)
    return page.get_template("report.html.j2").render(
        title=result.recipe.title or "Which model is best on this text?",
        headline=headline,
        why=why,
        ok=result.ok,
        rows=result.rows,
        titles={row.name: find(row.candidate.family).title for row in result.rows},
        colors={row.name: index % len(COLORS) for index, row in enumerate(_drawn(result))},
        measures=cells(result.rows),
        pictures=[Markup(picture) for picture in _pictures(result)],  # ours, from numbers and checked names only
        floor=result.floor,
        samples=[(row, _samples(row)) for row in result.rows],
        equal=equal_terms(result),
        unequal=unequal_terms(result),
        failures=[(row.name, where, reason) for row in result.rows for where, reason in row.failures.items()],
        commands=commands(result),
        repeat=shlex.join(["gyebo", "compare", str(result.out / "recipe.toml"), "-o", f"{result.out}-again"]),
        recipe=toml.dump(result.recipe.model_dump(exclude_defaults=True)),
        environment=result.environment,
        sample=result.prepared["sample"],
        sweep=any(row.sweep for row in result.rows),
    )


def _drawn(result: Comparison) -> list[Row]:
    """Rows with at least one finished seed, in the table's order."""
    return [row for row in result.rows if row.results]


def _samples(row: Row) -> list[str]:
    return row.results[row.best_seed]["samples"][:SAMPLES] if row.best_seed is not None else []


# ---- pictures


def _pictures(result: Comparison) -> list[str]:
    rows = _drawn(result)
    if not rows:
        return []
    by_tokens = comparison(curves(result, rows, "tokens"), "tokens seen", floor=result.floor)
    by_flops = comparison(curves(result, rows, "flops"), "computation (FLOPs)", floor=result.floor)
    ends = intervals([(row.name, row.scores, *_bounds(row)) for row in rows])
    for name, figure in (("tokens", by_tokens), ("flops", by_flops), ("scores", ends)):
        save(figure, result.out / f"{name}.png")
    return [
        inline_svg(ends, "Held-out bits per byte of each candidate: every seed, the mean and its interval"),
        inline_svg(by_tokens, "Held-out bits per byte against tokens seen"),
        inline_svg(by_flops, "Held-out bits per byte against computation"),
    ]


def _bounds(row: Row) -> tuple[float | None, float | None]:
    return (row.summary.low, row.summary.high) if row.summary else (None, None)


def curves(result: Comparison, rows: list[Row], x: str) -> list[Curve]:
    """The held-out curves of the rows from their logs; x: "tokens" or "flops", both counted from the run's start.

    The measurements on the way use a part of the held-out text; the last one, which is the score, uses all of it.
    """
    return [_curve(result, row, x) for row in rows]


def _curve(result: Comparison, row: Row, x: str) -> Curve:
    logs: list[dict[int, tuple[float, float]]] = []  # a seed each: step -> point
    for seed, end in row.results.items():
        scale = end[x] / end["tokens"]
        records = log.read(run_directory(result.out, row.name, seed))
        points = {
            line["step"]: (line["tokens"] * scale, line["evaluation"]["bits_per_byte"])
            for line in records
            if "evaluation" in line
        }
        logs.append(points | {end["steps"]: (end[x], end["valid"]["bits_per_byte"])})
    steps = sorted(set(logs[0]).intersection(*logs[1:]))  # the tokens of a step differ a little from seed to seed
    seeds = [tuple(zip(*(points[step] for step in steps))) for points in logs]
    return Curve(row.name, [(xs, ys) for xs, ys in seeds], [points[steps[-1]] for points in logs])


# ---- what was held equal, and what to type


def equal_terms(result: Comparison) -> list[tuple[str, str]]:
    """What all candidates shared, as (what, how) in plain words."""
    recipe, prepared = result.recipe, result.prepared
    seeds = ", ".join(map(str, recipe.seeds))
    budget, given = next((name, value) for name, value in recipe.budget.model_dump().items() if value is not None)
    amount = {
        "minutes": f"{given:g} minutes on this machine for each run, turned into steps once per candidate",
        "tokens": f"{short(given)} tokens for each run",
        "flops": f"{short(given, 'FLOP')} of computation for each run",
        "steps": f"{given:,} steps for each run",
    }[budget]
    texts = (
        f"{', '.join(recipe.data.corpus)}: {prepared['documents']:,} documents to learn from"
        f" ({short(prepared['bytes'], 'B')}, {short(prepared['tokens'])} tokens), {prepared['valid_documents']:,} held out"
    )
    pieces = recipe.tokenizer.path or "one byte-level BPE, learned from the text that the models learn from"
    terms = [
        ("Text", texts),
        ("Segmentation", f"{pieces}: all candidates read the same pieces"),
        ("Budget", amount),
        ("Scoring", "the same held-out text, every byte of it charged, the end of each document included"),
        ("Random starts", f"seeds {seeds}, the same for all" if len(recipe.seeds) > 1 else f"seed {seeds}, the same for all"),
        ("Batch", f"{recipe.train.batch_tokens:,} tokens for each step"),
    ]
    if recipe.context is not None:
        terms.append(("Context", f"{recipe.context:,} tokens at a time"))
    if not any(candidate.optim for candidate in recipe.candidates):
        rate = "learning rate searched for each" if recipe.sweep else "learning rate by the model's width"
        rate = f"learning rate {recipe.optim.lr:g}" if recipe.optim.lr else rate
        terms.append(("Optimiser", f"AdamW, {recipe.optim.schedule} schedule, {rate}"))
    environment = result.environment
    terms.append(("Machine", f"{environment['processor']}, {environment['cores']} cores, one run at a time"))
    return terms


def unequal_terms(result: Comparison) -> list[tuple[str, str]]:
    """What the candidates didn't share, beyond family and size."""
    terms = []
    shared = {name: f"{entry['precision']}" for name, entry in result.plan.items()}
    if len(set(shared.values())) > 1:
        terms.append(("Precision (what was faster for each)", differing(shared)))
    for candidate in result.recipe.candidates:
        own = {**{f"model.{k}": v for k, v in candidate.model.items()}, **{f"optim.{k}": v for k, v in candidate.optim.items()}}
        if own:
            terms.append((f"Set for {candidate.name} only", ", ".join(f"{name} = {value}" for name, value in own.items())))
    if result.recipe.context is None:
        terms.append(("Context", "the recipe sets none, so each model's own length"))
    if result.recipe.sweep:
        terms.append(("Learning rate", "the best of each one's short trials on the held-out text; their cost is in the table"))
    return terms


def commands(result: Comparison) -> list[tuple[str, str]]:
    """What to type next, as (what for, command)."""
    leader = next((row for row in result.rows if row.verdict != FAILED), None)
    again = ["gyebo", "compare", str(result.out / "recipe.toml"), "-o", str(result.out), "--resume"]
    lines: list[tuple[str, str]] = [] if result.ok else [("Try the failed runs again", shlex.join(again))]
    if leader is None or leader.best_seed is None:
        return lines
    model = str(result.run(leader, leader.best_seed))
    prompt = " ".join(result.prepared["sample"].split()[:2])
    return [
        *lines,
        (f"Let {leader.name} go on with a text", shlex.join(["gyebo", "generate", model, "--prompt", prompt])),
        ("Score it on another text", shlex.join(["gyebo", "evaluate", model, "another-text.txt"])),
        (
            "Open it with transformers (Python)",
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
            f"model = AutoModelForCausalLM.from_pretrained({model!r})\n"
            f"tokenizer = AutoTokenizer.from_pretrained({model!r})",
        ),
    ]
