"""Tables of names are found by one rule: a family's file, or that of the parent named in `family.py`."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gyebo.interchange import families
from gyebo.interchange.format import Format
from gyebo.interchange.registry import FORMATS, find_format, formats_of, home
from gyebo.models.family import FAMILIES

FILES = sorted(path.stem for path in Path(families.__file__).parent.glob("*.py") if path.stem != "__init__")


def ancestors(family):
    return {family}.union(*(ancestors(parent) for parent in FAMILIES[family].parents))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_tables_in_its_file_or_a_parents(family):
    module = home(family)
    stem = module.rpartition(".")[2]
    assert stem == family if family in FILES else stem in ancestors(family)
    tables = formats_of(family)
    assert tables and all(table.family == family for table in tables)
    with_names = {table.model_type for table in importlib.import_module(module).FORMATS}
    assert {table.model_type for table in tables} <= with_names


@pytest.mark.parametrize("file", FILES)
def test_every_table_that_a_file_makes_is_found(file):
    module = importlib.import_module(f"{families.__name__}.{file}")
    made = [value for value in vars(module).values() if isinstance(value, Format)]
    assert all(table in module.FORMATS for table in made if home(table.family) == module.__name__)
    for table in module.FORMATS:
        assert home(table.family) == module.__name__ and FORMATS[table.key] is table


def test_the_first_table_that_fits_is_written():
    assert [table.model_type for table in formats_of("transformer")] == ["marian", "pegasus", "gyebo-transformer"]


@pytest.mark.parametrize("key", FORMATS)
def test_no_two_classes_of_a_table_have_one_name_or_one_task(key):
    table, _ = find_format({"model_type": FORMATS[key].model_type, **FORMATS[key].written}, "x")
    assert table.key == key
    names = [(entry.name, entry.told_by) for entry in table.architectures]
    kinds = [(entry.kind, entry.name.startswith("GyeboFor")) for entry in table.architectures if entry.kind is not None]
    assert len(set(names)) == len(names) and len(set(kinds)) == len(kinds)


def test_a_directory_may_name_its_class_alone():
    for name, model_type in (("GPT2ForTokenClassification", "gpt2"), ("MarianMTModel", "marian"), ("BertModel", "bert")):
        table, architecture = find_format({"architectures": [name]}, "x")
        assert table.model_type == model_type and architecture.name == name
