"""PPLM beside a naive implementation in float64, and what it promises: batches, weights, strengths, refusals."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from gyebo.generation import GenerationOptions, complete, decode, stream
from gyebo.generation.pplm import Bag, Control, Discriminator, Steered
from gyebo.generation.pplm.settings import strength_at, strength_from
from gyebo.models.bart_decoder import BartDecoder, BartDecoderConfig
from gyebo.models.gpt import Gpt, GptConfig
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.models.rnn import Lstm
from gyebo.models.transformer_xl import TransformerXl, TransformerXlConfig
from gyebo.models.xlnet import Xlnet
from gyebo.nn import decoding
from tests.generation.generation_models import END, VOCABULARY, make_pair
from tests.generation.naive_pplm import steer

BAG, OTHER = {5: 1.0, 9: 2.0, 17: 0.5}, {30: 1.0, 31: 1.0}
PROMPT, ANSWER = [4, 8, 15, 16, 23], [42, 7, 7]


def varied(model):
    """Larger matrices, and biases away from 0, in float64 and evaluation mode."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter * (8 if parameter.dim() > 1 else 1) + 0.1 * torch.randn_like(parameter))
    return model.double().eval()


@pytest.fixture(scope="module")
def model() -> Gpt2:
    torch.manual_seed(0)
    return varied(Gpt2(Gpt2Config(vocab_size=VOCABULARY, context=40, width=12, layers=2, heads=3)))


def head(classes=3, width=12, seed=1):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(classes, width, generator=random).double(), torch.randn(classes, generator=random).double()


def steered(model, prompts, answers, control, tokens=None, written=0):
    """The log-probabilities and the moved past [L, 2, B, H, S, K] of the first token and after each token of the answers."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    machine = Steered(model, control, tokens, written=written)
    mask = None if bool(mask.all()) else mask
    logits, cache = machine.prefill(ids, mask, slots=longest + len(answers[0]))
    found = [(logits.log_softmax(-1), cache.moved.copied(0)[..., :-1, :])]
    for id in torch.tensor(answers).unbind(1):
        logits = machine.step(id, cache)
        found.append((logits.log_softmax(-1), cache.moved.copied(0)[..., :-1, :]))
    return found


BASE = {"stepsize": 0.05, "iterations": 3, "gamma": 1.5, "kl_scale": 0.01, "gm_scale": 0.9, "window": 0, "decay": False}
BASE |= {"horizon": 1, "released": False}
CASES = {
    "bag": ({"iterations": 1}, True, False),
    "bag, three iterations": ({}, True, False),
    "no divergence": ({"kl_scale": 0.0}, True, False),
    "much divergence": ({"kl_scale": 2.0}, True, False),
    "gamma 1": ({"gamma": 1.0}, True, False),
    "recent window": ({"window": 3}, True, False),
    "recent window, decaying": ({"window": 3, "decay": True}, True, False),
    "window beyond the text, decaying": ({"window": 9, "decay": True}, True, False),
    "first window": ({"window": 3, "released": True}, True, False),
    "first window, decaying": ({"window": 3, "released": True, "decay": True}, True, False),
    "first window beyond the text": ({"window": 6, "released": True, "decay": True}, True, False),
    "discriminator": ({"gamma": 1.0, "iterations": 1}, False, True),
    "discriminator, three iterations": ({}, False, True),
    "discriminator, as released": ({"released": True}, False, True),
    "two imagined tokens": ({"horizon": 2}, False, True),
    "two imagined tokens, as released": ({"horizon": 2, "released": True}, False, True),
    "both": ({"window": 4}, True, True),
}


@pytest.mark.parametrize(("changed", "bag", "discriminator"), CASES.values(), ids=list(CASES))
def test_the_update_is_that_of_a_naive_implementation(model, changed, bag, discriminator):
    """Keys and values, and the distribution, of four steps: what was moved stays moved."""
    settings, (weight, bias) = BASE | changed, head()
    bags = [(1.0, BAG), (1.0, OTHER)] if bag else []
    expected = steer(model, PROMPT, ANSWER, bags, [(1.0, weight, bias, 2)] if discriminator else [], **settings)
    attributes = [Bag(BAG), Bag(OTHER)] if bag else []
    attributes += [Discriminator(weight, bias, 2)] if discriminator else []
    given = {name: value for name, value in settings.items() if name != "horizon" or discriminator}
    found = steered(model, [PROMPT], [ANSWER], Control.of(attributes, **given))
    plain = model.prefill(torch.tensor([PROMPT]), slots=5)[1].copied(0)[..., :-1, :]
    assert (found[0][1] - plain).abs().max() > 1e-3
    for (log_probs, moved), (fused, state) in zip(found, expected, strict=True):
        theirs = torch.stack(state).transpose(2, 3)[:, :, None]  # [L, 2, 1, H, S, K]
        assert (moved - theirs).abs().max() < 1e-9
        assert (log_probs[0] - fused.log()).abs().max() < 1e-9


def test_strengths_are_shares_of_the_largest_which_scales_the_step(model):
    weight, bias = head()
    settings = BASE | {"gamma": 1.0}
    heads = [(-0.25, weight, bias, 0)]
    expected = steer(model, PROMPT, ANSWER, [(1.0, BAG), (0.5, OTHER)], heads, **(settings | {"stepsize": 0.05 * 2 * 1.5}))
    attributes = [Bag(BAG, strength=2), Bag(OTHER, strength=1), Discriminator(weight, bias, 0, strength=-0.5)]
    found = steered(model, [PROMPT], [ANSWER], Control.of(attributes, strength=1.5, **settings))
    for (log_probs, _), (fused, _) in zip(found, expected, strict=True):
        assert (log_probs[0] - fused.log()).abs().max() < 1e-9


def test_a_course_is_a_strength_for_each_token(model):
    settings = {name: value for name, value in BASE.items() if name not in ("horizon", "released")}
    course = Control.of([Bag(BAG)], strength=(0, 1.5), **settings)
    found = steered(model, [PROMPT], [ANSWER], course)
    assert torch.equal(found[0][0], model.project(model.prefill(torch.tensor([PROMPT]), slots=5)[0]).log_softmax(-1))
    moved = [(after[..., :4, :] - before[..., :4, :]).abs().max() for (_, before), (_, after) in zip(found, found[1:])]
    assert min(moved) > 0
    first = steered(model, [PROMPT], [ANSWER[:1]], Control.of([Bag(BAG)], strength=(0, 0.5), **settings))
    assert torch.allclose(first[1][0], found[1][0], atol=1e-12)  # 0.5 at the second token, by either course


def test_a_course_goes_on_behind_what_is_written(model):
    """Where the strength was 0 up to there, the rest is that of the answer that was written at once."""
    settings = {name: value for name, value in BASE.items() if name not in ("horizon", "released")}
    course = Control.of([Bag(BAG)], strength=(0, 0, 1.5), **settings)
    whole = steered(model, [PROMPT], [[42, 7, 7, 11]], course, tokens=5)  # 0 for three tokens of five
    rest = steered(model, [[*PROMPT, 42, 7]], [[7, 11]], course, tokens=5, written=2)
    for (one, _), (other, _) in zip(whole[2:], rest, strict=True):
        assert torch.allclose(one, other, atol=1e-9)
    anew = steered(model, [[*PROMPT, 42, 7]], [[7, 11]], course, tokens=5)
    assert not torch.allclose(anew[-1][0], rest[-1][0], atol=1e-3)


def test_courses():
    assert strength_from("0..2", "x") == (0.0, 2.0) and strength_from("-1", "x") == (-1.0,)
    assert [strength_at((0, 2, 1), place / 4) for place in range(5)] == [0, 1, 2, 1.5, 1]
    assert strength_at((3.0,), 0.7) == 3.0
    for text in ("", "a", "1..", "nan", "0..a"):
        with pytest.raises(ValueError, match=r"x must be a number, or a course as 0\.\.2"):
            strength_from(text, "x")


ATTRIBUTES = {
    "bag": lambda width: [Bag(BAG)],
    "discriminator": lambda width: [Discriminator(*head(width=width), 1)],
    "both": lambda width: [Bag(BAG), Discriminator(*head(width=width), 1, strength=-0.5)],
}
SHAPE = {"vocab_size": VOCABULARY, "context": 40, "width": 12, "layers": 2, "heads": 3}
LONG = {"window": 40, "memory": 5, "head_width": 4, "inner": 16}
FAMILIES = {
    "gpt": lambda: Gpt(GptConfig(**SHAPE)),
    "gpt2": lambda: Gpt2(Gpt2Config(**SHAPE)),
    "bart_decoder": lambda: BartDecoder(BartDecoderConfig(**SHAPE)),
    "transformer_xl": lambda: TransformerXl(TransformerXlConfig(**SHAPE, **LONG)),
    "transformer_xl, clusters": lambda: TransformerXl(TransformerXlConfig(**SHAPE, **LONG, cutoffs=(20, 40), division=2)),
}


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=list(ATTRIBUTES))
@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_row_does_not_depend_on_its_neighbours(family, attributes):
    """Padded or not, and where a neighbour has no past at all."""
    torch.manual_seed(0)
    model = varied(family())
    control = Control.of(attributes(12), iterations=2, window=3, stepsize=0.2)
    prompts, answers = [PROMPT, [3], [11, 12, 13]], [[1, 2, 3, 50], [4, 5, 6, 7], [8, 9, 10, 11]]
    together = steered(model, prompts, answers, control)
    for row, (prompt, answer) in enumerate(zip(prompts, answers)):
        alone = steered(model, [prompt], [answer], control)
        for (found, _), (expected, _) in zip(together, alone, strict=True):
            assert (found[row] - expected[0]).abs().max() < 1e-9


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_it_wants_what_it_is_told(family):
    """After some steps the words of a bag are more probable, or less probable with a strength below 0."""
    torch.manual_seed(0)
    model = varied(family())
    words, answer = list(BAG), [[1, 2, 3, 40, 20, 6, 50, 12]]
    shares = []
    for strength in (-1, 0, 1, 3):
        found = steered(model, [PROMPT], answer, Control.of([Bag(BAG)], strength=strength, stepsize=0.1, gamma=1.0))
        shares.append(sum(float(log_probs[0, words].exp().sum()) for log_probs, _ in found))
    assert shares[0] < shares[1] < shares[2] < shares[3]


def test_nothing_is_moved_by_steps_of_length_zero(gpt2):
    """To the bit, with any geometric mean, for all rows of a batch; of several samples, whose first distribution plain decoding
    computes once for each, the same tokens."""
    prompts, options = [[5, 9, 2, 40, 7], [3], [11, 12]], GenerationOptions(max_new_tokens=12, temperature=0.8)
    several = replace(options, samples=2)
    for settings in ({"stepsize": 0.0}, {"grad_length": 0}, {"stepsize": 0.0, "gm_scale": 0.5}):
        machine = Steered(gpt2, Control.of([Bag(BAG)], **settings))
        for one, other in zip(decode(machine, prompts, options), decode(gpt2, prompts, options), strict=True):
            assert torch.equal(one.ids, other.ids) and torch.equal(one.log_probs, other.log_probs)
        for one, other in zip(decode(machine, prompts, several), decode(gpt2, prompts, several), strict=True):
            assert torch.equal(one.ids, other.ids) and torch.allclose(one.log_probs, other.log_probs, atol=1e-5)


def test_a_prompt_of_one_token_has_nothing_to_move(gpt2):
    machine = Steered(gpt2, Control.of([Bag(BAG)], stepsize=0.5))
    logits, cache = machine.prefill(torch.tensor([[3]]), slots=4)
    hidden, plain = gpt2.prefill(torch.tensor([[3]]), slots=4)
    assert torch.equal(logits, gpt2.project(hidden))
    again = machine.step(torch.tensor([9]), cache)
    assert not torch.allclose(again, gpt2.project(gpt2.step(torch.tensor([9]), plain)), atol=1e-3)


def test_steps_end_with_grad_length_and_what_was_moved_stays(model):
    control = Control.of([Bag(BAG)], grad_length=2, stepsize=0.1)
    found = steered(model, [PROMPT], [ANSWER], control)
    assert not torch.equal(found[0][1], found[1][1][..., :4, :])
    assert torch.equal(found[1][1], found[2][1][..., :5, :])
    plain = model.prefill(torch.tensor([PROMPT + ANSWER]), slots=9)[0]
    assert not torch.allclose(found[3][0], model.project(plain).log_softmax(-1), atol=1e-4)


@pytest.mark.parametrize("mode", [True, False])
def test_the_model_stays_as_it_is(mode):
    """No weight and no gradient changes, whatever mode it is in; a model in training mode is used without dropout."""
    model = make_pair("gpt2")[0].train(mode)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    machine = Steered(model, Control.of([Bag(BAG), Discriminator(*(part.float() for part in head(width=24)), 0)], iterations=2))
    steps = [step.ids for step in decode(machine, [[5, 9]], GenerationOptions(max_new_tokens=4, samples=2))]
    assert steps and model.training == mode
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    again = [step.ids for step in decode(machine, [[5, 9]], GenerationOptions(max_new_tokens=4, samples=2))]
    assert all(map(torch.equal, steps, again))


def test_rows_that_end_leave_the_batch(gpt2):
    """An answer is the same whether its neighbours have ended or not."""
    control, options = Control.of([Bag({END: 1.0})], stepsize=0.3), GenerationOptions(max_new_tokens=10, samples=3)
    together, prompts = {}, [[5, 9, 2, 40, 7], [11, 12]]
    for step in decode(Steered(gpt2, control), prompts, options):
        for row in step.active.nonzero()[:, 0].tolist():
            together.setdefault(row, []).append(int(step.ids[row]))
    assert len({len(row) for row in together.values()}) > 1
    alone = [step.ids.tolist() for step in decode(Steered(gpt2, control), prompts[:1], options)]
    for row, ids in enumerate(zip(*alone)):
        assert list(ids)[: len(together[row])] == together[row]


def test_the_last_tokens_of_the_context(model):
    """A discriminator's imagined tokens would lie beyond it."""
    control = Control.of([Discriminator(*head(), 1)], iterations=1, horizon=3)
    options = GenerationOptions(max_new_tokens=50, greedy=True)
    assert len(list(decode(Steered(model, control), [PROMPT], options))) == 40 - len(PROMPT) + 1


class Words:
    """A tokenizer of as many words as the model has ids."""

    all_role_ids = frozenset({END})

    def __init__(self):
        self.target = self
        self.known_ids = set(range(VOCABULARY))
        self.decoding = SimpleNamespace(strip_start="", drop_last_space=False)

    def encode(self, text):
        return [int(word) for word in text.split()]

    def piece_bytes(self, id, first=False):
        return f" {id}".encode()


def test_text_is_steered_streamed_and_never_searched(gpt2):
    control = Control.of([Bag(BAG)], stepsize=0.3, gamma=1.0)
    settings = {"max_new_tokens": 12, "seed": 3}
    (whole,) = complete(gpt2, Words(), ["5 9 2"], control=control, **settings)
    assert "".join(stream(gpt2, Words(), "5 9 2", control=control, **settings)) == whole.text
    with torch.inference_mode():
        assert complete(gpt2, Words(), ["5 9 2"], control=control, **settings)[0].ids == whole.ids
    assert complete(gpt2, Words(), ["5 9 2"], **settings)[0].ids != whole.ids
    with pytest.raises(ValueError, match="beams=2 can't be steered"):
        complete(gpt2, Words(), ["5"], control=control, beams=2)


@pytest.mark.parametrize("cls", [Lstm, Xlnet])
def test_a_model_whose_past_cannot_be_moved_is_refused(cls):
    with pytest.raises(ValueError, match="can't be steered: it has no keys and values"):
        Steered(cls(cls.sizes["tiny"]), Control.of([Bag(BAG)]))


def test_what_does_not_belong_to_the_model_is_refused(model):
    with pytest.raises(ValueError, match="reads vectors of width 8, but this model's width is 12"):
        Steered(model, Control.of([Discriminator(*head(width=8), 1)]))
    with pytest.raises(ValueError, match=f"has the id 99, but this model's vocabulary has {VOCABULARY}"):
        Steered(model, Control.of([Bag({1: 1.0, 99: 1.0})]))
    with pytest.raises(ValueError, match="target must be a class from 0 to 2, but is 3"):
        Discriminator(*head(), 3)
    with pytest.raises(ValueError, match="a bag of words has no word"):
        Bag({})
    with pytest.raises(ValueError, match="must be above 0, but one is 0"):
        Bag({3: 0.0})
    with pytest.raises(ValueError, match="control has no attribute"):
        Control.of([])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stepsize": -1.0}, "stepsize must be a number from 0 on"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1, but is 0"),
        ({"gm_scale": 1.5}, "gm_scale must be a number from 0 to 1, but is 1.5"),
        ({"gamma": float("nan")}, "gamma must be a number from 0 on"),
        ({"window": 0, "decay": True}, "decay=true has no effect without a window"),
        ({"decay": 1}, "decay must be true or false"),
        ({"horizon": 2}, "horizon=2 has no effect on bags of words"),
        ({"window": 0, "released": True}, "released=true has no effect on bags of words without a window"),
        ({"step_size": 1}, "unknown setting of control 'step_size'; did you mean stepsize"),
        ({"strength": "much"}, "strength must be a number"),
        ({"strength": ()}, "strength must be a number"),
    ],
)
def test_settings_that_are_wrong_or_idle(given, message):
    with pytest.raises(ValueError, match=message):
        Control.of([Bag(BAG)], **given)


def test_settings_are_those_that_were_published_for_the_attributes():
    bag, discriminator = Control.of([Bag(BAG)]).settings, Control.of([Discriminator(*head(), 1)]).settings
    assert (bag.stepsize, bag.iterations, bag.gamma, bag.window, bag.gm_scale) == (0.03, 3, 1.5, 5, 0.99)
    assert (discriminator.stepsize, discriminator.iterations, discriminator.gamma) == (0.04, 10, 1.0)
    assert (discriminator.window, discriminator.gm_scale, discriminator.kl_scale) == (0, 0.95, 0.01)
    assert Control.of([Bag(BAG), Discriminator(*head(), 1)], window=3).settings.window == 3


def test_packed_weights_steer_as_the_model_does(gpt2, monkeypatch):
    """In float32, with the machine's fast matrices and without them."""
    found = []
    for least in (1, 1 << 40):
        monkeypatch.setattr(decoding, "LARGE", least)
        control = Control.of([Bag(BAG), Discriminator(*(part.float() for part in head(width=24)), 0)], iterations=2)
        found.append([log_probs for log_probs, _ in steered(gpt2, [PROMPT], [[1, 2, 3, 4, 5]], control)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-3)
