"""One optimiser step for every family: the same on one process or several, with one micro-batch or many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.config.errors import OptionError
from gyebo.config.run import OptimOptions
from gyebo.data.streams import tokens_seen
from gyebo.nn import host
from gyebo.nn.settling import Settling
from gyebo.nn.state import StateTree, each, leaves
from gyebo.objectives.objective import Batch
from gyebo.training import distributed
from gyebo.training.device import DTYPES
from gyebo.training.optimizer import default_lr, make_optimizer, trained_layers, unfrozen
from gyebo.training.schedule import learning_rate
from gyebo.training.seeds import derive, seed_torch


class NotFinite(RuntimeError):
    """The loss or the gradient of a step is infinite or not a number."""

    def __init__(self, step: int, loss: float, norm: float):
        super().__init__(f"step {step}: loss {loss}, norm of the gradient {norm}")
        self.step = step


@dataclass(frozen=True)
class Figures:
    """What a step gave, still on the device. `values`: the mean of each term of the loss by its name, and then the norm of the
    gradient; `weights`: of the terms that the batch has. `tokens`: so far."""

    step: int
    lr: float
    tokens: int
    names: tuple[str, ...]
    weights: dict[str, float]
    values: Tensor


def read(figures: Sequence[Figures]) -> Iterator[dict[str, Any]]:
    """The records of steps: step, loss (the weighted sum of the terms' means), lr, grad_norm, tokens so far; where there are
    several terms, the mean of each as loss_NAME, without its weight. The device is waited for once.

    Raises NotFinite, on every process, after the records before a step whose loss or gradient is not finite.
    """
    values = iter(torch.cat([found.values for found in figures]).tolist())
    for found in figures:
        terms = {name: next(values) for name in found.names}
        norm = next(values)
        loss = sum(weight * terms[name] for name, weight in found.weights.items())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NotFinite(found.step, loss, norm)
        record = {"step": found.step, "loss": loss, "lr": found.lr, "grad_norm": norm, "tokens": found.tokens}
        yield record | ({f"loss_{name}": terms[name] for name in found.weights} if len(found.weights) > 1 else {})


class _Terms(nn.Module):
    """The module that DistributedDataParallel wraps: from a batch to the terms of the loss."""

    def __init__(self, model: nn.Module, objective: Any):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        return self.objective.loss(self.model, batch)


@dataclass
class Trainer:
    """A model, its objective, its rows, and the progress of its training.

    `batch_rows`: rows of a step over all processes; `micro_rows`: the most rows of a forward pass. `step`: number of finished
    steps; `tokens` and `seconds`: sums over them. `unfreeze`: share of the run over which layer groups are unfrozen, one after
    the other.
    """

    model: nn.Module
    objective: Any
    rows: Any  # `gyebo.data.batches.Rows`, or what offers the same `step`, `ids`, `streams` and `carries`
    _: KW_ONLY
    options: OptimOptions
    steps: int
    batch_rows: int
    micro_rows: int
    seed: int
    device: torch.device
    precision: str
    compile: bool = False
    unfreeze: float = 0.0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    evaluations: list[dict[str, Any]] = field(default_factory=list)  # their records so far; on the first process
    stop_requested: bool = False  # by a signal
    carried: StateTree | None = None  # of lanes: the state of each of this process's rows after the last window
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        if self.batch_rows < distributed.world_size():
            raise OptionError(
                f"‹train.batch_tokens› gives {self.batch_rows} rows for {distributed.world_size()} processes: increase it"
            )
        self.model.to(self.device).train()
        self.optimizer = make_optimizer(self.model, self.options)
        self.layers = trained_layers(self.model) if self.unfreeze else []
        config: Any = self.model.config
        self.peak_lr = self.options.lr or default_lr(config.width, self.options.name)
        if self.rows.carries:
            first, last = self._share()
            model: Any = self.model
            self.carried = model.fresh_state(last - first)
        terms: nn.Module = _Terms(self.model, self.objective)
        if distributed.world_size() > 1:
            terms = nn.parallel.DistributedDataParallel(terms, broadcast_buffers=False)  # what changes settles alike in all
        self.terms: Any = torch.compile(terms) if self.compile else terms
        self.settling = [part for part in self.model.modules() if isinstance(part, Settling)]

    def micro_batches(self) -> Iterator[Batch]:
        """This process's share of the next global batch, on the CPU, where it is counted; only the state is on the device."""
        first, last = self._share()
        for start in range(first, last, self.micro_rows):
            count = min(self.micro_rows, last - start)
            arrays = self.rows.step(self.step, self.batch_rows, self.seed, start, count)
            batch: Batch = {name: torch.from_numpy(values) for name, values in arrays.items()}
            if self.carried is not None:
                part = slice(start - first, start - first + count)
                starts = ~host.to_device(batch.pop("continues"), self.device)
                model: Any = self.model
                batch["state"] = model.reset(each(lambda leaf, part=part: leaf[part], self.carried), starts)
            if self.objective.scheduled:
                batch["progress"] = self.step / self.steps
            yield batch

    def _share(self) -> tuple[int, int]:
        """The first and the last (exclusive) of this process's rows in a global batch."""
        rank, world = distributed.rank(), distributed.world_size()
        return self.batch_rows * rank // world, self.batch_rows * (rank + 1) // world

    def advance(self) -> dict[str, Any]:
        """One step; returns its record, as `read`. Raises NotFinite before the weights are updated."""
        figures, batches = self._gradient()
        [record] = read([figures])
        self._update(figures, batches)
        return record

    def advance_unread(self) -> Figures:
        """One step, for which the device is not waited: whether loss and gradient were finite is known when they are read."""
        figures, batches = self._gradient()
        self._update(figures, batches)
        return figures

    def _gradient(self) -> tuple[Figures, list[Batch]]:
        """The gradient of the next global batch, and what is known of it."""
        self._unfreeze()
        batches = list(self.micro_batches())
        counts = self._global_counts(batches)
        self.optimizer.zero_grad(set_to_none=True)
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        means = {name: torch.zeros((), dtype=exact, device=self.device) for name in counts}
        weights: dict[str, float] = {}
        for number, batch in enumerate(batches):
            seed_torch(self.seed, "dropout", self.step, number, distributed.rank())
            weights |= self._backward(batch, counts, means, last=number == len(batches) - 1)
        values = torch.cat([distributed.total(torch.stack([*means.values()])), self._clip().to(exact)[None]])
        tokens = self.tokens + int(counts["tokens"])
        return Figures(self.step + 1, self._lr(self.step + 1), tokens, tuple(means), weights, values), batches

    def _update(self, figures: Figures, batches: list[Batch]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = figures.lr * group["scale"]
        self.optimizer.step()
        for part in self.settling:
            part.settle(distributed.total, first=distributed.rank() == 0)
        if self.carried is not None:
            self.carried = each(lambda *parts: torch.cat(parts), *(batch["state"] for batch in batches))
        self.step, self.tokens = figures.step, figures.tokens

    def _unfreeze(self) -> None:
        """Unfreeze the layer groups that are due: a function of the step, so that nothing needs to be stored."""
        count = unfrozen(len(self.layers), self.step + 1, self.steps, self.unfreeze)
        for number, layer in enumerate(reversed(self.layers)):
            for parameter in layer:
                parameter.requires_grad_(number < count)

    def _global_counts(self, batches: list[Batch]) -> dict[str, float]:
        """Count of each term, and of real tokens, over all micro-batches and processes."""
        found: dict[str, float] = {}
        for batch in batches:
            for name, count in {**self.objective.counts(batch), "tokens": tokens_seen(batch, self.rows.streams)}.items():
                found[name] = found.get(name, 0.0) + count
        return dict(zip(found, distributed.sum_over_processes(list(found.values()), self.device)))

    def _backward(self, batch: Batch, counts: dict[str, float], means: dict[str, Tensor], last: bool) -> dict[str, float]:
        """Add the micro-batch's gradient, and to `means` its share of each term; returns the weights of the terms.

        A term with a count of zero in the global batch is skipped.
        """
        world = distributed.world_size()
        # Both passes are inside no_sync: gradients are exchanged once a step, with the last micro-batch.
        no_sync = self.terms.no_sync() if world > 1 and not last else nullcontext()
        autocast = torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "float32")
        moved = {name: values for name, values in batch.items() if isinstance(values, Tensor)}
        batch.update({name: host.to_device(values, self.device) for name, values in moved.items()})
        with no_sync:
            with autocast:
                terms = self.terms(batch)
            weights = {name: weight for name, (_, weight) in terms.items() if counts[name]}
            parts = {name: terms[name][0] / counts[name] for name in weights}
            if parts:
                # DDP averages over processes, but the counts are global already.
                (torch.stack([weights[name] * part for name, part in parts.items()]).sum() * world).backward()
        for name, part in parts.items():
            means[name] += part.detach()
        return weights

    def _clip(self) -> Tensor:
        """Clip the gradient; gives its norm before, a scalar."""
        limit = self.options.clip or math.inf
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)

    def _lr(self, step: int) -> float:
        o = self.options
        return learning_rate(step, peak=self.peak_lr, steps=self.steps, warmup=o.warmup, schedule=o.schedule, final=o.final_lr)

    def state(self) -> dict[str, Any]:
        """The counters and evaluations of a checkpoint. Random generators need none: see `gyebo/training/seeds.py`."""
        return {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "evaluations": self.evaluations}

    def all_carried(self) -> StateTree | None:
        """The carried state of all rows of a global batch, in order; None where none is carried."""
        if self.carried is None:
            return None
        return each(lambda leaf: distributed.gather_rows(leaf, self.batch_rows), self.carried)

    def restore(self, state: dict[str, Any], carried: StateTree | None = None) -> None:
        """Load the counters and the carried state of all rows; ValueError where this run's model carries another state."""
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.evaluations = state.get("evaluations", [])
        if (carried is None) != (self.carried is None):
            raise ValueError("only one of checkpoint and run carries a state from row to row (data.order)")
        if carried is not None and self.carried is not None:
            found, own = leaves(carried), leaves(self.carried)
            if wrong := sorted(found.keys() ^ own.keys()):
                raise ValueError(f"the checkpoint's state is not one of this model: {wrong[0]!r} is missing or unexpected")
            for name, leaf in found.items():
                expected = (self.batch_rows, *own[name].shape[1:])
                if leaf.shape != expected:
                    raise ValueError(
                        f"the checkpoint's state {name!r} has shape {[*leaf.shape]}, but that of this run has {[*expected]}: "
                        "resume with the model and batch size of the checkpoint"
                    )
            first, last = self._share()
            self.carried = each(lambda leaf: leaf[first:last].to(self.device), carried)


def initial_seed(seed: int) -> int:
    """The seed of the initial weights."""
    return derive(seed, "weights")
