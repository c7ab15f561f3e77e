"""Character tags to pieces and back: every kind of tokenizer, hard texts, windows, KLUE's own files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.data.batches import IGNORE
from gyebo.tasks.kinds import tagging
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.task import Example
from tests.tasks.feature_texts import KINDS, LAYOUTS, TEXTS, published, tokenizer_of

LABELS = ("B-PS", "I-PS", "B-LC", "I-LC", "O")
KLUE = Path(__file__).parents[4] / "shared" / "data" / "klue"


def told(features, examples):
    """What a perfect model would answer: each label where it is, nonsense elsewhere; read back."""
    rows = [features.columns["labels"][row] for row in range(len(features))]
    return tagging.decode(features, examples, [[np.where(row == IGNORE, 0, row) for row in rows]], LABELS)


def tags_that_pieces_can_hold(text, tokenizer, draw):
    """Tags drawn piece by piece, so that no entity begins or ends inside one."""
    tags = [None] * len(text)
    kind = None  # of the entity that is open
    for first, last in tagging.own_characters(tokenizer.offsets(text)):
        shown = [place for place in range(first, last) if not text[place].isspace()]
        if not shown:
            continue
        kind, begins = draw(st.sampled_from([(None, False), ("PS", True), ("LC", True), (kind, False)]))
        for place in shown:
            tags[place] = "O" if kind is None else ("B-" if begins else "I-") + kind
            begins = False
    known = [place for place in range(len(text)) if tags[place] is not None]
    for place in range(len(text)):
        if tags[place] is None:
            before = [tags[other] for other in known if other < place][-1:]
            after = [tags[other] for other in known if other > place][:1]
            goes_on = before and after and after[0][0] == "I" and before[0][2:] == after[0][2:]
            tags[place] = after[0] if goes_on else "O"
    return tuple(tags)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=2), length=st.integers(4, 40), data=st.data())
def test_every_tag_that_pieces_can_hold_comes_back(kind, texts, length, data):
    tokenizer = tokenizer_of(kind)
    tags = [tags_that_pieces_can_hold(text, tokenizer, data.draw) for text in texts]
    examples = [Example(str(i), text, tags=own) for i, (text, own) in enumerate(zip(texts, tags))]
    features = encode("tagging", examples, tokenizer, LABELS, length)
    if not any(texts):
        return
    assert told(features, examples) == [list(example.tags) for example in examples]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=40, deadline=None)
@given(text=TEXTS, length=st.integers(4, 40))
def test_rows_hold_the_pieces_and_each_is_labelled_once(layout, text, length):
    tokenizer = tokenizer_of("bpe", layout)
    features = encode("tagging", [Example("a", text, tags=("O",) * len(text))], tokenizer, LABELS, length)
    batch = features.batch(np.arange(len(features)))
    assert batch["input_ids"].shape == batch["labels"].shape and batch["input_ids"].shape[1] <= length
    spaces = sum(text[a:b].isspace() for a, b in tagging.own_characters(tokenizer.offsets(text)) if a < b)
    pairs = zip(tagging.own_characters(tokenizer.offsets(text)), tokenizer.offsets(text))
    empty = [start for (start, end), (first, _) in pairs if start == end and text[first].isspace()]
    assert (batch["labels"] != IGNORE).sum() == len(tokenizer.encode(text)) - spaces - len(empty)
    roles = np.isin(batch["input_ids"], [id for role, id in tokenizer.role_ids.items() if role in ("cls", "sep", "pad")])
    assert (batch["labels"][roles] == IGNORE).all()
    first, last = (features.notes[name].values for name in ("first", "last"))
    assert sorted(place for a, b in zip(first, last) for place in range(a, b)) == list(range(len(text)))


def test_hand_made_pieces():
    text, tags = "나는 서울 역에", ("B-PS", "O", "O", "B-LC", "I-LC", "I-LC", "I-LC", "O")
    offsets = [(0, 2), (2, 4), (4, 5), (5, 6), (6, 8)]  # 나는| 서|울| |역에
    assert tagging.token_tags(text, tags, offsets) == ["B-PS", "B-LC", "I-LC", None, "I-LC"]
    back = tagging.character_tags(text, tagging.own_characters(offsets), ["O", "B-LC", "I-LC", "B-PS", "I-LC"])
    assert back == ["O", "O", "O", "B-LC", "I-LC", "I-LC", "I-LC", "I-LC"]  # the space's own B-PS is not read
    assert tagging.character_tags(text, tagging.own_characters(offsets), ["B-PS", "B-PS", "B-PS", "O", "I-LC"]) == [
        "B-PS", "I-PS", "O", "B-PS", "B-PS", "O", "I-LC", "I-LC",
    ]  # fmt: skip
    # A piece of KLUE's kind, an unknown word, spreads over its characters: B, then I.
    assert tagging.character_tags("찝찝이 딸", [(0, 3), (4, 5)], ["B-PS", "I-PS"]) == ["B-PS", "I-PS", "I-PS", "I-PS", "I-PS"]
    # Characters that no piece covers follow their neighbours.
    assert tagging.character_tags("가\u0000나", [(0, 1), (2, 3)], ["B-PS", "I-PS"]) == ["B-PS", "I-PS", "I-PS"]
    assert tagging.character_tags("가\u0000나", [(0, 1), (2, 3)], ["B-PS", "B-PS"]) == ["B-PS", "O", "B-PS"]
    # Bytes of one character in three pieces, the last with the next character.
    assert tagging.token_tags("가나", ("B-PS", "O"), [(0, 1), (0, 1), (0, 2)]) == ["B-PS", "I-PS", "O"]
    assert tagging.character_tags("가나", tagging.own_characters([(0, 1), (0, 1), (0, 2)]), ["B-PS", "B-LC", "O"]) == [
        "B-PS",
        "O",
    ]


def test_an_unknown_piece_covers_all_its_characters():
    tokenizer = tokenizer_of("char")
    text = "뷁뷁은"
    example = Example("a", text, tags=("B-PS", "I-PS", "O"))
    features = encode("tagging", [example], tokenizer, LABELS, 16)
    assert tokenizer.role_ids["unk"] in features.columns["input_ids"][0]
    assert told(features, [example]) == [["B-PS", "I-PS", "O"]]


def test_pieces_of_a_published_wordpiece(tmp_path):
    """KLUE's own examples of unknown words: the characters of an unknown token inherit its tag, the next token has its own."""
    tokenizer = published(tmp_path, ", 제 ##5 ##원 ##소 27 ##가")
    text = "베쏭이,제5원소\u0000 27가"
    tags = ("B-PS", "I-PS", "I-PS", "O", "B-LC", "I-LC", "I-LC", "I-LC", "O", "O", "B-PS", "I-PS", "O")
    features = encode("tagging", [Example("a", text, tags=tags)], tokenizer, LABELS, 32)
    pieces = [tokenizer.token(id) for id in features.columns["input_ids"][0]]
    assert pieces == "[CLS] [UNK] , 제 ##5 ##원 ##소 27 ##가 [SEP]".split()
    labels = [LABELS[label] if label != IGNORE else None for label in features.columns["labels"][0]]
    assert labels == [None, "B-PS", "O", "B-LC", "I-LC", "I-LC", "I-LC", "B-PS", "O", None]
    assert told(features, [Example("a", text)]) == [list(tags)]


def test_logits_are_read_in_the_window_with_most_context():
    tokenizer = tokenizer_of("byte", "gpt")
    text = "abcdefghij"
    features = encode("tagging", [Example("a", text)], tokenizer, LABELS, 4)
    assert len(features) == 4 and "labels" not in features.batch([0])
    logits = []
    for row in range(len(features)):
        scores = np.zeros((4, len(LABELS)), np.float32)
        scores[:, row] = 1.0  # window i says label i everywhere
        logits.append(scores)
    # Windows 0-3, 2-5, 4-7, 6-9: each place is read where the nearer border is farther, the earlier window of equals.
    numbers = [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    spread = tagging.decode(features, [Example("a", text)], [logits], LABELS)[0]
    assert spread == [LABELS[number] for number in numbers]


@pytest.mark.parametrize(
    "example, labels, message",
    [
        (Example("n", "가나", tags=("O",)), LABELS, "example n: 1 tags for 2 characters"),
        (Example("n", "가", tags=("B-XX",)), LABELS, "example n: label 'B-XX' is none of"),
        (Example("n", "가", tags=("B-PS",)), ("B-PS", "I-PS"), "needs the tag 'O'"),
    ],
)
def test_tags_that_are_refused(example, labels, message):
    with pytest.raises(ValueError, match=message):
        encode("tagging", [example], tokenizer_of(), labels, 16)


def test_other_mistakes_are_refused():
    with pytest.raises(ValueError, match="leaves 0 tokens"):
        encode("tagging", [Example("n", "가")], tokenizer_of(), LABELS, 2)
    one = encode("tagging", [Example("n", "딸과")], tokenizer_of("char"), LABELS, 3)  # one token a window is enough
    assert len(one) == 2
    with pytest.raises(ValueError, match="n2 has no label"):
        encode("tagging", [Example("n", "가", tags=("O",)), Example("n2", "가")], tokenizer_of(), LABELS, 16)
    features = encode("tagging", [Example("n", "가")], tokenizer_of(), LABELS, 16)
    with pytest.raises(ValueError, match="2 given for 1 rows"):
        tagging.decode(features, [Example("n", "가")], [[np.zeros(4), np.zeros(4)]], LABELS)


@pytest.mark.skipif(not (KLUE / "ner_dev.tsv.gz").is_file(), reason="KLUE's NER file is not on this machine")
def test_klue_sentences_come_back():
    """With pieces of single characters all tags come back; with larger ones all that pieces can hold."""
    examples = []
    with gzip.open(KLUE / "ner_dev.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        for block in file.read().split("\n\n")[:300]:
            lines = [line.split("\t") for line in block.split("\n") if line and not line.startswith("## ")]
            if lines:
                examples.append(Example(str(len(examples)), "".join(c for c, _ in lines), tags=tuple(t for _, t in lines)))
    labels = tuple(sorted({tag for example in examples for tag in example.tags}))
    for kind, exact in (("char", True), ("byte", True), ("bpe", False)):
        tokenizer = tokenizer_of(kind)
        features = encode("tagging", examples, tokenizer, labels, 64)
        rows = [features.columns["labels"][row] for row in range(len(features))]
        back = tagging.decode(features, examples, [[np.where(row == IGNORE, 0, row) for row in rows]], labels)
        wrong = 0
        for example, tags in zip(examples, back):
            pairs = [(a, b) for c, a, b in zip(example.text, example.tags, tags) if not c.isspace()]
            wrong += sum(a != b for a, b in pairs)
        total = sum(len(example.text) for example in examples)
        assert total > 10_000
        assert wrong == 0 if exact else wrong < 0.02 * total
