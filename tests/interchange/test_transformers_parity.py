"""Both ways between gyebo and transformers: the same function, to 1e-4 in float32, for odd configurations too."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

import gyebo.interchange as interchange
from gyebo.models.gpt import Gpt
from gyebo.models.gpt2 import Gpt2

GPT2_CASES = {
    "plain": {},
    "one layer": {"n_layer": 1},
    "one head": {"n_head": 1},
    "untied": {"tie_word_embeddings": False},
    "inner": {"n_inner": 13},
    "eps": {"layer_norm_epsilon": 0.1},
    "by layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "unscaled": {"scale_attn_weights": False},
    "unscaled by layer": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    "upcast": {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
    "dropouts": {"attn_pdrop": 0.0, "embd_pdrop": 0.25, "resid_pdrop": 0},
    "all": {
        "n_layer": 3,
        "tie_word_embeddings": False,
        "n_inner": 5,
        "activation_function": "relu",
        "scale_attn_by_inverse_layer_idx": True,
        "layer_norm_epsilon": 1e-3,
        "vocab_size": 11,
    },
} | {
    name: {"activation_function": name}
    for name in (
        *("gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"),
        *("quick_gelu", "relu", "silu", "swish", "tanh"),
    )
}
GPT_CASES = {
    "plain": {},
    "one layer": {"n_layer": 1},
    "untied": {"tie_word_embeddings": False},
    "eps": {"layer_norm_epsilon": 0.1},
    "dropouts": {"attn_pdrop": 0.0, "embd_pdrop": 0.25, "resid_pdrop": 0},
    "all": {"n_layer": 3, "n_head": 7, "tie_word_embeddings": False, "afn": "relu", "vocab_size": 11},
} | {name: {"afn": name} for name in ("gelu", "relu", "silu", "swish")}
CASES = [("gpt2", name, options) for name, options in GPT2_CASES.items()]
CASES += [("gpt", name, options) for name, options in GPT_CASES.items()]
IDS = [f"{family} {name}" for family, name, _ in CASES]


def tokens(vocabulary: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize(("family", "name", "options"), CASES, ids=IDS)
@torch.no_grad()
def test_both_directions(family, name, options, reference, tmp_path):
    theirs = reference(family, **options)
    theirs.save_pretrained(tmp_path / "theirs")
    ids = tokens(theirs.config.vocab_size, 3, 19)
    expected = theirs(ids).logits
    ours, tokenizer = interchange.load(tmp_path / "theirs")
    assert tokenizer is None
    assert type(ours) is {"gpt": Gpt, "gpt2": Gpt2}[family]
    assert not ours.training
    assert expected.std() > 0.05  # else nothing would be compared
    assert largest(ours(ids).logits, expected) < 1e-4

    interchange.save(ours, None, tmp_path / "ours")
    back, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert type(back) is type(theirs)
    assert not any(report.values()), report
    assert back.training is False
    before, after = theirs.state_dict(), back.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert largest(back(ids).logits, ours(ids).logits) < 1e-4
    again, _ = interchange.load(tmp_path / "ours")
    assert again.config == ours.config
    kept = back.config.to_dict()
    same = {"gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate", "gelu_python", "swish"}
    for field, value in theirs.config.to_dict().items():
        if not field.startswith(("summary", "transformers_version", "_", "dtype")) and str(value) not in same:
            assert kept[field] == value, field


@pytest.mark.parametrize("family", ["gpt", "gpt2"])
@torch.no_grad()
def test_left_padding_hidden_states_and_attentions(family, reference, tmp_path):
    theirs = reference(family, n_layer=3)
    theirs.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    lengths = (12, 5, 1)
    mask = torch.tensor([[0] * (12 - n) + [1] * n for n in lengths])
    ids = tokens(101, 3, 12) * mask
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    wanted = {"output_hidden_states": True, "output_attentions": True}
    expected = theirs(ids, attention_mask=mask, position_ids=positions, **wanted)
    for given in ({"position_ids": positions}, {}):  # ours finds the positions itself
        found = ours(ids, attention_mask=mask, **given, **wanted)
        real = mask.bool()
        assert largest(found.logits[real], expected.logits[real]) < 1e-4
        assert len(found.hidden_states) == len(expected.hidden_states) == 4
        for a, b in zip(found.hidden_states, expected.hidden_states):
            assert largest(a[real], b[real]) < 1e-4
        assert len(found.attentions) == 3
        for a, b in zip(found.attentions, expected.attentions):
            rows = real[:, None, :].expand(a.shape[:3])
            assert largest(a[rows], b[rows]) < 1e-5


@pytest.mark.parametrize("family", ["gpt", "gpt2"])
@torch.no_grad()
def test_packed_documents_as_each_alone(family, reference, tmp_path):
    theirs = reference(family)
    theirs.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    ids = tokens(101, 1, 24)
    documents = torch.tensor([[7] * 9 + [3] * 1 + [8] * 11 + [0] * 3])
    found = ours(ids, document_ids=documents).logits
    for start, end in ((0, 9), (9, 10), (10, 21)):
        assert largest(found[:, start:end], theirs(ids[:, start:end]).logits) < 1e-4


@torch.no_grad()
def test_upcast_holds_in_bfloat16(reference, tmp_path):
    """In bfloat16 the option changes the numbers; ours must follow theirs with it and without it."""
    ids = tokens(101, 4, 24)
    found, expected = {}, {}
    for upcast in (True, False):
        theirs = reference("gpt2", reorder_and_upcast_attn=upcast, scale_attn_weights=False).bfloat16()
        theirs.save_pretrained(tmp_path / str(upcast))
        ours, _ = interchange.load(tmp_path / str(upcast), dtype="auto")
        assert ours.token_embedding.weight.dtype == torch.bfloat16
        expected[upcast] = theirs(ids, output_attentions=True).attentions[0].float()
        found[upcast] = ours(ids, output_attentions=True).attentions[0].float()
    changed = (expected[True] - expected[False]).abs().mean()
    assert changed > 0
    for upcast in (True, False):
        assert (found[upcast] - expected[upcast]).abs().mean() < changed / 4


@pytest.mark.parametrize("family", ["gpt", "gpt2"])
@torch.no_grad()
def test_shards_pickles_bare_bodies_and_old_buffers(family, reference, tmp_path):
    theirs = reference(family)
    ids = tokens(101, 2, 9)
    expected = theirs(ids).logits

    def check(folder):
        ours, _ = interchange.load(folder)
        assert largest(ours(ids).logits, expected) < 1e-4

    theirs.save_pretrained(tmp_path / "shards", max_shard_size="9KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    check(tmp_path / "shards")

    getattr(theirs, "transformer").save_pretrained(tmp_path / "body")  # noqa: B009
    assert json.loads((tmp_path / "body" / "config.json").read_text())["architectures"][0] in ("GPT2Model", "OpenAIGPTModel")
    check(tmp_path / "body")

    state = theirs.state_dict()
    old = state | {"transformer.h.0.attn.bias": torch.ones(1, 1, 24, 24).tril()}
    if family == "gpt2":
        old["transformer.h.1.attn.masked_bias"] = torch.tensor(-1e4)
    for folder, zipped in (("pickle", True), ("pickle-before-1.6", False)):
        (tmp_path / folder).mkdir()
        theirs.config.save_pretrained(tmp_path / folder)
        torch.save(old, tmp_path / folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        check(tmp_path / folder)

    folder = tmp_path / "pickle-shards"
    folder.mkdir()
    theirs.config.save_pretrained(folder)
    names = sorted(state)
    parts = {"pytorch_model-00001-of-00002.bin": names[:7], "pytorch_model-00002-of-00002.bin": names[7:]}
    for file, part in parts.items():
        torch.save({name: state[name].clone() for name in part}, folder / file)
    places = {name: file for file, part in parts.items() for name in part}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    check(folder)


@torch.no_grad()
def test_our_shards_open_in_transformers(reference, tmp_path):
    theirs = reference("gpt2")
    theirs.save_pretrained(tmp_path / "theirs")
    ours, _ = interchange.load(tmp_path / "theirs")
    interchange.save(ours, None, tmp_path / "ours", max_shard_bytes=9000)
    assert len(list((tmp_path / "ours").glob("model-*.safetensors"))) > 2
    assert not (tmp_path / "ours" / "model.safetensors").exists()
    back, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    assert all(torch.equal(a, b) for a, b in zip(theirs.state_dict().values(), back.state_dict().values()))


@pytest.mark.parametrize("family", ["gpt", "gpt2"])
def test_a_fresh_model_of_ours_opens_in_transformers(family, tmp_path):
    cls = {"gpt": Gpt, "gpt2": Gpt2}[family]
    torch.manual_seed(0)
    model = cls(cls.config_class(vocab_size=37, context=16, width=21, layers=2, heads=3, tied=False, pad_id=4)).eval()
    model.save_pretrained(tmp_path)
    back, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = tokens(37, 2, 16)
    assert largest(back(ids).logits, model(ids).logits) < 1e-4
    # explicit, though GPT2Config's default for bos and eos is another number
    written = json.loads((tmp_path / "config.json").read_text())
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    for record in (written, generation):
        assert (record["pad_token_id"], record["bos_token_id"], record["eos_token_id"]) == (4, None, None)
    assert (back.config.pad_token_id, back.config.bos_token_id, back.config.eos_token_id) == (4, None, None)
    assert torch.equal(cls.from_pretrained(tmp_path).token_embedding.weight, model.token_embedding.weight)


def test_loading_draws_no_random_numbers_and_keeps_ties(reference, tmp_path):
    reference("gpt2").save_pretrained(tmp_path)
    before = torch.get_rng_state()
    model, _ = interchange.load(tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert model.lm_head.weight is model.token_embedding.weight
    assert all(p.requires_grad and p.is_contiguous() and not p.is_meta for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in reference("gpt2").parameters())


def test_dtypes(reference, tmp_path):
    reference("gpt2").half().save_pretrained(tmp_path)
    assert interchange.load(tmp_path)[0].lm_head.weight.dtype == torch.float32
    assert interchange.load(tmp_path, dtype="auto")[0].lm_head.weight.dtype == torch.float16
    assert interchange.load(tmp_path, dtype=torch.bfloat16)[0].lm_head.weight.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="dtype"):
        interchange.load(tmp_path, dtype="int8")
    model, _ = interchange.load(tmp_path, dtype="bfloat16")
    interchange.save(model, None, tmp_path / "ours")
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").dtype == torch.bfloat16


def test_one_family_does_not_open_as_another(reference, tmp_path):
    reference("gpt").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of GPT, not of GPT-2: open it"):
        Gpt2.from_pretrained(tmp_path)
