"""Bytes as text: UTF-8, what a byte-order mark says, or a named encoding; and what is said of bytes that are none of it.

The error names the encoding that the bytes are likely in, with a piece of the text as read that way: CP949 of Korean Windows,
UTF-16, and the others of `_LIKELY`.
"""

from __future__ import annotations

import codecs
import io
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gyebo.config.errors import OptionError
from gyebo.data.opening import LONGEST, open_bytes, whole_lines

BYTE_ORDER_MARK = "\ufeff"
MARKS = {  # the longest first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
MOST_REPLACED = 0.01  # share of the characters of a file; where more had to be replaced, it is in another encoding
FEW = 10  # characters that may be replaced in any file
_BLOCK = 1 << 18
_SAMPLE = 1 << 14
# Frequent characters of Korean, Chinese (both scripts) and Japanese.
_COMMON = frozenset(
    "이다는을가에의한고하은도지를사로기어나니그들자있수서인대아게해시리것정일라만보요부전과거제안여상주면들스원생성없습했장했음말때"
    "的一是了不在有人我他这個个上大来來到时時们們就出要以会會可也你生中年得着国國那和地下子自之后後学學日月本見行今天"
)
_LIKELY = ("cp949", "cp932", "euc_jp", "gb18030", "big5", "cp1252")


@dataclass
class Reading:
    """How the bytes of files become text. encoding: a name that Python knows; None: UTF-8. A byte-order mark is believed first.
    bad_bytes: "refuse" (an error) or "replace" (by U+FFFD). replaced: how many characters were, by file, while it is read."""

    encoding: str | None = None
    bad_bytes: str = "refuse"
    replaced: Counter[str] = field(default_factory=Counter)

    @property
    def replaces(self) -> bool:
        """Whether bad bytes are replaced."""
        return self.bad_bytes == "replace"

    def said(self) -> list[str]:
        """What was replaced, a line for each file."""
        return [said_of(name, count) for name, count in self.replaced.items() if count]


UTF8 = Reading()


def said_of(name: str, count: int) -> str:
    """That bad bytes of a file were replaced."""
    return f"{name}: {count:,} character{'s' if count > 1 else ''} could not be read and became U+FFFD (bad_bytes=replace)"


@contextmanager
def open_text(path: Path, reading: Reading) -> Iterator[IO[bytes]]:
    """A file, decompressed, as UTF-8. Where nothing else is asked for, its bytes are given as they are: who decodes them finds
    those that are no UTF-8 (`decode`), and the mark at the start.

    ValueError in one line where it is damaged or is no text; where it has bytes that are not of the encoding and are not to be
    replaced, or more than `MOST_REPLACED` of it had to be.
    """
    with open_bytes(path) as file:
        head = file.peek(_SAMPLE)[:_SAMPLE]  # type: ignore[attr-defined]
        marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
        encoding = codecs.lookup(marked or reading.encoding or "utf-8").name
        if marked is None and reading.encoding is None and (wide := _wide(head)):
            raise OptionError(f"{path}: is not UTF-8, but {_as_read(head, wide)}")
        if encoding == "utf-8" and not reading.replaces:
            yield file
        else:
            yield io.BufferedReader(_Decoded(file, path, encoding, reading), _BLOCK)  # type: ignore[arg-type]


def text_lines(path: Path, reading: Reading, longest: int = LONGEST) -> Iterator[str]:
    """The lines of a file with their ends, "\\n" alone; a byte-order mark is dropped. Errors as of `open_text`, for a
    line of more than `longest` bytes, and FileNotFoundError."""
    _there(path)
    offset = 0
    with open_text(path, reading) as file:
        for piece in whole_lines(file, path, longest):
            text = decode(piece, path, offset)
            yield from io.StringIO(text if offset else text.removeprefix(BYTE_ORDER_MARK), newline="\n")
            offset += len(piece)


def text_blocks(path: Path, reading: Reading) -> Iterator[str]:
    """A file as pieces of text, cut anywhere; errors as of `text_lines`."""
    _there(path)
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_text(path, reading) as file:
        offset, block = 0, b"first"
        while block:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset + len(block) - len(error.object) + error.start
                raise _not_text(error.object, error.start, path, at, "UTF-8") from None
            yield text if offset else text.removeprefix(BYTE_ORDER_MARK)
            offset += len(block)


def _there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")


def decode(raw: bytes, path: Path | str, offset: int) -> str:
    """UTF-8 as text; an invalid byte is a ValueError with the file, the offset and the likely encoding."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _not_text(raw, error.start, path, offset + error.start, "UTF-8") from None


def whole_text(raw: bytes, name: str, reading: Reading) -> str:
    """All bytes of something as text, without a byte-order mark; what is replaced counts for the file `name`."""
    marked = next((encoding for mark, encoding in MARKS.items() if raw.startswith(mark)), None)
    encoding = codecs.lookup(marked or reading.encoding or "utf-8").name
    before = _counts.count
    try:
        text = codecs.getincrementaldecoder(encoding)(_COUNTED if reading.replaces else "strict").decode(raw, final=True)
    except UnicodeDecodeError as error:
        raise _not_text(raw, error.start, name, error.start, encoding.upper()) from None
    if _counts.count > before:
        reading.replaced[name] += _counts.count - before
    return text.removeprefix(BYTE_ORDER_MARK)


# ---- decoding


class _Decoded(io.RawIOBase):
    """A file in any encoding as UTF-8, without a byte-order mark; what is replaced is counted."""

    def __init__(self, file: IO[bytes], path: Path, encoding: str, reading: Reading) -> None:
        self._file, self._path, self._encoding, self._reading = file, path, encoding, reading
        self._decoder = codecs.getincrementaldecoder(encoding)(_COUNTED if reading.replaces else "strict")
        self._ready = memoryview(b"")
        self._read = self._characters = self._replaced = 0
        self._done = False
        self._first_bad = b""

    def readable(self) -> bool:
        """It is read only."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` from the front; the number of bytes, 0 at the end."""
        while not self._ready and not self._done:
            self._ready = memoryview(self._more().encode())
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _more(self) -> str:
        block = self._file.read(_BLOCK)
        self._done = not block
        before = _counts.count
        try:
            text = self._decoder.decode(block, final=self._done)
        except UnicodeDecodeError as error:
            at = self._read + len(block) - len(error.object) + error.start
            raise _not_text(error.object, error.start, self._path, at, self._encoding.upper()) from None
        if not self._characters:
            text = text.removeprefix(BYTE_ORDER_MARK)
        self._count(_counts.count - before, block)
        self._read += len(block)
        self._characters += len(text)
        if self._replaced > max(FEW, MOST_REPLACED * self._characters) and (self._done or self._read >= 4 * _BLOCK):
            raise self._too_many()
        return text

    def _count(self, more: int, block: bytes) -> None:
        if more:
            self._first_bad = self._first_bad or block
            self._replaced += more
            self._reading.replaced[str(self._path)] += more

    def _too_many(self) -> OptionError:
        share = self._replaced / max(1, self._characters)
        named = None if self._encoding != "utf-8" else likely(self._first_bad[:_SAMPLE])
        wrong = (
            f"{self._path}: {self._replaced:,} characters ({share:.0%}) are not {self._encoding.upper()}, too many to replace"
        )
        if named is None:
            return OptionError(f"{wrong}: name its ‹encoding›, or convert the file")
        return OptionError(f"{wrong}, but {_as_read(self._first_bad, named)}")


class _Counts(threading.local):
    count = 0


_counts = _Counts()
_COUNTED = "gyebo.counted"


def _counting(error: UnicodeError) -> tuple[str, int]:
    """Of codecs: what stands for bytes that can't be decoded, and where decoding goes on."""
    assert isinstance(error, UnicodeDecodeError)
    _counts.count += 1
    return "\ufffd", error.end


codecs.register_error(_COUNTED, _counting)


# ---- what an encoding is likely


def likely(sample: bytes) -> str | None:
    """The encoding that bytes which are no UTF-8 are likely in; None where they are mostly UTF-8, or nothing fits."""
    if wide := _wide(sample):
        return wide
    as_utf8 = sample.decode("utf-8", "replace")
    bad = as_utf8.count("\ufffd")
    if sum(not c.isascii() for c in as_utf8) - bad > bad:
        return None
    scores = {name: _plausible(text) for name in _LIKELY if (text := _decoded(sample, name))}
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best and scores[best] > 0.5 else None


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of what is ASCII is 0, and Korean has spaces and ends of lines."""
    zeros = sample.count(0)
    if len(sample) < 4 or zeros < len(sample) / 64 or zeros > len(sample) * 0.6:
        return None
    name = "utf-16-le" if 2 * sample[1::2].count(0) > zeros else "utf-16-be"
    text = _decoded(sample, name)
    return name if text and _plausible(text) > 0.5 else None


def _decoded(sample: bytes, name: str) -> str:
    """The sample in an encoding, "" where it is not; it may end within a character."""
    try:
        return codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return ""


def _plausible(text: str) -> float:
    """How likely it is that somebody wrote a text, 0 to 1: the mean over its characters beyond ASCII, or over all of them."""
    found = [c for c in text if not c.isascii()] or list(text)
    return sum(map(_usual, found)) / len(found) if found else 0.0


def _usual(c: str) -> float:
    if "가" <= c <= "힣":  # CP949 has 11,172 syllables; those of KS X 1001 are what is written
        return 1.0 if c in _COMMON else 0.7 if _in_ksx1001(c) else 0.1
    if "ぁ" <= c <= "ヿ":
        return 1.0
    if "一" <= c <= "鿿":  # the bytes of Korean are Chinese characters too, but not the frequent ones, and the reverse
        return 1.0 if c in _COMMON else 0.6
    kind = unicodedata.category(c)
    if c.isascii():
        return 0.0 if kind == "Cc" and c not in "\t\r\n" else 1.0
    return {"L": 0.6, "P": 0.8, "Z": 0.8, "S": 0.5, "N": 0.5}.get(kind[0], 0.0)


def _in_ksx1001(c: str) -> bool:
    try:
        return len(c.encode("euc_kr")) == 2  # others are spelled out, in eight bytes
    except UnicodeEncodeError:
        return False


def _as_read(sample: bytes, encoding: str) -> str:
    """What a sample says in an encoding, and how to name it."""
    text = " ".join(_decoded(sample[:_SAMPLE], encoding).split())
    at = next((i for i, c in enumerate(text) if not c.isascii()), 0)
    shown = text[max(0, at - 10) :][:40]
    return f"read as {encoding.upper()} it says {shown!r}: pass ‹encoding›={encoding}"


def _not_text(raw: bytes, start: int, path: Path | str, at: int, encoding: str) -> OptionError:
    """The error for the byte `start` of `raw`, which is the byte `at` of a file. What is shown begins at its line."""
    found = likely(raw[max(0, start - _SAMPLE) : start + _SAMPLE]) if encoding == "UTF-8" else None
    sample = raw[max(raw.rfind(b"\n", 0, start) + 1, start - 200) : start + _SAMPLE]
    where = f"{path}: byte {at} (0x{raw[start]:02x}) is not {encoding}"
    if found:
        return OptionError(f"{where}, but {_as_read(sample, found)}")
    return OptionError(f"{where}: convert the file, name its ‹encoding›, or pass ‹bad_bytes›=replace")
