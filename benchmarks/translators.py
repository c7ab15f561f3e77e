"""Learning to translate and translating: gyebo against the two repositories that a learner would take instead.

    python benchmarks/translators.py --jadore CHECKOUT --joeynmt CHECKOUT [--size mini] [--rounds 5]

CHECKOUT: of github.com/jadore801120/attention-is-all-you-need-pytorch and github.com/joeynmt/joeynmt. Their own models, losses
and searches are called (needs: pip install dill importlib_metadata subword-nmt). One size for all: post-norm, one matrix.

Training: the same sentence pairs in the same batches (random ids with the lengths of Multi30k, 4,096 tokens on the longer side,
similar lengths together), label smoothing 0.1, dropout 0.1, Adam; the others pad. Translating: 16 sentences, beams of 4, 32 ids
each. The others compute in float32; gyebo in float32 and in bfloat16, which is what it takes by itself. A side a process, one
working at a time, medians over interleaved rounds; a ratio above 1 means that gyebo is faster. Writes
benchmarks/results/translators-SIZE.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from report import machine, store
from sides import Work, measure

from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.objectives.source_target import FIELDS, TargetLoss
from gyebo.tasks.features import Features, ragged, token_groups

UNK, PAD, BOS, EOS = range(4)  # JoeyNMT's order
SMOOTHING, DROPOUT, TOKENS, STEPS, PAIRS = 0.1, 0.1, 4096, 4, 3000
SENTENCES, BEAMS, NEW = 16, 4, 32
SIZES = {"mini": (9_900, 128, 4, 4, 256), "base": (37_000, 512, 6, 8, 2048)}  # ids, width, layers, heads, inner
Pair = tuple[list[int], list[int]]


def pairs(ids: int, count: int) -> list[Pair]:
    """Random ids, as long as Multi30k's sentences; each source ends with the end."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(2.6, 0.3, (count, 1)) + rng.normal(0, 0.15, (count, 2))), 4, 40).astype(int)
    return [([*rng.integers(10, ids, a).tolist(), EOS], rng.integers(10, ids, b).tolist()) for a, b in lengths]


def batches(ids: int) -> tuple[Features, list[np.ndarray]]:
    """Which pairs each step takes."""
    sources, targets = zip(*pairs(ids, PAIRS))
    columns = {
        "input_ids": ragged(sources),
        "decoder_input_ids": ragged([BOS, *target] for target in targets),
        "labels": ragged([*target, EOS] for target in targets),
    }
    features = Features(columns, {}, np.arange(PAIRS), tuple(map(str, range(PAIRS))), PAD, fields=FIELDS)
    planned = token_groups(features, TOKENS)
    return features, [planned[len(planned) * step // STEPS] for step in range(STEPS)]


def padded(rows: list[list[int]]) -> torch.Tensor:
    """[B, T]."""
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def gyebo_side(precision: str, size: str, verb: str, jadore: str, joeynmt: str) -> Work:
    ids, width, layers, heads, inner = SIZES[size]
    torch.manual_seed(0)
    config = TransformerConfig(
        ids, 256, width, layers, layers, heads, inner, residual_dropout=DROPOUT, pad_id=PAD, bos_id=BOS, eos_id=EOS
    )
    model: Any = Transformer(config)
    half = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "bfloat16")
    if verb == "translate":
        model.eval()
        sources = [source for source, _ in pairs(ids, SENTENCES)]
        options = GenerationOptions(beams=BEAMS)

        def search() -> None:
            with torch.no_grad():
                translate(model, sources, options, forbidden=[EOS, PAD], autocast=half, max_length=lambda length: NEW)

        return search
    features, chosen = batches(ids)
    objective, optimizer = (
        TargetLoss("task", SMOOTHING),
        torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0, fused=True),
    )

    def work() -> None:
        for rows in chosen:
            batch = {name: torch.from_numpy(values) for name, values in features.batch(rows).items()}
            optimizer.zero_grad(set_to_none=True)
            with half():
                loss = objective.loss(model, batch)["task"][0] / objective.counts(batch)["task"]
            loss.backward()
            optimizer.step()

    return work


def jadore_side(size: str, verb: str, jadore: str, joeynmt: str) -> Work:
    for name, parts in (
        ("torchtext.data", ("Field", "Dataset", "BucketIterator")),
        ("torchtext.datasets", ("TranslationDataset",)),
    ):
        module = ModuleType(name)  # its reader of files is a library that is gone; only its epoch is called
        vars(module).update(dict.fromkeys(parts))
        sys.modules |= {"torchtext": ModuleType("torchtext"), name: module}
    sys.path.insert(0, jadore)
    from train import train_epoch
    from transformer.Models import Transformer as Model
    from transformer.Optim import ScheduledOptim
    from transformer.Translator import Translator

    ids, width, layers, heads, inner = SIZES[size]
    torch.manual_seed(0)
    model = Model(
        ids, ids, PAD, PAD, d_word_vec=width, d_model=width, d_inner=inner, n_layers=layers, n_head=heads, d_k=width // heads,
        d_v=width // heads, dropout=DROPOUT, scale_emb_or_prj="emb",
    )  # fmt: skip
    if verb == "translate":
        translator = Translator(model, BEAMS, NEW + 1, PAD, PAD, BOS, EOS)  # its first id counts
        sources = [torch.tensor([source]) for source, _ in pairs(ids, SENTENCES)]
        return lambda: [translator.translate_sentence(source) for source in sources] and None
    all_pairs, (_, chosen) = pairs(ids, PAIRS), batches(ids)
    data = []
    for rows in chosen:
        sources, targets = zip(*(all_pairs[row] for row in rows))
        framed = [[BOS, *target, EOS] for target in targets]
        data.append(SimpleNamespace(src=padded(list(sources)).T, trg=padded(framed).T))
    optimizer = ScheduledOptim(torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-09), 2.0, width, 4000)
    options = SimpleNamespace(src_pad_idx=PAD, trg_pad_idx=PAD)
    return lambda: train_epoch(model, data, optimizer, options, torch.device("cpu"), smoothing=True) and None


def joeynmt_side(size: str, verb: str, jadore: str, joeynmt: str) -> Work:
    sys.path.insert(0, joeynmt)
    from joeynmt.batch import Batch
    from joeynmt.model import build_model
    from joeynmt.search import search
    from joeynmt.vocabulary import Vocabulary

    ids, width, layers, heads, inner = SIZES[size]
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "sep_token": None}
    roles = SimpleNamespace(**names, unk_id=UNK, pad_id=PAD, bos_id=BOS, eos_id=EOS, sep_id=None, lang_tags=[])
    vocabulary = Vocabulary.__new__(Vocabulary)  # its constructor takes the square of the number of ids
    vocabulary._itos = ["<unk>", "<pad>", "<s>", "</s>", *(f"t{id}" for id in range(4, ids))]
    vocabulary._stoi = {token: id for id, token in enumerate(vocabulary._itos)}
    vocabulary.specials, vocabulary.lang_tags, vocabulary.sep_index = vocabulary._itos[:4], [], None
    for role in ("unk", "pad", "bos", "eos"):
        setattr(vocabulary, f"{role}_index", getattr(roles, f"{role}_id"))
    torch.manual_seed(0)
    stack = {"type": "transformer", "num_layers": layers, "num_heads": heads, "hidden_size": width, "ff_size": inner}
    stack |= {"dropout": DROPOUT, "layer_norm": "post", "embeddings": {"embedding_dim": width, "scale": True}}
    model = build_model(
        {"tied_embeddings": True, "tied_softmax": True, "encoder": stack, "decoder": stack}, vocabulary, vocabulary
    )
    model.loss_function = ("crossentropy", SMOOTHING)

    def batch(some: list[Pair], train: bool) -> Any:
        sources, targets = zip(*some)
        lengths, order = torch.tensor([len(source) for source in sources]), torch.arange(len(some))
        framed = padded([[BOS, *target, EOS] for target in targets]) if train else None
        return Batch(padded(list(sources)), lengths, None, framed, None, order, torch.device("cpu"), PAD, EOS, train)

    if verb == "translate":
        model.eval()
        rows = batch(pairs(ids, SENTENCES), train=False)
        return lambda: search(model, rows, NEW, BEAMS, 1.0, min_output_length=NEW) and None
    all_pairs, (_, chosen) = pairs(ids, PAIRS), batches(ids)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def work() -> None:
        model.train()
        for numbers in chosen:
            rows = batch([all_pairs[number] for number in numbers], train=True)
            rows.sort_by_src_length()
            loss, *_ = model(return_type="loss", **vars(rows))
            rows.normalize(loss, normalization="tokens", n_gpu=0, n_accumulation=1).backward()
            optimizer.step()
            optimizer.zero_grad()

    return work


SIDES: dict[str, Callable[..., Work]] = {
    "gyebo float32": partial(gyebo_side, "float32"),
    "gyebo bfloat16": partial(gyebo_side, "bfloat16"),
    "jadore": jadore_side,
    "joeynmt": joeynmt_side,
}


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jadore", required=True, metavar="CHECKOUT")
    parser.add_argument("--joeynmt", required=True, metavar="CHECKOUT")
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    features, chosen = batches(SIZES[given.size][0])
    targets = features.columns["labels"].lengths
    counts = {"train": sum(int(targets[rows].sum()) for rows in chosen), "translate": SENTENCES * NEW}
    works = {}
    for verb, tokens in counts.items():
        times = measure(SIDES, (given.size, verb, given.jadore, given.joeynmt), given.rounds, warm=1)
        middle = {side: median(seconds) for side, seconds in times.items()}
        ratios = {
            own: {side: round(middle[side] / middle[own], 2) for side in SIDES if not side.startswith("gyebo")}
            for own in SIDES
            if own.startswith("gyebo")
        }
        for side, seconds in middle.items():
            print(f"{verb:<10} {side:<16} {tokens / seconds:>8,.0f} target tokens/s")
        for own, found in ratios.items():
            print(f"{verb:<10} {own} is faster by: {', '.join(f'{ratio} ({side})' for side, ratio in found.items())}")
        works[verb] = {"target_tokens": tokens, "seconds": times, "gyebo_times_as_fast": ratios}
    figures = {"command": f"python benchmarks/translators.py --size {given.size} --rounds {given.rounds}", "machine": machine()}
    store(f"translators-{given.size}", figures | {"works": works})


if __name__ == "__main__":
    main()
