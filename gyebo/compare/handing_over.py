"""What a comparison hands over besides its table (`hand_over = "distil"`): for each task one model that all others taught.

The candidate that is best on the validation examples, of those that answer with a head, is fine-tuned once more from its
pretrained model, `handed-over/TASK`: it learns the mean probabilities of all fine-tuned models and of the linear baseline, on
the training examples and on texts of the corpus (`gyebo/jobs/finetuning/teachers.py`). It has had what the others had, and them
besides, so it is scored once on the test examples, apart: no verdict uses it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from gyebo.compare.plan import KnownTask
from gyebo.compare.recipe import BASELINE, Recipe
from gyebo.compare.results import HandedOver, Row, run_directory, task_directory
from gyebo.compare.sections import RecipeTask
from gyebo.compare.session import Session, attempt
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.toml import check
from gyebo.jobs.results import FinetuneResult
from gyebo.tasks.splits import open_task

FOLDER = "handed-over"


def hand_over(session: Session, rows: Sequence[Row]) -> list[HandedOver]:
    """A model for each task that can have one; nothing where the recipe does not ask for it."""
    if session.recipe.hand_over is None:
        return []
    tasks = [task for task in session.recipe.tasks if open_task(task.source).gives_one_class]
    return [_hand_over(session, rows, task) for task in tasks]


def _hand_over(session: Session, rows: Sequence[Row], task: RecipeTask) -> HandedOver:
    able = [row for row in rows if row.tasks.get(task.called) and session.recipe.has_head(row.candidate, task)]
    if not able:
        return HandedOver(task=task.called, reason="no candidate that answers with a head was fine-tuned on it")
    student = max(able, key=lambda row: row.task_mean(task.called, lambda result: result.valid[result.score]) or 0.0)
    teachers = _teachers(session.out, rows, task.called, session.known(task))
    options, begun = _options(session, student, task, teachers), time.perf_counter()
    out = session.out / FOLDER / task.called
    session.console.rule(f"{task.called}: {student.name}, taught by {len(teachers)} models")
    result, reason = attempt(
        lambda: _learn(session, options, out),
        lambda found: (found.score, found.test[found.score]),
        session.out / "failures" / FOLDER / f"{task.called}.txt",
    )
    said = f"{result.score} {result.test[result.score]:.4f}" if result else f"[red]failed:[/red] {escape(reason)}"
    session.console.print(f"{task.called}: handed over, {said}", highlight=False)
    return HandedOver(
        task=task.called,
        candidate=student.name,
        teachers=len(teachers),
        alone=student.task_mean(task.called, lambda found: found.test[found.score]),
        result=result,
        seconds=max(time.perf_counter() - begun, result.seconds if result else 0.0),
        reason=reason,
    )


def _learn(session: Session, options: FinetuneOptions, out: Path) -> FinetuneResult:
    """Fine-tune, or go on; anew where other models teach now, as one that had failed is there after all."""
    try:
        return session.jobs.finetune(options, out, resume=True, console=session.console)
    except OptionError:
        if not (out / "run.toml").is_file():
            raise
        return session.jobs.finetune(options, out, overwrite=True, console=session.console)


def _teachers(out: Path, rows: Sequence[Row], task: str, known: KnownTask) -> list[Path]:
    """All fine-tuned models of a task, and the baseline."""
    found = [task_directory(out, row.name, task=task, seed=seed) for row in rows for seed in row.tasks.get(task, {})]
    return found + ([out / "tasks" / BASELINE / task] if known.linear else [])


def _options(session: Session, student: Row, task: RecipeTask, teachers: Sequence[Path]) -> FinetuneOptions:
    recipe, plan = session.recipe, session.plan(student.candidate)
    tuned = student.tasks[task.called]
    seed = max(tuned, key=lambda each: tuned[each].valid[tuned[each].score])
    model = run_directory(session.out, student.name, recipe.seeds[0] if recipe.tuning_seeds else seed)
    own = recipe.finetuning(
        student.candidate, task, model=str(model), seed=seed, precision=plan.precision, context=plan.evaluate_context
    )
    distil = {"teachers": [str(teacher) for teacher in teachers], **_texts(recipe, tuned[seed].paired)}
    return check(FinetuneOptions, own.model_dump(exclude_unset=True) | {"distil": distil}, f"task {task.called}")


def _texts(recipe: Recipe, paired: bool) -> dict[str, object]:
    """The corpus as texts without a label; of a task with two texts none."""
    return {} if paired else {"texts": recipe.data.model_dump(exclude_unset=True)}
