"""Write those tables of docs/results.md and other pages whose figures are stored, each between its marks, from the files:

    python docs/make_results.py

`sentences` quotes such figures in the text; tests/test_results_page.py fails where tables or sentences differ from the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import mean, median

from result_tables import TABLES
from result_tables.files import DOCS, LAB, Rows, stored

PAGE = DOCS / "results.md"
PAGES = (
    PAGE,
    DOCS / "guard.md",
    DOCS / "control.md",
    DOCS / "ssa.md",
    DOCS / "drawing.md",
    DOCS / "budget.md",
    DOCS / "families" / "lxmert.md",
    DOCS / "families" / "meena.md",
)
MARKED = re.compile(r"<!-- table (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def sentences() -> Iterable[str]:
    """Pieces of the pages that quote stored figures, as they must stand there, whatever the line breaks."""
    student = {name: found["student_times_as_fast"] for name, found in stored("student")["precisions"].items()}
    yield f"is **{student['float32']:.2f} times** the teacher's in float32 and {student['bfloat16']:.2f} times in bfloat16"
    yield f"gyebo reaches {stored('training')['share_of_matmul_rate']:.0%}".replace("%", " %")
    _, words = stored("encoding")["work"].split(", ", 1)
    yield f"512 texts of 4 to 256 ids, {words.split(' of ')[1].removesuffix(' ids on average')} on average"
    ratio = stored("encoding")["ratio"]
    unsorted_, by_length = (ratio[f"transformers bfloat16, {how} / gyebo bfloat16"] for how in ("as they come", "sorted"))
    yield f"its throughput is {unsorted_:.1f} times that of `transformers` on unsorted texts"
    yield f"only {by_length:.2f} times that of `transformers` on sorted ones"
    yield f"{ratio['ONNX Runtime int8 / gyebo int8']:.2f} times as fast as ONNX Runtime's int8"
    case = stored("generation")["cases"][0]
    ours, theirs = ([min(case["seconds"][side]), max(case["seconds"][side])] for side in ("gyebo", "ctranslate2"))
    yield f"{ours[0]:.2f} to {ours[1]:.2f} for gyebo and {theirs[0]:.2f} to {theirs[1]:.2f} for CTranslate2"
    first = {side: median(seconds) for side, seconds in case["seconds_of_the_call_before"].items()}
    yield f"takes {first['gyebo']:.2f} s against CTranslate2's {first['ctranslate2']:.2f}"
    lab = stored("clipping", LAB)
    yield "{:.1e}, {:.1e} and {:.1e} nats per byte".format(*lab["without"])
    yield "they learn: {:.2f}, {:.2f}, {:.2f}.".format(*lab["clipped"])
    works = stored("masked")["works"]
    mixed, fixed = works["mixed"]["ratio"]["transformers, dynamic padding"], works["fixed"]["ratio"]["transformers compiled"]
    yield f"A training step of BERT-base is {mixed:.1f} times as fast"
    yield f"and {fixed:.2f} times as fast as its compiled step"
    names = stored("new-york", LAB)["models"]
    apart = {name: mean(run["divergence"] for run in runs) for name, runs in names.items()}
    yield f"BERT's joint probability of both parts is {apart['BERT']:.2f} nats from the truth, XLNet's {apart['XLNet']:.2f}"
    denoising = stored("denoising")["works"]
    for name, works in {"XLNet": stored("permutation")["works"], "BART": denoising["bart"], "T5": denoising["t5"]}.items():
        mixed, fixed = works["mixed"]["ratio"]["transformers, dynamic padding"], works["fixed"]["ratio"]["transformers eager"]
        yield f"A training step of {name}-base is {mixed:.1f} times as fast as that of `transformers` on texts of mixed lengths"
        yield f"{fixed:.1f} times on rows of equal length"
    for name in ("bart", "t5"):
        found = stored(f"translation-{name}")["gyebo_times_as_fast"]
        plain, half = (found[f"gyebo {kind}"][f"transformers {kind}"] for kind in ("float32", "bfloat16"))
        yield f"Beam search is {plain:.1f} times as fast as `transformers.generate` in float32, {half:.1f} times in bfloat16"


def markdown(rows: Rows) -> str:
    """A table; figures on the right."""
    heading, *body = (f"| {' | '.join(row)} |".replace("  ", " ") for row in rows)
    return "\n".join([heading, "| --- |" + " ---: |" * (len(rows[0]) - 1), *body])


def written(page: str) -> str:
    """The page with its marked tables made anew. KeyError for a mark of no table."""
    return MARKED.sub(lambda found: f"<!-- table {found[1]} -->\n{markdown(TABLES[found[1]]())}\n<!-- end -->", page)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
