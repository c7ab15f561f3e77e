"""`import gyebo.hf`: `transformers`' Auto classes open the families that it lacks.

Each `gyebo-...` model_type has a config and classes here, registered with AutoConfig, AutoModel and, where they fit,
AutoModelForCausalLM, AutoModelForSeq2SeqLM and those of task heads. They hold gyebo's own model, as `model`, which is opened
and saved by `gyebo.interchange`; no code of a directory is ever run.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

try:
    import transformers
except ImportError:
    raise ImportError("gyebo.hf registers families with transformers, which is missing: pip install transformers") from None
from torch import nn
from transformers.generation import GenerationMixin
from transformers.utils import ModelOutput

from gyebo.interchange import load, save
from gyebo.interchange.config_fields import read_config
from gyebo.interchange.registry import FORMATS, find_format
from gyebo.models.family import model_class
from gyebo.tasks.heads.task_model import TaskModel, body_of

OURS = "gyebo-"
HEADS = {  # the Auto class of each class of transformers that a kind of task is
    name: f"AutoModel{name}"
    for name in ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
}
# What `transformers` hands on, and what has no effect where it is not given.
PASSED = {"adapter_kwargs", "trust_remote_code", "code_revision", "generation_config"}


class GyeboConfig(transformers.PretrainedConfig):
    """The `config.json` of a model of gyebo, with its fields as attributes."""


class GyeboModel(transformers.PreTrainedModel):
    """A model of gyebo as one of `transformers`. `model`: gyebo's own."""

    config_class = GyeboConfig
    base_model_prefix = ""
    purpose: ClassVar[str] = ""  # what follows AutoModel in the name of the Auto class

    def __init__(self, config: Any, model: Any = None) -> None:
        """model: one that is open already; without it, one with fresh weights."""
        super().__init__(config)
        self.model: Any = _fresh(config) if model is None else model

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name: Any, *args: Any, config: Any = None, dtype: Any = None, revision: str | None = None, **options: Any
    ) -> Any:
        """Open a directory or a hub id; ValueError for a model that is none of this class, and for an option without effect."""
        dtype = options.pop("torch_dtype", dtype)
        device = options.pop("device_map", None)
        idle = [key for key, value in options.items() if value and key not in PASSED and not key.startswith("_")]
        if args or idle:
            what = "a positional argument" if args else idle[0]
            raise ValueError(f"{name}: {what} has no effect on a model of gyebo: leave it out")
        model, _ = load(name, revision=revision, dtype=dtype)
        model = cls._fitting(model, str(name))
        found = cls(transformers.AutoConfig.from_pretrained(name) if config is None else config, model)
        if device not in (None, "auto"):
            found.to(device)
        return found.eval()

    @classmethod
    def _fitting(cls, model: Any, name: str) -> Any:
        """The model, or for AutoModel its body; ValueError for one with another head than this class has."""
        if not cls.purpose:
            return body_of(model)
        head = f"For{model.form.transformers_class}" if isinstance(model, TaskModel) else ""
        if head != cls.purpose if cls.purpose in HEADS else head:
            what = f"was fine-tuned, and AutoModel{head} opens it" if head else "has no task head: AutoModel opens it"
            raise ValueError(f"{name}: {what}, not AutoModel{cls.purpose}")
        return model

    def save_pretrained(self, directory: Any, *args: Any, **options: Any) -> None:  # type: ignore[override]
        """Write the directory as gyebo does."""
        save(self.model, None, directory)

    def forward(self, input_ids: Any = None, *args: Any, return_dict: bool | None = None, **inputs: Any) -> ModelOutput:
        """The model's own forward pass; the fields of its output that there are."""
        inputs = {key: value for key, value in inputs.items() if value is not None and key not in UNUSED}
        if input_ids is not None:
            inputs["input_ids"] = input_ids
        found = self.model(*args, **inputs)
        fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        order = sorted(fields, key=lambda key: ("loss", "logits").index(key) if key in ("loss", "logits") else 2)
        return ModelOutput({key: fields[key] for key in order if fields[key] is not None})

    def get_input_embeddings(self) -> nn.Module:
        """The table of tokens."""
        return self.model.token_embedding  # type: ignore[no-any-return]

    def _init_weights(self, module: nn.Module) -> None:
        pass  # its own class has initialised it


UNUSED = {"use_cache", "past_key_values", "cache_position", "logits_to_keep", "return_dict"}


class GyeboGenerator(GyeboModel, GenerationMixin):
    """A model that writes from left to right."""

    _supports_cache_class = False
    _is_stateful = True  # no cache of `transformers`: `gyebo.generate` has one

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Any, attention_mask: Any = None, **rest: Any
    ) -> dict[str, Any]:
        """All of the text so far is read again: a cache is gyebo's own."""
        return {"input_ids": input_ids, "attention_mask": attention_mask}


def _fresh(config: Any) -> Any:
    given = config.to_dict()
    table, _ = find_format(given | {"architectures": None}, "config")
    cls: Any = model_class(table.family)
    return cls(cls.config_class(**read_config(table, given, "config")))


def register() -> None:
    """Register all families; again has no effect."""
    for kind, table in {table.model_type: table for table in FORMATS.values()}.items():
        if not kind.startswith(OURS):
            continue
        stem = "".join(part.capitalize() for part in kind.removeprefix(OURS).split("_"))
        config = type(f"Gyebo{stem}Config", (GyeboConfig,), {"model_type": kind, "__doc__": GyeboConfig.__doc__})
        transformers.AutoConfig.register(kind, config, exist_ok=True)
        cls: Any = model_class(table.family)
        purposes = {"": GyeboModel, **dict.fromkeys(HEADS, GyeboModel)}
        if cls.reads_text and cls.encodes_source:
            purposes["ForSeq2SeqLM"] = GyeboModel
        elif cls.reads_text and cls.causal and cls.generates:
            purposes["ForCausalLM"] = GyeboGenerator
        for purpose, base in purposes.items():
            fields = {"config_class": config, "purpose": purpose, "__doc__": base.__doc__}
            made = type(f"Gyebo{stem}{purpose or 'Model'}", (base,), fields)
            getattr(transformers, f"AutoModel{purpose}").register(config, made, exist_ok=True)
        if cls.reads_text:
            fast = transformers.PreTrainedTokenizerFast
            transformers.AutoTokenizer.register(config, fast_tokenizer_class=fast, exist_ok=True)


register()
