"""What a family's format needs beyond its table is undone exactly: the two functions of each hook are inverses."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.interchange.config_fields import options_of
from gyebo.interchange.families import gpt, roberta, transformer, ulmfit
from gyebo.interchange.hooks import LazyTensor, OptionHook, TensorHook
from gyebo.interchange.registry import FORMATS
from gyebo.interchange.task_heads import plain, with_heads
from gyebo.interchange.tensor_names import their_tensors
from gyebo.models.family import FAMILIES, model_class
from gyebo.tasks.heads.task_model import add_head
from gyebo.tasks.kinds.table import KINDS

HOOKED = [name for name, table in FORMATS.items() if (table.tensors, table.options) != (TensorHook(), OptionHook())]
CLASSES = [(name, entry.name) for name in HOOKED for entry in with_heads(FORMATS[name]).architectures]


@st.composite
def configs(draw, table, parts):
    """A small config of the family that this format can express, with the parts of one class."""
    config_class = model_class(table.family).config_class
    drawn = {
        "vocab_size": draw(st.integers(5, 20)),
        "context": draw(st.integers(1, 20)),
        "width": draw(st.sampled_from([4, 12])),
        "layers": draw(st.integers(1, 3)),
        "decoder_layers": draw(st.integers(1, 3)),
        "heads": draw(st.sampled_from([1, 2])),
        "pad_id": draw(st.sampled_from([0, 1, 4])),
        "bos_id": 1,
        "eos_id": 2,
        "tied": draw(st.booleans()),
        "output_bias": draw(st.booleans()),
        "gated": draw(st.booleans()),
        "divided": draw(st.booleans()),
        "window": 1,
        **({} if table.family == "gpt" else {"inner": 7}),
        **{part: part in parts or draw(st.booleans()) for part in table.parts},
        **table.fixed,
    }
    known = {field.name for field in fields(config_class)}
    return config_class(**{name: value for name, value in drawn.items() if name in known})


def model_of(table, architecture, config):
    model = model_class(table.family)(config).eval()
    if architecture.kind is not None:
        labels = None if KINDS[architecture.kind].head.outputs else 3
        model = add_head(model, model.own_head_style or FAMILIES[table.family].head_style, architecture.kind, labels)
    return model


def tensors_of(table, architecture, model):
    """A model's tensors as the table names them, before the hook."""
    first = {id(tensor): (plain(name), tensor) for name, tensor in reversed(model.state_dict(keep_vars=True).items())}
    return their_tensors(replace(table, tensors=TensorHook()), dict(reversed(first.values())), {}, architecture)


@pytest.mark.parametrize(("model_type", "name"), CLASSES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_the_functions_of_a_hook_are_inverses(model_type, name, data):
    table = with_heads(FORMATS[model_type])
    architecture = table.architecture(name)
    model = model_of(table, architecture, data.draw(configs(table, architecture.parts)))
    options = options_of(model.config)
    assert table.options.to_ours(table.options.to_theirs(options)) == options
    before = tensors_of(table, architecture, model)
    after = table.tensors.to_ours(table.tensors.to_theirs(before, options), options)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key].read(), after[key].read()) for key in before)


# -- what each of them does ------------------------------------------------------------------------------------------


def read(tensors):
    return {name: tensor.read().tolist() for name, tensor in tensors.items()}


def lazy(**values):
    return {name.replace("__", "."): LazyTensor(lambda value=value: torch.tensor(value)) for name, value in values.items()}


def test_the_positions_of_roberta_are_counted_from_behind_padding():
    for pad, rows in ((1, 514), (0, 513), (None, 513), (5, 518)):
        options = {"context": 512, "pad_id": pad, "width": 3}
        assert roberta.FORMAT.options.to_theirs(options) == {**options, "context": rows}
    with pytest.raises(ValueError, match="max_position_embeddings must be at least 3"):
        roberta.FORMAT.options.to_ours({"context": 2, "pad_id": 1})


def test_the_inner_width_of_gpt_goes_without_saying_only_where_it_is_theirs():
    for inner, said in ((None, None), (12, None), (13, 13)):
        assert gpt.FORMAT.options.to_theirs({"width": 3, "inner": inner}) == {"width": 3, "inner": said}


@pytest.mark.parametrize("table", transformer.FORMATS, ids=lambda table: table.model_type)
def test_the_bias_of_the_output_layer_is_a_row(table):
    options = {"vocab_size": 5, "context": 2, "width": 4, "layers": 1, "heads": 1, "positions": "halves"}
    found = read(table.tensors.to_theirs(lazy(final_logits_bias=[1.0, 2.0], other=[3.0]), options))
    positions = {name: found.pop(name) for name in list(found) if "positions" in name}
    assert found == {"final_logits_bias": [[1.0, 2.0]], "other": [3.0]}
    assert set(positions) == (set(transformer._POSITIONS) if table is transformer.PEGASUS else set())
    for rows in positions.values():  # sines before cosines; position 1 of pair 0 turns by 1
        assert rows[0] == [0.0, 0.0, 1.0, 1.0]
        assert rows[1][0] == pytest.approx(0.8414709848) and rows[1][2] == pytest.approx(0.5403023059)


def test_fastai_has_a_tied_table_under_both_names():
    hook, table = ulmfit.FORMAT.tensors, lazy(encoder__weight=[1.0])
    assert read(hook.to_theirs(table, {"tied": True})) == {"encoder.weight": [1.0], "1.decoder.weight": [1.0]}
    assert read(hook.to_theirs(table, {"tied": False})) == {"encoder.weight": [1.0]}
    differing = {**table, "1.decoder.weight": LazyTensor(lambda: torch.tensor([2.0]))}
    for tied in (True, False):
        assert read(hook.to_ours(differing, {"tied": tied})) == read(differing)


def test_nothing_is_read_before_it_is_asked_for():
    def never():
        raise AssertionError("read too early")

    for table in FORMATS.values():
        if table.family not in ("ulmfit", "bart", "transformer_xl"):  # they compare tied tensors, and look that a bias is zero
            names = ("final_logits_bias", "encoder.embed_positions.weight", "other")
            options = {
                "vocab_size": 5,
                "context": 2,
                "width": 4,
                "layers": 1,
                "heads": 1,
                "positions": "halves",
                "divided": True,
            }
            for change in (table.tensors.to_theirs, table.tensors.to_ours):
                change({name: LazyTensor(never) for name in names}, options)
