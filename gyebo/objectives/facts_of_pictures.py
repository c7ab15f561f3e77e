"""The rows of the objectives that learn from pictures, with texts or alone, without torch."""

from __future__ import annotations

from dataclasses import replace

from gyebo.objectives.facts import Line, ObjectiveFacts, Samples, Shown

CROSS_MODALITY = ObjectiveFacts(
    name="cross-modality",
    of="texts with pictures",
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
    of="texts with pictures",
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

IMAGE_TO_TEXT = ObjectiveFacts(
    name="image-to-text",
    module="gyebo.objectives.image_to_text",
    learns="to write the text of a picture",
    capabilities=("captions",),
    flag="image_first",
    heads=("text", "image"),
    metric="caption_loss",
    unit="nats per token of a caption",
    note="of the words of a text, given its picture: comparable between models with the same tokenizer alone",
    evaluate="gyebo.evaluation.image_to_text:evaluate_captions",
    term="loss_text",
    card_metrics=("caption_loss", "caption_loss_of_another", "caption_loss_without_picture", "caption_accuracy"),
    samples=Samples(
        function="gyebo.evaluation.samples:captioned",
        heading="Captions",
        meaning="What these models write about held-out pictures, and in brackets a text that belongs to the picture.",
    ),
    of="pictures",
    pipeline_tag="image-to-text",
    next_command="caption {out} PICTURE",
    meaning="Mean negative log-likelihood of the tokens of held-out texts, given their pictures.",
    lines=(
        Line(
            heading="Loss with another picture",
            meaning="The same given another held-out picture: what is higher here, the text owes to its picture.",
            metric="caption_loss_of_another",
        ),
    ),
    lines_beside=(
        Line(
            heading="Loss on captions",
            meaning="Mean negative log-likelihood of the tokens of held-out texts, given their pictures. No bits per byte.",
            metric="caption_loss",
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
