"""Units of LXMERT and ViLBERT, where words and the regions of a picture meet.

What is not given is masked: a text without a picture has one region, all of the picture, whose feature is zeros; a picture
without a text has a text of one mask. Both are met in pretraining.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.config.run import DataOptions
from gyebo.data.boxes import WHOLE
from gyebo.data.picture_files import seen
from gyebo.data.records import Record
from gyebo.jobs.inspection.neurons.probes import Probes, Stimulus, others, record_of
from gyebo.jobs.inspection.neurons.reader import Held, Question, alike, means_of, too_long
from gyebo.nn.hidden_units import units_held, units_read
from gyebo.nn.outputs import Encoded
from gyebo.objectives.text_with_regions import TextWithRegions
from gyebo.text.tokenizer import Tokenizer
from gyebo.world import pictures as drawn
from gyebo.world.pictures import sentences

# Kinds of questions: what is in a region that is seen, what is in one that is masked and told of, which word is masked.
LABEL, TOLD, WORD = "label", "told", "word"


@dataclass(frozen=True)
class Input:
    """A text and a picture as a model reads them: ids [t], features [r, F], boxes [r, b]."""

    ids: NDArray[np.int64]
    features: NDArray[np.float32]
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class _Asked:
    """The content of a question. A label: the `head`, the numbers of the group's classes there, and which of these is right. A
    word: the `places` that are masked, and the ids that stood there."""

    given: Input
    head: str
    classes: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    right: tuple[int, ...] = ()


@dataclass(frozen=True)
class Seeing:
    """A model that sees regions, with what its run learned; `data`: how pictures are prepared for it."""

    model: Any
    tokenizer: Tokenizer
    objective: TextWithRegions
    data: DataOptions

    @property
    def layers(self) -> dict[str, int]:
        """The feed-forward networks that a text changes as well as a picture."""
        return {name: layer.down.in_features for name, layer in self.model.joint_layers().items()}

    @property
    def described(self) -> str:
        """What a unit is."""
        return "hidden units of feed-forward networks where text and picture meet, on average over the places of their stream"

    def activations(self, stimuli: Sequence[Stimulus]) -> NDArray[np.float32]:
        """As `Reader`."""
        inputs = [self._input(self._text(stimulus.text), stimulus.picture) for stimulus in stimuli]
        networks, found = self.model.joint_layers(), np.zeros((len(inputs), sum(self.layers.values())), np.float32)
        with units_read(networks) as units:
            for numbers, _ in self._passes(inputs):
                found[numbers] = means_of(units, len(numbers))
                for parts in units.values():
                    parts.clear()
        return found

    # -- inputs

    def _text(self, text: str | None) -> list[int]:
        """The ids of a text without roles; a mask where there is none."""
        ids = [self.objective.ids["mask"]] if text is None else self.tokenizer.encode(text)
        room = self.model.config.context - (len(self.objective.single) - 1)
        if len(ids) > room:
            raise too_long(str(text), len(ids), room)
        return ids

    def _input(self, text: list[int], picture: Record | None, *, masked: bool = False) -> Input:
        """A text with a picture, or with all of a picture masked; `masked`: its regions are, where they stand."""
        framed = [text if name == "$A" else [self.objective.ids[name]] for name in self.objective.single]
        if picture is None:
            features, boxes = np.zeros((1, self.objective.feature_size), np.float32), np.array([WHOLE], np.float32)
        else:
            shown = seen(picture, self.data)
            features, boxes = self.objective.shown(lambda: shown.pixels, shown.boxes, shown.crops)
            features = np.zeros_like(features) if masked else features
        read = self.objective.as_read(features, boxes)
        return Input(np.concatenate([np.array(part, np.int64) for part in framed]), read["visual_feats"], read["visual_pos"])

    @torch.inference_mode()
    def _passes(self, inputs: Sequence[Input]) -> Iterator[tuple[list[int], Encoded]]:
        """The inputs through the model, those of the same lengths together."""
        device = next(self.model.parameters()).device
        for numbers in alike([(len(given.ids), len(given.features)) for given in inputs]):
            some = [inputs[number] for number in numbers]
            ids, features, boxes = (
                torch.from_numpy(np.stack(parts)).to(device)
                for parts in zip(*((given.ids, given.features, given.boxes) for given in some))
            )
            yield numbers, self.model.encode(ids, visual_feats=features, visual_pos=boxes)

    # -- answers

    def questions(self, probes: Probes, group: str) -> list[Question]:
        """About pictures of single things that are no stimuli: the word for it, masked in a phrase that tells all, with the
        picture; where the model learned them, the label or the attribute of the region, without a text, and that of a masked
        region with the phrase. Of a file's concepts none."""
        if probes.world is None:
            return []
        head, names = self._head(group)
        found = []
        for concept, at, picture in others(probes.world, group):
            record, language = record_of(picture), sentences.LANGUAGES[at % len(sentences.LANGUAGES)]
            phrase = sentences.naming(sentences.described(picture.scene.things[0], None), group, language)
            found.append(Question(concept, WORD, self._masked(phrase, record)))
            if head:
                right = (names_of(group).index(concept),)
                shown, told = self._input(self._text(None), record), self._input(self._text(phrase.text), record, masked=True)
                for kind, given in ((LABEL, shown), (TOLD, told)):
                    found.append(Question(concept, kind, _Asked(given, head, names, right=right)))
        return found

    def _head(self, group: str) -> tuple[str, tuple[int, ...]]:
        """The head that tells the concepts of a group at a region, and their numbers there; "" where there is none."""
        named = [f"{group}: {name}" for name in names_of(group)] if group != "thing" else names_of(group)
        known = self.objective.labels if group == "thing" else self.objective.attributes
        heads = ("object", "region") if group == "thing" else ("attribute",)
        head = next((head for head in heads if head in self.model.heads), "")
        if not head or not set(named) <= set(known):
            return "", ()
        return head, tuple(known.index(name) for name in named)

    def _masked(self, phrase: drawn.Phrase, record: Record) -> _Asked:
        ids, (start, end) = self._text(phrase.text), phrase.span
        spans = self.tokenizer.offsets(phrase.text)
        at = [number for number, (first, last) in enumerate(spans) if first < end and last > start]
        masked = [self.objective.ids["mask"] if number in at else id for number, id in enumerate(ids)]
        before = self.objective.single.index("$A")
        places = tuple(before + number for number in at)
        return _Asked(self._input(masked, record), "mlm", places=places, right=tuple(ids[number] for number in at))

    def right(self, questions: Sequence[Question], held: Held) -> NDArray[np.bool_]:
        """As `Reader`. A word counts where all of its tokens are right."""
        found = np.zeros(len(questions), bool)
        with torch.inference_mode(), units_held(self.model.joint_layers(), held):
            for numbers, encoded in self._passes([question.content.given for question in questions]):
                found[numbers] = self._answered([questions[number].content for number in numbers], encoded)
        return found

    def _answered(self, asked: Sequence[_Asked], encoded: Encoded) -> list[bool]:
        """Which questions of a batch are answered right. Each head computes once; the labels are of one group."""
        assert encoded.region_hidden is not None
        words = [row for row, each in enumerate(asked) if each.places]
        labels = [row for row, each in enumerate(asked) if not each.places]
        right = [False] * len(asked)
        if words:
            rows = torch.cat([encoded.hidden[row, list(asked[row].places)] for row in words])
            guesses = self.model.project(rows, "mlm").argmax(-1).cpu().split([len(asked[row].places) for row in words])
            for row, guess in zip(words, guesses):
                right[row] = guess.tolist() == list(asked[row].right)
        if labels:
            first = asked[labels[0]]
            logits = self.model.project(encoded.region_hidden[labels, -1], first.head)[:, list(first.classes)]
            for row, guess in zip(labels, logits.argmax(-1).tolist()):
                right[row] = guess == asked[row].right[0]
        return right


def names_of(group: str) -> list[str]:
    """The world's values of a group, in English."""
    return [english for _, english in drawn.VALUES[group]]
