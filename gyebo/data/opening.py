"""The bytes of a file that is plain or compressed (.gz, .xz, .zst), and its lines: in bounded memory, however small the file
and long the text. A file that is damaged or cut is an error that says where."""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PACKED = ("", ".gz", ".xz", ".zst")
LONGEST = 128 << 20  # bytes of a line, or of a text that is read whole
_WINDOW = 128 << 20  # bytes of the past to which compressed data may point back: what xz -9 and zstd --ultra -22 need

# What other files begin with that people take for text.
_MAGIC = {
    b"\x1f\x8b": "compressed by gzip: let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: let its name end in .zst",
    b"\xfd7zXZ\0": "compressed by xz: let its name end in .xz",
    b"PK\x03\x04": "a zip file (.xlsx and .docx are such): unpack it; save a spreadsheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Office file (.xls, .doc): save a spreadsheet as CSV UTF-8",
    b"%PDF": "a PDF: take its text out first",
    b"PAR1": "a parquet file: let its name end in .parquet",
    b"BZh": "compressed by bzip2: decompress it first",
}


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a file. ValueError names one that is damaged or cut, and how much of its text could be read."""
    ending = path.suffix.lower()
    if ending in PACKED[1:]:
        with path.open("rb") as packed:
            yield io.BufferedReader(_Unpacked(packed, path, ending), 1 << 16)  # type: ignore[arg-type]
    else:
        with path.open("rb") as file:
            if found := next((said for magic, said in _MAGIC.items() if file.peek(8).startswith(magic)), ""):
                raise ValueError(f"{path}: is no text, but {found}")
            yield file


def whole_lines(file: IO[bytes], path: Path | str, longest: int = LONGEST, block_bytes: int = 1 << 18) -> Iterator[bytes]:
    """A file in pieces of whole lines, which end at "\\n" alone. ValueError for a line of more than `longest` bytes."""
    given, held, size = 0, list[bytes](), 0
    while block := file.read(block_bytes):
        cut = block.rfind(b"\n") + 1
        if cut:
            held.append(block[:cut])
            found = b"".join(held)
            yield found
            given, held, size = given + len(found), [], 0
        held.append(block[cut:])
        size += len(block) - cut
        if size > longest:
            raise ValueError(f"{path}: the line at byte {given:,} has more than {longest >> 20} MB: cut it into several")
    if size:
        yield b"".join(held)


def whole(file: IO[bytes], path: Path | str) -> bytes:
    """All of a file. ValueError where that is more than `LONGEST` bytes."""
    found = file.read(LONGEST + 1)
    if len(found) > LONGEST:
        raise ValueError(f"{path}: has more than {LONGEST >> 20} MB, which can't be read as one text: cut it into several")
    return found


class _Unpacked(io.RawIOBase):
    """Decompressed bytes. Compressed ones are read so few at a time that what they become stays below about 32 MB."""

    def __init__(self, packed: IO[bytes], path: Path, ending: str) -> None:
        self._packed, self._path = packed, path
        self._start, self._size, self._errors = _decompressor(path, ending)
        self._stream: Any = self._start()
        self._left = b""  # compressed, not read yet
        self._ready = memoryview(b"")
        self._given = 0

    def readable(self) -> bool:
        """It is read only."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` from the front; the number of bytes, 0 at the end."""
        if not self._ready:
            self._ready = memoryview(self._more())
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._given += count
        return count

    def _more(self) -> bytes:
        while True:
            self._left = self._left or self._packed.read(self._size)
            if self._stream is None:  # between two streams in one file, as `cat a.gz b.gz` makes it
                self._left = self._left.lstrip(b"\0")  # padding of tapes
                if self._left:
                    self._stream = self._start()
                elif not (block := self._packed.read(self._size)):
                    return b""
                else:
                    self._left = block
                continue
            if not self._left:
                raise self._damaged("it ends in the middle of its compressed data")
            try:
                found = self._stream.decompress(self._left)
            except self._errors as error:
                raise self._damaged(str(error).splitlines()[0]) from None
            self._left = b""
            if self._stream.eof:
                self._left, self._stream = self._stream.unused_data, None
            if found:
                return found

    def _damaged(self, how: str) -> ValueError:
        return ValueError(f"{self._path}: damaged or cut after {self._given:,} bytes of its text: {how}; get the file again")


def _decompressor(path: Path, ending: str) -> tuple[Callable[[], Any], int, tuple[type[Exception], ...]]:
    """What starts a stream, how many bytes it may be given at a time, and its errors."""
    if ending == ".gz":
        return lambda: zlib.decompressobj(31), 16 << 10, (zlib.error,)
    if ending == ".xz":
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW + (16 << 20)), 4 << 10, (lzma.LZMAError, EOFError)
    try:
        import zstandard
    except ImportError:
        raise ValueError(f'{path}: reading .zst needs the extra "data": pip install "gyebo[data]"') from None
    return lambda: zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(), 1 << 10, (zstandard.ZstdError,)
