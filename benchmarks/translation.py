"""Translating with the Transformer's base size (random weights): gyebo, Marian of `transformers`, CTranslate2.

    python benchmarks/translation.py [--rounds 5]     (needs ctranslate2)

16 sentences of 8 to 32 ids, beams of 4, 32 new ids each (the end is forbidden, so that every side writes as much). A side a
process, one working at a time, medians over interleaved rounds; a ratio above 1 means that gyebo is faster. bfloat16 means the
weights too, in gyebo as in `transformers`. Also told: how many of the best translations are the same ids as gyebo's in float32
(random weights leave many near ties). Writes benchmarks/results/translation.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

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

SENTENCES, BEAMS, NEW, END, PAD = 16, 4, 32, 0, 36_999
NEEDED = {"transformers float32": 1.5, "ctranslate2 float32": 1.0}  # times as fast, gyebo in float32
Translations = list[list[int]]


def sources() -> list[list[int]]:
    """The same for every side; each ends with the end."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, 33, (SENTENCES,), generator=generator).tolist()
    return [[*torch.randint(10, 36_000, (length - 1,), generator=generator).tolist(), END] for length in lengths]


def gyebo_side(precision: str, folder: str) -> Work:
    model, _ = gyebo.load(folder)
    if precision == "bfloat16":
        model.to(torch.bfloat16)
    if precision == "int8":
        quantize(model)
    options = GenerationOptions(beams=BEAMS)

    def work() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "int8"):
            found = translate(model, sources(), options, forbidden=[END, PAD], max_length=lambda length: NEW)
        _keep(folder, f"gyebo {precision}", [answers[0].ids for answers in found])

    return work


def transformers_side(precision: str, folder: str) -> Work:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.MarianMTModel.from_pretrained(folder).eval().to(getattr(torch, precision))
    rows = sources()
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    settings = {"num_beams": BEAMS, "max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}
    model.generation_config.forced_eos_token_id = None  # the others end without one

    def work() -> None:
        found = model.generate(input_ids=ids, attention_mask=(ids != PAD).long(), bad_words_ids=[[PAD]], **settings)
        _keep(folder, f"transformers {precision}", found[:, 1 : 1 + NEW].tolist())

    return work


def ctranslate2_side(precision: str, folder: str) -> Work:
    threads = torch.get_num_threads()
    model = ctranslate2.Translator(f"{folder}/ctranslate2", compute_type=precision, intra_threads=threads)
    rows = [[f"t{id}" for id in row[:-1]] for row in sources()]  # its converter notes that an end follows

    def work() -> None:
        found = model.translate_batch(rows, beam_size=BEAMS, max_decoding_length=NEW, min_decoding_length=NEW)
        _keep(folder, f"ctranslate2 {precision}", [[int(t[1:]) for t in each.hypotheses[0]] for each in found])

    return work


SIDES: dict[str, Callable[[str], Work]] = {
    **{f"gyebo {precision}": partial(gyebo_side, precision) for precision in ("float32", "bfloat16", "int8")},
    **{f"transformers {precision}": partial(transformers_side, precision) for precision in ("float32", "bfloat16")},
    **{f"ctranslate2 {precision}": partial(ctranslate2_side, precision) for precision in ("float32", "int8")},
}


def _keep(folder: str, name: str, found: Translations) -> None:
    torch.save(found, Path(folder) / f"{name}.pt")


def save(folder: Path) -> None:
    """Random weights as Marian's directory and in CTranslate2's form, whose converter wants a tokenizer: one of t0, t1, ..."""
    torch.manual_seed(0)
    shape = {"vocab_size": PAD + 1, "d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8}
    shape |= {"decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "scale_embedding": True}
    ids = {"pad_token_id": PAD, "decoder_start_token_id": PAD, "eos_token_id": END, "forced_eos_token_id": END}
    config = transformers.MarianConfig(**shape, **ids, activation_function="relu", init_std=0.04)
    transformers.logging.disable_progress_bar()
    transformers.MarianMTModel(config).save_pretrained(folder)
    names = {**{f"t{id}": id for id in range(PAD)}, "<pad>": PAD}  # by this name CTranslate2 knows what to leave out
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(names, unk_token="t1"))
    special = {"eos_token": f"t{END}", "unk_token": "t1", "pad_token": "<pad>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(folder / "ctranslate2"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(folder)
        times = measure(SIDES, (name,), rounds, warm=1)
        found = {side: torch.load(folder / f"{side}.pt", weights_only=True) for side in SIDES}
    middle = {side: median(seconds) for side, seconds in times.items()}
    rate = {side: round(SENTENCES * NEW / seconds, 1) for side, seconds in middle.items()}
    ours = [side for side in SIDES if side.startswith("gyebo")]
    ratios = {side: {other: round(middle[other] / middle[side], 2) for other in SIDES if other != side} for side in ours}
    same = {side: sum(a == b for a, b in zip(found["gyebo float32"], found[side])) for side in SIDES}
    for side in SIDES:
        faster = "   ".join(f"{ratios[own].get(side, 1.0):.2f}" for own in ours)
        print(f"{side:<24} {rate[side]:>8} ids/s   {' / '.join(ours)} faster by {faster}   equal: {same[side]} of {SENTENCES}")
    figures = {"command": f"python benchmarks/translation.py --rounds {rounds}", "machine": machine()}
    figures["machine"] |= {"ctranslate2": ctranslate2.__version__}
    kept = {"needed": NEEDED, "seconds": times, "ids_per_second": rate, "gyebo_times_as_fast": ratios, "equal": same}
    store("translation", figures | kept)


if __name__ == "__main__":
    main()
