"""`gyebo world`."""

from __future__ import annotations

import json as json_module
import math
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared

LANGUAGES = {"ko": ("ko",), "en": ("en",), "both": ("ko", "en")}


def world(
    sample: Annotated[bool, typer.Option("--sample", help="Show some documents with their entropy.")] = False,
    count: Annotated[int, shared.count("How many documents or pictures.")] = 2,
    language: Annotated[str, shared.word("ko, en or both.", "NAME")] = "both",
    seed: Annotated[int, shared.natural("Random seed.")] = 0,
    pictures: Annotated[Path | None, shared.word("Write pictures with captions into this new folder.", "DIR")] = None,
    size: Annotated[int | None, shared.count("Pixels a side of a picture.  [default: 64]")] = None,
    style: Annotated[str | None, shared.word("How pictures are drawn: scene or outline.  [default: scene]", "NAME")] = None,
    unseen: Annotated[bool, typer.Option("--unseen", help="Pictures of combinations that no other picture shows.")] = False,
    json: shared.Json = False,
) -> None:
    """The built-in generated corpus, whose entropy is known.

    Documents about a small world in Korean and English, one per line; with --pictures, what it looks like. Commands accept
    both as a corpus, world: and world:pictures

    \b
    Examples:
      gyebo world --sample
      gyebo world --count 1000 --language ko > ko.txt
      gyebo world --pictures scenes/ --count 50
    """
    if language not in LANGUAGES:
        raise ValueError(f"--language must be one of {', '.join(LANGUAGES)}, but is {language!r} instead")
    if sample and json:
        raise ValueError("--sample and --json exclude each other: JSON holds what a document is worth anyway")
    if pictures is not None:
        if sample:
            raise ValueError("--sample shows documents, --pictures writes pictures: keep one")
        _write_pictures(pictures, count, language, seed, size, style, unseen, json)
        return
    for name, given in (("--size", size is not None), ("--style", style is not None), ("--unseen", unseen)):
        if given:
            raise ValueError(f"{name} is about pictures and has no effect without --pictures DIR")
    _print_documents(count, language, seed, sample, json)


def _write_pictures(
    out: Path, count: int, language: str, seed: int, size: int | None, style: str | None, unseen: bool, json: bool
) -> None:
    from gyebo.jobs.world_pictures import CAPTIONS, write_pictures

    texts = write_pictures(
        out, count, size=size or 64, seed=seed, languages=LANGUAGES[language], style=style or "scene", unseen=unseen
    )
    if json:
        print(json_module.dumps({"pictures": count, "texts": texts, "out": str(out)}, ensure_ascii=False))
    else:
        print(f"{count:,} pictures with {texts:,} texts: {out / CAPTIONS}")


def _print_documents(count: int, language: str, seed: int, sample: bool, json: bool) -> None:
    from gyebo import world as embedded

    for document in embedded.documents(count, seed=seed, languages=LANGUAGES[language]):
        size = len(document.text.encode())
        bits = -document.log_probability / math.log(2)
        if json:
            row = {"text": document.text, "language": document.language, "log_probability": document.log_probability}
            print(json_module.dumps(row | {"bits_per_byte": bits / size}, ensure_ascii=False))
        elif sample:
            print(f"{document.text}\n    {bits:.2f} bits, {size} bytes: {bits / size:.4f} bits per byte\n")
        else:
            print(document.text)
