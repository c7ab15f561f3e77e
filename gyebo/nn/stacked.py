"""Which matrices of a model are several that stand one above the other, as query, key and value do."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from gyebo.nn.recurrent import ProjectedLstm

# A linear layer whose output is cut into so many equal parts -> their number, by the name of its attribute.
LINEAR = {"qkv": 3, "key_value": 2, "gate_up": 2, "value_gate": 2}
RECURRENT = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def matrices_in(stacks: Iterable[nn.Module]) -> dict[Tensor, int]:
    """The matrices of all linear and recurrent layers in these modules, each with the number of its parts."""
    found: dict[Tensor, int] = {}
    for stack in stacks:
        for name, module in stack.named_modules():
            if isinstance(module, nn.Linear):
                found[module.weight] = LINEAR.get(name.rpartition(".")[2], 1)
            elif isinstance(module, nn.RNNBase):
                parts = RECURRENT[module.mode]
                named = dict(module.named_parameters(recurse=False))
                found |= {p: 1 if "_hr_" in name else parts for name, p in named.items() if p.ndim == 2}
            elif isinstance(module, ProjectedLstm):
                found |= {module.inputs: 4, module.recurrent: 4, module.projection: 1}
    return found
