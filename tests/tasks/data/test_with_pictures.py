"""Examples with pictures: NLVR's files, the world's pictures, a user's own table."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from gyebo.config.finetune import TaskOptions
from gyebo.data.records import STRETCH
from gyebo.tasks.data import loading, with_pictures
from gyebo.tasks.data.own_file import user_task
from gyebo.tasks.registry import find
from gyebo.tasks.splits import read_task
from gyebo.world.pictures import answers, looks, pictures
from gyebo.world.pictures.scenes import ATTRIBUTES

NLVR = Path(__file__).parents[4] / "shared" / "data" / "nlvr"


def png(colour=(9, 9, 9), size=(40, 10)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def nlvr_file(path, examples, orders=6, said=True):
    """A file of NLVR: each example in so many orders of its boxes, which are told apart by the colour of the picture."""
    found = []
    for number in range(examples):
        for order in range(orders):
            row = {"identifier": f"{number}-0", "permutation": order, "png": png((number % 250, order, 9), (400, 100))}
            row |= {"boxes": [[150 * (order % 3), 0, 150 * (order % 3) + 20, 20], [310, 5, 330, 25]]}
            row |= {"box_shape": ["circle", "square"], "box_color": ["blue", "black"], "box_panel": [order % 3, 2]}
            found.append(row | ({"sentence": f"There is a circle {number}.", "label": number % 2 == 0} if said else {}))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), path)


def test_nlvr_is_read_with_its_items_as_regions(tmp_path):
    nlvr_file(tmp_path / "train.parquet", 2)
    found = loading.load(find("nlvr"), "train", tmp_path).examples
    assert [example.id for example in found[:7]] == [*(f"0-0-{n}" for n in range(6)), "1-0-0"]
    assert [example.label for example in found[::6]] == ["true", "false"] and found[0].text == "There is a circle 0."
    record = found[1].picture
    assert record.fit == STRETCH and record.where == f"{tmp_path / 'train.parquet'}: row 2"
    assert [region.box for region in record.regions] == [(150, 0, 170, 20), (310, 5, 330, 25)]


def test_the_orders_of_an_example_of_nlvr_are_never_parted(tmp_path):
    nlvr_file(tmp_path / "train.parquet", 80)
    nlvr_file(tmp_path / "test.parquet", 4, 1)
    for share in (None, 0.5):
        data = read_task(TaskOptions(name="nlvr", data=str(tmp_path), train_share=share))
        assert data.measured == "test" and len(data.test) == 4
        counts = [Counter(example.group for example in part) for part in (data.train, data.valid)]
        assert counts[1] and not counts[0].keys() & counts[1].keys()
        assert {*counts[0].values(), *counts[1].values()} == {6}
    assert len(counts[0]) < 60


def test_nlvr_without_sentences_is_refused(tmp_path):
    nlvr_file(tmp_path / "train.parquet", 2, said=False)
    with pytest.raises(ValueError, match=r"train\.parquet: no column 'sentence': it has pictures alone"):
        loading.load(find("nlvr"), "train", tmp_path)


@pytest.mark.skipif(not NLVR.is_dir(), reason="needs the data set NLVR beside the repository")
def test_the_real_files_of_nlvr():
    found = {split: loading.load(find("nlvr"), split, NLVR).examples for split in ("train", "dev", "test")}
    assert {split: len(examples) for split, examples in found.items()} == {"train": 6000, "dev": 989, "test": 990}
    true = {split: sum(example.label == "true" for example in examples) / len(examples) for split, examples in found.items()}
    assert true == {
        "train": pytest.approx(0.587, abs=1e-3),
        "dev": pytest.approx(0.553, abs=1e-3),
        "test": pytest.approx(0.562, abs=1e-3),
    }


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(with_pictures, "SIZES", {"train": 200, "dev": 60, "test": 60})


def held_out(examples):
    """(attribute, thing, value) of all things of the pictures."""
    things = [thing for example in examples for thing in example.picture.picture.scene.things]
    return {(name, thing.thing, thing.value(name)) for thing in things for name in ATTRIBUTES}


@pytest.mark.parametrize("name", ["world-statements", "world-picture-questions"])
def test_the_world_tests_combinations_that_no_other_picture_shows(small, name):
    found = {split: list(find(name).world(split)) for split in ("train", "dev", "test")}
    hidden = looks().held_out
    assert {split: len(examples) for split, examples in found.items()} == {"train": 200, "dev": 60, "test": 60}
    assert not held_out(found["train"] + found["dev"]) & hidden
    assert all(held_out([example]) & hidden for example in found["test"])
    groups = [{example.group for example in examples} for examples in found.values()]
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert len({example.id for examples in found.values() for example in examples}) == 320
    assert {example.label for examples in found.values() for example in examples} <= set(find(name).labels)
    korean = [any("가" <= letter <= "힣" for letter in example.text) for example in found["train"]]
    assert 0.3 < sum(korean) / len(korean) < 0.7


def test_a_statement_is_said_of_its_picture(small):
    """As many true as false ones, of each picture one of either, which are the captions and the false statement of it."""
    found = list(find("world-statements").world("train"))
    assert Counter(example.label for example in found) == {"true": 100, "false": 100}
    for true, false in zip(found[::2], found[1::2]):
        picture = true.picture.picture
        assert picture is false.picture.picture and (true.label, false.label) == ("true", "false")
        kinds = {text.text: text.kind for text in picture.texts}
        assert kinds[true.text] == "caption" and kinds[false.text] == "false"


def test_every_answer_of_the_world_is_known():
    told = {text.answer for unseen in (False, True) for picture in pictures(700, unseen=unseen) for text in picture.texts}
    assert told - {None} <= set(answers()) and len(told) > 90
    assert len(set(answers())) == len(answers())


def test_a_table_of_ones_own_of_each_kind(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    objects = [{"box": [0, 0, 20, 10], "label": "ball", "colour": "red"}]
    (tmp_path / "my.csv").write_text("image,text,label\na.png,one,yes\na.png,two,no\n", encoding="utf-8")
    (tmp_path / "my.jsonl").write_text(
        json.dumps({"image": "a.png", "text": "one", "label": 1, "objects": objects}) + "\n", encoding="utf-8"
    )
    rows = [{"image": {"bytes": png(), "path": None}, "text": "one", "label": "yes", "objects": objects}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "my.parquet")
    task = user_task("visual-classification")
    plain, other = task.read(tmp_path / "my.csv")
    assert (plain.text, plain.label, plain.picture.picture, plain.group) == ("one", "yes", tmp_path / "a.png", "a.png")
    assert other.group == plain.group and plain.picture.regions == ()
    (listed,), (stored,) = task.read(tmp_path / "my.jsonl"), task.read(tmp_path / "my.parquet")
    assert listed.picture.regions == stored.picture.regions != () and stored.picture.picture == png()
    assert (listed.label, listed.picture.regions[0].attributes) == ("1", {"colour": "red"})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"image": "b.png"}, "my.jsonl: line 1: the picture b.png is missing in "),
        ({"image": ""}, "my.jsonl: line 1: has no picture"),
        ({"image": 7}, "my.jsonl: line 1: image holds int, neither the name of an image file nor its bytes"),
        ({"image": "a.png", "objects": [{"box": [0, 0]}]}, 'my.jsonl: line 1: each of the objects needs a "box"'),
        ({"photo": "a.png"}, "my.jsonl: no column 'image'; available: photo, text, label"),
    ],
)
def test_a_row_without_a_picture_is_named(tmp_path, row, words):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "my.jsonl").write_text(json.dumps({**row, "text": "one", "label": "x"}) + "\n", encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        list(user_task("visual-classification").read(tmp_path / "my.jsonl", problems=[]))
