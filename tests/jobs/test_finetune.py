"""Fine-tuning on small files: it learns, keeps the best weights, goes on to the same bits, and opens in transformers."""

import json
import os
import signal
import statistics
from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import classification_report

from gyebo.config import toml
from gyebo.config.finetune import LearningOptions
from gyebo.interchange import load
from gyebo.jobs import run_directory
from gyebo.jobs.finetune import finetune_seeds
from gyebo.jobs.finetuning import run as job
from gyebo.jobs.finetuning.build import set_up
from gyebo.jobs.finetuning.report import card, command_of, summary
from gyebo.jobs.finetuning.run import finetune, replayed, since_best
from gyebo.jobs.results import SeedSummary, TaskResult
from gyebo.models.family import FAMILIES
from gyebo.tasks.splits import read_task
from gyebo.training import checkpoint, log
from gyebo.training.loop import Stopped
from gyebo.training.optimizer import make_optimizer
from gyebo.training.trainer import Trainer
from tests.jobs.tuning_files import (
    json_lines,
    table,
    tagged,
    tuning,
)
from tests.refusals import option_error

TUNED = ("gpt2", "bert", "roberta", "distilbert")


@pytest.fixture(scope="module")
def tuned(models, data, tmp_path_factory):
    """A finished run on BERT: (options, directory, result)."""
    options, out = tuning(models("bert"), data, epochs=3), tmp_path_factory.mktemp("tuned") / "run"
    return options, out, finetune(options, out)


def root(out):
    return load_file(out / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- learning ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TUNED)
def test_each_family_learns_what_can_be_told_apart(models, data, tmp_path, family):
    result = finetune(tuning(models(family), data, epochs=6, evaluations=1, optim={"lr": 3e-3}), tmp_path / "run")
    labels = Counter(example.label for example in read_task(tuning("x", data).task).test)
    assert max(labels.values()) / labels.total() < 0.7  # always the same answer
    assert result.test["accuracy"] > 0.85 and result.valid["accuracy"] > 0.85
    assert result.family == family and result.measured == "a tenth held out"


@pytest.mark.parametrize("family", ["gpt2", pytest.param("roberta", marks=pytest.mark.slow)])
def test_it_learns_from_scratch(data, tokenizer_folder, tmp_path, family):
    options = tuning(f"{family}:tiny", data, epochs=6, evaluations=1, tokenizer=str(tokenizer_folder))
    result = finetune(options, tmp_path / "run")
    assert result.test["accuracy"] > 0.85 and result.lr == 1e-3
    model, tokenizer = load(tmp_path / "run")
    assert model.config.vocab_size == tokenizer.vocab_size == 400
    assert "from scratch" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", TUNED)
def test_the_dropout_of_the_body_is_the_models_or_as_asked(models, data, family):
    trained = set_up(tuning(models(family), data)).make_model().body
    body = set_up(tuning(models(family), data, body_dropout=0.25)).make_model().body
    rates = ("embedding_dropout", "attention_dropout", "residual_dropout")
    assert {getattr(body.config, rate) for rate in rates} == {0.25}
    assert {layer.dropout for layer in body.modules() if hasattr(layer, "dropout")} == {0.25}
    assert {getattr(trained.config, rate) for rate in rates} != {0.25}
    assert same(trained.state_dict(), body.state_dict())


def test_bpe_dropout_cuts_words_anew_in_each_epoch(models, data):
    """From (seed, epoch) alone: the same in another process, in parts of a step, and after a resumption."""
    rows, again = (set_up(tuning(models("bert"), data, bpe_dropout=0.3)).rows for _ in range(2))
    plain = set_up(tuning(models("bert"), data)).rows
    epoch = -(-len(rows) // 16)  # steps
    later, first = again.step(epoch, 16, 0), again.step(0, 16, 0)
    assert all((rows.step(0, 16, 0)[name] == first[name]).all() for name in first)
    assert all((rows.step(epoch, 16, 0)[name] == later[name]).all() for name in later)
    size = first["document_ids"].sum()
    assert size > plain.step(0, 16, 0)["document_ids"].sum() and (first["labels"] == plain.step(0, 16, 0)["labels"]).all()
    assert rows.step(0, 16, 0, 0, 4)["document_ids"].sum() + rows.step(0, 16, 0, 4)["document_ids"].sum() == size
    epochs = [rows.of_epoch(number).columns["input_ids"].values.tolist() for number in (0, 1)]
    assert epochs[0] != epochs[1]


def test_bpe_dropout_is_refused_where_it_has_no_meaning(models, tmp_path):
    file = json_lines(tmp_path / "tags.jsonl", tagged(40))
    with option_error("bpe_dropout"):
        set_up(tuning(models("bert"), file, "tagging", bpe_dropout=0.1))


def test_what_a_run_leaves(tuned, data):
    _, out, result = tuned
    names = {path.name for path in out.iterdir() if not path.name.startswith("events")}
    assert names == {
        *("README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "run.toml"),
        *("metrics.jsonl", "predictions.jsonl", "per-example.npz", "learning.png", "confusion.png", "checkpoints"),
    }
    record = toml.read(out / "run.toml")
    assert record["state"] == {"finished": True, "weights": "best"} and record["result"]["test"] == result.test
    assert sum(record["task"]["examples"].values()) == 200 and record["task"]["examples"]["train"] == result.examples
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForSequenceClassification" in card and "text-classification" in card and "confusion.png" in card
    assert "gyebo finetune" in card and "--epochs 3" in card and data.name in card and str(data) not in card
    assert len(checkpoint.steps(out / "checkpoints")) == 2


def test_the_card_has_the_scores_of_each_part_under_its_name(tuned):
    options, out, result = tuned
    text = card(options, out, replace(result, valid={"accuracy": 0.25}, test={"accuracy": 0.75}))
    assert "| accuracy (a tenth held out) | 0.75 |" in text and "| accuracy (validation) | 0.25 |" in text


def test_each_class_is_told_of(tuned):
    """In the result and on the card, as scikit-learn's report of the stored predictions has it."""
    _, out, result = tuned
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    truth, found = ([row[field] for row in rows] for field in ("label", "prediction"))
    report = classification_report(truth, found, output_dict=True, zero_division=0.0)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert [each.name for each in result.classes] == ["negative", "positive"]
    for each in result.classes:
        expected = [report[each.name][part] for part in ("precision", "recall", "f1-score", "support")]
        assert [each.precision, each.recall, each.f1, each.examples] == pytest.approx(expected)
        scores = " | ".join(f"{value:.3f}" for value in expected[:3])
        assert f"| {each.name} | {scores} | {int(expected[3])} |" in card
    assert toml.read(out / "run.toml")["result"]["classes"][0]["name"] == "negative"


def test_predictions_are_those_that_were_measured(tuned):
    options, out, result = tuned
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    test = read_task(options.task).test
    assert [(row["id"], row["label"]) for row in rows] == [(e.id, e.label) for e in test]
    assert sum(row["label"] == row["prediction"] for row in rows) / len(rows) == result.test["accuracy"]
    for row in rows:
        shares = row["probabilities"]
        assert set(shares) == {"positive", "negative"} and sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares[row["prediction"]] == max(shares.values())


@pytest.mark.parametrize("family", TUNED)
def test_transformers_opens_it_and_agrees(models, data, tmp_path, family):
    import transformers

    finetune(tuning(models(family), data), tmp_path / "run")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "run")
    ours, tokenizer = load(tmp_path / "run")
    text = "나무 정말 바다 좋아한다."
    assert tokens(text)["input_ids"] == tokenizer(text)["input_ids"]
    batch = tokenizer([text, "하늘"], padding=True, return_tensors="pt")
    with torch.no_grad():
        found, expected = ours(**batch).logits, theirs(**batch).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert theirs.config.id2label == dict(enumerate(ours.labels)) and set(ours.labels) == {"positive", "negative"}


# -- which weights ------------------------------------------------------------------------------------------------------------


def test_the_root_holds_the_best_weights(models, data, tmp_path, monkeypatch):
    """The second evaluation is called the best, and the fourth as good: the second's weights stand at the root, and are what is
    measured."""
    seen = []

    def fake(setup, model, part, precision, quick=False):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        value = 0.9 if len(seen) in (2, 4) else 0.1 * len(seen)
        given = [{"positive": 0.6, "negative": 0.4}] * len(getattr(setup.data, part))
        return {"macro_f1": value, "accuracy": value}, [given]

    monkeypatch.setattr(job, "_score", fake)
    result = finetune(tuning(models("distilbert"), data, epochs=2), tmp_path / "run")
    steps = [record["step"] for record in log.read(tmp_path / "run") if "evaluation" in record]
    assert len(seen) == len(steps) + 2 >= 6 and not same(seen[1], seen[0]) and not same(seen[1], seen[3])
    best = load(tmp_path / "run")[0].state_dict()
    assert same(best, seen[1]) and same(seen[-2], seen[1]) and same(seen[-1], seen[1])
    assert result.best_step == steps[1] and result.steps == steps[-1]


def interrupted(options, out, step, monkeypatch):
    """Run until SIGTERM arrives during `step`."""
    advance = Trainer.advance

    def stopping(self):
        record = advance(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", stopping)
        with pytest.raises(Stopped, match=f"stopped after step {step} of"):
            finetune(options, out, resume=out.exists())


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_stopped_run_goes_on_to_the_same_bits(models, data, tmp_path, monkeypatch, family):
    options = tuning(models(family), data, epochs=3, micro_batch=7)
    first = finetune(options, tmp_path / "a")
    interrupted(options, tmp_path / "b", 3, monkeypatch)
    interrupted(options, tmp_path / "b", first.steps // 2 + 2, monkeypatch)
    again = finetune(options, tmp_path / "b", resume=True)
    assert same(root(tmp_path / "a"), root(tmp_path / "b"))
    assert again == replace(first, seconds=again.seconds, memory_bytes=again.memory_bytes)
    for name in ("predictions.jsonl", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    stored = finetune(options, tmp_path / "b", resume=True)
    assert stored == again


def test_a_run_is_a_function_of_its_seed(models, data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        finetune(tuning(models("bert"), data, seed=seed), tmp_path / name)
    assert same(root(tmp_path / "a"), root(tmp_path / "b")) and not same(root(tmp_path / "a"), root(tmp_path / "c"))


def test_a_run_can_be_replayed(tuned):
    _, out, result = tuned
    trainer = replayed(toml.read(out / "run.toml"), out)
    last, before = checkpoint.steps(out / "checkpoints")
    trainer.restore(checkpoint.read(before, trainer.model, trainer.optimizer))
    while trainer.step < result.steps:
        trainer.advance()
    assert same(checkpoint.weights(trainer.model), load_file(last / "model.safetensors"))


def test_patience_ends_a_run_that_gets_no_better(models, data, tmp_path):
    options = tuning(models("bert"), data, epochs=5, patience=2, optim={"lr": 1e-12})
    result = finetune(options, tmp_path / "run")
    evaluated = [record for record in log.read(tmp_path / "run") if "evaluation" in record]
    assert len(evaluated) == 3 and result.steps == evaluated[-1]["step"] and result.best_step == evaluated[0]["step"]
    assert result.epochs < 2
    assert finetune(options, tmp_path / "run", resume=True).steps == result.steps


def test_how_long_ago_the_best_was():
    assert since_best([0.5]) == 0 and since_best([0.5, 0.5, 0.4]) == 2 and since_best([0.1, 0.5, 0.4]) == 1


@pytest.mark.parametrize(("family", "groups"), [("bert", 2), ("distilbert", 3), ("gpt2", 1)])
def test_frozen_layers_stay_as_they_are(models, data, tmp_path, family, groups):
    finetune(tuning(models(family), data, optim={"freeze": groups, "lr": 1e-2}), tmp_path / "run")
    before, after = load(models(family))[0], load(tmp_path / "run")[0].body
    names = {id(p): name for name, p in after.named_parameters()}
    old = dict(before.named_parameters())
    layers = [group for group in after.layer_groups() if group]
    for number, group in enumerate(layers):
        for parameter in group:
            name = names[id(parameter)]
            if name in old:
                assert torch.equal(old[name], parameter) == (number < groups), name
    with option_error("optim.freeze"):
        finetune(tuning(models(family), data, optim={"freeze": 9}), tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("family", TUNED)
def test_layer_decay_gives_each_layer_its_rate(models, data, family):
    setup = set_up(tuning(models(family), data, optim={"layer_decay": 0.5, "lr": 1e-3, "warmup": 0.0}))
    model = setup.make_model()
    optimizer = make_optimizer(model, LearningOptions(layer_decay=0.5))
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    between = ("body.pooler", "body.final_norm")  # a group of its own where the family has one
    above = 0.5 if any(name.startswith(between) for name, _ in model.named_parameters()) else 1.0
    shares = {"head.": 1.0, **dict.fromkeys(between, 0.5), "body.blocks.1.": above / 2, "body.blocks.0.": above / 4}
    for name, parameter in model.named_parameters():
        expected = next((share for start, share in shares.items() if name.startswith(start)), above / 8)
        assert scale[id(parameter)] == expected, name
    trainer = setup.trainer(setup.plan("float32"))
    assert not isinstance(trainer.terms, torch._dynamo.OptimizedModule)  # compiled only where asked for
    record = trainer.advance()
    assert all(group["lr"] == pytest.approx(record["lr"] * group["scale"]) for group in trainer.optimizer.param_groups)


def test_what_is_not_given_follows_from_the_task_and_the_model(models, data):
    setup = set_up(tuning(models("bert"), data, batch=None, epochs=None))
    plan = setup.plan("float32")
    assert plan["lr"] == pytest.approx(5e-5 * 768 / 32) and (setup.batch, setup.max_length) == (32, 64)
    assert plan["warmup"] == setup.data.task.warmup and plan["micro_batch"] == 32
    assert plan["steps"] == -(-3 * len(setup.rows) // 32)
    assert set_up(tuning(models("bert"), data, max_length=16)).max_length == 16


# -- several seeds -----------------------------------------------------------------------------------------------------------


def test_seeds_give_mean_spread_and_the_best_model(models, data, tmp_path):
    options, out = tuning(models("roberta"), data, epochs=2), tmp_path / "runs"
    found = finetune_seeds(options, [3, 4], out)
    results = [toml.read(out / f"seed-{seed}" / "run.toml")["result"] for seed in (3, 4)]
    values = [result["test"]["macro_f1"] for result in results]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    assert found.test["macro_f1"] == SeedSummary(mean=mean, deviation=deviation, values=values)
    best = max(results, key=lambda result: result["valid"]["macro_f1"])["seed"]
    assert found.best_seed == best and same(root(out), root(out / f"seed-{best}"))
    assert not same(root(out), root(out / f"seed-{7 - best}"))
    assert not (out / "run.toml").exists() and not list(out.glob("events*"))
    kept = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert kept["finished"] and kept["seeds"] == [3, 4] and kept["test"] == found.as_dict()["test"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"seed {best}, the best of seeds 3, 4 on the validation set" in card and "--seeds 3,4" in card and "±" in card
    assert "±" in (out / "results.md").read_text(encoding="utf-8")
    written = {path: path.stat().st_mtime_ns for path in out.glob("seed-*/model.safetensors")}
    more = finetune_seeds(options, [3, 4, 5], out, resume=True)
    assert more.seeds == [3, 4, 5] and more.test["accuracy"].values[:2] == found.test["accuracy"].values
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in written.items())
    with pytest.raises(ValueError, match="exists already"):
        finetune_seeds(options, [3, 4], out)


def test_one_seed_is_a_run(models, data, tmp_path):
    found = finetune_seeds(tuning(models("bert"), data), [2], tmp_path / "run")
    assert found.seeds == [2] and found.test["accuracy"].deviation is None
    assert toml.read(tmp_path / "run" / "run.toml")["options"]["seed"] == 2
    with pytest.raises(ValueError, match="holds a run of one seed, but several would be written"):
        finetune_seeds(tuning(models("bert"), data), [2, 3], tmp_path / "run")


def test_seeds_that_are_refused_leave_nothing(models, data, tmp_path):
    file = table(tmp_path / "other.csv", ("review",), [("a",)])
    with pytest.raises(ValueError, match="no column 'mood'"):
        finetune_seeds(tuning(models("bert"), file), [0, 1], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_best_seed_is_chosen_on_validation():
    def result(seed, valid, test):
        facts = {"task": "t", "kind": "k", "model": "m", "score": "f", "measured": "test", "examples": 9}
        return TaskResult(seed=seed, valid={"f": valid}, test={"f": test}, parameters=1, seconds=1.0, **facts)

    found = summary([result(0, 0.5, 0.9), result(1, 0.6, 0.2), result(2, 0.6, 0.3)])
    assert found.best_seed == 1 and found.test["f"].mean == pytest.approx(1.4 / 3)


def test_a_tuned_model_can_be_tuned_again_on_another_task(tuned, models, tmp_path):
    _, out, _ = tuned
    setup = set_up(tuning(out, json_lines(tmp_path / "a.jsonl", tagged(40)), name="tagging"))
    model, before = setup.make_model(), load(out)[0]
    assert model.kind.name == "tagging" and setup.family is FAMILIES["bert"]
    assert torch.equal(model.body.token_embedding.weight, before.body.token_embedding.weight)


# -- what is refused -----------------------------------------------------------------------------------------------------------


def test_resume_refuses_other_options_and_other_examples(models, data, tmp_path, monkeypatch):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(data.read_bytes())
    options = tuning(models("bert"), copy)
    interrupted(options, tmp_path / "run", 2, monkeypatch)
    with pytest.raises(ValueError, match=r"can't be resumed with other options: optim\.clip: 1\.0 stored, 0\.1 given"):
        finetune(tuning(models("bert"), copy, optim={"clip": 0.1}), tmp_path / "run", resume=True)
    with copy.open("a", encoding="utf-8") as file:
        file.write("하늘 정말 나무 함께 만났다.,positive\n")
    with pytest.raises(ValueError, match="the examples of its task have changed since the run"):
        finetune(options, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_what_a_run_starts_from_is_never_overwritten(models, data, tmp_path):
    for options, out in (
        (tuning(models("bert"), data), models("bert")),
        (tuning(models("bert"), data), models("bert").parent),
        (tuning(models("bert"), data), data.parent),
    ):
        with pytest.raises(ValueError, match="which the run starts from: choose another out"):
            finetune(options, out, overwrite=True)
    assert models("bert").is_dir() and data.is_file()


def test_several_processes_are_refused(models, data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="start gyebo finetune without torchrun"):
        finetune(tuning(models("bert"), data), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 5000}, "batch=5000 is more than the"),
        ({"max_length": 65}, "max_length=65 is longer than the 64 positions of"),
        ({"max_length": 3}, None),
        ({"tokenizer": "x"}, "tokenizer has no effect with"),
    ],
)
def test_options_that_do_not_fit(models, data, tmp_path, changes, message):
    if message is None:
        assert set_up(tuning(models("bert"), data, **changes)).tasks[0].features["train"].too_long
        return
    with pytest.raises(ValueError, match=message):
        finetune(tuning(models("bert"), data, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("bert:huge", "unknown size 'huge' of bert"),
        ("brt:mini", "unknown family 'brt'; did you mean bert"),
        ("bert:tiny", "starts from scratch and needs a tokenizer: tokenizer=DIR"),
    ],
)
def test_a_start_from_scratch_that_does_not_fit(data, tmp_path, model, message):
    with pytest.raises(ValueError, match=message):
        finetune(tuning(model, data), tmp_path / "run")


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_what_is_replaced_stays_until_the_new_run_has_begun(models, data, tmp_path, seeds):
    """Also where several seeds were trained, and where the process was killed while it stood aside."""
    out = tmp_path / "run"
    options = tuning(models("bert"), data, epochs=1)
    finetune_seeds(options, seeds, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    wrong = tuning(models("bert"), tmp_path / "typo.csv", epochs=1)
    for keywords in ({"overwrite": True}, {"resume": True}):
        with pytest.raises((FileNotFoundError, ValueError)):
            finetune_seeds(wrong, seeds, out, **keywords)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    out.rename(tmp_path / ".run.replaced")
    out.mkdir()
    (out / run_directory.STARTING).touch()
    with pytest.raises(ValueError, match="exists already: pass resume"):
        finetune_seeds(options, seeds, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    finetune_seeds(options.model_copy(update={"epochs": 0.5}), seeds, out, overwrite=True)
    assert not (tmp_path / ".run.replaced").exists() and not (out / run_directory.STARTING).exists()


def test_names_that_are_no_files_are_not_taken_for_some(tmp_path, monkeypatch):
    """A hub id may begin as the output is called."""
    monkeypatch.chdir(tmp_path)
    run_directory.refuse_to_replace(tmp_path / "klue", ["klue/bert-base", None, "hf:klue/x", "world:ko"])
    (tmp_path / "klue").mkdir()
    (tmp_path / "klue" / "train.en").touch()
    with pytest.raises(ValueError, match="holds klue/train, which the run starts from"):
        run_directory.refuse_to_replace(tmp_path / "klue", ["klue/train"])


def test_one_seed_and_several_do_not_take_each_others_place(models, data, tmp_path):
    options = tuning(models("bert"), data, epochs=0.2)
    finetune_seeds(options, [0], tmp_path / "one")
    with pytest.raises(ValueError, match="holds a run of one seed, but several would be written"):
        finetune_seeds(options, [0, 1], tmp_path / "one", overwrite=True)
    (tmp_path / "cmp").mkdir()
    for name in ("results.json", "recipe.toml", "plan.json"):
        (tmp_path / "cmp" / name).write_text("{}")
    with pytest.raises(ValueError, match="holds a comparison, not a fine-tuning"):
        finetune_seeds(options, [0, 1], tmp_path / "cmp", overwrite=True)


def test_the_cards_command_has_only_what_can_be_typed(tmp_path):
    options = tuning("elmo:tiny", "a.csv", shape={"width": 32}, layers="top", bpe_dropout=0.1, optim={"lr": 1e-3})
    words = command_of(options, tmp_path, [0])
    assert "--set shape.width=32" in words and "--set 'layers=\"top\"'" in words and "--shape" not in words


def test_a_shape_of_ones_own(data, tokenizer_folder, tmp_path):
    """Fields of the family's config that differ from the size, from scratch only; nothing is ignored."""
    options = tuning("bert:tiny", data, tokenizer=str(tokenizer_folder), shape={"layers": 1})
    assert set_up(options).make_model().config.layers == 1
    for shape, message in [
        ({"layer": 1}, "unknown option 'shape.layer'; did you mean layers"),
        ({"layers": "one"}, "whole number"),
    ]:
        with pytest.raises(ValueError, match=message):
            set_up(options.model_copy(update={"shape": shape}))
    with pytest.raises(ValueError, match="shape.layers has no effect with some-run"):
        tuning("some-run", data, shape={"layers": 1})
