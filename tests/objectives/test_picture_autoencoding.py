"""The objectives on pictures: what stands in a batch, losses against plain formulas, schedules."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Laplace, SigmoidTransform, TransformedDistribution, kl_divergence

from gyebo.data.batches import Rows
from gyebo.models.dvae import Dvae, DvaeConfig
from gyebo.models.vqvae import Vqvae, VqvaeConfig
from gyebo.objectives import discrete_vae, vector_quantisation
from gyebo.objectives.discrete_vae import changed
from gyebo.objectives.objective import Setting
from gyebo.objectives.picture_autoencoding import patches_of, pixels_of, variance_of
from tests.refusals import option_error

SIZE, FACTOR, COUNT = 16, 4, 7


class Drawn:
    """Pictures of noise."""

    size = SIZE

    def __init__(self, count=COUNT):
        self.first, self.of = np.arange(count + 1) * 2, np.arange(2 * count) // 2  # two texts each
        self.pixels = np.random.default_rng(0).integers(256, size=(count, SIZE, SIZE, 3), dtype=np.uint8)

    def __len__(self):
        return len(self.pixels)

    def read(self, picture):
        return self.pixels[picture]


def split(pictures):
    return SimpleNamespace(pictures=pictures, name="train")


def setting(pictures=None, **given):
    return Setting(None, None, split(Drawn() if pictures is None else pictures), (), factor=FACTOR, **given)


def batch_of(objective, pictures, count=3):
    rows = Rows(split(pictures), objective.plan(split(pictures), objective.places, 0), objective)
    arrays = rows.batch(np.arange(count), [[0]] * count)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


QUANTISED = vector_quantisation.build(vector_quantisation.Options(), setting())
RELAXED = discrete_vae.build(discrete_vae.Options(), setting())


@pytest.mark.parametrize("objective", [QUANTISED, RELAXED], ids=["quantised", "relaxed"])
def test_a_row_is_a_picture_whose_tokens_are_the_places_of_its_codes(objective):
    pictures = Drawn()
    plan = objective.plan(split(pictures), 16, 3)
    assert len(plan) == COUNT and plan.positions == COUNT * 16 and plan.mean_tokens == 16
    batch = batch_of(objective, pictures)
    assert set(batch) == {"patches", "document_ids"} and batch["patches"].dtype == torch.uint8
    assert torch.equal(pixels_of(batch), torch.from_numpy(pictures.pixels[:3]))
    assert batch["document_ids"].shape == (3, 16) and bool((batch["document_ids"] == 1).all())
    counts = objective.counts(batch)
    assert counts["restored"] == 3 * SIZE * SIZE * 3 and set(counts.values()) == {2304, 48}


def test_patches_stand_row_by_row():
    picture = Drawn().read(0)
    patches = patches_of(picture, FACTOR)
    assert np.array_equal(patches[4 * 2 + 3], picture[8:12, 12:16])


@pytest.mark.parametrize("codebook", ["means", "loss"])
def test_the_loss_of_a_codebook_is_that_of_the_paper(codebook):
    torch.manual_seed(0)
    shape = {"codes": 5, "code_width": 3, "width": 8, "inner": 4, "layers": 1, "codebook": codebook}
    model = Vqvae(VqvaeConfig(picture_size=SIZE, **shape)).double()
    objective, pictures = vector_quantisation.build(vector_quantisation.Options(commitment=0.4), setting()), Drawn()
    batch = batch_of(objective, pictures)
    terms, counts = objective.loss(model, batch), objective.counts(batch)
    loss = sum(weight * total / counts[name] for name, (total, weight) in terms.items())
    x = torch.from_numpy(pictures.pixels[:3]).permute(0, 3, 1, 2).double() / 255 - 0.5
    z = model.encoder(x).permute(0, 2, 3, 1).reshape(-1, 3)
    e = model.codebook.codes.detach()[torch.cdist(z, model.codebook.codes).argmin(1)]
    predicted = model.decoder(e.view(3, 4, 4, 3).permute(0, 3, 1, 2))
    variance = np.var(pictures.pixels / 255)
    expected = ((x - predicted) ** 2).mean() / variance + 0.4 * ((z - e) ** 2).mean()
    if codebook == "loss":
        expected = expected + ((z - e) ** 2).mean()
    assert set(terms) == {"restored", "commitment", *(["codebook"] if codebook == "loss" else [])}
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("progress", [0.0, 0.05, 0.3, 1.0])
def test_the_loss_of_a_discrete_vae_is_that_of_the_paper(progress):
    """(-ln p + beta KL) / number of values, with the weight and the temperature of that moment."""
    model = Dvae(DvaeConfig(picture_size=SIZE, codes=5, code_width=3, width=8, groups=3, layers=1)).double()
    options = discrete_vae.Options(kl=6.6, kl_over=0.1, temperature_over=0.5)
    objective, pictures = discrete_vae.build(options, setting()), Drawn()
    batch = batch_of(objective, pictures) | {"progress": progress}
    torch.manual_seed(1)
    terms, counts = objective.loss(model, batch), objective.counts(batch)
    loss = sum(weight * total / counts[name] for name, (total, weight) in terms.items())
    share = min(1.0, progress / 0.1)
    beta = 6.6 * (1 - math.cos(math.pi * share)) / 2
    temperature = 1 / 16 + (15 / 16) * (1 + math.cos(math.pi * min(1.0, progress / 0.5))) / 2
    pixels = torch.from_numpy(pictures.pixels[:3])
    torch.manual_seed(1)
    found = model.autoencode(pixels, temperature=temperature)
    density = TransformedDistribution(Laplace(found.location, found.log_scale.exp()), SigmoidTransform())
    values = 0.8 * pixels.permute(0, 3, 1, 2).double() / 255 + 0.1
    codes = Categorical(logits=found.logits.permute(0, 2, 3, 1))
    divergence = kl_divergence(codes, Categorical(logits=torch.zeros_like(codes.logits)))
    expected = (-density.log_prob(values).sum() + beta * divergence.sum()) / values.numel()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)


def test_the_published_weight_of_kl_at_8_pixels_a_code_is_beta_over_192():
    objective = discrete_vae.DiscreteVae(256, 8, discrete_vae.Options())
    model = SimpleNamespace(
        autoencode=lambda pixels, temperature: Dvae(DvaeConfig(picture_size=16, codes=4, code_width=4, width=4)).autoencode(
            pixels, temperature=temperature
        )
    )
    batch = {"patches": torch.zeros(1, 4, 8, 8, 3, dtype=torch.uint8), "document_ids": torch.ones(1, 4), "progress": 1.0}
    assert objective.loss(model, batch)["kl"][1] == pytest.approx(6.6 / 192)


def test_a_schedule_is_half_a_cosine_wave():
    assert [changed(1.0, 0.0, p, 0.5) for p in (0.0, 0.5, 0.9)] == [1.0, 0.0, 0.0]
    assert changed(1.0, 0.2, 0.25, 0.5) == pytest.approx(0.6)
    assert changed(3.0, 2.0, 0.0, 0.0) == 2.0


def test_the_variance_is_that_of_the_pictures():
    assert variance_of(split(Drawn())) == pytest.approx(np.var(Drawn().pixels / 255))
    plain = Drawn()
    plain.pixels[:] = 7
    with pytest.raises(ValueError, match="all pixels of the corpus have one value"):
        variance_of(split(plain))


@pytest.mark.parametrize("module", [vector_quantisation, discrete_vae])
def test_a_corpus_without_pictures_is_refused(module):
    given = Setting(None, None, split(None), (), factor=FACTOR)
    with option_error("data.corpus"):
        module.build(module.Options(), given)


def test_another_context_is_refused():
    with option_error("context"):
        QUANTISED.plan(split(Drawn()), 8, 0)
