"""The pages of the encoders: their tables of sizes and the code that they show are those of gyebo/models/."""

import re
from pathlib import Path

import pytest

from gyebo.models.family import FAMILIES, model_class

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("bert", "roberta", "distilbert", "xlnet")
CODE = (
    *PAGES,
    "transformer_xl",
    "dan",
    "seq2seq",
    "transformer",
    "ulmfit",
    "elmo",
    "bart",
    "t5",
    "meena",
    "lxmert",
    "vilbert",
    "clip",
    "dalle",
)


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


def test_the_sizes_of_bart_are_those_of_the_code():
    said = {line[1]: line[2:] for line in table("bart", "family | size")}
    known = {}
    for size, c in model_class("bart").sizes.items():
        numbers = (c.width, c.heads, c.context, c.vocab_size, FAMILIES["bart"].sizes[size])
        known[size] = [f"{c.layers} + {c.decoder_layers}", *(f"{number:,}" for number in numbers)]
    assert said == known


def test_the_sizes_of_its_decoder_are_those_of_the_code():
    lines = [line.strip("| ").split(" | ") for line in page("bart").splitlines() if line.startswith("| bart_decoder |")]
    known = {}
    for size, c in model_class("bart_decoder").sizes.items():
        numbers = (c.layers, c.width, c.heads, c.context, c.vocab_size, FAMILIES["bart_decoder"].sizes[size])
        known[size] = [f"{number:,}" for number in numbers]
    assert {line[1]: line[2:] for line in lines} == known


def test_the_sizes_of_transformer_xl_are_those_of_the_code():
    said = {size: numbers for size, *numbers in table("transformer_xl", "size")}
    known = {}
    for size, c in model_class("transformer_xl").sizes.items():
        shape = (c.layers, c.width, c.heads, c.head_width, c.window, c.memory, c.context, c.vocab_size)
        known[size] = [f"{number:,}" for number in (*shape, FAMILIES["transformer_xl"].sizes[size])]
    assert said == known and list(said) == list(known)


def test_the_sizes_of_lxmert_are_those_of_the_code():
    said = {size: numbers for size, *numbers in table("lxmert", "size")}
    known = {}
    for size, c in model_class("lxmert").sizes.items():
        numbers = (c.width, c.heads, c.context, c.vocab_size, FAMILIES["lxmert"].sizes[size])
        layers = f"{c.layers} + {c.region_layers} + {c.cross_layers}"
        known[size] = [layers, *(f"{number:,}" for number in numbers)]
    assert said == known and list(said) == list(known)


def test_the_sizes_of_vilbert_are_those_of_the_code():
    said = {size: numbers for size, *numbers in table("vilbert", "size")}
    known = {}
    for size, c in model_class("vilbert").sizes.items():
        layers, widths = (c.layers, c.image_layers, len(c.text_at)), (c.width, c.image_width, c.co_width)
        of_each = slice(None if c.streams == 2 else 1)
        numbers = (c.context, c.vocab_size, FAMILIES["vilbert"].sizes[size])
        columns = (" + ".join(map(str, layers[of_each])), ", ".join(f"{width:,}" for width in widths[of_each]))
        known[size] = [*columns, *(f"{number:,}" for number in numbers)]
    assert said == known and list(said) == list(known)


def test_the_sizes_of_dalle_are_those_of_the_code():
    said = {line[1]: line[2:] for line in table("dalle", "family | size")}
    known = {}
    for size, c in model_class("dalle").sizes.items():
        shape = (c.layers, c.width, c.heads, c.context, c.vocab_size, c.grid, c.image_codes, c.kernel)
        known[size] = [str(c.width) if number == c.width else f"{number:,}" for number in shape]
        known[size] += [f"{FAMILIES['dalle'].sizes[size]:,}"]
    assert said == known and list(said) == list(known)


def test_the_sizes_of_clip_are_those_of_the_code():
    said = {line[1]: line[2:] for line in table("clip", "family | size")}
    known = {}
    for size, c in model_class("clip").sizes.items():
        shape = (c.layers, c.width, c.heads, c.context, f"{c.vocab_size:,}", c.picture_size, c.patch)
        picture = f"{c.picture_layers}, {c.picture_width}, {c.picture_heads}"
        known[size] = [*map(str, shape), picture, str(c.projection), f"{FAMILIES['clip'].sizes[size]:,}"]
    assert said == known and list(said) == list(known)


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


def test_the_sizes_of_t5_are_those_of_the_code():
    said = {size: numbers for _, size, *numbers in table("t5", "family")}
    known = {}
    for size, c in model_class("t5").sizes.items():
        numbers = (c.heads, c.head_width, c.inner, c.vocab_size, FAMILIES["t5"].sizes[size])
        known[size] = [f"{c.layers} + {c.decoder_layers}", str(c.width), *(f"{number:,}" for number in numbers)]
    assert said == known and list(said) == list(known)


def test_the_sizes_of_meena_are_those_of_the_code():
    said = {size: numbers for _, size, *numbers in table("meena", "family")}
    known = {}
    for size, c in model_class("meena").sizes.items():
        numbers = (c.heads, c.context, c.vocab_size, FAMILIES["meena"].sizes[size])
        known[size] = [f"{c.layers} + {c.decoder_layers}", str(c.width), *(f"{number:,}" for number in numbers)]
    assert said == known and list(said) == list(known)


def table(name: str, heading: str) -> list[list[str]]:
    lines = page(name).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_the_sizes_and_dropouts_of_ulmfit_are_those_of_the_code():
    sizes = model_class("ulmfit").sizes
    said = {size: [int(number.replace(",", "")) for number in numbers] for size, *numbers in table("ulmfit", "size")}
    assert list(said) == list(sizes)
    for name, c in sizes.items():
        shape = [c.layers, c.width, c.inner, c.window, c.context, c.vocab_size]
        assert said[name] == [*shape, FAMILIES["ulmfit"].sizes[name]]
    columns = (("tiny", "mini"), ("small", "fastai"), ("ptb", "wikitext-2"), ("paper",))
    for name, *rates in table("ulmfit", "dropout"):
        field = re.match(r"`(\w+)`", name)[1]
        for names, rate in zip(columns, rates, strict=True):
            assert {getattr(sizes[size], field) for size in names} == {float(rate)}


def test_what_ulmfit_does_differently_is_what_the_page_says():
    tuning = FAMILIES["ulmfit"].tuning
    own = {"--lr": "lr", "--layer-decay": "layer_decay"}
    said = {
        own.get(name.strip("`"), name.strip("`").removeprefix("optim.")): value
        for name, value, _ in table("ulmfit", "option of `gyebo finetune`")
    }
    known = {**tuning["optim"], "dropout": tuning["dropout"]}
    assert known.pop("warmup") == 0.1 and known.pop("final_lr") == 1 / 32
    assert known.pop("layer_decay") == 1 / 2.6 and said.pop("layer_decay") == "1 / 2.6"
    assert said == {name: str(list(value) if isinstance(value, tuple) else value) for name, value in known.items()}
    weights = {name: float(weight) for name, _, weight, _ in table("ulmfit", "term")}
    assert weights == {"AR": FAMILIES["ulmfit"].published["ar"], "TAR": FAMILIES["ulmfit"].published["tar"]}


def test_the_sizes_of_elmo_are_those_of_the_code():
    said = [
        tuple(int(number.replace(",", "")) if number[0].isdigit() else number for number in line.strip("| ").split(" | "))
        for line in re.findall(r"^\| elmo \| .*\d.*$", page("elmo"), re.MULTILINE)
    ]
    known = []
    for size, c in model_class("elmo").sizes.items():
        shape = (c.layers, c.width, c.cells, sum(c.filters), c.context, c.vocab_size)
        known.append(("elmo", size, *shape, FAMILIES["elmo"].sizes[size]))
    assert said == known


def test_the_cells_that_the_page_shows_stand_in_the_file():
    code = [line.strip() for line in (ROOT / "gyebo" / "nn" / "recurrent.py").read_text(encoding="utf-8").splitlines()]
    blocks = re.findall(r"^```py\n(.*?)^```$", page("rnn"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        lines = block.splitlines()
        assert any(code[i : i + len(lines)] == lines for i in range(len(code))), block
    assert all(FAMILIES[family].paper.partition(", ")[2] in page("rnn").replace("\n", " ") for family in RECURRENT)


def test_the_page_of_the_picture_tokenizers_is_what_the_code_says():
    said = [tuple(line) for line in table("vqvae", "family | size")]
    known = []
    for family in ("vqvae", "dvae"):
        for size, c in model_class(family).sizes.items():
            numbers = [f"{number:,}" for number in (c.codes, c.width, FAMILIES[family].sizes[size])]
            known.append((family, size, f"{c.picture_size} x {c.picture_size}", f"{c.factor} x {c.factor}", *numbers))
        assert FAMILIES[family].paper.split(", ", 1)[1] in page("vqvae")
    assert said == known and "families/vqvae.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    files = [ROOT / "gyebo" / name for name in ("models/vqvae.py", "models/dvae.py", "nn/codebook.py")]
    code = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    blocks = re.findall(r"^```py\n(.*?)^```$", page("vqvae"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        lines = block.splitlines()
        assert any(code[i : i + len(lines)] == lines for i in range(len(code))), block
    from gyebo.interchange.families.dvae import CONFIG, CONVERT

    assert len(blocks) == 2 and CONVERT in page("vqvae") and CONFIG in page("vqvae")
