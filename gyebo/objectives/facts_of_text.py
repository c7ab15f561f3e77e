"""The rows of the objectives that learn from text alone, without torch."""

from __future__ import annotations

from dataclasses import replace

from gyebo.objectives.facts import Line, ObjectiveFacts, Samples

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

DISTILLATION = replace(
    MASKED,
    name="distillation",
    module="gyebo.objectives.distillation",
    learns="to predict masked tokens as its teacher does",
    with_teacher=None,
    needs_teacher=True,
)
