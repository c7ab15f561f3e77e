"""One pretraining step of LXMERT, gyebo against transformers, both sides in one run.

    python benchmarks/seeing.py [--size base] [--rounds 5]

All six tasks in bfloat16 autocast, dropout 0.1 at the three places, clipping, fused AdamW: masked words, matching, answers, and
the features, labels and attributes of regions, features of 2,048 numbers and as many classes as published. Sentences of 6 to 20
pieces, which transformers pads to the longest of the batch. Two works: "full": 36 regions for each, as published; "some": 10 to
36, padded by transformers. Medians over interleaved rounds, a side a process; a ratio above 1 means that gyebo is faster.
Writes benchmarks/results/seeing.json, of another size seeing-SIZE.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from masked import Batch, over
from report import machine, store
from sides import Work, measure

from gyebo.interchange.config_fields import write_config
from gyebo.interchange.families.lxmert import FORMAT
from gyebo.models.lxmert import Lxmert, LxmertConfig
from gyebo.nn.cost import Workload
from gyebo.objectives.cross_modality import CrossModality, Options
from gyebo.training.device import matmul_rate

IGNORE, MASK, BATCHES, ROWS, REGIONS, WORDS = -100, 103, 4, 32, 36, 20
PUBLISHED = {"crop": None, "feature_size": 2048, "objects": 1600, "attributes": 400, "answers": 9500}


def config_of(size: str) -> LxmertConfig:
    """A size with the features and classes of the published one."""
    return replace(Lxmert.sizes[size], **PUBLISHED)


def objective_of(config: LxmertConfig) -> CrossModality:
    """What is learned, without a corpus: its loss looks at the batch alone."""
    names = {name: tuple(map(str, range(getattr(config, field)))) for name, field in NAMES.items()}
    empty = np.zeros(0, np.int64)
    return CrossModality(Options(), {}, (), empty, REGIONS, 16, **names, attribute_starts={}, swap=0.5)


NAMES = {"labels": "objects", "attributes": "attributes", "answers": "answers"}


def batches(kind: str, config: LxmertConfig) -> list[Batch]:
    """The same batches for every side, as gyebo's objective makes them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(BATCHES):
        lengths = rng.integers(6, WORDS + 1, ROWS)
        seen = np.full(ROWS, REGIONS) if kind == "full" else rng.integers(10, REGIONS + 1, ROWS)
        words, regions = np.arange(lengths.max()) < lengths[:, None], np.arange(seen.max()) < seen[:, None]
        ids = np.where(words, rng.integers(1000, config.vocab_size, words.shape), 0)
        hidden = words & (rng.random(words.shape) < 0.15)
        hidden[:, 1] = True  # at least one a sentence
        masked = regions & (rng.random(regions.shape) < 0.15)
        targets = rng.random((*regions.shape, config.feature_size), np.float32)
        match = rng.integers(0, 2, ROWS)
        arrays = {
            "input_ids": np.where(hidden, MASK, ids),
            "labels": np.where(hidden, ids, IGNORE),
            "document_ids": words.astype(np.int64),
            "visual_feats": np.where(masked[..., None], np.float32(0), targets),
            "visual_pos": rng.random((*regions.shape, 4), np.float32),
            "region_document_ids": regions.astype(np.int64),
            "region_masked": masked.astype(np.int64),
            "region_targets": targets,
            "region_labels": np.where(regions, rng.integers(0, config.objects, regions.shape), IGNORE),
            "region_attributes": np.where(regions, rng.integers(0, config.attributes, regions.shape), IGNORE),
            "match": match,
            "answer": np.where(match == 1, rng.integers(0, config.answers, ROWS), IGNORE),
        }
        found.append({name: torch.from_numpy(values) for name, values in arrays.items()})
    return found


def ours(kind: str, size: str) -> Work:
    """gyebo's step over all batches."""
    torch.manual_seed(0)
    config = config_of(size)
    model, objective = Lxmert(config).train(), objective_of(config)

    def loss(batch: Batch) -> torch.Tensor:
        counts = objective.counts(batch)
        return sum(weight * total / counts[name] for name, (total, weight) in objective.loss(model, batch).items())  # type: ignore[return-value]

    return over(batches(kind, config), model, loss)


def theirs(kind: str, size: str) -> Work:
    """The step of transformers' LxmertForPreTraining."""
    from transformers import LxmertConfig as Config
    from transformers import LxmertForPreTraining

    torch.manual_seed(0)
    config = config_of(size)
    model = LxmertForPreTraining(Config.from_dict(write_config(FORMAT, config))).train()

    def loss(batch: Batch) -> torch.Tensor:
        regions = (batch["region_document_ids"] > 0).float()
        found = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["document_ids"],
            visual_feats=batch["visual_feats"],
            visual_pos=batch["visual_pos"],
            visual_attention_mask=batch["region_document_ids"],
            labels=batch["labels"],
            matched_label=batch["match"],
            ans=batch["answer"],
            obj_labels={
                "obj": (batch["region_labels"], regions),
                "attr": (batch["region_attributes"], regions),
                "feat": (batch["region_targets"], batch["region_masked"].float()),
            },
        )
        return found.loss

    return over(batches(kind, config), model, loss)


def main() -> None:
    """Measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=list(Lxmert.sizes), default="base")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rate = matmul_rate("cpu", "bfloat16", seconds=2.0)
    config = config_of(given.size)
    objective = objective_of(config)
    with torch.device("meta"):
        model = Lxmert(config)
    works = {}
    for kind in ("full", "some"):
        times = measure({"gyebo": ours, "transformers": theirs}, (kind, given.size), given.rounds, warm=1)
        data = batches(kind, config)
        lengths = {
            name: torch.cat([batch[ids].sum(1) for batch in data])
            for name, ids in (("tokens", "document_ids"), ("regions", "region_document_ids"))
        }
        projected = {head: sum(objective.projected(batch)[head] for batch in data) for head in model.heads}
        middle = {name: median(values) for name, values in times.items()}
        share = 3 * model.flops(Workload(lengths, projected)) / middle["gyebo"] / rate
        ratio = middle["transformers"] / middle["gyebo"]
        for name, seconds in middle.items():
            print(f"{kind:<5} {name:<13} {seconds / BATCHES:.3f} s a step of {ROWS} sentences")
        print(f"{kind:<5} gyebo is {ratio:.2f} times as fast, at {share:.0%} of the machine's rate ({rate / 1e9:,.0f} GFLOP/s)")
        works[kind] = {"seconds": times, "median_seconds": middle, "ratio": ratio, "share_of_matmul_rate": share}
    store(
        "seeing" if given.size == "base" else f"seeing-{given.size}",
        {"work": f"LXMERT {given.size}, pretraining steps of {ROWS}, bfloat16 autocast", "machine": machine(), "works": works},
    )


if __name__ == "__main__":
    main()
