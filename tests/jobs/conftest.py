"""Tiny models and a small labelled file, made once for the tests of a file."""

import pytest
from matplotlib.figure import Figure

from tests.jobs.tuning_files import reviews, saved_model


@pytest.fixture(scope="module")
def models(tokenizer_folder, tmp_path_factory):
    """A function that gives a directory with a tiny untrained model of a family."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def make(family):
        if family not in made:
            made[family] = saved_model(folder / family, family, tokenizer_folder)
        return made[family]

    return make


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """Plots without their layout and with few dots: half of what a tiny run takes would else be its picture."""
    draw = Figure.savefig

    def quickly(figure, *where, **how):
        figure.set_layout_engine("none")
        draw(figure, *where, **how | {"dpi": 20})

    monkeypatch.setattr(Figure, "savefig", quickly)
