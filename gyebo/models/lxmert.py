"""LXMERT: Tan & Bansal 2019, "LXMERT: Learning Cross-Modality Encoder Representations from Transformers".

Three encoders of BERT's layers, one of which reads words and the regions of a picture at once (sections 2.1 and 2.2):

    words:   token + position + segment -> norm                   -> [ block ] x 9 --+
                                                                                     +-> [ cross-modality block ] x 5
    regions: (norm(W feature) + norm(U box)) / 2 of each region   -> [ block ] x 5 --+

    cross-modality block:  words attend to regions, regions to words -> add -> norm
                           each side by itself: self-attention -> add -> norm -> feed-forward -> add -> norm

What differs from BERT:

- a region is a feature (2,048 numbers of a detector, as published, or its pixels, which a small convolutional network reads
  here) and its box: x and y of two corners as shares of the picture's width and height. Regions have no order;
- one set of weights attends in both directions of a cross-modality block, and both directions read the block's input
  (the authors' code, and `transformers`);
- the vector of both is that of [CLS], pooled; there is no token for it;
- heads: the masked word, whether text and picture belong together (0 no, 1 yes), the answer to a question; at each region the
  label that a detector gave it, its attribute, and its feature;
- the row 0 of each embedding of words, positions and segments is not learned from what is read (`padding_idx` in the authors'
  code). All words have segment 0, so that vector stays as it was drawn, and so does that of the first position.

Letters: B batch, T length, R regions of a picture, N words, M regions of the batch, D width, H heads, K = D/H, V vocabulary,
F size of a feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

REGION_HEADS = ("object", "attribute", "feature")


@dataclass
class LxmertConfig(BertConfig):
    """The configuration of an LXMERT; the defaults are the published model with all pretraining heads."""

    layers: int = 9  # of the language encoder
    region_layers: int = 5  # of the object-relationship encoder
    cross_layers: int = 5  # of the cross-modality encoder
    feature_size: int = 2048  # numbers of a region
    box_size: int = 4  # numbers of a box
    crop: int | None = None  # a feature is so many pixels a side, read by a convolutional network; None: it is given
    nsp: bool = False
    match: bool = True  # has the head that tells whether text and picture belong together
    region_head: bool = True  # has the layer before the heads of regions
    object: bool = True  # has the head for the labels of regions
    attribute: bool = True  # for their attributes
    feature: bool = True  # for their features
    answer: bool = True  # has the head for answers
    objects: int = 1600  # labels of regions
    attributes: int = 400
    answers: int = 9500

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("region_layers", "cross_layers", "feature_size", "box_size", "objects", "attributes", "answers")
        check_shape(self, counts=counts)
        if self.nsp:
            raise ValueError("nsp = True is not possible: LXMERT has no next-sentence head; use BERT")
        if not self.pooler and (self.match or self.answer):
            raise ValueError("pooler is off, but match or answer is on: these heads need the pooler")
        if not self.region_head and any(getattr(self, name) for name in REGION_HEADS):
            raise ValueError(f"region_head is off, but one of {', '.join(REGION_HEADS)} is on: these heads need it")
        check_crop(self.crop, self.feature_size)

    @property
    def joint_width(self) -> int:
        """Width of the vector of a text with its picture."""
        return self.width


class RegionEmbedding(nn.Module):
    """A region's vector: the mean of those of its feature and of its box, each normalised (section 2.1)."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        width = config.width
        self.feature = feature_layer(config, width)
        self.feature_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.box = nn.Linear(config.box_size, width)
        self.box_norm = nn.LayerNorm(width, eps=config.norm_eps)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """[M, F] and [M, 4] -> [M, D]."""
        return (self.feature_norm(self.feature(features)) + self.box_norm(self.box(boxes))) / 2


class CrossBlock(nn.Module):
    """A layer of the cross-modality encoder: attention in both directions with one set of weights, then a layer of BERT for
    each side."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.words, self.regions = Block(config), Block(config)
        self.heads, self.attention_dropout, self.dropout = config.heads, config.attention_dropout, config.residual_dropout

    def forward(self, x: Tensor, y: Tensor, sides: Sides, attentions: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Words [N, D] and regions [M, D] -> the same. The list collects the weights of the words to the regions."""
        both, lengths = torch.cat([x, y]), [len(x), len(y)]
        query, key_value = self.qkv(both).unflatten(-1, (3, self.heads, -1)).split([1, 2], 1)
        (of_words, of_regions), (words, regions) = query.squeeze(1).split(lengths), key_value.split(lengths)
        p = self.attention_dropout if self.training else 0.0
        seen = attend_across(of_words, regions, sides.to_regions, dropout=p, attentions=attentions)
        read = attend_across(of_regions, words, sides.to_text, dropout=p)
        mixed = self.out(torch.cat([seen, read]))
        x, y = self.norm(both + dropout(mixed, self.dropout if self.training else 0.0)).split(lengths)
        return self.words(x, Run(sides.text)), self.regions(y, Run(sides.regions))


class RegionHead(nn.Module):
    """What stands in regions: dense, activation, norm, then a matrix for labels, attributes and features."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        sizes = {"object": config.objects, "attribute": config.attributes, "feature": config.feature_size}
        self.decoders = nn.ModuleDict(
            {name: nn.Linear(config.width, size) for name, size in sizes.items() if getattr(config, name)}
        )
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, y: Tensor) -> Tensor:
        """[..., D] -> [..., D]: the input of the output matrices."""
        return self.norm(self.activation(self.dense(y)))


class AnswerHead(nn.Module):
    """The answer to a question from the pooled vector: dense to 2D, GELU, norm, then the answers' matrix."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.width, 2 * config.width)
        self.norm = nn.LayerNorm(2 * config.width, eps=config.norm_eps)
        self.decoder = nn.Linear(2 * config.width, config.answers)

    def forward(self, pooled: Tensor) -> Tensor:
        """[..., D] -> [..., 2D]: the input of the output matrix."""
        return self.norm(F.gelu(self.dense(pooled)))


def _own(vocabulary: int, context: int, width: int, layers: int, heads: int, beside: int) -> LxmertConfig:
    """A size of ours: `beside` layers over regions and as many over both.

    BERT's N(0, 0.02) belongs to a width of 768. At 64 each matrix makes what passes six times smaller, and several stand
    between a word and the region it names, so that the model stays at chance in telling whether they belong together: the
    deviation follows the width (docs/families/lxmert.md).
    """
    shape: dict[str, Any] = {"crop": 16, "feature_size": 768, "objects": 100, "attributes": 100, "answers": 100}
    shape |= {"region_layers": beside, "cross_layers": beside, "init_std": round(0.02 * (768 / width) ** 0.5, 4)}
    return LxmertConfig(vocabulary, context, width, layers, heads, **shape)


class Lxmert(Bert):
    """LXMERT with the pretraining heads that the config switches on."""

    family: ClassVar[str] = "lxmert"
    compiles: ClassVar[bool] = False
    sees: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    optional_heads: ClassVar[tuple[str, ...]] = ("mlm", "match", *REGION_HEADS, "answer")
    config_class: ClassVar[type] = LxmertConfig
    stacks: ClassVar[tuple[str, ...]] = ("blocks", "region_blocks", "cross_blocks")
    sizes: ClassVar[dict[str, BertConfig]] = {
        "tiny": _own(4096, 64, 64, layers=2, heads=2, beside=1),
        "mini": _own(16_000, 64, 256, layers=3, heads=4, beside=2),
        "small": _own(16_000, 128, 512, layers=5, heads=8, beside=3),
        "base": LxmertConfig(),
    }

    config: LxmertConfig

    def __init__(self, config: LxmertConfig):
        super().__init__(config)
        self.region_embedding = RegionEmbedding(config)
        self.region_blocks = nn.ModuleList([Block(config) for _ in range(config.region_layers)])
        self.cross_blocks = nn.ModuleList([CrossBlock(config) for _ in range(config.cross_layers)])
        self.match_head = nn.Linear(config.width, 2) if config.match else None
        self.region_head = RegionHead(config) if config.region_head else None
        self.answer_head = AnswerHead(config) if config.answer else None
        assert self.segment_embedding is not None
        for table in (self.token_embedding, self.position_embedding, self.segment_embedding):
            table.padding_idx = 0
        self.initialise()

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """Flags of its config that switch a part on or off."""
        return (*super().parts(), "region_head")

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding, row 0 included | N(0, init_std), not truncated |
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
        """Run the encoders over ids [B, T], features `visual_feats` [B, R, F] and boxes `visual_pos` [B, R, 4] from 0 to 1;
        `hidden` [B, T, D] and `region_hidden` [B, R, D] are zero at padding.

        `visual_attention_mask` [B, R] is 0 at padding; `region_document_ids` [B, R] (0 = padding) says to which text's picture
        each region belongs, where `document_ids` are given. Without features a text has no picture, and its words attend to
        nothing. The others as in `Bert.encode`, which raises the same errors; ValueError for features of another size.
        """
        if visual_feats is None:
            visual_feats, visual_pos, visual_attention_mask = self._nothing(input_ids, visual_pos)
            region_document_ids = None if document_ids is None else visual_attention_mask
        features, boxes = checked_regions(visual_feats, visual_pos, self.config.feature_size, self.config.box_size)
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
        lists: list[list[Tensor] | None] = [[] if return_attentions else None for _ in range(3)]
        of_words, of_regions, across = lists
        words = [self._embed_words(sides, input_ids, token_type_ids, position_ids is not None)]
        regions = [self._embed_regions(sides, features, boxes)]
        for block in self.blocks:
            words.append(block(words[-1], Run(sides.text, of_words)))
        for block in self.region_blocks:
            regions.append(block(regions[-1], Run(sides.regions, of_regions)))
        for block in self.cross_blocks:
            x, y = block(words[-1], regions[-1], sides, across)
            words.append(x)
            regions.append(y)
        return Encoded(
            sides.text.scatter(words[-1]),
            tuple(map(sides.text.scatter, words)) if return_layers else None,
            None if of_words is None else tuple(of_words),
            region_hidden=sides.regions.scatter(regions[-1]),
            region_layers=tuple(map(sides.regions.scatter, regions)) if return_layers else None,
            region_attentions=None if of_regions is None else tuple(of_regions),
            cross_attentions=None if across is None else tuple(across),
        )

    def _nothing(self, input_ids: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The features, boxes and mask of no regions."""
        if given is not None:
            raise ValueError("visual_pos needs visual_feats: a box alone is no region")
        batch, like = len(input_ids), self.embedding_norm.weight
        features, boxes = (like.new_zeros(batch, 1, size) for size in (self.config.feature_size, self.config.box_size))
        return features, boxes, torch.zeros(batch, 1, dtype=torch.long, device=like.device)

    def _embed_words(self, sides: Sides, ids: Tensor, kinds: Tensor | None, given: bool) -> Tensor:
        """The input of the language encoder, [N, D]."""
        assert self.segment_embedding is not None
        x = self.token_embedding(sides.text.gather(ids)) + self._positions(sides.text, given)
        first = torch.zeros_like(sides.text.index)  # looked up, so that its vector is not learned
        x = x + (self.segment_embedding(first) if kinds is None else self._segments(sides.text, kinds))
        return dropout(self.embedding_norm(x), self.config.embedding_dropout if self.training else 0.0)

    def _embed_regions(self, sides: Sides, features: Tensor, boxes: Tensor) -> Tensor:
        """The input of the object-relationship encoder, [M, D]."""
        y = self.region_embedding(sides.regions.gather(features), sides.regions.gather(boxes))
        return dropout(y, self.config.embedding_dropout if self.training else 0.0)

    def joint_vectors(self, found: Encoded, real: Tensor | None, shown: Tensor | None) -> Tensor:
        """The pooled vectors of [CLS], [B, D]; `real` [B, T]: where words are. ValueError where the config has no pooler."""
        return self.pool(first_tokens(found.hidden, real))

    def output_layer(self, hidden: Tensor, head: str = "mlm") -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., D], weight and bias of the final projection of a head.

        "mlm": any words. "match" and "answer": vectors of first tokens, which are pooled here. "object", "attribute" and
        "feature": any regions. Raises ValueError for a head that this model does not have.
        """
        if head in self.heads and head != "mlm":
            if head == "match" and self.match_head is not None:
                return self.pool(hidden), self.match_head.weight, self.match_head.bias
            if head == "answer" and self.answer_head is not None:
                return self.answer_head(self.pool(hidden)), self.answer_head.decoder.weight, self.answer_head.decoder.bias
            assert self.region_head is not None
            decoder: Any = self.region_head.decoders[head]
            return self.region_head(hidden), decoder.weight, decoder.bias
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
        real = None if attention_mask is None else attention_mask != 0
        first, regions = first_tokens(found.hidden, real), found.region_hidden
        assert regions is not None
        logits = None if self.mlm_head is None else self._logits(found.hidden, real)
        output = SeeingOutput(
            found.hidden,
            regions,
            None if self.pooler is None else self.pool(first),
            prediction_logits=logits,
            cross_relationship_score=None if self.match_head is None else self.project(first, "match"),
            question_answering_score=None if self.answer_head is None else self.project(first, "answer"),
            region_logits={head: self.project(regions, head) for head in REGION_HEADS if head in self.heads},
            language_hidden_states=found.layers and found.layers[1:],
            vision_hidden_states=found.region_layers and found.region_layers[1:],
            language_attentions=found.attentions,
            vision_attentions=found.region_attentions,
            cross_encoder_attentions=found.cross_attentions,
        )
        return self.with_loss(output, labels, logits)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`); without a stream "regions" texts have no pictures."""
        config, width, inner = self.config, self.config.width, self.config.inner_width
        words, word_pairs = work.places(), work.pairs()
        seen = "regions" in work.lengths
        regions, region_pairs = (work.places("regions"), work.pairs("regions")) if seen else (0, 0)
        across = work.pairs("tokens", "regions") if seen else 0
        total = embedding_flops(self.region_embedding.feature, self.region_embedding.box, regions)
        for count, pairs, layers in ((words, word_pairs, config.layers), (regions, region_pairs, config.region_layers)):
            total += transformer_flops(count, pairs, width=width, layers=layers + config.cross_layers, inner=inner)
        total += 2 * config.cross_layers * ((words + regions) * 4 * width**2 + 4 * across * width)
        region = {"object": config.objects, "attribute": config.attributes, "feature": config.feature_size}
        costs = {head: width * (width + size) for head, size in region.items()}
        costs |= {"mlm": width * (width + config.vocab_size), "match": width * (width + 2)}
        costs["joint"] = width * width  # the vector of text and picture alone
        costs["answer"] = width * (width + 2 * width + 2 * config.answers)
        return total + 2 * work.outputs(costs)

    def joint_layers(self) -> dict[str, FeedForward]:
        """The feed-forward networks of the cross-modality encoder, by their names in the model."""
        return {name: layer for name, layer in networks_in(self).items() if name.startswith("cross_blocks")}

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings, the layers of both encoders side by side, the last ones of each in one
        group, the layers of the cross-modality encoder, the rest."""
        embeddings, *_ = super().layer_groups()
        groups = [[*embeddings, *self.region_embedding.parameters()]]
        stacks = [list(self.blocks), list(self.region_blocks)]
        for above in range(max(map(len, stacks)), 0, -1):
            groups.append([p for stack in stacks if len(stack) >= above for p in stack[-above].parameters()])
        groups += [list(block.parameters()) for block in self.cross_blocks]
        seen = {id(p) for group in groups for p in group}
        return [*groups, [p for p in self.parameters() if id(p) not in seen]]
