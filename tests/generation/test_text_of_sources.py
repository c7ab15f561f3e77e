"""A model with an encoder and a decoder writes about a prompt, and fills masks: what `transformers` writes for the same ids."""

from __future__ import annotations

import pytest
import torch

import gyebo
from gyebo.generation import GenerationOptions, complete, generate, stream
from gyebo.generation.infilling import masked_ids, restore
from gyebo.interchange import save
from gyebo.jobs.fill import fill
from gyebo.jobs.generate import generate as job
from gyebo.models.bart import Bart, BartConfig
from gyebo.models.family import find
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
PROMPTS = ["나무 정말 바다 보았다.", "하늘", "친구 good 노래 찾았다. 아침 다시 저녁 만났다."]


@pytest.fixture(scope="module")
def made(tokenizer_folder, tmp_path_factory):
    """(model, tokenizer, the same in `transformers`, their directory)."""
    folder = tmp_path_factory.mktemp("bart")
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(find("bart")))
    torch.manual_seed(3)
    roles = {
        name: tokenizer.role_ids[name.split("_")[-2]]
        for name in ("pad_id", "bos_id", "eos_id", "forced_bos_id", "forced_eos_id")
    }
    model = Bart(BartConfig(tokenizer.vocab_size, 40, 24, 1, 2, 3, 32, init_std=0.4, **roles)).eval()
    save(model, tokenizer, folder)
    return *gyebo.load(folder), transformers.BartForConditionalGeneration.from_pretrained(folder).eval(), folder


def written(theirs, tokenizer, ids, **settings):
    """Ids and text of `transformers`, which generates the same tokens only."""
    bare = [[id] for id in sorted(tokenizer.all_role_ids - {tokenizer.role_ids["eos"]} | set(settings.pop("forbidden", ())))]
    found = theirs.generate(torch.tensor([ids]), do_sample=False, bad_words_ids=bare, **settings)
    return [(row[1:], tokenizer.decode(row)) for row in found.tolist()]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_prompt_is_the_source(made, beams):
    model, tokenizer, theirs, _ = made
    options = GenerationOptions(max_new_tokens=12, **({"beams": beams} if beams > 1 else {"greedy": True}))
    found = complete(model, tokenizer, PROMPTS, options)
    assert len({answer.text for answer in found}) == len(PROMPTS)
    for prompt, answer in zip(PROMPTS, found, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        assert ids[0] == model.config.bos_id and ids[-1] == model.config.eos_id
        [(expected, text)] = written(theirs, tokenizer, ids, num_beams=beams, max_new_tokens=12)
        assert answer.ids == expected[: len(answer.ids)]
        assert answer.text == text.removesuffix("�")  # an incomplete character at the end
        assert set(expected[len(answer.ids) :]) <= {model.config.pad_id}
        assert generate(model, tokenizer, prompt, options) == answer.text
        assert complete(model, tokenizer, [ids], options)[0].ids == answer.ids
        if beams == 1:
            assert "".join(stream(model, tokenizer, prompt, options)) == answer.text


def test_samples_depend_on_their_seed_alone(made):
    model, tokenizer, *_ = made
    found = generate(model, tokenizer, PROMPTS, samples=3, max_new_tokens=8, seed=1)
    assert found == generate(model, tokenizer, PROMPTS, samples=3, max_new_tokens=8, seed=1)
    assert len({text for texts in found for text in texts}) > 5
    stop = found[0][0][2:3]
    assert stop not in generate(model, tokenizer, PROMPTS[0], max_new_tokens=8, seed=1, stop=(stop,))


def test_what_a_reader_sees(made, capsys):
    model, tokenizer, _, folder = made
    seen: list[str] = []
    assert job(str(folder), PROMPTS[:1], {"greedy": True, "max_new_tokens": 9}, on_text=seen.append) == []
    assert "".join(seen) == generate(model, tokenizer, PROMPTS[0], greedy=True, max_new_tokens=9) + "\n"
    seen.clear()
    job(str(folder), PROMPTS, {"beams": 2, "max_new_tokens": 9}, on_text=seen.append)
    assert seen == [text + "\n\n" for text in generate(model, tokenizer, PROMPTS, beams=2, max_new_tokens=9)]


def test_a_source_that_does_not_fit_is_refused(made):
    model, tokenizer, *_ = made
    with pytest.raises(ValueError, match=r"prompt 2 has \d+ tokens, but this model's context is 40"):
        complete(model, tokenizer, [PROMPTS[0], PROMPTS[2] * 8], max_new_tokens=4)


def test_masks_are_filled_by_writing(made):
    model, tokenizer, theirs, folder = made
    texts = ["나무 <mask> 바다<mask>.", "<mask> 하늘 노래"]
    ids = masked_ids(tokenizer, texts[0])
    mask = tokenizer.role_ids["mask"]
    assert ids == [
        model.config.bos_id,
        *tokenizer.encode("나무"),
        mask,
        *tokenizer.encode(" 바다"),
        mask,
        *tokenizer.encode("."),
        model.config.eos_id,
    ]
    found = restore(model, tokenizer, texts, 3)
    for text, answers in zip(texts, found, strict=True):
        source = masked_ids(tokenizer, text)
        # `<s>` is allowed anywhere there, as it stands before every target
        bare = [[id] for id in sorted(tokenizer.all_role_ids - {model.config.bos_id, model.config.eos_id})]
        expected = theirs.generate(
            torch.tensor([source]),
            num_beams=4,
            num_return_sequences=4,
            bad_words_ids=bare,
            max_new_tokens=min(len(source) + 50, 40),
        )
        different = list(dict.fromkeys(tokenizer.decode(row) for row in expected.tolist()))
        assert [answer.text for answer in answers] == different[:3]
        assert all(answer.log_probability < 0 for answer in answers)
    rows = fill(str(folder), texts, top_k=2)
    assert [row["sequence"] for row in rows] == [answers[0].text for answers in found]
    assert [[each["sequence"] for each in row["sequences"]] for row in rows] == [
        [a.text for a in answers[:2]] for answers in found
    ]
    with pytest.raises(ValueError, match="no <mask> in '나무'"):
        fill(str(folder), ["나무"])
    with pytest.raises(ValueError, match="its tokenizer has no mask token"):
        restore(model, tokenizer.for_family(roles_of(find("transformer"))), texts)
