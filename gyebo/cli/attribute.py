"""`gyebo attribute`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared


def attribute(
    model: shared.Model,
    task: Annotated[str, typer.Argument(metavar="TASK", help="nsmc (gyebo tasks), or classification.")],
    out: shared.Out,
    data: Annotated[
        str | None, shared.word("Folder of the task, your own file, or hf:NAME.  [default: the hub's]", "PATH")
    ] = None,
    text: Annotated[str | None, shared.word("Text column of your file.", "NAME")] = None,
    label: Annotated[str | None, shared.word("Label column of your file.", "NAME")] = None,
    test: Annotated[str | None, shared.word("Test set file.  [default: a tenth of yours]", "FILE")] = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    train_share: Annotated[float | None, shared.real("Share of the training examples to use, e.g. 0.1.")] = None,
    epochs: Annotated[int | None, shared.count("Epochs.  [default: 10]")] = None,
    batch: Annotated[int | None, shared.count("Batch size in examples.  [default: 64]")] = None,
    lr: Annotated[float | None, shared.real("Learning rate of Adam.  [default: 0.0001]")] = None,
    max_length: Annotated[int | None, shared.count("Maximum number of tokens that are read of a text.  [default: 100]")] = None,
    seed: Annotated[int | None, shared.natural("Random seed.  [default: 0]")] = None,
    device: shared.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the attribute model in -o.")] = False,
    json: shared.Json = False,
) -> None:
    """Train an attribute model to steer a language model with.

    One linear layer on the mean hidden state of the frozen model, for gyebo
    generate --attribute. It belongs to this model alone.

    \b
    Examples:
      gyebo attribute runs/gpt2 nsmc --data nsmc/ -o runs/mood
      gyebo attribute runs/gpt2 classification --data my.csv --text line --label mood -o runs/mood --lr 0.001
    """
    from gyebo.config import toml
    from gyebo.config.attribute import AttributeOptions
    from gyebo.jobs.attribute import train_attribute

    named = shared.given(name=task, data=data, text=text, label=label, test=test, train_share=train_share)
    named |= shared.given(encoding=encoding, bad_bytes=bad_bytes)
    values = shared.given(epochs=epochs, batch=batch, lr=lr, max_length=max_length, seed=seed)
    options = toml.check(AttributeOptions, {"model": model, "task": named, "device": device, **values})
    console = shared.console(json=True)  # what is said on the way goes to stderr
    with console.status("reading") as status:
        found = train_attribute(options, out, overwrite=overwrite, report=status.update)
    for line in found["notes"]:
        console.print(line)
    if json:
        print(json_module.dumps(found, ensure_ascii=False))
        return
    scores = ", ".join(f"{score:.1%} on {part}" for part, score in found["accuracy"].items())
    print(f"{', '.join(found['labels'])}: accuracy {scores}")
    print(f'Next: gyebo generate {model} --attribute "{out}:{found["labels"][-1]}"')
