"""Controlled generation without training the model: PPLM (Dathathri et al. 2020).

`Control.of([Bag({id: 1.0}), Discriminator(weight, bias, target)], strength=2)` is what `gyebo.generate(..., control=)` takes;
`Steered(model, control)` generates wherever a model does. `gyebo/jobs/control.py` makes attributes of files.
"""

from gyebo.generation.pplm.attributes import Attribute, Bag, Control, Discriminator
from gyebo.generation.pplm.ranking import attribute_scores, best, distinct
from gyebo.generation.pplm.settings import Settings, Strength
from gyebo.generation.pplm.steered import Steered

__all__ = [
    "Attribute",
    "Bag",
    "Control",
    "Discriminator",
    "Settings",
    "Steered",
    "Strength",
    "attribute_scores",
    "best",
    "distinct",
]
