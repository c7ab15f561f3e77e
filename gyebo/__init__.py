"""gyebo (계보, "family tree"): the language models of the Transformer family tree, trained and compared on your own text.

>>> model, tokenizer = gyebo.load("runs/x")             # a run, a transformers directory, or a hub id
>>> gyebo.generate(model, tokenizer, "옛날에", top_p=0.9)
>>> gyebo.save(model, tokenizer, "dir")                  # opens in transformers
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gyebo.api.compare import compare
    from gyebo.api.distil import distil
    from gyebo.api.draw import draw
    from gyebo.api.embed import embed
    from gyebo.api.evaluate import evaluate
    from gyebo.api.fill import fill
    from gyebo.api.finetune import finetune
    from gyebo.api.generate import generate, stream
    from gyebo.api.load import load, save
    from gyebo.api.predict import predict
    from gyebo.api.pretrain import pretrain
    from gyebo.api.translate import translate
    from gyebo.config.run import RunOptions
    from gyebo.jobs.guard.opening import open_guard
    from gyebo.jobs.inspection.corruption import inspect_corruption
    from gyebo.models.bart import Bart
    from gyebo.models.bart_decoder import BartDecoder
    from gyebo.models.bert import Bert
    from gyebo.models.dan import Dan
    from gyebo.models.distilbert import Distilbert
    from gyebo.models.dvae import Dvae
    from gyebo.models.elmo import Elmo
    from gyebo.models.gpt import Gpt
    from gyebo.models.gpt2 import Gpt2
    from gyebo.models.meena import Meena
    from gyebo.models.rnn import Gru, Lstm, Rnn
    from gyebo.models.roberta import Roberta
    from gyebo.models.seq2seq import Seq2seq
    from gyebo.models.t5 import T5
    from gyebo.models.transformer import Transformer
    from gyebo.models.transformer_xl import TransformerXl
    from gyebo.models.ulmfit import Ulmfit
    from gyebo.models.vqvae import Vqvae
    from gyebo.models.xlnet import Xlnet
    from gyebo.text.tokenizer import Tokenizer
    from gyebo.text.training import train_tokenizer

__version__ = "0.1.0"

# Resolved on first use (PEP 562), so that `import gyebo` costs nothing and needs no torch.
_PLACES = {
    "Bart": "gyebo.models.bart",
    "BartDecoder": "gyebo.models.bart_decoder",
    "Bert": "gyebo.models.bert",
    "Clip": "gyebo.models.clip",
    "Dalle": "gyebo.models.dalle",
    "Dan": "gyebo.models.dan",
    "Distilbert": "gyebo.models.distilbert",
    "Dvae": "gyebo.models.dvae",
    "Elmo": "gyebo.models.elmo",
    "Gpt": "gyebo.models.gpt",
    "Gpt2": "gyebo.models.gpt2",
    "Gru": "gyebo.models.rnn",
    "Lstm": "gyebo.models.rnn",
    "Meena": "gyebo.models.meena",
    "Rnn": "gyebo.models.rnn",
    "Roberta": "gyebo.models.roberta",
    "RunOptions": "gyebo.config.run",
    "Seq2seq": "gyebo.models.seq2seq",
    "T5": "gyebo.models.t5",
    "Tokenizer": "gyebo.text.tokenizer",
    "Transformer": "gyebo.models.transformer",
    "TransformerXl": "gyebo.models.transformer_xl",
    "Ulmfit": "gyebo.models.ulmfit",
    "Vqvae": "gyebo.models.vqvae",
    "Xlnet": "gyebo.models.xlnet",
    "compare": "gyebo.api.compare",
    "distil": "gyebo.api.distil",
    "draw": "gyebo.api.draw",
    "embed": "gyebo.api.embed",
    "evaluate": "gyebo.api.evaluate",
    "fill": "gyebo.api.fill",
    "finetune": "gyebo.api.finetune",
    "generate": "gyebo.api.generate",
    "inspect_corruption": "gyebo.jobs.inspection.corruption",
    "load": "gyebo.api.load",
    "open_guard": "gyebo.jobs.guard.opening",
    "predict": "gyebo.api.predict",
    "pretrain": "gyebo.api.pretrain",
    "save": "gyebo.api.load",
    "stream": "gyebo.api.generate",
    "train_tokenizer": "gyebo.text.training",
    "translate": "gyebo.api.translate",
}

__all__ = [
    "Bart",
    "BartDecoder",
    "Bert",
    "Clip",
    "Dalle",
    "Dan",
    "Distilbert",
    "Dvae",
    "Elmo",
    "Gpt",
    "Gpt2",
    "Gru",
    "Lstm",
    "Meena",
    "Rnn",
    "Roberta",
    "RunOptions",
    "Seq2seq",
    "T5",
    "Tokenizer",
    "Transformer",
    "TransformerXl",
    "Ulmfit",
    "Vqvae",
    "Xlnet",
    "compare",
    "distil",
    "draw",
    "embed",
    "evaluate",
    "fill",
    "finetune",
    "generate",
    "inspect_corruption",
    "load",
    "open_guard",
    "predict",
    "pretrain",
    "save",
    "stream",
    "train_tokenizer",
    "translate",
]


class _Called(ModuleType):
    """The package `gyebo.compare` once it is imported: it has the name of a verb, so it is called as the verb."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module("gyebo.api.compare"), "compare")(*args, **kwargs)  # noqa: B009


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "compare" and isinstance(value, ModuleType):
            value.__class__ = _Called
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        from gyebo.config.elsewhere import verb_meant
        from gyebo.config.errors import nearest

        meant = verb_meant(name)
        hint = f"; did you mean {meant}?" if meant else "" if name.startswith("_") else nearest(name, __all__)
        raise AttributeError(f"module 'gyebo' has no attribute {name!r}{hint}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
