"""BART: its sizes and weights, one answer however a batch is laid out, and step by step as at once."""

from __future__ import annotations

import pytest
import torch

from gyebo.models.bart import FIXED, OFFSET, Bart, BartConfig, shifted
from gyebo.models.family import FAMILIES
from gyebo.nn.cost import Workload

ODD = {"vocab_size": 53, "context": 20, "width": 24, "layers": 2, "decoder_layers": 3, "heads": 3, "inner": 40, "init_std": 0.3}


def make(**options) -> Bart:
    torch.manual_seed(0)
    model = Bart(BartConfig(**{**ODD, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, 53, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "base", "large"])
def test_every_size_has_the_parameters_of_the_table(size):
    with torch.device("meta"):
        model = Bart(Bart.sizes[size])
    assert model.count_parameters() == FAMILIES["bart"].sizes[size]
    assert sum(p.numel() for group in model.layer_groups() for p in group) == model.count_parameters()


def test_weights_are_drawn_as_the_table_of_initialisation_says():
    torch.manual_seed(0)
    model = Bart(Bart.sizes["tiny"]).requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            assert 0.018 < float(parameter.std()) < 0.022, name
        else:
            assert bool((parameter == float("norm" in name and name.endswith("weight"))).all()), name
    first = {id(parameter) for parameter in model.layer_groups()[0]}
    assert {name for name, p in model.named_parameters() if id(p) in first} == {
        "token_embedding.weight",
        *(f"position_embedding.{stack}.weight" for stack in ("encoder", "decoder")),
        *(f"embedding_norm.{stack}.{kind}" for stack in ("encoder", "decoder") for kind in ("weight", "bias")),
    }


@pytest.mark.parametrize("given", [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]])
def test_the_target_of_a_text_alone_is_the_text_moved_on_by_one(given):
    mask = torch.tensor([given])
    ids = torch.tensor([[11, 12, 13, 14, 15]])
    found = shifted(ids, mask, 2)[mask.bool()].tolist()
    assert found == [2, *ids[mask.bool()].tolist()][: len(found)]
    if all(given):
        assert torch.equal(shifted(ids, None, 2), shifted(ids, mask, 2))


@torch.no_grad()
def test_padding_changes_nothing_and_the_target_is_the_source_where_there_is_none():
    model = make(start_id=2)
    texts = [tokens(1, length, seed=length) for length in (9, 1, 6)]
    alone = [model.encode(text, None, torch.cat([torch.tensor([[2]]), text[:, :-1]], 1)).hidden[0] for text in texts]
    for side in ("left", "right"):
        ids, mask = tokens(3, 12), torch.zeros(3, 12, dtype=torch.long)
        for row, text in enumerate(texts):
            place = slice(12 - text.shape[1], 12) if side == "left" else slice(0, text.shape[1])
            ids[row, place], mask[row, place] = text[0], 1
        found = model.encode(ids, mask).hidden
        for row, expected in enumerate(alone):
            torch.testing.assert_close(found[row][mask[row] == 1], expected, atol=1e-5, rtol=1e-5)
    watched = model.encode(ids, mask, return_attentions=True, return_layers=True)
    torch.testing.assert_close(watched.hidden[mask == 1], found[mask == 1], atol=1e-5, rtol=1e-5)
    assert len(watched.layers) == 4 and len(watched.encoder_layers) == 3


@torch.no_grad()
def test_step_by_step_is_at_once_up_to_the_last_position():
    model = make()
    source, target = tokens(2, 20), tokens(2, 20, seed=1)
    whole = model.encode(source, None, target).hidden
    cache = model.read_source(source, slots=20)
    for place in range(20):
        torch.testing.assert_close(model.step(target[:, place], cache), whole[:, place], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="at most 20 tokens"):
        model.encode(tokens(1, 21))


@torch.no_grad()
def test_the_first_rows_of_the_position_tables_are_never_used():
    model = make()
    ids = tokens(2, 20)
    before = model.encode(ids).hidden
    for table in model.position_embedding.values():
        assert len(table.weight) == OFFSET + 20
        table.weight[:OFFSET] += 100
    assert torch.equal(model.encode(ids).hidden, before)
    model.position_embedding["decoder"].weight[OFFSET] += torch.arange(24)
    assert not torch.allclose(model.encode(ids).hidden, before)


def test_a_text_that_is_its_own_target_costs_the_same():
    model = make()
    alone, both = ({"tokens": [5, 9]}, {"source": [5, 9], "target": [5, 9]})
    assert model.flops(Workload(alone)) == model.flops(Workload(both)) > 0


@pytest.mark.parametrize("name", FIXED)
def test_what_bart_does_not_choose_is_refused(name):
    other = {"positions": "halves", "norm_eps": 1e-6}.get(name, not FIXED[name])
    with pytest.raises(ValueError, match=f"{name} is always"):
        BartConfig(**{name: other})
    if name == "pre_norm":
        with pytest.raises(ValueError, match="mBART"):
            BartConfig(pre_norm=True)


def test_the_decoder_starts_with_the_end():
    assert BartConfig().first_id == 2
    assert BartConfig(eos_id=7).first_id == 7 and BartConfig(start_id=9).first_id == 9
