"""The score of one or several sheets: SSA of each bot, differences between bots, agreement of raters, correlation with
perplexity."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gyebo.config.errors import OptionError
from gyebo.data.encoding import UTF8, Reading
from gyebo.ssa.agreement import Agreement, agreement
from gyebo.ssa.bootstrap import RESAMPLES, Figure, contexts_of, differences, intervals
from gyebo.ssa.ratings import HUMAN, automatic, gather, log_of
from gyebo.ssa.sheet import STATIC, Sheet, read_sheets, rows, word
from gyebo.ssa.votes import Numbers, Votes, ties, votes_of

LEAST_BOTS = 3  # two points always lie on a line


@dataclass(frozen=True)
class BotScore:
    """SSA of one bot. `contexts`: of an interactive sheet its conversations; `unrated`: responses without any rating, which
    don't count."""

    bot: str
    responses: int
    contexts: int
    unrated: int
    sensibleness: Figure
    specificity: Figure
    ssa: Figure


@dataclass(frozen=True)
class Difference:
    """A bot minus another. `paired`: over the `contexts` that both answer, otherwise over all of each, drawn apart."""

    bot: str
    against: str
    paired: bool
    contexts: int
    sensibleness: Figure
    specificity: Figure
    ssa: Figure


@dataclass(frozen=True)
class Correlation:
    """SSA against perplexity over bots. `without`: the sheet's bots of which no perplexity is given."""

    bots: int
    pearson: float
    r_squared: float
    without: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """What a sheet's ratings say. `raters`: the number of ratings of each human rater; `automatic`: the descriptions of the
    others.

    `ratings_per_response`: how many responses have so many ratings. `unknown_specific`: ratings that call a response sensible
    and don't say whether it is specific. `ties`: responses on which a question was at a tie, which counts as no.
    """

    kind: str
    responses: int
    raters: dict[str, int]
    automatic: dict[str, str]
    ratings_per_response: dict[int, int]
    unknown_specific: int
    ties: dict[str, int]
    bots: tuple[BotScore, ...]
    differences: tuple[Difference, ...]
    agreement: dict[str, Agreement]
    correlation: Correlation | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; all figures are fractions of 1."""
        return asdict(self)


def score(
    sheets: Sequence[Path],
    ratings: Sequence[Path] = (),
    *,
    raters: str | None = None,
    against: str | None = None,
    perplexity: Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    reading: Reading = UTF8,
) -> Score:
    """Score sheets by the ratings beside them and those of further files.

    `raters`: human, automatic or both (see `gyebo.ssa.ratings.gather`). `against`: the bot that the others are compared with,
    None: the first one. `perplexity`: a .csv or .jsonl of bot and perplexity. Raises FileNotFoundError, and ValueError for
    what is wrong in a file, for an unknown bot, and where no item is rated.
    """
    sheet = read_sheets(sheets, reading)
    chosen = gather(sheet, dict.fromkeys(map(log_of, sheets)), ratings, raters, reading)
    if against is not None and against not in sheet.bots:
        raise OptionError(f"‹against›: there is no bot {against!r}; there is: {', '.join(sheet.bots)}")
    votes = votes_of(sheet.items, chosen)
    chance = {"resamples": resamples, "seed": seed}
    bots = tuple(_bot(sheet, votes, bot, chance) for bot in sheet.bots)
    first = against or sheet.bots[0]
    people = Counter(rating.rater for rating in chosen if rating.kind == HUMAN)
    return Score(
        kind=sheet.kind,
        responses=len(sheet.items),
        raters=dict(sorted(people.items())),
        automatic=automatic(chosen),
        ratings_per_response=_ratings_per_response(votes),
        unknown_specific=int((~np.isnan(votes.sensible) & np.isnan(votes.specific)).sum()),
        ties={"sensible": ties(votes.sensible), "specific": ties(votes.specific)},
        bots=bots,
        differences=tuple(_difference(sheet, votes, bot, first, chance) for bot in sheet.bots if bot != first),
        agreement={"sensible": agreement(votes.sensible), "specific": agreement(votes.specific)},
        correlation=correlation(bots, perplexity, reading) if perplexity else None,
    )


def _ratings_per_response(votes: Votes) -> dict[int, int]:
    counts = Counter((~np.isnan(votes.sensible)).sum(0).tolist())
    return dict(sorted(counts.items(), reverse=True))


def _bot(sheet: Sheet, votes: Votes, bot: str, chance: dict[str, int]) -> BotScore:
    mask, contexts = _of(sheet, bot), contexts_of([item.conversation for item in sheet.items if item.bot == bot])
    own = votes.of(mask)
    unrated = int(np.isnan(own.sensible).all(0).sum())
    return BotScore(bot, int(mask.sum()), int(contexts.max()) + 1, unrated, **intervals(own, contexts, **chance))


def _difference(sheet: Sheet, votes: Votes, bot: str, against: str, chance: dict[str, int]) -> Difference:
    masks = [_of(sheet, name) for name in (bot, against)]
    names = np.array([item.conversation for item in sheet.items])
    shared = np.intersect1d(names[masks[0]], names[masks[1]]) if sheet.kind == STATIC else names[:0]
    if paired := len(shared) > 0:
        masks = [mask & np.isin(names, shared) for mask in masks]
    numbers = [np.unique(names[mask], return_inverse=True)[1] for mask in masks]
    found = differences(votes.of(masks[0]), votes.of(masks[1]), (numbers[0], numbers[1]), paired=paired, **chance)
    return Difference(bot, against, paired, len(shared), **found)


def _of(sheet: Sheet, bot: str) -> Numbers:
    return np.array([item.bot == bot for item in sheet.items])


# ---- perplexity


def correlation(bots: Sequence[BotScore], path: Path, reading: Reading = UTF8) -> Correlation:
    """Pearson's correlation of SSA and perplexity, and its square, R^2; ValueError for fewer than three bots or equal
    values."""
    known = {bot.bot: bot.ssa.value for bot in bots}
    values = _perplexities(path, known, reading)
    pairs = [(values[bot], ssa) for bot, ssa in known.items() if bot in values and ssa is not None]
    if len(pairs) < LEAST_BOTS:
        raise ValueError(
            f"{path}: a correlation needs {LEAST_BOTS} bots that are rated and have a perplexity, but has {len(pairs)}"
        )
    perplexity, ssa = np.array(pairs).T
    if np.ptp(perplexity) == 0 or np.ptp(ssa) == 0:
        raise ValueError(
            f"{path}: all {'perplexities' if np.ptp(perplexity) == 0 else 'SSA'} are equal: there is no correlation"
        )
    pearson = float(np.corrcoef(perplexity, ssa)[0, 1])
    return Correlation(len(pairs), pearson, pearson**2, tuple(bot for bot in known if bot not in values))


def _perplexities(path: Path, bots: dict[str, Any], reading: Reading) -> dict[str, float]:
    found: dict[str, float] = {}
    for where, values in rows(path, reading):
        bot = word(values, "bot", where)
        if bot not in bots:
            raise ValueError(f"{where}: there is no bot {bot!r} in the sheet; there is: {', '.join(bots)}")
        if bot in found:
            raise ValueError(f"{where}: bot {bot!r} stands in it twice")
        try:
            found[bot] = float(values.get("perplexity") or "")
        except (TypeError, ValueError):
            found[bot] = math.nan
        if not 0 < found[bot] < math.inf:
            raise ValueError(f"{where}: perplexity must be a number above 0, but is {values.get('perplexity')!r} instead")
    return found
