"""`gyebo draw`: what it prints and writes, and its errors."""

import json

import pytest
from PIL import Image

from tests.jobs.drawing_models import saved


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer_folder):
    return saved(tmp_path_factory.mktemp("drawing"), tokenizer_folder)


def test_pictures_and_what_is_said_of_them(cli, models, tmp_path):
    out = tmp_path / "나무.png"
    found = cli("draw", models.drawer, "--text", "빨간 나무", "--count", 3, "--rerank", models.judge, "--seed", 4, "-o", out)
    assert found.code == 0, found.err
    assert f"3 pictures for '빨간 나무', seed 4: {out}, the best one (candidate" in found.out
    assert Image.open(out).text["prompt"] == "빨간 나무"
    words = ["--text", "빨간 나무", "--top-k", 5, "--temperature", 0.9, "--guidance", 2, "--json", "--overwrite", "-o", out]
    found = cli("draw", models.drawer, *words)
    assert found.code == 0, found.err
    assert json.loads(found.out)["file"] == str(out)


def test_errors(refused, models, tmp_path):
    words = ["draw", models.drawer, "-o", tmp_path / "a.png"]
    assert "--text is empty: say what to draw" in refused(*words, "--text", " ")
    assert "let its name end in .png" in refused("draw", models.drawer, "--text", "나무", "-o", tmp_path / "a.jpg")
    assert "candidates must be a whole number of at least 1" in refused(*words, "--text", "나무", "--count", 0)
    assert f"--rerank {models.codes} holds a VQ-VAE" in refused(*words, "--text", "나무", "--rerank", models.codes)
    assert "which draws no pictures" in refused("draw", models.judge, "--text", "나무", "-o", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
