"""BART's generation is that of `transformers`, token for token: forced first and last ids, penalties, lengths, n-grams."""

from __future__ import annotations

import pytest
import torch

import gyebo
from gyebo.generation.options import GenerationOptions
from gyebo.generation.prompts import Chooser, Forced
from gyebo.generation.translating import translate
from gyebo.models.bart import Bart

transformers = pytest.importorskip("transformers")

VOCABULARY, LONGEST = 61, 14
BARE = list(range(4))  # special tokens: all but the end are forbidden unless forced


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(ours, theirs): a BART whose answers end at different lengths."""
    folder = tmp_path_factory.mktemp("bart")
    torch.manual_seed(5)
    config = transformers.BartConfig(
        vocab_size=VOCABULARY, d_model=24, encoder_layers=1, decoder_layers=2, encoder_attention_heads=3,
        decoder_attention_heads=3, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=40, init_std=0.4,
    )  # fmt: skip
    theirs = transformers.BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        theirs.model.shared.weight[2] *= 1.6
    theirs.generation_config.forced_eos_token_id = None
    theirs.save_pretrained(folder)
    return gyebo.load(folder)[0], theirs


def sources() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [[0, *torch.randint(4, VOCABULARY, (n,), generator=generator).tolist(), 2] for n in (9, 3, 12, 1, 6, 9, 4)]


SETTINGS = [
    {},
    {"forced_bos_token_id": 0, "forced_eos_token_id": 2},
    {"forced_bos_token_id": 0, "length_penalty": 2.0, "min_new_tokens": 6, "no_repeat_ngram_size": 2},
    {"forced_eos_token_id": 2, "length_penalty": -1.0, "early_stopping": True},
    {"forced_bos_token_id": 0, "forced_eos_token_id": 2, "min_new_tokens": 9, "no_repeat_ngram_size": 3, "length_penalty": 0.6},
    {"forced_bos_token_id": 7, "forced_eos_token_id": 2, "no_repeat_ngram_size": 1, "early_stopping": True},
]
OURS = {"no_repeat_ngram_size": "no_repeat_ngram"}


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda given: ",".join(given) or "plain")
def test_answers_are_those_of_transformers(pair, settings, beams, tmp_path, monkeypatch):
    ours, theirs = pair
    given = {name: value for name, value in settings.items() if beams > 1 or name not in ("length_penalty", "early_stopping")}
    forced = {name: given.get(f"forced_{name}_token_id") for name in ("bos", "eos")}
    for name, id in forced.items():
        monkeypatch.setattr(ours.config, f"forced_{name}_id", id)
    asked = {OURS.get(name, name): value for name, value in given.items() if not name.startswith("forced")}
    options = GenerationOptions(beams=beams, **asked)
    found = translate(ours, sources(), options, forbidden=[0, 1, 3], max_length=lambda length: LONGEST)
    lengths = set()
    for source, answers in zip(sources(), found, strict=True):
        expected = theirs.generate(
            torch.tensor([source]),
            num_beams=beams,
            do_sample=False,
            max_new_tokens=LONGEST,
            suppress_tokens=None,
            bad_words_ids=[[0], [1], [3]],
            **given,
        )[0].tolist()
        ids = answers[0].ids
        assert ids == expected[1 : 1 + len(ids)] and all(id == 1 for id in expected[1 + len(ids) :])
        lengths.add(len(ids))
        assert forced["bos"] in (None, ids[0])
        assert forced["eos"] is None or ids[-1] == 2
    assert len(lengths) > 1 or given.get("no_repeat_ngram_size") == 1  # the start is an end, which then cannot come again


def test_the_score_leaves_out_what_was_forced_and_the_probability_does_not(pair, monkeypatch):
    ours, _ = pair
    monkeypatch.setattr(ours.config, "forced_bos_id", 0)
    for source, answers in zip(sources(), translate(ours, sources(), GenerationOptions(beams=3))):
        ids = answers[0].ids
        with torch.no_grad():
            logs = ours(torch.tensor([source]), None, torch.tensor([[2, *ids[:-1]]])).logits[0].log_softmax(-1)
        each = logs[torch.arange(len(ids)), ids]
        assert answers[0].log_probability == pytest.approx(float(each.sum()), abs=1e-3)
        assert answers[0].score == pytest.approx(float(each[1:].sum()) / len(ids), abs=1e-3)


def test_only_rows_at_their_limit_are_forced_to_end():
    scores, ids = torch.randn(3, 9), torch.ones(3, 2, dtype=torch.long)
    chooser = Chooser(GenerationOptions(), [4], 2, torch.device("cpu"), Forced(first=4, last=2))
    last = torch.tensor([False, True, False])
    found = chooser.allow(scores, ids, torch.ones_like(ids).bool(), 3, last)
    assert found[1].argmax() == 2 and found[1].isinf().sum() == 8
    assert torch.equal(found[::2], scores.index_fill(1, torch.tensor([4]), -torch.inf)[::2])
    assert (chooser.allow(scores, ids, torch.ones_like(ids).bool(), 0).argmax(-1) == 4).all()


def test_what_is_forced_is_saved(tmp_path):
    from dataclasses import replace

    config = replace(Bart.sizes["tiny"], bos_id=0, eos_id=2, forced_bos_id=0, forced_eos_id=2)
    gyebo.save(Bart(config), None, tmp_path)
    theirs = transformers.BartForConditionalGeneration.from_pretrained(tmp_path).generation_config
    assert (theirs.forced_bos_token_id, theirs.forced_eos_token_id) == (0, 2)
    assert gyebo.load(tmp_path)[0].forced_ids == (0, 2)
