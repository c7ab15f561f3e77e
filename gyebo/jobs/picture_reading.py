"""How a model that sees reads pictures: as its run read them, in the size of its own features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gyebo.config.run import DataOptions
from gyebo.data import nlvr
from gyebo.data.records import SIZE, STRETCH
from gyebo.jobs import run_directory
from gyebo.jobs.pretraining.pictures import picture_size_of
from gyebo.objectives import text_with_regions
from gyebo.tasks.heads.task_model import TaskModel, body_of
from gyebo.tasks.seeing import PictureReading


def recorded(name: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run says of pictures, in its sections data and objective; nothing for what is no run."""
    if not (Path(name) / "run.toml").is_file():
        return {}, {}
    options = run_directory.read(Path(name))["options"]
    known = (set(DataOptions.model_fields), set(text_with_regions.Options.model_fields))
    sections = (options.get("data", {}), options.get("objective", {}))
    data, objective = ({key: value for key, value in given.items() if key in names} for given, names in zip(sections, known))
    if data.get("picture_fit") is None and any(map(nlvr.prefix_of, data.get("corpus", ()))):
        data["picture_fit"] = STRETCH  # as its own pictures are, which are wide
    return data, objective


def pictures_as_read(name: str | Path | None, model: Any) -> dict[str, Any] | None:
    """The options by which a model reads a corpus of pictures: as its run read them, where it is one, in the size that it has,
    and of one that sees regions crops of the size of its features. None for a model that reads text alone."""
    side = picture_size_of(model)
    if side is None and not model.sees:
        return None
    options, _ = recorded(name) if name is not None else ({}, {})
    read = {option: options[option] for option in ("picture_size", "picture_fit") if option in options}
    read |= {} if side is None else {"picture_size": side}
    return read | ({"crop_size": model.config.crop} if model.sees and model.config.crop else {})


def reading_of(name: str | Path | None, opened: Any) -> PictureReading | None:
    """How a model reads pictures for a task: as a fine-tuned one did, else as the record of the run `name` says that it did in
    pretraining, else with the defaults of that; features as a detector gives them where it learned from such. None for a model
    that sees none.
    """
    body = body_of(opened)
    if not body.sees:
        return None
    if isinstance(opened, TaskModel) and opened.pictures is not None:
        return replace(opened.pictures, left_out=None)
    data, objective = recorded(name) if name is not None else ({}, {})
    learned = text_with_regions.Options(
        **{key: objective[key] for key in ("regions", "grid", "most_regions") if key in objective}
    )
    if body.config.crop is None:
        return PictureReading(features=body.config.feature_size, most=learned.most_regions, whole=body.whole_first)
    return PictureReading(
        size=data.get("picture_size") or SIZE,
        fit=data.get("picture_fit"),
        crop=body.config.crop,
        regions=learned.regions,
        grid=learned.grid,
        most=learned.most_regions,
        whole=body.whole_first,
    )
