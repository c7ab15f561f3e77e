"""Words as pieces, heads as labels, and the best tree against all trees."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.data.batches import IGNORE
from gyebo.tasks.kinds import dependency
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.task import Example
from tests.tasks.feature_texts import KINDS, LAYOUTS, TEXTS, tokenizer_of

LABELS = ("NP", "VP", "NP_SBJ")
KLUE = Path(__file__).parents[4] / "shared" / "data" / "klue"


def sentence(words, heads=None, id="s"):
    heads = (*range(2, len(words) + 1), 0) if heads is None else heads
    return Example(id, words=tuple(words), heads=tuple(heads), relations=tuple(LABELS[i % 3] for i in range(len(words))))


# -- trees -------------------------------------------------------------------------------------------------------------


def is_tree(heads):
    """One root word, and every word reaches the root."""
    for word in range(1, len(heads) + 1):
        seen = set()
        while word:
            if word in seen:
                return False
            seen.add(word)
            word = heads[word - 1]
    return list(heads).count(0) == 1


def all_trees(words):
    return [heads for heads in itertools.product(range(words + 1), repeat=words) if is_tree(heads)]


TREES = {words: all_trees(words) for words in range(1, 6)}


def test_the_number_of_trees_is_cayleys():
    assert [len(TREES[n]) for n in TREES] == [n ** (n - 1) for n in TREES]


def total(scores, heads):
    return sum(scores[word, head] for word, head in enumerate(heads))


@pytest.mark.parametrize("words", TREES)
def test_the_best_tree_is_the_best_of_all_trees(words):
    rng = np.random.default_rng(words)
    for trial in range(250):
        # Few values make ties and cycles; wide ones try the cost of a second root.
        shape = (words, words + 1)
        scores = rng.integers(-3, 4, shape).astype(float) if trial % 2 else rng.normal(0, 10 ** (trial % 5), shape)
        if trial % 5 == 0:
            scores[:, 0] += 100  # every word would be a root
        heads = dependency.best_tree(scores).tolist()
        assert is_tree(heads)
        assert total(scores, heads) == pytest.approx(max(total(scores, tree) for tree in TREES[words]))


@pytest.mark.parametrize("words", [1, 2, 3])
def test_all_small_graphs(words):
    for values in itertools.product((0.0, 1.0), repeat=words * words if words == 3 else words * (words + 1)):
        if words == 3:  # every graph over the 9 edges that are no self-loops
            scores = np.zeros((3, 4))
            scores[~np.eye(3, 4, 1, dtype=bool)] = values
        else:
            scores = np.array(values).reshape(words, words + 1)
        heads = dependency.best_tree(scores).tolist()
        assert is_tree(heads)
        possible = [sum(scores[w, h] for w, h in enumerate(tree)) for tree in TREES[words]]
        assert total(scores, heads) == max(possible)


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 40), st.integers(0, 2**32 - 1))
def test_long_sentences_give_trees_no_worse_than_a_known_one(words, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(words)
    gold = np.zeros(words, int)
    for place in range(1, words):
        gold[order[place]] = order[rng.integers(place)] + 1
    scores = rng.normal(size=(words, words + 1))
    heads = dependency.best_tree(scores)
    assert is_tree(heads.tolist()) and total(scores, heads) >= total(scores, gold) - 1e-9
    scores[np.arange(words), gold] += 50  # now no other tree comes near
    assert dependency.best_tree(scores).tolist() == gold.tolist()


def test_a_word_as_its_own_head_is_not_read():
    scores = np.array([[0.0, -np.inf, 2.0], [1.0, 3.0, np.nan]])
    assert dependency.best_tree(scores).tolist() == [0, 1]
    with pytest.raises(ValueError, match="infinite or not a number"):
        dependency.best_tree(np.array([[np.inf, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"shape \(2, 2\); 2 words need a score for 3 heads"):
        dependency.best_tree(np.zeros((2, 2)))
    assert dependency.best_tree(np.zeros((0, 1))).tolist() == []


def test_relations_are_those_of_the_head():
    arcs = np.array([[0.0, 0.0, 5.0], [5.0, 0.0, 0.0]])
    relations = np.zeros((2, 3, 3))
    relations[0, 2, 1] = relations[1, 0, 2] = 1.0
    relations[0, 0, 0] = relations[1, 1, 0] = 9.0
    heads, names = dependency.parse(arcs, relations)
    assert heads.tolist() == [2, 0] and names.tolist() == [1, 2]


# -- words and pieces --------------------------------------------------------------------------------------------------

WORDS = st.lists(TEXTS.map(lambda text: "".join(text.split())).filter(bool), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(words=WORDS)
def test_pieces_of_a_word_spell_it(kind, words):
    tokenizer = tokenizer_of(kind)
    text = " ".join(words)
    offsets = tokenizer.offsets(text)
    pieces = dependency.word_tokens(words, offsets)
    assert len(pieces) == len(words)
    start = 0
    for word, (first, last) in zip(words, pieces):
        assert first <= last
        assert offsets[first][0] <= start < offsets[first][1]
        assert offsets[last][0] < start + len(word) <= offsets[last][1]
        assert first == 0 or offsets[first - 1][1] <= start or offsets[first - 1][0] < start
        start += len(word) + 1
    if kind != "char" and not any("\u0300" <= char <= "\u036f" or "\u1100" <= char <= "\u11ff" for char in text):
        spelled = [b"".join(map(tokenizer.piece_bytes, tokenizer.encode(text)[a : b + 1])).decode().strip() for a, b in pieces]
        if all(tokenizer.normalize(text)[i] == text[i] for i in range(len(text))):
            assert [s.split() for s in spelled] == [w.split() for w in words]


def test_a_word_that_the_tokenizer_drops_takes_the_piece_at_its_place():
    assert dependency.word_tokens(["가", "\u200b", "나"], [(0, 1), (3, 5)]) == [(0, 0), (1, 1), (1, 1)]
    assert dependency.word_tokens(["가", "\u200b"], [(0, 1)]) == [(0, 0), (0, 0)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_words(layout):
    tokenizer = tokenizer_of("bpe", layout)
    examples = [sentence("경찰은 딸과 비틀즈가".split(), (3, 3, 0), "a"), sentence(["불렀다"], (0,), "b")]
    features = encode("dependency", examples, tokenizer, LABELS, 64)
    batch = features.batch([0, 1])
    assert batch["word_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["heads"].tolist() == [[3, 3, 0], [0, IGNORE, IGNORE]]
    assert batch["relations"].tolist() == [[0, 1, 2], [0, IGNORE, IGNORE]]
    for row, example in enumerate(examples):
        for number, word in enumerate(example.words):
            first, last = batch["word_first"][row, number], batch["word_last"][row, number]
            assert tokenizer.decode(batch["input_ids"][row, first : last + 1]).strip() == word
    assert (batch["word_first"][1, 1:] == 0).all()
    parses = [(np.array([3, 3, 0]), np.array([0, 1, 2])), (np.array([0]), np.array([0]))]
    assert dependency.trees(features, parses, examples, LABELS) == [(e.heads, e.relations) for e in examples]
    assert "heads" not in encode("dependency", [Example("x", words=("가",))], tokenizer, LABELS, 64).batch([0])


def test_a_sentence_that_is_too_long_keeps_the_words_that_fit():
    tokenizer = tokenizer_of("byte")
    example = sentence(["ab", "cd", "ef", "gh"], (2, 4, 2, 0))
    features = encode("dependency", [example, sentence(["a"])], tokenizer, LABELS, 9)  # 7 beside the roles: ab_cd, not ef
    batch = features.batch([0])
    assert features.too_long == 1
    assert tokenizer.decode(batch["input_ids"][0]) == "ab cd"
    assert batch["heads"].tolist() == [[2, IGNORE]] and batch["relations"].tolist() == [[0, IGNORE]]
    parses = [(np.array([2, 0]), np.array([0, 1])), (np.array([0]), np.array([0]))]
    heads, names = dependency.trees(features, parses, [example, sentence(["a"])], LABELS)[0]
    assert heads == (2, 0, 2, 3) and names == ("NP", "VP", "VP", "VP") and is_tree(heads)
    features = encode("dependency", [sentence(["a", "b"])], tokenizer, LABELS, 3)  # one token is enough
    assert features.batch([0])["word_first"].shape == (1, 1)
    features = encode("dependency", [sentence(["abcdefgh", "i"])], tokenizer, LABELS, 6)
    assert features.batch([0])["word_first"].shape == (1, 0) and features.batch([0])["input_ids"].shape == (1, 2)
    none = np.zeros(0, int)
    assert dependency.trees(features, [(none, none)], [sentence(["abcdefgh", "i"])], LABELS)[0] == ((0, 1), ("NP", "NP"))


@pytest.mark.parametrize(
    "example, message",
    [
        (Example("d", "text only"), "example d: no words"),
        (Example("d", words=("a", "")), "example d: word 2 is empty"),
        (Example("d", words=("a", "b"), heads=(2,), relations=("NP",)), "2 words, 1 heads, 1 relations"),
        (Example("d", words=("a", "b"), heads=(3, 0), relations=("NP", "NP")), "a head .* 0 to 2"),
        (Example("d", words=("a",), heads=(0,), relations=("XX",)), "label 'XX' is none of NP"),
    ],
)
def test_sentences_that_are_refused(example, message):
    with pytest.raises(ValueError, match=message):
        encode("dependency", [example], tokenizer_of(), LABELS, 16)


@pytest.mark.skipif(not (KLUE / "dp_dev.tsv.gz").is_file(), reason="KLUE's DP file is not on this machine")
def test_klue_words_are_found_and_its_trees_come_back():
    examples = []
    with gzip.open(KLUE / "dp_dev.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        for block in file.read().split("\n\n"):
            rows = [line.split("\t") for line in block.split("\n") if line and not line.startswith("##")]
            if rows:
                _, words, _, _, heads, names = zip(*(row[:6] for row in rows))
                examples.append(Example(str(len(examples)), words=words, heads=tuple(map(int, heads)), relations=names))
    labels = tuple(sorted({name for example in examples for name in example.relations}))
    tokenizer = tokenizer_of()
    features = encode("dependency", examples, tokenizer, labels, 512)
    assert len(examples) == 400 and features.too_long == 0
    parses = []
    for row, example in enumerate(examples):
        ids = features.columns["input_ids"][row]
        for word, first, last in zip(example.words, features.columns["word_first"][row], features.columns["word_last"][row]):
            assert tokenizer.decode(ids[first : last + 1]).strip() == word
        size = len(example.words)
        arcs, names = np.zeros((size, size + 1)), np.zeros((size, size + 1, len(labels)))
        places = np.arange(size)
        heads = features.columns["heads"][row]
        arcs[places, heads] = 1.0
        names[places, heads, features.columns["relations"][row]] = 1.0
        parses.append(dependency.parse(arcs, names))
    assert dependency.trees(features, parses, examples, labels) == [(e.heads, e.relations) for e in examples]
