"""`gyebo.predict`, the verb of `gyebo predict`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import COLUMNS, TEXT, Names, kind_of, naming, row_file, spooled, texts_in
from gyebo.api.models import of_model
from gyebo.api.options import folder
from gyebo.api.showing import MOST_ROWS, Shown, columns, counted, figure, table
from gyebo.api.speaking import aside
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.jobs.opened import Given


@dataclass(frozen=True, kw_only=True, repr=False)
class Predictions(Shown):
    """Predictions in the order of the texts: a sequence of rows, each a dict with its id and prediction (docs/finetuning.md).
    `notes`: remarks, such as how many texts were cut. `out`: the file, None where none was written."""

    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    out: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    @property
    def predictions(self) -> list[Any]:
        """The predictions alone."""
        return [row["prediction"] for row in self.rows]

    def title(self) -> str:
        """What it is, in a line."""
        return counted(len(self), "prediction") + (f" in {self.out}" if self.out else "")

    def lines(self) -> list[tuple[str, str]]:
        """The first of them, and the notes."""
        shown = [(str(row["id"]), figure(row["prediction"])) for row in self.rows[:MOST_ROWS]]
        more = [("...", f"{len(self) - MOST_ROWS:,} more")] if len(self) > MOST_ROWS else []
        return [*shown, *more, *(("note", note) for note in self.notes)]

    def _repr_html_(self) -> str:
        names = columns(self.rows[:MOST_ROWS])
        return table(names, ([row.get(name, "") for name in names] for row in self.rows[:MOST_ROWS]), self.title())


@of_model("predict")
def predict(
    model: Given,
    file: Any,
    *,
    out: str | Path | None = None,
    text: str | None = None,
    pair: str | None = None,
    image: str | None = None,
    features: str | Path | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    task: str | None = None,
    keep: bool = False,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
    verbose: Verbose = None,
) -> Predictions:
    """The labels of texts by a fine-tuned model: `gyebo.predict("runs/sentiment", ["정말 좋다", "별로다"])`.

    file: texts (a list of strings, a column), rows (dicts, a table of pandas or polars, a data set), or the name of a file; one
    string is a name, never a text. text, pair, image: names of columns, by default as in training; features: a file with the
    regions of the pictures. out: a file for the predictions, .jsonl, .csv or .parquet. task: which one, of a model that learned
    several. keep: with the other columns of the file. Raises ValueError or FileNotFoundError, one line.
    """
    from gyebo.jobs.predict import predict as job

    place = folder(out)
    if overwrite and place is None:
        raise OptionError("‹overwrite› has no effect without ‹out›: leave it out")
    name, text = _file(file, text)
    regions = None if features is None else str(features)
    notes: list[str] = []
    with naming(file, "file"):
        if isinstance(file, str) and not Path(file).exists():
            raise FileNotFoundError(f"{file}: no such file")
        rows = job(
            model, name, place, task=task, text=text, pair=pair, image=image, features=regions, encoding=encoding,
            bad_bytes=bad_bytes, keep=keep, device=device, precision=precision, overwrite=overwrite, notes=notes,
        )  # fmt: skip
    speak = aside(verbose)
    for note in notes:
        speak.print(f"note: {note}", highlight=False, markup=False)
    return Predictions(rows=rows, notes=notes, out=place)


def _file(file: Any, text: str | None) -> tuple[str, str | None]:
    """The name of the file that holds the texts, and the column where they stand."""
    if isinstance(file, Names):
        return file[0], text
    if isinstance(file, str | Path):
        return str(file), text
    if not isinstance(file, list | tuple):
        kind = kind_of(file)
        if kind is None or kind[1] not in COLUMNS:
            return str(row_file(file, "file")), text
    elif not all(isinstance(each, str) for each in file):
        return str(row_file(file, "file")), text
    if text is not None:
        raise OptionError(f"‹text›={text} has no effect on a list of texts: leave it out")
    return spooled(({TEXT: each} for each in texts_in(file, "file")), "file"), TEXT
