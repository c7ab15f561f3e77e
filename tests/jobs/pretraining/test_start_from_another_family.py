"""BERT that starts from GPT: the same layers, which from now on look both ways."""

import pytest
import torch

from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.interchange import load, save
from gyebo.jobs.model_building import with_layers_of
from gyebo.jobs.pretrain import pretrain
from gyebo.models.bert import Bert
from gyebo.models.family import FAMILIES
from gyebo.tasks.heads.task_model import add_head
from gyebo.text.roles import roles_of


@pytest.fixture
def gpt(run_options, tmp_path):
    """The directory of a GPT run."""
    pretrain(run_options(3, family="gpt"), tmp_path / "gpt")
    return tmp_path / "gpt"


def started(gpt, corpus, steps, family="bert", **optim):
    return RunOptions.model_validate(
        {
            "family": family,
            "start_from": str(gpt),
            "context": 32,
            "data": {"corpus": [str(corpus)], "valid_share": 0.05},
            "optim": optim,
            "budget": {"steps": steps},
            "train": {"batch_tokens": 256, "precision": "float32", "device": "cpu"},
        }
    )


def taken(bert, gpt):
    """Whether all tensors of a GPT but its output layer, which is its embedding, are those of a BERT."""
    ours, theirs = bert.state_dict(), gpt.state_dict()
    assert theirs.keys() - ours.keys() == {"lm_head.weight"}
    return all(torch.equal(ours[name], theirs[name]) for name in theirs.keys() & ours.keys())


def test_all_embeddings_and_layers_are_taken(gpt):
    model, tokenizer = load(gpt)
    torch.manual_seed(0)
    bert = with_layers_of(model, Bert, tokenizer.for_family(roles_of(FAMILIES["bert"])))
    assert taken(bert, model)
    assert (bert.config.activation, bert.config.norm_eps) == ("gelu_tanh", 1e-5)  # GPT's, not BERT's
    assert bert.config.pad_id == tokenizer.role_ids["pad"] and {"mlm", "nsp"} <= set(bert.heads)


def test_a_run_goes_on_from_it(gpt, corpus, tmp_path):
    out = tmp_path / "bert"
    options = started(gpt, corpus, 4, schedule="constant", warmup=0.0)
    pretrain(started(gpt, corpus, 2, schedule="constant", warmup=0.0), out)
    pretrain(options, out, resume=True)
    pretrain(options, tmp_path / "whole")
    after, whole, before = (load(folder)[0] for folder in (out, tmp_path / "whole", gpt))
    assert after.family == "bert" and not taken(after, before)
    assert all(torch.equal(a, b) for a, b in zip(after.state_dict().values(), whole.state_dict().values(), strict=True))
    from transformers import BertForMaskedLM

    theirs, ids = BertForMaskedLM.from_pretrained(out).eval(), torch.randint(20, 200, (1, 9))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, after.eval()(ids).logits, atol=1e-4, rtol=1e-4)


def test_a_rate_of_nothing_leaves_the_layers(gpt, corpus, tmp_path):
    """The run's model is GPT's before its first step."""
    pretrain(started(gpt, corpus, 1, lr=1e-30, weight_decay=0.0), tmp_path / "bert")
    assert taken(load(tmp_path / "bert")[0], load(gpt)[0])


def test_a_fine_tuned_one_is_refused_in_a_line(gpt, corpus, tmp_path):
    model, tokenizer = load(gpt)
    save(add_head(model, "last", "classification", ["no", "yes"]), tokenizer, tmp_path / "tuned")
    with pytest.raises(ValueError, match="was fine-tuned and has no head to pretrain with"):
        pretrain(started(tmp_path / "tuned", corpus, 1), tmp_path / "bert")


def test_without_a_tokenizer_one_is_named(gpt, corpus, tokenizer_folder, tmp_path):
    save(load(gpt)[0], None, tmp_path / "bare")
    with pytest.raises(OptionError, match="bare has no tokenizer: name one with tokenizer"):
        pretrain(started(tmp_path / "bare", corpus, 1), tmp_path / "bert")
    named = started(tmp_path / "bare", corpus, 1).model_copy(update={"tokenizer": str(tokenizer_folder)})
    assert pretrain(named, tmp_path / "bert").steps == 1


def test_other_families_are_refused(gpt, corpus, tmp_path):
    with pytest.raises(OptionError, match=r"start_from=.* holds a gpt model, not gpt2"):
        pretrain(started(gpt, corpus, 1, family="gpt2"), tmp_path / "gpt2")
