"""A small network with a known concept unit, to be looked into: what it reads are numbers that say what a stimulus shows."""

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import torch

from gyebo.config.run import DataOptions
from gyebo.jobs.inspection.neurons.probes import GROUPS
from gyebo.jobs.inspection.neurons.reader import Question
from gyebo.nn.feedforward import FeedForward
from gyebo.nn.hidden_units import units_held, units_read
from gyebo.world.pictures import VALUES

CONCEPTS = [(group, english) for group in GROUPS for _, english in VALUES[group]]
NOISE, LAYERS = 12, {"first": 40, "second": 60}
KNOWN, WORDS_ONLY = ("second", 7), ("first", 3)  # units that answer to red, and to words for blue
TEXT = len(CONCEPTS) + NOISE  # the number that says whether a stimulus is a text


@dataclass(frozen=True)
class Planted:
    """A network whose units see noise, but for the two of `planted`; it names the concept of a stimulus, red by the unit that
    answers to it alone."""

    planted: bool = True
    seed: int = 0
    model = SimpleNamespace(family="lxmert")
    data = DataOptions(corpus=["pictures"])
    layers = LAYERS
    described = "units of the test"

    @cached_property
    def networks(self):
        random, width = torch.Generator().manual_seed(self.seed), TEXT + 1
        found = {name: FeedForward(width, size, "relu") for name, size in LAYERS.items()}
        red, blue = (CONCEPTS.index(("colour", name)) for name in ("red", "blue"))
        with torch.no_grad():
            for layer in found.values():
                layer.up.weight.zero_()
                layer.up.weight[:, len(CONCEPTS) : TEXT] = torch.randn(len(layer.up.weight), NOISE, generator=random)
                for zero in (layer.down.weight, layer.up.bias, layer.down.bias):
                    zero.zero_()
            if self.planted:
                for (name, unit), seen in ((KNOWN, {red: 9.0}), (WORDS_ONLY, {blue: 9.0, TEXT: 9.0})):
                    found[name].up.weight[unit] = 0.0
                    found[name].up.weight[unit, list(seen)] = torch.tensor(list(seen.values()))
                    found[name].up.bias[unit] = -9.0 * len(seen) + 5.0
                found[KNOWN[0]].down.weight[red, KNOWN[1]], found[KNOWN[0]].down.bias[red] = 1.0, -1.0
        return found

    def _read(self, stimuli, seed):
        rng = np.random.default_rng([self.seed, seed])
        x = np.zeros((len(stimuli), TEXT + 1), np.float32)
        for row, (concept, text) in enumerate(stimuli):
            x[row, CONCEPTS.index(concept)], x[row, TEXT] = 1.0, text
        x[:, len(CONCEPTS) : TEXT] = rng.normal(size=(len(x), NOISE))
        return torch.from_numpy(x)

    @torch.no_grad()
    def activations(self, stimuli):
        x = self._read([((s.group, s.concept), s.picture is None) for s in stimuli], 1)
        with units_read(self.networks) as units:
            for layer in self.networks.values():
                layer(x)
        return torch.cat([parts[0] for parts in units.values()], 1).numpy()

    def questions(self, probes, group):
        assert probes.world is not None
        return [Question(concept, "label", (of, concept)) for of, concept in CONCEPTS if of == group for _ in range(10)]

    @torch.no_grad()
    def right(self, questions, held):
        asked = [question.content for question in questions]
        x = self._read([(concept, False) for concept in asked], 2)
        direct = x.clone()
        direct[:, CONCEPTS.index(("colour", "red"))] = 0.0
        with units_held(self.networks, held):
            logits = direct + sum(layer(x) for layer in self.networks.values())
        guesses = logits[:, : len(CONCEPTS)].argmax(1).tolist()
        return np.array([CONCEPTS[guess] == concept for guess, concept in zip(guesses, asked)])
