"""CLIP: what a text and a picture see of themselves, counts, FLOPs, bad input; its numbers are tested against transformers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gyebo.models.clip import Clip, ClipConfig
from gyebo.nn.cost import Workload
from tests.operations import counted

ODD = ClipConfig(
    vocab_size=53,
    context=9,
    width=21,
    layers=3,
    heads=3,
    inner=30,
    picture_size=12,
    patch=4,
    picture_width=20,
    picture_layers=2,
    picture_heads=4,
    picture_inner=18,
    projection=14,
    end_id=5,
)
TEXTS = [[7, 9, 11, 5], [5], [8, 40, 41, 42, 43, 44, 45, 46, 5]]


def make(seed: int = 0, **options) -> Clip:
    """A model with every tensor drawn at random, large enough for a wrong place to show."""
    torch.manual_seed(seed)
    model = Clip(replace(ODD, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
            elif "embedding" in name:
                parameter.normal_(0.0, 0.5)
    return model


def pictures(count: int, side: int = 12, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def padded(texts: list[list[int]], length: int = 9, *, side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = torch.full((len(texts), length), 5), torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(length - len(text), length) if side == "left" else slice(0, len(text))
        ids[row, place], mask[row, place] = torch.tensor(text), 1
    return ids, mask


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


@torch.no_grad()
def test_padding_and_neighbours_change_nothing():
    model = make()
    alone = torch.cat([model.text_vectors(torch.tensor([text])) for text in TEXTS])
    assert float(alone.std(0).mean()) > 0.05 and close(alone.norm(dim=1), torch.ones(3))
    for side, length in (("left", 9), ("right", 9), ("right", 12)):
        ids, mask = padded(TEXTS, length, side=side)
        for given in ({"attention_mask": mask}, {"document_ids": 3 * mask}):
            assert close(model.text_vectors(ids, **given), alone)
        assert close(model.text_vectors(ids[[2, 0]], mask[[2, 0]]), alone[[2, 0]])
    shown = pictures(4)
    vectors = model.picture_vectors(shown)
    assert close(model.picture_vectors(shown[2:3]), vectors[2:3]) and float(vectors.std(0).mean()) > 0.02


@torch.no_grad()
def test_a_text_is_read_from_left_to_right_and_a_picture_all_at_once():
    model, text = make(), torch.tensor([TEXTS[2]])
    before = model.encode(text).hidden
    for place in range(9):
        changed = text.clone()
        changed[0, place] = 20
        after = model.encode(changed).hidden
        assert torch.equal(after[:, :place], before[:, :place]) and (after != before)[:, place:].any(-1).all()
    shown = pictures(1)
    seen = model.encode_pictures(shown)
    assert seen.shape == (1, 10, 20)
    for row in range(3):
        for column in range(3):
            changed = shown.clone()
            changed[0, 4 * row + 1, 4 * column + 2, 1] ^= 255
            assert (model.encode_pictures(changed) != seen).any(-1).all()


@torch.no_grad()
def test_the_end_token_stands_for_a_text():
    model = make()
    two_ends = torch.tensor([[7, 5, 9, 5]])
    assert close(model.text_vectors(two_ends), model.text_vectors(torch.tensor([[7, 5]])))
    highest = make(end_id=None)
    assert close(highest.text_vectors(torch.tensor([[7, 52, 9]])), highest.text_vectors(torch.tensor([[7, 52]])))
    ids, mask = torch.tensor([[7, 30, 52]]), torch.tensor([[1, 1, 0]])
    assert close(highest.text_vectors(ids, mask), highest.text_vectors(ids[:, :2]))


@torch.no_grad()
def test_pixels_are_bytes_or_normalised_numbers():
    model, shown = make(), pictures(2)
    numbers = Clip.normalised(shown)
    assert numbers.shape == (2, 3, 12, 12)
    by_hand = (float(shown[1, 3, 5, 2]) / 255 - 0.40821073) / 0.27577711
    assert float(numbers[1, 2, 3, 5]) == pytest.approx(by_hand, abs=1e-6)
    assert torch.equal(model.picture_vectors(numbers), model.picture_vectors(shown))


@torch.no_grad()
def test_logits_are_scaled_cosines():
    model, shown = make(), pictures(4)
    ids, mask = padded(TEXTS)
    found = model(ids, shown, mask)
    texts, vectors = model.text_vectors(ids, mask), model.picture_vectors(shown)
    expected = torch.nn.functional.cosine_similarity(texts[:, None], vectors[None], dim=-1) * float(model.scale.exp())
    assert found.logits_per_text.shape == (3, 4) and close(found.logits_per_text, expected)
    assert torch.equal(found.logits_per_image, found.logits_per_text.T)


PUBLISHED = {"base-32": 151_277_313, "base-16": 149_620_737, "large-14": 427_616_513}  # of CLIPModel with their configs


@pytest.mark.parametrize("size", Clip.sizes)
def test_parameters_of_every_size(size):
    config = Clip.sizes[size]
    with torch.device("meta"):
        model = Clip(config)
    total = config.vocab_size * config.width + config.context * config.width + 1
    patches = 3 * config.patch**2 + 1 + 1 + config.patches
    total += patches * config.picture_width + 2 * config.width + 4 * config.picture_width
    for width, layers in ((config.width, config.layers), (config.picture_width, config.picture_layers)):
        total += layers * (12 * width**2 + 13 * width) + width * config.projection
    assert model.count_parameters() == total == PUBLISHED.get(size, total)


def test_flops_are_those_that_torch_counts():
    model, shown = make(), pictures(3)
    work = Workload({"tokens": [len(text) for text in TEXTS]}, {"text": 3, "picture": 3})
    given = [torch.tensor([text]) for text in TEXTS]
    with torch.no_grad():
        found = counted(lambda: ([model.text_vectors(ids) for ids in given], model.picture_vectors(shown)))
    assert model.flops(work) == pytest.approx(found, rel=1e-9)


def test_initial_values():
    torch.manual_seed(3)
    model = Clip(ClipConfig(3000, 60, 240, 4, 6, None, 64, 8, 160, 3, 4, projection=130))
    into_text, into_picture = (2 * 240 * 4) ** -0.5, (2 * 160 * 3) ** -0.5
    stds = {
        "token_embedding.weight": 0.02,
        "position_embedding.weight": 0.01,
        "patch_embedding.weight": 160**-0.5,
        "patch_position_embedding.weight": 160**-0.5,
        "text_projection.weight": 240**-0.5,
        "picture_projection.weight": 160**-0.5,
    }
    for name, parameter in model.named_parameters():
        if name in ("scale", "whole_embedding"):
            continue
        if parameter.ndim == 1:
            assert (parameter == (1.0 if "norm.weight" in name else 0.0)).all(), name
            continue
        picture = name.startswith("picture_")
        width, into = (160, into_picture) if picture else (240, into_text)
        of_block = {"qkv": width**-0.5, "out": into, "up": (2 * width) ** -0.5, "down": into}
        std = stds.get(name) or of_block[name.split(".")[-2]]
        assert abs(float(parameter.detach().std()) / std - 1) < 5 / math.sqrt(2 * parameter.numel()), name
    assert float(model.scale.detach().exp()) == pytest.approx(1 / 0.07, rel=1e-3)


def test_layer_groups_hold_every_parameter_once():
    model = make()
    listed = [id(p) for group in model.layer_groups() for p in group]
    assert len(listed) == len(set(listed)) and set(listed) == {id(p) for p in model.parameters()}
    assert len(model.layer_groups()) == 1 + 3 + 2 + 1


def test_what_does_not_fit_is_refused():
    model = make()
    with pytest.raises(ValueError, match=r"at most 9 tokens \(context\), but has 10"):
        model.text_vectors(torch.full((1, 10), 5))
    with pytest.raises(ValueError, match=r"no end token \(id 5\)"):
        model.text_vectors(torch.tensor([[7, 5], [7, 8]]))
    with pytest.raises(ValueError, match=r"a picture must be 3 x 12 x 12 \(picture_size\), but is 3 x 8 x 8"):
        model.picture_vectors(pictures(1, 8))
    with pytest.raises(ValueError, match="head must be one of text, picture"):
        model.project(torch.zeros(1, 21), "lm")
    for option, said in (
        ({"patch": 5}, "picture_size must be a multiple of patch"),
        ({"heads": 2}, "width must be a multiple of heads"),
        ({"picture_heads": 3}, "picture_width must be a multiple of picture_heads"),
        ({"picture_inner": 0}, "picture_inner"),
        ({"activation": "elu"}, "activation"),
        ({"end_id": 53}, "end_id must be below vocab_size"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(ODD, **option)
