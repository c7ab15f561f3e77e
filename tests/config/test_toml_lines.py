"""Lines of keys in TOML: every key that `tomllib` reads has one, and it is the line on which the key stands."""

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.config.toml_lines import key_lines

TEXT = '''# a comment = 3
title = "a # no comment = 1"
seeds = [0, # the first
  1,
  2 ]
"quoted.key" = 1
\'single [x]\' = \'C:\\path\'

[data]   # = [x]
corpus = [
  "a.txt",
  "b = [c].txt",
]
text = """
[not.a.table]
key = 1
a "quoted" word\\\\"""
raw = \'\'\'
x = '1\'\'\'
date = 1979-05-27 07:32:00

[a.b.c]
d = 1
[a]
x.y = 2
x.z = 3

[[candidates]]
family = "gpt"
optim = { lr = 1e-3, betas = [0.9, 0.95], inner = { deep = true } }

[[candidates]]
family = "bert"
  [candidates.optim]
  lr = 3
  [[candidates.parts]]
  name = "p"
  [[candidates.parts]]
[candidates.parts.of]
e = 1
[last]'''

LINES = {
    ("title",): 2,
    ("seeds",): 3,
    ("seeds", 0): 3,
    ("seeds", 1): 4,
    ("seeds", 2): 5,
    ("quoted.key",): 6,
    ("single [x]",): 7,
    ("data",): 9,
    ("data", "corpus"): 10,
    ("data", "corpus", 1): 12,
    ("data", "text"): 14,
    ("data", "raw"): 18,
    ("data", "date"): 20,
    ("a",): 22,
    ("a", "b"): 22,
    ("a", "b", "c", "d"): 23,
    ("a", "x", "y"): 25,
    ("a", "x", "z"): 26,
    ("candidates",): 28,
    ("candidates", 0): 28,
    ("candidates", 0, "optim", "betas", 1): 30,
    ("candidates", 0, "optim", "inner", "deep"): 30,
    ("candidates", 1): 32,
    ("candidates", 1, "optim"): 34,
    ("candidates", 1, "optim", "lr"): 35,
    ("candidates", 1, "parts", 0, "name"): 37,
    ("candidates", 1, "parts", 1): 38,
    ("candidates", 1, "parts", 1, "of", "e"): 40,
    ("last",): 41,
}


def places(value, place=()):
    """Every key and element of parsed TOML."""
    found = {place} if place else set()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found.union(*(places(item, (*place, key)) for key, item in inner))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines_by_hand(ending):
    text = TEXT.replace("\n", ending)
    found = key_lines(text)
    assert {place: found[place] for place in LINES} == LINES
    assert set(found) == places(tomllib.loads(text))


SCALARS = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.sampled_from("a\"'#=[]{},.\\\n 가"), max_size=8),
    st.datetimes(),
)
KEYS = st.text(st.sampled_from("ab\"'.# =[]가-"), min_size=1, max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=12
)


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans())
def test_every_key_of_a_document_is_found_once(values, multiline):
    text = tomli_w.dumps(values, multiline_strings=multiline)
    found = key_lines(text)
    assert set(found) == places(tomllib.loads(text))
    rows = text.split("\n")
    assert all(1 <= line <= len(rows) for line in found.values())
    for (*_, last), line in found.items():
        if isinstance(last, str) and last.isascii() and last.isalpha():
            assert last in rows[line - 1]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "recipes").glob("*.toml")), ids=lambda path: path.name)
def test_recipes(path):
    text = path.read_text(encoding="utf-8")
    rows = text.splitlines()
    for (*_, last), line in key_lines(text).items():
        assert isinstance(last, int) or str(last) in rows[line - 1]
