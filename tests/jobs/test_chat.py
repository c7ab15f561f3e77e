"""A conversation: what the model reads of it, how an answer comes, what is dropped, stopped and saved."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from gyebo.generation import GenerationOptions, complete, rank
from gyebo.interchange import load, save
from gyebo.jobs import chat as job
from gyebo.jobs.chat import Chat, change, in_one_line, open_chat, reply, reset, watch
from gyebo.models.family import find
from gyebo.models.rnn import Lstm, RnnConfig
from gyebo.tasks.data.dialogues import Dialogues
from gyebo.tasks.dialogue import source_of
from gyebo.tasks.heads.task_model import add_head
from gyebo.tasks.reading import reader_of
from gyebo.tasks.text_task import TextTask
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.generation.generation_models import Parrot

TALK = TextTask(name="talk", kind="dialogue", turns=3)


@pytest.fixture
def chat(models):
    """With a causal model that never learned to talk."""
    return open_chat(str(models("gpt2")), {"max_new_tokens": 6})


@pytest.fixture(scope="module")
def recurrent(tokenizer_folder, tmp_path_factory):
    """A directory with a model that has no keys and values."""
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(find("lstm")))
    roles = {f"{role}_id": tokenizer.role_ids[role] for role in ("pad", "bos", "eos")}
    folder = tmp_path_factory.mktemp("lstm")
    save(Lstm(RnnConfig(tokenizer.vocab_size, context=64, width=32, layers=1, init_std=0.3, **roles)), tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module", params=["gpt2", "lstm", "bart"])
def talker(request, models, recurrent, tmp_path_factory):
    """A directory with a dialogue model."""
    model, tokenizer = load(recurrent if request.param == "lstm" else models(request.param))
    model.tasks = (TextTask(name="other", kind="summary"), TALK)
    folder = tmp_path_factory.mktemp("talker")
    save(model, tokenizer, folder)
    return str(folder)


def line_of(text):
    return "".join(in_one_line(iter([text])))


def said(chat, line):
    return "".join(reply(chat, line))


def test_a_causal_model_reads_a_script(chat):
    ids = chat.read(["안녕", "그래", "뭐 해?"]).ids
    assert ids[0] == chat.model.config.bos_id
    assert chat.tokenizer.decode(ids) == "A: 안녕\nB: 그래\nA: 뭐 해?\nB:"
    assert chat.tokenizer.decode(chat.read(["안녕"]).ids) == "A: 안녕\nB:"


def test_its_answer_ends_with_the_line(chat):
    [expected] = complete(chat.model, chat.tokenizer, [chat.read(["나무"]).ids], chat.options)
    parts = list(reply(chat, "  나무 "))
    assert "".join(parts) == line_of(expected.text) and len(parts) > 1
    assert chat.turns == ["나무", "".join(parts)] and chat.notes == []
    assert chat.options.stop == ("\n",)
    ids = chat.tokenizer.encode("하늘\n바다")
    parrot = Chat("parrot", Parrot(ids, chat.tokenizer.vocab_size), chat.tokenizer, chat.read, chat.options)
    change(parrot, max_new_tokens=60)
    assert said(parrot, "나무") == "하늘"


def test_a_dialogue_model_reads_its_turns_as_in_training(talker):
    chat = open_chat(talker, {"max_new_tokens": 6, "seed": 3})
    turns: list[str] = []
    for number, line in enumerate(["나무 정말", "바다", "하늘"]):
        turns.append(line)
        expected = source_of(turns, chat.tokenizer, TALK, reader_of(chat.model, chat.model.config), chat.model.config.context)
        assert chat.read(turns) == expected and expected.dropped == max(0, len(turns) - 3)
        options = GenerationOptions(max_new_tokens=6, min_new_tokens=1, seed=3 + number)
        [answer] = complete(chat.model, chat.tokenizer, [expected.ids], options)
        turns.append(said(chat, line))
        assert turns[-1] == line_of(answer.text)
    assert chat.turns == turns


def test_a_line_that_is_said_again_may_be_answered_otherwise(models):
    def conversation(seed):
        chat = open_chat(str(models("gpt2")), {"max_new_tokens": 12, "seed": seed})
        answers = []
        for _ in range(3):
            answers.append(said(chat, "나무"))
            reset(chat)
        return answers

    first = conversation(1)
    assert first == conversation(1) and len(set(first)) > 1
    greedy = open_chat(str(models("gpt2")), {"max_new_tokens": 12, "greedy": True})
    once = said(greedy, "나무")
    reset(greedy)
    assert said(greedy, "나무") == once


def test_the_best_candidate_is_the_answer(talker, monkeypatch):
    chat = open_chat(talker, {"max_new_tokens": 6, "rank": 5, "no_repeat_turn": 3})
    chat.turns = ["나무", "바다"]
    seen = []

    def watched(model, tokenizer, prompts, options, *, turns, control):
        seen.extend(turns)
        return rank(model, tokenizer, prompts, options, turns=turns, control=control)

    monkeypatch.setattr(job, "rank", watched)
    ids = chat.read([*chat.turns, "하늘"]).ids
    [ranking] = rank(chat.model, chat.tokenizer, [ids], chat.options, turns=[["나무", "바다", "하늘"]])
    assert list(reply(chat, "하늘")) == [line_of(ranking.best.answer.text)]
    assert seen == [["나무", "바다", "하늘"]]


@pytest.mark.parametrize("candidates", [0, 2])
def test_a_guard_stands_between_model_and_reader(chat, tmp_path, candidates):
    """Streamed and ranked answers; a model that always says the same can only be answered for neutrally."""
    (tmp_path / "words.txt").write_text("나무\n", encoding="utf-8")
    check = {"kind": "words", "name": "mine", "file": "words.txt", "thresholds": {"0.05": 0.5}}
    file = tmp_path / "guard.toml"
    file.write_text(tomli_w.dumps({"log": "log.jsonl", "neutral": "그럼요.", "checks": [check]}), encoding="utf-8")
    ids = chat.tokenizer.encode("나무 하늘\n")
    talk = replace(chat, model=Parrot(ids, chat.tokenizer.vocab_size), options=replace(chat.options, max_new_tokens=60))
    change(talk, rank=candidates, no_repeat_turn=3 if candidates else 0)
    watch(talk, file)
    assert said(talk, "바다") == "그럼요." and talk.turns == ["바다", "그럼요."]
    logged = [json.loads(line)["decision"] for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert logged[-1] == "neutral" and len(logged) > 1, "it was asked again"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        watch(talk, tmp_path / "nowhere.toml")
    assert talk.guard is not None, "a wrong file changes nothing"
    watch(talk, None)
    assert said(talk, "바다") == "나무 하늘"


def test_all_candidates_repeat_a_turn(chat):
    change(chat, rank=2, top_k=1, no_repeat_turn=1)
    first = said(chat, "나무")
    reset(chat)
    chat.turns = [first, "바다"]
    said(chat, "나무")
    assert chat.notes == ["all candidates repeat an earlier turn; the most probable one was kept"] * len(chat.notes)


# -- what does not fit ---------------------------------------------------------------------------------------------------


def test_the_oldest_turns_are_dropped_and_that_is_said_once(chat):
    notes = []
    for _ in range(8):
        said(chat, "나무 정말 바다")
        notes.append(list(chat.notes))
        chat.notes.clear()
    spoken = [note for each in notes for note in each]
    first = next(number for number, each in enumerate(notes) if each)
    assert len(spoken) == 1 and f" of {2 * first + 1} turns: from here on the oldest are dropped" in spoken[0]
    assert 0 < first < 7, "it fits at first"
    assert len(chat.turns) == 16, "what is not read is not forgotten"
    found = chat.read([*chat.turns, "나무"])
    assert found.dropped > 0 and len(found.ids) <= chat.model.config.context * 3 // 4
    text = chat.tokenizer.decode(found.ids)
    kept = [*chat.turns, "나무"][found.dropped :]
    assert [line.partition(": ")[2] for line in text.splitlines()[:-1]] == kept
    assert [line[0] for line in text.splitlines()][::-1] == (["B", "A"] * 9)[: len(kept) + 1]
    reset(chat)
    assert chat.turns == []
    chat.turns = ["나무 정말 바다"] * 16
    said(chat, "나무")
    assert len(chat.notes) == 1, "a new conversation, a new note"


def test_the_start_of_a_line_that_is_too_long_is_cut(chat):
    line = "나무 정말 바다 " * 40
    found = chat.read([line.strip()])
    text = chat.tokenizer.decode(found.ids)
    assert found.cut > 0 and len(found.ids) == chat.model.config.context * 3 // 4
    assert text.startswith("A: ") and text.endswith("바다 나무 정말 바다\nB:")
    assert len(chat.tokenizer.encode(line.strip())) - found.cut == len(found.ids) - len(chat.read(["나"]).ids) + len(
        chat.tokenizer.encode("나")
    )
    for _ in range(2):
        chat.notes.clear()
        said(chat, line)
        assert any(f"does not read its first {found.cut:,} tokens" in note for note in chat.notes)


# -- stopping, and no answer ---------------------------------------------------------------------------------------------


def test_what_was_shown_before_a_stop_is_a_turn(chat):
    parts = reply(chat, "나무")
    first = next(parts)
    parts.close()
    assert chat.turns == ["나무", first] and chat.notes == []


def test_a_line_without_an_answer_is_taken_back(chat):
    silent = Chat(
        "parrot", Parrot(chat.tokenizer.encode("\n"), chat.tokenizer.vocab_size), chat.tokenizer, chat.read, chat.options
    )
    assert said(silent, "나무") == ""
    assert silent.turns == [] and silent.notes == ["the model gave no answer, so the line was taken back"]


def test_an_empty_line_is_refused(chat, talker):
    for each in (chat, open_chat(talker, {})):
        with pytest.raises(ValueError, match="the line is empty: write what was said"):
            said(each, " \n ")
        assert each.turns == []


def test_an_answer_is_never_empty_where_the_model_can_end(talker):
    chat = open_chat(talker, {"max_new_tokens": 3})
    assert chat.options.min_new_tokens == 1


@given(st.lists(st.text(" \na나\t\x1b", max_size=4), max_size=8))
def test_an_answer_is_one_line(parts):
    shown = list(in_one_line(iter(parts)))
    assert "".join(shown) == " ".join("".join(parts).replace("\x1b", " ").split()) and all(shown)


def test_answers_are_steered(chat, tmp_path):
    change(chat, greedy=True)
    plain = said(chat, "나무")
    bag = tmp_path / "bag.txt"
    bag.write_text("바다\n", encoding="utf-8")
    job.steer(chat, [f"{bag}=30"], [])
    assert [attribute.strength for attribute in chat.control.attributes] == [(30.0,)]
    reset(chat)
    assert said(chat, "나무") != plain
    before = chat.control
    with pytest.raises(FileNotFoundError):
        job.steer(chat, [str(tmp_path / "none.txt")], [])
    assert chat.control is before
    job.steer(chat, [], [])
    assert chat.control is None
    reset(chat)
    assert said(chat, "나무") == plain


def test_what_cannot_be_steered_is_refused_at_once(recurrent, tmp_path):
    chat = open_chat(recurrent, {})
    bag = tmp_path / "bag.txt"
    bag.write_text("바다\n", encoding="utf-8")
    with pytest.raises(ValueError, match="can't be steered"):
        job.steer(chat, [str(bag)], [])
    assert chat.control is None


# -- saving and opening --------------------------------------------------------------------------------------------------


def test_saving(chat, tmp_path):
    path = tmp_path / "turns.jsonl"
    with pytest.raises(ValueError, match="nothing was said yet"):
        job.save(chat, path)
    for line in ("나무", "바다"):
        said(chat, line)
        job.save(chat, path)
    [row] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [turn["text"] for turn in row["turns"]] == chat.turns
    assert [turn["speaker"] for turn in row["turns"]] == ["person", "model"] * 2
    learned = list(Dialogues(response="model")(row, "line 1", labelled=True))
    assert [example.label for example in learned] == chat.turns[1::2]
    other = tmp_path / "other.jsonl"
    other.write_text("mine")
    with pytest.raises(ValueError, match="exists already: choose another name"):
        job.save(chat, other)
    assert other.read_text() == "mine"


def test_options_are_changed_or_stay(chat):
    change(chat, temperature=0.5)
    assert chat.options.temperature == 0.5
    with pytest.raises(ValueError, match="temperature must be above 0"):
        change(chat, temperature=0.0)
    assert chat.options.temperature == 0.5


def test_models_that_cannot_talk(models, tmp_path):
    with pytest.raises(ValueError, match="a BERT, which cannot write"):
        open_chat(str(models("bert")), {})
    body, tokenizer = load(models("bert"))
    save(add_head(body, "pooled", "classification", ["a", "b"]), tokenizer, tmp_path / "classes")
    with pytest.raises(ValueError, match="a BERT with a task head, which cannot write"):
        open_chat(str(tmp_path / "classes"), {})
    with pytest.raises(ValueError, match="never learned to talk: fine-tune it on dialogues"):
        open_chat(str(models("bart")), {})
    body, tokenizer = load(models("gpt2"))
    body.tasks = (TextTask(name="news", kind="summary"),)
    save(body, tokenizer, tmp_path / "news")
    with pytest.raises(ValueError, match="learned news, not to talk"):
        open_chat(str(tmp_path / "news"), {})
    with pytest.raises(ValueError, match="rank=4 has no effect with greedy"):
        open_chat(str(models("gpt2")), {"rank": 4, "greedy": True})
