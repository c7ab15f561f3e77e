"""The tasks of a comparison: their examples, the linear baseline, and the fine-tunings of every pretrained model.

`tasks/NAME/TASK/seed-N` is fine-tuned from `runs/NAME/seed-N` with the same seed, or with each of the recipe's `tuning_seeds`
from the one pretraining; the baseline is `tasks/linear/TASK`; why one
failed stands in `failures/tasks/NAME/TASK-seed-N.txt`.

Pretraining text may hold test examples, which flatters a score: they are counted, and left out where the recipe says so.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape

from gyebo.compare.plan import Baseline, KnownTask
from gyebo.compare.recipe import BASELINE
from gyebo.compare.results import run_directory, task_directory
from gyebo.compare.sections import Candidate, RecipeTask
from gyebo.compare.session import Session, attempt
from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions
from gyebo.jobs.results import ExampleCounts, FinetuneResult, TaskFacts
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.splits import not_said, read_task

TEST_TEXTS = "test-texts.jsonl"


def examine(options: TaskOptions) -> TaskFacts:
    """Read a task's examples. Raises what `read_task` does."""
    data = read_task(options)
    return TaskFacts(
        title=data.task.title,
        kind=data.task.kind,
        score=data.task.score,
        labels=None if data.task.labels is None else len(data.task.labels),
        measured=data.measured,
        examples=ExampleCounts(train=len(data.train), valid=len(data.valid), test=len(data.test)),
        notes=data.notes,
        note=data.task.note,
        fingerprint=data.fingerprint,
    )


def read_tasks(session: Session) -> None:
    """Read every task before anything is trained, so that a wrong path or column is found at once.

    Raises ValueError where the examples are others than when the comparison began.
    """
    before = session.state.tasks
    session.state.tasks = {}
    for task in session.recipe.tasks:
        found, stored = session.jobs.examine(task.source), before.get(task.called)
        if stored and stored.fingerprint != found.fingerprint:
            raise OptionError(
                f"{session.out} can't be resumed: the examples of {task.called} have changed since. Restore the old examples,"
                " or ‹overwrite› to start again"
            )
        known = KnownTask(**vars(found))
        if stored:
            known = replace(known, linear=stored.linear, baseline_failed=stored.baseline_failed, seen=stored.seen)
        session.state.tasks[task.called] = known
        if not stored:
            counts = found.examples
            session.console.print(
                f"{task.called}: {counts.train:,} training, {counts.valid:,} validation and"
                f" {counts.test:,} test examples ({found.measured})",
                highlight=False,
            )
            for note in not_said(found.fingerprint, found.notes):
                session.console.print(f"[dim]note: {escape(note)}[/dim]", highlight=False)


def keep_test_texts(session: Session) -> None:
    """Write the texts of all test examples, where the recipe leaves documents that hold one out of pretraining."""
    path, recipe = session.out / TEST_TEXTS, session.recipe
    if recipe.without_test_texts and not path.is_file():
        session.jobs.keep_test_texts({task.called: task.source for task in recipe.tasks}, recipe.data.text_field, path)


def find_test_texts(session: Session) -> None:
    """Count the test examples of each task that the corpus holds, once, and say it."""
    recipe, data = session.recipe, session.recipe.data
    tasks = {task.called: task.source for task in recipe.tasks if session.known(task).seen is None}
    if not tasks:
        return
    others = [name for name in data.without if name != str(session.out / TEST_TEXTS)]
    found = session.jobs.find_test_texts(tasks, data.model_copy(update={"without": others}))
    for name, seen in found.items():
        seen = replace(seen, left_out=recipe.without_test_texts)
        session.state.tasks[name] = replace(session.state.tasks[name], seen=seen)
        session.console.print(f"{name}: {said_of_tests(session.state.tasks[name])}", highlight=False)
    session.keep()


def said_of_tests(known: KnownTask) -> str:
    """How many test examples the corpus holds, in words; "" where that was not looked for."""
    seen, tests = known.seen, known.examples.test
    if seen is None:
        return ""
    if not seen.total:
        return f"none of the {tests:,} test examples was found in the pretraining text ({seen.short:,} are too short to tell)"
    done = "documents that hold them are left out" if seen.left_out else "without_test_texts = true leaves such documents out"
    return f"{seen.total:,} of {tests:,} test examples were found in the pretraining text ({seen.ways}); {done}"


def train_baselines(session: Session) -> None:
    """The linear baseline of each task that it can do, once: nothing in it is random. A failed one is tried again."""
    for task in session.recipe.tasks:
        known = session.known(task)
        directory = session.out / "tasks" / BASELINE / task.called
        if find_kind(known.kind).linear and not (known.linear and directory.is_dir()):
            _train_baseline(session, task, known, directory)


def _train_baseline(session: Session, task: RecipeTask, known: KnownTask, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)  # of a run that was cut: it takes seconds, and is done again

    def train() -> Baseline:
        begun = time.perf_counter()
        found = session.jobs.linear(task.source, directory)
        return Baseline(**vars(found), seconds=time.perf_counter() - begun)

    def figure(result: Baseline) -> tuple[str, float | None]:
        return f"{_words(known.score)} of the linear baseline", result.test[known.score].mean

    found, reason = attempt(
        train,
        figure,
        session.out / "failures" / "tasks" / BASELINE / f"{task.called}.txt",
    )
    session.state.tasks[task.called] = replace(known, linear=found, baseline_failed=reason)
    session.keep()
    said = f"[red]failed:[/red] {escape(reason)}" if found is None else f"{found.test[known.score].mean:.4f}"
    session.console.print(f"{task.called}: the linear baseline, {_words(known.score)} {said}", highlight=False)


def finetune_all(
    session: Session,
    candidate: Candidate,
    tasks: Sequence[RecipeTask],
    *,
    seed: int,
    tuning: int,
    out: Path,
) -> tuple[dict[str, FinetuneResult], dict[str, str]]:
    """Every task from the model that was pretrained with a seed, once: {task: result}, {task: why there is none}.

    out: where the pretrained and the fine-tuned models lie, the comparison's directory or that of branches.
    """
    results, failures = {}, {}
    for task in tasks:
        result, reason = _finetune(session, candidate, task, seed=seed, tuning=tuning, out=out)
        if result is None:
            failures[task.called] = reason
            said = f"[red]failed:[/red] {escape(reason)}"
        else:
            results[task.called] = result
            said = f"{_words(result.score)} {result.test[result.score]:.4f} ({result.measured})"
        session.console.print(f"{candidate.name}, seed {tuning}, {task.called}: {said}", highlight=False)
    return results, failures


def _finetune(
    session: Session, candidate: Candidate, task: RecipeTask, *, seed: int, tuning: int, out: Path
) -> tuple[FinetuneResult | None, str]:
    model = str(run_directory(out, candidate.name, seed))
    plan = session.plan(candidate)
    options = session.recipe.finetuning(
        candidate, task, model=model, seed=tuning, precision=plan.precision, context=plan.evaluate_context
    )
    directory = task_directory(out, candidate.name, task=task.called, seed=tuning)
    note = out / "failures" / "tasks" / candidate.name / f"{task.called}-seed-{tuning}.txt"
    return attempt(
        lambda: session.jobs.finetune(options, directory, resume=True, console=session.console),
        lambda result: (f"{_words(result.score)} on {result.measured}", result.test[result.score]),
        note,
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
