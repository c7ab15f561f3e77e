"""Writing captions: greedy and beam search against all of the sequence each time, the end of a text, and what is refused."""

from dataclasses import replace

import pytest
import torch

from gyebo.generation.captioning import caption
from gyebo.generation.options import GenerationOptions
from gyebo.models.dalle import Dalle, DalleConfig
from gyebo.models.family import FAMILIES
from gyebo.nn.grid_attention import NOTHING
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

PLACES = 5


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["dalle"]))


def made(tokenizer, **options):
    torch.manual_seed(1)
    shape = {"context": PLACES, "image_codes": 11, "grid": 2, "width": 24, "layers": 3, "heads": 3, "kernel": 3}
    config = DalleConfig(tokenizer.vocab_size, **{**shape, "init_std": 0.4, "image_first": True, **options})
    return Dalle(replace(config, pad_id=tokenizer.role_ids["pad"])).eval()


@pytest.fixture(scope="module")
def model(tokenizer):
    found = made(tokenizer)
    with torch.no_grad():
        found.padding_embedding.weight *= 2.5  # ends are as likely as words
    return found


@pytest.fixture(scope="module")
def codes():
    return torch.randint(11, (6, 4), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def next_log_probs(model, codes, ids):
    """Of each token that may follow, and the end as -1; special tokens and the padding of other places are left out."""
    text = torch.tensor([ids], dtype=torch.long)
    logs = model(text, image_ids=codes[None]).text_logits[0, len(ids)].log_softmax(-1)
    vocabulary = model.config.vocab_size
    return logs[:vocabulary], float(logs[vocabulary + len(ids)])


def greedy(model, tokenizer, codes):
    ids, total = [], 0.0
    while len(ids) < PLACES:
        words, end = next_log_probs(model, codes, ids)
        words[list(tokenizer.all_role_ids)] = -torch.inf
        best = int(words.argmax())
        if end > words[best]:
            return ids, total + end, True
        total += float(words[best])
        ids.append(best)
    return ids, total, False


def test_the_most_probable_token_is_that_of_the_whole_sequence(model, tokenizer, codes):
    found = caption(model, tokenizer, codes, GenerationOptions(greedy=True))
    ends = []
    for number, answer in enumerate(found):
        ids, log_probability, ended = greedy(model, tokenizer, codes[number])
        ends.append(ended)
        assert [id for id in answer.ids if id < model.config.vocab_size] == ids and answer.prompt == number
        assert answer.text.rstrip("\ufffd") == tokenizer.decode(ids).rstrip("\ufffd")
        assert answer.reason == ("eos" if ended else "length")
        assert answer.log_probability == pytest.approx(log_probability, abs=1e-4)
    assert 0 < sum(ends) < len(ends), "one that ends, and one that fills its places"
    again = caption(model, tokenizer, codes[[3]], GenerationOptions(greedy=True))
    assert again[0].text == found[3].text, "whatever is beside it"


@pytest.mark.parametrize("place", range(PLACES))
@pytest.mark.parametrize("how", [{"greedy": True}, {"beams": 2}])
def test_a_text_ends_where_the_padding_of_its_place_is_likely(model, tokenizer, codes, place, how):
    """The padding token of one place is made certain wherever it may stand, that of all others impossible."""
    ending = Dalle(model.config).eval()
    ending.load_state_dict(model.state_dict())
    with torch.no_grad():
        ending.final_norm.bias.fill_(1.0)
        ending.padding_embedding.weight.fill_(-20.0)
        ending.padding_embedding.weight[place] = 20.0
    for answer in caption(ending, tokenizer, codes, GenerationOptions(**how)):
        assert len(answer.ids) == place + 1 and answer.reason == "eos"


def test_wide_beams_find_the_most_probable_text(tokenizer, codes):
    """All texts of at most two tokens, one by one."""
    model = made(tokenizer, context=2)
    with torch.no_grad():
        model.padding_embedding.weight *= 2.0
    some = [id for id in range(model.config.vocab_size) if id not in tokenizer.all_role_ids]
    first, end = next_log_probs(model, codes[0], [])
    best = (end, [])
    with torch.no_grad():
        second = model(torch.tensor(some)[:, None], image_ids=codes[:1].expand(len(some), -1)).text_logits[:, 1].log_softmax(-1)
    second[:, list(tokenizer.all_role_ids)] = -torch.inf
    for id, logs in zip(some, second):
        words, end = logs[: model.config.vocab_size], float(logs[model.config.vocab_size + 1])
        best = max(best, (float(first[id]) + end, [id]), (float(first[id] + words.max()), [id, int(words.argmax())]))
    [found] = caption(model, tokenizer, codes[:1], GenerationOptions(beams=len(some) + 1, length_penalty=0.0))
    assert [id for id in found.ids if id < model.config.vocab_size] == best[1]
    assert found.log_probability == pytest.approx(best[0], abs=1e-4)


def test_samples_have_the_models_distribution(model, tokenizer, codes):
    """The first token of many captions, by the ends and by words: within four standard deviations of its probability."""
    count = 2000
    found = caption(model, tokenizer, codes[:1], GenerationOptions(samples=count, max_new_tokens=1))
    words, end = next_log_probs(model, codes[0], [])
    allowed = [id for id in range(len(words)) if id not in tokenizer.all_role_ids]
    total = float(words[allowed].exp().sum()) + float(torch.tensor(end).exp())
    for id in (*words[allowed].topk(3).indices.tolist(), None):
        id = None if id is None else allowed[id]
        share = (float(torch.tensor(end).exp()) if id is None else float(words[id].exp())) / total
        seen = sum((answer.reason == "eos") if id is None else answer.ids[0] == id for answer in found)
        assert abs(seen / count - share) < 4 * (share * (1 - share) / count) ** 0.5
    ranked = caption(model, tokenizer, codes[:2], GenerationOptions(rank=5, seed=3))
    assert [answer.prompt for answer in ranked] == [0, 1]


def test_a_picture_decides_what_is_written(model, tokenizer, codes):
    found = [a.text for a in caption(model, tokenizer, codes, GenerationOptions(greedy=True))]
    assert len(set(found)) > 2
    nothing = torch.full_like(codes, NOTHING)
    blind = replace(model.config, guided=True)
    seer = Dalle(blind).eval()
    seer.load_state_dict(model.state_dict())
    assert len({a.text for a in caption(seer, tokenizer, nothing, GenerationOptions(greedy=True))}) == 1
    with pytest.raises(ValueError, match="has not learned texts without their picture"):
        caption(model, tokenizer, nothing, GenerationOptions(greedy=True))


def test_what_does_not_fit_is_refused(model, tokenizer, codes):
    forwards = made(tokenizer, image_first=False)
    with pytest.raises(ValueError, match="was trained with the text first"):
        caption(forwards, tokenizer, codes, GenerationOptions(greedy=True))
    with pytest.raises(ValueError, match="a picture has 4 codes, but 3 are given"):
        caption(model, tokenizer, codes[:, :3], GenerationOptions(greedy=True))
    with pytest.raises(ValueError, match="coverage_penalty has no effect"):
        caption(model, tokenizer, codes, GenerationOptions(beams=2, coverage_penalty=0.2))
    assert caption(model, tokenizer, codes[:0], GenerationOptions(greedy=True)) == []
