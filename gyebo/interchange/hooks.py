"""What a table of names cannot say: two functions of one family that undo each other, on its tensors or on its options.

Names, joins and transposes are data of the table. What is left is rare and belongs to one family: a bias stored as a row, a
matrix stored for each head, rows that stand before the first position, a table that is computed. Such a hook stands beside the
family's table, and works on what the table speaks of:

    a file <-> names as files have them today, without the prefix <-> tensor hook <-> table <-> our tensors
    `config.json` <-> table <-> option hook <-> our config

Files are read tensor by tensor, so a tensor hook is given `LazyTensor`s and returns others that are made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read from its file, or computed, each time that `read` is called, and is not kept."""

    read: Callable[[], Tensor]

    def map(self, function: Callable[[Tensor], Tensor]) -> LazyTensor:
        """What a function makes of the tensor once it is read; it must work on the meta device, too."""
        return LazyTensor(lambda: function(self.read()))


Tensors = Mapping[str, LazyTensor]  # by their names, without the prefix of the body
Options = Mapping[str, Any]  # the fields of our config


@dataclass(frozen=True)
class TensorHook:
    """Tensors as the table names them -> as files hold them (`to_theirs`), and back (`to_ours`).

    Both are given the fields of our config; `to_ours` without those that tell which parts a model has, which follow from the
    names that it gives. A name that is left out is not written, or not read. `to_ours` is called before shapes are checked; it
    raises ValueError naming a tensor whose values gyebo has no place for.
    """

    to_theirs: Callable[[Tensors, Options], Tensors] = lambda tensors, _: tensors
    to_ours: Callable[[Tensors, Options], Tensors] = lambda tensors, _: tensors


@dataclass(frozen=True)
class OptionHook:
    """The fields of our config -> as the table's fields hold them (`to_theirs`), and back (`to_ours`).

    `to_ours` is given values whose types the table has checked. Raises ValueError naming the field of `config.json` where a
    value is out of range.
    """

    to_theirs: Callable[[Options], Options] = lambda options: options
    to_ours: Callable[[Options], Options] = lambda options: options
