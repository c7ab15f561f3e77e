"""Hostile, damaged and unsupported directories: one clear line each, nothing executed, no memory taken."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import time
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

import gyebo.interchange as interchange


@pytest.fixture
def folder(reference, tmp_path):
    """A good directory of GPT-2, to be damaged."""
    reference("gpt2").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(folder, *words, kind=ValueError):
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        interchange.load(folder)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line
    assert time.monotonic() - started < 2
    return line


def as_pickle(folder, **objects):
    """Replace model.safetensors by pytorch_model.bin."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**state, **objects}, folder / "pytorch_model.bin")
    return state


# -- hostile pickles -------------------------------------------------------------------------------------------------


class Marker:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


HOSTILE = ("raw", "torch", "torch before 1.6")


def hostile_bytes(form, marker, tmp_path):
    path = tmp_path / "hostile"
    if form == "raw":
        path.write_bytes(pickle.dumps(Marker(marker), protocol=2))
    else:
        torch.save({"wte.weight": Marker(marker)}, path, _use_new_zipfile_serialization=form == "torch")
    return path.read_bytes()


@pytest.mark.parametrize("form", HOSTILE)
def test_hostile_pickles_run_nothing(form, folder, tmp_path):
    marker = tmp_path / "executed"
    payload = hostile_bytes(form, marker, tmp_path)
    torch.load(tmp_path / "hostile", weights_only=False) if form != "raw" else pickle.loads(payload)
    assert marker.exists()  # the payload works where it is unpickled
    marker.rmdir()

    good = tmp_path / "good"
    shutil.copytree(folder, good)
    names = ["config.json", "generation_config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "README.md"]
    for name in [*names, "tokenizer_config.json", "vocab.json", "merges.txt", "run.toml", "model.safetensors.index.json"]:
        (folder / name).write_bytes(payload)
    refused(folder, "config.json", "not valid JSON")
    shutil.copy(good / "config.json", folder)
    refused(folder, "model.safetensors", "damaged")
    (folder / "model.safetensors").unlink()
    refused(folder, "model.safetensors.index.json", "not valid JSON")
    (folder / "model.safetensors.index.json").unlink()
    refused(folder, "pytorch_model.bin", "refused")
    shutil.copy(good / "model.safetensors", folder)
    refused(folder, "tokenizer")
    assert not marker.exists()


OUTSIDE = ["../outside.safetensors", "/etc/passwd", "sub/model.safetensors", "..", "", 3, "a\\b.safetensors"]


@pytest.mark.parametrize("where", OUTSIDE)
def test_an_index_may_only_name_files_beside_it(where, folder):
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    names = load_file(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, where)}))
    refused(folder, "index.json", repr(where).strip("'"))


# -- damaged files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 4, 9, 200, -1, -5000])
def test_truncated_safetensors(keep, folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, str(path))


def test_a_header_that_declares_more_than_the_file_holds(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header["transformer.wte.weight"] = {"dtype": "F32", "shape": [10**12, 21], "data_offsets": [0, 84 * 10**12]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    refused(folder, str(path))
    path.write_bytes(struct.pack("<Q", 2**60) + whole[8:])
    refused(folder, str(path))


def test_damaged_pickles(folder):
    as_pickle(folder)
    path = folder / "pytorch_model.bin"
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"\0" * 1000):
        path.write_bytes(damaged)
        refused(folder, str(path))


def test_pickles_that_declare_more_than_they_hold(folder):
    path = folder / "pytorch_model.bin"
    as_pickle(folder, **{"transformer.wte.weight": torch.zeros(1).expand(101, 21)})
    refused(folder, "transformer.wte.weight", "more numbers than the file holds")
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    refused(folder, str(path), "compressed")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, {"wte.weight": torch.zeros(2).to_sparse()}, {3: torch.zeros(2)}])
def test_pickles_of_something_else(content, folder):
    as_pickle(folder)
    torch.save(content, folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"a": ' * 100_000, "\ud55c".encode("cp949").decode("latin1")])
def test_damaged_config(text, folder):
    (folder / "config.json").write_text(text, encoding="latin1")
    refused(folder, "config.json")


def test_a_giant_config_file_is_not_read(folder):
    with (folder / "config.json").open("wb") as file:
        file.truncate(2**29)
    refused(folder, "config.json", "too large")


def test_missing_files(folder, tmp_path):
    refused(tmp_path / "nowhere", "no such directory", kind=FileNotFoundError)
    refused(folder / "config.json", "is a file")
    (folder / "model.safetensors").rename(tmp_path / "kept")
    refused(folder, "no weights", "model.safetensors", kind=FileNotFoundError)
    (folder / "config.json").unlink()
    refused(folder, "config.json", kind=FileNotFoundError)


def test_missing_and_foreign_shards(reference, folder):
    (folder / "model.safetensors").unlink()
    reference("gpt2").save_pretrained(folder, max_shard_size="9KB")
    first, second = sorted(folder.glob("model-*.safetensors"))[:2]
    whole = first.read_bytes()
    first.unlink()
    refused(folder, first.name, "missing", kind=FileNotFoundError)
    shutil.copy(second, first)
    refused(folder, first.name, "not one save")
    kept = load_file(second)
    first.write_bytes(whole)
    save_file({name: kept[name] for name in sorted(kept)[1:]}, second)
    refused(folder, second.name, sorted(kept)[0], "missing")


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vocab_size": 10**12}, ["vocab_size", "1000000000000"]),
        ({"vocab_size": 2 * 10**9}, ["wte.weight", "[101, 21]", "[2000000000, 21]"]),
        ({"vocab_size": 102}, ["wte.weight", "[101, 21]", "[102, 21]"]),
        ({"n_positions": 2 * 10**9}, ["wpe.weight", "[24, 21]", "[2000000000, 21]"]),
        ({"n_embd": 42}, ["wte.weight", "[101, 21]", "[101, 42]"]),
        ({"n_embd": 2**31 - 1, "vocab_size": 2**31 - 1, "n_inner": 2**31 - 1, "n_head": 1}, ["config.json", "sizes"]),
        ({"n_inner": 2**31 - 1}, ["h.0.mlp.c_fc.weight", "[21, 84]", "[21, 2147483647]"]),
        ({"n_layer": 20_000}, ["config.json", "20000 layers", "hold 2"]),  # built layer by layer: slow long before it is large
        ({"n_layer": 10**10}, ["config.json", "n_layer", "10000000000"]),
        ({"n_layer": 1}, ["1 layers", "hold 2"]),
        ({"n_head": 5}, ["config.json", "width", "5 heads"]),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(fields, words, folder):
    edit(folder, **fields)
    refused(folder, *words)


def test_missing_extra_and_wrong_tensors(folder):
    path = folder / "model.safetensors"
    state = load_file(path)

    def write(remove=(), **tensors):
        kept = {name: tensor for name, tensor in state.items() if name not in remove}
        save_file(kept | tensors, path)

    write(remove=["transformer.h.1.mlp.c_proj.bias"])
    refused(folder, "transformer.h.1.mlp.c_proj.bias", "missing")
    write(remove=["transformer.wte.weight", "transformer.wpe.weight"])
    refused(folder, "transformer.wte.weight, transformer.wpe.weight", "missing")
    write(**{"score.weight": torch.zeros(2, 21)})
    refused(folder, "score.weight", "no such tensor")
    write(**{"transformer.h.01.ln_1.weight": torch.zeros(21)})
    refused(folder, "h.01.ln_1.weight", "no such tensor")
    write(**{"wte.weight": torch.zeros(101, 21)})
    refused(folder, "wte.weight", "the same tensor")
    write(**{"transformer.h.0.attn.c_attn.weight": torch.zeros(63, 21)})  # as nn.Linear would store it
    refused(folder, "transformer.h.0.attn.c_attn.weight", "[63, 21]", "[21, 63]")
    write(**{"transformer.wte.weight": torch.zeros(101, 21, dtype=torch.int8)})
    refused(folder, "transformer.wte.weight", "float32")


def test_a_tied_output_layer_may_stand_in_the_file_but_not_differ(folder):
    state = load_file(folder / "model.safetensors")
    twice = state | {"lm_head.weight": state["transformer.wte.weight"].clone()}
    save_file(twice, folder / "model.safetensors")
    model, _ = interchange.load(folder)
    assert model.lm_head.weight is model.token_embedding.weight
    twice["lm_head.weight"][3, 4] += 1
    save_file(twice, folder / "model.safetensors")
    refused(folder, str(folder / "model.safetensors"), "lm_head.weight", "tie_word_embeddings")
    edit(folder, tie_word_embeddings=False)
    assert interchange.load(folder)[0].lm_head.weight[3, 4] == twice["lm_head.weight"][3, 4]
    save_file(state, folder / "model.safetensors")
    refused(folder, "lm_head.weight", "missing")


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("add_cross_attention", True),
        ("activation_function", "mish"),
        ("activation_function", None),
        ("quantization_config", {"bits": 4}),
        ("auto_map", {"AutoModel": "code.Model"}),
        ("is_encoder_decoder", True),
        ("pruned_heads", {"0": [1]}),
        ("per_layer_config", {"0": {}}),
        ("attn_softcap", 30.0),
        ("rotary", True),
        ("architectures", ["GPT2ForMultipleChoice"]),
        ("architectures", ["GPT2DoubleHeadsModel"]),
        ("architectures", "GPT2LMHeadModel"),
        ("model_type", "gpt_bigcode"),
        ("model_type", 3),
        ("vocab_size", "101"),
        ("vocab_size", 101.0),
        ("vocab_size", 0),
        ("n_layer", True),
        ("n_head", -3),
        ("attn_pdrop", 1.0),
        ("resid_pdrop", -0.1),
        ("embd_pdrop", None),
        ("layer_norm_epsilon", 0),
        ("layer_norm_epsilon", float("nan")),
        ("initializer_range", float("inf")),
        ("scale_attn_weights", 1),
        ("tie_word_embeddings", "yes"),
        ("eos_token_id", [1, 2]),
        ("pad_token_id", -1),
        ("hidden_size", 22),
    ],
)
def test_unsupported_options_are_refused_by_name(field, value, folder):
    edit(folder, **{field: value})
    refused(folder, "config.json", field)


@pytest.mark.parametrize(
    "fields",
    [
        {"author": "someone", "license": "MIT", "created_date": "2021-04-28"},
        {"n_ctx": 24, "_num_labels": 1, "gradient_checkpointing": False, "torch_dtype": "float32"},
        {"task_specific_params": {"text-generation": {"do_sample": True}}, "max_length": 50, "summary_type": "cls_index"},
        {"something_new": None, "another": False, "third": []},
        {"hidden_size": 21, "max_position_embeddings": 24},
        {"architectures": None},
        {"architectures": ["GPT2LMHeadModel"], "model_type": None},
        {"eos_token_id": None, "bos_token_id": 50256},
    ],
)
def test_harmless_fields_are_accepted(fields, folder):
    edit(folder, **fields)
    model, _ = interchange.load(folder)
    assert model.config.vocab_size == 101


def test_the_defaults_of_transformers_stand_in_for_missing_fields(folder, tmp_path):
    import transformers

    from gyebo.interchange.config_fields import read_config
    from gyebo.interchange.families import gpt, gpt2

    for table, theirs in ((gpt.FORMAT, transformers.OpenAIGPTConfig()), (gpt2.FORMAT, transformers.GPT2Config())):
        bare = read_config(table, {"model_type": table.model_type}, "x")
        assert bare == read_config(table, theirs.to_dict(), "x")
        assert bare["context"] == theirs.n_positions


def test_a_revision_of_a_directory_has_no_effect(folder):
    with pytest.raises(ValueError, match="revision"):
        interchange.load(folder, revision="main")
