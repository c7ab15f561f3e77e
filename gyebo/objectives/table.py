"""The objectives as a table, without torch: all that commands, comparisons and reports must know of each.

A new objective is its module (`gyebo/objectives/objective.py` says what it has) and a row here. Nothing else asks for its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType
from typing import Any

from gyebo.config.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a comparison's table: its heading, what it means in plain words, the metric, and how its number is written."""

    heading: str
    meaning: str
    metric: str
    form: str = "{:.4f}"


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a model shows of itself. `function`: "module:function" that gives lines of text (`gyebo/evaluation/samples.py`);
    `heading`, `meaning`: of the report's section."""

    function: str
    heading: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Pictures that a model shows of itself. `function`: "module:function" from (model, rows, count) to lines of pictures,
    arrays [n, S, S, 3] (`gyebo/evaluation/reconstruction.py`); `file`: in the run's directory; `caption`."""

    function: str
    file: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class ObjectiveFacts:
    """One objective.

    `module`: where its `Options` and `build` are. `kind`: the kind of task from whose examples it is learned, instead of from a
    corpus, and which a model answers that has no record of another one.
    `capabilities`: of a model's class, one of which it takes (`gyebo/models/pretrained.py`); none: its heads decide.
    `sentinels`: the number of sentinels that a tokenizer without any is given.
    `heads`: the heads that a model needs to be measured. `with_teacher`: the objective by which a student learns the same
    from a teacher. `needs_teacher`: that is this one.

    The reported metric: `metric` is its name in results, `unit` its words with the unit, `lower_is_better` its direction,
    `note` what a reader of `gyebo evaluate` should know. `likelihood`: models give a text a probability, so the metric is bits
    per byte, which compares all of them and has a floor where the entropy of the text is known. `ranks`: without a task a
    comparison of models with the same metric is ranked by it. `shown_by`: options, with their defaults, that decide
    what an evaluation shows to a model; where there are any, the metric ranks only models of one family and size that agree
    in them. `elsewhere`: options for evaluating a text that is not the run's own. `evaluate`: "module:function" from
    (model, rows, tokens=, autocast=) to an `Evaluation`.

    `of`: what is learned from and measured on, in a word. `shown`: pictures of the model, drawn at the end of a run.

    In reports and model cards: `learns` in plain words; `term` of the loss whose curve is drawn; `card_metrics` of the model
    card; `auto_class` ("": it has none for what is learned) and `pipeline_tag` of `transformers`; `next_command`: what one
    types after a run, {out} its directory.

    In a comparison: `meaning` of the reported metric; `lines` shown always, `lines_beside` where
    another metric ranks; `tries`: (what for, words after `gyebo`) with {name}, {model}, {start} and {masked}, a text with a
    mask token.
    """

    name: str
    module: str
    learns: str
    kind: str = ""
    capabilities: tuple[str, ...] = ()
    sentinels: int = 0
    heads: tuple[str, ...] = ("lm",)
    with_teacher: str | None = None
    needs_teacher: bool = False
    metric: str
    unit: str
    lower_is_better: bool = True
    likelihood: bool = False
    ranks: bool = True
    shown_by: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    evaluate: str
    term: str = "loss"
    card_metrics: tuple[str, ...]
    samples: Samples | None = None
    of: str = "text"
    shown: Shown | None = None
    auto_class: str = "AutoModel"
    pipeline_tag: str = "feature-extraction"
    next_command: str = "finetune {out} TASK -o ..."
    meaning: str = ""
    lines: tuple[Line, ...] = ()
    lines_beside: tuple[Line, ...] = ()
    tries: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        if " " not in self.unit:  # a comparison calls it so beside tasks, whose names have none
            raise ValueError(f"objective {self.name}: unit must be several words, but is {self.unit!r} instead")

    def load(self) -> ModuleType:
        """The module, imported on use."""
        return import_module(self.module)


def resolve(place: str) -> Callable[..., Any]:
    """The function at "module:function", imported on use."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


CAUSAL = ObjectiveFacts(
    name="causal",
    module="gyebo.objectives.causal",
    learns="to predict the next token",
    capabilities=("causal",),
    metric="bits_per_byte",
    unit="bits per byte",
    likelihood=True,
    evaluate="gyebo.evaluation.likelihood:evaluate_text",
    term="loss_lm",
    card_metrics=("bits_per_byte", "bits_per_character", "perplexity"),
    samples=Samples(
        function="gyebo.evaluation.samples:generated",
        heading="Generated samples",
        meaning="Samples without a prompt: the first texts of each model's best seed, not a selection.",
    ),
    auto_class="AutoModelForCausalLM",
    pipeline_tag="text-generation",
    next_command="generate {out} --prompt ...",
    meaning="Average number of bits needed to encode each byte of held-out text with the model. 8 would be pure guessing.",
    lines=(
        Line(
            heading="Bits per character",
            meaning="The same per character. A Korean syllable is one character but three bytes.",
            metric="bits_per_character",
        ),
        Line(
            heading="Perplexity",
            meaning="Effective number of equally likely next tokens. Lower is better.",
            metric="perplexity",
            form="{:,.1f}",
        ),
    ),
    tries=(
        ("Generate text with {name}", ("generate", "{model}", "--prompt", "{start}")),
        ("Score it on another text", ("evaluate", "{model}", "another-text.txt")),
    ),
)

MASKED = ObjectiveFacts(
    name="masked",
    module="gyebo.objectives.masked",
    learns="to predict masked tokens",
    heads=("mlm",),
    with_teacher="distillation",
    metric="masked_loss",
    unit="nats per masked token",
    shown_by={"format": "auto", "next_sentence": None},
    elsewhere={"format": "doc-sentences"},
    note="of masked tokens, always the same ones: no likelihood, so no bits per byte",
    evaluate="gyebo.evaluation.masked:evaluate_masked",
    term="loss_mlm",
    card_metrics=("masked_loss", "masked_accuracy", "next_sentence_accuracy"),
    samples=Samples(
        function="gyebo.evaluation.samples:predicted",
        heading="Predicted masked tokens",
        meaning=(
            "These models predict masked tokens from both sides. The prediction is in brackets; where it is wrong, the original"
            " follows: [prediction|original]."
        ),
    ),
    auto_class="AutoModelForMaskedLM",
    pipeline_tag="fill-mask",
    meaning="Mean negative log-likelihood of masked tokens in held-out text; the same tokens were masked for all.",
    lines=(
        Line(
            heading="Masked-token accuracy",
            meaning=(
                "Share of masked tokens predicted correctly. It depends on which tokens were masked and how much context was"
                " left, so nothing is ranked by it."
            ),
            metric="masked_accuracy",
            form="{:.1%}",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss on masked tokens",
            meaning="Mean negative log-likelihood of masked tokens (nats per token; lower is better). No bits per byte.",
            metric="masked_loss",
        ),
    ),
    tries=(("Predict masked tokens with {name}", ("fill", "{model}", "--text", "{masked}")),),
)

PERMUTATION = ObjectiveFacts(
    name="permutation",
    module="gyebo.objectives.permutation",
    learns="to predict tokens in a random order",
    metric="permutation_loss",
    unit="nats per predicted token",
    shown_by={"format": "auto"},
    elsewhere={"format": "doc-sentences"},
    note="of one token in six, in random orders, always the same ones: no bits per byte",
    evaluate="gyebo.evaluation.permutation:evaluate_permutation",
    card_metrics=("permutation_loss", "permutation_accuracy"),
    samples=Samples(
        function="gyebo.evaluation.samples:in_any_order",
        heading="Tokens predicted in a random order",
        meaning=(
            "These models predict tokens one after the other in a random order. The prediction is in brackets; where it is"
            " wrong, the original follows: [prediction|original]."
        ),
    ),
    auto_class="AutoModelForCausalLM",
    pipeline_tag="text-generation",
    meaning=(
        "Mean negative log-likelihood of the last tokens of a random order in held-out text, each from those before it in that"
        " order; tokens and orders were the same for all."
    ),
    lines=(
        Line(
            heading="Predicted-token accuracy",
            meaning=(
                "Share of these tokens that were most probable. It depends on which tokens came first, so nothing is ranked by"
                " it."
            ),
            metric="permutation_accuracy",
            form="{:.1%}",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss in a random order",
            meaning="Mean negative log-likelihood of predicted tokens (nats per token; lower is better). No bits per byte.",
            metric="permutation_loss",
        ),
    ),
    tries=(("Generate text with {name}", ("generate", "{model}", "--prompt", "{start}")),),
)

BIDIRECTIONAL = ObjectiveFacts(
    name="bidirectional",
    module="gyebo.objectives.bidirectional",
    learns="to predict the next token, and the previous one (in the other direction)",
    heads=("forward", "backward"),
    metric="bidirectional_loss",
    unit="nats per token, both directions",
    ranks=False,
    note="each token is predicted twice, from its left and from its right: together no likelihood",
    evaluate="gyebo.evaluation.bidirectional:evaluate_bidirectional",
    card_metrics=("bidirectional_loss", "forward_perplexity", "backward_perplexity", "forward_bits_per_byte"),
    lines_beside=(
        Line(
            heading="Nats per token, both directions",
            meaning=(
                "Mean negative log-likelihood of each token from its left and from its right context (lower is better). No bits"
                " per byte, and nothing is ranked by it."
            ),
            metric="bidirectional_loss",
        ),
    ),
)

DENOISING = ObjectiveFacts(
    name="denoising",
    capabilities=("encodes_source",),
    module="gyebo.objectives.denoising",
    learns="to restore a text from noise",
    metric="denoising_loss",
    unit="nats per restored token",
    shown_by={
        "noise": ["sentence-permutation", "text-infilling"],
        "rate": 0.3,
        "poisson_lambda": 3.0,
        "random_share": 0.0,
        "permute_share": 1.0,
        "rotate_probability": 1.0,
    },
    note="of the whole text, given its corrupted form, which is always the same: no likelihood, so no bits per byte",
    evaluate="gyebo.evaluation.source_target:evaluate_denoising",
    term="loss_lm",
    card_metrics=("denoising_loss", "denoising_accuracy"),
    samples=Samples(
        function="gyebo.evaluation.samples:restored",
        heading="Restored texts",
        meaning="Held-out texts with noise, as the models read them, and what each model's best seed wrote (greedy decoding).",
    ),
    auto_class="AutoModelForSeq2SeqLM",
    pipeline_tag="text2text-generation",
    meaning=(
        "Mean negative log-likelihood of the tokens of held-out text, given the text with noise, which was the same for all."
    ),
    lines=(
        Line(
            heading="Accuracy of restored tokens",
            meaning="Share of the tokens predicted correctly, most of which stand in the source. Nothing is ranked by it.",
            metric="denoising_accuracy",
            form="{:.1%}",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss on restored tokens",
            meaning="Mean negative log-likelihood of the tokens, given the text with noise (nats per token). No bits per byte.",
            metric="denoising_loss",
        ),
    ),
    tries=(("Let {name} fill masks by writing", ("fill", "{model}", "--text", "{masked}")),),
)

SPAN_CORRUPTION = ObjectiveFacts(
    name="span-corruption",
    module="gyebo.objectives.span_corruption",
    learns="to write the spans that were taken out of a text",
    capabilities=("encodes_source", "sees_prefix"),
    sentinels=100,
    metric="target_loss",
    unit="nats per target token",
    note="of the spans that were taken out, given the rest, always the same ones: no likelihood, so no bits per byte",
    evaluate="gyebo.evaluation.source_target:evaluate_spans",
    term="loss_lm",
    card_metrics=("target_loss", "target_accuracy"),
    samples=Samples(
        function="gyebo.evaluation.samples:filled",
        heading="Spans filled in",
        meaning=(
            "Held-out texts with spans taken out. What each model's best seed wrote for them (greedy decoding) is in brackets; "
            "where it is wrong, the original follows: [prediction|original]."
        ),
    ),
    auto_class="AutoModelForSeq2SeqLM",
    pipeline_tag="text2text-generation",
    meaning=(
        "Mean negative log-likelihood of the target's tokens: the spans that were taken out of held-out texts, their sentinels "
        "and the end, given the rest; the same spans were taken out for all."
    ),
    lines=(
        Line(
            heading="Accuracy of target tokens",
            meaning="Share of the target's tokens predicted correctly. Nothing is ranked by it.",
            metric="target_accuracy",
            form="{:.1%}",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss on target tokens",
            meaning="Mean negative log-likelihood of the spans that were taken out (nats per token). No bits per byte.",
            metric="target_loss",
        ),
    ),
)

PREFIX_LM = ObjectiveFacts(
    name="prefix-lm",
    module="gyebo.objectives.prefix_lm",
    learns="to continue a text",
    capabilities=("encodes_source", "sees_prefix"),
    metric="prefix_loss",
    unit="nats per token after the prefix",
    note="of texts from a random place on, always the same one, given what is before it: no likelihood, so no bits per byte",
    evaluate="gyebo.evaluation.source_target:evaluate_continuations",
    term="loss_lm",
    card_metrics=("prefix_loss", "prefix_accuracy"),
    meaning=(
        "Mean negative log-likelihood of the tokens of held-out texts from a random place on, given what is before it. The "
        "place was the same for all."
    ),
    lines=(
        Line(
            heading="Accuracy after the prefix",
            meaning="Share of these tokens predicted correctly. Nothing is ranked by it.",
            metric="prefix_accuracy",
            form="{:.1%}",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss after the prefix",
            meaning="Mean negative log-likelihood of texts from a random place on (nats per token). No bits per byte.",
            metric="prefix_loss",
        ),
    ),
)

TRANSLATION = ObjectiveFacts(
    name="translation",
    module="gyebo.objectives.source_target",
    learns="to translate",
    kind="translation",
    metric="bleu",  # a task measures it: nothing here reads a text alone
    unit="BLEU of held-out pairs",
    lower_is_better=False,
    ranks=False,
    evaluate="",
    card_metrics=(),
)

CROSS_MODALITY = ObjectiveFacts(
    name="cross-modality",
    module="gyebo.objectives.cross_modality",
    learns="to predict masked words and regions of pictures, and whether a text is about its picture",
    capabilities=("sees",),
    heads=("mlm", "match"),
    metric="pictured_loss",
    unit="nats per masked word beside its picture",
    shown_by={"regions": "auto", "grid": 4, "most_regions": 36},
    elsewhere={"labels": False, "answers": False},
    note="of masked words, always the same ones, given the picture: no likelihood, so no bits per byte",
    evaluate="gyebo.evaluation.text_with_regions:evaluate_text_with_regions",
    term="loss_mlm",
    card_metrics=(
        "pictured_loss",
        "pictured_accuracy",
        "matching_accuracy",
        "label_accuracy",
        "attribute_accuracy",
        "answer_accuracy",
        "feature_loss",
    ),
    samples=Samples(
        function="gyebo.evaluation.samples:with_pictures",
        heading="Predicted masked words",
        meaning=(
            "These models predict masked words from the others and from the picture. The prediction is in brackets; where it is"
            " wrong, the original follows: [prediction|original]."
        ),
    ),
    auto_class="",  # they read pixels
    next_command="evaluate {out} world:pictures,unseen,500",
    meaning="Mean negative log-likelihood of masked words of held-out texts, given their pictures; the same masks for all.",
    lines=(
        Line(
            heading="Text and picture told to belong together or not",
            meaning="Share of held-out texts for which this is right, each once with its picture and once with another.",
            metric="matching_accuracy",
            form="{:.1%}",
        ),
        Line(
            heading="Masked-word accuracy",
            meaning="Share of masked words predicted correctly. Nothing is ranked by it.",
            metric="pictured_accuracy",
            form="{:.1%}",
        ),
    ),
)

ALIGNMENT = replace(
    CROSS_MODALITY,
    name="alignment",
    module="gyebo.objectives.alignment",
    heads=("mlm", "alignment"),
    elsewhere={"labels": False},
    card_metrics=("pictured_loss", "pictured_accuracy", "matching_accuracy", "label_accuracy"),
)

QUANTISATION = ObjectiveFacts(
    name="vector-quantisation",
    module="gyebo.objectives.vector_quantisation",
    learns="to restore pictures from codes",
    capabilities=("quantises_vectors",),
    heads=(),
    metric="squared_error",
    unit="mean squared error of pixel values",
    note="of pixel values from 0 to 1, of pictures restored from their codes",
    evaluate="gyebo.evaluation.reconstruction:evaluate_reconstruction",
    term="loss_restored",
    card_metrics=("squared_error", "psnr", "codebook_perplexity", "codes_used"),
    of="pictures",
    shown=Shown(
        function="gyebo.evaluation.reconstruction:restored",
        file="reconstructions.png",
        caption="Held-out pictures (above), and what their codes restore",
    ),
    pipeline_tag="image-feature-extraction",
    next_command="inspect reconstructions {out} PICTURES -o ...",
    meaning="Mean squared error of the pixel values, from 0 to 1, of held-out pictures restored from their codes.",
)

RELAXATION = replace(
    QUANTISATION,
    name="discrete-vae",
    module="gyebo.objectives.discrete_vae",
    capabilities=("mixes_codes",),
    evaluate="gyebo.evaluation.reconstruction:evaluate_bound",
    card_metrics=(*QUANTISATION.card_metrics, "bits_per_dim", "kl_bits_per_dim"),
)

TEXT_TO_IMAGE = ObjectiveFacts(
    name="text-to-image",
    module="gyebo.objectives.text_to_image",
    learns="to draw a picture for a text, code by code",
    capabilities=("draws",),
    heads=("text", "image"),
    metric="image_loss",
    unit="nats per image token",
    note="of the codes of a picture, given its text: comparable between models with the same picture tokenizer alone",
    evaluate="gyebo.evaluation.text_to_image:evaluate_codes",
    term="loss_image",
    card_metrics=("image_loss", "image_accuracy", "text_loss"),
    of="pictures",
    pipeline_tag="text-to-image",
    next_command="draw {out} --text ... -o picture.png",
    meaning="Mean negative log-likelihood of the codes of held-out pictures, each from the text and the codes before it.",
    lines_beside=(
        Line(
            heading="Loss on image tokens",
            meaning="Mean negative log-likelihood of the codes of held-out pictures (nats per code). No bits per byte.",
            metric="image_loss",
        ),
    ),
)

CONTRASTIVE = ObjectiveFacts(
    name="contrastive",
    module="gyebo.objectives.contrastive",
    learns="which texts and pictures belong together",
    capabilities=("compares",),
    heads=("text", "picture"),
    metric="contrast_loss",
    unit="nats per pair",
    note="of held-out texts and pictures, each to be found among 100, or among all where there are fewer",
    evaluate="gyebo.evaluation.contrast:evaluate_contrast",
    card_metrics=("contrast_loss", "picture_found", "text_found"),
    auto_class="AutoModel",
    of="pictures",
    pipeline_tag="zero-shot-image-classification",
    next_command="draw MODEL --text ... --count 16 --rerank {out} -o pictures.png",
    meaning="Mean negative log-likelihood of a held-out text's own picture among 100, and of a picture's own text.",
    lines=(
        Line(
            heading="Pictures found",
            meaning="Share of held-out texts whose own picture is the most similar one among 100.",
            metric="picture_found",
            form="{:.1%}",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss on pairs",
            meaning="Mean negative log-likelihood of pairs of a text and its picture among 100 (nats). No bits per byte.",
            metric="contrast_loss",
        ),
    ),
)

DISTILLATION = replace(
    MASKED,
    name="distillation",
    module="gyebo.objectives.distillation",
    learns="to predict masked tokens as its teacher does",
    with_teacher=None,
    needs_teacher=True,
)

OBJECTIVES: dict[str, ObjectiveFacts] = {
    facts.name: facts
    for facts in (
        CAUSAL,
        MASKED,
        PERMUTATION,
        BIDIRECTIONAL,
        DENOISING,
        SPAN_CORRUPTION,
        PREFIX_LM,
        TRANSLATION,
        CROSS_MODALITY,
        ALIGNMENT,
        QUANTISATION,
        RELAXATION,
        TEXT_TO_IMAGE,
        CONTRASTIVE,
        DISTILLATION,
    )
}

LIKELIHOOD = CAUSAL  # its metric compares all models that give a text a probability, whatever they read it with


def find(name: str, *, teacher: bool = False) -> ObjectiveFacts:
    """The objective of that name (`Family.objective`); with a `teacher` that by which a student learns the same.

    Raises ValueError where a student can't learn it from a teacher.
    """
    facts = OBJECTIVES[name]
    if not teacher:
        return facts
    if facts.with_teacher is None:
        raise ValueError(f"the objective {name} has no form with a teacher: leave the teacher out")
    return OBJECTIVES[facts.with_teacher]


def asked(usual: str, options: Mapping[str, Any], *, teacher: bool = False) -> ObjectiveFacts:
    """The objective that `options` name ("name", of the section `objective`), by default the `usual` one of a family.

    Raises OptionError for one that can't be asked for, ValueError as `find` does.
    """
    name = options.get("name", usual)
    known = [facts.name for facts in OBJECTIVES.values() if not facts.kind and not facts.needs_teacher]
    if name != usual and name not in known:
        raise OptionError(f"‹objective.name› must be one of {', '.join(known)}, but is {name!r} instead")
    return find(name, teacher=teacher)


def of_unit(unit: str) -> ObjectiveFacts | None:
    """The first objective whose reported metric has these words; None where none has."""
    return next((facts for facts in OBJECTIVES.values() if facts.unit == unit), None)


def words_of(metric: str) -> str:
    """What a reported metric of held-out text is called: its unit; itself where no objective has it any more."""
    return next((facts.unit for facts in OBJECTIVES.values() if facts.metric == metric), metric)
