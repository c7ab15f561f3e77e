"""Text from ids: Korean that is never cut inside a character, stop strings across borders, what a prompt becomes."""

import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.generation import Completion, GenerationOptions, complete, generate, stream
from gyebo.generation.text import StopStrings
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.text.roles import DEFAULT_ROLES
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.generation.generation_models import Parrot

KOREAN = "나는 너를 매우 사랑해. 계보는 가족의 나무 👨‍👩‍👧 입니다!"


@pytest.fixture(scope="module")
def tokenizer():
    """One id a byte: every character of KOREAN comes in several steps."""
    return train_tokenizer([KOREAN] * 3, kind="byte").for_family(DEFAULT_ROLES)


@pytest.fixture(scope="module")
def pieces():
    """Pieces of several characters."""
    return train_tokenizer([KOREAN, "abc abcd abcde"] * 40, kind="bpe", vocab_size=340).for_family(DEFAULT_ROLES)


@pytest.fixture(scope="module")
def gpt2(pieces):
    torch.manual_seed(0)
    roles = pieces.role_ids
    ids = {"pad_id": roles["pad"], "bos_id": roles["bos"], "eos_id": roles["eos"]}
    config = Gpt2Config(vocab_size=352, context=48, width=32, layers=2, heads=2, init_std=0.3, **ids)
    return Gpt2(config).eval()


def parrot(tokenizer, text: str, **settings) -> Parrot:
    return Parrot(tokenizer.encode(text), tokenizer.vocab_size, end=tokenizer.role_ids["eos"], **settings)


def test_korean_streams_character_by_character(tokenizer):
    shown = list(stream(parrot(tokenizer, KOREAN), tokenizer, "", greedy=True, max_new_tokens=200))
    assert shown == list(KOREAN)


def test_half_a_character_at_the_end_is_left_out(tokenizer):
    ids = tokenizer.encode("가나다")
    for size in range(1, len(ids) + 1):
        found = complete(parrot(tokenizer, "가나다"), tokenizer, [""], greedy=True, max_new_tokens=size)[0]
        assert found.text == "가나다"[: size // 3]
        assert (found.ids, found.reason) == (ids[:size], "length")


@pytest.mark.parametrize("stop", [["매우"], ["를 매", "사랑"], ["랑해. 계", "👩"], ["없음"], ["나는"]])
def test_stop_strings_across_the_borders_of_tokens(tokenizer, pieces, stop):
    cut = min((KOREAN.index(text) for text in stop if text in KOREAN), default=len(KOREAN))
    for each in (tokenizer, pieces):
        settings = {"greedy": True, "max_new_tokens": 200, "stop": stop}
        found = complete(parrot(each, KOREAN), each, ["앞"], **settings)[0]
        shown = list(stream(parrot(each, KOREAN), each, "앞", **settings))
        assert found.text == "".join(shown) == KOREAN[:cut]
        assert found.reason == ("stop" if cut < len(KOREAN) else "eos")
        if found.reason == "stop":
            before = each.decode(found.ids[:-1])
            assert not any(text in before for text in stop), "ids after the stop string were generated"


@settings(max_examples=300, deadline=None)
@given(text=st.text("ab", max_size=12), stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), data=st.data())
def test_stop_strings_do_not_depend_on_how_the_text_is_cut(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    ends = [end for end in range(len(text) + 1) for stop in stops if text[:end].endswith(stop)]
    expected = text
    if ends:
        first = text[: min(ends)]
        expected = first[: -max(len(stop) for stop in stops if first.endswith(stop))]
    matcher = StopStrings(stops)
    shown = [matcher.push(text[start:end]) for start, end in zip([0, *cuts], [*cuts, len(text)])]
    assert "".join(shown) + matcher.finish() == expected
    assert matcher.found == bool(ends)


def test_nothing_is_held_back_longer_than_needed():
    matcher = StopStrings(["abc"])
    assert [matcher.push(char) for char in "xababxabc"] == ["x", "", "", "ab", "", "abx", "", "", ""]
    assert matcher.found and matcher.push("more") == ""


def test_stream_equals_complete(gpt2, pieces):
    for seed in range(10):
        options = {"seed": seed, "max_new_tokens": 30, "stop": ["는"], "temperature": 1.5}
        found = complete(gpt2, pieces, ["나는"], **options)[0]
        assert "".join(stream(gpt2, pieces, "나는", **options)) == found.text
        assert pieces.decode(found.ids).startswith(found.text)


def test_a_prompt_begins_with_the_start_token(tokenizer, monkeypatch):
    seen = []
    prefill = Parrot.prefill
    monkeypatch.setattr(Parrot, "prefill", lambda self, ids, *a, **k: seen.append(ids.tolist()) or prefill(self, ids, *a, **k))
    model = parrot(tokenizer, "가")
    generate(model, tokenizer, ["", "나"], greedy=True)
    assert seen == [[[0, 0, 0, 1], [1, *tokenizer.encode("나")]]]
    model.config.bos_id = None
    generate(model, tokenizer, "나", greedy=True)
    assert seen[1] == [tokenizer.encode("나")]
    with pytest.raises(ValueError, match="the prompt is empty and this model has no start token"):
        generate(model, tokenizer, "", greedy=True)


def test_a_prompt_may_be_ids(gpt2, pieces):
    """They are read as they are; what stands before the last end is not continued."""
    ids, options = [gpt2.config.bos_id, *pieces.encode("나는")], {"seed": 4, "max_new_tokens": 8}
    assert complete(gpt2, pieces, [ids, "너를"], **options) == complete(gpt2, pieces, ["나는", "너를"], **options)
    assert "".join(stream(gpt2, pieces, ids, **options)) == generate(gpt2, pieces, "나는", **options)
    with pytest.raises(ValueError, match="id 999"):
        complete(gpt2, pieces, [[999]])


def test_role_strings_in_a_prompt_are_text(pieces):
    assert not set(pieces.encode("<|eos|>")) & set(pieces.all_role_ids)


def test_shapes_of_the_answer(gpt2, pieces):
    options = {"max_new_tokens": 5, "seed": 1}
    one = generate(gpt2, pieces, "나는", **options)
    two = generate(gpt2, pieces, ["나는", "너를"], **options)
    several = generate(gpt2, pieces, "나는", samples=3, **options)
    nested = generate(gpt2, pieces, ["나는", "너를"], samples=3, **options)
    assert isinstance(one, str) and two[0] == one and several[0] == one
    assert nested[0] == several and len(nested[1]) == 3
    found = complete(gpt2, pieces, ["나는", "너를"], samples=3, **options)
    assert [(c.prompt, c.sample) for c in found] == [(p, s) for p in range(2) for s in range(3)]
    assert all(isinstance(c, Completion) and c.log_probability < 0 and len(c.ids) <= 5 for c in found)


def test_beams_give_the_best_text_first(gpt2, pieces):
    found = complete(gpt2, pieces, ["나는"], beams=4, samples=4, max_new_tokens=6, length_penalty=0.0)
    probabilities = [completion.log_probability for completion in found]
    assert probabilities == sorted(probabilities, reverse=True)
    greedy = complete(gpt2, pieces, ["나는"], greedy=True, max_new_tokens=6)[0]
    assert probabilities[0] >= greedy.log_probability
    assert generate(gpt2, pieces, "나는", beams=4, max_new_tokens=6, length_penalty=0.0) == found[0].text


def test_roles_are_never_generated_and_neither_are_ids_without_a_piece(gpt2, pieces):
    """A flat distribution over 352 ids, of which the tokenizer has 340 and 16 are roles."""
    wrong = (set(pieces.all_role_ids) | set(range(pieces.vocab_size, 352))) - {gpt2.config.eos_id}
    assert len(wrong) > 20
    for completion in complete(gpt2, pieces, ["나는"] * 8, samples=8, temperature=50.0, max_new_tokens=40):
        assert not set(completion.ids) & wrong


def test_the_end_token_is_not_text_and_ends_the_answer(tokenizer):
    found = complete(parrot(tokenizer, "가"), tokenizer, ["나"], greedy=True)[0]
    assert (found.text, found.reason, found.ids[-1]) == ("가", "eos", tokenizer.role_ids["eos"])


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda m, t: complete(m, t, "가"), "list of strings"),
        (lambda m, t: stream(m, t, "가", samples=2), "samples=2 cannot be streamed"),
        (lambda m, t: stream(m, t, "가", beams=2), "beams=2 cannot be streamed"),
        (lambda m, t: stream(m, t, "가" * 300), "the prompt has .* tokens"),
        (lambda m, t: generate(m, t, ["가", "나" * 300]), "prompt 2 has .* tokens"),
        (lambda m, t: generate(m, t, "가", temprature=1.0), "temperature"),
        (lambda m, t: generate(m, t, "가", GenerationOptions(), seed=3), "options and seed are both given"),
        (lambda m, t: generate(m, None, "가"), "tokenizer is None"),
    ],
)
def test_wrong_requests_are_refused_at_the_call(gpt2, pieces, call, line):
    with pytest.raises(ValueError, match=line):
        call(gpt2, pieces)


def test_a_tokenizer_of_another_model(gpt2, tokenizer, pieces):
    small = Gpt2(Gpt2Config(vocab_size=20, context=48, width=32, layers=1, heads=2, bos_id=1, eos_id=2, pad_id=0))
    with pytest.raises(ValueError, match=r"id .*vocabulary has 20: the tokenizer"):
        generate(small, pieces, "나는")


def test_the_answer_continues_the_prompt_with_its_space(tmp_path):
    """A vocabulary whose first piece of a text loses its space (SentencePiece): the answer's first piece is not it."""
    words = {word: id for id, word in enumerate(["<pad>", "<s>", "</s>", "▁the", "▁cat", "▁sat"])}
    file = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
    file.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    file.decoder = tokenizers.decoders.Metaspace()
    file.add_special_tokens(["<pad>", "<s>", "</s>"])
    file.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert generate(Parrot([5], 6), tokenizer, "the cat", greedy=True) == " sat"
    assert generate(Parrot([3, 4], 6), tokenizer, "", greedy=True) == "the cat"
    assert complete(Parrot([5], 6), tokenizer, [[1, 3, 4]], greedy=True)[0].text == " sat"
    assert complete(Parrot([5], 6), tokenizer, [[1, 3, 4, 2]], greedy=True)[0].text == "sat"


def test_the_beginning_of_a_stop_string_is_shown_when_the_text_ends_there(tokenizer):
    settings = {"greedy": True, "stop": ["나다"]}
    assert list(stream(parrot(tokenizer, "가나"), tokenizer, "", **settings)) == ["가", "나"]
    assert complete(parrot(tokenizer, "가나"), tokenizer, [""], **settings)[0].text == "가나"
