"""BERT, RoBERTa and DistilBERT both ways between gyebo and transformers: the same function, to 1e-4 in float32."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import gyebo
import gyebo.interchange as interchange
from gyebo.interchange import bert, distilbert, roberta
from gyebo.interchange.names import read_config
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.distilbert import Distilbert, DistilbertConfig
from gyebo.models.roberta import Roberta, RobertaConfig

SHAPE = {"vocab_size": 101, "max_position_embeddings": 32, "hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3}
CONFIGS = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig, "distilbert": transformers.DistilBertConfig}
FIRST = {"bert": "BertForPreTraining", "roberta": "RobertaForMaskedLM", "distilbert": "DistilBertForMaskedLM"}
BODY = {"bert": "BertModel", "roberta": "RobertaModel", "distilbert": "DistilBertModel"}
OURS = {"bert": Bert, "roberta": Roberta, "distilbert": Distilbert}

COMMON = {
    "plain": {},
    "one layer": {"num_hidden_layers": 1},
    "one head": {"num_attention_heads": 1},
    "untied": {"tie_word_embeddings": False},
    "no padding": {"pad_token_id": 0},
}
BERTS = COMMON | {
    "inner": {"intermediate_size": 13},
    "eps": {"layer_norm_eps": 0.1},
    "dropouts": {"hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0},
    "three segments": {"type_vocab_size": 3},
    "all": {
        "num_hidden_layers": 3,
        "num_attention_heads": 7,
        "tie_word_embeddings": False,
        "intermediate_size": 5,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-3,
        "type_vocab_size": 1,
        "vocab_size": 11,
    },
}
CASES = [("bert", name, options) for name, options in BERTS.items()]
CASES += [("roberta", name, options) for name, options in BERTS.items()]
CASES += [("roberta", "late start", {"pad_token_id": 5}), ("roberta", "as published", {"type_vocab_size": 1, "layer_norm_eps": 1e-5})]
CASES += [
    ("distilbert", name, options)
    for name, options in (
        COMMON
        | {
            "inner": {"hidden_dim": 13},
            "dropouts": {"dropout": 0.25, "attention_dropout": 0},
            "all": {"n_layers": 3, "n_heads": 7, "tie_word_embeddings": False, "hidden_dim": 5, "vocab_size": 11},
        }
    ).items()
]
ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python", "quick_gelu", "relu", "silu", "swish", "tanh")
CASES += [(family, name, {"activation" if family == "distilbert" else "hidden_act": name}) for family in CONFIGS for name in ACTIVATIONS]
IDS = [f"{family} {name}" for family, name, _ in CASES]


@pytest.fixture
def theirs():
    """theirs("bert", "BertForMaskedLM", hidden_act="relu") -> a model of transformers with every tensor drawn at random."""

    def make(family: str, name: str | None = None, **options):
        torch.manual_seed(len(family))
        options = {**SHAPE, "intermediate_size": 40, "hidden_dim": 40, "pad_token_id": 1, **options}
        if family == "distilbert":
            del options["intermediate_size"]
        else:
            del options["hidden_dim"]
        config = CONFIGS[family](**options)
        config._attn_implementation = "eager"
        model = getattr(transformers, name or FIRST[family])(config).eval()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                gain = "norm" in key.lower() and key.endswith("weight")
                parameter.copy_(gain + 0.3 * torch.randn_like(parameter))
        return model

    return make


def tokens(vocabulary: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(6, vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def kinds(model, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    segments = getattr(model.config, "type_vocab_size", 0)
    return {"token_type_ids": torch.arange(ids.shape[1]).expand_as(ids) % segments} if segments > 1 else {}


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max())


def mlm(out) -> torch.Tensor:
    return out.prediction_logits if hasattr(out, "prediction_logits") else out.logits


def opened(folder, name: str):
    """Our directory in transformers, without a word of complaint."""
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    assert not any(report.values()), report
    return model


def agree(before, after, tied: bool) -> None:
    """Two models of transformers have the same numbers; the bias that stands twice is used once where it is not tied."""
    first, second = before.state_dict(), after.state_dict()
    assert first.keys() == second.keys()
    unused = () if tied else ("cls.predictions.bias", "lm_head.bias")
    assert all(torch.equal(first[key], second[key]) for key in first if key not in unused)


@pytest.mark.parametrize(("family", "name", "options"), CASES, ids=IDS)
@torch.no_grad()
def test_both_directions(family, name, options, theirs, tmp_path):
    reference = theirs(family, **options)
    reference.save_pretrained(tmp_path / "theirs")
    ids = tokens(reference.config.vocab_size, 3, 19)
    given = kinds(reference, ids)
    expected = reference(ids, **given)
    ours, tokenizer = gyebo.load(tmp_path / "theirs")
    assert tokenizer is None and type(ours) is OURS[family] and not ours.training
    assert ours.heads == (("mlm", "nsp") if family == "bert" else ("mlm",))
    assert mlm(expected).std() > 0.05  # else nothing would be compared
    found = ours(ids, **given)
    assert largest(found.logits, mlm(expected)) < 1e-4
    if family == "bert":
        assert largest(found.seq_relationship_logits, expected.seq_relationship_logits) < 1e-4

    interchange.save(ours, None, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == [FIRST[family]]
    back = opened(tmp_path / "ours", FIRST[family])
    agree(reference, back, reference.config.tie_word_embeddings)
    assert largest(mlm(back(ids, **given)), found.logits) < 1e-4
    again, _ = interchange.load(tmp_path / "ours")
    assert again.config == ours.config
    assert largest(again(ids, **given).logits, found.logits) == 0
    kept = back.config.to_dict()
    same = {"gelu_pytorch_tanh", "gelu_fast", "gelu_python", "swish"}
    for field, value in reference.config.to_dict().items():
        if not field.startswith(("transformers_version", "_", "dtype")) and str(value) not in same:
            assert kept[field] == value, field
    back.save_pretrained(tmp_path / "back")
    assert interchange.load(tmp_path / "back")[0].config == ours.config


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", list(CONFIGS))
@torch.no_grad()
def test_padding_hidden_states_and_attentions(family, side, theirs, tmp_path):
    pad = 5 if family == "roberta" else 1
    reference = theirs(family, num_hidden_layers=3, pad_token_id=pad)
    reference.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    lengths = (12, 5, 1)
    mask = torch.tensor([[0] * (12 - n) + [1] * n if side == "left" else [1] * n + [0] * (12 - n) for n in lengths])
    ids = torch.where(mask == 1, tokens(101, 3, 12), pad)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    if family == "roberta":
        positions = mask.cumsum(-1) * mask + pad
    given = kinds(reference, ids)
    wanted = {"output_hidden_states": True, "output_attentions": True}
    expected = reference(ids, attention_mask=mask, position_ids=positions, **given, **wanted)
    if family == "roberta":  # which finds the positions itself too
        assert largest(expected.logits, reference(ids, attention_mask=mask, **given).logits) < 1e-4
    real = mask.bool()
    for chosen in ({"position_ids": positions}, {}):
        for more in (wanted, {}):
            found = ours(ids, attention_mask=mask, **chosen, **given, **more)
            assert largest(found.logits[real], mlm(expected)[real]) < 1e-4
            if not more:
                continue
            assert len(found.hidden_states) == len(expected.hidden_states) == 4
            for a, b in zip(found.hidden_states, expected.hidden_states):
                assert largest(a[real], b[real]) < 1e-4
            assert len(found.attentions) == 3
            for a, b in zip(found.attentions, expected.attentions):
                rows = real[:, None, :].expand(a.shape[:3])
                assert largest(a[rows], b[rows]) < 1e-5
    if family == "bert" and side == "right":
        assert largest(found.seq_relationship_logits, expected.seq_relationship_logits) < 1e-4


@pytest.mark.parametrize("family", list(CONFIGS))
@torch.no_grad()
def test_packed_documents_as_each_alone(family, theirs, tmp_path):
    reference = theirs(family)
    reference.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    ids = tokens(101, 1, 24)
    documents = torch.tensor([[7] * 9 + [3] * 1 + [8] * 11 + [0] * 3])
    found = ours(ids, document_ids=documents).logits
    for start, end in ((0, 9), (9, 10), (10, 21)):
        assert largest(found[:, start:end], mlm(reference(ids[:, start:end]))) < 1e-4


PARTS = {
    "BertForPreTraining": ("mlm", "nsp", "pooler"),
    "BertForMaskedLM": ("mlm",),
    "BertForNextSentencePrediction": ("nsp", "pooler"),
    "BertModel": ("pooler",),
    "RobertaForMaskedLM": ("mlm",),
    "RobertaModel": ("pooler",),
    "DistilBertForMaskedLM": ("mlm",),
    "DistilBertModel": (),
}


@pytest.mark.parametrize(("name", "parts"), PARTS.items())
@torch.no_grad()
def test_the_class_says_which_parts_there_are(name, parts, theirs, tmp_path):
    family = next(family for family in ("distilbert", "roberta", "bert") if name.lower().startswith(family))
    reference = theirs(family, name)
    reference.save_pretrained(tmp_path / "theirs")
    ours, _ = interchange.load(tmp_path / "theirs")
    assert tuple(part for part in ("mlm", "nsp", "pooler") if getattr(ours.config, part)) == parts
    ids = tokens(101, 2, 9)
    expected, found = reference(ids), ours(ids)
    if "mlm" in parts:
        assert largest(found.logits, mlm(expected)) < 1e-4
    elif "nsp" in parts:
        assert largest(found.seq_relationship_logits, expected.logits) < 1e-4
    else:
        assert largest(found.last_hidden_state, expected.last_hidden_state) < 1e-4
        assert not parts or largest(found.pooler_output, expected.pooler_output) < 1e-4
    interchange.save(ours, None, tmp_path / "ours")
    assert type(opened(tmp_path / "ours", name)) is type(reference)
    agree(reference, opened(tmp_path / "ours", name), True)
    saved = load_file(tmp_path / "ours" / "model.safetensors")
    assert (name in BODY.values()) == all(not key.startswith(f"{family}.") for key in saved)


@torch.no_grad()
def test_a_file_may_hold_more_than_its_class(theirs, tmp_path):
    """Google's files of BERT name BertForMaskedLM and hold the pooler and the head for the next sentence too."""
    reference = theirs("bert")
    reference.save_pretrained(tmp_path / "google")
    path = tmp_path / "google" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["BertForMaskedLM"]}))
    ours, _ = gyebo.load(tmp_path / "google")
    ids = tokens(101, 2, 9)
    assert ours.heads == ("mlm", "nsp")
    assert largest(ours(ids).seq_relationship_logits, reference(ids).seq_relationship_logits) < 1e-4
    for architectures in (None, []):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": architectures}))
        assert gyebo.load(tmp_path / "google")[0].config == ours.config
    interchange.save(ours, None, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == ["BertForPreTraining"]

    # a pooler beside RoBERTa's head: no class has both, transformers takes what it knows
    torch.manual_seed(0)
    both = Roberta(RobertaConfig(vocab_size=37, context=16, width=21, layers=1, heads=3, pooler=True)).eval()
    interchange.save(both, None, tmp_path / "both")
    back = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "both")
    ids = tokens(37, 2, 9)
    assert largest(back(ids).logits, both(ids).logits) < 1e-4
    assert interchange.load(tmp_path / "both")[0].config.pooler


# -- files of other times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", list(CONFIGS))
@torch.no_grad()
def test_shards_pickles_and_old_names(family, theirs, tmp_path):
    reference = theirs(family)
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


@pytest.mark.parametrize(("family", "first", "second"), [("bert", "cls.predictions.bias", "cls.predictions.decoder.bias"), ("roberta", "lm_head.bias", "lm_head.decoder.bias")])
@torch.no_grad()
def test_the_bias_that_stands_twice(family, first, second, theirs, tmp_path):
    reference = theirs(family)
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
def test_an_untied_bias_is_the_one_that_is_computed_with(theirs, tmp_path):
    reference = theirs("bert", tie_word_embeddings=False)
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
def test_what_is_refused_is_named(family, field, value, theirs, tmp_path):
    theirs(family).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"position_embedding_type": "absolute", "is_decoder": False}))
    interchange.load(tmp_path)
    path.write_text(json.dumps(config | {field: value}))
    words = {"pad_token_id": "pad_id", "num_attention_heads": "width.*heads", "n_heads": "width.*heads"}
    with pytest.raises(ValueError, match=rf"config\.json: .*{words.get(field, field)}") as caught:
        interchange.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_extra_and_wrong_tensors(theirs, tmp_path):
    theirs("bert").save_pretrained(tmp_path)
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
    assert type(transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)).__name__ == FIRST[family].replace("PreTraining", "MaskedLM")
    again = cls.from_pretrained(tmp_path)
    assert torch.equal(again.blocks[1].attention.qkv.weight, model.blocks[1].attention.qkv.weight)
    assert again.config.inner == 84  # written, though ours said nothing
    back.save_pretrained(tmp_path / "back")
    assert (tmp_path / "generation_config.json").exists() == (tmp_path / "back" / "generation_config.json").exists() is False


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
        assert same == {RobertaConfig: {"nsp"}, DistilbertConfig: {"segments", "nsp", "pooler", "norm_eps"}}.get(type(config), set())
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
    face = {"architectures": ["DistilBertForMaskedLM"], "model_type": "distilbert", "sinusoidal_pos_embds": False, "tie_weights_": True}
    options = read_config(distilbert.FORMAT, face | {"qa_dropout": 0.1, "seq_classif_dropout": 0.2}, "x")
    assert Distilbert.config_class(**options) == DistilbertConfig(inner=3072, pad_id=0)


def test_one_family_does_not_open_as_another(theirs, tmp_path):
    theirs("roberta").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a Roberta, not a Bert"):
        Bert.from_pretrained(tmp_path)
