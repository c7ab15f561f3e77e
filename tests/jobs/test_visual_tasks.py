"""Fine-tuning on texts with pictures: what is read, stored, left out, predicted and refused."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import gyebo
from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.jobs import run_directory
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuned_model import open_model
from gyebo.jobs.finetuning.build import set_up
from gyebo.jobs.finetuning.report import lines, summary
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.picture_reading import reading_of
from gyebo.jobs.predict import predict
from gyebo.jobs.pretrain import pretrain
from gyebo.tasks.seeing import PictureReading
from gyebo.tasks.splits import open_task
from tests.jobs.visual_files import LABELS, described, rows, saved_seeing, table
from tests.refusals import option_error

FAMILIES = ("lxmert", "vilbert")
COLUMNS = {"text": "sentence", "label": "answer", "image": "picture"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def models(tokenizer_folder, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("models"), {}

    def make(family):
        if family not in made:
            made[family] = saved_seeing(folder / family, family, tokenizer_folder)
        return made[family]

    return make


def own(model, data, **options):
    task = {"name": "visual-classification", "data": str(data), **COLUMNS, **options.pop("task", {})}
    return FinetuneOptions(model=str(model), task=TaskOptions(**task), **{"steps": 3, "batch": 8, **options})


@pytest.fixture(scope="module")
def tuned(models, data, tmp_path_factory):
    """A function that fine-tunes a tiny model once and gives (directory, result)."""
    made = {}

    def make(family, ablate=None):
        if (family, ablate) not in made:
            out = tmp_path_factory.mktemp("run") / "run"
            made[family, ablate] = out, finetune(own(models(family), data, ablate=ablate), out)
        return made[family, ablate]

    return make


def answers(model, data, **changed):
    """The probabilities that a model predicts for the examples of a table, with some of their fields changed."""
    opened = open_model(str(model))
    task = TaskOptions(name="visual-classification", data=str(data), **COLUMNS)
    examples = [replace(example, **changed) for example in open_task(task).read(data)]
    found = opened.predict(examples, device="cpu", precision="float32", max_length=None)
    return np.array([[row[label] for label in LABELS] for row in found])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_tuned_stored_evaluated_and_asked(tuned, data, tmp_path, family):
    out, result = tuned(family)
    assert (result.kind, result.answer, result.ablate) == ("visual-classification", "head", None)
    model, tokenizer = gyebo.load(out)
    assert model.labels == LABELS and tokenizer is not None
    assert model.pictures == PictureReading(crop=8, regions="grid", whole=family == "vilbert")
    assert evaluate_task(str(out))["accuracy"] == pytest.approx(result.test["accuracy"])
    gyebo.save(model, tokenizer, tmp_path / "again")
    assert np.array_equal(answers(out, data), answers(tmp_path / "again", data))
    new = table(tmp_path, 6, seed=9, name="new.csv")
    found = predict(str(out), str(new))
    assert [row["prediction"] for row in found] == [max(row["probabilities"], key=row["probabilities"].get) for row in found]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"p": p, "t": t}) + "\n" for p, t, _ in rows(tmp_path, 6, 9)), encoding="utf-8")
    assert [row["probabilities"] for row in predict(str(out), str(other), image="p", text="t")] == [
        row["probabilities"] for row in found
    ]
    again = predict(str(tmp_path / "again"), str(other), image="p", text="t")
    assert [row["probabilities"] for row in again] == [row["probabilities"] for row in found]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_left_out_has_no_influence_and_the_other_side_has(models, data, tmp_path, family):
    red = replace(next(_examples(data)).picture, picture=_png((9, 200, 9)))
    for ablate in (None, "text", "image"):
        setup, out = set_up(own(models(family), data, ablate=ablate)), tmp_path / str(ablate)
        gyebo.save(setup.make_model(), setup.tokenizer, out)
        plain = answers(out, data)
        assert np.array_equal(answers(out, data, text="영화 노래") == plain, np.full_like(plain, ablate == "text", bool))
        assert np.array_equal(answers(out, data, picture=red) == plain, np.full_like(plain, ablate == "image", bool))
        assert (plain.std(0) > 0).all()


def _examples(data):
    from gyebo.tasks.data.own_file import user_task

    return user_task("visual-classification", "sentence", None, "answer", "picture").read(data)


def _png(colour):
    file = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(file, "PNG")
    return file.getvalue()


def test_an_ablation_is_told_wherever_a_result_is(tuned, models, data):
    out, result = tuned("lxmert", "image")
    assert run_directory.read(out)["options"]["ablate"] == result.ablate == "image"
    assert "without the images of its examples" in (out / "README.md").read_text(encoding="utf-8")
    assert "--ablate image" in (out / "README.md").read_text(encoding="utf-8")
    assert "without the images" in lines(summary([result]))[0]
    assert "image of each example is left out" in evaluate_task(str(out))["note"]
    assert gyebo.load(out)[0].pictures.left_out == "image"
    fresh = reading_of(str(out), gyebo.load(out)[0])
    assert fresh.left_out is None and fresh.regions == "grid"  # what is trained on from here sees again


def test_an_ablation_without_pictures_is_refused(models, data, tmp_path):
    options = {"task": {"name": "classification", "image": None}, "ablate": "image"}
    with option_error("ablate"):
        set_up(own(models("lxmert"), data, **options))


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_read_as_in_pretraining(run_options, tmp_path, family):
    data = {"corpus": ["world:pictures,ko,60"], "valid_share": 0.2, "picture_size": 32, "crop_size": 8, "picture_fit": "pad"}
    objective = {"regions": "grid", "grid": 3, "most_regions": 7}
    pretrain(run_options(1, family=family, data=data, objective=objective), tmp_path / "run")
    expected = PictureReading(size=32, fit="pad", crop=8, regions="grid", grid=3, most=7, whole=family == "vilbert")
    assert reading_of(tmp_path / "run", gyebo.load(tmp_path / "run")[0]) == expected
    setup = set_up(own(tmp_path / "run", table(tmp_path / "t"), steps=1))
    batch = setup.rows.step(0, 8, 0)
    first = int(family == "vilbert")
    assert batch["visual_feats"].shape == (8, 9 + first, 192)
    assert setup.make_model().pictures == expected


def test_what_cannot_be_read_is_told_in_a_line(models, data, tmp_path):
    lxmert, good = models("lxmert"), rows(tmp_path, 8)
    with pytest.raises(ValueError, match="has pictures, which BERT does not see: .*lxmert:mini or vilbert:mini"):
        set_up(own("bert:tiny", data, tokenizer=str(lxmert)))
    with pytest.raises(ValueError, match=r"my\.csv: no column 'photo'; available: picture, sentence, answer"):
        set_up(own(lxmert, data, task={"image": "photo"}))
    (tmp_path / good[3][0]).unlink()
    broken = tmp_path / "broken.csv"
    broken.write_text("picture,sentence,answer\n" + "".join(",".join(row) + "\n" for row in good), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"broken\.csv: row 5: the picture pictures/0-3\.png is missing in "):
        set_up(own(lxmert, broken))
    (tmp_path / good[3][0]).write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(ValueError, match=r"broken\.csv: row 5: "):
        set_up(own(lxmert, broken, task={"test": str(data)}))
    with option_error("image"):
        set_up(own(lxmert, data, task={"name": "classification"}))
    with pytest.raises(ValueError, match="one text"):
        set_up(own(lxmert, data, task={"pair": "answer"}))


@pytest.mark.parametrize("family", FAMILIES)
def test_features_of_a_detector_are_read_for_a_task(family, tokenizer_folder, data, tmp_path, cli):
    """By the pictures' names, which need not be there; in training, on a test set, and for new rows."""
    file, regions = described(tmp_path)
    model = saved_seeing(tmp_path / "given", family, tokenizer_folder, crop=None, feature_size=6)
    asked = own(model, file, task={"features": str(regions)})
    (part,) = set_up(asked).tasks
    first = part.data.train[0].picture.picture
    with np.load(regions) as stored:
        place = 3 * list(stored["names"]).index(first.name)
        expected = stored["features"][place : place + 3]
    if family == "vilbert":  # the whole picture, as the mean of its regions, comes first
        expected = np.concatenate([expected.mean(0, keepdims=True), expected])
    np.testing.assert_allclose(part.features["train"].batch([0])["visual_feats"][0], expected, atol=1e-6)
    result = finetune(asked, tmp_path / "run")
    assert evaluate_task(str(tmp_path / "run"))["accuracy"] == result.test["accuracy"]
    words = ["--image", "picture", "--text", "sentence", "--features", regions]
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "run", moved, ignore=shutil.ignore_patterns("run.toml", "checkpoints"))
    found = cli("predict", moved, file, *words)
    assert found.code == 0 and len(found.out.splitlines()) == 64, found.err
    assert {json.loads(line)["prediction"] for line in found.out.splitlines()} <= set(LABELS)
    without = cli("predict", moved, data, *words[:-2])
    assert without.code == 2 and "features of a detector (6 numbers a region)" in without.err, without.err
    assert "give their file with --features" in without.err


def test_features_that_do_not_fit(models, tokenizer_folder, data, tmp_path):
    file, regions = described(tmp_path)
    given = saved_seeing(tmp_path / "given", "lxmert", tokenizer_folder, crop=None, feature_size=6)
    for task, words in (
        ({}, "reads features of a detector"),
        ({"features": str(tmp_path / "no.npz")}, "no such file of region"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            set_up(own(given, data, task=task))
    with option_error("features"):
        set_up(
            own(
                saved_seeing(tmp_path / "other", "lxmert", tokenizer_folder, crop=None, feature_size=5),
                file,
                task={"features": str(regions)},
            )
        )
    with option_error("features"):
        set_up(own(models("lxmert"), file, task={"features": str(regions)}))
    with option_error("features"):
        set_up(own(given, file, task={"name": "classification", "image": None, "features": str(regions)}))
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines, "pictures/unknown.png,나무,yes"]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no features of the picture 'pictures/unknown.png'"):
        set_up(own(given, file, task={"features": str(regions)}))


def test_examples_of_one_picture_share_a_split(models, tmp_path):
    """Several questions about a picture: what was seen in training is not tested."""
    named = [(f"pictures/0-{n % 64}.png", f"{n} {text}", label) for n, (_, text, label) in enumerate(rows(tmp_path, 192))]
    path = tmp_path / "many.csv"
    path.write_text("picture,sentence,answer\n" + "".join(",".join(row) + "\n" for row in named), encoding="utf-8")
    data = set_up(own(models("lxmert"), path)).data
    groups = [{example.group for example in part} for part in (data.train, data.valid, data.test)]
    assert sum(map(len, groups)) == 64 and not groups[0] & groups[1] and not groups[0] & groups[2]


def test_micro_batches_are_the_whole_batch(models, data):
    def after(micro):
        trainer = set_up(own(models("vilbert"), data, micro_batch=micro, dropout=0.0, body_dropout=0.0))
        trainer = trainer.trainer(trainer.plan("float32"))
        record = trainer.advance()
        return record["loss"], torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

    (whole, weights), (parts, others) = after(None), after(3)
    assert whole == pytest.approx(parts, abs=1e-5)
    assert (weights - others).abs().max() < 1e-4
