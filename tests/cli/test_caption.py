"""`gyebo caption`: a line for each picture, JSON, and its errors; `gyebo evaluate --measure`."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.jobs.drawing_models import saved


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer_folder):
    return saved(tmp_path_factory.mktemp("captioning"), tokenizer_folder)


@pytest.fixture
def files(tmp_path):
    for number in range(2):
        pixels = np.random.default_rng(number).integers(256, size=(20, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return [tmp_path / "0.png", tmp_path / "1.png"]


def test_a_line_for_each_picture(cli, models, files):
    found = cli("caption", models.captioner, *files)
    assert found.code == 0, found.err
    rows = cli("caption", models.captioner, *files, "--json", "--max-new-tokens", 24)
    texts = [json.loads(line)["text"] for line in rows.out.splitlines()]
    assert found.out.splitlines() == [" ".join(text.split()) for text in texts] and len(texts) == 2
    words = ("--samples", 2, "--temperature", 0.8, "--top-k", 20, "--top-p", 0.9, "--seed", 3)
    assert len(cli("caption", models.captioner, files[0], *words).out.splitlines()) == 2
    assert len(cli("caption", models.captioner, *files, "--beams", 3, "--length-penalty", 0.5).out.splitlines()) == 2
    assert len(cli("caption", models.captioner, *files, "--rank", 3).out.splitlines()) == 2


def test_errors(refused, models, files, tmp_path):
    assert "which writes no captions" in refused("caption", models.judge, *files)
    assert "there is no such file" in refused("caption", models.captioner, tmp_path / "no.png")
    assert "length_penalty=0.5 has no effect" in refused("caption", models.captioner, *files, "--length-penalty", 0.5)
    assert "beams=2" in refused("caption", models.captioner, *files, "--beams", 2, "--top-k", 3)


def test_what_is_measured(cli, refused, models):
    found = cli("evaluate", models.judge, "world:pictures,ko,30", "--measure", "retrieval", "--among", 10, "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["pictures"] == 10
    assert "--among has no effect on anything without --measure" in refused(
        "evaluate", models.judge, "world:pictures,ko,30", "--among", 10
    )
    assert "--context has no effect on --measure" in refused(
        "evaluate", models.judge, "world:pictures,ko,30", "--measure", "retrieval", "--context", 20
    )
