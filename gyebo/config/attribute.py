"""The options of an attribute model, which `gyebo attribute` trains."""

from __future__ import annotations

from pydantic import Field

from gyebo.config.finetune import TaskOptions
from gyebo.config.run import Device, Section


class AttributeOptions(Section):
    """One linear layer on a frozen language model (Dathathri et al. 2020, section 4.3); defaults as in the released code."""

    model: str = Field(description="a run, a transformers directory, or a hub id")
    task: TaskOptions
    epochs: int = Field(10, gt=0, description="passes over the training examples")
    batch: int = Field(64, gt=0, description="batch size in examples")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam, constant")
    max_length: int = Field(100, gt=0, description="maximum tokens per text; of longer ones the beginning is read")
    seed: int = Field(0, ge=0)
    device: Device = "auto"
