"""`gyebo tokenizer train`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared


def train(
    corpus: shared.Corpora,
    out: shared.Out,
    kind: Annotated[str, typer.Option(help="bpe, wordpiece, unigram, char or byte.")] = "bpe",
    vocab_size: Annotated[int, typer.Option(help="Ids, the 16 of the roles included.")] = 16_000,
    normalize: Annotated[str, typer.Option(help="nfc, or none (every Unicode string comes back as it was).")] = "nfc",
    morphemes: Annotated[bool, typer.Option("--morphemes", help="No piece crosses a Korean morpheme's border.")] = False,
    min_frequency: Annotated[int, typer.Option(help="How often a pair must occur to be merged.")] = 2,
    documents: shared.Documents = "line",
    text_field: shared.TextField = "text",
    bad_bytes: shared.BadBytes = "refuse",
    valid: shared.Valid = None,
    valid_last: shared.ValidLast = None,
    valid_share: shared.ValidShare = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
) -> None:
    """Learn a tokenizer from the training part of a corpus, as a stream.

    gyebo tokenizer train reviews.txt --kind bpe --vocab-size 16000 -o tok/

    gyebo tokenizer train shakespeare.txt --kind char --documents file --valid-last 0.1 -o chars/
    """
    from gyebo.config import toml
    from gyebo.config.run import DataOptions
    from gyebo.jobs.tokenizer import train_tokenizer

    data = toml.check(
        DataOptions,
        shared.given(
            corpus=corpus,
            documents=documents,
            text_field=text_field,
            bad_bytes=bad_bytes,
            valid=valid,
            valid_last=valid_last,
            valid_share=valid_share,
        ),
    )
    speak = shared.console(json)
    result = train_tokenizer(
        data,
        out,
        kind=kind,
        vocab_size=vocab_size,
        normalize=normalize,
        morphemes=morphemes,
        min_frequency=min_frequency,
        overwrite=overwrite,
        console=speak,
    )
    if json:
        print(json_module.dumps(result, ensure_ascii=False))
    else:
        speak.print(f"{result['vocab_size']:,} ids, {result['bytes_per_token']:.2f} bytes per token on this text, in {out}")
        speak.print(f"  [dim]{' | '.join(result['sample'])}[/dim]", highlight=False)
