"""BERT: Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding".

The encoder of the Transformer ("Attention Is All You Need", 2017) alone, at the size of GPT:

    token + position + segment -> norm -> dropout -> [ attention -> add -> norm -> feed-forward -> add -> norm ] x 12
        any token       -> dense -> GELU -> norm -> vocabulary     "mlm": which token was masked here?
        the first token -> dense -> tanh -> 2                      "nsp": does the second segment follow the first?

What differs from GPT (section 3 and appendix A of the paper):

- attention is bidirectional, so the next token, which is visible, cannot be the target: some tokens are masked instead;
- a third embedding marks which of two segments a token belongs to; the sum of the three is normalised;
- GELU is the exact form (Google's code computes the tanh form); epsilon of the norms is 1e-12;
- the masked-LM head has a dense layer and a norm before the output matrix, which is the token embedding, with a separate bias.

A `discriminator` is what ELECTRA (Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
Generators") leaves to fine-tune, KoELECTRA and KcELECTRA among them: the same encoder, whose three tables may be narrower, with
a projection behind them, and in the place of BERT's heads

        any token -> dense -> GELU -> 1                            "replaced": did a generator put this token here?

Padding costs nothing: everything except attention runs on flat rows of real tokens (`gyebo/nn/ragged.py`).

Letters: B batch, T length, N real tokens, D width, H heads, K = D/H, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gyebo.models.gpt import GptConfig
from gyebo.models.pretrained import Pretrained
from gyebo.models.protocol import grouped
from gyebo.nn.cost import Workload, transformer_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS, FeedForward
from gyebo.nn.host import is_ours
from gyebo.nn.outputs import Encoded, MaskedOutput
from gyebo.nn.ragged import Ragged, attend_ragged, first_tokens, ragged_layout, real_tokens


@dataclass
class BertConfig(GptConfig):
    """The configuration of a BERT; the defaults are the published base model, uncased, with both pretraining heads."""

    vocab_size: int = 30_522
    activation: str = "gelu"
    norm_eps: float = 1e-12
    segments: int = 2  # rows of the segment table; 1: the same vector for all
    mlm: bool = True  # has the head that predicts masked tokens
    nsp: bool = True  # has the head for next-sentence prediction
    pooler: bool = True  # has the dense layer with tanh on the first token
    discriminator: bool = False  # ELECTRA's: none of the three parts above
    embedding_width: int | None = None  # of a discriminator's tables, before a projection; None: the model's width
    replaced: bool = False  # a discriminator with its head for replaced tokens

    least_segments: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segments < self.least_segments:
            raise ValueError(f"segments must be at least {self.least_segments}, but is {self.segments} instead")
        if self.prefix:
            raise ValueError("prefix has no effect on an encoder, which sees all of a text: leave it out")
        self._check_discriminator()
        if self.nsp and not self.pooler:
            raise ValueError("nsp is on, but pooler is off: the next-sentence head needs the pooler")

    def _check_discriminator(self) -> None:
        if not self.discriminator:
            for name in ("embedding_width", "replaced"):
                if getattr(self, name):
                    raise ValueError(f"{name} = {getattr(self, name)!r} is for a discriminator: set discriminator = True")
            return
        if type(self) is not BertConfig:
            raise ValueError(f"discriminator = True is not possible for {type(self).__name__}: use BERT")
        for name in ("mlm", "nsp", "pooler"):
            if getattr(self, name):
                raise ValueError(f"{name} is not possible in a discriminator: set {name} = False")
        if self.embedding_width is not None and self.embedding_width < 1:
            raise ValueError(f"embedding_width must be at least 1, or None for width, but is {self.embedding_width} instead")

    @property
    def table_width(self) -> int:
        """Width of the tables of tokens, positions and segments."""
        return self.embedding_width or self.width

    @property
    def first_position(self) -> int:
        """Row of the position table at which a text starts."""
        return 0

    @property
    def head_activation(self) -> str:
        """Activation in the head that predicts masked tokens."""
        return self.activation


@dataclass
class Run:
    """Shared by the blocks in one pass: the layout of the rows, and the list that collects attention weights."""

    layout: Ragged
    attentions: list[Tensor] | None = None


class Attention(nn.Module):
    """Bidirectional multi-head self-attention; query, key and value are computed by one matrix."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.heads, self.dropout = config.heads, config.attention_dropout

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[N, D] -> [N, D]."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # [N, 3, H, K]
        p = self.dropout if self.training else 0.0
        return self.out(attend_ragged(qkv, run.layout, dropout=p, attentions=run.attentions))


class Block(nn.Module):
    """One layer: each sublayer is added to its input, then normalised (post-norm)."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = FeedForward(config.width, config.inner_width, config.activation)
        self.mlp_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = config.residual_dropout

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[N, D] -> [N, D]."""
        p = self.dropout if self.training else 0.0
        x = self.attention_norm(x + dropout(self.attention(x, run), p))
        return self.mlp_norm(x + dropout(self.mlp(x), p))


class MaskedHead(nn.Module):
    """Predicts masked tokens: dense, activation, norm, then the vocabulary's matrix and bias."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.decoder = nn.Linear(config.width, config.vocab_size)
        self.activation = ACTIVATIONS[config.head_activation]

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]: the input of the output matrix."""
        return self.norm(self.activation(self.dense(x)))


class ReplacedHead(nn.Module):
    """Tells replaced tokens: dense, activation, then one logit."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, 1)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]: the input of the last layer."""
        return self.activation(self.dense(x))


class Bert(Pretrained, nn.Module):
    """BERT with the pretraining heads that the config switches on."""

    family: ClassVar[str] = "bert"
    compiles: ClassVar[bool] = True
    gives_attentions: ClassVar[bool] = True
    has_segments: ClassVar[bool] = True
    has_pooler: ClassVar[bool] = True
    optional_heads: ClassVar[tuple[str, ...]] = ("mlm", "nsp", "replaced")
    label_places: ClassVar[str] = "here"
    config_class: ClassVar[type] = BertConfig
    sizes: ClassVar[dict[str, BertConfig]] = {
        "tiny": BertConfig(vocab_size=4096, context=128, width=64, layers=2, heads=2),
        "mini": BertConfig(vocab_size=16_000, context=256, width=256, layers=4, heads=4),
        "small": BertConfig(vocab_size=16_000, context=512, width=512, layers=8, heads=8),
        "medium": BertConfig(width=512, layers=8, heads=8),  # Turc et al. 2019, the largest of the compact ones
        "base": BertConfig(),
        "base-cased": BertConfig(vocab_size=28_996),
        "large": BertConfig(width=1024, layers=24, heads=16),
    }

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.table_width)
        self.position_embedding = nn.Embedding(config.first_position + config.context, config.table_width)
        self.segment_embedding = nn.Embedding(config.segments, config.table_width) if config.segments else None
        self.embedding_norm = nn.LayerNorm(config.table_width, eps=config.norm_eps)
        narrow = config.table_width != config.width
        self.embedding_projection = nn.Linear(config.table_width, config.width) if narrow else None
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.pooler = nn.Linear(config.width, config.width) if config.pooler else None
        self.mlm_head = MaskedHead(config) if config.mlm else None
        self.nsp_head = nn.Linear(config.width, 2) if config.nsp else None
        self.replaced_head = ReplacedHead(config) if config.replaced else None
        if self.mlm_head is not None and config.tied:
            self.mlm_head.decoder.weight = self.token_embedding.weight
        self.initialise()

    @property
    def own_head_style(self) -> str:
        """The style of a discriminator's task heads; "" for that of the family."""
        return "dense-gelu" if self.config.discriminator else ""

    @property
    def heads(self) -> tuple[str, ...]:
        """The pretraining heads that this model has: "mlm", "nsp", "replaced"."""
        return tuple(name for name in self.optional_heads if getattr(self.config, name))

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding | N(0, init_std), not truncated (Google's code truncates it at two standard deviations) |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, self.config.init_std)
            if isinstance(module, nn.Linear):
                module.bias.zero_()
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        return_layers: bool = False,
        return_attentions: bool = False,
    ) -> Encoded:
        """Run the blocks over ids [B, T]; `hidden` [B, T, D] is zero at padding.

        `attention_mask` [B, T] is 0 at padding; `document_ids` [B, T] (0 = padding) keeps attention and positions within
        each document; `token_type_ids` [B, T] are the segments of the tokens (default: the first); `position_ids` [B, T] are
        rows of the position table. Raises ValueError for a position or segment that has no row in its table.
        """
        layout = ragged_layout(
            input_ids.shape,
            input_ids.device,
            attention_mask=attention_mask,
            document_ids=document_ids,
            position_ids=position_ids,
            dense=return_attentions or torch.compiler.is_compiling(),
        )
        x = self.token_embedding(layout.gather(input_ids)) + self._positions(layout, position_ids is not None)
        if self.segment_embedding is not None or token_type_ids is not None:
            x = x + self._segments(layout, token_type_ids)
        x = dropout(self.embedding_norm(x), self.config.embedding_dropout if self.training else 0.0)
        x = x if self.embedding_projection is None else self.embedding_projection(x)
        run = Run(layout, [] if return_attentions else None)
        layers = [x]
        for block in self.blocks:
            x = block(x, run)
            layers.append(x)
        return Encoded(
            layout.scatter(x),
            tuple(map(layout.scatter, layers)) if return_layers else None,
            None if run.attentions is None else tuple(run.attentions),
        )

    def _positions(self, layout: Ragged, given: bool) -> Tensor:
        """Position vectors of the rows, [N, D]."""
        rows = layout.positions if given else layout.positions + self.config.first_position
        if (given or layout.longest > self.config.context) and len(rows):
            low, high, most = int(rows.min()), int(rows.max()), self.position_embedding.num_embeddings - 1
            if low < 0 or high > most:
                raise ValueError(
                    f"positions must be from 0 to {most} (context {self.config.context}), but are {low} to {high} instead"
                )
        return self.position_embedding(rows)

    def _segments(self, layout: Ragged, token_type_ids: Tensor | None) -> Tensor:
        """Segment vectors of the rows, [N, D], or the first vector [D] for all."""
        table = self.segment_embedding
        if table is None:
            raise ValueError(f"token_type_ids: {self.family} has no segments; leave them out")
        if token_type_ids is None:
            return table.weight[0]
        kinds = layout.gather(token_type_ids.expand(layout.shape))
        if len(kinds) and not torch.compiler.is_compiling() and not is_ours(token_type_ids):
            low, high = int(kinds.min()), int(kinds.max())
            if low < 0 or high >= len(table.weight):
                raise ValueError(
                    f"token_type_ids must be below {len(table.weight)} (segments), but are {low} to {high} instead"
                )
        return table(kinds)

    def pool(self, rows: Tensor) -> Tensor:
        """tanh(W h) of first-token vectors: [N, D] -> [N, D]. Raises ValueError where the config has no pooler."""
        if self.pooler is None:
            raise ValueError(f"this {self.family} model has no pooler: its config says pooler = False")
        return torch.tanh(self.pooler(rows))

    def output_layer(self, hidden: Tensor, head: str = "mlm") -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., D], weight and bias of the final projection of a head, for losses that never store all logits.

        "mlm": any positions, weight [V, D]. "nsp": vectors of first tokens, which are pooled here, weight [2, D]. "replaced":
        any positions, weight [1, D]. Raises ValueError for a head that this model does not have.
        """
        if head == "mlm" and self.mlm_head is not None:
            return self.mlm_head(hidden), self.mlm_head.decoder.weight, self.mlm_head.decoder.bias
        if head == "nsp" and self.nsp_head is not None:
            return self.pool(hidden), self.nsp_head.weight, self.nsp_head.bias
        if head == "replaced" and self.replaced_head is not None:
            return self.replaced_head(hidden), self.replaced_head.out.weight, self.replaced_head.out.bias
        known = ", ".join(self.heads) or "none, as this model has no head"
        raise ValueError(f"head must be one of {known}, but is {head!r} instead")

    def project(self, hidden: Tensor, head: str = "mlm") -> Tensor:
        """Logits of a head: "mlm" [..., D] -> [..., V] for any positions; "nsp" [N, D] -> [N, 2] from first tokens (0 = the
        true next segment, 1 = a random one); "replaced" [..., D] -> [..., 1] (above 0: the token was replaced)."""
        return F.linear(*self.output_layer(hidden, head))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
    ) -> MaskedOutput:
        """The output of every head; arguments as in `encode`. `labels` [B, T] as in `with_loss`, of a discriminator 1 where a
        token was replaced; `next_sentence_label` [B] 1 where the second segment is a random one; with both `loss` is the sum.

        Logits are zero at padding; "first token" is the first real token of each row.
        """
        encoded = self.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            document_ids,
            return_layers=output_hidden_states,
            return_attentions=output_attentions,
        )
        real = real_tokens(attention_mask, document_ids)
        first = first_tokens(encoded.hidden, real)
        logits = None if self.mlm_head is None else self._logits(encoded.hidden, real)
        found = MaskedOutput(
            logits=logits,
            seq_relationship_logits=None if self.nsp_head is None else self.project(first, "nsp"),
            last_hidden_state=encoded.hidden,
            pooler_output=None if self.pooler is None else self.pool(first),
            hidden_states=encoded.layers,
            attentions=encoded.attentions,
            replaced_logits=None if self.replaced_head is None else self.project(encoded.hidden, "replaced")[..., 0],
        )
        if found.replaced_logits is None or logits is not None:
            found = self.with_loss(found, labels, logits)
        else:
            found = self.with_loss_of_replaced(found, labels, found.replaced_logits, real)
        return self.with_loss_of_pairs(found, next_sentence_label, found.seq_relationship_logits)

    def _logits(self, hidden: Tensor, real: Tensor | None) -> Tensor:
        if real is None or torch.compiler.is_compiling() or bool(real.all()):
            logits = self.project(hidden)
            return logits if real is None else logits.masked_fill(~real[..., None], 0)
        some = self.project(hidden[real])
        return some.new_zeros(*real.shape, some.shape[-1]).index_put((real,), some)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config, width = self.config, self.config.width
        blocks = transformer_flops(work.places(), work.pairs(), width=width, layers=config.layers, inner=config.inner_width)
        if self.embedding_projection is not None:
            blocks += 2 * work.places() * config.table_width * width
        heads = {"mlm": width * (width + config.vocab_size), "nsp": width * (width + 2), "replaced": width * (width + 1)}
        return blocks + 2 * work.outputs(heads)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings, each block, the rest."""
        tables = (self.token_embedding, self.position_embedding, self.segment_embedding)
        embeddings = (*tables, self.embedding_norm, self.embedding_projection)
        first = [p for module in embeddings if module is not None for p in module.parameters()]
        return grouped(self, first, self.blocks)
