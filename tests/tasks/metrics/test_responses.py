"""Scores of a dialogue model, by hand."""

import math

import pytest

from gyebo.tasks.metrics.metrics import METRICS, measure
from gyebo.tasks.registry import find
from gyebo.tasks.response import Response
from gyebo.tasks.task import Example

EXAMPLES = [Example("1", "안녕\n뭐 해?", label="쉬어"), Example("2", "Hi.", label="e\u0301t")]
FOUND = [Response("뭐해", 3 * math.log(2), 2), Response("a b a b", 5 * math.log(2), 2)]


def value(name, found=FOUND, examples=EXAMPLES):
    return METRICS[name].function(found, examples, None)


def test_likelihoods_are_over_all_tokens_together():
    """8 bits for 4 tokens and 4 characters (the second reference has two in NFC)."""
    assert value("response_perplexity") == {"response_perplexity": pytest.approx(4.0)}
    assert value("response_probability") == {"response_probability": pytest.approx(0.25)}
    assert value("bits_per_character") == {"bits_per_character": pytest.approx(2.0)}


def test_distinct_words_and_pairs_of_all_responses():
    """뭐해 a b a b: three of five words; a b, b a, a b: two of three pairs."""
    assert value("distinct_1") == {"distinct_1": 3 / 5} and value("distinct_2") == {"distinct_2": 2 / 3}
    assert value("words_per_response") == {"words_per_response": 2.5}
    assert value("distinct_2", [Response("one"), Response("")]) == {"distinct_2": 0.0}


@pytest.mark.parametrize(
    ("text", "repeats"), [("뭐해", True), ("안녕!!", True), ("안녕 뭐 해", False), ("?", False), ("", False)]
)
def test_an_answer_that_is_an_earlier_turn(text, repeats):
    assert value("repeated_turns", [Response(text)], EXAMPLES[:1]) == {"repeated_turns": float(repeats)}


def test_where_nothing_was_written_only_likelihoods_are_measured():
    found = measure(find("chatbot"), [FOUND[0], Response(None, 1.0, 2)], EXAMPLES)
    assert set(found) == {"response_probability", "response_perplexity", "bits_per_character"}
    assert set(measure(find("chatbot"), FOUND, EXAMPLES)) == set(find("chatbot").metrics)


def test_what_was_not_scored_is_said():
    with pytest.raises(ValueError, match="^the right response of 1 was not scored"):
        value("response_perplexity", [Response("a"), FOUND[1]])
    with pytest.raises(ValueError, match="^1 has no label"):
        value("response_perplexity", FOUND, [Example("1", "a"), EXAMPLES[1]])
