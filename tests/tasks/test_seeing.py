"""Pictures of examples as regions: what pretraining shows of the same picture, and what is left out."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gyebo.config.run import DataOptions
from gyebo.data import world_pictures
from gyebo.data.prepare import open_corpus, prepare
from gyebo.data.records import STRETCH, Record, Region
from gyebo.models.family import FAMILIES
from gyebo.objectives import alignment, cross_modality
from gyebo.objectives.objective import Setting
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.seeing import FIELD, PictureReading, picture_key, read
from gyebo.tasks.task import Example
from gyebo.text.roles import roles_of
from tests.tasks.feature_texts import tokenizer_of

KIND, LABELS = "visual-classification", ("no", "yes")
CORPUS = "world:pictures,en,30"
PLAIN, WHOLE = PictureReading(regions="boxes"), PictureReading(regions="boxes", whole=True)


def encoded(examples, reading=PLAIN, **options):
    return encode(KIND, examples, tokenizer_of("bpe"), options.pop("labels", LABELS), 24, reading)


def of_world(count=6):
    """Records of the world without their texts, as examples have them, and the examples."""
    found = list(world_pictures.records(world_pictures.source(CORPUS), (0, count)))
    examples = [
        Example(str(n), record.texts[0].text, label="yes", picture=replace(record, texts=())) for n, record in enumerate(found)
    ]
    return found, examples


def halves(width=40, height=20, box=(0.0, 0.0, 20.0, 20.0), mode="RGB"):
    """A picture whose left half is red and whose right half is blue, with a box."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    file = io.BytesIO()
    image.convert(mode).save(file, "JPEG" if mode == "CMYK" else "PNG")
    return Record("my.csv: row 1", file.getvalue(), (), (Region(box),) if box else (), STRETCH)


@pytest.mark.parametrize("family", ["lxmert", "vilbert"])
@pytest.mark.parametrize("regions", ["boxes", "grid"])
def test_a_picture_is_read_as_in_pretraining(family, regions):
    _, examples = of_world()
    module = {"lxmert": cross_modality, "vilbert": alignment}[family]
    tokenizer = tokenizer_of("bpe").for_family(roles_of(FAMILIES[family]))
    split = prepare(open_corpus(DataOptions(corpus=[CORPUS]), hold_out_all=True), tokenizer).valid
    options = module.Options(regions=regions, grid=3)
    objective = module.build(options, Setting(tokenizer, roles_of(FAMILIES[family]), split))
    reading = PictureReading(regions=regions, grid=3, whole=family == "vilbert")
    batch = encoded(examples, reading).batch(range(len(examples)))
    pictures = split.pictures
    seen = 0
    for document, picture in enumerate(pictures.of):
        record = int(picture)
        if record >= len(examples) or document != pictures.first[record]:
            continue
        learned = objective._regions(pictures, record)
        count, first = len(learned["boxes"]), int(reading.whole)
        assert batch["region_document_ids"][record].sum() == count + first
        features, boxes = batch["visual_feats"][record], batch["visual_pos"][record]
        assert np.array_equal(features[first : first + count], learned["features"])
        assert np.array_equal(boxes[first : first + count, :4], learned["boxes"])
        if first:
            assert np.allclose(features[0], learned["features"].mean(0), atol=1e-6)
            assert boxes[0].tolist() == [0, 0, 1, 1, 1]
            area = (learned["boxes"][:, 2] - learned["boxes"][:, 0]) * (learned["boxes"][:, 3] - learned["boxes"][:, 1])
            assert np.allclose(boxes[1 : 1 + count, 4], area)
        seen += 1
    assert seen == len(examples)


def test_pixels_are_those_of_the_box_and_boxes_are_shares():
    found = encoded(
        [Example("1", "red", label="yes", picture=halves()), Example("2", "all", label="no", picture=halves(box=None))]
    )
    batch = found.batch([0, 1])
    assert batch["visual_feats"].shape == (2, 1, 768) and batch["visual_feats"].dtype == np.float32
    assert batch["visual_feats"][0].reshape(-1, 3).tolist() == [[1, -1, -1]] * 256
    assert batch["visual_pos"].tolist() == [[[0, 0, 0.5, 1]], [[0, 0, 1, 1]]]  # without boxes all of it is its region
    whole = batch["visual_feats"][1].reshape(16, 16, 3)
    assert whole[:, :6].reshape(-1, 3).tolist() == [[1, -1, -1]] * 96 and (whole[:, 10:, 2] == 1).all()
    assert batch["labels"].tolist() == [1, 0]


def test_pictures_with_different_numbers_of_regions_are_padded():
    _, examples = of_world(12)
    for reading in (PLAIN, WHOLE):
        found = encoded(examples, reading)
        order = np.array([5, 0, 11, 3])
        batch = found.batch(order)
        for row, number in enumerate(order):
            alone = found.batch([number])
            count = alone["region_document_ids"].shape[1]
            for name in ("visual_feats", "visual_pos"):
                assert np.array_equal(batch[name][row, :count], alone[name][0])
                assert not batch[name][row, count:].any()
            assert batch["region_document_ids"][row].tolist() == [1] * count + [0] * (batch["visual_pos"].shape[1] - count)
        assert found.places.tolist() == [
            len(found.columns["input_ids"][n]) + found.columns["visual_pos"].lengths[n] for n in range(12)
        ]


def test_the_most_regions_are_the_first_ones():
    many = replace(halves(), regions=tuple(Region((float(x), 0.0, x + 4.0, 20.0)) for x in range(0, 36, 4)))
    batch = encoded([Example("1", "a", label="yes", picture=many)], replace(PLAIN, most=4)).batch([0])
    assert batch["visual_pos"][0, :, 0].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])


def test_boxes_or_a_grid_follow_from_the_training_examples():
    with_boxes, without = (Example("1", "a", picture=halves(box=box)) for box in ((0.0, 0.0, 9.0, 9.0), None))
    assert PictureReading().settled([without, with_boxes]).regions == "boxes"
    assert PictureReading().settled([without, without]).regions == "grid"
    assert PictureReading(regions="grid").settled([with_boxes]).regions == "grid"


def test_what_is_left_out_is_not_read():
    _, examples = of_world()
    tokenizer = tokenizer_of("bpe")
    both, text, image = (encoded(examples, replace(PLAIN, left_out=side)) for side in (None, "text", "image"))
    special = [tokenizer.role_ids["cls"], tokenizer.role_ids["sep"]]
    assert [ids.tolist() for ids in map(text.columns["input_ids"].__getitem__, range(6))] == [special] * 6
    assert np.array_equal(text.columns["visual_feats"].values, both.columns["visual_feats"].values)
    assert np.array_equal(image.columns["input_ids"].values, both.columns["input_ids"].values)
    assert "visual_feats" not in image.columns and "region_document_ids" not in image.batch([0])
    assert np.array_equal(both.fixed["labels"], text.fixed["labels"])


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (None, "example 7: has no picture"),
        (replace(halves(), picture=b"GIF89a"), "my.csv: row 1: .*damaged"),
        (replace(halves(), picture=halves().picture[:60]), "my.csv: row 1: the picture is damaged or cut short"),
        (halves(box=(0.0, 0.0, 41.0, 20.0)), r"my.csv: row 1: box 0 \(0, 0, 41, 20\) is not inside the picture of 40 x 20"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(picture, words):
    with pytest.raises(ValueError, match=words):
        encoded([Example("7", "a", label="yes", picture=picture)])


def test_a_picture_of_cmyk_is_read_in_colour():
    features = encoded([Example("1", "a", label="yes", picture=halves(mode="CMYK"))]).batch([0])["visual_feats"]
    red = features.reshape(-1, 3).mean(0)
    assert red[0] > 0.8 and red[1] < -0.8 and red[2] < -0.8


def test_a_kind_that_sees_needs_to_know_how_and_others_do_not():
    example = Example("1", "a", label="yes", picture=halves())
    with pytest.raises(ValueError, match="pictures: visual-classification needs to know how they are read"):
        encode(KIND, [example], tokenizer_of("bpe"), LABELS, 24)
    with pytest.raises(ValueError, match="pictures: classification reads none"):
        encode("classification", [example], tokenizer_of("bpe"), LABELS, 24, PLAIN)


def test_config_json_says_how_pictures_are_read():
    reading = PictureReading(size=32, fit="pad", crop=8, regions="grid", grid=2, most=5, whole=True, left_out="text")
    assert read({FIELD: reading.as_dict()}, "x") == reading
    assert read({FIELD: {}}, "x") == PictureReading() and read({}, "x") is None
    for wrong in (
        [],
        {"size": 0},
        {"size": True},
        {"fit": "cut"},
        {"colour": 1},
        {"whole": 1},
        {"left_out": "both"},
        {"grid": 17},
    ):
        with pytest.raises(ValueError, match=f"config.json: {FIELD}"):
            read({FIELD: wrong}, "config.json")


def test_equal_pictures_have_equal_keys(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(halves().picture)
    same = [halves(), replace(halves(), where="elsewhere"), replace(halves(), picture=path)]
    assert len({picture_key(record) for record in same}) == 1
    others = [halves(box=None), halves(width=42), replace(halves(), fit="pad"), None, *of_world(2)[0]]
    assert len({picture_key(record) for record in [halves(), *others]}) == 7
