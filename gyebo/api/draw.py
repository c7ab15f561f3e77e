"""`gyebo.draw`, the verb of `gyebo draw`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.api.models import of_model
from gyebo.api.options import Named, folder, given, named
from gyebo.api.showing import Shown, counted
from gyebo.api.speaking import aside
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.jobs.opened import Given


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Drawing(Shown):
    """Pictures for a text. `pictures`: uint8 [C, S, S, 3]; `candidates`: of each its number, row and column in the sheet,
    log_probability, and with `rerank` its score, the best one first. `out`: the PNG, None where none was written."""

    text: str
    seed: int
    candidates: list[dict[str, Any]]
    pictures: NDArray[np.uint8]
    out: Path | None = None

    def title(self) -> str:
        """What it is, in a line."""
        drawn = counted(len(self.candidates), "picture")
        return f"{drawn} for {self.text!r}, seed {self.seed}" + (f": {self.out}" if self.out else "")

    def lines(self) -> list[tuple[str, str]]:
        """The candidates."""
        return [
            (f"candidate {each['number']}", ", ".join(f"{name} {each[name]:.3f}" for name in self._figures))
            for each in self.candidates
        ]

    @property
    def _figures(self) -> list[str]:
        return [name for name in ("score", "log_probability") if name in self.candidates[0]]

    def _repr_png_(self) -> bytes:
        from PIL import Image

        from gyebo.jobs.draw import columns_of, sheet

        content = io.BytesIO()
        Image.fromarray(sheet(self.pictures, columns_of(len(self.pictures)))).save(content, "PNG")
        return content.getvalue()

    _repr_html_ = None  # type: ignore[assignment]  # a notebook shows the picture

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the pictures."""
        return {"text": self.text, "file": str(self.out), "seed": self.seed, "candidates": self.candidates}


@of_model("draw")
def draw(
    model: Given,
    text: str,
    *,
    out: str | Path | None = None,
    count: int | None = None,
    rerank: Named | None = None,
    top_k: int | None = None,
    temperature: float | None = None,
    guidance: float | None = None,
    seed: int | None = None,
    upper: str | Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    verbose: Verbose = None,
) -> Drawing:
    """Draw pictures for a text: `gyebo.draw("runs/drawer", "빨간 집", count=16, out="houses.png")`.

    out: a PNG file with all candidates, which holds the text and the seed. count: of candidates. rerank: a CLIP that sorts
    them. top_k, temperature, guidance, seed: of sampling. upper: a picture whose upper part is kept. Raises ValueError, one
    line that names the parameter.
    """
    from rich.progress import Progress

    from gyebo.jobs.draw import drawn_pictures, write_drawing
    from gyebo.jobs.run_directory import refuse_existing

    place, above = folder(out), folder(upper)
    if not isinstance(text, str):
        raise OptionError(f"‹text› must be one string, but is a {type(text).__name__}")
    if place is not None and place.suffix.lower() != ".png":
        raise OptionError(f"‹out›={place}: the picture is written as PNG: let its name end in .png")
    if overwrite and place is None:
        raise OptionError("‹overwrite› has no effect without ‹out›: leave it out")
    refuse_existing(place, overwrite, None if above is None else str(above))
    options = given(candidates=count, top_k=top_k, temperature=temperature, guidance=guidance, seed=seed)
    speak = aside(verbose)
    with Progress(console=speak, transient=True, disable=not speak.is_terminal or speak.quiet) as progress:
        bar = progress.add_task("drawing", total=1.0)
        found, pixels = drawn_pictures(
            model,
            text,
            options,
            rerank=None if rerank is None else named(rerank, "rerank"),
            upper=above,
            device=device,
            on_step=lambda share: progress.update(bar, completed=share),
        )
    if place is not None:
        write_drawing(place, found, pixels, model)
    return Drawing(**found, pictures=pixels, out=place)
