"""Values and rows of .jsonl and .json files. What is no JSON, too deep, too long or half a character is one line of error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gyebo.config.errors import OptionError
from gyebo.data.encoding import BYTE_ORDER_MARK, UTF8, Reading, decode, open_text, text_blocks, text_lines
from gyebo.data.opening import whole

# The place of a row in its file ("row 12"), and its values, or what is wrong with it.
Row = tuple[str, "dict[str, Any] | str"]
LONGEST_ROW = 16 << 20  # bytes of a line or of an item of a list


def is_blank(line: str) -> bool:
    """Whether a line has white space alone; a byte-order mark is none either."""
    return not line.strip() or not line.strip().strip(BYTE_ORDER_MARK).strip()


_TOO_DEEP = "nested more deeply than can be read"
_TOO_MANY = "a number of too many digits"
_TOO_LONG = f"an item of more than {LONGEST_ROW >> 20} MB"
_TOKEN = 16  # characters of a word or escape that may be cut


def parsed(text: str) -> Any:
    """A JSON value. ValueError says what is wrong with a text that is none, is nested too deeply or has a number too long."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:  # of int()
        raise ValueError(_TOO_MANY) from None


_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # half of a character beyond U+FFFF, as JSON escapes it


def mended(value: Any, text: str, path: Path, reading: Reading) -> Any:
    """A value that was read of `text`, without halves of characters ("\\ud83d" alone), which no text may hold: ValueError, or
    U+FFFD where bad bytes are replaced."""
    if not _HALF.search(text):
        return value
    if not reading.replaces:
        if half := _half_in(value):
            raise OptionError(f"\\u{ord(half):04x} is half of a character: leave the row out, or pass ‹bad_bytes›=replace")
        return value
    return _whole(value, str(path), reading)


def _half_in(value: Any) -> str:
    """The first half of a character in a value, "" where it has none."""
    if isinstance(value, str):
        return next((c for c in value if "\ud800" <= c <= "\udfff"), "")
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((half for part in inner if (half := _half_in(part))), "")


def _whole(value: Any, name: str, reading: Reading) -> Any:
    if isinstance(value, str):
        text, count = without_halves(value)
        if count:
            reading.replaced[name] += count
        return text
    if isinstance(value, dict):
        return {_whole(key, name, reading): _whole(inner, name, reading) for key, inner in value.items()}
    return [_whole(inner, name, reading) for inner in value] if isinstance(value, list) else value


def without_halves(text: str) -> tuple[str, int]:
    """A text with U+FFFD for each half of a character, and how many there were."""
    return re.subn("[\ud800-\udfff]", "\ufffd", text)


def json_lines(path: Path, reading: Reading = UTF8, lists: str | None = None) -> Iterator[Row]:
    """The objects of a .jsonl file; a line that is a list is the value of the key `lists`, if it is given."""
    for number, line in enumerate(text_lines(path, reading, LONGEST_ROW), 1):
        if is_blank(line):
            continue
        where = f"line {number}"
        try:
            values = mended(parsed(line.strip().strip(BYTE_ORDER_MARK)), line, path, reading)
        except ValueError as error:
            yield where, str(error)
            continue
        if lists and isinstance(values, list):
            values = {lists: values}
        yield where, values if isinstance(values, dict) else f"a {type(values).__name__}, not an object"


def json_list(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """The objects of a .json file that holds a list of objects, one at a time; ValueError for other files."""
    for number, item in enumerate(_items(path, reading), 1):
        yield f"item {number}", item if isinstance(item, dict) else f"a {type(item).__name__}, not an object"


def _items(path: Path, reading: Reading) -> Iterator[Any]:
    """The items of a JSON list, of which few are in memory."""
    text = _Ahead(path, reading)
    if text.skip() != "[":
        found = json_value(path, reading)  # an error, most likely
        raise ValueError(f"{path}: holds a {type(found).__name__}, not a list of objects")
    text.at += 1
    if text.skip() == "]":
        text.at += 1
    else:
        while True:
            yield text.value()
            sign = text.skip()
            text.at += 1
            if sign == "]":
                break
            if sign != ",":
                raise text.wrong("Expecting ',' delimiter" if sign else "the list does not end")
            text.skip()
    if text.skip():
        raise text.wrong("Extra data")


class _Ahead:
    """A text that is read no further than it is needed; `at`: the place in what is in memory."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self.reading = path, reading
        self.blocks = text_blocks(path, reading)
        self.text, self.at, self.line, self.done = "", 0, 1, False
        self.decoder = json.JSONDecoder()

    def skip(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more(1):
                return ""

    def more(self, count: int) -> bool:
        """Read so many characters or more; False at the end."""
        self.line += self.text.count("\n", 0, self.at)
        parts = [self.text[self.at :]]
        self.at = 0
        while count > 0 and not self.done:
            block = next(self.blocks, None)
            self.done = block is None
            parts.append(block or "")
            count -= len(block or "")
        self.text = "".join(parts)
        return len(parts[0]) < len(self.text)

    def value(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                found, end = self.decoder.raw_decode(self.text, self.at)
                if end < len(self.text) or not self.more(1):  # a number may go on
                    break
            except json.JSONDecodeError as error:
                rest = len(self.text) - self.at
                cut = error.msg.startswith("Unterminated string") or error.pos > len(self.text) - _TOKEN
                if not cut or rest > LONGEST_ROW or not self.more(rest):  # twice as much each time
                    raise self.wrong(error.msg if rest <= LONGEST_ROW else _TOO_LONG, error.pos) from None
            except RecursionError:
                raise self.wrong(_TOO_DEEP) from None
            except ValueError:  # of int()
                raise self.wrong(_TOO_MANY) from None
        try:
            found = mended(found, self.text[self.at : end], self.path, self.reading)
        except ValueError as error:
            raise self.wrong(str(error)) from None
        self.at = end
        return found

    def wrong(self, what: str, at: int | None = None) -> ValueError:
        """The error for the place `at`, or here."""
        line = self.line + self.text.count("\n", 0, self.at if at is None else at)
        return ValueError(f"{self.path}: not JSON: line {line}: {what}")


def begins_with(path: Path, reading: Reading = UTF8) -> str:
    """The first character of a file other than white space, "" where there is none."""
    return _Ahead(path, reading).skip()


def json_value(path: Path, reading: Reading = UTF8) -> Any:
    """The value of a .json file, read whole. ValueError names the file, and the line of what is no JSON."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open_text(path, reading) as file:
        text = decode(whole(file, path), path, 0).removeprefix(BYTE_ORDER_MARK)
    try:
        return mended(json.loads(text), text, path, reading)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path}: not JSON: {_TOO_DEEP}") from None
    except OptionError as error:
        raise OptionError(f"{path}: {error.text}") from None
    except ValueError:  # of int()
        raise ValueError(f"{path}: not JSON: {_TOO_MANY}") from None
