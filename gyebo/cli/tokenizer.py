"""`gyebo tokenizer train` and `show`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared


def train(
    corpus: shared.Corpora,
    out: shared.Out,
    kind: Annotated[str, shared.word("bpe, wordpiece, unigram, char or byte.", "KIND")] = "bpe",
    vocab_size: Annotated[
        int | None,
        shared.count("Vocabulary size, including 16 ids for special tokens.  [default: 16000; char: all; byte: 272]"),
    ] = None,
    normalize: Annotated[str, shared.word("Unicode normalization: nfc, or none.", "FORM")] = "nfc",
    morphemes: Annotated[bool, typer.Option("--morphemes", help="Let no token cross a Korean morpheme boundary.")] = False,
    min_frequency: Annotated[
        int | None, shared.count("bpe, wordpiece: minimum frequency of a merged pair.  [default: 2]")
    ] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    valid: shared.Valid = None,
    valid_last: shared.ValidLast = None,
    valid_share: shared.ValidShare = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
) -> None:
    """Train a tokenizer on a corpus.

    Uses the training set only; AutoTokenizer of transformers opens the result.

    \b
    Examples:
      gyebo tokenizer train reviews.txt --kind bpe --vocab-size 16000 -o tok/
      gyebo tokenizer train book.txt --kind char --documents file --valid-last 0.1 -o chars/
    """
    from gyebo.config import toml
    from gyebo.config.run import DataOptions
    from gyebo.jobs.tokenizer import train_tokenizer

    values = shared.given(
        corpus=shared.readable(corpus),
        documents=documents,
        text_field=text_field,
        encoding=encoding,
        bad_bytes=bad_bytes,
        valid=valid,
        valid_last=valid_last,
        valid_share=valid_share,
    )
    speak = shared.console(json)
    result = train_tokenizer(
        toml.check(DataOptions, values, section="data"),
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
        return
    pieces = " | ".join(piece.replace("\n", "\\n") for piece in result["sample"])
    print(f"{result['vocab_size']:,} ids, {result['bytes_per_token']:.2f} bytes per token on this text, in {out}")
    print(f"  {pieces}")


def show(
    tokenizer: Annotated[str, typer.Argument(help="A tokenizer's directory, or a run.", metavar="DIR", show_default=False)],
    text: Annotated[list[str], shared.word("What to divide; may be given several times.", "TEXT")],
    json: shared.Json = False,
) -> None:
    """Show the tokens of texts, and their ids.

    \b
    Examples:
      gyebo tokenizer show tok/ --text "오늘은 정말 좋다"
      gyebo tokenizer show runs/mine --text "오늘은" --text "나는" --json
    """
    from gyebo.jobs.tokenizer import shown_tokens

    found = shown_tokens(tokenizer, text)
    if json:
        print(json_module.dumps(found, ensure_ascii=False))
        return
    for one in found:
        print(
            " | ".join(f"{piece} {' '.join(map(str, ids))}" for piece, ids in zip(one["tokens"], one["ids"])).replace(
                "\n", "\\n"
            )
        )
        print(f"  {one['count']:,} tokens, {one['bytes_per_token']:.2f} bytes per token")
