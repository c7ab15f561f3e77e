"""Families that `transformers` has not: a directory of ours is read back whole, and says what it is."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from gyebo.interchange import load, save
from gyebo.models.family import FAMILIES, model_class
from gyebo.tasks.heads.task_model import add_head

ALL = [name for name, family in FAMILIES.items() if not family.in_transformers]
OWN = [name for name in ALL if FAMILIES[name].head_style and not model_class(name).sees]  # those that read one text
TIED = [name for name in OWN if "tied" in {field.name for field in fields(model_class(name).config_class)}]
SHAPE = {"vocab_size": 37, "context": 19, "width": 10, "layers": 3, "pad_id": 3}
OWN_FIELDS = {
    "transformer_xl": {
        "window": 7,
        "memory": 6,
        "heads": 3,
        "head_width": 5,
        "inner": 11,
        "embedding_width": 9,
        "cutoffs": (8, 21),
        "division": 2,
        "clamp": 4,
        "same_length": True,
        "activation": "silu",
        "dropout": 0.25,
    },
    "ulmfit": {"window": 7, "inner": 14, "weight_dropout": 0.125, "hidden_dropout": 0.25},
    "elmo": {
        "characters": 7,
        "character_width": 3,
        "filters": (2, 5, 1),
        "cells": 7,
        "clip": 0.5,
        "symbols": 40,
        "dropout": 0.25,
    },
}


def fresh(family, **options):
    torch.manual_seed(1)
    cls = model_class(family)
    model = cls(cls.config_class(**{**SHAPE, **OWN_FIELDS.get(family, {"dropout": 0.25}), **options})).eval()
    if hasattr(model, "spell"):
        model.spell(torch.randint(1, model.config.symbols, model.spelling.shape))
    return model


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours)


def test_there_are_some_and_the_flag_is_true():
    pytest.importorskip("transformers")
    from transformers import CONFIG_MAPPING

    assert OWN and set(ALL) - set(OWN) == {"seq2seq", "meena", "vilbert", "vqvae", "dvae", "dalle"}
    assert all(name not in CONFIG_MAPPING for name in ALL)


@pytest.mark.parametrize("family", OWN)
@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_comes_back(family, tied, tmp_path):
    if family not in TIED and tied:
        assert not model_class(family).config_class.tied  # there is nothing to tie
        return
    model = fresh(family, **({"tied": tied} if family in TIED else {}))
    save(model, None, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == f"gyebo-{family}"
    again, tokenizer = load(tmp_path)
    assert type(again) is type(model) and again.config == model.config and tokenizer is None
    same(again, model)
    assert (family in TIED and next(again.lm_head.parameters()) is next(again.token_embedding.parameters())) == tied


@pytest.mark.parametrize("family", OWN)
@pytest.mark.parametrize("kind", ["classification", "tagging", "spans", "choice", "dependency"])
def test_a_fine_tuned_model_comes_back(family, kind, tmp_path):
    labels = None if kind in ("spans", "choice") else ["좋다", "나쁘다", "B-X"]
    untied = {"tied": False} if family in TIED else {}
    model = add_head(fresh(family, **untied), FAMILIES[family].head_style, kind, labels, dropout=0.3)
    save(model, None, tmp_path)
    again, _ = load(tmp_path)
    same(again, model)
    assert (again.kind.name, again.labels, again.dropout, again.style) == (kind, model.labels, 0.3, model.style)


@pytest.mark.parametrize("family", OWN)
def test_what_does_not_fit_is_refused_by_name(family, tmp_path):
    save(fresh(family), None, tmp_path)
    file = tmp_path / "config.json"
    given = json.loads(file.read_text())
    for change, said in (
        ({"num_hidden_layers": 2}, "declares 2 layers, but the weights hold 3"),
        ({"hidden_size": 12}, r"is \[.*\], but config.json asks for \[.*\]"),
        ({"proj_size": 4}, "proj_size"),
        ({"dropout": 1.5}, "dropout"),
    ):
        file.write_text(json.dumps({**given, **change}))
        with pytest.raises(ValueError, match=said):
            load(tmp_path)


ELMO_SHAPES = [
    {"layers": 1, "highways": 0, "filters": (3,), "characters": 3, "character_width": 1, "width": 2, "cells": 1, "clip": 0.0},
    {"layers": 4, "highways": 3, "filters": (1, 1, 7, 2), "width": 26, "cells": 5, "clip": 1e-3, "symbols": 262},
]


@pytest.mark.parametrize("shape", ELMO_SHAPES, ids=["small", "odd"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@torch.no_grad()
def test_odd_shapes_of_elmo_come_back_and_compute_the_same(shape, dtype, tmp_path):
    model = fresh("elmo", **shape)
    model.to(getattr(torch, dtype))
    save(model, None, tmp_path)
    again, _ = load(tmp_path, dtype="auto")
    same(again, model)
    assert again.config == model.config and again.spelling.dtype == torch.int32
    ids = torch.randint(37, (2, 9))
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert not (tmp_path / "generation_config.json").exists()


@pytest.mark.parametrize("layers", ["mix", "static", "top"])
def test_which_layers_a_task_reads_comes_back(layers, tmp_path):
    model = add_head(fresh("elmo"), "mix", "tagging", ["O", "B-X"], layers=layers)
    if layers == "mix":
        model.mix.scores.data.normal_()
        model.mix.gain.data.fill_(1.5)
    save(model, None, tmp_path)
    again, _ = load(tmp_path)
    same(again, model)
    assert again.layers == layers and (again.mix is not None) == (layers == "mix")
    ids = torch.randint(37, (2, 5))
    assert torch.equal(again(ids).logits, model(ids).logits)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "task_layers": "all"}))
    with pytest.raises(ValueError, match="task_layers must be one of mix, static, top"):
        load(tmp_path)


def test_a_damaged_spelling_is_refused(tmp_path):
    save(fresh("elmo"), None, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for table, said in (
        (tensors["spelling"] + 30, "symbols of the character table must be from 0 to 39"),
        (-tensors["spelling"], "symbols of the character table"),
        (tensors["spelling"].float(), "spelling is not of type int32"),
        (tensors["spelling"][1:], r"spelling is \[36, 7\], but config.json asks for \[37, 7\]"),
    ):
        save_file({**tensors, "spelling": table.contiguous()}, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=said):
            load(tmp_path)
    save_file({**tensors, "lm_head.bias": tensors["lm_head.bias"].to(torch.int32)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="lm_head.bias is not of type float32"):
        load(tmp_path)
    file = tmp_path / "config.json"
    given = json.loads(file.read_text())
    for change, said in (
        ({"character_filters": [2, 0]}, "character_filters must be a list of whole numbers of at least 1"),
        ({"character_filters": [1] * 101}, "no more than 100"),
        ({"num_highways": -1}, "num_highways must be a whole number of at least 0"),
        ({"clip": -0.5}, "clip must be a number of at least 0"),
        ({"hidden_size": 11}, "config.json: width must be even"),
    ):
        file.write_text(json.dumps({**given, **change}))
        with pytest.raises(ValueError, match=said):
            load(tmp_path)


ONE_WAY = {"bidirectional": False}
TRANSLATORS = {
    "none": {"attention": "none", **ONE_WAY, "reversed_source": True, "cell": "lstm"},
    "none-both-ways": {"attention": "none", "layers": 1},
    "additive": {"embedding": 7, "maxout": 5, "tied": False, "cell": "lstm"},
    "dot": {"attention": "dot", **ONE_WAY, "input_feeding": True},
    "general": {"attention": "general", "embedding": 13, "tied": False},
    "concat": {"attention": "concat", "input_feeding": True, "cell": "lstm", "layers": 1, "start_id": 5},
}


@pytest.mark.parametrize("options", TRANSLATORS.values(), ids=list(TRANSLATORS))
def test_a_translator_comes_back(options, tmp_path):
    model = fresh("seq2seq", **{"width": 11, "bos_id": 1, "eos_id": 2, **options})
    save(model, None, tmp_path)
    given = json.loads((tmp_path / "config.json").read_text())
    assert (given["model_type"], given["architectures"]) == ("gyebo-seq2seq", ["GyeboForTranslation"])
    assert json.loads((tmp_path / "generation_config.json").read_text())["decoder_start_token_id"] == model.start_id
    again, tokenizer = load(tmp_path)
    assert type(again) is type(model) and tokenizer is None
    assert again.config == replace(model.config, start_id=model.start_id)  # written out where it was left to bos
    same(again, model)
    assert (again.lm_head.weight is again.token_embedding.weight) == model.config.tied
    save(again, None, tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 2}, "declares 2 layers of the encoder, but the weights hold 3"),
        ({"hidden_size": 12}, r"shared.weight is \[37, 10\], but config.json asks for \[37, 12\]"),
        ({"attention": "concat"}, "attention.query.weight, attention.energy.weight missing"),
        (
            {"attention": "none"},
            "attention.key.weight, readout.bias, readout.weight in the weights, but config.json has no place",
        ),
        ({"attention": "local"}, "attention must be one of none, additive"),
        ({"bidirectional": False}, "bridge.0.bias, .* 15 more in the weights, but config.json has no place for it"),
        ({"input_feeding": True}, r"decoder.layers.0.weight_ih_l0 is \[30, 10\], but config.json asks for \[30, 20\]"),
        ({"maxout_size": 4}, "maxout has no effect"),
        ({"reversed_source": True}, "reversed_source has no effect"),
        ({"decoder_layers": 1}, "the field decoder_layers = 1 is unknown for gyebo-seq2seq"),
    ],
)
def test_what_a_translator_does_not_hold_is_refused_by_name(change, said, tmp_path):
    save(fresh("seq2seq", attention="general"), None, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=said):
        load(tmp_path)
