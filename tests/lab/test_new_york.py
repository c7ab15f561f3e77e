"""The truth is that of the sentences, and the joint probabilities are probabilities of what is asked."""

import math
from collections import Counter

import pytest
import torch

from gyebo.lab import new_york
from gyebo.lab.new_york import Gap, Names, divergence, gaps, joints, masked_joints, measured, names, parts, permuted_joint
from gyebo.models.bert import Bert
from gyebo.models.family import find
from gyebo.models.xlnet import Xlnet
from gyebo.text.roles import roles_of
from gyebo.text.training import train_tokenizer
from gyebo.world.facts import make_world

KNOWN = names()


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(new_york.sentences(KNOWN, 4000, 0), "bpe", new_york.VOCABULARY)


def test_the_truth_is_that_of_the_towns():
    assert len(KNOWN.towns) == len(make_world().towns) and float(KNOWN.truth.sum()) == pytest.approx(1)
    several = [sum(first == one for one, _ in KNOWN.towns) for first in range(len(KNOWN.firsts))]
    assert max(several) == 2, "no part says all of the other"
    first, second = KNOWN.truth.sum(1), KNOWN.truth.sum(0)
    by_hand = sum(
        float(p) * math.log(float(p) / float(first[i] * second[j]))
        for i, row in enumerate(KNOWN.truth)
        for j, p in enumerate(row)
        if p > 0
    )
    assert KNOWN.mutual_information == pytest.approx(by_hand) and by_hand > 1


def test_no_independent_prediction_is_closer_than_the_mutual_information():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        first, second = (torch.rand(size, generator=generator, dtype=torch.float64) for size in KNOWN.truth.shape)
        apart = (first / first.sum())[:, None] * (second / second.sum())
        assert divergence(KNOWN.truth, apart) > KNOWN.mutual_information
    assert divergence(KNOWN.truth, KNOWN.truth) == 0


def test_the_sentences_draw_the_town_by_the_truth_whatever_else_they_say():
    texts = new_york.sentences(KNOWN, 60_000, 1)
    towns = {f"{KNOWN.firsts[i]} {KNOWN.seconds[j]}": float(KNOWN.truth[i, j]) for i, j in KNOWN.towns}
    found = [next(town for town in towns if town in text) for text in texts]
    for begins in ("", "The road", "There is"):
        counts = Counter(town for town, text in zip(found, texts) if text.startswith(begins))
        total = sum(counts.values())
        for town, share in towns.items():
            assert abs(counts[town] / total - share) < 5 * math.sqrt(share * (1 - share) / total)


@pytest.mark.parametrize("family", ["bert", "xlnet"])
def test_a_gap_is_where_the_name_stands(tokenizer, family):
    own = tokenizer.for_family(roles_of(find(family)))
    for gap in gaps(own, KNOWN, 12):
        assert KNOWN.firsts[0] in own.decode(gap.ids[: gap.place + 1].tolist()).split()[-1]
        assert int(gap.special.sum()) == 2 and not gap.special[gap.place]


def test_a_part_that_is_no_token_is_refused(tokenizer):
    with pytest.raises(ValueError, match="'Constantinople' is not a single token"):
        parts(tokenizer, ["Constantinople"])


def models(family):
    torch.manual_seed(0)
    cls = {"bert": Bert, "xlnet": Xlnet}[family]
    heads = {"nsp": False, "pooler": False} if family == "bert" else {}
    shape = {"vocab_size": 11, "context": 16, "width": 16, "layers": 2, "heads": 2, "init_std": 0.5}
    return cls(cls.config_class(**shape, **heads)).double().eval()


GAP = Gap(torch.tensor([1, 5, 6, 7, 8, 2]), torch.zeros(6, dtype=torch.long), 2, torch.tensor([1, 0, 0, 0, 0, 1]).bool())
ALL = torch.arange(11)


def test_bert_multiplies_and_one_after_the_other_conditions():
    model = models("bert")
    at_once, one_by_one = masked_joints(model, GAP, ALL, ALL, mask=3)
    torch.testing.assert_close(at_once, at_once.sum(1, keepdim=True) * at_once.sum(0, keepdim=True))
    torch.testing.assert_close(one_by_one.sum(1), at_once.sum(1))  # the same first part
    for joint in (at_once, one_by_one):
        assert float(joint.sum()) == pytest.approx(1)
    ids = GAP.ids.clone()
    ids[2], ids[3] = 9, 3
    alone = model.project(model.encode(ids[None]).hidden[0, 3], "mlm").softmax(-1)
    torch.testing.assert_close(one_by_one[9] / one_by_one[9].sum(), alone)


@pytest.mark.parametrize("offsets", [(0, 1), (1, 0)])
def test_xlnet_predicts_the_second_in_the_order_from_the_first(offsets):
    model = models("xlnet")
    joint = permuted_joint(model, GAP, ALL, ALL, offsets=offsets)
    assert float(joint.sum()) == pytest.approx(1)
    before, after = 2 + offsets[0], 2 + offsets[1]
    ranks = torch.tensor([[4, -1, -1, -1, -1, 5]])
    ranks[0, before], ranks[0, after] = 0, 1
    for value in (4, 9):  # what stood in the gap is seen by nobody but who comes later in the order
        ids = GAP.ids.clone()
        ids[before], ids[after] = value, 10
        hidden = model.encode(ids[None], ranks=ranks, targets=(ranks == 0) | (ranks == 1)).hidden[0]
        first, second = (model.project(hidden[at], "lm").softmax(-1) for at in (before, after))
        torch.testing.assert_close(joint[value], first[value] * second)
    assert not torch.allclose(joint, joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True), rtol=1e-3)


def test_what_is_measured_is_the_mean_over_the_sentences():
    truth = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)
    found = torch.stack([truth.clone(), torch.full((2, 2), 0.25, dtype=torch.float64)])
    result = measured(found, Names(("a", "b"), ("c", "d"), truth))
    assert result == pytest.approx({"divergence": math.log(2) / 2, "no_town": 0.25})


@pytest.mark.slow
def test_both_are_trained_and_drawn(tmp_path, monkeypatch):
    for name, value in {"FLOPS": 2e9, "SENTENCES": 3000, "ASKED": 6}.items():
        monkeypatch.setattr(new_york, name, value)
    found = new_york.run(tmp_path, [0, 1], lambda line: None)
    assert list(found["models"]) == list(new_york.MODELS) and not found["holds"]
    spent = [one["flops"] for of_seeds in found["models"].values() for one in of_seeds]
    assert max(spent) < 1.2 * min(spent)
    assert all(one["divergence"] > found["mutual_information"] for one in found["models"]["BERT"])
    assert (tmp_path / "new-york.png").read_bytes().startswith(b"\x89PNG")
    assert joints(tmp_path / "runs" / "xlnet" / "seed-0", KNOWN)["XLNet"].shape == (6, *KNOWN.truth.shape)
