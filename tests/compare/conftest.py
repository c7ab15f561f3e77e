"""A fake of the jobs with known figures: training is a formula, and every call is counted."""

import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gyebo.compare import run
from gyebo.compare.recipe import parse
from gyebo.compare.session import Jobs
from gyebo.config import toml
from gyebo.jobs.results import (
    CorpusFacts,
    ExampleCounts,
    FinetuneResult,
    FinetuneSummary,
    PretrainResult,
    RunPlan,
    SeedSummary,
    SeenTests,
    TaskFacts,
    read,
)
from gyebo.models.family import AUTO, find
from gyebo.objectives.table import OBJECTIVES

FLOOR = 0.5


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing after it runs."""


@dataclass
class Fake:
    """`scores[family][seed]`: bits per byte, or masked loss. A run is "trained" once its result is stored; `events` are calls.

    `task_scores[task][family][seed]`: accuracy. `linear_scores[task]`: the baseline's.
    """

    scores: dict = field(default_factory=dict)
    failing: set = field(default_factory=set)  # (family, seed) whose loss is not finite; (task, family, seed) likewise
    kill_at: int = -1
    events: list = field(default_factory=list)
    fingerprint: str = "a" * 64
    samples: list = field(default_factory=lambda: ["하나", "two"])
    sample: str = "나는 학교에 갔다."
    task_scores: dict = field(default_factory=dict)
    linear_scores: dict = field(default_factory=dict)
    kinds: dict = field(default_factory=dict)  # task -> kind, by default classification
    examples: str = "b" * 64
    seen: dict = field(default_factory=dict)  # task -> SeenTests, by default nothing was found
    slower: dict = field(default_factory=dict)  # family -> how many times slower it trains than was timed
    pretrained: int | None = None  # the seed of what is fine-tuned, by default that of the fine-tuning

    def event(self, *what):
        if len(self.events) == self.kill_at:
            self.kill_at = -1
            raise Killed
        self.events.append(what)

    def prepare(self, options, out, console=None):
        self.event("prepare", options.tokenizer, options.vocab_size)
        (out / "tokenizer").mkdir(exist_ok=True)
        return CorpusFacts(
            tokenizer=options.tokenizer or str(out / "tokenizer"),
            documents=1000,
            valid_documents=10,
            tokens=50_000,
            bytes=200_000,
            sample=self.sample,
            floor_bits_per_byte=FLOOR,
            fingerprint=self.fingerprint,
        )

    def left_open(self, options):
        return ["size"] if options.size in AUTO else []

    def decided(self, options, out, console=None):
        """What a measurement gives differs each time."""
        self.event("size", *[one.family for one in options])
        train = options[0].train.model_copy(update={"batch_tokens": 1000})
        shape = {"model": {"width": 100 + len(self.events)}, "size": "mini", "train": train}
        return [one.model_copy(update=shape) for one in options]

    def plan_steps(self, options, out, console=None):
        return [self.plan(one) for one in options]

    def plan(self, options):
        self.event("plan", options.family, options.size, options.seed)
        precision = "bfloat16" if options.family == "gpt" else "float32"
        steps = len(self.events) * 100  # what a measurement would give differs each time
        return RunPlan(
            steps=options.budget.steps or steps,
            precision=precision,
            tokens_per_step=1000.0,
            flops_per_step=2e9,
            seconds_per_step=0.5,
            epochs=2.0,
            parameters=1_234_567,
            parameters_without_embeddings=234_567,
            device="cpu",
        )

    def pretrain(self, options, out, *, resume=False, overwrite=False, console=None, watch=None):
        stored = Path(out) / "run.toml"
        record = toml.read(stored) if stored.is_file() else {}
        if resume and "result" in record:
            return read(PretrainResult, record["result"], str(stored))
        out.mkdir(parents=True, exist_ok=True)
        if record:
            stored_budget = record["options"]["budget"]
            assert stored_budget == options.budget.model_dump(exclude_none=True), "a run is resumed as it was begun"
        record = {"options": options.model_dump(mode="json")}
        stored.write_text(toml.dump(record))
        seed, steps, lr = options.seed, options.budget.steps, options.optim.lr
        speed = 0.5 * self.slower.get(options.family, 1.0)
        for step in range(steps if watch else 0):
            watch(step, step * speed)
        facts = OBJECTIVES[find(options.family).objective]
        metric = facts.metric
        lines = [{"step": s, "loss": 3.0, "tokens": 1000 * s, "seconds": speed * s} for s in range(1, steps + 1)]
        score = self.scores.get(options.family, {}).get(seed, 1.0) + (abs(lr - 1e-3) if lr else 0)
        for s in (steps // 2, steps):
            lines.append({"step": s, "tokens": 1000 * s + seed, "evaluation": {metric: score + (steps - s) / steps}})
        text = "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["step"]))
        failing = (options.family, seed) in self.failing or (options.family, lr) in self.failing
        (out / "metrics.jsonl").write_text(text[: len(text) // 2] if failing else text)
        self.event("train", options.family, seed, steps, options.train.precision, lr, options.tokenizer)
        if failing:
            raise RuntimeError("step 7: the loss is not finite\nmore")
        likelihood = {"bits_per_character": 2 * score, "perplexity": 10.0, "bytes": 2000, "floor_bits_per_byte": FLOOR}
        result = PretrainResult(
            family=options.family,
            size=options.size,
            seed=seed,
            steps=steps,
            tokens=1000 * steps,  # of a step on the way: a little different from seed to seed
            bytes=4000 * steps,
            epochs=steps / 50,
            flops=2e9 * steps,
            parameters=1_234_567,
            parameters_without_embeddings=234_567,
            seconds=speed * steps,
            tokens_per_second=2000.0,
            memory_bytes=3_000_000,
            precision=options.train.precision,
            lr=lr or 3e-4,
            valid={metric: score, "tokens": 500}
            | (likelihood if facts.likelihood else {metric.replace("loss", "accuracy"): 0.25}),
            samples=self.samples,
            metric=metric,
        )
        stored.write_text(toml.dump(record | {"result": result.as_dict()}))
        return result

    def branch(self, run, step, out):
        assert (run / "run.toml").is_file(), "a branch leaves a run in training"
        self.event("branch", step, *out.parts[-5:])

    def examine(self, options):
        self.event("examine", options.name)
        return TaskFacts(
            title=f"the task {options.name}",
            kind=self.kinds.get(options.name, "classification"),
            score="accuracy",
            labels=2,
            measured="test",
            examples=ExampleCounts(train=4000, valid=500, test=1000),
            notes=[],
            note="",
            fingerprint=self.examples,
        )

    def find_test_texts(self, tasks, data):
        self.event("search", *tasks, *data.without)
        return {name: self.seen.get(name, SeenTests()) for name in tasks}

    def keep_test_texts(self, tasks, field, path):
        self.event("keep", *tasks, field)
        path.write_text("{}")

    def finetune(self, options, out, *, resume=False, overwrite=False, console=None):
        """Only from a finished run, whose family decides the score."""
        stored = Path(out) / "run.toml"
        if resume and stored.is_file():
            return read(FinetuneResult, json.loads(stored.read_text()), str(stored))
        out.mkdir(parents=True, exist_ok=True)
        family = toml.read(Path(options.model) / "run.toml")["result"]["family"]
        assert options.model.endswith(f"seed-{self.pretrained if self.pretrained is not None else options.seed}")
        task = options.task.name
        self.event("tune", family, task, options.seed, options.precision, options.optim.lr, options.epochs)
        if (task, family, options.seed) in self.failing:
            raise RuntimeError("step 3: the loss is not finite")
        score = self.task_scores.get(task, {}).get(family, {}).get(options.seed, 0.5)
        result = FinetuneResult(
            task=task,
            kind="classification",
            model=options.model,
            family=family,
            tokens=100_000,
            seed=options.seed,
            score="accuracy",
            measured="test",
            valid={"accuracy": 1 - score, "macro_f1": 0.4},  # so that the seeds' order differs from that on the test
            test={"accuracy": score, "macro_f1": 0.3},
            steps=90,
            epochs=3.0,
            examples=4000,
            lr=options.optim.lr or 5e-4,
            precision=options.precision,
            parameters=1_200_000,
            seconds=120.0,
            memory_bytes=2_000_000,
            notes=[],
            auto_class="AutoModelForSequenceClassification",
        )
        stored.write_text(json.dumps(result.as_dict()))
        return result

    def linear(self, options, out, *, overwrite=False):
        assert not out.exists(), "an existing run would be refused"
        out.mkdir(parents=True)
        self.event("linear", options.name)
        if ("linear", options.name) in self.failing:
            raise ValueError("too few examples")
        mean = self.linear_scores.get(options.name, 0.6)
        score = {"accuracy": SeedSummary(mean=mean, values=[mean]), "macro_f1": SeedSummary(mean=0.2, values=[0.2])}
        return FinetuneSummary(
            task=options.name,
            model="linear",
            score="accuracy",
            measured="test",
            examples=4000,
            parameters=54_321,
            seeds=[0],
            valid=score,
            test=score,
            best_seed=0,
        )

    @property
    def functions(self):
        """As `compare` takes them."""
        return {
            "jobs": Jobs(
                prepare=self.prepare,
                left_open=self.left_open,
                decided=self.decided,
                plan_steps=self.plan_steps,
                pretrain=self.pretrain,
                branch=self.branch,
                examine=self.examine,
                find_test_texts=self.find_test_texts,
                keep_test_texts=self.keep_test_texts,
                finetune=self.finetune,
                linear=self.linear,
            ),
        }

    def but(self, **changed):
        """The same with other functions."""
        return {"jobs": replace(self.functions["jobs"], **changed)}

    def trained(self):
        """(family, seed) of each training that was begun, sweeps left out."""
        return [event[1:3] for event in self.events if event[0] == "train" and event[5] is None]

    def tuned(self):
        """(family, task, seed) of each fine-tuning that was begun."""
        return [event[1:4] for event in self.events if event[0] == "tune"]


APART = {"gpt": {0: 1.20, 1: 1.21, 2: 1.22}, "gpt2": {0: 1.10, 1: 1.11, 2: 1.12}, "bert": {0: 3.0, 1: 3.1, 2: 3.2}}
ALIKE = {"gpt": {0: 1.10, 1: 1.15, 2: 1.20}, "gpt2": {0: 1.12, 1: 1.13, 2: 1.19}}
TASK_SCORES = {
    "world-sentiment": {
        "gpt2": {0: 0.80, 1: 0.81, 2: 0.82},
        "bert": {0: 0.90, 1: 0.91, 2: 0.92},
        "roberta": {0: 0.85, 1: 0.86, 2: 0.87},
    },
    "world-entailment": {
        "gpt2": {0: 0.70, 1: 0.71, 2: 0.72},
        "bert": {0: 0.60, 1: 0.61, 2: 0.62},
        "roberta": {0: 0.50, 1: 0.51, 2: 0.52},
    },
}


def make_recipe(**changes):
    return parse(
        {
            "data": {"corpus": ["text.txt"]},
            "budget": {"minutes": 1},
            "candidates": [{"family": "gpt", "size": "tiny"}, {"family": "gpt2", "size": "tiny"}],
        }
        | changes
    )


def make_task_recipe(**changes):
    families = [{"family": family, "size": "tiny"} for family in ("gpt2", "bert", "roberta")]
    return make_recipe(**{"candidates": families, "tasks": [{"name": "world-sentiment"}]} | changes)


@pytest.fixture
def jobs():
    return Fake(copy.deepcopy(APART), task_scores=copy.deepcopy(TASK_SCORES))


@pytest.fixture
def alike():
    return Fake(copy.deepcopy(ALIKE))


@pytest.fixture
def recipe():
    """A function: the usual recipe with changes."""
    return make_recipe


@pytest.fixture
def task_recipe():
    """A function: GPT-2, BERT and RoBERTa with one task, with changes."""
    return make_task_recipe


@pytest.fixture
def killed():
    return Killed


@pytest.fixture
def no_pictures(monkeypatch):
    """Comparisons without report.html, which takes the longest."""
    monkeypatch.setattr(run, "write_report", lambda comparison: None)
