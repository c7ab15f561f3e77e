"""Recipes: the shipped ones parse, what is wrong is said in one line, what is stored is what was asked."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gyebo.compare import recipe as recipes
from gyebo.compare.sections import Candidate, RecipeTask
from gyebo.config.finetune import FinetuneOptions, TuningOptions
from gyebo.config.run import ModelOptions, RunOptions, TrainOptions
from gyebo.models.family import find, model_class
from gyebo.nn.cost import Workload
from gyebo.objectives.table import OBJECTIVES

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
BASE = {
    "data": {"corpus": ["a.txt"]},
    "budget": {"tokens": 1e6},
    "candidates": [{"family": "gpt"}, {"family": "gpt2", "size": "tiny"}],
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_recipe_parses(path):
    recipe = recipes.load(path, corpus=["my.txt"])
    assert recipe.data.corpus == ["my.txt"]
    assert recipe.title
    for candidate in recipe.candidates:
        recipe.options(candidate, recipe.seeds[0], None)
        for task in recipe.tasks:
            recipe.finetuning(candidate, task, model="runs/x", seed=recipe.seeds[0], precision="float32")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_recipe_is_fair(path):
    """The same search for all and inside the budget, FLOPs, no dropout, three pretrainings (of the demo, for which a newcomer
    waits, two), and a size that the budget fits."""
    recipe = recipes.load(path, corpus=["my.txt"])
    assert recipe.budget.flops and recipe.sweep and recipe.sweep.counted and recipe.sweep.extend
    recipe.check_search()
    assert len(recipe.seeds) >= (2 if path.name == "demo.toml" else 3) and not recipe.tuning_seeds
    for candidate in recipe.candidates:
        assert candidate.optim.keys() <= {"name", "betas"}, "only the optimiser of its paper is a candidate's own"
        assert candidate.optim == next(each.optim for each in recipe.candidates if each.family == candidate.family)
        cls, vocabulary = model_class(candidate.family), recipe.tokenizer.vocab_size
        config = replace(cls.sizes[candidate.size], vocab_size=vocabulary, **candidate.model)
        assert {name: value for name, value in vars(config).items() if "dropout" in name and value} == {}
        with torch.device("meta"):
            model = cls(config)
        left = (1 - recipe.sweep.share) * recipe.budget.flops
        lengths = {"tokens": [recipe.context], "characters": [10] * recipe.context}
        heads = dict.fromkeys(OBJECTIVES[find(candidate.family).objective].heads, recipe.context)  # at the most
        tokens = left / (3 * model.flops(Workload(lengths=lengths, projected=heads)) / recipe.context)
        assert 2 * model.count_parameters() < tokens, (candidate.name, model.count_parameters(), tokens)


def test_recipes_are_shipped():
    assert {"demo.toml", "korean.toml", "reviews.toml"} <= {path.name for path in SHIPPED}
    assert recipes.load(next(path for path in SHIPPED if path.name == "demo.toml")).data.corpus[0].startswith("world:")


TASK = {"name": "world-sentiment"}
WRONG = [
    (
        {"candidates": [{"family": "gpt2"}, {"family": "bert"}]},
        "candidate bert-mini: BERT assigns no probability to text, so only",
    ),
    (
        {"candidates": [{"family": "bert"}, {"family": "roberta"}], "context": 64},
        "differ in family (bert, roberta), so they are shown",
    ),
    (
        {"candidates": [{"family": "bert"}, {"family": "bert", "size": "tiny"}]},
        "differ in size (mini, tiny), so they are shown",
    ),
    (
        {"candidates": [{"family": "bert", "objective": {"next_sentence": False}}, {"family": "bert", "name": "b"}]},
        "differ in objective.next_sentence",
    ),
    (
        {"candidates": [{"family": "bert", "objective": {"format": "doc-sentences"}}, {"family": "bert", "name": "b"}]},
        "the candidates differ in objective.format (doc-sentences, auto)",
    ),
    ({"tasks": "nsmc"}, "tasks must be [[tasks]] sections"),
    ({"tasks": [{"name": "nsmcc"}]}, "task 1: unknown task 'nsmcc'; did you mean nsmc?"),
    ({"tasks": [TASK, {"epochs": 2}]}, "task 2: name is missing"),
    ({"tasks": [TASK | {"epoch": 2}]}, "task 1: unknown option 'epoch'; did you mean epochs"),
    ({"tasks": [TASK | {"epochs": 0}]}, "task 1: epochs must be greater than 0"),
    ({"tasks": [TASK | {"epochs": 2, "steps": 9}]}, "task 1: epochs and steps exclude each other"),
    ({"tasks": [TASK | {"optim": {"warmpu": 0}}]}, "task 1: unknown option 'optim.warmpu'; did you mean optim.warmup"),
    ({"tasks": [TASK | {"lr": 1e-3, "optim": {"lr": 1e-3}}]}, "task 1: lr and optim.lr are the same option"),
    ({"tasks": [TASK | {"text": "review"}]}, "task 1: text has no effect on world-sentiment"),
    ({"tasks": [{"name": "classification"}]}, "task 1: classification needs data=FILE"),
    (
        {"tasks": [{"name": "klue-dst"}], "candidates": [{"family": "gpt"}, {"family": "dan"}]},
        "klue-dst is a dialogue-state task",
    ),
    (
        {"candidates": [{"family": "gpt"}, {"family": "bert", "tuning": {"lr": 1.0}}]},
        "bert-mini: BERT assigns no probability to text",
    ),
    (
        {"candidates": [{"family": "gpt"}, {"family": "gpt2", "tuning": {"lr": 1.0}}]},
        "gpt2-mini: tuning has no effect without a",
    ),
    (
        {"tasks": [TASK], "candidates": [{"family": "gpt"}, {"family": "bert", "tuning": {"epoch": 2}}]},
        "bert-mini: tuning: unknown",
    ),
    (
        {"tasks": [TASK], "candidates": [{"family": "gpt"}, {"family": "bert", "tuning": {"layers": "mix"}}]},
        "layers has no effect",
    ),
    (
        {
            "tasks": [TASK | {"optim": {"freeze": 1}}],
            "candidates": [{"family": "gpt"}, {"family": "elmo", "size": "tiny"}],
        },
        "optim.freeze has no effect on candidate elmo-tiny",
    ),
    (
        {"tasks": [TASK], "candidates": [{"family": "gpt"}, {"family": "bert", "tuning": {"data": "a"}}]},
        "tuning.data defines the",
    ),
    (
        {"tasks": [TASK], "candidates": [{"family": "gpt"}, {"family": "bert", "tuning": {"lr": 1.0, "optim": {"lr": 2.0}}}]},
        "bert-mini: tuning: lr and optim.lr are the same option",
    ),
    (
        {"tasks": [TASK], "candidates": [{"family": "gpt"}, {"family": "bert", "tuning": {"optim": 3}}]},
        "tuning.optim must be a section, but is 3 instead",
    ),
    ({"tasks": [TASK | {"called": "a/b"}]}, "task 1: called 'a/b'"),
    ({"tasks": [TASK, TASK | {"called": "World-Sentiment"}]}, "2 tasks are called 'world-sentiment'"),
    (
        {"tasks": [TASK], "candidates": [{"family": "gpt2", "name": "Linear"}, {"family": "bert"}]},
        "candidate Linear: this is the name of the baseline",
    ),
    ({"candidates": [{"family": "gtp"}, {"family": "gpt2"}]}, "candidate 1: unknown family 'gtp'; did you mean gpt"),
    (
        {"candidates": [{"family": "gpt"}, {"family": "gpt2", "size": "minni"}]},
        "candidate 2: unknown size 'minni' of gpt2; did you",
    ),
    (
        {"candidates": [{"family": "gpt", "sise": "tiny"}, {"family": "gpt2"}]},
        "candidate 1: unknown option 'sise'; did you mean size",
    ),
    ({"candidates": [{"family": "gpt2"}, {"family": "gpt2"}]}, "2 candidates are called 'gpt2-mini'"),
    ({"candidates": [{"family": "gpt", "name": "A"}, {"family": "gpt2", "name": "a"}]}, "2 candidates are called 'a'"),
    ({"candidates": [{"family": "gpt", "name": "../a"}, {"family": "gpt2"}]}, "candidate 1: name '../a'"),
    ({"candidates": [{"family": "gpt"}]}, "at least two"),
    ({"candidates": "gpt"}, "must be [[candidates]] sections"),
    (
        {"candidates": [{"family": "gpt", "optim": {"rl": 1}}, {"family": "gpt2"}]},
        "candidate gpt-mini: optim: unknown option 'rl'",
    ),
    (
        {"candidates": [{"family": "gpt", "optim": {"lr": -1}}, {"family": "gpt2"}]},
        "candidate gpt-mini: optim: lr must be",
    ),
    ({"budget": {"tokens": 1, "minutes": 2}}, "exactly one"),
    ({"budget": {}}, "exactly one"),
    ({"budgt": {"tokens": 1}}, "unknown option 'budgt'; did you mean budget?"),
    ({"optim": 3}, "optim must be a section [optim]"),
    ({"data": {"corpus": []}}, "no corpus"),
    ({"data": {"corpus": ["a"], "documnts": "line"}}, "did you mean data.documents"),
    ({"data": {"corpus": ["-"]}}, "stdin"),
    ({"seeds": []}, "seeds"),
    ({"seeds": [1, 1]}, "seeds must be different"),
    ({"seeds": [-1]}, "seeds must be different whole numbers from 0"),
    ({"sweep": {"lr": [1e-3]}}, "sweep.lr"),
    ({"sweep": {"lr": [1e-3, 1e-3]}}, "different positive learning rates"),
    ({"sweep": {"lr": [1e-3, 2e-3]}, "optim": {"lr": 1e-3}}, "lr in [optim] has no effect"),
    (
        {"sweep": {"lr": [1e-3, 2e-3]}, "candidates": [{"family": "gpt", "optim": {"lr": 1e-3}}, {"family": "gpt2"}]},
        "lr in candidate gpt-mini has no effect",
    ),
    ({"tokenizer": {"path": "tok", "vocab_size": 300}}, "tokenizer.path and tokenizer.vocab_size exclude each other"),
    ({"tokenizer": {"kind": "char"}}, "gyebo tokenizer train"),
]


@pytest.mark.parametrize(("change", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_what_is_wrong_is_said_in_one_line(change, line):
    with pytest.raises(ValueError) as caught:
        recipes.parse(BASE | change, "my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml: ")
    assert line in message
    assert "\n" not in message


def test_missing_files_and_bad_toml_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.toml"):
        recipes.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seeds = [")
    with pytest.raises(ValueError, match=r"bad\.toml: not valid TOML"):
        recipes.load(tmp_path / "bad.toml")


def test_what_is_stored_is_what_was_asked(tmp_path):
    asked = BASE | {"sweep": {"lr": [1e-3, 3e-3]}, "tokenizer": {"vocab_size": 500}, "seeds": [4]}
    recipe = recipes.parse(asked)
    (tmp_path / "r.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    assert recipes.load(tmp_path / "r.toml") == recipe


def test_settings_and_corpus_come_over_the_file(tmp_path):
    (tmp_path / "r.toml").write_text(recipes.dump(recipes.parse(BASE)), encoding="utf-8")
    recipe = recipes.load(tmp_path / "r.toml", corpus=["x.txt", "y.txt"], settings=["train.batch_tokens=512", "seeds=[7]"])
    assert (recipe.data.corpus, recipe.train.batch_tokens, recipe.seeds) == (["x.txt", "y.txt"], 512, [7])


def test_a_budget_that_is_set_takes_the_place_of_the_recipes(tmp_path):
    (tmp_path / "r.toml").write_text(recipes.dump(recipes.parse(BASE)), encoding="utf-8")
    assert recipes.load(tmp_path / "r.toml", settings=["budget.minutes=2"]).budget.model_dump(exclude_none=True) == {
        "minutes": 2
    }
    with pytest.raises(ValueError, match="exactly one"):
        recipes.load(tmp_path / "r.toml", settings=["budget.minutes=2", "budget.steps=3"])


def test_changes_are_named():
    before = recipes.parse(BASE)
    assert recipes.changed(before, recipes.parse(BASE)) == []
    other = recipes.parse(
        BASE | {"candidates": [{"family": "gpt"}, {"family": "gpt2", "size": "tiny", "model": {"layers": 3}}]}
    )
    assert recipes.changed(before, other) == ["candidates.2.model.layers was None, is 3"]
    assert recipes.changed(before, recipes.parse(BASE | {"seeds": [0]})) == ["seeds was [0, 1, 2], is [0]"]


@pytest.mark.parametrize(("family", "default"), [("bert", "auto"), ("roberta", "full-sentences")])
def test_a_default_that_is_written_out_is_no_difference(family, default):
    rows = [{"family": family, "name": "a", "objective": {"format": default, "rate": 0.3}}, {"family": family, "name": "b"}]
    assert recipes.parse(BASE | {"candidates": rows}).measured_by.metric == "masked_loss"


def test_options_of_a_run():
    asked = tomllib.loads(
        """
        context = 64
        [data]
        corpus = ["a.txt"]
        [budget]
        minutes = 3
        [optim]
        lr = 0.01
        clip = 2.0
        [tokenizer]
        vocab_size = 700
        [[candidates]]
        family = "gpt"
        size = "tiny"
        optim.lr = 0.02
        model.layers = 3
        [[candidates]]
        family = "gpt2"
        """
    )
    recipe = recipes.parse(asked)
    own = recipe.options(recipe.candidates[0], 5, "tok")
    assert (own.family, own.size, own.seed, own.tokenizer, own.context) == ("gpt", "tiny", 5, "tok", 64)
    assert (own.optim.lr, own.optim.clip, own.model, own.budget.minutes) == (0.02, 2.0, {"layers": 3}, 3)
    fixed = recipe.options(recipe.candidates[1], 5, None, steps=9, precision="float32", lr=0.5)
    assert (fixed.budget.steps, fixed.budget.minutes, fixed.train.precision) == (9, None, "float32")
    assert (fixed.optim.lr, fixed.vocab_size, fixed.tokenizer) == (0.5, 700, None)


def test_families_without_a_likelihood_are_those_whose_runs_have_no_bits_per_byte():
    from gyebo.models.family import FAMILIES
    from gyebo.objectives.table import OBJECTIVES

    for family in FAMILIES.values():
        facts = OBJECTIVES[family.objective]
        if facts.kind:
            with pytest.raises(ValueError, match="learns from sentence pairs"):
                Candidate(family=family.name, size="tiny")
            continue
        candidate = Candidate(family=family.name, size="tiny")
        assert candidate.likelihood == (facts.metric == "bits_per_byte"), family.name


def test_a_task_of_a_recipe_repeats_no_option_of_a_finetuning():
    from gyebo.config.finetune import FinetuneOptions, TaskOptions, TuningOptions

    shared = set(TuningOptions.model_fields) | set(TaskOptions.model_fields)
    assert set(RecipeTask.model_fields) - shared == {"called", "lr"}
    assert not shared & set(RecipeTask.__annotations__)
    assert not set(TuningOptions.model_fields) & set(FinetuneOptions.__annotations__)
    for name in ("device", "precision"):
        assert FinetuneOptions.model_fields[name].annotation == TrainOptions.model_fields[name].annotation


def test_recipes_are_read_and_checked_without_torch(tmp_path):
    (tmp_path / "r.toml").write_text(recipes.dump(recipes.parse(BASE | {"tasks": [TASK]})), encoding="utf-8")
    code = "import sys; from gyebo.compare.recipe import load; load(sys.argv[1]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "r.toml")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_decoders_are_compared_on_what_is_written():
    tasks = [{"name": "world-dialogue"}, {"name": "world-sentiment", "answer": "text"}]
    recipe = recipes.Recipe.model_validate(BASE | {"tasks": tasks})
    for task, answer in zip(recipe.tasks, (None, "text"), strict=True):
        options = recipe.finetuning(recipe.candidates[1], task, model="runs/x", seed=0, precision="float32", context=64)
        assert options.answer == answer and options.max_length == 64


def test_options_of_a_finetuning():
    asked = tomllib.loads(
        """
        [data]
        corpus = ["a.txt"]
        [budget]
        steps = 3
        [train]
        device = "cpu"
        [[candidates]]
        family = "gpt2"
        [[candidates]]
        family = "bert"
        objective = { rate = 0.4 }
        [[tasks]]
        name = "classification"
        called = "reviews"
        data = "r.csv"
        text = "review"
        train_share = 0.5
        epochs = 2.5
        patience = 3
        lr = 1e-4
        optim = { layer_decay = 0.9 }
        """
    )
    recipe = recipes.parse(asked)
    assert recipe.options(recipe.candidates[1], 0, None).objective == {"rate": 0.4}
    options = recipe.finetuning(recipe.candidates[1], recipe.tasks[0], model="runs/bert", seed=7, precision="bfloat16")
    assert (options.model, options.seed, options.precision, options.device) == ("runs/bert", 7, "bfloat16", "cpu")
    assert (options.epochs, options.patience, options.optim.lr, options.optim.layer_decay) == (2.5, 3, 1e-4, 0.9)
    assert options.task.model_dump(exclude_none=True) == {
        "name": "classification", "data": "r.csv", "text": "review", "train_share": 0.5,
    }  # fmt: skip
    again = recipes.parse(tomllib.loads(recipes.dump(recipe)))
    assert again == recipe
    other = asked | {"tasks": [asked["tasks"][0] | {"epochs": 3}]}
    assert recipes.changed(recipe, recipes.parse(other)) == ["tasks.1.epochs was 2.5, is 3.0"]


def test_a_candidate_may_learn_the_tasks_in_its_own_way():
    task = TASK | {"epochs": 3, "lr": 1e-3, "optim": {"layer_decay": 0.9, "warmup": 10}}
    ulmfit = {"family": "ulmfit", "tuning": {"steps": 40, "gradient_windows": 2, "optim": {"lr": 1e-2, "layer_decay": 0.67}}}
    elmo = {"family": "elmo", "tuning": {"lr": 5e-3, "layers": "top", "optim": {"layer_decay": 1.0}}}
    recipe = recipes.parse(BASE | {"candidates": [{"family": "bert"}, ulmfit, elmo], "tasks": [task]})
    for source in (recipe, recipes.parse(tomllib.loads(recipes.dump(recipe)))):
        bert, own, features = (
            source.finetuning(c, source.tasks[0], model="runs/x", seed=0, precision="float32") for c in source.candidates
        )
        assert (bert.epochs, bert.steps, bert.optim.lr, bert.optim.layer_decay) == (3, None, 1e-3, 0.9)
        assert (own.epochs, own.steps, own.gradient_windows, own.optim.lr) == (None, 40, 2, 1e-2)
        assert (own.optim.layer_decay, own.optim.warmup) == (0.67, 10)  # what it does not name stays the task's
        assert (features.epochs, features.layers, features.optim.lr, features.optim.layer_decay) == (3, "top", 5e-3, 1.0)


def test_tasks_of_the_command_take_the_place_of_the_recipes(tmp_path):
    mine = {"name": "classification", "data": "a.csv", "text": "review"}
    (tmp_path / "r.toml").write_text(recipes.dump(recipes.parse(BASE | {"tasks": [TASK, mine]})), encoding="utf-8")
    path = tmp_path / "r.toml"
    found = recipes.load(path, tasks=["classification=b.csv", "world-entailment"]).tasks
    assert [(task.name, task.data, task.text) for task in found] == [
        ("classification", "b.csv", "review"),
        ("world-entailment", None, None),
    ]
    with pytest.raises(ValueError, match="unknown task 'sentiment'"):
        recipes.load(path, tasks=["sentiment"])


def test_options_of_a_fine_tuning_and_of_a_model_stand_once():
    """A recipe's sections inherit them: what is added to one is there in the other, with its default and its description."""
    assert issubclass(RecipeTask, TuningOptions) and issubclass(FinetuneOptions, TuningOptions)
    assert issubclass(Candidate, ModelOptions) and issubclass(RunOptions, ModelOptions)
    for shared, heirs in ((TuningOptions, (RecipeTask, FinetuneOptions)), (ModelOptions, (Candidate, RunOptions))):
        for heir in heirs:
            assert not set(shared.model_fields) & set(heir.__annotations__)
