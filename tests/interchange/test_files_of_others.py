"""Directories as people publish them: fields that describe, fields of early versions, prefixes of wrappers, class names."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

import gyebo
from gyebo.config.trusted import trusting
from tests.interchange.encoder_references import largest, reference_encoder, tokens

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path):
    reference_encoder("bert").save_pretrained(tmp_path)
    return tmp_path


def edit(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(folder, words, **options):
    with pytest.raises(ValueError, match=words) as caught:
        gyebo.load(folder, **options)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


# -- fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"kobert_version": 1.0},
        {"email": "a@example.org", "author": "Someone", "homepage": "https://example.org"},
        {"note": "trained on comments"},
        {"training_date": 20210428, "num_train_steps": 1_000_000, "train_seed": 7},
        {"description": {"text": "of news", "corpus": ["a", "b"]}},
    ],
)
def test_what_describes_is_said_and_passed_over(folder, fields):
    edit(folder, **fields)
    with pytest.warns(UserWarning, match=next(iter(fields))) as heard:
        gyebo.load(folder)
    assert len(heard) == 1 and str(folder) in str(heard[0].message) and "\n" not in str(heard[0].message)


@pytest.mark.parametrize(
    "fields",
    [
        {"eos_token_ids": [0], "loss_type": "ForMaskedLM", "model_max_length": 512, "transformers.js_config": {"dtype": "q8"}},
        {"xla_device": True, "n_special": 0, "predict_special_tokens": True, "language": "ko", "output_scores": True},
        {"num_labels": 3, "finetuning_task": "x", "use_bfloat16": True, "torchscript": True, "attn_implementation": "sdpa"},
    ],
)
def test_what_transformers_wrote_for_every_model_hinders_nobody(folder, fields):
    edit(folder, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gyebo.load(folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"attention_window": 3},
        {"attn_softcap": 2.5},
        {"rotary": True},
        {"norm_placement": "pre"},
        {"residual": "deep"},
        {"ffn_type": "glu"},
        {"position_bucket": "log"},
        {"my_table": [1, 2, 3]},
        {"my_options": {"a": 1}},
        {"factor": "0.5"},
        {"hidden_act_of_head": "relu"},
    ],
)
def test_what_may_compute_is_refused_until_it_is_named(folder, fields):
    edit(folder, **fields)
    name = next(iter(fields))
    line = refused(folder, name)
    assert "ignore=" in line and "--trust-config" in line
    gyebo.load(folder, ignore=[name])
    with trusting([name]):
        gyebo.load(folder)
    refused(folder, name, ignore=["another"])


def test_what_gyebo_reads_cannot_be_passed_over(folder):
    for name in ("hidden_size", "quantization_config", "is_decoder"):
        refused(folder, f"ignore: {name}", ignore=[name])
    with pytest.raises(ValueError, match="ignore: got one string"):
        gyebo.load(folder, ignore="author")


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@torch.no_grad()
def test_prefixes_of_wrappers_are_taken_off(folder, prefix):
    ids, path = tokens(101, 2, 9), folder / "model.safetensors"
    expected = gyebo.load(folder)[0](ids).logits
    save_file({prefix + name: tensor for name, tensor in load_file(path).items()}, path)
    assert largest(gyebo.load(folder)[0](ids).logits, expected) == 0


@torch.no_grad()
def test_a_body_that_was_compiled_alone(folder):
    ids, path = tokens(101, 2, 9), folder / "model.safetensors"
    expected = gyebo.load(folder)[0](ids).logits
    save_file({name.replace("bert.", "bert._orig_mod."): tensor for name, tensor in load_file(path).items()}, path)
    assert largest(gyebo.load(folder)[0](ids).logits, expected) == 0


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_is_named_as_what_it_is(folder, key):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({key: state, "epoch": 3}, folder / "pytorch_model.bin")
    line = refused(folder, f"a training checkpoint, whose weights stand under '{key}'")
    assert "torch.save" in line


# -- tokenizers ------------------------------------------------------------------------------------------------------

WORDS = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "나는", "학교", "##에서", "[MASK]"]


@torch.no_grad()
def test_roberta_with_the_vocabulary_of_bert(tmp_path):
    """KLUE's: the pair has one [SEP] in the middle, as its class of tokenizers says, and the model has one segment."""
    shape = {"vocab_size": 101, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    reference = reference_encoder("roberta", "RobertaModel", **shape)
    reference.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    names = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "bos_token": "[CLS]", "eos_token": "[SEP]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    model, ours = gyebo.load(tmp_path)
    for texts in (("나는 학교에서",), ("나는", "학교에서"), (["나는", "학교"], ["", "나는"])):
        given = ours(*texts)
        assert given["input_ids"] == theirs(*texts)["input_ids"]
        assert given.keys() == {"input_ids", "attention_mask"}
    assert ours("나는", "학교에서")["input_ids"] == [0, 4, 2, 5, 6, 2]
    batch = ours(["나는", "학교"], ["", "나는"], padding=True, return_tensors="pt")
    assert (
        largest(model(**batch).last_hidden_state, reference(**batch).last_hidden_state * batch["attention_mask"][..., None])
        < 1e-4
    )
    gyebo.save(model, ours, tmp_path / "saved")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again("나는", "학교에서")["input_ids"] == [0, 4, 2, 5, 6, 2]


@pytest.mark.parametrize(
    ("family", "field", "most"),
    [
        ("elmo", "num_highways", 1000),
        ("dvae", "n_blk_per_group", 1000),
        ("dvae", "group_count", 30),
        ("vqvae", "num_halvings", 30),
    ],
)
def test_parts_that_are_built_one_by_one_are_counted_first(family, field, most):
    from gyebo.interchange.config_fields import read_config
    from gyebo.interchange.registry import formats_of

    with pytest.raises(ValueError, match=f"x: {field} must be at most {most}, but is 1000000000"):
        read_config(formats_of(family)[0], {field: 10**9}, "x")
