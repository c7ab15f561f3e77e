"""VQ-VAE and dVAE: sizes, shapes, what is refused, what a picture becomes; the dVAE's layers against OpenAI's package are in
tests/interchange/test_dvae.py."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gyebo.models.dvae import Dvae, DvaeConfig
from gyebo.models.vqvae import Vqvae, VqvaeConfig
from gyebo.nn.cost import Workload
from gyebo.nn.logit_laplace import inside, outside
from tests.operations import counted

BOTH = pytest.mark.parametrize("cls", [Vqvae, Dvae])
ODD = {
    Vqvae: VqvaeConfig(picture_size=24, codes=13, code_width=5, width=8, inner=6, layers=2, halvings=3),
    Dvae: DvaeConfig(picture_size=24, codes=13, code_width=5, width=8, groups=4, layers=2),
}


def made(cls, **changes):
    torch.manual_seed(0)
    return cls(replace(ODD[cls], **changes)).double()


def pictures(count=3, side=24, seed=0):
    return torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def autoencoded(model, pixels):
    return model.autoencode(pixels, **({"temperature": 1.0} if model.family == "dvae" else {}))


def test_the_published_dvae_has_its_parameters():
    with torch.device("meta"):
        model = Dvae(Dvae.sizes["published"])
    assert sum(p.numel() for p in model.encoder.parameters()) == 53_786_240
    assert sum(p.numel() for p in model.decoder.parameters()) == 43_829_766
    assert (len([*model.encoder.parameters()]), len([*model.decoder.parameters()])) == (74, 76)
    assert model.config.context == 32 * 32


def expected_vqvae(c):
    """Parameters by the layers of the paper; of the codes, where a loss learns them."""
    w, d, r = c.width, c.code_width, c.inner
    residual = c.layers * (9 * w * r + r + r * w + w)
    halve = 16 * 3 * w + w + (c.halvings - 1) * (16 * w * w + w)
    double = (c.halvings - 1) * (16 * w * w + w) + 16 * w * 3 + 3
    codes = c.codes * d if c.codebook == "loss" else 0
    return halve + residual + (w * d + d) + codes + (9 * d * w + w) + residual + double


@pytest.mark.parametrize("size", Vqvae.sizes)
@pytest.mark.parametrize("codebook", ["means", "loss"])
def test_vqvae_has_the_parameters_of_its_layers(size, codebook):
    config = replace(Vqvae.sizes[size], codebook=codebook)
    with torch.device("meta"):
        assert Vqvae(config).count_parameters() == expected_vqvae(config)


@BOTH
def test_a_picture_becomes_ids_row_by_row_and_back(cls):
    model = made(cls).eval()
    pixels = pictures()
    ids = model.encode_pixels(pixels)
    assert ids.shape == (3, 9) == (3, model.config.context) and ids.dtype == torch.int64
    assert int(ids.min()) >= 0 and int(ids.max()) < 13
    back = model.decode_ids(ids)
    assert back.shape == pixels.shape and back.dtype == torch.uint8 and back.is_contiguous()
    alone = torch.cat([model.decode_ids(model.encode_pixels(one[None])) for one in pixels])
    assert int((alone.int() - back.int()).abs().max()) <= 1


@BOTH
def test_a_code_stands_where_its_pixels_are(cls):
    """Far from a place nothing of it is seen: with one place of another picture, ids and pixels change there and near it
    alone."""
    model = made(cls, picture_size=96).eval()
    ids = torch.zeros(1, 144, dtype=torch.int64)
    other = ids.clone()
    other[0, 12 * 6 + 2] = 5  # row 6, column 2
    changed = (model.decode_ids(ids) != model.decode_ids(other)).any(-1)[0].view(12, 8, 12, 8).any(3).any(1)
    assert changed[6, 2] and not changed[:, 9:].any() and not changed[:2].any()
    pixels = pictures(1, 96)
    far = pixels.clone()
    far[0, :8, -8:] = 255 - far[0, :8, -8:]
    same = (model.encode_pixels(pixels) == model.encode_pixels(far)).view(12, 12)
    assert same[6:].all() and same[:, :6].all()


def test_what_vqvae_decodes_is_what_it_was_trained_to_decode():
    model = made(Vqvae)
    found = model.autoencode(pictures())
    torch.testing.assert_close(found.values, pictures().permute(0, 3, 1, 2).double() / 255 - 0.5)
    seen = (255 * (found.predicted + 0.5).clamp(0, 1)).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert torch.equal(seen, model.decode_ids(model.encode_pixels(pictures())))


def test_a_cold_dvae_decodes_single_codes():
    """As the temperature falls, mixtures become the codes with the greatest logit plus noise."""
    model = made(Dvae)
    with torch.no_grad():
        model.encoder.output.weight.mul_(1e4)  # far apart, so that the noise changes nothing
    torch.manual_seed(0)
    found = model.autoencode(pictures(), temperature=1e-3)
    ids = model.encode_pixels(pictures()).view(3, 3, 3)
    torch.testing.assert_close(found.values, inside(pictures().permute(0, 3, 1, 2).double() / 255))
    location, log_scale = model.distribution_of(ids)
    torch.testing.assert_close(found.location, location, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.log_scale, log_scale, rtol=1e-6, atol=1e-6)
    assert torch.equal(outside(location.sigmoid()), model.pixels_of(ids))


def test_the_noise_of_a_dvae_is_that_of_gumbel_softmax():
    model, pixels = made(Dvae), pictures()
    torch.manual_seed(3)
    found = model.autoencode(pixels, temperature=0.7)
    torch.manual_seed(3)
    noise = -torch.empty(found.logits.shape, dtype=torch.float64).exponential_().log()
    shares = torch.softmax((found.logits + noise) / 0.7, 1)
    location, _ = model.decoder(F.conv2d(shares, model.decoder.input.weight, model.decoder.input.bias))
    torch.testing.assert_close(found.location, location, rtol=1e-10, atol=1e-10)


@BOTH
def test_every_parameter_has_a_gradient(cls):
    model = made(cls, **({"codebook": "loss"} if cls is Vqvae else {}))
    found = autoencoded(model, pictures())
    parts = [found.predicted, found.codes] if cls is Vqvae else [found.location, found.log_scale]
    sum(part.square().sum() for part in parts).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@BOTH
def test_a_forward_pass_costs_what_torch_counts(cls):
    model = made(cls)
    pixels, work = pictures(), Workload({"tokens": [9, 9, 9]})
    with torch.no_grad():
        assert counted(lambda: autoencoded(model, pixels)) == model.flops(work)
        other = made(cls, picture_size=16, **({"halvings": 1, "layers": 1} if cls is Vqvae else {"groups": 2, "layers": 1}))
        assert counted(lambda: autoencoded(other, pictures(1, 16))) == other.flops(Workload({"tokens": [64]}))


@pytest.mark.parametrize(("cls", "least"), [(Vqvae, 0.9), (Dvae, 0.9)])
def test_training_costs_at_most_three_forward_passes(cls, least):
    """The gradient of pixels isn't computed, nor is one of distances."""
    torch.manual_seed(0)
    model = cls(cls.sizes["tiny"])

    def run():
        found = autoencoded(model, pictures(2, 32))
        (found.predicted if cls is Vqvae else found.location + found.log_scale).sum().backward()

    cost = 3 * model.flops(Workload({"tokens": [model.config.context] * 2}))
    assert least * cost < counted(run) <= cost


@BOTH
def test_pictures_of_another_size_or_type_are_refused(cls):
    model = made(cls)
    for wrong in (pictures(1, 16), pictures()[..., :2], pictures()[0], pictures().float()):
        with pytest.raises(ValueError, match=r"pictures must be uint8 \[B, 24, 24, 3\], but are (uint8|float32) \["):
            model.encode_pixels(wrong)
    for ids in (torch.zeros(1, 8, dtype=torch.int64), torch.zeros(9, dtype=torch.int64)):
        with pytest.raises(ValueError, match="a picture has 9 codes, but the ids are"):
            model.decode_ids(ids)


@pytest.mark.parametrize(
    ("cls", "changes", "match"),
    [
        (Vqvae, {"picture_size": 20}, "picture_size must be a multiple of 8, what a code stands for, but is 20"),
        (Dvae, {"picture_size": 20}, "picture_size must be a multiple of 8, what a code stands for, but is 20"),
        (Vqvae, {"codebook": "ema"}, "codebook must be means or loss, but is 'ema'"),
        (Vqvae, {"patience": -1}, "patience must be at least 0"),
        (Vqvae, {"decay": 1.0}, "decay must be from 0 to below 1"),
        (Vqvae, {"halvings": 0}, "halvings must be at least 1"),
        (Dvae, {"width": 6}, "width must be a multiple of 4"),
        (Dvae, {"groups": 0}, "groups must be at least 1"),
    ],
)
def test_what_is_no_model_is_refused(cls, changes, match):
    with pytest.raises(ValueError, match=match):
        replace(ODD[cls], **changes)


@BOTH
def test_half_precision_is_near(cls):
    model = made(cls).float().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model.pixels_of(model.ids_of(model.as_floats(pictures())))
    whole = model.pixels_of(model.ids_of(model.as_floats(pictures())))
    assert float((half - whole.detach()).abs().mean()) < 0.05
