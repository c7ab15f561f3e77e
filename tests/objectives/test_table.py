"""The table of objectives: a row is all that a new one needs, from training to the report of a comparison."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from gyebo.api.pretrain import pretrain as verb
from gyebo.cli.pretrain import tell
from gyebo.compare.conclusion import conclusion
from gyebo.compare.recipe import parse
from gyebo.compare.run import compare
from gyebo.evaluation import measures
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.pretrain import pretrain
from gyebo.models.family import FAMILIES
from gyebo.objectives.facts import resolve
from gyebo.objectives.table import OBJECTIVES, find, of_use, words_of
from tests.objectives.toy import FACTS
from tests.training.test_resume import final_weights, interrupted


@pytest.fixture
def toy(monkeypatch):
    """A row from outside, which GPT learns by for a while."""
    monkeypatch.setitem(OBJECTIVES, FACTS.name, FACTS)
    monkeypatch.setitem(FAMILIES, "gpt", replace(FAMILIES["gpt"], objective=FACTS.name))


@pytest.mark.parametrize("facts", OBJECTIVES.values(), ids=lambda facts: facts.name)
def test_what_a_row_names_is_there(facts):
    module = facts.load()
    if not facts.kind:
        assert callable(module.build) and set(facts.shown_by) <= set(module.Options.model_fields)
        assert set(facts.elsewhere) <= set(module.Options.model_fields)
        assert callable(resolve(facts.evaluate)) and facts.metric in facts.card_metrics
    assert facts.samples is None or callable(resolve(facts.samples.function))
    assert facts.with_teacher is None or OBJECTIVES[facts.with_teacher].needs_teacher


def test_a_unit_is_told_apart_from_the_name_of_a_task():
    with pytest.raises(ValueError, match="unit must be several words"):
        replace(FACTS, unit="share")


def test_a_student_learns_by_the_objective_that_has_a_teacher():
    assert find("masked", teacher=True) is OBJECTIVES["distillation"]
    with pytest.raises(ValueError, match="no form with a teacher"):
        find("causal", teacher=True)


def test_a_model_is_used_as_its_family_but_where_its_config_shows_another_objective():
    """So a run that learned to write captions says: gyebo caption."""
    assert of_use("causal", OBJECTIVES["span-corruption"]) is OBJECTIVES["causal"]
    assert of_use("text-to-image", OBJECTIVES["image-to-text"]).next_command == "caption {out} PICTURE"


def test_a_metric_is_called_by_its_unit():
    assert words_of("masked_loss") == "nats per masked token"
    assert words_of("other") == "other"  # of a row that is no longer there


def test_a_row_from_outside_is_trained_resumed_and_evaluated(toy, run_options, tmp_path, monkeypatch, capsys):
    options = run_options(6, family="gpt", objective={"ahead": 3})
    result = pretrain(options, tmp_path / "whole")
    interrupted(options, tmp_path / "again", 3, monkeypatch)
    assert pretrain(options, tmp_path / "again", resume=True).valid == result.valid
    for name, tensor in final_weights(tmp_path / "whole").items():
        assert torch.equal(tensor, final_weights(tmp_path / "again")[name]), name
    assert result.metric == "ahead_share" and result.samples == ["guess 0", "guess 1", "guess 2"]
    assert "floor_bits_per_byte" not in result.valid
    assert evaluate(str(tmp_path / "whole")) == result.valid
    card = (tmp_path / "whole" / "README.md").read_text(encoding="utf-8")
    assert "ahead share" in card and "AutoModel.from_pretrained" in card and "share of tokens foreseen during training" in card
    tell(verb(options, out=tmp_path / "whole", resume=True), json=False)
    told = capsys.readouterr().out
    assert "share of tokens foreseen on held-out text" in told and f"Next: gyebo embed {tmp_path / 'whole'} ..." in told


def test_another_text_is_measured_with_the_options_that_the_row_names(toy, run_options, corpus, tmp_path, monkeypatch):
    pretrain(run_options(2, family="gpt", objective={"ahead": 3}), tmp_path / "run")
    asked = []
    nothing = measures.Evaluation(metrics={}, parts=np.zeros((0, 2)))
    keep = lambda model, rows, **rest: asked.append(rows.objective.ahead) or nothing  # noqa: E731
    monkeypatch.setattr(measures, "resolve", lambda place: keep)
    evaluate(str(tmp_path / "run"))
    evaluate(str(tmp_path / "run"), [str(corpus)])
    monkeypatch.setitem(OBJECTIVES, FACTS.name, replace(FACTS, elsewhere={"ahead": 5}))
    assert "note" not in evaluate(str(tmp_path / "run"), [str(corpus)])
    monkeypatch.setitem(OBJECTIVES, FACTS.name, replace(FACTS, note="a share"))
    assert evaluate(str(tmp_path / "run"))["note"] == "a share"
    assert asked == [3, 2, 5, 3]


def test_a_model_without_a_head_that_the_row_names_is_refused(toy, run_options, tmp_path, monkeypatch):
    pretrain(run_options(2, family="gpt"), tmp_path / "run")
    monkeypatch.setitem(OBJECTIVES, FACTS.name, replace(FACTS, heads=("lm", "other")))
    with pytest.raises(ValueError, match=r"family GPT has no head \(other\) for what it learned: give its pretrained model"):
        evaluate(str(tmp_path / "run"))


def test_a_row_from_outside_ranks_and_is_reported(toy, corpus, tokenizer_folder, tmp_path):
    shape = {"family": "gpt", "size": "tiny", "model": {"layers": 1, "width": 16, "heads": 1}}
    values = {
        "seeds": [0],
        "context": 32,
        "data": {"corpus": [str(corpus)], "valid_share": 0.02},
        "tokenizer": {"path": str(tokenizer_folder)},
        "budget": {"steps": 4},
        "train": {"batch_tokens": 256, "precision": "float32", "device": "cpu"},
        "sweep": {"lr": [1e-9, 1e-2], "share": 2.0, "counted": False, "extend": 0},
        "candidates": [shape | {"name": "far", "objective": {"ahead": 4}}, shape | {"name": "near", "objective": {"ahead": 1}}],
    }
    result = compare(parse(values), tmp_path / "out")
    assert result.ok and result.ranked_by == result.on_text == "share of tokens foreseen" and result.floor is None
    means = [row.summary.mean for row in result.rows]
    assert means == sorted(means, reverse=True) and means[0] > means[1]
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [entry["ahead_share"]["mean"] for entry in stored["candidates"]] == means
    assert stored["differences"][0]["mean"] < 0  # from the leader, which has more
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "it reaches" in conclusion(replace(result, rows=result.rows[:1]))[1]
    assert "| Share of tokens foreseen, held out |" in table and "| Tokens counted |" in table
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "What they foresee" in page and "guess 0" in page and "(share of tokens foreseen)" in " ".join(page.split())
    assert "further right is better" in page and "Bits per byte" not in page
    assert f"gyebo embed out/runs/{result.rows[0].name}/seed-0 texts.txt" in page
    for row in result.rows:
        assert row.sweep.lr == max(row.sweep.trials, key=lambda trial: trial.score).lr


def test_what_ranks_only_where_all_are_shown_the_same_is_refused_elsewhere(toy, monkeypatch, corpus):
    monkeypatch.setitem(OBJECTIVES, FACTS.name, replace(FACTS, shown_by={"ahead": 2}))
    gpt = {"family": "gpt", "size": "tiny"}
    values = {"data": {"corpus": [str(corpus)]}, "budget": {"steps": 1}}
    with pytest.raises(ValueError, match=r"the candidates differ in objective.ahead \(2, 3\)"):
        parse(values | {"candidates": [gpt, gpt | {"name": "b", "objective": {"ahead": 3}}]})
    other = {"family": "bert", "size": "tiny"}
    with pytest.raises(ValueError, match=r"differ in family \(gpt, bert\)"):
        parse(values | {"candidates": [gpt, other]})
    monkeypatch.setitem(OBJECTIVES, FACTS.name, replace(FACTS, ranks=False))
    with pytest.raises(ValueError, match="GPT .* so only a task can rank it"):
        parse(values | {"candidates": [gpt, gpt | {"name": "b"}]})
