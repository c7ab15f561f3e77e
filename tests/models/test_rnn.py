"""What the recurrent families and DAN promise: a text's answer is its own, its gradient too; reading on is reading at once."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from gyebo.models.dan import Dan, DanConfig
from gyebo.models.family import FAMILIES
from gyebo.models.rnn import Gru, Lstm, Rnn

ODD = {"vocab_size": 53, "context": 32, "width": 21, "layers": 3, "init_std": 0.5, "dropout": 0.0}


RECURRENT = pytest.mark.parametrize("build", [Rnn, Lstm, Gru], ids=["rnn", "lstm", "gru"], indirect=True)


@pytest.fixture(params=[Rnn, Lstm, Gru, Dan], ids=["rnn", "lstm", "gru", "dan"])
def build(request):
    def make(**options):
        torch.manual_seed(0)
        model = request.param(request.param.config_class(**{**ODD, **options})).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.3 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture
def model(build):
    return build()


def tokens(*shape, seed=0):
    return torch.randint(53, shape, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=1e-5):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance)


TEXTS = [tokens(1, n, seed=n) for n in (7, 1, 12, 4)]
SIZES = [text.shape[1] for text in TEXTS]


@torch.no_grad()
def test_padding_and_neighbours_change_nothing(model):
    alone = [model(text).logits[0] for text in TEXTS]
    assert min(float(logits.std()) for logits in alone) > 0.1
    for side in ("left", "right"):
        ids, mask, spans = tokens(4, 15, seed=9), torch.zeros(4, 15, dtype=torch.long), []
        for row, text in enumerate(TEXTS):
            spans.append(slice(0, SIZES[row]) if side == "right" else slice(15 - SIZES[row], 15))
            ids[row, spans[row]], mask[row, spans[row]] = text[0], 1
        for given in ({"attention_mask": mask}, {"document_ids": mask * 5}, {"attention_mask": mask.bool()}):
            found = model(ids, **given).logits
            assert all(close(found[row, spans[row]], alone[row]) for row in range(4))


@torch.no_grad()
def test_nothing_but_padding_is_zeros(model):
    assert not model.encode(tokens(2, 3), torch.zeros(2, 3, dtype=torch.long)).hidden.any()


@torch.no_grad()
def test_packed_is_alone_and_does_not_leak(model):
    row = torch.cat(TEXTS, 1)
    documents = torch.tensor([4, 2, 9, 1]).repeat_interleave(torch.tensor(SIZES))[None]
    before = model(row, document_ids=documents).logits
    for found, text in zip(before[0].split(SIZES), TEXTS):
        assert close(found, model(text).logits[0])
    changed = torch.where(documents == 2, (row + 1) % 53, row)
    after = model(changed, document_ids=documents).logits
    assert torch.equal(after[documents != 2], before[documents != 2])
    assert not close(model(row).logits[0, SIZES[0] :], before[0, SIZES[0] :])  # without ids it would


@torch.no_grad()
def test_a_token_changes_what_comes_after_it_alone(model):
    row = tokens(1, 20)
    before = model(row).logits
    for position in (0, 11, 19):
        changed = row.clone()
        changed[0, position] = (changed[0, position] + 1) % 53
        after = model(changed).logits
        assert torch.equal(after[:, :position], before[:, :position])
        assert (after[:, position] != before[:, position]).any()


@pytest.mark.parametrize("given", ["attention_mask", "document_ids"])
def test_gradients_are_those_of_each_text_alone(model, given):
    slopes = [torch.randn(n, 21, generator=torch.Generator().manual_seed(n)) for n in SIZES]
    parameters = [p for name, p in model.named_parameters() if not name.startswith("lm_head")]
    alone = sum((model.encode(text).hidden[0] * slope).sum() for text, slope in zip(TEXTS, slopes))
    expected = torch.autograd.grad(alone, parameters)
    if given == "attention_mask":
        ids = torch.cat([torch.cat([tokens(1, 14 - n, seed=n), text], 1) for n, text in zip(SIZES, TEXTS)])
        marks = torch.cat([torch.arange(14)[None] >= 14 - n for n in SIZES]).long()
    else:
        ids, marks = torch.cat(TEXTS, 1), torch.arange(1, 5).repeat_interleave(torch.tensor(SIZES))[None]
    hidden = model.encode(ids, **{given: marks}).hidden
    total = (hidden[marks != 0] * torch.cat(slopes)).sum()
    for found, wanted in zip(torch.autograd.grad(total, parameters), expected):
        assert close(found, wanted, 1e-4 * max(1.0, float(wanted.abs().max())))


@torch.no_grad()
def test_step_by_step_is_at_once(model):
    ids, mask = tokens(3, 12), torch.ones(3, 12, dtype=torch.long)
    mask[0, :5] = mask[2, 3:] = 0  # padding on either side
    ids[mask == 0] = 0
    hidden, memory = model.prefill(ids, mask, slots=20)
    rows = torch.tensor([2, 0, 0, 1])  # beams repeat and reorder
    memory = memory.reorder(rows)
    more = tokens(4, 3, seed=8)
    steps = [hidden[rows], *(model.step(more[:, at], memory) for at in range(3))]
    for beam, row in enumerate(rows.tolist()):
        text = torch.cat([ids[row][mask[row] == 1], more[beam]])[None]
        expected = model.encode(text).hidden[0, -4:]
        assert close(torch.stack([step[beam] for step in steps]), expected)


@torch.no_grad()
def test_a_row_without_tokens_begins_from_nothing(model):
    ids = tokens(2, 5)
    mask = torch.tensor([[1] * 5, [0] * 5])
    hidden, memory = model.prefill(ids, mask, slots=8)
    assert hidden[0].abs().sum() > 0 and not hidden[1].any()
    assert close(model.step(ids[:, 0], memory)[1], model.encode(ids[1:, :1]).hidden[0, 0])
    nothing, _ = model.prefill(ids, torch.zeros_like(mask), slots=8)
    assert nothing.shape == hidden.shape and not nothing.any()


@torch.no_grad()
def test_a_long_text_in_half_precision(model):
    """Counts beyond 256 are not what bfloat16 could hold."""
    model = copy.deepcopy(model).bfloat16()
    ids = tokens(1, 600)
    if model.config.context < 600:
        model.config = replace(model.config, context=700)
    _, memory = model.prefill(ids[:, :20], slots=600)
    for at in range(20, 600):
        hidden = model.step(ids[:, at], memory)
    expected = model.float().encode(ids).hidden[0, -1]
    assert float((hidden[0].float() - expected).norm() / expected.norm()) < 0.1


def test_dropout_acts_in_training_alone_and_never_in_time(build):
    model, ids = build(dropout=0.5).train(), tokens(2, 12)
    assert not torch.equal(model.encode(ids).hidden, model.encode(ids).hidden)
    model.eval()
    assert torch.equal(model.encode(ids).hidden, model.encode(ids).hidden)
    for block in model.blocks:
        assert getattr(block, "dropout", 0) == 0  # torch's layer has none of its own: ours stands before and after it


@RECURRENT
@torch.no_grad()
def test_fresh_weights(build):
    model = build(vocab_size=200, width=64)
    fresh = type(model)(model.config)
    assert abs(float(fresh.token_embedding.weight.std()) - 0.5) < 0.02
    assert fresh.lm_head.weight is fresh.token_embedding.weight
    eye = torch.eye(64)
    for block in fresh.blocks:
        for gate in block.weight_hh_l0.split(64):
            assert close(gate @ gate.T, eye, 1e-5)
        bias = (block.bias_ih_l0 + block.bias_hh_l0).split(64)
        forget = [1] if isinstance(model, Lstm) else []
        assert all(bool((part == (number in forget)).all()) for number, part in enumerate(bias))


def test_what_is_refused(model):
    with pytest.raises(ValueError, match=r"at most 32 tokens.*33"):
        model(tokens(1, 33))
    model(tokens(1, 64), document_ids=torch.arange(64)[None] // 32 + 1)  # each text has its own context
    with pytest.raises(ValueError, match="head must be one of lm"):
        model.project(torch.zeros(1, 21), "mlm")
    for wrong in ({"width": 0}, {"dropout": 1.0}, {"init_std": -1.0}, {"pad_id": 53}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            model.config_class(**{**ODD, **wrong})


@pytest.mark.parametrize("cls", [Rnn, Lstm, Gru], ids=["rnn", "lstm", "gru"])
def test_sizes_have_their_counts(cls):
    """G gates of width D: G(2 D^2 + 2 D) a layer (the LSTM of 650: 19.8 million, Zaremba et al. 2014)."""
    gates = {Rnn: 1, Lstm: 4, Gru: 3}[cls]
    assert list(cls.sizes) == list(FAMILIES[cls.family].sizes)
    for name, config in cls.sizes.items():
        with torch.device("meta"):
            found = cls(config).count_parameters()
        width, tables = config.width, (2 - config.tied) * config.vocab_size * config.width
        assert found == FAMILIES[cls.family].sizes[name]
        assert found == tables + config.vocab_size + config.layers * gates * (2 * width * width + 2 * width)


@RECURRENT
@torch.no_grad()
def test_a_state_joins_windows_of_a_text(model):
    """Rows cut into windows, documents that end inside of them, a row without tokens: as read at once."""
    ids = tokens(3, 24)
    documents = torch.tensor([[1] * 24, [1] * 5 + [2] * 12 + [3] * 7, [1] * 8 + [0] * 16])
    whole = model.encode(ids, document_ids=documents)
    assert whole.state.keys() == {"state"} and whole.state["state"].shape == model.fresh_state(3)["state"].shape
    state, hidden = model.fresh_state(3), []
    for first in range(0, 24, 8):
        window = slice(first, first + 8)
        goes_on = torch.tensor([first > 0 and bool(row[first] == row[first - 1]) for row in documents])
        encoded = model.encode(ids[:, window], document_ids=documents[:, window], state=model.reset(state, ~goes_on))
        read = (documents[:, window] != 0).any(1)[:, None, None]
        state = {"state": torch.where(read, encoded.state["state"], state["state"])}
        hidden.append(encoded.hidden)
    assert close(torch.cat(hidden, 1), whole.hidden)
    assert close(state["state"], whole.state["state"])
    lost = model.encode(ids[:, 8:16], document_ids=documents[:, 8:16]).hidden
    assert not close(lost[:2], whole.hidden[:2, 8:16], 1e-2)


@RECURRENT
@torch.no_grad()
def test_the_raw_output_is_what_the_last_dropout_acts_on(build):
    model, ids = build(dropout=0.5).train(), tokens(2, 12)
    encoded = model.encode(ids, return_raw=True)
    kept = encoded.hidden != 0
    assert 0.3 < float(kept.float().mean()) < 0.7 and (encoded.raw != 0).all()
    assert close(encoded.hidden[kept], encoded.raw[kept] / 0.5)
    still = model.eval().encode(ids, return_raw=True)
    assert torch.equal(still.raw, still.hidden) and model.encode(ids).raw is None


@torch.no_grad()
def test_nothing_but_padding_is_zero(model):
    found = model.encode(tokens(2, 5), attention_mask=torch.zeros(2, 5, dtype=torch.long))
    assert found.hidden.shape == (2, 5, 21) and found.hidden.count_nonzero() == 0
    assert found.state is None or found.state["state"].count_nonzero() == 0


@torch.no_grad()
def test_dan_is_the_mean_and_a_network_by_hand():
    """Position t: tanh layers on the mean of the vectors up to t; the order of what stands before does not matter."""
    torch.manual_seed(0)
    model = Dan(DanConfig(**{**ODD, "layers": 2})).double().eval()
    row = tokens(1, 9)
    hidden = model.encode(row).hidden[0]
    for t in range(9):
        x = model.token_embedding(row[0, : t + 1]).mean(0)
        for block in model.blocks:
            x = torch.tanh(block.weight @ x + block.bias)
        assert torch.allclose(hidden[t], x, atol=1e-12)
    turned = torch.cat([row[:, :8].flip(1), row[:, 8:]], 1)
    assert torch.allclose(model.encode(turned).hidden[0, 7:], hidden[7:], atol=1e-12)
    assert not torch.allclose(model.encode(turned).hidden[0, 3], hidden[3], atol=1e-3)


def test_word_dropout_leaves_tokens_out_of_the_mean():
    torch.manual_seed(0)
    model = Dan(DanConfig(vocab_size=3, context=9000, width=4, layers=1, word_dropout=0.3)).train()
    model.token_embedding.weight.data[:] = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    row = torch.arange(9000)[None] % 3
    mean = model.encode(row, return_layers=True).layers[0][0, -1]
    assert torch.allclose(mean[:3].sum(), torch.tensor(1.0), atol=1e-4)  # what is left counts in full
    assert (mean[:3] - 1 / 3).abs().max() < 0.02 and (mean[:3] - 1 / 3).abs().max() > 1e-4
    with torch.no_grad():
        first = model.encode(row[:, :1].repeat(2000, 1), return_layers=True).layers[0][:, 0, 0]
    assert abs(float((first == 0).float().mean()) - 0.3) < 0.05


def test_sizes_of_dan_have_their_counts():
    assert list(Dan.sizes) == list(FAMILIES["dan"].sizes)
    for name, c in Dan.sizes.items():
        with torch.device("meta"):
            found = Dan(c).count_parameters()
        assert found == FAMILIES["dan"].sizes[name] == c.vocab_size * c.width + c.vocab_size + c.layers * (c.width**2 + c.width)


@RECURRENT
@torch.no_grad()
def test_a_row_without_tokens_leaves_the_state_that_it_was_given(model):
    before = model.encode(tokens(3, 7)).state
    documents = torch.tensor([[1] * 5, [0] * 5, [1] * 5])
    after = model.encode(tokens(3, 5, seed=4), document_ids=documents, state=before).state
    assert before["state"][1].abs().sum() > 0 and torch.equal(after["state"][1], before["state"][1])
    assert not close(after["state"][::2], before["state"][::2], 1e-2)
