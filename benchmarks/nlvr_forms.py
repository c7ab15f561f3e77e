"""What a model that was pretrained on statements about NLVR's pictures has understood: the right answers of its matching head,
without any fine-tuning, by form of statement, on pictures of dev, which it has not seen; and on dev's own sentences.

    python benchmarks/nlvr_forms.py NLVR runs/nlvr/lxmert/pretrained [runs/nlvr/vilbert/pretrained] [--pairs 200]

Each statement is asked of a picture of which it is true and of one of which it is false. Writes
benchmarks/results/nlvr_forms.json.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from report import machine, store

import gyebo
from gyebo.data.nlvr import Example, examples
from gyebo.data.nlvr_statements import FORMS, pair
from gyebo.data.nlvr_wordings import are_towers, worded

BATCH = 64
MATCHES = {"lxmert": 1, "vilbert": 0}  # the class of the matching head that says that a text belongs to a picture
Asked = tuple[str, Example, bool]  # statement, picture, whether it is true


def asked_of(pictures: Sequence[Example], form: str, pairs: int) -> list[Asked]:
    """Statements of a form about pairs of pictures that follow each other."""
    rng = random.Random(f"gyebo nlvr forms {form}")
    found: list[Asked] = []
    for first, second in zip(pictures[::2], pictures[1::2]):
        told = pair(first.items, second.items, rng, (form,)) if first.items and second.items else None
        if told:
            towers = are_towers(first.items) and are_towers(second.items)
            text = worded(told[0].text, rng, towers=towers)  # true of the first alone
            found += [(text, first, True), (text, second, False)]
        if len(found) == 2 * pairs:
            break
    return found


@torch.no_grad()
def right(model: Any, processor: Any, asked: Sequence[Asked]) -> float:
    """The share of right answers."""
    count = 0
    for start in range(0, len(asked), BATCH):
        texts, shown, true = zip(*asked[start : start + BATCH])
        boxes = [[item.box for item in example.items] for example in shown]
        inputs = processor(list(texts), pictures=[example.png for example in shown], boxes=boxes)
        scores = (
            model(**inputs).cross_relationship_score if model.family == "lxmert" else model(**inputs).seq_relationship_logits
        )
        count += int(((scores.argmax(-1) == MATCHES[model.family]) == torch.tensor(true)).sum())
    return count / len(asked)


def main() -> None:
    """Ask, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=200, help="of pictures, for each form")
    given = parser.parse_args()
    dev = list(examples(given.data / "dev.parquet"))
    works = {form: asked_of(dev, form, given.pairs) for form in FORMS}
    works["sentences of people"] = [(one.sentence, one, bool(one.label)) for one in dev if one.sentence and one.items]
    families: dict[str, dict[str, float]] = {}
    for name in given.models:
        model, processor = gyebo.load(name)
        families[model.family] = {form: right(model.eval(), processor, asked) for form, asked in works.items()}
        for form, share in families[model.family].items():
            print(f"{model.family:<8} {form:<24} {share:.3f} of {len(works[form])}", flush=True)
    asked = {form: len(statements) for form, statements in works.items()}
    store("nlvr_forms", {"machine": machine(), "asked": asked, "families": families})


if __name__ == "__main__":
    main()
