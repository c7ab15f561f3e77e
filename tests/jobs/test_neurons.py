"""Concept neurons: a planted one is found, and what it carries is lost with it; real models of all four families are read."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from gyebo.interchange import load
from gyebo.jobs.inspection.neurons import search
from gyebo.jobs.inspection.neurons.probes import Stimulus, built_in, from_file
from gyebo.jobs.inspection.neurons.report import lines_of
from gyebo.jobs.inspection.neurons.search import Options, inspect_neurons, open_reader
from gyebo.jobs.inspection.neurons.silencing import drawn_units, held_at_means, layers_of
from gyebo.jobs.pretrain import pretrain
from gyebo.nn.hidden_units import units_held
from tests.jobs.drawing_models import saved
from tests.jobs.neuron_models import KNOWN, LAYERS, WORDS_ONLY, Planted
from tests.refusals import option_error

FEW = Options(each=12, permutations=60, top=2, draws=5)


@pytest.fixture
def planted(monkeypatch):
    """A function that looks into the test's own network."""

    def make(out, options=FEW, **kind):
        monkeypatch.setattr(search, "open_reader", lambda name, device: Planted(**kind))
        return inspect_neurons("planted", out, options)

    return make


# ---- the planted unit


def test_a_planted_unit_is_found_where_it_is_and_one_that_answers_to_words_alone_is_not(planted, tmp_path):
    found = planted(tmp_path / "page.html")
    assert found.units_found == 1 and found.concepts_found == 1 and found.concepts_asked == 55 and found.units == 100
    assert {name: layer["found"] for name, layer in found.layers.items()} == {"first": 0, "second": 1}
    first, second = found.concepts
    (unit,) = first.units
    assert (first.group, first.concept, first.name, first.found) == ("colour", "red", "빨간 red", 1)
    assert (unit.layer, unit.unit, unit.number, unit.direction) == (*KNOWN, LAYERS["first"] + KNOWN[1], 1)
    assert unit.p <= 0.05 and unit.auc == {"words": 1.0, "scene": 1.0, "outline": 1.0} and unit.score == 1.0
    assert second.found == 0 and second.units[0].p > 0.05 and not second.effects
    assert (second.units[0].layer, second.units[0].unit) != WORDS_ONLY


def test_without_the_planted_unit_its_concept_is_gone_and_the_others_stay(planted, tmp_path):
    (effect,) = planted(tmp_path / "page.html").concepts[0].effects
    assert effect.units == 1 and effect.kind == "label"
    assert (effect.own.whole, effect.own.silenced) == (1.0, 0.0)
    assert (effect.own.random, effect.own.spread) == (1.0, 0.0) and effect.p == pytest.approx(1 / 6)
    assert effect.others.whole == effect.others.silenced == effect.others.random == 1.0


def test_random_networks_have_none(planted, tmp_path):
    """Ten networks at a level of 5 %, each with 100 units that see noise alone."""
    options = replace(FEW, permutations=30, top=1)
    found = [planted(tmp_path / f"{n}.html", options, planted=False, seed=n).units_found for n in range(10)]
    assert sum(count > 0 for count in found) <= 1


def test_the_page_shows_what_excites_the_unit_and_holds_all_that_it_needs(planted, tmp_path):
    found = planted(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 2 + len(found.concepts) and "빨간 red" in page and "second 7" in page
    own = re.findall(r'<(?:span|figure) class="own">', page)
    assert len(own) >= 3 * 8 and page.count("data:image/png;base64,") == 2 * 2 * 8
    assert not re.search(r'(?:src|href)="(?!data:)', page) and "No unit is found" in page
    lines = list(lines_of(found))
    assert lines[0].startswith("1 of 100 units answer") and any(line.startswith("빨간 red") for line in lines)
    assert json.loads(json.dumps(found.as_dict()))["concepts"][0]["units"][0]["layer"] == "second"


def test_random_units_are_of_the_same_layers_and_others():
    rng, sizes = np.random.default_rng(0), {"a": 5, "b": 4, "c": 9}
    for _ in range(20):
        drawn = drawn_units(sizes, [0, 2, 10], rng)
        assert layers_of(sizes, drawn) == ["a", "a", "c"] and not {0, 2, 10} & set(drawn) and len(set(drawn)) == 3
    assert sorted(drawn_units(sizes, [5, 6, 7], rng))[0] >= 5 and len(drawn_units(sizes, [5, 6, 7], rng)) == 3
    held = held_at_means(Planted(), [3, 47], np.arange(100.0))
    assert {name: (units.tolist(), values.tolist()) for name, (units, values) in held.items()} == {
        "first": ([3], [3.0]),
        "second": ([7], [47.0]),
    }


# ---- real models


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A function that pretrains a tiny model that sees once, and gives its directory."""
    made = {}

    def make(family, run_options):
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family) / "run"
            data = {"corpus": ["world:pictures,200"], "valid_share": 0.1}
            pretrain(run_options(4, family=family, data=data, context=64), made[family])
        return made[family]

    return make


@pytest.fixture(scope="module")
def drawing(tokenizer_folder, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("drawing"), tokenizer_folder)


@pytest.mark.parametrize("family", ["lxmert", "vilbert"])
def test_stimuli_are_read_in_batches_as_alone_and_as_the_model_itself_reads_them(runs, run_options, family):
    reader = open_reader(str(runs(family, run_options)), "cpu")
    probes = built_in(12)
    some = [s for s in probes.stimuli if s.group == "colour"][::5]
    found = reader.activations(some)
    assert found.shape == (len(some), sum(reader.layers.values())) and np.ptp(found, 0).max() > 0
    for number in (0, len(some) // 2, len(some) - 1):
        assert np.abs(reader.activations([some[number]])[0] - found[number]).max() < 1e-5
    (text,) = reader.activations([Stimulus("g", "c", "words", text="빨간 집")])
    ids = torch.tensor([reader.tokenizer("빨간 집")["input_ids"]])
    boxes = torch.tensor([[[0.0, 0, 1, 1, 1][: 4 if family == "lxmert" else 5]] * (1 if family == "lxmert" else 2)])
    features = torch.zeros(1, boxes.shape[1], reader.model.config.feature_size)
    with torch.no_grad():
        layers = reader.model.joint_layers()
        seen = []
        hooks = [layer.down.register_forward_pre_hook(lambda _, x: seen.append(x[0].mean(0))) for layer in layers.values()]
        reader.model.encode(ids, visual_feats=features, visual_pos=boxes)
        for hook in hooks:
            hook.remove()
    order = sorted(part.sum().item() for part in seen)
    sizes = np.cumsum(list(reader.layers.values()))[:-1]
    assert sorted(part.sum() for part in np.split(text, sizes)) == pytest.approx(order, abs=1e-4)


@pytest.mark.slow
def test_a_unit_that_is_planted_in_lxmert_is_found(runs, run_options, tmp_path, monkeypatch):
    """Its weights are those of a ridge regression for red, over the mean input of its layer for each stimulus; a large bias
    keeps the activation in its linear part. Before, it is not found."""
    name, layer, unit = str(runs("lxmert", run_options)), "cross_blocks.0.regions.mlp", 11
    reader, every = open_reader(name, "cpu"), built_in(16)
    stimuli = tuple(s for s in every.stimuli if s.group == "colour")
    monkeypatch.setattr(search, "open_reader", lambda *_: reader)
    monkeypatch.setattr(search, "built_in", lambda *_: replace(every, stimuli=stimuli))

    def found(file):
        result = inspect_neurons(name, tmp_path / file, replace(FEW, top=11, draws=2, permutations=40))
        (red,) = [concept for concept in result.concepts if concept.concept == "red"]
        return red, {(each.layer, each.unit): each for each in red.units}.get((layer, unit))

    assert found("before.html")[1] is None
    network = reader.model.joint_layers()[layer]
    x, styles = _mean_inputs(reader, network, stimuli), np.array([s.style for s in stimuli])
    inside = x - np.array([x[styles == style].mean(0) for style in styles])
    inside /= np.array([inside[styles == style].std() for style in styles])[:, None]
    inside *= np.where(styles == "words", 1.7, 1)[:, None]  # words, which change this layer least, count most
    is_red = np.array([s.concept == "red" for s in stimuli], float)
    ridge = 1e-9 * np.trace(inside.T @ inside) / inside.shape[1] * np.eye(inside.shape[1])
    weights = np.linalg.solve(
        inside.T @ inside + ridge, inside.T @ ((is_red - is_red.mean()) * np.where(styles == "words", 1.7, 1))
    )
    with torch.no_grad():
        network.up.weight[unit] = torch.from_numpy(weights / np.abs(x @ weights).max()).float()
        network.up.bias[unit] = 10.0
    red, planted = found("after.html")
    assert planted is not None and planted.p <= 0.05 and planted.direction == 1 and red.units[0] == planted
    assert {effect.kind for effect in red.effects} == {"label", "told", "word"}


def _mean_inputs(reader, network, stimuli):
    seen, found = [], np.zeros((len(stimuli), network.up.in_features))
    hook = network.up.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    inputs = [reader._input(reader._text(s.text), s.picture) for s in stimuli]
    for numbers, _ in reader._passes(inputs):
        found[numbers] = seen.pop().reshape(len(numbers), -1, network.up.in_features).mean(1)
    hook.remove()
    return found


@pytest.mark.parametrize("family", ["lxmert", "vilbert"])
def test_questions_have_the_answers_of_the_pictures(runs, run_options, family):
    reader = open_reader(str(runs(family, run_options)), "cpu")
    kinds = {}
    for question in reader.questions(built_in(12), "thing")[::7]:
        asked = question.content
        kinds[question.kind] = kinds.get(question.kind, 0) + 1
        if question.kind == "word":
            ids = asked.given.ids.copy()
            assert (ids[list(asked.places)] == reader.objective.ids["mask"]).all()
            ids[list(asked.places)] = asked.right
            names = {english: korean for korean, english in search_names("thing")}
            text = reader.tokenizer.decode(ids.tolist())
            assert text.endswith((question.concept, names[question.concept]))
        elif question.kind == "told":
            names = {english: korean for korean, english in search_names("thing")}
            assert reader.tokenizer.decode(asked.given.ids.tolist()).endswith((question.concept, names[question.concept]))
            assert not asked.given.features.any() and (asked.given.boxes[-1] > 0).sum() > 0 and asked.given.boxes[-1, 2] < 1
        else:
            assert asked.given.features.any() and reader.objective.ids["mask"] in asked.given.ids
        if question.kind != "word":
            assert reader.objective.labels[asked.classes[asked.right[0]]] == question.concept
    assert set(kinds) == {"word", "label", "told"}
    moods = {question.kind for question in reader.questions(built_in(12), "mood")}
    assert moods == ({"word", "label", "told"} if family == "lxmert" else {"word"})
    questions = reader.questions(built_in(12), "size")
    held = {name: (torch.arange(size), torch.zeros(size)) for name, size in reader.layers.items()}
    for units in ({}, held):
        with units_held(reader.model.joint_layers(), units):
            said = [_alone(reader, question.content) for question in questions]
        half = [  # every second question has the right answer that the model gives
            replace(question, content=replace(question.content, right=answer if number % 2 else question.content.right))
            for number, (question, answer) in enumerate(zip(questions, said))
        ]
        right = reader.right(half, units)
        assert right.tolist() == [question.content.right == answer for question, answer in zip(half, said)]
        assert right[1::2].all() and not right.all()


@torch.no_grad()
def _alone(reader, asked):
    """What is answered, by the outputs of a whole forward pass over one question alone."""
    ids, features, boxes = (torch.from_numpy(x)[None] for x in (asked.given.ids, asked.given.features, asked.given.boxes))
    out = reader.model(ids, features, boxes)
    if asked.head == "mlm":
        return tuple(out.prediction_logits[0, list(asked.places)].argmax(-1).tolist())
    logits = out.region_logits[asked.head][0, -1]
    return (max(range(len(asked.classes)), key=lambda number: logits[asked.classes[number]]),)


def search_names(group):
    from gyebo.world.pictures import VALUES

    return VALUES[group]


def test_clip_matches_pictures_with_words(drawing, tmp_path):
    reader = open_reader(str(drawing.judge), "cpu")
    probes = built_in(12)
    assert reader.layers == {"projection": 12}
    questions = reader.questions(probes, "colour")
    model, tokenizer = load(drawing.judge)
    texts = [[s.text for s in probes.stimuli if (s.concept, s.picture) == (c, None)] for c in ("red", "blue")]
    with torch.no_grad():
        words = [
            torch.cat([model.text_vectors(torch.tensor([tokenizer(t)["input_ids"]])) for t in some]).mean(0) for some in texts
        ]
    asked = questions[0].content
    names = list(dict.fromkeys(question.concept for question in questions))
    assert np.abs(asked.words[[names.index("red"), names.index("blue")]] - torch.stack(words).numpy()).max() < 1e-5
    plain = [np.argmax(q.content.words @ q.content.picture) == names.index(q.concept) for q in questions]
    assert (reader.right(questions, {}) == plain).all()
    units = torch.arange(1, 12)
    only = [np.argmax(q.content.words[:, 0] * q.content.picture[0]) == names.index(q.concept) for q in questions]
    assert (reader.right(questions, {"projection": (units, torch.zeros(11))}) == only).all()
    found = inspect_neurons(str(drawing.judge), tmp_path / "clip.html", FEW)
    assert found.units == 12 and found.model == "judge" and (tmp_path / "clip.html").is_file()


@pytest.mark.parametrize("image_first", [False, True])
def test_dalle_is_read_without_being_asked(drawing, image_first):
    reader = open_reader(str(drawing.drawer), "cpu")
    torch.manual_seed(0)
    model = type(reader.model)(replace(reader.model.config, image_first=image_first)).eval()
    model.take_picture_tokenizer(reader.model.picture_tokenizer)
    reader = replace(reader, model=model)
    every = [s for s in built_in(12).stimuli if s.group == "size"]
    some = [s for s in every if s.text is None or len(reader.tokenizer.encode(s.text)) <= 24][:40]
    found = reader.activations(some)
    assert (
        {s.picture is None for s in some} == {True, False}
        and found.shape == (40, 3 * 64)
        and not reader.questions(built_in(12), "size")
    )
    for number in (0, 9, 20):
        assert np.abs(reader.activations([some[number]])[0] - found[number]).max() < 1e-5


# ---- a table of one's own


@pytest.fixture
def photos(tmp_path):
    """A table of two people, by their names, in photographs and in drawings."""
    from PIL import Image

    rng, rows = np.random.default_rng(0), ["concept,style,text,picture"]
    for concept, colour in (("Halle", 40), ("Ada", 200)):
        for number in range(4):
            rows.append(f"{concept},name,{concept} {number},")
            for style in ("photo", "drawing"):
                pixels = np.clip(colour + rng.integers(0, 30, (20, 30, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / f"{concept}-{style}-{number}.png")
                rows.append(f"{concept},{style},,{concept}-{style}-{number}.png")
    (tmp_path / "people.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "people.csv"


@pytest.mark.parametrize("family", ["lxmert", "vilbert", "clip", "dalle"])
def test_every_family_reads_a_table(photos, runs, run_options, drawing, tmp_path, family):
    name = {"clip": drawing.judge, "dalle": drawing.drawer}.get(family) or runs(family, run_options)
    found = inspect_neurons(str(name), tmp_path / "page.html", replace(FEW, level=0.5), probes=photos)
    assert found.stimuli == 24 and list(found.concepts[0].units[0].auc) == ["name", "photo", "drawing"]
    assert [(group.group, group.concepts) for group in found.groups] == [("", 2)]
    for concept in found.concepts:
        assert concept.group == "" and {e.kind for e in concept.effects} <= ({"match"} if family == "clip" else set())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("concept,style,text\na,name,x", "has texts only, and no pictures: a unit has to answer to both"),
        ("concept,style,text,picture\na,name,x,y.png", "row 2: has both of text and picture: give one of them"),
        ("concept,style,text,picture\na,name,,", "row 2: has neither of text and picture"),
        ("concept,style,text,picture\na,name,x,\na,name,,y.png", "the style 'name' has texts and pictures"),
        ("concept,style,word\na,name,x", "row 2: unknown column 'word'; there are concept, style, text"),
        ("concept,text\na,x", "row 2: no style: every stimulus has a concept and a style"),
        ("concept,style,text\na,name", "row 2: 2 fields, but there are 3 columns"),
        ("concept,style,text\n", "no stimuli in it"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, rows, message):
    (tmp_path / "own.csv").write_text(rows + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        from_file(tmp_path / "own.csv")
    assert str(tmp_path / "own.csv") in str(error.value) and "\n" not in str(error.value)


def test_built_in_stimuli_are_alone_and_each_way_has_its_own_scenes():
    probes = built_in(12)
    assert all((s.text is None) != (s.picture is None) for s in probes.stimuli) and len(probes.stimuli) == 55 * 3 * 12
    scenes = {style: {s.picture.picture.seed for s in probes.stimuli if s.style == style} for style in ("scene", "outline")}
    assert not scenes["scene"] & scenes["outline"]
    assert {s.picture.picture.style for s in probes.stimuli if s.style == "outline"} == {"outline"}
    for s in probes.stimuli[:: 7 * 12]:
        if s.picture is not None:
            (region,) = s.picture.regions
            assert s.concept in (region.label, *region.attributes.values())
    assert [s.text for s in built_in(4).stimuli[:4]] == [s.text for s in probes.stimuli[:4]]


# ---- refusals


def test_what_can_not_be_looked_into_is_refused(models, drawing, tmp_path):
    for name, words in ((models("bert"), "a BERT, in which no text meets a picture"), (drawing.codes, "a VQ-VAE, in which no")):
        with pytest.raises(ValueError, match=words) as error:
            inspect_neurons(str(name), tmp_path / "page.html", FEW)
        assert "clip, dalle" in str(error.value) and "lxmert" in str(error.value)
    (tmp_path / "page.html").write_text("mine", encoding="utf-8")
    with option_error("overwrite"):
        inspect_neurons(str(drawing.judge), tmp_path / "page.html", FEW)
    for change in ({"each": 3}, {"level": 0.0}, {"permutations": 5}, {"draws": 1}):
        with option_error(*change):
            Options(**change)
