"""What README and docs say is true: commands and flags exist, examples run, tables agree with the code, links lead on."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

import gyebo
from gyebo.compare.recipe import Recipe
from gyebo.compare.recipe import parse as parse_recipe
from gyebo.config import toml
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.run import OptimOptions, RunOptions, TrainOptions
from gyebo.data.sources import FORMATS
from gyebo.generation.drawing import DrawingOptions
from gyebo.generation.options import GenerationOptions
from gyebo.generation.pplm.settings import settings_from
from gyebo.models.family import FAMILIES, model_class
from gyebo.objectives import (
    alignment,
    cross_modality,
    denoising,
    image_to_text,
    masked,
    permutation,
    text_to_image,
    text_with_regions,
)
from gyebo.objectives.table import OBJECTIVES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, ROOT / "README.ko.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
MEASURED = DOCS / "results.md"  # written from measurements; a page may link to it before the first of them stands there
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# The examples as they are run here: the same commands, cut down to seconds.
SMALLER = {
    "--size auto": "--size tiny --vocab-size 400 --precision float32 --batch-tokens 1024",
    "--size mini": "--size tiny --vocab-size 400 --precision float32 --batch-tokens 1024",
    "--minutes 10": "--steps 2",
    'size="mini"': 'size="tiny", vocab_size=400, precision="float32", batch_tokens=1024',
    "minutes=10": "steps=2",
    '("train", 20_000, 0)': '("train", 200, 0)',
}
SMALLER_RECIPE = {
    "flops = 1.5e14": "steps = 30",
    "batch_tokens = 2048": 'precision = "float32"\nbatch_tokens = 1024',
    "seeds = [0, 1, 2]": "seeds = [0, 1]",
    "width = 128, layers = 4": "width = 64, layers = 2",
    "vocab_size = 4000": "vocab_size = 400",
}


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of a page, of these languages or of all."""
    return [block for language, block in FENCE.findall(text) if not languages or language in languages]


def commands(text: str) -> list[list[str]]:
    """The arguments of every `gyebo` command in the fenced blocks, also behind a pipe or `torchrun -m`."""
    found = []
    for line in "\n".join(blocks(text)).replace("\\\n", " ").splitlines():
        if "gyebo" not in line or line.startswith(("import", "from", " ")):
            continue
        words = shlex.split(line, comments=True)
        for part in " ".join(shlex.quote(word) if word not in ("|", ">", "<", "&&") else "\n" for word in words).splitlines():
            arguments = shlex.split(part)
            if arguments[:1] == ["gyebo"]:
                found.append(arguments[1:])
            elif arguments[:1] in (["torchrun"], ["python"]) and "gyebo" in arguments:
                found.append(arguments[arguments.index("gyebo") + 1 :])
    return found


def parse(arguments: list[str]) -> None:
    """Parse a command line without running it; a wrong command, option or value raises typer's usage error."""
    from gyebo.cli.app import app

    command = typer.main.get_command(app)
    context = command.make_context("gyebo", list(arguments), resilient_parsing="--help" in arguments)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context, resilient_parsing="--help" in arguments)
    known = set(toml.described({"compare": Recipe, "finetune": FinetuneOptions}.get(name, RunOptions)))
    shape = "shape" if name == "finetune" else "model"
    known |= {f"{shape}.{field.name}" for family in FAMILIES for field in dataclasses.fields(model_class(family).config_class)}
    modules = [facts.load() for facts in OBJECTIVES.values() if not facts.kind]
    known |= {"objective.name", *(f"objective.{field}" for module in modules for field in module.Options.model_fields)}
    for setting in context.params.get("settings") or []:
        assert setting.partition("=")[0] in known, setting


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table whose header row begins with `heading`."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return table


# ---- commands


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_and_flag_exists(page):
    for arguments in commands(page.read_text(encoding="utf-8")):
        parse(arguments)


def test_commands_are_found_and_wrong_ones_are_seen():
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 30
    text = "```\nzcat a.gz | gyebo world --count 2 > b.txt\ntorchrun -m gyebo env \\\n    --json\n```"
    assert commands(text) == [["world", "--count", "2"], ["env", "--json"]]
    for wrong in (["pretrian"], ["world", "--sampel"], ["world", "--count", "two"], ["tokenizer", "learn"], ["verify"]):
        with pytest.raises(typer.TyperException):
            parse(wrong)
    with pytest.raises(AssertionError, match=r"optim\.rate"):
        parse(["pretrain", "gpt2", "a.txt", "-o", "b", "--set", "optim.rate=1"])


def test_the_examples_are_cut_down_where_they_stand():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(old in text for old in SMALLER)


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`make ([\w-]+)`", text) + re.findall(r"^make ([\w-]+)", "\n".join(blocks(text)), re.MULTILINE)
        assert set(named) <= targets, page


# ---- examples


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A directory as a reader has it: my-text.txt and the recipes; gives a function that runs a text's examples there."""
    from gyebo import world

    folder = tmp_path_factory.mktemp("reader")
    documents = (d.text for d in world.documents(300, languages=("ko",)))
    (folder / "my-text.txt").write_text("\n".join(documents) + "\n", encoding="utf-8")
    (folder / "other.txt").write_text("다른 글이다.\n", encoding="utf-8")
    (folder / "recipes").mkdir()
    shipped = (ROOT / "recipes" / "korean.toml").read_text(encoding="utf-8")
    assert all(old in shipped for old in SMALLER_RECIPE)
    (folder / "recipes" / "korean.toml").write_text(replaced(shipped, SMALLER_RECIPE), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def readme_ran(workplace):
    """The README's shell examples, run in order; gives what they printed."""
    from gyebo.cli.app import app

    text = README.read_text(encoding="utf-8")
    assert "--size auto" in text and "--minutes 10" in text
    printed = {}
    with contextlib.chdir(workplace):
        for arguments in commands(replaced("\n".join(f"```\n{b}```" for b in blocks(text, "sh")), SMALLER)):
            with contextlib.redirect_stdout(io.StringIO()) as output:
                code = app(arguments, standalone_mode=False)
            assert not code, arguments
            printed[" ".join(arguments[:2])] = output.getvalue()
    return printed


def test_the_shell_examples_of_the_readme_run(readme_ran, workplace):
    assert "bits per byte" in readme_ran["evaluate runs/mine"]
    assert readme_ran["generate runs/mine"].startswith("오늘은")
    assert (workplace / "runs" / "compared" / "report.html").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_python_examples_run(page, readme_ran, workplace):
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        with contextlib.chdir(workplace), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(replaced(block, SMALLER), str(page), "exec"), {})


def test_both_readmes_show_the_same():
    def shown(path: Path) -> list[str]:
        return [re.sub(r" *#.*", "", block) for block in blocks(path.read_text(encoding="utf-8"))]

    assert shown(README) == shown(ROOT / "README.ko.md")


def test_recipes_in_the_docs_are_recipes():
    found = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), "toml")]
    for block in found:
        parse_recipe(tomllib.loads(block))
    assert found


# ---- tables that must agree with the code


def test_the_table_of_the_house_is_the_one_that_is_enforced():
    from tests.test_house import FREE, MAY_IMPORT

    table = rows((DOCS / "architecture.md").read_text(encoding="utf-8"), "folder of `gyebo/`")
    said: dict[str, set[str]] = {}
    for folder, _, names in table:
        name = re.match(r"`(\w+)/`", folder)[1]
        assert (ROOT / "gyebo" / name).is_dir() != ("to come" in folder), folder
        if name in FREE:
            assert names == "everything"
            continue
        if names == "everything above":
            said[name] = set(said)
        elif names.startswith("as "):
            said[name] = said[names.removeprefix("as ")]
        else:
            said[name] = set() if names == "nothing" else set(names.split(", "))
    assert said == MAY_IMPORT


def test_the_table_of_sizes_is_that_of_the_code():
    said = []
    for family, size, *numbers in rows((DOCS / "families" / "gpt.md").read_text(encoding="utf-8"), "family | size"):
        said.append((family, size, *(int(number.replace(",", "")) for number in numbers)))
    known = []
    for family in ("gpt", "gpt2"):
        for size, config in model_class(family).sizes.items():
            shape = (config.layers, config.width, config.heads, config.context, config.vocab_size)
            known.append((family, size, *shape, FAMILIES[family].sizes[size]))
    assert said == known


def test_the_blocks_that_the_page_shows_stand_in_the_code():
    gpt, gpt2 = blocks((DOCS / "families" / "gpt.md").read_text(encoding="utf-8"), "py")
    for block, file in ((gpt, "gpt.py"), (gpt2, "gpt2.py")):
        code = (ROOT / "gyebo" / "models" / file).read_text(encoding="utf-8")
        forward = code.partition("Block(")[2].partition("def forward")[2].partition("\n\n\n")[0]
        assert [line.strip() for line in forward.splitlines()][-2:] == block.splitlines()


def said_defaults(page: str, heading: str = "option") -> dict[str, object]:
    table = rows((DOCS / page).read_text(encoding="utf-8"), f"{heading} | default")
    return {name.strip("`"): {"-": None, "None": None}.get(value, value) for name, value, *_ in table}


def test_the_options_of_training_are_those_of_the_code():
    known = {}
    for section, kind in (("optim", OptimOptions), ("train", TrainOptions)):
        known |= {f"{section}.{name}": value for name, value in kind()}
    shown = {name: None if value is None else json.dumps(value) for name, value in known.items()}
    assert said_defaults("training.md") == shown


def test_the_options_of_masking_are_those_of_the_code():
    known = {f"objective.{name}": field.default for name, field in masked.Options.model_fields.items()}
    shown = {name: None if value is None else json.dumps(value) for name, value in known.items()}
    assert said_defaults("training.md", "objective") == shown


def test_the_options_of_permutations_are_those_of_the_code():
    known = {f"objective.{name}": field.default for name, field in permutation.Options.model_fields.items()}
    shown = {name: None if value is None else json.dumps(value) for name, value in known.items()}
    assert said_defaults("training.md", "permutation") == shown


def test_the_options_of_denoising_are_those_of_the_code():
    known = {f"objective.{name}": field.default for name, field in denoising.Options.model_fields.items()}
    assert said_defaults("training.md", "denoising") == {name: json.dumps(value) for name, value in known.items()}


@pytest.mark.parametrize("name", ["span-corruption", "prefix-lm", "vector-quantisation", "discrete-vae"])
def test_the_options_of_other_objectives_are_those_of_the_code(name):
    module = OBJECTIVES[name].load()
    known = {f"objective.{name}": field.default for name, field in module.Options.model_fields.items()}
    shown = {name: None if value is None else json.dumps(value) for name, value in known.items()}
    assert said_defaults("training.md", name) == shown


@pytest.mark.parametrize(("name", "module"), [("cross-modality", cross_modality), ("alignment", alignment)])
def test_the_options_of_texts_with_pictures_are_those_of_the_code(name, module):
    known = {f"objective.{name}": field.default for name, field in module.Options.model_fields.items()}
    known = {name: None if value is None else json.dumps(value) for name, value in known.items()}
    shared = said_defaults("training.md", "texts with pictures")
    assert shared.keys() == {f"objective.{name}" for name in text_with_regions.Options.model_fields}
    assert shared | said_defaults("training.md", name) == known


def test_the_options_of_texts_and_pictures_are_those_of_the_code():
    known = {f"objective.{name}": field.default for name, field in text_to_image.Options.model_fields.items()}
    shown = {name: json.dumps(value) for name, value in known.items()}
    assert said_defaults("families/dalle.md", "text-to-image") == shown
    known = {f"objective.{name}": field.default for name, field in image_to_text.Options.model_fields.items()}
    assert said_defaults("captions.md", "image-to-text") == {name: json.dumps(value) for name, value in known.items()}


def test_the_options_of_drawing_are_those_of_the_code():
    assert said_defaults("drawing.md") == {
        field.name: json.dumps(field.default) for field in dataclasses.fields(DrawingOptions)
    }


def test_the_options_of_generation_are_those_of_the_code():
    shown = {field.name: json.dumps(field.default) for field in dataclasses.fields(GenerationOptions)}
    assert said_defaults("generation.md") == shown


def test_the_settings_of_control_are_those_of_the_code():
    table = rows((DOCS / "control.md").read_text(encoding="utf-8"), "setting | bags")
    for column, imagines in ((1, False), (2, True)):
        known = dataclasses.asdict(settings_from({}, imagines=imagines))
        assert {row[0].strip("`"): json.loads(row[column]) for row in table} == known


def test_the_formats_of_a_corpus_are_named():
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    assert all(f"`{ending}`" in text for ending in FORMATS)


def test_the_picture_of_the_tree_shows_the_table(tmp_path):
    place = importlib.util.spec_from_file_location("draw_tree", DOCS / "draw_tree.py")
    script = importlib.util.module_from_spec(place)
    place.loader.exec_module(script)
    script.main(tmp_path / "tree.svg")

    def texts(path: Path) -> list[str]:
        return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))

    assert texts(script.PICTURE) == texts(tmp_path / "tree.svg")
    assert {family.title for family in FAMILIES.values()} <= set(texts(script.PICTURE))


# ---- links and files


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and mkdocs make it of plain words."""
    return re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.is_file() or path == MEASURED, f"{page.name}: {target}"
        assert page.parent == ROOT or path.is_relative_to(DOCS), f"{page.name}: {target} leaves the site"
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_that_are_mentioned_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/.-])((?:gyebo|tests|docs|recipes|benchmarks|\.ci)/[\w./-]*)", text)
    for name in named:
        path = name.rstrip("./")
        assert "NAME" in name or (ROOT / path).exists() or (ROOT / path) == MEASURED, f"{page.name}: {name}"


def test_the_site_has_every_page():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]

    listed = pages(site["nav"])
    assert len(listed) == len(set(listed))
    assert set(listed) | {MEASURED.name} == {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")} | {MEASURED.name}


def test_hooks_are_local():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert all(hook["language"] == "system" for repo in hooks["repos"] for hook in repo["hooks"])


def test_the_licence_and_the_version_are_named():
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in log or f"## [{gyebo.__version__}]" in log
