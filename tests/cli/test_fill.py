"""`gyebo fill`: what it shows, as text and as JSON, and its errors."""

import json

import pytest
import torch

from gyebo.generation.fill_mask import fill
from gyebo.interchange import load, save
from gyebo.jobs.fill import fill as job
from gyebo.models.family import FAMILIES, model_class
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer


@pytest.fixture(scope="module", params=["bert", "roberta"])
def masked(request, tokenizer_folder, tmp_path_factory):
    """A directory with a tiny masked language model, and how its mask is written."""
    folder = tmp_path_factory.mktemp("fill") / request.param
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES[request.param]))
    torch.manual_seed(0)
    cls = model_class(request.param)
    shape = {"vocab_size": 400, "context": 24, "width": 12, "layers": 1, "heads": 2, "init_std": 0.5}
    save(cls(cls.config_class(**shape, pad_id=tokenizer.role_ids["pad"])), tokenizer, folder)
    return folder, tokenizer.role_tokens["mask"]


def test_what_is_shown(cli, masked):
    folder, mask = masked
    text = f"나무 {mask} 바다."
    found = cli("fill", folder, "--text", text, "--top-k", "3")
    assert (found.code, found.err) == (0, "")
    filled = fill(*load(folder), text, 3)
    expected = [f"{candidate.probability:8.2%}  {candidate.sequence}\n" for candidate in filled.masks[0]]
    assert len(expected) == 3 and found.out == "".join(expected) + "\n"


def test_json_is_a_line_for_each_text(cli, masked):
    folder, mask = masked
    texts = [f"나무 {mask} 바다.", f"{mask} a {mask}"]
    found = cli("fill", folder, "--text", texts[0], "--text", texts[1], "--json")
    assert found.code == 0 and "mask 1" not in found.out
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert [row["text"] for row in rows] == texts
    assert [[len(candidates) for candidates in row["masks"]] for row in rows] == [[5], [5, 5]]
    assert rows == job(str(folder), texts)
    for row in rows:
        for candidates in row["masks"]:
            assert set(candidates[0]) == {"text", "probability", "ids", "sequence"}
    assert mask not in rows[1]["sequence"]


def test_several_masks_are_told_apart(cli, masked):
    folder, mask = masked
    found = cli("fill", folder, "--text", f"{mask} a {mask}", "--top-k", "1")
    assert found.out.count("mask 1\n") == found.out.count("mask 2\n") == 1 and "\nall       " in found.out


def test_errors(refused, masked, trained):
    folder, mask = masked
    other = "<mask>" if mask == "[MASK]" else "[MASK]"
    line = refused("fill", folder, "--text", f"나무 {other}")
    assert f"no {mask} in" in line and f"write {mask}" in line
    assert "'--top-k': must be a whole number from 1 on" in refused("fill", folder, "--text", mask, "--top-k", "0")
    assert "no masked-LM head" in refused("fill", trained, "--text", "[MASK]")
    assert "missing option '--text'" in refused("fill", folder)
    assert "but this model's context is 24: shorten it" in refused("fill", folder, "--text", mask * 30)
