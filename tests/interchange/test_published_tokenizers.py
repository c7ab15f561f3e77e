"""A published model reads a text as its class of `transformers` does, whatever its tokenizer's files leave out."""

import json

import pytest
import torch

import gyebo
from gyebo.jobs.fill import fill
from gyebo.jobs.predict import predict
from gyebo.tasks.embedding import embed

transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "good", "bad", "##d"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
PAIRS = [("a good", "b bad"), ("b", "a good good")]


@pytest.fixture
def bert(tmp_path):
    """A BERT classifier whose tokenizer is a vocab.txt, with and without what transformers 5 would add."""
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(WORDS), initializer_range=0.5, **SMALL)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


def theirs(folder):
    tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"))
    model = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        inputs = tokenizer([a for a, _ in PAIRS], [b for _, b in PAIRS], padding=True, return_tensors="pt")
        return model(**inputs).logits.softmax(-1)


@pytest.mark.parametrize("form", ["vocab.txt", "tokenizer.json"])
def test_pairs_have_frames_and_segments(bert, tmp_path, form):
    expected = theirs(bert)
    if form == "tokenizer.json":  # as transformers 4 left it: the model's inputs are not named
        transformers.BertTokenizer(vocab=str(bert / "vocab.txt")).save_pretrained(bert)
        (bert / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
        (bert / "vocab.txt").unlink()
    (tmp_path / "pairs.csv").write_text("text,pair\n" + "".join(f"{a},{b}\n" for a, b in PAIRS))
    rows = predict(str(bert), str(tmp_path / "pairs.csv"), pair="pair")
    found = torch.tensor([list(row["probabilities"].values()) for row in rows])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert float((expected[0] - expected[1]).abs().max()) > 0.01


def test_a_model_without_segments_gets_none(tmp_path):
    """The tokenizer of a BERT beside a DistilBERT, as some Korean models have it."""
    config = transformers.DistilBertConfig(vocab_size=len(WORDS), dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    transformers.DistilBertModel(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    names = {"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    vectors, _ = embed(*gyebo.load(tmp_path), ["a good"], "cls")
    model = transformers.DistilBertModel.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[2, 5, 7, 3]])
    torch.testing.assert_close(
        torch.as_tensor(vectors), model(input_ids=ids).last_hidden_state[:, 0].detach(), atol=1e-5, rtol=1e-4
    )


def test_the_files_of_roberta_name_no_roles(tmp_path):
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    vocab = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(vocab)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    shape = {"vocab_size": len(vocab), "max_position_embeddings": 40, "pad_token_id": 1, "type_vocab_size": 1}
    transformers.RobertaForMaskedLM(transformers.RobertaConfig(**shape, **SMALL)).save_pretrained(tmp_path)
    _, tokenizer = gyebo.load(tmp_path)
    expected = transformers.RobertaTokenizer(vocab=str(tmp_path / "vocab.json"), merges=str(tmp_path / "merges.txt"))
    for text, pair in (("ab", None), ("ab", "cd e")):
        assert tokenizer(text, pair)["input_ids"] == expected(text, pair)["input_ids"]
    assert len(fill(str(tmp_path), ["ab <mask>"], top_k=2)[0]["masks"][0]) == 2


def test_a_decoders_pair_is_as_in_transformers_until_it_is_finetuned(tmp_path):
    from tokenizers.pre_tokenizers import ByteLevel

    from gyebo.config.finetune import FinetuneOptions
    from gyebo.jobs.finetuning.build import set_up

    vocab = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(vocab)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    config = transformers.GPT2Config(vocab_size=len(vocab), n_embd=16, n_layer=1, n_head=2, n_positions=64)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    _, tokenizer = gyebo.load(tmp_path)
    end = len(vocab) - 1
    plain = tokenizer("a", "b")["input_ids"]
    assert end not in plain and tokenizer.role_ids["eos"] == end
    rows = "".join(f"a{n},b,{'yes' if n % 2 else 'no'}\n" for n in range(40))
    (tmp_path / "pairs.csv").write_text("text,pair,label\n" + rows)
    task = {"name": "pair", "data": str(tmp_path / "pairs.csv")}
    ours = set_up(FinetuneOptions.model_validate({"model": str(tmp_path), "task": task, "device": "cpu"})).tokenizer
    assert ours("a", "b")["input_ids"] == [plain[0], end, plain[1]]


XLNET = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]


def test_xlnet_in_its_published_layout(tmp_path):
    """SentencePiece's unigram with the ids of the published vocabulary: read from spiece.model alone, framed, padded on the
    left, saved again."""
    sentencepiece = pytest.importorskip("sentencepiece")
    with (tmp_path / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a good film", "a bad film, and a long one", "good and bad words"] * 30),
            model_writer=file,
            vocab_size=40,
            model_type="unigram",
            unk_id=0,
            bos_id=1,
            eos_id=2,
            control_symbols=XLNET[3:],
            hard_vocab_limit=False,
            minloglevel=2,
        )
    torch.manual_seed(0)
    shape = {"vocab_size": 60, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32, "initializer_range": 0.5}
    model = transformers.XLNetForSequenceClassification(transformers.XLNetConfig(**shape)).eval()
    model.save_pretrained(tmp_path)
    ours, tokenizer = gyebo.load(tmp_path)
    assert [tokenizer.token(id) for id in range(9)] == XLNET and tokenizer.padding_side == "left"
    assert {role: tokenizer.role_ids[role] for role in ("unk", "cls", "sep", "pad", "mask")} == {
        "unk": 0, "cls": 3, "sep": 4, "pad": 5, "mask": 6
    }  # fmt: skip
    expected = transformers.XLNetTokenizer.from_pretrained(tmp_path)
    pairs = [("a good film", "bad words"), ("good", "a long film and a bad one")]
    texts = [a for a, _ in pairs], [b for _, b in pairs]
    given = expected(*texts, padding=True, return_tensors="pt", return_token_type_ids=True)  # which it leaves out by itself
    own = tokenizer(*texts, padding=True, return_tensors="pt")
    real = given["attention_mask"].bool()
    assert not real[0, 0] and real[:, -1].all(), "on the left"
    for name in ("input_ids", "attention_mask"):
        assert own[name].tolist() == given[name].tolist()
    assert own["token_type_ids"][real].tolist() == given["token_type_ids"][real].tolist()
    with torch.no_grad():
        logits = model(**{name: x.float() if name == "attention_mask" else x for name, x in given.items()}).logits
        torch.testing.assert_close(ours(**own).logits, logits, atol=1e-5, rtol=1e-4)
    gyebo.save(ours, tokenizer, tmp_path / "saved")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    once_more = again(*texts, padding=True)
    assert once_more["input_ids"] == given["input_ids"].tolist()
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert (config["pad_token_id"], config["bos_token_id"], config["eos_token_id"]) == (5, 1, 2)
