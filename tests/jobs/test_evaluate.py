"""`gyebo evaluate`: which text, which window, and what it says of a model without roles."""

import math

import pytest

from gyebo.interchange import load
from gyebo.jobs import evaluate as job
from gyebo.jobs.pretrain import pretrain


@pytest.fixture
def run(run_options, tmp_path):
    pretrain(run_options(2), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("하늘 정말 나무\nfilm\n", encoding="utf-8")
    return str(path)


def test_a_model_without_roles_is_charged_as_the_note_says(run, text, monkeypatch):
    whole = job.evaluate(str(run), [text])
    assert "note" not in whole

    def without(name):
        model, tokenizer = load(name)
        tokenizer.role_ids = {role: id for role, id in tokenizer.role_ids.items() if role not in ("bos", "eos")}
        return model, tokenizer

    monkeypatch.setattr("gyebo.jobs.opened.load", without)
    found = job.evaluate(str(run), [text])
    assert "no start and no end token" in found["note"] and "log2 of the 400 tokens" in found["note"]
    assert "the end of a document is not charged" in found["note"]
    assert found["tokens"] == whole["tokens"] - 2 and found["bytes"] == whole["bytes"]
    assert found["bits_per_byte"] > 2 * math.log2(400) / whole["bytes"]  # at least the two first tokens


def test_a_model_that_is_no_run_needs_a_corpus(run, text):
    (run / "run.toml").unlink()
    with pytest.raises(ValueError, match="is not a run of gyebo, so it has no held-out part: name a corpus"):
        job.evaluate(str(run), [])
    assert job.evaluate(str(run), [text])["documents"] == 2


def test_a_model_without_a_tokenizer_is_refused(run, text):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (run / name).unlink()
    with pytest.raises(ValueError, match="has no tokenizer"):
        job.evaluate(str(run), [text])


def test_a_run_whose_corpus_changed_is_not_scored_on_it(run_options, corpus, tmp_path):
    copy = tmp_path / "copy.txt"
    copy.write_text(corpus.read_text(encoding="utf-8"), encoding="utf-8")
    pretrain(run_options(2, data={"corpus": [str(copy)]}), tmp_path / "run")
    with copy.open("a", encoding="utf-8") as file:
        file.write("한 줄 더\n")
    with pytest.raises(ValueError, match="its corpus has changed since the run"):
        job.evaluate(str(tmp_path / "run"), [])


def test_the_floor_of_the_world_is_said(run_options, tmp_path):
    result = job.evaluate(_world_run(run_options, tmp_path), [])
    assert 0 < result["floor_bits_per_byte"] < result["bits_per_byte"]


def _world_run(run_options, tmp_path):
    options = run_options(1, data={"corpus": ["world:ko,200"], "valid_share": 0.2})
    pretrain(options, tmp_path / "world")
    return str(tmp_path / "world")
