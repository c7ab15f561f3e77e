"""Which documents of a corpus are held out: by a hash of their text, or at the end of it."""

from __future__ import annotations

import hashlib
import unicodedata

from gyebo.config.run import DataOptions
from gyebo.data.records import CAPTION, Record


def split_key(text: str) -> int:
    """A 64-bit hash of the text without regard to case, composition and white space, so that duplicates share a split."""
    folded = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=8).digest(), "little")


def split_documents(texts: list[str], options: DataOptions, cut: int | None, held_out: bool) -> dict[str, list[str]]:
    """The documents of a chunk by split. `cut`: for `valid_last`, number of characters of this chunk that are training text."""
    if held_out:
        return {"train": [], "valid": texts}
    if cut is None:
        threshold = int(options.hash_share * 2**64)
        keys = [split_key(t) < threshold for t in texts] if threshold else [False] * len(texts)
        return {"train": [t for t, k in zip(texts, keys) if not k], "valid": [t for t, k in zip(texts, keys) if k]}
    parts: dict[str, list[str]] = {"train": [], "valid": []}
    for text in texts:
        if options.documents == "file" and 0 < cut < len(text):  # a file may be cut, a line or a block not
            parts["train"].append(text[:cut])
            parts["valid"].append(text[cut:])
        else:
            parts["train" if cut > 0 else "valid"].append(text)
        cut -= len(text)
    return parts


def record_key(record: Record) -> int:
    """A 64-bit hash of the texts of a picture as `split_key`, so that all share a split; of a single one it is the same.

    Questions and what is false do not count where there are captions: the same picture has others of these.
    """
    keys = [split_key(text.text) for text in record.texts if text.kind == CAPTION] or [split_key(t.text) for t in record.texts]
    return keys[0] if len(keys) == 1 else split_key(" ".join(map(str, sorted(keys))))


def split_records(records: list[Record], options: DataOptions, cut: int | None, held_out: bool) -> dict[str, list[Record]]:
    """The pictures of a chunk by split; arguments as in `split_documents`."""
    if held_out:
        return {"train": [], "valid": records}
    parts: dict[str, list[Record]] = {"train": [], "valid": []}
    threshold = int(options.hash_share * 2**64)
    for record in records:
        if cut is None:
            parts["valid" if threshold and record_key(record) < threshold else "train"].append(record)
        else:
            parts["train" if cut > 0 else "valid"].append(record)
            cut -= sum(len(text.text) for text in record.texts)
    return parts
