"""Concat pooling and BPT3C: the formula, the same values window by window, and how far the gradient goes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gyebo.models.ulmfit import DROPOUTS, Ulmfit, UlmfitConfig
from gyebo.tasks.heads.concat_pooling import BatchNorm, ConcatHead, concat_pool, read_text
from gyebo.tasks.heads.task_model import add_head

STILL = dict.fromkeys(DROPOUTS, 0.0)
LENGTHS = (19, 7, 1, 14)


def body_of(**options):
    torch.manual_seed(0)
    shape = {"vocab_size": 53, "context": 40, "window": 7, "width": 9, "inner": 13, "layers": 2, "init_std": 1.0}
    return Ulmfit(UlmfitConfig(**{**shape, **STILL, **options}))


def texts(side="right"):
    """Ids and mask [4, 22] of texts of `LENGTHS`."""
    ids = torch.randint(53, (4, 22), generator=torch.Generator().manual_seed(1))
    places, sizes = torch.arange(22)[None], torch.tensor(LENGTHS)[:, None]
    return ids, {"right": places < sizes, "left": places >= 22 - sizes}[side].long()


def alone(ids, mask, row):
    return ids[row][mask[row] == 1][None]


def pooled(body, ids, mask=None, windows=None):
    encoded, real = read_text(body, ids, mask, windows=windows)
    return concat_pool(encoded.raw, real)


@pytest.mark.parametrize("side", ["right", "left"])
@torch.no_grad()
def test_last_maximum_and_mean_by_hand(side):
    body = body_of().eval()
    ids, mask = texts(side)
    found = pooled(body, ids, mask)
    for row in range(4):
        hidden = body.encode(alone(ids, mask, row)).hidden[0]
        expected = torch.cat([hidden[-1], hidden.max(0).values, hidden.mean(0)])
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)
    assert found.std() > 0.05


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("window", "windows"), [(7, None), (7, 1), (7, 2), (5, None), (1, 3), (22, None), (40, 1)])
@torch.no_grad()
def test_window_by_window_is_at_once(side, window, windows):
    body = body_of(window=window).eval()
    ids, mask = texts(side)
    expected = pooled(body, ids, mask)
    torch.testing.assert_close(pooled(body.train(), ids, mask, windows), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("windows", "reach"), [(None, 40), (1, 7), (2, 14)])
def test_a_gradient_reaches_the_last_windows_of_each_text(side, windows, reach):
    """Through the mean every token of these windows gets one, and none before them, wherever the texts stand in the batch."""
    body = body_of().train()
    ids, mask = texts(side)
    seen = []
    embed = body.embed
    body.embed = lambda tokens: seen.append(embed(tokens).detach().requires_grad_()) or seen[-1]
    encoded, real = read_text(body, ids, mask, windows=windows)
    concat_pool(encoded.raw, real)[:, 18:].square().sum().backward()
    reached = torch.cat([torch.zeros(x.shape[:2]) if x.grad is None else x.grad.abs().amax(2) for x in seen], 1) > 0
    for row, length in enumerate(LENGTHS):
        assert reached[row].tolist() == [False] * (19 - min(reach, length)) + [True] * min(reach, length)


def test_a_gradient_stops_at_the_border_of_a_window():
    body = body_of().train()
    ids, mask = texts()
    seen = []
    embed = body.embed
    body.embed = lambda tokens: seen.append(embed(tokens).detach().requires_grad_()) or seen[-1]
    encoded, real = read_text(body, ids, mask)
    concat_pool(encoded.raw, real)[:, :9].square().sum().backward()  # of the last token alone
    assert [x.shape[1] for x in seen] == [5, 7, 7]
    assert all(x.grad is None or x.grad.count_nonzero() == 0 for x in seen[:-1])
    reached = seen[-1].grad.abs().amax(2) > 0
    for row, length in enumerate(LENGTHS):
        assert reached[row].tolist() == [False] * (7 - min(7, length)) + [True] * min(7, length)


@pytest.mark.parametrize("windows", [None, 1, 2])
def test_gradients_are_those_of_each_text_alone(windows):
    body = body_of().train()
    ids, mask = texts()
    slopes = torch.randn(4, 27, generator=torch.Generator().manual_seed(2))
    learned = [p for name, p in body.named_parameters() if not name.startswith("lm_head")]
    together = torch.autograd.grad((pooled(body, ids, mask, windows) * slopes).sum(), learned)
    single = sum((pooled(body, alone(ids, mask, row), None, windows) * slopes[row]).sum() for row in range(4))
    for found, expected in zip(together, torch.autograd.grad(single, learned)):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


# -- the head -------------------------------------------------------------------------------------------------------------


def by_torch(head, p=0.0):
    """The same blocks from torch's layers."""
    blocks = nn.Sequential(
        nn.BatchNorm1d(27),
        nn.Dropout(p),
        nn.Linear(27, 50, bias=False),
        nn.ReLU(),
        nn.BatchNorm1d(50),
        nn.Dropout(min(p, 0.1)),
        nn.Linear(50, 3, bias=False),
    )
    names = {"0": head.norm, "2": head.dense, "4": head.norm_out, "6": head.out}
    state = {f"{n}.{name}": tensor.clone() for n, layer in names.items() for name, tensor in layer.state_dict().items()}
    blocks.load_state_dict(state, strict=False)
    return blocks


def filled_head():
    torch.manual_seed(4)
    head = ConcatHead(9, 3, 0.0, 0.3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return head


def test_the_head_is_norm_dropout_linear_twice():
    head = filled_head()
    reference = by_torch(head)
    assert sum(p.numel() for p in head.parameters()) == sum(p.numel() for p in reference.parameters())
    for seed in range(4):
        rows = 2 * torch.randn(6, 27, generator=torch.Generator().manual_seed(seed)) + 1
        torch.testing.assert_close(head(rows), reference(rows), atol=1e-5, rtol=0)
    torch.testing.assert_close(head.norm.running_mean, reference[0].running_mean)
    torch.testing.assert_close(head.norm_out.running_var, reference[4].running_var)
    assert head.norm.running_mean.mean() > 0.2
    rows = torch.randn(5, 27)
    torch.testing.assert_close(head.eval()(rows), reference.eval()(rows), atol=1e-5, rtol=0)
    torch.testing.assert_close(head(rows[:2]), head(rows)[:2], atol=1e-5, rtol=0)  # in evaluation a row is its own


@torch.no_grad()
def test_dropout_stands_behind_each_norm():
    head = filled_head()
    head.p = 0.5
    seen = {}
    for name in ("dense", "out"):
        getattr(head, name).register_forward_pre_hook(lambda layer, given, name=name: seen.update({name: given[0]}))
    head(torch.randn(400, 27))
    assert float((seen["dense"] == 0).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float((seen["out"] == 0).float().mean()) == pytest.approx(0.1, abs=0.02)
    head.eval()(torch.randn(400, 27))
    assert (seen["dense"] != 0).all() and (seen["out"] != 0).all()


def test_the_head_is_fastais():
    core = pytest.importorskip("fastai.text.models.core")
    model = add_head(body_of(), "concat", "classification", 3, dropout=0.0).train()
    theirs = core.PoolingLinearClassifier([27, 50, 3], [0.0, 0.0], bptt=22)
    blocks = by_torch(model.head)
    for number, part in enumerate((blocks[:4], blocks[4:])):
        kept = {name.replace("4.", "0.").replace("6.", "1."): tensor for name, tensor in part.state_dict().items()}
        kept = {name.replace("2.weight", "1.weight"): tensor for name, tensor in kept.items()}
        theirs.layers[number].load_state_dict(kept)
    ids, mask = texts()
    hidden = model.body.encode(ids, attention_mask=mask).hidden
    torch.testing.assert_close(model(ids, attention_mask=mask).logits, theirs((hidden, mask == 0))[0], atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no LSTM in bfloat16 (oneDNN needs AVX-512)"
)
def test_norms_work_in_lower_precision():
    model = add_head(body_of(), "concat", "classification", 3).train()
    ids, mask = texts()
    with torch.autocast("cpu", torch.bfloat16):
        found = model(ids, attention_mask=mask).logits
    found.float().square().sum().backward()
    assert found.isfinite().all() and all(buffer.dtype == torch.float32 for buffer in model.head.buffers())
    norm = BatchNorm(2)
    assert norm(torch.randn(4, 2, dtype=torch.bfloat16)).dtype == torch.float32
