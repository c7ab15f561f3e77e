"""Speed of training, encoding and decoding, against other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from result_tables.files import Rows, stored


def training() -> Rows:
    """Seconds of a step of GPT-2."""
    titles = {
        "gyebo": "gyebo",
        "transformers compiled": "transformers 5.23, compiled",
        "transformers eager": "transformers 5.23, eager",
        "transformers compiled, freed memory kept": "transformers compiled, with gyebo's allocator setting",
    }
    found = stored("training")
    seconds, ratios = found["median_seconds"], {side: f"{value:.2f} times" for side, value in found["ratio"].items()}
    heading = ["implementation", "seconds per step", "gyebo is faster by"]
    return [heading] + [[title, f"{seconds[side]:.2f}", ratios.get(side, "")] for side, title in titles.items()]


def steps(works: Any) -> Rows:
    """Real tokens per second of a training step on texts of mixed and of equal lengths, and ratios."""
    eager = {"mixed": "transformers, dynamic padding", "fixed": "transformers eager"}
    compiled = "transformers compiled"

    def row(title: str, cell: Callable[[str, Any], str]) -> list[str]:
        return [title, *(cell(name, works[name]) for name in ("mixed", "fixed"))]

    def speed(work: Any, side: str) -> str:
        return f"{work['real_tokens'] / work['median_seconds'][side]:,.0f}" if side in work["median_seconds"] else "-"

    def ratio(work: Any, side: str) -> str:
        return f"{work['ratio'][side]:.2f}" if side in work["ratio"] else "-"

    return [
        ["", "mixed", "fixed"],
        row("gyebo", lambda name, work: speed(work, "gyebo")),
        row("transformers, eager", lambda name, work: speed(work, eager[name])),
        row("transformers, compiled", lambda name, work: speed(work, compiled)),
        row("gyebo / transformers eager", lambda name, work: ratio(work, eager[name])),
        row("gyebo / transformers compiled", lambda name, work: ratio(work, compiled)),
        row("share of the machine's matrix-product throughput", lambda name, work: f"{work['share']:.0%}".replace("%", " %")),
    ]


def masked() -> Rows:
    """A step of BERT-base."""
    return steps(stored("masked")["works"])


def permutation() -> Rows:
    """A step of XLNet-base."""
    return steps(stored("permutation")["works"])


def denoising_bart() -> Rows:
    """A step of BART-base."""
    return steps(stored("denoising")["works"]["bart"])


def denoising_t5() -> Rows:
    """A step of T5-base."""
    return steps(stored("denoising")["works"]["t5"])


def beams(name: str, theirs: str) -> Rows:
    """Ids per second with the base size, ratios, and equal outputs; `theirs`: what it is for `transformers`."""
    titles = {
        "gyebo float32": "gyebo, float32",
        "gyebo bfloat16": "gyebo, bfloat16",
        "gyebo int8": "gyebo, int8",
        "transformers float32": f"transformers 5.23, {theirs}, float32",
        "transformers bfloat16": "transformers, bfloat16",
        "ctranslate2 float32": "CTranslate2 4.8, float32",
        "ctranslate2 int8": "CTranslate2, int8",
    }
    found = stored(name)
    ours = found["gyebo_times_as_fast"]
    rows = [["implementation", "ids/s", "gyebo float32, bfloat16, int8 faster by", "equal"]]
    for side, title in titles.items():
        ratios = "" if side in ours else ", ".join(f"{times[side]:.2f}" for times in ours.values()) + " times"
        equal = "" if side == "gyebo float32" else f"{found['equal'][side]} of {found['equal']['gyebo float32']}"
        rows.append([title, f"{found['ids_per_second'][side]:.0f}", ratios, equal])
    return rows


def translation() -> Rows:
    """Beam search with the Transformer's base size."""
    return beams("translation", "Marian")


def translation_bart() -> Rows:
    """Beam search with BART-base."""
    return beams("translation-bart", "BART")


def translation_t5() -> Rows:
    """Beam search with T5-base."""
    return beams("translation-t5", "T5")


def encoding() -> Rows:
    """Texts per second, ratios, and the cosine to the vectors of float32."""
    titles = {
        "gyebo bfloat16": "gyebo, bfloat16",
        "gyebo int8": "gyebo, int8",
        "gyebo float32": "gyebo, float32",
        "transformers bfloat16, as they come": "transformers, bfloat16, texts unsorted",
        "transformers bfloat16, sorted": "transformers, bfloat16, sorted by length",
        "CTranslate2 float32": "CTranslate2, float32",
        "CTranslate2 int8": "CTranslate2, int8",
        "ONNX Runtime float32": "ONNX Runtime, float32",
        "ONNX Runtime int8": "ONNX Runtime, int8",
    }
    found, ours = stored("encoding"), list(titles)[:2]
    speed = found["texts_per_second"]
    rows = [["", "texts per second", "gyebo in bfloat16 is faster by", "in int8 by", "cosine to float32"]]
    for side, title in titles.items():
        ratios = ["" if side == own else f"{speed[own] / speed[side]:.2f}" for own in ours]
        cosine = f"{found['cosine'][side]:.5f}" if side in found["cosine"] else ""
        rows.append([title, f"{speed[side]:.1f}", *ratios, cosine])
    return rows


def generation() -> Rows:
    """Tokens per second of GPT-2, and ratios."""
    cases = stored("generation")["cases"]

    def row(title: str, figures: str, side: str) -> list[str]:
        return [title, *(str(case[figures].get(side, "-")) for case in cases)]

    return [
        ["", *(f"{case['dtype']}, batch {case['batch']}" for case in cases)],
        row("gyebo", "tokens_per_second", "gyebo"),
        row("transformers", "tokens_per_second", "transformers"),
        row("CTranslate2", "tokens_per_second", "ctranslate2"),
        row("gyebo / transformers", "gyebo_times_as_fast", "transformers"),
        row("gyebo / CTranslate2", "gyebo_times_as_fast", "ctranslate2"),
    ]


TABLES = (
    training,
    masked,
    permutation,
    denoising_bart,
    denoising_t5,
    translation,
    translation_bart,
    translation_t5,
    encoding,
    generation,
)
