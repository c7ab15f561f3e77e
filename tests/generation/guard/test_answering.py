"""Nothing that failed a check is shown, however the text arrives and whatever the generator does; every decision is logged."""

import math
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gyebo.generation.guard import Finding, Guard, Rule, Topic, answer
from gyebo.generation.guard.answering import NEUTRAL

PARTS = st.lists(st.text(alphabet="XYab .?\n", max_size=12), max_size=12)  # of one attempt
ATTEMPTS = st.lists(PARTS, min_size=1, max_size=4)


def rule(test, name="test", threshold=0.5):
    """A rule that fails where `test` of the text is true."""

    def check(texts, prompt):
        return [Finding(float(test(text)), f"saw {text!r}") for text in texts]

    return Rule(name, check, {0.05: threshold})


def guard_of(*tests, log=None, **options):
    rules = tuple(rule(test, f"test {number}") for number, test in enumerate(tests, 1))
    return Guard(rules, log=(lambda decision: None) if log is None else log.append, **options)


def written(attempts):
    """A generator that gives these attempts, one after the other, then the last again."""
    return lambda shown, attempt: iter(attempts[min(attempt, len(attempts) - 1)])


def shown_of(guard, attempts, prompt="p"):
    """What is shown, without the neutral answer, and whether that was given."""
    parts = list(answer(guard, prompt, written(attempts)))
    if parts and parts[-1].strip() == NEUTRAL["en"]:
        return parts[:-1], True
    return parts, False


@given(ATTEMPTS, st.integers(1, 8), st.integers(0, 3))
def test_what_fails_is_never_shown_in_one_or_over_several_sentences(attempts, longest, retries):
    guard = guard_of(lambda text: "XY" in text, longest=longest, window=2 * longest, retries=retries)
    parts, _ = shown_of(guard, attempts)
    assert "XY" not in "".join(parts)


@given(ATTEMPTS, st.integers(0, 255), st.integers(0, 3))
def test_every_sentence_and_every_beginning_that_is_shown_passed(attempts, seed, retries):
    """With a check that nobody can foresee: a hash of the text."""

    def fails(text):
        return zlib.crc32(text.encode()) % 256 < seed

    parts, _ = shown_of(guard_of(fails, retries=retries), attempts)
    for number, part in enumerate(parts, 1):
        if part.strip():
            assert not fails(part.strip()) and not fails("".join(parts[:number]).strip())


@given(ATTEMPTS, st.integers(1, 20))
def test_nothing_is_shown_before_it_was_checked(attempts, longest):
    checked = []

    def fails(text):
        checked.append(text)
        return "X" in text

    for part in answer(guard_of(fails, longest=longest), "p", written(attempts)):
        assert not part.strip() or part.strip() in checked or part.strip() == NEUTRAL["en"]


@given(st.text(alphabet="XYab .?\n", max_size=60), st.lists(st.integers(0, 9), max_size=20))
def test_how_the_text_arrives_does_not_matter(text, sizes):
    cuts = [0, *sorted(min(sum(sizes[:end]), len(text)) for end in range(len(sizes) + 1)), len(text)]
    parts = [text[start:end] for start, end in pairwise(cuts)]
    assert "".join(parts) == text
    guard = guard_of(lambda text: "XY" in text, retries=1)
    assert shown_of(guard, [parts]) == shown_of(guard, [[text]]) == shown_of(guard, [list(text)])


@given(ATTEMPTS, st.integers(0, 3))
def test_the_log_tells_what_was_shown_and_why_the_rest_was_not(attempts, retries):
    log = []
    guard = guard_of(lambda text: "X" in text, lambda text: "Y" in text, log=log, retries=retries)
    parts, neutral = shown_of(guard, attempts)
    assert "".join(decision.text for decision in log if decision.decision == "shown") == "".join(parts)
    failed = [decision for decision in log if decision.decision != "shown"]
    assert [decision.decision for decision in failed] == ["resampled"] * (len(failed) - neutral) + ["neutral"] * neutral
    assert [decision.attempt for decision in failed] == list(range(len(failed)))
    for decision in failed:
        reasons = [judgement for judgement in decision.judgements if judgement.failed]
        assert reasons and all(judgement.score > judgement.threshold and "saw" in judgement.reason for judgement in reasons)


def test_the_generator_is_told_what_is_shown():
    told = []

    def write(shown, attempt):
        told.append((shown, attempt))
        return iter([["One. ", "Two X. Three."], [" Two. X"], [" Three. Four."]][attempt])

    guard = guard_of(lambda text: "X" in text)
    assert "".join(answer(guard, "p", write)) == "One. Two. Three. Four."
    assert told == [("", 0), ("One.", 1), ("One. Two.", 2)]


def test_the_rest_of_a_failed_text_is_not_generated():
    def parts():
        yield "Good. X. "
        yield "After that."
        raise AssertionError("nobody asked for more")

    shown = list(answer(guard_of(lambda text: "X" in text, retries=0), "p", lambda shown, attempt: parts()))
    assert shown == ["Good.", f" {NEUTRAL['en']}"]


def test_judgements_are_in_the_order_of_rules_sentence_first():
    log = []
    guard = guard_of(lambda text: "A" in text, lambda text: "B" in text, log=log, retries=0)
    list(answer(guard, "p", written([["ok. ", "B. "]])))
    assert [(found.check, found.of, found.failed) for found in log[-1].judgements] == [
        ("test 1", "sentence", False), ("test 1", "answer", False), ("test 2", "sentence", True), ("test 2", "answer", True),
    ]  # fmt: skip
    assert log[-1].decision == "neutral" and log[-1].as_dict()["judgements"][2]["reason"] == "saw 'B.'"


def test_two_harmless_sentences_may_fail_together():
    guard = guard_of(lambda text: "one. two" in text, retries=0)
    assert list(answer(guard, "p", written([["one. two. three."]]))) == ["one.", f" {NEUTRAL['en']}"]


def test_a_score_that_is_no_number_fails():
    broken = Rule("broken", lambda texts, prompt: [Finding(math.nan, "") for _ in texts], {0.05: 0.5})
    assert list(answer(Guard((broken,), retries=0), "p", written([["anything"]]))) == [NEUTRAL["en"]]


def test_a_text_equal_to_the_threshold_passes():
    assert Guard((rule(lambda text: True, threshold=1.0),)).judge({"sentence": "a"}, "", 0.05).__next__().failed is False


@pytest.mark.parametrize(("mode", "expected"), [("off", "a X. b"), ("warn", "a X. b"), ("block", f"{NEUTRAL['en']}")])
def test_modes(mode, expected):
    log = []
    guard = guard_of(lambda text: "X" in text, log=log, mode=mode, retries=0)
    assert "".join(answer(guard, "p", written([["a X. b"]]))) == expected
    assert [decision.decision for decision in log] == {"off": [], "warn": ["warned", "warned"], "block": ["neutral"]}[mode]


@pytest.mark.parametrize(
    ("prompt", "neutral", "expected"),
    [("안녕", "", NEUTRAL["ko"]), ("hello", "", NEUTRAL["en"]), ("안녕", "말을 돌린다.", "말을 돌린다.")],
)
def test_the_neutral_answer(prompt, neutral, expected):
    guard = guard_of(lambda text: True, neutral=neutral)
    assert list(answer(guard, prompt, written([["anything"]]))) == [expected]
    assert list(answer(guard, prompt, written([["anything"]]), before="이어서")) == [f" {expected}"]


# ---- topics


def about(word, action, **options):
    return Topic(word, action, lambda text: f"the word {word}" if word in text else "", **options)


def test_a_blocked_topic_is_not_answered():
    log = []
    guard = guard_of(lambda text: False, log=log, topics=(about("vote", "block"),))
    asked = []
    assert list(answer(guard, "whom to vote for", lambda *given: asked.append(given))) == [NEUTRAL["en"]]
    assert not asked and log[0].judgements[0].reason == "the word vote" and log[0].topic == "vote"


def test_an_answer_that_turns_to_a_blocked_topic_is_sampled_anew():
    guard = guard_of(lambda text: False, topics=(about("vote", "block"),))
    assert "".join(answer(guard, "p", written([["Well. You vote."], [" Fine."]]))) == "Well. Fine."


def test_a_topic_decides_the_threshold():
    strict = Rule("score", lambda texts, prompt: [Finding(0.5, "half") for _ in texts], {0.05: 0.9, 0.2: 0.3})
    topics = (about("vote", "neutral", rate=0.2),)
    log = []
    guard = Guard((strict,), topics=topics, retries=0, log=log.append)
    assert list(answer(guard, "p", written([["fine"]]))) == ["fine"]
    assert list(answer(guard, "vote", written([["fine"]]))) == [NEUTRAL["en"]]
    assert [(decision.rate, decision.topic) for decision in log] == [(0.05, None), (0.2, "vote")]


def test_the_strictest_of_several_topics_is_chosen():
    topics = (about("a", "neutral"), about("b", "negative"), about("c", "block"), about("d", "block"))
    guard = guard_of(lambda text: False, topics=topics)
    assert [guard.topic_of(text)[0].name for text in ("a", "ab", "abc", "dc")] == ["a", "b", "c", "c"]
    assert guard.topic_of("e") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "on"}, "mode must be one of off, warn, block, but is 'on'"),
        ({"retries": -1}, "retries=-1"),
        ({"longest": 10, "window": 19}, "window=19 must be at least twice longest=10"),
        ({"rate": 0.1}, "rate=0.1: test 1 has thresholds for 0.05 only"),
        ({"topics": (about("a", "neutral", rate=0.3),)}, "rate=0.3"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        guard_of(lambda text: False, **options)


def test_the_window_keeps_as_much_before_the_sentence_as_the_sentence_may_have():
    """The end of a word that it cuts is left out, which must not take what the sentence completes."""
    guard = guard_of(lambda text: "XY" in text, longest=5, window=10, retries=0)
    parts, neutral = shown_of(guard, [["aaaaaaaaaXY b."]])
    assert (parts, neutral) == (["aaaaa", "aaaaX"], True)
