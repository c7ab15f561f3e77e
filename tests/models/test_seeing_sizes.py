"""The sizes of LXMERT and ViLBERT are those of the table."""

import pytest
import torch

from gyebo.models import family


@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in ("lxmert", "vilbert") for size in family.FAMILIES[name].sizes]
)
def test_sizes_of_the_table(name, size):
    cls = family.model_class(name)
    assert list(cls.sizes) == list(family.FAMILIES[name].sizes)
    with torch.device("meta"):
        found = cls(cls.sizes[size]).count_parameters()
    assert found == family.FAMILIES[name].sizes[size]
    assert not size.startswith("tiny") or family.FAMILIES[name].sizes[size] < 1_000_000
