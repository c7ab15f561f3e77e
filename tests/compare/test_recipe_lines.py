"""What is wrong with a recipe is said with the file, the line and the field; what was typed beside it has no line."""

import pytest

from gyebo.compare import recipe as recipes
from gyebo.compare.run import compare_files

TEXT = """title = "lines"
seeds = [0, 1]
[data]
corpus = ["a.txt"]
[budget]
tokens = 1e6
[optim]
weight_decay = 0.1
[[candidates]]
family = "gpt"
[[candidates]]
family = "gpt2"
size = "tiny"
optim.clip = 1.0
[[tasks]]
name = "world-sentiment"
epochs = 2
"""


@pytest.fixture
def wrong(tmp_path):
    """A function (part of the recipe, what stands there instead, options of `load`) -> the message without its folder."""

    def message(before, after, **options):
        assert TEXT.count(before) == 1
        (tmp_path / "r.toml").write_text(TEXT.replace(before, after), encoding="utf-8")
        with pytest.raises(ValueError) as caught:
            recipes.load(tmp_path / "r.toml", **options)
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


@pytest.mark.parametrize(
    ("before", "after", "line", "message"),
    [
        ("tokens = 1e6", "tokens = -1", 6, "budget.tokens must be greater than 0"),
        ("tokens = 1e6", "tokens = 1e6\nminutes = 2", 5, "the budget needs exactly one of"),
        ("[data]", "[dta]", 3, "unknown option 'dta'; did you mean data?"),
        ('corpus = ["a.txt"]', 'documents = "line"', 3, "no corpus"),
        ('corpus = ["a.txt"]', 'corpus = [\n  "a.txt", # one\n  3,\n]', 6, "data.corpus.1 must be a valid string"),
        ('corpus = ["a.txt"]', 'corpus = ["-"]', 4, "stdin (-) can't be read again"),
        ("[0, 1]", '[0, "a"]', 2, "seeds.1 must be a valid integer"),
        ("[0, 1]", "[1, 1]", 2, "seeds must be different"),
        ("[0, 1]", "[0, 1]\ntuning_seeds = [2]", 3, "tuning_seeds = [2]: they are for one pretraining"),
        ("weight_decay", "weight_dekay", 8, "unknown option 'optim.weight_dekay'; did you mean optim.weight_decay"),
        ("[optim]\nweight_decay = 0.1", "optim = 3", 7, "unknown option 'budget.optim'"),
        ('family = "gpt"', 'family = "gtp"', 10, "candidate 1: unknown family 'gtp'"),
        ('family = "gpt"', 'famly = "gpt"', 9, "candidate 1: family is missing; r.toml, line 10: "),
        ('size = "tiny"', 'size = "tinny"', 13, "candidate 2: unknown size 'tinny'"),
        ('size = "tiny"', 'size = "tiny"\nname = "a/b"', 14, "candidate 2: name 'a/b'"),
        ('size = "tiny"', 'size = "tiny"\nname = "GPT-mini"', 14, "2 candidates are called 'gpt-mini'"),
        ('size = "tiny"', 'size = "tiny"\nname = "linear"', 14, "candidate linear: this is the name of the baseline"),
        ("optim.clip = 1.0", "optim.clip = -1", 14, "candidate gpt2-tiny: optim: clip must be"),
        (
            "optim.clip = 1.0",
            "[candidates.tuning]\nlr = 1.0\n  layers = 'mix'",
            16,
            "task world-sentiment: layers has no effect",
        ),
        ("optim.clip = 1.0", "tuning = { epochs = 0 }", 14, "candidate gpt2-tiny: tuning: epochs must be greater than 0"),
        ("optim.clip = 1.0", 'tuning.data = "a"', 14, "candidate 2: tuning.data defines the task"),
        ("epochs = 2", "epoch = 2", 17, "task 1: unknown option 'epoch'; did you mean epochs"),
        ("epochs = 2", "layers = 'mix'", 17, "task world-sentiment: layers has no effect on candidate gpt-mini"),
        ("epochs = 2", "epochs = 2\nsteps = 3", 15, "task 1: epochs and steps exclude each other"),
        ("epochs = 2", "[[tasks]]\n", 17, "task 2: name is missing"),
        ("epochs = 2", "[sweep]\nlr = [1e-3, 1e-3]", 18, "sweep.lr needs different positive learning rates"),
        ("weight_decay = 0.1", "lr = 1e-3\nsweep.lr = [1e-3, 2e-3]", 9, "unknown option 'optim.sweep'"),
        (
            "weight_decay = 0.1",
            "lr = 1e-3\n[sweep]\nlr = [1e-3, 2e-3]",
            8,
            "[sweep] chooses the learning rate, so lr in [optim]",
        ),
        (
            "optim.clip = 1.0",
            "optim.lr = 1.0\n[sweep]\nlr = [1e-3, 2e-3]",
            14,
            "[sweep] chooses the learning rate, so lr in candidate",
        ),
        ("weight_decay = 0.1", "[tokenizer]\npath = 'a'\nkind = 'bpe'", 10, "tokenizer.path and tokenizer.kind exclude"),
        ("weight_decay = 0.1", "schedule = 'cosine'\n[data.x]", 9, "unknown option 'data.x'"),
        ("[0, 1]", "[0, 1]\ncooldowns = [2]", 3, "cooldowns must be"),
    ],
)
def test_the_line_and_the_field_are_named(wrong, before, after, line, message):
    found = wrong(before, after)
    assert found.startswith(f"r.toml, line {line}: {message}"), found


def test_what_was_typed_beside_the_recipe_has_no_line(wrong):
    assert wrong("tokens = 1e6", "tokens = 1e6 ", settings=["optim.weight_decay=-1"]).startswith("r.toml: optim.weight_decay")
    assert wrong("tokens = 1e6", "tokens = 1e6 ", settings=["budget.steps=-1"]).startswith("r.toml: budget.steps must")
    assert wrong("tokens = 1e6", "tokens = 1e6 ", tasks=["nsmcc"]).startswith("r.toml: task 1: unknown task 'nsmcc'")
    assert wrong("tokens = 1e6", "tokens = 1e6 ", corpus=["-"]).startswith("r.toml: stdin (-)")
    assert wrong("tokens = 1e6", "tokens = -1", settings=["optim.weight_decay=0"]).startswith("r.toml, line 6: budget.tokens")


def test_a_search_that_does_not_fit_the_budget_has_its_line(tmp_path):
    (tmp_path / "r.toml").write_text(f"{TEXT}[sweep]\nlr = [1e-3, 2e-3]\nshare = 0.9\n", encoding="utf-8")
    for settings, place in (((), ", line 20"), (["sweep.share=0.8"], "")):
        with pytest.raises(ValueError, match=rf"r\.toml{place}: sweep\.share = 0\.\d for 2 rates"):
            compare_files(tmp_path / "r.toml", tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()
