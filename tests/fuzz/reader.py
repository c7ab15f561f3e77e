"""What is fuzzed: a reader with files that it reads, and what may come of damaged ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_MESSAGE = 2000  # characters


@dataclass(frozen=True)
class Reader:
    """name: what it is called. files: () -> names of whole files of its format, and their bytes, any of which may be damaged.
    read: (folder in which all of the files of one case lie, path of the one that is damaged) -> what was read.

    What is read must be whole: texts of it (strings in lists, tuples and dicts) are valid Unicode. A file that can't be read is
    a ValueError or a FileNotFoundError in one line that names it.
    """

    name: str
    files: Callable[[], dict[str, bytes]]
    read: Callable[[Path, Path], Any]
    names_file: bool = True


def wrong_in(result: Any) -> str | None:
    """What is wrong with something that was read, None where nothing is."""
    if isinstance(result, str):
        try:
            result.encode()
        except UnicodeEncodeError as error:
            return f"a text that is no Unicode: {error}"
        return None
    inner = [*result, *result.values()] if isinstance(result, dict) else result if isinstance(result, list | tuple) else ()
    return next((wrong for part in inner if (wrong := wrong_in(part))), None)


def wrong_about(error: BaseException, path: Path, reader: Reader) -> str | None:
    """What is wrong with an error, None where it is as it should be."""
    said = str(error)
    if not isinstance(error, ValueError | FileNotFoundError) or isinstance(error, UnicodeError):
        return f"{type(error).__name__}: {said[:300]}"
    if "\n" in said or not said or len(said) > LONGEST_MESSAGE:
        return f"not one line of at most {LONGEST_MESSAGE} characters: {said[:300]!r}"
    if reader.names_file and path.name not in said and path.parent.name not in said:
        return f"names no file: {said[:300]!r}"
    return None
