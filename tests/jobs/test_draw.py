"""gyebo draw: pixels from a seed, the sheet and what it says, candidates by score, a given upper part, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gyebo.interchange import load, save
from gyebo.jobs.draw import draw_pictures, sheet, upper_codes
from gyebo.models.dalle import Dalle
from gyebo.models.vqvae import Vqvae, VqvaeConfig
from tests.jobs.drawing_models import SIZE, saved
from tests.refusals import option_error

TEXT = "빨간 나무"


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer_folder):
    return saved(tmp_path_factory.mktemp("drawing"), tokenizer_folder)


def drawn(models, out, text=TEXT, *, options=None, **rest):
    found = draw_pictures(str(models.drawer), text, options or {}, out=out, **rest)
    return found, np.asarray(Image.open(out))


def cells(pixels, count, columns):
    """The pictures of a sheet, each pixel once."""
    scale = 128 // SIZE
    side = SIZE * scale + 2
    return [pixels[i // columns * side :, i % columns * side :][: side - 2, : side - 2][::scale, ::scale] for i in range(count)]


def test_a_seed_draws_the_same_pixels(models, tmp_path):
    _, first = drawn(models, tmp_path / "a.png", options={"candidates": 3, "seed": 5})
    _, same = drawn(models, tmp_path / "b.png", options={"candidates": 3, "seed": 5})
    _, other = drawn(models, tmp_path / "c.png", options={"candidates": 3, "seed": 6})
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    _, fewer = drawn(models, tmp_path / "d.png", options={"candidates": 2, "seed": 5})
    assert np.array_equal(cells(fewer, 2, 2)[1], cells(first, 3, 2)[1])


def test_the_sheet_shows_what_the_picture_tokenizer_paints_and_says_with_what(models, tmp_path):
    found, pixels = drawn(models, tmp_path / "a.png", options={"candidates": 3, "top_k": 1})
    assert pixels.shape == (2 * 128 + 2, 2 * 128 + 2, 3) and (pixels[130:, 130:] == 255).all()
    model, tokenizer = load(models.drawer)
    ids = torch.tensor([tokenizer.encode(TEXT)])
    codes = torch.zeros(1, 0, dtype=torch.long)
    with torch.no_grad():
        for _ in range(16):  # greedy, all of the sequence each time
            codes = torch.cat([codes, model(ids, image_ids=codes).image_logits[:, -1].argmax(-1)[:, None]], 1)
    expected = model.picture_tokenizer.decode_ids(codes)[0].numpy()
    assert all(np.array_equal(cell, expected) for cell in cells(pixels, 3, 2))
    text = Image.open(tmp_path / "a.png").text
    assert (text["prompt"], text["seed"], text["model"]) == (TEXT, "0", models.drawer.name), "not where it lies"
    assert b"iTXt" in (tmp_path / "a.png").read_bytes() and TEXT.encode() in (tmp_path / "a.png").read_bytes()
    places = [(entry["number"], entry["row"], entry["column"]) for entry in found["candidates"]]
    assert places == [(1, 1, 1), (2, 1, 2), (3, 2, 1)]
    assert json.loads(json.dumps(found)) == found and found["text"] == TEXT


def test_a_file_that_is_there_stays_unless_one_says_so(models, tmp_path):
    mine = tmp_path / "a.png"
    Image.new("RGB", (64, 64), "red").save(mine)
    before = mine.read_bytes()
    with option_error("overwrite"):
        drawn(models, mine)
    with option_error("out"):
        drawn(models, mine, upper=mine, overwrite=True)
    assert mine.read_bytes() == before
    with pytest.raises(ValueError, match="there is no folder"):
        drawn(models, tmp_path / "none" / "a.png")
    drawn(models, mine, overwrite=True)
    assert mine.read_bytes() != before


def test_candidates_are_sorted_by_the_judge(models, tmp_path):
    plain, before = drawn(models, tmp_path / "a.png", options={"candidates": 6})
    found, after = drawn(models, tmp_path / "b.png", options={"candidates": 6}, rerank=str(models.judge))
    judge, tokenizer = load(models.judge)
    originals = cells(before, 6, 3)
    larger = [np.asarray(Image.fromarray(cell).resize((24, 24), Image.Resampling.LANCZOS)) for cell in originals]
    with torch.no_grad():
        vectors = judge.picture_vectors(torch.from_numpy(np.stack(larger)))
        cosines = (judge.text_vectors(torch.tensor([tokenizer(TEXT)["input_ids"]])) @ vectors.T)[0].tolist()
    order = sorted(range(6), key=lambda number: -cosines[number])
    assert [entry["number"] - 1 for entry in found["candidates"]] == order and order != list(range(6))
    assert [entry["score"] for entry in found["candidates"]] == pytest.approx([cosines[n] for n in order], abs=1e-6)
    assert all(np.array_equal(cell, originals[number]) for cell, number in zip(cells(after, 6, 3), order))
    own = {entry["number"]: entry["log_probability"] for entry in plain["candidates"]}
    assert all(own[entry["number"]] == entry["log_probability"] for entry in found["candidates"])


def test_the_upper_part_of_a_picture_is_kept(models, tmp_path):
    painter = load(models.codes)[0]
    pixels = np.random.default_rng(0).integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
    square, flat, dot = (tmp_path / name for name in ("square.png", "flat.png", "dot.png"))
    Image.fromarray(pixels).save(square)
    codes = painter.encode_pixels(torch.from_numpy(pixels[None]))
    assert torch.equal(upper_codes(square, painter), codes[:, :8])
    Image.fromarray(pixels[:12]).save(flat)
    assert torch.equal(upper_codes(flat, painter)[:, :4], codes[:, :4]) and upper_codes(flat, painter).shape == (1, 12)
    found, _ = drawn(models, tmp_path / "a.png", upper=square, options={"candidates": 2, "guidance": 2.0})
    assert len(found["candidates"]) == 2
    Image.fromarray(pixels[:2]).save(dot)
    with option_error("upper"):
        drawn(models, tmp_path / "b.png", upper=dot)
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        drawn(models, tmp_path / "b.png", upper=tmp_path / "no.png")


def test_progress_is_told(models, tmp_path):
    told = []
    drawn(models, tmp_path / "a.png", on_step=told.append)
    assert told == sorted(told) and told[-1] == 1.0


def test_large_pictures_are_not_enlarged():
    pictures = np.zeros((2, 200, 200, 3), np.uint8)
    assert sheet(pictures, 2).shape == (200, 402, 3)


# ---- the picture tokenizer beside the weights


def test_the_picture_tokenizer_comes_back_with_its_model(models, tmp_path):
    model, tokenizer = load(models.drawer)
    painter = load(models.codes)[0]
    assert all(torch.equal(a, b) for a, b in zip(model.picture_tokenizer.state_dict().values(), painter.state_dict().values()))
    assert not any(name.startswith("_painter") for name, _ in model.named_modules())
    save(model, tokenizer, tmp_path)
    assert type(load(tmp_path)[0].picture_tokenizer) is Vqvae
    with pytest.raises(ValueError, match="7 codes, 16 of them a picture, but the model was made for 11 and 16"):
        model.take_picture_tokenizer(Vqvae(VqvaeConfig(picture_size=SIZE, codes=7, code_width=4, width=8, inner=4, layers=1)))
    other = Vqvae(VqvaeConfig(picture_size=32, codes=11, code_width=4, width=8, inner=4, layers=1))
    save(other, None, tmp_path / "picture_tokenizer")
    with pytest.raises(ValueError, match=r"64 of them a picture.*do not belong together"):
        load(tmp_path)


def test_what_can_not_be_drawn_is_refused(models, tmp_path):
    out = tmp_path / "a.png"
    for text in ("", " \n"):
        with option_error("text"):
            drawn(models, out, text)
    with option_error("text"):
        drawn(models, out, "나무 하늘 바다 " * 30)
    with option_error("rerank"):
        drawn(models, out, rerank=str(models.drawer))
    with pytest.raises(ValueError, match="holds a CLIP, which draws no pictures"):
        draw_pictures(str(models.judge), TEXT, {}, out=out)
    shutil.copytree(models.drawer, tmp_path / "alone")
    shutil.rmtree(tmp_path / "alone" / "picture_tokenizer")
    assert load(tmp_path / "alone")[0].picture_tokenizer is None
    with pytest.raises(ValueError, match="no picture_tokenizer folder"):
        draw_pictures(str(tmp_path / "alone"), TEXT, {}, out=out)
    model, tokenizer = load(models.drawer)
    plain = Dalle(type(model.config)(**{**vars(model.config), "guided": False}))
    plain.take_picture_tokenizer(model.picture_tokenizer)
    save(plain, tokenizer, tmp_path / "plain")
    with pytest.raises(ValueError, match="guidance=2: the model has not learned pictures without their text"):
        draw_pictures(str(tmp_path / "plain"), TEXT, {"guidance": 2.0}, out=out)
    assert not out.exists()
