"""Units of CLIP. Its two towers share none of their layers: what a text and a picture have in common are the numbers of the
vectors that are compared, and these are its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.config.run import DataOptions
from gyebo.data.picture_files import seen
from gyebo.data.records import Record
from gyebo.generation.drawing import padded
from gyebo.jobs.inspection.neurons.probes import Probes, Stimulus, others, record_of
from gyebo.jobs.inspection.neurons.reader import AT_ONCE, Held, Question, too_long
from gyebo.text.tokenizer import Tokenizer

MATCH = "match"  # the kind of question: to which concept's words a picture is closest
PROJECTION = "projection"


@dataclass(frozen=True)
class _Asked:
    """A picture's vector [E], the vectors of the concepts' words [C, E], and which of them is right."""

    picture: NDArray[np.float32]
    words: NDArray[np.float32]
    right: int


@dataclass(frozen=True)
class Comparing:
    """A model that compares texts with pictures."""

    model: Any
    tokenizer: Tokenizer
    data: DataOptions

    @property
    def layers(self) -> dict[str, int]:
        """The vectors that are compared."""
        return {PROJECTION: self.model.config.projection}

    @property
    def described(self) -> str:
        """What a unit is."""
        return "numbers of the vectors in which texts are compared with pictures: the towers share nothing else"

    def activations(self, stimuli: Sequence[Stimulus]) -> NDArray[np.float32]:
        """As `Reader`."""
        found = np.zeros((len(stimuli), self.model.config.projection), np.float32)
        texts = [number for number, stimulus in enumerate(stimuli) if stimulus.picture is None]
        shown = [number for number, stimulus in enumerate(stimuli) if stimulus.picture is not None]
        found[texts] = self._of_texts([str(stimuli[number].text) for number in texts])
        found[shown] = self._of_pictures([stimuli[number].picture for number in shown])  # type: ignore[misc]
        return found

    @torch.inference_mode()
    def _of_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        ids, device, most = self.tokenizer(list(texts))["input_ids"], self._device, self.model.config.context
        for text, own in zip(texts, ids):
            if len(own) > most:
                raise too_long(text, len(own), most)
        parts = [self.model.text_vectors(*padded(ids[at : at + AT_ONCE], device)) for at in range(0, len(ids), AT_ONCE)]
        return _joined(parts, self.model.config.projection)

    @torch.inference_mode()
    def _of_pictures(self, records: Sequence[Record]) -> NDArray[np.float32]:
        parts = []
        for at in range(0, len(records), AT_ONCE):
            pixels = np.stack([seen(record, self.data).pixels for record in records[at : at + AT_ONCE]])
            parts.append(self.model.picture_vectors(torch.from_numpy(pixels).to(self._device)))
        return _joined(parts, self.model.config.projection)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def questions(self, probes: Probes, group: str) -> list[Question]:
        """To which concept's words, on average, a picture is closest. Pictures of the world's concepts are no stimuli; a file
        has no others."""
        own = [stimulus for stimulus in probes.stimuli if stimulus.group == group]
        concepts = list(dict.fromkeys(stimulus.concept for stimulus in own))
        words = np.stack([self.activations([s for s in own if s.concept == c and s.picture is None]).mean(0) for c in concepts])
        shown = [(s.concept, s.picture) for s in own if s.picture is not None]
        if probes.world is not None:
            shown = [(concept, record_of(picture)) for concept, _, picture in others(probes.world, group)]
        vectors = self._of_pictures([picture for _, picture in shown])
        return [Question(c, MATCH, _Asked(vector, words, concepts.index(c))) for (c, _), vector in zip(shown, vectors)]

    def right(self, questions: Sequence[Question], held: Held) -> NDArray[np.bool_]:
        """As `Reader`: a number that is held is the same in all vectors, so it tells nothing."""
        asked = [question.content for question in questions]
        kept = np.ones(self.model.config.projection, bool)
        for units, _ in held.values():
            kept[units.cpu().numpy()] = False
        guesses = [(each.words[:, kept] @ each.picture[kept]).argmax() for each in asked]
        return np.array([guess == each.right for guess, each in zip(guesses, asked)], bool)


def _joined(parts: list[torch.Tensor], width: int) -> NDArray[np.float32]:
    return torch.cat(parts).float().cpu().numpy() if parts else np.zeros((0, width), np.float32)
