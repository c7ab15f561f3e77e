"""CORPUS of pictures: every form of it gives the same records; what is wrong is named by file and row."""

import io
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from gyebo.config.run import DataOptions
from gyebo.data import documents, picture_sources, records
from gyebo.data.picture_files import opened
from gyebo.data.prepare import open_corpus, prepare, training_texts
from gyebo.text.tokenizer import Tokenizer
from tests.refusals import option_error

EMOJI = Path(__file__).parents[3] / "shared" / "data" / "emoji" / "emoji.parquet"
TEXTS = {"a.png": ["빨간 집", "a red house"], "deep/b.png": ["파란 공"], "c.jpg": ['나무, 그리고 "구름"', "숲", "forest"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path_factory.mktemp("cache")))


def picture(name, size=(20, 20)):
    rng = np.random.default_rng([ord(c) for c in name])
    file = io.BytesIO()
    array = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(array).save(file, "JPEG" if name.endswith("jpg") else "PNG")
    return file.getvalue()


def pictures_in(folder, names=TEXTS):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(name))
    return folder


def found(corpus, **options):
    """Of each record the picture's pixels and its texts, and the records."""
    data = DataOptions(corpus=[str(corpus)], **options)
    read = [r for chunk in documents.chunks(open_corpus(data).sources, data) for r in documents.records_of(chunk, data)]
    return {opened(r.picture, r.where).tobytes(): tuple(t.text for t in r.texts) for r in read}, read


def expected(names=TEXTS):
    return {opened(picture(name), name).tobytes(): tuple(texts) for name, texts in names.items()}


# ---- the forms


def write_captions(folder, ending):
    rows = [(name, text) for name, texts in TEXTS.items() for text in texts]
    rows = [rows[0], *rows[2:], rows[1]]  # texts of a picture need not stand together
    path = folder / f"captions.{ending}"
    if ending == "jsonl":
        path.write_text(
            "\n".join(json.dumps({"file_name": n, "text": t}, ensure_ascii=False) for n, t in rows), encoding="utf-8"
        )
    else:
        quoted = [(n, t) if ending == "tsv" else (n, '"' + t.replace('"', '""') + '"') for n, t in rows]
        separator = "\t" if ending == "tsv" else ","
        path.write_text("\n".join(separator.join(row) for row in [("file_name", "text"), *quoted]), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv"])
def test_a_folder_with_a_captions_file(tmp_path, ending):
    path = write_captions(pictures_in(tmp_path), ending)
    by_folder, read = found(tmp_path)
    assert by_folder == expected()
    assert [r.picture.name for r in read] == ["a.png", "b.png", "c.jpg"]
    assert found(path)[0] == by_folder  # the file may be named as well
    assert {text.kind for r in read for text in r.texts} == {records.CAPTION}


def test_metadata_of_the_hub_s_picture_folders_and_lists_of_captions(tmp_path):
    pictures_in(tmp_path)
    rows = [json.dumps({"file_name": name, "captions": texts}) for name, texts in TEXTS.items()]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    assert found(tmp_path)[0] == expected()


def test_fields_by_name_kinds_answers_and_objects(tmp_path):
    pictures_in(tmp_path, ["a.png"])
    rows = [
        {"where": "a.png", "ko": "집", "en": "house", "objects": [{"box": [0, 0, 5, 6.5], "label": "house", "colour": "red"}]},
        {"where": "a.png", "ko": "나무", "en": "tree", "kind": "false"},
        {"where": "a.png", "ko": "무슨 색이야?", "en": None, "kind": "question", "answer": "빨간색"},
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with option_error("data.text_field"):
        found(tmp_path, picture_field="where")
    _, [record] = found(tmp_path, text_field="ko,en", picture_field="where")
    assert [(t.text, t.kind, t.answer) for t in record.texts] == [
        ("집", "caption", None), ("house", "caption", None), ("나무", "false", None), ("tree", "false", None),
        ("무슨 색이야?", "question", "빨간색"),
    ]  # fmt: skip
    assert record.regions == (records.Region((0, 0, 5, 6.5), "house", {"colour": "red"}),)


def test_coco(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "deep/b.png"}, {"id": 4, "file_name": "c.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 4, "caption": TEXTS["c.jpg"][0]}, {"id": 2, "image_id": 7, "caption": "빨간 집\n"},
            {"id": 3, "image_id": 4, "caption": "숲"}, {"id": 4, "image_id": 9, "caption": "파란 공"},
            {"id": 5, "image_id": 7, "caption": "a red house"}, {"id": 6, "image_id": 4, "caption": "forest"},
        ],
    }  # fmt: skip
    for where in ("train2014", "annotations/train2014", "annotations", "images"):
        root = tmp_path / where.replace("/", "-")
        pictures_in(root / where)
        path = root / "annotations" / "captions_train2014.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        assert found(path)[0] == expected()
    content["annotations"].append({"id": 7, "image_id": 1, "caption": "x"})
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotations\[6\] belongs to image_id 1, which is not among"):
        found(path)
    content["annotations"] = [{"id": 1, "image_id": 7, "bbox": [0, 0, 1, 1]}]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not COCO's file of captions"):
        found(path)
    content["annotations"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"images\[0\]: a picture without text"):
        found(path)
    path.write_text('{"images": 3}')
    with pytest.raises(ValueError, match="not COCO's captions JSON"):
        found(path)


def parquet(path, columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as writer

    writer.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_with_bytes_and_with_the_struct_of_the_hub(tmp_path):
    raw = [picture(name) for name in TEXTS]
    plain = parquet(tmp_path / "a.parquet", {"id": [1, 2, 3], "png": raw, "captions": list(TEXTS.values())})
    assert found(plain)[0] == expected()
    structs = [{"bytes": r, "path": None} for r in raw]
    hub = parquet(tmp_path / "b.parquet", {"photo": structs, "text": [t[0] for t in TEXTS.values()]})
    assert list(found(hub)[0].values()) == [(t[0],) for t in TEXTS.values()]
    pictures_in(tmp_path)
    files = [{"bytes": None, "path": name} for name in TEXTS]
    paths = parquet(tmp_path / "c.parquet", {"image": files, "text": [t[0] for t in TEXTS.values()]})
    assert found(paths)[0] == found(hub)[0]


def test_parquet_by_names_and_rows(tmp_path):
    raw = [picture(name) for name in TEXTS]
    columns = {"photo": raw, "name_ko": ["가", "나", "다"], "name_en": ["a", "b", "c"], "split": ["train", "valid", "train"],
               "odd": [True, False, True]}  # fmt: skip
    path = parquet(tmp_path / "a.parquet", columns)
    with option_error("data.text_field"):  # no known column of pictures: a file of texts
        open_corpus(DataOptions(corpus=[str(path)]))
        found(path)
    by_name, read = found(path, picture_field="photo")
    assert list(by_name.values()) == [("가", "a"), ("나", "b"), ("다", "c")]
    assert [r.where for r in read] == [f"{path}: row {n}" for n in range(3)]
    assert list(found(path, picture_field="photo", text_field="name_en")[0].values()) == [("a",), ("b",), ("c",)]
    chosen, read = found(f"{path}#split=train", picture_field="photo")
    assert list(chosen.values()) == [("가", "a"), ("다", "c")] and read[1].where.endswith("row 2")
    assert found(f"{path}#odd=true", picture_field="photo")[0] == chosen
    with pytest.raises(ValueError, match="no row has 'test' in the column 'split'"):
        found(f"{path}#split=test", picture_field="photo")
    with pytest.raises(ValueError, match="no column 'part'"):
        found(f"{path}#part=test", picture_field="photo")
    with option_error("data.picture_field"):
        found(path, picture_field="name_ko", text_field="name_ko")
    parts = [DataOptions(corpus=[f"{path}{rows}"], picture_field="photo") for rows in ("", "#split=train", "#odd=true")]
    assert len({open_corpus(data).fingerprint for data in parts}) == 3


def test_rows_of_a_text_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"text": ["가", "나", "다"], "split": ["x", "y", "x"]})
    data = DataOptions(corpus=[f"{path}#split=x"])
    assert list(training_texts(open_corpus(data))) == ["가", "다"]
    (tmp_path / "b.txt").write_text("x")
    with pytest.raises(ValueError, match="rows are chosen by a column of .parquet files only"):
        open_corpus(DataOptions(corpus=[f"{tmp_path / 'b.txt'}#split=x"]))


def tar(path, members):
    with tarfile.open(path, "w") as file:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def test_webdataset(tmp_path):
    members = [("a.png", picture("a.png")), ("a.txt", "빨간 집\na red house\n".encode()), ("deep/", b""),
               ("deep/b.txt", "파란 공".encode()), ("deep/b.png", picture("deep/b.png")), ("deep/b.cls", b"3"),
               ("deep/c.json", json.dumps({"captions": TEXTS["c.jpg"], "size": 3}).encode()),
               ("deep/c.JPG", picture("c.jpg"))]  # fmt: skip
    path = tar(tmp_path / "part-0000.tar", members)
    by_key, read = found(path)
    assert by_key == expected()
    assert [r.where for r in read] == [f"{path}: a", f"{path}: deep/b", f"{path}: deep/c"]
    assert found(tmp_path)[0] == by_key == found(tmp_path / "part-*.tar")[0]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.png", b"x")], "a: a picture without text"),
        ([("a.png", b"x"), ("a.txt", b" \n")], "a: a picture without text"),
        ([("a.txt", b"x")], "a: has no picture"),
        ([("a.txt", b"x"), ("a.png", b"x"), ("a.jpg", b"x")], "a: has two pictures"),
        ([("a.txt", b"x"), ("a.png", b"x"), ("a.png", b"x")], "a.png is there twice"),
        ([("a.json", b"{"), ("a.png", b"x")], "a.json is not JSON"),
        ([("a.json", b"[]"), ("a.png", b"x")], "a.json is no JSON object"),
    ],
)
def test_bad_tars(tmp_path, members, words):
    with pytest.raises(ValueError, match=words):
        found(tar(tmp_path / "x.tar", members))


def test_a_tar_cut_short(tmp_path):
    path = tar(tmp_path / "x.tar", [("a.png", picture("a.png")), ("a.txt", b"x" * 2000)])
    whole = path.read_bytes()
    for length in (2048, 2500, 3500):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged or not a tar file"):
            found(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="damaged or not a tar file"):
        found(path)
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match="damaged or not a tar file"):
        found(path)


class Image_:
    def __init__(self, decode=True):
        self.decode = decode


Image_.__name__ = "Image"


class FakeRows(list):
    features: ClassVar = {"image": Image_(), "caption": object(), "id": object()}

    def cast_column(self, column, feature):
        assert column == "image" and feature.decode is False
        return self


def test_pictures_of_the_hub_are_read_once(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    asked = []
    rows = [{"image": {"bytes": picture(n), "path": n}, "caption": t, "id": 3} for n, t in TEXTS.items()]

    def load_dataset(name, config, *, split, streaming):
        asked.append((name, config, split))
        return FakeRows(rows)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, Image=Image_))
    monkeypatch.setattr(picture_sources, "BATCH_ROWS", 2)
    for _ in range(2):
        assert found("hf:someone/emoji:test")[0] == expected()
    assert asked == [("someone/emoji", None, "test")]
    with option_error("data.picture_field"):
        found("hf:someone/emoji:test", picture_field="caption")


# ---- what is wrong


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('{"file_name": "a.png", "text": "x"}\n{"file_name": "gone.png", "text": "y"}', "line 2: the picture gone.png is"),
        ('{"file_name": "a.png", "text": ""}', "line 1: a picture without text"),
        ('{"file_name": "a.png", "text": "x"}\n{"text": "y"}', "line 2 names no picture: it has text"),
        ('{"file_name": "a.png", "text": "x"}\n{"file_name": "a.png"}', "line 2 has no text"),
        ('{"file_name": "a.png", "text": "x"}\n{oops', "line 2: not JSON"),
        ('{"file_name": "a.png", "text": "x"}\n[]', "line 2: a list, not an object"),
        ('{"file_name": "a.png", "text": 3}', "line 1: 'text' holds int, not text"),
        ('{"file_name": "a.png", "text": "x", "kind": "poem"}', "line 1: the kind of a text is caption, false, question"),
        ('{"file_name": "a.png", "text": "x", "answer": "y"}', "line 1: a text of the kind caption has no answer"),
        ('{"file_name": "a.png", "text": "x", "objects": [{"box": [1, 2]}]}', 'line 1: each of the objects needs a "box"'),
        ('{"file_name": "a.png", "text": "x", "objects": [{"box": [1, 2, 3, 4], "label": 3}]}', "line 1: 'label' of an object"),
    ],
)  # fmt: skip
def test_bad_captions_files_are_named_by_row(tmp_path, rows, words):
    pictures_in(tmp_path, ["a.png"])
    (tmp_path / "captions.jsonl").write_text(rows)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        found(tmp_path)
    assert "captions.jsonl" in str(caught.value) and "\n" not in str(caught.value)


def test_a_picture_that_no_row_names(tmp_path):
    write_captions(pictures_in(tmp_path), "csv")
    (tmp_path / "deep" / "extra.png").write_bytes(picture("x"))
    with pytest.raises(ValueError, match=r"extra\.png: a picture without text: no row of captions\.csv names it \(1 such"):
        found(tmp_path)


def test_folders_of_pictures_without_captions_or_with_two(tmp_path):
    pictures_in(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds pictures, but no captions file \(captions\.jsonl"):
        found(tmp_path)
    write_captions(tmp_path, "csv")
    write_captions(tmp_path, "tsv")
    with pytest.raises(ValueError, match=r"captions\.csv and captions\.tsv: keep one"):
        found(tmp_path)


def test_a_text_corpus_may_have_a_file_called_captions(tmp_path):
    (tmp_path / "captions.csv").write_text("id,text\n1,하나\n")
    assert list(training_texts(open_corpus(DataOptions(corpus=[str(tmp_path)])))) == ["하나"]


def test_a_damaged_picture_is_named_with_its_row(tmp_path, tokenizer_folder):
    write_captions(pictures_in(tmp_path), "jsonl")
    (tmp_path / "deep" / "b.png").write_bytes(picture("deep/b.png")[:100])
    with pytest.raises(ValueError, match=r"captions\.jsonl: line 2: the picture is damaged or cut short"):
        prepare(open_corpus(DataOptions(corpus=[str(tmp_path)], valid_share=0.5)), Tokenizer.load(tokenizer_folder))


# ---- prepared


def test_all_forms_give_the_same_shards(tmp_path, tokenizer_folder):
    """A folder, a tar and a parquet of the same pictures and texts: what is stored is the same, but for the names of files."""
    tokenizer, stored = Tokenizer.load(tokenizer_folder), []
    names = {f"{n:02d}.png": [f"하늘 {n} 나무", f"picture {n}"] for n in range(20)}
    folder = pictures_in(tmp_path / "f", names)
    rows = [json.dumps({"file_name": n, "texts": t}) for n, t in names.items()]
    (folder / "captions.jsonl").write_text("\n".join(rows))
    members = [m for n, t in names.items() for m in ((n, picture(n)), (n[:2] + ".txt", "\n".join(t).encode()))]
    forms = [
        folder, tar(tmp_path / "x.tar", members),
        parquet(tmp_path / "x.parquet", {"image": [picture(n) for n in names], "texts": list(names.values())}),
    ]  # fmt: skip
    for corpus in forms:
        ready = prepare(open_corpus(DataOptions(corpus=[str(corpus)], valid_share=0.3, picture_size=16)), tokenizer)
        files = (path for path in (ready.folder / "parts").glob("*.*.*") if not path.name.endswith(".files.json"))
        stored.append({path.name: path.read_bytes() for path in files})
        assert len(ready.train.pictures) + len(ready.valid.pictures) == 20 and len(ready.valid.pictures) > 1
    assert stored[0] == stored[1] == stored[2]


def test_what_the_world_writes_is_read_as_it_was(tmp_path):
    from gyebo.jobs.world_pictures import write_pictures
    from gyebo.world import pictures as drawn

    write_pictures(tmp_path / "w", 5, size=32)
    _, read = found(tmp_path / "w")
    for record, made in zip(read, drawn.pictures(5), strict=True):
        assert np.array_equal(np.asarray(opened(record.picture, "")), made.draw(32))
        assert [(t.text, t.kind, t.answer) for t in record.texts] == [(t.text, t.kind, t.answer) for t in made.texts]
        for region, other in zip(record.regions, made.regions, strict=True):
            assert np.allclose(np.array(region.box) / 32, other.box, atol=0.001)
            assert (region.label, dict(region.attributes)) == (other.label, other.attributes)
    with option_error("pictures"):
        write_pictures(tmp_path / "w", 5)


def test_large_files_become_several_chunks(tmp_path, monkeypatch):
    write_captions(pictures_in(tmp_path), "jsonl")
    data = DataOptions(corpus=[str(tmp_path)], picture_size=16)
    for size, expected_chunks in ((3 * 16 * 16, 3), (2 * 3 * 16 * 16, 2)):
        monkeypatch.setattr(records, "CHUNK_BYTES", size)
        assert len(list(documents.chunks(open_corpus(data).sources, data))) == expected_chunks


def test_emoji():
    if not EMOJI.is_file():
        pytest.skip(f"{EMOJI} is not here")
    pytest.importorskip("pyarrow")
    _, read = found(f"{EMOJI}#split=test")
    assert len(read) == 222 and all(len(r.texts) == 2 for r in read)
    assert any("가" <= c <= "힣" for c in read[0].texts[1].text)
    assert replace(read[0], texts=()).picture[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_library_datasets_streams_its_pictures(tmp_path, monkeypatch):
    """The library itself, with a data set that it made, in place of one of the hub."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.List(datasets.Value("string"))})
    columns = {"image": [{"bytes": picture(n), "path": None} for n in TEXTS], "caption": list(TEXTS.values())}
    made = datasets.Dataset.from_dict(columns, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **options: made.to_iterable_dataset())
    assert found("hf:someone/streamed")[0] == expected()
