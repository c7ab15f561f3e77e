"""The pages of the encoders: their tables of sizes and the code that they show are those of gyebo/models/."""

import re
from pathlib import Path

import pytest

from gyebo.models.family import FAMILIES, model_class

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("bert", "roberta", "distilbert")
CODE = (*PAGES, "dan", "seq2seq", "transformer")


def page(family: str) -> str:
    return (ROOT / "docs" / "families" / f"{family}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", PAGES)
def test_the_table_of_sizes_is_that_of_the_code(family):
    said = {}
    for line in re.findall(rf"^\| {family} \| .*$", page(family), re.MULTILINE):
        _, size, *numbers = (cell.strip() for cell in line.strip("|").split("|"))
        said[size] = [int(number.replace(",", "")) for number in numbers]
    known = {}
    for size, config in model_class(family).sizes.items():
        shape = [config.layers, config.width, config.heads, config.context, config.vocab_size]
        known[size] = [*shape, FAMILIES[family].sizes[size]]
    assert said == known and list(said) == list(known)


@pytest.mark.parametrize("family", CODE)
def test_the_code_that_a_page_shows_stands_in_the_file(family):
    code = [line.strip() for line in (ROOT / "gyebo" / "models" / f"{family}.py").read_text(encoding="utf-8").splitlines()]
    blocks = re.findall(r"^```py\n(.*?)^```$", page(family), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        lines = block.splitlines()
        assert any(code[i : i + len(lines)] == lines for i in range(len(code))), block


@pytest.mark.parametrize("family", CODE)
def test_the_page_names_the_paper_and_is_found(family):
    authors, _, title = FAMILIES[family].paper.partition(", ")
    assert authors in page(family) and title.removeprefix(f"{FAMILIES[family].title}, ") in page(family)
    assert f"families/{family}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


RECURRENT = ("rnn", "lstm", "gru")


@pytest.mark.parametrize(("name", "families"), [("rnn", RECURRENT), ("dan", ("dan",)), ("seq2seq", ("seq2seq",))])
def test_the_sizes_of_families_without_heads_are_those_of_the_code(name, families):
    said = []
    for line in re.findall(rf"^\| (?:{'|'.join(families)}) \| .*\d.*$", page(name), re.MULTILINE):
        family, size, *numbers = (cell.strip() for cell in line.strip("|").split("|"))
        said.append((family, size, *(int(number.replace(",", "")) for number in numbers)))
    known = []
    for family in families:
        for size, c in model_class(family).sizes.items():
            known.append((family, size, c.layers, c.width, c.context, c.vocab_size, FAMILIES[family].sizes[size]))
    assert said == known


def test_the_cells_that_the_page_shows_stand_in_the_file():
    code = [line.strip() for line in (ROOT / "gyebo" / "nn" / "recurrent.py").read_text(encoding="utf-8").splitlines()]
    blocks = re.findall(r"^```py\n(.*?)^```$", page("rnn"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        lines = block.splitlines()
        assert any(code[i : i + len(lines)] == lines for i in range(len(code))), block
    assert all(FAMILIES[family].paper.partition(", ")[2] in page("rnn").replace("\n", " ") for family in RECURRENT)
