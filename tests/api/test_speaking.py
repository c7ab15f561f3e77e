"""Progress where people look: in a terminal and in a notebook, and nowhere else."""

import os
import pty
import subprocess
import sys

import pytest

SCRIPT = """
import gyebo
small = {{"model.layers": 1, "model.width": 32, "model.heads": 2}}
run = gyebo.pretrain("gpt2", {corpus!r}, size="tiny", steps=40, tokenizer={tokenizer!r}, out={out!r}, context=32,
    batch_tokens=256, precision="float32", device="cpu", valid_share=0.05, settings=small{more})
"""


def script(corpus, tokenizer_folder, out, more=""):
    return SCRIPT.format(corpus=str(corpus), tokenizer=str(tokenizer_folder), out=str(out), more=more)


def in_terminal(code):
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    said = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not block:
            break
        said += block
    os.close(ours)
    assert child.wait() == 0, said.decode()
    return said.decode()


@pytest.mark.slow
def test_a_terminal_shows_a_bar_a_pipe_nothing_and_silence_is_silent(corpus, tokenizer_folder, tmp_path):
    code = script(corpus, tokenizer_folder, tmp_path / "a")
    said = in_terminal(code)
    assert "step 40/40" in said and "\x1b[" in said and "documents for training" in said
    assert in_terminal(script(corpus, tokenizer_folder, tmp_path / "b", ", verbose=False")) == ""
    code = script(corpus, tokenizer_folder, tmp_path / "c")
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, b"", b"")


@pytest.mark.slow
def test_a_notebook_shows_progress_and_the_curve(corpus, tokenizer_folder, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [
        script(corpus, tokenizer_folder, tmp_path / "a"),
        script(corpus, tokenizer_folder, tmp_path / "b", ", verbose=False"),
        "run",
        "gyebo.evaluate(run.out)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    loud, quiet, shown, figures = (cell.outputs for cell in book.cells)
    said = ["".join(each.get("data", {}).get("text/plain", each.get("text", ""))) for each in loud]
    assert any(text.strip() == "step 40/40" for text in said), said  # one line, written anew
    assert any("documents for training" in text for text in said) and not any("ipywidgets" in text for text in said)
    assert quiet == []
    assert "data:image/png;base64," in shown[0]["data"]["text/html"] and "bits per byte" in shown[0]["data"]["text/plain"]
    assert "<table>" in figures[-1]["data"]["text/html"]
