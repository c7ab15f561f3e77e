"""Names of VQ-VAE: directories are gyebo's own."""

from __future__ import annotations

from gyebo.interchange.format import Architecture, Field, Format, Weight

FORMAT = Format(
    family="vqvae",
    model_type="gyebo-vqvae",
    architectures=(Architecture("GyeboPictureTokenizer"),),
    base="",
    weights=(
        Weight("encoder.**", "encoder.**"),
        Weight("decoder.**", "decoder.**"),
        Weight("codebook.codes", "codebook.codes"),
        Weight("codebook.sums", "codebook.sums"),  # with these three a model that is trained further goes on
        Weight("codebook.usage", "codebook.usage"),
        Weight("codebook.idle", "codebook.idle"),
    ),
    fields=(
        Field("image_size", "picture_size", "count", 64),
        Field("vocab_size", "codes", "count", 512),
        Field("embedding_size", "code_width", "count", 64),
        Field("hidden_size", "width", "count", 256),
        Field("residual_size", "inner", "count", 256),
        Field("num_residual_layers", "layers", "count", 2, most=1000),
        Field("num_halvings", "halvings", "count", 2, most=30),
        Field("codebook", "codebook", "word", "means", values={"means": "means", "loss": "loss"}),
        Field("decay", "decay", "share", 0.99),
        Field("patience", "patience", "natural", 20),
    ),
    generates=False,
    stacks={},
)

FORMATS = (FORMAT,)
