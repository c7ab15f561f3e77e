"""BPE-dropout: the words' distribution by hand, the same text in other pieces, all draws from the seed."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gyebo.text.dropout import BpeDropoutTokenizer, Merges, drawn, merged
from tests.text.text_corpus import PROBES, SIZES, corpus, trained

A, B, C, AB, BC, ABC = range(6)


def pieces_of(words, table, rate, seed=3):
    symbols, stays = merged(np.array(words), Merges.of(table), rate, np.random.default_rng(seed))
    return [tuple(row[kept].tolist()) for row, kept in zip(symbols, stays)]


def frequencies(table, rate, draws=20_000):
    found = Counter(pieces_of([[A, B, C]] * draws, table, rate))
    return {pieces: count / draws for pieces, count in found.items()}


@pytest.mark.parametrize("p", [0.1, 0.4])
def test_a_chain_of_merges_stops_where_one_is_left_out(p):
    found = frequencies({(A, B): (0, AB), (AB, C): (1, ABC)}, p)
    expected = {(A, B, C): p, (AB, C): (1 - p) * p, (ABC,): (1 - p) ** 2}
    assert found == pytest.approx(expected, abs=4 * (0.25 / 20_000) ** 0.5)


@pytest.mark.parametrize("p", [0.1, 0.4])
def test_the_second_merge_has_its_turn_where_the_first_is_left_out(p):
    found = frequencies({(A, B): (0, AB), (B, C): (1, BC)}, p)
    expected = {(AB, C): 1 - p, (A, BC): p * (1 - p), (A, B, C): p**2}
    assert found == pytest.approx(expected, abs=4 * (0.25 / 20_000) ** 0.5)


def test_the_first_of_equal_pairs_merges_first():
    assert pieces_of([[A, A, A]], {(A, A): (0, B)}, 0.0) == [(B, A)]


def test_words_of_a_batch_do_not_touch_each_other():
    table = {(A, B): (1, AB), (B, C): (0, BC), (A, BC): (2, ABC)}
    assert pieces_of([[A, B, C], [C, A, B], [C, C, C], [B, C, A]], table, 0.0) == [(ABC,), (C, AB), (C, C, C), (BC, A)]


def by_hand(word, table, rate, random):
    """The algorithm as published, one word at a time."""
    word = list(word)
    while True:
        looks = [(table[pair], at) for at, pair in enumerate(zip(word, word[1:])) if pair in table and random.random() >= rate]
        if not looks:
            return tuple(word)
        (_, piece), at = min(looks)
        word[at : at + 2] = [piece]


@pytest.mark.parametrize("rate", [0.0, 0.06, 0.3])
def test_pieces_are_as_frequent_as_with_the_published_algorithm(rate):
    """Letters 0 to 2, all pairs of which merge, and some of what comes of it: each result's share of 20,000 draws."""
    table = {(a, b): (3 * a + b, 3 + 3 * a + b) for a in range(3) for b in range(3)}
    table |= {(3, 4): (9, 12), (5, 0): (10, 13), (0, 12): (11, 14)}
    word, draws, random = [0, 0, 0, 1, 2, 0, 0], 20_000, Random(0)
    expected = Counter(by_hand(word, table, rate, random) for _ in range(draws))
    found = Counter(pieces_of([word] * draws, table, rate))
    for pieces in expected | found:
        assert abs(expected[pieces] - found[pieces]) <= 5 * (2 * max(expected[pieces], 10)) ** 0.5


@pytest.mark.parametrize("rate", [0.0, 0.06, 0.3])
def test_one_word_alone_has_the_same_pieces(rate):
    """Exactly without dropout, else as often."""
    table = {(a, b): (3 * a + b, 3 + 3 * a + b) for a in range(3) for b in range(3)}
    table |= {(3, 4): (9, 12), (5, 0): (10, 13), (0, 12): (11, 14)}
    word, count, random = [0, 0, 0, 1, 2, 0, 0], 20_000, Random(1)
    expected = Counter(pieces_of([word] * count, table, rate))
    found = Counter(tuple(drawn(word, table, rate, iter(random.random, None))) for _ in range(count))
    for pieces in expected | found:
        assert abs(expected[pieces] - found[pieces]) <= 5 * (2 * max(expected[pieces], 10)) ** 0.5


def test_the_ids_of_a_text_follow_from_a_generator():
    tokenizer = trained("bpe")
    dropping, texts = BpeDropoutTokenizer(tokenizer, 0.3, ""), corpus()[:40]

    def ids(seed):
        return [dropping.encode_by(text, np.random.default_rng([seed, row])) for row, text in enumerate(texts)]

    assert ids(1) == ids(1) != ids(2)
    assert [tokenizer.decode(row) for row in ids(3)] == [tokenizer.decode(tokenizer.encode(text)) for text in texts]
    plain = BpeDropoutTokenizer(tokenizer, 0.0, "")
    assert [plain.encode_by(text, np.random.default_rng(0)) for text in texts] == tokenizer.encode_batch(texts)


@given(st.one_of(st.text(max_size=40), st.sampled_from(PROBES)))
def test_without_dropout_the_ids_are_the_tokenizers(text):
    tokenizer = trained("bpe")
    try:
        plain = tokenizer.encode(text)
    except ValueError:  # a lone surrogate
        with pytest.raises(ValueError, match="surrogate"):
            BpeDropoutTokenizer(tokenizer, 0.0, "").encode_batch([text])
        return
    assert BpeDropoutTokenizer(tokenizer, 0.0, "").encode_batch([text]) == [plain]


@given(st.sampled_from(PROBES), st.floats(0.05, 0.95))
def test_other_pieces_are_the_same_text(text, rate):
    tokenizer = trained("bpe")
    dropping = BpeDropoutTokenizer(tokenizer, rate, "x")
    assert tokenizer.decode(dropping.encode_batch([text])[0]) == tokenizer.decode(tokenizer.encode(text))
    assert dropping.encode(text) == tokenizer.encode(text)


def test_draws_follow_from_the_seed_and_go_on():
    texts = corpus()[:50]
    first, same, other = (BpeDropoutTokenizer(trained("bpe"), 0.5, seed) for seed in ("1", "1", "2"))
    drawn = first.encode_batch(texts)
    assert drawn == same.encode_batch(texts) != other.encode_batch(texts)
    assert drawn != first.encode_batch(texts)
    assert sum(map(len, drawn)) > sum(map(len, trained("bpe").encode_batch(texts)))


@pytest.mark.parametrize("kind", [kind for kind in SIZES if kind != "bpe"])
def test_other_kinds_are_refused(kind):
    with pytest.raises(ValueError, match=f"bpe_dropout needs a byte-level BPE tokenizer.*{kind}"):
        BpeDropoutTokenizer(trained(kind), 0.1, "")


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_is_a_share(rate):
    with pytest.raises(ValueError, match=r"at least 0 and below 1"):
        BpeDropoutTokenizer(trained("bpe"), rate, "")
