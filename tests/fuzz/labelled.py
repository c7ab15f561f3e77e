"""Labelled files: kinds of task on a user's own file, and the formats of registered tasks."""

import dataclasses
import gzip
import json

from gyebo.data.encoding import Reading
from gyebo.tasks.data.loading import load
from gyebo.tasks.data.own_file import user_task
from gyebo.tasks.registry import find
from tests.fuzz.corpora import TEXTS, json_lines, json_list, parquet, table, zst
from tests.fuzz.reader import Reader


def reading(task, split="train", **how):
    """A function that reads a file as the examples of a task."""

    def read(folder, path):
        loaded = load(task, split, path, Reading(**how))
        return [[str(value) for value in dataclasses.astuple(example)] for example in loaded.examples] + loaded.notes

    return read


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def conll() -> bytes:
    return "\n".join(["-DOCSTART- -X- O", "", *("한결\tB-사람\n은\tO\n서울\tB-곳\n" for _ in range(5))]).encode()


def klue_ner() -> bytes:
    return "".join(f"## klue-ner-{i}\t서울 <한결:PS>\n한\tB-PS\n결\tI-PS\n \tO\n은\tO\n\n" for i in range(4)).encode()


def klue_dp() -> bytes:
    words = "1\t나는\t나 는\tNP+JX\t2\tNP_SBJ\n2\t간다\t가 ㄴ다\tVV+EF\t0\tVP\n"
    return "".join(f"## klue-dp-{i}\t나는 간다\n{words}\n" for i in range(4)).encode()


def squad() -> bytes:
    answers = [{"text": "산", "answer_start": 3}]
    qas = [{"id": str(i), "question": "어디?", "answers": answers} for i in range(3)]
    return json.dumps({"data": [{"paragraphs": [{"context": "높은 산에 간다", "qas": qas}]}]}, ensure_ascii=False).encode()


def klue_re() -> bytes:
    entity = {"word": "한결", "start_idx": 0, "end_idx": 1, "type": "PER"}
    other = {"word": "서울", "start_idx": 4, "end_idx": 5, "type": "LOC"}
    rows = [{"guid": f"r{i}", "sentence": "한결은 서울에", "subject_entity": entity, "object_entity": other,
             "label": ("no_relation", "per:origin")[i % 2]} for i in range(4)]  # fmt: skip
    return json.dumps(rows, ensure_ascii=False).encode()


def klue_dst() -> bytes:
    turns = [{"role": "user", "text": "호텔", "state": ["숙소-종류-호텔"]}, {"role": "sys", "text": "네"}]
    return json.dumps([{"guid": f"d{i}", "dialogue": turns} for i in range(3)], ensure_ascii=False).encode()


def nsmc() -> bytes:
    return (
        "id\tdocument\tlabel\n" + "".join(f"{i}\t{text.replace(chr(9), ' ')}\t{i % 2}\n" for i, text in enumerate(TEXTS))
    ).encode()


def tables() -> dict[str, bytes]:
    return {"a.csv": table(","), "a.tsv": table("\t"), "a.txt": table("\t"), "a.jsonl": json_lines(), "a.json": json_list()}


def packed() -> dict[str, bytes]:
    return {"a.csv.gz": gzip.compress(table(",")), "a.jsonl.zst": zst(json_lines())}


def tags() -> dict[str, bytes]:
    return {"a.conll": conll(), "b.jsonl": lines(*({"text": "한결은", "spans": [[0, 2, "사람"]]} for _ in range(3)))}


def questions() -> dict[str, bytes]:
    row = {"context": "높은 산에", "question": "어디?"}
    answers = [{"text": ["산"], "answer_start": [3]}, "산", [{"text": "산", "answer_start": 3}], None]
    return {"a.json": squad(), "a.jsonl": lines(*(row | {"answers": answer} for answer in answers))}


def choices() -> dict[str, bytes]:
    return {"a.jsonl": lines(*({"text": "x", "options": ["산", "강"], "label": i % 2} for i in range(4)))}


def dialogues() -> dict[str, bytes]:
    spoken = [{"turns": [{"speaker": "a", "text": "안녕"}, {"speaker": "b", "text": "네"}]}] * 2
    return {"a.jsonl": lines(["안녕", "네", "그래"], *spoken), "a.csv": "text,response\n안녕,네\n".encode()}


CLASSES = user_task("classification")
SUMMARY = user_task("summary")
TRANSLATION = user_task("translation", "en", None, "ko")
READERS = (
    Reader("classes", tables, reading(CLASSES)),
    Reader("classes, dev", tables, reading(CLASSES, "dev")),
    Reader("classes, replaced", tables, reading(CLASSES, bad_bytes="replace")),
    Reader("classes, packed", packed, reading(CLASSES)),
    Reader("classes, parquet", lambda: {"a.parquet": parquet()}, reading(CLASSES)),
    Reader("classes, cp949", lambda: {"a.csv": table(",").decode().encode("cp949")}, reading(CLASSES, encoding="cp949")),
    Reader("scores", tables, reading(user_task("regression", label="n"))),
    Reader("nested", lambda: {"a.jsonl": json_lines()}, reading(user_task("classification", "doc.body"))),
    Reader("tags", tags, reading(user_task("tagging"))),
    Reader("questions", questions, reading(user_task("spans"))),
    Reader("choices", choices, reading(user_task("choice"))),
    Reader("dialogues", dialogues, reading(user_task("dialogue"))),
    Reader("summaries", lambda: {"a.jsonl": lines(*({"text": t, "summary": t[:5]} for t in TEXTS))}, reading(SUMMARY)),
    Reader("translations", lambda: {"a.jsonl": lines(*({"en": t, "ko": t} for t in TEXTS))}, reading(TRANSLATION)),
    Reader("klue-ner", lambda: {"a.tsv": klue_ner()}, reading(find("klue-ner"))),
    Reader("klue-dp", lambda: {"a.tsv": klue_dp()}, reading(find("klue-dp"))),
    Reader("klue-re", lambda: {"a.json": klue_re()}, reading(find("klue-re"))),
    Reader("klue-mrc", lambda: {"a.json": squad()}, reading(find("klue-mrc"))),
    Reader("klue-dst", lambda: {"a.json": klue_dst()}, reading(find("klue-dst"))),
    Reader("nsmc", lambda: {"a.txt": nsmc()}, reading(find("nsmc"))),
)
