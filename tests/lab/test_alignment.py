"""The pairs are what the experiment says they are, no test pair is learned, and a tagger gives one label a token."""

import random
from itertools import islice

import pytest
import torch

from gyebo.lab import alignment
from gyebo.lab.alignment import END, MODELS, PAD, SENTENCE, START, Data, Tagger, Translator, padded, pairs


def test_the_sentence_of_the_title_is_one_of_the_pairs():
    """Its choices one after the other, by the generator of the training pairs."""

    optional = iter([0.9, 0.9, 0.1])  # no time, no place, an adverb

    class Told(random.Random):
        def choice(self, options):
            return options[0]

        def sample(self, population, k):
            return list(population)[:k]

        def random(self):
            return next(optional)

    assert next(pairs(Told())) == SENTENCE


def test_a_source_has_one_translation():
    found = list(islice(pairs(random.Random(0)), 20_000))
    assert len({source for source, _ in found}) == len(set(found))
    more = [len(target.split()) > len(source.split()) for source, target in found]
    assert 0.5 < sum(more) / len(more) < 1


def test_what_is_tested_is_not_learned(monkeypatch):
    monkeypatch.setattr(alignment, "TRAINING", 2000)
    found = alignment.data(3)
    sources = {source for source, _ in found.training}
    assert len(found.training) == 2000 and SENTENCE[0] not in sources
    assert not sources & {source for source, _ in found.test}
    assert found.text([*found.ids(SENTENCE[1]), END, *found.ids("나는")]) == SENTENCE[1]


def test_a_tagger_gives_one_label_a_token_whatever_the_batch():
    torch.manual_seed(0)
    model = Tagger(20).eval()
    sources = [[3, 4, 5, 6, 7], [8, 9], [10, 11, 12]]
    together = model.answers(sources)
    assert [len(row) for row in together] == [5, 2, 3]
    assert together == [model.answers([source])[0] for source in sources]


def test_the_labels_of_a_tagger_are_the_words_in_their_order():
    """A longer translation is cut, a shorter one is followed by "no word"; padding is not learned."""
    model, wanted = Tagger(9), [[3, 4], [5, END], [6]]
    logits = torch.full((3, 2, 9), -50.0)
    for row, labels in enumerate(wanted):
        for place, label in enumerate(labels):
            logits[row, place, label] = 50.0
    model.forward = lambda ids: logits
    source, target = padded([[7, 8], [7, 8], [7]]), padded([[3, 4, 5], [5], [6, 7]])
    assert model.loss(source, target).item() < 1e-6
    logits[0, 0, 4] = 100.0
    assert model.loss(source, target).item() > 1


def test_the_loss_of_a_translator_is_that_of_its_words_and_its_end():
    torch.manual_seed(0)
    model = Translator(12, "general").eval()
    source, target = padded([[3, 4, 5], [6, 7]]), padded([[8], [9, 10, 11]])
    each = []
    for words, said in (([3, 4, 5], [8]), ([6, 7], [9, 10, 11])):
        logits = model.model(torch.tensor([words]), None, torch.tensor([[START, *said]])).logits[0]
        each += (-logits.log_softmax(-1)).gather(1, torch.tensor([*said, END])[:, None]).squeeze(1).tolist()
    assert model.loss(source, target).item() == pytest.approx(sum(each) / 6, rel=1e-5)
    assert PAD not in model.answers([[3, 4]])[0]


def test_the_scores_are_those_of_the_answers():
    pair = ("나는 너를 사랑해", "I love you"), ("너는 나를 매우 사랑해", "you love me so much")
    words = sorted({word for one in (*pair, SENTENCE) for text in one for word in text.split()})
    found = Data([], list(pair), {word: id for id, word in enumerate(["<pad>", "<s>", "</s>", *words])})

    class Answers:
        def answers(self, sources):
            assert sources[0] == found.ids(pair[0][0])
            return [[*found.ids("I love you"), END], found.ids("you love me so"), found.ids(SENTENCE[1])]

    result = alignment.scores(Answers(), found)
    assert (result["exact"], result["wrong_length"], result["says"]) == (0.5, 0.5, SENTENCE[1])
    assert result["exact_by_words_more"] == {0: 1.0, 1: 0.0}
    assert 0.7 < result["bleu"] < 1


def test_all_are_trained_and_drawn(tmp_path, monkeypatch):
    for name, value in {"STEPS": 3, "TRAINING": 200, "TEST": 20, "BATCH": 8, "WIDTH": 16, "WARMUP": 1}.items():
        monkeypatch.setattr(alignment, name, value)
    result = alignment.run(tmp_path, [0, 1], lambda line: None)
    assert list(result["models"]) == list(MODELS) and all(len(found) == 2 for found in result["models"].values())
    assert not result["holds"]
    assert (tmp_path / "alignment.png").read_bytes().startswith(b"\x89PNG")
