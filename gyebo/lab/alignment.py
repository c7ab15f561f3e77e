"""One label a token can't translate: "나는 너를 매우 사랑해" has four words, "I love you so much" five, in another order.

Three models learn the same sentence pairs, Korean (subject, time, place, object, adverb, verb) and English (subject, verb,
object, adverb, place, time), which are built from the words of the world:

| model | what it emits |
| --- | --- |
| tagger: a bidirectional GRU | for each Korean word one English word, or none: label i is word i of the translation |
| Seq2seq without attention | a translation of any length, from a vector of fixed width |
| Seq2seq with attention | a translation of any length, each word with a look at all Korean words |

All encoders have one shape. The pairs have a right answer each, so a model could get all of them right. The test pairs and
the sentence of the title are not among the training pairs.

Letters: B pairs of a batch, T words of the longest, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from gyebo.figures.lab import lines
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.models.seq2seq import Seq2seq, Seq2seqConfig
from gyebo.nn.ragged import ragged_layout
from gyebo.nn.recurrent import read, time_steps
from gyebo.tasks.metrics.bleu import bleu_tokenized
from gyebo.tasks.task import Example
from gyebo.training.schedule import learning_rate
from gyebo.world import english, korean, lexicon

CLAIM = 'one label a token cannot turn "나는 너를 매우 사랑해" into "I love you so much"; an encoder-decoder with attention can'
SOURCE = "lecture notes; Sutskever et al. 2014; Bahdanau et al. 2014"

SENTENCE = ("나는 너를 매우 사랑해", "I love you so much")
TRAINING, TEST, STEPS, BATCH, RATE, WARMUP, WIDTH, LONGEST = 30_000, 500, 600, 128, 5e-3, 50, 96, 32
PAD, START, END = range(3)  # ids; END is also the label "no word" of the tagger

Pair = tuple[str, str]

_PEOPLE = (("나", "I", "me"), ("너", "you", "you"), ("우리", "we", "us"))  # Korean, English as subject and as object
_VERBS = (("사랑하다", "love"), ("좋아하다", "like"), *lexicon.DEEDS)
_ADVERBS = (("매우", "so much"), ("늘", "all the time"), ("가끔", "now and then"), ("몰래", "in secret"), ("다시", "again"))
_TIMES = (("아침에", "in the morning"), ("저녁에", "in the evening"), ("밤에", "at night"), ("날마다", "every day"))


def pairs(rng: random.Random) -> Iterator[Pair]:
    """Sentence pairs without end. Time, place and adverb are there half of the time each."""
    names = [(ko, en, en) for ko, en in (*lexicon.WOMEN, *lexicon.MEN)]
    while True:
        subject, other = rng.choice([rng.sample(_PEOPLE, 2), [rng.choice(names), rng.choice(_PEOPLE)], rng.sample(names, 2)])
        verb, time, place = rng.choice(_VERBS), rng.choice(_TIMES), rng.choice(lexicon.PLACES)
        adverb = rng.choice(_ADVERBS)
        with_time, with_place, with_adverb = (rng.random() < 0.5 for _ in range(3))
        irregular = lexicon.IRREGULAR.get(verb[0].rpartition(" ")[2], "")
        source = [
            korean.particle(subject[0], "은"),
            *([time[0]] if with_time else []),
            *([korean.particle(place[0], "에서")] if with_place else []),
            korean.particle(other[0], "을"),
            *([adverb[0]] if with_adverb else []),
            korean.conjugate(verb[0], "casual", irregular),
        ]
        target = [
            subject[1],
            verb[1] if subject in _PEOPLE else english.conjugate(verb[1], "third"),
            other[2],
            *([adverb[1]] if with_adverb else []),
            *([f"at the {place[1]}"] if with_place else []),
            *([time[1]] if with_time else []),
        ]
        yield " ".join(source), " ".join(target)


@dataclass(frozen=True)
class Data:
    """Training and test pairs, and the ids of all words, Korean and English."""

    training: list[Pair]
    test: list[Pair]
    known: dict[str, int]

    def ids(self, text: str) -> list[int]:
        """The ids of a text's words; KeyError for an unknown one."""
        return [self.known[word] for word in text.split()]

    def text(self, ids: Sequence[int]) -> str:
        """The words of ids up to the first END."""
        words = list(self.known)
        return " ".join(words[id] for id in takewhile(lambda id: id != END, ids))


def data(seed: int = 0) -> Data:
    """The pairs of a seed: no test pair, and not `SENTENCE`, is a training pair."""
    found = pairs(random.Random(f"gyebo alignment {seed}"))
    test = list(dict.fromkeys(next(found) for _ in range(TEST)))
    left_out = {*(source for source, _ in test), SENTENCE[0]}
    training: list[Pair] = []
    while len(training) < TRAINING:
        if (pair := next(found))[0] not in left_out:
            training.append(pair)
    words = sorted({word for pair in (*training, *test, SENTENCE) for text in pair for word in text.split()})
    return Data(training, test, {word: id for id, word in enumerate(["<pad>", "<s>", "</s>", *words])})


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as [B, T], PAD behind each."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


class Tagger(nn.Module):
    """A bidirectional GRU with an output layer at every token; its encoder is that of `Seq2seq`."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.layer = nn.GRU(WIDTH, WIDTH, bidirectional=True)
        self.output = nn.Linear(2 * WIDTH, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the label of each token: [B, T] -> [B, T, V], anything at padding."""
        layout = ragged_layout(ids.shape[:2], ids.device, attention_mask=ids != PAD)
        rows, _ = read(self.layer, layout.gather(self.embedding(ids)), time_steps(layout))
        return layout.scatter(self.output(rows))

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the labels: word i of the target [B, U], END behind its last one; longer targets are cut."""
        labels = torch.full_like(source, END)
        shared = min(source.shape[1], target.shape[1])
        labels[:, :shared] = target[:, :shared].where(target[:, :shared] != PAD, END)
        return cross_entropy(self(source)[source != PAD], labels[source != PAD])

    def answers(self, sources: Sequence[Sequence[int]]) -> list[list[int]]:
        """The most probable labels of each source."""
        found = self(padded(sources)).argmax(2).tolist()
        return [row[: len(source)] for row, source in zip(found, sources)]


class Translator(nn.Module):
    """A `Seq2seq` with the functions of `Tagger`."""

    def __init__(self, vocabulary: int, attention: str) -> None:
        super().__init__()
        ids: dict[str, Any] = {"pad_id": PAD, "bos_id": START, "eos_id": END}
        shape = Seq2seqConfig(vocabulary, LONGEST, WIDTH, bidirectional=True, attention=attention, init_std=WIDTH**-0.5, **ids)
        self.model = Seq2seq(shape)

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the target's words and of its END."""
        before = pad(target, (1, 0), value=START)
        labels = pad(target, (0, 1), value=PAD)
        labels = labels.scatter(1, (target != PAD).sum(1, keepdim=True), END)
        logits = self.model(source, source != PAD, before, labels != PAD).logits
        return cross_entropy(logits[labels != PAD], labels[labels != PAD])

    def answers(self, sources: Sequence[Sequence[int]]) -> list[list[int]]:
        """Greedy translations."""
        found = translate(self.model, sources, GenerationOptions(greedy=True))
        return [best.ids for best, *_ in found]


MODELS: dict[str, Callable[[int], Tagger | Translator]] = {
    "tagger": Tagger,
    "Seq2seq without attention": lambda vocabulary: Translator(vocabulary, "none"),
    "Seq2seq with attention": lambda vocabulary: Translator(vocabulary, "general"),
}


def trained(name: str, found: Data, seed: int) -> Tagger | Translator:
    """A model after `STEPS` batches, in an order that depends on the seed only."""
    torch.manual_seed(seed)
    model = MODELS[name](len(found.known)).train()
    coded = [(found.ids(source), found.ids(target)) for source, target in found.training]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01, fused=True)
    rng = random.Random(seed)
    for step in range(1, STEPS + 1):
        rate = learning_rate(step, peak=RATE, steps=STEPS, warmup=WARMUP, schedule="linear", final=0.01)
        for group in optimizer.param_groups:
            group["lr"] = rate
        sources, targets = zip(*rng.choices(coded, k=BATCH))
        optimizer.zero_grad()
        model.loss(padded(sources), padded(targets)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.inference_mode()
def scores(model: Tagger | Translator, found: Data) -> dict[str, Any]:
    """Exact matches and BLEU on the test pairs, the share of answers of a wrong length, exact matches by how many words more
    the English has, and the answer to `SENTENCE`."""
    *answers, said = (found.text(ids) for ids in model.answers([found.ids(source) for source, _ in (*found.test, SENTENCE)]))
    right = [answer == target for answer, (_, target) in zip(answers, found.test)]
    wrong_length = [len(answer.split()) != len(target.split()) for answer, (_, target) in zip(answers, found.test)]
    more = [len(target.split()) - len(source.split()) for source, target in found.test]
    by_length = {gap: sum(one for one, own in zip(right, more) if own == gap) / more.count(gap) for gap in sorted(set(more))}
    examples = [Example(id=str(number), text=source, label=target) for number, (source, target) in enumerate(found.test)]
    return {
        "exact": sum(right) / len(right),
        "bleu": bleu_tokenized(answers, examples)["bleu_tokenized"],
        "wrong_length": sum(wrong_length) / len(right),
        "exact_by_words_more": by_length,
        "says": said,
    }


def run(out: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Train all three for each seed, and plot `alignment.png`."""
    found = data()
    measured: dict[str, list[dict[str, Any]]] = {}
    for name in MODELS:
        for seed in seeds:
            result = scores(trained(name, found, seed), found)
            measured.setdefault(name, []).append(result)
            say(
                f"{name}, seed {seed}: {result['exact']:.1%} exact, BLEU {100 * result['bleu']:.1f}, "
                f"{result['wrong_length']:.1%} of a wrong length; {SENTENCE[0]} -> {result['says']}"
            )
    curves = {name: _mean_curve(results) for name, results in measured.items()}
    lines(out / "alignment.png", curves, "words that the translation has more", "share of exact translations")
    right = {name: sum(result["says"] == SENTENCE[1] for result in results) for name, results in measured.items()}
    longer = {
        name: max(share for result in results for gap, share in result["exact_by_words_more"].items() if gap > 0)
        for name, results in measured.items()
    }
    exact = {name: sum(result["exact"] for result in results) / len(results) for name, results in measured.items()}
    return {
        "holds": longer["tagger"] == right["tagger"] == 0 and right["Seq2seq with attention"] == len(seeds),
        "finding": (
            f"right of {len(found.test)} test pairs: {_shares(exact)}; where the translation is longer, the tagger has at most "
            f"{longer['tagger']:.0%} right; {SENTENCE[0]} was translated by "
            f"{', '.join(f'{name} with {count} of {len(seeds)} seeds' for name, count in right.items())}"
        ),
        "training_pairs": len(found.training),
        "test_pairs": len(found.test),
        "models": measured,
    }


def _shares(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1%}" for name, value in values.items())


def _mean_curve(results: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    gaps = list(results[0]["exact_by_words_more"])
    return gaps, [sum(result["exact_by_words_more"][gap] for result in results) / len(results) for gap in gaps]
