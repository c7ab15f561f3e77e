"""The model card: the README.md of a saved model, as the Hugging Face hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote


def model_card(
    *,
    name: str,
    family: str,
    title: str,
    year: int,
    paper: str,
    size: str,
    parameters: int,
    parameters_without_embeddings: int | None = None,
    corpus: str,
    tokens: int,
    budget: str,
    metrics: Mapping[str, float | int | str],
    command: str,
    license: str | None = None,
    language: Sequence[str] = (),
    tags: Sequence[str] = (),
    pipeline_tag: str | None = "text-generation",
    auto_class: str | None = "AutoModelForCausalLM",
    base_model: str | None = None,
    samples: Sequence[str] = (),
    by_class: tuple[str, Sequence[tuple[str, float, float, float, int]]] = ("", ()),
    pictures: Mapping[str, str] | None = None,
    limitations: Sequence[str] = (),
    of: str = "text",
    version: str | None = None,
) -> str:
    """The text of a card from the results of a run; nothing is read and nothing is guessed.

    `name`: the directory or hub id that a reader opens. `tokens`: real tokens seen in training. `budget`: in words, such as
    "2,000 steps of 8,192 tokens". `metrics`: what was measured on held-out text, by its name with the unit. `command`: what
    was typed. `license`, `language` (ISO 639 codes), `base_model`: left out of the header where not given. `auto_class`: the
    class of `transformers` that opens it; None for a family that it has not. `pictures`: {caption: file beside the card}.
    `by_class`: what was measured, and of each class its name, precision, recall, F1 and number of examples.
    `of`: what it learned from and was measured on, "text", "pictures" or "texts with pictures".
    Raises ValueError for a line break where one line is meant.
    """
    _one_line(name=name, title=title, paper=paper, size=size, corpus=corpus, budget=budget)
    header = {
        "language": list(language) or None,
        "license": license,
        "library_name": "transformers" if auto_class else "gyebo",
        "pipeline_tag": pipeline_tag,
        "base_model": base_model,
        "tags": ["gyebo", family, *tags],
    }
    facts: dict[str, float | int | str | None] = {
        "family": f"{title} ({year}): {paper}",
        "size": size,
        "parameters": parameters,
        "parameters without embeddings": parameters_without_embeddings,
        "started from": base_model,
        "corpus": corpus,
        "tokens seen": tokens,
        "budget": budget,
        "gyebo": version,
    }
    parts = [
        _front_matter(header),
        f"# {_plain(name)}",
        f"{_article(title)} {title} {'language model' if of == 'text' else f'model of {of}'}, trained with gyebo.",
        _table(("", ""), facts),
        "## Results",
        _table((f"on held-out {of}", "value"), metrics) if metrics else "Nothing was measured.",
        *_each_class(*by_class),
        *(f"![{_cell(caption)}]({quote(file)})" for caption, file in (pictures or {}).items()),
        *(["## Samples", *map(_block, samples)] if samples else []),
        "## How to open it",
        _block(_opening(name, auto_class, of), "python"),
        "## How it was trained",
        _block(command, "sh"),
        "## Limitations",
        "\n".join(
            f"- {_plain(limit)}" for limit in (*limitations, *_WARNINGS.get(pipeline_tag or "", ()), _ALWAYS.format(of=of))
        ),
    ]
    return "\n\n".join(parts) + "\n"


MOST_CLASSES = 50
_WARNINGS = {
    "text-generation": (
        "It continues text in the manner of its corpus, with that corpus's errors and biases; what it says may be false.",
    ),
    "fill-mask": ("It completes text in the manner of its corpus, with that corpus's errors and biases.",),
}
_ALWAYS = "It was measured on {of} of the same kind as its corpus; on other {of} expect worse."


def _one_line(**texts: str) -> None:
    for field, text in texts.items():
        if "\n" in text:
            raise ValueError(f"{field} of a model card must be one line, but has a line break")


def _front_matter(header: Mapping[str, object]) -> str:
    """YAML between lines of three dashes. JSON values are YAML values: no text can break out of its field."""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items() if value is not None]
    return "\n".join(["---", *lines, "---"])


def _opening(name: str, auto_class: str | None, of: str) -> str:
    if of == "pictures":
        opened = f"import gyebo\nmodel, _ = gyebo.load({name!r})\n"
        return f"{opened}ids = model.encode_pixels(pixels)  # uint8 [B, S, S, 3]\npixels = model.decode_ids(ids)"
    text = f"import gyebo\nmodel, tokenizer = gyebo.load({name!r})"
    if auto_class is None:
        return text
    return (
        f"from transformers import {auto_class}, AutoTokenizer\n"
        f"model = {auto_class}.from_pretrained({name!r})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({name!r})\n\n"
        f"# or\n{text}"
    )


def _table(head: tuple[str, str], rows: Mapping[str, float | int | str | None]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    lines += [f"| {_cell(key)} | {_cell(_number(value))} |" for key, value in rows.items() if value is not None]
    return "\n".join(lines)


def _each_class(measured: str, classes: Sequence[tuple[str, float, float, float, int]]) -> list[str]:
    """A line and a table; of many classes those with the most examples, in their order."""
    if not classes:
        return []
    most = sorted(range(len(classes)), key=lambda place: -classes[place][-1])[:MOST_CLASSES]
    shown = [classes[place] for place in sorted(most)]
    left_out = f", the {len(shown)} of {len(classes)} with the most examples" if len(shown) < len(classes) else ""
    lines = ["| class | precision | recall | F1 | examples |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, *scores, count in shown:
        lines.append(f"| {_cell(name)} | {' | '.join(f'{score:.3f}' for score in scores)} | {count:,} |")
    return [f"Each class ({_plain(measured)}{left_out}):", "\n".join(lines)]


def _number(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """A name as Markdown that shows it: neither HTML, nor a link or picture, comes of it."""
    return text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace("[", "\\[")


def _block(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _article(title: str) -> str:
    """A or An, as the title is spoken: an ELMo, an LSTM, a GPT."""
    return "An" if title.startswith(("E", "RNN", "LS", "LX")) else "A"
