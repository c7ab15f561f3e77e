"""`gyebo.translate`, the verb of `gyebo translate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gyebo.api.memory import Texts, names_in, texts_in
from gyebo.api.models import of_model
from gyebo.api.options import folder, given
from gyebo.config import durable
from gyebo.config.disk import disk_full
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.jobs.opened import Given


@of_model("translate")
def translate(
    model: Given,
    text: str | Sequence[str] | None = None,
    *,
    file: Texts = None,
    out: str | Path | None = None,
    beams: int | None = None,
    length_penalty: float | None = None,
    coverage_penalty: float | None = None,
    attention: str | Path | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    task: str | None = None,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
) -> str | list[str]:
    """Translate sentences: `gyebo.translate("runs/en-de", "two dogs play in the snow .")`.

    text: one sentence, which gives a string, or several, which give a list; or file: one with a sentence a line. out: a file
    for the translations. beams and penalties: by default the run's. attention: a PNG file for a plot, of one sentence.
    encoding, bad_bytes: how the bytes of the file become text. task: which one, of a model that learned several. Raises
    ValueError, one line that names the parameter.
    """
    from gyebo.jobs.translate import translate as job

    if (file is None) == (text is None):
        raise OptionError("‹text› and ‹file› exclude each other: give one")
    place, picture = folder(out), folder(attention)
    if overwrite and place is None:
        raise OptionError("‹overwrite› has no effect without ‹out›: leave it out")
    if place is not None and place.exists() and (place.is_dir() or not overwrite):
        advice = "" if place.is_dir() else ", or ‹overwrite› it"
        raise OptionError(f"{place} exists already: choose another name{advice}")
    ways = given(encoding=encoding, bad_bytes=bad_bytes)
    if ways and (file is None or names_in(file, "file") is None):
        raise OptionError(f"‹{next(iter(ways))}› has no effect without ‹file›, the name of one: leave it out")
    given_as = "text" if file is None else "file"
    texts = [text] if isinstance(text, str) else _texts(text if file is None else file, given_as, ways)
    settings = given(beams=beams, length_penalty=length_penalty, coverage_penalty=coverage_penalty)
    found = job(model, texts, settings, task=task, device=device, precision=precision, picture=picture)
    if place is not None:
        with disk_full(place, "free some space and start again"):
            durable.write(place, "".join(f"{line}\n" for line in found))
    return found[0] if isinstance(text, str) else found


def _texts(value: Texts, parameter: str, ways: dict[str, str]) -> list[str]:
    from gyebo.data.rows import lines
    from gyebo.jobs.text_files import reading_of

    names = names_in(value, parameter) if parameter == "file" else None
    if names is None:
        return list(texts_in(value, parameter))
    return [line for name in names for line in lines(Path(name), reading_of(**ways))]
