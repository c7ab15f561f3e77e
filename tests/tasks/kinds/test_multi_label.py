"""Multi-label classification: columns to classes, arrays and back by hand, the loss by its formula, classes as text."""

import numpy as np
import pytest
import torch

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.kinds import multi_label
from gyebo.tasks.kinds.kind import Encoding
from gyebo.tasks.task import Example, MissingColumn
from gyebo.tasks.text_task import TextTask
from tests.tasks.feature_texts import tokenizer_of

LABELS = ("나쁨", "성별", "지역")


def read(label, values, labelled=True):
    (found,) = multi_label.ClassColumns("text", None, label)({"text": "글", **values}, "row 2", labelled)
    return found.classes


@pytest.mark.parametrize(
    ("cell", "classes"),
    [
        (["성별", "지역"], ("성별", "지역")),
        (["성별", " 성별 ", None], ("성별",)),
        ([], ()),
        ("", ()),
        ("성별, 지역", ("성별", "지역")),
        ("성별", ("성별",)),
        ('["성별", "지역"]', ("성별", "지역")),
        ("['성별', '지역']", ("성별", "지역")),
        ("[]", ()),
        ([1, 2.0], ("1", "2")),
        (3, ("3",)),
    ],
)
def test_classes_of_a_cell(cell, classes):
    assert read("labels", {"labels": cell}) == classes


def test_a_column_for_each_class():
    assert read("성별,지역", {"성별": "1", "지역": 0.0}) == ("성별",)
    assert read("성별, 지역", {"성별": True, "지역": "false"}) == ("성별",)
    assert read("성별,지역", {"성별": "0", "지역": 0}) == ()


def test_what_is_no_class():
    with pytest.raises(ValueError, match=r"성별 is '0\.7', not 0 or 1"):
        read("성별,지역", {"성별": "0.7", "지역": "0"})
    with pytest.raises(ValueError, match="지역 is None, not 0 or 1"):
        read("성별,지역", {"성별": "0", "지역": None})
    with pytest.raises(MissingColumn, match="no column '지역'"):
        read("성별,지역", {"성별": "0"})
    with pytest.raises(ValueError, match="labels is missing"):
        read("labels", {"labels": None})
    with pytest.raises(ValueError, match="not a list of class names"):
        read("labels", {"labels": {"성별": 1}})
    with pytest.raises(ValueError, match="no list of class names"):
        read("labels", {"labels": "[성별]"})
    assert read("labels", {}, labelled=False) is None and read("성별,지역", {}, labelled=False) is None


def test_arrays_and_back():
    examples = [Example("1", "나무", classes=("지역", "나쁨")), Example("2", "바다", classes=())]
    features = multi_label.encode(examples, tokenizer_of(), Encoding(max_length=16, labels=LABELS))
    assert features.fixed["labels"].tolist() == [[1, 0, 1], [0, 0, 0]]
    assert features.batch([1, 0])["labels"].tolist() == [[0, 0, 0], [1, 0, 1]]
    outputs = [[np.array([0.0, -2.0, 3.0]), np.array([-1.0, -1.0, -1.0])]]
    found = multi_label.decode(features, examples, outputs, LABELS)
    assert found[0] == pytest.approx({"나쁨": 0.5, "성별": 0.11920292, "지역": 0.95257413})  # 1 / (1 + e^-x)
    assert multi_label.row(examples[0], found[0], "probabilities")["prediction"] == ["나쁨", "지역"]
    assert multi_label.row(examples[1], found[1], "probabilities")["prediction"] == []
    with pytest.raises(ValueError, match="example 3: label '종교' is none of 나쁨, 성별, 지역"):
        multi_label.encode([Example("3", "나무", classes=("종교",))], tokenizer_of(), Encoding(max_length=16, labels=LABELS))


def test_the_loss_is_binary_cross_entropy():
    logits, labels = torch.tensor([[0.3, -1.2], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    p = 1 / (1 + torch.exp(-logits.double()))
    expected = -(labels * p.log() + (1 - labels) * (1 - p).log())
    batch = {"labels": labels}
    assert float(multi_label.loss(TaskOutput(logits), batch)) == pytest.approx(float(expected.sum()), rel=1e-6)
    assert multi_label.decisions(batch) == 4


def test_classes_as_text():
    task, example = TextTask(name="x", kind="multi-label", labels=LABELS), Example("1", "나무", classes=("지역", "나쁨"))
    form = multi_label.KIND.text
    assert form.target(example, task) == "나쁨 | 지역" and form.target(Example("2", "나무", classes=()), task) == "none"
    assert form.target(Example("3", "나무"), task) is None
    for text, classes in (("나쁨 | 지역", ("나쁨", "지역")), ("none", ()), (" 지역|지역 ", ("지역",)), ("", ()), ("x", ("x",))):
        assert form.answer(text, example, task) == classes
    assert multi_label.row(example, ("나쁨",), "probabilities") == {"labels": ["지역", "나쁨"], "prediction": ["나쁨"]}
    assert multi_label.row(Example("3", "나무"), (), "probabilities") == {"prediction": []}


def test_examples_that_are_all_alike_teach_nothing():
    same = [Example(str(n), "나무", classes=order) for n, order in enumerate((("가", "나"), ("나", "가")))]
    assert "all 2 examples have the classes 가, 나" in multi_label.one_answer(same)
    assert "none at all" in multi_label.one_answer([Example("1", "나무", classes=())])
    assert multi_label.one_answer([*same, Example("3", "나무", classes=("가",))]) is None
