"""DALL-E with the picture first: against numpy with dense masks, what each token sees, and writing word by word."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gyebo.models.dalle import Dalle
from gyebo.nn import grid_attention
from gyebo.nn.cost import Workload
from gyebo.nn.decoding import decoding_copy
from gyebo.nn.grid_attention import NOTHING
from tests.models import naive_dalle
from tests.models.test_dalle import TEXTS, close, make, padded, picture
from tests.operations import counted


def reversed_model(**options) -> Dalle:
    return make(image_first=True, **options)


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("layers", [1, 5, 7])
@torch.no_grad()
def test_all_logits_are_those_of_the_definition(start, layers):
    model = reversed_model(start=start, layers=layers).double()
    p = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    codes = picture(len(TEXTS), 16)
    codes[1] = NOTHING
    codes[2, 5:9] = NOTHING
    ids, mask = padded(TEXTS)
    found = model(ids, mask, codes)
    assert found.text_logits.shape == (4, 6, 37 + 6) and found.image_logits.shape == (4, 16 if start else 15, 11)
    for row, text in enumerate(TEXTS):
        given = [None if code == NOTHING else code for code in codes[row].tolist()]
        of_text, of_picture = naive_dalle.reversed_logits(p, model.config, text, given)
        assert len(of_text) == min(6, len(text) + 1)
        assert close(found.text_logits[row, : len(of_text)], torch.from_numpy(of_text), 1e-9)
        assert close(found.image_logits[row], torch.from_numpy(of_picture), 1e-9)
        assert of_text.std() > 0.3


@torch.no_grad()
def test_each_token_moves_what_comes_after_it_and_nothing_else():
    """Change a code of the picture, then a token of the text: all predictions of earlier ones stay to the last bit."""
    model, codes = reversed_model(), picture(1, 16)
    text = torch.tensor([TEXTS[3]])
    before = model(text, image_ids=codes)
    for place in range(16):
        changed = codes.clone()
        changed[0, place] = (changed[0, place] + 1) % 11
        after = model(text, image_ids=changed)
        assert (after.text_logits != before.text_logits).any(-1).all(), "a text sees all of its picture"
        assert torch.equal(after.image_logits[:, : place + 1], before.image_logits[:, : place + 1])
        assert (after.image_logits[:, place + 1 :] != before.image_logits[:, place + 1 :]).any() == (place < 15)
    for place in range(6):
        changed = text.clone()
        changed[0, place] += 7
        after = model(changed, image_ids=codes)
        assert torch.equal(after.image_logits, before.image_logits), "a picture sees nothing of its text"
        assert torch.equal(after.text_logits[:, : place + 1], before.text_logits[:, : place + 1])
        assert (after.text_logits[:, place + 1 :] != before.text_logits[:, place + 1 :]).any(-1).all()


@torch.no_grad()
def test_where_padding_stands_and_how_much_changes_nothing():
    model, codes = reversed_model(), picture(len(TEXTS), 16)
    ids, mask = padded(TEXTS)
    expected = model(ids, mask, codes)
    for side, length, fill in (("left", 6, 8), ("right", 6, 0), ("left", 9, 1), ("right", 11, 36)):
        ids, mask = padded(TEXTS, length, side=side, fill=fill)
        for given in ({"attention_mask": mask}, {"document_ids": mask * 4}):
            found = model(ids, image_ids=codes, **given)
            assert close(found.image_logits, expected.image_logits) and close(found.text_logits, expected.text_logits)
    for row, text in enumerate(TEXTS):
        alone = model(torch.tensor([text], dtype=torch.long), image_ids=codes[row : row + 1])
        assert alone.text_logits.shape[1] == min(6, len(text) + 1), "no more places than the text has"
        assert close(alone.text_logits, expected.text_logits[row : row + 1, : len(text) + 1])


@torch.no_grad()
def test_a_picture_that_is_not_given_is_one_without_codes():
    model = reversed_model()
    ids, mask = padded(TEXTS)
    empty = torch.full((len(TEXTS), 16), NOTHING)
    assert torch.equal(model(ids, mask).text_logits, model(ids, mask, empty).text_logits)
    assert not close(model(ids, mask, picture(len(TEXTS), 16)).text_logits, model(ids, mask).text_logits)


@torch.no_grad()
def test_a_model_of_one_order_has_the_weights_of_the_other():
    first, second = make(), reversed_model()
    second.load_state_dict(first.state_dict())
    assert [*first.state_dict()] == [*second.state_dict()]


@torch.no_grad()
def test_a_part_of_a_picture_gives_the_predictions_up_to_there():
    model, codes = reversed_model(), picture(2, 16)
    none = torch.zeros(2, 0, dtype=torch.long)
    whole = model(none, image_ids=codes).image_logits
    for count in (0, 1, 4, 9, 15):
        assert close(model(none, image_ids=codes[:, :count]).image_logits, whole[:, : count + 1])
    with pytest.raises(ValueError, match="a text stands behind all 16 codes of its picture, but 9 are given"):
        model(torch.tensor([[1], [2]]), image_ids=codes[:, :9])


def test_gradients_reach_every_parameter():
    model = reversed_model()
    ids, mask = padded(TEXTS)
    found = model(ids, mask, picture(4, 16))
    (found.text_logits.square().sum() + found.image_logits.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name


def test_flops_are_those_that_torch_counts(monkeypatch):
    """Of sparse attention: that all pairs of a small grid are computed, because it is faster, is no work that counts."""
    monkeypatch.setattr(grid_attention, "FUSED", 0.0)
    for side, kernel, start in ((4, 3, True), (5, 7, False), (6, 3, True)):
        model = reversed_model(grid=side, kernel=kernel, start=start)
        codes, ids = picture(3, side * side), torch.ones(3, 4, dtype=torch.long)
        work = Workload({"tokens": [4] * 3, "image": [side * side] * 3}, {"text": 7, "image": 5})

        def run(model=model, ids=ids, codes=codes):
            text, image = model.predicting(model.encode(ids, None, codes).hidden)
            return model.project(text.flatten(0, 1)[:7], "text"), model.project(image.flatten(0, 1)[:5], "image")

        with torch.no_grad():
            assert model.flops(work) == pytest.approx(counted(run), rel=1e-9)


# ---- writing


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("given", [True, False])
@torch.no_grad()
def test_words_one_at_a_time_equal_the_whole_sequence(start, given):
    model = reversed_model(start=start)
    codes = picture(3, 16) if given else torch.full((3, 16), NOTHING)
    for writing in (model, decoding_copy(model)):
        text = picture(3, 6, codes=37)
        whole = model(text, image_ids=codes).text_logits
        hidden, cache = writing.read_pictures(codes, slots=5)
        for place in range(6):
            assert close(writing.project(hidden, "text"), whole[:, place])
            if place == 2:  # as beams do
                cache = cache.reorder(torch.tensor([2, 0, 0]))
                text, whole = text[[2, 0, 0]], whole[[2, 0, 0]]
            if place < 5:
                hidden = writing.next_token(text[:, place], cache)


@torch.no_grad()
def test_writing_in_half_precision_stays_close():
    model = reversed_model()
    codes, exact = picture(1, 16), None
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        hidden, cache = model.read_pictures(codes, slots=5)
        for id in (3, 7, 30, 4):
            hidden = model.next_token(torch.tensor([id]), cache)
        assert hidden.dtype == dtype
        exact = hidden if exact is None else exact
    assert float((hidden.float() - exact).norm() / exact.norm()) < 0.1


def test_what_the_order_does_not_do_is_refused():
    forwards, backwards = make(), reversed_model()
    with pytest.raises(ValueError, match="was trained with the text first, and draws"):
        forwards.read_pictures(picture(1, 16), slots=5)
    with pytest.raises(ValueError, match="was trained with the picture first, and writes captions"):
        backwards.start_picture(torch.tensor([[1]]))
    with pytest.raises(ValueError, match="a picture has 16 codes, but 9 are given"):
        backwards.read_pictures(picture(1, 9), slots=5)
    assert replace(backwards.config, image_first=False) == forwards.config
