"""Models under a guard: later attempts continue what is shown, with seeds and room of their own."""

from __future__ import annotations

import pytest
import torch

import gyebo
from gyebo.generation import complete, generate, rank, stream
from gyebo.generation import text as text_module
from gyebo.generation.guard import Finding, Guard, Rule, Topic
from gyebo.generation.guard.answering import NEUTRAL
from gyebo.generation.options import GenerationOptions
from gyebo.generation.pplm import Bag, Control
from gyebo.generation.text import _room, guarded
from gyebo.interchange import save
from gyebo.models.bart import Bart, BartConfig
from gyebo.models.family import find
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.text.roles import DEFAULT_ROLES, roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.generation.generation_models import Parrot


class Attempts(Parrot):
    """Says a script for each time that it is asked, and remembers what it read."""

    def __init__(self, tokenizer, *texts, context=512):
        super().__init__([], tokenizer.vocab_size, context=context, end=tokenizer.role_ids["eos"])
        self.scripts = [[*tokenizer.encode(text), tokenizer.role_ids["eos"]] for text in texts]
        self.read = []

    def prefill(self, input_ids, attention_mask=None, *, slots):
        self.read.append(input_ids[-1].tolist())
        self.script = self.scripts[min(len(self.read), len(self.scripts)) - 1]
        return super().prefill(input_ids, attention_mask, slots=slots)


@pytest.fixture(scope="module")
def tokenizer():
    """One id a byte."""
    return train_tokenizer(["좋다."] * 3, kind="byte").for_family(DEFAULT_ROLES)


@pytest.fixture(scope="module")
def gpt2(tokenizer):
    torch.manual_seed(0)
    roles = tokenizer.role_ids
    ids = {"pad_id": roles["pad"], "bos_id": roles["bos"], "eos_id": roles["eos"]}
    return Gpt2(Gpt2Config(tokenizer.vocab_size, context=64, width=16, layers=1, heads=2, init_std=0.3, **ids)).eval()


def guard_of(test, **options):
    def check(texts, prompt):
        return [Finding(float(test(text)), "") for text in texts]

    return Guard((Rule("test", check, {0.05: 0.5}),), **options)


def test_an_attempt_reads_the_prompt_and_what_is_shown(tokenizer):
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
    guard = guard_of(lambda text: "나쁘" in text)
    assert list(stream(model, tokenizer, "앞", max_new_tokens=100, guard=guard)) == ["좋다.", " 착하다."]
    assert model.read == [[1, *tokenizer.encode("앞")], [1, *tokenizer.encode("앞좋다.")]]


def test_whole_answers_go_the_same_way(tokenizer):
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
    guard = guard_of(lambda text: "나쁘" in text)
    assert generate(model, tokenizer, "앞", max_new_tokens=100, guard=guard) == "좋다. 착하다."
    assert generate(Attempts(tokenizer, "나쁘다."), tokenizer, "앞", max_new_tokens=100, guard=guard) == f" {NEUTRAL['ko']}"


def test_an_answer_has_no_more_tokens_than_it_may(tokenizer):
    """All attempts together: 7 of 20 bytes are shown, so 13 remain."""
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다. 착하다. 착하다.")
    guard = guard_of(lambda text: "나쁘" in text)
    shown = generate(model, tokenizer, "", max_new_tokens=20, guard=guard)
    assert shown == ("좋다. 착하다. 착하다. 착하다.".encode()[:20]).decode(errors="ignore")


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_an_attempt_without_room_ends_the_answer(tokenizer, room):
    """The start token, 3 bytes of the prompt and 7 that are shown leave no more than `room` places of the context."""
    model = Attempts(tokenizer, "좋다. 나쁘다.", " 착하다.", context=11 + room)
    guard = guard_of(lambda text: "나" in text, longest=5, window=10)
    shown = generate(model, tokenizer, "앞", max_new_tokens=100, guard=guard)
    assert shown.startswith("좋다.") and len(shown.encode()) <= 7 + room + 1


@pytest.mark.parametrize("options", [{"greedy": True}, {"beams": 2}])
def test_what_would_write_the_same_again_has_one_attempt(gpt2, tokenizer, options):
    decisions = []
    guard = guard_of(lambda text: True, log=decisions.append)
    assert NEUTRAL["ko"] in generate(gpt2, tokenizer, "앞", max_new_tokens=30, guard=guard, **options)
    assert [decision.decision for decision in decisions] == ["neutral"]


def test_a_guard_that_passes_all_changes_nothing(gpt2, tokenizer):
    options = {"max_new_tokens": 25, "samples": 2, "seed": 3}
    plain = generate(gpt2, tokenizer, ["앞", "뒤"], **options)
    assert generate(gpt2, tokenizer, ["앞", "뒤"], guard=guard_of(lambda text: False), **options) == plain
    assert generate(gpt2, tokenizer, ["앞", "뒤"], guard=guard_of(lambda text: True, mode="off"), **options) == plain


def test_attempts_differ_and_come_again(gpt2, tokenizer):
    """The first sentences of all attempts at two prompts with two samples each, none of which is shown."""

    def attempts():
        seen = []
        guard = guard_of(lambda text: True, log=seen.append, retries=4)
        generate(gpt2, tokenizer, ["앞", "앞"], samples=2, max_new_tokens=30, seed=3, guard=guard)
        return [decision.text for decision in seen if decision.decision != "shown"]  # white space is shown

    first = attempts()
    assert len(first) == len(set(first)) == 20
    assert attempts() == first


def test_candidates_are_sampled_anew_behind_what_is_shown(tokenizer):
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
    guard = guard_of(lambda text: "나쁘" in text)
    assert generate(model, tokenizer, "앞", rank=2, max_new_tokens=100, guard=guard) == "좋다. 착하다."
    assert model.read == [[1, *tokenizer.encode("앞")], [1, *tokenizer.encode("앞좋다.")]]


def test_a_prompt_of_ids_is_continued_as_it_is(tokenizer):
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
    guard = guard_of(lambda text: "나쁘" in text)
    ids = [1, *tokenizer.encode("앞"), 2, *tokenizer.encode("뒤")]
    assert "".join(stream(model, tokenizer, ids, max_new_tokens=100, guard=guard)) == "좋다. 착하다."
    assert model.read == [ids, [*ids, *tokenizer.encode("좋다.")]]


def test_a_translator_goes_on_behind_what_it_has_written(tokenizer_folder, tmp_path):
    """As `transformers` does, told to begin with the same ids; the id that is forced comes before them."""
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(find("bart")))
    torch.manual_seed(3)
    fields = ("pad_id", "bos_id", "eos_id", "forced_bos_id", "forced_eos_id")
    roles = {name: tokenizer.role_ids[name.split("_")[-2]] for name in fields}
    model = Bart(BartConfig(tokenizer.vocab_size, 40, 24, 1, 2, 3, 32, init_std=0.4, **roles)).eval()
    save(model, tokenizer, tmp_path)
    theirs = transformers.BartForConditionalGeneration.from_pretrained(tmp_path).eval()
    source, begun = "나무 정말 바다 보았다.", "친구 노래"
    stands = [model.start_id, model.config.forced_bos_id, *tokenizer.encode(begun)]
    bare = [[id] for id in sorted(tokenizer.all_role_ids - {tokenizer.role_ids["eos"]})]
    expected = theirs.generate(
        torch.tensor([tokenizer(source)["input_ids"]]),
        decoder_input_ids=torch.tensor([stands]),
        do_sample=False,
        num_beams=1,
        max_new_tokens=8,
        bad_words_ids=bare,
        forced_bos_token_id=None,
    )[0].tolist()
    ours, own = gyebo.load(tmp_path)
    (found,) = complete(ours, own, [source], begun=begun, greedy=True, max_new_tokens=8)
    assert found.ids == expected[len(stands) :]
    assert tokenizer.decode(expected).startswith(begun + found.text)


def test_where_there_is_room_an_attempt_can_be_made(tokenizer):
    """A context of 20: what does not fit is refused, so it must not be tried."""
    model = Attempts(tokenizer, "좋다.", context=20)
    options = GenerationOptions(max_new_tokens=100)
    tried = 0
    for shown in ("가" * size for size in range(9)):
        if _room(model, tokenizer, "앞", options, shown) > 0:
            list(stream(model, tokenizer, "앞", options, begun=shown))
            tried += 1
    assert 4 <= tried <= 6


def test_candidates_are_sampled_anew_with_the_turns_that_they_must_not_repeat(tokenizer):
    """Also together with what is shown before them."""
    ids = [1, *tokenizer.encode("앞"), 2]
    for turn, repeats in (("착하다.", True), ("다. 착하다.", True), ("뒤", False)):
        model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
        options = GenerationOptions(rank=2, no_repeat_turn=14 if "다. 착" in turn else 10, max_new_tokens=100)
        (ranking,) = rank(model, tokenizer, [ids], options, turns=[[turn]], begun="좋다.")
        assert ranking.best.repeats is (repeats and "착" in ranking.best.answer.text)
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
    first = rank(model, tokenizer, [ids], options, turns=[["뒤"]])[0].best.answer
    shown = guarded(model, tokenizer, ids, options, guard_of(lambda text: "나쁘" in text), first, turns=["뒤"])
    assert shown == "좋다. 착하다."


def test_the_least_number_of_tokens_is_that_of_all_attempts_together(tokenizer):
    """7 bytes are shown, so of 9 only 2 are missing; the second attempt has 4, and may end."""
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 끝")
    guard = guard_of(lambda text: "나쁘" in text)
    assert generate(model, tokenizer, "앞", min_new_tokens=9, max_new_tokens=100, guard=guard) == "좋다. 끝"


def test_a_course_of_strengths_goes_on_where_an_attempt_takes_over(tokenizer, monkeypatch):
    asked = []
    monkeypatch.setattr(
        text_module, "Steered", lambda model, control, tokens, *, written=0: asked.append((tokens, written)) or model
    )
    control = Control.of([Bag({5: 1.0})], strength=(0, 2))
    model = Attempts(tokenizer, "좋다. 나쁘다. 끝", " 착하다.")
    generate(model, tokenizer, "앞", max_new_tokens=100, control=control, guard=guard_of(lambda text: "나쁘" in text))
    assert asked == [(100, 0), (100, 7)]


def test_a_prompt_of_ids_is_judged_with_its_turns_apart(tokenizer):
    log = []
    ids = [1, *tokenizer.encode("다시"), 2, *tokenizer.encode("발표"), 2]
    guard = guard_of(lambda text: False, log=log.append)
    generate(Attempts(tokenizer, "좋다."), tokenizer, [ids], max_new_tokens=20, guard=guard)
    assert {decision.prompt for decision in log} == {"다시\n발표"}


def test_beams_are_refused_where_the_policy_steers(gpt2, tokenizer):
    """Also for a prompt of another topic, as nobody knows what comes next."""
    topic = Topic("sea", "neutral", lambda text: "", control=Control.of([Bag({5: 1.0})]))
    with pytest.raises(ValueError, match="beams=2 can't be steered, as topics of the guard's policy are"):
        generate(gpt2, tokenizer, "앞", beams=2, guard=guard_of(lambda text: False, topics=(topic,)))
    assert generate(gpt2, tokenizer, "앞", beams=2, guard=guard_of(lambda text: False, topics=(topic,), mode="off"))
