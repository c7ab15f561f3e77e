"""ViLBERT: Lu et al. 2019, "ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations for Vision-and-Language Tasks".

BERT beside a second, shorter stream for the regions of a picture; co-attention between the two (section 2.2, figure 2):

    words:   [ text block ] x 6 --+-- [ text block ] --+-- [ text block ] -- ... --+-- [ text block ]
                                  |                    |                          |
                            co-attention 1       co-attention 2             co-attention 6
                                  |                    |                          |
    regions: embedding -----------+-- [ image block ] -+-- [ image block ] - ... -+-- [ image block ]

    co-attention: words attend to regions, regions to words -> add -> norm -> feed-forward -> add -> norm, on each side

What differs from BERT:

- the first co-attention reads the embeddings of the regions as they are (the authors' execution order);
- a region's vector is norm(W feature + U box); a box has 5 numbers, the corners as shares of width and height, and the share of
  the area. The first region, IMG, is the whole picture;
- co-attention has projections of its own for each direction and each side;
- [CLS] and IMG are pooled with ReLU, and their product tells whether text and picture belong together (0 yes, 1 no: the
  opposite of LXMERT); at each region the classes that a detector found there are predicted;
- the row 0 of the token embedding is not learned from what is read (`padding_idx` in the authors' code).

What the authors' code declares and never computes (`q_dense1`, `q_dense2`) is left out.

`streams = 1` is the baseline with a single stream: words and regions in one sequence through the blocks of BERT, a [SEP]
between them and one [CLS]; a region has the vector of the second segment, and only [CLS] is pooled.

Letters: B batch, T length, R regions of a picture, N words, M regions of the batch, D width, E width of a region, C width of
co-attention, H heads, V vocabulary, F size of a feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gyebo.models.bert import Bert, BertConfig, Block, Run
from gyebo.models.protocol import check_shape
from gyebo.nn.across import attend_across
from gyebo.nn.cost import Workload, transformer_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS, FeedForward, networks_in
from gyebo.nn.outputs import Encoded, SeeingOutput
from gyebo.nn.ragged import first_tokens
from gyebo.nn.regions import check_crop, checked_regions, embedding_flops, feature_layer
from gyebo.nn.sides import Sides, sides_of

BOX = 5  # numbers of a box: corners, and the share of the area
FUSIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mul": torch.mul, "sum": torch.add}


@dataclass
class VilbertConfig(BertConfig):
    """The configuration of a ViLBERT; the defaults are the published model with its pretraining heads. The fields of BERT are
    those of the text stream."""

    streams: int = 2  # 1: words and regions in one sequence
    image_width: int = 1024
    image_layers: int = 6
    image_heads: int = 8
    image_inner: int = 1024  # width of the feed-forward networks of the image stream
    image_activation: str = "gelu"
    image_attention_dropout: float = 0.1
    image_residual_dropout: float = 0.1
    co_width: int = 1024  # of co-attention, and of the pooled vectors
    co_heads: int = 8
    text_at: tuple[int, ...] = (6, 7, 8, 9, 10, 11)  # before which text block each co-attention stands
    image_at: tuple[int, ...] = (0, 1, 2, 3, 4, 5)  # before which image block
    feature_size: int = 2048  # numbers of a region
    crop: int | None = None  # a feature is so many pixels a side, read by a convolutional network; None: it is given
    fusion: str = "mul"  # of the pooled vectors: "mul" or "sum"
    fusion_dropout: float = 0.1
    nsp: bool = False
    pooler: bool = False
    region: bool = True  # has the head for the classes of regions
    alignment: bool = True  # has the head that tells whether text and picture belong together
    classes: int = 1601  # of regions

    def __post_init__(self) -> None:
        super().__post_init__()
        self.text_at, self.image_at = tuple(self.text_at), tuple(self.image_at)  # from JSON they come as lists
        check_shape(
            self,
            counts=("image_width", "image_heads", "image_inner", "co_width", "co_heads", "feature_size", "classes"),
            shares=("image_attention_dropout", "image_residual_dropout", "fusion_dropout"),
        )
        check_crop(self.crop, self.feature_size)
        if self.nsp or self.pooler:
            raise ValueError("nsp and pooler are not possible: ViLBERT has poolers of its own; use BERT")
        for name, known in (("image_activation", ACTIVATIONS), ("fusion", FUSIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, but is {getattr(self, name)!r} instead")
        for width, heads in (("image_width", "image_heads"), ("co_width", "co_heads")):
            if getattr(self, width) % getattr(self, heads):
                raise ValueError(
                    f"{width} must be a multiple of {heads}, but is {getattr(self, width)} with {getattr(self, heads)} heads "
                    "instead"
                )
        self._check_streams()

    def _check_streams(self) -> None:
        if self.streams == 1:
            if self.image_layers or self.text_at or self.image_at:
                raise ValueError("streams = 1 has no image stream: image_layers must be 0, text_at and image_at empty")
            if self.segments < 2:
                raise ValueError(f"segments must be at least 2 with streams = 1, but is {self.segments} instead")
            return
        if self.streams != 2:
            raise ValueError(f"streams must be 1 or 2, but is {self.streams} instead")
        check_shape(self, counts=("image_layers",))
        if not self.text_at or len(self.text_at) != len(self.image_at):
            raise ValueError(
                f"text_at and image_at must be of one length, at least 1, but are {list(self.text_at)} and "
                f"{list(self.image_at)} instead"
            )
        for name, layers in (("text_at", self.layers), ("image_at", self.image_layers)):
            places = getattr(self, name)
            if any(a >= b for a, b in pairwise(places)) or not 0 <= places[0] <= places[-1] < layers:
                raise ValueError(f"{name} must be ascending numbers of layers from 0 to {layers - 1}, but is {list(places)}")

    @property
    def region_width(self) -> int:
        """Width of a region's vector."""
        return self.width if self.streams == 1 else self.image_width

    @property
    def joint_width(self) -> int:
        """Width of the vector of a text with its picture."""
        return self.co_width

    @property
    def image(self) -> BertConfig:
        """The shape of an image block, as BERT's blocks take it."""
        return BertConfig(
            width=self.image_width,
            heads=self.image_heads,
            inner=self.image_inner,
            activation=self.image_activation,
            attention_dropout=self.image_attention_dropout,
            residual_dropout=self.image_residual_dropout,
            norm_eps=self.norm_eps,
        )


class ImageEmbedding(nn.Module):
    """A region's vector from its feature and its box."""

    def __init__(self, config: VilbertConfig):
        super().__init__()
        self.feature = feature_layer(config, config.region_width)
        self.box = nn.Linear(BOX, config.region_width)
        self.norm = nn.LayerNorm(config.region_width, eps=config.norm_eps)

    def forward(self, features: Tensor, boxes: Tensor, kind: Tensor | None) -> Tensor:
        """[M, F] and [M, 5] -> [M, E]; `kind` [1, E] is added where words have the same width and place."""
        y = self.feature(features) + self.box(boxes)
        return self.norm(y if kind is None else y + kind)


class CoSide(nn.Module):
    """One side of a co-attention: its projections, and what comes behind the attention."""

    def __init__(self, shape: BertConfig, co_width: int):
        super().__init__()
        self.qkv = nn.Linear(shape.width, 3 * co_width)
        self.out = nn.Linear(co_width, shape.width)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.norm_eps)
        self.mlp = FeedForward(shape.width, shape.inner_width, shape.activation)
        self.mlp_norm = nn.LayerNorm(shape.width, eps=shape.norm_eps)
        self.dropout = shape.residual_dropout

    def project(self, x: Tensor, heads: int) -> tuple[Tensor, Tensor]:
        """[N, D] -> queries [N, H, K], keys and values [N, 2, H, K]."""
        query, key_value = self.qkv(x).unflatten(-1, (3, heads, -1)).split([1, 2], 1)
        return query.squeeze(1), key_value

    def forward(self, x: Tensor, mixed: Tensor) -> Tensor:
        """[N, D] and what its queries found on the other side [N, C] -> [N, D]."""
        p = self.dropout if self.training else 0.0
        x = self.attention_norm(x + dropout(self.out(mixed), p))
        return self.mlp_norm(x + dropout(self.mlp(x), p))


class CoBlock(nn.Module):
    """A co-attention layer: both directions read its input."""

    def __init__(self, config: VilbertConfig):
        super().__init__()
        self.words, self.regions = CoSide(config, config.co_width), CoSide(config.image, config.co_width)
        self.heads = config.co_heads
        # Dropout of weights follows the side whose keys they weigh.
        self.over_regions, self.over_words = config.image_attention_dropout, config.attention_dropout

    def forward(self, x: Tensor, y: Tensor, sides: Sides, attentions: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Words [N, D] and regions [M, E] -> the same. The list collects the weights of the words to the regions."""
        p, q = (self.over_regions, self.over_words) if self.training else (0.0, 0.0)
        of_words, words = self.words.project(x, self.heads)
        of_regions, regions = self.regions.project(y, self.heads)
        seen = attend_across(of_words, regions, sides.to_regions, dropout=p, attentions=attentions)
        read = attend_across(of_regions, words, sides.to_text, dropout=q)
        return self.words(x, seen), self.regions(y, read)


class ClassHead(nn.Module):
    """The classes of a region: dense, activation (that of the text stream, as in the authors' code), norm, then a matrix."""

    def __init__(self, config: VilbertConfig):
        super().__init__()
        self.dense = nn.Linear(config.region_width, config.region_width)
        self.norm = nn.LayerNorm(config.region_width, eps=config.norm_eps)
        self.decoder = nn.Linear(config.region_width, config.classes)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, y: Tensor) -> Tensor:
        """[..., E] -> [..., E]: the input of the output matrix."""
        return self.norm(self.activation(self.dense(y)))


@dataclass
class _Found:
    """The layers of both streams in flat rows, and the attention weights where they are asked for."""

    words: list[Tensor]
    regions: list[Tensor]
    of_words: list[Tensor] | None = None
    of_regions: list[Tensor] | None = None
    across: list[Tensor] | None = None


def _own(width: int, layers: int, heads: int, image_layers: int) -> dict[str, Any]:
    """The fields of a size of ours: the last text blocks have an image block beside them, as in the published model."""
    return {
        "width": width,
        "layers": layers,
        "heads": heads,
        "image_width": width,
        "image_layers": image_layers,
        "image_heads": heads,
        "image_inner": width,
        "co_width": width,
        "co_heads": heads,
        "text_at": tuple(range(layers - image_layers, layers)),
        "image_at": tuple(range(image_layers)),
        "crop": 16,
        "feature_size": 768,
        "classes": 100,
    }


_ONE: dict[str, Any] = {"streams": 1, "image_layers": 0, "text_at": (), "image_at": ()}  # as many parameters by their `inner`


class Vilbert(Bert):
    """ViLBERT with the pretraining heads that the config switches on."""

    family: ClassVar[str] = "vilbert"
    compiles: ClassVar[bool] = False
    has_pooler: ClassVar[bool] = False
    sees: ClassVar[bool] = True
    whole_first: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    optional_heads: ClassVar[tuple[str, ...]] = ("mlm", "region", "alignment")
    config_class: ClassVar[type] = VilbertConfig
    stacks: ClassVar[tuple[str, ...]] = ("blocks", "image_blocks", "co_blocks")
    sizes: ClassVar[dict[str, BertConfig]] = {
        "tiny": VilbertConfig(4096, 64, **_own(64, 2, 2, 1)),
        "mini": VilbertConfig(16_000, 64, **_own(256, 4, 4, 2)),
        "small": VilbertConfig(16_000, 128, **_own(512, 8, 8, 4)),
        "tiny-one": VilbertConfig(4096, 64, inner=264, **_own(64, 4, 2, 1) | _ONE),
        "mini-one": VilbertConfig(16_000, 64, inner=1040, **_own(256, 8, 4, 2) | _ONE),
        "small-one": VilbertConfig(16_000, 128, inner=2064, **_own(512, 16, 8, 4) | _ONE),
        "base": VilbertConfig(),
    }

    config: VilbertConfig

    def __init__(self, config: VilbertConfig):
        super().__init__(config)
        self.image_embedding = ImageEmbedding(config)
        self.image_blocks = nn.ModuleList([Block(config.image) for _ in range(config.image_layers)])
        self.co_blocks = nn.ModuleList([CoBlock(config) for _ in config.text_at])
        self.text_pooler = nn.Linear(config.width, config.co_width)
        self.image_pooler = nn.Linear(config.image_width, config.co_width) if config.streams == 2 else None
        self.region_head = ClassHead(config) if config.region else None
        self.alignment_head = nn.Linear(config.co_width, 2) if config.alignment else None
        self.token_embedding.padding_idx = 0
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding | N(0, init_std), not truncated |
        | convolutions of the region encoder | torch's default, uniform (He et al. 2015) |
        | biases | 0; those of convolutions uniform |
        | norms | gain 1, bias 0 |
        """
        super().initialise()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()

    def encode(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        visual_feats: Tensor | None = None,
        visual_pos: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        region_document_ids: Tensor | None = None,
        return_layers: bool = False,
        return_attentions: bool = False,
    ) -> Encoded:
        """Run the streams over ids [B, T], features `visual_feats` [B, R, F] and boxes `visual_pos` [B, R, 5] from 0 to 1, of
        which the first of a picture is the whole of it; `hidden` [B, T, D] and `region_hidden` [B, R, E] are zero at padding.

        `visual_attention_mask` [B, R] is 0 at padding; `region_document_ids` [B, R] (0 = padding) says to which text's picture
        each region belongs, where `document_ids` are given. Without features a text has a picture of which nothing is known:
        IMG alone, with zeros as its feature. The others as in `Bert.encode`, which raises the same errors; ValueError for
        features of another size. With one stream `attentions` are those of the joint sequence, words before regions.
        """
        if visual_feats is None:
            if visual_pos is not None:
                raise ValueError("visual_pos needs visual_feats: a box alone is no region")
            visual_feats, visual_pos, region_document_ids = self._unknown_pictures(input_ids, document_ids)
        features, boxes = checked_regions(visual_feats, visual_pos, self.config.feature_size, BOX)
        sides = sides_of(
            input_ids,
            features,
            attention_mask=attention_mask,
            document_ids=document_ids,
            region_mask=visual_attention_mask,
            region_document_ids=region_document_ids,
            position_ids=position_ids,
            dense=return_attentions,
        )
        p = self.config.embedding_dropout if self.training else 0.0
        x = self.token_embedding(sides.text.gather(input_ids)) + self._positions(sides.text, position_ids is not None)
        x = dropout(self.embedding_norm(x + self._segments(sides.text, token_type_ids)), p)
        y = self.image_embedding(sides.regions.gather(features), sides.regions.gather(boxes), self._kind())
        y = dropout(y, p)
        found = self._through(x, y, sides, return_attentions)
        of_words, of_regions, across = (
            None if weights is None else tuple(weights) for weights in (found.of_words, found.of_regions, found.across)
        )
        return Encoded(
            sides.text.scatter(found.words[-1]),
            tuple(map(sides.text.scatter, found.words)) if return_layers else None,
            of_words,
            region_hidden=sides.regions.scatter(found.regions[-1]),
            region_layers=tuple(map(sides.regions.scatter, found.regions)) if return_layers else None,
            region_attentions=of_regions,
            cross_attentions=across,
        )

    def _unknown_pictures(self, input_ids: Tensor, documents: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features and boxes of one picture for each document, and its document ids."""
        like, numbers = self.embedding_norm.weight, None
        most = 1 if documents is None else max(1, int(documents.max()))
        if documents is not None:
            each = torch.arange(1, most + 1, device=documents.device)
            numbers = each * (documents[:, :, None] == each).any(1)
        features = like.new_zeros(len(input_ids), most, self.config.feature_size)
        boxes = like.new_tensor([0.0, 0.0, 1.0, 1.0, 1.0]).expand(len(input_ids), most, BOX)
        return features, boxes, numbers

    def _kind(self) -> Tensor | None:
        """What tells a region from a word where both stand in one sequence, [1, D]: the vector of the second segment."""
        if self.config.streams == 2 or self.segment_embedding is None:
            return None
        return self.segment_embedding(torch.ones(1, dtype=torch.long, device=self.segment_embedding.weight.device))

    def _through(self, x: Tensor, y: Tensor, sides: Sides, weights: bool) -> _Found:
        """The layers over words [N, D] and regions [M, E], in the published order."""
        found = _Found([x], [y], [] if weights else None)
        if self.config.streams == 1:
            z = sides.join(x, y)
            for block in self.blocks:
                z = block(z, Run(sides.joint, found.of_words))
                x, y = sides.divide(z)
                found.words.append(x)
                found.regions.append(y)
            return found
        found.of_regions, found.across = ([], []) if weights else (None, None)
        text, image = 0, 0
        for block, text_at, image_at in zip(self.co_blocks, self.config.text_at, self.config.image_at):
            self._apart(found, sides, slice(text, text_at), slice(image, image_at))
            x, y = block(found.words[-1], found.regions[-1], sides, found.across)
            found.words.append(x)
            found.regions.append(y)
            text, image = text_at, image_at
        self._apart(found, sides, slice(text, None), slice(image, None))
        return found

    def _apart(self, found: _Found, sides: Sides, text: slice, image: slice) -> None:
        """Some layers of each stream by itself."""
        for block in self.blocks[text]:
            found.words.append(block(found.words[-1], Run(sides.text, found.of_words)))
        for block in self.image_blocks[image]:
            found.regions.append(block(found.regions[-1], Run(sides.regions, found.of_regions)))

    def fuse(self, words: Tensor, pictures: Tensor) -> Tensor:
        """The vector of a text and its picture from those of [CLS] [N, D] and of IMG [N, E]: [N, C]. With one stream [CLS] has
        read both."""
        pooled = torch.relu(self.text_pooler(words))
        if self.image_pooler is not None:
            pooled = FUSIONS[self.config.fusion](pooled, torch.relu(self.image_pooler(pictures)))
        return dropout(pooled, self.config.fusion_dropout if self.training else 0.0)

    def joint_vectors(self, found: Encoded, real: Tensor | None, shown: Tensor | None) -> Tensor:
        """The vectors [B, C] of texts with their pictures, from those of [CLS] and IMG; where words [B, T] and regions [B, R]
        are real."""
        assert found.region_hidden is not None
        return self.fuse(first_tokens(found.hidden, real), first_tokens(found.region_hidden, shown))

    def output_layer(self, hidden: Tensor, head: str = "mlm") -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., D], weight and bias of the final projection of a head.

        "mlm": any words. "region": any regions [..., E]. "alignment": vectors of `fuse` [N, C]. Raises ValueError for a head
        that this model does not have.
        """
        if head == "region" and self.region_head is not None:
            return self.region_head(hidden), self.region_head.decoder.weight, self.region_head.decoder.bias
        if head == "alignment" and self.alignment_head is not None:
            return hidden, self.alignment_head.weight, self.alignment_head.bias
        return super().output_layer(hidden, head)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        visual_feats: Tensor | None = None,
        visual_pos: Tensor | None = None,
        attention_mask: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        labels: Tensor | None = None,
    ) -> SeeingOutput:
        """The output of every head; arguments as in `encode`, one text a row, labels as in
        `with_loss`."""
        found = self.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            visual_feats=visual_feats,
            visual_pos=visual_pos,
            visual_attention_mask=visual_attention_mask,
            return_layers=output_hidden_states,
            return_attentions=output_attentions,
        )
        real, seen = (None if mask is None else mask != 0 for mask in (attention_mask, visual_attention_mask))
        assert found.region_hidden is not None
        pooled = self.joint_vectors(found, real, seen)
        logits = None if self.mlm_head is None else self._logits(found.hidden, real)
        output = SeeingOutput(
            found.hidden,
            found.region_hidden,
            pooled,
            prediction_logits=logits,
            cross_relationship_score=None if self.alignment_head is None else self.project(pooled, "alignment"),
            region_logits={} if self.region_head is None else {"region": self.project(found.region_hidden, "region")},
            language_hidden_states=found.layers and found.layers[1:],
            vision_hidden_states=found.region_layers and found.region_layers[1:],
            language_attentions=found.attentions,
            vision_attentions=found.region_attentions,
            cross_encoder_attentions=found.cross_attentions,
        )
        return self.with_loss(output, labels, logits)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`); without a stream "regions" each text has IMG alone."""
        config, width, inner = self.config, self.config.width, self.config.inner_width
        if "regions" not in work.lengths:
            ones = [min(1, int(length)) for length in work.lengths["tokens"]]
            work = Workload({**work.lengths, "regions": ones}, work.projected)
        words, regions, across = work.places(), work.places("regions"), work.pairs("tokens", "regions")
        total = embedding_flops(self.image_embedding.feature, self.image_embedding.box, regions)
        if config.streams == 1:
            pairs = work.pairs() + work.pairs("regions") + 2 * across
            total += transformer_flops(words + regions, pairs, width=width, layers=config.layers, inner=inner)
        else:
            total += transformer_flops(words, work.pairs(), width=width, layers=config.layers, inner=inner)
            sides = ((words, width, inner), (regions, config.image_width, config.image_inner))
            image = {"width": config.image_width, "layers": config.image_layers, "inner": config.image_inner}
            total += transformer_flops(regions, work.pairs("regions"), **image)
            one = sum(count * d * (4 * config.co_width + 2 * f) for count, d, f in sides) + 4 * across * config.co_width
            total += 2 * len(config.text_at) * one
        seen, pooled = config.region_width, width + (config.image_width if config.streams == 2 else 0)
        costs = {"mlm": width * (width + config.vocab_size), "region": seen * (seen + config.classes)}
        costs["joint"] = config.co_width * pooled  # the vector of text and picture alone
        return total + 2 * work.outputs(costs | {"alignment": config.co_width * (pooled + 2)})

    def joint_layers(self) -> dict[str, FeedForward]:
        """The feed-forward networks from the first co-attention on, in both streams, or all of the single one; by their names
        in the model."""
        config, found = self.config, networks_in(self)
        if config.streams == 1:
            return found
        first = {"co_blocks": 0, "blocks": config.text_at[0], "image_blocks": config.image_at[0]}
        return {name: layer for name, layer in found.items() if int(name.split(".")[1]) >= first[name.split(".")[0]]}

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings; each text block with the co-attention before it and the image block
        beside it, as in the published order; the rest."""
        embeddings, *_ = super().layer_groups()
        groups = [[*embeddings, *self.image_embedding.parameters()]]
        co = dict(zip(self.config.text_at, self.co_blocks))
        images, last = list(self.image_blocks), len(self.blocks)
        for number, block in enumerate(self.blocks):
            beside = last - number <= len(images)
            modules = [co.get(number), images[number - last] if beside else None, block]
            groups.append([p for module in modules if module is not None for p in module.parameters()])
        seen = {id(p) for group in groups for p in group}
        return [*groups, [p for p in self.parameters() if id(p) not in seen]]
