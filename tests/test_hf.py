"""`import gyebo.hf`: runs of families that `transformers` lacks open with its Auto classes."""

import subprocess
import sys

import pytest
import torch
import transformers

import gyebo
import gyebo.hf
from gyebo.interchange import save
from gyebo.interchange.registry import FORMATS
from gyebo.models.family import FAMILIES, model_class
from gyebo.tasks.heads.task_model import add_head
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer


def saved(folder, family, tokenizer_folder):
    own = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES[family]))
    cls = model_class(family)
    config = cls.sizes["tiny"]
    ids = {name: own.role_ids.get(name.removesuffix("_id")) for name in ("pad_id", "bos_id", "eos_id") if name in vars(config)}
    torch.manual_seed(0)
    model = cls(type(config)(**{**vars(config), "vocab_size": own.vocab_size, **ids}))
    save(model, own, folder)
    return folder


def test_every_type_of_gyebo_is_known():
    kinds = {table.model_type for table in FORMATS.values() if table.model_type.startswith("gyebo-")}
    assert len(kinds) > 10
    for kind in kinds:
        config = transformers.AutoConfig.for_model(kind)
        assert config.model_type == kind and type(config) in transformers.AutoModel._model_mapping


@pytest.mark.parametrize("family", ["lstm", "transformer_xl", "dan", "ulmfit"])
def test_a_causal_model_opens_writes_and_learns(family, tokenizer_folder, tmp_path):
    folder = saved(tmp_path / "run", family, tokenizer_folder)
    ours, own = gyebo.load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert not theirs.training and theirs.device == torch.device("cpu") and theirs.num_parameters() == ours.num_parameters()
    inputs = tokenizer(["나무 정말", "바다"], return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    expected = ours(**inputs)
    found = theirs(**inputs, labels=inputs["input_ids"])
    assert torch.allclose(found.logits, expected.logits, atol=1e-6) and found[0] is found.loss
    base = transformers.AutoModel.from_pretrained(folder)
    assert torch.allclose(base(**inputs).last_hidden_state, expected.last_hidden_state, atol=1e-6)
    ids = own("나무 정말", return_tensors="pt")["input_ids"]
    written = theirs.generate(ids, max_new_tokens=5, do_sample=False)[0, ids.shape[1] :]
    by_hand = ids
    for _ in range(5):
        by_hand = torch.cat([by_hand, ours(by_hand).logits[:, -1].argmax(-1, keepdim=True)], 1)
    ends = (by_hand[0, ids.shape[1] :] == ours.config.eos_id).nonzero()[:1]
    assert written.tolist()[: int(ends) + 1 if len(ends) else 5] == by_hand[0, ids.shape[1] :].tolist()[: len(written)]
    theirs.save_pretrained(tmp_path / "again")
    again, _ = gyebo.load(tmp_path / "again")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters()))


@pytest.mark.parametrize("family", ["elmo", "vilbert", "vqvae", "seq2seq", "meena"])
def test_other_families_open_with_auto_model(family, tokenizer_folder, tmp_path):
    cls = model_class(family)
    if cls.reads_text and family != "elmo":
        folder = saved(tmp_path / "run", family, tokenizer_folder)
    else:
        torch.manual_seed(0)
        folder = tmp_path / "run"
        save(cls(cls.sizes["tiny"]), None, folder)
    ours, _ = gyebo.load(folder)
    theirs = transformers.AutoModel.from_pretrained(folder)
    assert type(theirs.model) is type(ours)
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters()))
    if cls.encodes_source:
        ids = torch.tensor([[7, 8, 9]])
        found = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)(ids, labels=ids)
        assert torch.allclose(found.loss, ours(ids, labels=ids).loss)


def test_a_fine_tuned_model_opens_with_the_class_of_its_head(tokenizer_folder, tmp_path):
    folder = saved(tmp_path / "run", "lstm", tokenizer_folder)
    model, own = gyebo.load(folder)
    torch.manual_seed(1)
    save(add_head(model, FAMILIES["lstm"].head_style, "classification", ["나쁨", "좋음"]), own, tmp_path / "tuned")
    ours, _ = gyebo.load(tmp_path / "tuned")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned")
    ids = torch.tensor([[7, 8, 9]])
    assert torch.equal(theirs(ids).logits, ours(ids).logits) and theirs.config.id2label[1] == "좋음"
    body = transformers.AutoModel.from_pretrained(tmp_path / "tuned")
    assert type(body.model) is type(model) and torch.equal(body(ids).last_hidden_state, ours.body(ids).last_hidden_state)
    tuned = "was fine-tuned, and AutoModelForSequenceClassification opens it, not AutoModelFor"
    for auto, place, said in [
        (
            transformers.AutoModelForCausalLM,
            "tuned",
            tuned,
        ),
        (
            transformers.AutoModelForTokenClassification,
            "tuned",
            tuned,
        ),
        (transformers.AutoModelForSequenceClassification, "run", "has no task head"),
    ]:
        with pytest.raises(ValueError, match=said):
            auto.from_pretrained(tmp_path / place)


def test_options(tokenizer_folder, tmp_path):
    folder = saved(tmp_path / "run", "lstm", tokenizer_folder)
    assert transformers.AutoModel.from_pretrained(folder, dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="quantization_config has no effect on a model of gyebo"):
        transformers.AutoModel.from_pretrained(folder, quantization_config={"load_in_8bit": True})
    fresh = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(folder))
    assert fresh.num_parameters() == gyebo.load(folder)[0].num_parameters()


def test_gyebo_alone_does_not_import_transformers():
    code = "import sys, gyebo; gyebo.load; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
