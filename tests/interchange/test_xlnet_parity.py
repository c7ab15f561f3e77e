"""XLNet both ways between gyebo and transformers: the same function, to 1e-4 in float32."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

import gyebo
import gyebo.interchange as interchange
from gyebo.models.xlnet import Xlnet, XlnetConfig
from tests.interchange.encoder_references import largest, opened, tokens

SHAPE = {"vocab_size": 101, "d_model": 24, "n_layer": 2, "n_head": 3, "d_inner": 40, "mem_len": None}
CASES = {
    "plain": {},
    "one layer": {"n_layer": 1},
    "one head": {"n_head": 1},
    "untied": {"tie_word_embeddings": False},
    "clamped": {"clamp_len": 3},
    "memory": {"mem_len": 7},
    "inner": {"d_inner": 13},
    "dropout": {"dropout": 0.25},
    "eps": {"layer_norm_eps": 0.1},
    "all": {
        "n_layer": 3,
        "n_head": 6,
        "d_inner": 5,
        "ff_activation": "relu",
        "layer_norm_eps": 1e-3,
        "vocab_size": 11,
        "clamp_len": 5,
        "mem_len": 4,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
    },
    **{name: {"ff_activation": name} for name in ("gelu_new", "relu", "silu")},
}


def reference(name: str = "XLNetLMHeadModel", **options):
    """A model of transformers with every tensor drawn at random."""
    torch.manual_seed(7)
    model = getattr(transformers, name)(transformers.XLNetConfig(**{**SHAPE, **options})).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            gain = "norm" in key.lower() and key.endswith("weight")
            parameter.copy_(gain + 0.3 * torch.randn_like(parameter))
    return model


def inputs(vocabulary: int, batch: int = 3, length: int = 13, asked: int = 4):
    """Ids, types, a random perm_mask in which everybody sees something, and a target_mapping."""
    generator = torch.Generator().manual_seed(5)
    perm = (torch.rand(batch, length, length, generator=generator) < 0.5).float()
    perm[:, :, 0] = 0
    mapping = torch.zeros(batch, asked, length)
    for row in range(batch):
        mapping[row, torch.arange(asked), 1 + torch.randperm(length - 1, generator=generator)[:asked]] = 1
    types = torch.randint(3, (batch, length), generator=generator)
    return tokens(vocabulary, batch, length), {"token_type_ids": types, "perm_mask": perm, "target_mapping": mapping}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@torch.no_grad()
def test_both_directions(options, tmp_path):
    theirs = reference(**options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, tokenizer = gyebo.load(tmp_path / "theirs")
    assert tokenizer is None and type(ours) is Xlnet and not ours.training and ours.heads == ("lm",)
    ids, given = inputs(theirs.config.vocab_size)
    expected = theirs(ids, **given).logits
    found = ours(ids, **given).logits
    assert expected.std() > 0.05 and largest(found, expected) < 1e-4
    types = {"token_type_ids": given["token_type_ids"]}
    for more in ({}, types, types | {"perm_mask": given["perm_mask"]}):
        assert largest(ours(ids, **more).logits, theirs(ids, **more).logits) < 1e-4
    interchange.save(ours, None, tmp_path / "ours")
    back = opened(tmp_path / "ours", "XLNetLMHeadModel")
    first, second = theirs.state_dict(), back.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert largest(back(ids, **given).logits, found) < 1e-4
    again, _ = interchange.load(tmp_path / "ours")
    assert again.config == ours.config
    kept = back.config.to_dict()
    own = {"transformers_version", "dtype", "bos_token_id", "eos_token_id", "architectures"}
    for field, value in theirs.config.to_dict().items():
        if field not in own and not field.startswith("_"):
            assert kept[field] == value, field
    back.save_pretrained(tmp_path / "back")
    assert interchange.load(tmp_path / "back")[0].config == ours.config


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_hidden_states_and_attentions(side, tmp_path):
    theirs = reference(n_layer=3)
    theirs.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    ids, given = inputs(101)
    mask = torch.zeros_like(ids)
    for row, length in enumerate((13, 5, 1)):
        mask[row, 13 - length if side == "left" else 0 : 13 if side == "left" else length] = 1
    more = {"token_type_ids": given["token_type_ids"], "output_hidden_states": True, "output_attentions": True}
    expected, found = theirs(ids, attention_mask=mask.float(), **more), ours(ids, mask, **more)
    real = mask[..., None]
    assert largest(found.logits, expected.logits * real) < 1e-4
    assert largest(ours(ids, mask, given["token_type_ids"]).logits, expected.logits * real) < 1e-4
    for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert largest(a, b * real) < 1e-4
    for a, b in zip(found.attentions, expected.attentions, strict=True):
        assert largest(a * real[:, None], b * real[:, None]) < 1e-4


@torch.no_grad()
def test_memory_is_theirs(tmp_path):
    theirs = reference(mem_len=7)
    theirs.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    assert ours.config.memory == 7 and ours.carries(ours.config)
    ids, given = inputs(101)
    first = theirs(ids, use_mems=True, token_type_ids=given["token_type_ids"])
    second = theirs(ids.flip(1), use_mems=True, mems=first.mems, **given)
    state = ours.encode(ids, token_type_ids=given["token_type_ids"], state=ours.fresh_state(3)).state
    targets = given["target_mapping"].sum(1) > 0
    encoded = ours.encode(
        ids.flip(1), token_type_ids=given["token_type_ids"], visible=given["perm_mask"] == 0, targets=targets, state=state
    )
    asked = given["target_mapping"].argmax(-1)[..., None].expand(-1, -1, 24)
    assert largest(ours.project(encoded.hidden.gather(1, asked)), second.logits) < 1e-4
    for layer, memory in enumerate(second.mems):
        assert largest(encoded.state["memory"][:, layer], memory.transpose(0, 1)) < 1e-4


@torch.no_grad()
def test_reversed_rows_are_theirs(tmp_path):
    """Their `bi_data`: the second half of a batch has the signs of its distances changed."""
    theirs = reference(bi_data=True, clamp_len=6)
    reference(clamp_len=6).save_pretrained(tmp_path)  # the same numbers
    ours, _ = interchange.load(tmp_path)
    ids, given = inputs(101, batch=4)
    targets = given["target_mapping"].sum(1) > 0
    encoded = ours.encode(
        ids,
        token_type_ids=given["token_type_ids"],
        visible=given["perm_mask"] == 0,
        targets=targets,
        backwards=torch.tensor([False, False, True, True]),
    )
    asked = given["target_mapping"].argmax(-1)[..., None].expand(-1, -1, 24)
    assert largest(ours.project(encoded.hidden.gather(1, asked)), theirs(ids, **given).logits) < 1e-4


@torch.no_grad()
def test_the_body_alone(tmp_path):
    theirs = reference("XLNetModel")
    theirs.save_pretrained(tmp_path / "theirs")
    ours, _ = interchange.load(tmp_path / "theirs")
    assert ours.heads == () and ours.lm_head is None
    ids, given = inputs(101)
    assert largest(ours(ids, **given).last_hidden_state, theirs(ids, **given).last_hidden_state) < 1e-4
    interchange.save(ours, None, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == ["XLNetModel"]
    back = opened(tmp_path / "ours", "XLNetModel")
    assert largest(back(ids, **given).last_hidden_state, theirs(ids, **given).last_hidden_state) < 1e-4
    with pytest.raises(ValueError, match="no head"):
        ours.project(ours.encode(ids).hidden)


HEADS = {
    "classification": ("XLNetForSequenceClassification", {"num_labels": 3}, ("logits",)),
    "tagging": ("XLNetForTokenClassification", {"num_labels": 4}, ("logits",)),
    "spans": ("XLNetForQuestionAnsweringSimple", {}, ("start_logits", "end_logits")),
    "choice": ("XLNetForMultipleChoice", {}, ("logits",)),
}


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_task_classes_both_ways(kind, tmp_path):
    name, options, outputs = HEADS[kind]
    theirs = reference(name, **options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, _ = interchange.load(tmp_path / "theirs")
    assert ours.kind.name == kind and ours.style == "summary" and ours.dropout == 0.1
    ids = tokens(101, 3, 13)
    mask = (torch.arange(13) >= torch.tensor([0, 8, 5])[:, None]).long()  # on the left, as their tokenizer pads
    given = {"attention_mask": mask, "token_type_ids": tokens(101, 3, 13, seed=1) % 3}
    if kind == "choice":
        ids, given = tokens(101, 2, 3, 13), {name: torch.stack([x, x]) for name, x in given.items()}
    expected, found = theirs(ids, **given), ours(ids, **given)
    real = mask if kind in ("tagging", "spans") else torch.ones(())
    for field in outputs:
        a, b = getattr(found, field), getattr(expected, field)
        part = real[..., None] if kind == "tagging" else real
        assert largest(a * part, b * part) < 1e-4 and b.std() > 0.01
    interchange.save(ours, None, tmp_path / "ours")
    back = opened(tmp_path / "ours", name)
    assert largest(getattr(back(ids, **given), outputs[0]), getattr(expected, outputs[0])) < 1e-4
    again, _ = interchange.load(tmp_path / "ours")
    assert again.body.config == ours.body.config


@torch.no_grad()
def test_a_fresh_model_with_a_head_opens_in_transformers(tmp_path):
    from gyebo.tasks.heads.task_model import add_head

    model = Xlnet(XlnetConfig(vocab_size=101, width=24, layers=2, heads=3, init_std=0.3))
    tuned = add_head(model, "summary", "classification", ["부정", "긍정"], dropout=0.2).eval()
    interchange.save(tuned, None, tmp_path)
    back = opened(tmp_path, "XLNetForSequenceClassification")
    assert back.config.id2label == {0: "부정", 1: "긍정"} and back.config.summary_last_dropout == 0.2
    ids = tokens(101, 2, 9)
    assert largest(back(ids).logits, tuned(ids).logits) < 1e-4


@torch.no_grad()
def test_greedy_generation_is_that_of_their_model_with_the_same_order(tmp_path):
    """Their model, whose prompt sees all of itself, and each new token what stands before it. Their `generate` has the same
    first token; then it lets the prompt, or the last two tokens, see what was generated."""
    theirs = reference()
    theirs.save_pretrained(tmp_path)
    ours, _ = interchange.load(tmp_path)
    prompt = tokens(101, 2, 6)
    hidden, cache = ours.prefill(prompt, slots=14)
    ids = prompt
    for _ in range(8):
        length = ids.shape[1] + 1
        perm = torch.ones(2, length, length)
        perm[:, :, :6] = 0
        perm[:, torch.arange(length)[:, None] > torch.arange(length)] = 0
        perm[:, :, -1] = 1
        mapping = torch.zeros(2, 1, length)
        mapping[:, :, -1] = 1
        more = torch.cat([ids, torch.zeros(2, 1, dtype=torch.long)], 1)
        expected = theirs(more, perm_mask=perm, target_mapping=mapping).logits[:, 0]
        assert largest(ours.project(hidden), expected) < 1e-4
        chosen = expected.argmax(-1)
        ids = torch.cat([ids, chosen[:, None]], 1)
        hidden = ours.step(chosen, cache)
    options = {"do_sample": False, "max_new_tokens": 1, "eos_token_id": None, "pad_token_id": 5}
    assert theirs.generate(prompt, **options)[:, 6].tolist() == ids[:, 6].tolist()


@pytest.mark.parametrize(
    "field, value",
    [
        ("attn_type", "uni"),
        ("bi_data", True),
        ("same_length", True),
        ("summary_type", "first"),
        ("summary_use_proj", False),
        ("summary_activation", "relu"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(field, value, tmp_path):
    reference().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(ValueError, match=rf"{field} = .* is not supported"):
        interchange.load(tmp_path)


def test_the_beam_search_over_answers_is_refused_by_name(tmp_path):
    reference("XLNetForQuestionAnswering").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"architectures XLNetForQuestionAnswering is not supported, only .*Simple"):
        interchange.load(tmp_path)


def test_half_precision_is_kept(tmp_path):
    model = Xlnet(XlnetConfig(vocab_size=101, width=24, layers=1, heads=3)).to(torch.bfloat16)
    interchange.save(model, None, tmp_path)
    again, _ = interchange.load(tmp_path, dtype="auto")
    assert next(again.parameters()).dtype == torch.bfloat16
    ids, given = inputs(101)
    assert again.eval()(ids, **given).logits.isfinite().all()
