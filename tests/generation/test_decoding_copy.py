"""The packed copy gives what the model gives at this moment, and leaves it alone."""

import gc
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gyebo.generation import GenerationOptions, decode, search
from gyebo.nn import decoding
from gyebo.nn.decoding import PackedLinear, decoding_copy, packed_type, release
from tests.generation.generation_models import PROMPTS, make_pair

needs_packing = pytest.mark.skipif(packed_type(nn.Linear(512, 512)) is None, reason="this build of torch has no oneDNN")


@pytest.fixture(autouse=True)
def small_matrices_too(monkeypatch):
    monkeypatch.setattr(decoding, "LARGE", 1)


def walk(model, steps: int = 10) -> torch.Tensor:
    """Hidden states of a padded batch at every step, then its logits [steps, B, V]."""
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in PROMPTS])
    with torch.no_grad():
        hidden, cache = model.prefill(ids, mask, slots=longest + steps)
        rows = [model.project(hidden)]
        for step in range(steps - 1):
            rows.append(model.project(model.step(torch.full((len(PROMPTS),), step + 3), cache)))
    return torch.stack(rows).float()


def packed(model) -> list[PackedLinear]:
    return [module for module in model.modules() if isinstance(module, PackedLinear)]


@needs_packing
def test_same_logits_as_the_model(pair):
    copy = decoding_copy(pair[0])
    assert len(packed(copy)) == 4 * 3 + 1
    torch.testing.assert_close(walk(copy), walk(pair[0]), rtol=0, atol=1e-5)


@needs_packing
def test_bfloat16_is_as_near_to_float32_as_the_model_is():
    model, _ = make_pair("gpt2")
    exact = walk(model)
    model.bfloat16()
    copy = decoding_copy(model)
    if not packed(copy):
        pytest.skip("this processor has no bfloat16 in oneDNN")
    error = (walk(model) - exact).abs().mean()
    assert (walk(copy) - exact).abs().mean() < 1.2 * error
    assert walk(copy).std() > 1


@needs_packing
def test_under_autocast_the_weights_are_packed_in_its_type():
    model, _ = make_pair("gpt2")
    exact = walk(model)
    with torch.autocast("cpu", torch.bfloat16):
        copy = decoding_copy(model)
        found = walk(copy)
    if packed(copy):
        assert {module.dtype for module in packed(copy)} == {torch.bfloat16}
    assert (found - exact).abs().mean() < 0.05 * exact.std()


def test_the_model_is_untouched():
    model, _ = make_pair("gpt2")
    model.train()
    before = {name: (id(module), dict(module.__dict__)) for name, module in model.named_modules()}
    parts = {name: list(module._modules.items()) for name, module in model.named_modules()}
    copy = decoding_copy(model)
    assert not any(module.training for module in copy.modules())
    assert before == {name: (id(module), dict(module.__dict__)) for name, module in model.named_modules()}
    assert parts == {name: list(module._modules.items()) for name, module in model.named_modules()}
    assert copy.token_embedding.weight is model.token_embedding.weight
    model(torch.tensor(PROMPTS[:1])).logits.sum().backward()
    assert model.lm_head.weight.grad is not None


@pytest.mark.parametrize("settings", [{"greedy": True}, {"beams": 2}])
@pytest.mark.parametrize("change", ["in place", "data", "load"])
def test_changed_weights_are_seen_at_the_next_call(settings, change):
    model, _ = make_pair("gpt2", 0)
    other, _ = make_pair("gpt2", 1)

    def answer(model):
        options = GenerationOptions(max_new_tokens=12, **settings)
        if "beams" in settings:
            return [row[0].ids for row in search(model, PROMPTS, options)]
        return [step.ids.tolist() for step in decode(model, PROMPTS, options)]

    first = answer(model)
    with torch.no_grad():
        if change == "load":
            model.load_state_dict(other.state_dict())
        for name, weight in model.named_parameters():
            if change == "in place":
                weight.copy_(other.get_parameter(name))
            elif change == "data":
                weight.data[:] = other.get_parameter(name).data
    assert answer(model) == answer(other) != first


@pytest.fixture
def packings(monkeypatch) -> list[torch.Size]:
    """The shape of every weight that is packed from here on."""
    shapes = []
    reorder = torch.ops.mkldnn._reorder_linear_weight
    spy = SimpleNamespace(
        _reorder_linear_weight=lambda weight, batch: shapes.append(weight.shape) or reorder(weight, batch),
        _linear_pointwise=torch.ops.mkldnn._linear_pointwise,
        _is_mkldnn_bf16_supported=torch.ops.mkldnn._is_mkldnn_bf16_supported,
    )
    monkeypatch.setattr(decoding.torch.ops, "mkldnn", spy)
    return shapes


@needs_packing
def test_only_what_changed_is_packed_again(packings):
    model, _ = make_pair("gpt2")
    for _ in range(3):
        list(decode(model, PROMPTS, GenerationOptions(greedy=True)))
    assert len(packings) == 13
    model.blocks[1].mlp.up.weight.data[5, 7] += 1e-7
    model.blocks[2].attention.out.weight.data.mul_(2)
    exchanged = model.blocks[0].attention.qkv.weight.data
    exchanged[:] = exchanged.flip(1)  # the sums of the rows stay
    lm = model.lm_head.weight.data
    lm[:] = lm.flip(0)  # the sums of the columns stay
    with torch.no_grad():
        model.blocks[0].mlp.down.weight[0, 0] += 0.0  # a write that changes nothing
    del packings[:]
    search(model, PROMPTS, GenerationOptions(beams=2))
    assert packings == [(72, 24), (24, 96), (96, 24), (24, 24), (61, 24)]
    torch.testing.assert_close(walk(decoding_copy(model)), walk(model), rtol=0, atol=1e-5)
    del packings[:]
    model.lm_head = nn.Linear(24, 61, bias=False)
    assert len(packed(decoding_copy(model))) == 13
    assert packings == [(61, 24)]


@needs_packing
def test_weights_of_a_width_that_is_no_whole_word(packings):
    layer = nn.Linear(3, 5)
    decoding_copy(layer)
    layer.weight.data[1, 1] += 1
    torch.testing.assert_close(decoding_copy(layer)(torch.ones(1, 3)), layer(torch.ones(1, 3)))
    assert len(packings) == 2


@needs_packing
def test_packed_weights_are_released_with_the_model_or_before(packings):
    model, _ = make_pair("gpt2")
    list(decode(model, PROMPTS, GenerationOptions(greedy=True)))
    layers = len(decoding._kept)
    release(model)
    assert len(decoding._kept) == layers - 13
    decoding_copy(model)
    assert len(packings) == 26
    half_read = decode(model, PROMPTS, GenerationOptions(greedy=True))
    next(half_read)
    del model, half_read
    gc.collect()
    assert len(decoding._kept) == layers - 13


def test_nothing_is_packed_for_few_tokens_and_no_small_matrix(gpt2, monkeypatch):
    assert packed(decoding_copy(gpt2, 7)) == []
    monkeypatch.setattr(decoding, "LARGE", 24 * 24 + 1)
    assert len(packed(decoding_copy(gpt2, 8))) == 3 * 3 + 1 - (packed_type(gpt2.lm_head) is None)


@needs_packing
def test_greedy_and_beams_with_packed_weights_as_in_transformers(monkeypatch):
    for seed in range(3):
        model, theirs = make_pair("gpt2", seed)
        ids = torch.tensor(PROMPTS[:1])
        settings = {"max_new_tokens": 20, "do_sample": False, "attention_mask": torch.ones_like(ids)}
        for beams in (1, 3):
            expected = theirs.generate(ids, num_beams=beams, **settings)[0, ids.shape[1] :].tolist()
            if beams == 1:
                steps = decode(model, ids.tolist(), GenerationOptions(greedy=True, max_new_tokens=20))
                found = [int(step.ids) for step in steps]
            else:
                found = search(model, ids.tolist(), GenerationOptions(beams=beams, max_new_tokens=20))[0][0].ids
            assert found == expected


def test_only_plain_linear_layers_are_packed():
    class Adapted(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    model = nn.Sequential(Adapted(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, dtype=torch.float64).float(), nn.Linear(4, 4))
    model[1].register_forward_hook(lambda module, args, out: out * 2)
    model[3].double()
    copy = decoding_copy(model[:3])
    assert [type(part) for part in copy][:2] == [Adapted, nn.Linear]
    assert packed_type(model[3]) is None
    x = torch.randn(2, 4)
    torch.testing.assert_close(copy(x), model[:3](x), rtol=0, atol=1e-6)


def test_a_module_used_twice_stays_one_module():
    shared = nn.Linear(3, 3)
    copy = decoding_copy(nn.ModuleDict({"a": shared, "b": shared}))
    assert copy["a"] is copy["b"]


def test_a_cache_is_reordered_and_grown(gpt2):
    ids = torch.tensor([PROMPTS[0], PROMPTS[3]])
    with torch.no_grad():
        _, cache = gpt2.prefill(ids, slots=6)
        expected = gpt2.step(torch.tensor([4, 5]), gpt2.prefill(ids, slots=6)[1])
        moved = cache.reorder(torch.tensor([1, 0, 1])).grow(9)
        assert (moved.slots, moved.used, cache.slots) == (9, 5, 6)
        found = gpt2.step(torch.tensor([5, 4, 5]), moved)
        torch.testing.assert_close(found, expected[[1, 0, 1]], rtol=0, atol=1e-5)
        for step in range(3):
            gpt2.step(torch.tensor([step] * 3), moved)
        with pytest.raises(ValueError, match="slots must be at least the 9 in use"):
            moved.grow(8)


def test_a_cache_on_the_cpu_is_float32():
    model, _ = make_pair("gpt2")
    hidden, cache = model.bfloat16().prefill(torch.tensor(PROMPTS[:1]), slots=9)
    assert hidden.dtype == torch.bfloat16
    assert {tensor.dtype for tensor in cache.keys + cache.values} == {torch.float32}


@needs_packing
@pytest.mark.parametrize("family", ["gpt", "gpt2"])
def test_a_gradient_flows_through_a_copy_that_is_made_for_it(family):
    """To keys and values of the past, as through the model; plain decoding has packed the weights in inference mode before."""
    model, _ = make_pair(family)
    list(decode(model, PROMPTS[:1], GenerationOptions(max_new_tokens=8)))
    found = []
    for side in (model, decoding_copy(model, gradient=True)):
        with torch.no_grad():
            _, cache = side.prefill(torch.tensor(PROMPTS[:1]), slots=8)
        state = cache.copied(1).requires_grad_()
        logits = side.project(side.step(torch.tensor([9]), cache.joined(1, state)))
        (gradient,) = torch.autograd.grad(logits.log_softmax(-1)[0, 4], state)
        found.append((logits.detach(), gradient))
    assert len(packed(side)) == 4 * 3 + 1 and gradient.abs().max() > 1e-3
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
    assert all(weight.grad is None for weight in model.parameters())


@needs_packing
def test_the_transposed_weights_are_packed_once_and_only_for_gradients(packings):
    model, _ = make_pair("gpt2")
    decoding_copy(model)
    assert len(packings) == 13
    for _ in range(2):
        decoding_copy(model, gradient=True)
    assert len(packings) == 26 and {shape[::-1] for shape in packings[:13]} == set(packings[13:])
