"""docs/results.md quotes the stored result files: its tables are made anew and compared, its sentences looked for."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    place = importlib.util.spec_from_file_location("make_results", ROOT / "docs" / "make_results.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.fixture
def files(script):
    return importlib.import_module("result_tables.files")


def test_every_table_with_stored_figures_is_up_to_date(script):
    pages = [page.read_text(encoding="utf-8") for page in script.PAGES]
    assert [script.written(page) for page in pages] == pages, "run: python docs/make_results.py"
    assert sorted(name for page in pages for name in script.MARKED.findall(page)) == sorted(script.TABLES)


def test_every_sentence_quotes_what_is_stored(script):
    pages = [script.PAGE, *(ROOT / "docs" / "families").glob("*.md")]
    text = " ".join(word for page in pages for word in page.read_text(encoding="utf-8").split())
    missing = [sentence for sentence in script.sentences() if sentence not in text]
    assert not missing


def test_another_figure_is_another_table(script, files, tmp_path, monkeypatch):
    shutil.copytree(files.BENCHMARKS, tmp_path / "results")
    monkeypatch.setattr(files, "BENCHMARKS", tmp_path / "results")
    page, sentences = script.PAGE.read_text(encoding="utf-8"), list(script.sentences())
    file = tmp_path / "results" / "training.json"
    figures = json.loads(file.read_text(encoding="utf-8"))
    figures["median_seconds"]["gyebo"] *= 2
    figures["share_of_matmul_rate"] /= 2
    file.write_text(json.dumps(figures), encoding="utf-8")
    made = script.written(page)
    changed = [(old, new) for old, new in zip(page.splitlines(), made.splitlines()) if old != new]
    assert changed == [("| gyebo | 1.30 | |", "| gyebo | 2.60 | |")]
    assert set(sentences) - set(script.sentences()) == {"gyebo reaches 62 %"}


def test_a_mark_of_no_table_is_an_error(script):
    with pytest.raises(KeyError):
        script.written("<!-- table other -->\n| a |\n<!-- end -->")


def test_every_stored_file_is_quoted(script, files, monkeypatch):
    found = []
    plain = files.read
    monkeypatch.setattr(files, "read", lambda path: found.append(path) or plain(path))
    for page in script.PAGES:
        script.written(page.read_text(encoding="utf-8"))
    list(script.sentences())
    assert set(found) == {path for folder in (files.BENCHMARKS, files.LAB) for path in folder.glob("*.json")}
