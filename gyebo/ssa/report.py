"""A score as text for a person, in percent."""

from __future__ import annotations

from gyebo.ssa.bootstrap import Figure
from gyebo.ssa.score import Score
from gyebo.ssa.sheet import STATIC

ENOUGH = 5  # raters, as in the paper: so many tell how much raters differ


def lines_of(score: Score) -> list[str]:
    """The score as text, in percent."""
    return [*_who(score), "", *_table(score), *_differences(score), "", *_agreement(score), *_correlation(score)]


def label(score: Score) -> str:
    """Whose judgement it is: what has to be said wherever automatic raters took part."""
    if not score.automatic:
        return "human"
    return "human and automatic raters mixed, not human" if score.raters else "automatic, not human"


def _who(score: Score) -> list[str]:
    found = [f"Raters: {label(score)}"] if score.automatic else []
    found += [f"  {name} (automatic): {text}" for name, text in score.automatic.items()]
    counts = ", ".join(f"{ratings} ({responses:,})" for ratings, responses in score.ratings_per_response.items())
    number = len(score.raters) + len(score.automatic)
    found.append(f"{score.kind} sheet, {score.responses:,} responses, {number} raters; ratings of a response: {counts}")
    if score.unknown_specific:
        found.append(f"{score.unknown_specific:,} ratings don't say whether a sensible response is specific")
    if any(score.ties.values()):
        found.append(f"ties, which count as no: {score.ties['sensible']:,} sensible, {score.ties['specific']:,} specific")
    if number == 1:
        found.append("one rater: the intervals are about contexts only")
    elif number < ENOUGH:
        found.append(f"fewer than {ENOUGH} raters: the intervals are too narrow (docs/ssa.md)")
    return found


def _table(score: Score) -> list[str]:
    units = "contexts" if score.kind == STATIC else "conversations"
    title = "SSA" if not score.automatic else f"SSA ({label(score)})"
    head = f"{'bot':<20} {'responses':>9} {units:>13} {'unrated':>7}  {'sensibleness':<20} {'specificity':<20} {title}"
    return [
        head,
        *(
            f"{bot.bot:<20} {bot.responses:>9,} {bot.contexts:>13,} {bot.unrated:>7,}  {_shown(bot.sensibleness):<20} "
            f"{_shown(bot.specificity):<20} {_shown(bot.ssa)}"
            for bot in score.bots
        ),
    ]


def _differences(score: Score) -> list[str]:
    return [
        f"{found.bot} minus {found.against}, {f'{found.contexts:,} shared contexts' if found.paired else 'unpaired'}: "
        f"sensibleness {_shown(found.sensibleness, sign='+')}, specificity {_shown(found.specificity, sign='+')}, "
        f"SSA {_shown(found.ssa, sign='+')}"
        for found in score.differences
    ]


def _shown(figure: Figure, sign: str = "") -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "not rated"
    return f"{100 * figure.value:{sign}.1f} [{100 * figure.low:{sign}.1f}, {100 * figure.high:{sign}.1f}]"


def _agreement(score: Score) -> list[str]:
    found = []
    for question, agreed in score.agreement.items():
        alpha = "-" if agreed.alpha is None else f"{agreed.alpha:.3f} ({agreed.alpha_items:,} responses)"
        kappa = (
            "-" if agreed.kappa is None else f"{agreed.kappa:.3f} ({agreed.kappa_items:,} with {agreed.kappa_ratings} ratings)"
        )
        reason = f"; {agreed.reason}" if agreed.reason else ""
        found.append(f"agreement, {question}: Krippendorff's alpha {alpha}, Fleiss' kappa {kappa}{reason}")
    return found


def _correlation(score: Score) -> list[str]:
    found = score.correlation
    if found is None:
        return []
    without = f"; without a perplexity: {', '.join(found.without)}" if found.without else ""
    return [f"SSA and perplexity of {found.bots} bots: r = {found.pearson:.3f}, R^2 = {found.r_squared:.3f}{without}"]
