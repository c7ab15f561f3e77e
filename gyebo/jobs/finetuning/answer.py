"""How a fine-tuned model answers its task: with a head on its body, or by writing text (no torch)."""

from __future__ import annotations

from gyebo.config.errors import OptionError
from gyebo.models.tree.row import HEAD, TEXT, Family
from gyebo.tasks.kinds.kind import Kind

WORDS = {HEAD: "with a task head", TEXT: "by text"}
_OTHERS = {HEAD: ("a model that writes", "transformer:mini"), TEXT: ("a head", "bert:mini")}


def answer_form(family: Family, kind: Kind, *, asked: str | None, model: str, task: str) -> str:
    """HEAD or TEXT: as `asked`, else the first of the family's forms that the kind of task has.

    `model`, `task`: what the user calls them. OptionError where family or kind lacks the form that is asked for, ValueError
    where they have none in common.
    """
    if not family.answers:
        raise ValueError(f"{model} is a {family.title}, which learns no task: start from another family, e.g. bert:mini")
    common = [form for form in family.answers if form in kind.forms]
    if asked is None and common:
        return common[0]
    if asked in common:
        return asked
    if asked is not None:
        lacking, forms = (f"{model}", family.answers) if asked not in family.answers else (task, kind.forms)
        only = " or ".join(WORDS[form] for form in forms)
        what = f"is a {kind.name} task, which is answered {only} only" if lacking == task else f"answers {only} only"
        raise OptionError(f"‹answer›={asked}: {lacking} {what}")
    needed, better = _OTHERS[family.answers[0]]
    raise ValueError(
        f"{model} answers {WORDS[family.answers[0]]}, but {task} is a {kind.name} task, which needs {needed}: start from "
        f"another family, e.g. {better}"
    )
