"""Writing with an encoder-decoder of base size (random weights): gyebo, `transformers`, CTranslate2.

    python benchmarks/translation.py [--family transformer|bart|t5] [--rounds 5]     (needs ctranslate2)

16 sentences of 8 to 32 ids, beams of 4, 32 new ids each (the end is forbidden, so that every side writes as much). A side a
process, one working at a time, medians over interleaved rounds; a ratio above 1 means that gyebo is faster. bfloat16 means the
weights too, in gyebo as in `transformers`. Also told: how many of the best translations are the same ids as gyebo's in float32
(random weights leave many near ties). The Transformer is Marian for `transformers`. Writes
benchmarks/results/translation.json, of other families translation-FAMILY.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import ctranslate2
import tokenizers
import torch
import transformers
from report import machine, store
from sides import Work, measure

import gyebo
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.nn.int8 import quantize

SENTENCES, BEAMS, NEW = 16, 4, 32
START = 10  # lower ids are special tokens
NEEDED = {"transformers float32": 1.5, "ctranslate2 float32": 1.0}  # times as fast, gyebo in float32
Translations = list[list[int]]


@dataclass(frozen=True)
class Family:
    """A family's base size in `transformers`: its classes, its shape, and its special tokens."""

    config: str
    model: str
    shape: dict[str, Any]
    vocab_size: int
    pad: int
    end: int
    first: int | None = None  # of the decoder; None: pad


_LAYERS = {"encoder_layers": 6, "decoder_layers": 6}
FAMILIES = {
    "transformer": Family(
        "MarianConfig",
        "MarianMTModel",
        {"d_model": 512, **_LAYERS, "encoder_attention_heads": 8, "decoder_attention_heads": 8, "encoder_ffn_dim": 2048}
        | {"decoder_ffn_dim": 2048, "scale_embedding": True, "activation_function": "relu", "init_std": 0.04},
        vocab_size=37_000,
        pad=36_999,
        end=0,
    ),
    "bart": Family(
        "BartConfig",
        "BartForConditionalGeneration",
        {"d_model": 768, **_LAYERS, "encoder_attention_heads": 12, "decoder_attention_heads": 12, "encoder_ffn_dim": 3072}
        | {"decoder_ffn_dim": 3072, "bos_token_id": 0, "init_std": 0.04}
        | {"normalize_before": False, "normalize_embedding": True},  # of the first files, which CTranslate2 wants
        vocab_size=50_265,
        pad=1,
        end=2,
        first=2,
    ),
    "t5": Family(
        "T5Config",
        "T5ForConditionalGeneration",
        {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 3072},
        vocab_size=32_128,
        pad=0,
        end=1,
    ),
}


def sources(family: Family) -> list[list[int]]:
    """The same for every side; each ends with the end."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, 33, (SENTENCES,), generator=generator).tolist()
    return [[*torch.randint(START, 32_000, (length - 1,), generator=generator).tolist(), family.end] for length in lengths]


def gyebo_side(precision: str, name: str, folder: str) -> Work:
    family = FAMILIES[name]
    model, _ = gyebo.load(folder)
    if precision == "bfloat16":
        model.to(torch.bfloat16)
    if precision == "int8":
        quantize(model)
    options = GenerationOptions(beams=BEAMS)

    def work() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "int8"):
            found = translate(
                model, sources(family), options, forbidden=[family.end, family.pad], max_length=lambda length: NEW
            )
        _keep(folder, f"gyebo {precision}", [answers[0].ids for answers in found])

    return work


def transformers_side(precision: str, name: str, folder: str) -> Work:
    family = FAMILIES[name]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = getattr(transformers, family.model).from_pretrained(folder).eval().to(getattr(torch, precision))
    rows = sources(family)
    longest = max(map(len, rows))
    ids = torch.tensor([row + [family.pad] * (longest - len(row)) for row in rows])
    settings = {"num_beams": BEAMS, "max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}

    def work() -> None:
        found = model.generate(
            input_ids=ids, attention_mask=(ids != family.pad).long(), bad_words_ids=[[family.pad]], **settings
        )
        _keep(folder, f"transformers {precision}", found[:, 1 : 1 + NEW].tolist())

    return work


def ctranslate2_side(precision: str, name: str, folder: str) -> Work:
    threads = torch.get_num_threads()
    model = ctranslate2.Translator(f"{folder}/ctranslate2", compute_type=precision, intra_threads=threads)
    ends = name == "transformer"  # whether its converter notes that an end follows a source
    rows = [[f"t{id}" for id in (row[:-1] if ends else row)] for row in sources(FAMILIES[name])]

    def work() -> None:
        found = model.translate_batch(
            rows, beam_size=BEAMS, max_decoding_length=NEW, min_decoding_length=NEW, suppress_sequences=[["<pad>"]]
        )
        _keep(folder, f"ctranslate2 {precision}", [[int(t[1:]) for t in each.hypotheses[0]] for each in found])

    return work


SIDES: dict[str, Callable[[str, str], Work]] = {
    **{f"gyebo {precision}": partial(gyebo_side, precision) for precision in ("float32", "bfloat16", "int8")},
    **{f"transformers {precision}": partial(transformers_side, precision) for precision in ("float32", "bfloat16")},
    **{f"ctranslate2 {precision}": partial(ctranslate2_side, precision) for precision in ("float32", "int8")},
}


def _keep(folder: str, name: str, found: Translations) -> None:
    torch.save(found, Path(folder) / f"{name}.pt")


def save(family: Family, folder: Path) -> None:
    """Random weights as a directory and in CTranslate2's form, whose converter wants a tokenizer: one of t0, t1, ..."""
    torch.manual_seed(0)
    ids = {"pad_token_id": family.pad, "eos_token_id": family.end, "forced_eos_token_id": None}
    ids |= {"decoder_start_token_id": family.pad if family.first is None else family.first}
    config = getattr(transformers, family.config)(vocab_size=family.vocab_size, **family.shape, **ids)
    transformers.logging.disable_progress_bar()
    getattr(transformers, family.model)(config).save_pretrained(folder)
    names = {f"t{id}" if id != family.pad else "<pad>": id for id in range(family.vocab_size)}  # it leaves out "<pad>"
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(names, unk_token="t4"))
    special = {"bos_token": "t3", "eos_token": f"t{family.end}", "unk_token": "t4", "pad_token": "<pad>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(folder / "ctranslate2"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=list(FAMILIES), default="transformer")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    chosen, rounds = given.family, given.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(FAMILIES[chosen], folder)
        times = measure(SIDES, (chosen, name), rounds, warm=1)
        found = {side: torch.load(folder / f"{side}.pt", weights_only=True) for side in SIDES}
    middle = {side: median(seconds) for side, seconds in times.items()}
    rate = {side: round(SENTENCES * NEW / seconds, 1) for side, seconds in middle.items()}
    ours = [side for side in SIDES if side.startswith("gyebo")]
    ratios = {side: {other: round(middle[other] / middle[side], 2) for other in SIDES if other != side} for side in ours}
    same = {side: sum(a == b for a, b in zip(found["gyebo float32"], found[side])) for side in SIDES}
    for side in SIDES:
        faster = "   ".join(f"{ratios[own].get(side, 1.0):.2f}" for own in ours)
        print(f"{side:<24} {rate[side]:>8} ids/s   {' / '.join(ours)} faster by {faster}   equal: {same[side]} of {SENTENCES}")
    command = f"python benchmarks/translation.py --family {chosen} --rounds {rounds}"
    figures: dict[str, Any] = {"command": command, "machine": machine()}
    figures["machine"] |= {"ctranslate2": ctranslate2.__version__}
    kept = {"needed": NEEDED, "seconds": times, "ids_per_second": rate, "gyebo_times_as_fast": ratios, "equal": same}
    store("translation" if chosen == "transformer" else f"translation-{chosen}", figures | kept)


if __name__ == "__main__":
    main()
