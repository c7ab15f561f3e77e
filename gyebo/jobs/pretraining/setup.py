"""What a training run is made of, ready to be trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import torch

from gyebo.config.run import OPTIMIZERS, RunOptions
from gyebo.data.batches import Rows
from gyebo.data.plan import Plan
from gyebo.data.shards import Prepared
from gyebo.evaluation import measures
from gyebo.jobs.workload import Projected, sampled, tokens_of
from gyebo.models.tree.row import Family
from gyebo.nn.cost import Workload
from gyebo.objectives import table
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.objective import Objective
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES
from gyebo.training.optimizer import default_lr, update_flops
from gyebo.training.trainer import Trainer


@dataclass
class Setup:
    """All that a run is made of, ready to be trained."""

    options: RunOptions
    family: Family
    tokenizer: Tokenizer | None  # the family's copy
    _: KW_ONLY
    prepared: Prepared
    make_model: Callable[[], Any]
    dropouts: dict[str, float]  # of the model, which this training may have a share of
    objective: Objective
    rows: Rows
    valid: Rows
    batch_rows: int
    micro_rows: int
    device: torch.device

    def trainer(self, precision: str, steps: int, *, compile: bool = False) -> Trainer:
        """A fresh trainer: weights drawn from the seed, or those that the run starts from."""
        return Trainer(
            self.make_model(),
            self.objective,
            self.rows,
            options=self.options.optim,
            steps=steps,
            batch_rows=self.batch_rows,
            micro_rows=self.micro_rows,
            seed=self.options.seed,
            device=self.device,
            precision=precision,
            compile=compile,
        )

    @property
    def facts(self) -> ObjectiveFacts:
        """The row of the objective in the table."""
        return table.asked(self.family.objective, self.options.objective, teacher=self.options.teacher is not None)

    def sample(self, model: Any, count: int) -> list[str]:
        """A few lines of what the model can do."""
        return measures.sample(self.facts, model, self.tokenizer, self.valid, count=count)

    def autocast(self, precision: str) -> Callable[[], Any]:
        """The context in which this run's forward passes stand."""
        return lambda: torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32")

    @property
    def shape(self) -> str:
        """The size's name, or where the weights came from."""
        if self.options.teacher:
            return f"student of {self.options.teacher}"
        return f"from {self.options.start_from}" if self.options.start_from else self.options.size

    def outline(self) -> Any:
        """The model, where it is new without its weights: it knows its parameters and FLOPs."""
        if self.options.start_from:  # whose spelling is in its files
            return self.make_model()
        with torch.device("meta"):
            return self.make_model()

    def described_optimizer(self) -> str:
        """The optimiser with its peak learning rate and schedule, in words."""
        optim = self.options.optim
        lr = optim.lr or default_lr(self.outline().config.width, optim.name)
        return f"{OPTIMIZERS[optim.name]}, peak learning rate {lr:g}, {optim.schedule} schedule"

    @cached_property
    def tokens_per_step(self) -> float:
        """Real tokens in a step: the plan's exact mean, or where texts are shortened on the way that of some steps."""
        if not self.objective.shortens:
            return self.batch_rows * self.rows.plan.mean_tokens
        work, steps = self._sample
        return tokens_of(work, self.rows.streams) / steps

    def flops_per_step(self, model: Any) -> float:
        """FLOPs of a step on average (`gyebo/nn/cost.py`): the forward pass, twice as many backward, the optimiser's matrix
        products, and the forward pass of a teacher."""
        flops = 3 * self._forward_flops(model, self._sample[0]) + update_flops(model, self.options.optim)
        teacher = self.objective.teacher
        return flops if teacher is None else flops + self._forward_flops(teacher, self._sampled(self.objective.taught)[0])

    def _forward_flops(self, model: Any, work: Workload) -> float:
        """FLOPs of a model's forward passes in a step, from the workload of some steps: of all documents of the plan, where it
        knows what is read."""
        tokens, plan = tokens_of(work, self.rows.streams), self.rows.plan
        if isinstance(plan, Plan) and not self.objective.shortens and not self._by_pass(model):
            rows = {head: count * plan.positions / tokens for head, count in work.projected.items()}
            work = Workload(plan.document_lengths(one_document=self.objective.one_document), rows)
            tokens = plan.positions
        return model.flops(work) * self.tokens_per_step / tokens

    @staticmethod
    def _by_pass(model: Any) -> bool:
        """Whether what a model computes depends on what shares a pass."""
        return bool(model.reads_characters or (model.has_clusters and model.config.cutoffs))

    @cached_property
    def _sample(self) -> tuple[Workload, int]:
        return self._sampled(self.objective.projected)

    def _sampled(self, projected: Projected) -> tuple[Workload, int]:
        seed = self.options.seed if self.rows.carries else 0  # lanes have one order, that of their seed
        rows = {"batch_rows": self.batch_rows, "micro_rows": self.micro_rows}
        return sampled(self.rows, self.outline(), projected, seed=seed, **rows)
