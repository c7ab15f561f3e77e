"""The table of kinds: every kind is complete, named by its file, and read without torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from transformers.pipelines import SUPPORTED_TASKS

import gyebo.tasks.kinds
from gyebo.models.family import FAMILIES
from gyebo.tasks.heads.styles import STYLES
from gyebo.tasks.kinds.table import KINDS, find_kind, own_files
from gyebo.tasks.metrics.metrics import METRICS
from gyebo.tasks.registry import TASKS
from gyebo.tasks.task import Example

RESPONSES = ("response_probability", "response_perplexity", "bits_per_character", "distinct_1", "distinct_2")
RESPONSES += ("words_per_response", "repeated_turns")


def test_a_kind_has_a_file_of_its_name():
    files = {path.stem for path in Path(gyebo.tasks.kinds.__file__).parent.glob("*.py")}
    assert {name.replace("-", "_") for name in KINDS} <= files
    assert all(kind.name == name for name, kind in KINDS.items())


def test_every_task_and_every_style_is_known():
    assert {task.kind for task in TASKS.values()} <= set(KINDS)
    of_a_model = {"dense-gelu"}  # ELECTRA's discriminator, a format of BERT
    assert {family.head_style for family in FAMILIES.values()} - {""} == set(STYLES) - of_a_model
    with pytest.raises(ValueError, match="'ranking'"):
        find_kind("ranking")


def test_ones_own_files_make_tasks_of_their_kind():
    for kind in KINDS.values():
        for own in kind.own_files:
            assert own_files()[own.name] is own
            languages = ("en", None, "ko") if own.name == "translation" else (None, None, None)  # it has no default
            task = own.task(*languages)
            assert task.kind == kind.name and set(task.metrics) <= set(METRICS) and task.convert and task.rows


def test_what_a_head_needs_is_there():
    for kind in KINDS.values():
        if kind.head:
            assert set(kind.head.specs) == set(STYLES)
            assert kind.head.outputs is None or not kind.names_classes


def test_order_of_labels():
    assert KINDS["classification"].order({"10", "9", "-1"}) == ("-1", "9", "10")
    assert KINDS["classification"].order({"b", "10", "9"}) == ("10", "9", "b")
    assert KINDS["tagging"].order({"B-B", "O", "I-A"}) == ("O", "B-A", "I-A", "B-B", "I-B")


def test_an_answered_example():
    answered = {
        "classification": {"label": "a"},
        "multi-label": {"classes": ()},
        "regression": {"label": 0.0},
        "tagging": {"tags": ("O",)},
        "spans": {"answers": ((0, "a"),)},
        "choice": {"label": 0},
        "dependency": {"heads": (0,)},
        "dialogue-state": {"label": "a-b-c"},
        "translation": {"label": "a"},
        "summary": {"label": "a"},
        "dialogue": {"label": "a"},
        "visual-classification": {"label": "a"},
    }
    assert set(answered) == set(KINDS)
    for name, fields in answered.items():
        assert KINDS[name].answered(Example("1", "a", **fields)) and not KINDS[name].answered(Example("1", "a"))


def test_no_torch_is_needed_to_read_data():
    code = "import sys, gyebo.tasks.kinds.table, gyebo.tasks.splits, gyebo.compare.recipe; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_pipeline_of_a_kind_is_the_one_that_opens_its_class():
    """`transformers` says which pipeline a class is for; without one the hub has a name all the same."""
    without = {"spans": "question-answering", "choice": "multiple-choice", "dependency": "token-classification"}
    without |= {"translation": "translation", "dialogue-state": "text-generation", "summary": "summarization"}
    without |= {"dialogue": "text2text-generation", "visual-classification": "visual-question-answering"}
    tasks = {name: task for name, task in SUPPORTED_TASKS.items() if not name.startswith("zero-shot")}
    pipelines = {found.__name__: name for name, task in tasks.items() for found in task["pt"]}
    for name, kind in KINDS.items():
        opened = pipelines.get(f"AutoModelFor{kind.head.transformers_class}") if kind.head else None
        assert kind.pipeline_tag == (opened or without[name]), name
        if kind.head and name not in ("dependency", "visual-classification"):  # for which it has no class of its own
            assert hasattr(transformers, f"AutoModelFor{kind.head.transformers_class}")


def test_ones_own_files_are_ranked_by_their_first_metric():
    """The metric that chooses the best weights, those beside it, and the tokens of a row."""
    expected = {
        "classification": ("macro_f1", "accuracy", 128),
        "pair": ("macro_f1", "accuracy", 128),
        "multi-label": ("multi_label_macro_f1", "multi_label_micro_f1", "subset_accuracy", 128),
        "regression": ("pearson", "spearman", 128),
        "tagging": ("entity_f1", "entity_macro_f1", 256),
        "spans": ("answer_f1", "exact_match", 384),
        "choice": ("accuracy", 128),
        "translation": ("bleu", "chrf", 128),
        "summary": ("rouge_l", "rouge_1", "rouge_2", 512),
        "dialogue": (*RESPONSES, 128),
        "visual-classification": ("accuracy", "macro_f1", 128),
    }
    assert set(own_files()) == set(expected)
    for name, own in own_files().items():
        task = own.task(*(("en", None, "ko") if name == "translation" else (None, None, None)))
        assert (*task.metrics, task.max_length) == expected[name] and task.score == expected[name][0], name
