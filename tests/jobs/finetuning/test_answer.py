"""Whether a head or text answers a task: of the forms that family and kind share, the family's first or the one asked for."""

from dataclasses import replace

import pytest

from gyebo.jobs.finetuning.answer import answer_form
from gyebo.models.family import FAMILIES
from gyebo.models.tree.row import HEAD, TEXT
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import KINDS
from tests.extending.toy_text_kinds import GIST, TONE
from tests.refusals import option_error

BERT = FAMILIES["bert"]
WRITER = FAMILIES["transformer"]
TEXT_FIRST = replace(BERT, answers=(TEXT, HEAD))
HEAD_FIRST = replace(BERT, answers=(HEAD, TEXT))
ONLY_HEAD = replace(TONE, text=None)


def form(family, kind, asked=None):
    return answer_form(family, kind, asked=asked, model="a model", task="a task")


@pytest.mark.parametrize(
    ("family", "kind", "asked", "expected"),
    [
        (BERT, TONE, None, HEAD),
        (WRITER, TONE, None, TEXT),
        (TEXT_FIRST, TONE, None, TEXT),
        (HEAD_FIRST, TONE, None, HEAD),
        (TEXT_FIRST, ONLY_HEAD, None, HEAD),
        (HEAD_FIRST, GIST, None, TEXT),
        (TEXT_FIRST, TONE, HEAD, HEAD),
        (HEAD_FIRST, TONE, TEXT, TEXT),
        (BERT, TONE, HEAD, HEAD),
    ],
)
def test_the_familys_first_form_that_the_kind_has_or_the_one_that_is_asked_for(family, kind, asked, expected):
    assert form(family, kind, asked) == expected


@pytest.mark.parametrize(
    ("family", "kind", "asked", "words"),
    [
        (BERT, TONE, TEXT, "a model answers with a task head only"),
        (WRITER, TONE, HEAD, "a model answers by text only"),
        (HEAD_FIRST, GIST, HEAD, "a task is a gist task, which is answered by text only"),
        (TEXT_FIRST, ONLY_HEAD, TEXT, "a task is a tone task, which is answered with a task head only"),
    ],
)
def test_what_is_asked_for_and_lacks_is_refused_with_whose_fault_it_is(family, kind, asked, words):
    with option_error("answer") as caught:
        form(family, kind, asked)
    assert words in caught.value.text


def test_a_family_and_a_kind_without_a_common_form_are_refused_with_a_family_that_fits():
    with pytest.raises(ValueError, match="a model answers with a task head, but a task is a gist task.*transformer:mini"):
        form(BERT, GIST)
    with pytest.raises(ValueError, match="a model answers by text, but a task is a tone task.*bert:mini"):
        form(WRITER, ONLY_HEAD)


def test_what_a_family_declares_fits_its_heads():
    for answers in ((), (TEXT,), (HEAD, "song")):
        with pytest.raises(ValueError, match="does not fit head_style"):
            replace(BERT, answers=answers)
    with pytest.raises(ValueError, match="does not fit head_style"):
        replace(WRITER, answers=(TEXT, HEAD))


def test_every_kind_says_how_it_can_be_answered():
    assert all(set(kind.forms) <= {HEAD, TEXT} for kind in KINDS.values())
    with pytest.raises(ValueError, match="kind 'mute' has neither a head nor a text form"):
        Kind(name="mute", pipeline_tag="none")
