"""Make the stored runs of this folder, with the version of gyebo that is on PYTHONPATH: python tests/stored/make.py FOLDER.

They were made by the version before kinds of task, streams and state trees (commit 2e6370f): what it stored stays readable.
`runs.tar.xz` holds them: each whole, with its last weights only, and some killed half-way (`NAME-half`), with what is needed to
resume them. Paths in the half-way comparison begin with `/stored`, where they began with the folder that it was made in.
"""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

KILL = """
import os, signal, sys
from gyebo.training import checkpoint
plain, at, seen = checkpoint.write, int(sys.argv[1]), [0]
def write(*given, **named):
    path = plain(*given, **named)
    seen[0] += 1
    if seen[0] == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return path
checkpoint.write = write
from gyebo.cli import main
sys.argv = ["gyebo", *sys.argv[2:]]
main()
"""
COMMON = ["--precision", "float32", "--device", "cpu"]
PRETRAIN = ["--size", "tiny", "--steps", "4", "--checkpoint-every", "2", "--context", "24", "--batch-tokens", "96"]
PRETRAIN += ["--valid-share", "0.1", "--tokenizer", "tokenizer", "--set", "model.layers=1", "--set", "model.width=16"]
HEADS = ["--set", "model.heads=2"]
TUNE = ["classification", "--data", "reviews.csv", "--epochs", "2", "--batch", "8"]
PAIRS = ["translation", "--data", "pairs", "--text", "en", "--label", "ko", "--tokenizer", "tokenizer", "--epochs", "4"]
PAIRS += ["--set", "translation.batch_tokens=512", "--set", "translation.average=1", "--set", "shape.width=16"]
PAIRS += ["--set", "shape.heads=2", "--set", "shape.layers=1", "--set", "shape.decoder_layers=1", "--set", "shape.inner=16"]
RUNS = {
    "gpt2": ["pretrain", "gpt2", "corpus.txt", *PRETRAIN, *HEADS],
    "bert": ["pretrain", "bert", "corpus.txt", *PRETRAIN, *HEADS, "--set", "objective.format=segment-pair"],
    "lstm": ["pretrain", "lstm", "corpus.txt", *PRETRAIN],
    "ulmfit": ["pretrain", "ulmfit", "corpus.txt", *PRETRAIN, "--set", "model.inner=16"],
    "reviews-bert": ["finetune", "bert", *TUNE],
    "reviews-ulmfit": ["finetune", "ulmfit", *TUNE],
    "translator": ["finetune", "transformer:tiny", *PAIRS],
}
HALVES = ("gpt2", "lstm", "reviews-bert", "reviews-ulmfit", "translator")


def gyebo(folder: Path, arguments: list[str], kill: int | None = None) -> int:
    """Run a command in the folder; `kill`: after so many checkpoints."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GYEBO_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    start = [sys.executable, "-m", "gyebo"] if kill is None else [sys.executable, "-c", KILL, str(kill)]
    return subprocess.run([*start, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL).returncode


def trim(folder: Path, half: bool) -> None:
    """Leave what a resumption needs, or of a whole run its last weights and what opens them."""
    steps = sorted((folder / "checkpoints").glob("step-*"), key=lambda path: int(path.name.partition("-")[2]))
    for step in steps[:-1] if half else steps:
        shutil.rmtree(step)
    for name in ("README.md", "loss.png", "learning.png", "confusion.png", "lengths.png", "predictions.jsonl"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("events.*"):
        path.unlink()
    shutil.rmtree(folder / "tokenizer", ignore_errors=True)


def main(folder: Path) -> None:
    """Make all of them."""
    here = Path(__file__).parent
    folder.mkdir(parents=True)
    for name in ("corpus.txt", "reviews.csv", "pairs.en", "pairs.ko", "recipe.toml"):
        shutil.copy(here / name, folder / name)
    assert not gyebo(folder, ["tokenizer", "train", "corpus.txt", "--kind", "bpe", "--vocab-size", "280", "-o", "tokenizer"])
    for name, arguments in RUNS.items():
        assert not gyebo(folder, [*arguments, *COMMON, "-o", name])
        if name in HALVES:
            assert gyebo(folder, [*arguments, *COMMON, "-o", f"{name}-half"], kill=2) == -signal.SIGKILL
    assert gyebo(folder, ["compare", "recipe.toml", "-o", "compared-half"], kill=4) == -signal.SIGKILL
    for name in RUNS:
        trim(folder / name, half=False)
        if name in HALVES:
            trim(folder / f"{name}-half", half=True)
    shutil.rmtree(folder / "cache")
    for path in (folder / "compared-half").rglob("*"):
        if path.suffix in (".toml", ".json"):
            path.write_text(path.read_text(encoding="utf-8").replace(str(folder), "/stored"), encoding="utf-8")
    with tarfile.open(here / "runs.tar.xz", "w:xz") as archive:
        archive.add(folder, ".")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
