"""Official files of KLUE, GLUE and the others, written small as they are released, and the real ones where they are here."""

import collections
import gzip
import json

import pytest

from gyebo.tasks.data.loading import find_files, load
from gyebo.tasks.registry import find
from tests.tasks.task_files import needs, triples, tsv, write

# Task, folder and file as released, content, and (text, pair, label) of each example.
GLUE_FILES = [
    (
        "glue-cola", "CoLA/train.tsv",
        tsv("gj04|1||Our friends won't buy this.", 'gj04|0|*|He said "no way, "and left.'),
        [("Our friends won't buy this.", None, "acceptable"), ('He said "no way, "and left.', None, "unacceptable")],
    ),
    (
        "glue-sst2", "SST-2/train.tsv",
        tsv("sentence|label", "hide new secretions |0", "NA|1"),
        [("hide new secretions ", None, "negative"), ("NA", None, "positive")],
    ),
    (
        "glue-mrpc", "MRPC/train.tsv",
        "\ufeff" + tsv("Quality|#1 ID|#2 ID|#1 String|#2 String", '1|7|8|He said "yes .|He agreed .', "0|9|10|A b|C d")
        .replace("\n", "\r\n"),
        [('He said "yes .', "He agreed .", "equivalent"), ("A b", "C d", "not_equivalent")],
    ),
    (
        "glue-stsb", "STS-B/train.tsv",
        tsv("index|genre|filename|year|old_index|source1|source2|sentence1|sentence2|score",
            "0|main|MSRvid|2012|0001|none|none|A plane.|An air plane.|5.000", "1|main|x|2012|2|none|none|A|B|0.25"),
        [("A plane.", "An air plane.", 5.0), ("A", "B", 0.25)],
    ),
    (
        "glue-qqp", "QQP/train.tsv",
        tsv("id|qid1|qid2|question1|question2|is_duplicate", "133273|213221|213222|How?|Why?|0", "402555|1|2|Who?|Who is?|1"),
        [("How?", "Why?", "not_duplicate"), ("Who?", "Who is?", "duplicate")],
    ),
    (
        "glue-mnli", "MNLI/train.tsv",
        tsv("index|promptID|pairID|genre|sentence1_binary_parse|sentence2_binary_parse|sentence1_parse|sentence2_parse|sentence1"
            "|sentence2|label1|gold_label",
            "0|31193|31193n|government|( a )|( b )|(A)|(B)|Cream skimming.|Two ways.|neutral|neutral",
            "1|31|31c|fiction|( a )|( b )|(A)|(B)|P|H|contradiction|contradiction"),
        [("Cream skimming.", "Two ways.", "neutral"), ("P", "H", "contradiction")],
    ),
    (
        "glue-qnli", "QNLI/train.tsv",
        tsv("index|question|sentence|label", "0|When?|In 1999.|entailment", "1|Who?|No.|not_entailment"),
        [("When?", "In 1999.", "entailment"), ("Who?", "No.", "not_entailment")],
    ),
    (
        "glue-rte", "RTE/train.tsv",
        tsv("index|sentence1|sentence2|label", "0|It is.|It was.|not_entailment", "1|It is.|It is.|entailment"),
        [("It is.", "It was.", "not_entailment"), ("It is.", "It is.", "entailment")],
    ),
    (
        "glue-wnli", "WNLI/train.tsv",
        tsv("index|sentence1|sentence2|label", "0|I stuck a pin|The carrot|1", "1|John|Jim|0"),
        [("I stuck a pin", "The carrot", "entailment"), ("John", "Jim", "not_entailment")],
    ),
    (
        "nsmc", "ratings_train.txt",
        tsv("id|document|label", '1|아 더빙.. "진짜|0', "2|NA|1"),
        [('아 더빙.. "진짜', None, "negative"), ("NA", None, "positive")],
    ),
    (
        "korsts", "KorSTS/sts-train.tsv",
        tsv("genre|filename|year|id|score|sentence1|sentence2", "main|MSRvid|2012|1|5.000|가|나", "main|x|2012|2|0.5|다|라"),
        [("가", "나", 5.0), ("다", "라", 0.5)],
    ),
    (
        "question-pair", "question_pair/kor_pair_train.csv",
        'id,qid1,qid2,question1,question2,is_duplicate\n1,1,2,"집, 앞",집앞,0\n2,3,4,왜?,"""뭐""?",1\n',
        [("집, 앞", "집앞", "same"), ("왜?", '"뭐"?', "different")],
    ),
    (
        "hate-speech", "labeled/train.tsv",
        tsv("comments|contain_gender_bias|bias|hate", "좋다|False|none|none", "싫다|True|gender|offensive"),
        [("좋다", None, "none"), ("싫다", None, "offensive")],
    ),
]  # fmt: skip

KLUE_LISTS = [
    (
        "klue-tc", "ynat-v1.1/ynat-v1.1_train.json",
        [{"guid": "y0", "title": "유튜브 내달 2일까지", "label": "생활문화", "annotations": {}, "url": "", "date": ""},
         {"guid": "y1", "title": "야구", "label": "스포츠"}],
        [("유튜브 내달 2일까지", None, "생활문화"), ("야구", None, "스포츠")],
    ),
    (
        "klue-sts", "klue-sts-v1.1/klue-sts-v1.1_train.json",
        [{"guid": "s0", "sentence1": "가", "sentence2": "나",
          "labels": {"label": 2.9, "real-label": 2.857142857142857, "binary-label": 0}},
         {"guid": "s1", "sentence1": "다", "sentence2": "라",
          "labels": {"label": 4.0, "real-label": 4.0, "binary-label": 1}}],
        [("가", "나", 2.857142857142857), ("다", "라", 4.0)],
    ),
    (
        "klue-nli", "klue-nli-v1.1/klue-nli-v1.1_train.json",
        [{"guid": "n0", "premise": "가", "hypothesis": "나", "gold_label": "contradiction"},
         {"guid": "n1", "premise": "가", "hypothesis": "다", "gold_label": "neutral"}],
        [("가", "나", "contradiction"), ("가", "다", "neutral")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, file, content, expected", GLUE_FILES + KLUE_LISTS, ids=lambda v: v if isinstance(v, str) and len(v) < 20 else ""
)
def test_a_released_file_is_found_and_read(tmp_path, name, file, content, expected):
    write(tmp_path, file, content)
    loaded = load(find(name), "train", tmp_path)
    assert triples(loaded.examples) == expected
    assert loaded.notes == []
    assert len({e.id for e in loaded.examples}) == len(expected)


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_packed_files_read_alike(tmp_path, packed):
    write(tmp_path, "nli_train.json", KLUE_LISTS[2][2], packed)
    assert triples(load(find("klue-nli"), "train", tmp_path).examples) == KLUE_LISTS[2][3]


def test_mnli_has_two_dev_sets_with_more_columns(tmp_path):
    header = "index|pairID|sentence1|sentence2|label1|label2|gold_label"
    write(tmp_path, "dev_matched.tsv", tsv(header, "0|1n|P|H|neutral|entailment|entailment"))
    write(tmp_path, "dev_mismatched.tsv", tsv(header, "0|2n|Q|I|neutral|neutral|neutral"))
    task = find("glue-mnli")
    assert set(find_files(task, tmp_path)) == {"dev", "dev_mismatched"}
    assert triples(load(task, "dev", tmp_path).examples) == [("P", "H", "entailment")]
    assert triples(load(task, "dev_mismatched", tmp_path).examples) == [("Q", "I", "neutral")]


def test_test_sets_have_no_labels(tmp_path):
    write(tmp_path, "test.tsv", tsv("index|sentence", "0|Bill whistled."))
    assert triples(load(find("glue-cola"), "test", tmp_path).examples) == [("Bill whistled.", None, None)]
    write(tmp_path, "re_test.json", [re_row() | {"label": ""}])
    (example,) = load(find("klue-re"), "test", tmp_path).examples
    assert example.label is None and len(example.answers) == 2


NER = (
    "## 토큰, 레이블 구분자 : \\t\n## 컬럼명 : CHAR\tNE_TAG\n## ner_0-wiki\t<5공 시절:DT> #\n"
    "5\tB-DT\n공\tI-DT\n \tI-DT\n시\tI-DT\n절\tI-DT\n"
    " \tO\n#\tO\n\n## ner_1-nsmc\t<강우:PS>\n강\tB-PS\n우\tI-PS\n\t\n## ner_2\tㅋ\nㅋ\tO\n"
)


def test_klue_ner_keeps_spaces_and_hashes(tmp_path):
    write(tmp_path, "klue-ner-v1.1_train.tsv", NER)
    first, second, third = load(find("klue-ner"), "train", tmp_path).examples
    assert (first.id, first.text) == ("ner_0-wiki", "5공 시절 #")
    assert first.tags == ("B-DT", "I-DT", "I-DT", "I-DT", "I-DT", "O", "O")
    assert (second.id, second.text, second.tags) == ("ner_1-nsmc", "강우", ("B-PS", "I-PS"))
    assert (third.id, third.text) == ("ner_2", "ㅋ")


def test_klue_ner_names_a_broken_line(tmp_path):
    write(tmp_path, "ner_dev.tsv", "가\tO\n나\n\n")
    with pytest.raises(ValueError, match=r"ner_dev.tsv: the sentence at line 1: '나' is not CHARACTER<TAB>TAG"):
        load(find("klue-ner"), "dev", tmp_path)
    write(tmp_path, "ner_dev.tsv", "가\tB-XX\n")
    with pytest.raises(ValueError, match=r"has the label 'B-XX' \(1 example\), but .*klue-ner.*: B-PS"):
        load(find("klue-ner"), "dev", tmp_path)


DP = (
    "## 칼럼명 : INDEX\tWORD_FORM\tLEMMA\tPOS\tHEAD\tDEPREL\n## dp_0\t철수가 밥을 먹었다.\n"
    "1\t철수가\t철수 가\tNNP+JKS\t3\tNP_SBJ\n"
    "2\t밥을\t밥 을\tNNG+JKO\t3\tNP_OBJ\n3\t먹었다.\t먹 었 다 .\tVV+EP+EF+SF\t0\tVP\n\n"
)


def test_klue_dp(tmp_path):
    write(tmp_path, "klue-dp-v1.1/klue-dp-v1.1_dev.tsv", DP)
    (example,) = load(find("klue-dp"), "dev", tmp_path).examples
    assert (example.id, example.text) == ("dp_0", "철수가 밥을 먹었다.")
    assert example.words == ("철수가", "밥을", "먹었다.") and example.heads == (3, 3, 0)
    assert example.relations == ("NP_SBJ", "NP_OBJ", "VP") and example.pos[2] == "VV+EP+EF+SF"
    write(tmp_path, "klue-dp-v1.1/klue-dp-v1.1_dev.tsv", DP.replace("\t3\tNP_OBJ", "\t4\tNP_OBJ"))
    with pytest.raises(ValueError, match="the head 4 is none of the 3 words"):
        load(find("klue-dp"), "dev", tmp_path)


def re_row():
    return {
        "guid": "re_0", "sentence": "조지 해리슨이 쓴 비틀즈의 노래", "label": "org:members",
        "subject_entity": {"word": "비틀즈", "start_idx": 10, "end_idx": 12, "type": "ORG"},
        "object_entity": {"word": "조지 해리슨", "start_idx": 0, "end_idx": 5, "type": "PER"}, "source": "wiki",
    }  # fmt: skip


def test_klue_re_gives_subject_then_object(tmp_path):
    write(tmp_path, "klue-re-v1.1_dev.json", [re_row()])
    (example,) = load(find("klue-re"), "dev", tmp_path).examples
    assert example.answers == ((10, "비틀즈"), (0, "조지 해리슨"))
    assert example.label == "org:members" and example.text == "조지 해리슨이 쓴 비틀즈의 노래"
    assert find("klue-re").entity_markers
    wrong = re_row()
    wrong["object_entity"]["end_idx"] = 6
    write(tmp_path, "klue-re-v1.1_dev.json", [wrong])
    with pytest.raises(ValueError, match="item 1: object_entity is '조지 해리슨', but characters 0 to 6 are '조지 해리슨이'"):
        load(find("klue-re"), "dev", tmp_path)


def mrc(start: int = 4):
    questions = [
        {"guid": "m0", "question": "수도는?", "answers": [{"text": "서울", "answer_start": start}],
         "question_type": 1, "is_impossible": False},
        {"guid": "m1", "question": "인구는?", "answers": [], "plausible_answers": [{"text": "서울", "answer_start": 4}],
         "question_type": 3, "is_impossible": True},
    ]  # fmt: skip
    return {"version": "v1", "data": [{"title": "t", "paragraphs": [{"context": "한국은 서울이 수도다.", "qas": questions}]}]}


def test_klue_mrc_and_answers_out_of_place(tmp_path):
    task = find("klue-mrc")
    write(tmp_path, "klue-mrc-v1.1_train.json", mrc())
    first, second = load(task, "train", tmp_path).examples
    assert (first.id, first.text, first.pair, first.answers) == ("m0", "한국은 서울이 수도다.", "수도는?", ((4, "서울"),))
    assert second.answers == ()
    spoilt = mrc(3)
    spoilt["data"][0]["paragraphs"][0]["qas"].append(
        {"guid": "m2", "question": "어디?", "answers": [{"text": "한국", "answer_start": 0}]}
    )
    write(tmp_path, "klue-mrc-v1.1_train.json", spoilt)
    loaded = load(task, "train", tmp_path)  # training: counted, with the first example
    assert [e.id for e in loaded.examples] == ["m1", "m2"]
    (note,) = loaded.notes
    assert "1 row can't be used and is skipped" in note and "question m0" in note and "'서울' is not at character 3" in note
    write(tmp_path, "klue-mrc-v1.1_dev.json", spoilt)
    with pytest.raises(ValueError, match="question m0: the answer '서울' is not at character 3"):
        load(task, "dev", tmp_path)


def test_klue_dst_gives_each_turn_of_the_user(tmp_path):
    turns = [
        {"role": "user", "text": "호텔 찾아줘", "state": ["숙소-종류-호텔"]}, {"role": "sys", "text": "어디요?"},
        {"role": "user", "text": "북쪽", "state": ["숙소-종류-호텔", "숙소-지역-서울 북쪽"]},
    ]  # fmt: skip
    write(tmp_path, "wos-v1.1/wos-v1.1_dev.json", [{"guid": "wos_0", "domains": ["숙소"], "dialogue": turns}])
    first, second = load(find("klue-dst"), "dev", tmp_path).examples
    assert (first.id, first.text, first.state) == ("wos_0-0", "user: 호텔 찾아줘", ("숙소-종류-호텔",))
    assert second.text == "user: 호텔 찾아줘\nsys: 어디요?\nuser: 북쪽"
    assert second.state == ("숙소-종류-호텔", "숙소-지역-서울 북쪽")


# real data ------------------------------------------------------------------------------------------------------------

COUNTS = [
    ("nsmc", "nsmc", "test", {"negative": 25_000, "positive": 25_000}),
    ("klue", "klue-nli", "train", {"entailment": 720, "neutral": 720, "contradiction": 720}),
    ("klue", "klue-nli", "dev", {"entailment": 180, "neutral": 180, "contradiction": 180}),
    ("kornli", "kornli", "dev", {"entailment": 830, "neutral": 830, "contradiction": 830}),
    ("kornli", "kornli", "test", {"entailment": 1670, "neutral": 1670, "contradiction": 1670}),
    ("question_pair", "question-pair", "train", {"same": 4169, "different": 6136 - 4169}),
    ("question_pair", "question-pair", "dev", {"same": 432, "different": 682 - 432}),
    ("question_pair", "question-pair", "test", {"same": 508, "different": 758 - 508}),
]


@pytest.mark.parametrize("folder, name, split, counts", COUNTS)
def test_real_classes(folder, name, split, counts):
    loaded = load(find(name), split, needs(folder))
    assert collections.Counter(e.label for e in loaded.examples) == counts
    assert loaded.notes == []


SIZES = [
    ("klue", "klue-sts", "train", 416), ("klue", "klue-sts", "dev", 103), ("klue", "klue-ner", "train", 3600),
    ("klue", "klue-ner", "dev", 900), ("klue", "klue-dp", "train", 1600), ("klue", "klue-dp", "dev", 400),
    ("korsts", "korsts", "train", 5749), ("korsts", "korsts", "dev", 1500), ("korsts", "korsts", "test", 1379),
    ("hate_speech", "hate-speech", "train", 7896), ("hate_speech", "hate-speech", "dev", 471),
]  # fmt: skip


@pytest.mark.parametrize("folder, name, split, size", SIZES)
def test_real_sizes(folder, name, split, size):
    loaded = load(find(name), split, needs(folder))
    assert len(loaded.examples) == size and loaded.notes == []
    assert len({e.id for e in loaded.examples}) == size
    if name == "klue-sts":
        positive = {"train": 177, "dev": 43}[split]  # the file's binary label; the metric cuts the scores instead
        rows = json.loads(gzip.decompress((needs(folder) / f"klue/sts_{split}.json.gz").read_bytes()))
        assert sum(row["labels"]["binary-label"] for row in rows) == positive
        assert [row["labels"]["real-label"] for row in rows] == [e.label for e in loaded.examples]


def test_real_entities_are_what_the_comments_mark():
    """The sentence's comment marks entities as <text:TYPE>: an independent reading of the same file."""
    path = needs("klue") / "klue/ner_dev.tsv.gz"
    marked = {}
    for line in gzip.decompress(path.read_bytes()).decode().split("\n"):
        if line.startswith("## klue-ner"):
            name, _, text = line.removeprefix("## ").partition("\t")
            marked[name] = text
    for example in load(find("klue-ner"), "dev", path.parent).examples:
        rebuilt, kind = "", "O"
        for character, tag in zip(example.text, example.tags):
            if kind != "O" and not tag.startswith("I-"):
                rebuilt, kind = rebuilt + f":{kind}>", "O"
            if tag.startswith("B-"):
                rebuilt, kind = rebuilt + "<", tag[2:]
            rebuilt += character
        rebuilt += f":{kind}>" if kind != "O" else ""
        assert rebuilt == marked[example.id]
