"""`gyebo evaluate --measure`: captions that a model writes about held-out pictures, and retrieval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from gyebo.config.errors import OptionError
from gyebo.data.picture_plans import pictures_of
from gyebo.data.pictures import Pictures
from gyebo.data.records import CAPTION
from gyebo.evaluation.captions import by_facts, by_references, by_truth
from gyebo.evaluation.retrieval import IMAGE, TEXT, evaluate_retrieval
from gyebo.generation.captioning import caption
from gyebo.generation.options import GenerationOptions
from gyebo.jobs.held_out import HeldOutRows, open_held_out
from gyebo.jobs.opened import Given, check_place, made_ready
from gyebo.jobs.picture_codes import AT_ONCE
from gyebo.models.family import find
from gyebo.nn.grid_attention import NOTHING
from gyebo.text.roles import roles_of
from gyebo.world.pictures.reading import read, right_facts, scene_of
from gyebo.world.pictures.scenes import Scene
from gyebo.world.pictures.sentences import Description, holds

AMONG = 100  # pictures
Progress = Callable[[float], None]


def measure(
    what: str,
    name: Given,
    corpus: Sequence[str] = (),
    *,
    among: int | None = None,
    ablate: str | None = None,
    data: dict[str, Any] | None = None,
    device: str = "auto",
    on_step: Progress = lambda share: None,
) -> dict[str, Any]:
    """What a model does with held-out pictures, those of `corpus` or of its run, without training for it.

    `what`: "captions" or "retrieval"; `among`: pictures that are written about, by default all, or among which is searched, by
    default 100; `ablate`: "image" or "text", which the model then does not get. ValueError for a model that can't do it.
    """
    if what not in MEASURES:
        raise OptionError(f"‹measure› must be {' or '.join(MEASURES)}, but is {what!r} instead")
    if ablate not in (None, TEXT, IMAGE):
        raise OptionError(f"‹ablate› must be {TEXT} or {IMAGE}, but is {ablate!r} instead")
    if among is not None and among < 2:
        raise OptionError(f"‹among› must be at least 2 pictures, but is {among} instead")
    check_place(name, device, "float32")
    opened = open_held_out(name, corpus, data=data)
    made_ready(name, opened.model.eval(), device, "float32")
    with torch.inference_mode():
        return MEASURES[what](str(name), opened, among, ablate, on_step)


def _retrieval(name: str, opened: HeldOutRows, among: int | None, ablate: str | None, on_step: Progress) -> dict[str, Any]:
    model, rows = opened.model, opened.rows
    if not (model.compares or model.sees):
        raise ValueError(
            f"{name} holds a {find(model.family).title}, which does not tell how well a text and a picture belong together: "
            "name a run of gyebo pretrain clip, lxmert or vilbert"
        )
    assert opened.tokenizer is not None
    if model.sees:
        rows = replace(rows, objective=rows.objective.unmasked())
    ids, template = opened.tokenizer.role_ids, roles_of(find(model.family)).single
    empty = np.array([ids[role] for role in template if role != "$A"], np.int64)
    found = evaluate_retrieval(model, rows, among=among or AMONG, empty=empty, left_out=ablate, on_step=on_step)
    return dict(found) | ({"note": f"without the {ablate}s, so nothing is left to find anything by"} if ablate else {})


def _captions(name: str, opened: HeldOutRows, among: int | None, ablate: str | None, on_step: Progress) -> dict[str, Any]:
    model, tokenizer = opened.model, opened.tokenizer
    if not (model.captions and model.config.image_first):
        raise ValueError(
            f"{name} writes no captions: name a run of gyebo pretrain dalle with --set objective.name=image-to-text"
        )
    if ablate == TEXT:
        raise OptionError(f"‹ablate›={TEXT} has no effect on captions: texts are written, and none is read")
    assert tokenizer is not None
    split, pictures = opened.prepared.valid, pictures_of(opened.prepared.valid)
    written_about = [number for number in range(len(pictures)) if len(pictures.documents(number, CAPTION))]
    numbers = sorted(np.random.default_rng(0).permutation(written_about)[:among].tolist())
    sizes = split.documents["tokens"]
    said = [
        [tokenizer.decode(split.read(int(n), 0, int(sizes[n])).tolist()) for n in pictures.documents(number, CAPTION)]
        for number in numbers
    ]
    codes = torch.from_numpy(opened.rows.objective.codes[split.name][numbers].astype(np.int64))
    codes = torch.full_like(codes, NOTHING) if ablate else codes
    texts = []
    for first in range(0, len(numbers), AT_ONCE):
        some = codes[first : first + AT_ONCE].to(next(model.parameters()).device)
        texts += [answer.text.strip() for answer in caption(model, tokenizer, some, GenerationOptions(greedy=True))]
        on_step(len(texts) / len(numbers))
    found: dict[str, Any] = {"pictures": len(numbers), "different": len(set(texts)), **by_references(texts, said)}
    scenes = [_scene(pictures, number, captions) for number, captions in zip(numbers, said)]
    known = [scene for scene in scenes if scene is not None]
    if len(known) == len(scenes):
        told = [read(text) for text in texts]
        found |= by_truth(told, [partial(_is_true, scene) for scene in known])
        found |= by_facts(told, [partial(_right, scene) for scene in known]) | _said(told)
    return found | ({"note": "without the pictures"} if ablate else {})


def _scene(pictures: Pictures, number: int, captions: Sequence[str]) -> Scene | None:
    """The scene of a picture of the world; None for any other."""
    regions = pictures.regions(number)
    names = [pictures.labels[label] if label >= 0 else "" for label in regions.labels]
    attributes = [
        {name: pictures.attributes[name][values[at]] for name, values in regions.attributes.items() if values[at] >= 0}
        for at in range(len(names))
    ]
    boxes = [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in regions.boxes]
    return scene_of(list(zip(names, attributes, boxes)), captions)


def _is_true(scene: Scene, told: Description | None) -> bool:
    """Whether a text is a sentence about scenes, and all that it says holds."""
    return told is not None and holds(told, scene)


def _right(scene: Scene, told: Description | None) -> tuple[int, int]:
    """How many facts are right, of how many."""
    return (0, 0) if told is None else right_facts(told, scene)


def _said(told: Sequence[Description | None]) -> dict[str, float]:
    """Share of texts that are sentences about scenes, and how many facts these tell on average."""
    found = [description for description in told if description is not None]
    facts = [sum(len(thing.values) for thing in each.things) + _beside(each) for each in found]
    return {"readable": len(found) / len(told)} | ({"facts": sum(facts) / len(facts)} if facts else {})


def _beside(told: Description) -> int:
    """How many facts are told beside those of things."""
    return sum(value is not None for value in (told.relation, told.place, told.count))


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {"captions": _captions, "retrieval": _retrieval}
