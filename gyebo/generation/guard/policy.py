"""The policy: what an answer is about decides how careful the guard is, what it is steered to, or that there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gyebo.generation.pplm import Control
from gyebo.text.word_list import Entry, WordList

ACTIONS = ("block", "negative", "neutral")
"""The strictest first: it is chosen where a text has several topics."""

DEFAULTS: dict[str, tuple[str, str]] = {
    "politics": (
        "neutral",
        "정치, 대통령, 국회, 선거, 여당, 야당, 보수, 진보, 좌파, 우파, politics, election, president, parliament",
    ),
    "religion": (
        "neutral",
        "종교, 교회, 목사, 기독교, 천주교, 성당, 불교, 스님, 이슬람, 신천지, religion, church, islam, buddhism",
    ),
    "gender": (
        "neutral",
        "여성, 남성, 여자, 남자, 성별, 페미니스트, 페미니즘, 동성애, 성소수자, gender, women, feminism, gay",
    ),
    "race": (
        "neutral",
        "인종, 흑인, 백인, 동양인, 외국인, 이민자, 난민, 조선족, 다문화, racism, immigrant, refugee",
    ),
    "crime": (
        "negative",
        "범죄, 살인, 강도, 절도, 사기꾼, 폭행, 성폭력, 성추행, 마약, 납치, crime, murder, robbery, rape, kidnapping",
    ),
}
"""Topic -> action, and its words in Korean and English."""

Concerns = Callable[[str], str]
"""Why a text has the topic; "" if it has not."""


@dataclass(frozen=True)
class Topic:
    """A topic. `action`: one of `ACTIONS`; `rate`: the false-alarm rate by which the guard's thresholds are chosen, None: the
    guard's own; `control`: what answers to a prompt of the topic are steered to, None: nothing."""

    name: str
    action: str
    concerns: Concerns
    rate: float | None = None
    control: Control | None = None


def by_words(words: WordList) -> Concerns:
    """The topic's words in the text."""

    def concerns(text: str) -> str:
        hits = words.find(text)
        return f"the word {hits[0].entry.word}" if hits else ""

    return concerns


def by_class(score: Callable[[Sequence[str]], Sequence[float]], name: str, threshold: float) -> Concerns:
    """A classifier's score of the topic's class, above the threshold."""

    def concerns(text: str) -> str:
        (found,) = score([text])
        return f"{name}: {found:.3f}" if found > threshold else ""

    return concerns


def listed(words: str) -> WordList:
    """A word list from words between commas."""
    return WordList(tuple(Entry(word.strip()) for word in words.split(",")))


def choose(topics: Sequence[Topic], text: str) -> tuple[Topic, str] | None:
    """The topic of a text, and why; of several the one with the strictest action, among these the first."""
    for topic in sorted(topics, key=lambda topic: ACTIONS.index(topic.action)):
        if reason := topic.concerns(text):
            return topic, reason
    return None
