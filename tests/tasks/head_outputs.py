"""What a head gives as one tensor, so that a test can look at all kinds of task alike."""

import torch

from gyebo.nn.outputs import ParsingOutput, SpansOutput, TaskOutput


def scores_of(found):
    """logits; of spans start and end [..., 2]; of a parser all scores in a row, without infinite ones."""
    if isinstance(found, SpansOutput):
        return torch.stack([found.start_logits, found.end_logits], -1)
    if isinstance(found, ParsingOutput):
        arcs = found.arc_logits
        return torch.cat([arcs[arcs.isfinite()], found.relation_logits.flatten()])
    assert isinstance(found, TaskOutput)
    return found.logits
