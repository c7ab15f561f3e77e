"""`gyebo world`."""

from __future__ import annotations

import json as json_module
import math
from typing import Annotated

import typer

from gyebo.cli import options as shared


def world(
    sample: Annotated[bool, typer.Option("--sample", help="Show some documents with their entropy.")] = False,
    count: Annotated[int, shared.count("How many documents.")] = 2,
    language: Annotated[str, shared.word("ko, en or both.", "NAME")] = "both",
    seed: Annotated[int, shared.natural("Random seed.")] = 0,
    json: shared.Json = False,
) -> None:
    """The built-in generated corpus, whose entropy is known.

    Documents about a small world in Korean and English, one per line. Commands accept it as the corpus world:

    \b
    Examples:
      gyebo world --sample
      gyebo world --count 1000 --language ko > ko.txt
    """
    from gyebo import world as embedded

    known = {"ko": ("ko",), "en": ("en",), "both": ("ko", "en")}
    if language not in known:
        raise ValueError(f"--language must be one of {', '.join(known)}, but is {language!r} instead")
    if sample and json:
        raise ValueError("--sample and --json exclude each other: JSON holds what a document is worth anyway")
    for document in embedded.documents(count, seed=seed, languages=known[language]):
        size = len(document.text.encode())
        bits = -document.log_probability / math.log(2)
        if json:
            row = {"text": document.text, "language": document.language, "log_probability": document.log_probability}
            print(json_module.dumps(row | {"bits_per_byte": bits / size}, ensure_ascii=False))
        elif sample:
            print(f"{document.text}\n    {bits:.2f} bits, {size} bytes: {bits / size:.4f} bits per byte\n")
        else:
            print(document.text)
