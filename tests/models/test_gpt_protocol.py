"""What GPT and GPT-2 promise (design: model protocol, positions), as properties that hold for any weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gyebo.models import family
from gyebo.models.gpt import Attention, Gpt, GptConfig, Run
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.nn.dropout import dropout


def tokens(*shape: int, seed: int = 0, vocabulary: int = 53) -> torch.Tensor:
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    a, b = a.detach(), b.detach()
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


TEXTS = [tokens(1, n, seed=n) for n in (7, 1, 12, 4)]


# -- a text's answer depends on the text alone -----------------------------------------------------------------------


@torch.no_grad()
def test_padding_and_neighbours_change_nothing(model):
    alone = [model(text).logits[0] for text in TEXTS]
    assert min(float(logits.std()) for logits in alone) > 0.3
    for side in ("left", "right"):
        for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 2], [2, 2, 0]):
            length = 15
            ids, mask = tokens(len(order), length, seed=9), torch.zeros(len(order), length, dtype=torch.long)
            spans = []
            for row, number in enumerate(order):
                size = TEXTS[number].shape[1]
                start = 0 if side == "right" else length - size
                ids[row, start : start + size] = TEXTS[number]
                mask[row, start : start + size] = 1
                spans.append(slice(start, start + size))
            for given in ({"attention_mask": mask}, {"document_ids": mask * 5}, {"attention_mask": mask.bool()}):
                logits = model(ids, **given).logits
                assert logits.isfinite().all()
                for row, number in enumerate(order):
                    assert close(logits[row, spans[row]], alone[number])


@torch.no_grad()
def test_packed_is_alone(model):
    alone = [model(text).logits[0] for text in TEXTS]
    row = torch.cat([*TEXTS, tokens(1, 3)], 1)
    names = (4, 2, 9, 1, 0)  # ids say what belongs together, not the order
    sizes = [text.shape[1] for text in TEXTS] + [3]
    documents = torch.cat([torch.full((1, size), name) for size, name in zip(sizes, names)], 1)
    packed = model(row, document_ids=documents).logits[0].split(sizes)
    for found, expected in zip(packed, alone):
        assert close(found, expected)
    # masked tokens belong to no document
    mask = torch.ones_like(row)
    mask[0, 8:10] = 0  # the first two of the third text
    masked = model(row, attention_mask=mask, document_ids=documents).logits[0].split(sizes)
    assert all(close(masked[i], alone[i]) for i in (0, 1, 3))
    assert close(masked[2][2:], model(TEXTS[2][:, 2:]).logits[0])


@torch.no_grad()
def test_packed_documents_do_not_leak(model):
    """Change every token of one document: no number of any other document changes, not in the last bit."""
    row, sizes = tokens(2, 24), [5, 8, 1, 10]
    documents = torch.cat([torch.full((2, size), number + 1) for number, size in enumerate(sizes)], 1)
    before = model(row, document_ids=documents).logits
    for number in range(len(sizes)):
        changed = torch.where(documents == number + 1, (row + 1) % 53, row)
        after = model(changed, document_ids=documents).logits
        others = documents != number + 1
        assert torch.equal(after[others], before[others])
        assert (after[~others] != before[~others]).any(-1).all()
    assert not close(model(row).logits[:, 5:], before[:, 5:])  # without ids it would leak


@torch.no_grad()
def test_causality_by_perturbation(model):
    row = tokens(1, 20)
    before = model(row).logits
    for position in (0, 1, 11, 19):
        changed = row.clone()
        changed[0, position] = (changed[0, position] + 1) % 53
        after = model(changed).logits
        assert torch.equal(after[:, :position], before[:, :position])
        assert (after[:, position:] != before[:, position:]).any(-1).all()


@torch.no_grad()
def test_positions_matter_and_can_be_given(model):
    row = tokens(1, 9)
    given = torch.arange(9)[None]
    assert torch.equal(model(row, position_ids=given).logits, model(row).logits)
    assert not close(model(row, position_ids=given + 3).logits, model(row).logits, 1e-2)
    moved = model(row, position_ids=given + 3).logits
    longer = torch.cat([tokens(1, 3), row], 1)
    mask = torch.tensor([[0] * 3 + [1] * 9])
    assert close(model(longer, attention_mask=mask, position_ids=torch.arange(12)[None]).logits[:, 3:], moved)


@torch.no_grad()
def test_only_real_tokens_count_against_the_context(model):
    row = tokens(2, 70)
    mask = torch.zeros(2, 70, dtype=torch.long)
    mask[0, -32:] = mask[1, 10:20] = 1
    logits = model(row, attention_mask=mask).logits
    assert close(logits[0, -32:], model(row[:1, -32:]).logits[0])
    assert close(logits[1, 10:20], model(row[1:, 10:20]).logits[0])
    documents = torch.arange(70)[None] // 20 + 1
    assert close(model(row[:1], document_ids=documents).logits[0, 20:40], model(row[:1, 20:40]).logits[0])
    for given in ({}, {"attention_mask": torch.ones(2, 70)}):
        with pytest.raises(ValueError, match=r"0 to 31.*0 to 69"):
            model(row, **given)
    for wrong in (torch.tensor([[0, 32]]), torch.tensor([[-1, 0]])):
        with pytest.raises(ValueError, match="0 to 31"):
            model(tokens(1, 2), position_ids=wrong)


@pytest.mark.parametrize("given", ["attention_mask", "document_ids"])
def test_gradients_of_rows_without_padding_are_those_of_each_text_alone(model, given):
    slopes = [
        torch.randn(text.shape[1], model.config.width, generator=torch.Generator().manual_seed(n))
        for n, text in enumerate(TEXTS)
    ]
    parameters = list(model.parameters())
    alone = sum((model.encode(text).hidden[0] * slope).sum() for text, slope in zip(TEXTS, slopes))
    expected = torch.autograd.grad(alone, parameters, allow_unused=True)
    sizes, length = [text.shape[1] for text in TEXTS], 14
    if given == "attention_mask":  # padding on the left
        ids = torch.cat([torch.cat([tokens(1, length - n, seed=n), text], 1) for n, text in zip(sizes, TEXTS)])
        mask = torch.cat([torch.arange(length)[None] >= length - n for n in sizes]).long()
        places = [(row, slice(length - n, length)) for row, n in enumerate(sizes)]
    else:
        ids, mask = torch.cat(TEXTS, 1), torch.arange(1, 5).repeat_interleave(torch.tensor(sizes))[None]
        ends = torch.tensor(sizes).cumsum(0).tolist()
        places = [(0, slice(end - n, end)) for n, end in zip(sizes, ends)]
    encoded = model.encode(ids, **{given: mask})
    total = sum((encoded.hidden[place] * slope).sum() for place, slope in zip(places, slopes))
    assert encoded.hidden[mask == 0].count_nonzero() == 0
    for grad, wanted in zip(torch.autograd.grad(total, parameters, allow_unused=True), expected):
        assert (grad is None) == (wanted is None)
        assert wanted is None or close(grad, wanted, 3e-5)


# -- the parts agree -------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_attentions_layers_and_the_fast_path(model):
    row = tokens(2, 11)
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[1, :4] = 0
    fast = model(row, mask)
    slow = model(row, mask, output_attentions=True, output_hidden_states=True)
    assert fast.attentions is None and fast.hidden_states is None
    real = mask.bool()
    assert close(slow.logits[real], fast.logits[real])
    assert len(slow.attentions) == 3 and len(slow.hidden_states) == 4
    assert torch.equal(slow.hidden_states[-1], slow.last_hidden_state)
    assert not slow.last_hidden_state[~real].any() and not fast.last_hidden_state[~real].any()
    for weights in slow.attentions:
        assert weights.shape == (2, 3, 11, 11)
        assert close(weights.sum(-1), torch.ones(2, 3, 11))
        assert weights.triu(1).count_nonzero() == 0
        assert weights[1, :, 4:, :4].count_nonzero() == 0
    encoded = model.encode(row, mask, return_layers=True)
    assert all(close(a[real], b[real]) for a, b in zip(encoded.layers, slow.hidden_states))


@torch.no_grad()
def test_attention_in_float32_inside_a_half_precision_model():
    """Its cache is float32 on a CPU; what leaves attention is the model's type all the same."""
    config = Gpt2Config(vocab_size=31, context=32, width=12, layers=2, heads=3, upcast_attention=True)
    model, ids = Gpt2(config).eval(), torch.randint(31, (2, 9))
    exact = model.encode(ids).hidden[:, -1]
    model.bfloat16()
    _, cache = model.prefill(ids[:, :5], slots=9)
    for at in range(5, 9):
        hidden = model.step(ids[:, at], cache)
    assert hidden.dtype == torch.bfloat16 and float((hidden.float() - exact).norm() / exact.norm()) < 0.05


@torch.no_grad()
def test_forward_is_encode_and_project(model):
    row = tokens(2, 9)
    encoded, logits = model.encode(row), model(row).logits
    assert encoded.layers is None and encoded.attentions is None
    assert torch.equal(model.project(encoded.hidden), logits)
    some = torch.tensor([[True] * 3 + [False] * 6, [False] * 8 + [True]])
    assert close(model.project(encoded.hidden[some]), logits[some])
    with pytest.raises(ValueError, match="mlm"):
        model.project(encoded.hidden, head="mlm")


def test_embed_takes_ids_and_probabilities(model):
    row = tokens(2, 9)
    one_hot = torch.nn.functional.one_hot(row, 53).float()
    assert close(model.embed(one_hot), model.embed(row), 1e-6)
    half = (one_hot[:, :1] + one_hot[:, 1:2]) / 2
    assert close(model.embed(half), (model.embed(row[:, :1]) + model.embed(row[:, 1:2])) / 2, 1e-6)
    one_hot.requires_grad_()
    model.embed(one_hot).sum().backward()
    assert close(one_hot.grad[0, 0], model.token_embedding.weight.sum(-1).detach())


@pytest.mark.parametrize("side", ["none", "left", "right"])
@torch.no_grad()
def test_steps_equal_the_whole_text(model, side):
    row = tokens(3, 16)
    expected = model(row).logits
    lengths = {"none": (6, 6, 6)}.get(side, (6, 1, 4))
    prompt, mask = tokens(3, 6, seed=5), torch.zeros(3, 6, dtype=torch.long)
    for i, n in enumerate(lengths):
        where = slice(6 - n, 6) if side == "left" else slice(0, n)
        prompt[i, where], mask[i, where] = row[i, :n], 1
    hidden, cache = model.prefill(prompt, None if side == "none" else mask, slots=20)
    at = torch.tensor(lengths) - 1
    every = torch.arange(3)
    assert close(model.project(hidden), expected[every, at])
    for _ in range(10):
        at = at + 1
        hidden = model.step(row[every, at], cache)
        assert close(model.project(hidden), expected[every, at])
    assert cache.positions.tolist() == [n + 10 for n in lengths]


@torch.no_grad()
def test_a_cache_reordered_and_grown(model):
    row = tokens(3, 12)
    expected = model(row).logits
    _, cache = model.prefill(row[:, :5], slots=6)
    model.step(row[:, 5], cache)
    assert cache.used == cache.slots == 6
    cache = cache.reorder(torch.tensor([2, 0, 2])).grow(9)
    assert cache.slots == 9
    found = model.project(model.step(row[[2, 0, 2], 6], cache))
    assert close(found, expected[[2, 0, 2], 6])
    with pytest.raises(ValueError, match="slots"):
        cache.grow(3)


# -- counts, initial values, groups ----------------------------------------------------------------------------------

PUBLISHED = {  # counted on the models of transformers at the published configurations
    ("gpt", "base"): 116_534_784,
    ("gpt2", "base"): 124_439_808,
    ("gpt2", "medium"): 354_823_168,
    ("gpt2", "large"): 774_030_080,
    ("gpt2", "xl"): 1_557_611_200,
}
SIZES = [(name, size) for name in ("gpt", "gpt2") for size in family.FAMILIES[name].sizes]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_parameter_counts(name, size):
    cls = family.model_class(name)
    assert list(cls.sizes) == list(family.FAMILIES[name].sizes)
    config = cls.sizes[size]
    with torch.device("meta"):
        model = cls(config)
    d = config.width
    blocks = config.layers * (12 * d * d + 13 * d) + (2 * d if name == "gpt2" else 0)
    assert model.count_parameters(embeddings=False) == blocks
    total = blocks + (config.vocab_size + config.context) * d
    assert model.count_parameters() == total == family.FAMILIES[name].sizes[size]
    assert total == PUBLISHED.get((name, size), total)
    untied = type(config)(**{**vars(config), "tied": False})
    with torch.device("meta"):
        model = cls(untied)
    assert model.count_parameters() == total + config.vocab_size * d
    assert model.count_parameters(embeddings=False) == blocks


def test_published_sizes_are_in_the_table():
    assert set(PUBLISHED) <= set(SIZES)
    for name, size in SIZES:
        assert size not in ("tiny",) or family.FAMILIES[name].sizes[size] < 1_000_000


def test_initial_values(cls):
    torch.manual_seed(3)
    config = cls.config_class(vocab_size=5000, context=600, width=240, layers=2, heads=6, init_std=0.05, tied=False)
    model = cls(config)
    special = {"position_embedding": 0.025, "attention.out": 0.025, "mlp.down": 0.025} if cls is Gpt2 else {}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (1.0 if "norm.weight" in name else 0.0)).all(), name
            continue
        std = next((value for part, value in special.items() if part in name), 0.05)
        count = parameter.numel()
        assert abs(float(parameter.detach().mean())) < 5 * std / math.sqrt(count), name
        assert abs(float(parameter.detach().std()) / std - 1) < 5 / math.sqrt(2 * count), name
        assert 0.99 < float((parameter.abs() < 2.8 * std).float().mean()) < 0.9975, name  # the normal's 0.9949
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), cls(config).parameters()))


def test_layer_groups_hold_every_parameter_once(build):
    for tied in (True, False):
        model = build(tied=tied)
        groups = model.layer_groups()
        listed = [id(p) for group in groups for p in group]
        assert len(listed) == len(set(listed))
        assert set(listed) == {id(p) for p in model.parameters()}
        assert len(groups) == 5  # embeddings, three blocks, the rest
        assert id(model.token_embedding.weight) in {id(p) for p in groups[0]}
        for block, group in zip(model.blocks, groups[1:4]):
            assert {id(p) for p in group} == {id(p) for p in block.parameters()}
        assert any(p is model.lm_head.weight for p in groups[-1]) is not tied


# -- dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_dropout_statistics(p):
    torch.manual_seed(1)
    size = 400_000
    x = dropout(torch.ones(size), p)
    kept = x != 0
    assert abs(float(kept.float().mean()) - (1 - p)) < 5 * math.sqrt(p * (1 - p) / size) + 1 / 65536
    assert abs(float(x[kept][0]) * (1 - p) - 1) < 1e-3
    assert (x[kept] == x[kept][0]).all()
    for lag in (1, 2, 3, 4, 64):  # four bits come out of one word: they must be independent
        both = (kept[lag:] & kept[:-lag]).float().mean()
        assert abs(float(both) - (1 - p) ** 2) < 6 / math.sqrt(size) + 2 / 65536


def test_dropout_is_seeded_by_torch():
    x = torch.randn(31, 7)
    torch.manual_seed(5)
    first = [dropout(x, 0.3) for _ in range(3)]
    torch.manual_seed(5)
    assert all(torch.equal(a, dropout(x, 0.3)) for a in first)
    assert not torch.equal(first[0], first[1])
    assert dropout(x, 0.0) is x


def test_each_dropout_acts_in_training_only(build):
    row = tokens(2, 12)
    none = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}
    plain = build(**none)
    expected = plain(row).logits
    assert close(plain.train()(row).logits, expected)
    for name in none:
        model = build(**none | {name: 0.5})
        assert torch.equal(model(row).logits, expected)
        model.train()
        torch.manual_seed(0)
        first = model(row).logits
        assert not close(first, expected, 1e-2)
        assert not torch.equal(model(row).logits, first)
        torch.manual_seed(0)
        assert torch.equal(model(row).logits, first)


@torch.no_grad()
def test_attention_dropout_acts_on_the_weights():
    """Its mean over many draws is the output without it, which is linear in the weights; its zeros are of weights."""
    torch.manual_seed(0)
    config = GptConfig(vocab_size=5, context=8, width=6, layers=1, heads=2, attention_dropout=0.25)
    attention = Attention(config, 0)
    x = torch.randn(2000, 8, 6)
    draws = x[:1].expand(2000, 8, 6)
    expected = attention.eval()(x[:1], Run())
    found = attention.train()(draws, Run())
    error = (found.mean(0) - expected[0]).abs()
    assert (error < 5 * found.std(0) / math.sqrt(2000) + 1e-4).all()
    # the first token sees itself alone, so its heads are each kept (x 4/3) or dropped whole
    outcomes = {tuple(row) for row in (found[:, 0] * 1e4).round().int().tolist()}
    assert len(outcomes) == 4


# -- options that are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("vocab_size", 0),
        ("context", -1),
        ("layers", 0),
        ("heads", 0),
        ("heads", 5),
        ("width", 0),
        ("inner", 0),
        ("activation", "gelu_new"),
        ("embedding_dropout", 1.0),
        ("attention_dropout", -0.1),
        ("residual_dropout", float("nan")),
        ("norm_eps", 0.0),
        ("init_std", float("inf")),
        ("pad_id", 53),
        ("eos_id", -1),
    ],
)
def test_wrong_options_are_refused_by_name(cls, option, value):
    good = cls.config_class(vocab_size=53, context=8, width=12, layers=1, heads=2)
    with pytest.raises(ValueError, match=option):
        replace(good, **{option: value})


@torch.no_grad()
def test_the_scale_of_gpt2s_scores():
    """Scores by hand: with all keys equal to the query, a weight depends on scale x |q|^2 only."""
    for options, scale in (
        ({}, 4**-0.5),
        ({"scale_attention": False}, 1.0),
        ({"scale_attention_by_layer": True}, 4**-0.5 / 3),
        ({"scale_attention": False, "scale_attention_by_layer": True}, 1 / 3),
    ):
        torch.manual_seed(0)
        model = Gpt2(Gpt2Config(vocab_size=7, context=8, width=8, layers=3, heads=2, **options))
        attention = model.blocks[2].attention
        x = torch.randn(1, 2, 8)
        run = Run(attentions=[])
        attention.qkv.weight.mul_(30)
        attention.eval()(x, run)
        query, key, _ = attention.qkv(x).chunk(3, -1)
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            scores = [float(query[0, 1, part] @ key[0, i, part]) * scale for i in (0, 1)]
            assert float(run.attentions[0][0, head, 1, 1]) == pytest.approx(1 / (1 + math.exp(scores[0] - scores[1])), abs=1e-5)


def test_gpt2_is_the_child_of_gpt():
    """Same blocks' tensors: what differs is where the norms stand, and one norm at the end."""
    shape = {"vocab_size": 5, "context": 4, "width": 4, "layers": 1, "heads": 1}
    parent, child = (set(cls(cls.config_class(**shape)).state_dict()) for cls in (Gpt, Gpt2))
    assert child - parent == {"final_norm.weight", "final_norm.bias"}
    assert parent <= child


def naive_prefix(model, ids, length):
    """Hidden vectors of a text [1, T] whose first tokens see each other: every layer with the mask written out."""
    count = ids.shape[1]
    allowed = torch.ones(count, count).tril().bool()
    allowed[:, :length] = True
    run = Run(allowed[None, None], causal=False)
    return model._blocks(model.embed(ids), torch.arange(count)[None], run)[-1][0]


@pytest.mark.parametrize("cls", [Gpt, Gpt2])
@torch.no_grad()
def test_a_prefix_is_seen_by_all_of_its_document(cls):
    torch.manual_seed(0)
    model = cls(cls.config_class(vocab_size=40, context=24, width=16, layers=2, heads=2)).eval()
    texts = [(torch.randint(40, (1, count)), length) for count, length in ((9, 4), (12, 0), (5, 5), (7, 1))]
    expected = [naive_prefix(model, ids, length) for ids, length in texts]
    rows = [[texts[0], texts[1]], [texts[2], texts[3]]]  # two documents a row, with padding
    ids, documents, prefix = (torch.zeros(2, 23, dtype=torch.long) for _ in range(3))
    places = []
    for row, several in enumerate(rows):
        at = row  # the second row has padding before it
        for number, (text, length) in enumerate(several, 1):
            place = slice(at, at + text.shape[1])
            ids[row, place], documents[row, place] = text[0], number
            prefix[row, at : at + length] = 1
            places.append((row, place))
            at = place.stop
    found = model.encode(ids, document_ids=documents, prefix=prefix).hidden
    dense = model.encode(ids, document_ids=documents, prefix=prefix, return_attentions=True)
    for (row, place), wanted in zip(places, expected):
        torch.testing.assert_close(found[row, place], wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(dense.hidden[row, place], wanted, atol=1e-5, rtol=1e-5)
    assert len(dense.attentions) == 2 and not found[documents == 0].any()
    one, length = texts[0]
    alone = model.encode(one, prefix=torch.arange(9)[None] < length).hidden[0]
    torch.testing.assert_close(alone, expected[0], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="prefix"):
        model.encode(one, prefix=torch.ones_like(one), cache=model.prefill(one, slots=12)[1])


@pytest.mark.parametrize("cls", [Gpt, Gpt2])
@torch.no_grad()
def test_a_prefix_language_model_goes_on_from_a_prompt_that_sees_itself(cls):
    """Prompts of several lengths, padded on either side, then three tokens one after the other."""
    torch.manual_seed(0)
    shape = {"vocab_size": 40, "context": 24, "width": 16, "layers": 2, "heads": 2, "init_std": 0.4}
    model = cls(cls.config_class(**shape, prefix=True)).eval()
    lengths, longest = (4, 9, 1), 9
    prompts = [torch.randint(40, (1, length)) for length in lengths]
    further = torch.randint(40, (len(lengths), 3))
    ids, mask = torch.zeros(len(lengths), longest, dtype=torch.long), torch.zeros(len(lengths), longest, dtype=torch.long)
    for row, (prompt, length) in enumerate(zip(prompts, lengths)):
        place = slice(0, length) if row else slice(longest - length, longest)
        ids[row, place], mask[row, place] = prompt[0], 1
    hidden, cache = model.prefill(ids, mask, slots=longest + 3)
    found = [hidden, *(model.step(further[:, at], cache) for at in range(3))]
    for row, (prompt, length) in enumerate(zip(prompts, lengths)):
        whole = naive_prefix(model, torch.cat([prompt, further[row : row + 1]], 1), length)
        torch.testing.assert_close(torch.stack([each[row] for each in found]), whole[length - 1 :], atol=1e-5, rtol=1e-5)
    alone, _ = model.prefill(prompts[0], slots=12)
    torch.testing.assert_close(alone[0], hidden[0], atol=1e-5, rtol=1e-5)
    causal = cls(replace(model.config, prefix=False)).eval()
    causal.load_state_dict(model.state_dict())
    torch.testing.assert_close(causal(prompts[1]).logits, model(prompts[1]).logits)  # a plain pass is as ever
    assert not torch.allclose(causal.prefill(prompts[1], slots=9)[0], hidden[1], atol=1e-3)
