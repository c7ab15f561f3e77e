"""What `save` writes, with a tokenizer and a card; and that an interrupted one leaves a directory as it was."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import transformers
import yaml
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

import gyebo.interchange as interchange
from gyebo.interchange import saving
from gyebo.interchange.families import bert, distilbert, gpt, gpt2, roberta
from gyebo.interchange.model_card import model_card
from gyebo.interchange.tensor_names import full_name, our_names, their_names, their_tensors
from gyebo.models.bert import Bert
from gyebo.models.distilbert import Distilbert
from gyebo.models.gpt import Gpt, GptConfig
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.models.roberta import Roberta
from gyebo.text.roles import Roles
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer

SHAPE = {"vocab_size": 300, "context": 16, "width": 8, "layers": 2, "heads": 2}


def small(seed=0, **options):
    torch.manual_seed(seed)
    return Gpt2(Gpt2Config(**SHAPE | options)).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    end = "<|endoftext|>"
    tokens = {"pad": "<|pad|>", "bos": end, "eos": end}
    return train_tokenizer([], "byte").for_family(Roles(tokens=tokens, single=("$A",), pair=("$A", "$B")))


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# -- names -----------------------------------------------------------------------------------------------------------


TABLES = [(gpt, Gpt), (gpt2, Gpt2), (bert, Bert), (roberta, Roberta), (distilbert, Distilbert)]


@pytest.mark.parametrize(("table", "cls"), [(module.FORMAT, cls) for module, cls in TABLES])
def test_every_tensor_has_one_name_and_back(table, cls):
    model = cls(cls.config_class(**{**SHAPE, "layers": 12}, tied=False))
    ours = list(model.state_dict())
    sources = {name: their_names(table, name) for name in ours}
    theirs = [key for source in sources.values() for key in (*source.names, *source.copies)]
    assert len(set(theirs)) == len(theirs)
    assert our_names(table, {name: name for name in theirs}, "x") == sources
    with pytest.raises(KeyError, match=r"blocks\.0\.more"):
        their_names(table, "blocks.0.more")


# -- tokenizer and ids -----------------------------------------------------------------------------------------------


def test_a_directory_with_its_tokenizer(tokenizer, tmp_path):
    model = small()
    interchange.save(model, tokenizer, tmp_path, card="# a card\n")
    again, found = interchange.load(tmp_path)
    text = "한국어 text\n"
    assert found.encode(text) == tokenizer.encode(text)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == tokenizer.encode(text)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).model_max_length == 16
    assert (tmp_path / "README.md").read_text() == "# a card\n"
    for file in ("config.json", "generation_config.json"):
        ids = json.loads((tmp_path / file).read_text())
        for role in ("pad", "bos", "eos"):  # the model named none: they come from the tokenizer
            assert ids[f"{role}_token_id"] == tokenizer.role_ids[role]
    assert again.config.bos_id == again.config.eos_id == tokenizer.role_ids["eos"] != again.config.pad_id
    generated = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    assert (generated.pad_token_id, generated.eos_token_id) == (tokenizer.role_ids["pad"], tokenizer.role_ids["eos"])
    interchange.save(small(eos_id=7), tokenizer, tmp_path)
    assert interchange.load(tmp_path)[0].config.eos_id == 7  # the model's own word comes first
    assert (tmp_path / "README.md").read_text() == "# a card\n"


def test_a_tokenizer_with_more_ids_than_the_model(tokenizer, tmp_path):
    assert tokenizer.vocab_size == 272
    with pytest.raises(ValueError, match=r"272 ids.*200 rows"):
        interchange.save(small(vocab_size=200), tokenizer, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    interchange.save(small(), tokenizer, tmp_path)
    interchange.save(small(vocab_size=200), None, tmp_path)
    with pytest.raises(ValueError, match=r"272 ids.*200 rows"):
        interchange.load(tmp_path)


def test_a_damaged_tokenizer_is_refused(tokenizer, tmp_path):
    interchange.save(small(), tokenizer, tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        interchange.load(tmp_path)


# -- what the format cannot say --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "value"), [("inner", 31), ("activation", "gelu"), ("activation", "tanh")])
def test_what_transformers_cannot_express_is_refused(option, value, tmp_path):
    model = Gpt(GptConfig(**SHAPE, **{option: value}))
    with pytest.raises(ValueError, match=option):
        interchange.save(model, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_implied_width_can_be_saved(tmp_path):
    interchange.save(Gpt(GptConfig(**SHAPE, inner=32)), None, tmp_path)
    assert interchange.load(tmp_path)[0].config.inner_width == 32


def test_every_option_comes_back(tmp_path):
    odd = {
        "inner": 5,
        "activation": "quick_gelu",
        "embedding_dropout": 0.2,
        "attention_dropout": 0.3,
        "residual_dropout": 0.4,
        "norm_eps": 1e-3,
        "init_std": 0.5,
        "tied": False,
        "pad_id": 1,
        "bos_id": 2,
        "eos_id": 3,
        "scale_attention": False,
        "scale_attention_by_layer": True,
        "upcast_attention": True,
        "prefix": True,
    }
    config = Gpt2Config(**SHAPE, **odd)
    plain = Gpt2Config()
    assert all(getattr(config, name) != getattr(plain, name) for name in vars(config))  # no option is left out
    interchange.save(Gpt2(config), None, tmp_path)
    assert interchange.load(tmp_path)[0].config == config


# -- interrupted and repeated saves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("IoError: no space"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("shards", [False, True])
def test_an_interrupted_save_changes_nothing(error, shards, tokenizer, tmp_path, monkeypatch):
    options = {"max_shard_bytes": 4000} if shards else {}
    interchange.save(small(), tokenizer, tmp_path, **options)
    before = contents(tmp_path)
    written = []

    def fail(tensors, path, metadata):
        written.append(path)
        if len(written) == 1 + shards:
            Path(path).write_bytes(b"half")
            raise error
        saving_save_file(tensors, path, metadata=metadata)

    saving_save_file = saving.save_file
    monkeypatch.setattr(saving, "save_file", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OSError):
        interchange.save(small(seed=1), tokenizer, tmp_path, card="new", **options)
    assert len(written) == 1 + shards
    assert contents(tmp_path) == before


def test_every_renamed_file_is_whole(tokenizer, tmp_path, monkeypatch):
    """Stop at each rename in turn: whatever stands in the directory opens, or (shards) is refused in a clear line."""
    replaced = saving.Path.replace
    for options in ({}, {"max_shard_bytes": 4000}):
        stop, done = 0, False
        while not done:
            directory = tmp_path / f"{len(options)}-{stop}"
            interchange.save(small(), tokenizer, directory, **options)
            new = small(seed=1)
            count = 0

            def interrupt(path, target, stop=stop):
                nonlocal count
                if count == stop:
                    raise KeyboardInterrupt
                count += 1
                return replaced(path, target)

            monkeypatch.setattr(saving.Path, "replace", interrupt)
            try:
                interchange.save(new, tokenizer, directory, **options)
                done = True
            except KeyboardInterrupt:
                stop += 1
            monkeypatch.undo()
            assert not list(directory.glob(".saving-*"))
            try:
                found, _ = interchange.load(directory)
            except FileNotFoundError as error:
                assert options and not done and "no weights" in str(error)
                continue
            seed = 1 if done else 0
            assert all(torch.equal(a, b) for a, b in zip(found.parameters(), small(seed=seed).parameters()))
        assert stop >= 5


def test_a_save_replaces_an_earlier_one_of_another_shape(tmp_path):
    for seed, most in enumerate((10**9, 4000, 2500, 10**9)):
        interchange.save(small(seed), None, tmp_path, max_shard_bytes=most)
        found, _ = interchange.load(tmp_path)
        assert torch.equal(found.token_embedding.weight, small(seed).token_embedding.weight)
        weights = sorted(path.name for path in tmp_path.glob("*.safetensors*"))
        if most == 10**9:
            assert weights == ["model.safetensors"]
        else:
            index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
            assert weights == sorted({*index["weight_map"].values(), "model.safetensors.index.json"})
            assert index["metadata"]["total_size"] == 4 * sum(p.numel() for p in small().parameters())
    with pytest.raises(ValueError, match="max_shard_bytes"):
        interchange.save(small(), None, tmp_path, max_shard_bytes=0)


def test_a_loaded_model_does_not_depend_on_its_file(tmp_path):
    """A file that is overwritten in place (cp, rsync --inplace) must not change a model in memory."""
    interchange.save(small(), None, tmp_path)
    model, _ = interchange.load(tmp_path)
    path = tmp_path / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(0)
        file.write(b"\0" * path.stat().st_size)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), small().parameters()))


# -- hub -------------------------------------------------------------------------------------------------------------


class Response:
    headers: ClassVar[dict[str, str]] = {}
    request = None
    status_code = 404


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LocalEntryNotFoundError("offline"), ["cannot be reached", "check the name"]),
        (RepositoryNotFoundError("404\nmore", response=Response()), ["public model"]),
        (GatedRepoError("401", response=Response()), ["terms"]),
        (RevisionNotFoundError("404", response=Response()), ["revision 'v9'"]),
        (OSError("disk\nfull"), ["disk"]),
    ],
)
def test_the_hub_in_one_line(error, words, monkeypatch):
    import huggingface_hub

    def fail(name, **_):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(FileNotFoundError) as caught:
        interchange.load("someone/model", revision="v9")
    line = str(caught.value)
    assert "\n" not in line and "someone/model" in line
    assert all(word in line for word in words), line


def test_offline_is_one_line_without_any_connection(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"someone/no-such-model.*cannot be reached"):
        interchange.load("someone/no-such-model")


@pytest.mark.parametrize("name", ["./a/b", "a/b/c", "/a", "~/no-such-directory", "a/"])
def test_what_cannot_be_a_hub_id_asks_nobody(name):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        interchange.load(name)


def test_the_hub_is_asked_for_safetensors_and_only_then_for_pickles(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name, *, revision, allow_patterns):
        asked.append(allow_patterns)
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        if name.endswith("new") or len(asked) == 3:
            interchange.save(small(), None, folder)
        if len(asked) == 3:
            state = torch.load(tmp_path / "state", weights_only=True)
            torch.save(state, folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model, _ = interchange.load("someone/new")
    assert len(asked) == 1 and not any("bin" in pattern for pattern in asked[0])
    theirs = their_tensors(gpt2.FORMAT, model.state_dict(), {})
    state = {full_name(gpt2.FORMAT, name): tensor.read() for name, tensor in theirs.items()}
    torch.save(state, tmp_path / "state")
    interchange.load("someone/old")
    assert len(asked) == 3 and "pytorch_model.bin" in asked[2]


# -- card ------------------------------------------------------------------------------------------------------------

CARD = {
    "name": "runs/x",
    "family": "gpt2",
    "title": "GPT-2",
    "year": 2019,
    "paper": "Radford et al. 2019",
    "size": "mini",
    "parameters": 7_321_088,
    "corpus": "a | b",
    "tokens": 1_234_567,
    "budget": "10 minutes",
    "metrics": {"bits per byte": 1.23456, "perplexity": "-"},
    "command": "gyebo pretrain gpt2 a",
}


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_card_says_what_was_given():
    text = model_card(
        **CARD,
        language=["ko", "en"],
        license='mit\n---\n"x',
        samples=["안녕 ``` 하세요"],
        pictures={"the loss": "my loss.png"},
        limitations=["It is small."],
        base_model="runs/y",
    )
    header = front_matter(text)
    assert header == {
        "language": ["ko", "en"],
        "license": 'mit\n---\n"x',
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": "runs/y",
        "tags": ["gyebo", "gpt2"],
    }
    for part in ("7,321,088", "1,234,567", "a \\| b", "1.235", "gyebo pretrain gpt2 a", "- It is small.", "](my%20loss.png)"):
        assert part in text
    assert "````\n안녕 ``` 하세요\n````" in text
    assert "AutoModelForCausalLM.from_pretrained('runs/x')" in text


def test_of_many_classes_the_card_shows_those_with_the_most_examples():
    rows = [(f"c{number}", 0.5, 0.25, 1 / 3, 100 - number if number < 30 else number) for number in range(80)]
    text = model_card(**CARD, by_class=("test", rows))
    assert "Each class (test, the 50 of 80 with the most examples):" in text
    rows_shown = [line for line in text.splitlines() if line.startswith("| c") and "0.250" in line]
    shown = [line.split(" | ")[0].removeprefix("| ") for line in rows_shown]
    assert shown == [f"c{number}" for number in [*range(30), *range(60, 80)]]
    assert "| c79 | 0.500 | 0.250 | 0.333 | 79 |" in text and "Each class" not in model_card(**CARD)


def test_the_card_guesses_nothing():
    text = model_card(**CARD | {"metrics": {}}, auto_class=None, pipeline_tag=None)
    assert front_matter(text) == {"library_name": "gyebo", "tags": ["gyebo", "gpt2"]}
    assert "Nothing was measured" in text
    assert "transformers" not in text
    with pytest.raises(ValueError, match="corpus"):
        model_card(**CARD | {"corpus": "a\n# b"})


def test_names_on_the_card_are_neither_html_nor_links():
    name = "<img src=x onerror=alert(1)>&amp;![p](http://e.org/p.png)"
    text = model_card(
        **CARD | {"name": name, "corpus": name, "metrics": {name: name}}, pictures={name: "a.png"}, limitations=[name]
    )
    shown = text.split("---\n")[2].replace("```python", "```").split("```")
    prose = "".join(shown[::2])  # code is shown as it is
    assert "<" not in prose and "![p]" not in prose and "&amp;amp;" in prose
    assert prose.count("&lt;img src=x onerror=alert(1)>") == 6


def test_the_code_on_the_card_runs(tokenizer, tmp_path):
    interchange.save(small(), tokenizer, tmp_path)
    text = model_card(**CARD | {"name": str(tmp_path)})
    code = text.split("```python\n")[1].split("```")[0]
    theirs = code.split("# or")[0]
    scope: dict = {}
    exec(theirs, scope)
    assert scope["model"].config.vocab_size == 300


def test_replacing_a_config_field_is_checked():
    with pytest.raises(ValueError, match="eos_id"):
        replace(Gpt2Config(**SHAPE), eos_id=300)
