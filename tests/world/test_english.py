import re

import pytest

from gyebo.world import documents, english


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("apple", "an apple"), ("red umbrella", "a red umbrella"), ("umbrella", "an umbrella"), ("honest man", "an honest man"),
     ("unicorn", "a unicorn"), ("island village", "an island village"), ("old bell", "an old bell"),
     ("unknown owl", "an unknown owl")],
)  # fmt: skip
def test_article(phrase, expected):
    assert english.article(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "form", "expected"),
    [
        ("go", "past", "went"), ("look at", "past", "looked at"), ("carry", "past", "carried"), ("stop", "past", "stopped"),
        ("hum", "past", "hummed"), ("tie both shoelaces", "past", "tied both shoelaces"), ("choose", "past", "chose"),
        ("lie down", "past", "lay down"), ("lie down", "gerund", "lying down"), ("smile", "gerund", "smiling"),
        ("sit", "gerund", "sitting"), ("wash up", "third", "washes up"), ("carry", "third", "carries"),
        ("play", "third", "plays"), ("play", "past", "played"), ("be", "third", "is"),
    ],
)  # fmt: skip
def test_conjugation(phrase, form, expected):
    assert english.conjugate(phrase, form) == expected


def test_unknown_form():
    with pytest.raises(ValueError, match="unknown English form 'perfect'"):
        english.conjugate("go", "perfect")


@pytest.mark.parametrize(
    ("noun", "expected"), [("fox", "foxes"), ("butterfly", "butterflies"), ("owl", "owls"), ("deer", "deer")]
)
def test_plural(noun, expected):
    assert english.plural(noun) == expected


def test_articles_and_pronouns_in_sampled_text():
    for document in documents(300, seed=12, languages=("en",)):
        for article, word in re.findall(r"\b(an?) ([a-z]+)", document.text):
            assert (article == "an") == (word[0] in "aeiou" or word == "honest"), document.text
        assert not re.search(r"\b(choosed|goed|taked|runned|catched|feeled)\b", document.text)
