"""`gyebo guard fit`: a guard's file, with thresholds chosen from labelled texts at a stated false-alarm rate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.config import durable, toml
from gyebo.config.errors import OptionError
from gyebo.config.guard import RATE, RATES, GuardOptions
from gyebo.data.encoding import UTF8, Reading
from gyebo.data.rows import lines
from gyebo.generation.guard import Guard, Rule
from gyebo.generation.guard.calibration import blocks, thresholds
from gyebo.generation.guard.checks import exemplars_of
from gyebo.jobs.guard import labelled
from gyebo.jobs.guard.labelled import Labelled
from gyebo.jobs.guard.opening import DEFAULT_POLICY, check_neutral, check_of, encoder, write_exemplars
from gyebo.jobs.run_directory import refuse_existing
from gyebo.text.disguise import letters_of

Check = dict[str, Any]  # the fields of `CheckOptions` but the thresholds, as they are stored


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a guard is to check with: word lists, classifiers as DIR:CLASS[,CLASS], and an encoder with files of unwanted and
    allowed exemplars, a text a line."""

    words: Sequence[str] = ()
    classifiers: Sequence[str] = ()
    encoder: str | None = None
    unwanted: str | None = None
    allowed: str | None = None
    neighbours: int = 1


def fit(
    data: str,
    out: Path,
    positive: Sequence[str],
    wanted: Wanted,
    *,
    text: str | None = None,
    label: str | None = None,
    ignored: Sequence[str] = (),
    reading: Reading = UTF8,
    rate: float = RATE,
    settings: dict[str, Any] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a guard's file, and beside it the vectors of exemplars. Returns how many innocent and unwanted texts of `data`,
    read as in `labelled.read`, are blocked at the rate.

    Exemplars that are texts of `data` are left out of these, as they are nearest to themselves. `settings`: other fields of
    `GuardOptions`; `reading`: of `data` and of exemplars. Raises ValueError for no check at all, and for what is wrong with
    one of them.
    """
    for source in (data, *wanted.words, wanted.unwanted, wanted.allowed, (settings or {}).get("policy")):
        refuse_existing(out, overwrite, source)
    values: dict[str, Any] = {"rate": rate, "log": f"{out.stem}.log.jsonl", **_placed(settings or {}, out)}
    found = labelled.read(data, positive, ignored, text=text, label=label, reading=reading)
    checks, found = _checks(wanted, out, found, reading, device, overwrite)
    wished = toml.check(GuardOptions, values | {"checks": [check | {"thresholds": {}} for check in checks]})
    functions = [check_of(check, out, device) for check in wished.checks]
    innocent, unwanted = (labelled.scores_of(functions, texts) for texts in (found.innocent, found.unwanted))
    for number, check in enumerate(checks):
        here, rates = innocent[number : number + 1], sorted({*RATES, rate})
        check["thresholds"] = {str(float(each)): float(thresholds(innocent, each)[number]) for each in rates}
        check["alone"] = {str(float(each)): float(thresholds(here, each)[0]) for each in rates}
    chosen = thresholds(innocent, rate)
    rules = (Rule(check.name, function, {rate: limit}) for check, function, limit in zip(wished.checks, functions, chosen))
    check_neutral(Guard(tuple(rules), rate=rate, neutral=wished.neutral))
    blocked = {"innocent": int(blocks(innocent, chosen).sum()), "unwanted": int(blocks(unwanted, chosen).sum())}
    values["checks"] = checks
    values["fitted"] = {
        "data": _relative(data, out),
        "positive": list(positive),
        "ignored": list(ignored),
        "innocent": len(found.innocent),
        "unwanted": len(found.unwanted),
        "blocked": blocked["innocent"],
    }
    options = toml.check(GuardOptions, values)
    durable.write(out, toml.dump(options.model_dump(exclude_unset=True)))
    return {"out": str(out), "rate": rate, "innocent": len(found.innocent), "unwanted": len(found.unwanted), "blocked": blocked}


def _checks(
    wanted: Wanted, out: Path, found: Labelled, reading: Reading, device: str, overwrite: bool
) -> tuple[list[Check], Labelled]:
    """The checks as they are stored, and the texts to fit them on."""
    checks: list[Check] = [{"kind": "words", "name": Path(file).stem, "file": _relative(file, out)} for file in wanted.words]
    for given in wanted.classifiers:
        model, _, classes = given.rpartition(":")
        if not model or not classes:
            raise OptionError(f"‹classifier›={given}: must be DIR:CLASS or DIR:CLASS,CLASS")
        checks.append(
            {"kind": "classifier", "name": Path(model).name, "model": _relative(model, out), "classes": classes.split(",")}
        )
    if wanted.encoder is not None:
        check, found = _similarity(wanted, wanted.encoder, out, found, reading, device, overwrite)
        checks.append(check)
    elif wanted.unwanted or wanted.allowed or wanted.neighbours != 1:
        raise OptionError("‹unwanted›, ‹allowed› and ‹neighbours› have no effect without ‹encoder›: leave them out")
    if not checks:
        raise OptionError("a guard needs a check: give ‹words›, ‹classifier›, or ‹encoder› with ‹unwanted›")
    return checks, found


def _similarity(
    wanted: Wanted, model: str, out: Path, found: Labelled, reading: Reading, device: str, overwrite: bool
) -> tuple[Check, Labelled]:
    if wanted.unwanted is None:
        raise OptionError(f"‹encoder›={model} needs ‹unwanted›: a file with a text a line that answers must not be like")
    if wanted.allowed is not None and wanted.neighbours == 1:
        raise OptionError("‹allowed› exemplars vote, which takes several: set ‹neighbours› to 2 or more")
    vectors = out.with_suffix(".exemplars.safetensors")
    refuse_existing(vectors, overwrite)
    files = (wanted.unwanted, wanted.allowed)
    unwanted, allowed = ([line for line in lines(Path(file), reading) if line.strip()] if file else [] for file in files)
    if not unwanted:
        raise OptionError(f"‹unwanted›={wanted.unwanted}: contains no text")
    known = {letters_of(text) for text in (*unwanted, *allowed)}
    left = Labelled(*([text for text in texts if letters_of(text) not in known] for texts in (found.unwanted, found.innocent)))
    for kind, texts in vars(left).items():
        if not texts:
            raise OptionError(f"all {kind} texts are exemplars, too: fit on other texts")
    encode, _ = encoder(model, device)
    write_exemplars(vectors, exemplars_of(encode, unwanted, allowed, left.texts))
    check = {"kind": "similarity", "name": "similarity", "file": vectors.name, "model": _relative(model, out)}
    return check | ({"neighbours": wanted.neighbours} if wanted.neighbours != 1 else {}), left


def _placed(settings: dict[str, Any], out: Path) -> dict[str, Any]:
    """Settings as they are stored: the policy by its place; FileNotFoundError where there is none."""
    name = settings.get("policy", DEFAULT_POLICY)
    if name == DEFAULT_POLICY:
        return settings
    if not Path(name).is_file():
        raise FileNotFoundError(f"{name}: no such file")
    return settings | {"policy": _relative(name, out)}


def _relative(name: str, out: Path) -> str:
    """A path as it is stored: relative to the guard's file. The id of a model on the hub stays."""
    return os.path.relpath(Path(name).resolve(), out.parent.resolve()) if Path(name).exists() else name
