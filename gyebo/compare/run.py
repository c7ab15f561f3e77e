"""`gyebo compare`: train all candidates of a recipe under one budget, one after the other, and write table and report.

The directory of a comparison, each file replaced in one step, so that a kill at any instant leaves something to resume:

    recipe.toml     what was asked for, every default written out; a resumed comparison must ask for the same
    plan.json       the corpus and the tasks; per candidate the steps, the precision and the learning rate of all its seeds
    tokenizer/      the segmentation that all share, where none was named
    sweeps/NAME/lr-RATE/, runs/NAME/seed-N/     the runs, each a model directory
    tasks/          what was fine-tuned from them, and the baselines (see gyebo/compare/tasks.py)
    handed-over/TASK/   a model that the others taught (see gyebo/compare/handing_over.py)
    cooldowns/SHARE/    the same of the runs' branches (see gyebo/compare/cooldowns.py)
    test-texts.jsonl    the texts of the test examples, where no document that holds one is to be learned
    failures/       the traceback of each run that failed last time
    checkpoints/sources.json    where the text, the tokenizer and the tasks' data lie
    results.json, results.md, report.html, *.png     written at the end
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

import gyebo
from gyebo.compare import cooldowns
from gyebo.compare import recipe as recipes
from gyebo.compare.conclusion import conclusion
from gyebo.compare.examples import with_examples
from gyebo.compare.handing_over import FOLDER as HANDED_OVER
from gyebo.compare.handing_over import hand_over
from gyebo.compare.plan import PLAN, CandidatePlan, Decided
from gyebo.compare.pretraining import pretrain_branch, pretrain_measured
from gyebo.compare.recipe import BASELINE, Recipe, load_with_lines
from gyebo.compare.rendering import as_json, lines_handed_over, markdown, rich_tables
from gyebo.compare.report import commands, write_report
from gyebo.compare.results import Comparison, Row, rank
from gyebo.compare.search import search
from gyebo.compare.sections import RecipeTask
from gyebo.compare.session import Jobs, Session, finite, held_out
from gyebo.compare.tasks import (
    TEST_TEXTS,
    examine,
    find_test_texts,
    finetune_all,
    keep_test_texts,
    read_tasks,
    train_baselines,
)
from gyebo.config import durable, toml
from gyebo.config.disk import disk_full
from gyebo.config.durable import write
from gyebo.config.errors import OptionError
from gyebo.data.lock import sole_writer
from gyebo.jobs import places
from gyebo.jobs.pretraining.sizing import beta2_for
from gyebo.jobs.results import CorpusFacts
from gyebo.jobs.run_directory import bring_back, forget, refuse_foreign, refuse_links, refuse_to_replace, set_aside
from gyebo.jobs.written import RUN, TOKENIZER, Table, foreign

_RUNS: Table = {
    "runs": {"*": {"seed-*": RUN}},
    "failures": {"*.txt": None, HANDED_OVER: {"*.txt": None}, "tasks": {"*": {"*.txt": None}}},
}
WRITTEN: Table = {
    **dict.fromkeys(("recipe.toml", "plan.json", TEST_TEXTS, "results.json", "results.md", "report.html")),
    **dict.fromkeys(("scores.png", "tokens.png", "flops.png", "task-*.png", "budget.png", "budget-*.png")),
    "tokenizer": TOKENIZER,
    "sweeps": {"*": {"lr-*": RUN}},
    **_RUNS,
    "cooldowns": {"*": {**_RUNS, "tasks": {"*": {"*": {"seed-*": RUN}}}}},
    "tasks": {BASELINE: {"*": RUN}, "*": {"*": {"seed-*": RUN}}},
    HANDED_OVER: {"*": RUN},
    "checkpoints": {"sources.json": None},
}


def compare(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
    jobs: Jobs | None = None,
) -> Comparison:
    """Train what the recipe names into `out`, or resume it, and write results.json, results.md and report.html.

    Budgets become steps once per candidate, before anything is trained; each seed then trains all candidates in turn, and
    fine-tunes each on the recipe's tasks. A run that fails becomes a row with the reason, and the rest go on
    (`Comparison.ok` is False; `resume` tries it again). `jobs` takes the place of `gyebo.jobs`' functions in tests.

    Raises ValueError for an existing `out` without `resume` or `overwrite`, a changed recipe, corpus or task, and options that
    don't fit; OSError where files can't be read or written; `training.loop.Stopped` after SIGTERM or Ctrl-C.
    """
    from gyebo.training.loop import Stopped

    out = out.resolve()  # runs remember the tokenizer's path
    places.refuse_names(recipe, out)
    with disk_full(out, lambda: _kept(recipe, out)), sole_writer(out):
        fresh = overwrite or not (out / PLAN).is_file()
        recipe = open_directory(recipe, out, resume=resume, overwrite=overwrite)
        typed, recipe = recipe, places.placed(recipe, out, typed=True)
        if fresh:
            places.remember(out, typed, recipe)
        trained = recipe.leaving_out(out / TEST_TEXTS)
        session = Session(recipe=trained, out=out, console=console or Console(quiet=True), jobs=jobs or real_jobs())
        try:
            return _run(session, typed, fresh)
        except (Stopped, KeyboardInterrupt) as stop:
            raise Stopped(f"stopped; resume with: {resume_command(out)}") from stop


def _kept(recipe: Recipe, out: Path) -> str:
    """What a full disk leaves of this recipe's comparison, and what to do."""
    stored = out / "recipe.toml"
    if not stored.is_file() or recipes.changed(recipes.parse(toml.read(stored), str(stored)), recipe):
        return "nothing is kept of this start: free some space and start again"
    return f"finished runs are kept: free some space and resume with: {resume_command(out)}"


def _run(session: Session, typed: Recipe, fresh: bool) -> Comparison:
    """Plan, train, and write what came of it. `typed`: the recipe with the names of sources as they were given; `fresh`: no
    earlier start had a plan."""
    recipe, out = session.recipe, session.out
    with _starting(out, fresh):
        _plan(session)
        places.remember(out, typed, recipe)
    recipe = session.recipe  # every candidate with a shape now
    trained, baselines = with_examples(_train(session), out, recipe=recipe, tasks=session.state.tasks)
    rows = rank(trained, session.state.tasks, recipe.measured_by)
    handed_over = hand_over(session, rows)
    state = session.state
    assert state.prepared is not None
    comparison = Comparison(
        recipe=places.published(typed).model_copy(update={"candidates": recipe.candidates, "train": recipe.train}),
        out=out,
        rows=rows,
        prepared=state.prepared,
        plan=state.candidates,
        environment=environment(),
        tasks=state.tasks,
        baselines=baselines,
        handed_over=handed_over,
    )
    write(out / "results.json", json.dumps(finite(as_json(comparison)), ensure_ascii=False, indent=1, allow_nan=False))
    write(out / "results.md", markdown(comparison))
    write_report(comparison)
    return comparison


def real_jobs() -> Jobs:
    """The functions of `gyebo.jobs` (imports torch)."""
    from gyebo.jobs import branch, pretrain, seen_tests
    from gyebo.jobs.finetuning import linear, run
    from gyebo.jobs.pretraining import by_budget, corpus, planning

    return Jobs(
        prepare=corpus.prepare,
        left_open=by_budget.left_open,
        decided=by_budget.decided_for,
        plan_steps=planning.plan_steps,
        pretrain=pretrain.pretrain,
        branch=branch.branch,
        examine=examine,
        find_test_texts=seen_tests.find_test_texts,
        keep_test_texts=seen_tests.keep_test_texts,
        finetune=run.finetune,
        linear=linear.finetune_linear,
    )


def resume_command(out: Path) -> str:
    """The command that resumes a comparison."""
    return shlex.join(["gyebo", "compare", str(out / "recipe.toml"), "-o", str(out), "--resume"])


def _of_old_version(out: Path, resume: bool) -> bool:
    """Whether a comparison goes on that was begun before searches were counted."""
    return resume and (out / "recipe.toml").is_file() and recipes.searched_before(toml.read(out / "recipe.toml"))


def open_directory(recipe: Recipe, out: Path, *, resume: bool, overwrite: bool) -> Recipe:
    """Make `out` the directory of this recipe's comparison; ValueError where it is another's or not to be touched.

    Gives the recipe that it goes on with: one that was begun by an older version keeps that version's search.
    """
    if not _of_old_version(out, resume):
        recipe.check_search()
    if resume and overwrite:
        raise OptionError("‹resume› and ‹overwrite› exclude each other: resume the comparison, or start it again")
    if out.exists() and not out.is_dir():
        raise OptionError(f"{out} is a file: choose another ‹out›")
    if not (out / "runs").is_dir():
        bring_back(out, WRITTEN)  # what a start that was killed had replaced
    stored = out / "recipe.toml"
    entries = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    if entries and not stored.is_file():
        raise OptionError(f"{out} holds files but no recipe.toml, so it was not written by gyebo compare: choose another ‹out›")
    begun = resume and (out / "plan.json").is_file()  # nothing is taken away then
    if entries:
        (refuse_links if begun else refuse_foreign)(out, WRITTEN)
    names = [name for task in recipe.tasks for name in (task.data, task.test)]
    refuse_to_replace(out, [*names, *recipe.data.corpus, *recipe.data.without, recipe.data.valid, recipe.tokenizer.path])
    if entries and resume:
        before = toml.read(stored)
        recipe = recipe.model_copy(update={"hand_over": recipe.hand_over or before.get("hand_over")})
        going, changes = recipes.continued(before, recipe, str(stored))
        if changes:
            raise OptionError(
                f"{out} can't be resumed with another recipe: {'; '.join(changes)}."
                " Choose another ‹out›, or ‹overwrite› to start again"
            )
        if going is recipe:  # an older version's file stays, by which its search is recognised
            write(stored, recipes.dump(places.published(recipe)))
        return going
    if entries and not overwrite:
        raise OptionError(f"{out} exists already: pass ‹resume› to continue or ‹overwrite› to start again")
    if entries:
        set_aside(out, WRITTEN)
    durable.make_folder(out)
    write(stored, recipes.dump(places.published(recipe)))
    return recipe


@contextmanager
def _starting(out: Path, fresh: bool) -> Iterator[None]:
    """What a new comparison replaces goes once all that it needs was found, and comes back where something was not.

    Nothing stays of one whose recipe can't be carried out as it stands, so that the corrected one is not refused.
    """
    from gyebo.training.loop import Stopped

    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Stopped | KeyboardInterrupt | SystemExit)
        if not bring_back(out, WRITTEN) and fresh and not stopped and not foreign(out, WRITTEN):
            durable.remove(out)
        raise
    forget(out)


# ---- before the runs


def _plan(session: Session) -> None:
    """Read the tasks and prepare the text, then fix steps and precision of each candidate; what is fixed stays."""
    recipe, out = session.recipe, session.out
    durable.clean(out)
    session.restore()
    read_tasks(session)
    keep_test_texts(session)
    decide(session)
    recipe = session.recipe
    first = recipe.options(recipe.candidates[0], recipe.seeds[0], recipe.tokenizer.path)
    prepared = session.jobs.prepare(first, out, session.console)
    before = session.state.prepared or prepared
    if before.fingerprint != prepared.fingerprint:
        raise OptionError(
            f"{out} can't be resumed: the corpus has changed since (fingerprint {before.fingerprint[:12]} then,"
            f" {prepared.fingerprint[:12]} now). Restore the old text, or ‹overwrite› to start again"
        )
    _same_tokenizer(session, before, prepared)
    session.state.prepared = replace(prepared, tokenizer=places.published_name(prepared.tokenizer))
    session.keep()
    find_test_texts(session)
    new = [candidate for candidate in recipe.candidates if candidate.name not in session.state.candidates]
    if new:  # all of them first: an option that doesn't fit is found before hours of training, and they are timed in turn
        asked = [
            recipe.options(candidate, recipe.seeds[0], session.tokenizer, evaluate_context=recipe.evaluate_context)
            for candidate in new
        ]
        plans = session.jobs.plan_steps(asked, out, session.console)
        found = {candidate.name: CandidatePlan(**plan.as_dict()) for candidate, plan in zip(new, plans)}
        session.state.candidates |= found
        session.keep()
    train_baselines(session)


def decide(session: Session) -> None:
    """Let the budget decide once what the recipe leaves open: shapes of candidates with a size of `AUTO`, how each is trained,
    and the tokens of a step: the most of what each would have, as fewer may be less than a row of another."""
    recipe, state = session.recipe, session.state
    asked = [recipe.options(candidate, recipe.seeds[0], recipe.tokenizer.path) for candidate in recipe.candidates]
    new = {
        candidate.name: options
        for candidate, options in zip(recipe.candidates, asked)
        if candidate.name not in {*state.decided, *state.candidates} and session.jobs.left_open(options)
    }
    if new:
        found = session.jobs.decided(list(new.values()), session.out, session.console)
        state.batch_tokens = batch = state.batch_tokens or max(options.train.batch_tokens for options in found)
        for name, options in zip(new, found, strict=True):
            betas = options.optim.betas if "optim.betas" in session.jobs.left_open(new[name]) else None
            state.decided[name] = Decided(
                size=options.size,
                model=options.model,
                betas=[betas[0], beta2_for(batch)] if betas else None,
                lr=options.optim.lr if options.optim.lr != new[name].optim.lr and not recipe.sweep else None,
                dropout_share=options.train.dropout_share,
            )
        session.keep()
    candidates = [state.decided[one.name].given_to(one) if one.name in state.decided else one for one in recipe.candidates]
    train = recipe.train.model_copy(update={"batch_tokens": state.batch_tokens}) if state.batch_tokens else recipe.train
    session.recipe = recipe.model_copy(update={"candidates": candidates, "train": train})


def _same_tokenizer(session: Session, before: CorpusFacts, prepared: CorpusFacts) -> None:
    """OptionError where a comparison would go on with another tokenizer; an earlier version stored its name alone."""
    known, found = before.tokenizer_fingerprint, prepared.tokenizer_fingerprint
    named = session.recipe.tokenizer.path and Path(before.tokenizer).resolve() != Path(prepared.tokenizer).resolve()
    if known != found if known else named:
        raise OptionError(
            f"{session.out} can't be resumed: the tokenizer is another one. Restore the old one, or ‹overwrite› to start again"
        )


# ---- the runs


def _train(session: Session) -> list[Row]:
    """Every seed of every candidate, seed by seed: a slower hour of the machine meets all candidates alike."""
    recipe = session.recipe
    rows = {candidate.name: Row(candidate=candidate) for candidate in recipe.candidates}
    for candidate in recipe.candidates:
        reason = search(session, candidate)
        if reason:
            rows[candidate.name].failures["sweep"] = reason
    total, begun = len(recipe.seeds) * len(recipe.candidates), time.perf_counter()
    for number, (seed, candidate) in enumerate(((s, c) for s in recipe.seeds for c in recipe.candidates), 1):
        if "sweep" not in rows[candidate.name].failures:
            minutes = (time.perf_counter() - begun) / 60
            session.console.rule(f"run {number} of {total}: {candidate.name}, seed {seed} ({minutes:.1f} min so far)")
            _train_seed(session, rows[candidate.name], seed)
    return [replace(row, sweep=session.plan(row.candidate).sweep) for row in rows.values()]


def _train_seed(session: Session, row: Row, seed: int) -> None:
    """Pretrain one seed of a candidate, and fine-tune it on every task; what came of it goes into the row."""
    candidate = row.candidate
    result, reason = pretrain_measured(session, candidate, seed)
    if result is None:
        row.failures[f"seed {seed}"] = reason
        session.console.print(f"[red]{row.name}, seed {seed} failed:[/red] {escape(reason)}", highlight=False)
        return
    row.results[seed] = result
    name, score = held_out(result)
    session.console.print(f"{row.name}, seed {seed}: {name} {score:.4f}", highlight=False)
    _finetune(session, row, seed, tasks=session.recipe.tasks, out=session.out)
    for share in sorted(session.recipe.cooldowns):
        _train_branch(session, row.cooldowns.setdefault(share, Row(candidate=candidate)), seed, share)


def _train_branch(session: Session, row: Row, seed: int, share: float) -> None:
    """Pretrain the branch of a run, and fine-tune it on the task that ranks."""
    result, reason = pretrain_branch(session, row.candidate, seed, share)
    if result is None:
        row.failures[f"seed {seed}"] = reason
        return
    row.results[seed] = result
    _finetune(session, row, seed, tasks=session.recipe.tasks[:1], out=cooldowns.folder(session.out, share))


def _finetune(session: Session, row: Row, seed: int, *, tasks: Sequence[RecipeTask], out: Path) -> None:
    """Fine-tune what was pretrained with a seed in `out`."""
    for tuning in session.recipe.tunings(seed):
        learned, failed = finetune_all(session, row.candidate, tasks, seed=seed, tuning=tuning, out=out)
        for task, found in learned.items():
            row.tasks.setdefault(task, {})[tuning] = found
        row.failures.update({f"{task}, seed {tuning}": why for task, why in failed.items()})


def environment() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "not installed"
    return {
        "gyebo": gyebo.__version__,
        "torch": torch,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def compare_files(
    recipe: Path | Mapping[str, Any],
    out: Path,
    *,
    corpus: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    settings: toml.Settings = (),
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Run a recipe, a file or its values, into `out` and print the answer. Errors as in `load` and `compare`.

    corpus: takes the place of the recipe's. tasks: "NAME" or "NAME=DATA", likewise. settings: of the recipe's options.
    """
    console = console or Console()
    asked, source = load_with_lines(recipe, corpus=corpus or (), tasks=tasks or (), settings=settings)
    if not _of_old_version(out, resume):
        with source.named():
            asked.check_search()
    result = compare(asked, out, resume=resume, overwrite=overwrite, console=console)
    show(result, console)
    return result


def show(result: Comparison, console: Console) -> None:
    """Print the table, the verdict, where the report is and the next commands."""
    headline, why = conclusion(result)
    console.print()
    console.print(rich_tables(result, console.width))
    console.print(f"[bold]{escape(headline)}[/bold] {escape(why)}", highlight=False)
    if result.floor is not None:
        console.print(f"Known entropy of the held-out text: {result.floor:.4f} bits per byte.", highlight=False)
    for line in lines_handed_over(result):
        console.print(escape(line), highlight=False)
    console.print(f"\nReport: {escape(str(result.out / 'report.html'))}", highlight=False)
    console.print(f"All figures: {escape(str(result.out / 'results.md'))}", highlight=False)
    for what, command in commands(result, result.out):
        console.print(f"\n{escape(what)}:", highlight=False)
        for line in command.splitlines():
            console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)  # to be copied
