"""What is wrong in files and said, the table of tasks, the hub, and the tasks of the world."""

import collections
import gzip
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gyebo.tasks.data.checks import checked
from gyebo.tasks.data.klue import DEPENDENCIES, ENTITY_TAGS, RELATIONS
from gyebo.tasks.data.loading import find_files, from_hub, load
from gyebo.tasks.data.own_file import user_task
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.metrics.metrics import METRICS
from gyebo.tasks.registry import TASKS, find
from gyebo.tasks.task import Example
from tests.tasks.task_files import triples, tsv, write

NLI = [
    {"guid": "n0", "premise": "가", "hypothesis": "나", "gold_label": "contradiction"},
    {"guid": "n1", "premise": "가", "hypothesis": "다", "gold_label": "neutral"},
]


# what is wrong in files -----------------------------------------------------------------------------------------------


def test_missing_columns_are_named_with_those_found(tmp_path):
    write(tmp_path, "train.tsv", tsv("id|review|label", "1|a|0"))
    with pytest.raises(ValueError, match=r"train.tsv: no column 'document'; available: id, review, label"):
        load(find("nsmc"), "train", tmp_path)
    write(tmp_path, "train.tsv", tsv("id|document", "1|a"))
    with pytest.raises(ValueError, match=r"no column 'label'; available: id, document"):
        load(find("nsmc"), "train", tmp_path)


def test_unknown_and_empty_labels(tmp_path):
    write(tmp_path, "train.tsv", tsv("id|document|label", "1|a|0", "2|b|3", "3|c|3"))
    with pytest.raises(ValueError, match=r"2 has the label '3' \(2 examples\), but .*nsmc.*: negative, positive"):
        load(find("nsmc"), "train", tmp_path)
    write(tmp_path, "test.tsv", tsv("id|document|label", "1|a|0", "2|b|"))
    assert load(find("nsmc"), "test", tmp_path).examples[1].label is None
    write(tmp_path, "train.tsv", tsv("id|document|label", "1|a|0", "2|b|", "3|c|1"))
    (note,) = load(find("nsmc"), "train", tmp_path).notes
    assert note.endswith("row 3: label is empty")


def test_empty_texts_are_dropped_in_training_and_kept_elsewhere(tmp_path):
    for split in ("train", "test"):
        write(tmp_path, f"{split}.tsv", tsv("id|document|label", "1||0", "2|b|1", "3| |1", "4|d|0"))
    train, test = (load(find("nsmc"), split, tmp_path) for split in ("train", "test"))
    assert [e.id for e in train.examples] == [
        "2",
        "4",
    ] and "2 examples of 4 without text are skipped (the first: 1)" in train.notes[0]
    assert [e.id for e in test.examples] == ["1", "2", "3", "4"] and "2 examples of 4 without text are kept" in test.notes[0]


def test_rows_of_another_length(tmp_path):
    """QQP as released has such rows."""
    write(tmp_path, "train.tsv", tsv("id|document|label", "1|a|0", "2|b", "3|c|1", "4"))
    loaded = load(find("nsmc"), "train", tmp_path)
    assert [e.id for e in loaded.examples] == ["1", "3"]
    assert "2 rows can't be used and are skipped, the first: row 3: 2 fields, but there are 3 columns" in loaded.notes[0]
    write(tmp_path, "test.tsv", tsv("id|document|label", "1|a|0", "2|b"))
    with pytest.raises(ValueError, match="test.tsv: row 3: 2 fields"):
        load(find("nsmc"), "test", tmp_path)


def test_one_class_is_nothing_to_learn(tmp_path):
    write(tmp_path, "train.tsv", tsv("id|document|label", "1|a|0", "2|b|0"))
    with pytest.raises(ValueError, match="all 2 examples have one class, 'negative'"):
        load(find("nsmc"), "train", tmp_path)
    task = find("klue-ner")
    with pytest.raises(ValueError, match="no character of 1 examples has a tag other than O"):
        checked(task, [Example("a", "가나", tags=("O", "O"))], "train", source="x")
    with pytest.raises(ValueError, match="none of 1 questions has an answer"):
        checked(find("klue-mrc"), [Example("a", "가나", "?")], "train", source="x")


def test_missing_splits_and_folders_are_said_clearly(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_files(find("klue-nli"), tmp_path / "none")
    (tmp_path / "readme.md").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"looked for klue-nli-v1\*_train.json, nli_train.json.*available: readme.md"):
        load(find("klue-nli"), "train", tmp_path)
    write(tmp_path, "nli_train.json", NLI)
    with pytest.raises(FileNotFoundError, match=r"no dev file of klue-nli: looked for .*; found: train \(nli_train.json\)"):
        load(find("klue-nli"), "dev", tmp_path)
    with pytest.raises(ValueError, match="klue-nli has no split 'valid'; available: train, dev, test"):
        load(find("klue-nli"), "valid", tmp_path)
    with pytest.raises(ValueError, match="a folder with klue-nli"):
        load(find("klue-nli"))


def test_a_pattern_that_fits_two_files_is_refused(tmp_path):
    write(tmp_path, "klue-nli-v1.1_train.json", [])
    write(tmp_path, "klue-nli-v1_train.json", [])
    with pytest.raises(ValueError, match=r"klue-nli-v1.1_train.json and klue-nli-v1_train.json all match"):
        find_files(find("klue-nli"), tmp_path)


def test_kornli_reads_both_training_files(tmp_path):
    write(tmp_path, "multinli.train.ko.tsv", tsv("sentence1|sentence2|gold_label", "가|나|neutral"))
    write(tmp_path, "snli_1.0_train.ko.tsv", tsv("sentence1|sentence2|gold_label", "다|라|entailment"))
    assert triples(load(find("kornli"), "train", tmp_path).examples) == [("가", "나", "neutral"), ("다", "라", "entailment")]


def test_damaged_files(tmp_path):
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(gzip.compress(b"id\tdocument\tlabel\n" * 1000)[:-20])
    with pytest.raises(ValueError, match="train.tsv.gz: damaged"):
        load(find("nsmc"), "train", tmp_path)
    path.unlink()
    (tmp_path / "train.tsv").write_bytes(b"id\tdocument\tlabel\n1\t" + b"\xb0\xa1\t1\n")
    with pytest.raises(ValueError, match=r"train.tsv: byte 20 \(0xb0\) is not UTF-8"):
        load(find("nsmc"), "train", tmp_path)
    write(tmp_path, "nli_dev.json", '[{"guid": ')
    with pytest.raises(ValueError, match="nli_dev.json: not JSON: line 1"):
        load(find("klue-nli"), "dev", tmp_path)


# the table, the hub, the world ----------------------------------------------------------------------------------------


def test_the_table():
    assert len(RELATIONS) == len(set(RELATIONS)) == 30
    assert len(DEPENDENCIES) == len(set(DEPENDENCIES)) == 38
    assert len(ENTITY_TAGS) == 13
    for task in TASKS.values():
        assert set(task.metrics) <= set(METRICS)
        assert task.world or (task.files and task.rows and task.convert)
    for name, meant in (("Klue-NLI", "klue-nli"), ("clasification", "classification"), ("taging", "tagging")):
        with pytest.raises(ValueError, match=f"unknown task '{name}'; did you mean {meant}.*on your own file: classification"):
            find(name)
    with pytest.raises(ValueError, match="unknown kind of task 'tag'; did you mean tagging.*; available: classification"):
        find_kind("tag")
    with pytest.raises(ValueError, match="unknown task 'klue-nil'; did you mean klue-nli"):
        find("klue-nil")


class Classes(SimpleNamespace):
    """Like a feature of `datasets` that has names for its numbers."""

    def int2str(self, value):
        return self.names[value]


class Table(list):
    features: dict


def hub(monkeypatch, rows, features):
    table = Table(rows)
    table.features = features
    asked = []

    def load_dataset(*arguments, **options):
        asked.append((*arguments, options["split"]))
        return table

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


def test_rows_of_the_hub_get_names_of_classes(monkeypatch):
    asked = hub(
        monkeypatch,
        [
            {"premise": "가", "hypothesis": "나", "label": 2, "idx": 0},
            {"premise": "다", "hypothesis": "라", "label": 0, "idx": 1},
        ],
        {"label": Classes(names=["entailment", "neutral", "contradiction"]), "premise": object()},
    )
    loaded = load(find("glue-mnli"), "dev_mismatched", "hub")
    assert asked == [("nyu-mll/glue", "mnli", "validation_mismatched")]
    assert triples(loaded.examples) == [("가", "나", "contradiction"), ("다", "라", "entailment")]


def test_hidden_labels_and_tags_of_the_hub(monkeypatch):
    hub(monkeypatch, [{"sentence": "a", "label": -1, "idx": 0}], {"label": Classes(names=["unacceptable", "acceptable"])})
    assert triples(from_hub(find("glue-cola"), "test").examples) == [("a", None, None)]
    tags = SimpleNamespace(feature=Classes(names=["B-PS", "I-PS", "O"]))
    hub(monkeypatch, [{"sentence": "x", "tokens": ["강", "우", " "], "ner_tags": [0, 1, 2]}], {"ner_tags": tags})
    (example,) = from_hub(find("klue-ner"), "dev").examples
    assert (example.text, example.tags) == ("강우 ", ("B-PS", "I-PS", "O"))


def test_ones_own_task_reads_a_data_set_of_the_hub(monkeypatch):
    """A parallel corpus there has one column, which maps languages to sentences."""
    rows = [{"translation": {"en": "two dogs", "ko": "개 두 마리"}}, {"translation": {"en": "", "ko": "빈"}}]
    asked = hub(monkeypatch, rows, {"translation": object()})
    loaded = load(user_task("translation", "en", None, "ko"), "train", "hf:Helsinki-NLP/opus-100/en-ko:validation")
    assert asked == [("Helsinki-NLP/opus-100", "en-ko", "validation")]
    assert triples(loaded.examples) == [("two dogs", None, "개 두 마리")] and "1 example of 2 without text" in loaded.notes[0]
    asked = hub(monkeypatch, [{"review": "좋다", "stars": 5}, {"review": "싫다", "stars": 1}], {})
    loaded = load(user_task("classification", "review", None, "stars"), "train", "hf:someone/reviews")
    assert asked == [("someone/reviews", None, "train")] and [e.label for e in loaded.examples] == ["5", "1"]
    with pytest.raises(ValueError, match="klue-nli .*hf:someone/reviews: name its folder"):
        load(find("klue-nli"), "train", "hf:someone/reviews")


def test_without_a_network_there_is_one_line(monkeypatch):
    def fails(*arguments, **options):
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=fails))
    with pytest.raises(ValueError, match="klue/klue/nli can't be read from the hub .*name a folder with klue-nli") as error:
        from_hub(find("klue-nli"))
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r'needs the extra "data"'):
        from_hub(find("klue-nli"))
    with pytest.raises(ValueError, match="nsmc is not read from the hub"):
        from_hub(find("nsmc"))


@pytest.mark.parametrize("name", ["world-sentiment", "world-entailment", "world-similarity", "world-questions"])
def test_splits_of_the_world_share_no_text(name):
    parts = {split: load(find(name), split).examples for split in ("dev", "test")}
    again = load(find(name), "dev").examples
    assert again == parts["dev"]
    keys = {split: {(e.text, e.pair) for e in found} for split, found in parts.items()}
    train = {(e.text, e.pair) for e, _ in zip(find(name).world("train"), range(1500))}
    assert len(keys["dev"]) == 500 and len(keys["test"]) == 1000 and len(train) == 1500
    assert not keys["dev"] & keys["test"] and not train & (keys["dev"] | keys["test"])
    for example in parts["dev"]:
        for start, answer in example.answers:
            assert example.text[start : start + len(answer)] == answer
    if find(name).labels:
        counts = collections.Counter(e.label for e in parts["test"])
        assert set(counts) == set(find(name).labels)
        assert max(counts.values()) < 1.3 * min(counts.values())


@pytest.mark.parametrize("name", ["world-entities", "world-next-sentence"])
def test_documents_of_the_world(name):
    task = find(name)
    examples = [example for example, _ in zip(task.world("dev"), range(60))]
    assert len({(e.text, e.pair) for e in examples}) == 60
    if name == "world-entities":
        assert {tag for e in examples for tag in e.tags} == set(task.labels)
        assert all(len(e.tags) == len(e.text) for e in examples)
    else:
        assert {e.label for e in examples} == set(task.labels)


def test_a_task_of_the_world_takes_no_data(tmp_path):
    with pytest.raises(ValueError, match="world-sentiment .*takes no data"):
        load(find("world-sentiment"), "train", tmp_path)
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        load(find("world-sentiment"), "valid")


def test_the_page_names_every_task_and_metric():
    page = (Path(__file__).resolve().parents[3] / "docs" / "tasks.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line.split("|") for line in page.splitlines() if line.startswith("| `")}
    for task in TASKS.values():
        _, _, kind, ranked, also, data, _ = rows[task.name]
        assert kind.strip().startswith(task.kind)
        assert ranked.strip() == f"`{task.score}`"
        assert {m for m in task.metrics if m != task.score} == {m for m in METRICS if f"`{m}`" in also}
        assert ("hub" in data) == (task.hub is not None)
    table = page.partition("## Metrics")[2].partition("## Your own data")[0]
    assert all(f"`{name}`" in table for name in METRICS)
