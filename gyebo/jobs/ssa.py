"""`gyebo ssa make` and `gyebo ssa export`: a sheet of models' responses, and a sheet's ratings as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gyebo.data.encoding import UTF8, Reading
from gyebo.generation import complete, rank
from gyebo.generation.options import GenerationOptions, options_from
from gyebo.jobs.finetuned_model import FinetunedModel, open_model
from gyebo.jobs.run_directory import refuse_existing
from gyebo.ssa.ratings import FIELDS, log_of, read_log
from gyebo.ssa.sheet import SHEET_FIELDS, Item, read_contexts, read_sheets, write_rows
from gyebo.training.device import pick_device

ABOUT = ("bot", "conversation", "turn")  # of an item, beside what a rating says
BATCH = 32  # contexts at a time


def make(
    contexts: Path,
    models: Sequence[str],
    out: Path,
    options: dict[str, Any],
    *,
    device: str = "auto",
    reading: Reading = UTF8,
    overwrite: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> int:
    """Write a static sheet: the responses of dialogue models to the contexts of a file, by these generation options.

    A bot is called as its model is here. Gives the number of responses; `note` is called with what a model does not read of the
    contexts. Raises FileNotFoundError, and ValueError for what is wrong in the file, for options with several answers, and for
    a model that reads no dialogue.
    """
    refuse_existing(out, overwrite, str(contexts))
    checked, asked = options_from(options), read_contexts(contexts, reading)
    if checked.samples > 1:
        raise ValueError(f"samples={checked.samples}: a sheet has one response of each model, so leave it out")
    if len(set(models)) < len(models):
        raise ValueError(f"a model is named twice: {', '.join(models)}")
    opened = [open_model(name) for name in models]
    items = []
    for number, bot in enumerate(opened, 1):
        said = _responses(bot, list(asked.values()), checked, device, note)
        pairs = zip(asked.items(), said, strict=True)
        items += [Item(f"{known}-{number}", str(bot.name), known, turns, response) for (known, turns), response in pairs]
    write_rows(out, map(vars, items), SHEET_FIELDS)
    return len(items)


def _responses(
    bot: FinetunedModel,
    contexts: list[tuple[str, ...]],
    options: GenerationOptions,
    device: str,
    note: Callable[[str], None],
) -> list[str]:
    sources = [bot.source_of(turns) for turns in contexts]
    assert bot.tokenizer is not None, "a model that reads turns has one"
    if short := sum(source.dropped > 0 or source.cut > 0 for source in sources):
        note(f"{bot.name} reads {short:,} of {len(sources):,} contexts without their beginning, for which it has no room")
    model, found = bot.model.eval().to(pick_device(device)), []
    with torch.inference_mode():
        for start in range(0, len(sources), BATCH):
            prompts = [source.ids for source in sources[start : start + BATCH]]
            if options.rank:
                rankings = rank(model, bot.tokenizer, prompts, options, turns=contexts[start : start + BATCH])
                found += [ranking.best.answer.text for ranking in rankings]
            else:
                found += [answer.text for answer in complete(model, bot.tokenizer, prompts, options)]
    return found


def export(path: Path, out: Path, *, reading: Reading = UTF8, overwrite: bool = False) -> int:
    """Write the ratings beside a sheet to a .jsonl or .csv, in the order of the sheet; gives their number.

    `gyebo.ssa.ratings.read_ratings` reads the result again. Raises FileNotFoundError, and ValueError for what is wrong in the
    sheet or its log, or where there are no ratings yet.
    """
    refuse_existing(out, overwrite, str(path))
    sheet = read_sheets([path], reading)
    ratings = read_log(log_of(path), sheet)
    if not ratings:
        raise ValueError(f"{log_of(path)}: no ratings yet: rate the sheet first (gyebo ssa serve)")
    items = {item.id: item for item in sheet.items}
    place = {name: number for number, name in enumerate(items)}
    found = [
        {name: getattr(rating, name) for name in FIELDS} | {name: getattr(items[rating.item], name) for name in ABOUT}
        for rating in sorted(ratings.values(), key=lambda rating: (place[rating.item], rating.rater))
    ]
    write_rows(out, found, (FIELDS[0], *ABOUT, *FIELDS[1:]))
    return len(found)
