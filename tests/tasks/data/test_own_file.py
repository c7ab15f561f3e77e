"""Tasks on a user's own file, one file cut into splits, and what is said about it before training."""

import gzip
import json
import unicodedata

import pytest

from gyebo.config.finetune import TaskOptions
from gyebo.tasks.data.checks import repeated, warnings, with_labels
from gyebo.tasks.data.loading import load
from gyebo.tasks.data.own_file import user_task
from gyebo.tasks.kinds.entity_list import entities
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.splits import read_task, split
from gyebo.tasks.task import Example


def write(path, content):
    text = content if isinstance(content, str) else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


ROWS = [("좋다, 정말", "긍정"), ('그는 "싫다"고', "부정"), ("NA", "긍정")]


def as_csv(rows):
    quoted = (",".join('"' + field.replace('"', '""') + '"' for field in row) for row in [("본문", "분류"), *rows])
    return "\r\n".join(quoted) + "\r\n"


# formats --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.txt", "a.jsonl", "a.json", "a.parquet"])
def test_classification_from_every_format(tmp_path, name):
    path = tmp_path / name
    if ".csv" in name:
        write(path, as_csv(ROWS))
    elif name.endswith(("tsv", "txt")):
        write(path, "\ufeff본문\t분류\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS))
    elif name.endswith("jsonl"):
        write(path, [{"본문": text, "분류": label} for text, label in ROWS])
    elif name.endswith("json"):
        write(path, json.dumps([{"본문": text, "분류": label} for text, label in ROWS]))
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"본문": [t for t, _ in ROWS], "분류": [c for _, c in ROWS]}), path)
    task = user_task("classification", text="본문", label="분류")
    loaded = load(task, "train", path)
    assert [(e.text, e.label) for e in loaded.examples] == ROWS
    assert loaded.notes == []
    assert with_labels(task, loaded.examples).labels == ("긍정", "부정")


def test_labels_that_are_numbers_are_sorted_by_size(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"text": "x", "label": label} for label in (10, 9, 1, 10)])
    task = user_task("classification")
    examples = load(task, "train", path).examples
    assert with_labels(task, examples).labels == ("1", "9", "10")


def test_regression_and_pairs(tmp_path):
    path = write(tmp_path / "a.tsv", "a\tb\ts\nx\ty\t1.5\nz\tw\t-2\n")
    scores = load(user_task("regression", text="a", label="s"), "train", path).examples
    assert [(e.text, e.pair, e.label) for e in scores] == [("x", None, 1.5), ("z", None, -2.0)]
    task = user_task("pair", text="a", pair="b", label="s")
    assert task.kind == "classification"
    assert [(e.text, e.pair, e.label) for e in load(task, "train", path).examples] == [("x", "y", "1.5"), ("z", "w", "-2")]
    pairs = load(user_task("regression", text="a", pair="b", label="s"), "train", path).examples
    assert [(e.pair, e.label) for e in pairs] == [("y", 1.5), ("w", -2.0)]
    write(path, "a\tb\ts\nx\ty\tnan\nz\tw\t1\n")
    with pytest.raises(ValueError, match="a.tsv: row 2: s is 'nan', not a number"):
        load(user_task("regression", text="a", label="s"), "dev", path)


def test_tagging_from_spans(tmp_path):
    rows = [
        {"text": "한결은 새 다리에 산다", "spans": [[4, 8, "곳"], {"start": 0, "end": 2, "label": "사람"}]},
        {"text": "없다", "spans": []},
    ]
    task = user_task("tagging")
    examples = load(task, "train", write(tmp_path / "a.jsonl", rows)).examples
    assert examples[0].tags == ("B-사람", "I-사람", "O", "O", "B-곳", "I-곳", "I-곳", "I-곳", "O", "O", "O", "O")
    assert examples[1].tags == ("O", "O")
    assert with_labels(task, examples).labels == ("O", "B-곳", "I-곳", "B-사람", "I-사람")
    table = "text\tspans\n" + "".join(f"{row['text']}\t{json.dumps(row['spans'])}\n" for row in rows)
    assert [e.tags for e in load(task, "train", write(tmp_path / "b.tsv", table)).examples] == [e.tags for e in examples]


@pytest.mark.parametrize(
    "spans, said",
    [
        ([[0, 9, "A"]], r"the span \[0, 9\] is outside the text of 4 characters"),
        ([[1, 1, "A"]], r"the span \[1, 1\] is outside"),
        ([[0, 2, "A"], [1, 3, "B"]], r"the span \[1, 3\] overlaps another"),
        ([["0", 2, "A"]], "start and end are numbers"),
        ([[0, 2]], r"has \[0, 2\], not \[start, end, type\]"),
    ],
)
def test_spans_that_do_not_fit(tmp_path, spans, said):
    rows = [{"text": "가나다라", "spans": spans}, {"text": "가나", "spans": [[0, 1, "A"]]}]
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(ValueError, match=f"a.jsonl: line 1: .*{said}"):
        load(user_task("tagging"), "dev", path)
    loaded = load(user_task("tagging"), "train", path)
    assert [e.text for e in loaded.examples] == ["가나"] and "the first: line 1" in loaded.notes[0]


CONLL = (
    "-DOCSTART- -X- O\n\nEU NNP I-ORG\nrejects VBZ O\nGerman JJ I-MISC\ncall NN I-MISC\n"
    "\nNew NNP B-LOC\nYork NNP I-LOC\nParis NNP B-LOC\n"
)


TOKENS = [
    {"id": 3, "tokens": ["김", "씨는", "서울시청", "앞"], "ner_tags": ["B-PER", "O", "B-LOC", "I-LOC"]},
    {"id": 4, "tokens": ["강", "물"], "ner_tags": ["O", "O"]},  # single letters are a text as it stands
]
TOKENS_READ = [("3", "김 씨는 서울시청 앞", [(0, 1, "PER"), (5, 11, "LOC")]), ("4", "강물", [])]


@pytest.mark.parametrize("ids", [False, True], ids=["names", "numbers with names in the file"])
def test_lists_of_words_and_tags(tmp_path, ids):
    if ids:
        datasets = pytest.importorskip("datasets")
        names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
        kinds = {"tokens": datasets.Value("string"), "ner_tags": datasets.ClassLabel(names=names)}
        lists = {column: datasets.Sequence(kind) for column, kind in kinds.items()}
        features = datasets.Features({"id": datasets.Value("int64"), **lists})
        numbered = [row | {"ner_tags": [names.index(tag) for tag in row["ner_tags"]]} for row in TOKENS]
        path = tmp_path / "a.parquet"
        datasets.Dataset.from_list(numbered, features=features).to_parquet(str(path))
    else:
        path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in TOKENS))
    found = load(user_task("tagging"), "dev", path).examples
    assert [(each.id, each.text, entities(each.tags)) for each in found] == TOKENS_READ


def test_lists_of_words_under_other_names_and_what_does_not_fit(tmp_path):
    def read(row, **columns):
        return load(user_task("tagging", **columns), "dev", write(tmp_path / "a.jsonl", json.dumps(row) + "\n")).examples

    (found,) = read({"w": ["김", "씨는"], "t": ["B-PER", "O"]}, text="w", label="t")
    assert (found.text, entities(found.tags)) == ("김 씨는", [(0, 1, "PER")])
    for row, message in (
        ({"tokens": ["김", "씨"], "ner_tags": ["O"]}, r"line 1: 2 words need as many tags in a list, but there are \['O'\]"),
        ({"tokens": ["김"], "ner_tags": [3]}, "line 1: the tag 3 has no name: give the names, as B-PER"),
        ({"tokens": ["김", ""], "ner_tags": ["O", "O"]}, "line 1: the words must be texts in a list"),
        ({"tokens": ["김"], "ner_tags": ["PER"]}, "line 1: the tags 'PER' are not B-TYPE, I-TYPE or O"),
        ({"tokens": ["김"]}, "no column 'spans' or 'ner_tags' or 'tags'; available: tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            read(row)


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.tsv"])
def test_tagging_from_words(tmp_path, name):
    content = CONLL.replace(" ", "\t") if name == "a.tsv" else CONLL
    content = content.replace("-DOCSTART-\t-X-\tO\n\n", "")
    first, second = load(user_task("tagging"), "train", write(tmp_path / name, content)).examples
    assert first.text == "EU rejects German call"
    spelled = [(first.text[i], tag) for i, tag in enumerate(first.tags) if tag != "O"]
    assert "".join(c for c, tag in spelled if tag.endswith("ORG")) == "EU" and spelled[0] == ("E", "B-ORG")
    assert "".join(c for c, tag in spelled if tag.endswith("MISC")) == "German call"
    assert [tag for tag in first.tags if tag.startswith("B")] == ["B-ORG", "B-MISC"]
    assert second.text == "New York Paris"
    assert second.tags == ("B-LOC", *["I-LOC"] * 7, "O", "B-LOC", *["I-LOC"] * 4)


def test_tagging_of_characters_and_bioes(tmp_path):
    path = write(tmp_path / "a.tsv", "강\tS-PS\n \tO\n5\tB-DT\n공\tE-DT\n \tO\n도\tE-DT\n")
    (example,) = load(user_task("tagging"), "train", path).examples
    assert example.text == "강 5공 도" and example.tags == ("B-PS", "O", "B-DT", "I-DT", "O", "B-DT")
    with pytest.raises(ValueError, match=r"the tags 'X-PS' are not B-TYPE"):
        load(user_task("tagging"), "dev", write(tmp_path / "b.conll", "강\tX-PS\n"))


def test_questions(tmp_path):
    context = "한국은 서울이 수도다."
    squad = {"data": [{"paragraphs": [{"context": context, "qas": [
        {"id": "a", "question": "수도?", "answers": [{"text": "서울", "answer_start": 4}]},
        {"id": "b", "question": "인구?", "answers": [], "is_impossible": True}]}]}]}  # fmt: skip
    nested = load(user_task("spans"), "train", write(tmp_path / "a.json", json.dumps(squad))).examples
    assert [(e.id, e.text, e.pair, e.answers) for e in nested] == [
        ("a", context, "수도?", ((4, "서울"),)),
        ("b", context, "인구?", ()),
    ]
    rows = [
        {"context": context, "question": "수도?", "answers": {"text": ["서울"], "answer_start": [4]}},
        {"context": context, "question": "수도?", "answers": "서울"},  # occurs once, so its place is known
        {"context": context, "question": "수도?", "answers": "서울", "answer_start": 4},
    ]
    flat = load(user_task("spans"), "train", write(tmp_path / "a.jsonl", rows)).examples
    assert [e.answers for e in flat] == [((4, "서울"),)] * 3
    rows = [{"context": context, "question": "?", "answers": "이"}, {"context": "이 이", "question": "?", "answers": "이"}]
    with pytest.raises(ValueError, match="line 2: the answer '이' occurs 2 times in the context"):
        load(user_task("spans"), "dev", write(tmp_path / "b.jsonl", rows))


def test_choice(tmp_path):
    rows = [{"text": "?", "options": ["a", "b", "c"], "label": 2}, {"text": "!", "options": ["d", "e"], "label": "d"}]
    first, second = load(user_task("choice"), "train", write(tmp_path / "a.jsonl", rows)).examples
    assert (first.options, first.label, second.label) == (("a", "b", "c"), 2, 0)
    path = write(tmp_path / "a.csv", "q,one,two,right\nWhy?,yes,no,1\n")
    (example,) = load(user_task("choice", text="q", pair="one,two", label="right"), "train", path).examples
    assert (example.text, example.options, example.label) == ("Why?", ("yes", "no"), 1)
    for label in ("0", "1.0"):
        write(path, f"q,one,two,right\nWhy?,yes,no,{label}\n")
        (example,) = load(user_task("choice", text="q", pair="one,two", label="right"), "train", path).examples
        assert example.label == float(label)
    write(path, "q,one,two,right\nWhy?,yes,no,2\n")
    with pytest.raises(ValueError, match="row 2: right is '2', but options are numbered 0 to 1"):
        load(user_task("choice", text="q", pair="one,two", label="right"), "dev", path)


def test_what_a_user_gets_wrong(tmp_path):
    with pytest.raises(ValueError, match="unknown kind of task 'ner'; available: classification"):
        user_task("ner")
    with pytest.raises(ValueError, match="tagging has one text"):
        user_task("tagging", pair="b")
    path = write(tmp_path / "a.csv", as_csv(ROWS))
    with pytest.raises(ValueError, match="a.csv: no column 'text'; available: 본문, 분류"):
        load(user_task("classification"), "train", path)
    with pytest.raises(FileNotFoundError, match=r"b.csv: no such file"):
        load(user_task("classification"), "train", tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"a.xlsx: not one of .csv, .tsv"):
        load(user_task("classification"), "train", write(tmp_path / "a.xlsx", "x"))
    with pytest.raises(ValueError, match="a.csv: the file is empty"):
        load(user_task("classification"), "train", write(path, ""))
    with pytest.raises(ValueError, match="a.csv: row 2 is not CSV"):
        load(user_task("classification"), "train", write(path, 'text,label\n"a"b,c\n'))
    bad = write(tmp_path / "a.jsonl", '{"text": "a", "label": "b"}\n[1]\n{"text"\n')
    with pytest.raises(ValueError, match="a.jsonl: line 2: a list, not an object"):
        load(user_task("classification"), "dev", bad)
    write(tmp_path / "a.json", '{"text": "a"}')
    with pytest.raises(ValueError, match="a.json: holds a dict, not a list"):
        load(user_task("classification"), "dev", tmp_path / "a.json")
    with pytest.raises(ValueError, match="a.parquet: not a parquet file"):
        load(user_task("classification"), "dev", write(tmp_path / "a.parquet", "text"))


def test_a_quoted_field_may_hold_lines(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"first\nsecond",a\nx,b\n')
    assert [e.text for e in load(user_task("classification"), "train", path).examples] == ["first\nsecond", "x"]


# splits ---------------------------------------------------------------------------------------------------------------


def numbered(count):
    return [Example(str(i), f"text number {i}", label=str(i % 2)) for i in range(count)]


SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}


def test_duplicates_never_straddle():
    examples = numbered(300)
    decomposed = unicodedata.normalize("NFD", "한국어 문장")
    for i in range(300):
        examples.append(Example(f"d{i}", examples[i].text.upper().replace(" ", "  "), label="1"))
    examples += [Example(f"k{i}", text, label="1") for i, text in enumerate([decomposed, "한국어 문장"] * 20)]
    sides = {}
    for name, part in split(examples, SHARES, seed=3).items():
        for example in part:
            key = " ".join(unicodedata.normalize("NFC", example.text).casefold().split())
            assert sides.setdefault(key, name) == name
    assert set(sides.values()) == set(SHARES)


def test_shares_are_kept_and_seeds_differ():
    examples = numbered(4000)
    parts = split(examples, SHARES, seed=0)
    assert sorted(e.id for part in parts.values() for e in part) == sorted(e.id for e in examples)
    # Binomial with p = 0.1: 400 with a standard deviation of 19.
    assert abs(len(parts["dev"]) - 400) < 5 * 19 and abs(len(parts["test"]) - 400) < 5 * 19
    assert [e.id for e in parts["train"]] == sorted((e.id for e in parts["train"]), key=int)  # in their order
    other = split(examples, SHARES, seed=1)
    assert {e.id for e in other["dev"]} != {e.id for e in parts["dev"]}
    backwards = split(examples[::-1], SHARES, seed=0)
    assert {e.id for e in backwards["dev"]} == {e.id for e in parts["dev"]}


def test_contexts_and_premises_stay_together():
    examples = [Example(f"{i}-{j}", f"context {i}", f"question {j}") for i in range(50) for j in range(3)]
    for part in split(examples, {"train": 0.5, "dev": 0.5}).values():
        assert len(part) == 3 * len({e.text for e in part})


def test_splits_that_can_not_be_drawn():
    with pytest.raises(ValueError, match="above 0 and together 1, but are: train 0.9, dev 0.2"):
        split(numbered(10), {"train": 0.9, "dev": 0.2})
    same = [Example(str(i), "same", label="a") for i in range(100)]
    with pytest.raises(ValueError, match="would be empty: 100 examples have 1 different texts"):
        split(same, SHARES)


# warnings -------------------------------------------------------------------------------------------------------------


def test_uneven_and_rare_classes():
    examples = [Example(str(i), f"{i}", label="many") for i in range(95)]
    examples += [Example(f"r{i}", f"r{i}", label="rare") for i in range(5)]
    uneven, few = warnings(examples, ("many", "rare", "never"))
    assert "'many' is 95.0% of 100 examples" in uneven and "accuracy 0.950" in uneven
    assert few == "2 of 3 classes have fewer than 10 examples: 'never' 0, 'rare' 5"
    assert warnings(numbered(100), ("0", "1")) == []
    assert warnings([Example(str(i), f"{i}", label=f"text {i}") for i in range(30)]) == []  # texts are no classes


def test_label_noise():
    examples = [
        *numbered(96),
        Example("a", "ㅋㅋ  굿", label="0"),
        Example("b", "ㅋㅋ 굿", label="1"),
        Example("c", "ㅋㅋ 굿", label="1"),
    ]
    examples.append(Example("d", "text number 0", label="0"))  # the same answer is no noise
    (line,) = warnings(examples)
    assert line.startswith("label noise: 1 text (3 examples, 3.0%)") and "'ㅋㅋ  굿' ('1' 2, '0' 1)" in line


def test_noise_looks_at_both_texts_and_at_tags():
    pairs = [Example("a", "p", "h1", label="x"), Example("b", "p", "h2", label="y")] * 15
    assert warnings(pairs) == []
    tags = [Example("a", "가", tags=("O",)), Example("b", "가", tags=("B-A",))]
    assert "2 different answers" in warnings(tags)[0]
    scores = [Example("a", "가", label=4.9), Example("b", "가", label=5.0)]
    assert warnings(scores) == []  # two people's scores differ


def test_test_examples_that_are_training_examples_are_counted():
    """But for case, spaces, punctuation and repeated letters; both texts of a pair; not those too short to tell."""
    long = "배우들의 연기가 정말 훌륭해서 두 번이나 봤다"
    question = "What does the old man see at the end of the road, and why?"
    training = [Example("1", long, label="a"), Example("2", "재밌다", label="a"), Example("3", long, question, "b")]
    same = [Example("", f"{long}!!", label="b"), Example("", long.replace(" ", ""), question.upper(), "a")]
    others = [Example("", "재밌다", label="a"), Example("", "좋다", question, "a"), Example("", question, long, "a")]
    kind = find_kind("classification")
    (note,) = repeated(training, same + others, kind)
    assert note.startswith("2 of 5 test examples (40.0%)")
    assert repeated(training, others, kind) == []


def test_a_task_says_so(tmp_path):
    rows = [{"text": f"{number} men went along the river to the town", "label": "ab"[number % 2]} for number in range(40)]
    data, test = (
        write(tmp_path / "a.jsonl", rows[:35]),
        write(tmp_path / "b.jsonl", [rows[0] | {"text": rows[0]["text"].upper()}]),
    )
    options = TaskOptions(name="classification", data=str(data), test=str(test), text="text", label="label")
    found = read_task(options)
    kept = any(example.text == rows[0]["text"] for example in found.train)
    assert sum("test examples" in note for note in found.notes) == kept == 1
