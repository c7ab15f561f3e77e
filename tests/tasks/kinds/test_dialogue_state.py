"""Dialogue states as text: what is written gives the state back, the newest turns are read, a dialogue stays in one split."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.models.family import FAMILIES
from gyebo.tasks import text_answers
from gyebo.tasks.data.klue import dialogue_states
from gyebo.tasks.kinds.table import KINDS
from gyebo.tasks.reading import Reader
from gyebo.tasks.registry import find
from gyebo.tasks.splits import split
from gyebo.tasks.task import INVALID, Example
from gyebo.tasks.wording import text_task
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.extending.commands import gyebo
from tests.tasks.task_files import DATA

TASK = find("klue-dst")


def form(*, prefixes=False):
    return KINDS["dialogue-state"].text.of(text_task(TASK, prefixes=prefixes))


def turns(*states, guid="wos_0"):
    """A dialogue with a state after each turn of the user."""
    dialogue = []
    for number, state in enumerate(states):
        dialogue += [{"role": "user", "text": f"나무 {number}", "state": state}, {"role": "sys", "text": f"바다 {number}"}]
    return {"guid": guid, "dialogue": dialogue}


NAME = st.text(st.sampled_from("숙소지역 a1:=,"), min_size=1, max_size=6).map(str.strip).filter(bool)
SLOT = st.tuples(NAME, NAME, st.one_of(NAME, NAME.map(lambda name: f"{name}-{name}"))).map("-".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(SLOT, max_size=6, unique=True), min_size=1, max_size=3))
def test_what_is_learned_gives_the_state_back_in_one_order(states):
    for example, state in zip(dialogue_states(turns(*states), "row 1", True), states, strict=True):
        found = form().answer(form().target(example), example)
        assert found == tuple(sorted(state)) and set(found) == set(example.state)


def test_every_slot_and_value_of_the_ontology_comes_back():
    file = DATA / "klue" / "wos_ontology.json"
    if not file.is_file():
        pytest.skip("no ontology of KLUE here")
    known = json.loads(file.read_text(encoding="utf-8"))
    state = [f"{slot}-{value}" for slot, values in known.items() for value in values]
    (example,) = dialogue_states(turns(state), "row 1", True)
    assert set(form().answer(form().target(example), example)) == set(state)


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ("none", ()),
        (" none\n", ()),
        ("숙소-종류-호텔", ("숙소-종류-호텔",)),
        ("숙소 - 종류-호텔$$식당-이름-a-b $$ 숙소-종류-호텔", ("숙소-종류-호텔", "식당-이름-a-b")),
        ("호텔", ("호텔",)),
        ("", (INVALID,)),
        ("숙소-종류-호텔 $$", ("숙소-종류-호텔", INVALID)),
    ],
)
def test_what_was_written_is_read_leniently_and_kept_where_it_is_wrong(written, state):
    assert form().answer(written, Example("1")) == state


def test_a_state_without_slots_is_known_and_one_that_is_missing_is_not():
    empty, missing = (
        next(dialogue_states({"dialogue": [{"role": "user", "text": "a"} | state]}, "row 7", False))
        for state in ({"state": []}, {})
    )
    kind = KINDS["dialogue-state"]
    assert form().target(empty) == "none" and form().target(missing) is None
    assert kind.answered(empty) and not kind.answered(missing)


@pytest.mark.parametrize("prefixes", [False, True])
def test_of_a_long_dialogue_the_newest_turns_are_read(prefixes, tokenizer_folder):
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["transformer"]))
    *_, example = dialogue_states(turns(*[["a-b-c"]] * 9), "row 1", True)
    lines = example.text.split("\n")
    features = text_answers.encode(
        form(prefixes=prefixes), [example], tokenizer, max_length=90, reader=Reader(context=512, start=1), skip_long=True
    )
    read = tokenizer.decode(features.columns["input_ids"][0].tolist())
    before = "klue-dst dialogue: " if prefixes else ""
    assert read.startswith(before) and features.too_long == 1
    kept = read.removeprefix(before).split("\n")
    assert 1 < len(kept) < len(lines) and kept == lines[-len(kept) :]


def test_the_turns_of_a_dialogue_share_a_split():
    examples = [
        example for number in range(60) for example in dialogue_states(turns([], ["a-b-c"], guid=f"wos_{number}"), "row", True)
    ]
    parts = split(examples, {"train": 0.5, "valid": 0.5})
    train, valid = ({example.group for example in part} for part in parts.values())
    assert train and valid and not train & valid and len(train | valid) == 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Dialogues in the format of KLUE."""
    made = tmp_path_factory.mktemp("wos")
    for name, count in (("train", 40), ("dev", 8)):
        dialogues = [turns([], [f"숙소-종류-호텔 {n % 3}"], guid=f"{name}_{n}") for n in range(count)]
        Path(made / f"wos-v1.1_{name}.json").write_text(json.dumps(dialogues, ensure_ascii=False), encoding="utf-8")
    return made


def test_a_family_that_writes_learns_it(folder, tmp_path):
    words = ["finetune", "transformer:tiny", "klue-dst", "--data", folder, "--steps", 3, "--max-length", 12]
    words += ["--set", "translation.vocab_size=400", "--set", "translation.beams=1", "--set", "evaluations=0.5"]
    printed = gyebo(*words, "--precision", "float32", "--device", "cpu", "-o", tmp_path / "run")
    assert "training examples are longer than 12 tokens and were truncated" in printed
    found = json.loads(gyebo("evaluate", tmp_path / "run", "--json"))
    assert {"joint_goal_accuracy", "slot_f1"} <= set(found) and "truncated" in found["note"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 16 and {row["label"] for row in rows} == {"none", *(f"숙소-종류-호텔 {n}" for n in range(3))}
    assert all(isinstance(row["prediction"], list) for row in rows)


def test_a_family_without_text_is_refused_by_name(folder, tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match="klue-dst.*transformer:mini"):
        gyebo("finetune", "bert:tiny", "klue-dst", "--data", folder, "--tokenizer", tokenizer_folder, "-o", tmp_path / "run")
