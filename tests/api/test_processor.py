"""`gyebo.load` gives what prepares texts and pictures for a model that sees."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gyebo
from gyebo.api.processor import PictureProcessor, Processor
from gyebo.interchange import save
from gyebo.models.family import FAMILIES, model_class
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.jobs.drawing_models import SIZE, saved

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("processor")


@pytest.fixture(scope="module")
def models(place, tokenizer_folder):
    return saved(place / "drawing", tokenizer_folder)


@pytest.fixture(scope="module", params=["lxmert", "vilbert"])
def seeing(request, place, tokenizer_folder):
    """A model that reads regions of 4 x 4 pixels."""
    family = request.param
    own = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES[family]))
    config = model_class(family).sizes["tiny"]
    given = {**vars(config), "vocab_size": own.vocab_size, "crop": 4, "feature_size": 48, "pad_id": own.role_ids["pad"]}
    torch.manual_seed(0)
    save(model_class(family)(type(config)(**given)), own, place / family)
    return family, place / family


def quarters(side):
    """Red, green, blue and white quarters."""
    return COLOURS[np.array([[0, 1], [2, 3]])].repeat(side // 2, 0).repeat(side // 2, 1)


def test_regions_are_cells_of_a_grid_or_boxes(seeing):
    family, folder = seeing
    model, processor = gyebo.load(folder)
    assert isinstance(processor, Processor) and type(processor.tokenizer) is Tokenizer
    texts = ["나무 정말", "바다"]
    found = processor(texts, pictures=[quarters(64), quarters(64)])
    whole = int(family == "vilbert")
    assert found["visual_feats"].shape == (2, 16 + whole, 48) and found["visual_pos"].shape == (2, 16 + whole, 4 + whole)
    plain = processor.tokenizer(texts, padding=True, return_tensors="pt")
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    first = found["visual_feats"][0, whole].reshape(4, 4, 3)
    assert torch.equal(first, torch.tensor([1.0, -1.0, -1.0]).expand(4, 4, 3))  # the first cell is red
    assert found["visual_pos"][0, whole, :4].tolist() == [0, 0, 0.25, 0.25]
    if whole:  # before them stands the mean, with the box of all and its area
        assert torch.allclose(found["visual_feats"][0, 0], found["visual_feats"][0, 1:].mean(0), atol=1e-6)
        assert found["visual_pos"][0, 0].tolist() == [0, 0, 1, 1, 1]
    boxes = [[[0, 32, 32, 64]], [[32, 0, 64, 32], [0, 0, 64, 64]]]
    boxed = processor(texts, pictures=[quarters(64)] * 2, boxes=boxes)
    assert boxed["visual_attention_mask"].tolist() == [[1] * (1 + whole) + [0], [1] * (2 + whole)]
    blue = torch.tensor([-1.0, -1.0, 1.0]).expand(4, 4, 3)
    assert torch.equal(boxed["visual_feats"][0, whole].reshape(4, 4, 3), blue)
    assert boxed["visual_pos"][0, whole, :4].tolist() == [0, 0.5, 0.5, 1]
    for inputs in (found, boxed):
        assert torch.isfinite(model(**inputs).prediction_logits).all()
    again = processor(texts[:1], pictures=quarters(64), boxes=boxes[:1])
    alone, both = model(**again).prediction_logits, model(**boxed).prediction_logits
    assert torch.allclose(alone[0, :3], both[0, :3], atol=1e-5)  # what is padded is not read


def test_the_same_picture_however_it_is_given(models, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    content = io.BytesIO()
    image.save(content, "PNG")
    _, processor = gyebo.load(models.codes)
    assert isinstance(processor, PictureProcessor) and processor.tokenizer is None
    for given in (array, image, tmp_path / "a.png", str(tmp_path / "a.png"), content.getvalue(), torch.from_numpy(array)):
        assert np.array_equal(processor([given])["pixels"][0].numpy(), array)
    grey = processor(Image.fromarray(array[..., 0]))["pixels"][0].numpy()
    assert np.array_equal(grey, np.repeat(array[..., :1], 3, 2))


def test_codes_and_pixel_values(models):
    array = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    codes, processor = gyebo.load(models.codes)
    ids = codes.encode_pixels(**processor(array))
    for folder in (models.drawer, models.captioner):
        model, both = gyebo.load(folder)
        found = both(["나무"], pictures=array)
        assert torch.equal(found["image_ids"], ids) and torch.isfinite(model(**found).image_logits).all()
    judge, both = gyebo.load(models.judge)
    found = both(["나무", "바다"], pictures=[array])
    assert np.array_equal(found["pixel_values"][0].numpy(), judge_pixels(array, judge.config.picture_size))
    assert judge(**found).logits_per_text.shape == (2, 1)


def judge_pixels(array, size):
    return np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.LANCZOS)) if size != SIZE else array


def test_it_is_a_tokenizer_too_and_is_saved(models, tmp_path):
    model, processor = gyebo.load(models.drawer)
    assert processor("나무")["input_ids"] == processor.tokenizer("나무")["input_ids"]
    assert (
        processor.encode("나무") == processor.tokenizer.encode("나무") and processor.decode(processor.encode("나무")) == "나무"
    )
    gyebo.save(model, processor, tmp_path / "again")
    again, other = gyebo.load(tmp_path / "again")
    assert other.encode("바다") == processor.encode("바다") and again.picture_tokenizer is not None
    assert gyebo.draw(model, processor, "나무", seed=1).pictures.shape == (1, SIZE, SIZE, 3)


def test_what_is_refused(seeing, models, tmp_path):
    _, both = gyebo.load(seeing[1])
    _, alone = gyebo.load(models.codes)
    picture = quarters(64)
    for call, said in [
        (lambda: both(), "texts and pictures are both missing"),
        (lambda: both("a", boxes=[[0, 0, 1, 1]]), "boxes has no effect without pictures"),
        (lambda: both(["a", "b"], pictures=[picture]), "pictures: 1 for 2 texts"),
        (lambda: both("a", pictures=picture, boxes=[[0, 0, 1, 1]]), "boxes must be [n, 4] for each picture"),
        (lambda: both("a", pictures=picture, boxes=[]), "boxes: 0 for 1 pictures"),
        (lambda: both("a", pictures=picture, boxes=[[[0, 0, 99, 1]]]), "not inside the picture of 64 x 64"),
        (lambda: alone([picture.astype(np.float32)]), "must be uint8 [H, W, 3] or [H, W], but is float32"),
        (lambda: alone([3]), "picture 0 (from 0) is a int"),
        (lambda: alone([]), "pictures is empty"),
        (lambda: alone(Path("no.png")), "no such file"),
        (lambda: alone(b"no picture"), "picture 0 (from 0)"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match="^[^\n]*$") as caught:
            call()
        assert said in str(caught.value), str(caught.value)


def test_text_families_have_their_tokenizer(trained_gpt2):
    assert type(gyebo.load(trained_gpt2)[1]) is Tokenizer


@pytest.fixture
def trained_gpt2(tmp_path, tokenizer_folder):
    from tests.jobs.tuning_files import saved_model

    return saved_model(tmp_path, "gpt2", tokenizer_folder)
