"""Vectors of 512 texts of mixed length with BERT-base (random weights): gyebo, transformers, CTranslate2, ONNX Runtime.

    python benchmarks/encoding.py [--rounds 5]     (needs ctranslate2, onnx, onnxruntime, onnxscript)

Ids in, the mean over real tokens out. transformers takes the texts as they come in batches of 32, or sorted by length; the two
runtimes take them sorted. bfloat16 means the weights too; gyebo computes as `gyebo embed --precision` does. A side a process,
one working at a time, medians over interleaved rounds; a ratio above 1 means that gyebo is faster. What each form loses is told
as the cosine to float32's vectors. Writes benchmarks/results/encoding.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from report import machine, store
from sides import Work, measure

import gyebo
from gyebo.jobs.inference import ready
from gyebo.tasks.embedding import embed

TEXTS, BATCH = 512, 32
OURS = ("gyebo bfloat16", "gyebo int8")
Texts = list[list[int]]


def texts() -> Texts:
    """The same for every side: 4 to 256 ids, 53 on average."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(3.7, 0.8, TEXTS)).astype(int), 4, 256)
    return [[101, *rng.integers(1000, 30_000, n - 2).tolist(), 102] for n in lengths]


def padded(rows: Texts) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask [B, T]."""
    longest = max(map(len, rows))
    mask = np.arange(longest) < np.array([len(row) for row in rows])[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def batches(rows: Texts, by_length: bool) -> list[Texts]:
    """32 at a time."""
    rows = sorted(rows, key=len) if by_length else rows
    return [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]


class Ids:
    """A tokenizer whose texts are ids already."""

    model_inputs = ("input_ids", "attention_mask")

    def __call__(self, rows: Texts) -> dict[str, Texts]:
        """The ids."""
        return {"input_ids": rows}


def ours(folder: Path, dtype: str) -> Work:
    """gyebo embed, without reading and tokenizing."""
    vectors = embedder(folder, dtype)
    rows = texts()
    return lambda: vectors(rows) is None and None  # type: ignore[func-returns-value]


def embedder(folder: Path, dtype: str) -> Callable[[Texts], np.ndarray]:
    """Texts to vectors, as `gyebo embed --precision` does it."""
    model = gyebo.load(folder)[0]
    context = ready(model, torch.device("cpu"), dtype)

    def vectors(rows: Texts) -> np.ndarray:
        with context():
            return embed(model, Ids(), rows)[0]  # type: ignore[arg-type]

    return vectors


def theirs(folder: Path, dtype: str, by_length: bool) -> Work:
    """transformers' BertModel."""
    from transformers import BertModel

    model = BertModel.from_pretrained(folder, add_pooling_layer=False).to(getattr(torch, dtype)).eval()
    parts = [tuple(map(torch.from_numpy, padded(rows))) for rows in batches(texts(), by_length)]

    @torch.inference_mode()
    def work() -> None:
        for ids, mask in parts:
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    return work


def ctranslate2_side(folder: Path, dtype: str) -> Work:
    """CTranslate2's encoder."""
    import ctranslate2

    model = ctranslate2.Encoder(str(folder / "ct2"), compute_type=dtype, inter_threads=1, intra_threads=torch.get_num_threads())
    parts = batches(texts(), by_length=True)

    def work() -> None:
        for rows in parts:
            np.array(model.forward_batch(rows).last_hidden_state).mean(1)

    return work


def onnx_side(folder: Path, dtype: str) -> Work:
    """ONNX Runtime."""
    run = onnx_session(folder / f"{dtype}.onnx")
    parts = [padded(rows) for rows in batches(texts(), by_length=True)]

    def work() -> None:
        for ids, mask in parts:
            run(ids, mask)

    return work


def onnx_session(path: Path) -> Any:
    """A function from ids and mask to mean vectors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        hidden = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)

    return run


SIDES = {
    "gyebo bfloat16": partial(ours, dtype="bfloat16"),
    "gyebo float32": partial(ours, dtype="float32"),
    "gyebo int8": partial(ours, dtype="int8"),
    "transformers bfloat16, as they come": partial(theirs, dtype="bfloat16", by_length=False),
    "transformers bfloat16, sorted": partial(theirs, dtype="bfloat16", by_length=True),
    "CTranslate2 float32": partial(ctranslate2_side, dtype="float32"),
    "CTranslate2 int8": partial(ctranslate2_side, dtype="int8"),
    "ONNX Runtime float32": partial(onnx_side, dtype="float32"),
    "ONNX Runtime int8": partial(onnx_side, dtype="int8"),
}


class _Plain(torch.nn.Module):
    """Ids and mask in, hidden states out: what is traced."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


def save(folder: Path) -> None:
    """Random weights in every side's form."""
    import ctranslate2
    import onnx
    from onnxruntime.quantization import quantize_dynamic
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(position_embedding_type="absolute")  # a field that CTranslate2 asks for
    model = BertModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    words = "\n".join(["[PAD]", *(f"t{i}" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    words += "\n" + "\n".join(f"t{i}" for i in range(104, 30_522))
    (folder / "vocab.txt").write_text(words, encoding="utf-8")
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(folder / "ct2"))
    (folder / "vocab.txt").unlink()
    ids, mask = (torch.from_numpy(values) for values in padded(texts()[:2]))
    axes = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask", "hidden")}
    names = {"input_names": ["input_ids", "attention_mask"], "output_names": ["hidden"]}
    torch.onnx.export(_Plain(model), (ids, mask), str(folder / "float32.onnx"), dynamic_axes=axes, dynamo=False, **names)
    onnx.checker.check_model(str(folder / "float32.onnx"))
    quantize_dynamic(folder / "float32.onnx", folder / "int8.onnx")


def agreement(folder: Path) -> dict[str, float]:
    """Mean cosine of each form's vectors to those of float32."""
    rows = sorted(texts(), key=len)
    exact = embedder(folder, "float32")(rows)
    found = {f"gyebo {dtype}": embedder(folder, dtype)(rows) for dtype in ("bfloat16", "int8")}
    run = onnx_session(folder / "int8.onnx")
    found["ONNX Runtime int8"] = np.concatenate([run(*padded(part)) for part in batches(rows, by_length=True)])
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    return {name: float((unit(exact) * unit(vectors)).sum(1).mean()) for name, vectors in found.items()}


def main() -> None:
    """Measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save(folder)
        cosines = agreement(folder)
        times = measure(SIDES, (folder,), given.rounds, warm=1)
    middle = {name: median(values) for name, values in times.items()}
    ratios = {f"{name} / {ours}": middle[name] / middle[ours] for ours in OURS for name in middle if name not in OURS}
    for name, seconds in middle.items():
        print(f"{name:<38} {TEXTS / seconds:>7.1f} texts/s")
    for name, ratio in ratios.items():
        print(f"time of {name}: {ratio:.2f}")
    for name, cosine in cosines.items():
        print(f"cosine of {name} to float32: {cosine:.5f}")
    length = mean(map(len, texts()))
    work = f"BERT-base, {TEXTS} texts of {length:.0f} ids on average"
    figures = {"seconds": times, "texts_per_second": {name: TEXTS / seconds for name, seconds in middle.items()}}
    store("encoding", {"work": work, "machine": machine(), **figures, "ratio": ratios, "cosine": cosines})


if __name__ == "__main__":
    main()
