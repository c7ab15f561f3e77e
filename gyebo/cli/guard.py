"""`gyebo guard learn`, `gyebo guard fit` and `gyebo guard score`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from gyebo.cli import options as shared

Data = Annotated[str, typer.Argument(metavar="DATA", help="Labelled texts: .csv, .tsv, .jsonl, .json or .parquet.")]
GuardFile = Annotated[Path, typer.Argument(metavar="GUARD", help="A file that gyebo guard fit wrote.")]
Positive = Annotated[list[str], shared.word("Label of unwanted texts; may be given several times.", "LABEL", "--positive")]
Ignored = Annotated[
    list[str] | None, shared.word("Label of texts to leave out; all others are innocent.", "LABEL", "--ignored")
]
Text = Annotated[str | None, shared.word("Column of the text.  [default: text]", "NAME")]
Label = Annotated[str | None, shared.word("Column of the label.  [default: label]", "NAME")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")]


def learn(
    data: Data,
    positive: Positive,
    out: Annotated[Path, shared.word("The word list to write.", "FILE", "-o", "--out")],
    text: Text = None,
    label: Label = None,
    ignored: Ignored = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    most: Annotated[int, shared.count("Maximum number of words.")] = 300,
    least: Annotated[int, shared.count("Minimum number of texts with a word.")] = 5,
    overwrite: Overwrite = False,
) -> None:
    """Learn a word list: the words that stand out in unwanted texts, by log-odds.

    \b
    Examples:
      gyebo guard learn train.tsv --positive hate -o words.txt
    """
    from gyebo.jobs.guard.learn import learn as job
    from gyebo.jobs.text_files import reading_of

    count = job(
        data,
        out,
        positive,
        text=text,
        label=label,
        ignored=ignored or (),
        reading=reading_of(encoding, bad_bytes),
        most=most,
        least=least,
        overwrite=overwrite,
    )
    print(f"{out}: {count:,} words")


def fit(
    data: Data,
    positive: Positive,
    out: Annotated[Path, shared.word("The guard's file to write (TOML).", "FILE", "-o", "--out")],
    words: Annotated[list[str] | None, shared.word("Word list; may be given several times.", "FILE", "--words")] = None,
    classifier: Annotated[
        list[str] | None,
        shared.word("A classifier and its unwanted class, or classes with commas.", "DIR:CLASS", "--classifier"),
    ] = None,
    encoder: Annotated[str | None, shared.word("Encoder for the similarity to unwanted texts.", "MODEL")] = None,
    unwanted: Annotated[str | None, shared.word("Texts that answers must not be like, one a line.", "FILE")] = None,
    allowed: Annotated[str | None, shared.word("Texts that vote against these.", "FILE")] = None,
    neighbours: Annotated[int, shared.count("How many of the nearest texts vote.")] = 1,
    rate: Annotated[float, shared.real("False-alarm rate: share of innocent texts that are blocked.")] = 0.05,
    mode: Annotated[str | None, shared.word("off, warn or block.  [default: block]", "NAME")] = None,
    retries: Annotated[int | None, shared.natural("How often an answer is sampled anew.  [default: 3]")] = None,
    neutral: Annotated[str | None, shared.word("The answer after that.  [default: Korean or English]", "TEXT")] = None,
    policy: Annotated[str | None, shared.word("Policy by topic: a file, or default.", "FILE")] = None,
    text: Text = None,
    label: Label = None,
    ignored: Ignored = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    device: shared.Device = "auto",
    overwrite: Overwrite = False,
    json: shared.Json = False,
) -> None:
    """Choose the thresholds of checks from labelled texts, and write a guard's file.

    \b
    Examples:
      gyebo guard fit fifth.tsv --positive hate --words words.txt -o guard.toml
      gyebo guard fit fifth.tsv --positive hate --classifier runs/hate:hate -o guard.toml
      gyebo guard fit fifth.tsv --positive hate --encoder runs/bert --unwanted unwanted.txt -o guard.toml
    """
    from gyebo.jobs.guard.fit import Wanted
    from gyebo.jobs.guard.fit import fit as job
    from gyebo.jobs.text_files import reading_of

    found = job(
        data,
        out,
        positive,
        Wanted(
            words=words or (),
            classifiers=classifier or (),
            encoder=encoder,
            unwanted=unwanted,
            allowed=allowed,
            neighbours=neighbours,
        ),
        text=text,
        label=label,
        ignored=ignored or (),
        reading=reading_of(encoding, bad_bytes),
        rate=rate,
        settings=shared.given(mode=mode, retries=retries, neutral=neutral, policy=policy),
        device=device,
        overwrite=overwrite,
    )
    if json:
        print(json_module.dumps(found, ensure_ascii=False))
        return
    for kind in ("innocent", "unwanted"):
        print(f"{kind}: {found['blocked'][kind]:,} of {found[kind]:,} blocked ({found['blocked'][kind] / found[kind]:.1%})")
    print(f"The guard is in {out}")


def score(
    guard: GuardFile,
    data: Data,
    positive: Positive,
    text: Text = None,
    label: Label = None,
    ignored: Ignored = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    rate: Annotated[float | None, shared.real("False-alarm rate.  [default: the guard's]")] = None,
    terms: Annotated[
        str | None, shared.word("Word list; for each word, the share of innocent texts with it that are blocked.", "FILE")
    ] = None,
    device: shared.Device = "auto",
    json: shared.Json = False,
) -> None:
    """Measure a guard on labelled texts: recall and false alarms of each check alone and of all together.

    \b
    Examples:
      gyebo guard score guard.toml dev.tsv --positive hate
      gyebo guard score guard.toml dev.tsv --positive hate --terms identities.txt --json
    """
    from gyebo.jobs.guard.score import score as job
    from gyebo.jobs.text_files import reading_of

    found = job(
        guard,
        data,
        positive,
        text=text,
        label=label,
        ignored=ignored or (),
        reading=reading_of(encoding, bad_bytes),
        rate=rate,
        terms=terms,
        device=device,
    )
    if json:
        print(json_module.dumps(found, ensure_ascii=False))
        return
    print(f"thresholds for {found['rate']:.1%} false alarms; intervals of 95 %")
    print(f"{'':<20}{'recall':<38}false alarms")
    for row in found["checks"]:
        print(f"{row['check']:<20}{_shown(row['recall']):<38}{_shown(row['false_alarms'])}")
    for row in found.get("terms", ()):
        print(f"{row['term']:<20}{'':<38}{_shown(row)}")


def _shown(share: dict[str, Any]) -> str:
    return f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%}) of {share['of']:,}"
