"""The checks: words, classes, similarity with whitened vectors."""

import numpy as np
import pytest

from gyebo.generation.guard.checks import class_check, exemplars_of, similarity_check, whitened, whitening_of, word_check
from gyebo.generation.guard.policy import ACTIONS, DEFAULTS, listed
from gyebo.text.word_list import Entry, WordList

BASE = np.random.default_rng(0).normal(size=(300, 8)) @ np.diag([30, 8, 4, 2, 1, 1, 0.5, 0.2]) + 100.0
VECTORS = {f"t{number}": row.astype(np.float32) for number, row in enumerate(BASE)}


def encode(texts):
    return np.stack([VECTORS[text] for text in texts])


def cosine(first, second):
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_each_word_counts_once_and_is_a_reason():
    check = word_check(WordList((Entry("바보", 2.0), Entry("멍청", 3.0))))
    assert [(found.score, found.reason) for found in check(["바 보 멍1청 바보", "바보", "안녕"], "")] == [
        (5.0, "멍청: '멍1청', 바보: '바 보'"), (2.0, "바보: '바보'"), (0.0, "no word of the list"),
    ]  # fmt: skip


def test_a_class_is_scored_by_its_function():
    found = class_check(lambda texts: [len(text) for text in texts], "hate")(["a", "abc"], "")
    assert [(each.score, each.reason) for each in found] == [(1.0, "hate"), (3.0, "hate")]


def test_raw_vectors_are_all_alike_and_whitened_ones_are_not():
    raw = [cosine(BASE[one], BASE[two]) for one, two in ((0, 1), (5, 9), (20, 40), (100, 200))]
    assert min(raw) > 0.8
    flat = whitened(BASE.astype(np.float32), *whitening_of(BASE.astype(np.float32)))
    assert abs(np.mean(flat @ flat.T - np.eye(len(flat)))) < 0.02


def test_whitened_vectors_vary_alike_in_all_directions_but_the_smallest():
    """Those are shrunk, as the variance of a few texts in a small direction is mostly chance."""
    covariance = np.cov(whitening_of(BASE.astype(np.float32))[1].T @ (BASE - BASE.mean(0)).T)
    assert np.allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    assert sorted(np.diag(covariance))[-4:] == pytest.approx([1] * 4, abs=0.15) and np.diag(covariance).max() < 1.15


def test_similarity_is_the_cosine_with_the_nearest_exemplar():
    unwanted, background = ["t0", "t1", "t2"], [f"t{number}" for number in range(10, 300)]
    exemplars = exemplars_of(encode, unwanted, (), background)
    mean, whitening = whitening_of(encode([*unwanted, *background]))
    flat = {name: (VECTORS[name] - mean) @ whitening for name in (*unwanted, "t5", "t1")}
    found = similarity_check(encode, exemplars)(["t1", "t5"], "")
    assert found[0].score == pytest.approx(1, abs=1e-5) and found[0].reason.startswith("like 't1'")
    best = max(unwanted, key=lambda name: cosine(flat["t5"], flat[name]))
    assert found[1].score == pytest.approx(cosine(flat["t5"], flat[best]), abs=1e-5) and repr(best) in found[1].reason


def test_neighbours_vote_for_and_against():
    unwanted, allowed = ["t0", "t1", "t2"], ["t3", "t4", "t6"]
    exemplars = exemplars_of(encode, unwanted, allowed, [f"t{number}" for number in range(10, 300)])
    flat = whitened(encode([*unwanted, *allowed, "t5"]), exemplars.mean, exemplars.whitening)
    cosines = sorted(((cosine(flat[-1], row), number < 3) for number, row in enumerate(flat[:-1])), reverse=True)[:4]
    found = similarity_check(encode, exemplars, neighbours=4)(["t5", "t3"], "")
    assert found[0].score == pytest.approx(sum(value if bad else -value for value, bad in cosines) / 4, abs=1e-5)
    assert found[1].reason.startswith("like the allowed 't3'")


def test_a_text_without_a_direction_is_like_nothing():
    exemplars = exemplars_of(encode, ["t0"], (), [f"t{number}" for number in range(10, 300)])
    (found,) = similarity_check(lambda texts: np.stack([exemplars.mean for _ in texts]), exemplars)(["any"], "")
    assert found.score == 0


def test_the_default_policy_is_the_one_that_is_documented():
    assert {name: action for name, (action, _) in DEFAULTS.items()} == {
        "politics": "neutral", "religion": "neutral", "gender": "neutral", "race": "neutral", "crime": "negative",
    }  # fmt: skip
    assert set(ACTIONS) >= {action for action, _ in DEFAULTS.values()}
    assert all(listed(words).entries for _, words in DEFAULTS.values())
