"""A fake of the jobs with known figures: training is a formula, and every call is counted."""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gyebo.compare.recipe import parse

FLOOR = 0.5


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing after it runs."""


@dataclass
class Jobs:
    """`scores[name of family][seed]`: bits per byte. A run is "trained" once its result is stored; `steps` counts events."""

    scores: dict = field(default_factory=dict)
    failing: set = field(default_factory=set)  # (family, seed) whose loss is not finite
    kill_at: int = -1
    events: list = field(default_factory=list)
    fingerprint: str = "a" * 64
    samples: list = field(default_factory=lambda: ["하나", "two"])
    sample: str = "나는 학교에 갔다."

    def event(self, *what):
        if len(self.events) == self.kill_at:
            self.kill_at = -1
            raise Killed
        self.events.append(what)

    def prepare(self, options, out, console=None):
        self.event("prepare", options.tokenizer, options.vocab_size)
        (out / "tokenizer").mkdir(exist_ok=True)
        return {
            "tokenizer": options.tokenizer or str(out / "tokenizer"),
            "documents": 1000,
            "valid_documents": 10,
            "tokens": 50_000,
            "bytes": 200_000,
            "sample": self.sample,
            "floor_bits_per_byte": FLOOR,
            "fingerprint": self.fingerprint,
        }

    def plan_steps(self, options, out, console=None):
        self.event("plan", options.family, options.size, options.seed)
        precision = "bfloat16" if options.family == "gpt" else "float32"
        steps = len(self.events) * 100  # what a measurement would give differs each time
        return {
            "steps": options.budget.steps or steps,
            "precision": precision,
            "tokens_per_step": 1000.0,
            "flops_per_step": 2e9,
            "seconds_per_step": 0.5,
        }

    def pretrain(self, options, out, *, resume=False, overwrite=False, console=None):
        stored = Path(out) / "result.json"
        if resume and stored.is_file():
            return json.loads(stored.read_text())
        out.mkdir(parents=True, exist_ok=True)
        seed, steps, lr = options.seed, options.budget.steps, options.optim.lr
        lines = [{"step": s, "loss": 3.0, "tokens": 1000 * s, "seconds": 0.5 * s} for s in range(1, steps + 1)]
        score = self.scores.get(options.family, {}).get(seed, 1.0) + (abs(lr - 1e-3) if lr else 0)
        for s in (steps // 2, steps):
            lines.append({"step": s, "tokens": 1000 * s + seed, "evaluation": {"bits_per_byte": score + (steps - s) / steps}})
        text = "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["step"]))
        failing = (options.family, seed) in self.failing or (options.family, lr) in self.failing
        (out / "metrics.jsonl").write_text(text[: len(text) // 2] if failing else text)
        self.event("train", options.family, seed, steps, options.train.precision, lr, options.tokenizer)
        if failing:
            raise RuntimeError("step 7: the loss is not finite\nmore")
        result = {
            "family": options.family,
            "size": options.size,
            "seed": seed,
            "steps": steps,
            "tokens": 1000 * steps,  # of a step on the way: a little different from seed to seed
            "bytes": 4000 * steps,
            "epochs": steps / 50,
            "flops": 2e9 * steps,
            "parameters": 1_234_567,
            "parameters_without_embeddings": 234_567,
            "seconds": 0.5 * steps,
            "tokens_per_second": 2000.0,
            "memory_bytes": 3_000_000,
            "precision": options.train.precision,
            "lr": lr or 3e-4,
            "valid": {
                "bits_per_byte": score,
                "bits_per_character": 2 * score,
                "perplexity": 10.0,
                "tokens": 500,
                "bytes": 2000,
                "floor_bits_per_byte": FLOOR,
            },
            "samples": self.samples,
        }
        stored.write_text(json.dumps(result))
        return result

    @property
    def functions(self):
        return {"pretrain": self.pretrain, "plan_steps": self.plan_steps, "prepare": self.prepare}

    def trained(self):
        """(family, seed) of each training that was begun, sweeps left out."""
        return [event[1:3] for event in self.events if event[0] == "train" and event[5] is None]


APART = {"gpt": {0: 1.20, 1: 1.21, 2: 1.22}, "gpt2": {0: 1.10, 1: 1.11, 2: 1.12}}
ALIKE = {"gpt": {0: 1.10, 1: 1.15, 2: 1.20}, "gpt2": {0: 1.12, 1: 1.13, 2: 1.19}}


def make_recipe(**changes):
    return parse(
        {
            "data": {"corpus": ["text.txt"]},
            "budget": {"minutes": 1},
            "candidates": [{"family": "gpt", "size": "tiny"}, {"family": "gpt2", "size": "tiny"}],
        }
        | changes
    )


@pytest.fixture
def jobs():
    return Jobs(copy.deepcopy(APART))


@pytest.fixture
def alike():
    return Jobs(copy.deepcopy(ALIKE))


@pytest.fixture
def recipe():
    """A function: the usual recipe with changes."""
    return make_recipe


@pytest.fixture
def killed():
    return Killed
