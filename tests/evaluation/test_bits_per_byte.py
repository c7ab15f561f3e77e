"""Bits per byte, computed by hand and by a naive loop, through the real data path."""

import math
import unicodedata

import numpy as np
import pytest
import torch

from gyebo.config.run import DataOptions
from gyebo.data.prepare import open_corpus, prepare
from gyebo.evaluation import evaluate_text, held_out_rows, nats_by_document
from gyebo.evaluation.likelihood import some_rows
from gyebo.models.family import FAMILIES
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.nn.outputs import Encoded
from gyebo.text.roles import roles_of
from gyebo.text.training import train_tokenizer
from tests.conftest import sentences


class Bigram(torch.nn.Module):
    """A model whose every probability is known: p(next | last) is row `last` of a table [V, V]."""

    any_memory = False

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(torch.as_tensor(table, dtype=torch.float64))
        self.config = Gpt2Config(vocab_size=len(table), context=1024)

    def encode(self, input_ids, document_ids=None):
        return Encoded(torch.nn.functional.one_hot(input_ids, len(self.table)).double())

    def output_layer(self, hidden, head="lm"):
        return hidden, self.table.log().T, None


def uniform(vocab_size):
    return Bigram(torch.full((vocab_size, vocab_size), 1 / vocab_size))


def random_bigram(vocab_size, seed=0):
    table = torch.rand(vocab_size, vocab_size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3 + 1e-3
    return Bigram(table / table.sum(1, keepdim=True))


@pytest.fixture(scope="module")
def characters():
    """A character tokenizer that knows 가, 나, a and b."""
    return train_tokenizer(["가나ab"], "char")


def scored_text(tmp_path, text, tokenizer, context=16, **roles):
    """The rows of a file whose every line is a held-out document."""
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    corpus = open_corpus(DataOptions(corpus=[str(path)]), hold_out_all=True)
    frame = {"start": tokenizer.role_ids["bos"], "end": tokenizer.role_ids["eos"]} | roles
    return held_out_rows(prepare(corpus, tokenizer).valid, context, **frame, pad=tokenizer.role_ids["pad"])


def ids_of(tokenizer, *pieces):
    return [tokenizer.role_ids[p] if p in tokenizer.role_ids else tokenizer.encode(p)[0] for p in pieces]


def bits(model, ids):
    """-log2 of a sequence's probability given its first id."""
    return -sum(math.log2(float(model.table.detach()[a, b])) for a, b in zip(ids, ids[1:]))


def test_every_byte_is_charged_and_the_end_too(tmp_path, characters):
    rows = scored_text(tmp_path, "가a\n나\n", characters)
    model = random_bigram(characters.vocab_size)
    total = bits(model, ids_of(characters, "bos", "가", "a", "eos")) + bits(model, ids_of(characters, "bos", "나", "eos"))
    found = evaluate_text(model, rows).metrics
    assert found["bits_per_byte"] == pytest.approx(total / (3 + 1 + 3), rel=1e-6)
    assert found["bits_per_character"] == pytest.approx(total / 3, rel=1e-6)
    assert found["perplexity"] == pytest.approx(2 ** (total / 5), rel=1e-6)  # three characters and two ends
    assert (found["tokens"], found["bytes"], found["documents"]) == (5, 7, 2)


def test_a_uniform_model_costs_log2_of_the_vocabulary_a_token(tmp_path, characters):
    found = evaluate_text(uniform(characters.vocab_size), scored_text(tmp_path, "abab\n", characters)).metrics
    assert found["bits_per_byte"] == pytest.approx(5 * math.log2(characters.vocab_size) / 4, rel=1e-6)
    assert found["perplexity"] == pytest.approx(characters.vocab_size, rel=1e-6)


def test_an_unknown_piece_costs_its_probability_and_8_bits_a_byte(tmp_path, characters):
    rows = scored_text(tmp_path, "a다b😀\n", characters)  # 다 and the face are unknown: 3 and 4 bytes
    model = random_bigram(characters.vocab_size)
    total = bits(model, ids_of(characters, "bos", "a", "unk", "b", "unk", "eos")) + 8 * (3 + 4)
    found = evaluate_text(model, rows).metrics
    assert found["bits_per_byte"] == pytest.approx(total / (1 + 3 + 1 + 4), rel=1e-6)
    assert found["bits_per_character"] == pytest.approx(total / 4, rel=1e-6)
    assert found["bytes"] == 9


def test_syllables_are_counted_to_the_last_one(tmp_path, characters):
    assert scored_text(tmp_path, "a가힣b\n", characters).split.documents["syllables"].tolist() == [2]


def test_bytes_are_counted_after_nfc(tmp_path, characters):
    apart = unicodedata.normalize("NFD", "가나")
    assert len(apart.encode()) == 12
    found = evaluate_text(uniform(characters.vocab_size), scored_text(tmp_path, apart + "\n", characters)).metrics
    assert (found["bytes"], found["tokens"]) == (6, 3)
    assert found["bits_per_character"] == pytest.approx(3 * math.log2(characters.vocab_size) / 2, rel=1e-6)


@pytest.mark.parametrize("missing", [("start",), ("end",), ("start", "end")])
def test_a_model_without_roles(tmp_path, characters, missing):
    """The first token costs log2 V where there is no start; an end that isn't there is not charged."""
    rows = scored_text(tmp_path, "가ab\nb\n", characters, **dict.fromkeys(missing))
    model = random_bigram(characters.vocab_size)
    total = 0.0
    for document in (["가", "a", "b"], ["b"]):
        total += math.log2(characters.vocab_size) if "start" in missing else 0
        total += bits(model, ids_of(characters, *([] if "start" in missing else ["bos"]), *document))
        total += 0 if "end" in missing else bits(model, ids_of(characters, document[-1], "eos"))
    charged = 4 + (0 if "end" in missing else 2)
    found = evaluate_text(model, rows).metrics
    assert found["bits_per_byte"] == pytest.approx(total / 6, rel=1e-6)
    assert found["perplexity"] == pytest.approx(2 ** (total / charged), rel=1e-6)
    assert (found["tokens"], found["bytes"], found["documents"]) == (charged, 6, 2)


# -- windows: against a loop that runs the model once for every token ------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(sentences(200), "bpe", 330).for_family(roles_of(FAMILIES["gpt2"]))


def model_of(tokenizer, context=16):
    torch.manual_seed(3)
    ids = {f"{role}_id": tokenizer.role_ids[role] for role in ("pad", "bos", "eos")}
    config = Gpt2Config(vocab_size=tokenizer.vocab_size, context=context, width=32, layers=2, heads=2, init_std=0.3, **ids)
    return Gpt2(config).eval()


def naive_bits(model, sequence, context):
    """Each token of [start] + document + [end] alone, after as much context as its window of half overlap gives it."""
    total, half = 0.0, context // 2
    for place in range(1, len(sequence)):
        position = place - 1  # where the model stands when it predicts the token
        window = 0 if position < context else (position - context) // half + 1
        given = torch.tensor([sequence[window * half : place]])
        assert given.shape[1] <= context and (place < context or given.shape[1] > context - half)
        with torch.no_grad():
            total -= float(model(given).logits[0, -1].double().log_softmax(-1)[sequence[place]]) / math.log(2)
    return total


@pytest.mark.parametrize("context", [16, 13, 7])
def test_long_documents_in_windows_with_half_overlap(tmp_path, tokenizer, context):
    texts = [" ".join(sentences(5, seed)) for seed in (1, 2)] + ["하늘", "the film was good", sentences(1, 5)[0]]
    rows = scored_text(tmp_path, "\n".join(texts), tokenizer, context)
    model = model_of(tokenizer)
    start, end = tokenizer.role_ids["bos"], tokenizer.role_ids["eos"]
    expected = [naive_bits(model, [start, *tokenizer.encode(text), end], context) for text in texts]
    nats, scored = nats_by_document(model, rows)
    assert scored.tolist() == [len(tokenizer.encode(text)) + 1 for text in texts]  # each token once
    assert max(scored) > 5 * context
    np.testing.assert_allclose(nats / math.log(2), expected, rtol=1e-5)
    found = evaluate_text(model, rows).metrics
    assert found["bits_per_byte"] == pytest.approx(sum(expected) / sum(len(t.encode()) for t in texts), rel=1e-5)


def test_windows_of_a_model_without_roles(tmp_path, tokenizer):
    text = " ".join(sentences(5, 1))
    rows = scored_text(tmp_path, text, tokenizer, 16, start=None, end=None)
    model = model_of(tokenizer)
    expected = naive_bits(model, tokenizer.encode(text), 16) + math.log2(tokenizer.vocab_size)
    assert evaluate_text(model, rows).metrics["bits_per_byte"] == pytest.approx(expected / len(text.encode()), rel=1e-5)


def test_neighbours_in_a_row_change_nothing(tmp_path, tokenizer):
    texts = sentences(30, 9)
    model = model_of(tokenizer, 64)
    together, scored = nats_by_document(model, scored_text(tmp_path, "\n".join(texts), tokenizer, 64))
    for number in (0, 7, 29):
        alone, _ = nats_by_document(model, scored_text(tmp_path, texts[number], tokenizer, 64))
        assert alone[0] == pytest.approx(together[number], rel=1e-5)
    assert len(texts) == len(scored)


def test_the_size_of_a_batch_changes_nothing(tmp_path, tokenizer):
    rows = scored_text(tmp_path, "\n".join(sentences(60, 4)), tokenizer, 32)
    model = model_of(tokenizer, 32)
    one, counts = nats_by_document(model, rows, batch_rows=1)
    for batch_rows in (5, 64):
        nats, scored = nats_by_document(model, rows, batch_rows=batch_rows)
        np.testing.assert_allclose(nats, one, rtol=1e-5)
        assert (scored == counts).all()


def test_families_copies_of_a_tokenizer_share_text_and_figure(tmp_path, characters):
    found = []
    for family in (family for family in FAMILIES.values() if {"bos", "eos"} <= set(family.tokens)):
        copy = characters.for_family(roles_of(family))
        rows = scored_text(tmp_path, "가a나\nb다\n", copy)
        found.append((rows.split.folder, evaluate_text(uniform(copy.vocab_size), rows).metrics))
    assert len(found) > 1 and all(each == found[0] for each in found)


def test_evaluation_touches_no_global_generator(tmp_path, tokenizer):
    rows = scored_text(tmp_path, "\n".join(sentences(20)), tokenizer, 16)
    model = model_of(tokenizer)
    torch.manual_seed(5)
    np.random.seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    evaluate_text(model, rows)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_part_of_the_rows_is_always_the_same_part_and_counts_in_part(tmp_path, tokenizer):
    rows = scored_text(tmp_path, "\n".join(sentences(300, 6)), tokenizer, 32)
    numbers = some_rows(rows, 400)
    assert numbers == some_rows(rows, 400) and len(set(numbers)) == len(numbers) == round(400 / rows.plan.mean_tokens)
    assert some_rows(rows, 10**9) == list(range(len(rows.plan)))
    part = evaluate_text(uniform(tokenizer.vocab_size), rows, tokens=400).metrics
    assert part["tokens"] == sum(int(rows.plan.row(n)[:, 2].sum() - rows.plan.row(n)[:, 3].sum()) for n in numbers)
    table, share = rows.split.documents, np.zeros(len(rows.split))
    for n in numbers:
        for document, _, size, seen, _ in rows.plan.row(n):
            share[document] += (size - seen) / (table["tokens"][document] + 1)
    assert part["bytes"] == round(float((share * table["bytes"]).sum())) and part["documents"] == (share > 0).sum()
    expected = part["tokens"] * math.log2(tokenizer.vocab_size) / (share * table["bytes"]).sum()
    assert part["bits_per_byte"] == pytest.approx(expected, rel=1e-6)
    by_character = part["bits_per_character"] * (share * table["characters"]).sum()
    assert by_character == pytest.approx(part["bits_per_byte"] * (share * table["bytes"]).sum(), rel=1e-6)
