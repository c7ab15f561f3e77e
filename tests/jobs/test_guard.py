"""The jobs of the guard: lists and thresholds from labelled texts, figures by hand, and a model that answers under a guard."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import gyebo
from gyebo.config.finetune import TaskOptions
from gyebo.generation.guard import Exemplars
from gyebo.jobs.control import Wanted as WantedControl
from gyebo.jobs.control import open_control
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.jobs.generate import generate
from gyebo.jobs.guard import labelled
from gyebo.jobs.guard.fit import Wanted, fit
from gyebo.jobs.guard.learn import learn
from gyebo.jobs.guard.opening import open_guard, read_exemplars, write_exemplars
from gyebo.jobs.guard.score import score, share
from gyebo.text import word_list
from tests.jobs.tuning_files import reviews, saved_model, table
from tests.refusals import option_error

BAD = [f"{noun} 바보 {word}." for noun in ("나무", "바다", "하늘", "친구", "노래") for word in ("보았다", "찾았다", "들었다")]
GOOD = [
    f"{noun} 정말 {word}."
    for noun in ("나무", "바다", "하늘", "친구", "노래", "아침")
    for word in ("보았다", "찾았다", "만났다")
]
GOOD += ["바보 영화를 보았다."]  # one innocent text in nineteen


@pytest.fixture
def data(tmp_path):
    """Labelled texts, of three labels."""
    rows = [(text, "hate") for text in BAD] + [(text, "none") for text in GOOD] + [("오늘은 흐리다.", "offensive")]
    return str(table(tmp_path / "labelled.csv", ("text", "label"), rows))


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("바보\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def models(tokenizer_folder, tmp_path_factory):
    """A classifier of reviews, an encoder and a generator."""
    folder = tmp_path_factory.mktemp("guard models")
    finetune_linear(
        TaskOptions(name="classification", data=str(reviews(folder)), text="review", label="mood"), folder / "linear"
    )
    for family in ("bert", "gpt2"):
        saved_model(folder / family, family, tokenizer_folder)
    return folder


def test_a_list_is_learned_and_found_again(data, tmp_path):
    out = tmp_path / "learned.txt"
    assert learn(data, out, ["hate"], least=3) == len(word_list.read(out).entries)
    assert word_list.read(out).entries[0].word == "바보"
    assert out.read_text(encoding="utf-8").startswith("# hate against other texts of labelled.csv")
    with pytest.raises(ValueError, match="exists already"):
        learn(data, out, ["hate"])


def test_texts_of_another_encoding_are_read_the_same(data, words, tmp_path, cli):
    other = tmp_path / "cp949.csv"
    other.write_bytes(Path(data).read_text(encoding="utf-8").encode("cp949"))
    shown = {}
    for file, more in ((data, []), (other, ["--encoding", "cp949"])):
        folder = tmp_path / Path(file).stem
        folder.mkdir()
        asked = ["--positive", "hate", *more]
        assert cli("guard", "learn", file, *asked, "-o", folder / "learned.txt", "--least", "2").code == 0
        assert cli("guard", "fit", file, *asked, "--words", words, "-o", folder / "guard.toml").code == 0
        found = cli("guard", "score", folder / "guard.toml", file, *asked, "--json")
        shown[Path(file).stem] = (found.out, (folder / "learned.txt").read_text(encoding="utf-8").splitlines()[1:])
    assert shown["labelled"] == shown["cp949"] and "바보" in shown["cp949"][1][0]
    refused = cli("guard", "learn", other, "--positive", "hate", "-o", tmp_path / "no.txt")
    assert refused.code == 2 and "pass --encoding cp949" in refused.err


def test_labels_say_what_is_unwanted(data):
    found = labelled.read(data, ["hate"], ["offensive"])
    assert (found.unwanted, found.innocent) == (BAD, GOOD)
    assert labelled.read(data, ["hate"]).innocent == [*GOOD, "오늘은 흐리다."]
    for positive, ignored, message in (
        (["hat"], [], "positive=hat: {} has no such label; did you mean hate?"),
        (["hate"], ["hate"], "ignored=hate: is a positive label, too"),
        (["hate", "none"], ["offensive"], "has no innocent text"),
    ):
        with pytest.raises(ValueError) as error:
            labelled.read(data, positive, ignored)
        assert message.format(data) in str(error.value)


def test_a_fitted_guard_blocks_what_it_says(data, words, tmp_path):
    out = tmp_path / "guard.toml"
    found = fit(data, out, ["hate"], Wanted(words=[words]), ignored=["offensive"], rate=0.06)
    assert found == {"out": str(out), "rate": 0.06, "innocent": 19, "unwanted": 15, "blocked": {"innocent": 1, "unwanted": 15}}
    stored = tomllib.loads(out.read_text(encoding="utf-8"))
    assert stored["checks"][0]["file"] == "words.txt" and stored["fitted"]["data"] == "labelled.csv"
    assert stored["checks"][0]["thresholds"] == {"0.01": 1.0, "0.02": 1.0, "0.05": 1.0, "0.06": 0.0, "0.1": 0.0, "0.2": 0.0}
    guard = open_guard(out)
    (found,) = guard.judge({"sentence": "바 보 같은"}, "", 0.06)
    assert (found.failed, found.score, found.threshold) == (True, 1.0, 0.0) and found.reason == "바보: '바 보'"


def test_figures_are_counted_by_hand(data, words, tmp_path):
    out = tmp_path / "guard.toml"
    fit(data, out, ["hate"], Wanted(words=[words]), rate=0.06)
    terms = tmp_path / "terms.txt"
    terms.write_text("영화\n친구\n우주\n", encoding="utf-8")
    found = score(out, data, ["hate"], terms=str(terms))
    assert [row["check"] for row in found["checks"]] == ["words", "any check"]
    for row in found["checks"]:
        assert (row["recall"]["count"], row["recall"]["of"]) == (15, 15)
        assert (row["false_alarms"]["count"], row["false_alarms"]["of"]) == (1, 20)
    assert [(row["term"], row["count"], row["of"]) for row in found["terms"]] == [("영화", 1, 1), ("친구", 0, 3)]
    assert score(out, data, ["hate"], rate=0.01)["checks"][0]["recall"]["count"] == 0
    with option_error("rate"):
        score(out, data, ["hate"], rate=0.3)


def test_intervals_are_those_of_wilson():
    """8 of 10, z = 1.96: the solutions of (p - 0.8)^2 = z^2 p (1 - p) / 10."""
    found = share(np.arange(10) < 8)
    assert found["share"] == 0.8
    for bound in (found["low"], found["high"]):
        assert (bound - 0.8) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / 10, rel=1e-4)
    assert found["low"] < 0.8 < found["high"]


def test_all_kinds_of_checks_together_hold_the_rate(data, words, models, tmp_path):
    unwanted = tmp_path / "unwanted.txt"
    unwanted.write_text("\n".join(BAD[:5]) + "\n", encoding="utf-8")
    out = tmp_path / "guard.toml"
    wanted = Wanted(
        words=[words], classifiers=[f"{models / 'linear'}:positive"], encoder=str(models / "bert"), unwanted=str(unwanted)
    )
    found = fit(data, out, ["hate"], wanted, rate=0.1)
    assert found["unwanted"] == 10, "exemplars are left out"
    assert found["blocked"]["innocent"] <= 2 and found["innocent"] == 20
    guard = open_guard(out)
    assert [rule.name for rule in guard.rules] == ["words", "linear", "similarity"]
    judged = list(guard.judge({"sentence": BAD[0]}, "", 0.1))
    assert judged[2].score == pytest.approx(1, abs=1e-4) and repr(BAD[0]) in judged[2].reason
    rows = score(out, data, ["hate"])["checks"]
    assert all(row["false_alarms"]["count"] <= 2 for row in rows)


def test_a_classifier_gives_the_margin_or_the_probability_of_its_class(models):
    from gyebo.jobs.finetuned_model import margins, open_model
    from gyebo.jobs.guard.opening import class_scores
    from gyebo.tasks.task import Example

    texts = ["나무 정말 바다 좋아한다.", "하늘 아주 사람 기다린다."]
    name = str(models / "linear")
    expected = margins(open_model(name).model, [Example("1", text) for text in texts])
    assert class_scores(name, ["negative"], "cpu")(texts) == [row["negative"] for row in expected]
    assert class_scores(name, ["negative", "positive"], "cpu")(texts) == [max(row.values()) for row in expected]
    with pytest.raises(ValueError, match="has no class 'positiv'; did you mean positive"):
        class_scores(name, ["positiv"], "cpu")


def test_exemplars_come_back_and_other_files_do_not(tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    exemplars = Exemplars(("가", "나", "다"), vectors, np.array([True, True, False]), vectors[0], vectors * 2)
    write_exemplars(tmp_path / "e.safetensors", exemplars)
    found = read_exemplars(tmp_path / "e.safetensors")
    assert found.texts == exemplars.texts and (found.unwanted == exemplars.unwanted).all()
    for name in ("vectors", "mean", "whitening"):
        assert (getattr(found, name) == getattr(exemplars, name)).all()
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not the vectors of exemplars"):
        read_exemplars(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        read_exemplars(tmp_path / "none.safetensors")


def test_a_model_answers_under_a_guard(models, tmp_path):
    """Every Hangul syllable that is written is blocked; the log has the reason."""
    (tmp_path / "words.txt").write_text("\n".join("나바하친노아고사영저좋보찾기만들정다함"), encoding="utf-8")
    check = {"kind": "words", "name": "mine", "file": "words.txt", "thresholds": {"0.05": 0.5}}
    file = tmp_path / "guard.toml"
    file.write_text(tomli_w.dumps({"log": "log.jsonl", "neutral": "그럼요.", "checks": [check]}), encoding="utf-8")
    options = {"max_new_tokens": 24, "samples": 4, "temperature": 0.9}
    rows = generate(str(models / "gpt2"), ["나무"], options, guard=file, device="cpu")
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(count for row in rows for count in row["guard"].values()) == len(log)
    failed = [line for line in log if line["decision"] != "shown"]
    assert failed and all(any(each["failed"] and each["check"] == "mine" for each in line["judgements"]) for line in failed)
    words = word_list.read(tmp_path / "words.txt")
    for row in rows:
        assert not words.find(row["text"].removesuffix("그럼요."))
    shown = []
    generate(str(models / "gpt2"), ["나무"], {"max_new_tokens": 24}, guard=file, device="cpu", on_text=shown.append)
    assert shown[0] == "나무" and not words.find("".join(shown[1:]).replace("그럼요.", ""))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "on"}, "line 1: mode must be 'off', 'warn' or 'block', but is 'on' instead"),
        ({"rate": 0.2}, "rate=0.2: mine has thresholds for 0.05 only"),
        ({"window": 10}, "window=10 must be at least twice longest=200"),
        ({"neutral": "바 보"}, "the neutral answer '바 보' does not pass the guard itself (mine, 바보: '바 보')"),
        ({"retry": 2}, "unknown option 'retry'; did you mean retries?"),
        ({"checks": []}, "checks"),
        ({"policy": "none.toml"}, "none.toml: no such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(changes, message, words, tmp_path):
    check = {"kind": "words", "name": "mine", "file": "words.txt", "thresholds": {"0.05": 0.5}}
    file = tmp_path / "guard.toml"
    file.write_text(
        tomli_w.dumps(changes | {"log": "log.jsonl"} | ({} if "checks" in changes else {"checks": [check]})), "utf-8"
    )
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        open_guard(file)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "words", "model": "m"}, "‹checks.0.file› is missing"),
        ({"kind": "words", "file": "none.txt"}, "none.txt: no such file"),
        ({"kind": "words", "file": "words.txt", "model": "m"}, "‹checks.0.model› has no effect with kind='words'"),
        ({"kind": "words", "file": "words.txt", "neighbours": 2}, "neighbours› has no effect"),
        ({"kind": "words", "file": "words.txt", "thresholds": {"five": 1.0}}, "one is 'five'"),
    ],
)
def test_what_is_wrong_with_a_check_is_named(check, message, words, tmp_path):
    file = tmp_path / "guard.toml"
    checks = [{"name": "mine", "thresholds": {"0.05": 0.5}} | check]
    file.write_text(tomli_w.dumps({"log": "log.jsonl", "checks": checks}), "utf-8")
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        open_guard(file)
    assert message in getattr(error.value, "text", str(error.value))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(), "a guard needs a check"),
        (Wanted(classifiers=["runs/hate"]), "classifier=runs/hate: must be DIR:CLASS"),
        (Wanted(encoder="bert"), "encoder=bert needs unwanted"),
        (Wanted(unwanted="a.txt"), "have no effect without encoder"),
        (Wanted(encoder="bert", unwanted="a.txt", allowed="b.txt"), "set neighbours to 2 or more"),
    ],
)
def test_checks_that_cannot_be_fitted(wanted, message, data, tmp_path):
    with pytest.raises(ValueError) as error:
        fit(data, tmp_path / "guard.toml", ["hate"], wanted)
    assert message in str(error.value)
    assert not (tmp_path / "guard.toml").exists()


# ---- the policy


def policy(folder, *topics):
    file = folder / "policy.toml"
    file.write_text(tomli_w.dumps({"topics": list(topics)}), encoding="utf-8")
    return str(file)


def guard_file(folder, words):
    check = {"kind": "words", "name": "mine", "file": "words.txt", "thresholds": {"0.05": 1.0, "0.2": 0.0}}
    (folder / "guard.toml").write_text(tomli_w.dumps({"log": "log.jsonl", "checks": [check]}), encoding="utf-8")
    return folder / "guard.toml"


def test_topics_are_known_by_words_or_by_a_classifier(words, models, tmp_path):
    (tmp_path / "topic.txt").write_text("선거\n", encoding="utf-8")
    by_class = {
        "name": "praise",
        "action": "negative",
        "model": str(models / "linear"),
        "classes": ["positive"],
        "threshold": 0.0,
    }
    topics = policy(
        tmp_path,
        {"name": "politics", "action": "neutral", "words": "topic.txt", "rate": 0.2},
        {"name": "death", "action": "block", "words": "죽음, 살인"},
        by_class,
    )
    guard = open_guard(guard_file(tmp_path, words), policy=topics)
    assert [guard.topic_of(text)[0].name for text in ("선 거 이야기", "죽 음", "나무 정말 바다 좋아한다.")] == [
        "politics",
        "death",
        "praise",
    ]
    rate, topic, judged = guard.examine("바보", "", "선거")
    assert (rate, topic.name, judged[0].failed) == (0.2, "politics", True)
    assert not guard.examine("바보", "", "나무 아주 바다 기다린다.")[2][0].failed


def test_the_default_policy_knows_its_topics(words, tmp_path):
    guard = open_guard(guard_file(tmp_path, words), policy="default")
    found = {text: guard.topic_of(text) for text in ("대통령 선거", "교회에 간다", "살인 사건", "오늘 날씨")}
    assert [topic and (topic[0].name, topic[0].action) for topic in found.values()] == [
        ("politics", "neutral"), ("religion", "neutral"), ("crime", "negative"), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ({"name": "a", "action": "neutral"}, "a topic needs words, or model, classes and threshold"),
        ({"name": "a", "action": "neutral", "model": "m", "classes": ["b"]}, "a topic needs words"),
        ({"name": "a", "action": "shout", "words": "b"}, "topics.0.action must be 'neutral', 'negative' or 'block'"),
        ({"name": "a", "action": "neutral", "words": "b", "rate": 0.1}, "rate=0.1: mine has thresholds for 0.05, 0.2 only"),
        (
            {"name": "a", "action": "neutral", "words": "b", "bag_of_words": ["calm.txt"]},
            "a steers answers: give open_guard the model",
        ),
        (
            {"name": "a", "action": "block", "words": "b", "bag_of_words": ["calm.txt"]},
            "a is not answered, so nothing can be steered",
        ),
    ],
)
def test_what_is_wrong_with_a_policy_is_named(topic, message, words, tmp_path):
    with pytest.raises(ValueError) as error:
        open_guard(guard_file(tmp_path, words), policy=policy(tmp_path, topic))
    assert message in str(error.value)


def test_a_topic_steers_its_answers_and_no_others(words, models, tmp_path):
    """The topic's prompts are answered as with the same bag by hand, the others as without."""
    load = gyebo.load(models / "gpt2")
    (tmp_path / "calm.txt").write_text("the\nfilm\ngood\n", encoding="utf-8")
    topics = policy(tmp_path, {"name": "sea", "action": "neutral", "words": "바다", "bag_of_words": ["calm.txt=3"]})
    guard = open_guard(guard_file(tmp_path, words), *load, policy=topics, mode="warn")
    control = open_control(WantedControl([f"{tmp_path / 'calm.txt'}=3"]), *load)
    settings = {"max_new_tokens": 8, "greedy": True}
    prompts = ["나무 정말", "바다 정말", "하늘 정말"]
    found = gyebo.generate(*load, prompts, guard=guard, **settings)
    assert found == [
        gyebo.generate(*load, prompts[0], **settings),
        gyebo.generate(*load, prompts[1], control=control, **settings),
        gyebo.generate(*load, prompts[2], **settings),
    ]
    assert found[1] != gyebo.generate(*load, prompts[1], **settings)
    assert "".join(gyebo.stream(*load, prompts[1], guard=guard, **settings)) == found[1]
    rows = generate(
        str(models / "gpt2"), prompts, settings, guard=tmp_path / "guard.toml", mode="warn", policy=topics, device="cpu"
    )
    assert [row["text"] for row in rows] == found


def test_any_rate_can_be_fitted_opened_and_scored(data, words, tmp_path):
    """Also one with more digits than are printed."""
    out = tmp_path / "guard.toml"
    fit(data, out, ["hate"], Wanted(words=[words]), rate=1 / 30)
    assert open_guard(out).rate == 1 / 30
    assert score(out, data, ["hate"])["rate"] == 1 / 30
    fit(data, out, ["hate"], Wanted(words=[words]), rate=0, overwrite=True)
    assert open_guard(out).rate == 0 and score(out, data, ["hate"], rate=0.0)["rate"] == 0


def test_a_policy_is_found_from_the_guards_file(data, words, tmp_path, monkeypatch):
    (tmp_path / "policies").mkdir()
    (tmp_path / "guards").mkdir()
    policy(tmp_path / "policies", {"name": "sea", "action": "block", "words": "바다"})
    monkeypatch.chdir(tmp_path)
    fit(data, Path("guards/guard.toml"), ["hate"], Wanted(words=[words]), settings={"policy": "policies/policy.toml"})
    monkeypatch.chdir(tmp_path.parent)
    assert [topic.name for topic in open_guard(tmp_path / "guards" / "guard.toml").topics] == ["sea"]
    with pytest.raises(FileNotFoundError, match="none.toml: no such file"):
        fit(data, tmp_path / "other.toml", ["hate"], Wanted(words=[words]), settings={"policy": "none.toml"})


def test_a_fitted_guard_can_be_opened(data, words, tmp_path):
    """A neutral answer that it blocks is refused at once."""
    out = tmp_path / "guard.toml"
    with option_error("neutral"):
        fit(data, out, ["hate"], Wanted(words=[words]), rate=0.06, settings={"neutral": "바 보"})
    assert not out.exists()


def test_nothing_that_a_guard_is_fitted_from_is_replaced(data, words, models, tmp_path):
    with option_error("out"):
        fit(data, Path(words), ["hate"], Wanted(words=[words]), overwrite=True)
    unwanted, out = tmp_path / "unwanted.txt", tmp_path / "guard.toml"
    unwanted.write_text("\n".join(BAD[:5]), encoding="utf-8")
    wanted = Wanted(encoder=str(models / "bert"), unwanted=str(unwanted))
    (tmp_path / "guard.exemplars.safetensors").write_text("mine")
    with pytest.raises(ValueError, match="guard.exemplars.safetensors exists already"):
        fit(data, out, ["hate"], wanted)
    assert (tmp_path / "guard.exemplars.safetensors").read_text() == "mine"


@pytest.mark.parametrize(("texts", "kind"), [(BAD, "unwanted"), ([*GOOD, "오늘은 흐리다."], "innocent")])
def test_texts_that_are_all_exemplars_leave_nothing_to_fit_on(data, models, tmp_path, texts, kind):
    unwanted = tmp_path / "unwanted.txt"
    unwanted.write_text("\n".join(texts), encoding="utf-8")
    with pytest.raises(ValueError, match=f"all {kind} texts are exemplars, too"):
        fit(data, tmp_path / "guard.toml", ["hate"], Wanted(encoder=str(models / "bert"), unwanted=str(unwanted)))


def test_the_neutral_answer_passes_at_the_rate_of_every_topic(words, tmp_path):
    file = guard_file(tmp_path, words)
    values = tomllib.loads(file.read_text(encoding="utf-8")) | {"neutral": "바 보"}
    file.write_text(tomli_w.dumps(values), encoding="utf-8")
    assert open_guard(file).neutral == "바 보", "its one word weighs no more than the threshold for 5 %"
    topics = policy(tmp_path, {"name": "sea", "action": "neutral", "words": "바다", "rate": 0.2})
    with option_error("neutral"):
        open_guard(file, policy=topics)


def test_a_model_that_cannot_be_steered_is_refused_before_anybody_asks(words, tokenizer_folder, tmp_path):
    saved_model(tmp_path / "bart", "bart", tokenizer_folder)
    (tmp_path / "calm.txt").write_text("the\nfilm\ngood\n", encoding="utf-8")
    topics = policy(tmp_path, {"name": "sea", "action": "neutral", "words": "바다", "bag_of_words": ["calm.txt"]})
    with pytest.raises(ValueError, match="can't be steered"):
        open_guard(guard_file(tmp_path, words), *gyebo.load(tmp_path / "bart"), policy=topics)
