"""A family from outside, registered by a line in the tree and a table of names, goes through save, load and fine-tuning.

Its format asks for more than names: matrices stored for each head [D, H, d] (as XLNet's), two rows before the first position
(as BART's), a field that stands for two of our options (as T5's), and a layer norm of an old name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file

from gyebo.interchange import load, save
from gyebo.interchange.families import gpt
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers, pairs
from gyebo.interchange.hooks import OptionHook, TensorHook
from gyebo.interchange.registry import FORMATS
from gyebo.interchange.saving import auto_class
from gyebo.interchange.task_heads import with_heads
from gyebo.interchange.tensor_names import our_names, their_names
from gyebo.models.family import FAMILIES
from gyebo.models.gpt import Gpt, GptConfig
from gyebo.tasks.heads.task_model import TaskModel, add_head
from gyebo.tasks.kinds.table import KINDS


@dataclass
class ToyConfig(GptConfig):
    """GPT's."""


class Toy(Gpt):
    """A GPT under another name."""

    family: ClassVar[str] = "toy"
    config_class: ClassVar[type] = ToyConfig
    sizes: ClassVar[dict[str, ToyConfig]] = {"tiny": ToyConfig(vocab_size=31, context=9, width=12, layers=2, heads=3)}


def per_head(tensors, options):
    """Queries, keys and values [H * d, D] -> [D, H, d]; two rows of zeros before the positions."""

    def change(name, tensor):
        if name.endswith((".q", ".k", ".v")):
            return tensor.map(lambda matrix: matrix.T.reshape(options["width"], options["heads"], -1))
        if name == "positions":
            return tensor.map(lambda table: torch.cat([table.new_zeros(2, options["width"]), table]))
        return tensor

    return {name: change(name, tensor) for name, tensor in tensors.items()}


def joined_heads(tensors, options):
    """Back."""

    def change(name, tensor):
        if name.endswith((".q", ".k", ".v")):
            return tensor.map(lambda matrix: matrix.reshape(options["width"], -1).T)
        return tensor.map(lambda table: table[2:]) if name == "positions" else tensor

    return {name: change(name, tensor) for name, tensor in tensors.items()}


def one_shape(options):
    """Two options of ours -> one word of theirs."""
    return {
        **{k: v for k, v in options.items() if k not in ("layers", "heads")},
        "shape": f"{options['layers']}x{options['heads']}",
    }


def two_numbers(options):
    """Back."""
    layers, _, heads = options["shape"].partition("x")
    if not (layers.isdecimal() and heads.isdecimal()):
        raise ValueError(f"shape must be LAYERSxHEADS, but is {options['shape']!r} instead")
    return {**{k: v for k, v in options.items() if k != "shape"}, "layers": int(layers), "heads": int(heads)}


LAYER = "stack.*."
TABLE = Format(
    family="toy",
    model_type="gyebo-toy",
    architectures=(
        Architecture("ToyModel"),
        Architecture("ToyForTagging", kind="tagging", weights=head_layers(out="tags"), dropout=("tag_dropout",)),
    ),
    base="toy.",
    weights=(
        Weight("tokens", "token_embedding.weight"),
        Weight("positions", "position_embedding.weight"),
        Weight(tuple(f"{LAYER}{name}" for name in "qkv"), "blocks.*.attention.qkv.weight"),
        Weight(tuple(f"{LAYER}{name}_bias" for name in "qkv"), "blocks.*.attention.qkv.bias"),
        *pairs(
            (f"{LAYER}{theirs}", f"blocks.*.{ours}")
            for theirs, ours in (
                ("norm", "attention_norm"),
                ("o", "attention.out"),
                ("ff.norm", "mlp_norm"),
                ("ff.1", "mlp.up"),
                ("ff.2", "mlp.down"),
            )
        ),
        Weight("output", "lm_head.weight", head=True),
    ),
    fields=(
        Field("words", "vocab_size", "count", 31),
        Field("positions", "context", "count", 9),
        Field("width", "width", "count", 12),
        Field("shape", "shape", "word", "2x3"),
        Field("tied", "tied", "flag", True),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    renamed={".gamma": ".weight"},
    tensors=TensorHook(per_head, joined_heads),
    options=OptionHook(one_shape, two_numbers),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    line = replace(FAMILIES["gpt"], name="toy", cls=f"{__name__}:Toy", sizes={"tiny": 0}, in_transformers=False)
    monkeypatch.setitem(FAMILIES, "toy", line)
    monkeypatch.setitem(FORMATS, "gyebo-toy", TABLE)


def toy(**options):
    torch.manual_seed(3)
    model = Toy(replace(Toy.sizes["tiny"], **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.4)
    return model


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def ids():
    return torch.randint(31, (2, 7), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, {"tied": False, "layers": 1, "heads": 4, "pad_id": 2}])
@pytest.mark.parametrize("shard", [10**9, 900])
@torch.no_grad()
def test_it_is_saved_under_its_names_and_comes_back(options, shard, tmp_path):
    model = toy(**options)
    save(model, None, tmp_path, max_shard_bytes=shard)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shard == 900)
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    width, heads = model.config.width, model.config.heads
    qkv, keys = model.blocks[0].attention.qkv.weight, stored["toy.stack.0.k"]
    assert keys.shape == (width, heads, width // heads)
    assert torch.equal(keys[5, 1], qkv[width + width // heads : width + 2 * width // heads, 5])  # head 1, input 5
    assert stored["toy.positions"].shape == (11, width) and not stored["toy.positions"][:2].any()
    assert ("output" in stored) == (not model.config.tied) and "toy.output" not in stored
    given = json.loads((tmp_path / "config.json").read_text())
    assert given["shape"] == f"{model.config.layers}x{heads}" and not {"layers", "heads"} & given.keys()
    again, _ = load(tmp_path)
    assert type(again) is Toy and again.config == model.config and auto_class(again) is None
    same(again, model)
    assert torch.equal(again(ids()).logits, model(ids()).logits)
    assert (again.lm_head.weight is again.token_embedding.weight) == model.config.tied


def test_files_are_read_with_their_numbers_and_old_names(tmp_path):
    model = toy()
    save(model, None, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    stored["toy.positions"][:2] = 7.0  # never looked at
    stored = {name.replace("norm.weight", "norm.gamma"): tensor.clone() for name, tensor in stored.items()}
    stored["output"] = stored["toy.tokens"].clone()
    save_file(stored, tmp_path / "model.safetensors")
    same(load(tmp_path)[0], model)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("toy.stack.1.q", (12, 12), r"toy\.stack\.1\.q is \[12, 12\], but config\.json asks for \[12, 3, 4\]"),
        ("toy.stack.1.q", (3,), r"toy\.stack\.1\.q is \[3\], but"),
        ("toy.positions", (9, 12), r"toy\.positions is \[9, 12\], but config\.json asks for \[11, 12\]"),
        ("toy.stack.0.z", (1,), r"toy\.stack\.0\.z: no such tensor in gyebo-toy"),
        ("positions", (11, 12), r"positions and toy\.positions are the same tensor"),
        ("toy.output", (31, 12), r"toy\.output: no such tensor"),  # a head stands beside the body
        ("toy.stack.2.o.bias", (12,), "declares 2 layers, but the weights hold 3"),
    ],
)
def test_what_does_not_fit_is_told_in_the_words_of_its_file(name, shape, said, tmp_path):
    save(toy(), None, tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), name: torch.zeros(shape)}, file)
    with pytest.raises(ValueError, match=said):
        load(tmp_path)


def test_what_is_missing_is_told_in_the_words_of_its_file(tmp_path):
    save(toy(), None, tmp_path)
    file = tmp_path / "model.safetensors"
    stored = load_file(file)
    for gone, said in (
        ({"toy.positions"}, r"toy\.positions missing from the weights"),
        ({"toy.stack.0.k"}, r"toy\.stack\.0\.q is in the weights, but stack\.0\.k, which belongs to it, is missing"),
    ):
        save_file({name: tensor for name, tensor in stored.items() if name not in gone}, file)
        with pytest.raises(ValueError, match=said):
            load(tmp_path)
    save_file(stored, file)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "shape": "two by three"}))
    with pytest.raises(ValueError, match=r"config\.json: shape must be LAYERSxHEADS"):
        load(tmp_path)
    with pytest.raises(ValueError, match="embedding_dropout = 0.5 cannot be saved"):
        save(toy(embedding_dropout=0.5), None, tmp_path)


HEADS = [name for name, kind in KINDS.items() if kind.head and not kind.head.sees and name != "regression"]


@pytest.mark.parametrize("kind", HEADS)
def test_it_is_fine_tuned(kind, tmp_path):
    save(toy(), None, tmp_path / "pretrained")
    labels = None if KINDS[kind].head.outputs else ["a", "b"]
    model = add_head(load(tmp_path / "pretrained")[0], "last", kind, labels, dropout=0.25).eval()
    with torch.no_grad():  # as if something had been learned
        for parameter in model.head.parameters():
            parameter.normal_()
    save(model, None, tmp_path / "tuned")
    given = json.loads((tmp_path / "tuned" / "config.json").read_text())
    own = {"tagging": ("ToyForTagging", "tag_dropout")}  # the one that its table names
    name, dropout = own.get(kind, (f"GyeboFor{KINDS[kind].head.transformers_class}", "classifier_dropout"))
    assert given["architectures"] == [name] and given[dropout] == 0.25
    again, _ = load(tmp_path / "tuned")
    assert isinstance(again, TaskModel) and (again.kind.name, again.labels, again.dropout) == (kind, model.labels, 0.25)
    same(again, model)
    stored = load_file(tmp_path / "tuned" / "model.safetensors")
    heads = {name for name in model.state_dict() if name.startswith("head.")}
    assert heads <= stored.keys() if kind != "tagging" else {"tags.weight", "tags.bias"} <= stored.keys()


def test_a_kind_of_task_from_outside_has_a_class_and_names(monkeypatch):
    head = replace(KINDS["tagging"].head, transformers_class="RhymeDetection")
    monkeypatch.setitem(KINDS, "rhyming", replace(KINDS["tagging"], name="rhyming", head=head))
    for table in (TABLE, gpt.FORMAT):
        whole = with_heads(table)
        architecture = whole.architecture("GyeboForRhymeDetection")
        assert architecture.kind == "rhyming"
        assert their_names(whole, "head.deep.3.weight", architecture).names == ("head.deep.3.weight",)
        found = our_names(whole, {"head.deep.3.weight": "x", "mix.gain": "y"}, "z", architecture)
        assert set(found) == {"head.deep.3.weight", "mix.gain"}
        with pytest.raises(ValueError, match="w: no such tensor"):
            our_names(whole, {"heads.deep.3.weight": "w"}, "z", architecture)
