"""KLUE's metrics exactly as its reference code computes them, quirks included, so that figures are comparable.

Source: Park et al. 2021 and KLUE-baseline (github.com/KLUE-benchmark/KLUE-baseline), whose figures are these times 100.
Where the code differs from the paper or from its own comments, we follow the code, and the docstring says so.
"""

from __future__ import annotations

import re
import statistics
import string
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from gyebo.tasks.data.klue import DEPENDENCIES, ENTITY_TAGS, NO_RELATION, RELATIONS
from gyebo.tasks.metrics import bootstrap
from gyebo.tasks.metrics.inputs import Labels, Values, check, classes, library, readable, scores, seqeval_f1, tag_lists
from gyebo.tasks.task import Example
from gyebo.text.normalize import nfc

SIMILAR = 3.0
OTHERS_FROM = 15
NO_HEAD = -1  # of a word for which a text named no head: wrong, and no class of its own


def similar_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """STS: F1 of "similar", where predictions and scores count as similar from 3 on (not by the file's binary label)."""
    predicted, right = scores(predictions, examples)
    f1 = library("sklearn.metrics").f1_score
    return {"similar_f1": float(f1([r >= SIMILAR for r in right], [p >= SIMILAR for p in predicted], zero_division=0.0))}


def similar_counts(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> bootstrap.Array:
    """What each example contributes to `similar_f1`."""
    predicted, right = scores(predictions, examples)
    return bootstrap.counts([([p >= SIMILAR], [r >= SIMILAR]) for p, r in zip(predicted, right)], [True])


# named entities -------------------------------------------------------------------------------------------------------


def without_spaces(
    predictions: Sequence[Any], examples: Sequence[Example], lists: Callable[..., Any] = tag_lists
) -> tuple[list[list[str]], list[list[str]]]:
    """(predicted, right) tags without those of spaces, which the reference code drops before scoring."""
    kept = [[i for i, character in enumerate(example.text) if character != " "] for example in examples]

    def select(side: list[list[str]]) -> list[list[str]]:
        return [[tags[i] for i in places] for tags, places in zip(side, kept)]

    predicted, right = lists(predictions, examples)
    return select(predicted), select(right)


def readable_without_spaces(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[list[str]], list[list[str]]]:
    """So, without entities that were not readable, which have no part in a mean over the types."""
    return without_spaces(predictions, examples, readable)


def klue_entity_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """NER: mean of the entity F1 of each type, strict and IOB2 by seqeval, over characters other than spaces."""
    return {"klue_entity_macro_f1": seqeval_f1(*readable_without_spaces(predictions, examples), "macro")}


def klue_character_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """NER: mean of the F1 of all 13 tags over characters other than spaces. A tag that never occurs counts as 1.

    O is one of the 13, although a comment in the reference code says that it is excluded. That code also counts the special
    tokens at both ends of a sentence as two correct O's; here they are not counted (a difference of about 0.0001).
    """
    predicted, right = without_spaces(predictions, examples)
    f1 = library("sklearn.metrics").f1_score
    flat = ([tag for tags in side for tag in tags] for side in (right, predicted))
    return {"klue_character_macro_f1": float(f1(*flat, labels=list(ENTITY_TAGS), average="macro", zero_division=1.0))}


# relations ------------------------------------------------------------------------------------------------------------


def relation_micro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """RE: F1 over all relations but `no_relation`; predicting `no_relation` where there is a relation lowers recall."""
    predicted, right = classes(predictions, examples)
    f1 = library("sklearn.metrics").f1_score(right, predicted, labels=without_none(labels), average="micro", zero_division=0.0)
    return {"relation_micro_f1": float(f1)}


def without_none(labels: Labels) -> list[str]:
    """All relations but `no_relation`."""
    return [name for name in labels or RELATIONS if name != NO_RELATION]


def relation_auprc(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """RE: mean over all relations, `no_relation` included, of the area under precision against recall (trapezoids).

    A relation that no example has, for which the reference code is undefined, is excluded from the mean (KLUE's own dev and
    test sets have all 30). A relation that was written, without probabilities, has probability 1. ValueError for a mapping that
    lacks a relation.
    """
    _, right = classes(predictions, examples)
    names = list(labels or RELATIONS)
    predictions = [
        {name: float(name == prediction) for name in names} if isinstance(prediction, str) else prediction
        for prediction in predictions
    ]
    for prediction, example in zip(predictions, examples):
        if not isinstance(prediction, Mapping) or any(name not in prediction for name in names):
            raise ValueError(f"relation_auprc needs a probability for each of {len(names)} relations; {example.id} has not")
    metrics = library("sklearn.metrics")
    areas = []
    for name in names:
        hits = [r == name for r in right]
        if any(hits):
            precision, recall, _ = metrics.precision_recall_curve(hits, [float(p[name]) for p in predictions])
            areas.append(float(metrics.auc(recall, precision)))
    if not areas:
        raise ValueError(f"no example has any of the relations {', '.join(names)}")
    return {"relation_auprc": statistics.fmean(areas)}


# dependencies ---------------------------------------------------------------------------------------------------------


def _words(predictions: Sequence[Any], examples: Sequence[Example]) -> list[tuple[tuple[int, str], tuple[int, str]]]:
    """((predicted head, relation), (right head, relation)) of all words of all sentences."""
    check(predictions, examples)
    found: list[tuple[tuple[int, str], tuple[int, str]]] = []
    for prediction, example in zip(predictions, examples):
        heads, relations = prediction
        if not example.heads:
            raise ValueError(f"{example.id} has no heads: these data can be predicted, but not scored")
        if len(heads) != len(example.heads) or len(relations) != len(example.heads):
            counts = f"{len(heads)} predicted heads and {len(relations)} relations"
            raise ValueError(f"{example.id} has {len(example.heads)} words, but {counts}")
        found += zip(zip(map(int, heads), relations), zip(example.heads, example.relations))
    return found


def uas_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """DP: called UAS, but it is the macro F1 of *head positions* (0, 1, 2, ...) as classes."""
    words = _words(predictions, examples)
    right, predicted = [r[0] for _, r in words], [p[0] for p, _ in words]
    heads = sorted({*right, *predicted} - {NO_HEAD})
    f1 = library("sklearn.metrics").f1_score(right, predicted, labels=heads, average="macro", zero_division=0.0)
    return {"uas_macro_f1": float(f1)}


def head_counts(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> bootstrap.Array:
    """What each sentence contributes to `uas_macro_f1`."""
    words = [_words([found], [example]) for found, example in zip(predictions, examples, strict=True)]
    heads = sorted({pair[0] for sentence in words for both in sentence for pair in both} - {NO_HEAD})
    return bootstrap.counts([([p[0] for p, _ in sentence], [r[0] for _, r in sentence]) for sentence in words], heads)


def las_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """DP: called LAS, but it is the macro F1 of relations, where those from the 16th on are one class, and the prediction for a
    word with a wrong head is a separate class that is never correct (and is part of the mean, with F1 0).
    """
    right, predicted = _relations(predictions, examples, labels)
    return {"las_macro_f1": float(library("sklearn.metrics").f1_score(right, predicted, average="macro", zero_division=0.0))}


def relation_counts(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> bootstrap.Array:
    """What each sentence contributes to `las_macro_f1`."""
    sentences = [_relations([found], [example], labels) for found, example in zip(predictions, examples, strict=True)]
    return bootstrap.counts([(predicted, right) for right, predicted in sentences])


def _relations(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> tuple[list[int], list[int]]:
    """(right, predicted) classes of all words, as `las_macro_f1` counts them."""
    numbers = {name: number for number, name in enumerate(labels or DEPENDENCIES)}
    right, predicted = [], []
    for (head, relation), (true_head, true_relation) in _words(predictions, examples):
        for name in (true_relation,) if head == NO_HEAD else (relation, true_relation):
            if name not in numbers:
                raise ValueError(f"the relation {name!r} is none of {', '.join(numbers)}")
        right.append(_merged(numbers[true_relation]))
        predicted.append(_merged(numbers[relation]) if head == true_head else -2)
    return right, predicted


def _merged(number: int) -> int:
    return -3 if number >= OTHERS_FROM else number


# answers --------------------------------------------------------------------------------------------------------------

# Intended to drop quotation marks and brackets, but the character class ends early: it matches one of them only before "()‘’".
_QUOTES = re.compile(r"""['"《》<>〈〉]\(\)‘’""")


def klue_normalise(text: str) -> str:
    """Normalisation of answers in KLUE-MRC: NFC, lower case, no ASCII punctuation, single spaces. Korean brackets are kept."""
    kept = "".join(c for c in _QUOTES.sub(" ", nfc(text).lower()) if c not in string.punctuation)
    return " ".join(kept.split())


def klue_exact_match(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """MRC: the share of answers that equal a correct one after `klue_normalise`; no answer is the empty string."""
    check(predictions, examples)
    found = [klue_normalise(p) in _answers(example) for p, example in zip(predictions, examples)]
    return {"klue_exact_match": sum(found) / len(found)}


def klue_rouge_w(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """MRC: called ROUGE-W, but it is the F1 of the longest common substring relative to both lengths, best over answers."""
    check(predictions, examples)
    found = [max(_run_f1(klue_normalise(p), a) for a in _answers(example)) for p, example in zip(predictions, examples)]
    return {"klue_rouge_w": statistics.fmean(found)}


def _answers(example: Example) -> list[str]:
    return [klue_normalise(text) for _, text in example.answers] or [""]


def _run_f1(predicted: str, right: str) -> float:
    if not right:
        return float(not predicted)
    # difflib, as the reference: in answers of 200 characters or more it ignores frequent ones, and finds shorter substrings.
    run = SequenceMatcher(None, predicted, right).find_longest_match(0, len(predicted), 0, len(right)).size
    return 2 * run / (len(predicted) + len(right))


# dialogue states ------------------------------------------------------------------------------------------------------


def joint_goal_accuracy(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """DST: the share of turns whose whole state is correct."""
    check(predictions, examples)
    return {
        "joint_goal_accuracy": sum(set(_composed(p)) == set(_composed(e.state)) for p, e in zip(predictions, examples))
        / len(examples)
    }


def slot_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """DST: called micro F1, but it is the mean of the F1 of each turn; two empty states count as 1."""
    check(predictions, examples)
    return {"slot_f1": statistics.fmean(_state_f1(_composed(p), _composed(e.state)) for p, e in zip(predictions, examples))}


def _composed(state: Sequence[str]) -> list[str]:
    """The slots of a state, whichever way their Hangul is written."""
    return [nfc(slot) for slot in state]


def _state_f1(predicted: list[str], right: list[str]) -> float:
    if not right:
        return float(not predicted)
    hits = sum(slot in predicted for slot in right)
    wrong = sum(slot not in right for slot in predicted)
    return 2 * hits / (2 * hits + wrong + len(right) - hits)
