"""What a refused option is recognised by: the names in the error, not its words."""

from contextlib import contextmanager

import pytest

from gyebo.config.errors import NAMED, OptionError


@contextmanager
def option_error(*fields):
    """Expects an OptionError that names these options."""
    with pytest.raises(OptionError) as caught:
        yield caught
    named = {found[1] for found in NAMED.finditer(caught.value.text)}
    assert set(fields) <= named, f"expected {fields}, but: {caught.value.text}"
