"""Tokenizers and checkpoints as they are published: each format of either, one of its files damaged."""

import io
import json
import tempfile
from pathlib import Path

import pytest
import torch

import gyebo
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.gpt2 import Gpt2
from gyebo.text.tokenizer import Tokenizer
from tests.fuzz.reader import Reader

LINES = ["나는 학교에서 밥을 먹었다", "너는 집에서 책을 읽었다", "hello world, don't", "ㅋㅋㅋ 재밌었다"] * 30
TEXTS = ["나는 Hello [MASK] 123 ㅋㅋ", "", " a  b\n"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "나는", "학교", "##에서"]


def use(folder: Path, path: Path) -> list[str]:
    """What a tokenizer makes of some texts."""
    tokenizer = Tokenizer.load(folder)
    tokenizer(TEXTS, TEXTS[::-1])
    tokenizer.encode_with_unknown(TEXTS)
    return [tokenizer.decode(ids) for ids in tokenizer.encode_batch(TEXTS)]


def opened(folder: Path, path: Path) -> list[str]:
    """The family of a checkpoint that opens."""
    return [gyebo.load(folder)[0].family]


def written(make) -> dict[str, bytes]:
    """The files that a function writes into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def sentencepiece_model() -> bytes:
    sentencepiece, model = pytest.importorskip("sentencepiece"), io.BytesIO()
    given = {"vocab_size": 90, "minloglevel": 2, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, **given)
    return model.getvalue()


def model_file() -> dict[str, bytes]:
    names = {"tokenizer_class": "XLNetTokenizer", "keep_accents": False}
    return {"spiece.model": sentencepiece_model(), "tokenizer_config.json": json.dumps(names).encode()}


def json_file() -> dict[str, bytes]:
    def make(folder):
        (folder / "spiece.model").write_bytes(sentencepiece_model())
        tokenizer = Tokenizer.load(folder)
        (folder / "spiece.model").unlink()
        tokenizer.save(folder)
        (folder / "tokenizer_config.json").write_text('{"model_max_length": 512, "unk_token": "<unk>"}')

    return written(make)


def word_pieces() -> dict[str, bytes]:
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "added_tokens_decoder": {"3": {"content": "[SEP]"}}}
    added = json.dumps({"코로나": len(WORDS)}).encode()
    return {
        "vocab.txt": "\n".join(WORDS).encode(),
        "tokenizer_config.json": json.dumps(config).encode(),
        "added_tokens.json": added,
    }


def merges() -> dict[str, bytes]:
    from tokenizers import ByteLevelBPETokenizer

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(LINES, vocab_size=330, special_tokens=["<|endoftext|>"], show_progress=False)
    return written(lambda folder: trainer.save_model(str(folder)))


def marian() -> dict[str, bytes]:
    spm = sentencepiece_model()
    pieces = pytest.importorskip("sentencepiece").SentencePieceProcessor(model_proto=spm)
    known = [pieces.id_to_piece(id) for id in range(3, pieces.get_piece_size())]
    ids = {piece: id for id, piece in enumerate(["</s>", "<unk>", *known, "<pad>"])}
    return {"source.spm": spm, "target.spm": spm, "vocab.json": json.dumps(ids).encode()}


def encoder() -> dict[str, bytes]:
    model = Bert(BertConfig(vocab_size=len(WORDS) + 1, context=16, width=8, layers=2, heads=2))
    return {**written(lambda folder: gyebo.save(model, None, folder)), **word_pieces()}


def pickled() -> dict[str, bytes]:
    def make(folder):
        config = Gpt2.config_class(vocab_size=40, context=16, width=8, layers=1, heads=2)
        gyebo.save(Gpt2(config), None, folder)
        from safetensors.torch import load_file

        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    return written(make)


READERS = (
    Reader("tokenizer json", json_file, use),
    Reader("tokenizer sentencepiece", model_file, use),
    Reader("tokenizer word pieces", word_pieces, use),
    Reader("tokenizer merges", merges, use),
    Reader("tokenizer of a translator", marian, use),
    Reader("checkpoint", encoder, opened),
    Reader("checkpoint pickled", pickled, opened),
)
