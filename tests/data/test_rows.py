"""Rows of tables, JSON and parquet, as spreadsheets, pandas and others write them, and what is said of broken ones."""

import csv
import io
import json
import unicodedata

import pytest

from gyebo.config.run import DataOptions
from gyebo.data import documents, sources
from gyebo.data.encoding import Reading
from gyebo.data.rows import any_rows
from gyebo.data.values import ABSENT, find, missing, plain, written
from gyebo.tasks.data.loading import load
from gyebo.tasks.data.own_file import user_task


def texts(path, field="text", **options):
    data = DataOptions(corpus=[str(path)], text_field=field, **options)
    found = sources.resolve([str(path)], path.parent, data)
    return [text for chunk in documents.chunks(found, data) for text in documents.texts_of(chunk, data)]


def examples(path, text="text", label="label", **reading):
    found = load(user_task("classification", text, None, label), "train", path, Reading(**reading))
    return [(example.text, example.label) for example in found.examples]


def both_refuse(path, words):
    """A corpus and a labelled file are refused alike, in one line."""
    for read in (texts, examples):
        with pytest.raises(ValueError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


# ---- CSV

GOOD = [("1", '그는 "싫다"고, 했다', "부정"), ("2", "둘째\r\n줄", "긍정"), ("3", "되돌\r림", "긍정"), ("4", "끝", "부정")]


def as_csv(rows, ends="\r\n"):
    file = io.StringIO()
    csv.writer(file, lineterminator=ends).writerows([("id", "text", "label"), *rows])
    return file.getvalue()


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_a_spreadsheet_is_read_alike_as_corpus_and_as_labelled_file(tmp_path, ends, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(GOOD, ends).encode(encoding))
    named = {"encoding": "cp949"} if encoding == "cp949" else {}
    assert texts(path, **named) == [row[1] for row in GOOD]
    assert examples(path, **named) == [row[1:] for row in GOOD]


def test_a_carriage_return_in_an_unquoted_field_belongs_to_it(tmp_path):
    for ending, sign in (("csv", ","), ("tsv", "\t")):
        path = tmp_path / f"a.{ending}"
        path.write_bytes(f"text{sign}label\na\rb{sign}x\nc{sign}y\r\n".encode())
        assert texts(path) == ["a\rb", "c"]
        assert examples(path) == [("a\rb", "x"), ("c", "y")]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('501,"a stray quote,x\n', r"row 3 is not CSV \(it begins at line 3\): a quote that is opened in it is not closed"),
        ('501,"say \\"hi\\" to me",x\n', r'row 3 is not CSV \(it begins at line 3\): text follows a quote .* not as \\"'),
        ('501,"two\nlines" and more,x\n', r"row 3 is not CSV \(it begins at line 3\): text follows a quote"),
    ],
)
def test_a_quote_that_does_not_fit_swallows_no_rows(tmp_path, row, words):
    path = tmp_path / "a.csv"
    path.write_text("id,text,label\n1,one,x\n" + row + "".join(f"{i},text {i},y\n" for i in range(1000)))
    both_refuse(path, r"a\.csv: " + words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id;text;label\n1;a;x\n", "separated by semicolons, but those of a .csv by commas"),
        ("id\ttext\tlabel\n1\ta\tx\n", r"separated by tabs, .* name it \.tsv"),
        ("text,text,label\na,b,x\n", "two columns are called 'text'"),
        ("text,label\rone,x\rtwo,y\r", "carriage returns alone, as on old Macs"),
    ],
)
def test_tables_of_other_kinds_are_named(tmp_path, content, words):
    (tmp_path / "a.csv").write_bytes(content.encode())
    both_refuse(tmp_path / "a.csv", words)


@pytest.mark.parametrize(
    ("name", "words"), [("a.xlsx", "CSV UTF-8"), ("a.zip", "unpack it"), ("a.hwp", "save its text as .txt")]
)
def test_files_of_other_programs_are_refused_with_what_to_do(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    both_refuse(tmp_path / name, rf"{name}: not one of \.(txt|csv), .*: .*{words}")


def test_headers_of_a_mac_are_found(tmp_path):
    apart = unicodedata.normalize("NFD", "본문")
    assert apart != "본문"
    (tmp_path / "a.csv").write_text(f"{apart} ,분류\n하나,긍정\n둘,부정\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(f'{{"{apart}": "하나", "분류": "긍정"}}\n{{"{apart}": "둘", "분류": "부정"}}\n')
    for name in ("a.csv", "a.jsonl"):
        for asked in ("본문", apart):
            assert texts(tmp_path / name, asked) == ["하나", "둘"]
            assert examples(tmp_path / name, asked, "분류") == [("하나", "긍정"), ("둘", "부정")]


# ---- JSON


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[" * 100_000, "nested more deeply than can be read"),
        ('{"text": "x", "n": ' + "9" * 5000 + "}", "a number of too many digits"),
        ('{"text": "a \\ud83d b", "label": "x"}', r"\\ud83d .*is half of a character"),
        ('{"text": "x"', "not JSON"),
        ("NaN", "a float, not an object"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_json_that_can_not_be_read_is_one_line_with_its_place(tmp_path, line, words, ending):
    path = tmp_path / f"a.{ending}"
    good = ['{"text": "a", "label": "x"}', '{"text": "b", "label": "y"}']
    path.write_text("\n".join([*good, line]) if ending == "jsonl" else "[" + ",\n".join([*good, line]) + "]")
    with pytest.raises(ValueError, match=words) as caught:
        texts(path)
    place = f"byte {len(good[0]) + len(good[1]) + 2}" if ending == "jsonl" else "item 3" if line == "NaN" else "line 3"
    assert str(path) in str(caught.value) and place in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    if ending == "jsonl" or line == "NaN":  # other rows of a training file are read on
        loaded = load(user_task("classification"), "train", path)
        assert len(loaded.examples) == 2 and "1 row can't be used" in loaded.notes[0]
    with pytest.raises(ValueError, match=words) as caught:
        load(user_task("classification"), "dev", path)
    assert ("item 3" if line == "NaN" and ending == "json" else "line 3") in str(caught.value)


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_half_characters_are_replaced_and_counted_where_asked(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    rows = ['{"text": "a \\ud83d b", "label": "x"}', '{"text": "\\ud83d\\ude00", "label": "y"}']
    path.write_text("\n".join(rows) if ending == "jsonl" else f"[{','.join(rows)}]")
    assert texts(path, bad_bytes="replace") == ["a \ufffd b", "😀"]
    assert examples(path, bad_bytes="replace") == [("a \ufffd b", "x"), ("😀", "y")]
    notes = load(user_task("classification"), "train", path, Reading(bad_bytes="replace")).notes
    assert notes == [f"{path}: 1 character could not be read and became U+FFFD (bad_bytes=replace)"]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_long_list_is_read_item_by_item(tmp_path, indent):
    path = tmp_path / "a.json"
    rows = [{"text": f"글 {i} " + "가" * (i * 37 % 5000), "label": str(i % 2), "more": [[], {}, 1.5, None]} for i in range(300)]
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
    assert texts(path) == [row["text"] for row in rows]
    assert [values for _, values in any_rows(path)] == rows
    path.write_text(" [ ] ")
    assert list(any_rows(path)) == []
    for broken, words in (
        ("[{}", "does not end"),
        ("[{}] x", "Extra data"),
        ("[{} {}]", "Expecting ','"),
        ("[1,]", "Expecting"),
    ):
        path.write_text(broken)
        with pytest.raises(ValueError, match=rf"a\.json: not JSON: line 1: .*{words}"):
            list(any_rows(path))


# ---- values


def test_missing_is_missing_and_whole_numbers_are_whole(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", None, "c", "d"], "label": [1, 2, None, 0]})  # label becomes a column of floats
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "b.jsonl", orient="records", lines=True)
    (tmp_path / "c.jsonl").write_text(
        '{"text": "a", "label": 1.0}\n{"text": NaN, "label": 2.0}\n{"text": "c", "label": NaN}\n{"text": "d", "label": 0.0}\n'
    )
    (tmp_path / "d.json").write_text(
        json.dumps(
            [
                {"text": "a", "label": 1.0},
                {"text": float("nan"), "label": 2.0},
                {"text": "c", "label": float("nan")},
                {"text": "d", "label": 0.0},
            ]
        )
    )
    for name in ("a.parquet", "b.jsonl", "c.jsonl", "d.json"):
        path = tmp_path / name
        assert texts(path) == ["a", "c", "d"]
        loaded = load(user_task("classification"), "train", path)
        assert [(e.text, e.label) for e in loaded.examples] == [("a", "1"), ("d", "0")]
        assert "label is empty" in loaded.notes[0] and "without text" in loaded.notes[1]


def test_values_and_names():
    assert missing(None) and missing(float("nan")) and not missing(0.0) and not missing("nan") and not missing("")
    assert [written(v) for v in (1.0, 1.5, 3, -0.0, 1e20, True, "1.0", "가".encode())] == [
        "1", "1.5", "3", "0", "100000000000000000000", "True", "1.0", "가",
    ]  # fmt: skip
    assert written(float("inf")) == "inf"
    assert plain(" 긍정 ") == plain(unicodedata.normalize("NFD", "긍정")) == "긍정"
    row = {"doc": {"body": "x", "가": None}, "a.b": 1, "n": None}
    assert find(row, "doc.body") == "x" and find(row, "a.b") == 1
    assert find(row, "doc.가") is None and find(row, "n.x") is None
    assert find(row, "doc.title") is ABSENT and find(row, "a.c") is ABSENT and find(row, "doc.body.x") is ABSENT


def test_nested_keys_in_every_format_that_has_them(tmp_path):
    rows = [{"doc": {"body": "하나", "meta": {"class": "x"}}}, {"doc": {"body": "둘", "meta": {"class": "y"}}}, {"doc": None}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("doc.body,doc.meta.class\n하나,x\n둘,y\n")
    for name in ("a.jsonl", "a.json", "a.parquet", "a.csv"):
        assert texts(tmp_path / name, "doc.body") == ["하나", "둘"], name
        assert examples(tmp_path / name, "doc.body", "doc.meta.class") == [("하나", "x"), ("둘", "y")], name
        with pytest.raises(ValueError, match="no column 'doc.title'; available: doc"):
            texts(tmp_path / name, "doc.title")


# ---- parquet


def test_text_in_every_type_of_parquet_that_holds_it(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = ["하나", "two", None, "둘"]
    types = [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
    ]
    for kind in types:
        raw = [v.encode() if v and "binary" in str(kind) else v for v in values]
        column = pa.array(values).dictionary_encode() if "dictionary" in str(kind) else pa.array(raw, kind)
        parquet.write_table(pa.table({"text": column, "label": ["x", "y", "x", "y"]}), tmp_path / "a.parquet")
        assert texts(tmp_path / "a.parquet") == ["하나", "two", "둘"], kind
        assert examples(tmp_path / "a.parquet") == [("하나", "x"), ("two", "y"), ("둘", "y")], kind
    for column, words in (
        (pa.array([["a"], ["b"]]), "list<"),
        (pa.array([1, 2]), "int64"),
        (pa.array([{"a": 1}] * 2), "struct<"),
    ):
        parquet.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
        with pytest.raises(ValueError, match=rf"a\.parquet: the column 'text' holds {words}.*, not text"):
            texts(tmp_path / "a.parquet")
    parquet.write_table(pa.table({"text": pa.array([b"ok", b"\xbe\xc8\xb3\xe7"])}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="not UTF-8"):
        texts(tmp_path / "a.parquet")


def test_a_damaged_parquet_file_says_how_far_it_could_be_read(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"글 {i * 7919 % 10007}" for i in range(5000)], "label": ["x", "y"] * 2500})
    parquet.write_table(table, path, row_group_size=2000, compression="zstd")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64 :])
    both_refuse(path, r"a\.parquet: damaged after row \d+: ")
    path.write_bytes(whole[:-20])
    both_refuse(path, r"a\.parquet: not a parquet file, or cut")
