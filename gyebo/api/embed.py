"""`gyebo.embed`, the verb of `gyebo embed`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.api.memory import TEXT, Names, Texts, corpus_names, names_in, naming, texts_in
from gyebo.api.models import of_model
from gyebo.api.options import folder, given
from gyebo.api.showing import Shown
from gyebo.api.speaking import aside, status
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.jobs.opened import Given


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Embeddings(Shown):
    """Vectors of texts, in their order: an array for numpy (`np.asarray(found)`). `vectors`: float32 [N, D]; of a file they are
    read from there as they are needed. `cut`: how many texts were truncated to the model's context. `out`: the file."""

    vectors: NDArray[np.float32]
    cut: int = 0
    out: Path | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.vectors, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: Any) -> Any:
        return self.vectors[index]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        return self.vectors.shape

    def title(self) -> str:
        """What it is, in a line."""
        return f"{len(self):,} vectors of {self.shape[1]:,}" + (f" in {self.out}" if self.out else "")

    def lines(self) -> list[tuple[str, str]]:
        """How many texts were cut."""
        return [("cut to the context", f"{self.cut:,} texts")] if self.cut else []

    def as_dict(self) -> dict[str, Any]:
        """What is said of a file of vectors."""
        said = {"texts": len(self), "width": int(self.shape[1]), "cut": self.cut}
        return said | ({"out": str(self.out)} if self.out else {})


@of_model("embed")
def embed(
    model: Given,
    texts: Texts,
    *,
    out: str | Path | None = None,
    pooling: str = "mean",
    normalize: bool = False,
    text_field: str | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
    verbose: Verbose = None,
) -> Embeddings:
    """The vectors of texts: `gyebo.embed("runs/bert", texts)`, or `gyebo.embed(model, tokenizer, texts)`.

    texts: a list of strings, a column or a table (`text_field`: its column), or the name of a file; one string is a name, never
    a text. out: a .npy or .parquet file, which is written while texts are read. pooling: "mean", "cls" or "last". normalize: to
    length 1. A model that is loaded stays on its device and in its precision.

    Raises ValueError or FileNotFoundError, one line that names the parameter.
    """
    from gyebo.jobs.embed import embed as job
    from gyebo.jobs.embed import embed_texts, texts_of_sources

    place, data = folder(out), given(text_field=text_field, encoding=encoding, bad_bytes=bad_bytes)
    options: dict[str, Any] = {"pooling": pooling, "normalize": normalize, "device": device, "precision": precision}
    if place is None:
        if overwrite:
            raise OptionError("‹overwrite› has no effect without ‹out›: leave it out")
        names = names_in(texts, "texts")
        if names is not None:
            with naming(texts, "texts"):
                found = list(texts_of_sources(list(names), data))
        else:
            found = list(texts_in(texts, "texts", text_field or TEXT))
        if not found:
            raise OptionError("‹texts› is empty: there is nothing to read")
        vectors, cut = embed_texts(model, found, **options)
        return Embeddings(vectors=vectors, cut=cut)
    names = Names(corpus_names(texts, "texts", text_field))
    if len(names) > 1:
        raise OptionError(f"‹texts› must be one file or corpus, but there are {len(names)} names: give one, or a glob")
    speak = aside(verbose)
    with naming(texts, "texts"), status(speak, "reading") as say:
        said = job(
            model, names[0], place, data=data, overwrite=overwrite,
            report=lambda count: say(f"{count:,} texts"), **options,
        )  # fmt: skip
    for note in said.get("notes", []):
        speak.print(note, highlight=False, markup=False)
    if said["cut"]:
        speak.print(f"{said['cut']:,} texts are longer than the model's context: only their beginning was read")
    return Embeddings(vectors=_stored(place), cut=said["cut"], out=place)


def _stored(path: Path) -> NDArray[np.float32]:
    """The vectors of a file; those of .npy are read as they are needed."""
    if path.suffix == ".npy":
        found: NDArray[np.float32] = np.load(path, mmap_mode="r")
        return found
    import pyarrow.parquet as parquet

    column = parquet.read_table(path, columns=["embedding"])["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)  # type: ignore[no-any-return]
