"""What BERT, RoBERTa and DistilBERT promise (design: model protocol, positions), as properties that hold for any weights."""

from __future__ import annotations

import pytest
import torch

from gyebo.models.bert import Bert, BertConfig
from gyebo.models.distilbert import Distilbert, DistilbertConfig
from gyebo.models.roberta import Roberta, RobertaConfig
from tests.models.encoder_models import SMALL, close, tokens


@pytest.fixture(params=[Bert, Roberta, Distilbert], ids=["bert", "roberta", "distilbert"])
def cls(request):
    return request.param


TEXTS = [tokens(1, n, seed=n) for n in (7, 1, 12, 4, 30)]


def segments(model, text: torch.Tensor) -> dict[str, torch.Tensor]:
    """Segment ids of a text that depend on its length alone, for a model with two."""
    if model.config.segments < 2:
        return {}
    return {"token_type_ids": (torch.arange(text.shape[1]) * 2 >= text.shape[1]).long()[None]}


def laid_out(model, places: list[list[int]], length: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The texts, each token at one place of one row; gives inputs with noise at padding, and ids by text."""
    ids, documents = tokens(len(places), length, seed=9), torch.zeros(len(places), length, dtype=torch.long)
    kinds = torch.ones_like(ids)
    for row, (number, *where) in enumerate(places):
        ids[row, where], documents[row, where] = TEXTS[number][0], number + 1
        if model.config.segments > 1:
            kinds[row, where] = segments(model, TEXTS[number])["token_type_ids"][0]
    return {"input_ids": ids} | ({"token_type_ids": kinds} if model.config.segments > 1 else {}), documents


# -- a text's answer depends on the text alone -----------------------------------------------------------------------


@torch.no_grad()
def test_padding_and_neighbours_change_nothing(model):
    alone = [model(text, **segments(model, text)) for text in TEXTS]
    assert min(float(out.last_hidden_state.std()) for out in alone) > 0.3
    for start in (lambda n: 0, lambda n: 31 - n, lambda n: (31 - n) // 2):
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 2], [2, 2, 0]):
            sizes = [TEXTS[number].shape[1] for number in order]
            places = [[number, *range(start(n), start(n) + n)] for number, n in zip(order, sizes)]
            inputs, documents = laid_out(model, places, 31)
            mask = (documents != 0).long()
            for given in ({"attention_mask": mask}, {"document_ids": mask * 5}, {"attention_mask": mask.bool()}):
                out = model(**inputs, **given)
                assert out.last_hidden_state[mask == 0].count_nonzero() == out.logits[mask == 0].count_nonzero() == 0
                for row, (number, *where) in enumerate(places):
                    assert close(out.last_hidden_state[row, where], alone[number].last_hidden_state[0])
                    assert close(out.logits[row, where], alone[number].logits[0])
                    if model.config.nsp:
                        assert close(out.pooler_output[row], alone[number].pooler_output[0])
                        assert close(out.seq_relationship_logits[row], alone[number].seq_relationship_logits[0])


def packed_row(model):
    """All texts in one row, one inside another, padding between; gives inputs, ids and each text's places."""
    order = torch.tensor([4] * 8 + [0] * 3 + [2] * 6 + [9] + [4] * 20 + [0] * 4 + [3] * 4 + [9] * 2 + [1] + [2] * 6 + [4] * 2)
    documents = torch.zeros(1, len(order), dtype=torch.long)
    ids, kinds = tokens(1, len(order), seed=9), torch.ones(1, len(order), dtype=torch.long)
    places = [(order == number).nonzero()[:, 0] for number in range(5)]
    for number, where in enumerate(places):
        ids[0, where], documents[0, where] = TEXTS[number][0], (7, 2, 9, 1, 3)[number]
        if model.config.segments > 1:
            kinds[0, where] = segments(model, TEXTS[number])["token_type_ids"][0]
    inputs = {"input_ids": ids} | ({"token_type_ids": kinds} if model.config.segments > 1 else {})
    return inputs, documents, places


@torch.no_grad()
def test_packed_is_alone(model):
    inputs, documents, places = packed_row(model)
    packed = model(**inputs, document_ids=documents)
    masked = model(**inputs, document_ids=documents.clamp(min=1), attention_mask=documents != 0)
    for text, where in zip(TEXTS, places):
        alone = model(text, **segments(model, text))
        assert close(packed.logits[0, where], alone.logits[0])
        assert close(packed.last_hidden_state[0, where], alone.last_hidden_state[0])
        assert close(masked.logits[0, where], alone.logits[0])


def gradients(model, total: torch.Tensor) -> dict[str, torch.Tensor]:
    grads = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(model.named_parameters(), grads)}


@pytest.mark.parametrize("dense", [False, True])
def test_gradients_of_packed_and_padded_are_those_of_each_alone(model, dense):
    slopes = [torch.randn(text.shape[1], 21, generator=torch.Generator().manual_seed(i)) for i, text in enumerate(TEXTS)]
    expected = gradients(
        model,
        sum((model.encode(text, **segments(model, text)).hidden[0] * slope).sum() for text, slope in zip(TEXTS, slopes)),
    )
    inputs, documents, places = packed_row(model)
    hidden = model.encode(**inputs, document_ids=documents, return_attentions=dense).hidden
    packed = gradients(model, sum((hidden[0, where] * slope).sum() for where, slope in zip(places, slopes)))
    order = [3, 0, 4, 1, 2]
    rows = [[number, *range(31 - TEXTS[number].shape[1], 31)] for number in order]
    inputs, documents = laid_out(model, rows, 31)
    hidden = model.encode(**inputs, attention_mask=documents != 0, return_attentions=dense).hidden
    padded = gradients(model, sum((hidden[row, where] * slopes[n]).sum() for row, (n, *where) in enumerate(rows)))
    for name, grad in expected.items():
        assert close(packed[name], grad, 3e-5), name
        assert close(padded[name], grad, 3e-5), name
    assert expected["blocks.0.attention.qkv.weight"].abs().max() > 1e-3


@torch.no_grad()
def test_packed_documents_do_not_leak_and_see_both_sides(model):
    """Change a token of one document: every number of that document changes, none of any other, not in the last bit."""
    row, sizes = tokens(2, 24), [5, 8, 1, 10]
    documents = torch.cat([torch.full((2, size), number + 1) for number, size in enumerate(sizes)], 1)
    before = model(row, document_ids=documents).logits
    for number in range(len(sizes)):
        for at in (sum(sizes[:number]), sum(sizes[: number + 1]) - 1):
            changed = row.clone()
            changed[:, at] = (row[:, at] + 1) % 53
            after = model(changed, document_ids=documents).logits
            others = documents != number + 1
            assert torch.equal(after[others], before[others])
            assert (after[~others] != before[~others]).any(-1).all()
    assert not close(model(row).logits[:, 5:], before[:, 5:])  # without ids it would leak


@torch.no_grad()
def test_padding_runs_through_no_matrix(model):
    """Every linear layer gets as many rows as there are real tokens."""
    inputs, documents, _ = packed_row(model)
    rows = []
    for block in model.blocks:
        for layer in (block.attention.qkv, block.attention.out, block.mlp.up, block.mlp.down, block.mlp_norm):
            layer.register_forward_hook(lambda module, args, out: rows.append(args[0].shape[:-1]))
    model.encode(**inputs, document_ids=documents)
    assert rows == [(int((documents != 0).sum()),)] * 15
    head = []
    model.mlm_head.register_forward_hook(lambda module, args, out: head.append(args[0].shape[:-1]))
    assert model(**inputs, document_ids=documents).logits.shape == (*documents.shape, 53)
    assert head == [(int((documents != 0).sum()),)]


@torch.no_grad()
def test_a_row_of_padding_alone_is_zero(model):
    row = tokens(2, 6)
    mask = torch.tensor([[0] * 6, [0, 1, 1, 1, 1, 0]])
    out = model(row, attention_mask=mask, output_attentions=False)
    assert out.last_hidden_state[0].count_nonzero() == 0
    assert close(out.last_hidden_state[1, 1:5], model(row[1:, 1:5]).last_hidden_state[0])
    nothing = model(row, attention_mask=mask * 0, output_hidden_states=True)
    assert nothing.last_hidden_state.shape == (2, 6, 21) and nothing.last_hidden_state.count_nonzero() == 0
    assert nothing.logits.count_nonzero() == 0 and len(nothing.hidden_states) == 4


# -- positions and segments ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_positions_matter_and_can_be_given(model):
    row, first = tokens(1, 9), model.config.first_position
    given = torch.arange(9)[None] + first
    assert torch.equal(model(row, position_ids=given).logits, model(row).logits)
    moved = model(row, position_ids=given + 3).logits
    assert not close(moved, model(row).logits, 1e-2)
    longer = torch.cat([tokens(1, 3), row], 1)
    mask = torch.tensor([[0] * 3 + [1] * 9])
    for options in ({}, {"output_attentions": True}):
        found = model(longer, attention_mask=mask, position_ids=torch.arange(12)[None] + first, **options).logits
        assert close(found[:, 3:], moved)
    # what is given at padding counts for nothing
    outside = torch.where(mask == 0, -1, torch.arange(12)[None] + first)
    for options in ({}, {"output_attentions": True}):
        found = model(longer, attention_mask=mask, position_ids=outside, **options).logits
        assert close(found[:, 3:], moved)


@torch.no_grad()
def test_only_real_tokens_count_against_the_context(model):
    row, most = tokens(2, 70), 31 + model.config.first_position
    mask = torch.zeros(2, 70, dtype=torch.long)
    mask[0, -32:] = mask[1, 10:20] = 1
    for options in ({}, {"output_attentions": True}):
        logits = model(row, attention_mask=mask, **options).logits
        assert close(logits[0, -32:], model(row[:1, -32:]).logits[0])
        assert close(logits[1, 10:20], model(row[1:, 10:20]).logits[0])
    for given in ({}, {"attention_mask": torch.ones(2, 70)}, {"output_attentions": True}):
        with pytest.raises(ValueError, match=rf"0 to {most} .context 32.*to {most + 38}"):
            model(row, **given)
    for wrong in (torch.tensor([[0, most + 1]]), torch.tensor([[-1, 0]])):
        with pytest.raises(ValueError, match=f"0 to {most}"):
            model(tokens(1, 2), position_ids=wrong)


@torch.no_grad()
def test_segments(build):
    row = tokens(2, 9)
    for cls, options in ((Bert, {}), (Bert, {"segments": 3}), (Roberta, {"segments": 2})):
        torch.manual_seed(0)
        model = cls(cls.config_class(**SMALL, init_std=0.3, **options)).eval()
        plain = model(row).logits
        assert close(model(row, token_type_ids=torch.zeros_like(row)).logits, plain)
        kinds = torch.tensor([[0] * 4 + [1] * 5])
        assert not close(model(row, token_type_ids=kinds).logits, plain, 1e-2)
        with pytest.raises(ValueError, match="token_type_ids"):
            model(row, token_type_ids=kinds + 2)
    one = Roberta(RobertaConfig(**SMALL)).eval()
    assert close(one(row, token_type_ids=torch.zeros_like(row)).logits, one(row).logits)
    with pytest.raises(ValueError, match=r"token_type_ids must be below 1"):
        one(row, token_type_ids=torch.ones_like(row))
    none = Distilbert(DistilbertConfig(**SMALL))
    assert none.segment_embedding is None
    with pytest.raises(ValueError, match=r"token_type_ids: distilbert has no segments"):
        none(row, token_type_ids=torch.zeros_like(row))


# -- the parts agree -------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_attentions_layers_and_the_fast_path(model):
    row = tokens(2, 11)
    documents = torch.tensor([[1] * 5 + [2] * 6, [0] * 4 + [3] * 6 + [0]])
    fast = model(row, document_ids=documents, output_hidden_states=True)
    slow = model(row, document_ids=documents, output_attentions=True, output_hidden_states=True)
    assert fast.attentions is None and model(row).hidden_states is None
    assert close(slow.logits, fast.logits)
    assert len(slow.attentions) == 3 and len(slow.hidden_states) == len(fast.hidden_states) == 4
    for a, b in zip(slow.hidden_states, fast.hidden_states):
        assert close(a, b) and a[documents == 0].count_nonzero() == b[documents == 0].count_nonzero() == 0
    assert torch.equal(slow.hidden_states[-1], slow.last_hidden_state)
    same = documents[:, :, None] == documents[:, None, :]
    for weights in slow.attentions:
        assert weights.shape == (2, 3, 11, 11)
        assert close(weights.sum(-1), torch.ones(2, 3, 11))
        assert (weights[same[:, None].expand_as(weights)] > 0).all()
        assert weights[~same[:, None].expand_as(weights)].count_nonzero() == 0
    # the weights are those of the last block: its output can be made from them
    block, x = model.blocks[-1], slow.hidden_states[-2]
    value = block.attention.qkv(x)[..., 42:].unflatten(-1, (3, 7)).transpose(1, 2)
    mixed = block.attention.out((slow.attentions[-1] @ value).transpose(1, 2).flatten(2))
    middle = block.attention_norm(x + mixed)
    out = block.mlp_norm(middle + block.mlp(middle))
    assert close(out[documents != 0], slow.last_hidden_state[documents != 0])


@torch.no_grad()
def test_forward_is_encode_and_project(model):
    row = tokens(2, 9)
    encoded, out = model.encode(row), model(row)
    assert encoded.layers is None and encoded.attentions is None
    assert close(model.project(encoded.hidden), out.logits)
    some = torch.tensor([[True] * 3 + [False] * 6, [False] * 8 + [True]])
    assert close(model.project(encoded.hidden[some], "mlm"), out.logits[some])
    rows, matrix, bias = model.output_layer(encoded.hidden[some])
    assert close(rows @ matrix.T + bias, out.logits[some])
    assert matrix is model.token_embedding.weight
    with pytest.raises(ValueError, match="'lm'"):
        model.project(encoded.hidden, head="lm")


@torch.no_grad()
def test_parts_follow_the_config(build, cls):
    row = tokens(2, 9)
    wanted = [{"mlm": False}, {"mlm": True}]
    if cls is not Distilbert:
        wanted.append({"mlm": True, "pooler": True})
    if cls is Bert:
        wanted = [{"nsp": False, "pooler": False} | options for options in wanted]
        wanted += [{"mlm": False, "nsp": True}, {"mlm": True, "nsp": True}]
    for options in wanted:
        model = build(**options)
        config = model.config
        out = model(row)
        assert model.heads == tuple(name for name in ("mlm", "nsp") if getattr(config, name))
        assert (out.logits is not None) == config.mlm == any("mlm_head" in name for name in model.state_dict())
        assert (out.seq_relationship_logits is not None) == config.nsp
        assert (out.pooler_output is not None) == config.pooler == any("pooler" in name for name in model.state_dict())
        first = out.last_hidden_state[:, 0]
        if config.pooler:
            assert close(out.pooler_output, torch.tanh(first @ model.pooler.weight.T + model.pooler.bias))
        else:
            with pytest.raises(ValueError, match="pooler"):
                model.pool(first)
        if config.nsp:
            by_hand = out.pooler_output @ model.nsp_head.weight.T + model.nsp_head.bias
            assert close(out.seq_relationship_logits, by_hand) and close(model.project(first, "nsp"), by_hand)
        for head in {"mlm", "nsp"} - set(model.heads):
            with pytest.raises(ValueError, match=f"head must be one of .*{head!r}"):
                model.project(out.last_hidden_state, head)


@torch.no_grad()
def test_the_compiled_path_has_shapes_that_do_not_depend_on_the_mask():
    torch.manual_seed(0)
    model = Bert(BertConfig(**SMALL, init_std=0.3)).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    row = tokens(2, 9)
    for documents in (torch.tensor([[1] * 3 + [2] * 4 + [0] * 2, [0] * 5 + [3] * 4]), torch.ones(2, 9, dtype=torch.long)):
        found = compiled(row, document_ids=documents)
        expected = model(row, document_ids=documents)
        assert close(found.logits, expected.logits)
        assert close(found.seq_relationship_logits, expected.seq_relationship_logits)
