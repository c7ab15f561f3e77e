"""From a model's outputs to predictions: order, padding, and the way back to what a task calls an answer."""

import numpy as np
import pytest
import torch
from torch import nn

from gyebo.data.batches import IGNORE
from gyebo.nn.outputs import ParsingOutput, SpansOutput, TaskOutput
from gyebo.tasks.kinds.table import KINDS, encode
from gyebo.tasks.objective import forward
from gyebo.tasks.prediction import as_rows, outputs_of, predict
from gyebo.tasks.task import Example, likely_classes
from tests.tasks.test_task_objective import LEARNED, NAMES, example, features_of, model_of, tensors


class Oracle(nn.Module):
    """Gives the right labels of features the highest scores; it knows a row by its ids."""

    def __init__(self, kind, features):
        super().__init__()
        self.labels, self.none, self.task = NAMES.get(kind, ()), nn.Parameter(torch.zeros(1)), kind
        rows = [tensors(features, [row]) for row in range(len(features))]
        self.known = {self.key(row["input_ids"]): row for row in rows}
        assert len(self.known) == len(rows)

    @staticmethod
    def key(ids):
        return tuple(id for id in ids.flatten().tolist() if id)  # 0 is padding

    def forward(self, input_ids, **inputs):
        rows = [self.known[self.key(ids)] for ids in input_ids]
        length = input_ids.shape[-1]
        if self.task == "regression":
            return TaskOutput(torch.stack([row["labels"] for row in rows]))
        if self.task == "multi-label":
            return TaskOutput(torch.stack([10.0 * row["labels"][0] - 5.0 for row in rows]))
        if self.task in ("classification", "choice"):
            return TaskOutput(torch.stack([5.0 * nn.functional.one_hot(row["labels"][0], 3) for row in rows]))
        if self.task == "tagging":
            return TaskOutput(torch.stack([self.tags(row["labels"][0], length) for row in rows]))
        if self.task == "spans":
            places = torch.tensor([[int(row["start_positions"][0]), int(row["end_positions"][0])] for row in rows])
            return SpansOutput(*(5.0 * nn.functional.one_hot(places, length)).unbind(1))
        words = inputs["word_first"].shape[1]
        arcs = torch.zeros(len(rows), words, words + 1)
        relations = torch.zeros(len(rows), words, words + 1, 3)
        for number, row in enumerate(rows):
            for word, (head, relation) in enumerate(zip(row["heads"][0].tolist(), row["relations"][0].tolist())):
                arcs[number, word, head] = 5.0
                relations[number, word, head, relation] = 5.0
            arcs[number, :, len(row["heads"][0]) + 1 :] = float("-inf")
        return ParsingOutput(arcs, relations)

    @staticmethod
    def tags(labels, length):
        scores = torch.zeros(length, 3)
        for place, label in enumerate(labels.tolist()):
            if label != IGNORE:
                scores[place, label] = 5.0
        return scores


RIGHT = {
    "classification": lambda e: e.label,
    "multi-label": lambda e: e.classes,
    "regression": lambda e: pytest.approx(e.label),
    "tagging": lambda e: list(e.tags),
    "spans": lambda e: e.answers[0][1] if e.answers else "",
    "choice": lambda e: e.label,
    "dependency": lambda e: (e.heads, e.relations),
}


@pytest.mark.parametrize("family", ["bert", "gpt"])
@pytest.mark.parametrize("kind", LEARNED)
def test_right_scores_become_right_answers(kind, family):
    features = features_of(kind, family, 7)
    examples = [example(kind, number) for number in range(7)]
    found = predict(Oracle(kind, features), KINDS[kind].head, features, examples)
    if kind == "classification":
        assert all(list(shares) == list(NAMES[kind]) and sum(shares.values()) == pytest.approx(1) for shares in found)
        found = [max(shares, key=shares.get) for shares in found]
    if kind == "multi-label":
        found = [likely_classes(shares) for shares in found]
    assert found == [RIGHT[kind](each) for each in examples]


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt"])
@pytest.mark.parametrize("kind", LEARNED)
def test_outputs_are_those_of_each_row_alone_in_their_order(kind, family):
    features, model = features_of(kind, family, 6), model_of(kind, family)
    form = KINDS[kind].head
    found = outputs_of(model, form, features, tokens=40)  # several batches
    assert not model.training and len(found) == (2 if kind in ("dependency", "spans") else 1)
    for row in range(len(features)):
        with torch.no_grad():
            alone = forward(model, form, tensors(features, [row]))
        for output, expected in zip(found, alone.scores, strict=True):
            expected = expected[0].numpy()
            shown = output[row][:, : expected.shape[1]] if kind == "dependency" else output[row]
            assert shown.dtype == np.float32 and shown.shape == expected.shape
            np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_a_sentence_that_does_not_fit_still_has_a_tree():
    from tests.tasks.feature_texts import tokenizer_of

    examples = [example("dependency", number) for number in range(4)]
    features = encode("dependency", examples, tokenizer_of("bpe", "bert"), NAMES["dependency"], 9)
    assert features.too_long
    for (heads, relations), each in zip(
        predict(model_of("dependency", "bert"), KINDS["dependency"].head, features, examples), examples
    ):
        assert len(heads) == len(relations) == len(each.words) and heads.count(0) == 1


def test_half_precision_is_used_where_asked():
    features, model = features_of("classification", "bert"), model_of("classification", "bert")
    form = KINDS["classification"].head
    exact = outputs_of(model, form, features)[0]
    half = outputs_of(model, form, features, autocast=lambda: torch.autocast("cpu", torch.bfloat16))[0]
    differences = [float(abs(a - b).max()) for a, b in zip(exact, half)]
    assert 0 < max(differences) < 0.3


def test_a_class_may_come_without_probabilities():
    """As the models that generate their answers give it."""
    examples = [Example("1", "a", label="good"), Example("2", "b")]
    found = as_rows(KINDS["classification"], examples, [{"bad": 0.25, "good": 0.75}, "bad"])
    assert found == [
        {"id": "1", "label": "good", "prediction": "good", "probabilities": {"bad": 0.25, "good": 0.75}},
        {"id": "2", "prediction": "bad"},
    ]
