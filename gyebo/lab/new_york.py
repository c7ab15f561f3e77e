"""Tokens that depend on each other, as in "New York": BERT predicts masked tokens independently, XLNet one after the other.

The towns of the world have names in two parts ("Green Ferry", "Green Hill", "Old Ferry"), of which each predicts the other.
Here a corpus of its own tells of them in sentences where the town is drawn with a known probability, whatever else the sentence
says, so the true joint probability of the two parts is that of the town. BERT and XLNet are pretrained on it with the same
FLOPs, and asked for both parts of a name at once:

| | joint probability of the parts |
| --- | --- |
| BERT | p(first, both masked) p(second, both masked) |
| BERT, one after the other | p(first, both masked) p(second, the first one shown) |
| XLNet | p(first) p(second after the first), in the order of factorisation that asks for it |
| XLNet, the second part first | p(second) p(first after the second) |

The distance is the Kullback-Leibler divergence of a joint probability from the truth. What predicts both parts independently
can't come closer than their mutual information, which is known.

Letters: F first parts, S second parts, T length, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gyebo.compare.statistics import Sample, summarise
from gyebo.config import durable
from gyebo.config.run import RunOptions
from gyebo.figures.curves import intervals, save
from gyebo.interchange import load
from gyebo.jobs.pretrain import pretrain
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from gyebo.world.facts import World, make_world
from gyebo.world.writing import words

CLAIM = "BERT predicts the two parts of a name as if they were independent; XLNet knows that they belong together"
SOURCE = "Yang et al. 2019, section 2.5 and appendix A.5: New York"

FLOPS, SENTENCES, VOCABULARY, CONTEXT, ASKED = 6e11, 20_000, 800, 32, 24
SHAPE = {"width": 64, "layers": 2, "heads": 2, "embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {"format": "doc-sentences", "next_sentence": False},
    "xlnet": {"format": "doc-sentences"},
}
MODELS = ("BERT", "BERT, one after the other", "XLNet", "XLNet, the second part first")
TEMPLATES = (
    "{who} went to {town} yesterday.",
    "{who} has lived in {town} for years.",
    "There is a letter from {town} for {who}.",
    "The road to {town} was long, and {who} was tired.",
    "{who} bought a map of {town} at the market.",
    "In {town} nobody knew {who}.",
)


@dataclass(frozen=True)
class Names:
    """The towns' names in two parts, and the true joint probability of these, [F, S]: zero where there is no such town."""

    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    truth: Tensor

    @property
    def towns(self) -> list[tuple[int, int]]:
        """First and second part of each town."""
        return [(int(first), int(second)) for first, second in self.truth.nonzero()]

    @property
    def mutual_information(self) -> float:
        """Of the two parts, in nats: the divergence of the product of their own probabilities from the truth."""
        apart = self.truth.sum(1, keepdim=True) * self.truth.sum(0, keepdim=True)
        return divergence(self.truth, apart)


@dataclass(frozen=True)
class Gap:
    """A sentence of which both parts of a name are to be predicted: ids and segments [T], where the first part stands, and the
    places of special tokens."""

    ids: Tensor
    types: Tensor
    place: int
    special: Tensor


def names(world: World | None = None) -> Names:
    """The towns of a world; the n-th has a probability proportional to 1 / n."""
    world = world or make_world()
    pairs = [tuple(words(world, "town", number)[1].split()) for number in range(len(world.towns))]
    firsts, seconds = (tuple(dict.fromkeys(parts)) for parts in zip(*pairs))
    truth = torch.zeros(len(firsts), len(seconds), dtype=torch.float64)
    for number, (first, second) in enumerate(pairs, 1):
        truth[firsts.index(first), seconds.index(second)] = 1 / number
    return Names(firsts, seconds, truth / truth.sum())


def divergence(truth: Tensor, found: Tensor) -> float:
    """Kullback-Leibler divergence of probabilities [F, S] from the truth [F, S], in nats."""
    known = truth > 0
    return float((truth[known] * (truth[known] / found[known].double()).log()).sum())


def sentences(names: Names, count: int, seed: int) -> list[str]:
    """Sentences whose town is drawn by the truth, independently of everything else in them."""
    rng = random.Random(f"gyebo new york {seed}")
    people = [person.given[1] for person in make_world().people]
    towns = names.towns
    weights = [float(names.truth[town]) for town in towns]
    drawn = rng.choices(towns, weights, k=count)
    return [
        rng.choice(TEMPLATES).format(who=rng.choice(people), town=f"{names.firsts[first]} {names.seconds[second]}")
        for first, second in drawn
    ]


def parts(tokenizer: Tokenizer, strings: Sequence[str]) -> Tensor:
    """The id of each part of a name within a sentence. ValueError where one is not a single token."""
    found = []
    for string in strings:
        ids = tokenizer.encode(f"in {string}")[len(tokenizer.encode("in")) :]
        if len(ids) != 1:
            raise ValueError(f"{string!r} is not a single token: raise the size of the vocabulary")
        found += ids
    return torch.tensor(found)


def gaps(tokenizer: Tokenizer, names: Names, count: int) -> list[Gap]:
    """Sentences with the place of their name, which are none of the corpus'."""
    first = names.towns[0]
    name = torch.stack([parts(tokenizer, names.firsts)[first[0]], parts(tokenizer, names.seconds)[first[1]]])
    people = [person.given[1] for person in make_world().people]
    found = []
    for number in range(count):
        who, town = people[number % len(people)], f"{names.firsts[first[0]]} {names.seconds[first[1]]}"
        encoded = tokenizer(TEMPLATES[number % len(TEMPLATES)].format(who=who, town=town))
        ids = torch.tensor(encoded["input_ids"])
        (place,) = [at for at in range(len(ids) - 1) if torch.equal(ids[at : at + 2], name)]
        special = torch.isin(ids, torch.tensor([tokenizer.role_ids["cls"], tokenizer.role_ids["sep"]]))
        found.append(Gap(ids, torch.tensor(encoded["token_type_ids"]), place, special))
    return found


@torch.inference_mode()
def masked_joints(model: Any, gap: Gap, first_ids: Tensor, second_ids: Tensor, mask: int) -> tuple[Tensor, Tensor]:
    """Joint probabilities [F, S] by BERT, of both parts at once, and of one after the other."""
    rows = gap.ids.repeat(1 + len(first_ids), 1)  # both masked; then with each first part shown
    rows[0, gap.place] = rows[:, gap.place + 1] = mask
    rows[1:, gap.place] = first_ids
    hidden = model.encode(rows, token_type_ids=gap.types.expand_as(rows)).hidden
    logs = model.project(hidden[:, gap.place : gap.place + 2], "mlm").double().log_softmax(-1)
    first, second = logs[0, 0, first_ids], logs[:, 1][:, second_ids]
    return (first[:, None] + second[0]).exp(), (first[:, None] + second[1:]).exp()


@torch.inference_mode()
def permuted_joint(model: Any, gap: Gap, before_ids: Tensor, after_ids: Tensor, *, offsets: tuple[int, int]) -> Tensor:
    """Joint probability by XLNet of the part that comes before in the order of factorisation, and the one after it: [before,
    after]. `offsets`: where they stand, from the place of the name."""
    before, after = (gap.place + offset for offset in offsets)
    rows = gap.ids.repeat(len(before_ids), 1)
    rows[:, before] = before_ids
    ranks = torch.full_like(gap.ids, -1)
    ranks[before], ranks[after] = 0, 1
    ranks[gap.special] = 2 + torch.arange(int(gap.special.sum()))
    targets = (ranks == 0) | (ranks == 1)
    encoded = model.encode(
        rows, token_type_ids=gap.types.expand_as(rows), ranks=ranks.expand_as(rows), targets=targets.expand_as(rows)
    )
    logs = model.project(encoded.hidden[:, [before, after]], "lm").double().log_softmax(-1)
    return (logs[0, 0, before_ids][:, None] + logs[:, 1][:, after_ids]).exp()


def joints(run: Path, names: Names) -> dict[str, Tensor]:
    """The joint probability [F, S] of each way to ask a pretrained model, in each of `ASKED` sentences, stacked."""
    model, tokenizer = load(str(run))
    assert tokenizer is not None, "a run has a tokenizer"
    model.eval()
    first_ids, second_ids = parts(tokenizer, names.firsts), parts(tokenizer, names.seconds)
    asked = gaps(tokenizer, names, ASKED)
    if model.family == "bert":
        pairs = [masked_joints(model, gap, first_ids, second_ids, tokenizer.role_ids["mask"]) for gap in asked]
        return dict(zip(MODELS[:2], map(torch.stack, zip(*pairs))))
    forward = [permuted_joint(model, gap, first_ids, second_ids, offsets=(0, 1)) for gap in asked]
    back = [permuted_joint(model, gap, second_ids, first_ids, offsets=(1, 0)).T for gap in asked]
    return dict(zip(MODELS[2:], (torch.stack(forward), torch.stack(back))))


def measured(found: Tensor, names: Names) -> dict[str, float]:
    """Of joint probabilities [sentences, F, S], the mean over the sentences: the divergence from the truth, and the probability
    of names that no town has."""
    missing = names.truth == 0
    return {
        "divergence": sum(divergence(names.truth, one) for one in found) / len(found),
        "no_town": float(found[:, missing].sum(1).mean()),
    }


def _options(family: str, seed: int, out: Path) -> RunOptions:
    return RunOptions.model_validate(
        {
            "family": family,
            "size": "tiny",
            "model": SHAPE,
            "objective": FAMILIES[family],
            "tokenizer": str(out / "tokenizer"),
            "context": CONTEXT,
            "seed": seed,
            "data": {"corpus": [str(out / "sentences.txt")]},
            "optim": {"lr": 2e-3, "betas": (0.9, 0.99)},
            "budget": {"flops": FLOPS},
            "train": {"batch_tokens": 1024},
        }
    )


def run(out: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Pretrain both families with each seed in `runs/`, on the sentences of `sentences.txt`, and plot `new-york.png`."""
    known = names()
    texts = sentences(known, SENTENCES, 0)
    durable.write(out / "sentences.txt", "".join(f"{text}\n" for text in texts))
    train_tokenizer(texts, "bpe", VOCABULARY).save(out / "tokenizer")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in MODELS}
    for family in FAMILIES:
        for seed in seeds:
            place = out / "runs" / family / f"seed-{seed}"
            result = pretrain(_options(family, seed, out), place)
            assert result is not None, "this is the only process"
            for name, joint in joints(place, known).items():
                one = measured(joint, known) | {"flops": result.flops, "steps": result.steps}
                found[name].append(one)
                say(f"{name}, seed {seed}: {one['divergence']:.3f} nats from the truth, {one['no_town']:.1%} for no town")
    independent = known.mutual_information
    by_model = {name: summarise(Sample(values=[one["divergence"] for one in of_seeds])) for name, of_seeds in found.items()}
    figure = intervals(
        [(name, [one["divergence"] for one in found[name]], each.low, each.high) for name, each in by_model.items()],
        "divergence from the truth, nats",
        mark=("mutual information: the least of independent predictions", independent),
    )
    save(figure, out / "new-york.png")
    distances = "; ".join(f"{name} {each.mean:.3f}" for name, each in by_model.items())
    wrong = {name: sum(one["no_town"] for one in of_seeds) / len(of_seeds) for name, of_seeds in found.items()}
    return {
        "holds": all(one["divergence"] < independent for one in found["XLNet"]),
        "finding": (
            f"divergence from the true joint probability in nats: {distances}; it is at least {independent:.3f}, the mutual "
            "information of the parts, where they are predicted independently. Probability of names that no town has: "
            f"{'; '.join(f'{name} {share:.1%}' for name, share in wrong.items())}"
        ),
        "mutual_information": independent,
        "models": found,
    }
