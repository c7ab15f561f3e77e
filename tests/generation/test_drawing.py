"""Drawing pictures for texts: sampling from the model's own distribution, guidance, given parts, seeds."""

from dataclasses import replace

import pytest
import torch

from gyebo.generation import drawing
from gyebo.generation.drawing import DrawingOptions, draw, guided
from gyebo.models.dalle import Dalle, DalleConfig

CONFIG = DalleConfig(
    vocab_size=37, context=6, image_codes=11, grid=3, width=24, layers=3, heads=3, kernel=3, init_std=0.3, guided=True
)
TEXTS = [[5, 9, 2], [7], [1, 2, 3, 4, 5, 6]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Dalle(CONFIG).eval()


@torch.no_grad()
def whole(model, text, codes):
    """Logits of all codes of a picture [9, 11], for a text or without one."""
    ids, mask = drawing.padded([text], codes.device)
    return model(ids, mask, codes[None]).image_logits[0]


def test_the_most_probable_code_is_that_of_the_whole_picture(model):
    found = draw(model, TEXTS, DrawingOptions(top_k=1, candidates=2))
    assert found.codes.shape == (3, 2, 9)
    for text, pictures, log_probs in zip(TEXTS, found.codes, found.log_probs):
        assert torch.equal(pictures[0], pictures[1])
        logits = whole(model, text, pictures[0])
        assert torch.equal(logits.argmax(-1), pictures[0])
        own = logits.log_softmax(-1).gather(1, pictures[0][:, None]).sum()
        assert float(log_probs[0]) == pytest.approx(float(own), abs=1e-4)


@pytest.mark.parametrize("guidance", [0.5, 3.0])
def test_guidance_exaggerates_the_difference_of_two_predictions(model, guidance):
    [[codes]] = draw(model, TEXTS[:1], DrawingOptions(top_k=1, guidance=guidance)).codes
    with_text, without = (whole(model, text, codes) for text in (TEXTS[0], []))
    assert torch.equal((without + guidance * (with_text - without)).argmax(-1), codes)
    if guidance > 1:
        assert not torch.equal(with_text.argmax(-1), codes)
    assert torch.equal(guided(with_text, without, 1.0), without + (with_text - without))


def test_without_guidance_the_text_alone_counts(model):
    found = draw(model, TEXTS, DrawingOptions(seed=3))
    plain = Dalle(replace(CONFIG, guided=False))
    plain.load_state_dict(model.state_dict())
    assert torch.equal(draw(plain, TEXTS, DrawingOptions(seed=3)).codes, found.codes)
    with pytest.raises(ValueError, match=r"guidance=2: the model has not learned pictures without their text"):
        draw(plain, TEXTS, DrawingOptions(guidance=2.0))


def test_samples_have_the_models_distribution(model):
    """The first code of many pictures of one text against its probabilities: Pearson's statistic of 11 codes."""
    count = 4000
    found = draw(model, TEXTS[:1], DrawingOptions(candidates=count, temperature=1.5)).codes[0, :, 0]
    expected = (whole(model, TEXTS[0], torch.zeros(9, dtype=torch.long))[0] / 1.5).softmax(-1) * count
    observed = found.bincount(minlength=11)
    assert float(((observed - expected) ** 2 / expected).sum()) < 35  # 10 degrees of freedom: by chance once in 8,000


def test_top_k_leaves_the_rest_out(model):
    found = draw(model, TEXTS[:1], DrawingOptions(candidates=200, top_k=2)).codes[0]
    first = whole(model, TEXTS[0], found[0])[0].topk(2).indices
    assert set(found[:, 0].tolist()) == set(first.tolist())


def test_a_seed_draws_the_same_pictures_however_many_are_drawn(model, monkeypatch):
    options = DrawingOptions(candidates=5, seed=7, guidance=2.0)
    found = draw(model, TEXTS, options)
    assert torch.equal(draw(model, TEXTS, options).codes, found.codes)
    assert torch.equal(draw(model, TEXTS, replace(options, candidates=3)).codes, found.codes[:, :3])
    assert not torch.equal(draw(model, TEXTS, replace(options, seed=8)).codes, found.codes)
    for most in (2, 7, 12):
        monkeypatch.setattr(drawing, "AT_ONCE", most)
        again = draw(model, TEXTS, options)
        assert torch.equal(again.codes, found.codes) and torch.allclose(again.log_probs, found.log_probs, atol=1e-4)
    assert len({tuple(codes.tolist()) for codes in found.codes.flatten(0, 1)}) == 15


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("count", [3, 4, 8])
def test_what_is_given_stays_and_the_rest_is_drawn_from_it(model, count, guidance):
    given = torch.randint(11, (3, count), generator=torch.Generator().manual_seed(1))
    found = draw(model, TEXTS, DrawingOptions(candidates=2, top_k=1, guidance=guidance), given=given)
    assert torch.equal(found.codes[:, :, :count], given[:, None].expand(3, 2, count))
    for text, pictures in zip(TEXTS, found.codes):
        logits, without = whole(model, text, pictures[0]), whole(model, [], pictures[0])
        assert torch.equal(guided(logits, without, guidance)[count:].argmax(-1), pictures[0, count:])


def test_progress_is_told(model):
    told = []
    draw(model, TEXTS, DrawingOptions(candidates=2), on_step=told.append)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"candidates": 0}, "candidates must be a whole number of at least 1"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k must be a whole number of at least 0"),
        ({"guidance": -1.0}, "guidance must be above 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": True}, "seed"),
    ],
)
def test_what_is_out_of_range_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        DrawingOptions(**options)
