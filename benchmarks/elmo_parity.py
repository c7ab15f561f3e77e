"""ELMo beside the original implementation: the weights and the vectors of three texts that it brings for its own tests.

    git clone https://github.com/allenai/bilm-tf          (Apache License 2.0; nothing of it is in this repository)
    python benchmarks/elmo_parity.py bilm-tf/tests/fixtures/model     (needs h5py)

The texts are read as words, by their characters, from their start to their end. Prints the largest difference in the top layer,
and fails where it exceeds 1e-5. That model has no skip connections, so what is compared is the second layer's output before its
input is added.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from gyebo.models.elmo import Elmo, ElmoConfig
from gyebo.text.characters import BEGIN, BEGIN_TEXT, END, END_TEXT, FILLING

CHARACTERS = 50
DIRECTIONS = {"RNN_0": "forwards", "RNN_1": "backwards"}


@torch.no_grad()
def opened(folder: Path) -> Elmo:
    """The model of `options.json` and `lm_weights.hdf5`; their matrices are [in, out], their gates i, g, f, o."""
    options = json.loads((folder / "options.json").read_text(encoding="utf-8"))
    lstm, characters = options["lstm"], options["char_cnn"]
    config = ElmoConfig(
        vocab_size=1,
        characters=CHARACTERS,
        character_width=characters["embedding"]["dim"],
        filters=tuple(count for _, count in characters["filters"]),
        highways=characters["n_highway"],
        width=2 * lstm["projection_dim"],
        cells=lstm["dim"],
        layers=lstm["n_layers"],
        clip=float(lstm["cell_clip"]),
    )
    model = Elmo(config).eval()
    with h5py.File(folder / "lm_weights.hdf5") as file:

        def tensor(name: str) -> Tensor:
            return torch.from_numpy(np.array(file[name])).float()

        encoder = model.encoder
        encoder.embedding.weight[1:] = tensor("char_embed")  # their numbers begin one lower: row 0 is ours for nothing
        for number, convolution in enumerate(encoder.convolutions):
            convolution.weight.copy_(tensor(f"CNN/W_cnn_{number}")[0].permute(2, 1, 0))
            convolution.bias.copy_(tensor(f"CNN/b_cnn_{number}"))
        for number, highway in enumerate(encoder.highways):
            place = f"CNN_high_{number}"
            highway.both.weight.copy_(torch.cat([tensor(f"{place}/W_transform").T, tensor(f"{place}/W_carry").T]))
            highway.both.bias.copy_(torch.cat([tensor(f"{place}/b_transform"), tensor(f"{place}/b_carry")]))
        encoder.projection.weight.copy_(tensor("CNN_proj/W_proj").T)
        encoder.projection.bias.copy_(tensor("CNN_proj/b_proj"))
        for theirs, ours in DIRECTIONS.items():
            for number, block in enumerate(model.blocks):
                cell, place = getattr(block, ours), f"{theirs}/RNN/MultiRNNCell/Cell{number}/LSTMCell"
                matrix, bias = gates(tensor(f"{place}/W_0").T), gates(tensor(f"{place}/B"))
                bias.chunk(4)[1].add_(1.0)  # they add it to the forget gate at run time
                cell.inputs.copy_(matrix[:, : config.direction])
                cell.recurrent.copy_(matrix[:, config.direction :])
                cell.bias.copy_(bias)
                cell.projection.copy_(tensor(f"{place}/W_P_0").T)
    return model


def gates(rows: Tensor) -> Tensor:
    """i, g, f, o -> i, f, g, o."""
    i, g, f, o = rows.chunk(4)
    return torch.cat([i, f, g, o])


def symbols(text: str) -> Tensor:
    """A text [1, T, 50] between its start and its end."""
    inside = [[BEGIN_TEXT], *([byte + 1 for byte in word.encode()][: CHARACTERS - 2] for word in text.split()), [END_TEXT]]
    rows = [[BEGIN, *word, END] for word in inside]
    return torch.tensor([[row + [FILLING] * (CHARACTERS - len(row)) for row in rows]])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    model, worst = opened(folder), 0.0
    for number, texts in enumerate(json.loads((folder / "lm_embeddings_sentences.json").read_text(encoding="utf-8"))):
        *_, first, second = model.encode(symbols(texts[0]), return_layers=True).layers
        with h5py.File(folder / f"lm_embeddings_{number}.hdf5") as file:
            expected = np.concatenate(np.array(file["0"]), axis=-1)  # of the first batch: later ones go on from its state
        difference = np.abs((second - first)[0, 1:-1].numpy() - expected).max()
        print(
            f"text {number + 1}: {len(expected)} words, largest difference {difference:.1e}, values up to {expected.max():.2f}"
        )
        worst = max(worst, float(difference))
    if worst > 1e-5:
        raise SystemExit(f"the largest difference is {worst:.1e}, above 1e-5")


if __name__ == "__main__":
    main()
