"""What the budget of a comparison decides: candidates with the size "auto", and the tokens of a step."""

import json
import tomllib

import pytest
from rich.console import Console

from gyebo.compare.dry_run import dry_run
from gyebo.compare.recipe import changed, dump, parse
from gyebo.compare.report import equal_terms
from gyebo.compare.run import compare
from gyebo.config.errors import OptionError
from gyebo.jobs.pretraining.sizing import beta2_for

pytestmark = pytest.mark.usefixtures("no_pictures")
LEFT = [{"family": "gpt", "size": "auto"}, {"family": "gpt2", "size": "auto-larger"}, {"family": "gpt2", "size": "tiny"}]


@pytest.fixture
def seen(jobs, monkeypatch):
    """The options of every run that is begun."""
    found, pretrain = [], jobs.pretrain
    monkeypatch.setattr(jobs, "pretrain", lambda options, out, **more: found.append(options) or pretrain(options, out, **more))
    return found


def test_a_shape_is_chosen_once_and_for_all_seeds(tmp_path, jobs, recipe, seen, killed):
    jobs.kill_at = 6
    asked = recipe(candidates=LEFT)
    with pytest.raises(killed):
        compare(asked, tmp_path / "out", **jobs.functions)
    stored = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))["decided"]
    assert {name: (shape["size"], shape["model"]) for name, shape in stored.items()} == {
        "gpt-auto": ("mini", {"width": 101}),
        "gpt2-auto-larger": ("mini", {"width": 101}),
    }
    result = compare(asked, tmp_path / "out", resume=True, **jobs.functions)
    assert [event for event in jobs.events if event[0] == "size"] == [("size", "gpt", "gpt2")]
    assert {(one.family, one.size, one.model.get("width")) for one in seen} == {
        ("gpt", "mini", 101),
        ("gpt2", "mini", 101),
        ("gpt2", "tiny", None),
    }
    assert {one.train.batch_tokens for one in seen} == {1000}  # the same for all
    assert [(one.size, one.model) for one in result.recipe.candidates] == [("mini", {"width": 101})] * 2 + [("tiny", {})]
    assert '"size": "auto"' not in (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert 'size = "auto"' in (tmp_path / "out" / "recipe.toml").read_text(encoding="utf-8")


def test_the_largest_batch_is_that_of_all(tmp_path, jobs, recipe, seen):
    def decided(several, out, console=None):
        trains = [one.train.model_copy(update={"batch_tokens": {"gpt": 4096, "gpt2": 2048}[one.family]}) for one in several]
        return [one.model_copy(update={"train": train}) for one, train in zip(several, trains, strict=True)]

    left_open = lambda options: [] if "batch_tokens" in options.train.model_fields_set else ["train.batch_tokens"]  # noqa: E731
    compare(recipe(), tmp_path / "open", **jobs.but(left_open=left_open, decided=decided))
    assert {one.train.batch_tokens for one in seen} == {4096}
    seen.clear()
    compare(recipe(train={"batch_tokens": 512}), tmp_path / "named", **jobs.but(left_open=left_open, decided=decided))
    assert {one.train.batch_tokens for one in seen} == {512}


def test_each_is_trained_as_was_decided_for_it(tmp_path, jobs, recipe, seen):
    """The half-life of the second moment is that of the batch that all have."""

    def decided(several, out, console=None):
        found = []
        for one, batch, share in zip(several, (4096, 2048), (0.0, None), strict=True):
            train = one.train.model_copy(update={"batch_tokens": batch, "dropout_share": share})
            optim = one.optim.model_copy(update={"betas": (0.9, beta2_for(batch)), "lr": 2e-3})
            found.append(one.model_copy(update={"train": train, "optim": optim}))
        return found

    result = compare(recipe(), tmp_path / "open", **jobs.but(left_open=lambda options: ["optim.betas"], decided=decided))
    assert {(one.family, one.train.dropout_share) for one in seen} == {("gpt", 0.0), ("gpt2", None)}
    assert {(one.train.batch_tokens, one.optim.betas, one.optim.lr) for one in seen} == {(4096, (0.9, beta2_for(4096)), 2e-3)}
    told = dict(equal_terms(result))
    assert told["Optimiser"] == "AdamW, cosine schedule, a learning rate for each candidate"
    assert told["Batch"] == "4,096 tokens for each step"

    seen.clear()
    asked = recipe(sweep={"lr": [1e-3, 3e-3], "extend": 0})  # which chooses the rate
    compare(asked, tmp_path / "searched", **jobs.but(left_open=lambda options: ["optim.betas"], decided=decided))
    assert {one.optim.lr for one in seen} == {1e-3, 3e-3} and {one.train.batch_tokens for one in seen} == {4096}


def test_what_a_recipe_names_is_kept_even_where_it_is_the_default(recipe):
    asked = recipe(optim={"betas": [0.9, 0.95]})
    options = asked.options(asked.candidates[0], 0, None)
    assert "betas" in options.optim.model_fields_set and "batch_tokens" not in options.train.model_fields_set


def test_what_is_left_open_stays_so_in_the_stored_recipe(recipe):
    left, named = recipe(), recipe(train={"batch_tokens": 8192}, optim={"betas": [0.9, 0.95]})
    again, same = (parse(tomllib.loads(dump(one))) for one in (left, named))
    assert "batch_tokens" not in again.train.model_fields_set and "betas" not in again.optim.model_fields_set
    assert "batch_tokens" in same.train.model_fields_set and "betas" in same.optim.model_fields_set
    assert not changed(left, again) and not changed(named, same)


def test_a_candidate_with_another_optimiser_takes_no_option_of_the_first(recipe):
    candidates = [{"family": "gpt", "size": "tiny", "optim": {"name": "adafactor"}}, {"family": "gpt2", "size": "tiny"}]
    asked = recipe(candidates=candidates, optim={"betas": [0.9, 0.95]})
    for one in (asked, parse(tomllib.loads(dump(asked)))):
        other, first = (one.options(candidate, 0, None).optim for candidate in one.candidates)
        assert (other.betas, other.weight_decay, first.betas) == (None, 0.0, (0.9, 0.95))


def test_a_comparison_of_an_older_version_goes_on_as_it_began(tmp_path, jobs, recipe, seen):
    compare(recipe(), tmp_path / "out", **jobs.functions)
    seen.clear()
    compare(
        recipe(seeds=[0, 1, 2]), tmp_path / "out", resume=True, **jobs.but(left_open=lambda options: ["train.batch_tokens"])
    )
    assert not [event for event in jobs.events if event[0] == "size"]


def test_a_plan_has_the_shapes_too(jobs, recipe):
    candidates = [{"family": "gpt", "size": "auto"}, {"family": "gpt2", "size": "tiny"}]
    asked = recipe(candidates=candidates, budget={"steps": 9})
    plan = dry_run(asked, Console(quiet=True), measure=jobs.plan_steps, **jobs.functions)
    assert [event[:3] for event in jobs.events if event[0] == "plan"] == [("plan", "gpt", "mini"), ("plan", "gpt2", "tiny")]
    assert [one.size for one in plan.candidates] == ["mini", "tiny"]


@pytest.mark.parametrize(
    ("candidate", "line"),
    [
        ({"family": "lxmert", "size": "auto"}, "families that learn from plain text"),
        ({"family": "gpt2", "size": "auto", "model": {"heads": 2}}, "model.heads has no effect"),
    ],
)
def test_what_no_size_can_be_chosen_for_is_refused_before_anything(candidate, line, recipe):
    with pytest.raises((OptionError, ValueError), match=line):
        recipe(candidates=[candidate, {"family": "gpt", "size": "tiny"}])
