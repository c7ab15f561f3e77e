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


def tokens(*shape, seed=1):
    """Random ids of ordinary tokens, of a vocabulary of 53."""
    return torch.randint(3, 53, shape, generator=torch.Generator().manual_seed(seed))


def check_padding_may_stand_anywhere(model, kind):
    """Padding on the left, on both sides and on the right, by mask or by document ids, changes no output of the model."""
    lengths, widest = (9, 4, 1), 12
    ids = tokens(3, 9)
    padded = torch.randint(0, 53, (3, widest))
    mask = torch.zeros(3, widest, dtype=torch.long)
    for row, (length, start) in enumerate(zip(lengths, (3, 5, 0))):
        padded[row, start : start + length] = ids[row, :length]
        mask[row, start : start + length] = 1
    shape = (lambda x: x[:, None]) if kind == "choice" else (lambda x: x)
    by_mask = scores_of(model(shape(padded), attention_mask=shape(mask)))
    by_documents = scores_of(model(shape(padded), document_ids=shape(mask * 7)))
    for row, length in enumerate(lengths):
        alone = scores_of(model(shape(ids[row : row + 1, :length])))
        for found in (by_mask, by_documents):
            part = found[row][mask[row].bool()] if kind in ("tagging", "spans") else found[row]
            assert (part - alone[0]).abs().max() < 1e-5
