"""A capability that a model does not declare: each command that needs it says so in a line."""

import pytest

from gyebo.interchange import load, save
from gyebo.jobs.embed import embed
from gyebo.jobs.fill import fill
from gyebo.jobs.finetuning.build import set_up as set_up_task
from gyebo.jobs.generate import generate
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.translate import translate
from gyebo.models.family import FAMILIES, find, model_class
from gyebo.models.seq2seq import Seq2seq, Seq2seqConfig
from gyebo.tasks.heads.task_model import add_head
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.jobs.tuning_files import tuning
from tests.refusals import option_error


@pytest.fixture(scope="module")
def fine_tuned(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned")
    body, tokenizer = load(models("bert"))
    save(add_head(body, "pooled", "classification", ["a", "b"]), tokenizer, out)
    return str(out)


@pytest.fixture(scope="module")
def without_attention(tokenizer_folder, tmp_path_factory):
    """A translator that never looks back at its source."""
    out = tmp_path_factory.mktemp("translator")
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(find("seq2seq")))
    ids = {f"{role}_id": tokenizer.role_ids[role] for role in ("pad", "bos", "eos")}
    save(Seq2seq(Seq2seqConfig(tokenizer.vocab_size, 32, 16, attention="none", **ids)), tokenizer, out)
    return str(out)


def test_writing(models, fine_tuned, without_attention):
    for name, kind in ((str(models("bert")), "a BERT"), (fine_tuned, "a BERT with a task head")):
        with pytest.raises(ValueError, match=f"{kind} cannot generate text"):
            generate(name, ["나무"], {"max_new_tokens": 2})


def test_filling(models, fine_tuned):
    for name in (str(models("gpt2")), fine_tuned):
        with pytest.raises(ValueError, match="no masked-LM head"):
            fill(name, ["[MASK]"])


def test_translating_and_looking_back(models, without_attention, tmp_path):
    with pytest.raises(ValueError, match="family BERT, which writes no translation: train one with gyebo finetune transformer"):
        translate(str(models("bert")), ["나무"])
    with pytest.raises(ValueError, match="without a task head"):
        translate(str(models("gpt2")), ["나무"])
    with option_error("attention"):
        translate(without_attention, ["나무"], picture=tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_reading_both_ways(models, tmp_path):
    (tmp_path / "texts.txt").write_text("나무\n", encoding="utf-8")
    with option_error("pooling"):
        embed(str(models("gpt2")), str(tmp_path / "texts.txt"), tmp_path / "x.npy", pooling="cls")


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.objective == "causal"])
def test_options_of_a_run(run_options, tmp_path, family):
    """Each is taken where the class declares what it needs, and refused elsewhere."""
    cls = model_class(family)
    shape = {"layers": 1, "width": 16, **({"heads": 2} if family in ("gpt", "gpt2") else {})}
    for declared, changes, said in (
        (cls.carries_state, {"data": {"order": "lanes"}}, "carries no state"),
        (cls.gives_raw, {"objective": {"tar": 1.0}}, "is for recurrent families"),
        (cls.compiles, {"train": {"compile": True}}, "train.compile"),
    ):
        options = run_options(2, family=family, **({"context": 16} | changes))
        options = options.model_copy(update={"model": shape})
        if declared:
            set_up(options, tmp_path, None)
        else:
            with pytest.raises(ValueError, match=said):
                set_up(options, tmp_path, None)


def test_reading_in_windows(models, data):
    with option_error("gradient_windows"):
        set_up_task(tuning(models("gpt2"), data, gradient_windows=2))
