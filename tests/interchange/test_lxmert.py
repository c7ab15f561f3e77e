"""LXMERT both ways between gyebo and transformers: the same function, to 1e-4 in float32."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file

import gyebo
import gyebo.interchange as interchange
from gyebo.models.lxmert import Lxmert, LxmertConfig
from tests.interchange.encoder_references import largest, opened, tokens

SHAPE = {
    "vocab_size": 61,
    "max_position_embeddings": 24,
    "hidden_size": 21,
    "num_attention_heads": 3,
    "intermediate_size": 26,
    "l_layers": 3,
    "r_layers": 2,
    "x_layers": 2,
    "visual_feat_dim": 7,
    "num_object_labels": 9,
    "num_attr_labels": 5,
    "num_qa_labels": 11,
}
CASES = {
    "plain": {},
    "one of each": {"l_layers": 1, "r_layers": 1, "x_layers": 1},
    "more regions than words": {"l_layers": 1, "r_layers": 4, "x_layers": 3},
    "one head": {"num_attention_heads": 1},
    "inner": {"intermediate_size": 5},
    "untied": {"tie_word_embeddings": False},
    "relu": {"hidden_act": "relu"},
    "tanh": {"hidden_act": "gelu_new"},
    "boxes of five": {"visual_pos_dim": 5},
    "three segments": {"type_vocab_size": 3},
    "dropouts": {"hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0.0},
    "no answers": {"task_qa": False},
    "no regions": {"task_obj_predict": False},
    "labels alone": {"visual_attr_loss": False, "visual_feat_loss": False},
    "features alone": {"visual_obj_loss": False, "visual_attr_loss": False},
    "all": {
        "l_layers": 2,
        "r_layers": 1,
        "x_layers": 3,
        "num_attention_heads": 7,
        "visual_feat_dim": 1,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "type_vocab_size": 1,
    },
}


def reference(name: str = "LxmertForPreTraining", **options):
    """A model of transformers with every tensor drawn at random."""
    torch.manual_seed(3)
    model = getattr(transformers, name)(transformers.LxmertConfig(**{**SHAPE, **options})).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            gain = ("norm" in key.lower() or "logit_fc.2" in key) and key.endswith("weight")
            parameter.copy_(gain + 0.3 * torch.randn_like(parameter))
    return model


def inputs(config, batch: int = 3, words: int = 9, regions: int = 5) -> dict[str, torch.Tensor]:
    """A batch with padding on both sides; another text and picture in each row."""
    random = torch.Generator().manual_seed(5)
    lengths, seen = torch.tensor([words, words - 4, 2])[:batch], torch.tensor([regions - 2, regions, 1])[:batch]
    ids = tokens(config.vocab_size, batch, words)
    return {
        "input_ids": ids,
        "visual_feats": torch.randn(batch, regions, config.visual_feat_dim, generator=random),
        "visual_pos": torch.rand(batch, regions, config.visual_pos_dim, generator=random),
        "attention_mask": (torch.arange(words) < lengths[:, None]).long(),
        "visual_attention_mask": (torch.arange(regions) < seen[:, None]).long(),
        "token_type_ids": torch.arange(words).expand(batch, -1) % config.type_vocab_size,
    }


def same_outputs(found, expected, given, model=None) -> None:
    """All outputs agree at real places to 1e-4. `model`: the one of transformers, for the heads of regions."""
    words, regions = given["attention_mask"].bool(), given["visual_attention_mask"].bool()
    assert largest(found.prediction_logits[words], expected.prediction_logits[words]) < 1e-4
    assert expected.prediction_logits.std() > 0.05  # else nothing would be compared
    assert largest(found.cross_relationship_score, expected.cross_relationship_score) < 1e-4
    if model is None:
        return
    if model.config.task_qa:
        assert largest(found.question_answering_score, expected.question_answering_score) < 1e-4
    if model.config.task_obj_predict:
        vision = model.lxmert(**given).vision_output
        theirs = model.obj_predict_head(vision)
        names = {"obj": "object", "attr": "attribute", "feat": "feature"}
        assert {names[key] for key in theirs} == set(found.region_logits)
        for key, value in theirs.items():
            assert largest(found.region_logits[names[key]][regions], value[regions]) < 1e-4
    else:
        assert not found.region_logits


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_both_directions(name, tmp_path):
    theirs = reference(**CASES[name])
    theirs.save_pretrained(tmp_path / "theirs")
    given = inputs(theirs.config)
    expected = theirs(**given)
    ours, tokenizer = gyebo.load(tmp_path / "theirs")
    assert tokenizer is None and type(ours) is Lxmert and not ours.training
    found = ours(**given)
    same_outputs(found, expected, given, theirs)

    interchange.save(ours, None, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == ["LxmertForPreTraining"]
    back = opened(tmp_path / "ours", "LxmertForPreTraining")
    before, after = theirs.state_dict(), back.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    same_outputs(found, back(**given), given)
    again, _ = interchange.load(tmp_path / "ours")
    assert again.config == ours.config
    assert largest(again(**given).prediction_logits, found.prediction_logits) == 0
    ignored = ("transformers_version", "_", "dtype", "architectures", "visual_loss", "task_mask", "task_matched")
    if theirs.config.task_obj_predict:
        kept = back.config.to_dict()
        for field, value in theirs.config.to_dict().items():
            assert field.startswith(ignored) or kept[field] == value, field


@pytest.mark.parametrize(
    ("name", "heads"), [("LxmertModel", ()), ("LxmertForQuestionAnswering", ("answer",))], ids=["body", "answers"]
)
@torch.no_grad()
def test_the_class_says_which_parts_there_are(name, heads, tmp_path):
    theirs = reference(name)
    theirs.save_pretrained(tmp_path / "theirs")
    given = inputs(theirs.config)
    expected = theirs(**given)
    ours, _ = gyebo.load(tmp_path / "theirs")
    assert ours.heads == heads
    found = ours(**given)
    if heads:
        assert largest(found.question_answering_score, expected.question_answering_score) < 1e-4
    else:
        assert largest(found.pooled_output, expected.pooled_output) < 1e-4
        for ours_, theirs_, mask in (
            (found.language_output, expected.language_output, given["attention_mask"]),
            (found.vision_output, expected.vision_output, given["visual_attention_mask"]),
        ):
            assert largest(ours_[mask.bool()], theirs_[mask.bool()]) < 1e-4
    interchange.save(ours, None, tmp_path / "ours")
    opened(tmp_path / "ours", name)
    saved = load_file(tmp_path / "ours" / "model.safetensors")
    assert all(key.startswith(("lxmert.", "answer_head.")) for key in saved) == bool(heads)


@torch.no_grad()
def test_hidden_states_and_attentions(tmp_path):
    theirs = reference()
    theirs.config._attn_implementation = "eager"
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    given = inputs(theirs.config)
    wanted = {"output_hidden_states": True, "output_attentions": True}
    expected, found = theirs(**given, **wanted), ours(**given, **wanted)
    words, regions = given["attention_mask"].bool(), given["visual_attention_mask"].bool()
    sides = (("language_hidden_states", words, 5), ("vision_hidden_states", regions, 4))
    for name, mask, count in sides:
        ours_, theirs_ = getattr(found, name), getattr(expected, name)
        assert len(ours_) == len(theirs_) == count
        assert all(largest(a[mask], b[mask]) < 1e-4 for a, b in zip(ours_, theirs_))
    weights = (("language_attentions", words, 3), ("vision_attentions", regions, 2), ("cross_encoder_attentions", words, 2))
    for name, mask, count in weights:
        ours_, theirs_ = getattr(found, name), getattr(expected, name)
        assert len(ours_) == len(theirs_) == count
        for a, b in zip(ours_, theirs_):
            rows = mask[:, None, :].expand(a.shape[:3])
            assert largest(a[rows], b[rows]) < 1e-5
    same_outputs(found, ours(**given), given)


def test_gradients_of_a_training_step(tmp_path):
    """The same loss gives every tensor the same gradient: row 0 of the embeddings gets none from what is read."""
    theirs = reference()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    given = inputs(theirs.config)
    given["input_ids"][0, 0] = 0
    given["visual_attention_mask"][:] = 1
    words = given["attention_mask"].bool()
    for model in (theirs, ours):
        out = model(**given)
        (out.prediction_logits[words].tanh().sum() + out.question_answering_score.tanh().sum()).backward()
    got = {name: parameter.grad for name, parameter in ours.named_parameters()}
    assert largest(got["position_embedding.weight"][0], torch.zeros(21)) == 0
    assert largest(got["segment_embedding.weight"][0], torch.zeros(21)) == 0
    names = {
        "token_embedding.weight": "lxmert.embeddings.word_embeddings.weight",
        "position_embedding.weight": "lxmert.embeddings.position_embeddings.weight",
        "segment_embedding.weight": "lxmert.embeddings.token_type_embeddings.weight",
        "region_embedding.box.weight": "lxmert.encoder.visn_fc.box_fc.weight",
        "cross_blocks.0.out.weight": "lxmert.encoder.x_layers.0.visual_attention.output.dense.weight",
        "answer_head.dense.weight": "answer_head.logit_fc.0.weight",
    }
    wanted = dict(theirs.named_parameters())
    for own, other in names.items():
        assert largest(got[own], wanted[other].grad) < 1e-4 * float(wanted[other].grad.abs().max() + 1), own


# -- directories of our own ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_model_that_reads_pixels_comes_back(tmp_path):
    torch.manual_seed(0)
    config = LxmertConfig(61, 24, 20, 2, 2, region_layers=1, cross_layers=1, crop=5, feature_size=75, norm_eps=1e-6, inner=9)
    model = Lxmert(replace(config, objects=4, attributes=3, answers=7)).eval()
    interchange.save(model, None, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gyebo-lxmert"
    again, _ = interchange.load(tmp_path)
    assert again.config == model.config
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_what_does_not_fit_is_refused_by_name(tmp_path):
    reference().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    given = json.loads(file.read_text())
    for change, said in (
        ({"l_layers": 4}, "declares 4 layers of the blocks, but the weights hold 3"),
        ({"x_layers": 1}, "declares 1 layers of the cross_blocks, but the weights hold 2"),
        ({"visual_feat_dim": 8}, r"is \[.*\], but config.json asks for \[.*\]"),
        ({"num_qa_labels": 0}, "num_qa_labels"),
        ({"visual_crop": 4}, "visual_crop"),
    ):
        file.write_text(json.dumps({**given, **change}))
        with pytest.raises(ValueError, match=said):
            gyebo.load(tmp_path)
