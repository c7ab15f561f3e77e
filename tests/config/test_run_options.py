"""Options: TOML, --set, and one clear line for what is wrong."""

from pathlib import Path

import pytest

from gyebo.config import toml
from gyebo.config.errors import NAMED, OptionError
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.run import DataOptions, RunOptions
from tests.refusals import option_error

BASE = {"family": "gpt2", "data": {"corpus": ["a.txt"]}, "budget": {"steps": 5}}


def check(*settings):
    return toml.check(RunOptions, toml.override(BASE, list(settings)), "run.toml")


def test_settings_are_toml_or_bare_words():
    options = check(
        "optim.lr=3e-4", "optim.betas=[0.9, 0.99]", "train.compile=true", "optim.schedule=linear", "data.text_field='본문'",
        "model.layers=6", "data.corpus=['x y.txt', \"z\"]",
    )  # fmt: skip
    assert (options.optim.lr, options.optim.betas, options.train.compile) == (3e-4, (0.9, 0.99), True)
    assert (options.optim.schedule, options.data.text_field, options.model) == ("linear", "본문", {"layers": 6})
    assert options.data.corpus == ["x y.txt", "z"]
    assert BASE == {"family": "gpt2", "data": {"corpus": ["a.txt"]}, "budget": {"steps": 5}}  # a copy was changed


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("optim.learning_rate=1", "run.toml: unknown option 'optim.learning_rate'; did you mean optim.lr"),
        ("optim.wieght_decay=1", "unknown option 'optim.wieght_decay'; did you mean optim.weight_decay"),
        ("lr=1", "unknown option 'lr'; did you mean optim.lr"),
        ("batch_tokens=5", "unknown option 'batch_tokens'; did you mean train.batch_tokens"),
        ("train.xyzzy=5", "unknown option 'train.xyzzy'; there is: train.batch_tokens, train.micro_batch_tokens,"),
        ("optim.lr=-1", "optim.lr must be greater than 0, but is -1 instead"),
        ("optim.lr=inf", "optim.lr must be a finite number, but is inf instead"),
        ("optim.lr=fast", "optim.lr must be a valid number, unable to parse string as a number, but is 'fast' instead"),
        ("optim.betas=[0.9, 1.0]", "betas must lie in [0, 1), but are [0.9, 1.0] instead"),
        (
            "optim.schedule=cosin",
            "optim.schedule must be 'cosine', 'linear', 'constant', 'inverse-root', 'slanted-triangular' or 'wsd', but",
        ),
        ("train.keep=1", "train.keep must be greater than or equal to 2, but is 1 instead"),
        (
            "budget.tokens=5",
            "exactly one of budget.steps, budget.tokens, budget.flops, budget.minutes, budget.epochs; found budget.steps and "
            "budget.tokens",
        ),
        ("data.corpus=[]", "data.corpus"),
        ("data.documents=page", "data.documents must be 'line', 'blank' or 'file', but is 'page' instead"),
        ("train=5", "train must be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(setting, line):
    with pytest.raises(ValueError) as caught:
        check(setting)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_option_beside_many_names_only_its_section():
    with pytest.raises(ValueError) as caught:
        check("train.xyzzy=5")
    assert "optim." not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("optim.lr", "settings needs section.field=value, but got 'optim.lr'"),
        ("=3", "settings needs section.field=value"),
        ("family.name=x", "settings family.name=x: family is not a section"),
    ],
)
def test_settings_that_are_none(setting, line):
    with pytest.raises(ValueError, match=line.replace(".", r"\.")):
        check(setting)


def test_held_out_parts_exclude_each_other():
    with option_error("data.valid_last", "data.valid_share"):
        check("data.valid_last=0.1", "data.valid_share=0.1")


def test_the_held_out_share_has_a_default_only_where_nothing_else_was_chosen():
    assert check().data.hash_share == 0.01
    assert check("data.valid_share=0.2").data.hash_share == 0.2
    assert check("data.valid_last=0.1").data.hash_share == check("data.valid='v.txt'").data.hash_share == 0.0


def test_options_come_back_from_toml(tmp_path):
    options = check("optim.lr=1e-5", "model.activation=relu", "data.valid_last=0.1", "data.text_field='가\"\\\\'")
    path = tmp_path / "o.toml"
    path.write_text(toml.dump(options.model_dump(mode="json")), encoding="utf-8")
    assert toml.check(RunOptions, toml.read(path)) == options


@pytest.mark.parametrize("content", [b"family = ", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml(tmp_path, content):
    path = tmp_path / "o.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"o\.toml: not valid TOML: "):
        toml.read(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"o\.toml: no such file"):
        toml.read(tmp_path / "o.toml")


@pytest.mark.parametrize(
    ("kind", "values", "section", "fields"),
    [
        (RunOptions, BASE | {"train": {"keep": 0}}, "", ["train.keep"]),
        (
            RunOptions,
            BASE | {"data": {"corpus": ["a"], "valid": "b", "valid_last": 0.1}},
            "",
            ["data.valid", "data.valid_last"],
        ),
        (DataOptions, {"corpus": ["a"], "valid": "b", "valid_last": 0.1}, "data", ["data.valid", "data.valid_last"]),
        (DataOptions, {"corpus": ["a"], "documents": "page"}, "data", ["data.documents"]),
        (DataOptions, {}, "data", ["data.corpus"]),
        (FinetuneOptions, {"model": "m", "task": {"name": "t"}, "epochs": 1, "steps": 1}, "", ["epochs", "steps"]),
    ],
)
def test_an_error_names_its_options_with_their_sections(kind, values, section, fields):
    with pytest.raises(OptionError) as caught:
        toml.check(kind, values, section=section)
    assert [match[1] for match in NAMED.finditer(caught.value.text)] == fields
    assert "‹" not in str(caught.value) and all(field in str(caught.value) for field in fields)


def test_an_unknown_option_of_a_section_is_named_with_it():
    with pytest.raises(OptionError, match=r"^unknown option 'data.documnts'; did you mean data.documents"):
        toml.check(DataOptions, {"corpus": ["a"], "documnts": "line"}, section="data")


def test_options_in_python_are_told_in_one_line():
    budget = {"steps": 1}
    assert RunOptions(family="gpt", data={"corpus": "x.txt"}, budget=budget).data.corpus == ["x.txt"]
    assert RunOptions(family="gpt", data={"corpus": Path("x.txt")}, budget=budget).data.corpus == ["x.txt"]
    for given, words in [
        ({"data": {"corpus": 3}, "budget": budget}, "data.corpus must be a valid list, but is 3 instead"),
        ({"data": {"corpus": []}, "budget": budget}, "data.corpus"),
        ({"data": {"corpus": "x"}, "budget": {}}, "the budget needs exactly one of"),
        ({"data": {"corpus": "x", "valdi": "y"}, "budget": budget}, "unknown option 'data.valdi'; did you mean"),
        ({"budget": budget}, "data is missing"),
    ]:
        with pytest.raises(ValueError, match="^[^\n]*$") as caught:
            RunOptions(family="gpt", **given)
        assert words in str(caught.value) and "pydantic" not in str(caught.value)
