"""Pictures: what the arrays become, read back from the figure or the file."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gyebo.figures.curves import Curve, comparison, inline_svg, intervals, mean_curve, save, smooth, training_curve
from gyebo.figures.tree import Member, assign_lanes, draw_tree, order


def test_smoothing_has_no_bias_at_the_start():
    assert np.allclose(smooth([3.0] * 100), 3.0)
    values = smooth([0.0, 1.0], span=3)  # keep 1/2: average 1/2 of weight 3/4
    assert values.tolist() == [0.0, pytest.approx(2 / 3)]
    assert smooth([5.0]).tolist() == [5.0]


def test_the_mean_curve_is_the_mean_of_each_step():
    x, y = mean_curve([([10, 20], [1.0, 2.0]), ([12, 22], [3.0, 5.0])])
    assert (x.tolist(), y.tolist()) == ([11, 21], [2.0, 3.5])
    with pytest.raises(ValueError, match="same number of points"):
        mean_curve([([1, 2], [1.0, 2.0]), ([1], [1.0])])


def test_training_curve_converts_nats_to_bits_per_byte(tmp_path, monkeypatch):
    from gyebo.figures import curves

    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, path: drawn.append(figure))
    training_curve(tmp_path / "a.png", [1, 2], [4 * math.log(2)] * 2, [(2, 1.5)], bytes_per_token=4, floor=0.5)
    raw, smoothed, held_out, floor = drawn[0].axes[0].lines
    assert raw.get_ydata().tolist() == smoothed.get_ydata().tolist() == [pytest.approx(1)] * 2  # 4 bits a token of 4 bytes
    assert list(held_out.get_ydata()) == [1.5]
    assert set(floor.get_ydata()) == {0.5}
    low, high = drawn[0].axes[0].get_ylim()
    assert low < 0.5 < 1.5 < high


def test_training_curve_checks_its_arrays(tmp_path):
    with pytest.raises(ValueError, match="2 steps and 1 losses"):
        training_curve(tmp_path / "a.png", [1, 2], [1.0], [], bytes_per_token=4)
    with pytest.raises(ValueError, match="bytes_per_token"):
        training_curve(tmp_path / "a.png", [1], [1.0], [], bytes_per_token=0)


def test_a_picture_is_a_file_and_nothing_else_is_left(tmp_path):
    training_curve(tmp_path / "new" / "loss.png", [1, 2, 3], [3.0, 2.0, 1.0], [], bytes_per_token=4)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["loss.png"]
    assert (tmp_path / "new" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_an_untrained_start_does_not_squeeze_the_end():
    x = list(range(0, 101, 5))
    figure = comparison([Curve("a", [(x, [8.0] + [1.2] * 20)])], "tokens")
    assert figure.axes[0].get_ylim()[1] < 2


def test_each_candidate_has_its_mean_its_seeds_and_its_ends():
    seeds = [([1, 2], [3.0, 2.0]), ([1, 2], [5.0, 4.0])]
    figure = comparison([Curve("a", seeds, [(2, 2.0), (2, 4.0)]), Curve("b", seeds[:1])], "tokens", floor=1.0)
    lines = figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in lines[:3] if len(line.get_ydata()) == 2][2] == [4.0, 3.0]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b", "known entropy"]


def test_inline_svg_holds_no_address_and_speaks(tmp_path):
    rows = [("a", [1.0, 1.2], 0.8, 1.4), ("b", [2.0], None, None)]
    text = inline_svg(intervals(rows), 'scores of "a" & <b>')
    root = ElementTree.fromstring(text.replace("xlink:href", "href"))
    assert root.tag == "svg"
    assert root.get("aria-label") == 'scores of "a" & <b>'
    assert "http" not in text
    assert "var(--c0, #1f6fb4)" in text
    assert text == inline_svg(intervals(rows), 'scores of "a" & <b>')  # the same picture gives the same bytes
    ids = [set(re.findall(r'\bid="([^"]*)"', picture)) for picture in (text, inline_svg(intervals(rows), "other"))]
    assert ids[0] and not ids[0] & ids[1]  # so that two of them can stand in one page


def test_no_pyplot_and_no_display(tmp_path):
    import subprocess
    import sys

    code = "import sys, gyebo.figures.curves, gyebo.figures.tree; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FAMILY = [
    Member("gpt2", "GPT-2", 2019, ("gpt",)),
    Member("gpt", "GPT", 2018, ("transformer",)),
    Member("bert", "BERT", 2018, ("transformer",)),
    Member("transformer", "Transformer", 2017),
    Member("bart", "BART", 2019, ("bert", "gpt")),
]


def test_parents_stand_above_their_children():
    rows = [member.name for member in order(FAMILY)]
    assert rows == ["transformer", "gpt", "bert", "gpt2", "bart"]


def test_a_line_of_descent_keeps_its_lane_and_no_two_lines_share_one():
    rows = order(FAMILY)
    lanes = assign_lanes(rows)
    assert lanes == {"transformer": 0, "gpt": 0, "bert": 1, "gpt2": 0, "bart": 1}
    place = {member.name: index for index, member in enumerate(rows)}
    cells = [
        (lanes[member.name], row)
        for member in rows
        for row in range(place[member.parents[0]] + 1 if member.parents else place[member.name], place[member.name] + 1)
    ]
    assert len(cells) == len(set(cells))


def test_a_second_root_leaves_the_first_ones_lane_to_its_children():
    rows = order([Member("a", "A", 1), Member("b", "B", 2), Member("a2", "A2", 3, ("a",)), Member("b2", "B2", 4, ("b",))])
    assert assign_lanes(rows) == {"a": 0, "b": 1, "a2": 0, "b2": 1}


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ([], "at least one"),
        ([Member("a", "A", 1), Member("a", "A", 2)], "twice"),
        ([Member("a", "A", 1, ("b",))], "parent 'b' is not in the tree"),
        ([Member("a", "A", 1, ("b",)), Member("b", "B", 1, ("a",))], "descend from each other"),
        ([Member("a", "A", 2000, ("b",)), Member("b", "B", 2001)], "older than its parent"),
    ],
)
def test_impossible_trees_are_refused(members, line):
    with pytest.raises(ValueError, match=line):
        order(members)


def test_the_tree_is_drawn_with_every_family(tmp_path):
    draw_tree(FAMILY, tmp_path / "tree.svg")
    first = (tmp_path / "tree.svg").read_bytes()
    text = first.decode()
    for title in ("GPT-2", "Transformer", "BART"):
        assert f"<!-- {title} -->" in text  # matplotlib writes a text's letters as paths under such a remark
    draw_tree(FAMILY, tmp_path / "tree.svg")
    assert (tmp_path / "tree.svg").read_bytes() == first
    draw_tree(FAMILY, tmp_path / "tree.png")


def test_save_leaves_the_old_picture_when_it_fails(tmp_path, monkeypatch):
    figure = intervals([("a", [1.0, 1.2], 0.8, 1.4)])
    save(figure, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def broken(path, **keywords):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(OSError, match="No space"):
        save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
