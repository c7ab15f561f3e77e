"""Comparisons of families and objectives."""

from __future__ import annotations

from result_tables.files import LAB, Rows, compared, stored


def nsmc() -> Rows:
    """Seven families under one budget."""
    titles = {
        "distilbert-mini": "DistilBERT, without a teacher",
        "lstm-mini": "LSTM",
        "bert-mini": "BERT",
        "roberta-mini": "RoBERTa",
        "ulmfit-mini": "ULMFiT (AWD-LSTM)",
        "gpt2-mini": "GPT-2",
        "elmo-mini": "ELMo",
    }
    lines = compared("nsmc")

    heading = ["", "accuracy", "verdict", "bits per byte", "minutes of pretraining"]
    baseline = [lines[line]["linear baseline"] for line in ("nsmc: accuracy", "nsmc: minutes of fine-tuning")]
    rows = [heading, ["linear baseline", f"**{baseline[0]}**", "above all of them", "", f"{baseline[1]} in all"]]
    for name, title in titles.items():
        score, verdict = lines["nsmc: accuracy"][name], lines["nsmc: verdict"][name]
        bits = lines["Bits per byte, held out"][name].removesuffix(" (one seed: no spread)").removesuffix(" (one seed)")
        rows.append([title, score, verdict, bits.replace("-", ""), lines["Minutes"][name]])
    return rows


def gradients() -> Rows:
    """Powers of ten by which the gradient changes with distance."""
    found = stored("gradients", LAB)["decades"]
    return [["", *found], ["change", *(f"{decades:+.1f}" for decades in found.values())]]


def _by_tasks(name: str, loss: str, titles: dict[str, str]) -> Rows:
    """Candidates of a comparison by sentiment and summaries of the world, with their verdicts and the loss of pretraining."""
    lines = compared(name)
    rows = [["", "sentiment: accuracy", "verdict", "summaries: ROUGE-L", "verdict", "loss of pretraining"]]
    for candidate, title in titles.items():
        found = [lines[f"world-{task}"][candidate] for task in ("sentiment: accuracy", "sentiment: verdict")]
        found += [lines[f"world-{task}"][candidate] for task in ("summary: rouge l", "summary: verdict")]
        rows.append([title, *found, lines[loss][candidate]])
    return rows


def noises() -> Rows:
    """Six noises for BART."""
    titles = {
        "infilling": "text infilling",
        "deletion": "token deletion",
        "infilling-and-permutation": "infilling and sentence permutation",
        "permutation": "sentence permutation",
        "rotation": "document rotation",
        "masking": "token masking",
    }
    return _by_tasks("noises", "Loss on restored tokens", titles)


def architectures() -> Rows:
    """T5's three architectures."""
    titles = {"encoder-decoder": "encoder and decoder", "prefix-decoder": "decoder with a prefix", "decoder": "decoder"}
    return _by_tasks("architectures", "Loss on target tokens", titles)


TABLES = (
    nsmc,
    gradients,
    noises,
    architectures,
)
