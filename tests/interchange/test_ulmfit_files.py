"""ULMFiT's directories hold fastai's AWD-LSTM: its names, its numbers, its pickles of tensors and no others."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gyebo.interchange import load, save
from gyebo.models.family import FAMILIES
from gyebo.models.ulmfit import Ulmfit, UlmfitConfig
from gyebo.tasks.heads.task_model import add_head

SHAPE = {"vocab_size": 47, "context": 32, "window": 8, "width": 10, "inner": 14, "layers": 3}
WORDS = {"vocab_sz": 47, "emb_sz": 10, "n_hid": 14, "n_layers": 3, "bidir": False, "out_bias": True, "pad_token": 1}
WORDS |= {"embed_p": 0.02, "input_p": 0.25, "hidden_p": 0.15, "output_p": 0.1, "weight_p": 0.2, "tie_weights": True}


class Dropped(nn.Module):
    """An LSTM whose recurrent matrix stands beside it, as fastai's `WeightDropout` leaves it."""

    def __init__(self, inputs, width):
        super().__init__()
        self.module = nn.LSTM(inputs, width, batch_first=True)
        self.weight_hh_l0_raw = nn.Parameter(self.module.weight_hh_l0.detach().clone())
        del self.module._parameters["weight_hh_l0"]

    def forward(self, x):
        layer = nn.LSTM(self.module.input_size, self.module.hidden_size, batch_first=True)
        layer.load_state_dict({**self.module.state_dict(), "weight_hh_l0": self.weight_hh_l0_raw})
        return layer(x)[0]


class Encoder(nn.Module):
    """fastai's `AWD_LSTM` in evaluation: a table under two names, and LSTMs in a row."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(47, 10, padding_idx=1)
        self.encoder_dp = nn.Module()
        self.encoder_dp.emb = self.encoder
        self.rnns = nn.ModuleList([Dropped(inputs, width) for inputs, width in ((10, 14), (14, 14), (14, 10))])

    def forward(self, ids):
        x = self.encoder(ids)
        for layer in self.rnns:
            x = layer(x)
        return x


class Decoder(nn.Module):
    """fastai's `LinearDecoder` in evaluation."""

    def __init__(self, encoder):
        super().__init__()
        self.decoder = nn.Linear(10, 47)
        self.decoder.weight = encoder.weight

    def forward(self, x):
        return self.decoder(x)


def written_again():
    encoder = Encoder()
    return nn.Sequential(encoder, Decoder(encoder.encoder))


def fastais():
    core = pytest.importorskip("fastai.text.models.core")
    awd = pytest.importorskip("fastai.text.models.awdlstm")
    return core.get_language_model(awd.AWD_LSTM, 47, dict(awd.awd_lstm_lm_config, emb_sz=10, n_hid=14))


@pytest.fixture(params=[written_again, fastais], ids=["written again", "fastai"])
def reference(request):
    """A language model as fastai has it, every tensor away from where it starts."""
    torch.manual_seed(1)
    model = request.param().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def logits(model, ids):
    if hasattr(model, "reset"):
        model.reset()
    found = model(ids)
    return found[0] if isinstance(found, tuple) else found


def ids():
    return torch.randint(47, (3, 11), generator=torch.Generator().manual_seed(2))


def ours(**options):
    torch.manual_seed(3)
    model = Ulmfit(UlmfitConfig(**{**SHAPE, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def test_what_is_saved_loads_there(reference, tmp_path):
    model = ours()
    save(model, None, tmp_path)
    assert (logits(reference, ids()) - model(ids()).logits).abs().max() > 0.1
    reference.load_state_dict(load_file(tmp_path / "model.safetensors"))  # strict: no name more, none less
    expected = model(ids()).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(logits(reference, ids()), expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    "words", [WORDS, {"vocab_size": 47, "hidden_size": 10, "intermediate_size": 14}], ids=["theirs", "ours"]
)
def test_what_is_saved_there_opens(reference, tmp_path, older, words):
    state = reference.state_dict()
    if older:  # the matrix as dropout left it
        state |= {f"0.rnns.{n}.module.weight_hh_l0": torch.randn_like(state[f"0.rnns.{n}.weight_hh_l0_raw"]) for n in range(3)}
    torch.save(state, tmp_path / "lm_fwd.pth")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gyebo-ulmfit", **words}))
    model, tokenizer = load(tmp_path)
    assert tokenizer is None and type(model) is Ulmfit and model.lm_head.weight is model.token_embedding.weight
    torch.testing.assert_close(model(ids()).logits, logits(reference, ids()), atol=1e-5, rtol=0)
    if words is WORDS:
        assert (model.config.weight_dropout, model.config.hidden_dropout, model.config.pad_id) == (0.2, 0.15, 1)


@pytest.mark.parametrize("tied", [True, False])
def test_names_of_a_directory(tied, tmp_path):
    save(ours(tied=tied), None, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    layer = ("weight_hh_l0_raw", "module.weight_ih_l0", "module.bias_ih_l0", "module.bias_hh_l0")
    assert set(stored) == {
        *("0.encoder.weight", "0.encoder_dp.emb.weight", "1.decoder.weight", "1.decoder.bias"),
        *(f"0.rnns.{number}.{name}" for number in range(3) for name in layer),
    }
    assert torch.equal(stored["0.encoder.weight"], stored["0.encoder_dp.emb.weight"])
    assert torch.equal(stored["0.encoder.weight"], stored["1.decoder.weight"]) == tied


def test_tied_tensors_that_differ_are_refused(tmp_path):
    save(ours(tied=False), None, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tie_word_embeddings": True}))
    with pytest.raises(ValueError, match=r"1\.decoder\.weight differs from the tensor that it is tied to"):
        load(tmp_path)


# -- pickles -------------------------------------------------------------------------------------------------------------------


class Marker:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.fixture
def opened_by_name(tmp_path):
    """A directory with fastai's weights: (folder, their state dict)."""
    state = written_again().state_dict()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gyebo-ulmfit", **WORDS}))
    torch.save(state, tmp_path / "lm.pth")
    return tmp_path, state


def test_a_pickled_vocabulary_is_refused_and_never_run(opened_by_name):
    folder, _ = opened_by_name
    (folder / "itos_wt103.pkl").write_bytes(pickle.dumps(Marker(folder / "ran"), protocol=2))
    with pytest.raises(ValueError, match=r"itos_wt103\.pkl: a pickle, which could run anything and is never opened"):
        load(folder)
    save(ours(), None, folder / "other")  # which is no vocabulary where the weights are not fastai's
    (folder / "other" / "x.pkl").write_bytes(pickle.dumps(Marker(folder / "ran"), protocol=2))
    assert load(folder / "other")[1] is None and not (folder / "ran").exists()


def test_weights_that_are_a_hostile_pickle_run_nothing(opened_by_name):
    folder, state = opened_by_name
    torch.save({**state, "x": Marker(folder / "ran")}, folder / "lm.pth")
    with pytest.raises(ValueError, match=r"lm\.pth: refused: not plain weights"):
        load(folder)
    (folder / "lm.pth").write_bytes(pickle.dumps(Marker(folder / "ran"), protocol=2))
    with pytest.raises(ValueError, match=r"lm\.pth: refused"):
        load(folder)
    assert not (folder / "ran").exists()


def test_what_else_does_not_fit_is_refused(opened_by_name):
    folder, state = opened_by_name
    torch.save(state, folder / "other.pth")
    with pytest.raises(ValueError, match=r"lm\.pth and other\.pth are weights: leave the one that counts"):
        load(folder)
    (folder / "other.pth").unlink()
    torch.save({"model": state, "opt": None}, folder / "lm.pth")  # learn.save without with_opt=False
    with pytest.raises(ValueError, match=r"lm\.pth: a training checkpoint, whose weights stand under 'model'"):
        load(folder)
    config = {"model_type": "gyebo-ulmfit", **WORDS}
    for change, said in (({"bidir": True}, "bidir"), ({"n_hid": 15}, "config.json asks for"), ({"n_layers": 2}, "hold 3")):
        torch.save(state, folder / "lm.pth")
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ValueError, match=said):
            load(folder)


# -- a classifier --------------------------------------------------------------------------------------------------------------


def test_running_means_come_back_as_what_they_are(tmp_path):
    model = add_head(ours(), FAMILIES["ulmfit"].head_style, "classification", 3, dropout=0.4).train()
    for seed in range(3):
        model(torch.randint(47, (5, 9), generator=torch.Generator().manual_seed(seed)))
    model.eval()
    assert model.head.norm.running_mean.abs().max() > 1e-3 and (model.head.norm_out.running_var - 1).abs().max() > 1e-3
    save(model, None, tmp_path)
    again, _ = load(tmp_path)
    assert {name for name, _ in again.named_buffers()} == {name for name, _ in model.named_buffers()} != set()
    assert all(torch.equal(a, b) for a, b in zip(again.buffers(), model.buffers()))
    assert [name for name, _ in again.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert again.count_parameters() == model.count_parameters()
    torch.testing.assert_close(again(ids()).logits, model(ids()).logits, atol=0, rtol=0)
    stored = load_file(tmp_path / "model.safetensors")
    assert {"1.layers.0.0.running_mean", "1.layers.0.2.weight", "1.layers.1.0.weight", "1.layers.1.2.weight"} <= set(stored)


def test_a_missing_running_mean_is_named(tmp_path):
    save(add_head(ours(), "concat", "classification", 3), None, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    stored.pop("1.layers.1.0.running_var")
    torch.save(stored, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"1\.layers\.1\.0\.running_var missing from the weights"):
        load(tmp_path)
