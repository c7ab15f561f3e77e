"""Counting the operations for which a program has to wait for an accelerator, also where there is none."""

import traceback
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from gyebo.nn import host

UNIQUE = {"_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive"}
READ = {"_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal", "is_nonzero", *UNIQUE}


class Waits(TorchDispatchMode):
    """Within it the tensors of `device` and all that is computed from them count as an accelerator's. `found`: where one of
    their values is read, or decides on the size of what comes out."""

    def __init__(self, device):
        super().__init__()
        self.found, self.device = Counter(), WeakTensorKeyDictionary()
        for tensor in device:
            self.device[tensor] = True

    def copied(self, values, device):
        """In the place of `gyebo.nn.host.to_device`."""
        found = values.clone()
        self.device[found] = True
        host._made[found] = values
        return found

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor) and leaf in self.device]
        found = function(*args, **(kwargs or {}))
        if given:
            for leaf in tree_leaves(found):
                if isinstance(leaf, torch.Tensor):
                    self.device[leaf] = True
            if self._waits(function, args, kwargs or {}):
                where = [f for f in traceback.extract_stack() if "torch" not in f.filename and f.filename != __file__][-1]
                self.found[f"{function._schema.name} in {where.filename}, line {where.lineno}"] += 1
        return found

    def _waits(self, function, args, kwargs):
        name = function._schema.name.rpartition("::")[2]
        if name in ("index", "index_put", "index_put_"):
            return any(index is not None and index.dtype == torch.bool and index in self.device for index in args[1])
        if name == "repeat_interleave":
            return function._overloadname == "Tensor" and kwargs.get("output_size") is None
        return name in READ
