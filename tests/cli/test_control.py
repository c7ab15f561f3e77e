"""`gyebo attribute` and what `gyebo generate` steers to."""

import json

import pytest

from tests.jobs.tuning_files import reviews

MINE = ["--text", "review", "--label", "mood", "--lr", "0.01", "--device", "cpu"]


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "bag.txt"
    path.write_text("good\nnothing-like-this\n", encoding="utf-8")
    return path


def test_an_attribute_model_steers_the_model_that_it_was_trained_for(cli, trained, bag, tmp_path):
    out = tmp_path / "mood"
    found = cli("attribute", trained, "classification", "--data", reviews(tmp_path, 100), *MINE, "-o", out)
    assert found.code == 0, found.err
    scores, following = found.out.splitlines()
    labels = json.loads((out / "attribute.json").read_text(encoding="utf-8"))["labels"]
    assert scores.startswith(f"{', '.join(labels)}: accuracy ") and "on valid" in scores
    assert following == f'Next: gyebo generate {trained} --attribute "{out}:{labels[-1]}"'
    words = ["generate", trained, "--prompt", "나무", "--max-new-tokens", "6", "--samples", "3", "--json"]
    plain = cli(*words)
    steered = cli(*words, "--attribute", f"{out}:{labels[0]}", "--bag-of-words", f"{bag}=-1", "--strength", "0..9")
    assert steered.code == 0 and "1 words are no token of this model's vocabulary" in steered.err
    answers = [[json.loads(line)["ids"] for line in found.out.splitlines()] for found in (plain, steered)]
    assert len(answers[1]) == 3 and answers[0] != answers[1]


def test_one_answer_is_streamed(cli, trained, bag):
    words = ["generate", trained, "--prompt", "나무", "--max-new-tokens", "8", "--bag-of-words", bag, "--strength", "20"]
    streamed = cli(*words)
    whole = json.loads(cli(*words, "--json").out)
    assert streamed.code == 0 and streamed.out == f"나무{whole['text']}\n"


def test_errors(refused, trained, bag, tmp_path):
    words = ["generate", trained, "--prompt", "나무"]
    assert "--strength has no effect without --bag-of-words or --attribute" in refused(*words, "--strength", "2")
    assert "--set has no effect without --bag-of-words or --attribute" in refused(*words, "--set", "window=2")
    assert "--beams 2 can't be steered: sample, or use --greedy" in refused(*words, "--bag-of-words", bag, "--beams", "2")
    assert "no such bag of words" in refused(*words, "--bag-of-words", tmp_path / "no.txt")
    assert "--attribute needs DIR:CLASS" in refused(*words, "--attribute", "nothing")
    assert "unknown setting of control 'stepsiez'; did you mean stepsize" in refused(
        *words, "--bag-of-words", bag, "--set", "stepsiez=2"
    )
    assert "must be greater than 0, but is" in refused("attribute", trained, "nsmc", "-o", tmp_path / "x", "--lr", "-1")
