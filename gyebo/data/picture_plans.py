"""Plans of a corpus of pictures: one row for each picture, or one for each of its texts.

In both, a piece's document says which picture it is: `split.pictures.of[document]`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data.pictures import Pictures
from gyebo.data.plan import Plan
from gyebo.data.records import CAPTION
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Stream


def pictures_of(split: Split) -> Pictures:
    """The pictures of a split; OptionError where it has none."""
    if split.pictures is None:
        raise OptionError(
            "‹data.corpus› holds text alone, and this is learned from pictures: name a folder with captions, a .parquet or "
            ".tar of pictures, or world:pictures"
        )
    return split.pictures


def one_row_a_picture(split: Split, places: int, streams: tuple[Stream, ...] = (TOKENS,)) -> Plan:
    """Each picture once. A piece is the picture's first document with a size of 0: no text is read. `places`: positions that a
    picture fills in each of the streams."""
    documents = pictures_of(split).first[:-1]
    none = np.zeros_like(documents)
    rooms = [np.full_like(documents, places)] * len(streams)
    return _each_a_row(places, np.stack([documents, none, none, none, *rooms], 1), streams)


def one_row_a_text(
    split: Split,
    context: int,
    *,
    kinds: tuple[str, ...] = (CAPTION,),
    special: int = 0,
    streams: tuple[Stream, ...] = (TOKENS,),
    rooms: Mapping[str, int] | None = None,
) -> Plan:
    """Each text of these `kinds` (`gyebo/data/records.py`) once, with its picture; of a long one what fits into the `context`.

    `special`: positions of a text besides its tokens. `rooms`: name of a stream -> positions that every row fills in it; in the
    others it fills as many as the text has. ValueError where there is no such text, OptionError where the context has no room.
    """
    if context <= special:
        raise OptionError(f"‹context›={context} leaves no room for text besides the {special} special tokens: increase it")
    documents = pictures_of(split).of_kind(*kinds)
    if not len(documents):
        raise ValueError(f"no picture of the {split.name} part has a text of the kind {' or '.join(kinds)}")
    sizes = np.minimum(split.documents["tokens"][documents].astype(np.int64), context - special)
    none = np.zeros_like(documents)
    filled = [np.full_like(documents, rooms[s.name]) if rooms and s.name in rooms else sizes + special for s in streams]
    return _each_a_row(context, np.stack([documents, none, sizes, none, *filled], 1), streams)


def _each_a_row(context: int, pieces: NDArray[np.int64], streams: tuple[Stream, ...]) -> Plan:
    return Plan(context, pieces, np.arange(len(pieces) + 1), streams)
