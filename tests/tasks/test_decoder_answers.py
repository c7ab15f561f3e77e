"""A decoder alone that answers by text: source and target in one row, the loss on the target, and an answer that goes on from
the source as a full pass over all tokens would."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gyebo.data.batches import IGNORE
from gyebo.generation.translating import MORE
from gyebo.models.family import FAMILIES, model_class
from gyebo.models.tree.row import TEXT
from gyebo.objectives.source_target import TargetLoss
from gyebo.tasks import text_answers
from gyebo.tasks.kinds.kind import TextForm
from gyebo.tasks.reading import Reader, reader_of
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

FORM = TextForm(
    source=lambda example, task: example.text,
    target=lambda example, task: example.label,
    answer=lambda text, example, task: text,
    scored=lambda found, nats, tokens: (found, nats, tokens),
).of(TextTask(name="any", kind="any"))
PAIRS = [("나무 하늘", "good film"), ("친구", "a"), ("바다 바다 사람 노래 아침", "b the b the"), ("고양이", "the good")]
EXAMPLES = [Example(str(number), text, label=label) for number, (text, label) in enumerate(PAIRS)]
DECODERS = ("gpt", "gpt2", "lstm", "rnn", "gru", "transformer_xl", "bart_decoder")


@pytest.fixture
def tokenizer(tokenizer_folder):
    return lambda family: Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES[family]))


def tiny(family, tokenizer):
    torch.manual_seed(1)
    cls = model_class(family)
    ids = {f"{role}_id": tokenizer.role_ids[role] for role in ("pad", "bos", "eos")}
    shape = {"context": 64, "width": 16, "layers": 2, "init_std": 0.4}
    more = {"rnn": {}, "lstm": {}, "gru": {}, "transformer_xl": {"memory": 48, "window": 16, "heads": 2, "head_width": 8}}
    if not more.get(family, True):
        del shape["init_std"]
    return cls(cls.config_class(vocab_size=tokenizer.vocab_size, **ids, **shape, **more.get(family, {"heads": 2}))).eval()


def test_all_decoders_that_write_are_tested():
    writers = {name for name, family in FAMILIES.items() if TEXT in family.answers}
    assert {name for name in writers if not model_class(name).encodes_source} == {*DECODERS}


@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_a_row_is_start_source_end_target_end(family, tokenizer):
    tokenizer = tokenizer(family)
    start, end = tokenizer.role_ids["bos"], tokenizer.role_ids["eos"]
    features = text_answers.encode(FORM, EXAMPLES, tokenizer, reader=Reader(context=64), max_length=32)
    for number, (text, label) in enumerate(PAIRS):
        source, target = [start, *tokenizer.encode(text), end], [*tokenizer.encode(label), end]
        assert features.columns["input_ids"][number].tolist() == [*source, *target[:-1]]
        assert features.columns["labels"][number].tolist() == [IGNORE] * (len(source) - 1) + target
        assert features.notes["sources"][number].tolist() == source
    batch = features.batch(range(4))
    assert set(batch) == {"input_ids", "labels", "document_ids"} and batch["document_ids"].max() == 1


def test_source_and_target_share_the_context(tokenizer):
    """A source has at most three quarters of it; a target that doesn't fit is left out of training, else truncated."""
    tokenizer, reader = tokenizer("gpt2"), Reader(context=24)
    long = [Example("source", "나무 하늘 " * 9, label="a"), Example("target", "나무", label="good film " * 14), EXAMPLES[1]]
    kept = text_answers.encode(FORM, long, tokenizer, reader=reader, max_length=24, skip_long=True)
    assert kept.example.tolist() == [2] and kept.too_long == 2
    cut = text_answers.encode(FORM, long, tokenizer, reader=reader, max_length=24)
    assert len(cut) == 3 and cut.lengths.max() == 24 and len(cut.notes["sources"][0]) == 18
    assert all((cut.columns["labels"][row] != IGNORE).sum() > 1 for row in range(3))


@pytest.mark.parametrize("family", DECODERS)
def test_the_loss_is_that_of_the_targets_alone(family, tokenizer):
    """-ln p of each token of the target and of its end, from a pass over each row alone."""
    tokenizer = tokenizer(family)
    model = tiny(family, tokenizer)
    features = text_answers.encode(FORM, EXAMPLES, tokenizer, reader=reader_of(model, model.config), max_length=32)
    expected, counts = [], []
    for number, (_, label) in enumerate(PAIRS):
        source, target = features.notes["sources"][number].tolist(), [*tokenizer.encode(label), tokenizer.role_ids["eos"]]
        with torch.no_grad():
            logs = model(torch.tensor([[*source, *target[:-1]]])).logits[0].float().log_softmax(-1)
        expected.append(-sum(float(logs[len(source) - 1 + place, id]) for place, id in enumerate(target)))
        counts.append(len(target))
    nats, tokens = text_answers.target_nats(model, features)
    assert nats == pytest.approx(expected, rel=1e-4) and tokens.tolist() == counts
    batch = {name: torch.from_numpy(values) for name, values in features.batch(range(4)).items()}
    objective = TargetLoss("task")
    assert objective.loss(model, batch)["task"][0].item() == pytest.approx(sum(expected), rel=1e-4)
    assert objective.counts(batch) == {"task": sum(counts)}


def test_a_first_token_that_is_forced_is_not_counted(tokenizer):
    """BART's targets begin with `bos`, which generation does not choose: -ln p of what follows, by `transformers`' order."""
    tokenizer = tokenizer("bart")
    first, plain = tokenizer.role_ids["bos"], tiny("bart", tokenizer)
    model = type(plain)(replace(plain.config, forced_bos_id=first)).eval()
    start = model.start_id
    features = text_answers.encode(FORM, EXAMPLES, tokenizer, reader=reader_of(model, model.config), max_length=32)
    expected, counts = [], []
    for number, (_, label) in enumerate(PAIRS):
        source = torch.from_numpy(features.batch([number])["input_ids"])
        target = [first, *tokenizer.encode(label), tokenizer.role_ids["eos"]]
        with torch.no_grad():
            logs = model(source, decoder_input_ids=torch.tensor([[start, *target[:-1]]])).logits[0].float().log_softmax(-1)
        expected.append(-sum(float(logs[place, id]) for place, id in enumerate(target) if place))
        counts.append(len(target) - 1)
    nats, tokens = text_answers.target_nats(model, features)
    assert nats == pytest.approx(expected, rel=1e-4) and tokens.tolist() == counts


def predicted(model, tokenizer, examples, beams):
    features = text_answers.encode(
        FORM, examples, tokenizer, reader=reader_of(model, model.config), max_length=32, targets=False
    )
    return text_answers.predict(FORM, model, features, examples, options=text_answers.search_options(beams))


@pytest.mark.parametrize("family", DECODERS)
def test_an_answer_is_that_of_a_full_pass_for_each_token(family, tokenizer):
    """Greedy decoding without a cache; of Transformer-XL as long as it has forgotten nothing."""
    tokenizer = tokenizer(family)
    model = tiny(family, tokenizer)
    most = reader_of(model, model.config).context
    forbidden = text_answers.forbidden_ids(tokenizer, model.config.eos_id)
    found = predicted(model, tokenizer, EXAMPLES, 1)
    for example, answer in zip(EXAMPLES, found):
        ids = [tokenizer.role_ids["bos"], *tokenizer.encode(example.text), tokenizer.role_ids["eos"]]
        written = []
        longest = len(ids) + MORE
        while len(ids) <= most and len(written) < longest and (not written or written[-1] != model.config.eos_id):
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, -1].float()
            logits[forbidden] = -torch.inf
            written.append(int(logits.argmax()))
            ids.append(written[-1])
        expected = tokenizer.decode(written)
        assert answer == expected or (len(ids) > most and answer.startswith(expected.rstrip("\ufffd")))
    assert any(found)


@pytest.mark.parametrize("family", ["gpt2", "lstm", "transformer_xl"])
@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_does_not_depend_on_the_batch(family, beams, tokenizer):
    tokenizer = tokenizer(family)
    model = tiny(family, tokenizer)
    together = predicted(model, tokenizer, EXAMPLES, beams)
    assert together == [predicted(model, tokenizer, [example], beams)[0] for example in EXAMPLES]


def test_targets_are_scored_beside_what_was_written(tokenizer):
    tokenizer = tokenizer("gpt2")
    model = tiny("gpt2", tokenizer)
    features = text_answers.encode(FORM, EXAMPLES, tokenizer, reader=reader_of(model, model.config), max_length=32)
    nats, tokens = text_answers.target_nats(model, features)
    found = text_answers.scored(FORM, model, features, EXAMPLES, ["one", "two"])
    assert [each[0] for each in found] == ["one", "two", None, None]
    assert np.allclose([each[1] for each in found], nats) and [each[2] for each in found] == tokens.tolist()


def test_what_is_unknown_to_the_tokenizer_is_paid_for(tokenizer):
    """Eight bits for each of the three bytes of a character that is none of the vocabulary's."""
    from gyebo.text.training import train_tokenizer

    chars = train_tokenizer(["나무 하늘 abc"], "char", 64).for_family(roles_of(FAMILIES["gpt2"]))
    model = tiny("gpt2", chars)
    examples = [Example("1", "나무", label="a"), Example("2", "나무", label="한")]
    features = text_answers.encode(FORM, examples, chars, reader=reader_of(model, model.config), max_length=32)
    nats, _ = text_answers.target_nats(model, features)
    found = text_answers.scored(FORM, model, features, examples, [])
    assert found[0][1] == pytest.approx(nats[0]) and found[1][1] == pytest.approx(nats[1] + 24 * np.log(2))


def test_without_a_start_token_a_row_begins_with_the_source(tokenizer):
    tokenizer = tokenizer("gpt2")
    del tokenizer.role_ids["bos"]
    template = Reader(context=64).template(tokenizer)
    assert template.apply([5, 6]).ids == [5, 6, tokenizer.role_ids["eos"]]


def with_prefix(family, tokenizer):
    model = tiny(family, tokenizer)
    prefixed = type(model)(replace(model.config, prefix=True)).eval()
    prefixed.load_state_dict(model.state_dict())
    return prefixed


@torch.no_grad()
def seen_from(model, source, rest):
    """Logits of a row whose source is seen by all of it, from a pass without a cache."""
    ids = torch.tensor([[*source, *rest]])
    return model.project(model.encode(ids, prefix=(torch.arange(ids.shape[1]) < len(source))[None].long()).hidden)[0].float()


@pytest.mark.parametrize("family", ["gpt", "gpt2", "bart_decoder"])
def test_of_a_prefix_language_model_all_of_the_row_sees_the_source(family, tokenizer):
    """In the loss, and in an answer by greedy decoding, against a pass over all tokens with the mask written out."""
    tokenizer = tokenizer(family)
    model = with_prefix(family, tokenizer)
    features = text_answers.encode(FORM, EXAMPLES, tokenizer, reader=reader_of(model, model.config), max_length=32)
    expected = []
    forbidden = text_answers.forbidden_ids(tokenizer, model.config.eos_id)
    found = predicted(model, tokenizer, EXAMPLES, 1)
    for number, (_, label) in enumerate(PAIRS):
        source, target = features.notes["sources"][number].tolist(), [*tokenizer.encode(label), tokenizer.role_ids["eos"]]

        logs = seen_from(model, source, target[:-1]).log_softmax(-1)
        expected.append(-sum(float(logs[len(source) - 1 + place, id]) for place, id in enumerate(target)))
        written = []
        while len(source) + len(written) <= 64 and len(written) < len(source) + MORE and written[-1:] != [model.config.eos_id]:
            last = seen_from(model, source, written)[-1]
            last[forbidden] = -torch.inf
            written.append(int(last.argmax()))
        whole = tokenizer.decode(written)
        assert found[number] == whole or (len(source) + len(written) > 64 and found[number].startswith(whole.rstrip("\ufffd")))
    nats, _ = text_answers.target_nats(model, features)
    assert nats == pytest.approx(expected, rel=1e-4)
    plain = tiny(family, tokenizer)
    causal = text_answers.encode(FORM, EXAMPLES, tokenizer, reader=reader_of(plain, plain.config), max_length=32)
    assert not np.allclose(text_answers.target_nats(plain, causal)[0], nats, rtol=1e-3)
