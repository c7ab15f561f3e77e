"""gyebo caption: from files to texts, as they are prepared in a corpus; and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from gyebo.generation.captioning import caption
from gyebo.generation.options import GenerationOptions
from gyebo.interchange import load
from gyebo.jobs.caption import caption_pictures, captioning_options
from gyebo.jobs.draw import draw_pictures
from tests.jobs.drawing_models import SIZE, saved


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer_folder):
    return saved(tmp_path_factory.mktemp("captioning"), tokenizer_folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures of the model's size and one that is flat, whose middle is the first of them."""
    folder = tmp_path_factory.mktemp("files")
    pixels = np.random.default_rng(0).integers(256, size=(3, SIZE, SIZE, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    flat = np.concatenate([pixels[1], pixels[0], pixels[2]], 1)
    Image.fromarray(flat).save(folder / "flat.png")
    return [folder / f"{number}.png" for number in range(3)], folder / "flat.png", pixels


def test_a_text_for_each_picture(models, files):
    paths, flat, pixels = files
    found = caption_pictures(str(models.captioner), [*paths, flat], {})
    model, tokenizer = load(models.captioner)
    codes = model.picture_tokenizer.encode_pixels(torch.from_numpy(pixels))
    expected = caption(model.eval(), tokenizer, codes, GenerationOptions(greedy=True))
    assert [row["text"] for row in found] == [answer.text for answer in expected] + [expected[0].text]
    assert [row["ids"] for row in found[:3]] == [answer.ids for answer in expected]
    assert [row["picture"] for row in found] == [str(path) for path in (*paths, flat)]
    assert len({tuple(row["ids"]) for row in found}) == 3


def test_samples_are_adjacent_and_a_seed_writes_the_same(models, files):
    paths, *_ = files
    options = {"samples": 2, "temperature": 1.5, "seed": 7}
    found, same = (caption_pictures(str(models.captioner), paths, options) for _ in range(2))
    assert found == same and [row["picture"] for row in found] == [str(path) for path in paths for _ in range(2)]
    assert found != caption_pictures(str(models.captioner), paths, {**options, "seed": 8})


def test_greedy_unless_an_option_is_about_another_way():
    assert captioning_options({"max_new_tokens": 9}) == GenerationOptions(greedy=True, max_new_tokens=9)
    assert captioning_options({"beams": 3}) == GenerationOptions(beams=3)
    assert captioning_options({"seed": 3}) == GenerationOptions(seed=3)


def test_what_writes_no_captions_is_refused(models, files, tmp_path):
    paths, *_ = files
    with pytest.raises(ValueError, match=r"holds a CLIP, which writes no captions: .* objective.name=image-to-text"):
        caption_pictures(str(models.judge), paths, {})
    with pytest.raises(ValueError, match=r"was trained with the text first, and draws"):
        caption_pictures(str(models.drawer), paths, {})
    with pytest.raises(ValueError, match=r"writes captions \(gyebo caption\)"):
        draw_pictures(str(models.captioner), "나무", {}, out=tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"none\.png: there is no such file"):
        caption_pictures(str(models.captioner), [*paths, tmp_path / "none.png"], {})
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text\.png"):
        caption_pictures(str(models.captioner), [tmp_path / "text.png"], {})
