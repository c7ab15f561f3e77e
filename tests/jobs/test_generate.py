"""What is said of answers beside their text."""

import pytest

from gyebo.jobs import generate as job
from gyebo.text.roles import DEFAULT_ROLES
from gyebo.text.training import train_tokenizer
from tests.generation.generation_models import Parrot


@pytest.fixture
def says(monkeypatch):
    """A function: generate with a model that says a text and ends; gives what is shown, the rows and the notes."""
    tokenizer = train_tokenizer(["가나다"], kind="byte").for_family(DEFAULT_ROLES)

    def run(text, prompts, *, show=True, **options):
        model = Parrot(tokenizer.encode(text), tokenizer.vocab_size, end=tokenizer.role_ids["eos"])
        monkeypatch.setattr(job, "open_with", lambda *_: (model, tokenizer, None, None))
        shown, notes = [], []
        options = {"greedy": True, **options}
        rows = job.generate("run", prompts, options, on_text=shown.append if show else None, note=notes.append)
        return "".join(shown), rows, notes

    return run


def test_an_answer_that_ends_at_once_is_told(says):
    told = "the model ended at once: its first token was the end (min_new_tokens=N asks for more)"
    assert says("", ["가"]) == ("가\n", [], [told])
    assert says("나", ["가"]) == ("가나\n", [], [])
    _, _, notes = says("", ["가", "나"])
    assert notes == [f"prompt {number}: {told}" for number in (1, 2)]
    _, rows, notes = says("", ["가"], show=False)
    assert [row["text"] for row in rows] == [""] and notes == []  # the rows say it: reason and ids
    assert says("", ["가"], max_new_tokens=1, stop=("x",))[2] == [told]
