"""What model classes offer beside their layers: what they can do, counting, and opening and saving through
`gyebo.interchange`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from torch import Tensor, nn

from gyebo.nn.counting import Counted
from gyebo.nn.stacked import matrices_in

Output = TypeVar("Output", bound=Any)


class Pretrained(Counted):
    """Mixed into a model class that has `family`, `config_class`, `sizes` and `heads`.

    What a model can do is declared, off unless its class says otherwise, but for reading text; `CAPABILITIES` in
    `gyebo/models/protocol.py` has the methods that belong to each.
    """

    generates: ClassVar[bool] = False  # writes from left to right
    draws: ClassVar[bool] = False  # draws a picture's image tokens for a text
    captions: ClassVar[bool] = False  # writes a text about a picture's image tokens, where `config.image_first`
    compares: ClassVar[bool] = False  # gives texts and pictures vectors that can be compared
    steers: ClassVar[bool] = False  # what it wrote can be moved by gradients: its cache of keys and values can be `joined`
    causal: ClassVar[bool] = False  # a token's vector depends on no token after it
    sees_prefix: ClassVar[bool] = False  # `encode(prefix=)`: tokens that all of their document sees
    encodes_source: ClassVar[bool] = False  # reads a source and writes a target
    embeds_source: ClassVar[bool] = False  # its encoder alone represents a text
    carries_state: ClassVar[bool] = False  # a row may go on where another ended
    has_query_stream: ClassVar[bool] = False  # `encode(targets=)`: predicts tokens without having read them
    gives_raw: ClassVar[bool] = False  # `encode(return_raw=)`: the last layer's output before dropout
    gives_attentions: ClassVar[bool] = False  # `encode(return_attentions=)`: every block's attention weights
    reads_characters: ClassVar[bool] = False  # knows an id by its spelling, and has no table of tokens
    has_memory: ClassVar[bool] = False  # its state is a memory of `config.memory` tokens
    any_memory: ClassVar[bool] = False  # of any number of tokens: `fresh_state(rows, memory)`
    has_clusters: ClassVar[bool] = False  # its vocabulary may be divided into clusters: `config.cutoffs`
    has_windows: ClassVar[bool] = False  # a long text is learned from in windows of `config.window` tokens
    has_segments: ClassVar[bool] = False  # takes `token_type_ids`, where `config.segments` are several
    has_pooler: ClassVar[bool] = False  # may have a pooler: `config.pooler`
    reads_text: ClassVar[bool] = True  # ids of a tokenizer: `encode`, and heads that predict them
    tokenizes_pictures: ClassVar[bool] = False  # turns pictures into ids of codes and back
    quantises_vectors: ClassVar[bool] = False  # `autoencode(pixels)` gives vectors and their nearest codes
    mixes_codes: ClassVar[bool] = (
        False  # `autoencode(pixels, temperature=)` gives a distribution of codes and one of pixel values
    )
    compiles: ClassVar[bool] = False  # it is prepared for `torch.compile`, which makes it faster
    learned_as: ClassVar[tuple[str, ...]] = ()  # flags of its config that what it learns decides, and no weight depends on
    optional_heads: ClassVar[tuple[str, ...]] = ()  # of `heads`, each with the flag of the config that switches it on
    sees: ClassVar[bool] = False  # reads the regions of a picture beside a text
    own_head_style: Any = ""  # of heads for tasks, where it is not its family's
    whole_first: ClassVar[bool] = False  # its first region is the whole picture, and a box has the share of its area
    joins: ClassVar[bool] = False  # texts and pictures pass through the same layers: `joint_layers()`
    stacks: ClassVar[tuple[str, ...]] = ("blocks",)  # the names of its lists of layers
    label_places: ClassVar[str] = ""  # what `forward(labels=)` are: the "next" ids, those "here", "both" sides'; "": none
    tasks: tuple[Any, ...] = ()  # that it learned to answer by text, as `config.json` remembers them

    @classmethod
    def possible_heads(cls: Any) -> tuple[str, ...]:
        """The pretraining heads that a model of the class can have."""
        return cls.optional_heads or cls.heads

    @classmethod
    def carries(cls, config: Any) -> bool:
        """Whether a model of this config goes on from a state: all that can, but for those that need not."""
        return cls.carries_state

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """Flags of its config that switch a part on or off."""
        return (*cls.optional_heads, *(("pooler",) if cls.has_pooler else ()))

    @property
    def title(self: Any) -> str:
        """What the family is called in messages: ELMo, GPT-2."""
        return _title(type(self))

    @property
    def output(self) -> nn.Module | None:
        """The output layer over the vocabulary, which is the token embedding where `config.tied` says so; None where a model
        has none of its own."""
        return None

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load a run, a `transformers` directory or a hub id as this class; ValueError if it has a model of another family."""
        from gyebo.interchange import load

        model, _ = load(name)
        if type(model) is not cls:
            raise ValueError(f"{name} holds a model of {model.title}, not of {_title(cls)}: open it with gyebo.load")
        return model

    def with_loss(self, output: Output, labels: Tensor | None, logits: Tensor | None, backward: Tensor | None = None) -> Output:
        """The output with its `loss`, where labels [B, T] are given: ids, -100 where there is none, as in `transformers`. The
        mean cross-entropy: of a causal model for the id after each place, of an encoder or a decoder beside one for the label
        there, of two directions their mean. ValueError for a model whose forward pass predicts no labels."""
        if labels is None:
            return output
        from gyebo.objectives.labelled import loss_of

        if not self.label_places or logits is None:
            raise ValueError(f"labels= has no effect on this model, which predicts none: {self._learns_from()}")
        output.loss = loss_of(self.label_places, labels, logits, backward)
        return output

    def with_loss_of_pairs(self, output: Output, labels: Tensor | None, logits: Tensor | None) -> Output:
        """The output with the cross-entropy of classes [B] of pairs added to its `loss`; ValueError without a head for them."""
        if labels is None:
            return output
        from gyebo.objectives.labelled import mean_cross_entropy

        if logits is None:
            raise ValueError("next_sentence_label= has no effect on this model, which has no head for it: leave it out")
        found = mean_cross_entropy(logits, labels)
        output.loss = found if output.loss is None else output.loss + found
        return output

    def with_loss_of_replaced(self, output: Output, labels: Tensor | None, logits: Tensor, real: Tensor | None) -> Output:
        """The output with its `loss`, the mean binary cross-entropy of labels [B, T], 0 or 1, -100 for none, at real tokens."""
        if labels is not None:
            from gyebo.objectives.labelled import told_apart

            output.loss = told_apart(logits, labels, real)
        return output

    def with_contrast(self, output: Output, logits: Tensor) -> Output:
        """The output with its `loss` of contrast: logits [B, B] of texts and the pictures that belong to them."""
        from gyebo.objectives.labelled import contrast

        output.loss = contrast(logits)
        return output

    def _learns_from(self: Any) -> str:
        return (
            "it has no head for them" if self.label_places else f"{self.family} learns in gyebo pretrain, by what its page says"
        )

    def read_for(self: Any, labels: Tensor, start: int) -> Tensor:
        """What a decoder reads to predict labels [B, U]."""
        from gyebo.objectives.labelled import shifted_right

        pad = self.config.pad_id
        return shifted_right(labels, start, start if pad is None else pad)

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `config.json` and `model.safetensors`, which `transformers` opens."""
        from gyebo.interchange import save

        save(self, None, directory)

    def block_matrices(self) -> dict[Tensor, int]:
        """The matrices of the layers of its stacks, without embeddings and heads -> how many equal parts stand one above the
        other in it: query, key and value, or the gates of a cell."""
        return matrices_in(getattr(self, stack) for stack in self.stacks)

    def count_parameters(self: Any, *, embeddings: bool = True) -> int:
        """Number of trainable parameters, tied ones once; without `embeddings`: without embedding tables and output layer."""
        module: nn.Module = self
        parts = "token padding position segment image row column patch_position".split()
        tables = (*(f"{part}_embedding" for part in parts), "lm_head", "mlm_head.decoder")
        return sum(p.numel() for name, p in module.named_parameters() if embeddings or not name.startswith(tables))


def _title(cls: Any) -> str:
    from gyebo.models.family import find

    return find(cls.family).title
