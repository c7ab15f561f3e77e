"""ViLBERT from the authors' names against a naive reference in float64, and directories of our own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import gyebo
import gyebo.interchange as interchange
from gyebo.models.vilbert import Vilbert, VilbertConfig
from gyebo.tasks.heads.task_model import add_head
from tests.interchange.naive_vilbert import CONFIG, Reference, random_weights

CASES = {
    "as published": {},
    "one of each": {"num_hidden_layers": 1, "v_num_hidden_layers": 1, "v_biattention_id": [0], "t_biattention_id": [0]},
    "layers between": {"num_hidden_layers": 5, "v_biattention_id": [0, 2], "t_biattention_id": [1, 4]},
    "late": {"v_biattention_id": [2], "t_biattention_id": [3]},
    "sum": {"fusion_method": "sum"},
    "relu and swish": {"hidden_act": "relu", "v_hidden_act": "swish"},
    "widths": {"hidden_size": 9, "v_hidden_size": 4, "bi_hidden_size": 3, "bi_num_attention_heads": 1, "v_feature_size": 1},
}


def directory(folder, **changes):
    """What the authors publish: the weights as torch saves them, and the JSON of their config."""
    config = CONFIG | changes
    weights = random_weights(config)
    folder.mkdir(parents=True)
    torch.save({name: torch.from_numpy(array).float() for name, array in weights.items()}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config))
    return config, weights


def examples(config, seed: int = 0):
    """Three texts with their pictures, of different lengths; the first region is the whole picture."""
    random = np.random.default_rng(seed)
    found = []
    for words, regions in ((7, 4), (3, 6), (1, 1)):
        boxes = random.random((regions, 5))
        boxes[0] = (0, 0, 1, 1, 1)
        ids, kinds = random.integers(0, config["vocab_size"], words), random.integers(0, config["type_vocab_size"], words)
        found.append((ids, kinds, random.standard_normal((regions, config["v_feature_size"])), boxes))
    return found


def batch(given, side: str = "right"):
    """The examples as one batch, padded on a side with values that must not matter."""
    words, regions = (max(len(one[n]) for one in given) for n in (0, 2))

    def padded(rows, length, fill):
        out = []
        for row in rows:
            rest = np.full((length - len(row), *row.shape[1:]), fill, row.dtype)
            out.append(np.concatenate([row, rest] if side == "right" else [rest, row]))
        return torch.from_numpy(np.stack(out))

    ids, kinds, features, boxes = zip(*given)
    return {
        "input_ids": padded(ids, words, 5),
        "token_type_ids": padded(kinds, words, 1),
        "visual_feats": padded(features, regions, 7.0).float(),
        "visual_pos": padded(boxes, regions, 3.0).float(),
        "attention_mask": padded([np.ones(len(row), int) for row in ids], words, 0),
        "visual_attention_mask": padded([np.ones(len(row), int) for row in features], regions, 0),
    }


def agree(found, given, reference, out) -> None:
    words, regions = found["attention_mask"].bool(), found["visual_attention_mask"].bool()
    for row, example in enumerate(given):
        expected = {name: torch.from_numpy(value) for name, value in reference(*example).items()}
        assert expected["words"].std() > 0.05 and expected["regions"].std() > 0.05
        pairs = (
            (out.prediction_logits[row][words[row]], "words"),
            (out.region_logits["region"][row][regions[row]], "regions"),
            (out.cross_relationship_score[row], "alignment"),
            (out.pooled_output[row], "pooled"),
        )
        for ours, name in pairs:
            scale = max(1.0, float(expected[name].abs().max()))
            assert float((ours.double() - expected[name]).abs().max()) < 1e-4 * scale, name


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_published_names_and_order(name, tmp_path):
    config, weights = directory(tmp_path / "theirs", **CASES[name])
    ours, tokenizer = gyebo.load(tmp_path / "theirs")
    assert type(ours) is Vilbert and tokenizer is None and ours.heads == ("mlm", "region", "alignment")
    given = examples(config)
    rows = batch(given)
    agree(rows, given, Reference(weights, config), ours(**rows))


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_and_attentions(side, tmp_path):
    config, weights = directory(tmp_path / "theirs")
    ours, _ = gyebo.load(tmp_path / "theirs")
    given = examples(config)
    rows = batch(given, side)
    out = ours(**rows, output_attentions=True, output_hidden_states=True)
    agree(rows, given, Reference(weights, config), out)
    assert [len(found) for found in (out.language_attentions, out.vision_attentions, out.cross_encoder_attentions)] == [4, 3, 2]
    assert [len(found) for found in (out.language_hidden_states, out.vision_hidden_states)] == [6, 5]
    words, regions = rows["attention_mask"].bool(), rows["visual_attention_mask"].bool()
    for weights_ in out.cross_encoder_attentions:  # of each word over the regions of its picture, and nothing else
        assert torch.allclose((weights_ * regions[:, None, None]).sum(-1)[words[:, None].expand(-1, 5, -1)], torch.ones(()))


@torch.no_grad()
def test_a_changed_order_is_seen(tmp_path):
    """The reference tells a co-attention that stands one layer later from the published one."""
    config, weights = directory(tmp_path / "theirs")
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config | {"v_biattention_id": [1, 2]}))
    ours, _ = gyebo.load(tmp_path / "theirs")
    given = examples(config)
    rows = batch(given)
    with pytest.raises(AssertionError):
        agree(rows, given, Reference(weights, config), ours(**rows))


def test_what_the_authors_never_compute_is_left_aside_and_the_rest_is_not(tmp_path):
    _, weights = directory(tmp_path / "theirs")
    ours, _ = gyebo.load(tmp_path / "theirs")
    unused = sum(array.size for name, array in weights.items() if "q_dense" in name)
    tied = weights["cls.predictions.decoder.weight"].size
    assert unused and ours.count_parameters() == sum(array.size for array in weights.values()) - unused - tied
    file = tmp_path / "theirs" / "pytorch_model.bin"
    stored = torch.load(file)
    torch.save({**stored, "vil_prediction.logit_fc.0.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(ValueError, match=r"vil_prediction\.logit_fc\.0\.weight"):
        gyebo.load(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task_specific_tokens": True}, "task_specific_tokens"),
        ({"visual_target": 1}, "visual_target"),
        ({"model": "roberta"}, "model"),
        ({"fusion_method": "max"}, "fusion must be one of mul, sum"),
        ({"v_biattention_id": [0]}, "text_at and image_at"),
        ({"v_biattention_id": [1, 0]}, "image_at must be ascending"),
        ({"t_biattention_id": [2, 4]}, "text_at must be ascending numbers of layers from 0 to 3"),
        ({"v_num_hidden_layers": 2}, "declares 2 layers of the image_blocks, but the weights hold 3"),
        ({"v_target_size": 3}, r"is \[.*\], but config.json asks for \[.*\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, said, tmp_path):
    config, _ = directory(tmp_path / "theirs")
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=said):
        gyebo.load(tmp_path / "theirs")


OWN = VilbertConfig(
    41, 16, 12, 3, 2, image_width=8, image_layers=2, image_heads=2, image_inner=9, co_width=6, co_heads=3, text_at=(1, 2),
    image_at=(0, 1), inner=11, crop=5, feature_size=75, classes=4, norm_eps=1e-6, activation="gelu_tanh", pad_id=3,
)  # fmt: skip
ONE = replace(OWN, streams=1, image_layers=0, text_at=(), image_at=())


@pytest.mark.parametrize("config", [OWN, ONE], ids=["two", "one"])
@torch.no_grad()
def test_a_fine_tuned_model_comes_back(config, tmp_path):
    torch.manual_seed(0)
    model = add_head(Vilbert(config).eval(), "dense", "classification", ["좋다", "나쁘다"], dropout=0.3).eval()
    interchange.save(model, None, tmp_path)
    again, _ = interchange.load(tmp_path)
    ids = torch.randint(4, 41, (2, 7))
    assert torch.equal(again(ids).logits, model(ids).logits) and again.labels == model.labels and again.dropout == 0.3


@pytest.mark.parametrize("config", [OWN, ONE, replace(OWN, tied=False, alignment=False, crop=None)], ids=["two", "one", "some"])
@torch.no_grad()
def test_a_directory_of_ours_comes_back(config, tmp_path):
    torch.manual_seed(0)
    model = Vilbert(config).eval()
    interchange.save(model, None, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gyebo-vilbert"
    again, _ = interchange.load(tmp_path)
    assert again.config == model.config
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
