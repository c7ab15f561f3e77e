"""What LXMERT and ViLBERT learn: the statistics of the papers, the losses of the authors' code and of transformers, no leak."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.boxes import overlaps, with_area
from gyebo.data.picture_plans import pictures_of
from gyebo.data.prepare import open_corpus, prepare
from gyebo.models.family import FAMILIES
from gyebo.models.lxmert import Lxmert, LxmertConfig
from gyebo.models.vilbert import Vilbert, VilbertConfig
from gyebo.objectives import alignment, cross_modality
from gyebo.objectives.objective import Setting
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.objectives.test_masked import within
from tests.refusals import option_error

CORPUS = "world:pictures,ko,400,statements,questions"
CONTEXT = 32
MODULES = {"lxmert": cross_modality, "vilbert": alignment}


def opened(corpus, tokenizer, **options):
    return prepare(open_corpus(DataOptions(corpus=[corpus], **options)), tokenizer).train


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from gyebo.data.prepare import training_texts

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(training_texts(open_corpus(DataOptions(corpus=[CORPUS]))), "bpe", 400).save(folder)
    return Tokenizer.load(folder).for_family(roles_of(FAMILIES["lxmert"]))


@pytest.fixture(scope="module")
def split(tokenizer):
    return opened(CORPUS, tokenizer, valid_share=0.02)


@pytest.fixture(scope="module")
def build(tokenizer, split):
    def make(family, *, text=None, **options):
        module = MODULES[family]
        return module.build(module.Options(**options), Setting(tokenizer, roles_of(FAMILIES[family]), text or split))

    return make


def batch_of(objective, split, count=None, seed=0, first=0):
    plan = objective.plan(split, CONTEXT, 0)
    rows = Rows(split, plan, objective)
    numbers = np.arange(first, len(plan) if count is None else first + count)
    return rows.batch(numbers, [[seed, 0]] * len(numbers)), rows


def tensors(batch):
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def originals(rows, objective, count):
    return [objective.read(rows.split, rows.plan.row(row)[0], 0) for row in range(count)]


# -- which text is beside which picture


@pytest.mark.parametrize("family", MODULES)
def test_half_of_the_texts_are_about_another_picture(family, build, split):
    objective = build(family)
    batch, rows = batch_of(objective, split)
    matched = batch[objective.matching] == (1 if family == "lxmert" else 0)
    within(matched.mean(), 0.5, len(matched))
    false = other = 0
    pictures = pictures_of(split)
    for row, example in enumerate(originals(rows, objective, len(matched))):
        real = batch["document_ids"][row] > 0
        ids = np.where(batch["labels"][row] == IGNORE, batch["input_ids"][row], batch["labels"][row])[real][1:-1]
        assert np.array_equal(ids, example["input_ids"]) or not matched[row]
        if not matched[row]:
            statements = [
                split.read(int(d), 0, len(ids)).tolist() for d in pictures.documents(int(example["picture"][0]), "false")
            ]
            false += ids.tolist() in statements
            other += 1
    within(false / other, 0.5, other)


@pytest.mark.parametrize("family", MODULES)
def test_nothing_is_exchanged_in_an_evaluation(family, build, split):
    objective = build(family, rate=0.4, region_rate=0.5).for_evaluation()
    batch, _ = batch_of(objective, split)
    assert (batch[objective.matching] == (1 if family == "lxmert" else 0)).all()
    real = batch["region_document_ids"] > 0
    real[:, 0] &= family == "lxmert"
    within((batch["region_masked"] > 0)[real].mean(), 0.15, real.sum())
    always, _ = batch_of(replace(objective, always=True), split, 50)
    assert (always[objective.matching] == (0 if family == "lxmert" else 1)).all()


# -- masked regions


def test_masked_regions_of_lxmert(build, split):
    """80 % zeros, 10 % of another picture, 10 % as they are; the target is what was there, the box stays."""
    objective = build("lxmert")
    batch, rows = batch_of(objective, split)
    real, masked = batch["region_document_ids"] > 0, batch["region_masked"] > 0
    within(masked[real].mean(), 0.15, real.sum())
    shown, target = batch["visual_feats"][masked], batch["region_targets"][masked]
    zero, same = ~shown.any(1), (shown == target).all(1)
    within(zero.mean(), 0.8, len(zero))
    within(same.mean(), 0.1, len(zero))
    assert np.array_equal(batch["visual_feats"][real & ~masked], batch["region_targets"][real & ~masked])
    for row, example in enumerate(originals(rows, objective, 40)):
        here = real[row]
        assert np.array_equal(batch["region_targets"][row][here], example["features"])
        assert np.array_equal(batch["visual_pos"][row][here], example["boxes"])
        assert np.array_equal(batch["region_labels"][row][here], example["labels"])
    assert (batch["visual_pos"][real] >= 0).all() and (batch["visual_pos"][real] <= 1).all()


def test_masked_regions_of_vilbert(build, split):
    """90 % zeros, 10 % as they are; IMG is the mean over places that do not overlap a masked region."""
    objective = build("vilbert", region_rate=0.4)
    batch, rows = batch_of(objective, split)
    masked = batch["region_masked"] > 0
    assert not masked[:, 0].any() and (batch["region_labels"][:, 0] == IGNORE).all()
    assert np.array_equal(batch["visual_pos"][:, 0], np.tile([0, 0, 1, 1, 1], (len(masked), 1)))
    within((~batch["visual_feats"][masked].any(1)).mean(), 0.9, masked.sum())
    assert (batch["region_labels"][~masked] == IGNORE).all()
    for row, example in enumerate(originals(rows, objective, 60)):
        here = batch["region_document_ids"][row] > 0
        shown, n = batch["visual_feats"][row][here][1:], len(example["boxes"])
        assert np.array_equal(batch["visual_pos"][row][here][1:], with_area(example["boxes"]))
        hidden = 0
        for number in range(n):  # by hand, place by place
            near = [overlaps(example["boxes"])[number, other] > 0.4 for other in range(n) if masked[row][here][1:][other]]
            hidden += any(near)
        expected = sum(shown) / max(1, objective.most - hidden)
        assert np.allclose(batch["visual_feats"][row, 0], expected, atol=1e-5)


def test_attributes_are_drawn_and_labels_are_those_of_the_world(build, split):
    objective = build("lxmert")
    pictures = pictures_of(split)
    assert objective.labels == pictures.labels and len(objective.attributes) == sum(map(len, pictures.attributes.values()))
    first, _ = batch_of(objective, split, 60)
    second, _ = batch_of(objective, split, 60, seed=1)
    real = first["region_document_ids"] > 0
    assert np.array_equal(first["region_labels"], second["region_labels"])
    assert (first["region_attributes"] != second["region_attributes"])[real].mean() > 0.2
    rows = batch_of(objective, split, 60)[1]
    for row in range(60):
        found = pictures.regions(int(originals(rows, objective, 60)[row]["picture"][0])) if row < 5 else None
        if found is not None:
            for number, label in enumerate(first["region_attributes"][row][real[row]]):
                name, _, value = objective.attributes[label].partition(": ")
                assert pictures.attributes[name][found.attributes[name][number]] == value


def test_answers_only_where_the_question_is_about_the_picture(build, split):
    objective = build("lxmert")
    batch, _ = batch_of(objective, split)
    asked = batch["answer"] != IGNORE
    assert asked.any() and (batch["match"][asked] == 1).all() and batch["answer"].max() < len(objective.answers)
    without = build("lxmert", answers=False, labels=False)
    assert without.parts["answer"] is without.parts["object"] is False
    assert {field.name for field in without.fields}.isdisjoint({"answer", "region_labels", "region_attributes"})


def test_a_grid_where_no_boxes_are_asked_for(build, split):
    objective = build("lxmert", regions="grid", grid=2)
    batch, rows = batch_of(objective, split, 5)
    assert objective.most == 4 and not objective.labels and "region_labels" not in batch
    pixels = pictures_of(split).read(int(originals(rows, objective, 1)[0]["picture"][0]))
    half = len(pixels) // 2
    quarter = pixels[:half, half:].reshape(16, half // 16, 16, half // 16, 3).mean((1, 3)) / 127.5 - 1
    assert np.abs(batch["region_targets"][0, 1].reshape(16, 16, 3) - quarter).max() < 0.01


# -- losses


def lxmert(objective, **options):
    shape = {"vocab_size": 400, "context": CONTEXT, "width": 24, "layers": 2, "heads": 2, "inner": 20, "init_std": 0.3}
    torch.manual_seed(0)
    config = LxmertConfig(**shape, region_layers=1, cross_layers=1, **objective.shape | {"crop": None} | options)
    return Lxmert(replace(config, **dict(objective.parts.items()))).eval()


@torch.no_grad()
def test_the_losses_of_lxmert_are_those_of_transformers(build, split, tmp_path):
    """On rows that are full of regions, as theirs counts what pads a picture; with confidences, which both weigh labels by."""
    import transformers

    from gyebo.interchange import save

    objective = build("lxmert")
    batch, _ = batch_of(objective, split, 300)
    full = (batch["region_document_ids"] > 0).all(1)
    batch = tensors({name: values[full] for name, values in batch.items()})
    assert len(batch["match"]) > 20 and (batch["answer"] != IGNORE).any()
    random = torch.Generator().manual_seed(0)
    for head in ("object", "attribute"):
        batch[f"{head}_confidences"] = torch.rand(batch["region_labels"].shape, generator=random)
    model = lxmert(objective)
    save(model, None, tmp_path)
    theirs = transformers.LxmertForPreTraining.from_pretrained(tmp_path).eval()
    theirs.visual_loss_normalizer = objective.options.normalizer
    given = {
        "input_ids": batch["input_ids"],
        "attention_mask": (batch["document_ids"] > 0).long(),
        "visual_feats": batch["visual_feats"],
        "visual_pos": batch["visual_pos"],
    }
    found = {
        name: weight * total / objective.counts(batch)[name] for name, (total, weight) in objective.loss(model, batch).items()
    }
    labels = {
        "obj": (batch["region_labels"], batch["object_confidences"]),
        "attr": (batch["region_attributes"], batch["attribute_confidences"]),
        "feat": (batch["region_targets"], batch["region_masked"].float()),
    }
    for terms, asked in (
        (("mlm",), {"labels": batch["labels"]}),
        (("match",), {"matched_label": batch["match"]}),
        (("answer",), {"ans": batch["answer"]}),
        (("object", "attribute", "feature"), {"obj_labels": labels}),
    ):
        expected = theirs(**given, **asked).loss
        assert abs(float(sum(found[term] for term in terms)) - float(expected)) < 1e-4 * max(1.0, float(expected)), terms


def vilbert(objective, **options):
    shape = {"vocab_size": 400, "context": CONTEXT, "width": 24, "layers": 2, "heads": 2, "inner": 20, "init_std": 0.3}
    image = {"image_width": 16, "image_layers": 1, "image_heads": 2, "image_inner": 12, "co_width": 20, "co_heads": 2}
    torch.manual_seed(0)
    own = objective.shape | {"crop": None, "text_at": (1,), "image_at": (0,)} | options
    return Vilbert(replace(VilbertConfig(**shape, **image, **own), **objective.parts)).eval()


@torch.no_grad()
def test_the_losses_of_vilbert_are_those_of_the_paper(build, split):
    objective = build("vilbert", region_rate=0.4)
    batch = tensors(batch_of(objective, split, 40)[0])
    model = vilbert(objective)
    out = model(
        batch["input_ids"],
        batch["visual_feats"],
        batch["visual_pos"],
        (batch["document_ids"] > 0).long(),
        (batch["region_document_ids"] > 0).long(),
    )
    sure = torch.rand(batch["region_labels"].shape, generator=torch.Generator().manual_seed(0))
    for confidences in (None, sure):
        given = batch | ({} if confidences is None else {"region_confidences": confidences})
        terms, counts = objective.loss(model, given), objective.counts(given)
        labels = batch["region_labels"]
        at = labels != IGNORE
        p = torch.zeros(*labels.shape, model.config.classes)
        share = torch.ones_like(sure) if confidences is None else confidences
        p += ((1 - share) / (model.config.classes - 1))[..., None]
        p.scatter_(2, labels.clamp(min=0)[..., None], share[..., None])
        wanted = F.kl_div(out.region_logits["region"].log_softmax(-1)[at], p[at], reduction="sum") / at.sum()
        total, weight = terms["region"]
        assert weight == 1 and float(total / counts["region"]) == pytest.approx(float(wanted), rel=1e-4)
    expected = F.cross_entropy(out.cross_relationship_score, batch["alignment"])
    assert float(terms["alignment"][0] / counts["alignment"]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("family", MODULES)
def test_no_nan_without_masked_regions(family, build, split):
    objective = build(family, region_rate=1e-9)
    batch = tensors(batch_of(objective, split, 6)[0])
    assert not batch["region_masked"].any()
    model = (lxmert if family == "lxmert" else vilbert)(objective)
    counts, terms = objective.counts(batch), objective.loss(model, batch)
    assert all(torch.isfinite(total) for total, _ in terms.values())
    sum(total for total, _ in terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert counts["region" if family == "vilbert" else "mlm"] == (0 if family == "vilbert" else counts["mlm"])
    if family == "lxmert":
        assert float(terms["feature"][0].detach()) == 0 and counts["feature"] > 0


def test_words_and_regions_of_another_picture_may_be_left_out(build, split):
    objective = build("vilbert", on_mismatch=False, region_rate=0.5)
    batch, _ = batch_of(objective, split, 200)
    other = batch["alignment"] == 1
    for name in ("labels", "region_labels"):
        assert (batch[name][other] == IGNORE).all() and (batch[name][~other] != IGNORE).any()


# -- features of a detector


@pytest.fixture(scope="module")
def detected(tmp_path_factory):
    """A folder of four pictures with captions, and the path of a file with features of each."""
    from PIL import Image

    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    names = [f"scene {number}" for number in range(4)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (20, 20, 3)).astype(np.uint8)).save(folder / f"{name}.png")
    rows = (f'{{"file_name": "{name}.png", "text": "하늘 {number}"}}' for number, name in enumerate(names))
    (folder / "captions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    corners = np.sort(random.random((10, 2, 2)), axis=1).reshape(10, 4)
    arrays = {
        "names": np.array(names),
        "counts": np.array([1, 4, 2, 3]),
        "boxes": corners,
        "features": random.standard_normal((10, 6)),
        "labels": np.arange(10) % 5,
        "confidences": random.random(10),
        "attributes": np.arange(10) % 3,
        "attribute_confidences": random.random(10),
    }
    np.savez(folder.parent / "found.npz", **arrays)
    return folder, folder.parent / "found.npz", arrays


@pytest.mark.parametrize("family", MODULES)
def test_regions_of_a_detector(family, build, tokenizer, detected):
    folder, file, arrays = detected
    text = opened(str(folder), tokenizer, valid=str(folder))
    objective = build(family, text=text, features=str(file), most_regions=3)
    assert objective.shape["crop"] is None and objective.feature_size == 6 and len(objective.labels) == 5
    batch, rows = batch_of(objective.for_evaluation(), text)
    first = family == "vilbert"
    starts = dict(zip(arrays["names"].tolist(), np.cumsum([0, *arrays["counts"]])))
    for row in range(len(rows.plan)):
        name = pictures_of(text).files[int(originals(rows, objective, row + 1)[row]["picture"][0])]
        here = np.flatnonzero(batch["region_document_ids"][row])[int(first) :]
        part = slice(starts[name], starts[name] + min(3, int(arrays["counts"][list(arrays["names"]).index(name)])))
        assert np.allclose(batch["visual_pos"][row, here][:, :4], arrays["boxes"][part])
        seen = batch["region_masked"][row, here] == 0
        assert np.allclose(batch["visual_feats"][row, here][seen], arrays["features"][part][seen])
        sure = batch["region_confidences" if first else "object_confidences"][row, here]
        assert np.allclose(sure, arrays["confidences"][part])
        if not first:
            assert np.array_equal(batch["region_attributes"][row, here], arrays["attributes"][part])
    model = (vilbert if first else lxmert)(objective)
    assert all(torch.isfinite(total) for total, _ in objective.loss(model, tensors(batch)).values())


def test_pictures_that_the_file_lacks_are_refused(build, tokenizer, split, detected):
    folder, file, arrays = detected
    np.savez(file.parent / "few.npz", **{k: v[:2] if len(v) == 4 else v[:5] for k, v in arrays.items()})
    for text, path in ((opened(str(folder), tokenizer, valid=str(folder)), file.parent / "few.npz"), (split, file)):
        with option_error("objective.features"):
            build("lxmert", text=text, features=str(path))
    with pytest.raises(ValidationError, match="regions = grid has no effect with features"):
        cross_modality.Options(features=str(file), regions="grid")


# -- what is refused


def test_a_corpus_without_pictures_is_refused(build, tokenizer, corpus):
    text = opened(str(corpus), tokenizer)
    for family in MODULES:
        with option_error("data.corpus"):
            build(family, text=text)


@pytest.mark.parametrize(
    ("module", "options", "said"),
    [
        (cross_modality, {"zero_share": 0.8, "other_share": 0.3}, "more than 1"),
        (cross_modality, {"mask_share": 0.8, "random_share": 0.3}, "more than 1"),
        (alignment, {"swap": 1.0}, "swap"),
        (alignment, {"other_share": 0.1}, "other_share"),
        (alignment, {"most_regions": 0}, "most_regions"),
    ],
)
def test_wrong_options_are_refused(module, options, said):
    with pytest.raises(ValidationError, match=said):
        module.Options(**options)
