"""Tokenizers with two sides: Marian's against `MarianTokenizer` of `transformers`, and byte-level BPEs over one list of ids."""

import json
import warnings

import pytest

import gyebo
from gyebo.text.dropout import BpeDropoutTokenizer
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_translation_tokenizer
from gyebo.text.translation_tokenizer import TARGET_FILE, TranslationTokenizer
from tests.text.text_corpus import PROBES, corpus

ENGLISH = ["two dogs play in the snow .", "a man in a green hat reads .", "the dogs read .", "a hat , a man , two dogs"] * 30
GERMAN = ["zwei hunde spielen im schnee .", "ein mann mit grünem hut liest .", "die hunde lesen .", "ein hut , ein mann"] * 30
TEXTS = [
    *ENGLISH[:4],
    *GERMAN[:4],
    ">>deu<< two dogs",
    ">>xyz<< two",
    "no >>deu<< here",
    "unknown: 예 ¿?",
    " spaces   in a row ",
    "",
]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def marian(tmp_path_factory, request):
    """A directory as Helsinki-NLP's: a SentencePiece model of each language, and a list of ids that lacks some pieces."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("marian")
    for side, texts in (("source", ENGLISH), ("target", GERMAN)):
        with (folder / f"{side}.spm").open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts), model_writer=file, vocab_size=60, model_type=request.param, bos_id=-1,
                hard_vocab_limit=False, minloglevel=2,
            )  # fmt: skip
    models = [sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm")) for side in ("target", "source")]
    both = dict.fromkeys(model.id_to_piece(id) for model in models for id in range(model.get_piece_size()))
    # The longest piece of each language's first sentence is in no list.
    dropped = {max(model.encode(texts[0], out_type=str), key=len) for model, texts in zip(models, (GERMAN, ENGLISH))}
    dropped |= {"<unk>", "</s>"}
    listed = ["</s>", "<unk>", ">>deu<<", *(piece for piece in both if piece not in dropped), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(listed)}))
    config = {"source_lang": "eng", "target_lang": "deu", "tokenizer_class": "MarianTokenizer", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def theirs(marian):
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recommends sacremoses
        return transformers.MarianTokenizer.from_pretrained(marian)


def test_both_sides_give_transformers_ids(marian, theirs):
    ours = Tokenizer.load(marian)
    assert isinstance(ours, TranslationTokenizer) and ours.vocab_size == ours.target.vocab_size == len(theirs.get_vocab())
    assert ours.role_ids == {"pad": theirs.pad_token_id, "eos": theirs.eos_token_id, "unk": theirs.unk_token_id}
    sources = theirs(TEXTS)["input_ids"]
    targets = theirs(text_target=TEXTS)["input_ids"]
    assert [[*ids, theirs.eos_token_id] for ids in ours.encode_batch(TEXTS)] == sources
    assert [[*ids, theirs.eos_token_id] for ids in ours.target.encode_batch(TEXTS)] == targets
    assert sources != targets and any(theirs.unk_token_id in ids for ids in sources[:4]), "a dropped piece is unknown"
    assert ours.encode(">>deu<< two dogs")[0] == theirs.convert_tokens_to_ids(">>deu<<")


def test_pairs_are_one_text_after_the_other(marian, theirs):
    ours = Tokenizer.load(marian)
    for first, second in (("two dogs", "a hat"), ("two dogs", ""), ("", "a hat"), ("", ""), (">>deu<< two", "a hat , a man")):
        assert ours(first, second) == dict(theirs(first, second))
        assert ours([first], [second]) == dict(theirs([first], [second]))
        for length in range(2, 12):
            given = {"truncation": True, "max_length": length}
            assert ours(first, second, **given) == dict(theirs(first, second, **given)), (first, second, length)
    texts, pairs = ["two dogs", "a"], ["a hat", ""]
    for side in ("left", "right"):
        found = ours(texts, pairs, padding=True, return_tensors="pt", padding_side=side)
        wanted = theirs(texts, pairs, padding=True, return_tensors="pt", padding_side=side)
        assert all(found[name].equal(wanted[name]) for name in ("input_ids", "attention_mask"))
    with pytest.raises(ValueError, match="pairs: 1 given for 2 texts"):
        ours(texts, ["a"])


def test_ids_become_transformers_text(marian, theirs):
    ours = Tokenizer.load(marian)
    for text in GERMAN[:4]:
        ids = ours.target.encode(text)
        assert ours.target.decode(ids) == theirs.decode(ids, skip_special_tokens=True, use_source_tokenizer=False)
    every = [id for id in range(ours.vocab_size) if id not in ours.all_role_ids]
    assert ours.target.decode(every) == theirs.decode(every, skip_special_tokens=True, use_source_tokenizer=False)


def test_it_is_saved_as_it_came(marian, theirs, tmp_path):
    ours = Tokenizer.load(marian)
    ours.save(tmp_path)
    for name in ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (marian / name).read_bytes()
    again = Tokenizer.load(tmp_path)
    assert again.encode_batch(TEXTS) == ours.encode_batch(TEXTS) and again.fingerprint == ours.fingerprint


def test_a_published_translator_opens_and_translates(marian, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = Tokenizer.load(marian)
    pad = ours.role_ids["pad"]
    config = transformers.MarianConfig(
        vocab_size=ours.vocab_size, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64, pad_token_id=pad,
        eos_token_id=0, decoder_start_token_id=pad, bos_token_id=None, forced_eos_token_id=None,
    )  # fmt: skip
    transformers.MarianMTModel(config).save_pretrained(tmp_path / "opus")
    ours.save(tmp_path / "opus")
    model, tokenizer = gyebo.load(tmp_path / "opus")
    assert isinstance(tokenizer, TranslationTokenizer)
    from gyebo.jobs.translate import translate

    assert len(translate(str(tmp_path / "opus"), ["two dogs .", "", "a man"], {"beams": 2})) == 3
    gyebo.save(model, tokenizer, tmp_path / "again")
    assert (tmp_path / "again" / "source.spm").read_bytes() == (marian / "source.spm").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", '{"</s>": 0, "<unk>": 1, "<pad>": 3}', "the ids are not 0 to 2"),
        ("vocab.json", '{"</s>": 0, "a": 1}', "<unk>, <pad> missing"),
        ("vocab.json", "[]", "expected a JSON object"),
        ("target.spm", None, "target.spm: no such file"),
        ("source.spm", "x", "source.spm"),
        ("tokenizer_config.json", '{"separate_vocabs": true}', "separate_vocabs is set"),
    ],
)
def test_what_is_wrong_is_named(marian, tmp_path, name, content, message):
    for file in marian.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Tokenizer.load(tmp_path)


# -- of our own --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    return train_translation_tokenizer(ENGLISH, GERMAN, 600)


def test_each_side_is_the_tokenizer_of_its_language(pair):
    from gyebo.text.training import train_tokenizer

    for side, texts in ((pair, ENGLISH), (pair.target, GERMAN)):
        alone = train_tokenizer(texts, "bpe", 300)
        for text in [*texts[:4], *PROBES[:5]]:
            ids = side.encode(text)
            assert [side.token(id) for id in ids] == [alone.token(id) for id in alone.encode(text)]
            assert side.decode(ids) == alone.decode(alone.encode(text))
    shared = pair.known_ids & pair.target.known_ids
    assert all(pair.token(id) == pair.target.token(id) for id in shared) and 256 + 16 <= len(shared) < 300
    assert pair.vocab_size == len(pair.known_ids | pair.target.known_ids) <= 600
    assert pair.known_ids - pair.target.known_ids and pair.target.known_ids - pair.known_ids


def test_it_is_saved_and_opened_and_is_gone_with_the_next_save(pair, tmp_path):
    pair.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert (
        isinstance(again, TranslationTokenizer)
        and again.fingerprint == pair.fingerprint
        and again.vocab_size == pair.vocab_size
    )
    assert again.encode_batch(ENGLISH) == pair.encode_batch(ENGLISH)
    assert again.target.encode_batch(GERMAN) == pair.target.encode_batch(GERMAN)
    (tmp_path / TARGET_FILE).write_text("{}")
    with pytest.raises(ValueError, match=f"{TARGET_FILE}: not a tokenizer.json"):
        Tokenizer.load(tmp_path)


def test_a_save_takes_the_place_of_an_earlier_tokenizer_whole_or_not_at_all(marian, pair, tmp_path):
    """Two kinds side by side would not be noticed: one of them would be read."""
    from gyebo.models.transformer import Transformer

    model = Transformer(Transformer.sizes["tiny"])
    gyebo.save(model, pair, tmp_path)
    gyebo.save(model, None, tmp_path)
    assert isinstance(Tokenizer.load(tmp_path), TranslationTokenizer) and (tmp_path / TARGET_FILE).is_file()
    gyebo.save(model, Tokenizer.load(marian), tmp_path)
    assert Tokenizer.load(tmp_path).encode_batch(TEXTS) == Tokenizer.load(marian).encode_batch(TEXTS)
    gyebo.save(model, pair, tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint == pair.fingerprint and not (tmp_path / "source.spm").exists()


def test_the_hub_is_asked_for_every_file_of_a_tokenizer():
    from fnmatch import fnmatch

    from gyebo.interchange import hub

    for name in ("source.spm", "target.spm", "vocab.json", TARGET_FILE, "tokenizer.json"):
        assert any(fnmatch(name, pattern) for pattern in (*hub._SMALL, *hub._VOCABULARIES))


def test_dropout_cuts_both_sides(pair):
    dropping = BpeDropoutTokenizer(pair, 0.9, "x")
    for side, plain, texts in ((dropping, pair, ENGLISH), (dropping.target, pair.target, GERMAN)):
        cut = side.encode_batch(texts)
        assert sum(map(len, cut)) > sum(map(len, plain.encode_batch(texts)))
        assert [plain.decode(ids) for ids in cut] == texts


def test_no_further_tokens(pair):
    with pytest.raises(ValueError, match="takes no further tokens"):
        pair.with_tokens(["<x>"])


def test_one_tokenizer_is_its_own_target():
    from gyebo.text.training import train_tokenizer

    tokenizer = train_tokenizer(corpus()[:50], "bpe", 300)
    assert tokenizer.target is tokenizer
