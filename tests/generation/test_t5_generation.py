"""T5's beams are those of `transformers`, token for token: penalties, lengths, n-grams, forced ids; both versions."""

from __future__ import annotations

import pytest
import torch

import gyebo
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.models.t5 import T5Config

transformers = pytest.importorskip("transformers")

VOCABULARY, LONGEST = 61, 13
# Options; a seed, and how much larger the changes of sublayers and the end's row are, so that answers end at different lengths.
VERSIONS = {
    "1.0": ({}, 1, 12.0, 4.0),
    "1.1": ({"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, 0, 4.0, 1.5),
}


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request, tmp_path_factory):
    """(ours, theirs): a T5 whose answers end at different lengths, beyond the largest distance of its buckets."""
    folder, (options, seed, changes, end) = tmp_path_factory.mktemp("t5"), VERSIONS[request.param]
    torch.manual_seed(seed)
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=24, d_kv=5, d_ff=32, num_layers=2, num_heads=3, decoder_start_token_id=0,
        relative_attention_num_buckets=8, relative_attention_max_distance=9, **options,
    )  # fmt: skip
    theirs = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "relative_attention_bias" in name:
                parameter.mul_(8)
            elif name.endswith(("o.weight", "wo.weight")):  # against the embedding of the last token, which predicts itself
                parameter.mul_(changes)
            elif "layer_norm" not in name and "shared" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
        if options:
            theirs.lm_head.weight = torch.nn.Parameter(0.3 * torch.randn(VOCABULARY, 24))
        theirs.lm_head.weight[1] *= end
        theirs.decoder.final_layer_norm.weight.add_(torch.randn(24))
    theirs.save_pretrained(folder)
    return gyebo.load(folder)[0], theirs


def sources() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [[*torch.randint(4, VOCABULARY, (n,), generator=generator).tolist(), 1] for n in (9, 3, 12, 1, 6, 17, 4)]


SETTINGS = [
    {},
    {"length_penalty": 2.0, "min_new_tokens": 6, "no_repeat_ngram_size": 2},
    {"length_penalty": -1.0, "early_stopping": True},
    {"forced_bos_token_id": 7, "forced_eos_token_id": 1, "min_new_tokens": 9, "no_repeat_ngram_size": 3, "length_penalty": 0.6},
]
OURS = {"no_repeat_ngram_size": "no_repeat_ngram"}


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda given: ",".join(given) or "plain")
def test_answers_are_those_of_transformers(pair, settings, beams, monkeypatch):
    ours, theirs = pair
    given = {name: value for name, value in settings.items() if beams > 1 or name not in ("length_penalty", "early_stopping")}
    forced = tuple(given.get(f"forced_{name}_token_id") for name in ("bos", "eos"))
    monkeypatch.setattr(T5Config, "forced_ids", forced)
    asked = {OURS.get(name, name): value for name, value in given.items() if not name.startswith("forced")}
    found = translate(
        ours, sources(), GenerationOptions(beams=beams, **asked), forbidden=[0], max_length=lambda length: LONGEST
    )
    lengths = set()
    for source, answers in zip(sources(), found, strict=True):
        expected = theirs.generate(
            torch.tensor([source]),
            num_beams=beams,
            do_sample=False,
            max_new_tokens=LONGEST,
            bad_words_ids=[[0]],
            **given,
        )[0].tolist()
        ids = answers[0].ids
        assert ids == expected[1 : 1 + len(ids)] and all(id == 0 for id in expected[1 + len(ids) :])
        lengths.add(len(ids))
    assert len(lengths) > 1 or "no_repeat_ngram_size" in given
