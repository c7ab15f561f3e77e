"""Greedy answers beside sample-and-rank, of several chatbots on 50 contexts, judged by three programs; no person rated them.

    python benchmarks/ssa.py chatbot --data DIR runs/gpt2 runs/bart --judge runs/other --encoder runs/bert -o runs/ssa

A rater gives a response a number in its context, the higher the better it fits:

| rater | number |
| --- | --- |
| pairs | probability of "right" by a classifier (--encoder, fine-tuned here) of training pairs and of such pairs shuffled |
| surprise | ln p(response in its context) - the mean of ln p(it in other contexts), by another dialogue model (--judge) |
| nearest | largest similarity (character n-grams, TF-IDF) to an answer of the ten training questions nearest to the context |

A response is called sensible where the number reaches a threshold: that which tells right responses of the validation set
from shuffled ones best. It is called specific if its number is higher in its own context than in nine of ten other contexts
of the sheet. What the raters are worth is measured on right and shuffled responses of the test set, from which the contexts
are. Writes OUT/sheet.jsonl and OUT/ratings.csv, which `gyebo ssa score` reads, and benchmarks/results/ssa.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from report import machine, store

from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.jobs.finetuned_model import FinetunedModel, open_model
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.ssa import make
from gyebo.ssa.ratings import AUTOMATIC, FIELDS
from gyebo.ssa.score import score
from gyebo.ssa.sheet import SHEET_FIELDS, Item, read_sheets, write_rows
from gyebo.tasks import text_answers
from gyebo.tasks.splits import read_task
from gyebo.tasks.task import Example

CONTEXTS, WORTH = 50, 500  # contexts of the sheet; test pairs by which the raters are measured
OTHERS = 20  # contexts that a response is compared with, for "surprise" of right and shuffled pairs
SPECIFIC = 0.9
WAYS = {"greedy": {"greedy": True}, "rank 20": {"rank": 20, "temperature": 0.88, "top_k": 40}}

Pair = tuple[str, str]  # context, response
Rater = Callable[[Sequence[Pair]], NDArray[np.float64]]


def order(example: Example) -> bytes:
    """A fixed order that has nothing to do with the file's."""
    return hashlib.blake2b(f"{example.text}\n{example.label}".encode(), digest_size=8).digest()


def shuffled(pairs: Sequence[Pair]) -> list[Pair]:
    """Every context with the response of another one."""
    half = len(pairs) // 2
    return [(context, pairs[(number + half) % len(pairs)][1]) for number, (context, _) in enumerate(pairs)]


def pairs_rater(encoder: str, train: Sequence[Pair], out: Path) -> Rater:
    """The classifier of right and shuffled pairs."""
    if not (out / "run.toml").is_file():
        rows = [(*pair, label) for label, pairs in (("right", train), ("shuffled", shuffled(train))) for pair in pairs]
        lines = (json.dumps(dict(zip(("text", "pair", "label"), row)), ensure_ascii=False) for row in rows)
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.parent / "pairs.jsonl"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        task = TaskOptions(name="pair", data=str(file), text="text", pair="pair", label="label")
        finetune(FinetuneOptions(model=encoder, task=task, epochs=3, seed=0), out)
    model = open_model(str(out))

    def rate(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        examples = [Example(str(number), *pair) for number, pair in enumerate(pairs)]
        found = model.predict(examples, device="cpu", precision="float32", max_length=None)
        return np.array([each["right"] for each in found])

    return rate


def surprise_rater(judge: FinetunedModel, contexts: Sequence[str]) -> Rater:
    """How much likelier a response is in its context than in `contexts`."""

    def nats(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        assert judge.tokenizer is not None and judge.texts is not None and judge.trained is not None
        examples = [Example(str(number), context, label=response) for number, (context, response) in enumerate(pairs)]
        length = judge.trained.max_length or judge.reader.context
        rows = text_answers.encode(judge.texts, examples, judge.tokenizer, reader=judge.reader, max_length=length)
        return text_answers.target_nats(judge.model, rows)[0]

    elsewhere: dict[str, float] = {}

    def rate(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        new = [response for response in dict.fromkeys(response for _, response in pairs) if response not in elsewhere]
        if new:
            crossed = nats([(context, response) for response in new for context in contexts[:OTHERS]])
            elsewhere.update(zip(new, crossed.reshape(len(new), -1).mean(1)))
        return np.array([elsewhere[response] for _, response in pairs]) - nats(pairs)

    return rate


def nearest_rater(train: Sequence[Pair]) -> Rater:
    """The similarity to answers of similar questions."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    questions, answers = zip(*train)
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True).fit(questions + answers)
    asked, said = vectors.transform(questions), vectors.transform(answers)

    def rate(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        contexts = list(dict.fromkeys(context for context, _ in pairs))
        near = np.argsort(-(vectors.transform(contexts) @ asked.T).toarray(), 1, kind="stable")[:, :10]
        rows = dict(zip(contexts, near))
        likeness = (vectors.transform([response for _, response in pairs]) @ said.T).toarray()
        return np.array([likeness[number, rows[context]].max() for number, (context, _) in enumerate(pairs)])

    return rate


def threshold(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """The number from which on a response is called sensible: the most right and wrong ones are told."""
    values = np.unique(np.concatenate([right, wrong]))
    told = [(right >= value).mean() + (wrong < value).mean() for value in values]
    return float(values[int(np.argmax(told))])


def judged(rater: Rater, pairs: Sequence[Pair], least: float, contexts: Sequence[str]) -> list[tuple[bool, bool]]:
    """Sensible and specific, for each pair."""
    own = rater(pairs)
    crossed = rater([(context, response) for _, response in pairs for context in contexts]).reshape(len(pairs), -1)
    same = np.array([[context == other for other in contexts] for context, _ in pairs])
    above = ((own[:, None] > crossed) & ~same).sum(1) / (~same).sum(1)
    return [(bool(value >= least), bool(share >= SPECIFIC)) for value, share in zip(own, above)]


def sheet_of(models: Sequence[str], contexts: Sequence[str], out: Path) -> Path:
    """The responses of all models, written in each of the ways."""
    file, found = out / "contexts.jsonl", []
    write_rows(file, ({"context": [context]} for context in contexts), ("context",))
    for way, options in WAYS.items():
        part = out / f"{way.replace(' ', '-')}.jsonl"
        make(file, models, part, options, overwrite=True)
        found += [
            replace(item, id=f"{item.id} {way}", bot=f"{Path(item.bot).name} {way}") for item in read_sheets([part]).items
        ]
    write_rows(out / "sheet.jsonl", map(vars, found), SHEET_FIELDS)
    return out / "sheet.jsonl"


def rate(
    raters: dict[str, Rater], said: dict[str, str], items: Sequence[Item], data: Any, contexts: Sequence[str], out: Path
) -> Any:
    """Write all ratings; gives what each rater says of right and shuffled responses that it has not seen."""

    def of(examples: Sequence[Example], count: int) -> list[Pair]:
        return [(example.text, str(example.label)) for example in sorted(examples, key=order)[:count]]

    valid, test = of(data.valid, WORTH), of(data.test, WORTH)
    worth, rows = {}, []
    for name, rater in raters.items():
        least = threshold(rater(valid), rater(shuffled(valid)))
        sides = {"right": test[: 2 * CONTEXTS], "shuffled": shuffled(test)[: 2 * CONTEXTS]}
        found = {side: np.mean(judged(rater, pairs, least, contexts), 0).tolist() for side, pairs in sides.items()}
        told = (float((rater(test) >= least).mean()) + float((rater(shuffled(test)) < least).mean())) / 2
        worth[name] = {"threshold": least, "told_apart": told} | {
            side: dict(zip(("sensible", "specific"), values)) for side, values in found.items()
        }
        answers = judged(rater, [(item.context[-1], item.response) for item in items], least, contexts)
        rows += [dict(zip(FIELDS, (item.id, name, *answer, AUTOMATIC, said[name]))) for item, answer in zip(items, answers)]
    write_rows(out / "ratings.csv", rows, FIELDS)
    return worth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--judge", required=True, help="a dialogue model that is none of the bots")
    parser.add_argument("--encoder", required=True, help="an encoder to fine-tune on right and shuffled pairs")
    parser.add_argument("-o", "--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)

    data = read_task(TaskOptions(name=asked.task, data=asked.data))
    train = [(example.text, str(example.label)) for example in data.train]
    contexts = list(dict.fromkeys(example.text for example in sorted(data.test, key=order)))[:CONTEXTS]
    sheet = sheet_of(asked.models, contexts, asked.out)
    raters = {
        "pairs": pairs_rater(asked.encoder, train, asked.out / "pairs"),
        "surprise": surprise_rater(open_model(asked.judge), contexts),
        "nearest": nearest_rater(train),
    }
    said = {
        "pairs": "classifier of right and shuffled training pairs",
        "surprise": "likelier here than elsewhere, by another dialogue model",
        "nearest": "similarity to answers of the ten most similar training questions",
    }
    worth = rate(raters, said, read_sheets([sheet]).items, data, contexts, asked.out)
    greedy, ranked = WAYS
    figures: dict[str, Any] = {"worth": worth, "contexts": len(contexts)}
    for name in (Path(model).name for model in asked.models):
        found = score([sheet], [asked.out / "ratings.csv"], against=f"{name} {greedy}").as_dict()
        figures |= {"agreement": found["agreement"], "bots": found["bots"]}
        figures.setdefault("ranked_minus_greedy", []).extend(
            each for each in found["differences"] if each["bot"] == f"{name} {ranked}"
        )
    figures["machine"] = machine()
    models, judge, encoder = " ".join(asked.models), asked.judge, asked.encoder
    command = f"python benchmarks/ssa.py {asked.task} --data DIR {models} --judge {judge} --encoder {encoder} -o OUT"
    store("ssa", {"command": command, **figures})
    print(json.dumps(figures, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
