"""Names of dVAE: tensors are called as in OpenAI's released modules (the package DALL-E), after "encoder." and "decoder."; the
fields of `config.json` as the arguments of its classes, whose defaults they have."""

from __future__ import annotations

from gyebo.interchange.format import Architecture, Field, Format, Weight


def _convolutions(*names: tuple[str, str]) -> tuple[Weight, ...]:
    """Weight and bias of convolutions, of (their name, ours), of both stacks."""
    return tuple(
        Weight(f"{stack}.blocks.{theirs}.{short}", f"{stack}.{ours}.{kind}")
        for stack in ("encoder", "decoder")
        for theirs, ours in names
        for short, kind in (("w", "weight"), ("b", "bias"))
    )


# What makes weights without code of the released modules, typed where they lie; they need the package DALL-E to be opened.
CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file({f'{part}.{name}': tensor.contiguous() for part in ('encoder', 'decoder') "
    "for name, tensor in torch.load(part + '.pkl', 'cpu', weights_only=False).state_dict().items()}, 'model.safetensors')\""
)
CONFIG = '{"model_type": "gyebo-dvae"}'

FORMAT = Format(
    family="dvae",
    model_type="gyebo-dvae",
    architectures=(Architecture("GyeboPictureTokenizer"),),
    base="",
    weights=_convolutions(
        ("input", "input"),
        ("group_*.block_*.id_path", "groups.*.*.skip"),
        ("group_*.block_*.res_path.conv_*", "groups.*.*.convolutions.*"),
        ("output.conv", "output"),
    ),
    fields=(
        Field("image_size", "picture_size", "count", 256),
        Field("vocab_size", "codes", "count", 8192),
        Field("n_init", "code_width", "count", 128),
        Field("n_hid", "width", "count", 256),
        Field("group_count", "groups", "count", 4, most=30),
        Field("n_blk_per_group", "layers", "count", 2, most=1000),
    ),
    generates=False,
    stacks={},
    pickles=dict.fromkeys(
        ("encoder.pkl", "decoder.pkl"),
        f"{CONVERT} makes model.safetensors of pickles that you trust (pip install DALL-E); config.json is {CONFIG}",
    ),
)

FORMATS = (FORMAT,)
