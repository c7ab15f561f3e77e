"""Boxes, the pixels in them, and files of region features: every way gives the same regions; what does not fit is refused."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from gyebo.data.boxes import check_boxes, crops, grid, in_shares, overlaps, with_area
from gyebo.data.region_files import open_regions

SIZES = {"a.jpg": (640, 480), "b": (30, 50), "한글": (7, 9)}


def detections(feature_size=5, seed=0):
    """name -> width, height, boxes in pixels, features, labels, confidences, attributes, their confidences."""
    random = np.random.default_rng(seed)
    found = {}
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        n = number + 1
        corners = np.sort(random.random((n, 2, 2)), axis=1) * (width, height)
        boxes = corners.reshape(n, 4).astype(np.float32)
        features = random.standard_normal((n, feature_size)).astype(np.float32)
        ids, sure = random.integers(0, 9, (2, n)), random.random((2, n)).astype(np.float32)
        found[name] = (width, height, boxes, features, ids[0], sure[0], ids[1], sure[1])
    return found


def line(name, width, height, boxes, features, labels, sure, attributes, attribute_sure):
    def code(array, kind):
        return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()

    cells = [name, height, width, code(labels, "<i8"), code(sure, "<f4"), code(attributes, "<i8"), code(attribute_sure, "<f4")]
    return "\t".join(map(str, [*cells, len(boxes), code(boxes, "<f4"), code(features, "<f4")]))


def as_tsv(path, found):
    path.write_text("".join(line(name, *row) + "\n" for name, row in found.items()), encoding="utf-8")
    return path


def as_npz(path, found, **changes):
    columns = [np.concatenate([row[n] for row in found.values()]) for n in range(2, 8)]
    names = ("boxes", "features", "labels", "confidences", "attributes", "attribute_confidences")
    arrays = {
        "names": np.array(list(found)),
        "counts": np.array([len(row[2]) for row in found.values()]),
        "sizes": np.array([row[:2] for row in found.values()]),
        **dict(zip(names, columns)),
    }
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return path


def as_parquet(path, found, flat=False):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {
            "name": name,
            "width": row[0],
            "height": row[1],
            "boxes": (row[2].ravel() if flat else row[2]).tolist(),
            "features": (row[3].ravel() if flat else row[3]).tolist(),
            "labels": row[4].tolist(),
            "confidences": row[5].tolist(),
            "attributes": row[6].tolist(),
            "attribute_confidences": row[7].tolist(),
        }
        for name, row in found.items()
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


WRITERS = {"tsv": as_tsv, "npz": as_npz, "parquet": as_parquet}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_gives_what_was_detected(ending, tmp_path):
    expected = detections()
    file = open_regions(WRITERS[ending](tmp_path / f"x.{ending}", expected))
    assert file.feature_size == 5 and set(file.places) == set(SIZES) and "c" not in file
    for name, (width, height, boxes, features, labels, sure, attributes, attribute_sure) in expected.items():
        found = file.read(name)
        assert found.boxes.dtype == found.features.dtype == np.float32 and len(found) == len(boxes)
        assert np.allclose(found.boxes, boxes / (width, height, width, height), atol=1e-6)
        assert np.array_equal(found.features, features)
        for ours, theirs in (
            (found.labels, labels),
            (found.confidences, sure),
            (found.attributes, attributes),
            (found.attribute_confidences, attribute_sure),
        ):
            assert np.array_equal(ours, theirs)
    with pytest.raises(ValueError, match="no features of the picture 'c'"):
        file.read("c")


def test_shares_and_what_is_left_out(tmp_path):
    """Without sizes boxes are shares, and only boxes and features are needed."""
    found = detections()
    bare = dict.fromkeys(("sizes", "labels", "confidences", "attributes", "attribute_confidences"))
    shares = np.concatenate([row[2] / (row[:2] * 2) for row in found.values()])
    file = open_regions(as_npz(tmp_path / "x.npz", found, boxes=shares, **bare))
    one = file.read("b")
    assert np.allclose(one.boxes, found["b"][2] / (30, 50, 30, 50)) and one.labels is None and one.confidences is None
    with pytest.raises(ValueError, match="not inside the picture of 1 x 1"):
        open_regions(as_npz(tmp_path / "y.npz", found, **bare)).read("a.jpg")
    flat = open_regions(as_parquet(tmp_path / "x.parquet", found, flat=True)).read("한글")
    assert np.array_equal(flat.features, found["한글"][3])


def changed(found, name, place, value):
    row = list(found[name])
    row[place] = value
    return {**found, name: tuple(row)}


@pytest.mark.parametrize("ending", WRITERS)
def test_boxes_outside_and_features_of_another_width(ending, tmp_path):
    found = detections()
    outside = found["b"][2].copy()
    outside[1, 2] = 31
    file = open_regions(WRITERS[ending](tmp_path / f"x.{ending}", changed(found, "b", 2, outside)))
    file.read("a.jpg")
    with pytest.raises(ValueError, match=r"picture 'b': box 1 \(.*\) is not inside the picture of 30 x 50"):
        file.read("b")
    if ending == "npz":
        return  # one array has one width
    other = np.ones((2, 4), np.float32)
    file = open_regions(WRITERS[ending](tmp_path / f"y.{ending}", changed(found, "b", 3, other)))
    with pytest.raises(ValueError, match="picture 'b' has features of 4 numbers, but the first one of the file has 5"):
        file.read("b")


def test_damaged_files_are_refused_by_name(tmp_path):
    found = detections()
    for name, text, said in (
        ("a.tsv", "", "no picture in it"),
        ("b.tsv", "one line\n", "line 1: no tab"),
        ("c.tsv", "x\t1\t2\n", "3 columns instead of 10"),
        ("d.tsv", line("x", *found["b"]).replace("\t2\t", "\t3\t") + "\n", "do not fit to num_boxes = 3"),
        ("e.tsv", line("x", *found["b"])[:-1] + "?\n", "not LXMERT's columns"),
        ("f.tsv", (line("x", *found["b"]) + "\n") * 2, "'x' stands in it twice"),
        ("g.npz", "nothing", "not a file of NumPy arrays"),
        ("h.parquet", "nothing", "not a parquet file"),
        ("i.csv", "nothing", r"read from \.tsv, \.npz, \.parquet"),
    ):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=said) as error:
            open_regions(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_regions(tmp_path / "none.tsv")
    for changes, said in (
        ({"counts": np.array([1, 2])}, "3 names, but 2 counts"),
        ({"counts": np.array([1, 2, 4])}, "add up to 7 regions, but there are 6 boxes"),
        ({"features": None}, "no array 'features'"),
        ({"other": np.zeros(1)}, "unknown array 'other'"),
    ):
        with pytest.raises(ValueError, match=said):
            open_regions(as_npz(tmp_path / "x.npz", found, **changes))
    with pytest.raises(ValueError, match="not a finite number"):
        open_regions(as_npz(tmp_path / "x.npz", changed(found, "a.jpg", 3, np.full((1, 5), np.nan))))


# -- boxes -----------------------------------------------------------------------------------------------------------


def test_boxes_in_shares():
    boxes = np.array([[0.0, 0, 200, 50], [50, 25, 100, 100]])
    assert np.allclose(in_shares(boxes, 200, 100, "x"), [[0, 0, 1, 0.5], [0.25, 0.25, 0.5, 1]])
    assert np.allclose(with_area(in_shares(boxes, 200, 100, "x"))[:, 4], [0.5, 0.1875])
    for wrong, said in (
        ([[0, 0, 201, 5]], "not inside the picture of 200 x 100"),
        ([[0, 0, 5, 5], [-1, 0, 5, 5]], r"box 1 \(-1, 0, 5, 5\)"),
        ([[3, 0, 3, 5]], "empty"),
        ([[0, 6, 3, 5]], "empty"),
        ([[0, 0, np.nan, 5]], "not inside"),
        ([[0, 0, 3]], r"must be \[n, 4\]"),
    ):
        with pytest.raises(ValueError, match=said):
            in_shares(np.array(wrong, float), 200, 100, "x")
    with pytest.raises(ValueError, match="width and height must be positive"):
        in_shares(boxes, 0, 100, "x")
    check_boxes(np.array([[0, 0, 1 + 1e-6, 1]]), "x")  # rounded


def test_a_grid_covers_the_picture_once():
    boxes = grid(3, 2)
    assert boxes.shape == (6, 4) and np.allclose(with_area(boxes)[:, 4], 1 / 6)
    assert np.allclose(boxes[1], [1 / 3, 0, 2 / 3, 0.5]) and np.allclose(boxes[3, :2], [0, 0.5])
    assert np.allclose(overlaps(boxes), np.eye(6))
    with pytest.raises(ValueError, match="at least one"):
        grid(0, 2)


def test_overlaps_of_two_boxes():
    found = overlaps(np.array([[0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5], [0.5, 0.5, 1, 1]], np.float32))
    assert found[0, 1] == pytest.approx(1 / 3) and found[0, 2] == 0 and np.allclose(np.diag(found), 1)


@pytest.mark.parametrize("side", [1, 3, 4, 7])
def test_crops_are_means_over_areas(side):
    """Against a mean over a picture that is enlarged until every border falls between two pixels."""
    random = np.random.default_rng(side)
    picture = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    boxes = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.75, 1], [1 / 8, 1 / 6, 2 / 8, 2 / 6], [0.5, 0, 1, 1 / 3]], np.float32)
    large = picture.repeat(84, 0).repeat(84, 1).astype(float)  # 84 is a multiple of every side
    found = crops(picture, boxes, side)
    assert found.shape == (4, side, side, 3) and found.dtype == np.uint8
    for box, crop in zip(boxes, found):
        x0, y0, x1, y1 = np.rint(box * (8 * 84, 6 * 84, 8 * 84, 6 * 84)).astype(int)
        part = large[y0:y1, x0:x1]
        mean = part.reshape(side, part.shape[0] // side, side, part.shape[1] // side, 3).mean((1, 3))
        assert np.abs(crop - mean).max() <= 0.51


def test_crops_of_pixels_are_these_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    found = crops(picture, grid(4, 4), 16)
    for number in range(16):
        y, x = divmod(number, 4)
        assert np.array_equal(found[number], picture[16 * y : 16 * y + 16, 16 * x : 16 * x + 16])
    assert crops(picture, grid(1, 1)[:0], 5).shape == (0, 5, 5, 3)
