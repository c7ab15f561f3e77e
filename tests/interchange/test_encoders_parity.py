"""BERT, RoBERTa and DistilBERT both ways between gyebo and transformers: the same function, to 1e-4 in float32."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

import gyebo
import gyebo.interchange as interchange
from gyebo.models.roberta import Roberta, RobertaConfig
from tests.interchange.encoder_references import (
    BODY,
    CONFIGS,
    FIRST,
    OURS,
    agree,
    kinds,
    largest,
    mlm,
    opened,
    reference_encoder,
    tokens,
)

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
CASES += [
    ("roberta", "late start", {"pad_token_id": 5}),
    ("roberta", "as published", {"type_vocab_size": 1, "layer_norm_eps": 1e-5}),
]
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
CASES += [
    (family, name, {"activation" if family == "distilbert" else "hidden_act": name})
    for family in CONFIGS
    for name in ACTIVATIONS
]
IDS = [f"{family} {name}" for family, name, _ in CASES]


@pytest.mark.parametrize(("family", "name", "options"), CASES, ids=IDS)
@torch.no_grad()
def test_both_directions(family, name, options, tmp_path):
    reference = reference_encoder(family, **options)
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
def test_padding_hidden_states_and_attentions(family, side, tmp_path):
    pad = 5 if family == "roberta" else 1
    reference = reference_encoder(family, num_hidden_layers=3, pad_token_id=pad)
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
def test_packed_documents_as_each_alone(family, tmp_path):
    reference = reference_encoder(family)
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
def test_the_class_says_which_parts_there_are(name, parts, tmp_path):
    family = next(family for family in ("distilbert", "roberta", "bert") if name.lower().startswith(family))
    reference = reference_encoder(family, name)
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
def test_a_file_may_hold_more_than_its_class(tmp_path):
    """Google's files of BERT name BertForMaskedLM and hold the pooler and the head for the next sentence too."""
    reference = reference_encoder("bert")
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
