"""Families that turn pictures into codes go through the commands of a pretraining; what is about text is refused."""

import copy
import json

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from rich.console import Console
from safetensors.torch import load_file

import gyebo
from gyebo.compare.recipe import parse as parse_recipe
from gyebo.config.run import RunOptions
from gyebo.interchange import save
from gyebo.jobs.embed import embed
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.fill import fill
from gyebo.jobs.finetuning.build import set_up as set_up_finetuning
from gyebo.jobs.generate import generate
from gyebo.jobs.inspection.corruption import inspect_corruption
from gyebo.jobs.inspection.reconstructions import inspect_reconstructions
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up, student_family
from gyebo.jobs.pretraining.planning import plan_run
from gyebo.jobs.verify import verify
from tests.extending.commands import gyebo as command
from tests.jobs.tuning_files import tuning
from tests.refusals import option_error

PICTURES = "world:pictures,90"
SHAPE = {
    "vqvae": {"codes": 12, "code_width": 6, "width": 12, "inner": 8},
    "dvae": {"codes": 12, "code_width": 6, "width": 8},
}
BOTH = pytest.mark.parametrize("family", SHAPE)


def options(family, steps=8, *, model=None, data=None, train=None, **rest):
    return RunOptions.model_validate(
        {
            "family": family,
            "size": "tiny",
            "model": SHAPE[family] | (model or {}),
            "data": {"corpus": [PICTURES], "valid_share": 0.1, **(data or {})},
            "budget": {"steps": steps},
            "train": {"batch_tokens": 512, "precision": "float32", "device": "cpu", **(train or {})},
            **rest,
        }
    )


class Interrupted(Exception):
    pass


def run_until(step, *given, **named):
    """A run that ends before a step, as if it had been killed."""

    def watch(done, seconds):
        if done == step:
            raise Interrupted

    with pytest.raises(Interrupted):
        pretrain(*given, watch=watch, **named)


@pytest.fixture(scope="module", params=list(SHAPE))
def run(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / request.param
    return out, pretrain(options(request.param), out)


def test_a_run_is_trained_stored_and_measured(run):
    out, result = run
    assert result.metric == "squared_error" and 0 < result.valid["squared_error"] < 0.5
    own = {"bits_per_dim", "kl_bits_per_dim"} if result.family == "dvae" else set()
    assert set(result.valid) == {"squared_error", "psnr", "codebook_perplexity", "codes_used"} | own
    assert result.tokens == 8 * 512 and result.samples == []
    again = evaluate(str(out))
    assert {name: again[name] for name in result.valid} == pytest.approx(result.valid, rel=1e-6)
    assert evaluate(str(out), ["world:pictures,20,seed=5"])["squared_error"] != again["squared_error"]
    evaluations = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert sum("evaluation" in line for line in evaluations) == 8 and "codebook_perplexity" in str(evaluations)
    sheet = imread(out / "reconstructions.png")
    assert sheet.shape[0] == 2 * (96 + 2) + 2
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "![Held-out pictures (above), and what their codes restore](reconstructions.png)" in card
    assert "language model" not in card and "on held-out pictures" in card and "model.encode_pixels" in card
    assert not {"tokenizer", "tokenizer.json", "generation_config.json"} & {path.name for path in out.iterdir()}


def test_it_opens_and_what_it_saves_opens(run, tmp_path):
    out, result = run
    model, processor = gyebo.load(out)
    assert processor.tokenizer is None and model.family == result.family and not model.training
    pixels = torch.randint(256, (2, 32, 32, 3), dtype=torch.uint8)
    ids = model.encode_pixels(pixels)
    save(model, None, tmp_path)
    other, _ = gyebo.load(tmp_path)
    assert torch.equal(other.encode_pixels(pixels), ids) and ids.shape == (2, 64)
    assert torch.equal(other.decode_ids(ids), model.decode_ids(ids))
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_it_is_verified_and_a_finished_run_is_found_again(run):
    out, result = run
    assert verify(out, Console(quiet=True))
    assert pretrain(options(result.family), out, resume=True) == result


def test_another_training_begins_where_it_ended(run, tmp_path):
    out, result = run
    further = options(result.family, 1).model_copy(update={"start_from": str(out), "model": {}})
    trainer = set_up(further, tmp_path, None).trainer("float32", 1)
    stored = load_file(out / "model.safetensors")
    assert len(stored) == len(trainer.model.state_dict())
    if result.family == "vqvae":
        assert float(stored["codebook.usage"].sum()) > 0 and torch.equal(trainer.model.codebook.usage, stored["codebook.usage"])
    with option_error("data.picture_size"):
        set_up(further.model_copy(update={"data": further.data.model_copy(update={"picture_size": 16})}), tmp_path, None)


@pytest.mark.parametrize(("family", "model"), [("vqvae", {}), ("vqvae", {"codebook": "loss", "patience": 2}), ("dvae", {})])
def test_a_killed_run_goes_on_to_the_bit(family, model, tmp_path):
    given = options(family, 6, model=model, train={"checkpoint_every": 2})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pretrain(given, whole)
    run_until(3, given, parts)
    run_until(5, given, parts, resume=True)
    pretrain(given, parts, resume=True)
    one, other = (load_file(out / "checkpoints" / "step-6" / "model.safetensors") for out in (whole, parts))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    if family == "vqvae":
        assert int(one["codebook.idle"].min()) >= 0
    losses = [[json.loads(line).get("loss") for line in (out / "metrics.jsonl").open()] for out in (whole, parts)]
    assert losses[0] == losses[1]


def test_micro_batches_equal_one_batch(tmp_path):
    """But for which vectors codes become, which is drawn: here all have begun, and none starts anew."""
    whole, parts = (
        set_up(options("vqvae", train={"micro_batch_tokens": size}), tmp_path, None).trainer("float32", 8)
        for size in (512, 128)
    )
    for trainer in (whole, parts):
        trainer.model.double()
    whole.advance()
    parts.model.load_state_dict(whole.model.state_dict())
    parts.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    parts.step = whole.step
    for _ in range(3):
        assert whole.advance()["loss"] == pytest.approx(parts.advance()["loss"], rel=1e-9)
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], tensor, rtol=1e-6, atol=1e-8)


def test_pictures_have_the_size_that_is_asked_for_or_the_models(tmp_path):
    small = set_up(options("vqvae"), tmp_path, None)
    assert small.rows.split.pictures.size == 32 == small.make_model().config.picture_size and small.batch_rows == 8
    large = set_up(options("vqvae", data={"picture_size": 64}), tmp_path, None)
    assert large.rows.split.pictures.size == 64 == large.make_model().config.picture_size and large.batch_rows == 2
    assert plan_run(large, "float32").flops_per_step == pytest.approx(plan_run(small, "float32").flops_per_step)
    coarse = set_up(options("vqvae", model={"halvings": 3}, data={"picture_size": 64}), tmp_path, None)
    assert coarse.batch_rows == 8


def test_flops_are_those_of_the_pictures_of_a_step(tmp_path):
    setup = set_up(options("dvae"), tmp_path, None)
    model = setup.make_model()
    from gyebo.nn.cost import Workload

    assert setup.flops_per_step(model) == 3 * model.flops(Workload({"tokens": [64] * 8}))


@BOTH
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tokenizer": "a-folder"}, "tokenizer"),
        ({"vocab_size": 512}, "vocab_size"),
        ({"context": 32}, "context"),
        ({"data": {"across_documents": True}}, "data.across_documents"),
        ({"data": {"order": "lanes"}}, "data.order"),
        ({"train": {"evaluate_context": 32}}, "context"),
        ({"train": {"compile": True}}, "train.compile"),
        ({"objective": {"name": "causal"}}, "objective.name"),
    ],
)
def test_options_about_text_are_refused(family, changes, named, tmp_path):
    with option_error(named):
        set_up(options(family, **changes), tmp_path, None)


def test_what_has_no_pictures_is_refused(run, corpus, tmp_path):
    with pytest.raises(ValueError, match=r"small.txt has no pictures, from which it learns: name a corpus of pictures"):
        set_up(options("vqvae", data={"corpus": [str(corpus)]}), tmp_path, None)
    with pytest.raises(ValueError, match="small.txt has no pictures"):
        evaluate(str(run[0]), [str(corpus)])
    with pytest.raises(ValueError, match="unknown option 'model.picture_size'"):
        set_up(options("vqvae", model={"picture_size": 16}), tmp_path, None)
    with pytest.raises(
        ValueError, match=r"less than one batch of .* lower train.batch_tokens \(now 99999\), or bring more pictures$"
    ):
        set_up(options("vqvae", train={"batch_tokens": 99_999}), tmp_path, None)


def test_a_family_that_reads_text_does_not_learn_from_pictures(run_options, tmp_path):
    for name in ("vector-quantisation", "discrete-vae"):
        with option_error("objective.name"):
            set_up(run_options(2, objective={"name": name}), tmp_path, None)


def test_commands_for_text_say_what_they_miss(run, data, tmp_path):
    out, result = run
    (tmp_path / "texts.txt").write_text("나무\n", encoding="utf-8")
    for asked in (
        lambda: generate(str(out), ["나무"], {"max_new_tokens": 2}),
        lambda: fill(str(out), ["[MASK]"]),
        lambda: embed(str(out), str(tmp_path / "texts.txt"), tmp_path / "x.npy"),
    ):
        with pytest.raises(ValueError, match="has no tokenizer"):
            asked()
    for model in (str(out), f"{result.family}:tiny"):
        with pytest.raises(ValueError, match="learns no task|has no tokenizer"):
            set_up_finetuning(tuning(model, data))
    with pytest.raises(ValueError, match="a student learns from"):
        student_family(str(out))
    with pytest.raises(ValueError, match="learns from pictures as they are"):
        inspect_corruption(result.family)
    recipe = {
        "data": {"corpus": ["world:"]},
        "budget": {"steps": 2},
        "candidates": [{"family": "gpt2", "size": "tiny"}, {"family": result.family, "size": "tiny"}],
    }
    with pytest.raises(ValueError, match="reads no text, and only models that do are compared"):
        parse_recipe(recipe, "recipe.toml")


def test_reconstructions_are_shown(run, tmp_path):
    out, _ = run
    sheet = tmp_path / "sheet.png"
    words = ["inspect", "reconstructions", out, "world:pictures,9,seed=3", "-o", sheet, "--examples", 3]
    found = json.loads(command(*words, "--json"))
    model, _ = gyebo.load(out)
    shown = (imread(sheet)[..., :3] * 255).round().astype(np.uint8)
    pictures = [shown[2 + 98 * row : 98 + 98 * row : 3, 2 + 98 * n : 98 + 98 * n : 3] for row in (0, 1) for n in range(3)]
    pixels = torch.from_numpy(np.stack(pictures[:3]))
    assert model.encode_pixels(pixels).tolist() == found["codes"]
    assert np.array_equal(model.decode_ids(torch.tensor(found["codes"])).numpy(), np.stack(pictures[3:]))
    errors = [((a / 255 - b / 255) ** 2).mean() for a, b in zip(pictures[:3], pictures[3:])]
    assert found["squared_error"] == pytest.approx(errors) and len(found["psnr"]) == 3
    lines = command(*words).splitlines()
    assert len(lines) == 4 and lines[0].startswith("picture 1") and f"{found['codebook_perplexity']:.1f}" in lines[3]


def test_what_has_no_codes_shows_no_reconstructions(models, tmp_path):
    with pytest.raises(ValueError, match="which has no codes for pictures; these have: vqvae, dvae"):
        inspect_reconstructions(str(models("gpt2")), [PICTURES], tmp_path / "x.png")
