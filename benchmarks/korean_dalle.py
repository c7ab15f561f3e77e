"""A small Korean DALL-E, from pictures to drawings: how often what it draws for texts that it never learned is what they say.

    python benchmarks/korean_dalle.py EMOJI -o runs/korean-dalle [--minutes 15 50 15 20] [--only reranker judge]
    python benchmarks/korean_dalle.py EMOJI -o /somewhere/else --smoke

EMOJI is the folder with emoji.parquet: pictures of emoji with Korean names. Four trainings, of so many minutes each: a picture
tokenizer (VQ-VAE); the drawer (DALL-E); a reranker (CLIP), which chooses the best of several drawings; and a judge, another
CLIP with another seed on other scenes, which measures. A run that is there is kept; `--only` trains these parts alone, so that
the two CLIPs can be trained beside the others.

The first three learn the emoji of the split train, without some pairs of a gesture and a skin tone, and scenes of the built-in
world, which never show some combinations. The judge is an instrument and learns all of that, too: every emoji, and other
scenes than are asked for, with every combination. So its ceiling for emoji is of pictures that it has learned, that for scenes
is not.

Trainings take turns on all cores; with two cores it is better to start two processes of one thread each, first
`--only tokenizer drawer --minutes 20 75 40 40` and `--only reranker judge` with the same minutes, then without `--only`.

What is drawn, 16 pictures for each of about 100 texts: names of learned emoji; names of emoji of the split test; the pairs that
were left out; one big thing of the world in a combination that was learned, in a colour and in a shape that was not. Of each
set, by the judge: how often a picture's own text is nearer than all that differ in one fact, and nearest of all texts of the
set. Beside it stand real pictures of the same texts (the judge's ceiling), these through the codes (the drawer's), drawings of
other texts (the floor), and chance; and the best of 1, 2, 4, 8 and 16 drawings by the reranker. Sheets of pictures go to OUT,
figures to benchmarks/results/korean-dalle.json, those of a smoke run to OUT.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawing_judge import Clip, chances, judge
from drawing_texts import (
    COLOUR,
    PARTS,
    SEEN,
    SHAPE,
    Asked,
    Pixels,
    avocado_chairs,
    emoji_asked,
    emoji_pictures,
    pairs_left_out,
    read_emoji,
    world_asked,
    world_pictures,
    write_parts,
)
from report import machine, store

import gyebo
from gyebo.evaluation.reconstruction import decibels, squared_errors
from gyebo.figures.grid import picture_grid
from gyebo.generation.drawing import DrawingOptions, draw
from gyebo.jobs.draw import open_drawer
from gyebo.models.dalle import Dalle
from gyebo.nn.codebook import perplexity

TRAININGS = ("tokenizer", "drawer", "reranker", "judge")
FAMILIES = {"tokenizer": "vqvae", "drawer": "dalle", "reranker": "clip", "judge": "clip"}
MINUTES = [15.0, 50.0, 15.0, 20.0]
HELD_OUT = "world:pictures,ko,300,seed=3"  # on which trainings report their metrics
GUIDANCES = (1.0, 2.0, 4.0)
SHOWN = 16  # pictures in a line of a sheet
SMOKE, SMOKE_STEPS = "smoke", 30


@dataclass(frozen=True)
class Size:
    """`pixels`: of a side of a picture; of each training by part: `shapes`, gyebo's size, `settings`, what differs from it."""

    pixels: int
    shapes: dict[str, str]
    settings: dict[str, dict[str, Any]]


# Chosen by short runs on one core: a rate of 2e-3 to 3e-3 and weights at the start as in lxmert.md, 0.02 x sqrt(768 / width),
# lower the drawer's loss faster; patches of 8 pixels cost CLIP half the time of those of 4, at no loss per step.
CLIP = {
    "context": 32, "train.batch_tokens": 4096, "optim.lr": 2e-3, "model.patch": 8, "model.width": 128,
    "model.picture_width": 128,
}  # fmt: skip
SIZES = {
    "mini": Size(
        32,
        {"tokenizer": "tiny", "drawer": "mini", "reranker": "mini", "judge": "mini"},
        {
            "tokenizer": {"train.batch_tokens": 2048, "optim.lr": 2e-3, "model.codes": 256},
            "drawer": {
                "context": 24, "train.batch_tokens": 2816, "optim.lr": 2e-3, "model.width": 192, "model.init_std": 0.04,
                "objective.without_text": 0.1,
            },
            "reranker": CLIP,
            "judge": {**CLIP, "model.patch": 4},  # sees more, and not what the reranker sees
        },
    ),
    SMOKE: Size(
        32,
        dict.fromkeys(TRAININGS, "tiny"),
        {
            "tokenizer": {"train.batch_tokens": 1024},
            "drawer": {"context": 24, "train.batch_tokens": 512, "objective.without_text": 0.1},
            "reranker": {"context": 32, "train.batch_tokens": 512},
            "judge": {"context": 32, "train.batch_tokens": 512},
        },
    ),
}  # fmt: skip


# ---- training


def train(given: argparse.Namespace, part: str, files: dict[str, Path]) -> Any:
    """One of the four trainings, or what is there of it."""
    size = SIZES[given.size]
    scenes = f"world:pictures,ko,{given.drawn_scenes if part == 'drawer' else given.scenes}"
    corpus = [files["train"], Path(scenes)]
    if part == "judge":
        corpus = [*(files[name] for name in PARTS), Path(f"{scenes},seed=1"), Path(f"{scenes},unseen,seed=1")]
    settings = {"data.picture_size": size.pixels, "data.valid": HELD_OUT, **size.settings[part]}
    settings |= dict(each.split("=", 1) for each in getattr(given, part))
    rest: dict[str, Any] = {} if part == "tokenizer" else {"vocab_size": given.vocab_size}
    if part == "drawer":
        rest["picture_tokenizer"] = str(given.out / "tokenizer")
    minutes = given.minutes[TRAININGS.index(part)]
    rest |= {"steps": SMOKE_STEPS} if given.smoke else {"minutes": minutes}
    return gyebo.pretrain(
        FAMILIES[part],
        corpus,
        size=size.shapes[part],
        seed=given.seed + (part == "judge"),
        settings=settings,
        out=given.out / part,
        resume=True,
        **rest,
    )


def cost(run: Any) -> dict[str, Any]:
    """What a training was, and its metrics on what it held out."""
    return {name: getattr(run, name) for name in ("parameters", "steps", "tokens", "epochs", "seconds", "precision", "valid")}


# ---- drawing


class Drawer:
    """A trained DALL-E with its picture tokenizer."""

    def __init__(self, name: str):
        self.model, self.tokenizer = open_drawer(name)
        self.pictures = self.model.eval().picture_tokenizer.eval()

    def draw(self, texts: Sequence[str], count: int, guidance: float, seed: int) -> Pixels:
        """`count` pictures of each text, uint8 [T, C, S, S, 3]."""
        ids = [self.tokenizer.encode(text)[: self.model.config.context] for text in texts]
        found = draw(self.model, ids, DrawingOptions(candidates=count, guidance=guidance, seed=seed)).codes
        pixels = [self.pictures.decode_ids(codes) for codes in found]
        return torch.stack(pixels).numpy()

    def restored(self, pixels: Pixels) -> tuple[Pixels, torch.Tensor]:
        """Pictures [n, S, S, 3] through the codes and back, and how often each code was chosen."""
        ids = self.pictures.encode_pixels(torch.from_numpy(pixels))
        counts = torch.bincount(ids.flatten(), minlength=self.pictures.config.codes)
        return self.pictures.decode_ids(ids).numpy(), counts


def reconstructions(drawer: Drawer, sets: dict[str, Pixels], out: Path) -> dict[str, Any]:
    """How well pictures are restored from their codes, and how many codes are in use; the first of each set as a sheet."""
    found, lines = {}, []
    for name, pixels in sets.items():
        back, counts = drawer.restored(pixels)
        sums = squared_errors(torch.from_numpy(pixels), torch.from_numpy(back)).sum(0)
        error = float(sums[0] / sums[1])
        found[name] = {"pictures": len(pixels), "squared_error": error, "psnr": decibels(error)}
        found[name] |= {"codebook_perplexity": perplexity(counts), "codes_used": int((counts > 0).sum())}
        lines += [pixels[:SHOWN], back[:SHOWN]]
        print(f"restored, {name}: {found[name]}", flush=True)
    picture_grid(out / "reconstructions.png", lines)
    return found


def measured(
    given: argparse.Namespace, drawer: Drawer, clips: dict[str, Clip], name: str, asked: list[Asked]
) -> dict[str, Any]:
    """The figures of a set of texts; a sheet and its texts go to OUT."""
    texts, real = [each.text for each in asked], np.stack([each.real for each in asked])
    back, _ = drawer.restored(real)
    drawn = drawer.draw(texts, given.candidates, given.guidance, given.seed)
    arms = {"real pictures": real[:, None], "real pictures, through the codes": back[:, None], "drawings": drawn}
    arms["drawings of other texts"] = np.roll(drawn, len(asked) // 2, 0)
    judged = {arm: judge(clips["judge"], asked, pixels) for arm, pixels in arms.items()}
    rows = {arm: of.means() for arm, of in judged.items()} | {"chance": chances(asked)}
    ranking = clips["reranker"].cosines(texts, drawn)
    counts = [2**power for power in range(given.candidates.bit_length())]
    best = {str(count): judged["drawings"].best_of(ranking, count) for count in counts}
    facts = best["1"]
    rising = {fact: all(a[fact] <= b[fact] for a, b in zip(best.values(), [*best.values()][1:])) for fact in facts}
    for arm, row in (rows | {f"best of {count}": row for count, row in best.items()}).items():
        print(f"{name:<22}{arm:<34}" + ", ".join(f"{fact} {value:.3f}" for fact, value in row.items()), flush=True)
    show(given.out, name, asked, back, drawn, ranking)
    return {"texts": len(asked), "arms": rows, "best_of": best, "rises_with_candidates": rising}


def show(out: Path, name: str, asked: list[Asked], back: Pixels, drawn: Pixels, ranking: Any) -> None:
    """Real pictures, these through the codes, first drawings and best ones, below each other; their texts in a file."""
    stem, best = name.replace(", ", "-").replace(" ", "-"), drawn[np.arange(len(drawn)), ranking.argmax(1)]
    lines = []
    for first in range(0, min(len(asked), 2 * SHOWN), SHOWN):
        some = slice(first, first + SHOWN)
        lines += [np.stack([each.real for each in asked])[some], back[some], drawn[some, 0], best[some]]
    picture_grid(out / f"{stem}.png", lines)
    (out / f"{stem}.txt").write_text("".join(f"{each.text}\n" for each in asked[: 2 * SHOWN]), encoding="utf-8")


def chairs(given: argparse.Namespace, drawer: Drawer, reranker: Clip) -> None:
    """A sheet of avocado-shaped chairs, a line for each colour, the best one first."""
    texts = avocado_chairs()[: given.texts]
    drawn = drawer.draw(texts, given.candidates, given.guidance, given.seed)
    order = (-reranker.cosines(texts, drawn)).argsort(1)
    picture_grid(given.out / "avocado-chairs.png", [pixels[by][:SHOWN] for pixels, by in zip(drawn, order)])
    (given.out / "avocado-chairs.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def guided(given: argparse.Namespace, drawer: Drawer, judging: Clip, asked: list[Asked]) -> dict[str, Any]:
    """Guidance -> the judge's figures of a quarter of the drawings."""
    texts, count = [each.text for each in asked], max(1, given.candidates // 4)
    return {
        f"{guidance:g}": judge(judging, asked, drawer.draw(texts, count, guidance, given.seed)).means()
        for guidance in GUIDANCES
    }


# ---- the whole


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="EMOJI")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--size", choices=[name for name in SIZES if name != SMOKE], default="mini")
    parser.add_argument("--minutes", type=float, nargs=4, default=MINUTES, metavar=tuple(name.upper() for name in TRAININGS))
    parser.add_argument("--only", nargs="+", choices=TRAININGS, help="train these parts, and measure nothing")
    parser.add_argument("--scenes", type=int, default=5000, help="pictures of the built-in world")
    parser.add_argument("--drawn-scenes", type=int, default=20_000, help="the drawer's, which learns 5,000 of them by heart")
    parser.add_argument("--vocab-size", type=int, default=800)
    for part in TRAININGS:
        parser.add_argument(f"--{part}", nargs="*", default=[], metavar="NAME=VALUE", help="further options of this training")
    parser.add_argument("--texts", type=int, default=100, help="of each set that is drawn")
    parser.add_argument("--candidates", type=int, default=16, help="drawings of each text, a power of two")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0, help="of trainings and drawings; the judge's is one higher")
    parser.add_argument("--smoke", action="store_true", help="the whole path in two minutes, with figures that say nothing")
    given = parser.parse_args()
    if given.candidates < 1 or given.candidates & (given.candidates - 1):
        parser.error(f"--candidates must be a power of two, but is {given.candidates}")
    if given.smoke:
        given.size, given.scenes, given.texts, given.candidates = SMOKE, 200, 8, 4
        given.drawn_scenes = given.scenes
    return given


def main() -> None:
    """Train, draw, judge, print, store."""
    given = options()
    emoji = read_emoji(given.data)
    files = write_parts(emoji, given.out / "data")
    runs = {part: train(given, part, files) for part in given.only or TRAININGS}
    for part, run in runs.items():
        print(f"{part}: {cost(run)}", flush=True)
    if given.only:
        return
    pixels, count = SIZES[given.size].pixels, given.texts
    drawer = Drawer(str(given.out / "drawer"))
    clips = {part: Clip(str(given.out / part)) for part in ("reranker", "judge")}
    held_out = {f"emoji, {part}": emoji_pictures(emoji, part, 2 * count, pixels) for part in ("train", "valid", "test")}
    restored = reconstructions(drawer, held_out | {"world": world_pictures(2 * count, pixels)}, given.out)
    asked = {f"emoji, {part}": emoji_asked(emoji, part, count, pixels) for part in ("train", "test", "pairs")}
    asked |= {kind: world_asked(kind, count, pixels) for kind in (SEEN, COLOUR, SHAPE)}
    sets = {name: measured(given, drawer, clips, name, of) for name, of in asked.items()}
    chairs(given, drawer, clips["reranker"])
    with torch.device("meta"):
        published = Dalle(Dalle.sizes["published"]).count_parameters()
    figures = {
        "settings": {name: value for name, value in vars(given).items() if name not in ("data", "out", "only")},
        "size": asdict(SIZES[given.size]),
        "machine": machine(),
        "pairs_left_out": pairs_left_out(emoji),
        "trainings": {part: cost(run) for part, run in runs.items()},
        "share_of_published_parameters": drawer.model.count_parameters() / published,
        "reconstructions": restored,
        "sets": sets,
        "guidance": guided(given, drawer, clips["judge"], asked[COLOUR]),
    }
    if given.smoke:
        text = json.dumps(figures, ensure_ascii=False, indent=1) + "\n"
        (given.out / "korean-dalle.json").write_text(text, encoding="utf-8")
    else:
        store("korean-dalle", figures)


if __name__ == "__main__":
    main()
