"""Characters of Shakespeare with nanoGPT's CPU recipe, gyebo and nanoGPT one after the other, scored the same way.

    python benchmarks/shakespeare.py --text input.txt [--nanogpt CHECKOUT] [--seeds 0 1 2]

The recipe: 4 layers, 4 heads, width 128, context 64, batch 12, 2,000 steps, no dropout; nanoGPT's README states 1.88. The
score is the loss in nats over the whole last tenth of the text in windows of 64 characters, each predicted from what
stands before it in its window. Wall times are those of the whole commands, evaluations and saving included. With --own,
gyebo's own settings run in the same wall time too. Writes results/shakespeare.json.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import machine, store

import gyebo

WINDOW = 64
RECIPE = """--size tiny --context 64 --batch-tokens 768 --steps 2000 --precision bfloat16
    --set optim.lr=1e-3 --set optim.betas=[0.9,0.99] --set optim.warmup=100 --set optim.weight_decay=0.1
    --set model.layers=4 --set model.heads=4 --set model.width=128""".split()
FASTER = [word.replace("optim.lr=1e-3", "optim.lr=2e-3") for word in RECIPE]
OWN = """--size tiny --context 64 --batch-tokens 1024 --precision bfloat16 --steps 1800
    --set optim.lr=3e-3 --set optim.betas=[0.9,0.99] --set optim.warmup=100 --set optim.weight_decay=0.1
    --set optim.final_lr=0.02 --set model.layers=4 --set model.heads=4 --set model.width=192""".split()
STILL = "--set model.embedding_dropout=0.0 --set model.attention_dropout=0.0 --set model.residual_dropout=0.0".split()
DATA = "--documents file --valid-last 0.1".split()
NANOGPT = """config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64
    --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0""".split()


def run(command: list[str], **options: Any) -> float:
    """Run a command; gives its wall time in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    return time.perf_counter() - start


def train_gyebo(text: Path, work: Path, seed: int, settings: list[str]) -> tuple[float, float]:
    """Wall time and loss of one gyebo run."""
    program = [sys.executable, "-m", "gyebo"]
    chars = work / "chars"
    if not chars.exists():
        run([*program, "tokenizer", "train", str(text), "--kind", "char", *DATA, "-o", str(chars)])
    out = work / f"gyebo-{seed}-{abs(hash(tuple(settings)))}"
    once = ["--set", "train.evaluate_every=100000", "--checkpoint-every", "1000"]
    options = [*DATA, *settings, *STILL, *once, "--tokenizer", str(chars), "--seed", str(seed), "-o", str(out)]
    seconds = run([*program, "pretrain", "gpt2", str(text), *options])
    model, tokenizer = gyebo.load(out)
    ids = torch.tensor(tokenizer.encode(held_out(text)))
    return seconds, score(lambda x: model(x).logits, ids)


def train_nanogpt(checkout: Path, text: Path, work: Path, seed: int) -> tuple[float, float]:
    """Wall time and loss of one nanoGPT run, in a copy of the checkout with the characters prepared as its script does."""
    characters = text.read_text(encoding="utf-8")
    known = sorted(set(characters))
    codes = {c: i for i, c in enumerate(known)}
    folder = checkout / "data" / "shakespeare_char"
    border = int(len(characters) * 0.9)
    for name, part in (("train", characters[:border]), ("val", characters[border:])):
        np.array([codes[c] for c in part], dtype=np.uint16).tofile(folder / f"{name}.bin")
    meta = {"vocab_size": len(known), "itos": dict(enumerate(known)), "stoi": codes}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    out = work / f"nanogpt-{seed}"
    starter = f"import torch, sys; s={seed}; m=torch.manual_seed; torch.manual_seed=lambda x: m(x+s); sys.argv=sys.argv[1:]; "
    starter += "exec(compile(open('train.py').read(), 'train.py', 'exec'))"
    command = [sys.executable, "-c", starter, "train.py", *NANOGPT, f"--out_dir={out}"]
    seconds = run(command, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)})
    sys.path.insert(0, str(checkout))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    checkpoint = torch.load(out / "ckpt.pt", weights_only=False)  # of the run that we just made ourselves
    model = GPT(GPTConfig(**checkpoint["model_args"]))
    model.load_state_dict({name.removeprefix("_orig_mod."): tensor for name, tensor in checkpoint["model"].items()})
    model.eval()
    ids = torch.tensor([codes[c] for c in held_out(text)])
    # With targets given it computes the logits of every position, without only the last one's.
    return seconds, score(lambda x: model(x, x)[0], ids)


def held_out(text: Path) -> str:
    """The last tenth of the characters."""
    characters = text.read_text(encoding="utf-8")
    return characters[int(len(characters) * 0.9) :]


@torch.no_grad()
def score(logits: Any, ids: torch.Tensor) -> float:
    """Mean -ln p of every character from the second on, in windows of WINDOW that do not overlap."""
    total, count = 0.0, 0
    whole = (len(ids) - 1) // WINDOW
    inputs = [ids[: whole * WINDOW].view(whole, WINDOW), ids[whole * WINDOW : -1][None]]
    labels = [ids[1 : whole * WINDOW + 1].view(whole, WINDOW), ids[whole * WINDOW + 1 :][None]]
    for x, y in zip(inputs, labels):
        for start in range(0, len(x), 256):
            part = y[start : start + 256].flatten()
            if len(part):
                found = logits(x[start : start + 256]).flatten(0, 1).float()
                total += float(torch.nn.functional.cross_entropy(found, part, reduction="sum"))
                count += len(part)
    return total / count


def main() -> None:
    """Train both for every seed, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--text", type=Path, required=True, help="tiny Shakespeare's input.txt")
    options.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT; its data folder is written to")
    options.add_argument("--own", action="store_true", help="also gyebo's own settings in the same wall time")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["GYEBO_CACHE"] = str(work / "cache")
        for seed in given.seeds:
            sides = {
                "gyebo": lambda s=seed: train_gyebo(given.text, work, s, RECIPE),
                "gyebo, rate 2e-3": lambda s=seed: train_gyebo(given.text, work, s, FASTER),
            }
            if given.nanogpt:
                sides["nanoGPT"] = lambda s=seed: train_nanogpt(given.nanogpt, given.text, work, s)
            if given.own:
                sides["gyebo, own settings"] = lambda s=seed: train_gyebo(given.text, work, s, OWN)
            for name, train in sides.items():
                seconds, loss = train()
                rows.append({"side": name, "seed": seed, "seconds": seconds, "loss": loss})
                print(f"{name:<20} seed {seed}: {loss:.4f} nats in {seconds:.1f} s", flush=True)
    store("shakespeare", {"work": __doc__.split("\n\n")[2], "machine": machine(), "runs": rows})


if __name__ == "__main__":
    main()
