"""Experiments of `gyebo lab`."""

from __future__ import annotations

from statistics import mean

from result_tables.files import LAB, Rows, stored


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


TABLES = (
    depth,
    alignment,
    new_york,
    mask_token,
    debias,
)
