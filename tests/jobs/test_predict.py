"""What a fine-tuned model says of files, and its metrics on parts that it did not learn from."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import transformers

from gyebo.config.finetune import TaskOptions
from gyebo.interchange import load, save
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetune import finetune_seeds
from gyebo.jobs.finetuned_model import trained_on
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.predict import predict
from gyebo.nn.int8 import has_int8
from gyebo.tasks.kinds.entity_list import entities
from gyebo.tasks.splits import read_task, read_test, same_source
from tests.jobs.tuning_files import (
    choices,
    json_lines,
    pairs,
    questions,
    reviews,
    saved_model,
    sentences,
    table,
    tagged,
    tuning,
)
from tests.refusals import option_error


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def bert(place, tokenizer_folder):
    return saved_model(place / "bert", "bert", tokenizer_folder)


@pytest.fixture(scope="module")
def data(place):
    return reviews(place)


@pytest.fixture(scope="module")
def tuned(bert, data, place):
    """A run on `reviews`: (options, directory, result)."""
    options = tuning(bert, data, epochs=2, max_length=32)
    return options, str(place / "run"), finetune(options, place / "run")


@pytest.fixture(scope="module")
def paired(bert, place):
    """A run on pairs."""
    file = table(place / "pairs.csv", ("text", "second", "same", "score"), pairs(60))
    finetune(tuning(bert, file, name="pair", task={"pair": "second", "label": "same"}), place / "paired")
    return str(place / "paired")


def test_a_run_gives_its_own_figures_again(tuned):
    options, out, result = tuned
    found = evaluate_task(out)
    assert found["measured"] == "a tenth held out" and found["accuracy"] == pytest.approx(result.test["accuracy"])
    assert evaluate_task(out, options.task) == found
    assert evaluate_task(out, TaskOptions(name="classification", data=options.task.data, text="review", label="mood")) == found


def test_other_columns_of_the_learned_file_are_refused(tuned, place):
    """They would be ignored: what counts is what was set aside there."""
    options, out, _ = tuned
    with option_error("label"):
        evaluate_task(out, options.task.model_copy(update={"label": "other"}))


def test_a_registered_task_reads_its_own_columns(bert, tmp_path):
    folder = nsmc(tmp_path / "d", train=80, test=10)
    finetune(tuning(bert, folder, name="nsmc", task={"text": None, "label": None}, epochs=1), tmp_path / "run")
    texts = [text for text, _ in sentences(4, seed=1)]
    own = table(tmp_path / "own.csv", ("id", "document"), list(enumerate(texts)))
    common = table(tmp_path / "common.csv", ("text",), [(text,) for text in texts])
    found = [predict(str(tmp_path / "run"), str(file)) for file in (own, common)]
    assert [row["probabilities"] for row in found[0]] == [row["probabilities"] for row in found[1]] and len(found[0]) == 4


def test_texts_that_were_cut_are_counted(tuned, tmp_path):
    (tmp_path / "long.txt").write_text("나무 " * 200 + "\n바다\n", encoding="utf-8")
    notes = []
    predict(tuned[1], str(tmp_path / "long.txt"), notes=notes)
    assert notes == ["1 of 2 texts are longer than 32 tokens and were truncated"]


def test_another_file_counts_whole(tuned, place, tmp_path):
    _, out, _ = tuned
    other = reviews(place, 40, seed=5, name="other.csv")
    options = TaskOptions(name="classification", data=str(other), text="review", label="mood")
    found = evaluate_task(out, options, predictions=tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    assert found["examples"] == len(rows) == 40 and found["measured"] == "other.csv"
    assert found["accuracy"] == sum(row["label"] == row["prediction"] for row in rows) / 40
    with pytest.raises(ValueError, match=r"p\.jsonl exists already"):
        evaluate_task(out, options, predictions=tmp_path / "p.jsonl")


def test_what_was_noted_of_the_examples_is_told(tuned, place):
    _, out, _ = tuned
    other = table(place / "blank.csv", ("review", "mood"), [*sentences(20), ("", "positive")])
    found = evaluate_task(out, TaskOptions(name="classification", data=str(other), text="review", label="mood"))
    assert "1 example of 21 without text" in found["note"]


def test_labels_that_the_model_does_not_know_are_named(tuned, place):
    _, out, _ = tuned
    other = table(place / "third.csv", ("review", "mood"), [*sentences(20), ("하늘 보았다.", "neutral")])
    options = TaskOptions(name="classification", data=str(other), text="review", label="mood")
    said = r"third\.csv: row 22 has the label 'neutral' \(1 example\), but .*: negative, positive"
    with pytest.raises(ValueError, match=said):
        evaluate_task(out, options)
    with pytest.raises(ValueError, match=r"knows the labels negative, positive, but klue-nli has contradiction, entailment"):
        evaluate_task(out, TaskOptions(name="klue-nli", data=str(place)))
    with pytest.raises(ValueError, match="does classification, but klue-ner is tagging"):
        evaluate_task(out, TaskOptions(name="klue-ner", data=str(place)))


def test_a_test_file_with_unknown_labels_is_refused_before_training(bert, data, place):
    other = table(place / "fourth.csv", ("review", "mood"), [*sentences(20), ("하늘 보았다.", "neutral")])
    with pytest.raises(ValueError, match=r"fourth\.csv: row 22 has the label 'neutral'"):
        finetune(tuning(bert, data, task={"test": str(other)}), place / "no")


def test_lines_and_columns_give_the_same(tuned, place, tmp_path):
    _, out, _ = tuned
    texts = [text for text, _ in sentences(12, seed=9)]
    (tmp_path / "new.txt").write_text("\n".join([texts[0], "", *texts[1:]]) + "\n", encoding="utf-8")
    lines = predict(out, str(tmp_path / "new.txt"))
    assert [row["id"] for row in lines] == ["line 1", *(f"line {number}" for number in range(3, 14))]
    for file in (
        table(tmp_path / "new.csv", ("number", "review"), list(enumerate(texts))),  # the column from which it learned
        json_lines(tmp_path / "new.jsonl", [{"review": text} for text in texts]),
    ):
        found = predict(out, str(file), tmp_path / f"{file.name}.out.jsonl")
        assert [row["probabilities"] for row in found] == [pytest.approx(row["probabilities"], abs=1e-5) for row in lines]
        written = [json.loads(line) for line in (tmp_path / f"{file.name}.out.jsonl").read_text(encoding="utf-8").splitlines()]
        assert written == found and all(set(row) == {"id", "prediction", "probabilities"} for row in found)
    other = table(tmp_path / "other.csv", ("comment",), [(text,) for text in texts])
    assert [row["prediction"] for row in predict(out, str(other), text="comment")] == [row["prediction"] for row in lines]


@pytest.mark.skipif(not has_int8(), reason="this processor has no int8 instructions (VNNI)")
def test_int8_says_nearly_the_same(tuned, tmp_path):
    _, out, result = tuned
    (tmp_path / "new.txt").write_text("\n".join(text for text, _ in sentences(40, seed=9)) + "\n", encoding="utf-8")
    rows = {name: predict(out, str(tmp_path / "new.txt"), precision=name) for name in ("float32", "bfloat16", "int8")}
    shares = {name: np.array([list(row["probabilities"].values()) for row in found]) for name, found in rows.items()}
    assert np.abs(shares["int8"] - shares["bfloat16"]).max() > 0
    assert np.abs(shares["int8"] - shares["float32"]).max() < 0.1
    assert evaluate_task(out, precision="int8")["accuracy"] == pytest.approx(result.test["accuracy"], abs=0.1)


def test_a_file_of_predictions_joins_what_was_read(tuned, tmp_path):
    _, out, _ = tuned
    given = [{"review": "나무 정말 좋다", "id": 7, "stars": 5}, {"review": '바다, "a"', "id": 8, "stars": None}]
    file = str(json_lines(tmp_path / "new.jsonl", given))
    plain = predict(out, file)
    assert [row["id"] for row in plain] == [7, 8] and "stars" not in plain[0]
    kept = predict(out, file, tmp_path / "a.jsonl", keep=True)
    assert kept == [{"id": row["id"], **row, **found} for row, found in zip(given, plain)]
    assert list(kept[0]) == ["id", "review", "stars", *(name for name in plain[0] if name != "id")]
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()] == kept
    predict(out, file, tmp_path / "a.csv", keep=True)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    flat = [{f"probabilities.{name}": share for name, share in row["probabilities"].items()} for row in plain]
    expected = [{**row, "prediction": found["prediction"], **shares} for row, found, shares in zip(given, plain, flat)]
    assert table == [{name: "" if value is None else str(value) for name, value in row.items()} for row in expected]
    predict(out, file, tmp_path / "a.parquet", keep=True)
    assert pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "a.parquet").to_pylist() == expected
    with option_error("out"):
        predict(out, file, tmp_path / "a.xlsx")
    with option_error("keep"):
        taken = json_lines(tmp_path / "taken.jsonl", [{"review": "나무", "prediction": "x"}])
        predict(out, str(taken), keep=True)
    (tmp_path / "a.txt").write_text("나무\n\n바다\n", encoding="utf-8")
    lines = predict(out, str(tmp_path / "a.txt"), keep=True)
    assert [(row["id"], row["text"]) for row in lines] == [("line 1", "나무"), ("line 3", "바다")]


def test_a_text_is_read_as_far_as_in_training(tuned, tmp_path):
    _, out, result = tuned
    assert result.max_length == 32 and trained_on(out).max_length == 32
    long = "나무 정말 " * 40
    (tmp_path / "a.txt").write_text(f"{long}좋아한다.\n{long}기다린다.\n", encoding="utf-8")
    first, second = predict(out, str(tmp_path / "a.txt"))
    assert first["probabilities"] == second["probabilities"]


def test_a_published_model_has_its_own_names(tuned, tmp_path):
    """A directory without our records, as one from the hub: columns have their common names."""
    _, out, _ = tuned
    save(*load(out), tmp_path / "hub")
    assert trained_on(str(tmp_path / "hub")) is None
    texts = [text for text, _ in sentences(5)]
    found = predict(str(tmp_path / "hub"), str(table(tmp_path / "a.csv", ("text",), [(text,) for text in texts])))
    assert len(found) == 5
    with pytest.raises(ValueError, match=r"b\.csv: no column 'text'; available: review"):
        predict(str(tmp_path / "hub"), str(table(tmp_path / "b.csv", ("review",), [("가",)])))
    with pytest.raises(ValueError, match="is no run of gyebo, so its task is not known: name one"):
        evaluate_task(str(tmp_path / "hub"))


def test_pairs_need_two_columns(paired, tmp_path):
    (tmp_path / "a.txt").write_text("나무\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.txt: .* reads two texts, .* give a \.csv"):
        predict(paired, str(tmp_path / "a.txt"))
    rows = [(text, verb) for text, verb, _, _ in pairs(6, seed=4)]
    found = predict(paired, str(table(tmp_path / "a.csv", ("text", "second"), rows)))
    assert {row["prediction"] for row in found} <= {"same", "other"}
    named = predict(paired, str(table(tmp_path / "b.csv", ("one", "two"), rows)), text="one", pair="two")
    assert [row["probabilities"] for row in named] == [row["probabilities"] for row in found]
    with pytest.raises(ValueError, match=r"c\.csv: no column 'second'"):
        predict(paired, str(table(tmp_path / "c.csv", ("text",), [("나무",)])))


def test_tags_answers_and_options(bert, tmp_path):
    made = {"tagging": tagged, "spans": questions, "choice": choices}
    for kind, rows in made.items():
        finetune(tuning(bert, json_lines(tmp_path / f"{kind}.jsonl", rows(40)), name=kind), tmp_path / kind)
        kept = {"tagging": ("text",), "spans": ("context", "question"), "choice": ("text", "options")}[kind]
        new = [{name: row[name] for name in kept} for row in rows(6, seed=3)]
        found = predict(str(tmp_path / kind), str(json_lines(tmp_path / f"new-{kind}.jsonl", new)))
        assert len(found) == 6
        for row, given in zip(found, new):
            if kind == "tagging":
                assert len(row["prediction"]) == len(given["text"]) and row["spans"] == entities(row["prediction"])
            elif kind == "spans":
                assert row["prediction"] in given["context"]
            else:
                assert row["option"] == given["options"][row["prediction"]]
    found = predict(str(tmp_path / "tagging"), str(json_lines(tmp_path / "empty.jsonl", [{"text": ""}, {"text": "나무"}])))
    assert [len(row["prediction"]) for row in found] == [0, 2]
    (tmp_path / "a.txt").write_text("나무 정말\n", encoding="utf-8")
    assert len(predict(str(tmp_path / "tagging"), str(tmp_path / "a.txt"))[0]["prediction"]) == 5
    with pytest.raises(ValueError, match=r"reads spans, .* give a \.csv"):
        predict(str(tmp_path / "spans"), str(tmp_path / "a.txt"))


def test_entities_are_those_of_strict_scoring():
    tags = ["B-X", "I-X", "O", "I-X", "B-X", "B-X", "I-Y", "B-Y", "I-Y"]
    assert entities(tags) == [(0, 2, "X"), (4, 5, "X"), (5, 6, "X"), (7, 9, "Y")]


def test_several_seeds_are_a_model_too(bert, data, place, tmp_path):
    finetune_seeds(tuning(bert, data), [0, 1], tmp_path / "runs")
    assert trained_on(str(tmp_path / "runs")).task.text == "review"
    results = json.loads((tmp_path / "runs" / "results.json").read_text(encoding="utf-8"))
    found = evaluate_task(str(tmp_path / "runs"))
    assert found["accuracy"] == pytest.approx(results["result"]["test"]["accuracy"])


def test_the_linear_baseline_predicts_too(data, place, tmp_path):
    options = tuning("x", data).task
    result = finetune_linear(options, tmp_path / "linear")
    found = evaluate_task(str(tmp_path / "linear"))
    assert found["accuracy"] == result.test["accuracy"].mean
    (tmp_path / "a.txt").write_text("나무 정말 바다 좋아한다.\n나무 정말 바다 기다린다.\n", encoding="utf-8")
    rows = predict(str(tmp_path / "linear"), str(tmp_path / "a.txt"))
    assert [row["prediction"] for row in rows] == ["positive", "negative"]
    assert all(set(row["margins"]) == {"positive", "negative"} for row in rows)
    with option_error("precision"):
        predict(str(tmp_path / "linear"), str(tmp_path / "a.txt"), precision="int8")


def test_what_cannot_predict(bert, tuned, place, tmp_path):
    (tmp_path / "a.txt").write_text("나무\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    text = str(tmp_path / "a.txt")
    with pytest.raises(
        ValueError, match=r"is a model of the family BERT without a task head: .* gyebo finetune .*bert TASK -o DIR"
    ):
        predict(str(bert), text)
    with pytest.raises(ValueError, match=r"empty\.txt contains no text"):
        predict(tuned[1], str(tmp_path / "empty.txt"))
    with pytest.raises(FileNotFoundError, match=r"no\.txt: no such file"):
        predict(tuned[1], str(tmp_path / "no.txt"))
    with option_error("precision"):
        predict(tuned[1], text, precision="half")
    with option_error("text"):
        predict(tuned[1], text, text="review")
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        predict(tuned[1], text, tmp_path / "nowhere" / "out.jsonl")
    with pytest.raises(ValueError, match=r"a\.txt is the file that is read"):
        predict(tuned[1], text, Path(text), overwrite=True)
    predict(tuned[1], text, tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match=r"out\.jsonl exists already: .*overwrite"):
        predict(tuned[1], text, tmp_path / "out.jsonl")
    assert len(predict(tuned[1], text, tmp_path / "out.jsonl", overwrite=True)) == 1


def test_a_published_multi_label_classifier_gives_each_class_a_probability_of_its_own(tuned, tmp_path):
    model, tokenizer = load(tuned[1])
    save(model, tokenizer, tmp_path / "multi")
    config = json.loads((tmp_path / "multi" / "config.json").read_text())
    (tmp_path / "multi" / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    (tmp_path / "a.txt").write_text("나무 the 바다 a 좋아한다.\n", encoding="utf-8")
    (row,) = predict(str(tmp_path / "multi"), str(tmp_path / "a.txt"), tmp_path / "out.jsonl")
    theirs = transformers.pipeline("text-classification", str(tmp_path / "multi"), top_k=None)
    expected = {found["label"]: found["score"] for found in theirs(["나무 the 바다 a 좋아한다."])[0]}
    assert row["probabilities"] == pytest.approx(expected, abs=1e-5) and sum(expected.values()) != pytest.approx(1, abs=1e-3)
    assert row["prediction"] == [name for name in row["probabilities"] if expected[name] >= 0.5]


# -- which examples ------------------------------------------------------------------------------------------------------------


def nsmc(folder, **counts):
    folder.mkdir(exist_ok=True)
    for number, (split, count) in enumerate(counts.items()):
        lines = ["id\tdocument\tlabel"]
        rows = enumerate(sentences(count, seed=number))
        lines += [f"{split}{n}\t{text}\t{int(mood == 'positive')}" for n, (text, mood) in rows]
        (folder / f"ratings_{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_registered_task_is_measured_on_its_test_set(tmp_path):
    data = read_task(TaskOptions(name="nsmc", data=str(nsmc(tmp_path / "d", train=200, test=30))))
    assert data.measured == "test" and len(data.test) == 30 and len(data.train) + len(data.valid) == 200
    assert 2 <= len(data.valid) <= 25
    found = read_test(TaskOptions(name="nsmc", data=str(tmp_path / "d")))
    assert found.examples == data.test and found.measured == "test"
    (tmp_path / "d" / "ratings_train.txt").unlink()
    assert read_test(TaskOptions(name="nsmc", data=str(tmp_path / "d"))).examples == data.test
    one = read_test(TaskOptions(name="nsmc", data=str(tmp_path / "d" / "ratings_test.txt")))
    assert one.examples == data.test and one.measured == "ratings_test.txt"


def test_one_file_of_a_registered_task_is_no_place_to_learn_from(tmp_path):
    """It would be read as every split, and the model be measured on what it learned from."""
    nsmc(tmp_path / "d", train=50, test=10)
    with option_error("data"):
        read_task(TaskOptions(name="nsmc", data=str(tmp_path / "d" / "ratings_train.txt")))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_task(TaskOptions(name="nsmc", data=str(tmp_path / "none")))


def test_parts_never_overlap_and_a_share_is_a_part_of_the_training_examples(data):
    whole = read_task(tuning("x", data).task)
    parts = [{example.text for example in part} for part in (whole.train, whole.valid, whole.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2] and len(set.union(*parts)) == 200
    half = read_task(tuning("x", data, task={"train_share": 0.5}).task)
    assert (half.valid, half.test) == (whole.valid, whole.test)
    assert 0.3 < len(half.train) / len(whole.train) < 0.7 and set(half.train) < set(whole.train)
    more = read_task(tuning("x", data, task={"train_share": 0.8}).task)
    assert set(half.train) < set(more.train) and half.fingerprint != more.fingerprint != whole.fingerprint
    with pytest.raises(ValueError, match="no usable example for classification"):
        read_task(tuning("x", data, task={"train_share": 1e-9}).task)


def test_what_is_learned_from_is_no_test(data, tmp_path):
    with option_error("test"):
        read_task(tuning("x", data, task={"test": str(data)}).task)
    with pytest.raises(ValueError, match="test=hf:a/b: .* test=hf:a/b:test"):
        read_task(tuning("x", data, task={"test": "hf:a/b"}).task)
    assert same_source("hf:a/b", "hf:a/b:train") and not same_source("hf:a/b:test", "hf:a/b")
    assert not same_source("hf:a/b/one", "hf:a/b/two") and same_source(str(data), str(data.parent / "." / data.name))


def test_a_correlation_needs_two_examples(tmp_path):
    rows = [(f"나무 {n}", n / 4) for n in range(60)]
    file, one = (table(tmp_path / name, ("review", "mood"), some) for name, some in (("a.csv", rows), ("b.csv", rows[:1])))
    with pytest.raises(ValueError, match="regression: 1 example in the test set"):
        read_task(TaskOptions(name="regression", data=str(file), text="review", label="mood", test=str(one)))


def test_a_list_is_no_label(tmp_path):
    file = json_lines(tmp_path / "lists.jsonl", [{"review": text, "mood": [mood]} for text, mood in sentences(40)])
    with pytest.raises(ValueError, match="can't be used.*mood is a list, not one label"):
        read_task(tuning("x", file).task)


def test_a_class_that_occurs_outside_of_training_only_is_known(tmp_path):
    """One file is divided by hash; a rare class may fall to the part that is measured."""
    rows = sentences(120)
    data = read_task(tuning("x", table(tmp_path / "a.csv", ("review", "mood"), rows)).task)
    rare = data.test[0].text
    rows = [(text, "rare" if text == rare else mood) for text, mood in rows]
    data = read_task(tuning("x", table(tmp_path / "b.csv", ("review", "mood"), rows)).task)
    assert data.task.labels == ("negative", "positive", "rare") and "rare" in {example.label for example in data.test}
    assert any("'rare' 0" in note for note in data.notes)


def test_klue_without_labels_in_its_test_set_is_measured_on_dev(tmp_path):
    names = {"same": "entailment", "other": "neutral"}
    rows = [
        {"guid": str(number), "premise": first, "hypothesis": second, "gold_label": names[same]}
        for number, (first, second, same, _) in enumerate(pairs(100))
    ]
    for split, kept in (("train", rows), ("dev", rows[:10])):
        (tmp_path / f"nli_{split}.json").write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    hidden = [{**row, "gold_label": None} for row in rows[:7]]
    (tmp_path / "nli_test.json").write_text(json.dumps(hidden, ensure_ascii=False), encoding="utf-8")
    data = read_task(TaskOptions(name="klue-nli", data=str(tmp_path)))
    assert data.measured == "dev" and len(data.test) == 10 and data.paired
    (tmp_path / "nli_dev.json").unlink()
    with pytest.raises(ValueError, match="neither a dev nor a test set with labels"):
        read_task(TaskOptions(name="klue-nli", data=str(tmp_path)))
