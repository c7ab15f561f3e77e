"""`forward(labels=)` gives the loss that `transformers` gives; of families that it lacks, the mean as written out by hand."""

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

import gyebo
from gyebo.models.family import model_class
from gyebo.tasks.heads.task_model import add_head

SMALL = {"vocab_size": 53, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
BART = {"vocab_size": 53, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
BART |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 40}
T5 = {"vocab_size": 53, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
THEIRS = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=53, n_embd=32, n_layer=2, n_head=2, n_positions=40)
    ),
    "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**SMALL, max_position_embeddings=40)),
    "t5": lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**T5)),
    "bart": lambda: transformers.BartForConditionalGeneration(transformers.BartConfig(**BART)),
    "xlnet": lambda: transformers.XLNetLMHeadModel(
        transformers.XLNetConfig(vocab_size=53, d_model=32, n_layer=2, n_head=2, d_inner=48)
    ),
}
HEADS = {
    "AutoModelForSequenceClassification": {"labels": torch.tensor([2, 0, 1])},
    "AutoModelForTokenClassification": {"labels": torch.tensor([[0, 1, -100, 2], [1, 1, 0, -100], [2, 2, 2, 2]])},
    "AutoModelForQuestionAnswering": {"start_positions": torch.tensor([0, 1, 2]), "end_positions": torch.tensor([1, 3, 2])},
}


@pytest.fixture
def ids():
    return torch.randint(5, 53, (3, 9), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("family", THEIRS)
def test_the_loss_of_transformers(family, ids, tmp_path):
    torch.manual_seed(1)
    theirs = THEIRS[family]().eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    labels = ids.clone()
    labels[0, 2:5] = labels[2, -2:] = -100
    mask = torch.ones_like(ids)
    if family not in ("gpt2", "xlnet"):
        mask[1, 7:] = 0
        labels[1, 7:] = -100
    expected = theirs(input_ids=ids, attention_mask=mask, labels=labels)
    found = ours(ids, attention_mask=mask, labels=labels)
    assert found.loss.item() == pytest.approx(expected.loss.item(), abs=2e-5)
    found.loss.backward()  # a user's own loop
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in ours.parameters())
    assert ours(ids, attention_mask=mask).loss is None


def test_the_loss_of_both_heads_of_bert(ids, tmp_path):
    torch.manual_seed(2)
    theirs = transformers.BertForPreTraining(transformers.BertConfig(**SMALL, max_position_embeddings=40)).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    labels, pairs = ids.clone(), torch.tensor([0, 1, 1])
    labels[:, 3:] = -100
    expected = theirs(input_ids=ids, labels=labels, next_sentence_label=pairs).loss.item()
    assert ours(ids, labels=labels, next_sentence_label=pairs).loss.item() == pytest.approx(expected, abs=2e-5)
    alone = cross_entropy(ours(ids).seq_relationship_logits, pairs).item()
    assert ours(ids, next_sentence_label=pairs).loss.item() == pytest.approx(alone, abs=1e-6)
    with pytest.raises(ValueError, match="^next_sentence_label= has no effect on this model"):
        tiny("roberta")(ids, next_sentence_label=pairs)


def test_the_loss_of_a_discriminator(ids, tmp_path):
    torch.manual_seed(2)
    config = transformers.ElectraConfig(**SMALL, embedding_size=16, max_position_embeddings=40)
    theirs = transformers.ElectraForPreTraining(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    mask, labels = torch.ones_like(ids), ids % 2
    mask[1, 6:] = 0
    expected = theirs(input_ids=ids, attention_mask=mask, labels=labels).loss.item()
    assert ours(ids, mask, labels=labels).loss.item() == pytest.approx(expected, abs=2e-5)
    with pytest.raises(ValueError, match=r"^labels must be \[3, 9\], as the logits"):
        ours(ids, labels=labels[:, :5])


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("labels", [3, 1])
def test_the_loss_of_a_task_head(name, labels, ids, tmp_path):
    torch.manual_seed(2)
    config = transformers.BertConfig(**SMALL, max_position_embeddings=40, num_labels=2 if "Question" in name else labels)
    given = HEADS[name]
    if labels == 1:
        if name != "AutoModelForSequenceClassification":
            pytest.skip("one output is a score of a whole text")
        given = {"labels": torch.tensor([0.5, -1.0, 2.0])}
    theirs = getattr(transformers, name).from_config(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    ids = ids[:, :4]
    expected = theirs(input_ids=ids, **given).loss.item()
    assert ours(ids, **given).loss.item() == pytest.approx(expected, abs=2e-5)
    with pytest.raises(ValueError, match=r"^\w+= does not belong to kind \w+, which takes "):
        ours(ids, **({"labels": ids[:, 0]} if "Question" in name else {"start_positions": ids[:, 0]}))


def test_the_loss_of_several_labels(ids, tmp_path):
    torch.manual_seed(2)
    config = transformers.BertConfig(
        **SMALL, max_position_embeddings=40, num_labels=3, problem_type="multi_label_classification"
    )
    theirs = transformers.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])
    expected = theirs(input_ids=ids[:, :4], labels=labels).loss.item()
    assert ours(ids[:, :4], labels=labels).loss.item() == pytest.approx(expected, abs=2e-5)


def test_the_loss_of_multiple_choice(ids, tmp_path):
    torch.manual_seed(2)
    theirs = transformers.BertForMultipleChoice(transformers.BertConfig(**SMALL, max_position_embeddings=40)).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    given = {"input_ids": ids[None].repeat(2, 1, 1), "labels": torch.tensor([1, 2])}
    assert ours(**given).loss.item() == pytest.approx(theirs(**given).loss.item(), abs=2e-5)


def test_the_loss_of_contrast(tmp_path):
    torch.manual_seed(2)
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    text = {**small, "vocab_size": 53, "max_position_embeddings": 12, "eos_token_id": 52, "bos_token_id": 1, "pad_token_id": 0}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**small, "image_size": 16, "patch_size": 8}, projection_dim=8
    )
    theirs = transformers.CLIPModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    ids = torch.tensor([[1, 7, 9, 52], [1, 20, 31, 52]])
    pixels = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(values) for values in (config_mean(), config_std()))
    values = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    expected = theirs(input_ids=ids, pixel_values=values, return_loss=True).loss.item()
    assert ours(ids, pixels, return_loss=True).loss.item() == pytest.approx(expected, abs=1e-4)


def config_mean():
    return transformers.image_utils.OPENAI_CLIP_MEAN


def config_std():
    return transformers.image_utils.OPENAI_CLIP_STD


@pytest.mark.parametrize("family", ["lstm", "dan", "transformer_xl", "gpt"])
def test_a_causal_model_predicts_the_next_id(family, ids):
    model = tiny(family)
    found = model(ids, labels=ids)
    by_hand = cross_entropy(found.logits[:, :-1].reshape(-1, 53), ids[:, 1:].reshape(-1))
    assert found.loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_both_directions_of_elmo(ids):
    model = tiny("elmo")
    model.spell(torch.randint(1, 40, (53, model.config.characters)))
    found = model(ids, labels=ids)
    forward = cross_entropy(found.logits[:, :-1].reshape(-1, 53), ids[:, 1:].reshape(-1))
    backward = cross_entropy(found.backward_logits[:, 1:].reshape(-1, 53), ids[:, :-1].reshape(-1))
    assert found.loss.item() == pytest.approx((forward + backward).item() / 2, abs=1e-6)


def tiny(family):
    torch.manual_seed(0)
    cls = model_class(family)
    return cls(cls.sizes["tiny"].__class__(**{**vars(cls.sizes["tiny"]), "vocab_size": 53})).eval()


def test_what_predicts_no_labels_says_so(ids):
    bert = tiny("bert")
    body = type(bert)(bert.config.__class__(**{**vars(bert.config), "mlm": False}))
    with pytest.raises(ValueError, match="^labels= has no effect on this model, which predicts none: it has no head for them$"):
        body(ids, labels=ids)
    with pytest.raises(ValueError, match=r"^labels must be \[3, 9\], as the logits, but are \[3, 5\] instead$"):
        bert(ids, labels=ids[:, :5])


def test_what_users_of_transformers_ask_of_a_model(tmp_path):
    theirs = THEIRS["gpt2"]()
    theirs.save_pretrained(tmp_path / "theirs")
    ours, _ = gyebo.load(tmp_path / "theirs")
    tuned = add_head(tiny("bert"), style_of("bert"), "classification", 3)
    for model in (ours, tuned):
        assert model.device == torch.device("cpu") and model.dtype == torch.float32
        assert model.to(torch.bfloat16) is model and model.dtype == torch.bfloat16
    ours.float()
    assert ours.num_parameters() == theirs.num_parameters() == ours.num_parameters(only_trainable=True)
    assert ours.num_parameters(exclude_embeddings=True) == theirs.num_parameters(exclude_embeddings=True)
    tuned.float().save_pretrained(tmp_path / "tuned")
    assert transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").num_parameters() == (
        tuned.num_parameters()
    )


def style_of(family):
    from gyebo.models.family import find

    return find(family).head_style
