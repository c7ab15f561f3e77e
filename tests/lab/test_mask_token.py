"""The two ways to mask differ in nothing else, and the losses are of the tokens that are said."""

import json
from types import SimpleNamespace

import pytest
import torch

from gyebo.compare.statistics import Difference
from gyebo.lab import mask_token
from gyebo.nn.outputs import Encoded


def test_the_candidates_differ_in_what_they_show_only(tmp_path):
    asked = mask_token.recipe(tmp_path / "reports.txt", [0, 1])
    one, other = (candidate.model_dump(exclude={"name"}) for candidate in asked.candidates)
    shares = [{name: each["objective"].pop(name) for name in ("mask_share", "random_share")} for each in (one, other)]
    assert one == other
    assert shares == [{"mask_share": 0.8, "random_share": 0.1}, {"mask_share": 1.0, "random_share": 0.0}]


def test_the_reports_are_none_of_the_task():
    ours = {*mask_token.reports(300, mask_token.SEED)}
    assert len(ours & {*mask_token.reports(300, mask_token.OTHER_SEED)}) < 30
    assert len(ours & {*mask_token.reports(300, 0)}) < 30  # short ones come again


@pytest.mark.parametrize("right", [True, False])
def test_losses_are_of_hidden_and_of_seen_tokens(monkeypatch, tokenizer_folder, right):
    """A model that says what stands there: nothing is lost of seen tokens, and the mask is never what it hides."""
    from gyebo.models.family import find
    from gyebo.text.roles import roles_of
    from gyebo.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(find("bert")))
    vocabulary, given = len(tokenizer), []

    class Says:
        config = SimpleNamespace(context=24)

        def eval(self):
            return self

        def encode(self, ids, attention_mask):
            given.append((ids, attention_mask))
            return Encoded(torch.nn.functional.one_hot(ids if right else (ids + 1) % vocabulary, vocabulary).float())

        def project(self, hidden, head):
            return 1000 * hidden

    monkeypatch.setattr(mask_token, "HELD_OUT", 50)
    monkeypatch.setattr(mask_token, "load", lambda name: (Says(), tokenizer))
    found = mask_token.losses("a run")
    assert found == pytest.approx({"masked": 1000.0, "seen": 0.0 if right else 1000.0})
    ((ids, mask),) = given
    share = float((ids == tokenizer.role_ids["mask"]).sum() / (mask.sum() - 2 * len(ids)))
    assert ids.shape[1] <= 24 and 0.1 < share < 0.2
    assert bool((ids[:, 0] == tokenizer.role_ids["cls"]).all())


@pytest.mark.parametrize("leader", ["80-10-10", "100-0-0"])
def test_the_difference_is_the_first_minus_the_second(leader):
    names = {"80-10-10": 0.9, "100-0-0": 0.8} if leader == "80-10-10" else {"80-10-10": 0.8, "100-0-0": 0.9}
    (other,) = set(names) - {leader}
    gap = Difference(names[other] - names[leader], -0.15, -0.05)
    said = mask_token._said(SimpleNamespace(against_leader=lambda task: (leader, {other: gap})))
    sign = "+" if leader == "80-10-10" else "-"
    low, high = ("+0.0500", "+0.1500") if sign == "+" else ("-0.1500", "-0.0500")
    assert f"is {sign}0.1000 (95 % interval {low} to {high}): a difference is shown" in said
    one_seed = SimpleNamespace(against_leader=lambda task: (leader, {other: Difference(-0.1, None, None)}))
    assert "one seed: no interval" in mask_token._said(one_seed) and "no difference is shown" in mask_token._said(one_seed)


@pytest.mark.slow
def test_all_is_trained_and_drawn(tmp_path, monkeypatch):
    for name, value in {"STEPS": 4, "REPORTS": 400, "HELD_OUT": 20, "LABELLED": 0.02}.items():
        monkeypatch.setattr(mask_token, name, value)
    found = mask_token.run(tmp_path, [0, 1], lambda line: None)
    assert {name: list(scores) for name, scores in found["accuracy"].items()} == {"80-10-10": [0, 1], "100-0-0": [0, 1]}
    assert (tmp_path / "mask-token.png").read_bytes().startswith(b"\x89PNG")
    stored = json.loads((tmp_path / "comparison" / "results.json").read_text(encoding="utf-8"))
    assert stored["ok"] and "accuracy of 80/10/10 minus that of 100/0/0" in found["finding"]
