"""A picture tokenizer, models that draw, write captions and judge with it, small and random, as directories."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from gyebo.interchange import save
from gyebo.models.clip import Clip, ClipConfig
from gyebo.models.dalle import Dalle, DalleConfig
from gyebo.models.family import FAMILIES
from gyebo.models.vqvae import Vqvae, VqvaeConfig
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

SIZE, CODES, GRID = 16, 11, 4


def saved(folder: Path, tokenizer_folder: Path) -> SimpleNamespace:
    """The folders `codes`, `drawer`, `captioner` and `judge`."""
    torch.manual_seed(0)
    tokenizer = Tokenizer.load(tokenizer_folder)
    painter = Vqvae(VqvaeConfig(picture_size=SIZE, codes=CODES, code_width=4, width=8, inner=4, layers=1))
    save(painter, None, folder / "codes")
    own = tokenizer.for_family(roles_of(FAMILIES["dalle"]))
    shape = {"context": 24, "image_codes": CODES, "grid": GRID, "width": 16, "layers": 3, "heads": 2, "kernel": 3}
    drawer = Dalle(DalleConfig(own.vocab_size, **shape, init_std=0.3, guided=True, pad_id=own.role_ids["pad"]))
    drawer.take_picture_tokenizer(painter)
    save(drawer, own, folder / "drawer")
    torch.manual_seed(1)
    captioner = Dalle(replace(drawer.config, image_first=True))
    captioner.take_picture_tokenizer(painter)
    save(captioner, own, folder / "captioner")
    own = tokenizer.for_family(roles_of(FAMILIES["clip"]))
    config = ClipConfig(own.vocab_size, 40, 16, 1, 2, None, 24, 8, 16, 1, 2, projection=12, end_id=own.role_ids["sep"])
    judge = Clip(config)
    save(judge, own, folder / "judge")
    return SimpleNamespace(**{name: folder / name for name in ("codes", "drawer", "captioner", "judge")})
