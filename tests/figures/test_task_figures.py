"""Pictures of a fine-tuning: what is drawn, read back from the figure."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from gyebo.figures import tasks
from gyebo.figures.tasks import MOST, confusion_matrix, error_by_labels, learning_curve


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be saved."""
    figures = []
    monkeypatch.setattr(tasks, "save", lambda figure, path: figures.append(figure))
    return figures


def test_a_confusion_matrix_shows_shares_of_each_right_class(drawn, tmp_path):
    confusion_matrix(tmp_path / "a.png", [[3, 1], [0, 0]], ["no", "$"])
    (axes,) = drawn[0].axes
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 0.0]]  # a class without examples is no division by 0
    assert sorted(text.get_text() for text in axes.texts) == ["0", "0", "1", "3"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["no", r"\$"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


@pytest.fixture
def fonts(monkeypatch):
    """The fonts that are installed: matplotlib's own alone."""
    own = [font for font in font_manager.fontManager.ttflist if font.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


def with_letters(path, name, letters):
    """Install a font that has a few letters, all a square."""
    builder = FontBuilder(1000, isTTF=True)
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(point)
    pen.closePath()
    glyphs = [".notdef", *(f"u{ord(letter):x}" for letter in letters)]
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(letter): glyph for letter, glyph in zip(letters, glyphs[1:])})
    builder.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    font_manager.fontManager.addfont(path)


def test_class_names_are_drawn_with_a_font_that_has_them(drawn, fonts, tmp_path):
    with_letters(tmp_path / "a.ttf", "Half", "긍정부")
    with_letters(tmp_path / "b.ttf", "Whole", "긍정부예")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a letter that it draws as a box
        assert confusion_matrix(tmp_path / "a.png", [[3, 1], [0, 2]], ["긍정", "예 Élan"]) == {}
        drawn[0].savefig(tmp_path / "seen.png")
    for label in (*drawn[0].axes[0].get_xticklabels(), *drawn[0].axes[0].get_yticklabels()):
        assert label.get_text() in ("긍정", "예 Élan") and label.get_fontfamily() == ["DejaVu Sans", "Whole"]


def test_class_names_that_no_font_has_are_numbered_with_a_key(drawn, fonts, tmp_path):
    assert confusion_matrix(tmp_path / "a.png", [[3, 1], [0, 2]], ["Élan", "예"]) == {"#1": "예"}
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["Élan", "#1"]


def test_many_classes_are_drawn_without_counts_and_too_many_not_at_all(drawn, tmp_path):
    confusion_matrix(tmp_path / "a.png", np.eye(13, dtype=int), [str(n) for n in range(13)])
    assert not drawn[0].axes[0].texts
    with pytest.raises(ValueError, match=f"41 classes .*{MOST}"):
        confusion_matrix(tmp_path / "a.png", np.eye(41), [str(n) for n in range(41)])
    with pytest.raises(ValueError, match=r"counts must be 2 x 2, but are \(2, 3\)"):
        confusion_matrix(tmp_path / "a.png", np.ones((2, 3)), ["a", "b"])


def test_a_learning_curve_has_two_axes(drawn, tmp_path):
    learning_curve(tmp_path / "a.png", [(1, 2.0), (2, 1.0), (3, 1.0)], [(2, 0.5), (3, 0.75)], "macro_f1")
    left, right = drawn[0].axes
    assert [line.get_xdata().tolist() for line in left.lines] == [[1, 2, 3]] * 2
    assert left.lines[0].get_ydata().tolist() == [2.0, 1.0, 1.0]
    assert right.lines[0].get_ydata().tolist() == [0.5, 0.75] and right.get_ylabel() == "macro f1"
    named = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert named == ["training loss, smoothed", "macro f1, validation"]


def test_an_error_by_labels_is_a_mean_and_the_seeds_range(drawn, tmp_path):
    error_by_labels(tmp_path / "a.png", {"one": [(100, [20.0, 30.0]), (1000, [11.0])], "two": [(100, [40.0])]}, "error, %")
    (axes,) = drawn[0].axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[100, 25.0], [1000, 11.0]], [[100, 40.0]]]
    low, high = axes.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (11.0, 30.0)
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylabel()) == ("log", "log", "error, %")
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["one", "two"]


def test_pictures_are_files(tmp_path):
    confusion_matrix(tmp_path / "a.png", [[3, 1], [2, 4]], ["a", "b"])
    learning_curve(tmp_path / "b.png", [(1, 2.0)], [], "accuracy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
