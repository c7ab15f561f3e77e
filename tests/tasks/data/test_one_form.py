"""Labelled files in several Unicode forms, with spaces around names, in other encodings, and with what editors leave there."""

import hashlib
import unicodedata
from dataclasses import replace

import pytest

from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions
from gyebo.data.encoding import Reading
from gyebo.tasks.data.checks import with_labels
from gyebo.tasks.data.loading import find_files, load
from gyebo.tasks.data.own_file import user_task
from gyebo.tasks.registry import find
from gyebo.tasks.splits import TaskData, read_task, read_test
from gyebo.tasks.task import Example
from tests.tasks.task_files import tsv, write


def nfd(text):
    return unicodedata.normalize("NFD", text)


LABELS = ["긍정", nfd("긍정"), "긍정 ", "\u3000긍정", "부정", nfd("부정") + "\t"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_class_is_one_in_any_form(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": [f"글 {i}" for i in range(6)], "label": LABELS})
    {"csv": lambda: frame.to_csv(path), "parquet": lambda: frame.to_parquet(path),
     "jsonl": lambda: frame.to_json(path, orient="records", lines=True)}[ending]()  # fmt: skip
    task = user_task("classification")
    found = load(task, "train", path).examples
    assert [example.label for example in found] == ["긍정"] * 4 + ["부정"] * 2
    assert with_labels(task, found).labels == ("긍정", "부정")


def test_registered_classes_are_found_in_any_form(tmp_path):
    write(tmp_path, "ynat-v1.1/ynat-v1.1_train.json", [{"guid": "1", "title": "가", "label": nfd("정치")},
                                                       {"guid": "2", "title": "나", "label": "경제 "}])  # fmt: skip
    write(tmp_path, "nsmc/ratings_train.txt", tsv("id|document|label", "1|가|0 ", "2|나| 1"))
    assert [e.label for e in load(find("klue-tc"), "train", tmp_path).examples] == ["정치", "경제"]
    assert [e.label for e in load(find("nsmc"), "train", tmp_path).examples] == ["negative", "positive"]


def test_targets_of_translation_and_summaries_stay_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"en": "a ", "ko": " {nfd("가")} "}}\n', encoding="utf-8")
    [example] = load(user_task("translation", "en", None, "ko"), "train", path).examples
    assert (example.text, example.label) == ("a ", f" {nfd('가')} ")
    [example] = load(user_task("summary", "en", None, "ko"), "train", path).examples
    assert example.label == f" {nfd('가')} "


def test_an_option_is_found_in_any_form(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "x", "options": ["강", "{nfd("산")} "], "label": "산"}}\n', encoding="utf-8")
    [example] = load(user_task("choice"), "train", path).examples
    assert example.label == 1


@pytest.mark.parametrize("form", [str, nfd], ids=["NFC", "NFD"])
@pytest.mark.parametrize("sign", ["\t", " "])
def test_tags_with_spaces_behind_them_are_the_same_types(tmp_path, sign, form):
    path = tmp_path / "a.conll"
    lines = ["한결", "B-사람"], ["은", "O"], ["서울", "B-곳"]
    text = "".join(
        f"{word}{sign}{form(tag)}{space}\n" for space in ("", " ", "\t", " \r") for word, tag in [*lines, ["", ""]] if word
    )
    path.write_text(text + f"가{sign}O\n", encoding="utf-8", newline="")
    task = user_task("tagging")
    found = load(task, "train", path).examples
    assert with_labels(task, found).labels == ("O", "B-곳", "I-곳", "B-사람", "I-사람")


@pytest.mark.parametrize("blank", ["", " ", "\t", "\t\t", " \t ", "\u3000", "\ufeff"], ids=repr)
def test_sentences_of_tags_end_at_any_blank_line(tmp_path, blank):
    path = tmp_path / "a.conll"
    path.write_text(
        f"-DOCSTART- -X- O\n{blank}\n가\tB-X\n{blank}\n{blank}\n-DOCSTART-\tO\n나\tO\n{blank}\n다\tB-X\n", encoding="utf-8"
    )
    assert [e.text for e in load(user_task("tagging"), "train", path).examples] == ["가", "나", "다"]


def test_columns_may_be_named_in_another_form_than_in_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        f"{nfd('본문')},{nfd('분류')} \n" + "".join(f"글 {i},{'가나'[i % 2]}\n" for i in range(60)), encoding="utf-8"
    )
    data = read_task(TaskOptions(name="classification", data=str(path), text="본문", label="분류"))
    assert data.task.labels == ("가", "나") and len(data.train) + len(data.valid) + len(data.test) == 60


# ---- encodings


def labelled(path, encoding, count=60):
    path.write_bytes(
        ("본문,분류\r\n" + "".join(f"영화가 {i}번 좋았다,{'긍부'[i % 2]}정\r\n" for i in range(count))).encode(encoding)
    )
    return TaskOptions(name="classification", data=str(path), text="본문", label="분류")


def test_a_labelled_file_in_cp949_is_named_with_a_sample_and_read(tmp_path):
    options = labelled(tmp_path / "a.csv", "cp949")
    for told in (options, options.model_copy(update={"bad_bytes": "replace"})):
        with pytest.raises(OptionError, match=r"a\.csv: .*read as CP949 it says '.*영화가.*': pass encoding=cp949"):
            read_task(told)
    named = options.model_copy(update={"encoding": "cp949"})
    data = read_task(named)
    assert data.task.labels == ("긍정", "부정")
    assert data.fingerprint == read_task(labelled(tmp_path / "b.csv", "utf-8-sig")).fingerprint
    assert data.fingerprint == read_task(labelled(tmp_path / "c.csv", "utf-16")).fingerprint
    assert len(read_test(named).examples) == 60


def test_what_was_replaced_in_a_labelled_file_is_noted(tmp_path):
    options = labelled(tmp_path / "a.csv", "utf-8")
    with (tmp_path / "a.csv").open("ab") as file:
        file.write(b"a\xffb\xfe," + "긍정\r\n".encode())
    data = read_task(options.model_copy(update={"bad_bytes": "replace"}))
    assert f"{tmp_path / 'a.csv'}: 2 characters could not be read and became U+FFFD (bad_bytes=replace)" in data.notes


def test_an_encoding_without_a_file_has_no_effect():
    with pytest.raises(OptionError, match="encoding=cp949 has no effect on world-sentiment"):
        read_task(TaskOptions(name="world-sentiment", encoding="cp949"))


def test_what_a_mac_puts_beside_the_files_of_a_task_is_passed_over(tmp_path):
    write(tmp_path, "ynat-v1.1/ynat-v1.1_train.json", [{"guid": "1", "title": "가", "label": "정치"}])
    write(tmp_path, "__MACOSX/ynat-v1.1/._ynat-v1.1_train.json", "\0")
    (tmp_path / "ynat-v1.1" / "._ynat-v1.1_train.json").write_bytes(b"\0\5\x16\7")
    assert [path.name for path in find_files(find("klue-tc"), tmp_path)["train"]] == ["ynat-v1.1_train.json"]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a", "label": "x"}\n\n \t\n\xef\xbb\xbf\n{"text": "b", "label": "y"}\n')
    assert len(load(user_task("classification"), "train", path, Reading()).examples) == 2


def test_the_fingerprint_of_examples_depends_on_what_they_have_alone():
    """A field that was added since does not change it, so that runs which were begun before can be resumed; its value does."""
    good = Example(id="line 1", text="좋다", label="good")
    old = (
        "Example(id='line 1', text='좋다', pair=None, label='good', tags=(), answers=(), options=(), words=(), heads=(), "
        "relations=(), pos=(), state=())"
    )
    task = user_task("classification")
    expected = hashlib.blake2b(old.encode() + b"\0\0\0", digest_size=16).hexdigest()
    assert TaskData(task, [good], [], [], "all").fingerprint == expected
    several = [replace(good, classes=classes) for classes in (None, (), ("a",), ("b",))]
    assert len({TaskData(task, [each], [], [], "all").fingerprint for each in several}) == 4


def test_texts_in_the_quotes_of_excel_are_told_where_the_form_has_none(tmp_path):
    rows = [(f'"그래, 좋다 {n}"' if n % 10 == 0 else f"좋다 {n}", "ab"[n % 2]) for n in range(100)]

    def notes(name, count=100):
        path = write(tmp_path, name, "\n".join(["text\tlabel", *(f"{text}\t{label}" for text, label in rows[:count])]))
        return [note for note in load(user_task("classification"), "train", path).notes if "quotes" in note]

    assert notes("a.tsv") == [
        f"{tmp_path / 'a.tsv'}: 10 of 100 texts stand in quotes, which are read as a part of them: "
        "take them out, or save the file as .csv with commas"
    ]
    assert len(notes("a.txt")) == 1 and notes("b.tsv", 10) == []  # a single one may be the writer's
