"""How the files beside this were made: OpenAI's package DALL-E 0.1 with random weights, small, in float64.

pip install DALL-E==0.1 attrs
python tests/interchange/dvae/make.py
"""

import importlib.metadata
import json
from pathlib import Path

import dall_e
import torch
import torch.nn.functional as F
from dall_e.utils import Conv2d
from safetensors.torch import save_file

SHAPE = {"n_hid": 4, "n_blk_per_group": 2, "vocab_size": 11}


def in_float64(self, x):
    """The layer without its casts to single and half precision."""
    return F.conv2d(x, self.w, self.b, padding=(self.kw - 1) // 2)


if __name__ == "__main__":
    assert importlib.metadata.version("DALL-E") == "0.1"
    torch.manual_seed(0)
    stacks = {"encoder": dall_e.Encoder(**SHAPE), "decoder": dall_e.Decoder(**SHAPE, n_init=6)}
    weights = {f"{name}.{key}": w for name, stack in stacks.items() for key, w in stack.state_dict().items()}
    for name, tensor in weights.items():  # larger than they begin, or what the blocks add would be lost in rounding
        tensor.copy_(torch.randn_like(tensor) * (0.3 if name.endswith(".b") else 2.0 * tensor[0].numel() ** -0.5))
    here = Path(__file__).parent
    pixels = torch.randint(256, (2, 16, 16, 3), dtype=torch.uint8)
    values = pixels.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():  # or one code would be the most probable everywhere
        last = stacks["encoder"].blocks.output.conv.b
        last -= stacks["encoder"](dall_e.map_pixels(values)).mean((0, 2, 3))
    save_file({name: tensor.clone() for name, tensor in weights.items()}, here / "model.safetensors")
    config = {"model_type": "gyebo-dvae", "group_count": 4, "image_size": 16, "n_init": 6, **SHAPE}
    (here / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    Conv2d.forward = in_float64
    with torch.no_grad():
        logits = stacks["encoder"].double().blocks(dall_e.map_pixels(values).double())
        ids = logits.argmax(1)
        codes = F.one_hot(ids, 11).permute(0, 3, 1, 2).double()
        found = stacks["decoder"].double().blocks(codes)
        shares = torch.softmax(logits, 1)
        mixed = stacks["decoder"].blocks(shares)
        seen = dall_e.unmap_pixels(torch.sigmoid(found[:, :3].float()))
    expected = {"pixels": pixels, "logits": logits, "ids": ids, "statistics": found, "mixed": mixed, "reconstructed": seen}
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, here / "expected.safetensors")
