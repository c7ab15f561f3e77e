"""Ranks and R@K against all orders of candidates, ties, chance; candidates; scores of models against each pair alone."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from gyebo.data.batches import Rows
from gyebo.data.plan import DOCUMENT
from gyebo.evaluation.retrieval import IMAGE, TEXT, candidates, evaluate_retrieval, figures, found_within, ranks
from gyebo.models.clip import Clip, ClipConfig
from gyebo.models.family import FAMILIES
from gyebo.models.lxmert import Lxmert, LxmertConfig
from gyebo.models.vilbert import Vilbert, VilbertConfig
from gyebo.objectives import alignment, contrastive, cross_modality
from gyebo.objectives.objective import Setting
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.objectives.prepared_pictures import prepared

SCORES = np.array(
    [[0.1, 0.9, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3], [2.0, 1.0, 1.0, -3.0], [5.0, 5.0, 1.0, 5.0], [0.0, 1.0, 2.0, 3.0]]
)
RIGHT = np.array([[0, 0, 1, 0], [0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], bool)


def naive(scores, right, most):
    """Mean rank of the first right candidate, and how often it is among the `most` first, over all sorted orders."""
    found = []
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in zip(order, order[1:])):
            found.append(1 + next(place for place, candidate in enumerate(order) if right[candidate]))
    return np.mean(found), np.mean([rank <= most for rank in found])


def test_ranks_and_shares_are_those_of_all_orders():
    for most in (1, 2, 3, 4, 10):
        expected = [naive(scores, right, most) for scores, right in zip(SCORES, RIGHT)]
        assert np.allclose(ranks(SCORES, RIGHT), [rank for rank, _ in expected])
        assert np.allclose(found_within(SCORES, RIGHT, most), [share for _, share in expected])
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, right = rng.integers(3, size=(1, 6)).astype(float), rng.random((1, 6)) < 0.4
        right[0, rng.integers(6)] = True
        rank, share = naive(scores[0], right[0], 2)
        assert ranks(scores, right)[0] == pytest.approx(rank) and found_within(scores, right, 2)[0] == pytest.approx(share)


def test_by_hand():
    """Ties share their places: the first search finds it at 2 or 3, the second at a mean of 5/3."""
    assert ranks(SCORES, RIGHT).tolist() == pytest.approx([2.5, 5 / 3, 2.0, 2.0, 1.0])
    assert found_within(SCORES, RIGHT, 1).tolist() == pytest.approx([0, 0.5, 0, 1 / 3, 1])
    assert figures(SCORES, RIGHT)["r1"] == pytest.approx((0.5 + 1 / 3 + 1) / 5)
    assert figures(SCORES, RIGHT)["median_rank"] == 2.0


def test_where_all_tie_the_figures_are_those_of_chance():
    """One right picture of 100: R@K is K percent, the mean rank 50.5; several right ones as if drawn without putting back."""
    found = figures(np.zeros((7, 100)), np.eye(7, 100, dtype=bool))
    assert found == pytest.approx({"r1": 0.01, "r5": 0.05, "r10": 0.1, "median_rank": 50.5})
    right = np.zeros((1, 100), bool)
    right[0, :4] = True
    rng = np.random.default_rng(0)
    drawn = np.array([rng.permutation(100)[:4].min() + 1 for _ in range(20_000)])
    found = figures(np.zeros((1, 100)), right)
    assert abs(found["r5"] - (drawn <= 5).mean()) < 0.01 and abs(found["median_rank"] - drawn.mean()) < 0.5


def test_what_can_not_be_ranked_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        ranks(np.array([[0.0, np.nan]]), np.array([[True, False]]))
    with pytest.raises(ValueError, match="search 2 has no right candidate"):
        ranks(np.zeros((2, 2)), np.array([[True, False], [False, False]]))


# ---- models


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder)


def opened(tokenizer, family, module, config, cls):
    """A model of random weights, and the rows of the train part as it reads them."""
    own = tokenizer.for_family(roles_of(FAMILIES[family]))
    shards = prepared(own)
    setting = Setting(own, roles_of(FAMILIES[family]), shards.train)
    objective = module.build(module.Options(), setting).for_evaluation()
    torch.manual_seed(0)
    parts = {name: on for name, on in objective.parts.items() if name in cls.parts()}
    config = replace(config, vocab_size=own.vocab_size, **objective.shape, **parts)
    if family == "clip":
        config = replace(config, picture_size=shards.train.pictures.size, end_id=own.role_ids["sep"])
    else:
        objective = objective.unmasked()
    model = cls(config).eval()
    ids, template = own.role_ids, roles_of(FAMILIES[family]).single
    empty = np.array([ids[role] for role in template if role != "$A"])
    return model, Rows(shards.train, objective.plan(shards.train, 120, 0), objective, ids["pad"]), empty


SHAPE = {"context": 128, "width": 16, "layers": 1, "heads": 2, "init_std": 0.5}
CO = {"image_width": 16, "image_heads": 2, "co_width": 16, "co_heads": 2}
CASES = {
    "clip": (contrastive, ClipConfig(400, 128, 16, 1, 2, None, 16, 8, 16, 1, 2, projection=12), Clip),
    "lxmert": (cross_modality, LxmertConfig(vocab_size=400, **SHAPE, region_layers=1, cross_layers=1), Lxmert),
    "vilbert": (alignment, VilbertConfig(**SHAPE, **CO, image_layers=1, text_at=(0,), image_at=(0,)), Vilbert),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tokenizer):
    return request.param, *opened(tokenizer, request.param, *CASES[request.param])


def test_candidates_are_different_pictures_with_all_their_texts(case):
    _, _, rows, _ = case
    found = candidates(rows, 8)
    assert found.right.shape == (len(found.texts), 8) and len(found.pictures) == 8
    assert len({text.tobytes() for text in found.texts}) == len(found.texts)
    assert (found.right.sum(0) >= 2).all() and (found.right.sum(1) >= 1).all()
    again = candidates(rows, 8)
    assert all(np.array_equal(a, b) for a, b in zip(found.texts, again.texts))
    several = candidates(rows, 10_000)
    pictures = rows.split.pictures
    pixels = {pictures.read(n).tobytes() for n in np.unique(pictures.of[rows.plan.pieces[:, DOCUMENT]])}
    assert len(several.pictures) == len(pixels), "all there are, each once"
    assert np.array_equal(several.right[: len(found.texts), :8][found.right], found.right[found.right])


def test_pictures_that_look_the_same_are_one_with_all_their_texts(case, monkeypatch):
    """Three looks: of two of them all texts are found, however late the pictures come that have them."""
    _, _, rows, _ = case
    pictures = rows.split.pictures
    shape = (pictures.size, pictures.size, 3)
    monkeypatch.setattr(type(pictures), "read", lambda self, picture: np.full(shape, picture % 3, np.uint8))
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    looks = pictures.of[rows.plan.pieces[:, DOCUMENT]] % 3
    texts = [ids[real].tobytes() for ids, real in zip(batch["input_ids"], batch["document_ids"] > 0)]
    expected = [{text for text, look in zip(texts, looks) if look == wanted} for wanted in range(3)]
    found = candidates(rows, 2)
    assert found.right.shape[1] == 2
    for column in found.right.T:
        assert {found.texts[number].tobytes() for number in np.flatnonzero(column)} in expected


@torch.no_grad()
def test_scores_are_those_of_each_pair_alone(case):
    """R@K of the model's own score of every text with every picture, one pair at a time."""
    family, model, rows, _ = case
    found = candidates(rows, 4)
    scores = np.zeros(found.right.shape)
    for t, text in enumerate(found.texts):
        for p, picture in enumerate(found.pictures):
            ids = torch.from_numpy(text)[None]
            shown = {name: torch.from_numpy(values)[None] for name, values in picture.items()}
            if family == "clip":
                scores[t, p] = float(model.text_vectors(ids) @ model.picture_vectors(shown["pixels"]).T)
            elif family == "lxmert":
                logits = model(ids, shown["visual_feats"], shown["visual_pos"]).cross_relationship_score
                scores[t, p] = logits.log_softmax(-1)[0, 1] - logits.log_softmax(-1)[0, 0]
            else:
                encoded = model.encode(ids, **shown)
                joint = model.fuse(encoded.hidden[:, 0], encoded.region_hidden[:, 0])
                logits = model.project(joint, "alignment")[0]
                scores[t, p] = logits[0] - logits[1]
    expected = figures(scores, found.right)
    measured = evaluate_retrieval(model, rows, among=4)
    assert (measured["texts"], measured["pictures"]) == found.right.shape
    assert {name: measured[f"picture_{name}"] for name in expected} == pytest.approx(expected)
    expected = figures(scores.T, found.right.T)
    assert {name: measured[f"text_{name}"] for name in expected} == pytest.approx(expected)
    assert len(np.unique(scores.round(6))) > 20


def test_with_a_side_left_out_nothing_is_found_by_it(case):
    """Without pictures every picture is as good as any other, and without texts every text: exactly chance."""
    _, model, rows, empty = case
    for left_out, side, other in ((IMAGE, "picture", "text"), (TEXT, "text", "picture")):
        found = evaluate_retrieval(model, rows, among=6, empty=empty, left_out=left_out)
        for name in ("r1", "r5", "r10", "median_rank"):
            assert found[f"{side}_{name}"] == pytest.approx(found[f"chance_{side}_{name}"])
        assert found[f"{other}_r1"] <= 0.5, "the same order for all"


def test_progress_is_told_to_the_end(case):
    _, model, rows, _ = case
    shares = []
    evaluate_retrieval(model, rows, among=5, on_step=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
