"""Directories of BERT, RoBERTa and DistilBERT: old and sharded files, what is refused, what ours say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import gyebo
import gyebo.interchange as interchange
from gyebo.interchange.config_fields import read_config
from gyebo.interchange.families import bert, distilbert, roberta
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.distilbert import Distilbert, DistilbertConfig
from gyebo.models.roberta import Roberta, RobertaConfig
from tests.interchange.encoder_references import (
    BODY,
    CONFIGS,
    FIRST,
    OURS,
    agree,
    largest,
    mlm,
    opened,
    reference_encoder,
    tokens,
)


@pytest.mark.parametrize("family", list(CONFIGS))
@torch.no_grad()
def test_shards_pickles_and_old_names(family, tmp_path):
    reference = reference_encoder(family)
    ids = tokens(101, 2, 9)
    expected = mlm(reference(ids))

    def check(folder):
        ours, _ = interchange.load(folder)
        assert largest(ours(ids).logits, expected) < 1e-4
        return ours

    reference.save_pretrained(tmp_path / "shards", max_shard_size="3KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 10  # so query, key and value lie apart
    ours = check(tmp_path / "shards")

    interchange.save(ours, None, tmp_path / "ours", max_shard_bytes=9000)
    assert len(list((tmp_path / "ours").glob("model-*.safetensors"))) > 2
    agree(reference, opened(tmp_path / "ours", FIRST[family]), True)
    check(tmp_path / "ours")

    old = {}
    for key, tensor in reference.state_dict().items():
        key = key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[key] = tensor.clone()
    assert any("gamma" in key for key in old)
    old[f"{family}.embeddings.position_ids"] = torch.arange(32)[None]
    (tmp_path / "old").mkdir()
    reference.config.architectures = [FIRST[family]]
    reference.config.save_pretrained(tmp_path / "old")
    torch.save(old, tmp_path / "old" / "pytorch_model.bin")
    check(tmp_path / "old")


@pytest.mark.parametrize("family", list(CONFIGS))
def test_a_bare_body_has_names_without_a_prefix(family, tmp_path):
    reference_encoder(family, BODY[family]).save_pretrained(tmp_path / "theirs")
    interchange.save(interchange.load(tmp_path / "theirs")[0], None, tmp_path / "ours")
    theirs, ours = (load_file(tmp_path / who / "model.safetensors").keys() for who in ("theirs", "ours"))
    assert ours == theirs


@pytest.mark.parametrize(("family", "head"), [("bert", "cls.predictions"), ("roberta", "lm_head")])
@torch.no_grad()
def test_the_bias_that_stands_twice(family, head, tmp_path):
    first, second = f"{head}.bias", f"{head}.decoder.bias"
    reference = reference_encoder(family)
    reference.save_pretrained(tmp_path)
    ids, path = tokens(101, 2, 9), tmp_path / "model.safetensors"
    expected, state = mlm(reference(ids)), load_file(path)
    bias = reference.state_dict()[first]
    state = {key: tensor for key, tensor in state.items() if key not in (first, second)}
    for held in ({first: bias}, {second: bias}, {first: bias, second: bias.clone()}):
        save_file(state | held, path)
        assert largest(interchange.load(tmp_path)[0](ids).logits, expected) < 1e-4
    save_file(state | {first: bias, second: bias + 1}, path)
    with pytest.raises(ValueError, match=f"{first} differs"):
        interchange.load(tmp_path)
    save_file(state, path)
    with pytest.raises(ValueError, match=f"{second} missing"):
        interchange.load(tmp_path)
    interchange.save(gyebo.load(_with(tmp_path, state | {first: bias}))[0], None, tmp_path / "ours")
    assert {first, second} <= load_file(tmp_path / "ours" / "model.safetensors").keys()


def _with(folder, state):
    save_file(state, folder / "model.safetensors")
    return folder


@torch.no_grad()
def test_an_untied_bias_is_the_one_that_is_computed_with(tmp_path):
    reference = reference_encoder("bert", tie_word_embeddings=False)
    state = reference.state_dict()
    assert largest(state["cls.predictions.bias"], state["cls.predictions.decoder.bias"]) > 0.1
    reference.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    assert torch.equal(ours.mlm_head.decoder.bias, state["cls.predictions.decoder.bias"])
    assert ours.mlm_head.decoder.weight is not ours.token_embedding.weight


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        ("bert", "is_decoder", True),
        ("bert", "add_cross_attention", True),
        ("bert", "position_embedding_type", "relative_key"),
        ("bert", "hidden_act", "mish"),
        ("bert", "architectures", ["BertLMHeadModel"]),
        ("bert", "architectures", ["RobertaForMaskedLM"]),
        ("bert", "num_attention_heads", 4),
        ("bert", "embedding_size", 12),
        ("bert", "intermediate_size", None),
        ("roberta", "is_decoder", True),
        ("roberta", "add_cross_attention", True),
        ("roberta", "position_embedding_type", "relative_key_query"),
        ("roberta", "pad_token_id", None),
        ("roberta", "max_position_embeddings", 2),
        ("roberta", "architectures", ["RobertaForCausalLM"]),
        ("distilbert", "add_cross_attention", True),
        ("distilbert", "position_embedding_type", "relative_key"),
        ("distilbert", "hidden_dim", "40"),
        ("distilbert", "n_heads", 2),
    ],
)
def test_what_is_refused_is_named(family, field, value, tmp_path):
    reference_encoder(family).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"position_embedding_type": "absolute", "is_decoder": False}))
    interchange.load(tmp_path)
    path.write_text(json.dumps(config | {field: value}))
    words = {"pad_token_id": "pad_id", "num_attention_heads": "width.*heads", "n_heads": "width.*heads"}
    with pytest.raises(ValueError, match=rf"config\.json: .*{words.get(field, field)}") as caught:
        interchange.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_extra_and_wrong_tensors(tmp_path):
    reference_encoder("bert").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    query, key = (f"bert.encoder.layer.1.attention.self.{name}.weight" for name in ("query", "key"))

    def refused(words, remove=(), **tensors):
        save_file({name: tensor for name, tensor in state.items() if name not in remove} | tensors, path)
        with pytest.raises(ValueError, match=words):
            interchange.load(tmp_path)

    refused(rf"{query} is in the weights, but encoder\.layer\.1\.attention\.self\.key\.weight", remove=[key])
    value = key.replace("key", "value")
    refused(rf"{query}, {key}, {value} missing", remove=[query, key, value])
    refused(r"score\.weight: no such tensor", **{"score.weight": torch.zeros(2)})
    refused(rf"{key} is \[21, 20\], but config.json asks for \[21, 21\]", **{key: torch.zeros(21, 20)})
    refused(rf"{key} is not of type", **{key: torch.zeros(21, 21, dtype=torch.int8)})
    refused(r"cls\.seq_relationship\.weight missing", remove=["cls.seq_relationship.weight"])
    refused(r"cls\.predictions\.decoder\.bias missing", remove=["cls.predictions.bias", "cls.predictions.decoder.bias"])
    old = "bert.embeddings.LayerNorm.gamma"
    refused(f"{old} and .*LayerNorm.weight are the same tensor", **{old: torch.ones(21)})


@pytest.mark.parametrize("cls", [Bert, Distilbert])
def test_one_field_for_two_dropouts(cls, tmp_path):
    shape = {"vocab_size": 37, "context": 16, "width": 12, "layers": 1, "heads": 2}
    with pytest.raises(ValueError, match=r"residual_dropout = 0\.3 and embedding_dropout = 0\.2 cannot be saved.*dropout"):
        interchange.save(cls(cls.config_class(**shape, embedding_dropout=0.2, residual_dropout=0.3)), None, tmp_path / "out")
    with pytest.raises(ValueError, match="norm_eps"):
        interchange.save(Distilbert(DistilbertConfig(**shape, norm_eps=1e-5)), None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- our own ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", list(CONFIGS))
@torch.no_grad()
def test_a_fresh_model_of_ours_opens_in_transformers(family, tmp_path):
    cls = OURS[family]
    torch.manual_seed(0)
    model = cls(cls.config_class(vocab_size=37, context=16, width=21, layers=2, heads=3, pad_id=4, bos_id=7, eos_id=8)).eval()
    (tmp_path / "generation_config.json").write_text("{}")  # of a model that stood here before
    model.save_pretrained(tmp_path)
    back = opened(tmp_path, FIRST[family])
    ids = tokens(37, 2, 16)
    assert largest(mlm(back(ids)), model(ids).logits) < 1e-4
    assert (back.config.pad_token_id, back.config.bos_token_id, back.config.eos_token_id) == (4, 7, 8)
    auto = type(transformers.AutoModelForMaskedLM.from_pretrained(tmp_path))
    assert auto.__name__ == FIRST[family].replace("PreTraining", "MaskedLM")
    again = cls.from_pretrained(tmp_path)
    assert torch.equal(again.blocks[1].attention.qkv.weight, model.blocks[1].attention.qkv.weight)
    assert again.config.inner == 84  # written, though ours said nothing
    back.save_pretrained(tmp_path / "back")
    assert (tmp_path / "generation_config.json").exists() == (tmp_path / "back" / "generation_config.json").exists() is False


ELECTRAS = ("discriminator", "embedding_width", "replaced")  # test_electra.py


def test_every_option_comes_back(tmp_path):
    odd = {
        "vocab_size": 40,
        "context": 9,
        "width": 12,
        "layers": 1,
        "heads": 2,
        "inner": 5,
        "activation": "quick_gelu",
        "embedding_dropout": 0.2,
        "residual_dropout": 0.2,
        "attention_dropout": 0.3,
        "norm_eps": 1e-3,
        "init_std": 0.5,
        "tied": False,
        "pad_id": 9,
        "bos_id": 3,
        "eos_id": 4,
    }
    for config in (
        BertConfig(**odd, segments=3, mlm=False, nsp=False, pooler=False),
        RobertaConfig(**odd, segments=3, mlm=False, pooler=True),
        DistilbertConfig(**{**odd, "norm_eps": 1e-12}, mlm=False),
    ):
        plain = type(config)()
        same = {name for name in vars(config) if getattr(config, name) == getattr(plain, name)}
        fixed = {RobertaConfig: {"nsp"}, DistilbertConfig: {"segments", "nsp", "pooler", "norm_eps"}}
        assert same == {"prefix", *ELECTRAS} | fixed.get(type(config), set())
        with pytest.raises(ValueError, match="prefix has no effect"):
            replace(config, prefix=True)
        model = {BertConfig: Bert, RobertaConfig: Roberta, DistilbertConfig: Distilbert}[type(config)](config)
        interchange.save(model, None, tmp_path)
        assert interchange.load(tmp_path)[0].config == config


def test_the_defaults_of_transformers_stand_in_for_missing_fields():
    for table, theirs in (
        (bert.FORMAT, transformers.BertConfig()),
        (roberta.FORMAT, transformers.RobertaConfig()),
        (distilbert.FORMAT, transformers.DistilBertConfig()),
    ):
        bare = read_config(table, {"model_type": table.model_type}, "x")
        assert bare == read_config(table, theirs.to_dict(), "x")
        assert bare["context"] == theirs.max_position_embeddings - (2 if table is roberta.FORMAT else 0)


def test_published_configs_are_read():
    """Fields of released config.json files that today's transformers no longer writes."""
    google = {
        "architectures": ["BertForMaskedLM"],
        "directionality": "bidi",
        "gradient_checkpointing": False,
        "pooler_fc_size": 768,
        "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3,
        "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform",
        "position_embedding_type": "absolute",
        "model_type": "bert",
        "use_cache": True,
        "vocab_size": 119547,
    }
    assert Bert.config_class(**read_config(bert.FORMAT, google, "x")) == BertConfig(vocab_size=119547, inner=3072, pad_id=0)
    facebook = {
        "architectures": ["RobertaForMaskedLM"],
        "bos_token_id": 0,
        "eos_token_id": 2,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514,
        "model_type": "roberta",
        "pad_token_id": 1,
        "type_vocab_size": 1,
        "vocab_size": 50265,
    }
    assert Roberta.config_class(**read_config(roberta.FORMAT, facebook, "x")) == RobertaConfig(inner=3072)
    hugging = {
        "architectures": ["DistilBertForMaskedLM"],
        "model_type": "distilbert",
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
    }
    assert Distilbert.config_class(**read_config(distilbert.FORMAT, hugging, "x")) == DistilbertConfig(inner=3072, pad_id=0)


def test_one_family_does_not_open_as_another(tmp_path):
    reference_encoder("roberta").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of RoBERTa, not of BERT"):
        Bert.from_pretrained(tmp_path)
