"""What a small LXMERT learns of statements about NLVR's pictures whose items it is told: shape, colour, size, box; no pixels.

    python benchmarks/grounding.py NLVR [--forms "there is" "in all"] [--first 1500] [--steps 3000] [--lr 2e-4] [--panels]

Statements are those of the corpus `nlvr:`, of all forms or some; each is true of one picture of two and false of the other,
and the model says which. `--first`: so many steps with the form "there is" alone. `--panels`: the three boxes are regions, too.
Held out is a twentieth of the pictures. Prints the loss and the share of right answers by form, every 250 steps. `--each`: how
often two pictures are told apart, by a pair of statements each time.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gyebo.data import nlvr
from gyebo.data.nlvr_statements import COLOURS, FORMS, PANEL, PANELS, SHAPES, SIZES, STEP, Item, pair
from gyebo.models.lxmert import Lxmert

FEATURES = len(SHAPES) + len(COLOURS) + len(SIZES)
SIMPLE, BATCH, SHOWN = "there is", 64, 250
WIDE, HIGH = STEP * PANELS - (STEP - PANEL), PANEL  # pixels of a picture


@dataclass(frozen=True)
class Row:
    """A statement about a picture: ids, features [R, F], boxes [R, 4], whether it is true, its form."""

    ids: list[int]
    features: NDArray[np.float32]
    boxes: NDArray[np.float32]
    true: int
    form: str


def regions(items: Sequence[Item], panels: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Items as regions, and after them the boxes."""
    names = (*SHAPES, *COLOURS, *SIZES)
    features = [[float(name in (item.shape, item.colour, item.size)) for name in names] for item in items]
    boxes = [item.box for item in items]
    if panels:
        features += [[0.0] * FEATURES] * PANELS
        boxes += [(STEP * n, 0, STEP * n + PANEL, PANEL) for n in range(PANELS)]
    return np.array(features, np.float32), np.array(boxes, np.float32) / [WIDE, HIGH, WIDE, HIGH]


def read(given: argparse.Namespace) -> tuple[list[Row], list[Row], int]:
    """Rows to learn from, in random order, rows of the last pictures, and the number of ids."""
    for name in set(FORMS) - set(given.forms):
        del FORMS[name]
    pictures = (example.items for example in nlvr.examples(given.data / nlvr.PICTURES) if example.items)
    items, rng = [picture for _, picture in zip(range(given.pictures), pictures)], random.Random(given.seed)
    ids: dict[str, int] = {}
    rows = []
    for two in zip(items[::2], items[1::2]):
        shown = [regions(each, given.panels) for each in two]
        for statements in filter(None, (pair(*two, rng) for _ in range(given.each))):
            for which, statement in enumerate(statements):
                words = [ids.setdefault(word, 4 + len(ids)) for word in statement.text.removesuffix(".").lower().split()]
                rows += [Row([2, *words, 3], *shown[n], int(n == which), statement.form) for n in (0, 1)]
    cut = len(rows) * 19 // 20
    learned, held_out = rows[:cut], rows[cut:]
    rng.shuffle(learned)
    rng.shuffle(held_out)
    return learned, held_out, 4 + len(ids)


def scores(model: Lxmert, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """What the model says of each statement [B, 2], and what is right [B]."""
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([torch.tensor(row.ids) for row in rows], batch_first=True)
    features, boxes = (
        pad([torch.from_numpy(getattr(row, name)).float() for row in rows], batch_first=True) for name in ("features", "boxes")
    )
    seen = torch.arange(features.shape[1]) < torch.tensor([len(row.boxes) for row in rows])[:, None]
    found = model(ids, features, boxes, attention_mask=(ids != 0).long(), visual_attention_mask=seen.long())
    return found.cross_relationship_score, torch.tensor([row.true for row in rows])


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=5)
    parser.add_argument("--panels", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.first and SIMPLE not in given.forms:
        parser.error(f"--first needs the form {SIMPLE!r} among --forms")
    learned, held_out, vocabulary = read(given)
    simple = [row for row in learned if row.form == SIMPLE]
    torch.manual_seed(given.seed)
    off = dict.fromkeys(("residual_dropout", "embedding_dropout", "attention_dropout"), 0.0)
    shape = {"width": given.width, "heads": 4, "layers": 2, "region_layers": 1, "cross_layers": 2, "crop": None}
    shape |= {"vocab_size": vocabulary, "feature_size": FEATURES, "init_std": 0.02 * (768 / given.width) ** 0.5}
    model = Lxmert(replace(Lxmert.sizes["mini"], **shape, **off))
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    losses = []
    for step in range(given.steps):
        rows = simple if step < given.first else learned
        loss = F.cross_entropy(*scores(model, [rows[(step * BATCH + n) % len(rows)] for n in range(BATCH)]))
        for group in optimizer.param_groups:  # warm-up of 100 steps, from the middle down to 0
            group["lr"] = given.lr * min((step + 1) / 100, 2 * (given.steps - step) / given.steps, 1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % SHOWN == 0 or step + 1 == given.steps:
            report(model, held_out[:1600], step + 1, mean(losses[-SHOWN:]))


@torch.no_grad()
def report(model: Lxmert, rows: Sequence[Row], step: int, loss: float) -> None:
    """Print what is right of held-out statements."""
    by_form: dict[str, list[float]] = {}
    for first in range(0, len(rows), 100):
        found, right = scores(model, rows[first : first + 100])
        for row, correct in zip(rows[first : first + 100], (found.argmax(1) == right).tolist()):
            by_form.setdefault(row.form, []).append(correct)
    every = [correct for some in by_form.values() for correct in some]
    print(f"step {step}: loss {loss:.3f}, right {mean(every):.3f};", end=" ")
    print(", ".join(f"{form} {mean(some):.2f}" for form, some in sorted(by_form.items())), flush=True)


if __name__ == "__main__":
    main()
