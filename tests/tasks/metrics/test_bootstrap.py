"""Every metric that ranks follows from its examples' parts, and the resampled scores have the spread that theory gives."""

import random

import numpy as np
import pytest

from gyebo.tasks.data.klue import DEPENDENCIES, RELATIONS
from gyebo.tasks.metrics import bootstrap
from gyebo.tasks.metrics.metrics import METRICS
from gyebo.tasks.registry import TASKS
from gyebo.tasks.response import Response
from gyebo.tasks.task import Example

pytest.importorskip("seqeval")
pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

DRAW = random.Random(0)
COUNT = 60
TAGS = ["B-PS", "I-PS", "B-LC", "I-LC", "O", "O"]
WORDS = "the cat sat on a mat and the dog ran to it".split()


def _classes(names):
    right = [DRAW.choice(names) for _ in range(COUNT)]
    return [r if DRAW.random() < 0.6 else DRAW.choice(names) for r in right], [
        Example(str(i), "x", label=r) for i, r in enumerate(right)
    ]


def _numbers():
    right = [DRAW.uniform(0, 5) for _ in range(COUNT)]
    return [round(r + DRAW.gauss(0, 1), 1) for r in right], [Example(str(i), "x", label=r) for i, r in enumerate(right)]


def _tags():
    right = [[DRAW.choice(TAGS) for _ in range(8)] for _ in range(COUNT)]
    found = [[t if DRAW.random() < 0.8 else DRAW.choice(TAGS) for t in text] for text in right]
    return found, [Example(str(i), "ab cd ef", tags=tuple(text)) for i, text in enumerate(right)]


def _answers():
    right = [" ".join(DRAW.choices(WORDS, k=3)) for _ in range(COUNT)]
    found = [r if DRAW.random() < 0.4 else " ".join(DRAW.choices(WORDS, k=2)) for r in right]
    return found, [Example(str(i), "x", answers=((0, r),)) for i, r in enumerate(right)]


def _heads():
    right = [[DRAW.randint(0, 4) for _ in range(DRAW.randint(1, 6))] for _ in range(COUNT)]
    names = [[DRAW.choice(DEPENDENCIES[:18]) for _ in s] for s in right]
    found = [
        ([h if DRAW.random() < 0.7 else DRAW.randint(0, 5) for h in s], [n if DRAW.random() < 0.8 else "NP" for n in ns])
        for s, ns in zip(right, names)
    ]
    return found, [Example(str(i), "x", heads=tuple(s), relations=tuple(n)) for i, (s, n) in enumerate(zip(right, names))]


def _sets():
    right = [tuple(name for name in "abcd" if DRAW.random() < 0.3) for _ in range(COUNT)]
    found = [r if DRAW.random() < 0.5 else tuple(DRAW.sample("abcde", 2)) for r in right]
    return found, [Example(str(i), "x", classes=r) for i, r in enumerate(right)]


def _states():
    right = [tuple(DRAW.sample(WORDS, DRAW.randint(0, 3))) for _ in range(COUNT)]
    found = [r if DRAW.random() < 0.5 else tuple(DRAW.sample(WORDS, 2)) for r in right]
    return found, [Example(str(i), "x", state=r) for i, r in enumerate(right)]


def _translations():
    right = [" ".join(DRAW.choices(WORDS, k=DRAW.randint(3, 9))) + "." for _ in range(COUNT)]
    found = [" ".join(w for w in r.split() if DRAW.random() < 0.85) for r in right]
    return found, [Example(str(i), "x", label=r) for i, r in enumerate(right)]


def _responses():
    rng = np.random.default_rng(0)
    nats, tokens = rng.uniform(0.5, 40, COUNT), rng.integers(1, 12, COUNT)
    found = [Response("a", float(sum_), int(count)) for sum_, count in zip(nats, tokens)]
    return found, [Example(str(number), "a", label="b") for number in range(COUNT)]


CASES = {
    "accuracy": (lambda: _classes("abc"), None),
    "macro_f1": (lambda: _classes("abcd"), None),
    "micro_f1": (lambda: _classes("abc"), None),
    "positive_f1": (lambda: _classes("01"), ["0", "1"]),
    "matthews": (lambda: _classes("abc"), None),
    "multi_label_macro_f1": (_sets, list("abcd")),
    "multi_label_micro_f1": (_sets, list("abcd")),
    "subset_accuracy": (_sets, None),
    "pearson": (_numbers, None),
    "spearman": (_numbers, None),
    "similar_f1": (_numbers, None),
    "entity_f1": (_tags, None),
    "entity_macro_f1": (_tags, None),
    "klue_entity_macro_f1": (_tags, None),
    "relation_micro_f1": (lambda: _classes(list(RELATIONS[:4])), None),
    "exact_match": (_answers, None),
    "answer_f1": (_answers, None),
    "klue_exact_match": (_answers, None),
    "klue_rouge_w": (_answers, None),
    "uas_macro_f1": (_heads, None),
    "las_macro_f1": (_heads, None),
    "joint_goal_accuracy": (_states, None),
    "slot_f1": (_states, None),
    "bleu": (_translations, None),
    "bleu_tokenized": (_translations, None),
    "rouge_1": (_translations, None),
    "rouge_2": (_translations, None),
    "rouge_l": (_translations, None),
    "response_probability": (_responses, None),
    "response_perplexity": (_responses, None),
}


def _score(parts, rows):
    return parts.of_sums(rows.sum(0)[None])[0] if parts.of_sums else parts.of_rows(rows)


@pytest.mark.parametrize("name", CASES)
def test_a_score_follows_from_its_parts(name):
    """All examples, and those that a resample takes: the metric's own function on the repeated examples is the reference."""
    make, labels = CASES[name]
    predictions, examples = make()
    metric = METRICS[name]
    rows = metric.parts.rows(predictions, examples, labels)
    assert _score(metric.parts, rows) == pytest.approx(metric.function(predictions, examples, labels)[name], abs=1e-9)
    times = np.random.default_rng(1).multinomial(COUNT, np.full(COUNT, 1 / COUNT))
    chosen = [i for i, count in enumerate(times) for _ in range(count)]
    again = metric.function([predictions[i] for i in chosen], [examples[i] for i in chosen], labels)[name]
    assert _score(metric.parts, np.repeat(rows, times, axis=0)) == pytest.approx(again, abs=1e-9)


def test_every_score_that_ranks_has_parts():
    assert {task.score for task in TASKS.values()} <= set(CASES)
    assert set(CASES) == {name for name, metric in METRICS.items() if metric.parts}


def test_the_spread_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(2).random(400) < 0.8
    rows = np.stack([values.astype(float), np.ones(400)], axis=1)
    found = bootstrap.resample(METRICS["accuracy"].parts, rows)
    assert found.shape == (bootstrap.RESAMPLES,)
    assert found.mean() == pytest.approx(values.mean(), abs=0.003)
    assert found.std() == pytest.approx(values.std() / 20, rel=0.07)  # 1,000 resamples: 2.2 % standard error


def test_two_models_see_the_same_resamples():
    rows = np.stack([np.random.default_rng(3).random(300), np.ones(300)], axis=1)
    shifted = rows + np.array([0.1, 0.0])
    parts = METRICS["accuracy"].parts
    assert bootstrap.resample(parts, shifted) - bootstrap.resample(parts, rows) == pytest.approx(0.1, abs=1e-12)


def test_very_many_examples_are_resampled_in_groups(monkeypatch):
    rows = np.stack([np.sort(np.random.default_rng(4).random(5003)), np.ones(5003)], axis=1)
    expected = rows[:, 0].std() / np.sqrt(5003)
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 500)
    found = bootstrap.resample(METRICS["accuracy"].parts, rows)
    assert found.mean() == pytest.approx(rows[:, 0].mean(), abs=5 * expected / 30)
    assert found.std() == pytest.approx(expected, rel=0.1)  # although the examples are sorted


def test_rows_are_stored_and_read(tmp_path):
    assert bootstrap.read(tmp_path) is None
    rows = np.arange(6.0).reshape(3, 2)
    bootstrap.write(tmp_path, rows)
    assert (bootstrap.read(tmp_path) == rows).all()
    (tmp_path / bootstrap.FILE).write_bytes(b"PK")
    with pytest.raises(ValueError, match=bootstrap.FILE):
        bootstrap.read(tmp_path)
