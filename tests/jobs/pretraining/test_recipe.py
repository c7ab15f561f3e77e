"""The recipe "published": what the family's paper says, unless the run says otherwise."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.jobs.pretrain import command_of, pretrain
from gyebo.jobs.pretraining.planning import dry_run
from gyebo.jobs.pretraining.recipe import with_recipe
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.family import FAMILIES
from gyebo.training.optimizer import make_optimizer

DOCS = Path(__file__).resolve().parents[3] / "docs"
ABLE = [name for name, family in FAMILIES.items() if family.training is not None]


def asked(family, **optim):
    return RunOptions.model_validate(
        {"family": family, "recipe": "published", "optim": optim, "data": {"corpus": "x.txt"}, "budget": {"steps": 9}}
    )


@pytest.mark.parametrize("family", ABLE)
def test_what_is_not_given_is_the_papers(family):
    found = with_recipe(asked(family)).optim
    for option, value in FAMILIES[family].training.items():
        assert getattr(found, option.removeprefix("optim.")) == value


def test_berts_optimiser():
    """Devlin et al. 2018, appendix A.2, and the released code (`optimization.py`)."""
    model = Bert(BertConfig(vocab_size=40, context=16, width=8, layers=1, heads=2))
    optimizer = make_optimizer(model, with_recipe(asked("bert")).optim)
    assert type(optimizer) is torch.optim.AdamW
    assert {(group["betas"], group["eps"]) for group in optimizer.param_groups} == {((0.9, 0.999), 1e-6)}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01, 0.0}


def test_t5s_optimiser():
    assert with_recipe(asked("t5")).optim.name == "adafactor"


def test_what_is_given_stays():
    found = with_recipe(asked("bert", betas=(0.9, 0.95), warmup=0.2, lr=3e-4)).optim
    assert (found.betas, found.warmup, found.lr) == ((0.9, 0.95), 0.2, 3e-4)
    assert (found.eps, found.schedule) == (1e-6, "linear")


def test_another_optimiser_takes_nothing_of_the_papers_own():
    found = with_recipe(asked("bert", name="adafactor")).optim
    assert found.name == "adafactor" and found.betas is None and found.weight_decay == 0.0 and found.schedule == "linear"
    found = with_recipe(asked("t5", name="adamw")).optim
    assert found.name == "adamw" and found.betas == (0.9, 0.95) and found.schedule == "constant"


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - set(ABLE)))
def test_a_family_without_one_is_refused_in_a_line(family):
    with pytest.raises(OptionError, match=r"recipe=published: how .* is not published, or needs an optimiser that"):
        with_recipe(asked(family))


def test_the_other_recipe_changes_nothing():
    options = asked("bert").model_copy(update={"recipe": "efficient"})
    assert with_recipe(options) is options


def test_a_run_stores_what_was_chosen_and_is_resumed_by_the_same_words(run_options, tmp_path):
    options, out = run_options(3, family="bert", recipe="published"), tmp_path / "run"
    pretrain(options, out)
    stored = toml.read(out / "run.toml")["options"]
    assert stored["recipe"] == "published" and stored["optim"]["betas"] == [0.9, 0.999] and stored["optim"]["eps"] == 1e-6
    command = next(line for line in (out / "README.md").read_text().splitlines() if "gyebo pretrain" in line)
    assert "--recipe published" in command and "optim" not in command
    assert pretrain(options, out, resume=True).steps == 3
    with pytest.raises(OptionError, match="options are not those that it was started with|optim"):
        pretrain(options.model_copy(update={"recipe": "efficient"}), out, resume=True)


def test_a_default_that_was_given_stands_in_the_command():
    options = with_recipe(asked("bert", betas=(0.9, 0.95)))
    words = shlex.split(command_of(options, Path("runs/x")))
    assert words[words.index("--recipe") + 1] == "published"
    assert [word for word in words if "optim" in word] == ["optim.betas=[0.9, 0.95]"]


def test_a_dry_run_says_what_is_chosen_and_why(run_options, tmp_path):
    from rich.console import Console

    said = []
    for recipe in ("published", "efficient"):
        console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
        dry_run(run_options(3, family="t5", recipe=recipe), tmp_path / recipe, console)
        said.append(
            next(line for line in console.export_text().splitlines() if line.startswith("recipe")).split(maxsplit=1)[1].strip()
        )
    paper = "optim.name=adafactor, optim.schedule=constant, optim.warmup=0.0, optim.clip=0.0 (Raffel et al. 2020)"
    assert said == [f"published: {paper}", "efficient"]


def test_what_was_chosen_is_not_chosen_again():
    for options in (asked("bert"), asked("t5"), asked("bert", name="adafactor")):
        once = with_recipe(options)
        stored = RunOptions.model_validate(once.model_dump(mode="json"))
        assert with_recipe(once).optim == with_recipe(stored).optim == once.optim


@pytest.mark.parametrize("optim", [{}, {"betas": (0.9, 0.95)}, {"name": "adafactor"}, {"name": "adafactor", "eps2": 0.01}])
def test_the_command_gives_the_same_options_again(optim):
    options = with_recipe(asked("bert", **optim))
    words = shlex.split(command_of(options, Path("runs/x")))
    settings = toml.parsed([words[n + 1] for n, word in enumerate(words) if word == "--set"])
    again = asked("bert", **{name.removeprefix("optim."): value for name, value in settings.items()})
    assert with_recipe(again).optim == options.optim


def test_the_page_has_what_the_tree_has():
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| .+?: (.+) \|$", page[page.index("### As published") :], re.MULTILINE))
    for family in ABLE:
        chosen = FAMILIES[family].training.items()
        shown = (f"{option.removeprefix('optim.')} {list(v) if isinstance(v, tuple) else v}" for option, v in chosen)
        assert rows[family] == ", ".join(shown)
    assert rows.keys() == set(ABLE)
