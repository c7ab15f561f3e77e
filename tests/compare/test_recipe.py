"""Recipes: the shipped ones parse, what is wrong is said in one line, what is stored is what was asked."""

import tomllib
from pathlib import Path

import pytest

from gyebo.compare import recipe as recipes

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


def test_recipes_are_shipped():
    assert {"demo.toml", "korean.toml"} <= {path.name for path in SHIPPED}
    assert recipes.load(next(path for path in SHIPPED if path.name == "demo.toml")).data.corpus[0].startswith("world:")


WRONG = [
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
    ({"sweep": {"lr": [1e-3, 1e-3]}}, "different positive rates"),
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


def test_changes_are_named():
    before = recipes.parse(BASE)
    assert recipes.changed(before, recipes.parse(BASE)) == []
    other = recipes.parse(
        BASE | {"candidates": [{"family": "gpt"}, {"family": "gpt2", "size": "tiny", "model": {"layers": 3}}]}
    )
    assert recipes.changed(before, other) == ["candidates.2.model.layers was None, is 3"]
    assert recipes.changed(before, recipes.parse(BASE | {"seeds": [0]})) == ["seeds was [0, 1, 2], is [0]"]


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
