"""Verbs of a model: by its name, and as `gyebo.load` gives it; texts in memory and in files; one line for what is wrong."""

import json

import numpy as np
import pytest
import torch

import gyebo
from gyebo.generation import complete
from gyebo.generation import generate as plain
from gyebo.generation.fill_mask import Filler
from gyebo.interchange import save
from gyebo.jobs.finetune import finetune_seeds
from gyebo.models.family import FAMILIES
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.tasks.embedding import embed as vectors_of
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.jobs.drawing_models import saved
from tests.jobs.tuning_files import reviews, saved_model, sentences, table, tuning

TEXTS = ["나무 정말", "바다 영화를 보았다.", ""]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def bert(place, tokenizer_folder):
    return saved_model(place / "bert", "bert", tokenizer_folder)


@pytest.fixture(scope="module")
def gpt2(place, tokenizer_folder):
    return saved_model(place / "gpt2", "gpt2", tokenizer_folder)


@pytest.fixture(scope="module")
def tuned(place, bert):
    finetune_seeds(tuning(bert, reviews(place, 60)), [0], place / "tuned")
    return place / "tuned"


def refused(function, *args, **kwargs):
    with pytest.raises((ValueError, FileNotFoundError), match="^[^\n]*$") as caught:
        function(*args, **kwargs)
    said = str(caught.value)
    assert "--" not in said and "‹" not in said, said
    return said


# -- embed


def test_vectors_by_name_and_of_a_loaded_model_in_memory_and_in_files(bert, tmp_path):
    model, tokenizer = gyebo.load(bert)
    expected, _ = vectors_of(model, tokenizer, TEXTS)
    (tmp_path / "a.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    pandas = pytest.importorskip("pandas")
    for given in (TEXTS, tuple(TEXTS), (t for t in TEXTS), tmp_path / "a.txt", pandas.DataFrame({"review": TEXTS})):
        column = {"text_field": "review"} if isinstance(given, pandas.DataFrame) else {}
        found = gyebo.embed(bert, given, **column)
        assert np.allclose(np.asarray(found), expected, atol=1e-6) and found.shape == (3, 32) and found.cut == 0
    assert np.array_equal(gyebo.embed(model, tokenizer, TEXTS).vectors, expected)
    assert np.array_equal(gyebo.embed((model, tokenizer), TEXTS)[1], expected[1])
    for name in ("x.npy", "x.parquet"):
        found = gyebo.embed(model, tokenizer, TEXTS, out=tmp_path / name, normalize=True)
        assert np.allclose(np.linalg.norm(np.asarray(found)[:2], axis=1), 1, atol=1e-5) and found.out == tmp_path / name
    assert "3 vectors of 32" in repr(found)
    assert "1 texts" in repr(gyebo.embed(model, tokenizer, ["나무 정말 " * 60]))


def test_a_string_is_no_list_of_characters(bert, tuned):
    model, tokenizer = gyebo.load(bert)
    for args in ((bert,), (model, tokenizer)):
        said = refused(gyebo.embed, *args, "하나")
        assert said.startswith("texts=하나: no such file") and "['하나']" in said
    said = refused(gyebo.predict, tuned, "하나")
    assert said.startswith("file=하나: no such file") and "['하나']" in said
    for text in ("아주 긴 글 " * 2000, "두\n줄"):
        assert "is no name of a file: for a text give a list" in refused(gyebo.embed, bert, text)
        assert "is no name of a file: for a text give a list" in refused(gyebo.predict, tuned, text)
    assert "texts must be a list of strings" in refused(vectors_of, model, tokenizer, "하나")
    assert len(gyebo.embed(model, tokenizer, ["하나"])) == 1


def test_what_is_wrong_with_texts_or_a_model_is_one_line(bert, tmp_path):
    model, tokenizer = gyebo.load(bert)
    assert "texts holds no texts, but a int" in refused(gyebo.embed, bert, 3)
    assert "texts: number 1 (from 0) is a int" in refused(gyebo.embed, bert, ["a", 1])
    assert "texts is empty" in refused(gyebo.embed, bert, [])
    assert "model must be a model, or the name of one, but is a int" in refused(gyebo.embed, 3, tokenizer, TEXTS)
    assert "tokenizer must be the tokenizer that gyebo.load gives" in refused(gyebo.embed, model, TEXTS)
    assert "tokenizer is missing" in refused(gyebo.embed, model)
    assert "device=cpu has no effect on a model that is loaded" in refused(gyebo.embed, model, tokenizer, TEXTS, device="cpu")
    assert "overwrite has no effect without out" in refused(gyebo.embed, bert, TEXTS, overwrite=True)
    assert "pooling must be one of" in refused(gyebo.embed, bert, TEXTS, pooling="sum")
    assert "out=x.txt must end with" in refused(gyebo.embed, bert, TEXTS, out="x.txt")
    assert "neither a directory here nor" in refused(gyebo.embed, "no-such-model", TEXTS)


def test_a_model_in_training_mode_is_read_without_dropout_and_stays_so(bert):
    model, tokenizer = gyebo.load(bert)
    expected = gyebo.embed(model, tokenizer, TEXTS).vectors
    model.train()
    assert np.array_equal(gyebo.embed(model, tokenizer, TEXTS).vectors, expected) and model.training


# -- generate and stream


def test_answers_are_those_of_generation(gpt2):
    model, tokenizer = gyebo.load(gpt2)
    options = {"max_new_tokens": 8, "seed": 3, "top_k": 20}
    [expected] = complete(model, tokenizer, ["나무"], **options)
    found = gyebo.generate(gpt2, "나무", **options)
    assert found == expected.text == gyebo.generate(model, tokenizer, "나무", **options) and isinstance(found, str)
    assert found.ids == expected.ids and found.reason == expected.reason
    assert found.log_probability == pytest.approx(expected.log_probability)
    assert "".join(gyebo.stream(model, tokenizer, "나무", **options)) == found == "".join(gyebo.stream(gpt2, "나무", **options))
    assert json.dumps(found.as_dict()) and found.as_dict()["prompt"] == "나무"
    for prompts, samples in ((["나무", "바다"], None), ("나무", 2), (["나무", "바다"], 2)):
        more = options | ({"samples": samples} if samples else {})
        assert gyebo.generate(model, tokenizer, prompts, **more) == plain(model, tokenizer, prompts, **more)
    ids = tokenizer.encode("나무")
    assert gyebo.generate(model, tokenizer, [ids], **options) == plain(model, tokenizer, [ids], **options)
    assert not gyebo.generate(gpt2, "나무", greedy=True, max_new_tokens=4, on_text=lambda text: None)


def test_generation_refuses_in_one_line(gpt2, bert):
    assert "top_k=3 has no effect with greedy" in refused(gyebo.generate, gpt2, "나무", greedy=True, top_k=3)
    assert "prompt holds no texts, but a int" in refused(gyebo.generate, gpt2, 3)
    assert "guard_mode=warn has no effect without guard" in refused(gyebo.generate, gpt2, "a", guard_mode="warn")
    assert "strength has no effect without bag_of_words" in refused(gyebo.generate, gpt2, "a", strength=2)
    assert "precision must be one of" in refused(gyebo.generate, gpt2, "a", precision="int4")
    assert "one text" in refused(gyebo.stream, gpt2, ["a", "b"])


# -- fill


def test_fill(bert):
    model, tokenizer = gyebo.load(bert)
    expected = Filler(model, tokenizer).fill("나무 [MASK] 보았다.", 3)
    found = gyebo.fill(bert, "나무 [MASK] 보았다.", top_k=3)
    assert found.sequence == expected.sequence and found.masks[0][0]["text"] == expected.masks[0][0].text
    assert gyebo.fill(model, tokenizer, ["나무 [MASK] 보았다."], top_k=3) == [found] and expected.sequence in repr(found)
    assert "no [MASK]" in refused(gyebo.fill, bert, "나무")


# -- translate


def test_translate(place, tokenizer_folder, tmp_path):
    own = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["transformer"]))
    shape = {"context": 32, "width": 32, "layers": 1, "decoder_layers": 1, "heads": 2, "inner": 64}
    ids = {f"{role}_id": own.role_ids[role] for role in ("pad", "bos", "eos")}
    torch.manual_seed(0)
    folder = place / "mt"
    save(Transformer(TransformerConfig(own.vocab_size, **shape, **ids)), own, folder)
    found = gyebo.translate(folder, ["나무 정말", ""], beams=1)
    assert len(found) == 2 and found[1] == ""
    assert gyebo.translate(folder, "나무 정말", beams=1) == found[0]
    (tmp_path / "a.txt").write_text("나무 정말\n\n", encoding="utf-8")
    assert gyebo.translate(*gyebo.load(folder), file=tmp_path / "a.txt", out=tmp_path / "b.txt", beams=1) == found
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == f"{found[0]}\n\n"
    assert "b.txt exists already: choose another name, or overwrite it" in refused(
        gyebo.translate, folder, "a", out=tmp_path / "b.txt"
    )
    assert "text and file exclude each other" in refused(gyebo.translate, folder)
    assert "length_penalty has no effect without beams" in refused(gyebo.translate, folder, "a", beams=1, length_penalty=2.0)


# -- predict and evaluate


def test_predictions_of_texts_rows_and_files_are_the_same(tuned, tmp_path):
    texts = [text for text, _ in sentences(5, seed=9)]
    file = table(tmp_path / "new.csv", ("review",), [(text,) for text in texts])
    expected = [row["prediction"] for row in gyebo.predict(tuned, file)]
    pandas = pytest.importorskip("pandas")
    for given in (texts, pandas.Series(texts), [{"review": text} for text in texts], pandas.DataFrame({"review": texts})):
        found = gyebo.predict(tuned, given)
        assert found.predictions == expected and len(found) == 5
    loaded = gyebo.predict(*gyebo.load(tuned), texts, out=tmp_path / "p.jsonl")
    assert loaded.predictions == expected
    assert [
        json.loads(line)["prediction"] for line in (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()
    ] == expected
    assert expected[0] in repr(found) and "<table>" in found._repr_html_()
    assert "text=review has no effect on a list of texts" in refused(gyebo.predict, tuned, texts, text="review")
    assert "file holds no texts" not in refused(gyebo.predict, tuned, [1, 2])


def test_evaluate_tasks_and_texts(tuned, gpt2, place, corpus):
    rows = [{"review": text, "mood": label} for text, label in sentences(40, seed=5)]
    own = {"text": "review", "label": "mood"}
    file = table(place / "test.csv", ("review", "mood"), [tuple(row.values()) for row in rows])
    expected = gyebo.evaluate(tuned, "classification", data=file, **own)
    found = gyebo.evaluate(tuned, "classification", data=rows, **own)
    assert {k: v for k, v in found.items() if k != "measured"} == {k: v for k, v in expected.items() if k != "measured"}
    right = sum(p == r["mood"] for p, r in zip(gyebo.predict(tuned, [r["review"] for r in rows]).predictions, rows))
    assert found["accuracy"] == pytest.approx(right / 40)
    texts = corpus.read_text(encoding="utf-8").splitlines()[:50]
    (place / "some.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    by_name = gyebo.evaluate(gpt2, place / "some.txt")
    assert by_name.as_dict() == gyebo.evaluate(gpt2, texts).as_dict() == gyebo.evaluate(*gyebo.load(gpt2), texts).as_dict()
    assert by_name["documents"] == 50 and f"{by_name['bits_per_byte']:.4f}" in repr(by_name)
    assert "memory=3 has no effect" in refused(gyebo.evaluate, gpt2, texts, memory=3)
    assert "is not a run of gyebo" in refused(gyebo.evaluate, gpt2)
    assert "label has no effect on text" in refused(gyebo.evaluate, gpt2, texts, label="mood")
    assert "among has no effect on anything without measure" in refused(gyebo.evaluate, gpt2, texts, among=3)


# -- draw


def test_draw(place, tokenizer_folder, tmp_path):
    models = saved(place / "drawing", tokenizer_folder)
    found = gyebo.draw(models.drawer, "나무", count=3, seed=2)
    assert found.pictures.shape == (3, 16, 16, 3) and found.pictures.dtype == np.uint8 and found.out is None
    kept = gyebo.draw(*gyebo.load(models.drawer), "나무", count=3, seed=2, out=tmp_path / "a.png", rerank=models.judge)
    scores = [each["score"] for each in kept.candidates]
    order = [each["number"] - 1 for each in kept.candidates]
    assert scores == sorted(scores, reverse=True) and np.array_equal(kept.pictures, found.pictures[order])
    assert (tmp_path / "a.png").is_file() and kept._repr_png_()[:4] == b"\x89PNG" and "score" in repr(kept)
    assert "text is empty" in refused(gyebo.draw, models.drawer, " ")
    assert "text must be one string, but is a list" in refused(gyebo.draw, models.drawer, ["a"])
    assert "let its name end in .png" in refused(gyebo.draw, models.drawer, "a", out="a.jpg")
    assert "draws no pictures" in refused(gyebo.draw, models.judge, "a")


def test_a_loaded_model_stays_as_it_is(gpt2):
    model, tokenizer = gyebo.load(gpt2)
    model.to(torch.bfloat16)
    gyebo.generate(model, tokenizer, "나무", max_new_tokens=2, greedy=True)
    assert model.dtype == torch.bfloat16 and model.device == torch.device("cpu")
