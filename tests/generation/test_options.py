"""Every wrong or pointless combination of options is refused with a line that names them."""

import pytest

from gyebo.generation import GenerationOptions, options_from

WRONG = [
    ({"max_new_tokens": 0}, "max_new_tokens"),
    ({"max_new_tokens": 2.0}, "max_new_tokens"),
    ({"max_new_tokens": None}, "max_new_tokens"),
    ({"min_new_tokens": -1}, "min_new_tokens"),
    ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens=9 .*max_new_tokens=8"),
    ({"temperature": 0.0}, "temperature .*greedy"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"top_k": -1}, "top_k"),
    ({"top_p": 0.0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"min_p": -0.1}, "min_p"),
    ({"min_p": 1.1}, "min_p"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"no_repeat_ngram": -2}, "no_repeat_ngram"),
    ({"beams": 0}, "beams"),
    ({"beams": 2, "coverage_penalty": -0.1}, "coverage_penalty must be"),
    ({"samples": 0}, "samples"),
    ({"seed": -1}, "seed"),
    ({"greedy": 1}, "greedy"),
    ({"stop": "end"}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"greedy": True, "beams": 2}, "greedy and beams=2"),
    ({"greedy": True, "samples": 2}, "samples=2 .*greedy"),
    ({"greedy": True, "temperature": 0.5}, "temperature=0.5 .*greedy"),
    ({"greedy": True, "top_k": 5}, "top_k=5 .*greedy"),
    ({"greedy": True, "top_p": 0.5}, "top_p=0.5 .*greedy"),
    ({"greedy": True, "min_p": 0.5}, "min_p=0.5 .*greedy"),
    ({"greedy": True, "seed": 3}, "seed=3 .*greedy"),
    ({"beams": 2, "seed": None}, "seed=None .*beams=2"),
    ({"beams": 2, "temperature": 0.5}, "temperature=0.5 .*beams=2"),
    ({"beams": 2, "stop": ["."]}, "stop .*beams=2"),
    ({"beams": 2, "samples": 3}, "samples=3 .*beams=2"),
    ({"length_penalty": 2.0}, "length_penalty=2.0 .*beams"),
    ({"early_stopping": True}, "early_stopping=True .*beams"),
    ({"rank": -1}, "rank must be"),
    ({"rank": 2.5}, "rank must be"),
    ({"rank": 1}, "rank=1 has no effect"),
    ({"rank": 4, "samples": 2}, "samples=2 and rank=4"),
    ({"rank": 4, "greedy": True}, "rank=4 .*greedy"),
    ({"rank": 4, "beams": 2}, "rank=4 .*beams=2"),
    ({"rank": 4, "early_stopping": True}, "early_stopping=True .*beams"),
    ({"no_repeat_turn": -1}, "no_repeat_turn must be"),
    ({"no_repeat_turn": 5}, "no_repeat_turn=5 .*rank"),
    ({"no_repeat_turn": 5, "beams": 2}, "no_repeat_turn=5 .*rank"),
]


@pytest.mark.parametrize(("settings", "line"), WRONG, ids=lambda value: str(value))
def test_wrong_options_are_refused_in_one_line_that_names_them(settings, line):
    with pytest.raises(ValueError, match=line) as caught:
        options_from(settings)
    assert "\n" not in str(caught.value)


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"'top_pp'.*top_p"):
        options_from({"top_pp": 0.9})


def test_what_goes_together_is_accepted():
    GenerationOptions(temperature=0.7, top_k=40, top_p=0.9, min_p=0.05, samples=3, stop=["."], seed=None)
    GenerationOptions(greedy=True, repetition_penalty=1.2, no_repeat_ngram=3, min_new_tokens=4, stop=("a", "b"))
    GenerationOptions(beams=4, samples=4, length_penalty=-1.0, early_stopping=True)
    GenerationOptions(rank=20, temperature=0.88, length_penalty=0.0, no_repeat_turn=5, stop=["."], top_k=40)
    assert GenerationOptions(stop=["x"]).stop == ("x",)
