"""gyebo evaluate --measure: captions and retrieval of held-out pictures from a corpus, and what is refused."""

import json

import pytest
from PIL import Image

import gyebo
from gyebo.generation.options import GenerationOptions
from gyebo.interchange import save
from gyebo.jobs.evaluate_pictures import measure
from gyebo.world import pictures as drawn
from gyebo.world.pictures.reading import read
from gyebo.world.pictures.sentences import holds
from tests.jobs.drawing_models import SIZE, saved
from tests.refusals import option_error

CORPUS = ["world:pictures,ko,unseen,12"]

pytest.importorskip("sacrebleu")


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer_folder):
    return saved(tmp_path_factory.mktemp("measured"), tokenizer_folder)


def test_captions_are_judged_by_the_scenes_of_their_pictures(models, monkeypatch):
    """Every picture is written about with a caption of the first one: true where that holds."""
    scenes = [picture.scene for picture in drawn.pictures(12, languages=("ko",), unseen=True)]
    [first] = drawn.pictures(1, languages=("ko",), unseen=True)
    text = first.texts[1].text
    told = read(text)

    def written(model, tokenizer, codes, options):
        assert options == GenerationOptions(greedy=True)
        return [type("Answer", (), {"text": text})() for _ in codes]

    monkeypatch.setattr("gyebo.jobs.evaluate_pictures.caption", written)
    found = measure("captions", str(models.captioner), CORPUS)
    right = [holds(told, scene) for scene in scenes]
    assert found["true"] == pytest.approx(sum(right) / 12) and right[0]
    assert found["true_of_others"] == pytest.approx((12 * sum(right) - sum(right)) / (12 * 11))
    assert (found["pictures"], found["different"], found["readable"]) == (12, 1, 1.0)
    others = sum(each is not None for each in (told.relation, told.place, told.count))
    assert (
        found["facts"] == others + sum(len(thing.values) for thing in told.things)
        and 0 < found["bleu"] <= 1
        and 0 < found["chrf"] <= 1
    )


def test_a_random_model_writes_no_truth_and_other_pictures_have_none(models, tmp_path):
    shares = []
    found = measure("captions", str(models.captioner), CORPUS, on_step=shares.append)
    assert found["true"] == found["readable"] == 0.0 and "facts" not in found and shares[-1] == 1.0
    assert measure("captions", str(models.captioner), CORPUS, among=5)["pictures"] == 5
    folder = tmp_path / "own"
    folder.mkdir()
    rows = []
    for number, picture in enumerate(drawn.pictures(4, languages=("ko",))):
        Image.fromarray(picture.draw(SIZE)).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "text": "두 사람이 거리를 걷는다."})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = measure("captions", str(models.captioner), [str(folder)])
    assert found["pictures"] == 4 and "true" not in found and "bleu" in found


def test_captions_without_the_pictures(models, tmp_path):
    found = measure("captions", str(models.captioner), CORPUS, ablate="image")
    assert found["different"] == 1 and found["note"] == "without the pictures"
    model, tokenizer = gyebo.load(models.captioner)
    with option_error("ablate"):
        measure("captions", str(models.captioner), CORPUS, ablate="text")
    model.config.guided = False
    save(model, tokenizer, tmp_path / "other")
    with pytest.raises(ValueError, match="has not learned texts without their picture"):
        measure("captions", str(tmp_path / "other"), CORPUS, ablate="image")


def test_retrieval_of_a_model_that_compares(models):
    found = measure("retrieval", str(models.judge), ["world:pictures,ko,unseen,30"], among=20)
    assert found["pictures"] == 20 and found["texts"] > 20
    assert found["chance_picture_r5"] == pytest.approx(0.25, abs=0.02) and 0 <= found["picture_r1"] <= found["picture_r10"] <= 1
    again = measure("retrieval", str(models.judge), ["world:pictures,ko,unseen,30"], among=20)
    assert found == again
    without = measure("retrieval", str(models.judge), ["world:pictures,ko,unseen,30"], among=20, ablate="image")
    assert without["picture_r10"] == pytest.approx(without["chance_picture_r10"]) and "images" in without["note"]


def test_what_can_not_be_measured_is_refused(models):
    with option_error("measure"):
        measure("accuracy", str(models.judge), CORPUS)
    with option_error("ablate"):
        measure("retrieval", str(models.judge), CORPUS, ablate="sound")
    with option_error("among"):
        measure("retrieval", str(models.judge), CORPUS, among=1)
    with pytest.raises(ValueError, match="does not tell how well a text and a picture belong together"):
        measure("retrieval", str(models.captioner), CORPUS)
    for name in (models.judge, models.drawer):
        with pytest.raises(ValueError, match="writes no captions"):
            measure("captions", str(name), CORPUS)
    with pytest.raises(ValueError, match="is not a run of gyebo"):
        measure("retrieval", str(models.judge))
