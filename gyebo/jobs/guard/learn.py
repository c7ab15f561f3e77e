"""`gyebo guard learn`: a word list from labelled texts, by log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gyebo.config import durable
from gyebo.data.encoding import UTF8, Reading
from gyebo.jobs.guard import labelled
from gyebo.jobs.run_directory import refuse_existing
from gyebo.text import log_odds


def learn(
    data: str,
    out: Path,
    positive: Sequence[str],
    *,
    text: str | None = None,
    label: str | None = None,
    ignored: Sequence[str] = (),
    reading: Reading = UTF8,
    most: int = 300,
    least: int = 5,
    overwrite: bool = False,
) -> int:
    """Write a word list (`gyebo/text/word_list.py`) whose weights are differences of log-odds; returns how many words it has.

    Options as in `labelled.read` and `log_odds.learn`, and what they raise.
    """
    refuse_existing(out, overwrite, data)
    found = labelled.read(data, positive, ignored, text=text, label=label, reading=reading)
    words = log_odds.learn(found.unwanted, found.innocent, most=most, least=least)
    about = f"# {', '.join(positive)} against other texts of {Path(data).name}: word = log-odds (Monroe et al. 2008)"
    durable.write(out, "\n".join([about, *map(str, words.entries), ""]))
    return len(words.entries)
