"""A sheet of models' responses: both architectures, decoded as elsewhere; what is not read is said, what is wrong refused."""

import json

import pytest

from gyebo.config.finetune import FinetuneOptions
from gyebo.generation import rank
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.jobs import ssa
from gyebo.jobs.finetuned_model import open_model
from gyebo.jobs.finetuning.run import finetune
from gyebo.ssa.sheet import read_sheets
from gyebo.tasks.text_answers import forbidden_ids
from tests.conftest import sentences
from tests.jobs.tuning_files import json_lines
from tests.refusals import option_error

DIALOGUES = [{"turns": text.rstrip(".").split(". ")} for text in sentences(60, seed=4) if ". " in text]
CONTEXTS = [{"context": each["turns"][:3], "conversation": f"c{n}"} for n, each in enumerate(DIALOGUES[:5])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A decoder and an encoder-decoder that learned two steps of dialogue."""
    folder = tmp_path_factory.mktemp("talk")
    file = json_lines(folder / "turns.jsonl", DIALOGUES)
    for family in ("gpt2", "t5"):
        options = {"model": f"{family}:tiny", "task": {"name": "dialogue", "data": str(file)}, "steps": 2, "device": "cpu"}
        options |= {"precision": "float32", "evaluations": 0.1}
        options |= {"translation": {"beams": 1, "vocab_size": 330, "batch_tokens": 600, "average": 1}}
        finetune(FinetuneOptions.model_validate(options), folder / family)
    return [str(folder / "gpt2"), str(folder / "t5")]


@pytest.fixture
def contexts(tmp_path):
    return json_lines(tmp_path / "contexts.jsonl", CONTEXTS)


def greedy_alone(name, turns):
    """A response by the decoding of translations, one source at a time."""
    opened = open_model(name)
    options = GenerationOptions(greedy=True, max_new_tokens=8)
    forbidden = forbidden_ids(opened.tokenizer, opened.model.config.eos_id)
    ((found,),) = translate(
        opened.model.eval(), [opened.source_of(turns).ids], options, forbidden=forbidden, max_length=lambda length: 8
    )
    return opened.tokenizer.target.decode([id for id in found.ids if id != opened.model.config.eos_id])


def test_every_model_responds_to_every_context(models, contexts, tmp_path):
    out = tmp_path / "sheet.csv"
    assert ssa.make(contexts, models, out, {"greedy": True, "max_new_tokens": 8}, device="cpu") == 10
    sheet = read_sheets([out])
    assert sheet.kind == "static" and sheet.bots == tuple(models)
    for bot in models:
        own = [item for item in sheet.items if item.bot == bot]
        assert [(item.conversation, list(item.context)) for item in own] == [
            (c["conversation"], c["context"]) for c in CONTEXTS
        ]
        assert [item.response for item in own] == [greedy_alone(bot, item.context) for item in own]


def test_batches_are_seams_that_nobody_sees(models, contexts, tmp_path, monkeypatch):
    ssa.make(contexts, models[:1], tmp_path / "whole.jsonl", {"greedy": True, "max_new_tokens": 8}, device="cpu")
    monkeypatch.setattr(ssa, "BATCH", 2)
    ssa.make(contexts, models[:1], tmp_path / "parts.jsonl", {"greedy": True, "max_new_tokens": 8}, device="cpu")
    assert (tmp_path / "whole.jsonl").read_text() == (tmp_path / "parts.jsonl").read_text()


def test_sample_and_rank_drops_what_repeats_a_turn(models, tmp_path):
    """With a seed whose most probable candidate shares a token with a turn, and another one does not."""
    file, turns = json_lines(tmp_path / "one.jsonl", CONTEXTS[:1]), CONTEXTS[0]["context"]
    opened = open_model(models[0])
    for seed in range(30):
        options = {"rank": 4, "temperature": 0.9, "max_new_tokens": 3, "no_repeat_turn": 1, "seed": seed}
        (ranking,) = rank(
            opened.model.eval(), opened.tokenizer, [opened.source_of(turns).ids], GenerationOptions(**options), turns=[turns]
        )
        if ranking.best is not ranking.candidates[0]:
            break
    else:
        raise AssertionError("no such seed")
    ssa.make(file, models[:1], tmp_path / "sheet.jsonl", options, device="cpu")
    assert read_sheets([tmp_path / "sheet.jsonl"]).items[0].response == ranking.best.answer.text


def test_what_is_not_read_of_a_context_is_said(models, tmp_path):
    file = json_lines(tmp_path / "long.jsonl", [{"context": ["나무"] * 9}, *CONTEXTS])
    notes = []
    ssa.make(file, models[:1], tmp_path / "s.jsonl", {"greedy": True, "max_new_tokens": 2}, device="cpu", note=notes.append)
    assert len(notes) == 1 and "1 of 6 contexts" in notes[0]
    assert len(read_sheets([tmp_path / "s.jsonl"]).items[0].context) == 9  # raters read all of it


def test_what_is_refused(models, contexts, tmp_path):
    out = tmp_path / "s.jsonl"
    with pytest.raises(ValueError, match="a model is named twice"):
        ssa.make(contexts, [models[0]] * 2, out, {}, device="cpu")
    with pytest.raises(ValueError, match="samples=2: a sheet has one response"):
        ssa.make(contexts, models, out, {"samples": 2}, device="cpu")
    with pytest.raises(ValueError, match="no contexts in it"):
        ssa.make(json_lines(tmp_path / "e.jsonl", []), models, out, {}, device="cpu")
    with option_error("out"):
        ssa.make(contexts, models, contexts, {}, device="cpu")
    assert not out.exists()


def test_the_command(models, contexts, tmp_path):
    from tests.extending.commands import gyebo

    gyebo("ssa", "make", contexts, *models, "-o", tmp_path / "s.jsonl", "--greedy", "--max-new-tokens", "4", "--device", "cpu")
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 10 and {row["turn"] for row in rows} == {None} and len({row["id"] for row in rows}) == 10
