"""What a budget decides: the tokens of a step, and the size "auto"."""

import dataclasses
import json
import math
from io import StringIO

import pytest
import torch
from rich.console import Console

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.run import BudgetOptions, OptimOptions, RunOptions
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining import by_budget, sizing
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.by_budget import decided_for
from gyebo.jobs.pretraining.planning import dry_run
from gyebo.jobs.run_directory import options_of
from gyebo.models.family import FAMILIES, model_class
from gyebo.objectives import table

ABLE = [name for name, family in FAMILIES.items() if table.find(family.objective).plain_text]
MINUTE = 2.4e12  # FLOPs on a machine of 100 GFLOP/s, as below


@pytest.fixture
def asked(corpus, tokenizer_folder, monkeypatch):
    """A function: options of a run with the size auto, on a machine of 100 GFLOP/s."""
    monkeypatch.setattr(by_budget, "matmul_rate", lambda device, precision: 1e11)

    def make(family, size="auto", *, tokenizer=str(tokenizer_folder), train=None, **budget):
        values = {
            "family": family,
            "size": size,
            "tokenizer": tokenizer,
            "data": {"corpus": [str(corpus)], "valid_share": 0.05},
        }
        return RunOptions.model_validate(
            {**values, "train": {"device": "cpu", "precision": "float32", **(train or {})}, "budget": budget}
        )

    return make


def read_by(options, out):
    """Tokens that the budget pays for, by the FLOPs that a run counts."""
    setup = set_up(options, out, None)
    return options.budget.flops * setup.tokens_per_step / setup.flops_per_step(setup.outline())


@pytest.mark.parametrize("family", ABLE)
def test_every_family_can_be_made_narrow_and_wide(family):
    cls = model_class(family)
    for width in (64, 384):
        with torch.device("meta"):
            model = cls(dataclasses.replace(cls.sizes["mini"], **sizing.resized(cls.sizes["mini"], width)))
        assert model.config.width == width


@pytest.mark.parametrize("family", ["lstm", "bert", "t5", "transformer_xl"])
def test_no_other_width_reads_a_better_number_of_tokens(family, asked, tmp_path):
    found = decided_for([asked(family, size, flops=2e13) for size in ("auto-smaller", "auto", "auto-larger")], tmp_path)
    assert {options.size for options in found} == {"mini"}
    off = [abs(math.log(read_by(options, tmp_path) / sizing.tokens_for(2e13))) for options in found]
    smaller, best, larger = (options.model["width"] for options in found)
    assert smaller < best < larger and off[1] <= min(off)


def test_a_larger_budget_never_gives_a_smaller_model(asked, tmp_path):
    (widths,) = zip(*[[decided_for([asked("gpt2", flops=flops)], tmp_path)[0].model["width"]] for flops in (1e9, 1e14, 1e15)])
    assert list(widths) == sorted(widths) and widths[0] == min(sizing.DEPTHS) < widths[-1]


def test_a_shape_keeps_what_the_family_is(asked, tmp_path):
    t5, elmo, lstm = (decided_for([asked(family, flops=1e15)], tmp_path)[0].model for family in ("t5", "elmo", "lstm"))
    assert t5["inner"] == 4 * t5["width"] == 4 * t5["heads"] * t5["head_width"] and t5["layers"] == t5["decoder_layers"]
    assert elmo["cells"] == 2 * elmo["width"] and "layers" not in elmo and set(lstm) == {"width"}


def test_budgets_in_other_units_mean_the_same(asked, tmp_path):
    by_flops = decided_for([asked("gpt2", flops=10 * MINUTE)], tmp_path)[0]
    tokens = read_by(by_flops, tmp_path)
    others = [asked("gpt2", minutes=10), asked("gpt2", tokens=tokens), asked("gpt2", steps=round(tokens / 8192))]
    assert {options.model["width"] for options in decided_for(others[:1], tmp_path)} == {by_flops.model["width"]}
    for options in others[1:]:
        assert decided_for([options], tmp_path)[0].model == by_flops.model


def test_epochs_are_counted_by_the_text(asked, tmp_path, corpus):
    size = len(corpus.read_bytes())
    budget = by_budget.budget_of(asked("gpt2", epochs=3))
    assert budget.flops is None and budget.tokens == pytest.approx(
        3 * size / by_budget.BYTES_OF_A_TOKEN, rel=0.12
    )  # 5 % held out


def test_what_is_named_stays(asked, tmp_path, corpus):
    left, named = (
        asked("gpt2", tokenizer=None, flops=1e13),
        asked("gpt2", tokenizer=None, train={"batch_tokens": 512}, flops=1e13),
    )
    named = named.model_copy(update={"vocab_size": 600, "model": {"layers": 3}})
    left, named = (decided_for([options], tmp_path / name)[0] for name, options in (("left", left), ("named", named)))
    assert left.vocab_size == sizing.vocabulary_for(1e13) and left.train.batch_tokens != 8192
    assert (named.vocab_size, named.train.batch_tokens, named.model["layers"]) == (600, 512, 3)


@pytest.mark.parametrize(
    ("family", "more", "line"),
    [
        ("vqvae", {}, "families that learn from plain text"),
        ("transformer", {}, "families that learn from plain text"),
        ("gpt2", {"model": {"width": 64}}, "model.width has no effect"),
        ("gpt2", {"start_from": "runs/first"}, "no effect with start_from=runs/first"),
    ],
)
def test_what_it_can_not_choose_for(family, more, line, asked, tmp_path):
    with pytest.raises(OptionError, match=line):
        decided_for([asked(family, flops=1e10).model_copy(update=more)], tmp_path)


def test_a_run_is_begun_resumed_and_refused(asked, tmp_path, monkeypatch):
    out, options = tmp_path / "run", asked("gpt2", train={"batch_tokens": 256}, tokens=2048)
    console = Console(file=(said := StringIO()), width=200)
    dry_run(options, tmp_path / "plan", console)
    assert "by the budget: width 64, heads 2, layers 2, betas 0.9 and" in said.getvalue()
    result = pretrain(options, out)
    stored = toml.read(out / "run.toml")["options"]
    assert stored["size"] == "mini" and stored["model"] == {"width": 64, "heads": 2, "layers": 2}
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["n_embd"] == 64
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "model.width=64" in card and "auto" not in card.split("gyebo pretrain", 1)[1].split("\n", 1)[0]

    monkeypatch.setattr(sizing, "REFERENCE_TOKENS", 1.0)  # another version, which would choose another shape
    assert pretrain(options, out, resume=True) == result
    more = options.model_copy(update={"budget": options.budget.model_copy(update={"tokens": 4096.0})})
    assert pretrain(more, out, resume=True).steps == 2 * result.steps
    with pytest.raises(OptionError, match="model.layers"):  # what is typed is not overwritten
        pretrain(options.model_copy(update={"model": {"layers": 3}}), out, resume=True)
    with pytest.raises(OptionError, match="was begun with the size auto: name that"):
        pretrain(options.model_copy(update={"size": "auto-larger"}), out, resume=True)
    pretrain(RunOptions.model_validate(options.model_dump() | {"size": "tiny"}), tmp_path / "tiny")
    with pytest.raises(OptionError, match="was begun with the size tiny"):
        pretrain(options, tmp_path / "tiny", resume=True)


@pytest.mark.parametrize("family", ["gpt2", "elmo"])
def test_a_run_has_enough_steps_unless_they_would_be_too_small(family, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(by_budget, "FEWEST_BATCHES", 1)
    for tokens, expected in ((1e4, 512), (4000 * 1024, 1024), (4000 * 4096, 4096)):
        (found,) = decided_for([asked(family, "tiny", tokens=tokens)], tmp_path)
        assert (found.train.batch_tokens, found.size, found.model) == (expected, "tiny", {})
    assert by_budget.left_open(asked("gpt2", "tiny", steps=100)) == []
    named = asked("gpt2", "tiny", train={"batch_tokens": 64}, flops=1e9)
    assert by_budget.left_open(named) == ["optim.betas", "train.dropout_share", "optim.lr"]


def test_a_batch_has_at_least_a_row_and_the_text_several_batches(asked, tmp_path):
    (longer,) = decided_for([asked("gpt2", "mini", tokens=1e4).model_copy(update={"context": 1024})], tmp_path)
    assert longer.train.batch_tokens == 2048
    (many,) = decided_for([asked("gpt2", "mini", tokens=1e12)], tmp_path)
    positions = set_up(many, tmp_path, None).rows.plan.positions
    assert positions / by_budget.FEWEST_BATCHES >= many.train.batch_tokens or many.train.batch_tokens == 512


def test_a_step_has_two_rows_of_a_model_that_reads_and_writes(asked, tmp_path):
    (found,) = decided_for([asked("bart", "mini", tokens=1e4)], tmp_path)
    assert set_up(found, tmp_path, None).batch_rows >= 2


def test_the_optimisers_own_products_do_not_count_by_the_first_looks_batch(asked, tmp_path):
    plain, muon = (
        asked("gpt2", flops=1e14).model_copy(update={"optim": OptimOptions(name=name)}) for name in ("adamw", "muon")
    )
    widths = {decided_for([options], tmp_path)[0].model["width"] for options in (plain, muon)}
    assert len(widths) == 1


def test_half_of_a_gradient_is_forgotten_after_as_many_tokens_whatever_the_batch(asked, tmp_path):
    for batch in (256, 1024):
        (found,) = decided_for([asked("gpt2", "tiny", train={"batch_tokens": batch}, tokens=1e5)], tmp_path)
        assert found.optim.betas[1] ** (sizing.HALF_LIFE / batch) == pytest.approx(0.5, rel=0.01)
    assert sizing.beta2_for(65_536) == 0.95  # the usual one
    named = asked("gpt2", "tiny", tokens=1e5)
    named = named.model_copy(update={"optim": OptimOptions(betas=(0.9, 0.98))})
    assert decided_for([named], tmp_path)[0].optim.betas == (0.9, 0.98)


def test_there_is_no_dropout_while_no_text_is_read_twice(asked, tmp_path):
    positions = set_up(asked("gpt2", "tiny", steps=1), tmp_path, None).rows.plan.positions
    for family, share, expected in (("gpt2", 0.9, 0.0), ("gpt2", 1.5, None), ("rnn", 0.9, 0.0)):
        (found,) = decided_for([asked(family, "tiny", tokens=share * positions)], tmp_path)
        assert found.train.dropout_share == expected
    without = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}
    (found,) = decided_for([asked("gpt2", "tiny", tokens=1e4).model_copy(update={"model": without})], tmp_path)
    assert found.train.dropout_share is None


def test_narrow_models_learn_at_a_higher_rate(asked, tmp_path):
    """Inversely to the width, up to four times the rate of 256; wider models at the usual one; masked ones by the root."""
    for width, rate in ((32, 4e-3), (64, 4e-3), (128, 2e-3), (256, None)):
        model = {"width": width, "layers": 1, "heads": 2}
        (found,) = decided_for([asked("gpt2", "tiny", tokens=1e4).model_copy(update={"model": model})], tmp_path)
        assert found.optim.lr == rate
    (masked,) = decided_for(
        [asked("bert", "tiny", tokens=1e4).model_copy(update={"model": {"width": 64, "heads": 2}})], tmp_path
    )
    assert masked.optim.lr == 2e-3
    named = asked("gpt2", "tiny", tokens=1e4).model_copy(update={"optim": OptimOptions(lr=5e-4)})
    assert decided_for([named], tmp_path)[0].optim.lr == 5e-4


def test_the_recipe_published_leaves_to_the_paper_what_it_says(asked):
    published = asked("bert", "tiny", tokens=1e4).model_copy(update={"recipe": "published"})
    assert by_budget.left_open(published) == ["train.batch_tokens"]


def test_a_batch_is_kept_on_resuming(asked, tmp_path):
    options = asked("gpt2", "tiny", tokens=2048).model_copy(update={"model": {"layers": 1}})
    result = pretrain(options, tmp_path / "run")
    record = toml.read(tmp_path / "run" / "run.toml")
    assert record["options"]["train"]["batch_tokens"] == 512
    assert record["by_budget"] == ["train.batch_tokens", "optim.betas", "train.dropout_share", "optim.lr"]
    assert "--batch-tokens 512" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    more = options.model_copy(update={"budget": options.budget.model_copy(update={"tokens": 4000.0 * 1024 * 4})})
    assert by_budget.as_decided(more, options_of(record, tmp_path), record).train.batch_tokens == 512
    assert pretrain(options, tmp_path / "run", resume=True) == result
    in_steps = options.model_copy(update={"budget": BudgetOptions(steps=result.steps + 2)})
    assert pretrain(in_steps, tmp_path / "run", resume=True).steps == result.steps + 2
