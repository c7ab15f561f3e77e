"""Filling: the mask is a role and nothing else is, probabilities are the model's, and only whole characters are shown."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import tokenizers
import torch

from gyebo.generation.fill_mask import Filler, fill
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.family import FAMILIES
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.nn.outputs import Encoded
from gyebo.tasks.heads.task_model import add_head
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.conftest import sentences

TEXTS = sentences(120)
SIZES = {"bpe": 400, "wordpiece": 800, "unigram": 500, "byte": None, "char": 200}


def tokenizer_of(kind, family="bert"):
    made = train_tokenizer(TEXTS, kind) if SIZES[kind] is None else train_tokenizer(TEXTS, kind, SIZES[kind])
    return made.for_family(roles_of(FAMILIES[family]))


def bert(tokenizer, context=64):
    torch.manual_seed(0)
    shape = {"context": context, "width": 16, "layers": 1, "heads": 2, "init_std": 0.5}
    return Bert(BertConfig(vocab_size=tokenizer.vocab_size, **shape)).eval()


class Scripted:
    """A masked language model whose logits at a place come from `script(ids, place)`, a dict piece -> probability."""

    family, heads = "bert", ("mlm",)

    def __init__(self, tokenizer, script, context=64):
        self.config = SimpleNamespace(vocab_size=tokenizer.vocab_size, context=context)
        self.script, self.seen = script, []

    def parameters(self):
        return iter([torch.zeros(1)])

    def encode(self, input_ids, token_type_ids=None):
        self.seen.append(input_ids.tolist())
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)[..., None]
        return Encoded(torch.cat([places, input_ids[:, None].expand(-1, input_ids.shape[1], -1)], -1))

    def project(self, hidden, head):
        assert head == "mlm"
        logits = torch.full((*hidden.shape[:2], self.config.vocab_size), -1e4)
        for row in range(hidden.shape[0]):
            for column in range(hidden.shape[1]):
                place, *ids = hidden[row, column].tolist()
                for piece, share in self.script(ids, place).items():
                    logits[row, column, piece] = torch.tensor(share).log()
        return logits


@torch.no_grad()
def test_probabilities_are_those_of_the_model():
    tokenizer = tokenizer_of("bpe")
    model = bert(tokenizer)
    text = f"나무 {tokenizer.role_tokens['mask']} 바다 보았다."
    filled = fill(model, tokenizer, text, top_k=12)
    (candidates,) = filled.masks
    assert len(candidates) == 12
    shares = [candidate.probability for candidate in candidates]
    assert shares == sorted(shares, reverse=True)
    mask = tokenizer.role_ids["mask"]
    ids = tokenizer("나무 바다 보았다.")["input_ids"]
    cut = 1 + len(tokenizer.encode("나무"))
    ids = torch.tensor([[*ids[:cut], mask, *ids[cut:]]])
    expected = model(ids, token_type_ids=ids * 0).logits[0, cut].softmax(-1)
    whole = [candidate for candidate in candidates if len(candidate.ids) == 1]
    assert len(whole) > 3
    for candidate in whole:
        assert candidate.probability == pytest.approx(float(expected[candidate.ids[0]]), rel=1e-4)
        assert candidate.text == tokenizer.piece_bytes(candidate.ids[0]).decode()
        assert candidate.sequence == f"나무{candidate.text} 바다 보았다."
    # No whole piece that is likelier was left out.
    least = min(shares)
    for id in range(tokenizer.vocab_size):
        if id not in tokenizer.all_role_ids and float(expected[id]) > least * 1.0001:
            raw = tokenizer.piece_bytes(id)
            try:
                assert raw.decode() in {candidate.text for candidate in candidates}
            except UnicodeDecodeError:
                assert all(candidate.ids != (id,) for candidate in candidates)
    assert filled.sequence == candidates[0].sequence


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("kind", list(SIZES))
def test_the_model_reads_what_transformers_would_read(kind, family, tmp_path):
    tokenizer = tokenizer_of(kind, family)
    mask = tokenizer.role_tokens["mask"]
    tokenizer.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    model = Scripted(tokenizer, lambda ids, place: {20: 1.0})
    filler = Filler(model, tokenizer)
    for text in (f"나무 {mask} 바다", f"{mask}", f"나무{mask}바다", f"  {mask}{mask} a  {mask}.", f"film {mask}\n{mask} good"):
        model.seen.clear()
        filler.fill(text)
        assert model.seen[0] == [theirs.encode(text).ids], text


def test_other_roles_in_the_text_are_text():
    tokenizer = tokenizer_of("bpe")
    model = Scripted(tokenizer, lambda ids, place: {20: 1.0})
    Filler(model, tokenizer).fill("[CLS] a [SEP] [PAD] [MASK] <s>")
    (ids,) = model.seen[0]
    roles = [id for id in ids if id in tokenizer.all_role_ids]
    assert roles == [tokenizer.role_ids[role] for role in ("cls", "mask", "sep")]
    assert ids[0] == roles[0] and ids[-1] == roles[-1]


def byte_ids(tokenizer, raw):
    places = {tokenizer.piece_bytes(id): id for id in range(16, tokenizer.vocab_size)}
    return [places[bytes([byte])] for byte in raw]


@pytest.mark.parametrize("character", ["서", "\ubfff", "\ub000"])  # with the last and the first byte that goes on
def test_a_piece_that_is_part_of_a_character_is_extended(character):
    tokenizer = tokenizer_of("byte")
    mask = tokenizer.role_ids["mask"]
    first, second, third = byte_ids(tokenizer, character.encode())
    (other,) = byte_ids(tokenizer, b"\xea")  # begins another syllable
    (x,) = byte_ids(tokenizer, b"x")

    def script(ids, place):
        chosen = ids[:place]
        if chosen[-2:] == [first, second]:
            return {third: 0.25, x: 0.75}
        if chosen[-1] == first:
            return {x: 0.5, second: 0.5}  # x cannot go on: it is passed over
        if chosen[-1] == other:
            return {x: 1.0}  # continuations have no probability left
        return {second: 0.3, first: 0.4, x: 0.2, other: 0.1}  # a continuation stands first, with no character before it

    model = Scripted(tokenizer, script)
    (candidates,) = fill(model, tokenizer, "a[MASK]b", top_k=2).masks
    assert [candidate.text for candidate in candidates] == ["x", character]
    assert candidates[0].probability == pytest.approx(0.2, rel=1e-4)
    assert candidates[1].probability == pytest.approx(0.4 * 0.5 * 0.25, rel=1e-4)
    assert candidates[1].ids == (first, second, third) and candidates[1].sequence == f"a{character}b"
    rounds = [rows for rows in model.seen if len(rows[0]) > len(model.seen[0][0])]
    assert [len(rows[0]) - len(model.seen[0][0]) for rows in rounds] == [1, 2]
    assert all(mask in row for rows in rounds for row in rows)


def test_without_room_for_another_mask_only_whole_pieces_are_shown():
    tokenizer = tokenizer_of("byte")
    first = byte_ids(tokenizer, "서".encode())[0]
    (x,) = byte_ids(tokenizer, b"x")
    model = Scripted(tokenizer, lambda ids, place: {first: 0.9, x: 0.1}, context=4)
    (candidates,) = fill(model, tokenizer, "a[MASK]").masks
    assert [candidate.text for candidate in candidates if candidate.probability > 1e-6] == ["x"]
    assert len(model.seen) == 1


def test_every_kind_shows_whole_characters_only():
    for kind in SIZES:
        tokenizer = tokenizer_of(kind)
        filled = fill(bert(tokenizer), tokenizer, "나무 [MASK] 바다[MASK]", top_k=4)
        assert len(filled.masks) == 2
        for candidates in filled.masks:
            assert len(candidates) == 4
            texts = [candidate.text for candidate in candidates]
            assert len(set(texts)) == 4 and not any("�" in text for text in texts)
            for candidate in candidates:
                raw = b"".join(tokenizer.piece_bytes(id) for id in candidate.ids)
                assert raw.decode() == candidate.text and 0 < candidate.probability <= 1


def test_several_masks_and_the_texts_in_between():
    tokenizer = tokenizer_of("byte")
    x, y, blank = byte_ids(tokenizer, b"xy ")

    def script(ids, place):
        return {x: 0.9, y: 0.1} if place < 3 else {blank: 0.7, y: 0.3}

    filled = fill(Scripted(tokenizer, script), tokenizer, "[MASK] a \t[MASK][MASK] b", top_k=2)
    assert filled.text == "[MASK] a \t[MASK][MASK] b"
    assert [[c.text for c in mask] for mask in filled.masks] == [["x", "y"], [" ", "y"], [" ", "y"]]
    assert [mask[0].sequence for mask in filled.masks] == ["x a \t[MASK][MASK] b", "[MASK] a [MASK] b", "[MASK] a \t[MASK]  b"]
    assert filled.sequence == "x a   b"


def test_pieces_of_a_published_wordpiece(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "수도", "##는", "서울", "##역", "이다", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False}))
    tokenizer = Tokenizer.load(tmp_path).for_family(roles_of(FAMILIES["bert"]))
    model = Scripted(tokenizer, lambda ids, place: {7: 0.6, 8: 0.3, 4: 0.1})
    (candidates,) = fill(model, tokenizer, "수도는 [MASK]이다.").masks
    assert model.seen[0] == [[2, 5, 6, 4, 9, 10, 3]]
    found = [(c.text, c.sequence) for c in candidates if c.probability > 1e-6]
    assert found == [(" 서울", "수도는 서울이다."), ("역", "수도는역이다.")]
    (candidates,) = fill(model, tokenizer, "[MASK]이다").masks
    assert candidates[0].text == "서울"  # nothing before it: no space


def test_what_cannot_be_filled():
    tokenizer = tokenizer_of("bpe")
    model = bert(tokenizer, context=16)
    with pytest.raises(ValueError, match=r"no \[MASK\] in '나무 <mask>'"):
        fill(model, tokenizer, "나무 <mask>")
    with pytest.raises(ValueError, match=r"has \d+ tokens, but this model's context is 16"):
        fill(model, tokenizer, "[MASK]" * 15)
    with pytest.raises(ValueError, match="top_k"):
        fill(model, tokenizer, "[MASK]", top_k=0)
    with pytest.raises(ValueError, match="has no mask token"):
        fill(model, tokenizer_of("bpe", "gpt2"), "[MASK]")
    shape = {"vocab_size": tokenizer.vocab_size, "context": 16, "width": 16, "layers": 1, "heads": 2}
    with pytest.raises(ValueError, match="gpt2: this model has no masked-LM head"):
        fill(Gpt2(Gpt2Config(**shape)), tokenizer, "[MASK]")
    with pytest.raises(ValueError, match="bert: this model has no masked-LM head"):
        fill(add_head(model, "pooled", "classification", 2), tokenizer, "[MASK]")


def test_of_two_ways_to_write_a_text_the_more_probable_one_counts():
    tokenizer = tokenizer_of("bpe")
    pieces = {id: tokenizer.piece_bytes(id) for id in range(16, tokenizer.vocab_size)}
    whole = next(id for id, raw in pieces.items() if len(raw) == 3 and raw[0] >= 0xE0)
    first, second, third, x = byte_ids(tokenizer, pieces[whole] + b"x")
    after = {first: {second: 0.5, x: 0.5}, second: {third: 0.5, x: 0.5}}
    model = Scripted(tokenizer, lambda ids, place: after.get(ids[place - 1], {whole: 0.3, first: 0.6, x: 0.1}))
    (candidates,) = fill(model, tokenizer, "a[MASK]b", top_k=1).masks
    assert candidates[0].ids == (whole,) and candidates[0].probability == pytest.approx(0.3, rel=1e-4)


def test_ids_of_the_model_that_are_no_token_are_never_shown():
    """Published models have more rows than their tokenizer has tokens."""
    tokenizer = tokenizer_of("byte")
    model = Scripted(tokenizer, lambda ids, place: {model.config.vocab_size - 1: 0.9, byte_ids(tokenizer, b"x")[0]: 0.1})
    model.config.vocab_size += 3
    (candidates,) = fill(model, tokenizer, "a[MASK]b", top_k=2).masks
    assert candidates[0].text == "x" and candidates[0].probability == pytest.approx(0.1, rel=1e-3)
