"""The table of families: how they are found."""

import pytest

from gyebo.models.family import FAMILIES, find


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_is_found_by_its_name_and_its_title_in_any_spelling(family):
    """So no spelling belongs to two of them."""
    for name in (family.name, family.title, family.title.upper(), family.title.lower(), family.title.replace("-", " ")):
        assert find(name) is family


@pytest.mark.parametrize(("name", "meant"), [("BRET", "bert"), ("GPT-3", "gpt"), ("Robert", "roberta")])
def test_an_unknown_name_suggests_the_nearest(name, meant):
    with pytest.raises(ValueError, match=f"unknown family '{name}'; did you mean .*{meant}.*There is: "):
        find(name)
