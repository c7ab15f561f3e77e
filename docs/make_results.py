"""Write those tables of docs/results.md and other pages whose figures are stored, each between its marks, from the files:

    python docs/make_results.py

`SENTENCES` quote such figures in the text; tests/test_results_page.py fails where tables or sentences differ from the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "results.md"
PAGES = (PAGE, DOCS / "guard.md", DOCS / "control.md", DOCS / "ssa.md", DOCS / "families" / "meena.md")
BENCHMARKS = DOCS.parent / "benchmarks" / "results"
LAB = DOCS / "results" / "lab"
MARKED = re.compile(r"<!-- table (\S+) -->\n.*?<!-- end -->", re.DOTALL)

Rows = list[list[str]]


def stored(name: str, folder: Path | None = None) -> Any:
    """What a benchmark stored, or another experiment in its folder."""
    return json.loads(((folder or BENCHMARKS) / f"{name}.json").read_text(encoding="utf-8"))


def compared(name: str) -> dict[str, dict[str, str]]:
    """The table of docs/results/NAME/results.md: line -> candidate -> cell."""
    lines = (DOCS / "results" / name / "results.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    names = cells[0][1:]
    return {line: dict(zip(names, values)) for line, *values in cells[2:]}


# ---- tables: the first row is the heading


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


def depth() -> Rows:
    """Milliseconds by the number of layers, and the power with which they grow."""
    found = stored("depth", LAB)
    series = {
        "LSTM, a training step": found["depth"]["LSTM"],
        "BERT, a training step": found["depth"]["BERT"],
        "GPT, a token generated": found["generation"]["GPT"],
    }
    layers = next(iter(series.values()))["sizes"]
    rows = [["layers", *map(str, layers), "power"]]
    for title, one in series.items():
        rows.append([title, *(f"{1000 * seconds:.3g}" for seconds in one["seconds"]), f"{one['power']:.2f}"])
    return rows


def alignment() -> Rows:
    """Exact translations of each model by seed, and what it makes of one sentence."""
    rows = [["", "exact", "seeds", "BLEU", "of a wrong length", "says"]]
    for name, runs in stored("alignment", LAB)["models"].items():
        exact = [run["exact"] for run in runs]
        each = ", ".join(f"{100 * share:.1f}" for share in exact)
        says = " / ".join(dict.fromkeys(run["says"] for run in runs))
        others = (f"{100 * mean(run[name] for run in runs):.1f}" for name in ("bleu", "wrong_length"))
        bleu, wrong = others
        rows.append([name, f"{100 * mean(exact):.1f} %", each, bleu, f"{wrong} %", says])
    return rows


def new_york() -> Rows:
    """Divergence of each way of predicting from the truth, and the probability of names that no town has."""
    rows = [["", "nats from the truth", "seeds", "probability of names that no town has"]]
    for name, runs in stored("new-york", LAB)["models"].items():
        found = [run["divergence"] for run in runs]
        none = mean(run["no_town"] for run in runs)
        rows.append([name, f"{mean(found):.3f}", ", ".join(f"{one:.3f}" for one in found), f"{100 * none:.1f} %"])
    return rows


def mask_token() -> Rows:
    """Accuracy after fine-tuning, and losses of the pretrained models on what they see and what is masked."""
    found = stored("mask-token", LAB)
    rows = [["masked / random / as they are", "accuracy", "seeds", "nats per masked token", "per token that is seen"]]
    for name, scores in found["accuracy"].items():
        losses = [mean(one[kind] for one in found["nats_per_token"][name].values()) for kind in ("masked", "seen")]
        each = ", ".join(f"{score:.3f}" for score in scores.values())
        rows.append([name.replace("-", " / "), f"{mean(scores.values()):.3f}", each, *(f"{loss:.2f}" for loss in losses)])
    return rows


def debias() -> Rows:
    """Unwanted answers by what the model learned from, in truth and as the judge sees them, with and without the guard."""
    arms = stored("debias", LAB)["arms"]
    names = {"all": "comments as they are", "passed": "what the classifier passes", "innocent": "innocent ones alone"}
    rows = [["learned from", "unwanted in the texts", "in the answers", "seeds", "marked by the judge", "with the guard"]]
    for arm, name in names.items():

        def share(figure: str, of: str = arm) -> str:
            return f"{100 * mean(one[figure] for one in arms[of]):.1f} %"

        each = ", ".join(f"{100 * one['unwanted']:.1f}" for one in arms[arm])
        guarded = share("unwanted", f"{arm}, guarded")
        rows.append([name, share("in_texts"), share("unwanted"), each, share("marked"), guarded])
    return rows


def shakespeare() -> Rows:
    """The loss of each side over its seeds."""
    titles = {
        "gyebo": "gyebo, nanoGPT's optimiser settings (peak rate 1e-3)",
        "gyebo, rate 2e-3": "gyebo, peak rate 2e-3",
        "nanoGPT": "nanoGPT (its README states 1.88)",
        "gyebo, own settings": "gyebo, own settings in nanoGPT's time",
    }
    rows = [["implementation", "nats per character", "seeds", "seconds, mean"]]
    for side, title in titles.items():
        runs = [run for run in stored("shakespeare")["runs"] if run["side"] == side]
        losses = [run["loss"] for run in runs]
        each = ", ".join(f"{loss:.4f}" for loss in losses)
        rows.append([title, f"{mean(losses):.3f} ± {stdev(losses):.3f}", each, f"{mean(run['seconds'] for run in runs):.1f}"])
    return rows


def training() -> Rows:
    """Seconds of a step of GPT-2."""
    titles = {
        "gyebo": "gyebo",
        "transformers compiled": "transformers 5.23, compiled",
        "transformers eager": "transformers 5.23, eager",
        "transformers compiled, freed memory kept": "transformers compiled, with gyebo's allocator setting",
    }
    found = stored("training")
    seconds, ratios = found["median_seconds"], {side: f"{value:.2f} times" for side, value in found["ratio"].items()}
    heading = ["implementation", "seconds per step", "gyebo is faster by"]
    return [heading] + [[title, f"{seconds[side]:.2f}", ratios.get(side, "")] for side, title in titles.items()]


def steps(works: Any) -> Rows:
    """Real tokens per second of a training step on texts of mixed and of equal lengths, and ratios."""
    eager = {"mixed": "transformers, dynamic padding", "fixed": "transformers eager"}
    compiled = "transformers compiled"

    def row(title: str, cell: Callable[[str, Any], str]) -> list[str]:
        return [title, *(cell(name, works[name]) for name in ("mixed", "fixed"))]

    def speed(work: Any, side: str) -> str:
        return f"{work['real_tokens'] / work['median_seconds'][side]:,.0f}" if side in work["median_seconds"] else "-"

    def ratio(work: Any, side: str) -> str:
        return f"{work['ratio'][side]:.2f}" if side in work["ratio"] else "-"

    return [
        ["", "mixed", "fixed"],
        row("gyebo", lambda name, work: speed(work, "gyebo")),
        row("transformers, eager", lambda name, work: speed(work, eager[name])),
        row("transformers, compiled", lambda name, work: speed(work, compiled)),
        row("gyebo / transformers eager", lambda name, work: ratio(work, eager[name])),
        row("gyebo / transformers compiled", lambda name, work: ratio(work, compiled)),
        row("share of the machine's matrix-product throughput", lambda name, work: f"{work['share']:.0%}".replace("%", " %")),
    ]


def masked() -> Rows:
    """A step of BERT-base."""
    return steps(stored("masked")["works"])


def permutation() -> Rows:
    """A step of XLNet-base."""
    return steps(stored("permutation")["works"])


def denoising_bart() -> Rows:
    """A step of BART-base."""
    return steps(stored("denoising")["works"]["bart"])


def denoising_t5() -> Rows:
    """A step of T5-base."""
    return steps(stored("denoising")["works"]["t5"])


def translators() -> Rows:
    """Target tokens per second in training and translating, and ratios."""
    titles = {
        "gyebo float32": "gyebo, float32",
        "gyebo bfloat16": "gyebo, bfloat16",
        "jadore": "attention-is-all-you-need-pytorch",
        "joeynmt": "JoeyNMT",
    }
    works = [stored("translators-mini")["works"][name] for name in ("train", "translate")]

    def cells(work: Any, side: str, places: int) -> list[str]:
        speed = f"{work['target_tokens'] / median(work['seconds'][side]):,.0f}"
        found = work["gyebo_times_as_fast"].values()
        ratios = [f"{times[side]:.{places}f}" for times in found if side in times]
        return [speed, f"{', '.join(ratios)} times" if ratios else ""]

    heading = ["", "training", "gyebo float32, bfloat16 faster by", "translating", "faster by"]
    return [heading] + [
        [title, *(cell for work, places in zip(works, (2, 1)) for cell in cells(work, side, places))]
        for side, title in titles.items()
    ]


def beams(name: str, theirs: str) -> Rows:
    """Ids per second with the base size, ratios, and equal outputs; `theirs`: what it is for `transformers`."""
    titles = {
        "gyebo float32": "gyebo, float32",
        "gyebo bfloat16": "gyebo, bfloat16",
        "gyebo int8": "gyebo, int8",
        "transformers float32": f"transformers 5.23, {theirs}, float32",
        "transformers bfloat16": "transformers, bfloat16",
        "ctranslate2 float32": "CTranslate2 4.8, float32",
        "ctranslate2 int8": "CTranslate2, int8",
    }
    found = stored(name)
    ours = found["gyebo_times_as_fast"]
    rows = [["implementation", "ids/s", "gyebo float32, bfloat16, int8 faster by", "equal"]]
    for side, title in titles.items():
        ratios = "" if side in ours else ", ".join(f"{times[side]:.2f}" for times in ours.values()) + " times"
        equal = "" if side == "gyebo float32" else f"{found['equal'][side]} of {found['equal']['gyebo float32']}"
        rows.append([title, f"{found['ids_per_second'][side]:.0f}", ratios, equal])
    return rows


def translation() -> Rows:
    """Beam search with the Transformer's base size."""
    return beams("translation", "Marian")


def translation_bart() -> Rows:
    """Beam search with BART-base."""
    return beams("translation-bart", "BART")


def translation_t5() -> Rows:
    """Beam search with T5-base."""
    return beams("translation-t5", "T5")


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


def encoding() -> Rows:
    """Texts per second, ratios, and the cosine to the vectors of float32."""
    titles = {
        "gyebo bfloat16": "gyebo, bfloat16",
        "gyebo int8": "gyebo, int8",
        "gyebo float32": "gyebo, float32",
        "transformers bfloat16, as they come": "transformers, bfloat16, texts unsorted",
        "transformers bfloat16, sorted": "transformers, bfloat16, sorted by length",
        "CTranslate2 float32": "CTranslate2, float32",
        "CTranslate2 int8": "CTranslate2, int8",
        "ONNX Runtime float32": "ONNX Runtime, float32",
        "ONNX Runtime int8": "ONNX Runtime, int8",
    }
    found, ours = stored("encoding"), list(titles)[:2]
    speed = found["texts_per_second"]
    rows = [["", "texts per second", "gyebo in bfloat16 is faster by", "in int8 by", "cosine to float32"]]
    for side, title in titles.items():
        ratios = ["" if side == own else f"{speed[own] / speed[side]:.2f}" for own in ours]
        cosine = f"{found['cosine'][side]:.5f}" if side in found["cosine"] else ""
        rows.append([title, f"{speed[side]:.1f}", *ratios, cosine])
    return rows


def generation() -> Rows:
    """Tokens per second of GPT-2, and ratios."""
    cases = stored("generation")["cases"]

    def row(title: str, figures: str, side: str) -> list[str]:
        return [title, *(str(case[figures].get(side, "-")) for case in cases)]

    return [
        ["", *(f"{case['dtype']}, batch {case['batch']}" for case in cases)],
        row("gyebo", "tokens_per_second", "gyebo"),
        row("transformers", "tokens_per_second", "transformers"),
        row("CTranslate2", "tokens_per_second", "ctranslate2"),
        row("gyebo / transformers", "gyebo_times_as_fast", "transformers"),
        row("gyebo / CTranslate2", "gyebo_times_as_fast", "ctranslate2"),
    ]


def _search() -> dict[float, dict[str, float]]:
    """Rate -> length and kind of a run -> bits per byte, of GPT's one seed."""
    scores = stored("learning-rate-search")["families"]["gpt"]["scores"]
    return {rate: scores[name]["0"] for rate, name in sorted((float(name), name) for name in scores)}


def _rate(rate: float) -> str:
    return f"{rate * 1e4:.3g}e-4" if rate < 1e-3 else f"{rate * 1e3:.3g}e-3"


def whole_runs() -> Rows:
    """The score of whole runs by learning rate."""
    found = _search()
    return [
        ["whole run, rate", *map(_rate, found)],
        ["bits per byte", *(f"{scores['whole 400']:.3f}" for scores in found.values())],
    ]


def short_trials() -> Rows:
    """The rate that each kind and length of trial chooses, what that costs, and how far the order is that of whole runs."""
    titles = {
        "cooled": "the whole run's beginning, with a cool-down (`wsd` in `[sweep]`)",
        "constant": "the whole run's beginning, without a cool-down",
        "own": "a small `wsd` run with its own share of warm-up",
        "cosine": "a small cosine run (`[sweep]` before)",
    }
    found = _search()
    whole = {rate: scores["whole 400"] for rate, scores in found.items()}

    def cell(kind: str, steps: int) -> str:
        trials = {rate: scores[f"{kind} {steps}"] for rate, scores in found.items()}
        chosen = min(trials, key=trials.__getitem__)
        pairs = [(a, b) for a in found for b in found if a < b]
        tau = mean(1 if (trials[a] < trials[b]) == (whole[a] < whole[b]) else -1 for a, b in pairs)
        lost = whole[chosen] - min(whole.values())
        return f"{_rate(chosen)} ({f'{lost:.3f}' if lost else '0'}, {tau:.2f})"

    lengths = (60, 120, 200)
    heading = ["trials of", "60 steps: choice (loss, tau)", "120 steps", "200 steps"]
    return [heading] + [[title, *(cell(kind, steps) for steps in lengths)] for kind, title in titles.items()]


TABLES: dict[str, Callable[[], Rows]] = {
    each.__name__: each
    for each in (
        *(nsmc, noises, architectures, gradients, depth, alignment, new_york, mask_token, debias, shakespeare),
        *(training, masked, permutation, denoising_bart, denoising_t5, translators),
        *(translation, translation_bart, translation_t5, encoding, generation, guard),
        *(pplm, ranking, guard_cost, evolved, control_negative, control_positive, control_strength, ssa, ssa_raters),
        *(whole_runs, short_trials),
    )
}


# ---- sentences


def sentences() -> Iterable[str]:
    """Pieces of the pages that quote stored figures, as they must stand there, whatever the line breaks."""
    student = {name: found["student_times_as_fast"] for name, found in stored("student")["precisions"].items()}
    yield f"is **{student['float32']:.2f} times** the teacher's in float32 and {student['bfloat16']:.2f} times in bfloat16"
    yield f"gyebo reaches {stored('training')['share_of_matmul_rate']:.0%}".replace("%", " %")
    _, words = stored("encoding")["work"].split(", ", 1)
    yield f"512 texts of 4 to 256 ids, {words.split(' of ')[1].removesuffix(' ids on average')} on average"
    ratio = stored("encoding")["ratio"]
    unsorted_, by_length = (ratio[f"transformers bfloat16, {how} / gyebo bfloat16"] for how in ("as they come", "sorted"))
    yield f"its throughput is {unsorted_:.1f} times that of `transformers` on unsorted texts"
    yield f"only {by_length:.2f} times that of `transformers` on sorted ones"
    yield f"{ratio['ONNX Runtime int8 / gyebo int8']:.2f} times as fast as ONNX Runtime's int8"
    case = stored("generation")["cases"][0]
    ours, theirs = ([min(case["seconds"][side]), max(case["seconds"][side])] for side in ("gyebo", "ctranslate2"))
    yield f"{ours[0]:.2f} to {ours[1]:.2f} for gyebo and {theirs[0]:.2f} to {theirs[1]:.2f} for CTranslate2"
    first = {side: median(seconds) for side, seconds in case["seconds_of_the_call_before"].items()}
    yield f"takes {first['gyebo']:.2f} s against CTranslate2's {first['ctranslate2']:.2f}"
    lab = stored("clipping", LAB)
    yield "{:.1e}, {:.1e} and {:.1e} nats per byte".format(*lab["without"])
    yield "they learn: {:.2f}, {:.2f}, {:.2f}.".format(*lab["clipped"])
    works = stored("masked")["works"]
    mixed, fixed = works["mixed"]["ratio"]["transformers, dynamic padding"], works["fixed"]["ratio"]["transformers compiled"]
    yield f"A training step of BERT-base is {mixed:.1f} times as fast"
    yield f"and {fixed:.2f} times as fast as its compiled step"
    names = stored("new-york", LAB)["models"]
    apart = {name: mean(run["divergence"] for run in runs) for name, runs in names.items()}
    yield f"BERT's joint probability of both parts is {apart['BERT']:.2f} nats from the truth, XLNet's {apart['XLNet']:.2f}"
    denoising = stored("denoising")["works"]
    for name, works in {"XLNet": stored("permutation")["works"], "BART": denoising["bart"], "T5": denoising["t5"]}.items():
        mixed, fixed = works["mixed"]["ratio"]["transformers, dynamic padding"], works["fixed"]["ratio"]["transformers eager"]
        yield f"A training step of {name}-base is {mixed:.1f} times as fast as that of `transformers` on texts of mixed lengths"
        yield f"{fixed:.1f} times on rows of equal length"
    for name in ("bart", "t5"):
        found = stored(f"translation-{name}")["gyebo_times_as_fast"]
        plain, half = (found[f"gyebo {kind}"][f"transformers {kind}"] for kind in ("float32", "bfloat16"))
        yield f"Beam search is {plain:.1f} times as fast as `transformers.generate` in float32, {half:.1f} times in bfloat16"


def markdown(rows: Rows) -> str:
    """A table; figures on the right."""
    heading, *body = (f"| {' | '.join(row)} |".replace("  ", " ") for row in rows)
    return "\n".join([heading, "| --- |" + " ---: |" * (len(rows[0]) - 1), *body])


def written(page: str) -> str:
    """The page with its marked tables made anew. KeyError for a mark of no table."""
    return MARKED.sub(lambda found: f"<!-- table {found[1]} -->\n{markdown(TABLES[found[1]]())}\n<!-- end -->", page)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
