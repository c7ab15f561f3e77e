"""The table of the PPLM paper (Dathathri et al. 2020, tables 4 and 6) on Korean reviews, a strength swept, two attributes at
once, and a strength that grows along the text.

    gyebo attribute LM nsmc --data NSMC -o MOOD
    python benchmarks/control.py LM --attribute MOOD:positive --bag positive.txt --topic actors.txt \\
        --classifier CLASSIFIER --judge JUDGE --strength 4 -o OUT

LM is a GPT-2 trained on reviews; CLASSIFIER a fine-tuned `gyebo finetune bert nsmc`, and JUDGE a language model of another
seed or family; neither has learned from LM or MOOD. Rows of the table, of 100 answers each: B uncontrolled, BR the best of
several by ln p(attribute), BC steered, BCR steered and the best of several; BC and BCR with
the bag, the discriminator and both. An answer succeeds if the classifier finds the attribute in it; perplexity is per token of
the judge, over prompt and answer; distinct-n is the share of different n-grams of LM's tokens among those of all answers of a
row. Writes all answers, `strength.png` and `growing.png` to OUT, and the figures to benchmarks/results/control-CLASS.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from matplotlib.figure import Figure
from report import machine, store

from gyebo.generation import complete
from gyebo.generation.pplm import Attribute, Bag, Control, Discriminator, attribute_scores, best
from gyebo.interchange import load
from gyebo.jobs.control import Wanted, open_control

PROMPTS = ["이 영화는", "주인공이", "배우들의", "스토리가", "처음부터", "결말이", "감독의", "친구와", "다시", "솔직히"]
STRIDE = 4  # tokens
LENGTH, DIVERSE = 40, 0.5  # tokens of an answer; least mean of distinct 1-, 2- and 3-grams of a candidate
STRENGTHS = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
Several = Annotated[int, typer.Option(help="Candidates of which BR and BCR choose one.")]


class Answers:
    """Answers of a language model to the prompts, and how they are measured."""

    def __init__(self, lm: str, classifier: str, judge: str, label: str, count: int, several: int):
        (self.model, self.tokenizer), (self.judge, self.judge_tokenizer) = load(lm), load(judge)
        self.classifier, self.classifier_tokenizer = load(classifier)
        for model in (self.model, self.judge, self.classifier):
            model.eval()
        if label not in self.classifier.labels:
            raise typer.BadParameter(f"{classifier} has no class {label!r}, but {', '.join(self.classifier.labels)}")
        self.target, self.each, self.several = self.classifier.labels.index(label), count // len(PROMPTS), several
        start = [] if self.model.config.bos_id is None else [self.model.config.bos_id]
        self.prompts = [start + self.tokenizer.encode(prompt) for prompt in PROMPTS]

    def write(
        self, control: Control | None, ranked_by: Sequence[Attribute] = (), seed: int = 0, least: int = 0
    ) -> list[tuple[int, Any]]:
        """(prompt, answer), as many as are asked for, each of `least` tokens or more, and the best of several where they are
        ranked."""
        settings = {"samples": self.each, "max_new_tokens": LENGTH, "min_new_tokens": least, "top_k": 10}
        rounds = [
            complete(self.model, self.tokenizer, PROMPTS, control=control, seed=seed + number, **settings)
            for number in range(self.several if ranked_by else 1)
        ]
        groups = list(zip(*rounds, strict=True))
        return [(group[0].prompt, self._best(self.prompts[group[0].prompt], group, ranked_by)) for group in groups]

    def _best(self, prompt: list[int], group: Sequence[Any], ranked_by: Sequence[Attribute]) -> Any:
        if not ranked_by:
            return group[0]
        ids = [answer.ids for answer in group]
        return group[best(attribute_scores(self.model, prompt, ids, ranked_by).tolist(), ids, DIVERSE)]

    @torch.inference_mode()
    def success(self, texts: Sequence[str]) -> float:
        """The share of texts in which the classifier finds the attribute."""
        inputs = self.classifier_tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return float((self.classifier(**inputs).logits.argmax(1) == self.target).double().mean())

    @torch.inference_mode()
    def measured(self, found: Sequence[tuple[int, Any]]) -> dict[str, Any]:
        """A row of the table."""
        texts = [PROMPTS[number] + answer.text for number, answer in found]
        nll, tokens = 0.0, 0
        start = [] if self.judge.config.bos_id is None else [self.judge.config.bos_id]
        for text in texts:
            ids = (start + self.judge_tokenizer.encode(text))[: self.judge.config.context]
            scores = self.judge.project(self.judge.encode(torch.tensor([ids])).hidden[0, :-1]).float().log_softmax(-1)
            nll -= float(scores.gather(1, torch.tensor(ids[1:])[:, None]).sum())
            tokens += len(ids) - 1
        row: dict[str, Any] = {
            "success": self.success(texts),
            "perplexity": math.exp(nll / tokens),
        }
        for size in (1, 2, 3):
            grams = [tuple(a.ids[i : i + size]) for _, a in found for i in range(len(a.ids) - size + 1)]
            row[f"distinct-{size}"] = len(set(grams)) / len(grams)
        return row | {"texts": texts}


def share(bag: Bag, found: Sequence[tuple[int, Any]]) -> float:
    """The share of a bag's words among the tokens of answers."""
    ids = [id for _, answer in found for id in answer.ids]
    return sum(id in bag.weights for id in ids) / len(ids)


def main(
    lm: str,
    attribute: Annotated[str, typer.Option(help="DIR:CLASS of gyebo attribute; the class is also the classifier's.")],
    bag: Annotated[str, typer.Option(help="Words of that class.")],
    topic: Annotated[str, typer.Option(help="Words of another attribute, composed with the first.")],
    classifier: Annotated[str, typer.Option()],
    judge: Annotated[str, typer.Option()],
    out: Annotated[Path, typer.Option("-o")],
    count: int = 100,
    several: Several = 5,
    strength: float = 1.0,
    seed: int = 0,
) -> None:
    """Generate, measure and draw."""
    answers = Answers(lm, classifier, judge, attribute.rpartition(":")[2], count, several)
    wanted = Wanted([bag, topic], [attribute])
    words, other, head = open_control(wanted, answers.model, answers.tokenizer, print).attributes
    assert isinstance(words, Bag) and isinstance(other, Bag) and isinstance(head, Discriminator)
    out.mkdir(parents=True, exist_ok=True)
    table = {}
    kinds = {"bag": [words], "discriminator": [head], "both": [words, head]}
    rows = {"B": (None, ()), "BR": (None, (head,))}
    for kind, attributes in kinds.items():
        control = Control.of(attributes, strength=strength)
        rows |= {f"BC {kind}": (control, ()), f"BCR {kind}": (control, attributes)}
    for name, (control, ranked_by) in rows.items():
        table[name] = answers.measured(answers.write(control, ranked_by, seed))
        shown = ", ".join(f"{key} {value:.3f}" for key, value in table[name].items() if key != "texts")
        print(f"{name:<20}{shown}")
    swept = [answers.measured(answers.write(Control.of([head], strength=each), seed=seed)) for each in STRENGTHS]
    composed = {}
    for name, attributes in {"neither": [], "first": [head], "second": [other], "both": [head, other]}.items():
        found = answers.write(Control.of(attributes, strength=strength) if attributes else None, seed=seed)
        composed[name] = {"first": answers.measured(found)["success"], "second": share(other, found)}
        print(f"composition, {name:<8}{composed[name]}")
    courses = {"none": None, "constant": (strength,), "growing": (0.0, 2 * strength)}
    along = {name: course_of(answers, head, course, seed) for name, course in courses.items()}
    figures = {
        "machine": machine(),
        "count": count,
        "several": several,
        "strength": strength,
        "prompts": PROMPTS,
        "table": table,
    }
    figures |= {"swept": dict(zip(map(str, STRENGTHS), swept)), "composed": composed, "along": along}
    (out / "control.json").write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    store(f"control-{attribute.rpartition(':')[2]}", without_texts(figures))
    draw(out, swept, along)


def without_texts(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures alone."""
    rows = {part: {name: dict(row) for name, row in figures[part].items()} for part in ("table", "swept")}
    for row in (row for part in rows.values() for row in part.values()):
        del row["texts"]
    return figures | rows


def course_of(answers: Answers, head: Discriminator, course: tuple[float, ...] | None, seed: int) -> list[float]:
    """The share of answers in which the classifier finds the attribute when it reads the first 4, 8, 12... tokens alone."""
    control = None if course is None else Control.of([replace(head, strength=course)])
    found = answers.write(control, seed=seed, least=LENGTH)
    read = [(PROMPTS[number], answer.ids) for number, answer in found]
    return [
        answers.success([prompt + answers.tokenizer.decode(ids[:end]) for prompt, ids in read])
        for end in range(STRIDE, LENGTH + 1, STRIDE)
    ]


def draw(out: Path, swept: list[dict[str, Any]], along: dict[str, list[float]]) -> None:
    """Both pictures."""
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.plot(STRENGTHS, [row["success"] for row in swept], "o-", label="success")
    axes.set(xlabel="strength", ylabel="share of answers with the attribute", ylim=(0, 1))
    beside = axes.twinx()
    beside.plot(STRENGTHS, [row["perplexity"] for row in swept], "s--", color="tab:red", label="perplexity")
    beside.set(ylabel="perplexity by the judge")
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(out / "strength.png", dpi=150)
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    for name, values in along.items():
        axes.plot(range(STRIDE, LENGTH + 1, STRIDE), values, "o-", label=f"strength: {name}")
    axes.set(xlabel="tokens of the answer that are read", ylabel="share of answers with the attribute", ylim=(0, 1))
    axes.legend()
    figure.savefig(out / "growing.png", dpi=150)


if __name__ == "__main__":
    typer.run(main)
