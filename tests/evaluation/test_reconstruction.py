"""Metrics of restored pictures, by hand; the bound of the likelihood against the likelihood itself."""

import math

import numpy as np
import pytest
import torch

from gyebo.data.batches import Rows
from gyebo.evaluation.reconstruction import decibels, evaluate_bound, evaluate_reconstruction, restored
from gyebo.models.dvae import Dvae, DvaeConfig
from gyebo.models.vqvae import Vqvae, VqvaeConfig
from gyebo.nn.logit_laplace import inside
from gyebo.objectives import discrete_vae, vector_quantisation
from tests.objectives.test_picture_autoencoding import Drawn, setting, split

SHAPE = {"picture_size": 16, "codes": 5, "code_width": 3, "width": 8, "layers": 1}


def rows_of(module, pictures):
    objective = module.build(module.Options(), setting(pictures)).for_evaluation()
    return Rows(split(pictures), objective.held_out(split(pictures), 16), objective)


def quantiser():
    torch.manual_seed(0)
    model = Vqvae(VqvaeConfig(inner=4, **SHAPE)).eval()
    with torch.no_grad():
        model.codebook.codes.copy_(model.encoder(torch.rand(1, 3, 16, 16) - 0.5)[0].flatten(1).T[:5])
    return model


def relaxed(scale=3.0):
    torch.manual_seed(0)
    model = Dvae(DvaeConfig(groups=3, **SHAPE)).eval()
    with torch.no_grad():
        model.encoder.output.weight.mul_(scale)
    return model


def test_errors_and_codes_by_hand(monkeypatch):
    model, pictures = quantiser(), Drawn()
    found = evaluate_reconstruction(model, rows_of(vector_quantisation, pictures))
    errors, ids = [], []
    for pixels in pictures.pixels:
        one = model.encode_pixels(torch.from_numpy(pixels)[None])
        back = model.decode_ids(one)[0].numpy()
        errors.append(((pixels / 255 - back / 255) ** 2).sum())
        ids += one.flatten().tolist()
    shares = np.bincount(ids) / len(ids)
    shares = shares[shares > 0]
    assert found.metrics["squared_error"] == pytest.approx(np.sum(errors) / pictures.pixels.size, rel=1e-6)
    assert found.metrics["psnr"] == pytest.approx(-10 * math.log10(found.metrics["squared_error"]))
    assert found.metrics["codebook_perplexity"] == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))
    assert found.metrics["codes_used"] == len(shares) > 1
    np.testing.assert_allclose(found.parts, [[error, 768] for error in errors], rtol=1e-6)
    monkeypatch.setattr("gyebo.evaluation.reconstruction.VALUES", 2 * 768)
    assert evaluate_reconstruction(model, rows_of(vector_quantisation, pictures)).metrics == pytest.approx(found.metrics)


def test_a_part_is_the_first_pictures():
    model, pictures = quantiser(), Drawn()
    rows = rows_of(vector_quantisation, pictures)
    whole = evaluate_reconstruction(model, rows).parts
    np.testing.assert_allclose(evaluate_reconstruction(model, rows, tokens=40).parts, whole[:2])
    assert len(evaluate_reconstruction(model, rows, tokens=1).parts) == 1


def test_no_error_has_a_number():
    assert decibels(0.0) == pytest.approx(54.15, abs=0.01) and decibels(0.01) == pytest.approx(20)


def test_the_bound_is_one():
    """Two places with two codes each: the likelihood is a sum over all four, -log2 of which is at most the bound; with the true
    posterior the two would be equal."""
    torch.manual_seed(0)
    model = Dvae(DvaeConfig(picture_size=2, codes=2, code_width=3, width=8, groups=1, layers=1)).double().eval()
    pictures = Drawn(400)
    pictures.size, pictures.pixels = 2, pictures.pixels[:, :2, :2].copy()
    given = setting(pictures)
    object.__setattr__(given, "factor", 1)
    objective = discrete_vae.build(discrete_vae.Options(), given)
    rows = Rows(split(pictures), objective.held_out(split(pictures), 4), objective)
    found = evaluate_bound(model, rows).metrics
    values = inside((torch.from_numpy(pictures.pixels).permute(0, 3, 1, 2).double() + 0.5) / 256)
    total = torch.zeros(400, dtype=torch.float64)
    for number in range(16):
        ids = torch.tensor([[number >> place & 1 for place in range(4)]]).view(1, 2, 2)
        location, log_scale = model.distribution_of(ids)
        from torch.distributions import Laplace, SigmoidTransform, TransformedDistribution

        density = TransformedDistribution(Laplace(location, log_scale.exp()), SigmoidTransform())
        logs = (density.log_prob(values) + math.log(0.8) - math.log(256)).sum((1, 2, 3))
        total += logs.exp() / 16
    exact = -(total.log() / math.log(2)).mean().item() / 12
    assert exact - 0.02 <= found["bits_per_dim"] < exact + 1.0
    assert 0 <= found["kl_bits_per_dim"] < found["bits_per_dim"]


def test_the_bound_adds_what_codes_cost():
    flat, sharp = (evaluate_bound(relaxed(scale), rows_of(discrete_vae, Drawn())).metrics for scale in (0.0, 300.0))
    assert flat["kl_bits_per_dim"] == pytest.approx(0, abs=1e-6)
    assert sharp["kl_bits_per_dim"] == pytest.approx(16 * math.log2(5) / 768, rel=0.05)
    again = evaluate_bound(relaxed(), rows_of(discrete_vae, Drawn())).metrics
    assert again == evaluate_bound(relaxed(), rows_of(discrete_vae, Drawn())).metrics


def test_what_is_shown_is_the_first_pictures_and_what_became_of_them():
    model, pictures = quantiser(), Drawn()
    shown, back = restored(model, rows_of(vector_quantisation, pictures), 3)
    assert np.array_equal(shown, pictures.pixels[:3]) and back.shape == shown.shape
    assert np.array_equal(back, model.decode_ids(model.encode_pixels(torch.from_numpy(shown))).numpy())
