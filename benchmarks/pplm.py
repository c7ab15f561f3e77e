"""PPLM on GPT-2 124M (random weights): gyebo beside the authors' code around transformers' model, and beside its own
least cost.

    git clone https://github.com/uber-research/PPLM
    python benchmarks/pplm.py PPLM [--samples 10] [--length 20] [--rounds 3]

A bag of words and a discriminator steer `samples` answers of `length` tokens to a prompt of 16, float32, window 0, three
iterations, as `generate_text_pplm` of the authors does, one answer after the other; gyebo has all of them in one batch. Rounds
are interleaved in one process; times are medians, and a ratio above 1 means that gyebo is faster. The least cost of a token is
that of two forward passes and, for each iteration, one forward and one backward pass with the same cache, of the network alone.
Before, the keys and values that both sides move are compared, after one and after three iterations: see `released`.
The times are printed and kept in `benchmarks/results/pplm.json`.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import transformers
import typer
from generation import same_weights
from report import machine, store
from transformers.cache_utils import DynamicCache

from gyebo.generation import GenerationOptions, decode
from gyebo.generation.pplm import Bag, Control, Discriminator, Steered
from gyebo.nn.decoding import decoding_copy

PROMPT, VOCABULARY, CLASSES, WORDS = 16, 50_257, 5, 100
NEEDED = {"authors": 2.0, "least cost": 1 / 1.5}
SETTINGS = {"stepsize": 0.03, "num_iterations": 3, "gamma": 1.5, "kl_scale": 0.01, "window_length": 0, "horizon_length": 1}
OURS = {"stepsize": 0.03, "iterations": 3, "gamma": 1.5, "kl_scale": 0.01, "window": 0, "gm_scale": 0.95}


def main(clone: Path, samples: int = 10, length: int = 20, rounds: int = 3, threads: int = 0) -> None:
    """Compare what is moved, time both sides and keep the figures."""
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval().requires_grad_(False)
    authors, ours = authors_code(clone), same_weights(model)
    theirs = Legacy(model)
    weight, bias = torch.randn(CLASSES, 768) * 0.1, torch.zeros(CLASSES)
    words = list(range(1000, 1000 + WORDS))
    head = torch.nn.Linear(768, CLASSES).requires_grad_(False)
    head.weight.copy_(weight), head.bias.copy_(bias)
    prompt = torch.randint(1000, VOCABULARY, (PROMPT,)).tolist()
    kinds = {
        "bag": ([Bag(dict.fromkeys(words, 1.0))], {"bow_indices": [[[word] for word in words]], "loss_type": authors.PPLM_BOW}),
        "discriminator": (
            [Discriminator(weight, bias, 2)],
            {"classifier": head, "class_label": 2, "loss_type": authors.PPLM_DISCRIM},
        ),
    }
    cases = []
    for kind, (attributes, given) in kinds.items():
        moved = {str(n): difference(authors, theirs, ours, attributes, given, prompt, n) for n in (1, 3)}
        print(f"{kind}: moved keys and values after 1 and 3 iterations: {moved}")
        control = Control.of(attributes, **OURS)
        sides = {
            "gyebo": lambda control=control: our_answers(ours, control, prompt, samples, length),
            "authors": lambda given=given: their_answers(authors, theirs, given, prompt, samples, length),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                seconds[name].append(timed(side))
        least = length * least_cost(ours, control, prompt, samples, length)
        middle = {name: median(found) for name, found in seconds.items()}
        ratios = {"authors": middle["authors"] / middle["gyebo"], "least cost": least / middle["gyebo"]}
        print(f"{kind}: {middle}, least {least:.2f} s; gyebo is {ratios['authors']:.2f} x the authors' code, ", end="")
        print(f"{1 / ratios['least cost']:.2f} x its least cost")
        cases.append({"attribute": kind, "moved": moved, "seconds": seconds, "least_seconds": least, "times": ratios})
    command = f"python benchmarks/pplm.py PPLM --samples {samples} --length {length} --rounds {rounds}"
    figures = {"command": command, "machine": machine(), "needed": NEEDED, "settings": SETTINGS, "prompt_tokens": PROMPT}
    store("pplm", figures | {"samples": samples, "new_tokens": length, "cases": cases})


def timed(side: Callable[[], None]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


# ---- the authors' side


def authors_code(clone: Path) -> Any:
    """The module `run_pplm` of a clone, with what it imports of a `transformers` of 2019 under today's names."""
    if not (clone / "run_pplm.py").is_file():
        raise typer.BadParameter(f"{clone} is no clone of uber-research/PPLM: there is no run_pplm.py")
    old = {"transformers.file_utils": {"cached_path": None}}
    old["transformers.modeling_gpt2"] = {"GPT2LMHeadModel": transformers.GPT2LMHeadModel}
    for name, content in old.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)
    sys.path.insert(0, str(clone))
    return importlib.import_module("run_pplm")


class Legacy:
    """A GPT-2 with the signature that the authors' code calls: keys and values of a layer are one tensor [2, B, H, T, K]."""

    def __init__(self, model: transformers.GPT2LMHeadModel):
        self.model = model

    def __call__(self, input_ids: Any = None, past: Any = None, inputs_embeds: Any = None) -> tuple[Any, list[Any], Any]:
        """Logits, keys and values of all layers, hidden states of all layers."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(past or ()):
            cache.update(keys, values, layer)
        found = self.model(
            input_ids=input_ids,
            inputs_embeds=inputs_embeds,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=True,
        )
        held = found.past_key_values.layers
        return found.logits, [torch.stack([layer.keys, layer.values]) for layer in held], found.hidden_states

    def resize_token_embeddings(self) -> torch.nn.Module:
        """The table of token vectors, as in a `transformers` of 2019."""
        return self.model.get_input_embeddings()


def their_answers(authors: Any, theirs: Legacy, given: dict[str, Any], prompt: list[int], samples: int, length: int) -> None:
    tokenizer = SimpleNamespace(vocab_size=VOCABULARY)
    for _ in range(samples):
        authors.generate_text_pplm(
            theirs,
            tokenizer,
            context=prompt,
            device="cpu",
            length=length,
            gm_scale=0.95,
            verbosity_level=authors.QUIET,
            **SETTINGS,
            **given,
        )


def difference(
    authors: Any, theirs: Legacy, ours: Any, attributes: list[Any], given: dict[str, Any], prompt: list[int], iterations: int
) -> dict[str, float]:
    """The largest difference of a moved key or value, and the largest move, as released, in a decaying window of five."""
    settings = {**OURS, "iterations": iterations, "window": 5, "decay": True, "released": True}
    _, cache = Steered(ours, Control.of(attributes, **settings)).prefill(torch.tensor([prompt]), slots=PROMPT + 1)
    ids = torch.tensor([prompt])
    logits, whole, hidden = theirs(ids)
    rest = {name: value for name, value in given.items() if name != "bow_indices"}
    if "bow_indices" in given:
        rest["one_hot_bows_vectors"] = authors.build_bows_one_hot_vectors(
            given["bow_indices"], SimpleNamespace(vocab_size=VOCABULARY), "cpu"
        )
    past = theirs(ids[:, :-1])[1]
    moved, *_ = authors.perturb_past(
        past,
        theirs,
        ids[:, -1:],
        unpert_past=whole,
        unpert_logits=logits,
        accumulated_hidden=hidden[-1][:, :-1].sum(1),
        device="cpu",
        verbosity_level=authors.QUIET,
        decay=True,
        **{**SETTINGS, "window_length": 5, "num_iterations": iterations},
        **rest,
    )
    ours_moved, theirs_moved = cache.moved.copied(0)[..., :-1, :], torch.stack(moved).detach()
    return {
        "difference": float((theirs_moved - ours_moved).abs().max()),
        "move": float((theirs_moved - torch.stack(past)).abs().max()),
    }


# ---- gyebo's side


def our_answers(model: Any, control: Control, prompt: list[int], samples: int, length: int) -> None:
    options = GenerationOptions(samples=samples, max_new_tokens=length, top_k=10)
    for _ in decode(Steered(model, control), [prompt], options):
        pass


def least_cost(model: Any, control: Control, prompt: list[int], samples: int, length: int) -> float:
    """Seconds of a token in the middle of the answers, by the network alone: what the update itself costs is left out."""
    model = decoding_copy(model, gradient=True)  # the same products
    text = torch.tensor([prompt + prompt * length])[:, : PROMPT + length // 2].expand(samples, -1)
    with torch.no_grad():
        _, cache = model.prefill(text, slots=text.shape[1] + 1)
    ids, horizon = text[:, -1], control.settings.horizon if control.imagines else 0

    def forward() -> None:
        with torch.no_grad():
            model.project(model.step(ids, cache.joined()))

    def both() -> None:
        state = cache.copied(0).requires_grad_()
        logits = model.project(model.step(ids, cache.joined(0, state)))
        for _ in range(horizon):
            logits = model.step(logits.softmax(-1), cache.joined())
        torch.autograd.grad(logits.sum(), state)

    one, other = (median(timed(each) for _ in range(9)) for each in (forward, both))
    return 2 * one + control.settings.iterations * other


if __name__ == "__main__":
    typer.run(main)
