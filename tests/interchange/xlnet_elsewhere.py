"""XLNet against another version of `transformers`, in an environment of its own that has no gyebo. Not part of the tests.

    python -m venv /tmp/other && /tmp/other/bin/pip install transformers==4.57.6 torch
    /tmp/other/bin/python tests/interchange/xlnet_elsewhere.py make FOLDER     models, inputs and outputs of that version
    python tests/interchange/xlnet_elsewhere.py check FOLDER                   here: ours against these; saved again
    /tmp/other/bin/python tests/interchange/xlnet_elsewhere.py open FOLDER     that version opens what we saved

Each of the last two prints the largest difference of every output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

SHAPE = {"vocab_size": 101, "d_model": 24, "n_layer": 3, "n_head": 3, "d_inner": 40, "mem_len": 7, "clamp_len": 6}
CLASSES: dict[str, dict[str, Any]] = {
    "XLNetLMHeadModel": {},
    "XLNetModel": {},
    "XLNetForSequenceClassification": {"num_labels": 3},
    "XLNetForTokenClassification": {"num_labels": 4},
    "XLNetForQuestionAnsweringSimple": {},
    "XLNetForMultipleChoice": {},
}
SCORES = ("logits", "start_logits", "end_logits", "last_hidden_state")
STREAMS = ("perm_mask", "target_mapping")


def inputs() -> dict[str, torch.Tensor]:
    """Ids padded on the left, segments, a random perm_mask in which everybody sees something, and a target_mapping."""
    generator = torch.Generator().manual_seed(5)
    perm = (torch.rand(3, 13, 13, generator=generator) < 0.5).float()
    perm[:, :, -1] = 0
    mapping = torch.zeros(3, 4, 13)
    for row in range(3):
        mapping[row, torch.arange(4), torch.randperm(12, generator=generator)[:4]] = 1
    mask = (torch.arange(13) >= torch.tensor([0, 4, 0])[:, None]).long()
    mapping[1] = torch.nn.functional.one_hot(torch.tensor([5, 9, 7, 11]), 13)
    return {
        "input_ids": torch.randint(6, 101, (3, 13), generator=generator),
        "token_type_ids": torch.randint(3, (3, 13), generator=generator),
        "attention_mask": mask,
        "perm_mask": perm,
        "target_mapping": mapping,
    }


def outputs(model: Any, name: str, *, theirs: bool) -> dict[str, torch.Tensor]:
    """All scores, of models with an output layer also with both streams; zero at padding."""
    given = inputs()
    streams = {name: given.pop(name) for name in STREAMS}
    real = given["attention_mask"]
    if theirs:
        given["attention_mask"] = given["attention_mask"].float()
    if name == "XLNetForMultipleChoice":
        given = {field: values[None] for field, values in given.items()}
    found: dict[str, torch.Tensor] = {}
    both = {"two streams": streams} if name in ("XLNetLMHeadModel", "XLNetModel") else {}
    for stream, more in ({"one stream": {}} | both).items():
        out = model(**given, **more)
        for score in SCORES:
            values = getattr(out, score, None)
            if values is not None:
                at_tokens = values.shape[:2] == real.shape
                part = real.reshape(real.shape + (1,) * (values.ndim - 2)) if at_tokens else 1
                found[f"{stream}, {score}"] = values.detach() * part
    return found


def compare(name: str, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> float:
    """Print the largest difference of each score that both have; the largest of all."""
    worst = 0.0
    for score in sorted(expected.keys() & found.keys()):
        difference = float((expected[score] - found[score]).abs().max())
        worst = max(worst, difference)
        print(f"{name}: {score}: {difference:.1e} (outputs up to {float(expected[score].abs().max()):.1f})")
    return worst


def make(folder: Path) -> None:
    """Random models of the installed version, and what they give."""
    import transformers

    print("transformers", transformers.__version__)
    for name, options in CLASSES.items():
        torch.manual_seed(7)
        model = getattr(transformers, name)(transformers.XLNetConfig(**SHAPE, **options)).eval()
        for key, parameter in model.named_parameters():
            gain = "norm" in key.lower() and key.endswith("weight")
            parameter.data.copy_(gain + 0.3 * torch.randn_like(parameter))
        model.save_pretrained(folder / name)
        torch.save(outputs(model, name, theirs=True), folder / name / "outputs.pt")


def check(folder: Path) -> None:
    """Ours against what was made there; saved again beside it."""
    import gyebo

    worst = 0.0
    for name in CLASSES:
        model, _ = gyebo.load(folder / name)
        expected = torch.load(folder / name / "outputs.pt", weights_only=True)
        with torch.no_grad():
            worst = max(worst, compare(name, expected, outputs(model, name, theirs=False)))
        gyebo.save(model, None, folder / "ours" / name)
    print(f"largest of all: {worst:.1e}")


def open_again(folder: Path) -> None:
    """What we saved, in the installed version."""
    import transformers

    print("transformers", transformers.__version__)
    worst = 0.0
    for name in CLASSES:
        model, report = getattr(transformers, name).from_pretrained(folder / "ours" / name, output_loading_info=True)
        complaints = {key: value for key, value in report.items() if value}
        assert not complaints, complaints
        expected = torch.load(folder / name / "outputs.pt", weights_only=True)
        worst = max(worst, compare(name, expected, outputs(model.eval(), name, theirs=True)))
    print(f"largest of all: {worst:.1e}")


if __name__ == "__main__":
    {"make": make, "check": check, "open": open_again}[sys.argv[1]](Path(sys.argv[2]))
