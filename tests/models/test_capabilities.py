"""What a model declares of itself is what it has."""

from dataclasses import fields, replace

import pytest
import torch

from gyebo.models.family import FAMILIES, model_class
from gyebo.models.pretrained import Pretrained
from gyebo.models.protocol import CAPABILITIES, Model
from gyebo.nn.outputs import Encoded

NAMES = list(FAMILIES)


def made(name):
    with torch.device("meta"):
        return model_class(name)(model_class(name).sizes["tiny"])


@pytest.mark.parametrize("family", NAMES)
def test_a_family_has_the_methods_of_the_capabilities_that_it_declares_and_no_others(family):
    model = made(family)
    assert isinstance(model, Model)
    for name, protocol in CAPABILITIES.items():
        assert isinstance(model, protocol) == getattr(model, name), name


@pytest.mark.parametrize("family", NAMES)
def test_flags_of_a_config_are_there_where_they_are_declared(family):
    cls = model_class(family)
    known = {field.name for field in fields(cls.config_class)}
    assert ("window" in known) == cls.has_windows
    assert set(cls.parts()) <= known
    assert not cls.has_segments or "segments" in known
    assert ({"cutoffs", "division"} <= known) == cls.has_clusters
    assert not cls.has_memory or "memory" in known
    assert all(isinstance(getattr(made(family), stack), torch.nn.ModuleList) for stack in cls.stacks)
    assert set(cls.possible_heads()) >= set(made(family).heads)
    assert bool(made(family).heads) == cls.reads_text == FAMILIES[family].reads_text


@pytest.mark.parametrize("family", [name for name in NAMES if FAMILIES[name].head_style])
def test_the_output_before_dropout_is_given_where_it_is_declared(family):
    cls = model_class(family)
    model = cls(cls.sizes["tiny"])
    ids = torch.tensor([[5, 6, 7]])
    if cls.gives_raw:
        found = model.encode(ids, return_raw=True)
        assert isinstance(found, Encoded) and found.raw.shape == found.hidden.shape
    else:
        with pytest.raises(TypeError):
            model.encode(ids, return_raw=True)


@pytest.mark.parametrize("family", [name for name in NAMES if FAMILIES[name].head_style])
def test_a_state_is_taken_and_given_where_it_is_declared(family):
    cls = model_class(family)
    config = cls.sizes["tiny"]
    if cls.carries_state and not cls.carries(config):  # it may be without, and is as it stands
        config = replace(config, memory=4)
    model = cls(config).eval()
    ids = torch.tensor([[5, 6, 7]])
    if not cls.carries_state:
        with pytest.raises(TypeError):
            model.encode(ids, state={})
        return
    assert cls.carries(config)
    fresh = model.fresh_state(1)
    after = model.encode(ids, state=fresh).state
    assert any(not torch.equal(leaf, fresh[name]) for name, leaf in after.items())
    again = model.reset(after, torch.tensor([True]))
    assert all(torch.equal(leaf, fresh[name]) for name, leaf in again.items())


@pytest.mark.parametrize("family", [name for name in NAMES if FAMILIES[name].head_style])
def test_what_declares_to_be_causal_sees_nothing_that_comes_later(family):
    cls = model_class(family)
    torch.manual_seed(0)
    model = cls(cls.sizes["tiny"]).eval()
    if cls.reads_characters:
        shape = (model.config.vocab_size, model.config.characters)
        model.spell(torch.randint(model.config.symbols, shape))
    first, other = (model.encode(torch.tensor([[5, 6, last]])).hidden[:, :2] for last in (7, 8))
    assert torch.equal(first, other) == cls.causal


@pytest.mark.parametrize("missing", ["fresh_state", "reset", "encode"])
def test_a_state_that_cannot_be_used_in_training_does_not_count_as_carried(missing):
    methods = dict.fromkeys({"fresh_state", "reset", "encode"} - {missing}, lambda *args: None)
    assert not isinstance(type("Partial", (), methods)(), CAPABILITIES["carries_state"])


def test_capabilities_are_off_unless_a_class_says_otherwise():
    names = [*CAPABILITIES, "causal", "gives_raw", "has_windows", "has_segments", "has_pooler", "compiles"]
    assert [name for name in names if getattr(Pretrained, name)] == ["reads_text"]
    assert Pretrained.optional_heads == () and Pretrained().output is None


CAN = {  # flags without a method
    "gives_attentions": {
        "gpt",
        "gpt2",
        "bert",
        "roberta",
        "distilbert",
        "xlnet",
        "bart",
        "bart_decoder",
        "t5",
        "lxmert",
        "vilbert",
    },
    "sees": {"lxmert", "vilbert"},
    "has_query_stream": {"xlnet"},
    "has_memory": {"transformer_xl", "xlnet"},
    "any_memory": {"transformer_xl"},
    "has_clusters": {"rnn", "lstm", "gru", "transformer_xl"},
    "quantises_vectors": {"vqvae"},
    "mixes_codes": {"dvae"},
    "sees_prefix": {"gpt", "gpt2", "bart_decoder"},
    "steers": {"gpt", "gpt2", "bart_decoder", "transformer_xl"},
    "compiles": {"gpt", "gpt2", "bart_decoder", "bert", "roberta", "distilbert", "dan"},
}


@pytest.mark.parametrize("name", CAN)
def test_the_families_that_declare_what_no_method_shows(name):
    assert {family for family in NAMES if getattr(model_class(family), name)} == CAN[name]


def _units(model, **inputs):
    """The units of all feed-forward networks by name, in one pass."""
    from gyebo.nn.feedforward import networks_in
    from gyebo.nn.hidden_units import units_read

    with torch.no_grad(), units_read(networks_in(model)) as found:
        model.encode(**inputs)
    return {name: torch.cat([part.flatten(0, -2) for part in parts]) for name, parts in found.items()}


JOINING = [name for name in NAMES if model_class(name).joins]


@pytest.mark.parametrize("family", [*JOINING, "vilbert tiny-one"])
def test_joint_layers_are_those_that_a_text_changes_and_a_picture_too(family):
    """Each network of the model: joint if another text changes its units, and another picture does."""
    name, _, size = family.partition(" ")
    cls = model_class(name)
    torch.manual_seed(0)
    model = cls(replace(cls.sizes[size or "tiny"], init_std=0.2)).eval()
    first, other = torch.tensor([[4, 50, 5]]), torch.tensor([[4, 60, 5]])
    if cls.draws:
        pictures = [{"image_ids": torch.tensor([[1, 2, 3]])}, {"image_ids": torch.tensor([[1, 9, 3]])}]
    else:
        box = torch.rand(1, 2, 4 if name == "lxmert" else 5)
        features = torch.randn(2, 1, 2, model.config.feature_size)
        pictures = [{"visual_feats": feature, "visual_pos": box} for feature in features]
    start = _units(model, input_ids=first, **pictures[0])
    by_text, by_picture = _units(model, input_ids=other, **pictures[0]), _units(model, input_ids=first, **pictures[1])
    changed = {layer for layer in start if all(not torch.equal(start[layer], by[layer]) for by in (by_text, by_picture))}
    assert set(model.joint_layers()) == changed
    assert all(model.get_submodule(layer) is part for layer, part in model.joint_layers().items())
