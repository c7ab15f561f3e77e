"""Translations: the beams of `transformers`, the same for a sentence alone, and a coverage penalty that is its formula."""

from __future__ import annotations

import copy

import pytest
import torch

from gyebo.generation.beams import search
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import Sources, translate
from gyebo.models.transformer import Transformer, TransformerConfig

SHAPE = {"vocab_size": 41, "context": 40, "width": 24, "layers": 1, "decoder_layers": 2, "heads": 3, "inner": 32}
FITTING = {"attention_bias": True, "positions": "halves", "norm_eps": 1e-5, "pad_id": 0, "eos_id": 2, "bos_id": 1}


@pytest.fixture(scope="module")
def model():
    return make(pre_norm=False)


def make(pre_norm: bool) -> Transformer:
    torch.manual_seed(1)
    made = Transformer(TransformerConfig(**SHAPE, **FITTING, output_bias=True, pre_norm=pre_norm)).eval()
    with torch.no_grad():  # so that the end comes at different lengths
        for block in [*made.encoder, *made.decoder]:
            for name, parameter in block.named_parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8.0 if "source_attention" in name else 4.0)
                else:
                    parameter.add_(0.5 * torch.randn_like(parameter))
        made.lm_head.bias[2] = 1.5
    return made


def sources(count: int = 7) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [[*torch.randint(3, 41, (length,), generator=generator).tolist(), 2] for length in (9, 3, 12, 1, 6, 9, 4)[:count]]


def ids(found) -> list[list[int]]:
    return [answers[0].ids for answers in found]


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("length_penalty", [1.0, 0.6])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_beams_are_those_of_transformers_token_for_token(pre_norm, beams, length_penalty, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = make(pre_norm)
    model.save_pretrained(tmp_path)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    assert type(theirs) is (transformers.PegasusForConditionalGeneration if pre_norm else transformers.MarianMTModel)
    theirs.generation_config.forced_eos_token_id = None
    options = GenerationOptions(beams=beams, length_penalty=length_penalty) if beams > 1 else GenerationOptions()
    found = translate(model, sources(), options, forbidden=[0, 1], max_length=lambda length: 12)
    lengths = set()
    for source, answers in zip(sources(), found):
        expected = theirs.generate(
            torch.tensor([source]),
            num_beams=beams,
            length_penalty=length_penalty,
            do_sample=False,
            max_new_tokens=12,
            bad_words_ids=[[0], [1]],
        )[0].tolist()
        assert answers[0].ids == expected[1 : 1 + len(answers[0].ids)]
        assert all(id == 0 for id in expected[1 + len(answers[0].ids) :])
        lengths.add(len(answers[0].ids))
    assert len(lengths) > 1


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translation_depends_on_its_source_alone(model, beams):
    options = GenerationOptions(beams=beams) if beams > 1 else GenerationOptions()
    together = translate(model, sources(), options)
    for source, answers in zip(sources(), together):
        alone = translate(model, [source], options)[0]
        assert [a.ids for a in alone] == [a.ids for a in answers]
        assert alone[0].log_probability == pytest.approx(answers[0].log_probability, rel=2e-6)  # 16 steps of float32
    assert ids(translate(model, sources(), options, tokens=10)) == ids(together)  # other batches


def test_scores_are_the_models_own(model):
    for source, answers in zip(sources(3), translate(model, sources(3), GenerationOptions(beams=3, samples=3))):
        assert len(answers) == 3
        for answer in answers:
            written = torch.tensor([[model.start_id, *answer.ids[:-1]]])
            with torch.no_grad():
                logs = model(torch.tensor([source]), None, written).logits[0].log_softmax(-1)
            expected = float(logs[torch.arange(len(answer.ids)), answer.ids].sum())
            assert answer.log_probability == pytest.approx(expected, abs=1e-3)
            assert answer.score == pytest.approx(expected / len(answer.ids), abs=1e-3)


def test_the_coverage_penalty_is_its_formula(model):
    """Wu et al. 2016, equation 14: log P / length + beta * sum over the source of log(min(attention so far, 1))."""
    model = copy.deepcopy(model).double()  # logarithms of weights near 0
    plain = GenerationOptions(beams=4, samples=4)
    penal = GenerationOptions(beams=4, samples=4, coverage_penalty=2.0)
    changed = 0
    for source, answers, before in zip(
        sources(), translate(model, sources(), penal), translate(model, sources(), plain), strict=True
    ):
        changed += [a.ids for a in answers] != [a.ids for a in before]
        for answer in answers:
            written = torch.tensor([[model.start_id, *answer.ids[:-1]]])
            with torch.no_grad():
                weights = model.encode(torch.tensor([source]), None, written, return_attentions=True).cross_attentions[-1]
            coverage = float(weights[0].mean(0).sum(0).clamp(1e-10, 1).log().sum())
            expected = answer.log_probability / len(answer.ids) + 2.0 * coverage
            assert answer.score == pytest.approx(expected, abs=1e-6)
    assert changed


def test_coverage_needs_attention(model):
    class Deaf(Sources):
        def prefill(self, input_ids, attention_mask=None, *, slots):
            hidden, cache = super().prefill(input_ids, attention_mask, slots=slots)
            cache.attentions = None
            return hidden, cache

    options = GenerationOptions(beams=2, coverage_penalty=0.2)
    with pytest.raises(ValueError, match="coverage_penalty has no effect"):
        search(Deaf(model, torch.tensor([sources()[0]]), None), [[1]], options)


def test_limits_are_each_sources_own(model):
    found = translate(
        model, [[7, 2], [5, 6, 7, 8, 2]], GenerationOptions(beams=2), forbidden=[2], max_length=lambda length: length + 3
    )
    assert [len(answers[0].ids) for answers in found] == [5, 8]


@pytest.mark.parametrize(("source", "words"), [([], "source 2 is empty"), ([41], "source 2 has an id .* 41")])
def test_bad_sources_are_named(model, source, words):
    with pytest.raises(ValueError, match=words):
        translate(model, [[5, 2], source], GenerationOptions())
