"""Random encoders of `transformers`, small and odd, and how their numbers are compared with ours."""

from __future__ import annotations

import torch
import transformers

from gyebo.models.bert import Bert
from gyebo.models.distilbert import Distilbert
from gyebo.models.roberta import Roberta

SHAPE = {"vocab_size": 101, "max_position_embeddings": 32, "hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3}
CONFIGS = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig, "distilbert": transformers.DistilBertConfig}
FIRST = {"bert": "BertForPreTraining", "roberta": "RobertaForMaskedLM", "distilbert": "DistilBertForMaskedLM"}
BODY = {"bert": "BertModel", "roberta": "RobertaModel", "distilbert": "DistilBertModel"}
OURS = {"bert": Bert, "roberta": Roberta, "distilbert": Distilbert}


def reference_encoder(family: str, name: str | None = None, **options):
    """A model of transformers with every tensor drawn at random; `name`: its class."""
    torch.manual_seed(len(family))
    options = {**SHAPE, "intermediate_size": 40, "hidden_dim": 40, "pad_token_id": 1, **options}
    if family == "distilbert":
        del options["intermediate_size"]
    else:
        del options["hidden_dim"]
    config = CONFIGS[family](**options)
    config._attn_implementation = "eager"
    model = getattr(transformers, name or FIRST[family])(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            gain = "norm" in key.lower() and key.endswith("weight")
            parameter.copy_(gain + 0.3 * torch.randn_like(parameter))
    return model


def tokens(vocabulary: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(6, vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def kinds(model, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    segments = getattr(model.config, "type_vocab_size", 0)
    return {"token_type_ids": torch.arange(ids.shape[1]).expand_as(ids) % segments} if segments > 1 else {}


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max())


def mlm(out) -> torch.Tensor:
    return out.prediction_logits if hasattr(out, "prediction_logits") else out.logits


def opened(folder, name: str):
    """Our directory in transformers, without a word of complaint."""
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    assert not any(report.values()), report
    return model


def agree(before, after, tied: bool) -> None:
    """Two models of transformers have the same numbers; the bias that stands twice is used once where it is not tied."""
    first, second = before.state_dict(), after.state_dict()
    assert first.keys() == second.keys()
    unused = () if tied else ("cls.predictions.bias", "lm_head.bias")
    assert all(torch.equal(first[key], second[key]) for key in first if key not in unused)
