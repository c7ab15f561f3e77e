"""`gyebo.pretrain`, the verb of `gyebo pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import Texts, corpus_names
from gyebo.api.options import Named, checked, directory_of, folder, given, named, refuse, verb
from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.config.toml import Settings

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.api.training import Run, RunPlanned


@verb("pretrain")
def pretrain(
    family: str | RunOptions,
    corpus: Texts = None,
    *,
    out: str | Path | None = None,
    size: str | None = None,
    tokenizer: Named | None = None,
    picture_tokenizer: Named | None = None,
    vocab_size: int | None = None,
    steps: int | None = None,
    tokens: float | None = None,
    flops: float | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    lr: float | None = None,
    recipe: str | None = None,
    start_from: Named | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int | None = None,
    context: int | None = None,
    batch_tokens: int | None = None,
    checkpoint_every: int | None = None,
    keep: int | None = None,
    documents: str | None = None,
    text_field: str | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    valid: Texts = None,
    valid_last: float | None = None,
    valid_share: float | None = None,
    across_documents: bool = False,
    device: str | None = None,
    precision: str | None = None,
    compile: bool = False,
    dry_run: bool = False,
    settings: Settings | None = None,
    verbose: Verbose = None,
) -> Run | RunPlanned:
    """Pretrain one model of a family on text: `gyebo.pretrain("bert", "my-text.txt", size="mini", minutes=10, out="runs/x")`.

    corpus: the name of files, a folder, hf:NAME or world:; or the text itself: a list or generator of strings, each a document,
    a column or a table of pandas, polars or `datasets` (`text_field`: its column, by default text). `valid`, likewise: what is
    held out. Give exactly one budget: `steps`, `tokens`, `flops`, `minutes` or `epochs`.

    out: the directory of the run. size: "mini" by default; "auto": what suits the budget. tokenizer: a directory; by default
    one is trained on the corpus, with `vocab_size` ids. lr: the peak learning rate. recipe: "published" for optimiser and
    schedule of the family's paper. start_from: a model whose weights it starts from. resume: goes on with the run in `out`;
    overwrite: replaces it. dry_run: nothing is trained, and parameters, time and memory are given. settings: any other
    option, as {"optim.clip": 0.5}. verbose: True, False, or None: in a terminal and in a notebook. All options:
    docs/training.md.

    In the place of the family may stand `RunOptions`, which say all of this but `out`, `resume`, `overwrite` and `dry_run`.

    Raises ValueError or FileNotFoundError, one line that names the parameter, for what is wrong with options, corpus or `out`;
    `gyebo.training.loop.Stopped` after Ctrl-C, with what is there to resume.
    """
    from gyebo.api.training import refuse_without_budget, train

    values = given(
        size=size,
        tokenizer=directory_of(tokenizer),
        picture_tokenizer=picture_tokenizer,
        vocab_size=vocab_size,
        start_from=None if start_from is None else named(start_from, "start_from"),
        context=context,
        recipe=recipe,
        seed=seed,
    )
    data = given(
        documents=documents,
        text_field=text_field,
        encoding=encoding,
        bad_bytes=bad_bytes,
        valid_last=valid_last,
        valid_share=valid_share,
        across_documents=across_documents or None,
    )
    budget = given(steps=steps, tokens=tokens, flops=flops, minutes=minutes, epochs=epochs)
    training = given(
        batch_tokens=batch_tokens,
        checkpoint_every=checkpoint_every,
        keep=keep,
        device=device,
        precision=precision,
        compile=compile or None,
    )
    if isinstance(family, RunOptions):
        refuse(
            {"corpus": corpus, "valid": valid, **values, **data, **budget, "lr": lr, **training, "settings": settings},
            "RunOptions",
        )
        options = family
    else:
        _refuse_contradictions(start_from, size, tokenizer, vocab_size)
        sections = {
            "data": data | corpora(corpus, valid, text_field),
            "train": training,
            "budget": budget,
            "optim": given(lr=lr),
        }
        if resume:
            refuse_without_budget(folder(out), budget, settings)
        options = checked(RunOptions, {"family": family, **values, **sections}, settings)
    return train(options, folder(out), dry_run=dry_run, resume=resume, overwrite=overwrite, verbose=verbose)


def corpora(corpus: Texts, valid: Texts, text_field: str | None) -> dict[str, Any]:
    """The options of a corpus and of what is held out, where these may be in memory."""
    if corpus is None:
        raise OptionError("‹corpus› is missing: give the name of a file, or texts")
    found: dict[str, Any] = {"corpus": corpus_names(corpus, "corpus", text_field)}
    if valid is not None:
        names = corpus_names(valid, "valid", text_field)
        if len(names) > 1:
            raise OptionError(f"‹valid› must be one corpus, but there are {len(names)} names: give one, or a glob")
        found["valid"] = names[0]
    return found


def _refuse_contradictions(start_from: object, size: str | None, tokenizer: object, vocab_size: int | None) -> None:
    """Options that would have no effect beside others."""
    if start_from and size:
        raise OptionError(f"‹size›={size} contradicts ‹start_from›: the shape is that of {start_from}")
    if tokenizer and vocab_size:
        raise OptionError("‹vocab_size› has no effect with ‹tokenizer›: drop one")
    if start_from and vocab_size:
        raise OptionError(f"‹vocab_size› has no effect with ‹start_from›: the tokenizer is that of {start_from}")
