"""How a model reads pictures that it is shown later: as its run read them."""

import pytest

from gyebo.config import toml
from gyebo.jobs import run_directory
from gyebo.jobs.picture_reading import recorded


@pytest.mark.parametrize(
    ("data", "fit"),
    [
        (
            {"corpus": ["nlvr:simple,folder", "world:pictures"]},
            "stretch",
        ),  # as NLVR's pictures, which are wide, are in the corpus
        ({"corpus": ["nlvr:folder"], "picture_fit": "pad"}, "pad"),
        ({"corpus": ["world:pictures"]}, None),
    ],
)
def test_pictures_are_made_square_as_those_of_the_corpus(data, fit, tmp_path):
    (tmp_path / "run.toml").write_text(toml.dump({"options": {"data": data}}), encoding="utf-8")
    assert run_directory.read(tmp_path)["options"]["data"] == data
    assert recorded(tmp_path)[0].get("picture_fit") == fit
