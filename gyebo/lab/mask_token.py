"""The mask token never occurs after pretraining: 80/10/10 against 100/0/0.

BERT shows 80 % of the tokens that it has to predict as the mask, 10 % as a random token and 10 % as they are, because a
fine-tuned model never sees the mask (Devlin et al. 2018, section 3.1). Here two BERTs that differ in nothing else are
pretrained on reports of the world, and fine-tuned to tell their sentiment from few labels. It is a comparison as `gyebo
compare` makes it, with its verdicts.

Beside it stands what the 10/10 changes for sure: how well a pretrained model predicts tokens that it sees, which is what a
fine-tuned model gets. With masks alone they are no part of its loss, and their vectors need not say what the token is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gyebo.compare.recipe import Recipe, parse
from gyebo.compare.results import Comparison, Row
from gyebo.compare.run import compare
from gyebo.config import durable
from gyebo.figures.curves import intervals, save
from gyebo.interchange import load
from gyebo.world import sentiments

CLAIM = "BERT fine-tunes better from 80/10/10 than from masks alone, as fine-tuning never shows the mask token"
SOURCE = "Devlin et al. 2018, section 3.1 and appendix C.2"

STEPS, RATE, REPORTS, HELD_OUT = 1000, 2e-3, 20_000, 500
LABELLED = 0.05  # of the training examples of the task: about two hundred
TASK, SEED, OTHER_SEED = "world-sentiment", 101, 102  # of reports that the task does not have
SHAPE = {"width": 64, "layers": 2, "heads": 2, "embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}
VARIANTS = {"80-10-10": (0.8, 0.1), "100-0-0": (1.0, 0.0)}  # name -> share of masks, of random tokens


def reports(count: int, seed: int) -> list[str]:
    """Texts without their labels."""
    return [report.text for report in sentiments(count, seed=seed)]


def recipe(corpus: Path, seeds: Sequence[int]) -> Recipe:
    """The comparison: two ways to mask, everything else equal."""
    return parse(
        {
            "title": "The mask token, which never occurs after pretraining",
            "seeds": list(seeds),
            "context": 64,
            "data": {"corpus": [str(corpus)]},
            "tokenizer": {"kind": "bpe", "vocab_size": 1500},
            "budget": {"steps": STEPS},
            "optim": {"lr": RATE, "betas": (0.9, 0.99)},
            "train": {"batch_tokens": 1024},
            "tasks": [{"name": TASK, "train_share": LABELLED, "epochs": 10, "lr": 1e-3}],
            "candidates": [
                {
                    "family": "bert",
                    "size": "tiny",
                    "name": name,
                    "model": SHAPE,
                    "objective": {
                        "format": "doc-sentences",
                        "next_sentence": False,
                        "mask_share": masks,
                        "random_share": random,
                    },
                }
                for name, (masks, random) in VARIANTS.items()
            ],
        }
    )


@torch.inference_mode()
def losses(run: Path) -> dict[str, float]:
    """Nats per token of a pretrained model on other reports: of tokens that the mask hides, and of tokens that are seen."""
    model, tokenizer = load(str(run))
    assert tokenizer is not None, "a run has a tokenizer"
    ids, seen = _framed(tokenizer, reports(HELD_OUT, OTHER_SEED), model.config.context)
    hidden = seen & (torch.rand(ids.shape, generator=torch.Generator().manual_seed(0)) < 0.15)
    shown = ids.masked_fill(hidden, tokenizer.role_ids["mask"])
    model.eval()
    found = model.encode(shown, attention_mask=ids != tokenizer.role_ids["pad"]).hidden
    return {
        name: float(cross_entropy(model.project(found[places], "mlm").float(), ids[places]))
        for name, places in (("masked", hidden), ("seen", seen & ~hidden))
    }


def _framed(tokenizer: Any, texts: Sequence[str], context: int) -> tuple[Tensor, Tensor]:
    """Ids of texts in the family's template, [B, T], cut to a context; which places are text."""
    roles = tokenizer.role_ids
    pieces = [ids[: context - 2] for ids in tokenizer.encode_batch(texts)]
    longest = 2 + max(map(len, pieces))
    rows = torch.full((len(pieces), longest), roles["pad"])
    real = torch.zeros(rows.shape, dtype=torch.bool)
    for row, ids in enumerate(pieces):
        rows[row, : len(ids) + 2] = torch.tensor([roles["cls"], *ids, roles["sep"]])
        real[row, 1 : len(ids) + 1] = True
    return rows, real


def run(out: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Compare both with each seed in `comparison/`, on the texts of `reports.txt`, and plot `mask-token.png`."""
    say("two pretrainings for each seed, each fine-tuned; all of it is in comparison/report.html")
    corpus = out / "reports.txt"
    durable.write(corpus, "".join(f"{text}\n" for text in reports(REPORTS, SEED)))
    result = compare(recipe(corpus, seeds), out / "comparison")
    if not result.ok:
        raise RuntimeError(f"a run failed: see {out / 'comparison' / 'results.md'}")
    rows = {row.name: row for row in result.rows}
    tokens = {name: {seed: losses(result.run(row, seed)) for seed in row.results} for name, row in rows.items()}
    for name, row in rows.items():
        kinds = "; ".join(f"{kind} {_listed(one[kind] for one in tokens[name].values())}" for kind in ("masked", "seen"))
        say(f"{name}: accuracy {_listed(row.scores)}; nats per token: {kinds}")
    save(intervals([_end(rows[name]) for name in VARIANTS], f"accuracy on {TASK}"), out / "mask-token.png")
    return {
        "holds": rows["80-10-10"].verdict == "best",
        "finding": f"{_said(result)}; {_of_tokens(tokens)}",
        "verdicts": {name: row.verdict for name, row in rows.items()},
        "accuracy": {name: row.scores_by(TASK) for name, row in rows.items()},
        "nats_per_token": tokens,
    }


def _listed(values: Any) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _end(row: Row) -> tuple[str, list[float], float | None, float | None]:
    low, high = row.interval_by(TASK) or (None, None)
    return row.name, row.scores, low, high


def _said(result: Comparison) -> str:
    """The difference of 80/10/10 to 100/0/0, with its interval."""
    leader, others = result.against_leader(TASK)
    ((_, gap),) = others.items()
    sign = 1 if leader == "100-0-0" else -1  # a difference is that of the other one to the leader
    ends = sorted(sign * end for end in (gap.low, gap.high) if end is not None)
    shown = f" (95 % interval {ends[0]:+.4f} to {ends[1]:+.4f})" if ends else " (one seed: no interval)"
    verdict = "a difference is shown" if gap.shown else "no difference is shown"
    return f"the accuracy of 80/10/10 minus that of 100/0/0 is {sign * gap.mean:+.4f}{shown}: {verdict}"


def _of_tokens(tokens: dict[str, dict[int, dict[str, float]]]) -> str:
    means = {name: sum(one["seen"] for one in found.values()) / len(found) for name, found in tokens.items()}
    shown = ", ".join(f"{value:.2f} after {name.replace('-', '/')}" for name, value in means.items())
    return f"of tokens that it sees, the pretrained model's loss in nats is {shown}"
