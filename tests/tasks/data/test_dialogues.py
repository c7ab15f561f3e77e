"""Files of dialogues and of pairs as examples; what is refused; and the corpus in one file, divided by its questions."""

import json

import pytest

from gyebo.config.finetune import TaskOptions
from gyebo.tasks.data.dialogues import by_question, own_dialogues
from gyebo.tasks.data.loading import load
from gyebo.tasks.registry import find
from gyebo.tasks.splits import read_task
from gyebo.text.normalize import text_key
from tests.conftest import sentences

ANN, BOB = "ann", "bob"


def written(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def said(*turns):
    return [{"speaker": speaker, "text": text} for speaker, text in turns]


def read(path, turns=None, response=None, labelled=True, problems=None):
    found = own_dialogues(turns, response).read(path, labelled=labelled, problems=problems)
    return [(example.text.split("\n"), example.label) for example in found]


def test_every_turn_after_the_first_is_a_response(tmp_path):
    path = written(tmp_path / "a.jsonl", [{"turns": ["안녕", "반가워", "뭐 해?"]}, ["hi", "hello"]])
    assert read(path) == [(["안녕"], "반가워"), (["안녕", "반가워"], "뭐 해?"), (["hi"], "hello")]


def test_entries_of_one_speaker_are_one_turn(tmp_path):
    row = said((ANN, "hi"), (ANN, "how are you?"), (BOB, "fine"), (BOB, "and you?"), (ANN, "so so"))
    path = written(tmp_path / "a.jsonl", [{"turns": row}])
    assert read(path) == [(["hi how are you?"], "fine and you?"), (["hi how are you?", "fine and you?"], "so so")]


def test_the_responses_of_one_speaker(tmp_path):
    row = said((ANN, "hi"), (BOB, "hello"), (ANN, "bye"), (BOB, "see you"))
    path = written(tmp_path / "a.jsonl", [{"talk": row}])
    assert read(path, "talk", BOB) == [(["hi"], "hello"), (["hi", "hello", "bye"], "see you")]


def test_pairs_of_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Q,A\n안녕?,반가워\n뭐 해,쉬어\n", encoding="utf-8")
    assert read(path, "Q", "A") == [(["안녕?"], "반가워"), (["뭐 해"], "쉬어")]


def test_what_is_yet_to_be_answered_is_the_whole_list(tmp_path):
    path = written(tmp_path / "a.jsonl", [{"turns": [str(number) for number in range(1, 10)]}])
    assert read(path, labelled=False) == [([str(number) for number in range(1, 10)], None)]


@pytest.mark.parametrize(
    ("row", "given", "reason"),
    [
        ({"turns": ["hi", " "]}, {}, "line 2: turn 2 is empty"),
        ({"turns": said((ANN, "hi"), (BOB, ""))}, {}, "line 2: turn 2 is empty"),
        ({"turns": ["hi"]}, {}, "line 2: a dialogue needs two turns"),
        ({"turns": said((ANN, "hi"), (ANN, "you"))}, {}, "line 2: a dialogue needs two turns of different speakers"),
        ({"turns": ["hi", 3]}, {}, "line 2: turn 2 is a int"),
        ({"turns": ["hi", "you"]}, {"response": BOB}, 'line 1: turn 1 is a str, but must be an object with "speaker"'),
        ({"said": ["hi", "you"]}, {}, "no column 'turns' or 'text'; available: said"),
        ({"turns": [{"text": "hi"}, {"text": "you"}]}, {}, "no column 'speaker'"),
    ],
)
def test_errors_name_file_line_and_turn(row, given, reason, tmp_path):
    path = written(tmp_path / "a.jsonl", [["hi", "hello"], row])
    with pytest.raises(ValueError, match=reason) as error:
        read(path, **given)
    assert str(path) in str(error.value)


def test_an_empty_turn_is_refused_in_training_too(tmp_path):
    """Other rows that can't be used are skipped there, and counted."""
    path = written(tmp_path / "a.jsonl", [["hi", "hello"], ["alone"], ["one", "two"]])
    problems = []
    assert len(read(path, problems=problems)) == 2 and len(problems) == 1
    written(path, [["hi", "hello"], ["hi", ""]])
    with pytest.raises(ValueError, match="line 2: turn 2 is empty"):
        read(path, problems=problems)


def test_all_responses_of_a_dialogue_share_a_set(tmp_path):
    path = written(tmp_path / "a.jsonl", [text.split(". ") for text in sentences(200, seed=3) if text.count(". ")])
    data = read_task(TaskOptions(name="dialogue", data=str(path)))
    groups = [{example.group for example in part} for part in (data.train, data.valid, data.test)]
    assert all(groups) and not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert sum(map(len, groups)) == len({tuple(group) for part in groups for group in part})


# ---- the corpus of questions and answers in one file


@pytest.fixture
def folder(tmp_path):
    questions = [text.partition(".")[0] for text in sentences(300, seed=1)]
    rows = [f"{question},응 {number},0\n" for number, question in enumerate(questions)]
    rows += [f"{question.replace(' ', '')}!?,아니,0\n" for question in questions[:100]]
    (tmp_path / "ChatbotData.csv").write_text("Q,A,label\n" + "".join(rows), encoding="utf-8")
    return tmp_path


def test_equal_questions_never_straddle_however_they_are_written(folder):
    parts = {split: load(find("chatbot"), split, folder).examples for split in ("train", "dev", "test")}
    keys = {split: {text_key(example.text) for example in part} for split, part in parts.items()}
    assert not keys["train"] & keys["dev"] | keys["train"] & keys["test"] | keys["dev"] & keys["test"]
    assert sum(map(len, parts.values())) == 400 and len(parts["train"]) > 250 and parts["test"] and parts["dev"]


def test_the_split_of_a_question_is_fixed(folder):
    """It depends on the question alone, neither on the file nor on the order of its rows."""
    path = folder / "ChatbotData.csv"
    before = {example.text: by_question(example) for example in find("chatbot").read(path)}
    head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(head + "".join(rows[150:0:-1]), encoding="utf-8")
    for split in ("train", "dev", "test"):
        assert all(before[example.text] == split for example in load(find("chatbot"), split, folder).examples)


def test_a_file_that_is_named_counts_whole(folder):
    assert len(load(find("chatbot"), "dev", folder / "ChatbotData.csv").examples) == 400
