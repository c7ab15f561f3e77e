"""A perfect answer is perfect whichever way its Hangul is written: every metric of texts, NFC against NFD, both ways."""

from __future__ import annotations

import unicodedata

import pytest

from gyebo.tasks.metrics import bleu
from gyebo.tasks.metrics.metrics import METRICS
from gyebo.tasks.task import Example

TEXTS = ["안녕하세요, 반갑습니다.", "나는 학교에서 밥을 먹었다", "값이 비싸다 Café", "한국어 모델을 공유합니다"]
OF_TEXTS = ("bleu", "bleu_tokenized", "chrf", "rouge_1", "rouge_2", "rouge_l")
OF_ANSWERS = ("exact_match", "answer_f1", "klue_exact_match", "klue_rouge_w")
OF_STATES = ("joint_goal_accuracy", "slot_f1")


def form(name, text):
    return unicodedata.normalize(name, text)


@pytest.mark.parametrize("name", [*OF_TEXTS, *OF_ANSWERS, *OF_STATES])
@pytest.mark.parametrize(("written", "right"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_perfect_answer_is_perfect(name, written, right):
    found = [form(written, text) for text in TEXTS]
    if name in OF_TEXTS:
        examples = [Example(id=str(n), text="x", label=form(right, text)) for n, text in enumerate(TEXTS)]
    elif name in OF_ANSWERS:
        examples = [Example(id=str(n), text="x", answers=((0, form(right, text)),)) for n, text in enumerate(TEXTS)]
    else:
        found = [[f"관광-이름-{text}"] for text in found]
        examples = [Example(id=str(n), text="x", state=(f"관광-이름-{form(right, text)}",)) for n, text in enumerate(TEXTS)]
    metric = METRICS[name]
    assert metric.function(found, examples)[name] == pytest.approx(1.0)
    if name == "bleu":
        parts = bleu.parts(name)
        assert float(parts.of_sums(parts.rows(found, examples).sum(0)[None])[0]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", bleu.SCORES)
def test_one_of_several_references(name):
    references = [[form("NFD", text), "다른 것"] for text in TEXTS]
    assert bleu.against_several(name, TEXTS, references)[0] == pytest.approx(1.0)
