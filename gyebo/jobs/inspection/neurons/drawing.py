"""Units of DALL-E, through whose layers text and picture pass in one sequence.

A text is read without a picture, a picture as its codes beside a text that is empty: what a model has met if it learned with
`objective.without_text`, or with the picture first, `objective.without_picture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.config.run import DataOptions
from gyebo.data.picture_files import seen
from gyebo.jobs.inspection.neurons.probes import Probes, Stimulus
from gyebo.jobs.inspection.neurons.reader import Held, Question, alike, means_of, too_long
from gyebo.nn.hidden_units import units_read
from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Drawing:
    """A model that draws, with its picture tokenizer."""

    model: Any
    tokenizer: Tokenizer
    data: DataOptions

    @property
    def layers(self) -> dict[str, int]:
        """All feed-forward networks."""
        return {name: layer.down.in_features for name, layer in self.model.joint_layers().items()}

    @property
    def described(self) -> str:
        """What a unit is."""
        return "hidden units of feed-forward networks, on average over all places of the sequence"

    @torch.inference_mode()
    def activations(self, stimuli: Sequence[Stimulus]) -> NDArray[np.float32]:
        """As `Reader`."""
        found = np.zeros((len(stimuli), sum(self.layers.values())), np.float32)
        texts = [None if stimulus.picture is not None else self._ids(str(stimulus.text)) for stimulus in stimuli]
        for numbers in alike([-1 if ids is None else len(ids) for ids in texts]):
            with units_read(self.model.joint_layers()) as units:
                if texts[numbers[0]] is None:
                    self._read_pictures([stimuli[number] for number in numbers])
                else:
                    self.model.encode(torch.tensor([texts[number] for number in numbers], device=self._device))
            found[numbers] = means_of(units, len(numbers))
        return found

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text)
        if len(ids) > self.model.config.context:
            raise too_long(text, len(ids), self.model.config.context)
        return ids

    def _read_pictures(self, stimuli: Sequence[Stimulus]) -> None:
        pixels = np.stack([seen(stimulus.picture, self.data).pixels for stimulus in stimuli if stimulus.picture is not None])
        codes = self.model.picture_tokenizer.to(self._device).encode_pixels(torch.from_numpy(pixels).to(self._device))
        nothing = torch.zeros(len(stimuli), 1, dtype=torch.long, device=self._device)
        self.model.encode(nothing, nothing, codes)

    def questions(self, probes: Probes, group: str) -> list[Question]:
        """None: what it answers are pictures, which somebody else would have to judge."""
        return []

    def right(self, questions: Sequence[Question], held: Held) -> NDArray[np.bool_]:
        """Of no questions."""
        return np.zeros(len(questions), bool)
