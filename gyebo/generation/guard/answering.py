"""Answers under a guard: what of a text is shown, what is sampled anew, and a record of every decision.

A text is held back until a sentence is complete (`sentences.py`). Two things are then checked: the sentence, and what is shown
of the answer with the sentence behind it, its last `window` characters, as what is unwanted may be spread over two sentences.
Both must pass. If one fails, what is shown stays, and the answer is sampled anew from there; after `retries` failures a neutral
answer takes the place of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

from gyebo.generation.guard.checks import Check
from gyebo.generation.guard.policy import Topic, choose
from gyebo.generation.guard.sentences import LONGEST, Sentences
from gyebo.generation.pplm import Control

MODES = ("off", "warn", "block")
WINDOW = 3 * LONGEST
NEUTRAL = {
    "ko": "그 이야기는 하지 않을게요. 다른 이야기를 해 볼까요?",
    "en": "I would rather not talk about that. Shall we talk about something else?",
}
_PARTIAL = re.compile(r"\S*\s+")  # the end of a word that the window cuts

Write = Callable[[str, int], Iterable[str]]
"""(what is shown of the answer, how often it failed) -> parts of a text that continues it, sampled anew each time."""


@dataclass(frozen=True)
class Rule:
    """A check and its thresholds by false-alarm rate: a text fails with a score above that of the rate, or with none (NaN)."""

    name: str
    check: Check
    thresholds: Mapping[float, float]


@dataclass(frozen=True)
class Judgement:
    """What a rule says of a text. `of`: "sentence", "answer" (its end, with the sentence), or "topic"."""

    check: str
    of: str
    score: float
    threshold: float
    failed: bool
    reason: str


@dataclass(frozen=True)
class Decision:
    """A line of the log. `decision`: "shown", "warned" (shown though it failed), "resampled", "neutral" (the neutral answer
    instead); `text`: the sentence, "" where a prompt's topic is blocked; `attempt`: how often the answer had failed before."""

    decision: str
    prompt: str
    attempt: int
    text: str
    rate: float
    topic: str | None
    judgements: tuple[Judgement, ...]

    def as_dict(self) -> dict[str, Any]:
        """As the log has it."""
        return asdict(self)


def _forget(decision: Decision) -> None:
    pass


@dataclass(frozen=True)
class Guard:
    """What is checked, and what is done about it.

    `mode`: "off", "warn" (checked and logged, but shown) or "block"; `rate`: the false-alarm rate; `retries`: how often an
    answer is sampled anew; `neutral`: the answer that is given then, "": Korean or English, as the prompt is; `longest`: where
    a sentence without an end is cut; `window`: characters of the answer that are checked together; `log`: is told each
    decision. Raises ValueError for a value out of its range, and a rate that a rule or a topic has no threshold for.
    """

    rules: tuple[Rule, ...]
    mode: str = "block"
    rate: float = 0.05
    retries: int = 3
    neutral: str = ""
    longest: int = LONGEST
    window: int = WINDOW
    topics: tuple[Topic, ...] = ()
    log: Callable[[Decision], None] = field(default=_forget, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, but is {self.mode!r} instead")
        if self.retries < 0 or self.longest < 1:
            raise ValueError(f"retries={self.retries} and longest={self.longest} must be at least 0 and 1")
        if self.window < 2 * self.longest:
            raise ValueError(f"window={self.window} must be at least twice longest={self.longest}, so that sentences overlap")
        for rate in (self.rate, *(topic.rate for topic in self.topics if topic.rate is not None)):
            for rule in self.rules:
                if rate not in rule.thresholds:
                    known = ", ".join(map(str, sorted(rule.thresholds)))
                    raise ValueError(f"rate={rate}: {rule.name} has thresholds for {known} only: choose one, or fit it again")

    def topic_of(self, text: str) -> tuple[Topic, str] | None:
        """The topic of a text, and why."""
        return choose(self.topics, text)

    @property
    def steers(self) -> bool:
        """Whether answers to some prompts are steered."""
        return self.mode != "off" and any(topic.control is not None for topic in self.topics)

    def control_for(self, prompt: str) -> Control | None:
        """What the topic of a prompt steers its answer to; None: nothing."""
        found = None if self.mode == "off" else self.topic_of(prompt)
        return found[0].control if found else None

    def neutral_for(self, text: str) -> str:
        """The neutral answer, in the language of the text."""
        return self.neutral or NEUTRAL["ko" if re.search("[가-힣ㄱ-ㅣ]", text) else "en"]

    def judge(self, texts: Mapping[str, str], prompt: str, rate: float) -> Iterator[Judgement]:
        """What each rule says of texts, by what they are."""
        for rule in self.rules:
            threshold = rule.thresholds[rate]
            for of, finding in zip(texts, rule.check(list(texts.values()), prompt)):
                failed = not finding.score <= threshold  # a score that is no number fails, too
                yield Judgement(rule.name, of, finding.score, threshold, failed, finding.reason)

    def examine(self, sentence: str, shown: str, prompt: str) -> tuple[float, Topic | None, tuple[Judgement, ...]]:
        """The judgements of a sentence that follows what is shown, by the rate of the topic; white space is not judged."""
        if not sentence.strip():
            return self.rate, None, ()
        whole = shown + sentence
        found = self.topic_of(f"{prompt}\n{whole}")
        topic, why = found or (None, "")
        rate = self.rate if topic is None or topic.rate is None else topic.rate
        texts = {"sentence": sentence.strip()} | ({"answer": self._end_of(whole)} if shown.strip() else {})
        judgements = tuple(self.judge(texts, prompt, rate))
        if topic is not None and topic.action == "block":
            judgements = (Judgement(topic.name, "topic", 1.0, 0.0, True, why), *judgements)
        return rate, topic, judgements

    def _end_of(self, text: str) -> str:
        """The last characters of a text, from where a word begins if that leaves the sentence and as much before it."""
        start = max(0, len(text) - self.window)
        partial = _PARTIAL.match(text, start, len(text) - 2 * self.longest) if start else None
        return text[partial.end() if partial else start :].strip()


def answer(guard: Guard, prompt: str, write: Write, before: str = "") -> Iterator[str]:
    """The answer to a prompt, in parts that may be shown: whole sentences. `before`: the text that it continues, if any."""
    if guard.mode == "off":
        yield from write("", 0)
        return
    if (found := guard.topic_of(prompt)) and found[0].action == "block" and guard.mode == "block":
        judgement = Judgement(found[0].name, "topic", 1.0, 0.0, True, found[1])
        guard.log(Decision("neutral", prompt, 0, "", guard.rate, found[0].name, (judgement,)))
        yield _after(before, guard.neutral_for(prompt))
        return
    shown = ""
    for attempt in range(guard.retries + 1):
        last = "neutral" if attempt == guard.retries else "resampled"
        with closing(_sentences(write(shown, attempt), guard.longest)) as sentences:
            for sentence in sentences:
                rate, topic, judgements = guard.examine(sentence, shown, prompt)
                failed = any(judgement.failed for judgement in judgements)
                decision = "shown" if not failed else "warned" if guard.mode == "warn" else last
                name = topic.name if topic else None
                guard.log(Decision(decision, prompt, attempt, sentence, rate, name, judgements))
                if decision == last:
                    break
                shown += sentence
                yield sentence
            else:
                return
    yield _after(before + shown, guard.neutral_for(prompt + shown))


def _sentences(parts: Iterable[str], longest: int) -> Generator[str]:
    cutter = Sentences(longest)
    for part in parts:
        yield from cutter.push(part)
    if rest := cutter.finish():
        yield rest


def _after(text: str, following: str) -> str:
    """A text to be shown behind another."""
    return following if not text or text[-1].isspace() else f" {following}"
