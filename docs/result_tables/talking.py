"""Chatbots, what they must not say, and control of what they say."""

from __future__ import annotations

from statistics import mean, median
from typing import Any

from result_tables.files import Rows, stored


def guard() -> Rows:
    """What the guard blocks of Korean comments: unwanted ones with their interval, and innocent ones."""

    def cell(check: dict[str, Any]) -> str:
        found, innocent = check["recall"], check["false_alarms"]
        low, high = (100 * found[end] for end in ("low", "high"))
        return f"{100 * found['share']:.1f} % ({low:.1f} to {high:.1f}); {100 * innocent['share']:.1f} %"

    rows = [["unwanted", "texts", "words", "linear baseline", "BERT, fine-tuned", "BERT's vectors", "any check"]]
    for name, found in stored("guard")["unwanted"].items():
        dev = found["dev"]
        texts = f"{dev['unwanted']} of {dev['unwanted'] + dev['innocent']}"
        rows.append([name, texts, *map(cell, dev["checks"])])
    return rows


def pplm() -> Rows:
    """Seconds of PPLM's answers, beside the authors' code and the least cost."""
    rows = [["attribute", "gyebo", "authors' code", "least cost", "gyebo is faster by", "gyebo / least cost"]]
    for case in stored("pplm")["cases"]:
        seconds = [
            *(f"{median(case['seconds'][side]):.1f} s" for side in ("gyebo", "authors")),
            f"{case['least_seconds']:.1f} s",
        ]
        times = case["times"]
        rows.append([case["attribute"], *seconds, f"{times['authors']:.1f} times", f"{1 / times['least cost']:.2f}"])
    return rows


def ranking() -> Rows:
    """Sample-and-rank: the time of 20 candidates and of 20 answers, in times of one answer."""
    rows = [["model", "one answer", "20 candidates at once", "20 answers one after the other"]]
    for case in stored("ranking")["cases"]:
        times = case["times_one_answer"]
        one = f"{1000 * case['median_seconds']['one']:.0f} ms"
        rows.append([case["model"], one, *(f"{times[side]:.1f} times" for side in ("candidates", "answers"))])
    return rows


def guard_cost() -> Rows:
    """Eight short answers of a small chatbot, with and without a guard."""
    found = stored("guard-cost")
    without, guarded = (median(times) / 8 for times in zip(*found["rounds"]))
    ratio = f"{found['ratio']:.2f}"
    return [
        ["", "without a guard", "with all checks", "ratio"],
        ["an answer", *(f"{1000 * t:.0f} ms" for t in (without, guarded)), ratio],
    ]


def evolved() -> Rows:
    """The Evolved Transformer and a plain one: parameters, rate, perplexity of each seed."""
    titles = {"evolved": "Evolved Transformer (Meena mini)", "plain": "Transformer, pre-norm"}
    rows = [["", "parameters without embeddings", "rate", "response perplexity, mean (seeds)"]]
    for side, found in stored("evolved")["sides"].items():
        seeds = ", ".join(f"{value:.1f}" for value in found["test"])
        rows.append([titles[side], f"{found['parameters']:,}", f"{found['lr']:g}", f"**{mean(found['test']):.1f}** ({seeds})"])
    return rows


def ssa() -> Rows:
    """Two chatbots, greedy and ranked, as three programs judge them."""
    rows = [["bot", "sensible", "specific", "SSA"]]
    for found in stored("ssa")["bots"]:
        shares = (found[name] for name in ("sensibleness", "specificity", "ssa"))
        rows.append([found["bot"].removeprefix("chat-"), *(_share(each) for each in shares)])
    return rows


def ssa_raters() -> Rows:
    """How well each of these programs tells right responses from shuffled ones."""
    rows = [["rater", "told apart", "right: sensible, specific", "shuffled: sensible, specific"]]
    for name, found in stored("ssa")["worth"].items():
        sides = ([f"{100 * found[side][part]:.0f}" for part in ("sensible", "specific")] for side in ("right", "shuffled"))
        rows.append(
            [name, f"{100 * found['told_apart']:.1f} %", *(f"{sensible} %, {specific} %" for sensible, specific in sides)]
        )
    return rows


def _share(found: dict[str, float]) -> str:
    return f"{100 * found['value']:.0f} % ({100 * found['low']:.0f} to {100 * found['high']:.0f})"


def _control(label: str) -> Rows:
    """The table of PPLM's paper: success, perplexity by another model, distinct n-grams."""
    kinds = {"bag": "a bag of words", "discriminator": "a discriminator", "both": "both"}
    found = stored(f"control-{label}")["table"]
    rows = [["", "success", "perplexity", "in times of B's", "distinct-1", "distinct-2", "distinct-3"]]
    for name, row in found.items():
        way, _, kind = name.partition(" ")
        figures = [f"{row['success']:.0%}".replace("%", " %"), f"{row['perplexity']:.0f}"]
        figures.append(f"{row['perplexity'] / found['B']['perplexity']:.2f}")
        figures += [f"{row[f'distinct-{size}']:.2f}" for size in (1, 2, 3)]
        rows.append([f"{way}, {kinds[kind]}" if kind else way, *figures])
    return rows


def control_negative() -> Rows:
    """Reviews led to what is rare."""
    return _control("negative")


def control_positive() -> Rows:
    """Reviews led to what is frequent."""
    return _control("positive")


def control_strength() -> Rows:
    """Success and perplexity by the strength of a discriminator."""
    swept = {label: stored(f"control-{label}")["swept"] for label in ("negative", "positive")}
    rows = [["strength", *(f"{float(each):g}" for each in swept["negative"])]]
    for label, found in swept.items():
        rows.append([f"{label}: success", *(f"{row['success']:.0%}".replace("%", " %") for row in found.values())])
        rows.append([f"{label}: perplexity", *(f"{row['perplexity']:.0f}" for row in found.values())])
    return rows


TABLES = (
    guard,
    pplm,
    ranking,
    guard_cost,
    evolved,
    ssa,
    ssa_raters,
    control_negative,
    control_positive,
    control_strength,
)
