"""What text files and streams are written in does not depend on the locale: files are UTF-8, and so is what is piped."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gyebo
from tests.conftest import sentences

ROOT = Path(gyebo.__file__).parent.parent
FOLDERS = ("gyebo", "benchmarks", "docs", "recipes")
MODE = re.compile(r"[rwaxt+]{1,3}")  # of text
IN_TEXT, IN_BYTES = ("open", "io.open", "os.fdopen"), ("gzip.open", "bz2.open", "lzma.open")  # without a mode


def without_encoding(source: str) -> list[str]:
    """The calls of a file that read or write text in whatever encoding the locale has."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and by_locale(node)]


def by_locale(node: ast.Call) -> bool:
    """Whether a call's encoding is the locale's."""
    name, keywords = ast.unparse(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
    last = name.rpartition(".")[2]
    if "encoding" in keywords:
        return False
    if name.endswith((".read_text", ".write_text")):
        return len(node.args) <= (last == "write_text")
    if last == "TextIOWrapper":
        return len(node.args) < 2
    if name.startswith("subprocess.") or last in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & set(keywords))
    if (last != "open" and name not in IN_TEXT) or name == "os.open":
        return False
    place = int(name in (*IN_TEXT, *IN_BYTES))  # of a path the mode stands first, and of other things no mode
    mode = keywords.get("mode") or (node.args[place] if len(node.args) > place else None)
    if mode is None:
        return name in IN_TEXT or (name not in IN_BYTES and not node.args)
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and MODE.fullmatch(mode.value) is not None


def test_every_text_file_is_opened_with_an_encoding():
    found = {
        path.relative_to(ROOT).as_posix(): calls
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (calls := without_encoding(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_a_file_that_is_opened_without_one_is_seen():
    wrong = """
open("a")
open("a", "w")
path.open()
path.open("r+", newline="")
path.open(mode="a")
path.read_text()
path.write_text("a")
os.fdopen(3, "w")
io.TextIOWrapper(raw)
subprocess.run(["a"], text=True)
io.open("a")
"""
    right = """
open("a", "rb")
open("a", encoding="ascii")
path.open("wb")
path.open("w", encoding="utf-8")
path.read_text("utf-8")
path.write_text("a", "utf-8")
Prepared.open(folder)
tarfile.open(path, "r|*")
Image.open(path)
os.open(path, os.O_RDONLY)
os.fdopen(3, "wb")
gzip.open(path)
io.TextIOWrapper(raw, encoding, errors)
read_text(body, windows=3)
subprocess.run(["a"], text=True, encoding="utf-8")
"""
    assert len(without_encoding(wrong)) == 11 and without_encoding(right) == []


SMOKE = """
import json, os, sys
from gyebo.cli.app import main

def typed(*words):
    sys.argv = ["gyebo", *words]
    main()

small = ["--size", "tiny", "--steps", "2", "--vocab-size", "400", "--context", "32", "--batch-tokens", "256"]
typed("pretrain", "gpt2", "text.txt", "-o", "run", *small, "--set", "data.valid_share=0.1")
typed("generate", "run", "--max-new-tokens", "2", "--greedy", "--json")
typed("finetune", "run", "classification", "--data", "rows.csv", "-o", "tuned", "--steps", "2", "--batch", "8")
typed("predict", "tuned", "rows.csv", "-o", "predictions.jsonl")
"""
LOCALES = {
    "ko_KR.EUC-KR": {"LC_ALL": "ko_KR.EUC-KR", "PYTHONUTF8": "0"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(scope="module")
def locales(tmp_path_factory) -> Path:
    """A folder with the locale ko_KR.EUC-KR."""
    folder = tmp_path_factory.mktemp("locales")
    if not shutil.which("localedef") or not Path("/usr/share/i18n/locales/ko_KR").exists():
        pytest.skip("this system can't make the locale ko_KR.EUC-KR (localedef, and its sources)")
    subprocess.run(["localedef", "-i", "ko_KR", "-f", "EUC-KR", str(folder / "ko_KR.EUC-KR")], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_commands_do_not_depend_on_the_locale(locale, tmp_path, request):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIOENC"))}
    environment |= LOCALES[locale] | {"PYTHONPATH": str(ROOT), "GYEBO_CACHE": str(tmp_path / "cache")}
    if locale != "C":
        environment["LOCPATH"] = str(request.getfixturevalue("locales"))
    texts = sentences(200)
    (tmp_path / "text.txt").write_text("\n".join(text + " 뷁—😀" for text in texts), encoding="utf-8")
    rows = "".join(f"{text},{'뷁정' if number % 2 else '부정—'}\n" for number, text in enumerate(texts[:80]))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    (tmp_path / "smoke.py").write_text(SMOKE, encoding="utf-8")
    command = [sys.executable, "smoke.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, input="뷁 😀\n".encode(), check=False)
    said = done.stdout.decode("utf-8")
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode("utf-8", "replace")
    answer = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert answer["prompt"] == "뷁 😀"
    predictions = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["prediction"] for line in predictions} <= {"뷁정", "부정—"}
    assert "뷁—😀" in json.loads(next((tmp_path / "cache").glob("corpora/*/meta.json")).read_text(encoding="utf-8"))["sample"]
