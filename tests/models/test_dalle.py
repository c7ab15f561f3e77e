"""DALL-E: against numpy with dense masks, its published sizes, what each token sees, and drawing code by code."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gyebo.models.dalle import Dalle, DalleConfig, kinds
from gyebo.nn import grid_attention
from gyebo.nn.cost import Workload
from gyebo.nn.decoding import decoding_copy
from tests.models import naive_dalle
from tests.operations import counted

ODD = DalleConfig(
    vocab_size=37, context=6, image_codes=11, grid=4, width=21, layers=5, heads=3, inner=40, kernel=3, init_std=0.3, start=True
)
TEXTS = [[5, 9, 2, 30], [7], [], [1, 2, 3, 4, 5, 6]]


def make(seed: int = 0, **options) -> Dalle:
    """A model with every tensor drawn at random, large enough for a wrong place to show."""
    torch.manual_seed(seed)
    model = Dalle(replace(ODD, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
    return model


def picture(*shape: int, seed: int = 0, codes: int = 11) -> torch.Tensor:
    return torch.randint(codes, shape, generator=torch.Generator().manual_seed(seed))


def padded(texts: list[list[int]], length: int = 6, *, side: str = "right", fill: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = torch.full((len(texts), length), fill), torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(length - len(text), length) if side == "left" else slice(0, len(text))
        ids[row, place], mask[row, place] = torch.tensor(text, dtype=torch.long), 1
    return ids, mask


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    a, b = a.detach(), b.detach()
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


# ---- against numpy


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("layers", [1, 5, 7])
@torch.no_grad()
def test_all_logits_are_those_of_the_definition(start, layers):
    model = make(start=start, layers=layers).double()
    p = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    codes = picture(len(TEXTS), 16)
    ids, mask = padded(TEXTS)
    found = model(ids, mask, codes)
    for row, text in enumerate(TEXTS):
        of_text, of_picture = naive_dalle.logits(p, model.config, text, codes[row].tolist())
        assert found.text_logits.shape == (4, 6 if start else 5, 37 + 6) and found.image_logits.shape == (4, 16, 11)
        assert close(found.text_logits[row], torch.from_numpy(of_text), 1e-9)
        assert close(found.image_logits[row], torch.from_numpy(of_picture), 1e-9)
        assert of_picture.std() > 0.3


@torch.no_grad()
def test_single_precision_is_as_exact_as_the_sparse_layers_promise():
    ids, mask = padded(TEXTS)
    single, double = make(), make().double()
    codes = picture(len(TEXTS), 16)
    assert close(single(ids, mask, codes).image_logits.double(), double(ids, mask, codes).image_logits, 1e-5)


def test_kinds_of_layers_of_the_published_model():
    """Rows, with columns in every fourth layer from the second on; the last one is convolutional."""
    assert kinds(6) == ("row", "column", "row", "row", "row", "convolution")
    published = kinds(64)
    assert [i + 1 for i, kind in enumerate(published) if kind == "column"] == list(range(2, 64, 4))
    assert published[-1] == "convolution" and published.count("convolution") == 1
    assert kinds(1) == ("convolution",)


# ---- counts


def test_parameters_of_the_published_models():
    for size, count in (("published", 12_195_294_848), ("korean", 104_372_736)):
        config = Dalle.sizes[size]
        assert (config.vocab_size, config.context, config.image_codes, config.grid) == (16_384, 256, 8192, 32)
        with torch.device("meta"):
            model = Dalle(config)
        assert model.count_parameters() == count
    assert (Dalle.sizes["published"].layers, Dalle.sizes["published"].heads, Dalle.sizes["published"].width) == (64, 62, 3968)


@pytest.mark.parametrize("size", Dalle.sizes)
def test_parameters_of_every_size(size):
    config = Dalle.sizes[size]
    with torch.device("meta"):
        model = Dalle(config)
    d = config.width
    blocks = config.layers * (12 * d * d + 13 * d) + 2 * d
    assert model.count_parameters(embeddings=False) == blocks + d * config.start
    rows = config.vocab_size + 2 * config.context + config.image_codes + 2 * config.grid + config.start
    assert model.count_parameters() == blocks + rows * d


def test_flops_are_those_that_torch_counts(monkeypatch):
    """Of sparse attention: that all pairs of a small grid are computed, because it is faster, is no work that counts."""
    monkeypatch.setattr(grid_attention, "FUSED", 0.0)
    for side, kernel, start in ((4, 3, True), (5, 7, False), (6, 3, True)):
        model = make(grid=side, kernel=kernel, start=start)
        codes = picture(3, side * side)
        ids, mask = padded(TEXTS[:3])
        work = Workload({"tokens": [4, 1, 0], "image": [side * side] * 3}, {"text": 7, "image": 5})

        def run(model=model, ids=ids, mask=mask, codes=codes):
            text, image = model.predicting(model.encode(ids, mask, codes).hidden)
            return model.project(text.flatten(0, 1)[:7], "text"), model.project(image.flatten(0, 1)[:5], "image")

        with torch.no_grad():
            assert model.flops(work) == pytest.approx(counted(run), rel=1e-9)


def test_training_costs_three_forward_passes(monkeypatch):
    monkeypatch.setattr(grid_attention, "FUSED", 0.0)
    model = make()
    codes = picture(3, 16)
    ids, mask = padded(TEXTS[:3])
    work = Workload({"tokens": [4, 1, 0], "image": [16] * 3}, {"text": 18, "image": 48})

    def run():
        found = model(ids, mask, codes)
        (found.text_logits.sum() + found.image_logits.sum()).backward()

    assert counted(run) == pytest.approx(3 * model.flops(work), rel=1e-9)


# ---- what is seen


@torch.no_grad()
def test_where_padding_stands_changes_nothing():
    model, codes = make(), picture(len(TEXTS), 16)
    ids, mask = padded(TEXTS)
    expected = model(ids, mask, codes)
    for side, length, fill in (("left", 6, 8), ("right", 6, 0), ("left", 9, 1), ("right", 11, 36)):
        ids, mask = padded(TEXTS, length, side=side, fill=fill)
        for given in ({"attention_mask": mask}, {"document_ids": mask * 4}):
            found = model(ids, image_ids=codes, **given)
            assert close(found.image_logits, expected.image_logits) and close(found.text_logits, expected.text_logits)
    alone = model(torch.tensor([TEXTS[0]]), image_ids=codes[:1])
    assert close(alone.image_logits, expected.image_logits[:1])


@torch.no_grad()
def test_each_token_moves_what_comes_after_it_and_nothing_else():
    """Change a token of the text, then a code of the picture: all predictions of earlier ones stay to the last bit."""
    model, codes = make(), picture(1, 16)
    text = torch.tensor([TEXTS[3]])
    before = model(text, image_ids=codes)
    for place in range(6):
        changed = text.clone()
        changed[0, place] += 7
        after = model(changed, image_ids=codes)
        assert torch.equal(after.text_logits[:, : place + 1], before.text_logits[:, : place + 1])
        assert (after.text_logits[:, place + 1 :] != before.text_logits[:, place + 1 :]).any(-1).all()
        assert (after.image_logits != before.image_logits).any(-1).all()
    for place in range(16):
        changed = codes.clone()
        changed[0, place] = (changed[0, place] + 1) % 11
        after = model(text, image_ids=changed)
        assert torch.equal(after.text_logits, before.text_logits)
        assert torch.equal(after.image_logits[:, : place + 1], before.image_logits[:, : place + 1])
        assert (after.image_logits[:, place + 1 :] != before.image_logits[:, place + 1 :]).any() == (place < 15)


@torch.no_grad()
def test_padding_is_a_token_of_each_place():
    """The picture sees padding, which is another vector at each place of the text."""
    model, codes = make(), picture(1, 16)
    before = model(torch.tensor([[7]]), image_ids=codes).image_logits
    for place in range(6):
        other = make()
        other.padding_embedding.weight[place] += 1.0
        after = other(torch.tensor([[7]]), image_ids=codes).image_logits
        assert torch.equal(after, before) == (place == 0)  # where the text stands


@torch.no_grad()
def test_a_part_of_a_picture_gives_the_predictions_up_to_there():
    model, codes = make(), picture(2, 16)
    ids, mask = padded(TEXTS[:2])
    whole = model(ids, mask, codes).image_logits
    for count in (0, 1, 4, 9, 15):
        assert close(model(ids, mask, codes[:, :count]).image_logits, whole[:, : count + 1])
    assert close(model(ids, mask).image_logits, whole[:, :1])


def test_gradients_reach_every_parameter():
    model = make()
    ids, mask = padded(TEXTS)
    found = model(ids, mask, picture(4, 16))
    (found.text_logits.square().sum() + found.image_logits.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name


# ---- drawing


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("given", [0, 4, 9])
@pytest.mark.parametrize("copies", [1, 2])
@torch.no_grad()
def test_codes_one_at_a_time_equal_the_whole_picture(start, given, copies):
    model = make(start=start)
    ids, mask = padded(TEXTS[:3])
    codes = picture(3 * copies, 16)
    codes[:, :given] = codes[::copies, :given].repeat_interleave(copies, 0)
    whole = model(ids.repeat_interleave(copies, 0), mask.repeat_interleave(copies, 0), codes).image_logits
    for drawing in (model, decoding_copy(model)):
        hidden, cache = drawing.start_picture(ids, mask, codes[::copies, :given], copies=copies)
        for place in range(given, 16):
            assert close(drawing.project(hidden, "image"), whole[:, place])
            if place < 15:
                hidden = drawing.next_code(codes[:, place], cache)


@torch.no_grad()
def test_drawing_in_half_precision_stays_close():
    model = make()
    codes, exact = picture(1, 16), None
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        hidden, cache = model.start_picture(torch.tensor([[5, 9]]))
        for place in range(15):
            hidden = model.next_code(codes[:, place], cache)
        assert hidden.dtype == dtype
        exact = hidden if exact is None else exact
    assert float((hidden.float() - exact).norm() / exact.norm()) < 0.1


# ---- the rest


def test_initial_values():
    torch.manual_seed(3)
    model = Dalle(
        DalleConfig(vocab_size=900, context=64, image_codes=300, grid=16, width=240, layers=8, heads=6, init_std=0.05)
    )
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and name != "start":
            assert (parameter == (1.0 if "norm.weight" in name else 0.0)).all(), name
            continue
        std = 0.05 / 4 if name.endswith(("attention.out.weight", "mlp.down.weight")) else 0.05
        assert abs(float(parameter.detach().std()) / std - 1) < 5 / math.sqrt(2 * parameter.numel()), name


def test_layer_groups_hold_every_parameter_once():
    model = make()
    listed = [id(p) for group in model.layer_groups() for p in group]
    assert len(listed) == len(set(listed)) and set(listed) == {id(p) for p in model.parameters()}
    assert len(model.layer_groups()) == 7
    tables = {id(p) for p in model.layer_groups()[0]}
    assert {id(model.row_embedding.weight), id(model.image_embedding.weight), id(model.start)} <= tables


def test_what_does_not_fit_is_refused():
    model = make()
    with pytest.raises(ValueError, match=r"at most 6 tokens \(context\), but has 7"):
        model(torch.ones(1, 7, dtype=torch.long))
    with pytest.raises(ValueError, match=r"at most 16 codes \(grid 4 x 4\), but has 17"):
        model(torch.ones(1, 2, dtype=torch.long), image_ids=picture(1, 17))
    with pytest.raises(ValueError, match="head must be one of text, image"):
        model.project(torch.zeros(1, 21), "lm")
    with pytest.raises(ValueError, match="nothing is left to draw"):
        model.start_picture(torch.ones(1, 2, dtype=torch.long), image_ids=picture(1, 16))
    with pytest.raises(ValueError, match="labels="):
        model(torch.ones(1, 2, dtype=torch.long), labels=torch.ones(1, 2))
    for option, said in (({"kernel": 4}, "kernel"), ({"heads": 2}, "heads"), ({"grid": 0}, "grid"), ({"inner": 0}, "inner")):
        with pytest.raises(ValueError, match=said):
            replace(ODD, **option)
